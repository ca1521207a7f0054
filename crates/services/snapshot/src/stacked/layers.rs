//! The layers: their directories, and what is known of them in memory.

use super::mounts::Mounts;
use super::trash::Trash;
use super::{Form, Place, Written, failed, open_inside, private_directory};
use crate::hash::{Hashed, chain_of};
use crate::{Added, Error, Layer, Result};
use hull_types::{ChainId, DiffId};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const RECORD: &str = "layer.json";
const NEW_RECORD: &str = "layer.json.new";

/// `layer.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    chain: ChainId,
    parent: Option<ChainId>,
    // Of records by former versions not always known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    diff_id: Option<DiffId>,
    size: u64,
    entries: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    implied: Vec<PathBuf>,
    #[serde(default)]
    fit: Fit,
}

/// Whether implied directories are as those that they cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Fit {
    /// Not known yet.
    #[default]
    Unknown,
    /// With the contents as they are.
    Contents,
    /// With something of the layer's own.
    Own,
}

/// A layer that is there.
#[derive(Debug, Clone)]
struct Known {
    record: Record,
    place: Place,
    // On the disk with its record.
    synced: bool,
}

type All = HashMap<ChainId, Known>;

#[derive(Debug)]
pub(super) struct Layers<F> {
    contents: PathBuf,
    // The directory of records: that of the contents, where these are not shared.
    own: PathBuf,
    trash: Arc<Trash>,
    mounts: Arc<Mounts>,
    known: Mutex<All>,
    // Renaming into place may wait for the disk, and nobody else should wait for that.
    placing: Mutex<()>,
    // Who asks whether all is on the disk waits for who sees to it.
    syncing: Mutex<()>,
    form: PhantomData<F>,
}

impl<F: Form> Layers<F> {
    pub fn open(root: &Path, trash: Arc<Trash>, mounts: Arc<Mounts>) -> Result<Self> {
        let contents = root.join("layers").join("sha256");
        let own = if F::SHARED { root.join("chains").join("sha256") } else { contents.clone() };
        let (known, placing, syncing) = Default::default();
        let mut layers = Self { contents, own, trash, mounts, known, placing, syncing, form: PhantomData };
        let found = layers.load()?;
        layers.known = Mutex::new(found);
        Ok(layers)
    }

    // Reads the records; what was never synced goes.
    fn load(&self) -> Result<All> {
        let mut known = All::new();
        let mut whole = true;
        let (mut bare, mut shared) = (Vec::new(), HashSet::new());
        for directory in subdirectories(&self.contents)? {
            match read_record(&directory) {
                // Of a former version, where contents are shared now.
                Ok(record) => {
                    let fitted = record.fit == Fit::Own;
                    let place = Place { contents: directory.clone(), own: directory, fitted };
                    known.insert(record.chain.clone(), Known { record, place, synced: true });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => bare.push(directory),
                Err(error) => whole = kept(&directory, &error),
            }
        }
        let records = if F::SHARED { subdirectories(&self.own)? } else { Vec::new() };
        for directory in records {
            let found = read_record(&directory).and_then(|record| {
                let diff_id = record.diff_id.as_ref().ok_or(io::ErrorKind::InvalidData)?;
                let contents = self.contents.join(diff_id.0.hex());
                // A loss of power may bring back the record of a layer that was removed.
                contents.symlink_metadata()?;
                Ok((record, contents))
            });
            match found {
                Ok((record, contents)) => {
                    shared.insert(contents.clone());
                    let fitted = record.fit == Fit::Own;
                    let place = Place { contents, own: directory, fitted };
                    known.insert(record.chain.clone(), Known { record, place, synced: true });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.sweep(&directory),
                Err(error) => whole = kept(&directory, &error),
            }
        }
        // What can't be read may be the record of contents that are shared.
        if whole || !F::SHARED {
            bare.iter().filter(|directory| !shared.contains(*directory)).for_each(|bare| self.sweep(bare));
        }
        Ok(known)
    }

    fn sweep(&self, directory: &Path) {
        if let Err(error) = self.trash.discard(directory) {
            tracing::warn!("what is left of a layer stays: {error}");
        }
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn has(&self, chain: &ChainId) -> bool {
        self.lock().contains_key(chain)
    }

    pub fn directories(&self) -> Vec<PathBuf> {
        let mut all = vec![self.contents.clone(), self.own.clone()];
        all.dedup();
        all
    }

    pub fn list(&self) -> Vec<ChainId> {
        self.lock().keys().cloned().collect()
    }

    pub fn size(&self, chain: &ChainId) -> Result<u64> {
        self.lock().get(chain).map(|known| known.record.size).ok_or_else(|| Error::NoLayer(chain.clone()))
    }

    pub fn apply(
        &self,
        parent: Option<&ChainId>,
        diff_id: &DiffId,
        reader: &mut dyn Read,
        tar: Option<&File>,
    ) -> Result<Layer> {
        let chain = chain_of(parent, diff_id);
        if let Ok(size) = self.size(&chain) {
            drain(&chain, reader)?;
            return Ok(Layer { size });
        }
        self.aside(|aside| {
            let written = match self.share(diff_id, aside) {
                Some(written) => {
                    drain(&chain, reader)?;
                    written
                }
                None => write::<F>(aside, chain.0.as_str(), reader, tar)?,
            };
            self.place(aside, chain, parent, diff_id, written)
        })
    }

    pub fn add(
        &self,
        parent: Option<&ChainId>,
        reader: &mut dyn Read,
        named: &mut dyn FnMut(&ChainId),
    ) -> Result<Added> {
        self.aside(|aside| {
            let mut hashed = Hashed::new(reader);
            let written = write::<F>(aside, "to be added", &mut hashed, None)?;
            let (digest, tar_size) = hashed.finish().map_err(|error| Error::Apply {
                layer: "to be added".into(),
                source: hull_archive::Error::Read(error),
            })?;
            let diff_id = DiffId(digest);
            let chain = chain_of(parent, &diff_id);
            named(&chain);
            let Layer { size } = self.place(aside, chain.clone(), parent, &diff_id, written)?;
            Ok(Added { diff_id, chain, size, tar_size })
        })
    }

    // Does something with a directory in `tmp`, which goes if it is still there afterwards.
    fn aside<T>(&self, act: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
        let aside = self.trash.fresh();
        let made = private_directory(&aside).map_err(failed("make", &aside)).and_then(|()| act(&aside));
        if made.is_err() {
            self.trash.forget(&aside);
        }
        made
    }

    // Gives the contents of a layer that another stack has a name in `aside`: they can't go then.
    fn share(&self, diff_id: &DiffId, aside: &Path) -> Option<Written> {
        if !F::SHARED {
            return None;
        }
        let contents = self.contents.join(diff_id.0.hex());
        let known = self.lock();
        let mut others = known.values().filter(|other| other.place.contents == contents);
        // Former versions forgot what is implied.
        let other = others.find(|other| other.place.own != contents)?;
        F::share(&contents, aside).ok()?;
        let Record { size, entries, implied, .. } = other.record.clone();
        Some(Written { size, entries, implied })
    }

    fn place(
        &self,
        aside: &Path,
        chain: ChainId,
        parent: Option<&ChainId>,
        diff_id: &DiffId,
        written: Written,
    ) -> Result<Layer> {
        let _one_at_a_time = self.placing.lock().unwrap_or_else(PoisonError::into_inner);
        // Another pull was faster: the same layer is there.
        if let Ok(size) = self.size(&chain) {
            self.trash.forget(aside);
            return Ok(Layer { size });
        }
        let name = if F::SHARED { diff_id.0.hex() } else { chain.0.hex() };
        let (contents, own) = (self.contents.join(name), self.own.join(chain.0.hex()));
        match self.lock().values().any(|other| other.place.contents == contents) {
            true => self.trash.forget(aside),
            false => self.rename(aside, &contents)?,
        }
        if own != contents {
            let empty = self.trash.fresh();
            private_directory(&empty).map_err(failed("make", &empty))?;
            self.rename(&empty, &own)?;
        }
        let Written { size, entries, implied } = written;
        let (parent, diff_id) = (parent.cloned(), Some(diff_id.clone()));
        let record = Record { chain, parent, diff_id, size, entries, implied, fit: Fit::Unknown };
        let place = Place { contents, own, fitted: false };
        self.lock().insert(record.chain.clone(), Known { record, place, synced: false });
        Ok(Layer { size })
    }

    fn rename(&self, aside: &Path, place: &Path) -> Result<()> {
        match rustix::fs::rename(aside, place) {
            // Something that no layer has, or that can't be read, is there; it was reported when it was found.
            Err(Errno::NOTEMPTY | Errno::EXIST) => {
                self.trash.discard(place)?;
                rustix::fs::rename(aside, place).map_err(failed("rename into place", place))
            }
            result => result.map_err(failed("rename into place", place)),
        }
    }

    /// Returns when all layers are on the disk with their records.
    pub fn sync(&self) -> Result<()> {
        let _one_at_a_time = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting: Vec<ChainId> = {
            let known = self.lock();
            known.iter().filter(|(_, layer)| !layer.synced).map(|(chain, _)| chain.clone()).collect()
        };
        if waiting.is_empty() {
            return Ok(());
        }
        for chain in &waiting {
            // Of another image, whose lower layers are still to come, later.
            let _ = self.with_stack(Some(chain), |_| Ok(()));
        }
        let records: Vec<(PathBuf, Record)> = {
            let known = self.lock();
            let layers = waiting.iter().filter_map(|chain| known.get(chain));
            layers.map(|layer| (layer.place.own.clone(), layer.record.clone())).collect()
        };
        // Some may be removed meanwhile.
        let unless_gone = |result: Result<()>| match result {
            Err(Error::Path { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        };
        records.iter().try_for_each(|(own, record)| unless_gone(write_record(own, record)))?;
        self.written_out(&waiting)?;
        records.iter().try_for_each(|(own, _)| unless_gone(name_record(own)))?;
        self.written_out(&waiting)?;
        let mut known = self.lock();
        for chain in &waiting {
            if let Some(layer) = known.get_mut(chain) {
                layer.synced = true;
            }
        }
        Ok(())
    }

    // The kernel tells once that it could not write, and goes on as if it had: what waited for it can't be trusted.
    fn written_out(&self, waiting: &[ChainId]) -> Result<()> {
        let disk = File::open(&self.contents).map_err(failed("open", &self.contents))?;
        rustix::fs::syncfs(&disk).map_err(failed("sync", &self.contents)).inspect_err(|_| {
            let mut known = self.lock();
            waiting.iter().for_each(|chain| drop(self.take_out(&mut known, chain)));
        })
    }

    pub fn tar(&self, chain: &ChainId) -> Result<Option<File>> {
        let place = self.lock().get(chain).map(|layer| layer.place.clone());
        let place = place.ok_or_else(|| Error::NoLayer(chain.clone()))?;
        F::tar(&place).map_err(failed("open the tar of", &place.contents))
    }

    /// Acts on the places of the layers up to `top`, the topmost first. No layer is removed meanwhile.
    pub fn with_stack<T>(
        &self,
        top: Option<&ChainId>,
        act: impl FnOnce(Vec<Place>) -> Result<T>,
    ) -> Result<T> {
        let mut known = self.lock();
        let mut chains = Vec::new();
        let mut next = top.cloned();
        while let Some(chain) = next {
            let layer = known.get(&chain).ok_or_else(|| Error::NoLayer(chain.clone()))?;
            next = layer.record.parent.clone();
            chains.push(chain);
        }
        let mut layers: Vec<Place> =
            chains.iter().filter_map(|chain| Some(known.get(chain)?.place.clone())).collect();
        // From the bottom: a layer takes from what is settled.
        for (index, chain) in chains.iter().enumerate().rev() {
            if let Some(layer) = known.get_mut(chain).filter(|layer| layer.record.fit == Fit::Unknown) {
                settle::<F>(layer, &layers[index + 1..])?;
                layers[index] = layer.place.clone();
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
        let above = known.values().find(|layer| layer.record.parent.as_ref() == Some(chain));
        if let Some(by) = above.map(|layer| format!("layer {}", layer.record.chain.0)).or_else(user) {
            return Err(Error::InUse { layer: chain.clone(), by });
        }
        self.take_out(&mut known, chain)
    }

    // The record first: contents without one are swept, a record without its contents would be a broken layer.
    fn take_out(&self, known: &mut All, chain: &ChainId) -> Result<()> {
        let Some(layer) = known.get(chain) else { return Ok(()) };
        let Place { contents, own, .. } = layer.place.clone();
        let shared = known.values().filter(|other| other.place.contents == contents).count() > 1;
        match own == contents && shared {
            true => {
                let record = own.join(RECORD);
                std::fs::remove_file(&record).map_err(failed("remove", &record))?;
            }
            false => self.trash.discard(&own)?,
        }
        known.remove(chain);
        if own != contents && !shared {
            self.trash.discard(&contents)?;
        }
        // Only now: before, their mounts could be made anew.
        if own != contents {
            self.mounts.forget(&own);
        }
        if !shared {
            self.mounts.forget(&contents);
        }
        Ok(())
    }
}

fn subdirectories(path: &Path) -> Result<Vec<PathBuf>> {
    let opened = |source| Error::Open { path: path.into(), source };
    private_directory(path).map_err(opened)?;
    let entries = std::fs::read_dir(path).map_err(opened)?;
    entries.map(|entry| Ok(entry.map_err(opened)?.path())).collect()
}

fn read_record(directory: &Path) -> io::Result<Record> {
    let record: Record = serde_json::from_slice(&std::fs::read(directory.join(RECORD))?)?;
    match directory.file_name() == Some(OsStr::new(record.chain.0.hex())) {
        true => Ok(record),
        false => Err(io::Error::new(io::ErrorKind::InvalidData, "it is another layer's")),
    }
}

// It may be read again by somebody who knows more, and so may what it may be the record of.
fn kept(directory: &Path, error: &io::Error) -> bool {
    tracing::warn!("cannot read the layer {}: {error}", directory.display());
    false
}

fn drain(chain: &ChainId, reader: &mut dyn Read) -> Result<()> {
    // Whoever hashes what is read wants all of it.
    let read = io::copy(reader, &mut io::sink());
    read.map(drop).map_err(|error| Error::Apply {
        layer: chain.0.to_string(),
        source: hull_archive::Error::Read(error),
    })
}

fn write_record(own: &Path, record: &Record) -> Result<()> {
    let new = own.join(NEW_RECORD);
    let text = serde_json::to_vec(record).map_err(failed("write", &new))?;
    std::fs::write(&new, text).map_err(failed("write", &new))
}

// It has to be on the disk, and so has what it says of.
fn name_record(own: &Path) -> Result<()> {
    let place = own.join(RECORD);
    std::fs::rename(own.join(NEW_RECORD), &place).map_err(failed("rename into place", &place))
}

fn write<F: Form>(aside: &Path, layer: &str, reader: &mut dyn Read, tar: Option<&File>) -> Result<Written> {
    F::write(aside, reader, tar).map_err(|source| Error::Apply { layer: layer.into(), source })
}

// Directories that the layer only has as parents get the attributes of the directory that they cover.
fn settle<F: Form>(layer: &mut Known, lowers: &[Place]) -> Result<()> {
    let mut roots: Vec<OwnedFd> = Vec::new();
    let mut covered = Vec::new();
    for implied in &layer.record.implied {
        for (index, lower) in lowers.iter().enumerate() {
            if roots.len() == index {
                roots.push(F::open(lower).map_err(failed("open", &lower.contents))?);
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
    let fitted = !covered.is_empty() && F::settle(&layer.place, &covered)?;
    layer.place.fitted = fitted;
    layer.record.fit = if fitted { Fit::Own } else { Fit::Contents };
    if !layer.synced || layer.record.implied.is_empty() {
        return Ok(());
    }
    let own = &layer.place.own;
    write_record(own, &layer.record)?;
    let disk = File::open(own).map_err(failed("open", own))?;
    rustix::fs::syncfs(&disk).map_err(failed("sync", own))?;
    name_record(own)
}
