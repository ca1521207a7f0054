//! Names and files of the OCI image layout.

use crate::error::ContentError;
use hull_types::Digest;
use rustix::fs::{AtFlags, CWD};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const MARKER: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
const EMPTY_INDEX: &[u8] = br#"{"schemaVersion":2,"manifests":[]}"#;
const ALGORITHMS: [&str; 2] = ["sha256", "sha512"];
/// How long half a blob waits for its pull to come again, and how many bytes of such may lie about: the oldest go.
const PARTIAL_AGE: Duration = Duration::from_secs(7 * 24 * 3600);
const PARTIAL_BYTES: u64 = 8 << 30;

pub(crate) struct Layout {
    root: PathBuf,
    next: AtomicU64,
    // Blobs that came since the last sync.
    unsynced: Mutex<Vec<Digest>>,
    // Who asks whether all is on the disk waits for who sees to it.
    syncing: Mutex<()>,
}

impl Layout {
    pub(crate) fn open(root: &Path) -> Result<Self, ContentError> {
        let (unsynced, syncing) = Default::default();
        let layout = Self { root: root.to_owned(), next: AtomicU64::new(0), unsynced, syncing };
        layout.make().map_err(|source| ContentError::Open { path: root.to_owned(), source })?;
        Ok(layout)
    }
    fn make(&self) -> io::Result<()> {
        for algorithm in ALGORITHMS {
            make_directory(&self.root.join("blobs").join(algorithm))?;
        }
        make_directory(&self.ingest())?;
        // A blob's name is synced in its directory; the directory's own must be there too.
        for directory in [self.root.join("blobs"), self.root.clone()] {
            File::open(directory)?.sync_all()?;
        }
        if let Some(parent) = self.root.parent() {
            File::open(parent)?.sync_all()?;
        }
        // A daemon that was killed leaves half transfers. Those with a blob's name can be gone on with.
        self.sweep_ingests(PARTIAL_AGE, PARTIAL_BYTES, |_| false)?;
        for (name, text) in [("oci-layout", MARKER), ("index.json", EMPTY_INDEX)] {
            if !self.root.join(name).try_exists()? {
                self.replace(name, text)?;
            }
        }
        Ok(())
    }
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }
    fn ingest(&self) -> PathBuf {
        self.root.join("ingest")
    }
    /// Where a blob is while only some of it has come.
    pub(crate) fn partial(&self, digest: &Digest) -> PathBuf {
        self.ingest().join(format!("{}-{}", digest.algorithm(), digest.hex()))
    }
    /// Removes all halves of blobs but the `busy` ones. Others' transfers are left alone.
    pub(crate) fn sweep_partials(&self, busy: impl Fn(&Path) -> bool) -> io::Result<u64> {
        let named = |path: &Path| path.file_name().and_then(|name| name.to_str()).is_some_and(is_partial);
        self.sweep_ingests(Duration::ZERO, 0, |path| busy(path) || !named(path))
    }
    /// Removes what was left half done, `busy` ones excepted: all without a blob's name, and of those with one what
    /// is older than `age` or, the oldest first, more than `bytes`. Says how many bytes that freed.
    pub(crate) fn sweep_ingests(
        &self,
        age: Duration,
        bytes: u64,
        busy: impl Fn(&Path) -> bool,
    ) -> io::Result<u64> {
        let mut partial = Vec::new();
        let mut freed = 0;
        for entry in fs::read_dir(self.ingest())? {
            let entry = entry?;
            let (path, data) = (entry.path(), entry.metadata()?);
            if busy(&path) {
                continue;
            }
            let size = data.blocks() * 512;
            let waited = data.modified()?.elapsed().unwrap_or_default();
            match entry.file_name().to_str().is_some_and(is_partial) && waited < age {
                true => partial.push((waited, size, path)),
                false => {
                    fs::remove_file(path)?;
                    freed += size;
                }
            }
        }
        partial.sort();
        let mut kept = 0;
        for (_, size, path) in partial {
            if kept + size > bytes {
                fs::remove_file(path)?;
                freed += size;
            } else {
                kept += size;
            }
        }
        Ok(freed)
    }
    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(digest.algorithm()).join(digest.hex())
    }
    pub(crate) fn create_ingest(&self) -> Result<(PathBuf, File), ContentError> {
        let path = self.ingest().join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        let made = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
        match made {
            Ok(file) => Ok((path, file)),
            Err(source) => Err(ContentError::Write { path, source }),
        }
    }
    pub(crate) fn publish(&self, from: &Path, digest: &Digest) -> Result<(), ContentError> {
        let to = self.blob(digest);
        // In the place of a blob that is on the disk comes only what is too.
        let ready = || if to.exists() { File::open(from)?.sync_data() } else { Ok(()) };
        let renamed = ready().and_then(|()| fs::rename(from, &to));
        renamed.map_err(|source| ContentError::Write { path: to, source })?;
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner).push(digest.clone());
        Ok(())
    }
    pub(crate) fn sync(&self) -> Result<(), ContentError> {
        let _one_at_a_time = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = std::mem::take(&mut *self.unsynced.lock().unwrap_or_else(PoisonError::into_inner));
        if waiting.is_empty() {
            return Ok(());
        }
        let synced = File::open(&self.root).and_then(|root| Ok(rustix::fs::syncfs(root)?));
        synced.map_err(|source| {
            // The kernel tells once that it could not write, and goes on as if it had: these can't be trusted.
            for digest in &waiting {
                let _ = fs::remove_file(self.blob(digest));
            }
            ContentError::Write { path: self.root.clone(), source }
        })
    }
    /// A further name for a file's data, by way of a name of our own: what is under `blobs` appears at once and whole.
    pub(crate) fn adopt(&self, from: &Path, digest: &Digest) -> Result<(), ContentError> {
        let aside = self.ingest().join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        let linked = rustix::fs::linkat(CWD, from, CWD, &aside, AtFlags::SYMLINK_FOLLOW);
        let made = linked.map_err(io::Error::from).or_else(|error| match error.kind() {
            io::ErrorKind::CrossesDevices => fs::copy(from, &aside).map(drop),
            _ => Err(error),
        });
        let done = made
            .map_err(|source| ContentError::Write { path: aside.clone(), source })
            .and_then(|()| self.publish(&aside, digest));
        if done.is_err() {
            let _ = fs::remove_file(&aside);
        }
        done
    }
    pub(crate) fn set_index(&self, document: &[u8]) -> Result<(), ContentError> {
        self.replace("index.json", document)
            .map_err(|source| ContentError::Write { path: self.root.join("index.json"), source })
    }
    fn replace(&self, name: &str, text: &[u8]) -> io::Result<()> {
        let (path, mut file) = self.create_ingest().map_err(io::Error::other)?;
        file.write_all(text)?;
        file.sync_data()?;
        fs::rename(path, self.root.join(name))
    }
    pub(crate) fn list(&self) -> Result<Vec<Digest>, ContentError> {
        let mut found = Vec::new();
        for algorithm in ALGORITHMS {
            let path = self.root.join("blobs").join(algorithm);
            let entries = fs::read_dir(&path);
            let failed = |source| ContentError::Open { path: path.clone(), source };
            for entry in entries.map_err(failed)? {
                let name = entry.map_err(failed)?.file_name();
                // A file that is no blob was put there by someone else: not ours to list or to remove.
                found.extend(
                    name.to_str().and_then(|hex| format!("{algorithm}:{hex}").parse::<Digest>().ok()),
                );
            }
        }
        Ok(found)
    }
}

fn is_partial(name: &str) -> bool {
    name.split_once('-')
        .is_some_and(|(algorithm, hex)| format!("{algorithm}:{hex}").parse::<Digest>().is_ok())
}

// Blobs hold what images hold, set-id programs and secrets included: nobody else's business (CVE-2021-41091).
fn make_directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}
