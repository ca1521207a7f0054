//! A blob from the registry into the content store: hashed on the way, and gone on with where it broke off.

use crate::error::{ImageError, Result};
use crate::progress::LayerProgress;
use bytes::Bytes;
use futures::StreamExt;
use hull_content::{Content, ContentError, Ingest};
use hull_registry_client::Repository;
use hull_types::oci::image::Descriptor;
use std::io::Write;
use std::time::Duration;
use tokio::sync::mpsc;

/// Chunks between the network and the writing thread.
const QUEUE: usize = 32;
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Downloads `wanted`, trying at most `attempts` times.
pub(crate) async fn download(
    repository: &Repository,
    content: &Content,
    wanted: &Descriptor,
    attempts: u32,
    progress: Option<&LayerProgress>,
) -> Result<()> {
    let mut ingest = content.ingest(Some(&wanted.digest))?;
    let mut tried = 1;
    loop {
        let (back, outcome) = transfer(repository, wanted, ingest, progress).await?;
        ingest = back;
        match outcome {
            Ok(()) => break,
            Err(broken) if broken.temporary && tried < attempts => {
                pause(broken, tried, progress).await?;
                tried += 1;
            }
            Err(broken) => return Err(broken.error),
        }
    }
    if let Some(progress) = progress {
        progress.state("Verifying Checksum").await?;
    }
    let digest = wanted.digest.clone();
    tokio::task::spawn_blocking(move || ingest.commit(&digest)).await?.map_err(|error| match error {
        ContentError::Mismatch { expected, actual } => {
            ImageError::Layer { digest: expected, cause: format!("what was downloaded is {actual}") }
        }
        other => other.into(),
    })
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

async fn pause(broken: Broken, tried: u32, progress: Option<&LayerProgress>) -> Result<()> {
    let doubling = Duration::from_secs(1 << (tried - 1).min(6));
    let wait = broken.wait.unwrap_or(doubling).min(LONGEST_WAIT);
    tracing::warn!(error = %broken.error, ?wait, "download broke off, trying again");
    if let Some(progress) = progress {
        let seconds = wait.as_secs().max(1);
        let plural = if seconds == 1 { "" } else { "s" };
        progress.state(&format!("Retrying in {seconds} second{plural}")).await?;
    }
    tokio::time::sleep(wait).await;
    Ok(())
}

// One attempt. The ingest comes back with what it has got so far.
async fn transfer(
    repository: &Repository,
    wanted: &Descriptor,
    ingest: Ingest,
    progress: Option<&LayerProgress>,
) -> Result<(Ingest, Result<(), Broken>)> {
    let blob = match repository.blob(wanted, ingest.offset()).await {
        Ok(blob) => blob,
        Err(error) => return Ok((ingest, Err(error.into()))),
    };
    let mut offset = blob.offset;
    let (chunks, queue) = mpsc::channel::<Bytes>(QUEUE);
    // Hashing and writing may wait for the disk: on a thread of their own.
    let writer = tokio::task::spawn_blocking(move || write(ingest, offset, queue));
    let mut outcome = Ok(());
    let mut stream = blob.stream;
    while let Some(chunk) = stream.next().await {
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(error) => {
                outcome = Err(error.into());
                break;
            }
        };
        offset += chunk.len() as u64;
        if offset > wanted.size {
            outcome = Err(Broken::for_good(wrong_size(wanted, "more")));
            break;
        }
        // The writer has gone: what it has to say comes with its end.
        if chunks.send(chunk).await.is_err() {
            break;
        }
        if let Some(progress) = progress {
            progress.advance("Downloading", offset)?;
        }
    }
    drop(chunks);
    let ingest = writer.await??;
    if outcome.is_ok() && ingest.offset() < wanted.size {
        outcome = Err(Broken { error: wrong_size(wanted, "fewer"), temporary: true, wait: None });
    }
    Ok((ingest, outcome))
}

fn write(mut ingest: Ingest, offset: u64, mut queue: mpsc::Receiver<Bytes>) -> Result<Ingest> {
    if offset != ingest.offset() {
        // The server does not do ranges.
        ingest.restart()?;
    }
    while let Some(chunk) = queue.blocking_recv() {
        ingest.write_all(&chunk).map_err(|source| ContentError::Write { path: "ingest".into(), source })?;
    }
    Ok(ingest)
}

fn wrong_size(wanted: &Descriptor, what: &str) -> ImageError {
    let cause = format!("{what} bytes came than the {} that the manifest says", wanted.size);
    ImageError::Layer { digest: wanted.digest.clone(), cause }
}
