//! A blob on its way in.

use crate::error::ContentError;
use crate::hash::Hasher;
use crate::layout::Layout;
use crate::lease::Leases;
use hull_types::Digest;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::PathBuf;
use std::sync::Arc;

/// A blob being written: it hashes while it writes, and is a blob only after [`Ingest::commit`].
///
/// Dropped without a commit it leaves nothing behind. A broken transfer goes on from [`Ingest::offset`].
pub struct Ingest {
    layout: Arc<Layout>,
    leases: Arc<Leases>,
    path: PathBuf,
    file: File,
    hasher: Hasher,
    expected: Option<Digest>,
    offset: u64,
}

impl Ingest {
    pub(crate) fn begin(
        layout: Arc<Layout>,
        leases: Arc<Leases>,
        expected: Option<&Digest>,
    ) -> Result<Self, ContentError> {
        let (path, file) = layout.create_ingest()?;
        Ok(Self {
            layout,
            leases,
            path,
            file,
            hasher: Hasher::like(expected),
            expected: expected.cloned(),
            offset: 0,
        })
    }
    /// How many bytes have been written.
    pub fn offset(&self) -> u64 {
        self.offset
    }
    /// Another handle on the bytes written so far, at their beginning: for reading a blob before it is committed.
    pub fn reader(&self) -> Result<File, ContentError> {
        File::open(&self.path).map_err(|source| self.failed(source))
    }
    /// Forgets what was written: the source could not go on where it broke off.
    pub fn restart(&mut self) -> Result<(), ContentError> {
        self.file.set_len(0).and_then(|()| self.file.rewind()).map_err(|source| self.failed(source))?;
        self.hasher = Hasher::like(self.expected.as_ref());
        self.offset = 0;
        Ok(())
    }
    /// Makes a blob of it, if it hashes to `expected`.
    pub fn commit(self, expected: &Digest) -> Result<(), ContentError> {
        self.publish(Some(expected.clone())).map(drop)
    }
    /// Makes a blob of it under whatever name it hashes to (which must be the one it was begun with, if any).
    pub fn finish(self) -> Result<Digest, ContentError> {
        let expected = self.expected.clone();
        self.publish(expected)
    }

    fn publish(self, expected: Option<Digest>) -> Result<Digest, ContentError> {
        let actual = self.hasher.clone().finish();
        if let Some(expected) = expected.filter(|expected| *expected != actual) {
            return Err(ContentError::Mismatch { expected, actual });
        }
        // Under the leases' lock: a collection that runs now sees the blob as leased or not at all.
        self.leases.record(&actual, || self.layout.publish(&self.path, &actual))?;
        Ok(actual)
    }
    fn failed(&self, source: io::Error) -> ContentError {
        ContentError::Write { path: self.path.clone(), source }
    }
}

impl Write for Ingest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.offset += written as u64;
        Ok(written)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        // After a commit the name is gone already; anything else left over is swept at the next open.
        let _ = std::fs::remove_file(&self.path);
    }
}
