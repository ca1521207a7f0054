//! Layers that no image has and that are kept all the same: a build cache's.

use hull_types::{ChainId, Digest};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The table of cached layers, each with the blob of its tar. Its owner fills it before the images are opened, and
/// keeps it true from then on. Clones are the same table.
#[derive(Clone, Default)]
pub struct Cached {
    table: Arc<Mutex<HashMap<ChainId, Digest>>>,
}

impl Cached {
    /// The layer is kept.
    pub fn keep(&self, chain: &ChainId, blob: &Digest) {
        self.lock().insert(chain.clone(), blob.clone());
    }
    /// The layer is not kept any more; [`crate::Images::forget_cached`] removes it where nobody else needs it.
    pub fn forget(&self, chain: &ChainId) {
        self.lock().remove(chain);
    }
    pub(crate) fn chains(&self) -> HashSet<ChainId> {
        self.lock().keys().cloned().collect()
    }
    pub(crate) fn blobs(&self) -> HashSet<Digest> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ChainId, Digest>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Cached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cached").field("layers", &self.lock().len()).finish()
    }
}
