//! `load`: an archive → images.
//!
//! ```text
//!  stream ─► Files (small ones in memory, large ones as blobs, hashed) ─► manifest.json or index.json ─► images
//! ```
//! Read once, in whatever order it comes: what docker (the layout of 20.10 and that of 25 and later), podman, skopeo and
//! buildah write, compressed or not. Nothing of it is unpacked anywhere: its names are keys of a table, and a
//! link in it leads to another key or nowhere.

mod files;
mod items;

use crate::catalogue::CONFIG_LIMIT;
use crate::documents::{self, Document};
use crate::error::{ImageError, Result};
use crate::make::{Making, known};
use crate::packed::{Packed, descriptor, pack};
use crate::{Images, manifests, progress};
use files::{Files, Stored};
use hull_api_types::JsonMessage;
use hull_archive::{Archive, Decompressor};
use hull_content::digest_of;
use hull_registry_client::MANIFEST_LIMIT;
use hull_types::oci::image::{Descriptor, ImageConfig, Manifest, media_type};
use hull_types::{Digest, ImageRef, Platform, short_id};
use items::Item;
use std::collections::BTreeSet;
use std::io::Read;
use tokio::sync::mpsc::Sender;

/// How to load.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Tell of no progress.
    pub quiet: bool,
    /// Which of an archive's images for several platforms; this machine's where none is said.
    pub platform: Option<Platform>,
}

pub(crate) fn load(
    images: &Images,
    source: impl Read,
    options: &LoadOptions,
    to: &Sender<JsonMessage>,
) -> Result<()> {
    let making = images.make();
    let plain = Decompressor::detect(source).map_err(|error| not_an_archive(error.to_string()))?;
    let mut archive = Archive::new(plain);
    let mut files = Files::new(images.content().clone());
    let read = files.read(&mut archive);
    let loaded = read.and_then(|()| {
        files.blobs().into_iter().for_each(|blob| making.note_hashed(blob));
        let items = items::find(&files, options.platform.as_ref())?;
        let load = Load { images, making, files: &files, options, to };
        items.into_iter().try_for_each(|item| load.item(item))
    });
    if loaded.is_err() {
        // Documents and layers of an image that came to nothing.
        images.note_orphans();
        images.sweep();
    } else {
        images.drop_unwanted(files.blobs());
    }
    loaded
}

struct Load<'a> {
    images: &'a Images,
    making: Making,
    files: &'a Files,
    options: &'a LoadOptions,
    to: &'a Sender<JsonMessage>,
}

impl Load<'_> {
    fn item(&self, item: Item) -> Result<()> {
        let text = self.files.document(&item.config, CONFIG_LIMIT)?;
        let id = digest_of(&text);
        let reference = item.names.first().map_or_else(|| id.to_string(), ImageRef::familiar);
        let config = configuration(&reference, &text)?;
        if config.os != "linux" && !config.os.is_empty() {
            let cause = format!("cannot load {} image on linux", config.os);
            return Err(ImageError::Document { reference, cause });
        }
        self.images.content().put_as(&text, &id)?;
        let packed = self.packed(&item, &id, text.len() as u64)?;
        documents::parse(&reference, &packed.descriptor.media_type, &packed.document)?;
        let target = item.target.clone().unwrap_or_else(|| packed.descriptor.clone());
        if let Some(digest) = item.target.as_ref().map(|target| &target.digest) {
            self.keep(digest)?;
        }
        let further = self.attested(&item)?;
        self.renamed(&item.names, &id)?;
        self.apply(&packed, target, config, &item.names, further)?;
        let record = known(self.images, &id);
        self.images.event("load", id.as_str(), id.as_str(), record.as_deref());
        for name in &item.names {
            self.say(format!("Loaded image: {}\n", name.familiar()))?;
        }
        match item.names.is_empty() {
            true => self.say(format!("Loaded image ID: {id}\n")),
            false => Ok(()),
        }
    }

    // The item's own manifest where the archive has it, so that the image goes out again as it came; otherwise one
    // made of what `manifest.json` says.
    fn packed(&self, item: &Item, id: &Digest, config_size: u64) -> Result<Packed> {
        if let Some((descriptor, document)) = &item.manifest {
            let Document::Manifest(manifest) =
                documents::parse(id.as_str(), &descriptor.media_type, document)?
            else {
                return Err(not_an_archive("an index stands where a manifest should".into()));
            };
            for layer in &manifest.layers {
                self.keep(&layer.digest)?;
            }
            return Ok(Packed {
                descriptor: descriptor.clone(),
                document: document.clone(),
                manifest: *manifest,
            });
        }
        let layers: Result<Vec<Descriptor>> = item.layers.iter().map(|name| self.layer(name)).collect();
        pack(descriptor(media_type::OCI_CONFIG, id.clone(), config_size), layers?)
    }

    // What is attested of the image stays with it, where the archive has it.
    fn attested(&self, item: &Item) -> Result<BTreeSet<Digest>> {
        let mut kept = BTreeSet::new();
        for entry in &item.attested {
            let name = items::place(&entry.digest);
            if !self.files.has(&name) {
                continue;
            }
            let text = self.files.document(&name, MANIFEST_LIMIT)?;
            let manifest: Manifest = serde_json::from_slice(&text)
                .map_err(|error| not_an_archive(format!("invalid manifest {}: {error}", entry.digest)))?;
            for digest in manifests::parts(&manifest).map(|part| &part.digest).chain([&entry.digest]) {
                self.keep(digest)?;
                kept.insert(digest.clone());
            }
        }
        Ok(kept)
    }

    fn layer(&self, name: &str) -> Result<Descriptor> {
        let (digest, size) = match self.files.find(name)? {
            Stored::Small(bytes) => (self.images.content().put(bytes)?, bytes.len() as u64),
            Stored::Blob { digest, size } => (digest.clone(), *size),
        };
        let mut magic = Vec::new();
        let mut reader = self.images.content().reader(&digest)?.take(6);
        reader.read_to_end(&mut magic).map_err(|error| not_an_archive(error.to_string()))?;
        let kind = match magic.as_slice() {
            [0x1f, 0x8b, ..] => media_type::OCI_LAYER_GZIP,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => media_type::OCI_LAYER_ZSTD,
            _ => media_type::OCI_LAYER,
        };
        Ok(descriptor(kind, digest, size))
    }

    // Makes a blob of a document that the archive has under its digest.
    fn keep(&self, digest: &Digest) -> Result<()> {
        self.making.lease().protect(digest);
        if self.images.content().has(digest) {
            return Ok(());
        }
        match self.files.find(&items::place(digest))? {
            Stored::Small(bytes) => self.images.content().put_as(bytes, digest).map(drop)?,
            Stored::Blob { .. } => {}
        }
        Ok(())
    }

    fn apply(
        &self,
        packed: &Packed,
        target: Descriptor,
        config: ImageConfig,
        names: &[ImageRef],
        further: BTreeSet<Digest>,
    ) -> Result<()> {
        let lines: Vec<progress::LayerProgress> = packed
            .manifest
            .layers
            .iter()
            .zip(&config.rootfs.diff_ids)
            .map(|(layer, diff_id)| {
                progress::LayerProgress::new(short_id(diff_id.0.as_str()), layer.size, self.to.clone())
            })
            .collect();
        self.making.finish(packed, target, config, names, further, &mut |plan, read| {
            let at = packed.manifest.layers.iter().position(|layer| layer.digest == plan.blob.digest);
            match at.and_then(|at| lines.get(at)) {
                Some(line) if !self.options.quiet => line.advance("Loading layer", read),
                _ => Ok(()),
            }
        })
    }

    // Docker tells whose name was taken.
    fn renamed(&self, names: &[ImageRef], id: &Digest) -> Result<()> {
        for name in names {
            let old = self.images.catalogue().read().references.get(name).map(|row| row.image.clone());
            if let Some(old) = old.filter(|old| old != id) {
                self.say(format!(
                    "The image {} already exists, renaming the old one with ID {old} to empty string\n",
                    name.familiar()
                ))?;
            }
        }
        Ok(())
    }

    fn say(&self, stream: String) -> Result<()> {
        let message = JsonMessage { stream, ..JsonMessage::default() };
        self.to.blocking_send(message).map_err(|_| ImageError::Cancelled)
    }
}

fn not_an_archive(cause: String) -> ImageError {
    ImageError::Load(cause)
}

fn configuration(reference: &str, text: &[u8]) -> Result<ImageConfig> {
    let failed = |cause| ImageError::Document { reference: reference.into(), cause };
    let config: ImageConfig = serde_json::from_slice(text)
        .map_err(|error| failed(format!("invalid image configuration: {error}")))?;
    match config.rootfs.kind.as_str() {
        "layers" | "" => Ok(config),
        other => Err(failed(format!("invalid image configuration: rootfs type {other:?}"))),
    }
}
