//! Waiting for more to be written, or for word that no more will be.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::fs::inotify;

const RUNNING: u8 = 0;
const STOPPED: u8 = 1;
const CANCELLED: u8 = 2;

/// Tells a follower that nothing more will be written, or nothing more is wanted. Clones tell the same follower.
#[derive(Debug, Clone)]
pub struct Stopper {
    inner: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    wake: OwnedFd,
    state: AtomicU8,
}

impl Stopper {
    /// A stopper for one [`crate::Records`].
    pub fn new() -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { inner: Arc::new(Shared { wake, state: AtomicU8::new(RUNNING) }) })
    }

    /// The container stopped: the follower reads what there is, and ends.
    pub fn stopped(&self) {
        self.set(STOPPED);
    }

    /// The client left: the follower ends at once.
    pub fn cancel(&self) {
        self.set(CANCELLED);
    }

    fn set(&self, state: u8) {
        self.inner.state.fetch_max(state, Ordering::SeqCst);
        // Fails only when the counter is full, and then it is readable as well.
        let _ = rustix::io::write(&self.inner.wake, &1u64.to_ne_bytes());
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.inner.state.load(Ordering::SeqCst) != RUNNING
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.inner.state.load(Ordering::SeqCst) == CANCELLED
    }
}

/// The watch on the folder of a log: its writer creates, renames and appends there.
#[derive(Debug)]
pub(crate) struct Watch {
    changes: OwnedFd,
    // Readable when there were changes or the stopper was told something.
    either: OwnedFd,
    // Keeps the stopper's descriptor open for as long as it is polled.
    _stopper: Stopper,
}

impl Watch {
    pub(crate) fn new(log: &Path, stopper: Stopper) -> io::Result<Self> {
        let changes = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        let kinds = inotify::WatchFlags::MODIFY
            | inotify::WatchFlags::CREATE
            | inotify::WatchFlags::MOVED_TO
            | inotify::WatchFlags::ONLYDIR;
        let folder = log.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        inotify::add_watch(&changes, folder, kinds)?;
        let either = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&either, &changes, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
        epoll::add(&either, &stopper.inner.wake, epoll::EventData::new_u64(1), epoll::EventFlags::IN)?;
        Ok(Self { changes, either, _stopper: stopper })
    }

    /// Takes note of all changes so far: what is read after this call sees them.
    pub(crate) fn clear(&self) -> io::Result<()> {
        let mut buffer = [MaybeUninit::<u8>::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.changes, &mut buffer);
        loop {
            match reader.next() {
                Ok(_) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits for a change or for word by the stopper; at most `limit`.
    pub(crate) fn wait(&self, limit: Option<Duration>) -> io::Result<()> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let timeout = limit.and_then(|limit| Timespec::try_from(limit).ok());
        let mut interest = [PollFd::new(&self.either, PollFlags::IN)];
        match poll(&mut interest, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.either.as_fd()
    }
}
