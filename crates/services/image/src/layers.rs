//! The layers of a pull: several are downloaded at once, each unpacked while it comes in.

use crate::Images;
use crate::catalogue::LayerRow;
use crate::download::{Download, Settled, settled};
use crate::error::{ImageError, Result};
use crate::progress::{LayerProgress, send, state};
use crate::shared::Hold;
use crate::unpack::{Source, unpack};
use hull_api_types::JsonMessage;
use hull_content::{Lease, Partial};
use hull_registry_client::Repository;
use hull_snapshot::chain_of;
use hull_types::oci::image::Descriptor;
use hull_types::{ChainId, DiffId, Digest, short_id};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::OwnedMutexGuard;
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
        let chain = chain_of(parent.as_ref(), diff_id);
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
    let progress =
        Arc::new(LayerProgress::new(short_id(plan.blob.digest.as_str()), plan.blob.size, work.to.clone()));
    let images = work.images.clone();
    // Another pull may be at the very layer, or at its blob for another: what that one did is not done again.
    let once: Locks = Arc::new([
        images.keyed().lock(plan.chain.0.as_str()).await,
        images.keyed().lock(&blob_key(&plan)).await,
    ]);
    work.lease.protect(&plan.blob.digest);
    if !images.snapshotter().has(&plan.chain) {
        while let Settled::Again = bring(&work, &plan, &once, &progress).await? {}
    }
    progress.state("Pull complete").await
}

/// Held by a layer's task and by the thread that unpacks it, which outlives the task when the pull is given up.
type Locks = Arc<[OwnedMutexGuard<()>; 2]>;

fn blob_key(plan: &LayerPlan) -> String {
    format!("blob {}", plan.blob.digest)
}

// One layer: its blob, where it is not here, and what is in it.
async fn bring(
    work: &Arc<Work>,
    plan: &LayerPlan,
    once: &Locks,
    progress: &Arc<LayerProgress>,
) -> Result<Settled> {
    let content = work.images.content();
    if content.has(&plan.blob.digest) {
        progress.downloaded().await?;
        let source = Source::Here(content.reader(&plan.blob.digest)?);
        unpacked(work, plan, source, once, progress).await?;
        return Ok(Settled::Done);
    }
    let Some(repository) = &work.repository else {
        return Err(hull_content::ContentError::NotFound(plan.blob.digest.clone()).into());
    };
    let partial = content.partial(&plan.blob.digest, plan.blob.size)?;
    let resumed = partial.ready() > 0;
    // Whatever ends this early, its reader hears of it.
    let _end = GiveUp(partial.clone());
    let source = Source::Coming(Box::new(partial.follow()));
    let downloading = download(work, repository, plan, &partial, progress);
    let unpacking = unpacked(work, plan, source, once, progress);
    let ((), actual) = tokio::try_join!(downloading, unpacking)?;
    let actual = actual.unwrap_or_else(|| plan.blob.digest.clone());
    let committed = tokio::task::spawn_blocking(move || partial.commit(&actual)).await?;
    settled(committed.map_err(Into::into), resumed)
}

struct GiveUp(Partial);

impl Drop for GiveUp {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

async fn download(
    work: &Work,
    repository: &Repository,
    plan: &LayerPlan,
    partial: &Partial,
    progress: &LayerProgress,
) -> Result<()> {
    let slots = work.images.downloading();
    let slot = match slots.try_acquire() {
        Ok(slot) => slot,
        Err(_) => {
            progress.state("Waiting").await?;
            slots.acquire().await.map_err(|_| ImageError::Cancelled)?
        }
    };
    let attempts = work.images.attempts();
    let wanted = &plan.blob;
    Download { repository, wanted, partial, attempts, slots, progress: Some(progress) }.run().await?;
    drop(slot);
    progress.state("Verifying Checksum").await?;
    progress.downloaded().await
}

async fn unpacked(
    work: &Arc<Work>,
    plan: &LayerPlan,
    source: Source,
    once: &Locks,
    progress: &Arc<LayerProgress>,
) -> Result<Option<Digest>> {
    let slot = work.images.unpacking().clone().acquire_owned().await.map_err(|_| ImageError::Cancelled)?;
    let (work, plan, once, progress) = (work.clone(), plan.clone(), once.clone(), progress.clone());
    let unpacking = move || {
        let _held = (once, slot);
        unpack(work.images.snapshotter().as_ref(), &plan, source, &progress, &work.given_up)
    };
    tokio::task::spawn_blocking(unpacking).await?
}

#[cfg(test)]
mod tests {
    use super::*;
    use hull_content::digest_of;

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
