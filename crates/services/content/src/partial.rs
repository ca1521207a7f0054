//! A blob that comes in by pieces, perhaps several at once, and is read while it does.
//!
//! ```text
//!   pieces, in any order ─► file in `ingest` ─► what is there without a gap (`ready`) ─► Follow (hashes)
//! ```
//! The page cache is the queue between writers and readers: nothing is held in memory however far apart they are.
//! What is ready outlives the daemon. Writers leave holes only between pieces, so that after a kill the file's first
//! hole shows how far it is whole; should that be wrong (a file system without holes), the digest at the end is too,
//! and the blob is fetched anew.

use crate::error::ContentError;
use crate::hash::Hasher;
use crate::layout::Layout;
use crate::lease::Leases;
use hull_types::Digest;
use rustix::fs::SeekFrom;
use std::collections::{BTreeMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// How much is handed to the disk at a time while more comes in: less is left to wait for at the end.
const FLUSH: u64 = 8 << 20;

/// The files that somebody is writing.
#[derive(Default)]
pub(crate) struct Partials(Mutex<HashSet<PathBuf>>);

impl Partials {
    pub(crate) fn lock(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A blob on its way in. Clones write the same blob; when the last of them and of its readers is dropped without a
/// [`Partial::commit`], what is ready waits for the next [`crate::Content::partial`].
#[derive(Clone)]
pub struct Partial {
    shared: Arc<Shared>,
}

struct Shared {
    layout: Arc<Layout>,
    leases: Arc<Leases>,
    partials: Arc<Partials>,
    path: PathBuf,
    file: File,
    // Whether the file has the blob's name, by which it is found again.
    named: bool,
    expected: Digest,
    size: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Bytes that are there without a gap.
    ready: u64,
    /// Pieces after a gap: where each begins and ends.
    ahead: BTreeMap<u64, u64>,
    /// How much of it the disk was told to write.
    flushed: u64,
    given_up: bool,
    /// Not to be kept: committed, or found wrong.
    settled: bool,
}

impl Partial {
    pub(crate) fn begin(
        layout: Arc<Layout>,
        leases: Arc<Leases>,
        partials: Arc<Partials>,
        digest: &Digest,
        size: u64,
    ) -> Result<Self, ContentError> {
        let own = layout.partial(digest);
        let named = partials.lock().insert(own.clone());
        let (path, file) = match named {
            true => open(own.clone()).inspect_err(|_| {
                partials.lock().remove(&own);
            })?,
            // Somebody else is at it, which callers see to it does not happen: it costs a second transfer, no more.
            false => layout.create_ingest()?,
        };
        let ready = whole(&file).map_err(|source| ContentError::Write { path: path.clone(), source })?;
        // More than the blob has: it is another.
        let ready = if ready > size { 0 } else { ready };
        file.set_len(ready).map_err(|source| ContentError::Write { path: path.clone(), source })?;
        let state = Mutex::new(State { ready, flushed: ready, ..State::default() });
        let (expected, changed) = (digest.clone(), Condvar::new());
        Ok(Self {
            shared: Arc::new(Shared {
                layout,
                leases,
                partials,
                path,
                file,
                named,
                expected,
                size,
                state,
                changed,
            }),
        })
    }
    /// How many bytes are there without a gap.
    pub fn ready(&self) -> u64 {
        self.shared.lock().ready
    }
    /// The blob's name.
    pub fn digest(&self) -> &Digest {
        &self.shared.expected
    }
    /// How many bytes the blob has.
    pub fn size(&self) -> u64 {
        self.shared.size
    }
    /// Writes a piece. What is there already may be written again; nothing beyond the blob's size may.
    pub fn write_at(&self, offset: u64, piece: &[u8]) -> Result<(), ContentError> {
        let shared = &self.shared;
        let end = offset + piece.len() as u64;
        if end > shared.size {
            let source = io::Error::other(format!("more than the {} bytes of the blob came", shared.size));
            return Err(shared.failed(source));
        }
        shared.file.write_all_at(piece, offset).map_err(|source| shared.failed(source))?;
        shared.arrived(offset, end);
        Ok(())
    }
    /// Reads the blob from its beginning while it comes in.
    pub fn follow(&self) -> Follow {
        let hasher = Some(Hasher::like(Some(&self.shared.expected)));
        Follow { shared: self.shared.clone(), offset: 0, hasher }
    }
    /// Wakes the readers with an error: nothing more comes.
    pub fn give_up(&self) {
        self.shared.lock().given_up = true;
        self.shared.changed.notify_all();
    }
    /// Makes a blob of it. `actual` is what [`Follow::digest`] found; where that is not what it should be, nothing
    /// of it is kept. The data is on disk before the name is there.
    pub fn commit(&self, actual: &Digest) -> Result<(), ContentError> {
        let shared = &self.shared;
        shared.lock().settled = true;
        if *actual != shared.expected {
            let (expected, actual) = (shared.expected.clone(), actual.clone());
            return Err(ContentError::Mismatch { expected, actual });
        }
        shared.file.sync_data().map_err(|source| shared.failed(source))?;
        // What it holds has been read; until a push nobody reads it again. A hint: its failure is none.
        let _ = rustix::fs::fadvise(&shared.file, 0, None, rustix::fs::Advice::DontNeed);
        shared.leases.record(actual, || shared.layout.publish(&shared.path, actual))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn failed(&self, source: io::Error) -> ContentError {
        ContentError::Write { path: self.path.clone(), source }
    }
    fn arrived(&self, offset: u64, end: u64) {
        let mut state = self.lock();
        if offset > state.ready {
            // Pieces of one writer touch: one entry a writer.
            let before = state.ahead.range(..=offset).next_back().map(|(start, end)| (*start, *end));
            let start = before.filter(|(_, before)| *before >= offset).map_or(offset, |(start, _)| start);
            let entry = state.ahead.entry(start).or_default();
            *entry = end.max(*entry);
            return;
        }
        state.ready = state.ready.max(end);
        while let Some((start, end)) = state.ahead.pop_first() {
            if start > state.ready {
                state.ahead.insert(start, end);
                break;
            }
            state.ready = state.ready.max(end);
        }
        let (from, to) = (state.flushed, state.ready);
        let due = to - from >= FLUSH;
        if due {
            state.flushed = to;
        }
        drop(state);
        self.changed.notify_all();
        if due {
            hull_sys::file::start_writing(&self.file, from, to - from);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        // After a commit the name is gone already.
        if state.settled || !self.named || state.ready == 0 || self.file.set_len(state.ready).is_err() {
            let _ = std::fs::remove_file(&self.path);
        }
        if self.named {
            self.partials.lock().remove(&self.path);
        }
    }
}

/// A reader of a blob that comes in: waits for what is not there yet, hashes what it reads.
pub struct Follow {
    shared: Arc<Shared>,
    offset: u64,
    hasher: Option<Hasher>,
}

impl Follow {
    /// Reads what is left, and says what the whole hashes to.
    pub fn digest(mut self) -> io::Result<Digest> {
        let mut buffer = vec![0; 256 * 1024];
        while self.read(&mut buffer)? > 0 {}
        let hasher = self.hasher.take().ok_or_else(|| io::Error::other("hashed twice"))?;
        Ok(hasher.finish())
    }
    // How many bytes from the offset on may be read; 0 at the blob's end.
    fn wait(&self) -> io::Result<u64> {
        let shared = &self.shared;
        let mut state = shared.lock();
        loop {
            if state.ready > self.offset || self.offset >= shared.size {
                return Ok(state.ready - self.offset);
            }
            if state.given_up {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the download was given up"));
            }
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Read for Follow {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.wait()?).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.shared.file.read_at(&mut buffer[..most], self.offset)?;
        if read == 0 && most > 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file of the download was cut short",
            ));
        }
        self.offset += read as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..read]);
        }
        Ok(read)
    }
}

fn open(path: PathBuf) -> Result<(PathBuf, File), ContentError> {
    let opened =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    match opened {
        Ok(file) => Ok((path, file)),
        Err(source) => Err(ContentError::Write { path, source }),
    }
}

// How many bytes of a file that was left are there without a gap.
fn whole(file: &File) -> io::Result<u64> {
    let data = file.metadata()?;
    if data.len() == 0 {
        return Ok(0);
    }
    match rustix::fs::seek(file, SeekFrom::Hole(0)) {
        Ok(hole) if hole >= data.len() => Ok(data.len()),
        // The block before a hole may have been written in part.
        Ok(hole) => Ok(hole.saturating_sub(data.blksize())),
        Err(_) => Ok(0),
    }
}
