//! Sockets handed over by a service manager (sd_listen_fds(3)).

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

const FIRST: RawFd = 3;

/// A socket that listens already.
#[derive(Debug)]
pub struct InheritedSocket {
    /// The descriptor, closed on exec.
    pub fd: OwnedFd,
    /// Its name in `LISTEN_FDNAMES`; empty where it has none.
    pub name: String,
    /// Its number when it was handed over.
    pub number: RawFd,
    /// Whether it is a unix socket; otherwise it is TCP.
    pub is_unix: bool,
}

/// The sockets handed over to this process, by `LISTEN_PID`, `LISTEN_FDS` and `LISTEN_FDNAMES`. What is returned are
/// duplicates: the descriptors that were handed over stay open, closed on exec.
pub fn inherited_sockets() -> io::Result<Vec<InheritedSocket>> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    if number("LISTEN_PID") != Some(std::process::id()) {
        return Ok(Vec::new());
    }
    let count = RawFd::try_from(number("LISTEN_FDS").unwrap_or(0)).unwrap_or(0).min(64);
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':').map(str::to_owned);
    (FIRST..FIRST + count)
        .map(|number| {
            // SAFETY: the service manager opened this descriptor for this process; it is borrowed for two calls, which
            // fail on a number that is not open, and never closed here.
            let given = unsafe { BorrowedFd::borrow_raw(number) };
            rustix::io::fcntl_setfd(given, rustix::io::FdFlags::CLOEXEC)?;
            let fd = given.try_clone_to_owned()?;
            let is_unix = rustix::net::getsockname(&fd)?.address_family() == rustix::net::AddressFamily::UNIX;
            Ok(InheritedSocket { fd, name: names.next().unwrap_or_default(), number, is_unix })
        })
        .collect()
}
