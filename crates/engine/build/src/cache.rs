//! What steps came to: rows in the store, bounded by a hard limit of bytes.
//!
//! A row's key is the digest of a step's definition and of all that it takes in, the layers beneath it among that. So
//! whatever changes, changes the key, and a row is never wrong; the least recently used go when there are too many.

use crate::error::Result;
use hull_image::Cached;
use hull_store::{Durability, Store, Table};
use hull_types::{ChainId, DiffId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A layer that a step made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// The digest of its tar.
    pub diff_id: DiffId,
    /// With all beneath it.
    pub chain: ChainId,
    /// Size of its files.
    pub size: u64,
    /// Length of its tar.
    pub tar_size: u64,
}

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row {
    /// The layer; none for a step that changed no file.
    pub(crate) made: Option<Made>,
    /// The step's text, for people.
    pub(crate) text: String,
    pub(crate) created: Timestamp,
    pub(crate) used: Timestamp,
    #[serde(default)]
    pub(crate) uses: u64,
}

/// A cached step, as `df` lists it.
#[derive(Debug, Clone)]
pub struct CacheRecord {
    /// The key.
    pub id: String,
    /// The step.
    pub text: String,
    /// Bytes of its layer.
    pub size: u64,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last of use.
    pub used: Timestamp,
    /// How often it was.
    pub uses: u64,
}

/// The cache. Cheap to clone.
#[derive(Clone)]
pub struct Cache {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    table: Table<Row>,
    cached: Cached,
    limit: u64,
    rows: Mutex<HashMap<String, Row>>,
}

impl Cache {
    /// Loads the rows. Open it before the images, which keep its layers by [`Cache::cached`].
    pub fn open(store: Store, limit: u64) -> Result<Self> {
        let table: Table<Row> = store.table("build-cache");
        let cached = Cached::default();
        let mut rows = HashMap::new();
        for (key, row) in table.list()? {
            match row {
                Ok(row) => {
                    if let Some(made) = &row.made {
                        cached.keep(&made.chain, &made.diff_id.0);
                    }
                    rows.insert(key, row);
                }
                // A cache's row that can't be read is worth nothing: the step is done again.
                Err(_) => drop(table.remove(&key)?),
            }
        }
        let inner = Inner { store, table, cached, limit, rows: Mutex::new(rows) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The store that its rows are in.
    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The most bytes that are kept.
    pub fn limit(&self) -> u64 {
        self.inner.limit
    }

    /// The layers that are kept.
    pub fn cached(&self) -> Cached {
        self.inner.cached.clone()
    }

    /// What a step came to.
    pub(crate) fn get(&self, key: &str) -> Option<Row> {
        let mut rows = self.rows();
        let row = rows.get_mut(key)?;
        row.used = Timestamp::now();
        row.uses += 1;
        Some(row.clone())
    }

    /// Notes what a step came to; [`Cache::commit`] makes it last.
    pub(crate) fn put(&self, key: &str, made: Option<Made>, text: &str) {
        if let Some(made) = &made {
            self.inner.cached.keep(&made.chain, &made.diff_id.0);
        }
        let now = Timestamp::now();
        let row = Row { made, text: text.chars().take(400).collect(), created: now, used: now, uses: 0 };
        self.rows().insert(key.to_owned(), row);
    }

    /// Forgets a row whose layer turned out not to be there.
    pub(crate) fn forget(&self, key: &str) {
        self.rows().remove(key);
        let _ = self.inner.table.remove(key);
    }

    /// Writes the rows of a build that ended, all at once, and keeps to the limit. Whether layers were let go.
    pub(crate) fn commit(&self, keys: &HashSet<String>) -> Result<bool> {
        let rows: Vec<(String, Row)> = {
            let rows = self.rows();
            keys.iter().filter_map(|key| rows.get(key).map(|row| (key.clone(), row.clone()))).collect()
        };
        self.inner.store.transaction(Durability::Process, |tx| {
            rows.iter().try_for_each(|(key, row)| tx.put(&self.inner.table, key, row))
        })?;
        let total = self.size();
        if total <= self.inner.limit {
            return Ok(false);
        }
        self.drop_oldest(total - self.inner.limit, |_| true).map(|gone| !gone.is_empty())
    }

    /// Bytes of all layers that are kept.
    pub fn size(&self) -> u64 {
        let rows = self.rows();
        let layers: BTreeMap<&ChainId, u64> = rows
            .values()
            .filter_map(|row| row.made.as_ref())
            .map(|made| (&made.chain, made.tar_size))
            .collect();
        layers.values().sum()
    }

    /// The rows, the most recently used first.
    pub fn list(&self) -> Vec<CacheRecord> {
        let mut list: Vec<CacheRecord> = self.rows().iter().map(|(key, row)| record(key, row)).collect();
        list.sort_by_key(|record| std::cmp::Reverse(record.used.unix_nanoseconds()));
        list
    }

    /// Removes rows that `may_go` admits, the least recently used first, until at most `keep` bytes are left.
    pub fn prune(&self, keep: u64, may_go: impl Fn(&CacheRecord) -> bool) -> Result<Vec<CacheRecord>> {
        let excess = if keep == 0 { u64::MAX } else { self.size().saturating_sub(keep) };
        self.drop_oldest(excess, may_go)
    }

    fn drop_oldest(&self, excess: u64, may_go: impl Fn(&CacheRecord) -> bool) -> Result<Vec<CacheRecord>> {
        let mut candidates = self.list();
        candidates.reverse();
        let mut gone = Vec::new();
        let mut freed = 0u64;
        let mut rows = self.rows();
        for record in candidates {
            if freed >= excess {
                break;
            }
            if !may_go(&record) {
                continue;
            }
            let Some(row) = rows.remove(&record.id) else { continue };
            if let Some(made) = row.made {
                let others = rows.values().filter_map(|row| row.made.as_ref());
                if !others.into_iter().any(|other| other.chain == made.chain) {
                    self.inner.cached.forget(&made.chain);
                    freed += made.tar_size;
                }
            }
            gone.push(record);
        }
        drop(rows);
        self.inner.store.transaction(Durability::Process, |tx| {
            gone.iter().try_for_each(|record| tx.remove(&self.inner.table, &record.id).map(drop))
        })?;
        Ok(gone)
    }

    fn rows(&self) -> MutexGuard<'_, HashMap<String, Row>> {
        self.inner.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn record(key: &str, row: &Row) -> CacheRecord {
    CacheRecord {
        id: key.to_owned(),
        text: row.text.clone(),
        size: row.made.as_ref().map_or(0, |made| made.tar_size),
        created: row.created,
        used: row.used,
        uses: row.uses,
    }
}
