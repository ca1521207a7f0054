//! The layers: their directories, and what is known of them in memory.

use super::trash::Trash;
use super::{failed, private_directory};
use crate::{Error, Layer, Result};
use hull_archive::ApplyOptions;
use hull_types::ChainId;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// `layer.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    chain: ChainId,
    parent: Option<ChainId>,
    size: u64,
    entries: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    implied: Vec<PathBuf>,
}

type Known = HashMap<ChainId, Record>;

#[derive(Debug)]
pub(super) struct Layers {
    path: PathBuf,
    trash: Arc<Trash>,
    known: Mutex<Known>,
    // Renaming into place waits for the disk, and nobody else should wait for that.
    placing: Mutex<()>,
}

impl Layers {
    pub fn open(path: PathBuf, trash: Arc<Trash>) -> Result<Self> {
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
        Ok(Self { path, trash, known: Mutex::new(known), placing: Mutex::new(()) })
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

    pub fn apply(&self, parent: Option<&ChainId>, chain: &ChainId, reader: &mut dyn Read) -> Result<Layer> {
        if let Ok(size) = self.size(chain) {
            // Whoever hashes what is read wants all of it.
            io::copy(reader, &mut io::sink()).map_err(|error| Error::Apply {
                layer: chain.clone(),
                source: hull_archive::Error::Read(error),
            })?;
            return Ok(Layer { size });
        }
        let aside = self.trash.fresh();
        let made = self.make(&aside, parent, chain, reader);
        let placed = made.and_then(|record| self.place(&aside, record));
        if placed.is_err() {
            self.trash.forget(&aside);
        }
        placed
    }

    fn make(
        &self,
        aside: &Path,
        parent: Option<&ChainId>,
        chain: &ChainId,
        reader: &mut dyn Read,
    ) -> Result<Record> {
        let files = aside.join("fs");
        private_directory(aside).map_err(failed("make", aside))?;
        rustix::fs::mkdir(&files, Mode::from_raw_mode(0o755)).map_err(failed("make", &files))?;
        rustix::fs::chmod(&files, Mode::from_raw_mode(0o755)).map_err(failed("chmod", &files))?;
        let applied = hull_archive::apply(reader, &files, &ApplyOptions::default())
            .map_err(|source| Error::Apply { layer: chain.clone(), source })?;
        let record = Record {
            chain: chain.clone(),
            parent: parent.cloned(),
            size: applied.size,
            entries: applied.entries,
            implied: applied.implied,
        };
        write_record(aside, &record)?;
        let open = File::open(aside).map_err(failed("open", aside))?;
        rustix::fs::syncfs(open).map_err(failed("sync", aside))?;
        Ok(record)
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
        let files: Vec<PathBuf> =
            chains.iter().map(|chain| directory(&self.path, chain).join("fs")).collect();
        // From the bottom: a layer takes from what is settled.
        for (index, chain) in chains.iter().enumerate().rev() {
            if let Some(record) = known.get_mut(chain).filter(|record| !record.implied.is_empty()) {
                settle(&directory(&self.path, chain), record, &files[index..])?;
            }
        }
        act(files)
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
        self.trash.discard(&directory(&self.path, chain))?;
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
    std::fs::rename(&new, &place).map_err(failed("rename into place", &place))
}

// Directories that the layer only has as parents get the attributes of the directory that they cover.
// `files` are the layer's own and those beneath.
fn settle(layer: &Path, record: &mut Record, files: &[PathBuf]) -> Result<()> {
    let Some((own, lowers)) = files.split_first() else { return Ok(()) };
    for implied in &record.implied {
        let to = open_inside(own, implied).map_err(failed("open", &own.join(implied)))?;
        for lower in lowers {
            match open_inside(lower, implied) {
                Ok(from) => {
                    hull_archive::copy_directory_attributes(from.as_fd(), to.as_fd())
                        .map_err(|source| Error::Apply { layer: record.chain.clone(), source })?;
                    break;
                }
                Err(Errno::NOENT) => {}
                // Removed or something else there: what is further down doesn't show.
                Err(_) => break,
            }
        }
    }
    record.implied.clear();
    write_record(layer, record)
}

// A directory inside a layer, no link on the way.
fn open_inside(files: &Path, path: &Path) -> std::result::Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, files, flags, Mode::empty())?;
    if path.as_os_str().is_empty() {
        return Ok(root);
    }
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    rustix::fs::openat2(&root, path, flags, Mode::empty(), resolve)
}
