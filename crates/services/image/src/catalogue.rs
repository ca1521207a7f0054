//! The rows, and what of them is kept in memory: resolving a name is on the way of every `run` and touches no disk.

use crate::cached::Cached;
use crate::error::Result;
use hull_content::Content;
use hull_store::{Durability, Store, Table};
use hull_types::oci::image::{Descriptor, ImageConfig};
use hull_types::{ChainId, Digest, ImageRef, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

/// The largest configuration that is read, in bytes.
pub(crate) const CONFIG_LIMIT: u64 = 8 << 20;

/// A row of the table `references`, under the full name with its tag or digest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ReferenceRow {
    /// What the registry said that the name stands for: an index or a manifest.
    pub(crate) target: Descriptor,
    /// The manifest chosen for the platform.
    pub(crate) manifest: Descriptor,
    /// The image's id.
    pub(crate) image: Digest,
}

/// A row of the table `images`, under the image's id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ImageRow {
    /// The configuration's size in bytes.
    pub(crate) config_size: u64,
    /// Every blob that the image needs, its configuration, manifests and layers among them.
    pub(crate) blobs: BTreeSet<Digest>,
    /// Its layers, the lowest first.
    pub(crate) layers: Vec<LayerRow>,
    /// When a tag was last set by hand.
    #[serde(default)]
    pub(crate) last_tagged: Timestamp,
    /// It was removed while a container stood on it, and goes with the last that does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) removed: bool,
}

/// One layer of an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LayerRow {
    /// The layer with everything below it.
    pub(crate) chain: ChainId,
    /// Its own size, uncompressed.
    pub(crate) size: u64,
}

/// An image in memory.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) id: Digest,
    pub(crate) row: ImageRow,
    pub(crate) config: ImageConfig,
}

impl Record {
    pub(crate) fn size(&self) -> u64 {
        self.row.layers.iter().map(|layer| layer.size).sum()
    }
    pub(crate) fn top(&self) -> Option<&ChainId> {
        self.row.layers.last().map(|layer| &layer.chain)
    }
    /// Nanoseconds since the epoch; an image that does not say is as old as can be.
    pub(crate) fn created(&self) -> i128 {
        self.config.created.unwrap_or_default().unix_nanoseconds()
    }
}

/// Everything that is known.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) images: BTreeMap<Digest, Arc<Record>>,
    pub(crate) references: BTreeMap<ImageRef, ReferenceRow>,
    /// Images that were removed and that containers still stand on: no images to anyone but these.
    pub(crate) removed: BTreeMap<Digest, Arc<Record>>,
    // Rows whose configuration cannot be read: no images to anyone, but what they name is theirs.
    unreadable: BTreeMap<Digest, (ImageRow, String)>,
    /// Rows of which not even that is known, with what is wrong: while there is one, nothing goes.
    pub(crate) damaged: BTreeMap<String, String>,
    cached: Cached,
}

impl State {
    fn insert(&mut self, record: Arc<Record>) {
        let (to, from) = match record.row.removed {
            true => (&mut self.removed, &mut self.images),
            false => (&mut self.images, &mut self.removed),
        };
        from.remove(&record.id);
        to.insert(record.id.clone(), record);
    }
    /// The names of an image, in order.
    pub(crate) fn names_of(&self, image: &Digest) -> Vec<ImageRef> {
        self.references.iter().filter(|(_, row)| row.image == *image).map(|(name, _)| name.clone()).collect()
    }
    /// The image, also where it was removed and a container stands on it.
    pub(crate) fn kept(&self, image: &Digest) -> Option<&Arc<Record>> {
        self.images.get(image).or_else(|| self.removed.get(image))
    }
    /// The blobs that something refers to. `None`: not known, so nothing may go.
    pub(crate) fn blobs(&self) -> Option<HashSet<Digest>> {
        if !self.damaged.is_empty() {
            return None;
        }
        let mut blobs: HashSet<Digest> = self.rows().flat_map(|row| row.blobs.iter().cloned()).collect();
        for row in self.references.values() {
            blobs.insert(row.target.digest.clone());
            blobs.insert(row.manifest.digest.clone());
        }
        blobs.extend(self.cached.blobs());
        Some(blobs)
    }
    /// The layers that some image has. `None`: not known, so none may go.
    pub(crate) fn chains(&self) -> Option<HashSet<ChainId>> {
        let layers = || self.rows().flat_map(|row| row.layers.iter().map(|layer| layer.chain.clone()));
        self.damaged.is_empty().then(|| layers().chain(self.cached.chains()).collect())
    }
    /// Images whose configuration cannot be read, and why.
    pub(crate) fn unreadable(&self) -> impl Iterator<Item = (&Digest, &String)> {
        self.unreadable.iter().map(|(id, (_, cause))| (id, cause))
    }
    fn rows(&self) -> impl Iterator<Item = &ImageRow> {
        let records = self.images.values().chain(self.removed.values());
        records.map(|record| &record.row).chain(self.unreadable.values().map(|(row, _)| row))
    }
}

/// What one commit changes.
#[derive(Default)]
pub(crate) struct Change {
    pub(crate) put_image: Option<Arc<Record>>,
    pub(crate) remove_image: Option<Digest>,
    pub(crate) put_references: Vec<(ImageRef, ReferenceRow)>,
    pub(crate) remove_references: Vec<ImageRef>,
}

pub(crate) struct Catalogue {
    store: Store,
    images: Table<ImageRow>,
    references: Table<ReferenceRow>,
    state: RwLock<State>,
    writer: Mutex<()>,
}

/// The right to change the catalogue: what was read under it stays true until it is dropped.
pub(crate) struct Writer<'a> {
    catalogue: &'a Catalogue,
    _guard: MutexGuard<'a, ()>,
}

impl Catalogue {
    pub(crate) fn open(store: Store, content: &Content, cached: Cached) -> Result<Self> {
        let (images, references) = (store.table("images"), store.table("references"));
        let mut state = State { cached, ..State::default() };
        load_images(&images, content, &mut state)?;
        load_references(&references, &mut state)?;
        Ok(Self { store, images, references, state: RwLock::new(state), writer: Mutex::default() })
    }
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
    pub(crate) fn write(&self) -> Writer<'_> {
        let guard = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        Writer { catalogue: self, _guard: guard }
    }
}

impl Writer<'_> {
    /// Commits, then lets readers see.
    pub(crate) fn commit(&self, change: Change, durability: Durability) -> Result<()> {
        let all = self.catalogue;
        all.store.transaction(durability, |tx| {
            if let Some(record) = &change.put_image {
                tx.put(&all.images, record.id.as_str(), &record.row)?;
            }
            if let Some(id) = &change.remove_image {
                tx.remove(&all.images, id.as_str())?;
            }
            for name in &change.remove_references {
                tx.remove(&all.references, &name.to_string())?;
            }
            for (name, row) in &change.put_references {
                tx.put(&all.references, &name.to_string(), row)?;
            }
            Ok(())
        })?;
        self.show(change);
        Ok(())
    }
    fn show(&self, change: Change) {
        let mut state = self.catalogue.state.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(record) = change.put_image {
            state.unreadable.remove(&record.id);
            state.insert(record);
        }
        if let Some(id) = change.remove_image {
            state.images.remove(&id);
            state.removed.remove(&id);
        }
        for name in change.remove_references {
            state.references.remove(&name);
        }
        state.references.extend(change.put_references);
    }
}

fn load_images(table: &Table<ImageRow>, content: &Content, state: &mut State) -> Result<()> {
    for (key, row) in table.list()? {
        let (Ok(id), Ok(row)) = (key.parse::<Digest>(), &row) else {
            damaged(state, "images", key, row.err());
            continue;
        };
        let row = row.clone();
        match read_config(content, &id) {
            Ok(config) => {
                state.insert(Arc::new(Record { id, row, config }));
            }
            Err(cause) => {
                tracing::error!(image = %id, %cause, "an image's configuration cannot be read; pull the image again");
                state.unreadable.insert(id, (row, cause));
            }
        }
    }
    Ok(())
}

fn read_config(content: &Content, id: &Digest) -> Result<ImageConfig, String> {
    let bytes = content.read(id, CONFIG_LIMIT).map_err(|error| error.to_string())?;
    serde_json::from_slice(&bytes).map_err(|error| error.to_string())
}

fn load_references(table: &Table<ReferenceRow>, state: &mut State) -> Result<()> {
    for (key, row) in table.list()? {
        let (Ok(name), Ok(row)) = (key.parse::<ImageRef>(), &row) else {
            damaged(state, "references", key, row.err());
            continue;
        };
        let row = row.clone();
        if state.images.contains_key(&row.image) {
            state.references.insert(name, row);
        } else {
            tracing::error!(reference = %name, image = %row.image, "a name stands for an image that cannot be read");
        }
    }
    Ok(())
}

fn damaged(state: &mut State, table: &str, key: String, error: Option<hull_store::Damaged>) {
    let reason = error.map_or_else(|| "its key is none of that table".to_owned(), |error| error.reason);
    tracing::error!(row = %key, table, %reason, "a row is damaged; it is kept, and no layer or blob is removed while it is there");
    state.damaged.insert(format!("{table}/{key}"), reason);
}
