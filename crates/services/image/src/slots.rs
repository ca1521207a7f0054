//! How many transfers may be under way at once: a number that the operator may change.

use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

#[derive(Debug)]
pub(crate) struct Slots {
    semaphore: Arc<Semaphore>,
    size: Mutex<usize>,
}

impl Slots {
    /// So many, but one at least.
    pub(crate) fn new(size: usize) -> Self {
        let size = size.max(1);
        Self { semaphore: Arc::new(Semaphore::new(size)), size: Mutex::new(size) }
    }

    pub(crate) fn semaphore(&self) -> &Semaphore {
        &self.semaphore
    }

    /// Makes them so many. Slots that are too many go when they are free; who asks later waits for that.
    pub(crate) fn resize(&self, wanted: usize) {
        let wanted = wanted.max(1);
        let mut size = self.size.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted > *size {
            self.semaphore.add_permits(wanted - *size);
        } else {
            let taken = *size - wanted - self.semaphore.forget_permits(*size - wanted);
            if taken > 0 {
                let semaphore = self.semaphore.clone();
                tokio::spawn(async move {
                    // It is never closed.
                    if let Ok(slots) = semaphore.acquire_many_owned(taken as u32).await {
                        slots.forget();
                    }
                });
            }
        }
        *size = wanted;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn slots_come_at_once_and_go_when_they_are_free() {
        let slots = Slots::new(0);
        assert_eq!(slots.semaphore().available_permits(), 1, "nothing could move without one");
        slots.resize(4);
        let held: Vec<_> = (0..4).map(|_| slots.semaphore().try_acquire().unwrap()).collect();
        slots.resize(2);
        drop(held);
        tokio::task::yield_now().await;
        let (_one, _two) =
            (slots.semaphore().try_acquire().unwrap(), slots.semaphore().try_acquire().unwrap());
        assert!(slots.semaphore().try_acquire().is_err());
        slots.resize(3);
        assert!(slots.semaphore().try_acquire().is_ok());
    }
}
