//! The descriptor-based mount API, and a snapshot's root file system as one detached mount.

use crate::process::{Forked, clone3};
use hull_types::{Lower, Rootfs};
use rustix::fs::CWD;
use rustix::mount::{self, FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

pub use rustix::mount::MountAttrFlags as Attributes;
pub use rustix::mount::UnmountFlags;

/// A file system that is being configured (`fsopen(2)`).
///
/// Its errors carry what the kernel wrote about them into the context's log.
#[derive(Debug)]
pub struct FileSystem {
    context: OwnedFd,
}

impl FileSystem {
    /// Begins a new file system of a type such as `tmpfs`.
    pub fn open(kind: &str) -> io::Result<Self> {
        Ok(Self { context: mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)? })
    }

    /// Sets `key=value`.
    pub fn set(&self, key: &str, value: impl rustix::path::Arg) -> io::Result<()> {
        mount::fsconfig_set_string(&self.context, key, value).map_err(|error| self.explain(error))
    }

    /// Sets an option without value.
    pub fn set_flag(&self, key: &str) -> io::Result<()> {
        mount::fsconfig_set_flag(&self.context, key).map_err(|error| self.explain(error))
    }

    /// Sets an option to a descriptor.
    pub fn set_fd(&self, key: &str, value: impl AsFd) -> io::Result<()> {
        mount::fsconfig_set_fd(&self.context, key, value).map_err(|error| self.explain(error))
    }

    /// Makes the file system and a detached mount of it.
    pub fn mount(self, attributes: Attributes) -> io::Result<OwnedFd> {
        mount::fsconfig_create(&self.context).map_err(|error| self.explain(error))?;
        mount::fsmount(&self.context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
            .map_err(|error| self.explain(error))
    }

    fn explain(&self, error: rustix::io::Errno) -> io::Error {
        let mut buffer = [0_u8; 512];
        let error = io::Error::from(error);
        match rustix::io::read(&self.context, &mut buffer) {
            Ok(length) if length > 2 => {
                let text = String::from_utf8_lossy(&buffer[2..length]);
                io::Error::new(error.kind(), format!("{error}: {}", text.trim_end()))
            }
            _ => error,
        }
    }
}

/// A detached copy of the mount at a path of the host, with the mounts below it if `recursive`.
pub fn clone_tree(path: impl AsRef<Path>, recursive: bool) -> io::Result<OwnedFd> {
    Ok(mount::open_tree(CWD, path.as_ref(), clone_flags(recursive))?)
}

/// A detached copy of the mount at a descriptor: of the file or directory that it stands for.
pub fn clone_tree_at(at: impl AsFd, recursive: bool) -> io::Result<OwnedFd> {
    Ok(mount::open_tree(at, c"", clone_flags(recursive) | OpenTreeFlags::AT_EMPTY_PATH)?)
}

fn clone_flags(recursive: bool) -> OpenTreeFlags {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive { flags | OpenTreeFlags::AT_RECURSIVE } else { flags }
}

/// Attaches a detached mount (or moves an attached one) upon what the target descriptor stands for.
pub fn attach(mount: impl AsFd, target: impl AsFd) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(mount::move_mount(mount, c"", target, c"", flags)?)
}

/// What [`change`] does to a mount.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    /// Attributes that are set.
    pub set: Attributes,
    /// Attributes that are cleared.
    pub clear: Attributes,
    /// A propagation type.
    pub propagation: Option<Propagation>,
}

impl Default for Change {
    fn default() -> Self {
        Self { set: Attributes::empty(), clear: Attributes::empty(), propagation: None }
    }
}

impl Change {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.clear.is_empty() && self.propagation.is_none()
    }
}

/// How mounts and unmounts travel between copies of a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// Not at all.
    Private,
    /// From the original only.
    Slave,
    /// Both ways.
    Shared,
    /// Not at all, and it cannot be bind-mounted.
    Unbindable,
}

/// `struct mount_attr` of `mount_setattr(2)`.
#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Changes a mount's attributes, and those of the mounts below it if `recursive`.
pub fn change(mount: impl AsFd, change: Change, recursive: bool) -> io::Result<()> {
    let propagation = match change.propagation {
        None => 0,
        Some(Propagation::Private) => libc::MS_PRIVATE,
        Some(Propagation::Slave) => libc::MS_SLAVE,
        Some(Propagation::Shared) => libc::MS_SHARED,
        Some(Propagation::Unbindable) => libc::MS_UNBINDABLE,
    };
    // A change of access times replaces the whole field, which the kernel wants cleared explicitly.
    let times = Attributes::MOUNT_ATTR__ATIME | Attributes::MOUNT_ATTR_NOATIME;
    let clear = if change.set.intersects(times) || change.clear.intersects(times) {
        change.clear | times
    } else {
        change.clear
    };
    let attr = MountAttr {
        attr_set: u64::from(change.set.bits()),
        attr_clr: u64::from(clear.bits()),
        propagation,
        userns_fd: 0,
    };
    set_attr(mount.as_fd(), &attr, recursive)
}

/// Gives a detached mount the id mapping of a user namespace.
pub fn set_id_map(mount: impl AsFd, user_namespace: impl AsFd, recursive: bool) -> io::Result<()> {
    let attr = MountAttr {
        attr_set: u64::from(MountAttrFlags::MOUNT_ATTR_IDMAP.bits()),
        attr_clr: 0,
        propagation: 0,
        userns_fd: user_namespace.as_fd().as_raw_fd() as u64,
    };
    set_attr(mount.as_fd(), &attr, recursive)
}

fn set_attr(mount: BorrowedFd<'_>, attr: &MountAttr, recursive: bool) -> io::Result<()> {
    const AT_RECURSIVE: libc::c_int = 0x8000;
    let flags = libc::AT_EMPTY_PATH | if recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: the path is an empty C string, `attr` is a valid mount_attr of the size given, both outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(attr),
            size_of::<MountAttr>(),
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sets the propagation of every mount of the calling process's mount namespace (`MS_REC`).
pub fn set_root_propagation(propagation: Propagation, recursive: bool) -> io::Result<()> {
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
    let root = rustix::fs::open(c"/", flags, rustix::fs::Mode::empty())?;
    change(root, Change { propagation: Some(propagation), ..Change::default() }, recursive)
}

/// Makes an attached mount the root of the calling process's mount namespace, and lets go of the old one.
///
/// The process's root and current directory are the new root afterwards.
pub fn pivot_into(new_root: impl AsFd) -> io::Result<()> {
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
    let old_root = rustix::fs::open(c"/", flags, rustix::fs::Mode::empty())?;
    rustix::process::fchdir(new_root)?;
    rustix::process::pivot_root(c".", c".")?;
    rustix::process::fchdir(&old_root)?;
    // The old root must not carry its unmounting back to the host.
    let slave = Change { propagation: Some(Propagation::Slave), ..Change::default() };
    change(&old_root, slave, true)?;
    mount::unmount(c".", UnmountFlags::DETACH)?;
    rustix::process::chdir(c"/")?;
    Ok(())
}

/// A detached mount of a snapshot's root file system: with an upper layer an overlay, else read-only.
///
/// The mount is in no namespace until it is attached, and goes with its last descriptor.
pub fn mount_rootfs(rootfs: &Rootfs) -> io::Result<OwnedFd> {
    if rootfs.lowers.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a root file system needs a layer"));
    }
    if rootfs.upper.is_none()
        && let [only] = rootfs.lowers.as_slice()
    {
        return mount_lower(only);
    }
    overlay(rootfs)
}

/// A detached, read-only mount of one layer.
pub fn mount_lower(lower: &Lower) -> io::Result<OwnedFd> {
    match lower {
        Lower::Directory(path) => {
            let mount = clone_tree(path, false)?;
            let read_only = Change { set: Attributes::MOUNT_ATTR_RDONLY, ..Change::default() };
            change(&mount, read_only, false)?;
            Ok(mount)
        }
        Lower::Erofs { index, data } => mount_erofs(index, data),
    }
}

/// A detached mount of an EROFS image in a file, without a loop device: Linux 6.12 and newer.
fn mount_erofs(index: &Path, data: &[PathBuf]) -> io::Result<OwnedFd> {
    let erofs = FileSystem::open("erofs")?;
    erofs.set("source", index)?;
    data.iter().try_for_each(|file| erofs.set("device", file.as_path()))?;
    erofs.set_flag("ro")?;
    erofs.mount(Attributes::MOUNT_ATTR_RDONLY).map_err(|error| {
        io::Error::new(error.kind(), format!("mount the image {}: {error}", index.display()))
    })
}

/// How an overlay's layers are told to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layers {
    /// One `lowerdir+` each, by paths of any length: Linux 6.7 and newer.
    Each,
    /// One `lowerdir` for all, which older kernels cut at 255 characters: by descriptors, as their names are short.
    List,
}

fn overlay(rootfs: &Rootfs) -> io::Result<OwnedFd> {
    match overlay_by(rootfs, Layers::Each) {
        // An older kernel says only at the end that it does not know the option.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => overlay_by(rootfs, Layers::List),
        result => result,
    }
}

fn overlay_by(rootfs: &Rootfs, layers: Layers) -> io::Result<OwnedFd> {
    let overlay = FileSystem::open("overlay")?;
    overlay.set("source", "overlay")?;
    // Open until the mount is made: layers are named by these descriptors, or live by them.
    let mut held = Vec::new();
    match layers {
        Layers::Each => rootfs.lowers.iter().try_for_each(|lower| match lower {
            Lower::Directory(path) => overlay.set("lowerdir+", path.as_path()),
            // By descriptor: Linux 6.13 and newer.
            Lower::Erofs { index, data } => {
                let mount = mount_erofs(index, data)?;
                overlay.set_fd("lowerdir+", &mount)?;
                held.push(mount);
                Ok(())
            }
        })?,
        Layers::List => {
            let names: io::Result<Vec<String>> =
                rootfs.lowers.iter().map(|lower| short_name(lower, &mut held)).collect();
            let list = names?.join(":");
            if list.len() > 255 {
                let text = format!("{} layers at once need Linux 6.7 or newer", rootfs.lowers.len());
                return Err(io::Error::new(io::ErrorKind::Unsupported, text));
            }
            overlay.set("lowerdir", list.as_str())?;
        }
    }
    if let (Some(upper), Some(work)) = (&rootfs.upper, &rootfs.work) {
        overlay.set("upperdir", upper.as_path())?;
        overlay.set("workdir", work.as_path())?;
    }
    // A layer's own redirects are never believed: they could name what the image does not hold.
    overlay.set("redirect_dir", "nofollow")?;
    overlay.set("metacopy", "off")?;
    overlay.set("index", "off")?;
    overlay.mount(Attributes::empty())
}

/// A name of at most 20 characters for a directory, good while its descriptor in `held` is open.
fn short_name(lower: &Lower, held: &mut Vec<OwnedFd>) -> io::Result<String> {
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
    let Lower::Directory(path) = lower else {
        let text = "layers that are images need Linux 6.13 or newer";
        return Err(io::Error::new(io::ErrorKind::Unsupported, text));
    };
    let directory = rustix::fs::open(path, flags, rustix::fs::Mode::empty())?;
    let name = format!("/proc/self/fd/{}", directory.as_raw_fd());
    held.push(directory);
    Ok(name)
}

/// A user namespace with the given maps (lines of `/proc/<pid>/uid_map`), for id-mapped mounts.
///
/// A short-lived child holds it until it is opened. The caller must have one thread only, as for [`clone3`].
pub fn user_namespace(uid_map: &str, gid_map: &str) -> io::Result<OwnedFd> {
    let (read_end, write_end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    match clone3(libc::CLONE_NEWUSER as u64, None)? {
        Forked::Child => {
            drop(write_end);
            let mut byte = [0_u8; 1];
            let _ = rustix::io::read(&read_end, &mut byte);
            crate::process::exit(0)
        }
        Forked::Parent { pid, pidfd } => {
            let made = write_maps(pid, uid_map, gid_map)
                .and_then(|()| std::fs::File::open(format!("/proc/{pid}/ns/user")));
            drop(write_end);
            crate::process::reap(&pidfd)?;
            Ok(made?.into())
        }
    }
}

/// Writes a process's user namespace maps.
pub fn write_maps(pid: i32, uid_map: &str, gid_map: &str) -> io::Result<()> {
    std::fs::write(format!("/proc/{pid}/uid_map"), uid_map)?;
    std::fs::write(format!("/proc/{pid}/gid_map"), gid_map)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// On kernels before 6.7 the first way fails, and [`overlay`] has to find the second by itself.
    fn stacks(mount: impl Fn(&Rootfs) -> io::Result<OwnedFd>) {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            // Long, as layers' names are: several of them are more than one old option holds.
            let path = folder.path().join(format!("{name}-{}", "0".repeat(100)));
            fs::create_dir(&path).unwrap();
            path
        };
        let lowers: Vec<_> = ["top", "middle", "bottom"].map(make).to_vec();
        for (number, lower) in lowers.iter().enumerate() {
            fs::write(lower.join("shared"), format!("{number}")).unwrap();
            fs::write(lower.join(format!("own-{number}")), "x").unwrap();
        }
        let rootfs = Rootfs {
            lowers: lowers.into_iter().map(Lower::Directory).collect(),
            upper: Some(make("upper")),
            work: Some(make("work")),
        };
        let tree = crate::InRoot::new(mount(&rootfs).unwrap());
        assert_eq!(tree.read("shared", 10).unwrap(), b"0");
        for number in 0..3 {
            assert_eq!(tree.read(format!("own-{number}"), 10).unwrap(), b"x");
        }
        tree.create_file("written", rustix::fs::Mode::from_raw_mode(0o644)).unwrap();
        assert!(rootfs.upper.unwrap().join("written").exists());
    }

    #[test]
    fn layers_are_stacked_on_this_kernel() {
        stacks(mount_rootfs);
    }

    #[test]
    fn layers_are_stacked_as_older_kernels_want_them() {
        stacks(|rootfs| overlay_by(rootfs, Layers::List));
    }
}
