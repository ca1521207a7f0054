//! Namespaces: made, joined and left by the calling process.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Mount namespace.
pub const MOUNT: u64 = libc::CLONE_NEWNS as u64;
/// Process id namespace.
pub const PID: u64 = libc::CLONE_NEWPID as u64;
/// Network namespace.
pub const NETWORK: u64 = libc::CLONE_NEWNET as u64;
/// Host and domain name namespace.
pub const UTS: u64 = libc::CLONE_NEWUTS as u64;
/// Inter-process communication namespace.
pub const IPC: u64 = libc::CLONE_NEWIPC as u64;
/// User namespace.
pub const USER: u64 = libc::CLONE_NEWUSER as u64;
/// Cgroup namespace.
pub const CGROUP: u64 = libc::CLONE_NEWCGROUP as u64;
/// Time namespace.
pub const TIME: u64 = 0x80;

/// The flag of a namespace type as the runtime specification names it.
pub fn flag(kind: &str) -> Option<u64> {
    Some(match kind {
        "mount" => MOUNT,
        "pid" => PID,
        "network" => NETWORK,
        "uts" => UTS,
        "ipc" => IPC,
        "user" => USER,
        "cgroup" => CGROUP,
        "time" => TIME,
        _ => return None,
    })
}

/// Joins the namespace of a `/proc/<pid>/ns/…` descriptor, or those of a pidfd's process that the flags name.
///
/// Joining a mount or user namespace needs a process with one thread. A joined pid namespace holds for children.
pub fn join(fd: impl AsFd, flags: u64) -> io::Result<()> {
    // SAFETY: takes numbers only.
    if unsafe { libc::setns(fd.as_fd().as_raw_fd(), flags as libc::c_int) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Leaves the named namespaces for new ones.
pub fn unshare(flags: u64) -> io::Result<()> {
    // SAFETY: takes a number only. No CLONE_FILES or CLONE_FS games: only namespace flags are given.
    if unsafe { libc::unshare(flags as libc::c_int) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
