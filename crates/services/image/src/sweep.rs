//! What the modules of this crate share of [`Images`], and how layers and blobs go.

use crate::catalogue::{Catalogue, Record, ReferenceRow};
use crate::error::Result;
use crate::shared::{Holds, Keyed};
use crate::sources::Sources;
use crate::{Images, ImagesConfig};
use hull_api_types::EventMessage;
use hull_content::Content;
use hull_registry_client::Registry;
use hull_snapshot::Snapshotter;
use hull_types::oci::image::{Descriptor, Index, media_type};
use hull_types::{ChainId, Digest, ImageRef};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use tokio::sync::Semaphore;

/// Under which name other tools find an image in the layout (image specification, "Annotations").
const NAME: &str = "org.opencontainers.image.ref.name";

impl Images {
    pub(crate) fn config(&self) -> &ImagesConfig {
        &self.inner.config
    }
    pub(crate) fn catalogue(&self) -> &Catalogue {
        &self.inner.catalogue
    }
    pub(crate) fn content(&self) -> &Content {
        &self.inner.content
    }
    pub(crate) fn snapshotter(&self) -> &Arc<dyn Snapshotter> {
        &self.inner.snapshotter
    }
    pub(crate) fn registry(&self) -> &Registry {
        &self.inner.registry
    }
    pub(crate) fn keyed(&self) -> &Keyed {
        &self.inner.keyed
    }
    pub(crate) fn holds(&self) -> &Holds {
        &self.inner.holds
    }
    pub(crate) fn downloading(&self) -> &Semaphore {
        self.inner.downloading.semaphore()
    }
    pub(crate) fn uploading(&self) -> &Semaphore {
        self.inner.uploading.semaphore()
    }
    pub(crate) fn attempts(&self) -> u32 {
        self.inner.attempts.load(Ordering::Relaxed)
    }
    pub(crate) fn sources(&self) -> &Sources {
        &self.inner.sources
    }
    pub(crate) fn unpacking(&self) -> &Arc<Semaphore> {
        &self.inner.unpacking
    }
    /// Returns when all layers and blobs that are here are on the disk: before rows are committed that name some.
    pub(crate) fn sync(&self) -> Result<()> {
        self.snapshotter().sync()?;
        Ok(self.content().sync()?)
    }
    pub(crate) fn note_orphans(&self) {
        self.inner.orphans.store(true, Ordering::Relaxed);
    }

    /// Tells of an image: what happened, to what, under which name.
    pub(crate) fn event(&self, action: &str, id: &str, name: &str, record: Option<&Record>) {
        let mut attributes: BTreeMap<String, String> =
            record.map(|record| record.config.config.labels.clone()).unwrap_or_default();
        attributes.insert("name".into(), name.into());
        self.inner.events.publish(EventMessage::now("image", action, id, attributes));
    }

    /// The row of a name for an image that has none: its manifest is among its blobs.
    pub(crate) fn nameless_row(&self, record: &Record) -> ReferenceRow {
        let manifest = record.row.blobs.iter().find_map(|digest| {
            let bytes = self.content().read(digest, 1 << 20).ok()?;
            let value: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
            let config = value.get("config")?.get("digest")?.as_str()?;
            (config == record.id.as_str()).then(|| {
                let kind = value.get("mediaType").and_then(serde_json::Value::as_str);
                descriptor(kind.unwrap_or(media_type::OCI_MANIFEST), digest.clone(), bytes.len() as u64)
            })
        });
        // Without one (it came by another way than a pull) the configuration stands in: it is a blob of the image.
        let manifest = manifest
            .unwrap_or_else(|| descriptor(media_type::OCI_CONFIG, record.id.clone(), record.row.config_size));
        ReferenceRow { target: manifest.clone(), manifest, image: record.id.clone() }
    }

    /// Removes a removed image's layers, the topmost first, as far as nothing else needs them. Called under the
    /// catalogue's lock. Returns those that went.
    pub(crate) fn drop_layers(&self, record: &Record) -> Vec<ChainId> {
        let Some(needed) = self.catalogue().read().chains() else { return Vec::new() };
        // Locked throughout: a pull that wants one of these layers holds it before it looks whether it is there.
        let held = self.holds().lock();
        let mut gone = Vec::new();
        for layer in record.row.layers.iter().rev() {
            if needed.contains(&layer.chain) {
                break;
            }
            if held.contains_key(&layer.chain) || !self.drop_layer(&layer.chain, &mut gone) {
                self.note_orphans();
                break;
            }
        }
        gone
    }
    fn drop_layer(&self, chain: &ChainId, gone: &mut Vec<ChainId>) -> bool {
        match self.snapshotter().remove_layer(chain) {
            Ok(()) => gone.push(chain.clone()),
            Err(hull_snapshot::Error::NoLayer(_)) => {}
            // A container stands on it: it goes with a sweep after that container.
            Err(hull_snapshot::Error::InUse { .. }) => return false,
            Err(error) => {
                tracing::warn!(layer = %chain.0, %error, "layer could not be removed");
                return false;
            }
        }
        true
    }

    /// Removes a removed image's blobs as far as nothing else needs them.
    pub(crate) fn drop_blobs(&self, record: &Record) {
        let candidates: Vec<Digest> = record.row.blobs.iter().cloned().collect();
        self.collect(Some(&candidates));
    }
    /// Removes blobs that came in and that no image took.
    pub(crate) fn drop_unwanted(&self, blobs: Vec<Digest>) {
        self.collect(Some(&blobs));
    }
    fn collect(&self, candidates: Option<&[Digest]>) {
        if self.catalogue().read().blobs().is_none() {
            return;
        }
        let roots = || self.catalogue().read().blobs().unwrap_or_default();
        let collected = match candidates {
            Some(some) => self.content().collect(some, roots),
            None => self.content().gc(roots),
        };
        if let Err(error) = collected {
            tracing::warn!(%error, "blobs could not be removed");
        }
    }

    /// Removes layers and blobs that no image has any more and no container stands on. Does nothing unless there
    /// may be some: call it when a container is gone.
    pub fn sweep(&self) {
        if !self.inner.orphans.swap(false, Ordering::Relaxed) {
            return;
        }
        let _writer = self.catalogue().write();
        let Some(needed) = self.catalogue().read().chains() else { return };
        let held = self.holds().lock();
        let mut left: Vec<ChainId> =
            self.snapshotter().layers().into_iter().filter(|chain| !needed.contains(chain)).collect();
        if left.iter().any(|chain| held.contains_key(chain)) {
            self.note_orphans();
        }
        left.retain(|chain| !held.contains_key(chain));
        // Layers come in no order, and only those go that nothing stands on: again, until a round removes none.
        loop {
            let before = left.len();
            left.retain(|chain| !self.drop_layer(chain, &mut Vec::new()));
            if left.is_empty() || left.len() == before {
                break;
            }
        }
        drop(held);
        if !left.is_empty() {
            self.note_orphans();
        }
        self.collect(None);
        if let Some(blobs) = self.catalogue().read().blobs()
            && let Err(error) = self.sources().sweep(&blobs)
        {
            tracing::warn!(%error, "what is known of blobs elsewhere could not be tidied");
        }
    }

    /// Sizes of all images' layers, by the chain's text.
    pub(crate) fn layer_sizes(&self) -> BTreeMap<String, u64> {
        let state = self.catalogue().read();
        let layers = state.images.values().flat_map(|record| &record.row.layers);
        layers.map(|layer| (layer.chain.0.to_string(), layer.size)).collect()
    }

    /// Writes the layout's index, which other tools read; Hull itself does not.
    pub(crate) fn publish_index(&self) {
        let _one = self.inner.index.lock().unwrap_or_else(PoisonError::into_inner);
        let document = serde_json::to_vec(&self.index());
        let written = document
            .map_err(|error| error.to_string())
            .and_then(|document| self.content().set_index(&document).map_err(|error| error.to_string()));
        if let Err(cause) = written {
            tracing::warn!(%cause, "the content store's index.json could not be written");
        }
    }
    fn index(&self) -> Index {
        let state = self.catalogue().read();
        let named = |(name, row): (&ImageRef, &ReferenceRow)| {
            let mut entry = row.manifest.clone();
            entry.annotations = BTreeMap::from([(NAME.to_owned(), name.to_string())]);
            entry
        };
        let tagged = state.references.iter().filter(|(name, _)| name.digest().is_none());
        Index {
            schema_version: 2,
            media_type: Some(media_type::OCI_INDEX.into()),
            manifests: tagged.map(named).collect(),
            annotations: BTreeMap::new(),
        }
    }
}

fn descriptor(kind: &str, digest: Digest, size: u64) -> Descriptor {
    let (urls, annotations) = (Vec::new(), BTreeMap::new());
    Descriptor {
        media_type: kind.into(),
        digest,
        size,
        urls,
        annotations,
        platform: None,
        artifact_type: None,
    }
}
