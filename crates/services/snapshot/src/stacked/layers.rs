//! The layers: their directories, and what is known of them in memory.

use super::mounts::Mounts;
use super::trash::Trash;
use super::{Form, Written, failed, open_inside, private_directory};
use crate::hash::{Hashed, digest_of};
use crate::{Added, Error, Layer, Result};
use hull_types::{ChainId, DiffId};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// `layer.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    chain: ChainId,
    parent: Option<ChainId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    diff_id: Option<DiffId>,
    size: u64,
    entries: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    implied: Vec<PathBuf>,
}

impl Record {
    fn new(chain: ChainId, parent: Option<ChainId>, diff_id: Option<DiffId>, written: Written) -> Self {
        let Written { size, entries, implied } = written;
        Self { chain, parent, diff_id, size, entries, implied }
    }
}

type Known = HashMap<ChainId, Record>;

#[derive(Debug)]
pub(super) struct Layers<F> {
    path: PathBuf,
    trash: Arc<Trash>,
    mounts: Arc<Mounts>,
    known: Mutex<Known>,
    // Renaming into place waits for the disk, and nobody else should wait for that.
    placing: Mutex<()>,
    form: PhantomData<F>,
}

impl<F: Form> Layers<F> {
    pub fn open(path: PathBuf, trash: Arc<Trash>, mounts: Arc<Mounts>) -> Result<Self> {
        let opened = |source| Error::Open { path: path.clone(), source };
        private_directory(&path).map_err(opened)?;
        let mut known = Known::new();
        for entry in std::fs::read_dir(&path).map_err(opened)? {
            let file = entry.map_err(opened)?.path().join("layer.json");
            let read = File::open(&file).and_then(|open| Ok(serde_json::from_reader::<_, Record>(open)?));
            match read {
                Ok(record) if file.parent() == Some(&directory(&path, &record.chain)) => {
                    known.insert(record.chain.clone(), record);
                }
                // Kept: it may be read again by somebody who knows more.
                Ok(_) => tracing::warn!("{} is another layer's record", file.display()),
                Err(error) => tracing::warn!("cannot read the layer {}: {error}", file.display()),
            }
        }
        Ok(Self { path, trash, mounts, known: Mutex::new(known), placing: Mutex::new(()), form: PhantomData })
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn has(&self, chain: &ChainId) -> bool {
        self.lock().contains_key(chain)
    }

    pub fn list(&self) -> Vec<ChainId> {
        self.lock().keys().cloned().collect()
    }

    pub fn size(&self, chain: &ChainId) -> Result<u64> {
        self.lock().get(chain).map(|record| record.size).ok_or_else(|| Error::NoLayer(chain.clone()))
    }

    pub fn apply(
        &self,
        parent: Option<&ChainId>,
        chain: &ChainId,
        reader: &mut dyn Read,
        tar: Option<&File>,
    ) -> Result<Layer> {
        if let Ok(size) = self.size(chain) {
            // Whoever hashes what is read wants all of it.
            io::copy(reader, &mut io::sink()).map_err(|error| Error::Apply {
                layer: chain.0.to_string(),
                source: hull_archive::Error::Read(error),
            })?;
            return Ok(Layer { size });
        }
        self.aside(|aside| {
            let written = write::<F>(aside, chain.0.as_str(), reader, tar)?;
            self.finish(aside, Record::new(chain.clone(), parent.cloned(), None, written))
        })
    }

    pub fn add(&self, parent: Option<&ChainId>, reader: &mut dyn Read) -> Result<Added> {
        self.aside(|aside| {
            let mut hashed = Hashed::new(reader);
            let written = write::<F>(aside, "to be added", &mut hashed, None)?;
            let (digest, tar_size) = hashed.finish().map_err(|error| Error::Apply {
                layer: "to be added".into(),
                source: hull_archive::Error::Read(error),
            })?;
            let diff_id = DiffId(digest);
            let chain = match parent {
                None => ChainId(diff_id.0.clone()),
                Some(parent) => ChainId(digest_of(ChainId::text_of(parent, &diff_id).as_bytes())),
            };
            let record = Record::new(chain.clone(), parent.cloned(), Some(diff_id.clone()), written);
            let Layer { size } = self.finish(aside, record)?;
            Ok(Added { diff_id, chain, size, tar_size })
        })
    }

    // Does something with a directory in `tmp`, which goes if it fails.
    fn aside<T>(&self, act: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
        let aside = self.trash.fresh();
        let made = private_directory(&aside).map_err(failed("make", &aside)).and_then(|()| act(&aside));
        if made.is_err() {
            self.trash.forget(&aside);
        }
        made
    }

    fn finish(&self, aside: &Path, record: Record) -> Result<Layer> {
        write_record(aside, &record)?;
        F::sync(aside).map_err(failed("sync", aside))?;
        self.place(aside, record)
    }

    pub fn tar(&self, chain: &ChainId) -> Result<Option<File>> {
        self.size(chain)?;
        let layer = directory(&self.path, chain);
        F::tar(&layer).map_err(failed("open the tar of", &layer))
    }

    fn place(&self, aside: &Path, record: Record) -> Result<Layer> {
        let _one_at_a_time = self.placing.lock().unwrap_or_else(PoisonError::into_inner);
        // Another pull was faster: the same layer is there.
        if let Ok(size) = self.size(&record.chain) {
            self.trash.forget(aside);
            return Ok(Layer { size });
        }
        let place = directory(&self.path, &record.chain);
        match rustix::fs::rename(aside, &place) {
            // Something unreadable has its place; it was reported when it was found.
            Err(Errno::NOTEMPTY | Errno::EXIST) => {
                self.trash.discard(&place)?;
                rustix::fs::rename(aside, &place).map_err(failed("rename into place", &place))?;
            }
            result => result.map_err(failed("rename into place", &place))?,
        }
        let parent = File::open(&self.path).map_err(failed("open", &self.path))?;
        parent.sync_all().map_err(failed("sync", &self.path))?;
        let layer = Layer { size: record.size };
        self.lock().insert(record.chain.clone(), record);
        Ok(layer)
    }

    /// Acts on the directories of the layers up to `top`, the topmost first. No layer is removed meanwhile.
    pub fn with_stack<T>(
        &self,
        top: Option<&ChainId>,
        act: impl FnOnce(Vec<PathBuf>) -> Result<T>,
    ) -> Result<T> {
        let mut known = self.lock();
        let mut chains = Vec::new();
        let mut next = top.cloned();
        while let Some(chain) = next {
            let record = known.get(&chain).ok_or_else(|| Error::NoLayer(chain.clone()))?;
            next = record.parent.clone();
            chains.push(chain);
        }
        let layers: Vec<PathBuf> = chains.iter().map(|chain| directory(&self.path, chain)).collect();
        // From the bottom: a layer takes from what is settled.
        for (index, chain) in chains.iter().enumerate().rev() {
            if let Some(record) = known.get_mut(chain).filter(|record| !record.implied.is_empty()) {
                settle::<F>(record, &layers[index..])?;
            }
        }
        act(layers)
    }

    /// Removes a layer that no other and no snapshot stands on.
    pub fn remove(&self, chain: &ChainId, user: impl FnOnce() -> Option<String>) -> Result<()> {
        let mut known = self.lock();
        if !known.contains_key(chain) {
            return Err(Error::NoLayer(chain.clone()));
        }
        let above = known.values().find(|record| record.parent.as_ref() == Some(chain));
        if let Some(by) = above.map(|record| format!("layer {}", record.chain.0)).or_else(user) {
            return Err(Error::InUse { layer: chain.clone(), by });
        }
        let layer = directory(&self.path, chain);
        self.trash.discard(&layer)?;
        // Only now: before, its mount could be made anew.
        self.mounts.forget(&layer);
        known.remove(chain);
        Ok(())
    }
}

fn directory(layers: &Path, chain: &ChainId) -> PathBuf {
    layers.join(chain.0.hex())
}

fn write_record(layer: &Path, record: &Record) -> Result<()> {
    let (new, place) = (layer.join("layer.json.new"), layer.join("layer.json"));
    let text = serde_json::to_vec(record).map_err(failed("write", &new))?;
    let mut file = File::create(&new).map_err(failed("make", &new))?;
    file.write_all(&text).map_err(failed("write", &new))?;
    // Where it is replaced, what it says of has to be on the disk already.
    file.sync_all().map_err(failed("sync", &new))?;
    std::fs::rename(&new, &place).map_err(failed("rename into place", &place))
}

fn write<F: Form>(aside: &Path, layer: &str, reader: &mut dyn Read, tar: Option<&File>) -> Result<Written> {
    F::write(aside, reader, tar).map_err(|source| Error::Apply { layer: layer.into(), source })
}

// Directories that the layer only has as parents get the attributes of the directory that they cover.
// `layers` are the layer's own directory and those beneath.
fn settle<F: Form>(record: &mut Record, layers: &[PathBuf]) -> Result<()> {
    let Some((own, lowers)) = layers.split_first() else { return Ok(()) };
    let mut roots: Vec<OwnedFd> = Vec::new();
    let mut covered = Vec::new();
    for implied in &record.implied {
        for (index, lower) in lowers.iter().enumerate() {
            if roots.len() == index {
                roots.push(F::open(lower).map_err(failed("open", lower))?);
            }
            match open_inside(&roots[index], implied) {
                Ok(from) => {
                    covered.push((implied.clone(), from));
                    break;
                }
                Err(Errno::NOENT) => {}
                // Removed or something else there: what is further down doesn't show.
                Err(_) => break,
            }
        }
    }
    if !covered.is_empty() {
        F::settle(own, &covered)?;
    }
    record.implied.clear();
    write_record(own, record)
}
