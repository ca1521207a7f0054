//! Images that are made here: by `import`, `commit`, `load` and builds.
//!
//! ```text
//!  begin ─► layer(tar) … or add(parent, tar) … ─► image(config, layers, name) ─► sync, rows (one commit)
//! ```
//! A layer made here is kept uncompressed: its blob's digest is its diff id, and where the driver keeps tars both are
//! one file. From the first call until [`Making`] is dropped nothing of it is collected, though no row names it; and
//! nothing of it is synced, but all at once before a row does.

use crate::Images;
use crate::catalogue::{ImageRow, LayerRow, Record, ReferenceRow};
use crate::error::{ImageError, Result};
use crate::layers::{LayerPlan, plan};
use crate::manifests::row_of;
use crate::packed::{Packed, descriptor, pack, to_json};
use crate::pull;
use crate::resolve;
use crate::shared::Hold;
use crate::unpack::{self, Checked};
use hull_archive::Decompressor;
use hull_content::Lease;
use hull_snapshot::Added;
use hull_types::oci::image::{Descriptor, ImageConfig, media_type};
use hull_types::{ChainId, DiffId, Digest, ImageRef};
use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The digest of a tar stream without members: such a layer changes nothing, and images are made without it.
pub const EMPTY_LAYER: &str = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";

/// An image under way.
pub struct Making {
    images: Images,
    lease: Lease,
    hashed: Mutex<BTreeSet<Digest>>,
    holds: Mutex<Vec<Hold>>,
}

impl Images {
    /// Begins an image.
    pub fn make(&self) -> Making {
        let (hashed, holds) = Default::default();
        Making { images: self.clone(), lease: self.content().lease(), hashed, holds }
    }
}

impl Making {
    /// Makes a layer of what `write` writes: an uncompressed tar.
    pub fn layer(&self, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<Descriptor> {
        let mut ingest = self.images.content().ingest(None)?;
        write(&mut ingest)?;
        let (size, digest) = (ingest.offset(), ingest.finish()?);
        self.note_hashed(digest.clone());
        Ok(descriptor(media_type::OCI_LAYER, digest, size))
    }

    /// Makes a layer of an uncompressed tar upon the layer `parent`, as a blob and in the storage driver: one file with
    /// two names where the driver keeps tars. [`Making::sync`] has to come before a row that names it.
    pub fn add(&self, parent: Option<&ChainId>, tar: &mut dyn Read) -> Result<Added> {
        let (content, snapshotter) = (self.images.content(), self.images.snapshotter());
        let mut hold = |chain: &ChainId| self.hold(chain);
        if !snapshotter.keeps_tars() {
            let failed = |error| ImageError::Archive(hull_archive::Error::Write(error));
            let blob = self.layer(|to| io::copy(tar, to).map(drop).map_err(failed))?;
            return Ok(snapshotter.add(parent, &mut content.reader(&blob.digest)?, &mut hold)?);
        }
        let added = snapshotter.add(parent, tar, &mut hold)?;
        if let Some(tar) = snapshotter.tar(&added.chain)? {
            let path = format!("/proc/self/fd/{}", tar.as_raw_fd());
            content.adopt(Path::new(&path), &added.diff_id.0)?;
        }
        self.lease.protect(&added.diff_id.0);
        Ok(added)
    }

    /// The blob of the layer `chain` that is here, as a build cache kept it. Neither goes any more.
    pub fn kept(&self, chain: &ChainId, diff_id: &DiffId) -> Result<Descriptor> {
        self.hold(chain);
        self.lease.protect(&diff_id.0);
        // Only now nobody removes it.
        self.images.snapshotter().layer_size(chain)?;
        let size = self.images.content().size(&diff_id.0)?;
        Ok(descriptor(media_type::OCI_LAYER, diff_id.0.clone(), size))
    }

    /// Returns when all that was made so far is on the disk. An image's rows are committed after it by themselves; who
    /// keeps layers in rows of another table calls it before.
    pub fn sync(&self) -> Result<()> {
        self.images.sync()
    }

    /// Keeps a layer from being removed until this is dropped. Look whether it is there *after* this call.
    pub fn hold(&self, chain: &ChainId) {
        let hold = self.images.holds().hold(vec![chain.clone()]);
        self.holds.lock().unwrap_or_else(PoisonError::into_inner).push(hold);
    }

    /// The layers of an image that is here, or of one that was removed under its container, by its id.
    pub fn layers_of(&self, image: &str) -> Result<Vec<Descriptor>> {
        let (record, row) = {
            let state = self.images.catalogue().read();
            let found = resolve::find_kept(&state, image)?;
            let row = row_of(&state, &found.record, found.reference.as_ref()).cloned();
            (found.record, row)
        };
        for digest in &record.row.blobs {
            self.lease.protect(digest);
        }
        Ok(self.images.packed(&record, row.as_ref())?.manifest.layers)
    }

    /// Makes the image: applies the layers that are missing, and commits its rows, under `name` if it is to have one.
    /// `layers` are the blobs of the configuration's diff ids, in the same order.
    pub fn image(
        &self,
        config: &ImageConfig,
        layers: Vec<Descriptor>,
        name: Option<&ImageRef>,
    ) -> Result<Digest> {
        let text = to_json(config)?;
        let described =
            descriptor(media_type::OCI_CONFIG, self.images.content().put(&text)?, text.len() as u64);
        let packed = pack(described, layers)?;
        let id = packed.manifest.config.digest.clone();
        let names: Vec<ImageRef> = name.cloned().into_iter().collect();
        let target = packed.descriptor.clone();
        self.finish(&packed, target, config.clone(), &names, BTreeSet::new(), &mut |_, _| Ok(()))?;
        if let Some(name) = name {
            let record = self.images.catalogue().read().images.get(&id).cloned();
            self.images.event("tag", id.as_str(), &name.familiar(), record.as_deref());
        }
        Ok(id)
    }

    pub(crate) fn lease(&self) -> &Lease {
        &self.lease
    }
    pub(crate) fn images(&self) -> &Images {
        &self.images
    }

    /// The same for an image whose configuration is a blob here. `target` is what its names stand for; `further` are
    /// blobs that stay as long as the image does; `progress` is told of each layer that is applied how many bytes of
    /// its blob were read.
    pub(crate) fn finish(
        &self,
        packed: &Packed,
        target: Descriptor,
        config: ImageConfig,
        names: &[ImageRef],
        further: BTreeSet<Digest>,
        progress: &mut Progress<'_>,
    ) -> Result<()> {
        let (manifest, diff_ids) = (&packed.manifest, &config.rootfs.diff_ids);
        if diff_ids.len() != manifest.layers.len() {
            let cause = format!(
                "invalid manifest, layers length mismatch: expected {}, got {}",
                manifest.layers.len(),
                diff_ids.len()
            );
            return Err(ImageError::Document { reference: manifest.config.digest.to_string(), cause });
        }
        self.images.content().put_as(&packed.document, &packed.descriptor.digest)?;
        let plans = plan(&manifest.layers, diff_ids);
        let hold = self.images.holds().hold(plans.iter().map(|plan| plan.chain.clone()).collect());
        plans.iter().for_each(|plan| self.lease.protect(&plan.blob.digest));
        let applied = self.apply(&plans, progress);
        if applied.is_err() {
            // What was applied so far goes with the next sweep.
            self.images.note_orphans();
        }
        applied?;
        let row = |plan: &LayerPlan| {
            let size = self.images.snapshotter().layer_size(&plan.chain)?;
            Ok(LayerRow { chain: plan.chain.clone(), size })
        };
        let layers = plans.iter().map(row).collect::<Result<Vec<LayerRow>>>()?;
        let id = manifest.config.digest.clone();
        let documents = [&target.digest, &packed.descriptor.digest, &id];
        let blobs =
            plans.iter().map(|plan| &plan.blob.digest).chain(documents).cloned().chain(further).collect();
        let row = ImageRow {
            config_size: manifest.config.size,
            blobs,
            layers,
            last_tagged: Default::default(),
            removed: false,
        };
        let stands = ReferenceRow { target, manifest: packed.descriptor.clone(), image: id.clone() };
        let names = names.iter().map(|name| (name.clone(), stands.clone())).collect();
        pull::commit(&self.images, Record { id, row, config }, names)?;
        drop(hold);
        Ok(())
    }

    // As many layers at a time as there are processors.
    fn apply(&self, plans: &[LayerPlan], progress: &mut Progress<'_>) -> Result<()> {
        let (next, progress) = (AtomicUsize::new(0), Mutex::new(progress));
        let work = || {
            while let Some(plan) = plans.get(next.fetch_add(1, Ordering::Relaxed)) {
                let mut told = |read| progress.lock().unwrap_or_else(PoisonError::into_inner)(plan, read);
                let known = self.hashed().contains(&plan.blob.digest);
                // After a failure nobody begins another.
                apply(&self.images, plan, known, &mut told)
                    .inspect_err(|_| next.store(plans.len(), Ordering::Relaxed))?;
            }
            Ok(())
        };
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..processors.min(plans.len())).map(|_| scope.spawn(work)).collect();
            let own = work();
            let panicked = |_| Err(ImageError::Task("applying a layer panicked".into()));
            others.into_iter().map(|other| other.join().unwrap_or_else(panicked)).fold(own, Result::and)
        })
    }

    /// Notes a blob that was hashed on its way in, by this making: it is what its name says.
    pub(crate) fn note_hashed(&self, blob: Digest) {
        self.hashed().insert(blob);
    }
    fn hashed(&self) -> MutexGuard<'_, BTreeSet<Digest>> {
        self.hashed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Told of each layer that is applied how many bytes of its blob were read.
pub(crate) type Progress<'a> = dyn FnMut(&LayerPlan, u64) -> Result<()> + Send + 'a;

// Makes sure that the layer is in the snapshotter, out of its blob. `known`: the blob is what its name says.
pub(crate) fn apply(
    images: &Images,
    plan: &LayerPlan,
    known: bool,
    progress: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<()> {
    if images.snapshotter().has(&plan.chain) {
        return Ok(());
    }
    let file = images.content().reader(&plan.blob.digest)?;
    // A blob that is named by the diff id is the layer's tar: both may be one file.
    let is_tar = plan.blob.digest == plan.diff_id.0;
    let tar = is_tar.then(|| images.content().reader(&plan.blob.digest)).transpose()?;
    let counted = Counted { file, read: 0, progress };
    let plain = Decompressor::detect(counted).map_err(|error| unpack::failed(plan, &error))?;
    let verified = known && is_tar && plain.compression() == hull_archive::Compression::None;
    let checked = if verified { Checked::Before } else { Checked::Now };
    unpack::apply(images.snapshotter().as_ref(), plan, plain, tar.as_ref(), checked)
}

struct Counted<'a> {
    file: std::fs::File,
    read: u64,
    progress: &'a mut dyn FnMut(u64) -> Result<()>,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.read += read as u64;
        (self.progress)(self.read).map_err(io::Error::other)?;
        Ok(read)
    }
}

/// Whether a layer changes nothing.
pub fn is_empty_layer(layer: &Descriptor) -> bool {
    layer.digest.as_str() == EMPTY_LAYER
}

/// The record of an image that was just made.
pub(crate) fn known(images: &Images, id: &Digest) -> Option<Arc<Record>> {
    images.catalogue().read().images.get(id).cloned()
}
