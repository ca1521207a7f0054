//! What concurrent pulls and removals share: who works on what, and what must not go meanwhile.

use hull_types::ChainId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// One lock a name: two pulls of one blob or layer do the work once, and so do two builds of one step.
#[derive(Default)]
pub struct Keyed {
    locks: Mutex<HashMap<String, Weak<AsyncMutex<()>>>>,
}

impl Keyed {
    /// Waits for the name's lock.
    pub async fn lock(&self, key: &str) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            match locks.get(key).and_then(Weak::upgrade) {
                Some(lock) => lock,
                None => {
                    locks.retain(|_, lock| lock.strong_count() > 0);
                    let lock = Arc::new(AsyncMutex::new(()));
                    locks.insert(key.into(), Arc::downgrade(&lock));
                    lock
                }
            }
        };
        lock.lock_owned().await
    }
}

/// Layers that pulls under way count on although no image has them yet.
#[derive(Clone, Default)]
pub(crate) struct Holds {
    held: Arc<Mutex<HashMap<ChainId, usize>>>,
}

impl Holds {
    pub(crate) fn lock(&self) -> MutexGuard<'_, HashMap<ChainId, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Holds the layers. Ask whether they are there *after* this call.
    pub(crate) fn hold(&self, chains: Vec<ChainId>) -> Hold {
        let mut held = self.lock();
        for chain in &chains {
            *held.entry(chain.clone()).or_default() += 1;
        }
        drop(held);
        Hold { holds: self.clone(), chains }
    }
}

/// Lets go when dropped.
pub(crate) struct Hold {
    holds: Holds,
    chains: Vec<ChainId>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = self.holds.lock();
        for chain in &self.chains {
            if let Some(count) = held.get_mut(chain) {
                *count -= 1;
                if *count == 0 {
                    held.remove(chain);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hull_types::Digest;

    #[test]
    fn a_hold_counts() {
        let holds = Holds::default();
        let chain = ChainId(Digest::sha256(&[1; 32]));
        let (first, second) = (holds.hold(vec![chain.clone()]), holds.hold(vec![chain.clone()]));
        drop(first);
        assert!(holds.lock().contains_key(&chain));
        drop(second);
        assert!(holds.lock().is_empty());
    }
}
