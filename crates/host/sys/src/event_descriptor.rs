//! Descriptors that become readable when something happens.

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

/// A counter that others add to; non-blocking.
pub fn counter() -> io::Result<OwnedFd> {
    Ok(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

/// Becomes readable when the file is written; non-blocking.
pub fn watch_file(path: &Path) -> io::Result<OwnedFd> {
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    inotify::add_watch(&watch, path, inotify::WatchFlags::MODIFY)?;
    Ok(watch)
}

/// Takes what is there to be read, so that the next happening is seen.
pub fn drain(fd: BorrowedFd<'_>) {
    let mut buffer = [0_u8; 4096];
    while rustix::io::read(fd, &mut buffer).is_ok_and(|length| length > 0) {}
}

/// Waits until one of these is readable or the time is over; which are.
pub fn wait(fds: &[BorrowedFd<'_>], milliseconds: u64) -> io::Result<Vec<bool>> {
    let mut polled: Vec<PollFd<'_>> = fds.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    let limit = Timespec {
        tv_sec: (milliseconds / 1000) as i64,
        tv_nsec: ((milliseconds % 1000) * 1_000_000) as i64,
    };
    match poll(&mut polled, Some(&limit)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {
            Ok(polled.iter().map(|fd| !fd.revents().is_empty()).collect())
        }
        Err(error) => Err(error.into()),
    }
}
