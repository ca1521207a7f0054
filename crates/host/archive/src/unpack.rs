//! An uploaded tar becomes files of a container (`PUT /containers/{id}/archive`).

use crate::error::{Error, Result};
use crate::extract::{Extractor, Use};
use crate::name;
use crate::reader::Archive;
use crate::tree;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::io::Read;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// How [`unpack`] treats what is there.
#[derive(Debug, Clone, Default)]
pub struct UnpackOptions {
    /// Refuse to replace a directory by something else, and something else by a directory.
    pub no_overwrite_dir_non_dir: bool,
    /// Everything gets this owner and group (`copyUIDGID`: the container's user) instead of the archive's.
    pub owner: Option<(u32, u32)>,
}

/// Extracts an uncompressed tar into the directory `dest` of the tree under `root`.
///
/// `dest` and the members' parents are resolved inside of `root` with links followed, whoever swaps them
/// meanwhile. A member replaces what has its name; a directory that is there is kept and gets the member's
/// attributes, `dest` itself does not. Whiteouts are names like any other here. The stream is read to its end.
///
/// # Errors
/// Kind NotFound when `dest` does not exist; [`Error::NotADirectory`] when it is something else.
pub fn unpack<R: Read>(root: BorrowedFd<'_>, dest: &Path, reader: R, options: &UnpackOptions) -> Result<()> {
    let dest = name::absolute(dest.as_os_str().as_bytes());
    let base_fd = match tree::open_in_root(root, &dest, OFlags::PATH | OFlags::DIRECTORY) {
        Ok(fd) => fd,
        Err(Errno::NOTDIR) => return Err(Error::NotADirectory),
        Err(errno) => return Err(Error::path("stat", &dest, errno)),
    };
    let purpose = Use::Copy { keep_sorts: options.no_overwrite_dir_non_dir, owner: options.owner };
    let mut extractor = Extractor::new(root, name::clean(&dest)?, base_fd, purpose);
    let mut archive = Archive::new(reader);
    while let Some(entry) = archive.next_entry()? {
        let path = name::clean(&entry.name)?;
        extractor.member(&mut archive, &entry, &path)?;
    }
    archive.drain()?;
    extractor.finish(None)?;
    Ok(())
}
