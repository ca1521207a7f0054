//! What may not be collected although nothing refers to it yet.

use hull_types::Digest;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Default)]
pub(crate) struct Leases {
    live: Mutex<Live>,
}

#[derive(Default)]
pub(crate) struct Live {
    next: u64,
    held: HashMap<u64, HashSet<Digest>>,
}

impl Live {
    pub(crate) fn holds(&self, digest: &Digest) -> bool {
        self.held.values().any(|held| held.contains(digest))
    }
}

impl Leases {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
    // A blob that comes in belongs to every lease that is live: which of them it is for is not known, and holding
    // a blob a little too long costs nothing.
    pub(crate) fn record<T, E>(&self, digest: &Digest, act: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let mut live = self.lock();
        let done = act()?;
        for held in live.held.values_mut() {
            held.insert(digest.clone());
        }
        Ok(done)
    }
}

/// While it lives, blobs that come in, and those named to [`Lease::protect`], are not collected.
pub struct Lease {
    leases: Arc<Leases>,
    number: u64,
}

impl Lease {
    pub(crate) fn take(leases: &Arc<Leases>) -> Self {
        let mut live = leases.lock();
        live.next += 1;
        let number = live.next;
        live.held.insert(number, HashSet::new());
        drop(live);
        Self { leases: leases.clone(), number }
    }
    /// Holds a blob that may be there already. Ask for it *after* this call: a collection that was under way is
    /// over then.
    pub fn protect(&self, digest: &Digest) {
        if let Some(held) = self.leases.lock().held.get_mut(&self.number) {
            held.insert(digest.clone());
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.leases.lock().held.remove(&self.number);
    }
}
