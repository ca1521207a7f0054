//! A layer's tar becomes a directory in the form that overlayfs stacks.
//!
//! `.wh.NAME` (OCI image specification, "Whiteouts") becomes a character device 0/0 called NAME, and
//! `.wh..wh..opq` the attribute `trusted.overlay.opaque` of its directory.

use crate::error::{Error, Result, lossy};
use crate::extract::{Extractor, Use};
use crate::name;
use crate::reader::Archive;
use crate::tree::failed;
use rustix::fs::{CWD, Mode, OFlags};
use std::ffi::OsString;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

pub(crate) const WHITEOUT: &[u8] = b".wh.";
// Of the whiteouts' inventor, aufs: its own bookkeeping, of no meaning elsewhere.
const WHITEOUT_META: &[u8] = b".wh..wh.";
pub(crate) const OPAQUE: &[u8] = b".wh..wh..opq";

/// Bounds of [`apply`].
#[derive(Debug, Clone)]
pub struct ApplyOptions {
    /// The most entries accepted.
    pub max_entries: u64,
    /// The most bytes of file contents accepted.
    pub max_bytes: u64,
}

impl Default for ApplyOptions {
    fn default() -> Self {
        Self { max_entries: 10_000_000, max_bytes: u64::MAX }
    }
}

/// What [`apply`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// The contents' size as Docker counts it: files and the texts of symbolic links, hard links once.
    pub size: u64,
    /// How many entries the archive had.
    pub entries: u64,
    /// Directories that no entry describes, made as parents with 0755 of root; relative, the root itself is the
    /// empty path, with the time of the archive's first entry. Those that a lower layer has should get its attributes.
    pub implied: Vec<PathBuf>,
}

/// Applies a layer's uncompressed tar to the directory `root`, which should be empty and nobody else's, and reads
/// the stream to its end.
///
/// Whatever the archive says, nothing outside of `root` is touched. Attributes that the file system can't have are
/// left out, as are overlayfs's own. After an error the directory holds a part of the layer.
pub fn apply<R: Read>(reader: R, root: &Path, options: &ApplyOptions) -> Result<Applied> {
    let open =
        || rustix::fs::openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let (directory, base) = (open().map_err(failed("open", b""))?, open().map_err(failed("open", b""))?);
    let mut extractor = Extractor::new(directory.as_fd(), Vec::new(), base, Use::Layer);
    let mut archive = Archive::new(reader);
    let (mut entries, mut bytes) = (0, 0_u64);
    let mut first = None;
    while let Some(entry) = archive.next_entry()? {
        entries += 1;
        first.get_or_insert(entry.mtime);
        bytes = bytes.saturating_add(entry.size);
        if entries > options.max_entries {
            return Err(Error::TooMuch { what: "entries", allowed: options.max_entries });
        }
        if bytes > options.max_bytes {
            return Err(Error::TooMuch { what: "bytes", allowed: options.max_bytes });
        }
        let path = name::clean(&entry.name)?;
        match mark(&path)? {
            Mark::None => extractor.member(&mut archive, &entry, &path)?,
            Mark::Removed(path) => extractor.whiteout(&path)?,
            Mark::Opaque(path) => extractor.opaque(&path)?,
            Mark::Bookkeeping => {}
        }
    }
    archive.drain()?;
    let (size, implied) = extractor.finish(first)?;
    let implied = implied.into_iter().map(|path| PathBuf::from(OsString::from_vec(path))).collect();
    Ok(Applied { size, entries, implied })
}

/// What a name in a layer's tar says besides itself (image specification, "Whiteouts").
#[derive(Debug, PartialEq)]
pub enum Mark {
    /// Nothing: it is a file.
    None,
    /// That the path is removed from the layers beneath.
    Removed(Vec<u8>),
    /// That the directory hides all that the layers beneath have of it.
    Opaque(Vec<u8>),
    /// What only aufs knows; to be left out.
    Bookkeeping,
}

/// What a cleaned name says.
///
/// # Errors
/// [`Error::Unsupported`] for a whiteout that removes no name.
pub fn mark(path: &[u8]) -> Result<Mark> {
    let last = name::last(path);
    if last == OPAQUE {
        return Ok(Mark::Opaque(name::parent(path).to_vec()));
    }
    if path.split(|byte| *byte == b'/').any(|component| component.starts_with(WHITEOUT_META)) {
        return Ok(Mark::Bookkeeping);
    }
    match last.strip_prefix(WHITEOUT) {
        None => Ok(Mark::None),
        Some(b"" | b"." | b"..") => {
            let reason = "a whiteout that removes no name".into();
            Err(Error::Unsupported { name: lossy(path), reason })
        }
        Some(removed) => Ok(Mark::Removed(name::join(name::parent(path), removed))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_told_from_names() {
        assert_eq!(mark(b"a/.wh.b").unwrap(), Mark::Removed(b"a/b".to_vec()));
        assert_eq!(mark(b".wh..b").unwrap(), Mark::Removed(b".b".to_vec()));
        assert_eq!(mark(b"a/.wh..wh..opq").unwrap(), Mark::Opaque(b"a".to_vec()));
        assert_eq!(mark(b".wh..wh..opq").unwrap(), Mark::Opaque(Vec::new()));
        assert_eq!(mark(b".wh..wh.plnk/5.6").unwrap(), Mark::Bookkeeping);
        assert_eq!(mark(b"a/b.wh.c").unwrap(), Mark::None);
        for bad in [&b".wh."[..], b"a/.wh..", b"a/.wh..."] {
            assert!(mark(bad).is_err(), "{bad:?}");
        }
    }
}
