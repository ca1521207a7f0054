//! Reading caches: the records at once, a layer when a step asks for it.

use super::document::{Document, digest_of_key};
use super::{CONFIG, CacheSource};
use crate::build::{Build, blocking, spool};
use crate::cache::Made;
use crate::commit;
use crate::error::{Error, Result};
use crate::files::{Context, Files};
use crate::key::Key;
use hull_archive::Decompressor;
use hull_content::Hasher;
use hull_image::Remote;
use hull_snapshot::chain_of;
use hull_types::oci::image::{Descriptor, ImageConfig, Index, Manifest};
use hull_types::{ChainId, DiffId, Digest, Platform};
use serde_json::Value;
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::sync::Arc;

/// The largest list of records that is read.
const RECORDS_LIMIT: u64 = 64 << 20;

/// A cache that was found.
pub(crate) struct Imported {
    /// The place, for people and in keys.
    origin: String,
    blobs: Blobs,
    /// Key → layer; `None` for a step that changed nothing.
    records: HashMap<Digest, Option<(Descriptor, DiffId)>>,
}

enum Blobs {
    Remote(Remote),
    Files(Context),
}

impl Imported {
    /// Reads the records of a place.
    pub(crate) async fn load(build: &Build, source: &CacheSource) -> Result<Self> {
        let platform = build.target_platform();
        let (origin, blobs, root) = match source {
            CacheSource::Registry(name) => {
                let auth = build.builder.auth_for(&build.request.auth, name);
                let remote = build.builder.images.remote(name, auth.as_ref())?;
                let (_, document) = remote.root().await?;
                (format!("registry {name}"), Blobs::Remote(remote), document)
            }
            CacheSource::Files(name, context) => {
                let index = context.text("index.json", RECORDS_LIMIT)?;
                let index = index.ok_or_else(|| wrong("it has no index.json"))?;
                (format!("local {name}"), Blobs::Files(context.clone()), index.into_bytes())
            }
        };
        let mut found = Self { origin, blobs, records: HashMap::new() };
        let (document, layers) = found.records_of(root, &platform).await?;
        found.records = records(&document, &layers);
        Ok(found)
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// From the root to the records, and to the descriptors of their layers.
    async fn records_of(&self, root: Vec<u8>, platform: &Platform) -> Result<(Document, Vec<Descriptor>)> {
        let mut text = root;
        // A layout's index, an image's index, a manifest.
        for _ in 0..4 {
            let value: Value = serde_json::from_slice(&text).map_err(Error::json)?;
            if value.get("manifests").is_none() {
                let manifest: Manifest = serde_json::from_value(value).map_err(Error::json)?;
                return self.records_in(manifest).await;
            }
            let index: Index = serde_json::from_value(value).map_err(Error::json)?;
            let records = index.manifests.iter().find(|entry| entry.media_type == CONFIG);
            if let Some(records) = records {
                let document = serde_json::from_slice(&self.small(records).await?).map_err(Error::json)?;
                return Ok((document, index.manifests));
            }
            let ours =
                |entry: &&Descriptor| entry.platform.as_ref().is_none_or(|offered| platform.matches(offered));
            let entry = index.manifests.iter().find(ours).ok_or_else(|| wrong("it names no manifest"))?;
            text = match &self.blobs {
                Blobs::Remote(remote) => remote.document(&entry.digest).await?.1,
                Blobs::Files(_) => self.small(entry).await?,
            };
        }
        Err(wrong("its indexes are nested too deep"))
    }

    async fn records_in(&self, manifest: Manifest) -> Result<(Document, Vec<Descriptor>)> {
        let text = self.small(&manifest.config).await?;
        if manifest.config.media_type == CONFIG {
            return Ok((serde_json::from_slice(&text).map_err(Error::json)?, manifest.layers));
        }
        let value: Value = serde_json::from_slice(&text).map_err(Error::json)?;
        let field = value.get(crate::result::INLINE_FIELD).and_then(Value::as_str);
        let field = field.ok_or_else(|| wrong("the image has no cache in it"))?;
        use base64::Engine;
        let text = base64::engine::general_purpose::STANDARD
            .decode(field)
            .map_err(|error| Error::Invalid(error.to_string()))?;
        let mut document: Document = serde_json::from_slice(&text).map_err(Error::json)?;
        let config: ImageConfig = serde_json::from_value(value).map_err(Error::json)?;
        // Others say there which layer it is, and in the configuration what it unpacks to.
        for (layer, id) in document.layers.iter_mut().zip(&config.rootfs.diff_ids) {
            let notes = layer.annotations.get_or_insert_default();
            notes.diff_id.get_or_insert_with(|| id.clone());
        }
        Ok((document, manifest.layers))
    }

    async fn small(&self, wanted: &Descriptor) -> Result<Vec<u8>> {
        if wanted.size > RECORDS_LIMIT {
            return Err(wrong(&format!("{} has {} bytes, which is too large", wanted.digest, wanted.size)));
        }
        let mut bytes = Vec::new();
        match &self.blobs {
            Blobs::Remote(remote) => remote.blob(wanted, &mut bytes).await?,
            Blobs::Files(context) => copied(context, wanted, &mut bytes)?,
        }
        Ok(bytes)
    }

    /// The key under which a result of this place is kept here: no build sees it that does not name the place.
    pub(crate) fn local_key(&self, key: &str) -> Option<String> {
        let record = self.records.get(&digest_of_key(key)?)?;
        let mut local = Key::new("imported");
        local.add(&self.origin);
        local.add(key);
        local.add(record.as_ref().map_or("", |(_, id)| id.0.as_str()));
        Some(local.finish())
    }

    /// What the place has for a key, as a layer upon `parent`.
    pub(crate) async fn take(
        own: Arc<Self>,
        build: Arc<Build>,
        key: &str,
        parent: Option<ChainId>,
    ) -> Result<Option<Made>> {
        let record = digest_of_key(key).and_then(|key| own.records.get(&key).cloned());
        let Some(Some((blob, diff_id))) = record else { return Ok(None) };
        let chain = chain_of(parent.as_ref(), &diff_id);
        if let Ok(kept) = build.making.kept(&chain, &diff_id) {
            let size = build.builder.snapshotter.layer_size(&chain)?;
            return Ok(Some(Made { diff_id, chain, size, tar_size: kept.size }));
        }
        let mut file = spool(&build.builder.root)?;
        if let Blobs::Remote(remote) = &own.blobs {
            remote.blob(&blob, &mut file).await?;
        }
        blocking(move || {
            if let Blobs::Files(context) = &own.blobs {
                copied(context, &blob, &mut file)?;
            }
            unpacked(&build, &blob, &diff_id, parent.as_ref(), file)
        })
        .await
    }
}

/// A blob of the cache as a layer upon `parent`.
fn unpacked(
    build: &Build,
    blob: &Descriptor,
    diff_id: &DiffId,
    parent: Option<&ChainId>,
    mut file: File,
) -> Result<Option<Made>> {
    let unreadable = || Error::io(format!("unpack {} of the cache", blob.digest));
    // What it unpacks to is known before any of it becomes a layer.
    file.rewind().map_err(unreadable())?;
    let mut hashed = Hashed(Hasher::like(Some(&diff_id.0)));
    let mut plain = Decompressor::detect(&file).map_err(unreadable())?;
    std::io::copy(&mut plain, &mut hashed).map_err(unreadable())?;
    let unpacked = hashed.0.finish();
    if unpacked != diff_id.0 {
        return Err(wrong(&format!("{} unpacks to {unpacked}, not to {}", blob.digest, diff_id.0)));
    }
    commit::commit(&build.making, parent, |to| {
        (&file).rewind().map_err(unreadable())?;
        let mut plain = Decompressor::detect(&file).map_err(unreadable())?;
        std::io::copy(&mut plain, to).map_err(unreadable())?;
        Ok(())
    })
}

/// A blob of a layout, verified.
fn copied(context: &Context, wanted: &Descriptor, to: &mut dyn Write) -> Result<()> {
    let name = format!("blobs/{}/{}", wanted.digest.algorithm(), wanted.digest.hex());
    let failed = || Error::io(format!("read {name} of the cache"));
    let mut reader = context.open(name.as_bytes()).map_err(failed())?;
    let mut hasher = Hasher::like(Some(&wanted.digest));
    let mut buffer = vec![0; 256 << 10];
    loop {
        match reader.read(&mut buffer).map_err(failed())? {
            0 => break,
            read => {
                hasher.update(&buffer[..read]);
                to.write_all(&buffer[..read]).map_err(failed())?;
            }
        }
    }
    let found = hasher.finish();
    if found != wanted.digest {
        return Err(wrong(&format!("{} is damaged: its content is {found}", wanted.digest)));
    }
    Ok(())
}

struct Hashed(Hasher);

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn records(document: &Document, layers: &[Descriptor]) -> HashMap<Digest, Option<(Descriptor, DiffId)>> {
    let by_digest: HashMap<&Digest, &Descriptor> =
        layers.iter().map(|layer| (&layer.digest, layer)).collect();
    let mut found = HashMap::new();
    for record in &document.records {
        if record.empty && record.results.is_empty() {
            found.insert(record.digest.clone(), None);
            continue;
        }
        let layer = record.results.first().and_then(|result| document.layers.get(result.layer));
        let Some(layer) = layer else { continue };
        let id = layer.annotations.as_ref().and_then(|notes| notes.diff_id.clone());
        if let (Some(descriptor), Some(id)) = (by_digest.get(&layer.blob), id) {
            found.insert(record.digest.clone(), Some(((*descriptor).clone(), id)));
        }
    }
    found
}

fn wrong(text: &str) -> Error {
    Error::Invalid(format!("the cache cannot be used: {text}"))
}
