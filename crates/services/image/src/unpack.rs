//! One layer on its way from its blob to the snapshotter, in one pass: read, inflated, hashed and applied while the
//! blob still comes in.
//!
//! ```text
//!   Follow (hashes the blob) ─► inflate ─[a few buffers]─► Verified (hashes the tar) ─► Snapshotter::apply
//!   └───────── a thread ─────────────┘                     └──────── the caller's thread ──────────┘
//! ```

use crate::error::{ImageError, Result};
use crate::layers::LayerPlan;
use crate::progress::LayerProgress;
use hull_archive::Decompressor;
use hull_content::{Follow, Hasher};
use hull_snapshot::Snapshotter;
use hull_types::Digest;
use std::fs::File;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

const BUFFER: usize = 256 * 1024;
/// How far inflating may be ahead of applying, in buffers.
const AHEAD: usize = 4;

/// Where the blob is read from.
pub(crate) enum Source {
    /// It is here; it was verified when it came.
    Here(File),
    /// It is coming.
    Coming(Box<Follow>),
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Here(file) => file.read(buffer),
            Self::Coming(follow) => follow.read(buffer),
        }
    }
}

impl Source {
    // What the whole blob hashes to; `None` for one that was verified before.
    fn digest(self) -> io::Result<Option<Digest>> {
        match self {
            Self::Here(_) => Ok(None),
            Self::Coming(follow) => follow.digest().map(Some),
        }
    }
}

/// Applies a layer. Returns what its blob hashes to, where that was not known.
pub(crate) fn unpack(
    snapshotter: &dyn Snapshotter,
    plan: &LayerPlan,
    source: Source,
    progress: &LayerProgress,
    given_up: &AtomicBool,
) -> Result<Option<Digest>> {
    let mut counted = Counted { source, read: 0, progress, given_up };
    let outcome = std::thread::scope(|scope| {
        let (full, pieces) = sync_channel(AHEAD);
        let (back, empty) = channel();
        let inflating = std::thread::Builder::new()
            .name("inflate".into())
            .spawn_scoped(scope, || inflate(&mut counted, full, empty))
            .map_err(|error| failed(plan, &error))?;
        let outcome = apply(snapshotter, plan, Pieces::new(pieces, back), None, Checked::Now);
        // Its receiver is gone: it ends, if it has not.
        inflating.join().map_err(|_| ImageError::Task("inflating panicked".into()))?;
        outcome
    });
    if given_up.load(Ordering::Relaxed) && outcome.is_err() {
        return Err(ImageError::Cancelled);
    }
    // A blob that is not the right one says more than what went wrong in unpacking it.
    let digest = counted.source.digest();
    match (outcome, digest) {
        (Err(_), Ok(Some(digest))) if digest != plan.blob.digest => Ok(Some(digest)),
        (Err(error), _) => Err(error),
        (Ok(()), Ok(digest)) => Ok(digest),
        (Ok(()), Err(error)) => Err(failed(plan, &error)),
    }
}

/// Whether a layer's tar is known to be the one expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checked {
    /// It was hashed as it came in.
    Before,
    /// It is hashed on its way to the snapshotter.
    Now,
}

/// Gives a layer's tar to the snapshotter; one that is not the layer expected is not there afterwards. `tar` is the
/// file that `plain` reads, if it is one: the snapshotter may keep it as it is.
pub(crate) fn apply(
    snapshotter: &dyn Snapshotter,
    plan: &LayerPlan,
    plain: impl Read,
    tar: Option<&File>,
    checked: Checked,
) -> Result<()> {
    let hasher = (checked == Checked::Now).then(|| Hasher::like(Some(&plan.diff_id.0)));
    let mut verified = Verified { plain, hasher, plan, found: None };
    let applied = snapshotter.apply(plan.parent.as_ref(), &plan.diff_id, &mut verified, tar);
    // The reader fails at its end if the layer is not what the configuration says; a driver that did not read so
    // far is made to.
    let read = io::copy(&mut verified, &mut io::sink());
    let wrong = verified.found.filter(|found| *found != plan.diff_id.0);
    if applied.is_ok() && (read.is_err() || wrong.is_some()) {
        let _ = snapshotter.remove_layer(&plan.chain);
    }
    if let Some(found) = wrong {
        let cause = format!("its content is {found}, the image's configuration says {}", plan.diff_id.0);
        return Err(ImageError::Layer { digest: plan.blob.digest.clone(), cause });
    }
    applied?;
    read.map_err(|error| failed(plan, &error))?;
    Ok(())
}

pub(crate) fn failed(plan: &LayerPlan, error: &io::Error) -> ImageError {
    ImageError::Unpack { digest: plan.blob.digest.clone(), cause: error.to_string() }
}

// The compressed side: buffers are filled, handed over, and come back to be filled again.
fn inflate(source: &mut impl Read, full: SyncSender<io::Result<Vec<u8>>>, empty: Receiver<Vec<u8>>) {
    let mut plain = match Decompressor::detect(source) {
        Ok(plain) => plain,
        Err(error) => return drop(full.send(Err(error))),
    };
    loop {
        let mut buffer = empty.try_recv().unwrap_or_default();
        buffer.resize(BUFFER, 0);
        let mut filled = 0;
        let failure = loop {
            match plain.read(&mut buffer[filled..]) {
                Ok(0) => break None,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Some(error),
            }
        };
        buffer.truncate(filled);
        let over = failure.is_some() || filled < BUFFER;
        if full.send(Ok(buffer)).is_err() {
            return;
        }
        if let Some(error) = failure {
            let _ = full.send(Err(error));
        }
        if over {
            return;
        }
    }
}

// The buffers as a reader.
struct Pieces {
    pieces: Receiver<io::Result<Vec<u8>>>,
    back: Sender<Vec<u8>>,
    current: Vec<u8>,
    at: usize,
    failed: Option<(io::ErrorKind, String)>,
}

impl Pieces {
    fn new(pieces: Receiver<io::Result<Vec<u8>>>, back: Sender<Vec<u8>>) -> Self {
        Self { pieces, back, current: Vec::new(), at: 0, failed: None }
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.current.len() {
            // The other side ends after its last buffer, or after an error.
            let next = match (&self.failed, self.pieces.recv()) {
                (None, Ok(Ok(next))) => next,
                (None, Ok(Err(error))) => {
                    self.failed = Some((error.kind(), error.to_string()));
                    return Err(error);
                }
                (None, Err(_)) => return Ok(0),
                // Who reads on gets the error again, not an end.
                (Some((kind, text)), _) => return Err(io::Error::new(*kind, text.clone())),
            };
            let _ = self.back.send(std::mem::replace(&mut self.current, next));
            self.at = 0;
        }
        let length = buffer.len().min(self.current.len() - self.at);
        buffer[..length].copy_from_slice(&self.current[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

// Counts what is read of the compressed blob, for the progress bar, and ends when the pull was given up.
struct Counted<'a> {
    source: Source,
    read: u64,
    progress: &'a LayerProgress,
    given_up: &'a AtomicBool,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given_up.load(Ordering::Relaxed) {
            return Err(io::Error::other("the pull was cancelled"));
        }
        let read = self.source.read(buffer)?;
        self.read += read as u64;
        if read > 0 {
            self.progress.extracting(self.read).map_err(io::Error::other)?;
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
