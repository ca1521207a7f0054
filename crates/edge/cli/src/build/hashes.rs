//! The contents' hashes of files that were seen before: a file that did not change is not read again.

use ring::digest::{Context, SHA256};
use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

type Digest = [u8; 32];
/// Device, inode, size, modification and change time in nanoseconds.
type Identity = [u64; 5];
const ROW: usize = 40 + 32;

/// The hashes of one directory's files, kept below the user's cache directory.
#[derive(Debug, Default)]
pub struct Hashes {
    path: Option<PathBuf>,
    known: HashMap<Identity, Digest>,
    seen: HashMap<Identity, Digest>,
    changed: bool,
}

impl Hashes {
    /// Those of the context of this name.
    pub fn load(name: &str) -> Self {
        let directory = std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .unwrap_or_else(|| crate::config::home().join(".cache"));
        let path = directory.join("hull").join("contexts").join(name);
        let rows = std::fs::read(&path).unwrap_or_default();
        let known = rows.chunks_exact(ROW).filter_map(|row| {
            let mut identity = [0; 5];
            for (number, bytes) in identity.iter_mut().zip(row.chunks_exact(8)) {
                *number = u64::from_le_bytes(bytes.try_into().ok()?);
            }
            Some((identity, row[40..].try_into().ok()?))
        });
        Self { known: known.collect(), path: Some(path), ..Self::default() }
    }

    /// The hash of a file.
    pub fn of(&mut self, path: &Path, data: &Metadata) -> io::Result<Digest> {
        let nanoseconds =
            |seconds: i64, more: i64| (seconds as u64).wrapping_mul(1_000_000_000).wrapping_add(more as u64);
        let identity = [
            data.dev(),
            data.ino(),
            data.size(),
            nanoseconds(data.mtime(), data.mtime_nsec()),
            nanoseconds(data.ctime(), data.ctime_nsec()),
        ];
        if let Some(digest) = self.known.get(&identity) {
            self.seen.insert(identity, *digest);
            return Ok(*digest);
        }
        let digest = hash(path)?;
        self.changed = true;
        // A file that changed just now may change again within one tick of its clock.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_nanos() as u64);
        if now.saturating_sub(identity[4]) > 2_000_000_000 {
            self.seen.insert(identity, digest);
        }
        Ok(digest)
    }

    /// Keeps them for the next time. That they can't be kept is no failure.
    pub fn store(&self) {
        let Some(path) = self.path.as_ref().filter(|_| self.changed || self.seen.len() != self.known.len())
        else {
            return;
        };
        let mut rows = Vec::with_capacity(self.seen.len() * ROW);
        for (identity, digest) in &self.seen {
            identity.iter().for_each(|number| rows.extend_from_slice(&number.to_le_bytes()));
            rows.extend_from_slice(digest);
        }
        let aside = path.with_extension(format!("{}", std::process::id()));
        let _ = path.parent().map(std::fs::create_dir_all);
        let _ = std::fs::write(&aside, rows).and_then(|()| std::fs::rename(&aside, path));
    }
}

/// The SHA-256 of a file.
fn hash(path: &Path) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let mut context = Context::new(&SHA256);
    let mut buffer = [0; 64 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => context.update(&buffer[..read]),
        }
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    Ok(digest)
}

/// The SHA-256 of a text in hexadecimal digits.
pub fn name_of(text: &str) -> String {
    hex(ring::digest::digest(&SHA256, text.as_bytes()).as_ref())
}

/// Hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let pair = |byte: &u8| [DIGITS[usize::from(byte >> 4)] as char, DIGITS[usize::from(byte & 15)] as char];
    bytes.iter().flat_map(pair).collect()
}
