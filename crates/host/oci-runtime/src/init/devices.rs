//! Device nodes, all relative to the descriptor of `/dev` as it is inside the root.

use super::Init;
use super::mounts::Mounted;
use crate::default_devices::NODES;
use crate::failure::{During, Failure, Step};
use hull_sys::{InRoot, Mode, mount, namespace, rustix};
use hull_types::oci::runtime::Device;
use rustix::fs::{AtFlags, FileType, Gid, Uid};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Names in `/dev` that lead elsewhere.
const LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
];

impl Init<'_> {
    /// Makes the default nodes and links and the configured nodes.
    pub(super) fn set_up_devices(&self, root: &InRoot, mounted: &Mounted) -> Step<()> {
        if !mounted.dev_is_bound {
            let dev = root.mkdir_all("/dev", Mode::from_raw_mode(0o755)).during("cannot open /dev")?;
            for (name, major, minor) in NODES {
                let path = format!("/dev/{name}");
                if self.linux.devices.iter().any(|device| device.path == path) {
                    continue;
                }
                let node =
                    Node { kind: FileType::CharacterDevice, major, minor, mode: 0o666, uid: 0, gid: 0 };
                self.make_node(dev.as_fd(), name.as_ref(), &node)
                    .during(format_args!("cannot make {path}"))?;
            }
            for (target, name) in LINKS {
                link(dev.as_fd(), target, name)?;
            }
        }
        // A privileged container is given all nodes of the host, but the multiplexer must be that of its own devpts.
        for device in self.linux.devices.iter().filter(|device| device.path != "/dev/ptmx") {
            self.make_device(root, device)
                .during(format_args!("cannot make the device {:?}", device.path))?;
        }
        Ok(())
    }

    fn make_device(&self, root: &InRoot, device: &Device) -> Step<()> {
        let kind = match device.kind.as_str() {
            "c" | "u" => FileType::CharacterDevice,
            "b" => FileType::BlockDevice,
            "p" => FileType::Fifo,
            other => return Err(Failure(format!("invalid type {other:?}"))),
        };
        let path = Path::new(&device.path);
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Failure("invalid path".into()));
        };
        let parent = root.mkdir_all(parent, Mode::from_raw_mode(0o755)).during("create directory")?;
        let node = Node {
            kind,
            major: device.major,
            minor: device.minor,
            mode: device.file_mode.unwrap_or(0o666) & 0o7777,
            uid: device.uid.unwrap_or(0),
            gid: device.gid.unwrap_or(0),
        };
        self.make_node(parent.as_fd(), name, &node)
    }

    fn make_node(&self, parent: BorrowedFd<'_>, name: &OsStr, node: &Node) -> Step<()> {
        // No node can be made in a user namespace: the host's own is put in its place.
        if self.namespaces.has(namespace::USER) && node.kind != FileType::Fifo {
            return bind_host_node(parent, name);
        }
        let device = rustix::fs::makedev(node.major as u32, node.minor as u32);
        match rustix::fs::mknodat(parent, name, node.kind, Mode::from_raw_mode(node.mode), device) {
            Ok(()) => {}
            Err(Errno::EXIST) => return same_node(parent, name, node, device),
            Err(error) => return Err(error).during("mknod"),
        }
        if (node.uid, node.gid) != (0, 0) {
            let owner = (Some(Uid::from_raw(node.uid)), Some(Gid::from_raw(node.gid)));
            rustix::fs::chownat(parent, name, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW).during("chown")?;
        }
        Ok(())
    }
}

struct Node {
    kind: FileType,
    major: i64,
    minor: i64,
    mode: u32,
    uid: u32,
    gid: u32,
}

/// An image may bring its own `/dev/null`; it has to be one.
fn same_node(parent: BorrowedFd<'_>, name: &OsStr, node: &Node, device: u64) -> Step<()> {
    let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).during("stat")?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    if kind == node.kind && (node.kind == FileType::Fifo || stat.st_rdev == device) {
        return Ok(());
    }
    Err(Failure("something else is there".into()))
}

fn bind_host_node(parent: BorrowedFd<'_>, name: &OsStr) -> Step<()> {
    let host = Path::new("/dev").join(name);
    let tree = mount::clone_tree(&host, false).during(host.display())?;
    let place = open_or_create(parent, name).during("create mountpoint")?;
    mount::attach(tree, place).during("mount")
}

fn open_or_create(parent: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    use rustix::fs::OFlags;
    let create = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(parent, name, create, Mode::from_raw_mode(0o644)) {
        Ok(_) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error),
    }
    rustix::fs::openat(parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// A symbolic link; one that is there and says the same is as good. `ptmx` must not be a node: that would be the
/// multiplexer of whatever devpts its directory belongs to.
fn link(dev: BorrowedFd<'_>, target: &str, name: &str) -> Step<()> {
    let what = format!("cannot link /dev/{name}");
    match rustix::fs::symlinkat(target, dev, name) {
        Ok(()) => return Ok(()),
        Err(Errno::EXIST) => {}
        Err(error) => return Err(error).during(what),
    }
    if rustix::fs::readlinkat(dev, name, Vec::new()).is_ok_and(|now| now.as_bytes() == target.as_bytes()) {
        return Ok(());
    }
    if name != "ptmx" {
        return Ok(());
    }
    let replace = || -> rustix::io::Result<()> {
        rustix::fs::unlinkat(dev, name, AtFlags::empty())?;
        rustix::fs::symlinkat(target, dev, name)
    };
    replace().during(what)
}

/// Makes the process's terminal `/dev/console` too: a mount of the terminal's own descriptor, not of a path.
pub(super) fn bind_console(root: &InRoot, peer: &OwnedFd) -> Step<()> {
    let what = "cannot make /dev/console";
    let place = root.ensure_file("/dev/console", Mode::from_raw_mode(0o666)).during(what)?;
    let tree = mount::clone_tree_at(peer, false).during(what)?;
    mount::attach(tree, place).during(what)
}
