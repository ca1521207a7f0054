//! Network namespaces as file descriptors.
//!
//! A thread belongs to one network namespace, and what it does to sockets and /proc/sys/net happens there. So
//! that no thread of the caller's is ever left in the wrong one, an act in another namespace has a thread of
//! its own, which ends with it; or, in a process that must not have a second one, ends the process should the thread
//! not come back.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::thread::{LinkNameSpaceType, UnshareFlags};

/// The network namespace of the calling thread.
pub fn current() -> io::Result<OwnedFd> {
    File::open("/proc/thread-self/ns/net").map(OwnedFd::from)
}

/// The network namespace of a process.
pub fn of_process(pid: i32) -> io::Result<OwnedFd> {
    File::open(format!("/proc/{pid}/ns/net")).map(OwnedFd::from)
}

/// Makes a network namespace and runs `prepare` inside it, on a thread of its own. The namespace lives by the
/// returned descriptor, the processes in it and the descriptors bound to it.
pub fn create<T: Send>(prepare: impl FnOnce() -> io::Result<T> + Send) -> io::Result<(OwnedFd, T)> {
    on_own_thread(|| {
        // SAFETY: CLONE_NEWNET does not touch the descriptor table, which is what unshare_unsafe warns of; the
        // thread ends after `prepare`.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }?;
        let fd = current()?;
        Ok((fd, prepare()?))
    })
}

/// Runs `act` inside a network namespace, on a thread of its own.
pub fn within<T: Send>(netns: BorrowedFd<'_>, act: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    on_own_thread(|| {
        rustix::thread::move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))?;
        act()
    })
}

/// Runs `act` inside a network namespace, on the calling thread.
pub fn visit<T>(netns: BorrowedFd<'_>, act: impl FnOnce() -> T) -> io::Result<T> {
    let home = Home(current()?);
    rustix::thread::move_into_link_name_space(netns, Some(LinkNameSpaceType::Network))?;
    let result = act();
    drop(home);
    Ok(result)
}

/// Where the thread is at the end, whatever happens.
struct Home(OwnedFd);

impl Drop for Home {
    fn drop(&mut self) {
        let back =
            rustix::thread::move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network));
        if back.is_err() {
            std::process::abort();
        }
    }
}

fn on_own_thread<T: Send>(act: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("netns".into()).stack_size(256 << 10);
        match thread.spawn_scoped(scope, act)?.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
