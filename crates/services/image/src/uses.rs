//! Which containers stand on which images: the container engine tells, removal asks.

use hull_types::Digest;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The table of containers and their images. Clones are the same table.
#[derive(Clone, Default)]
pub struct Uses {
    table: Arc<Mutex<BTreeMap<String, (Digest, bool)>>>,
}

impl Uses {
    /// The container stands on the image, and runs or not. Say so before its snapshot is prepared.
    pub fn set(&self, container: &str, image: &Digest, running: bool) {
        self.lock().insert(container.into(), (image.clone(), running));
    }
    /// The container is gone.
    pub fn clear(&self, container: &str) {
        self.lock().remove(container);
    }
    /// How many containers stand on the image, running or not.
    pub fn count(&self, image: &Digest) -> usize {
        self.lock().values().filter(|(used, _)| used == image).count()
    }
    /// The containers that stand on the image.
    pub fn of(&self, image: &Digest) -> Vec<String> {
        let table = self.lock();
        table.iter().filter(|(_, (used, _))| used == image).map(|(id, _)| id.clone()).collect()
    }
    /// Some container that stands on the image and runs (or does not).
    pub fn any(&self, image: &Digest, running: bool) -> Option<String> {
        let table = self.lock();
        table.iter().find(|(_, (used, runs))| used == image && *runs == running).map(|(id, _)| id.clone())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, (Digest, bool)>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
