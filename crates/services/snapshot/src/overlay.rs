//! Layers unpacked into directories in overlayfs's form, for every kernel.
//!
//! A layer's contents are the directory `fs`.

use crate::stacked::{Attributes, Form, Place, Stacked, Written, failed};
use crate::{Error, Result};
use hull_archive::{ApplyOptions, copy_directory_attributes};
use hull_types::Lower;
use rustix::fs::{CWD, Mode, OFlags};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The driver. Dropping it waits until what was removed is gone.
pub type Overlay = Stacked<Directories>;

/// Layers as directories.
#[derive(Debug)]
pub struct Directories;

impl Form for Directories {
    const NAME: &'static str = "overlay2";
    // Its directories get what they cover in place.
    const SHARED: bool = false;
    const KEEPS_TARS: bool = false;

    fn write(
        aside: &Path,
        reader: &mut dyn Read,
        _tar: Option<&File>,
    ) -> Result<Written, hull_archive::Error> {
        let files = aside.join("fs");
        let made = std::fs::create_dir(&files).and_then(|()| {
            // Whatever the umask is: this one may show in the container.
            Ok(rustix::fs::chmod(&files, Mode::from_raw_mode(0o755))?)
        });
        made.map_err(|source| hull_archive::Error::Contents {
            act: "make",
            path: files.display().to_string(),
            source,
        })?;
        let applied = hull_archive::apply(reader, &files, &ApplyOptions::default())?;
        Ok(Written { size: applied.size, entries: applied.entries, implied: applied.implied })
    }

    fn share(_contents: &Path, _aside: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn lower(layer: &Place) -> Lower {
        Lower::Directory(layer.contents.join("fs"))
    }

    fn open(layer: &Place) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(CWD, layer.contents.join("fs"), flags, Mode::empty())?)
    }

    fn root(layer: &Place) -> io::Result<Attributes> {
        let stat = rustix::fs::stat(layer.contents.join("fs"))?;
        Ok(Attributes { mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid })
    }

    fn settle(layer: &Place, covered: &[(PathBuf, OwnedFd)]) -> Result<bool> {
        let contents = &layer.contents;
        let own = Self::open(layer).map_err(failed("open", contents))?;
        for (path, from) in covered {
            let to = crate::stacked::open_inside(&own, path).map_err(failed("open", &contents.join(path)))?;
            copy_directory_attributes(from.as_fd(), to.as_fd())
                .map_err(|source| Error::Settle { path: contents.clone(), source })?;
        }
        Ok(false)
    }

    fn tar(_layer: &Place) -> io::Result<Option<File>> {
        Ok(None)
    }
}
