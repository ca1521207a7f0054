//! Blobs, named by what they hash to, and when they may go.
//!
//! ```text
//!   bytes ──► Ingest ──(hash, rename)──► blob ──► reader / read (verified)
//!                │                        │  └─ sync: on the disk, for a row to name it
//!             dropped: gone          collect: neither a root nor leased: gone
//!
//!   pieces ──► Partial ──► Follow: read and hashed while it grows ──(same digest: rename)──► blob
//!                │
//!             dropped: what came without a gap waits for the next one who asks for the blob
//! ```
//!
//! On disk it is an OCI image layout (image specification, "Image Layout"), which other tools can read:
//!
//! ```text
//! <root>/oci-layout               {"imageLayoutVersion":"1.0.0"}
//! <root>/index.json               the named manifests, as the image service last told us
//! <root>/blobs/<algorithm>/<hex>  a blob
//! <root>/ingest/<n>               a blob on its way in; swept at open
//! <root>/ingest/<algorithm>-<hex> half a blob, to be gone on with; swept when old or too many
//! ```
//!
//! Invariants: a name under `blobs` holds complete content that was hashed before the name appeared; it is on the disk
//! after the next [`Content::sync`], and what a loss of power before that leaves of it is in no row, so that the first
//! collection removes it; a blob that a live [`Lease`] saw come in is not collected; a collection evaluates its roots after it has stopped
//! blobs and leases from changing, so what a finished writer has just referred to is among them.
//!
//! It must not know what a blob is: manifests, layers, registries and references are the image service's.
//!
//! All calls block; from async code call them on a blocking thread.

mod error;
mod hash;
mod ingest;
mod layout;
mod lease;
mod partial;
mod piece;

pub use error::ContentError;
pub use hash::{Hasher, digest_of, verify};
pub use ingest::Ingest;
pub use lease::Lease;
pub use partial::{Follow, Partial, Writer};

use hull_types::Digest;
use layout::Layout;
use lease::Leases;
use partial::Partials;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The store of blobs. Cheap to clone.
#[derive(Clone)]
pub struct Content {
    layout: Arc<Layout>,
    leases: Arc<Leases>,
    partials: Arc<Partials>,
}

impl Content {
    /// Opens the layout in `root`, making it where it is missing and sweeping what a killed daemon left half done.
    pub fn open(root: &Path) -> Result<Self, ContentError> {
        Ok(Self { layout: Arc::new(Layout::open(root)?), leases: Arc::default(), partials: Arc::default() })
    }
    /// The layout's directory.
    pub fn root(&self) -> &Path {
        self.layout.root()
    }
    /// Whether the blob is here.
    pub fn has(&self, digest: &Digest) -> bool {
        self.layout.blob(digest).is_file()
    }
    /// The blob's size in bytes.
    pub fn size(&self, digest: &Digest) -> Result<u64, ContentError> {
        fs::metadata(self.layout.blob(digest))
            .map(|data| data.len())
            .map_err(|source| read_failed(digest, source))
    }
    /// Where the blob is.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.layout.blob(digest)
    }
    /// The blob, to read from its beginning. Not verified again: it was when it came in.
    pub fn reader(&self, digest: &Digest) -> Result<File, ContentError> {
        File::open(self.layout.blob(digest)).map_err(|source| read_failed(digest, source))
    }
    /// The blob's bytes, at most `limit` of them, verified.
    pub fn read(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, ContentError> {
        let mut file = self.reader(digest)?;
        let size = file.metadata().map_err(|source| read_failed(digest, source))?.len();
        if size > limit {
            return Err(ContentError::TooLarge { digest: digest.clone(), size, limit });
        }
        let mut bytes = Vec::with_capacity(size as usize);
        file.read_to_end(&mut bytes).map_err(|source| read_failed(digest, source))?;
        let mut hasher = Hasher::like(Some(digest));
        hasher.update(&bytes);
        let actual = hasher.finish();
        if actual != *digest {
            return Err(ContentError::Mismatch { expected: digest.clone(), actual });
        }
        Ok(bytes)
    }
    /// Begins a blob. `expected` sets the algorithm; without it sha256 is used.
    pub fn ingest(&self, expected: Option<&Digest>) -> Result<Ingest, ContentError> {
        Ingest::begin(self.layout.clone(), self.leases.clone(), expected)
    }
    /// Begins the blob `digest` of `size` bytes, or goes on with what is here of it, to be read while it comes in.
    pub fn partial(&self, digest: &Digest, size: u64) -> Result<Partial, ContentError> {
        Partial::begin(self.layout.clone(), self.leases.clone(), self.partials.clone(), digest, size)
    }
    /// Removes the halves of blobs that nobody is writing, and says how many bytes that freed.
    pub fn sweep_partials(&self) -> Result<u64, ContentError> {
        let busy = self.partials.lock();
        let swept = self.layout.sweep_partials(|path| busy.contains(path));
        swept.map_err(|source| ContentError::Write { path: "ingest".into(), source })
    }
    /// Stores bytes that are in memory, and says their sha256 name.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, ContentError> {
        self.put_as(bytes, &digest_of(bytes))
    }
    /// Stores bytes that are in memory under `digest`, which they must hash to.
    pub fn put_as(&self, bytes: &[u8], digest: &Digest) -> Result<Digest, ContentError> {
        let present = self.leases.record(digest, || Ok::<_, ContentError>(self.has(digest)))?;
        if present && self.read(digest, u64::MAX).is_ok() {
            return Ok(digest.clone());
        }
        let mut ingest = self.ingest(Some(digest))?;
        ingest.write_all(bytes).map_err(|source| ContentError::Write { path: self.path(digest), source })?;
        ingest.commit(digest)?;
        Ok(digest.clone())
    }
    /// Makes a blob of a file that somebody else keeps too: one more name for the same data where the file system
    /// allows, a copy elsewhere. The file must be whole and never written again, and hash to `digest`: who wrote it
    /// knows, so it is not read for that.
    ///
    /// A path such as `/proc/self/fd/7` stands for what is open there.
    pub fn adopt(&self, path: &Path, digest: &Digest) -> Result<(), ContentError> {
        self.leases.record(digest, || if self.has(digest) { Ok(()) } else { self.layout.adopt(path, digest) })
    }
    /// Returns when every blob that is there is on the disk: to be called before a row names one. Blobs that the disk did
    /// not take are gone when this fails.
    pub fn sync(&self) -> Result<(), ContentError> {
        self.layout.sync()
    }
    /// Removes a blob, whatever refers to it. Says whether it was there.
    pub fn remove(&self, digest: &Digest) -> Result<bool, ContentError> {
        match fs::remove_file(self.layout.blob(digest)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(ContentError::Remove { digest: digest.clone(), source }),
        }
    }
    /// Every blob.
    pub fn list(&self) -> Result<Vec<Digest>, ContentError> {
        self.layout.list()
    }
    /// Keeps what comes in from being collected until the lease is dropped.
    pub fn lease(&self) -> Lease {
        Lease::take(&self.leases)
    }
    /// Removes every blob that is neither leased nor among `roots`, and says how many bytes that freed.
    ///
    /// `roots` is called while nothing can come in and no lease can end; it must not call this store's leases.
    pub fn gc(&self, roots: impl FnOnce() -> HashSet<Digest>) -> Result<u64, ContentError> {
        let candidates = self.list()?;
        self.collect(&candidates, roots)
    }
    /// Like [`Content::gc`], for some blobs only.
    pub fn collect(
        &self,
        candidates: &[Digest],
        roots: impl FnOnce() -> HashSet<Digest>,
    ) -> Result<u64, ContentError> {
        let live = self.leases.lock();
        let roots = roots();
        let mut freed = 0;
        for digest in candidates.iter().filter(|digest| !roots.contains(digest) && !live.holds(digest)) {
            let size = self.size(digest).unwrap_or(0);
            if self.remove(digest)? {
                freed += size;
            }
        }
        Ok(freed)
    }
    /// Writes the layout's `index.json`, so that other tools find the named images.
    pub fn set_index(&self, document: &[u8]) -> Result<(), ContentError> {
        self.layout.set_index(document)
    }
}

fn read_failed(digest: &Digest, source: io::Error) -> ContentError {
    match source.kind() {
        io::ErrorKind::NotFound => ContentError::NotFound(digest.clone()),
        _ => ContentError::Read { digest: digest.clone(), source },
    }
}

#[cfg(test)]
mod tests;
