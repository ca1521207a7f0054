//! A plain fork, for programs under a filter that refuses `clone3` (Docker's default seccomp profile does).

use std::io;

/// Which side of a [`fork`] this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The new process.
    Child,
    /// The old one, with the child's process id.
    Parent(i32),
}

/// Makes a copy of this process.
///
/// The caller has one thread: a copy of a process with more would hold locks that nobody opens again. Refused with
/// [`io::ErrorKind::Unsupported`] otherwise.
pub fn fork() -> io::Result<Side> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "a process with several threads can't be copied",
        ));
    }
    // SAFETY: there is one thread (just counted), so the child's memory, with all locks in it, is consistent.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Side::Child),
        pid => Ok(Side::Parent(pid)),
    }
}
