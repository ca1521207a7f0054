//! A blob that comes in by pieces, perhaps several at once, and is read while it does.
//!
//! ```text
//!   pieces, in any order ─► file in `ingest` ─► what is there without a gap (`ready`) ─► Follow (hashes)
//! ```
//! What comes goes to the disk past the page cache, and to its reader from memory. A writer waits for a reader that falls
//! behind; a piece that comes before its turn, or before its reader, is read from the file.
//! What is ready outlives the daemon. Writers leave holes only between pieces, so that after a kill the file's first
//! hole shows how far it is whole; should that be wrong (a file system without holes), the digest at the end is too,
//! and the blob is fetched anew.

use crate::error::ContentError;
use crate::hash::Hasher;
use crate::layout::Layout;
use crate::lease::Leases;
use crate::piece::{AHEAD, BLOCK, Block, Pool, Recent};
use hull_sys::direct::DirectFile;
use hull_types::Digest;
use rustix::fs::SeekFrom;
use std::collections::{BTreeMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// The files that somebody is writing, and the memory that they are written from.
#[derive(Default)]
pub(crate) struct Partials {
    busy: Mutex<HashSet<PathBuf>>,
    pool: Pool,
}

impl Partials {
    pub(crate) fn lock(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
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
    file: DirectFile,
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
    /// Blocks without a gap, for a reader that has begun; `None` without one.
    recent: Option<Recent>,
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
        let state = Mutex::new(State { ready, ..State::default() });
        let (expected, changed, file) = (digest.clone(), Condvar::new(), DirectFile::new(file));
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
        let mut writer = self.writer();
        writer.write_at(offset, piece)?;
        writer.flush()
    }
    /// A writer of many pieces.
    pub fn writer(&self) -> Writer {
        Writer { shared: self.shared.clone(), block: None }
    }
    /// Whether the reader has more to read than it can keep up with: bringing it faster is of no use.
    pub fn is_ahead(&self) -> bool {
        self.shared.lock().recent.as_ref().is_some_and(|recent| recent.len() > 1)
    }
    /// Reads the blob from its beginning while it comes in.
    pub fn follow(&self) -> Follow {
        let hasher = Some(Hasher::like(Some(&self.shared.expected)));
        Follow { shared: self.shared.clone(), offset: 0, current: None, hasher }
    }
    /// Wakes the readers with an error: nothing more comes.
    pub fn give_up(&self) {
        self.shared.lock().given_up = true;
        self.shared.changed.notify_all();
    }
    /// Makes a blob of it. `actual` is what [`Follow::digest`] found; where that is not what it should be, nothing
    /// of it is kept.
    pub fn commit(&self, actual: &Digest) -> Result<(), ContentError> {
        let shared = &self.shared;
        shared.lock().settled = true;
        if *actual != shared.expected {
            let (expected, actual) = (shared.expected.clone(), actual.clone());
            return Err(ContentError::Mismatch { expected, actual });
        }
        // What it holds has been read; until a push nobody reads it again. A hint: its failure is none.
        let _ = rustix::fs::fadvise(shared.file.file(), 0, None, rustix::fs::Advice::DontNeed);
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
    // A block is on the disk: it is handed to the reader, who gets here in time or is waited for.
    fn arrived(&self, block: Block) {
        let mut state = self.lock();
        let full = |state: &State| state.recent.as_ref().is_some_and(|recent| recent.len() >= AHEAD);
        while block.offset == state.ready && full(&state) && !state.given_up {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let next = block.offset == state.ready;
        state.note(block.offset, block.end());
        match &mut state.recent {
            Some(recent) if next => recent.push_back(block),
            _ => self.partials.pool.give(block.memory),
        }
        drop(state);
        self.changed.notify_all();
    }
}

impl State {
    fn note(&mut self, offset: u64, end: u64) {
        if offset > self.ready {
            // Pieces of one writer touch: one entry a writer.
            let before = self.ahead.range(..=offset).next_back().map(|(start, end)| (*start, *end));
            let start = before.filter(|(_, before)| *before >= offset).map_or(offset, |(start, _)| start);
            let entry = self.ahead.entry(start).or_default();
            *entry = end.max(*entry);
            return;
        }
        self.ready = self.ready.max(end);
        while let Some((start, end)) = self.ahead.pop_first() {
            if start > self.ready {
                self.ahead.insert(start, end);
                break;
            }
            self.ready = self.ready.max(end);
        }
    }
}

/// Writes a blob's pieces, whole blocks at a time: what was written is there after [`Writer::flush`].
pub struct Writer {
    shared: Arc<Shared>,
    block: Option<Block>,
}

impl Writer {
    /// Takes a piece. What is there already may be written again; nothing beyond the blob's size may.
    pub fn write_at(&mut self, offset: u64, piece: &[u8]) -> Result<(), ContentError> {
        let shared = &self.shared;
        if offset + piece.len() as u64 > shared.size {
            let source = io::Error::other(format!("more than the {} bytes of the blob came", shared.size));
            return Err(shared.failed(source));
        }
        let (mut offset, mut piece) = (offset, piece);
        if self.block.as_ref().is_some_and(|block| block.end() != offset) {
            self.flush()?;
        }
        while !piece.is_empty() {
            let memory = || self.shared.partials.pool.take();
            let block = self.block.get_or_insert_with(|| Block { offset, memory: memory(), length: 0 });
            // Blocks end where a block of the file does, however odd the first one's beginning is.
            let most = BLOCK - (block.offset % BLOCK as u64) as usize;
            let taken = piece.len().min(most - block.length);
            block.memory[block.length..block.length + taken].copy_from_slice(&piece[..taken]);
            block.length += taken;
            let full = block.length == most;
            (offset, piece) = (offset + taken as u64, &piece[taken..]);
            if full {
                self.flush()?;
            }
        }
        Ok(())
    }
    /// Writes what is held of a block.
    pub fn flush(&mut self) -> Result<(), ContentError> {
        let Some(block) = self.block.take() else { return Ok(()) };
        let written = self.shared.file.write_all_at(block.bytes(), block.offset);
        written.map_err(|source| self.shared.failed(source))?;
        self.shared.arrived(block);
        Ok(())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        // After a commit the name is gone already.
        if state.settled || !self.named || state.ready == 0 || self.file.file().set_len(state.ready).is_err()
        {
            let _ = std::fs::remove_file(&self.path);
        }
        if self.named {
            let mut busy = self.partials.lock();
            busy.remove(&self.path);
            if busy.is_empty() {
                self.partials.pool.clear();
            }
        }
    }
}

/// A reader of a blob that comes in: waits for what is not there yet, hashes what it reads.
pub struct Follow {
    shared: Arc<Shared>,
    offset: u64,
    // The block that is being read, with what comes before the offset read already.
    current: Option<Block>,
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
    // How many bytes from the offset on may be read from the file; 0 at the blob's end, and where there is a block now.
    fn wait(&mut self) -> io::Result<u64> {
        let shared = &self.shared;
        let mut state = shared.lock();
        state.recent.get_or_insert_default();
        loop {
            let recent = state.recent.get_or_insert_default();
            match recent.front().map(|block| block.offset) {
                Some(first) if first > self.offset => return Ok(first - self.offset),
                Some(_) => {
                    self.current = recent.pop_front();
                    shared.changed.notify_all();
                    return Ok(0);
                }
                None if state.ready > self.offset || self.offset >= shared.size => {
                    return Ok(state.ready - self.offset);
                }
                None if state.given_up => {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the download was given up"));
                }
                None => {}
            }
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn hash(&mut self, bytes: &[u8]) {
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
    }

    fn read_block(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let block = self.current.take()?;
        let from = (self.offset - block.offset) as usize;
        let read = buffer.len().min(block.length - from);
        buffer[..read].copy_from_slice(&block.bytes()[from..from + read]);
        self.offset += read as u64;
        match self.offset == block.end() {
            true => self.shared.partials.pool.give(block.memory),
            false => self.current = Some(block),
        }
        Some(read)
    }

    fn read_file(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.shared.file.file().read_at(buffer, self.offset)?;
        if read == 0 && !buffer.is_empty() {
            let cause = "the file of the download was cut short";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, cause));
        }
        self.offset += read as u64;
        Ok(read)
    }
}

impl Read for Follow {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = if self.current.is_some() { 0 } else { self.wait()? };
        let read = match self.read_block(buffer) {
            Some(read) => read,
            None => {
                let most = usize::try_from(most).unwrap_or(usize::MAX).min(buffer.len());
                self.read_file(&mut buffer[..most])?
            }
        };
        self.hash(&buffer[..read]);
        Ok(read)
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        // Nobody waits for a reader that is gone.
        self.shared.lock().recent = None;
        self.shared.changed.notify_all();
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
