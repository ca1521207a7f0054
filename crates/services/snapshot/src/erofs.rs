//! Layers that are not unpacked: a tar, and an EROFS image that points into it.
//!
//! ```text
//! layers/sha256/<hex of the DiffId>/
//!   layer.tar      the layer as it came, byte for byte; of what is made here the same file as the blob
//!   layer.erofs    its image (`hull-erofs`), mounted with the tar as its device
//! chains/sha256/<hex of the ChainId>/
//!   layer.json     as with every driver
//!   layer.erofs    an image of its own, where a directory that only later entries' names tell of covers one that is
//!                  not like others: what shows is what it covers
//! ```
//! Tar and image are written while the layer's stream passes by once. Stacks that have the same layer at different
//! heights have one tar, and mostly one image. Removing a layer is two renames and three unlinks.
//!
//! Former versions named a layer's directory by its ChainId, with all three files in it: such layers stay as they are.
//! A lowest layer's is the same directory in both.
//!
//! Needs a kernel that mounts EROFS from files of this file system and stacks them by descriptor (Linux 6.13 and
//! newer, not on tmpfs): [`works`] tries it.

use crate::stacked::{Attributes, Form, Place, Stacked, Written, failed};
use crate::{Error, Result};
use hull_archive::Entry;
use hull_erofs::Builder;
use hull_sys::LayerMounts;
use hull_sys::direct::DirectFile;
use hull_types::{Lower, Rootfs};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The driver. Dropping it waits until what was removed is gone.
pub type Erofs = Stacked<TarIndex>;

/// Layers as tars with an image each.
#[derive(Debug)]
pub struct TarIndex;

impl Form for TarIndex {
    const NAME: &'static str = "erofs";
    const SHARED: bool = true;
    const KEEPS_TARS: bool = true;

    fn write(
        aside: &Path,
        reader: &mut dyn Read,
        kept: Option<&File>,
    ) -> Result<Written, hull_archive::Error> {
        let (tar, image) = (tar_in(aside), image_in(aside));
        if kept.is_some_and(|kept| one_more_name(kept, &tar)) {
            return write_image(reader, &image, Builder::default());
        }
        let file = File::create(&tar).map_err(|source| contents("make", &tar, source))?;
        let mut kept = Kept { reader, file: DirectFile::new(file), length: 0, failed: None };
        let written = write_image(&mut kept, &image, Builder::default());
        match kept.failed {
            // The reader's caller sees it as a broken stream.
            Some(source) => Err(contents("write", &tar, source)),
            None => written,
        }
    }

    fn share(contents: &Path, aside: &Path) -> io::Result<()> {
        std::fs::hard_link(tar_in(contents), tar_in(aside))?;
        std::fs::hard_link(image_in(contents), image_in(aside))
    }

    fn lower(layer: &Place) -> Lower {
        Lower::Erofs { index: image(layer), data: vec![tar_in(&layer.contents)] }
    }

    fn open(layer: &Place) -> io::Result<OwnedFd> {
        let mount = hull_sys::rootfs::mount_lower(&Self::lower(layer))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(mount, ".", flags, Mode::empty())?)
    }

    fn root(layer: &Place) -> io::Result<Attributes> {
        let root = hull_erofs::root(&File::open(image(layer))?)?;
        Ok(Attributes { mode: root.mode, uid: root.uid, gid: root.gid })
    }

    fn settle(layer: &Place, covered: &[(PathBuf, OwnedFd)]) -> Result<bool> {
        let own = &layer.own;
        let mut builder = Builder::default();
        let mut differs = false;
        for (path, from) in covered {
            let (mode, uid, gid, attributes) = hull_archive::directory_attributes(from)
                .map_err(|source| Error::Settle { path: own.clone(), source })?;
            differs |= (mode, uid, gid) != (0o755, 0, 0) || !attributes.is_empty();
            builder.cover(path, mode, (uid, gid), &attributes);
        }
        if !differs {
            return Ok(false);
        }
        let (tar, place) = (tar_in(&layer.contents), image_in(own));
        let new = own.join("layer.erofs.new");
        let mut reader = File::open(&tar).map_err(failed("open", &tar))?;
        write_image(&mut reader, &new, builder)
            .map_err(|source| Error::Settle { path: own.clone(), source })?;
        std::fs::rename(&new, &place).map_err(failed("rename into place", &place))?;
        Ok(true)
    }

    fn tar(layer: &Place) -> io::Result<Option<File>> {
        File::open(tar_in(&layer.contents)).map(Some)
    }
}

// Not between file systems, and not beyond the number of names that a file may have: then it is copied.
fn one_more_name(file: &File, path: &Path) -> bool {
    let open = format!("/proc/self/fd/{}", file.as_raw_fd());
    rustix::fs::linkat(CWD, open, CWD, path, AtFlags::SYMLINK_FOLLOW).is_ok()
}

fn tar_in(directory: &Path) -> PathBuf {
    directory.join("layer.tar")
}

fn image_in(directory: &Path) -> PathBuf {
    directory.join("layer.erofs")
}

fn image(layer: &Place) -> PathBuf {
    image_in(if layer.fitted { &layer.own } else { &layer.contents })
}

fn contents(act: &'static str, path: &Path, source: io::Error) -> hull_archive::Error {
    hull_archive::Error::Contents { act, path: path.display().to_string(), source }
}

fn write_image(reader: &mut dyn Read, path: &Path, builder: Builder) -> Result<Written, hull_archive::Error> {
    let failed = |source| contents("write", path, source);
    let mut image = BufWriter::new(File::create(path).map_err(failed)?);
    let summary = hull_erofs::index(reader, &mut image, builder)?;
    image.flush().map_err(failed)?;
    Ok(Written { size: summary.size, entries: summary.entries, implied: summary.implied })
}

// Passes a stream on and keeps it in a file, past the page cache: containers read little of an image, and what they read
// comes with the disk's read-ahead.
struct Kept<'a> {
    reader: &'a mut dyn Read,
    file: DirectFile,
    length: u64,
    failed: Option<io::Error>,
}

impl Kept<'_> {
    // As much as there is room for, so that the next piece begins at a block as this one does.
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.reader.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}

impl Read for Kept<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill(buffer)?;
        if let Err(error) = self.file.write_all_at(&buffer[..read], self.length) {
            self.failed = Some(io::Error::from(error.kind()));
            if let Some(number) = error.raw_os_error() {
                self.failed = Some(io::Error::from_raw_os_error(number));
            }
            return Err(error);
        }
        self.length += read as u64;
        Ok(read)
    }
}

/// Tries whether layers of this driver can be mounted and stacked in the directory, which is made if it isn't there.
///
/// # Errors
/// What the kernel answers where they can't.
pub fn works(directory: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let place = directory.join(format!(".hull-erofs-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&place);
    let result = try_in(&place);
    let _ = std::fs::remove_dir_all(&place);
    result
}

fn try_in(place: &Path) -> io::Result<()> {
    const TEXT: &[u8] = b"it works";
    let (layer, upper, work) = (place.join("layer"), place.join("upper"), place.join("work"));
    for directory in [&layer, &upper, &work] {
        std::fs::create_dir_all(directory)?;
    }
    let mut writer = hull_archive::Writer::new(Vec::new());
    let entry = Entry { size: TEXT.len() as u64, ..Entry::new("file", hull_archive::EntryKind::File, 0o644) };
    let bytes = writer.entry(&entry).and_then(|()| writer.contents(TEXT)).and_then(|()| writer.finish());
    TarIndex::write(&layer, &mut &bytes.map_err(io::Error::other)?[..], None).map_err(io::Error::other)?;
    let layer = Place { contents: layer.clone(), own: layer, fitted: false };
    let rootfs = Rootfs { lowers: vec![TarIndex::lower(&layer)], upper: Some(upper), work: Some(work) };
    let tree = hull_sys::InRoot::new(hull_sys::mount_rootfs(&rootfs, &LayerMounts::default())?);
    match tree.read("file", TEXT.len() as u64)? {
        read if read == TEXT => Ok(()),
        _ => Err(io::Error::other("a file in an EROFS image does not have its contents")),
    }
}
