//! An image's files into a volume that has none.

use crate::{Error, Result, failed};
use hull_errors::{HasKind, Kind};
use rustix::fs::{CWD, Mode, OFlags};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub(crate) fn copy_up(name: &str, data: &Path, rootfs: BorrowedFd<'_>, path: &Path) -> Result<()> {
    if std::fs::read_dir(data).map_err(failed("read", data))?.next().is_some() {
        return Ok(());
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let to = rustix::fs::openat(CWD, data, flags, Mode::empty())
        .map_err(|errno| failed("open", data)(io::Error::from(errno)))?;
    match hull_archive::copy_tree(rootfs, path, to.as_fd()) {
        Ok(_) => Ok(()),
        // The image has nothing there.
        Err(error) if error.kind() == Kind::NotFound && error.errno() == Some(NOT_THERE) => Ok(()),
        Err(source) => {
            // Half of it would pass for the volume's own files the next time.
            for entry in std::fs::read_dir(data).map_err(failed("read", data))?.flatten() {
                let _ = hull_archive::remove_tree(to.as_fd(), entry.file_name().as_bytes());
            }
            Err(Error::CopyUp { name: name.into(), path: path.into(), source })
        }
    }
}

const NOT_THERE: i32 = rustix::io::Errno::NOENT.raw_os_error();
