//! A blob from the registry into the content store: by pieces in parallel where it is large and the registry gives
//! pieces, and gone on with where it broke off, be it in this pull or an earlier one.

use crate::error::{ImageError, Result};
use crate::progress::LayerProgress;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use hull_content::{Content, ContentError, Partial};
use hull_registry_client::Repository;
use hull_types::oci::image::Descriptor;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};

/// What of a large blob is asked for at once.
const PIECE: u64 = 16 << 20;
/// How many pieces of one blob are on their way at most; each but the first takes a free slot of the downloads'.
const CONNECTIONS: usize = 4;
/// Chunks between the network and the writing thread.
const QUEUE: usize = 8;
/// What has to arrive between two breaks for the first not to count, in bytes: a transfer that gets on is tried for as
/// long as it does.
const GAIN: u64 = 256 << 10;
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// One blob's way in.
pub(crate) struct Download<'a> {
    pub(crate) repository: &'a Repository,
    pub(crate) wanted: &'a Descriptor,
    pub(crate) partial: &'a Partial,
    /// How often a broken transfer is tried that does not get on.
    pub(crate) attempts: u32,
    /// Where free slots are, for pieces in parallel.
    pub(crate) slots: &'a Semaphore,
    pub(crate) progress: Option<&'a LayerProgress>,
}

struct Broken {
    error: ImageError,
    temporary: bool,
    wait: Option<Duration>,
}

impl Broken {
    fn for_good(error: ImageError) -> Self {
        Self { error, temporary: false, wait: None }
    }
}

impl From<hull_registry_client::RegistryError> for Broken {
    fn from(error: hull_registry_client::RegistryError) -> Self {
        Self { temporary: error.is_temporary(), wait: error.retry_after(), error: error.into() }
    }
}

/// What a request was answered with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Served {
    /// The part asked for.
    Part,
    /// Everything: the registry does no ranges.
    Whole,
}

impl Download<'_> {
    /// Brings in what is missing. Verifying it is the reader's business.
    pub(crate) async fn run(&self) -> Result<()> {
        let size = self.wanted.size;
        let arrived = AtomicU64::new(self.partial.ready());
        let mut next = self.partial.ready();
        let large = size - next > 2 * PIECE;
        let first = if large { next + PIECE } else { size };
        if next < size && self.part(next, first, &arrived).await? == Served::Whole {
            return Ok(());
        }
        next = first;
        let mut working = FuturesUnordered::new();
        loop {
            while next < size && working.len() < CONNECTIONS {
                // Further pieces come from the file, not from memory: only where the network is what is slow.
                if !working.is_empty() && self.partial.is_ahead() {
                    break;
                }
                let slot = self.slots.try_acquire().ok();
                if slot.is_none() && !working.is_empty() {
                    break;
                }
                let (from, to) = (next, (next + PIECE).min(size));
                let arrived = &arrived;
                working.push(async move {
                    let _slot = slot;
                    self.part(from, to, arrived).await
                });
                next = to;
            }
            match working.next().await {
                Some(done) => drop(done?),
                None => return Ok(()),
            }
        }
    }

    // Fetches one part, trying again what breaks off.
    async fn part(&self, from: u64, to: u64, arrived: &AtomicU64) -> Result<Served> {
        let (mut at, mut tried) = (from, 1);
        loop {
            let before = at;
            let outcome = self.transfer(&mut at, to, arrived).await;
            if at - before >= GAIN {
                tried = 1;
            }
            match outcome {
                Ok(served) => return Ok(served),
                Err(broken) if broken.temporary && tried < self.attempts => {
                    self.pause(broken, tried).await?;
                    tried += 1;
                }
                Err(broken) => return Err(broken.error),
            }
        }
    }

    async fn pause(&self, broken: Broken, tried: u32) -> Result<()> {
        let doubling = Duration::from_secs(1 << (tried - 1).min(6));
        let wait = broken.wait.unwrap_or(doubling).min(LONGEST_WAIT);
        tracing::warn!(error = %broken.error, ?wait, "download broke off, trying again");
        if let Some(progress) = self.progress {
            let seconds = wait.as_secs().max(1);
            let plural = if seconds == 1 { "" } else { "s" };
            progress.state(&format!("Retrying in {seconds} second{plural}")).await?;
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }

    // One request, for `at` to `to`; `at` is how far it came.
    async fn transfer(&self, at: &mut u64, to: u64, arrived: &AtomicU64) -> Result<Served, Broken> {
        let wanted = self.wanted;
        let blob = self.repository.blob_part(wanted, *at, (to < wanted.size).then_some(to)).await?;
        // A registry that begins anew sends what is here already once more: it is passed over.
        let (mut offset, whole) = (blob.offset, blob.offset != *at || blob.whole);
        let end = if whole { wanted.size } else { to };
        let (chunks, queue) = mpsc::channel::<(u64, Bytes)>(QUEUE);
        let partial = self.partial.clone();
        // Writing may wait for the disk: on a thread of its own.
        let writer = tokio::task::spawn_blocking(move || write(&partial, queue));
        let mut outcome = Ok(());
        let mut stream = blob.stream;
        while let Some(chunk) = stream.next().await {
            let mut chunk = match chunk {
                Ok(chunk) => chunk,
                Err(error) => {
                    outcome = Err(error.into());
                    break;
                }
            };
            let begins = offset;
            offset += chunk.len() as u64;
            if offset > end {
                outcome = Err(Broken::for_good(wrong_size(wanted, "more")));
                break;
            }
            let known = at.saturating_sub(begins).min(chunk.len() as u64);
            let piece = chunk.split_off(known as usize);
            // The writer has gone: what it has to say comes with its end.
            if !piece.is_empty() && chunks.send((begins + known, piece)).await.is_err() {
                break;
            }
            let new = offset.saturating_sub(*at);
            *at = offset.max(*at);
            let total = arrived.fetch_add(new, Ordering::Relaxed) + new;
            if let Some(progress) = self.progress {
                progress.advance("Downloading", total).map_err(Broken::for_good)?;
            }
        }
        drop(chunks);
        let written = writer.await.map_err(|error| Broken::for_good(error.into()))?;
        written.map_err(|error| Broken::for_good(error.into()))?;
        outcome?;
        if offset < end {
            return Err(Broken { error: wrong_size(wanted, "fewer"), temporary: true, wait: None });
        }
        Ok(if whole { Served::Whole } else { Served::Part })
    }
}

fn write(partial: &Partial, mut queue: mpsc::Receiver<(u64, Bytes)>) -> Result<(), ContentError> {
    let mut writer = partial.writer();
    while let Some((offset, piece)) = queue.blocking_recv() {
        writer.write_at(offset, &piece)?;
    }
    writer.flush()
}

/// Downloads a blob that is only kept, such as a configuration.
pub(crate) async fn fetch(
    repository: &Repository,
    content: &Content,
    wanted: &Descriptor,
    attempts: u32,
    slots: &Semaphore,
) -> Result<()> {
    loop {
        let partial = content.partial(&wanted.digest, wanted.size)?;
        let resumed = partial.ready() > 0;
        let download = Download { repository, wanted, partial: &partial, attempts, slots, progress: None };
        download.run().await?;
        let done = partial.clone();
        let verified = tokio::task::spawn_blocking(move || {
            let actual = done.follow().digest().map_err(|error| read_failed(&done, error))?;
            Ok::<_, ImageError>(done.commit(&actual)?)
        });
        match settled(verified.await?, resumed)? {
            Settled::Done => return Ok(()),
            Settled::Again => {}
        }
    }
}

/// What became of a blob that arrived.
pub(crate) enum Settled {
    /// It is there.
    Done,
    /// What an earlier pull had left of it was not right, and is gone: fetch it from its beginning.
    Again,
}

/// Tells a wrong blob from one of which a wrong half was lying about.
pub(crate) fn settled(outcome: Result<()>, resumed: bool) -> Result<Settled> {
    match outcome {
        Ok(()) => Ok(Settled::Done),
        Err(ImageError::Content(ContentError::Mismatch { .. })) if resumed => Ok(Settled::Again),
        Err(ImageError::Content(ContentError::Mismatch { expected, actual })) => {
            Err(ImageError::Layer { digest: expected, cause: format!("what was downloaded is {actual}") })
        }
        Err(error) => Err(error),
    }
}

/// A file of the store's own that could not be read, or a transfer that was given up.
pub(crate) fn read_failed(partial: &Partial, error: std::io::Error) -> ImageError {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => ImageError::Cancelled,
        _ => ContentError::Read { digest: partial.digest().clone(), source: error }.into(),
    }
}

fn wrong_size(wanted: &Descriptor, what: &str) -> ImageError {
    let cause = format!("{what} bytes came than the {} that the manifest says", wanted.size);
    ImageError::Layer { digest: wanted.digest.clone(), cause }
}
