//! A mounted tree: the layers of a stage or of an image.

use super::{Facts, Files};
use crate::files::context::raw;
use hull_archive::EntryKind;
use hull_content::Hasher;
use hull_sys::in_root::InRoot;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The tree below a root that is mounted read-only.
#[derive(Debug)]
pub(crate) struct Tree(InRoot);

impl Tree {
    pub(crate) fn new(root: InRoot) -> Self {
        Self(root)
    }
    pub(crate) fn root(&self) -> &InRoot {
        &self.0
    }
    fn at(&self, name: &[u8], flags: OFlags) -> io::Result<Option<OwnedFd>> {
        let path = if name.is_empty() { Path::new(".") } else { Path::new(OsStr::from_bytes(name)) };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
        loop {
            match rustix::fs::openat2(self.0.as_fd(), path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
                Ok(found) => return Ok(Some(found)),
                // A part of the path is a link or a file: there is nothing of that name.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Files for Tree {
    fn facts(&self, name: &[u8]) -> io::Result<Option<Facts>> {
        let Some(found) = self.at(name, OFlags::PATH | OFlags::NOFOLLOW)? else { return Ok(None) };
        let stat = rustix::fs::fstat(&found)?;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => EntryKind::File,
            FileType::Directory => EntryKind::Directory,
            FileType::Symlink => EntryKind::Symlink,
            FileType::CharacterDevice => EntryKind::CharDevice,
            FileType::BlockDevice => EntryKind::BlockDevice,
            FileType::Fifo => EntryKind::Fifo,
            _ => return Ok(None),
        };
        let link = match kind {
            EntryKind::Symlink => rustix::fs::readlinkat(&found, "", Vec::new())?.into_bytes(),
            _ => Vec::new(),
        };
        Ok(Some(Facts {
            kind,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: stat.st_mtime,
            size: if kind == EntryKind::File { stat.st_size as u64 } else { 0 },
            link,
            device: (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)),
            xattrs: if matches!(kind, EntryKind::File | EntryKind::Directory) {
                self.xattrs(name).unwrap_or_default()
            } else {
                Vec::new()
            },
        }))
    }
    fn list(&self, directory: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let Some(found) = self.at(directory, flags)? else { return Ok(Vec::new()) };
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::new(found)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }
    fn open(&self, name: &[u8]) -> io::Result<Box<dyn Read + Send>> {
        let found = self.at(name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK)?;
        Ok(Box::new(File::from(found.ok_or(io::ErrorKind::NotFound)?)))
    }
    fn keeps_owners(&self) -> bool {
        true
    }
    fn digest(&self, name: &[u8]) -> io::Result<[u8; 32]> {
        let mut hasher = Hasher::like(None);
        let mut reader = self.open(name)?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            match reader.read(&mut buffer)? {
                0 => return Ok(raw(hasher)),
                read => hasher.update(&buffer[..read]),
            }
        }
    }
}

impl Tree {
    /// Capabilities of programs, and what users set themselves.
    fn xattrs(&self, name: &[u8]) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let Some(found) = self.at(name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK)? else {
            return Ok(Vec::new());
        };
        let mut names = [0u8; 4096];
        let length = rustix::fs::flistxattr(&found, &mut names[..])?;
        let mut list = Vec::new();
        for key in names[..length].split(|byte| *byte == 0).filter(|key| !key.is_empty()) {
            if key == b"security.capability" || key.starts_with(b"user.") {
                let mut value = [0u8; 4096];
                let length = rustix::fs::fgetxattr(&found, OsStr::from_bytes(key), &mut value[..])?;
                list.push((key.to_vec(), value[..length].to_vec()));
            }
        }
        list.sort();
        Ok(list)
    }
}
