//! Files to copy from: a context's table, or a mounted tree, behind one trait.

mod context;
mod tree;

pub(crate) use context::raw as raw_of;
pub use context::{Content, Context};
pub(crate) use tree::Tree;

use hull_archive::EntryKind;
use std::io::{self, Read};

/// A path below the root: parts with `/` between them, none before the first; empty for the root itself.
pub type Name = Vec<u8>;

/// What is known of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time in seconds.
    pub mtime: i64,
    /// Bytes of contents.
    pub size: u64,
    /// Where a symbolic link leads.
    pub link: Vec<u8>,
    /// A device's numbers.
    pub device: (u32, u32),
    /// Extended attributes, sorted.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Facts {
    /// A directory nobody described.
    pub(crate) fn directory() -> Self {
        Self::plain(EntryKind::Directory, 0o755)
    }
    pub(crate) fn plain(kind: EntryKind, mode: u32) -> Self {
        Self {
            kind,
            mode,
            uid: 0,
            gid: 0,
            mtime: 0,
            size: 0,
            link: Vec::new(),
            device: (0, 0),
            xattrs: Vec::new(),
        }
    }
    pub(crate) fn is_directory(&self) -> bool {
        self.kind == EntryKind::Directory
    }
    pub(crate) fn is_symlink(&self) -> bool {
        self.kind == EntryKind::Symlink
    }
}

/// A tree of files that is read only, and not trusted: no path leads out of it.
pub(crate) trait Files: Send + Sync {
    /// What stands at the path, the link itself if it is one. No part before the last is a link.
    fn facts(&self, name: &[u8]) -> io::Result<Option<Facts>>;
    /// The names in a directory, sorted.
    fn list(&self, directory: &[u8]) -> io::Result<Vec<Vec<u8>>>;
    /// A file's contents.
    fn open(&self, name: &[u8]) -> io::Result<Box<dyn Read + Send>>;
    /// Whether ownership counts: a context's does not, a stage's does.
    fn keeps_owners(&self) -> bool;
    /// The SHA-256 of a file's contents.
    fn digest(&self, name: &[u8]) -> io::Result<[u8; 32]>;
}

/// How many links a path may go through, as in the kernel.
const MOST_LINKS: usize = 40;

/// The path without links before its last part; with `follow` without one at the end too. What is not there keeps its
/// name. `None` for too many links.
pub(crate) fn resolve(files: &dyn Files, path: &[u8], follow: bool) -> io::Result<Option<Name>> {
    let mut done: Vec<Vec<u8>> = Vec::new();
    let mut left: Vec<Vec<u8>> = parts(path).rev().map(<[u8]>::to_vec).collect();
    let mut links = 0;
    while let Some(part) = left.pop() {
        if part == b".." {
            done.pop();
            continue;
        }
        done.push(part);
        let name = done.join(&b'/');
        if left.is_empty() && !follow {
            break;
        }
        if let Some(facts) = files.facts(&name)?
            && facts.is_symlink()
        {
            links += 1;
            if links > MOST_LINKS {
                return Ok(None);
            }
            done.pop();
            if facts.link.starts_with(b"/") {
                done.clear();
            }
            left.extend(parts(&facts.link).rev().map(<[u8]>::to_vec));
        }
    }
    Ok(Some(done.join(&b'/')))
}

/// The parts of a path, without empty ones and `.`.
pub(crate) fn parts(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".")
}

/// `directory/name`.
pub(crate) fn join(directory: &[u8], name: &[u8]) -> Name {
    if directory.is_empty() {
        return name.to_vec();
    }
    if name.is_empty() {
        return directory.to_vec();
    }
    [directory, b"/", name].concat()
}

/// The last part of a path.
pub(crate) fn base(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

/// All but the last part.
pub(crate) fn parent(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(&[], |at| &path[..at])
}

/// The path lexically clean, below the root: `..` never leads above it.
pub(crate) fn clean(path: &[u8]) -> Name {
    let mut done: Vec<&[u8]> = Vec::new();
    for part in parts(path) {
        if part == b".." {
            done.pop();
        } else {
            done.push(part);
        }
    }
    done.join(&b'/')
}
