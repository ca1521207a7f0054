//! What is remembered of blobs beyond this store: which repositories have them, and what a layer made here became
//! when it was compressed for a push. The next push asks the registry for them instead of sending them.
//!
//! Rows are hints: each is verified by the registry when it is used, and losing one costs a transfer.

use crate::error::Result;
use hull_store::{Durability, Store, Table};
use hull_types::oci::image::Descriptor;
use hull_types::{Digest, ImageRef};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashSet};

/// More repositories than these are not remembered for a blob.
const MOST: usize = 16;

/// A row of the table `sources`, under a blob's digest.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Source {
    /// `domain/path` of repositories that have the blob.
    repositories: BTreeSet<String>,
}

pub(crate) struct Sources {
    store: Store,
    sources: Table<Source>,
    // Under a layer's diff id: the descriptor of its compressed form.
    compressed: Table<Descriptor>,
}

impl Sources {
    pub(crate) fn open(store: Store) -> Self {
        let (sources, compressed) = (store.table("sources"), store.table("compressed"));
        Self { store, sources, compressed }
    }
    /// Remembers that this repository has these blobs.
    pub(crate) fn note(&self, repository: &ImageRef, blobs: &[&Digest]) -> Result<()> {
        let name = repository.repository();
        let mut new = Vec::new();
        for digest in blobs {
            let mut row = self.sources.get(digest.as_str()).ok().flatten().unwrap_or_default();
            if row.repositories.len() < MOST && row.repositories.insert(name.clone()) {
                new.push((digest.as_str(), row));
            }
        }
        if new.is_empty() {
            return Ok(());
        }
        self.store.transaction(Durability::Process, |tx| {
            for (digest, row) in &new {
                tx.put(&self.sources, digest, row)?;
            }
            Ok(())
        })?;
        Ok(())
    }
    /// Whether some registry is known to have the blob.
    pub(crate) fn any(&self, digest: &Digest) -> bool {
        self.sources.get(digest.as_str()).is_ok_and(|row| row.is_some())
    }
    /// The paths of repositories at `domain` that have the blob.
    pub(crate) fn at(&self, domain: &str, digest: &Digest) -> Vec<String> {
        let row = self.sources.get(digest.as_str()).ok().flatten().unwrap_or_default();
        let inside = |name: &String| name.strip_prefix(domain)?.strip_prefix('/').map(str::to_owned);
        row.repositories.iter().filter_map(inside).collect()
    }
    /// What the layer became when it was compressed.
    pub(crate) fn compressed(&self, diff_id: &Digest) -> Option<Descriptor> {
        self.compressed.get(diff_id.as_str()).ok().flatten()
    }
    /// Remembers what a layer became when it was compressed.
    pub(crate) fn note_compressed(&self, diff_id: &Digest, descriptor: &Descriptor) -> Result<()> {
        self.store
            .transaction(Durability::Process, |tx| tx.put(&self.compressed, diff_id.as_str(), descriptor))?;
        Ok(())
    }
    /// Forgets what concerns no blob among `needed`.
    pub(crate) fn sweep(&self, needed: &HashSet<Digest>) -> Result<()> {
        let known = |key: &String| key.parse::<Digest>().is_ok_and(|digest| needed.contains(&digest));
        let compressed = self.compressed.list()?;
        let (kept, gone): (Vec<_>, Vec<_>) = compressed.into_iter().partition(|(key, _)| known(key));
        let made: HashSet<String> =
            kept.into_iter().filter_map(|(_, row)| Some(row.ok()?.digest.to_string())).collect();
        let stale = self.sources.keys()?.into_iter().filter(|key| !known(key) && !made.contains(key));
        let stale: Vec<String> = stale.collect();
        if gone.is_empty() && stale.is_empty() {
            return Ok(());
        }
        self.store.transaction(Durability::Process, |tx| {
            for (key, _) in &gone {
                tx.remove(&self.compressed, key)?;
            }
            for key in &stale {
                tx.remove(&self.sources, key)?;
            }
            Ok(())
        })?;
        Ok(())
    }
}
