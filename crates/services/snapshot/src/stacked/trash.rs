//! `tmp`: where things are made before they are renamed into place, and renamed to before they are removed.

use super::{failed, private_directory};
use crate::{Error, Result};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

enum Job {
    Remove(String),
    Run(Box<dyn FnOnce() + Send>),
}

#[derive(Debug)]
pub(super) struct Trash {
    path: PathBuf,
    next: AtomicU64,
    // None once the thread is told to end.
    sender: Mutex<Option<Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Trash {
    /// Opens `tmp`; what is in it is of an earlier process and goes.
    pub fn open(path: PathBuf) -> Result<Self> {
        let opened = |source| Error::Open { path: path.clone(), source };
        private_directory(&path).map_err(opened)?;
        let (sender, receiver) = channel::<Job>();
        let directory = OwnedFd::from(std::fs::File::open(&path).map_err(opened)?);
        let mut next = 0;
        for entry in std::fs::read_dir(&path).map_err(opened)? {
            let Ok(name) = entry.map_err(opened)?.file_name().into_string() else { continue };
            next = next.max(name.parse::<u64>().map_or(0, |number| number + 1));
            let _ = sender.send(Job::Remove(name));
        }
        let thread = std::thread::Builder::new().name("snapshot-trash".into()).spawn(move || {
            for job in receiver {
                let name = match job {
                    Job::Remove(name) => name,
                    Job::Run(act) => {
                        act();
                        continue;
                    }
                };
                if let Err(error) = hull_archive::remove_tree(directory.as_fd(), name.as_bytes()) {
                    tracing::warn!(
                        "cannot remove a snapshot's files in tmp/{name}, left for the next start: {error}"
                    );
                }
            }
        });
        let thread = Mutex::new(Some(thread.map_err(opened)?));
        Ok(Self { path, next: AtomicU64::new(next), sender: Mutex::new(Some(sender)), thread })
    }

    /// A path in `tmp` that nothing has.
    pub fn fresh(&self) -> PathBuf {
        self.path.join(self.next.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// Takes what is at `path` out of sight at once; its files go in the background.
    pub fn discard(&self, path: &Path) -> Result<()> {
        let aside = self.fresh();
        rustix::fs::rename(path, &aside).map_err(failed("remove", path))?;
        self.forget(&aside);
        Ok(())
    }

    /// Removes something in `tmp` in the background.
    pub fn forget(&self, path: &Path) {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return };
        self.send(Job::Remove(name.to_owned()));
    }

    /// Does something in the background, after what was asked before.
    pub fn later(&self, act: impl FnOnce() + Send + 'static) {
        self.send(Job::Run(Box::new(act)));
    }

    fn send(&self, job: Job) {
        let sender = self.sender.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(sender) = &*sender {
            let _ = sender.send(job);
        }
    }
}

impl Drop for Trash {
    fn drop(&mut self) {
        self.sender.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        let thread = self.thread.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}
