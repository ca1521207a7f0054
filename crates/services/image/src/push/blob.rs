//! One blob on its way out: there already, mounted, sent as it is, or compressed while it is sent.

use crate::Images;
use crate::error::{ImageError, Result};
use crate::progress::{LayerProgress, send, state};
use bytes::Bytes;
use futures::StreamExt;
use hull_api_types::JsonMessage;
use hull_content::{ContentError, Hasher};
use hull_registry_client::{Begun, Payload, RegistryError, Repository, Sent, Upload};
use hull_types::Digest;
use hull_types::oci::image::{Descriptor, media_type};
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// What is read of a file at once, and how much of it waits to be sent.
const PIECE: usize = 256 * 1024;
const QUEUE: usize = 4;
const ATTEMPTS: u32 = 5;

/// What the blobs of one push share.
pub(crate) struct Pushing {
    pub(crate) images: Images,
    pub(crate) repository: Repository,
    pub(crate) to: tokio::sync::mpsc::Sender<JsonMessage>,
}

pub(crate) struct Blob {
    pub(crate) pushing: Pushing,
    pub(crate) descriptor: Descriptor,
    /// What the client's line is called.
    pub(crate) id: String,
    /// Whether it has no line.
    pub(crate) quiet: bool,
}

/// A blob that is compressed on its way.
struct Packing {
    payload: Payload,
    /// What it became, once all of it is sent.
    became: oneshot::Receiver<io::Result<Descriptor>>,
}

impl Blob {
    /// Sees to it that the registry has the blob; what it is there.
    pub(crate) async fn push(&self) -> Result<Descriptor> {
        let slot = match self.pushing.images.uploading().try_acquire() {
            Ok(slot) => slot,
            Err(_) => {
                self.say("Waiting").await?;
                self.pushing.images.uploading().acquire().await.map_err(|_| ImageError::Cancelled)?
            }
        };
        let digest = &self.descriptor.digest;
        let sources = self.pushing.images.sources();
        // A plain layer that no registry gave us was made here: it is compressed. One that came so goes so.
        let plain =
            [media_type::OCI_LAYER, media_type::DOCKER_LAYER].contains(&self.descriptor.media_type.as_str());
        let done = if plain && !sources.any(digest) {
            match sources.compressed(digest) {
                Some(made) if self.there(&made.digest).await? => made,
                _ => self.pack().await?,
            }
        } else {
            if !self.there(digest).await? {
                self.upload().await?;
            }
            self.descriptor.clone()
        };
        drop(slot);
        Ok(done)
    }

    /// The same for one that goes with the bytes that it has here.
    pub(crate) async fn push_as_it_is(&self) -> Result<()> {
        let _slot = self.pushing.images.uploading().acquire().await.map_err(|_| ImageError::Cancelled)?;
        if !self.there(&self.descriptor.digest).await? {
            self.upload().await?;
        }
        Ok(())
    }

    // Whether the registry has it, be it by mounting it from another of its repositories.
    async fn there(&self, digest: &Digest) -> Result<bool> {
        let repository = &self.pushing.repository;
        if repository.blob_size(digest).await?.is_some() {
            self.say("Layer already exists").await?;
            return Ok(true);
        }
        let name = repository.name();
        for path in self.pushing.images.sources().at(name.domain(), digest).iter().take(4) {
            // A registry that does not mount begins an upload, which is left to end by itself.
            if let (true, Ok(Begun::Mounted)) =
                (path != name.path(), repository.begin_upload(Some((digest, path))).await)
            {
                self.say(&format!("Mounted from {path}")).await?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    // As it is, going on where it breaks off.
    async fn upload(&self) -> Result<()> {
        let (digest, size) = (&self.descriptor.digest, self.descriptor.size);
        let progress = Arc::new(self.progress(size));
        let mut upload = self.begin().await?;
        let (mut offset, mut tried) = (0, 1);
        loop {
            let payload = self.file(offset, &progress)?;
            match upload.send(offset, payload, Some(digest), Arc::default()).await {
                Ok(Sent::All) => break upload.finish(digest).await?,
                Ok(Sent::Finished) => break,
                // It takes no chunks.
                Err(RegistryError::Status { status: 404 | 405 | 501, .. }) if offset == 0 => {
                    upload = self.begin().await?;
                    break upload.send_whole(self.file(0, &progress)?, digest, Arc::default()).await?;
                }
                Err(error) if error.is_temporary() && tried < ATTEMPTS => {
                    self.pause(&error, tried).await?;
                    tried += 1;
                    (upload, offset) = match upload.received().await.filter(|offset| *offset <= size) {
                        Some(offset) => (upload, offset),
                        None => (self.begin().await?, 0),
                    };
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.say("Pushed").await
    }

    // Compressed while it is sent: what is broken off begins anew, as what was sent is kept nowhere.
    async fn pack(&self) -> Result<Descriptor> {
        let mut tried = 1;
        let (became, upload) = loop {
            let mut upload = self.begin().await?;
            let Packing { payload, became } = self.packing()?;
            match upload.send(0, payload, None, Arc::default()).await {
                Ok(_) => break (became, upload),
                Err(error) if error.is_temporary() && tried < ATTEMPTS => {
                    // Its own files may be the reason, and that is the more telling one.
                    if let Ok(Err(error)) = became.await {
                        return Err(self.unreadable(error));
                    }
                    self.pause(&error, tried).await?;
                    tried += 1;
                }
                Err(error) => return Err(error.into()),
            }
        };
        let became = became.await.map_err(|_| ImageError::Task("compressing ended".into()))?;
        let became = became.map_err(|error| self.unreadable(error))?;
        upload.finish(&became.digest).await?;
        self.pushing.images.sources().note_compressed(&self.descriptor.digest, &became)?;
        self.say("Pushed").await?;
        Ok(became)
    }

    async fn begin(&self) -> Result<Box<Upload>> {
        match self.pushing.repository.begin_upload(None).await? {
            Begun::Upload(upload) => Ok(upload),
            Begun::Mounted => Err(ImageError::Task("an upload was mounted".into())),
        }
    }

    fn file(&self, offset: u64, progress: &Arc<LayerProgress>) -> Result<Payload> {
        let mut file = self.pushing.images.content().reader(&self.descriptor.digest)?;
        file.seek(SeekFrom::Start(offset)).map_err(|error| self.unreadable(error))?;
        let length = Some(self.descriptor.size.saturating_sub(offset));
        let (full, pieces) = mpsc::channel(QUEUE);
        let (progress, quiet) = (progress.clone(), self.quiet);
        tokio::task::spawn_blocking(move || {
            let mut at = offset;
            loop {
                let mut piece = Vec::with_capacity(PIECE);
                let read = file.by_ref().take(PIECE as u64).read_to_end(&mut piece);
                let piece = match read {
                    Ok(0) => return,
                    Ok(_) => Ok(Bytes::from(piece)),
                    Err(error) => Err(error),
                };
                at += piece.as_ref().map_or(0, |piece| piece.len() as u64);
                let failed = piece.is_err();
                let heard = quiet || progress.advance("Pushing", at).is_ok();
                if full.blocking_send(piece).is_err() || failed || !heard {
                    return;
                }
            }
        });
        Ok(Payload { length, stream: stream(pieces) })
    }

    fn packing(&self) -> Result<Packing> {
        let (full, pieces) = mpsc::channel(QUEUE);
        let (say, became) = oneshot::channel();
        let file = self.pushing.images.content().reader(&self.descriptor.digest)?;
        let (progress, plain) = (self.progress(self.descriptor.size), self.descriptor.clone());
        tokio::task::spawn_blocking(move || {
            let made = pack(file, &plain, &progress, &full);
            if let Err(error) = &made {
                let _ = full.blocking_send(Err(io::Error::new(error.kind(), error.to_string())));
            }
            let _ = say.send(made);
        });
        Ok(Packing { payload: Payload { length: None, stream: stream(pieces) }, became })
    }

    fn progress(&self, total: u64) -> LayerProgress {
        LayerProgress::new(&self.id, total, self.pushing.to.clone())
    }
    async fn say(&self, what: &str) -> Result<()> {
        match self.quiet {
            true => Ok(()),
            false => send(&self.pushing.to, state(&self.id, what)).await,
        }
    }
    async fn pause(&self, error: &RegistryError, tried: u32) -> Result<()> {
        let wait =
            error.retry_after().unwrap_or(Duration::from_secs(1 << tried)).min(Duration::from_secs(60));
        tracing::warn!(%error, ?wait, "upload broke off, trying again");
        self.say(&format!("Retrying in {} seconds", wait.as_secs().max(1))).await?;
        tokio::time::sleep(wait).await;
        Ok(())
    }
    fn unreadable(&self, source: io::Error) -> ImageError {
        ContentError::Read { digest: self.descriptor.digest.clone(), source }.into()
    }
}

fn stream(
    pieces: mpsc::Receiver<io::Result<Bytes>>,
) -> futures::stream::BoxStream<'static, io::Result<Bytes>> {
    futures::stream::unfold(pieces, |mut pieces| async { pieces.recv().await.map(|piece| (piece, pieces)) })
        .boxed()
}

// Sends the gzip of a file, and says what it is. A file that is not what its name says is not sent to its end.
fn pack(
    file: impl Read,
    plain: &Descriptor,
    progress: &LayerProgress,
    full: &mpsc::Sender<io::Result<Bytes>>,
) -> io::Result<Descriptor> {
    let mut verified = Verified { file, hasher: Hasher::like(Some(&plain.digest)), read: 0, plain, progress };
    let (mut hasher, mut size) = (Hasher::like(None), 0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    hull_archive::gzip(&mut verified, threads, &mut |piece| {
        hasher.update(&piece);
        size += piece.len() as u64;
        full.blocking_send(Ok(piece.into())).map_err(|_| io::Error::other("the upload broke off"))
    })?;
    let kind = match plain.media_type.as_str() {
        media_type::DOCKER_LAYER => media_type::DOCKER_LAYER_GZIP,
        _ => media_type::OCI_LAYER_GZIP,
    };
    let digest = hasher.finish();
    Ok(Descriptor { media_type: kind.into(), digest, size, ..plain.clone() })
}

struct Verified<'a, R> {
    file: R,
    hasher: Hasher,
    read: u64,
    plain: &'a Descriptor,
    progress: &'a LayerProgress,
}

impl<R: Read> Read for Verified<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        self.read += read as u64;
        if read > 0 {
            self.progress.advance("Pushing", self.read).map_err(io::Error::other)?;
        } else if self.hasher.clone().finish() != self.plain.digest {
            let text = format!("what is kept as {} is damaged", self.plain.digest);
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(read)
    }
}
