//! The layers of a pull: several are downloaded at once while others are unpacked.

use crate::Images;
use crate::catalogue::LayerRow;
use crate::download::download;
use crate::error::{ImageError, Result};
use crate::progress::{LayerProgress, send, state};
use crate::shared::Hold;
use hull_api_types::JsonMessage;
use hull_archive::Decompressor;
use hull_content::{Hasher, Lease, digest_of};
use hull_registry_client::Repository;
use hull_types::oci::image::Descriptor;
use hull_types::{ChainId, DiffId, Digest, short_id};
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc::Sender;
use tokio::task::JoinSet;

/// One layer to have.
#[derive(Debug, Clone)]
pub(crate) struct LayerPlan {
    pub(crate) blob: Descriptor,
    pub(crate) diff_id: DiffId,
    pub(crate) parent: Option<ChainId>,
    pub(crate) chain: ChainId,
}

/// The layers of an image, the lowest first.
pub(crate) fn plan(blobs: &[Descriptor], diff_ids: &[DiffId]) -> Vec<LayerPlan> {
    let mut parent: Option<ChainId> = None;
    let mut plans = Vec::new();
    for (blob, diff_id) in blobs.iter().zip(diff_ids) {
        let chain = match &parent {
            None => ChainId(diff_id.0.clone()),
            Some(parent) => ChainId(digest_of(ChainId::text_of(parent, diff_id).as_bytes())),
        };
        let plan = LayerPlan { blob: blob.clone(), diff_id: diff_id.clone(), parent, chain: chain.clone() };
        plans.push(plan);
        parent = Some(chain);
    }
    plans
}

/// What the layers of one pull share.
struct Work {
    images: Images,
    // None for an image whose blobs are here already.
    repository: Option<Repository>,
    lease: Arc<Lease>,
    // An unpacking that is under way when its pull is given up ends at its next read; the layers are held until then.
    _hold: Arc<Hold>,
    given_up: AtomicBool,
    to: Sender<JsonMessage>,
}

/// Gives the work up when the pull that waits for it is dropped.
struct Waiting(Arc<Work>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.given_up.store(true, Ordering::Relaxed);
    }
}

/// Makes sure that all layers are in the snapshotter.
pub(crate) async fn fetch(
    images: &Images,
    repository: Option<Repository>,
    plans: &[LayerPlan],
    lease: &Arc<Lease>,
    hold: &Arc<Hold>,
    to: &Sender<JsonMessage>,
) -> Result<Vec<LayerRow>> {
    let given_up = AtomicBool::new(false);
    let work = Work {
        images: images.clone(),
        repository,
        lease: lease.clone(),
        _hold: hold.clone(),
        given_up,
        to: to.clone(),
    };
    let work = Arc::new(work);
    let waiting = Waiting(work.clone());
    let mut missing = Vec::new();
    for plan in plans {
        let here = images.snapshotter().has(&plan.chain);
        let status = if here { "Already exists" } else { "Pulling fs layer" };
        send(to, state(short_id(plan.blob.digest.as_str()), status)).await?;
        missing.extend((!here).then(|| plan.clone()));
    }
    let mut tasks = JoinSet::new();
    for plan in missing {
        tasks.spawn(layer(work.clone(), plan));
    }
    // The first failure ends all: dropping the set aborts the others.
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    drop(waiting);
    let snapshotter = images.snapshotter().clone();
    let chains: Vec<ChainId> = plans.iter().map(|plan| plan.chain.clone()).collect();
    let sized = move || {
        let row = |chain: ChainId| Ok(LayerRow { size: snapshotter.layer_size(&chain)?, chain });
        chains.into_iter().map(row).collect::<Result<Vec<LayerRow>>>()
    };
    tokio::task::spawn_blocking(sized).await?
}

async fn layer(work: Arc<Work>, plan: LayerPlan) -> Result<()> {
    let progress = LayerProgress::new(short_id(plan.blob.digest.as_str()), plan.blob.size, work.to.clone());
    fetch_blob(&work, &plan, &progress).await?;
    progress.state("Download complete").await?;
    // Another pull may be unpacking the very layer.
    let once = work.images.keyed().lock(plan.chain.0.as_str()).await;
    let slot = work.images.unpacking().clone().acquire_owned().await.map_err(|_| ImageError::Cancelled)?;
    let unpacking = tokio::task::spawn_blocking(move || {
        // Both go with the thread, which outlives this task when the pull is given up.
        let _held = (once, slot);
        unpack(&work, &plan, progress)
    });
    unpacking.await?
}

async fn fetch_blob(work: &Work, plan: &LayerPlan, progress: &LayerProgress) -> Result<()> {
    let images = &work.images;
    let _once = images.keyed().lock(&format!("blob {}", plan.blob.digest)).await;
    work.lease.protect(&plan.blob.digest);
    if images.content().has(&plan.blob.digest) {
        return Ok(());
    }
    let Some(repository) = &work.repository else {
        return Err(hull_content::ContentError::NotFound(plan.blob.digest.clone()).into());
    };
    let slot = match images.downloading().try_acquire() {
        Ok(slot) => slot,
        Err(_) => {
            progress.state("Waiting").await?;
            images.downloading().acquire().await.map_err(|_| ImageError::Cancelled)?
        }
    };
    let attempts = images.config().max_download_attempts;
    download(repository, images.content(), &plan.blob, attempts, Some(progress)).await?;
    drop(slot);
    Ok(())
}

fn unpack(work: &Work, plan: &LayerPlan, progress: LayerProgress) -> Result<()> {
    let snapshotter = work.images.snapshotter();
    if !snapshotter.has(&plan.chain) {
        let file = work.images.content().reader(&plan.blob.digest)?;
        let counted = Counted { file, read: 0, progress: &progress, given_up: &work.given_up };
        let failed = |cause: String| ImageError::Unpack { digest: plan.blob.digest.clone(), cause };
        let plain = Decompressor::detect(counted).map_err(|error| failed(error.to_string()))?;
        let mut verified =
            Verified { plain, hasher: Some(Hasher::like(Some(&plan.diff_id.0))), plan, found: None };
        let applied = snapshotter.apply(plan.parent.as_ref(), &plan.chain, &mut verified);
        // The reader fails at its end if the layer is not what the configuration says; a driver that did not read
        // so far is made to.
        let read = io::copy(&mut verified, &mut io::sink());
        let wrong = verified.found.filter(|found| *found != plan.diff_id.0);
        if applied.is_ok() && (read.is_err() || wrong.is_some()) {
            let _ = snapshotter.remove_layer(&plan.chain);
        }
        if work.given_up.load(Ordering::Relaxed) && (applied.is_err() || read.is_err()) {
            return Err(ImageError::Cancelled);
        }
        if let Some(found) = wrong {
            let cause = format!("its content is {found}, the image's configuration says {}", plan.diff_id.0);
            return Err(ImageError::Layer { digest: plan.blob.digest.clone(), cause });
        }
        applied?;
        read.map_err(|error| failed(error.to_string()))?;
    }
    progress.state_blocking("Pull complete")
}

// Counts what is read of the compressed file, for the progress bar, and ends when the pull was given up.
struct Counted<'a> {
    file: std::fs::File,
    read: u64,
    progress: &'a LayerProgress,
    given_up: &'a AtomicBool,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given_up.load(Ordering::Relaxed) {
            return Err(io::Error::other("the pull was cancelled"));
        }
        let read = self.file.read(buffer)?;
        self.read += read as u64;
        if read > 0 {
            self.progress.advance("Extracting", self.read).map_err(io::Error::other)?;
        }
        Ok(read)
    }
}

// Passes the layer's tar on, and fails instead of ending when it is not the one expected: a driver that commits a
// layer at its reader's end never commits a wrong one.
struct Verified<'a, R> {
    plain: R,
    hasher: Option<Hasher>,
    plan: &'a LayerPlan,
    found: Option<Digest>,
}

impl<R: Read> Read for Verified<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let read = self.plain.read(buffer)?;
        if read > 0 {
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&buffer[..read]);
            }
            return Ok(read);
        }
        if let Some(hasher) = self.hasher.take() {
            self.found = Some(hasher.finish());
        }
        match &self.found {
            Some(found) if *found != self.plan.diff_id.0 => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "layer content does not match its diff id"))
            }
            _ => Ok(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_are_the_specifications() {
        let diff = |byte: u8| DiffId(Digest::sha256(&[byte; 32]));
        let blob = serde_json::from_value::<Descriptor>(serde_json::json!({
            "mediaType": "", "digest": diff(9).0, "size": 1
        }))
        .unwrap();
        let plans = plan(&[blob.clone(), blob.clone(), blob], &[diff(1), diff(2), diff(3)]);
        assert_eq!(plans[0].chain.0, diff(1).0);
        let second = digest_of(format!("{} {}", diff(1).0, diff(2).0).as_bytes());
        assert_eq!(plans[1].chain.0, second);
        assert_eq!(plans[2].chain.0, digest_of(format!("{second} {}", diff(3).0).as_bytes()));
        assert_eq!(plans[2].parent.as_ref(), Some(&plans[1].chain));
    }
}
