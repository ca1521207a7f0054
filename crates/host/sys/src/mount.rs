//! The descriptor-based mount API.

use crate::process::{Forked, clone3};
use rustix::fs::CWD;
use rustix::mount::{self, FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

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
