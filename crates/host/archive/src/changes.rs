//! What an overlay's upper directory changes, as `docker diff` lists it.
//!
//! The upper is compared with the merged tree of the lowers, entry by entry; only directories that the upper has
//! are opened, so the cost goes with the changes, not with the image. A directory is a change when its mode or
//! owner differs or something in it is a change; a file also when its time, size or capability differs. All that
//! is in an added directory is listed, a removed one alone. Parents come before their contents, names in the order
//! of their bytes.

use crate::error::{Error, Result, lossy};
use crate::name;
use crate::tree::{self, failed};
use rustix::fs::{CWD, FileType, Mode, Stat};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// What became of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ChangeKind {
    /// Modified, `C`.
    Modified = 0,
    /// Added, `A`.
    Added = 1,
    /// Deleted, `D`.
    Deleted = 2,
}

/// One line of `docker diff`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Absolute path in the container.
    pub path: String,
    /// What became of it.
    pub kind: ChangeKind,
}

// Deeper ones are refused: each level holds descriptors and a frame of the stack.
const MAX_DEPTH: usize = 400;

/// The changes that `upper` holds against `lowers`, the topmost first, open for reading. All are directories in
/// overlayfs's form without redirects and metadata-only copies (mount with `redirect_dir=off,metacopy=off`).
pub fn changes(upper: &Path, lowers: Vec<OwnedFd>) -> Result<Vec<Change>> {
    let upper = rustix::fs::openat(CWD, upper, tree::DIRECTORY, Mode::empty())
        .map_err(|errno| Error::path("open", upper.as_os_str().as_encoded_bytes(), errno))?;
    let mut found = Vec::new();
    compare(upper.as_fd(), &Merged { directories: lowers }, b"", At { depth: 0, opaque: false }, &mut found)?;
    Ok(found)
}

// The directories of the lowers that together are one directory, topmost first.
struct Merged {
    directories: Vec<OwnedFd>,
}

impl Merged {
    fn empty() -> Self {
        Self { directories: Vec::new() }
    }

    // What the merged directory has of that name, and in which of its parts.
    fn find(&self, name: &[u8]) -> std::result::Result<Option<(usize, Stat)>, Errno> {
        for (index, directory) in self.directories.iter().enumerate() {
            match tree::stat_at(directory, name) {
                Ok(stat) if tree::is_whiteout(&stat) => return Ok(None),
                Ok(stat) => return Ok(Some((index, stat))),
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(None)
    }

    // The merged directory of that name, which begins in the part `first`.
    fn descend(&self, first: usize, name: &[u8]) -> std::result::Result<Self, Errno> {
        let mut directories = Vec::new();
        for directory in &self.directories[first..] {
            match rustix::fs::openat(directory, name, tree::DIRECTORY, Mode::empty()) {
                Ok(fd) => {
                    let opaque = is_opaque(fd.as_fd())?;
                    directories.push(fd);
                    if opaque {
                        break;
                    }
                }
                Err(Errno::NOENT) => {}
                // A whiteout or a file: it hides what is beneath.
                Err(Errno::NOTDIR | Errno::LOOP) => break,
                Err(errno) => return Err(errno),
            }
        }
        Ok(Self { directories })
    }

    fn names(&self) -> std::result::Result<Vec<Vec<u8>>, Errno> {
        let mut names: BTreeMap<Vec<u8>, bool> = BTreeMap::new();
        for directory in &self.directories {
            for name in tree::sorted_names(directory.as_fd())? {
                if let std::collections::btree_map::Entry::Vacant(vacant) = names.entry(name) {
                    let stat = tree::stat_at(directory, vacant.key())?;
                    vacant.insert(!tree::is_whiteout(&stat));
                }
            }
        }
        Ok(names.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect())
    }
}

// Where in the upper we are: how deep, and whether a directory on the way is opaque, so that nothing of the lowers
// shows any more.
#[derive(Clone, Copy)]
struct At {
    depth: usize,
    opaque: bool,
}

fn compare(
    upper: BorrowedFd<'_>,
    lower: &Merged,
    path: &[u8],
    at: At,
    found: &mut Vec<Change>,
) -> Result<()> {
    if at.depth > MAX_DEPTH {
        return Err(Error::path("compare", path, Errno::NAMETOOLONG));
    }
    // True: in the upper.
    let mut names: BTreeMap<Vec<u8>, bool> = BTreeMap::new();
    let opaque = at.opaque || is_opaque(upper).map_err(failed("getxattr", path))?;
    if opaque {
        names.extend(lower.names().map_err(failed("readdir", path))?.into_iter().map(|name| (name, false)));
    }
    let own = tree::sorted_names(upper).map_err(failed("readdir", path))?;
    names.extend(own.into_iter().map(|name| (name, true)));
    for (last, in_upper) in names {
        let path = name::join(path, &last);
        if in_upper {
            one(upper, lower, &path, At { opaque, ..at }, found)?;
        } else {
            found.push(change(&path, ChangeKind::Deleted));
        }
    }
    Ok(())
}

fn one(upper: BorrowedFd<'_>, lower: &Merged, path: &[u8], at: At, found: &mut Vec<Change>) -> Result<()> {
    let last = name::last(path);
    let stat = match tree::stat_at(upper, last) {
        Ok(stat) => stat,
        // A running container removes files while we look.
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(Error::path("stat", path, errno)),
    };
    let before = lower.find(last).map_err(failed("stat", path))?;
    if tree::is_whiteout(&stat) {
        if before.is_some() {
            found.push(change(path, ChangeKind::Deleted));
        }
        return Ok(());
    }
    let kind = match &before {
        None => Some(ChangeKind::Added),
        Some((part, old)) => {
            let differs = differs(old, &stat)
                || tree::type_of(&stat) == FileType::RegularFile
                    && capability(upper, last).map_err(failed("getxattr", path))?
                        != capability(lower.directories[*part].as_fd(), last)
                            .map_err(failed("getxattr", path))?;
            differs.then_some(ChangeKind::Modified)
        }
    };
    let place = found.len();
    if tree::type_of(&stat) == FileType::Directory {
        let directory = match rustix::fs::openat(upper, last, tree::DIRECTORY, Mode::empty()) {
            Ok(directory) => directory,
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(Error::path("open", path, errno)),
        };
        let beneath = match before {
            Some((part, old)) if tree::type_of(&old) == FileType::Directory => {
                lower.descend(part, last).map_err(failed("open", path))?
            }
            _ => Merged::empty(),
        };
        compare(directory.as_fd(), &beneath, path, At { depth: at.depth + 1, ..at }, found)?;
    }
    match kind {
        Some(kind) => found.insert(place, change(path, kind)),
        None if found.len() > place => found.insert(place, change(path, ChangeKind::Modified)),
        None => {}
    }
    Ok(())
}

fn change(path: &[u8], kind: ChangeKind) -> Change {
    Change { path: format!("/{}", lossy(path)), kind }
}

// A directory's size and time say nothing: they change with what is in it.
fn differs(old: &Stat, new: &Stat) -> bool {
    if (old.st_mode, old.st_uid, old.st_gid, old.st_rdev)
        != (new.st_mode, new.st_uid, new.st_gid, new.st_rdev)
    {
        return true;
    }
    if tree::type_of(new) == FileType::Directory {
        return false;
    }
    let (was, is) = (tree::mtime(old), tree::mtime(new));
    // Some file systems and archives keep whole seconds only.
    let whole = was.nanoseconds == 0 || is.nanoseconds == 0;
    let same_time = was.seconds == is.seconds && (whole || was.nanoseconds == is.nanoseconds);
    !same_time || old.st_size != new.st_size
}

pub(crate) fn is_opaque(directory: BorrowedFd<'_>) -> std::result::Result<bool, Errno> {
    Ok(tree::xattr(directory, false, b"trusted.overlay.opaque")?.as_deref() == Some(b"y"))
}

fn capability(directory: BorrowedFd<'_>, last: &[u8]) -> std::result::Result<Option<Vec<u8>>, Errno> {
    let fd = rustix::fs::openat(directory, last, tree::NAME_ANY, Mode::empty())?;
    tree::xattr(fd.as_fd(), true, b"security.capability")
}
