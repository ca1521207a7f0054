//! `save`: images → one tar stream.
//!
//! What Docker 25 and later write: an OCI image layout (`oci-layout`, `index.json`, `blobs/…`), and with it Docker's
//! own `manifest.json` and `repositories`, so that every engine reads it. Layers go out as the blobs that they are,
//! hashed once more on the way. Documents come first: who reads the stream knows what will come.

use crate::Images;
use crate::catalogue::{Record, ReferenceRow, State};
use crate::error::{ImageError, Result};
use crate::manifests::{self, Whole};
use crate::packed::{Packed, to_json};
use crate::resolve;
use hull_archive::{Entry, EntryKind, Writer};
use hull_content::{ContentError, Hasher, Lease};
use hull_types::oci::image::{Descriptor, Index, media_type};
use hull_types::{Digest, ImageRef, Platform};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::sync::Arc;

/// How containerd, and with it Docker, name an image in an index.
pub(crate) const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// How everybody else does (image specification, "Annotations").
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Images on their way out: everything was found, and is kept until this is dropped.
pub struct Saving {
    images: Images,
    chosen: Vec<Chosen>,
    _lease: Lease,
}

struct Chosen {
    record: Arc<Record>,
    names: Vec<ImageRef>,
    packed: Packed,
    // What the names stand for, if all of it is here.
    whole: Option<Whole>,
}

/// One entry of `manifest.json`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

pub(crate) fn prepare(images: &Images, names: &[String], platform: Option<&Platform>) -> Result<Saving> {
    let lease = images.content().lease();
    let mut chosen: Vec<Chosen> = Vec::new();
    for name in names {
        for (record, row, names) in wanted(&images.catalogue().read(), name, platform)? {
            for digest in &record.row.blobs {
                lease.protect(digest);
            }
            match chosen.iter_mut().find(|other| other.record.id == record.id) {
                Some(known) => {
                    let new: Vec<ImageRef> = names.into_iter().filter(|n| !known.names.contains(n)).collect();
                    known.names.extend(new);
                }
                None => {
                    let packed = images.packed(&record, row.as_ref())?;
                    let whole = row.as_ref().filter(|_| platform.is_none());
                    let whole = whole.map(|row| images.whole_index(row)).transpose()?.flatten();
                    chosen.push(Chosen { record, names, packed, whole });
                }
            }
        }
    }
    Ok(Saving { images: images.clone(), chosen, _lease: lease })
}

type Wanted = (Arc<Record>, Option<ReferenceRow>, Vec<ImageRef>);

// A name without tag stands for all tags of its repository, an id for an image without names.
fn wanted(state: &State, name: &str, platform: Option<&Platform>) -> Result<Vec<Wanted>> {
    let parsed = name.parse::<ImageRef>().ok();
    let bare = parsed.filter(|parsed| parsed.tag().is_none() && parsed.digest().is_none());
    let tags: Vec<ImageRef> = match &bare {
        Some(bare) => {
            let same = |other: &&ImageRef| other.tag().is_some() && other.repository() == bare.repository();
            state.references.keys().filter(same).cloned().collect()
        }
        None => Vec::new(),
    };
    let all =
        if tags.is_empty() { vec![name.to_owned()] } else { tags.iter().map(ImageRef::to_string).collect() };
    let mut found = Vec::new();
    for name in all {
        let one = resolve::find(state, &name)?;
        let actual = one.record.config.platform();
        if let Some(wanted) = platform.filter(|wanted| !wanted.matches(&actual)) {
            let (actual, wanted) = (actual.to_string(), wanted.to_string());
            return Err(ImageError::PlatformMismatch { reference: name, actual, wanted });
        }
        let row = one.reference.as_ref().and_then(|name| state.references.get(name)).cloned();
        let names = one.reference.into_iter().filter(|name| name.tag().is_some()).collect();
        found.push((one.record, row, names));
    }
    Ok(found)
}

impl Saving {
    /// Writes the archive. An error breaks it off: what was written is no whole archive.
    pub fn write(&self, to: impl Write) -> Result<()> {
        let mut archive = Writer::new(to);
        for directory in ["blobs/", "blobs/sha256/"] {
            archive.entry(&Entry::new(directory, EntryKind::Directory, 0o755)).map_err(failed)?;
        }
        file(&mut archive, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        file(&mut archive, "index.json", &to_json(&self.index())?)?;
        file(&mut archive, "manifest.json", &to_json(&self.items())?)?;
        let repositories = self.repositories();
        if !repositories.is_empty() {
            file(&mut archive, "repositories", &to_json(&repositories)?)?;
        }
        let mut written = BTreeSet::new();
        for chosen in &self.chosen {
            if written.insert(chosen.packed.descriptor.digest.clone()) {
                file(&mut archive, &place(&chosen.packed.descriptor.digest), &chosen.packed.document)?;
            }
            blob(&self.images, &mut archive, &chosen.packed.manifest.config, &mut written)?;
        }
        for whole in self.chosen.iter().filter_map(|chosen| chosen.whole.as_ref()) {
            let texts = whole.manifests.iter().map(|(entry, text, _)| (entry, text));
            for (entry, text) in texts.chain([(&whole.descriptor, &whole.document)]) {
                if written.insert(entry.digest.clone()) {
                    file(&mut archive, &place(&entry.digest), text)?;
                }
            }
        }
        for chosen in &self.chosen {
            let further = chosen.whole.iter().flat_map(|whole| &whole.manifests);
            let further = further.flat_map(|(_, _, manifest)| manifests::parts(manifest));
            for layer in chosen.packed.manifest.layers.iter().chain(further) {
                blob(&self.images, &mut archive, layer, &mut written)?;
            }
        }
        archive.finish().map_err(failed)?;
        for chosen in &self.chosen {
            let id = chosen.record.id.as_str();
            self.images.event("save", id, id, Some(&chosen.record));
        }
        Ok(())
    }

    fn index(&self) -> Index {
        let mut manifests = Vec::new();
        for chosen in &self.chosen {
            let entry = match &chosen.whole {
                Some(whole) => whole.descriptor.clone(),
                None => {
                    let platform = Some(chosen.record.config.platform());
                    Descriptor { platform, ..chosen.packed.descriptor.clone() }
                }
            };
            for name in &chosen.names {
                let mut named = entry.clone();
                named.annotations.insert(CONTAINERD_NAME.into(), name.to_string());
                named.annotations.insert(REF_NAME.into(), name.to_string());
                manifests.push(named);
            }
            if chosen.names.is_empty() {
                manifests.push(entry);
            }
        }
        let media_type = Some(media_type::OCI_INDEX.into());
        Index { schema_version: 2, media_type, manifests, annotations: BTreeMap::new() }
    }

    fn items(&self) -> Vec<Item> {
        let item = |chosen: &Chosen| Item {
            config: place(&chosen.record.id),
            repo_tags: (!chosen.names.is_empty())
                .then(|| chosen.names.iter().map(ImageRef::familiar).collect()),
            layers: chosen.packed.manifest.layers.iter().map(|layer| place(&layer.digest)).collect(),
        };
        self.chosen.iter().map(item).collect()
    }

    // Repository → tag → topmost layer, for what is older than Docker 1.10.
    fn repositories(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        let mut all: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for chosen in &self.chosen {
            let Some(top) = chosen.packed.manifest.layers.last() else { continue };
            for name in &chosen.names {
                let tags = all.entry(name.familiar_name()).or_default();
                tags.insert(name.tag().unwrap_or_default().into(), top.digest.hex().into());
            }
        }
        all
    }
}

/// A blob that is here, verified once more on its way.
pub(crate) fn blob<W: Write>(
    images: &Images,
    archive: &mut Writer<W>,
    wanted: &Descriptor,
    written: &mut BTreeSet<Digest>,
) -> Result<()> {
    if !written.insert(wanted.digest.clone()) {
        return Ok(());
    }
    let mut reader = images.content().reader(&wanted.digest)?;
    let size = images.content().size(&wanted.digest)?;
    begin(archive, &place(&wanted.digest), size)?;
    let mut hasher = Hasher::like(Some(&wanted.digest));
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => {
                return Err(ContentError::Read { digest: wanted.digest.clone(), source }.into());
            }
        };
        hasher.update(&buffer[..read]);
        archive.contents(&buffer[..read]).map_err(failed)?;
    }
    let (expected, actual) = (wanted.digest.clone(), hasher.finish());
    if actual != expected {
        return Err(ContentError::Mismatch { expected, actual }.into());
    }
    Ok(())
}

pub(crate) fn place(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}

fn begin<W: Write>(archive: &mut Writer<W>, name: &str, size: u64) -> Result<()> {
    let mut entry = Entry::new(name, EntryKind::File, 0o644);
    entry.size = size;
    archive.entry(&entry).map_err(failed)
}

pub(crate) fn file<W: Write>(archive: &mut Writer<W>, name: &str, text: &[u8]) -> Result<()> {
    begin(archive, name, text.len() as u64)?;
    archive.contents(text).map_err(failed)
}

pub(crate) fn failed(error: hull_archive::Error) -> ImageError {
    ImageError::Archive(error)
}
