//! A tree becomes a tar: `docker cp` from a container (`GET …/archive`) and `docker export`.
//!
//! Members are in the order of a depth-first walk with sorted names, as Docker has them. A path's archive is
//! rooted at its base name: `/etc` gives `etc/`, `etc/passwd`; `/etc/.` gives `./`, `./passwd`; `/` gives `/`,
//! `/bin/`; a file or link gives itself. A link at the end of the path is packed as a link unless the path ends in
//! a slash. Times are whole seconds; of the extended attributes `security.capability` is kept; sockets are left out.

use crate::apply;
use crate::changes;
use crate::entry::{Entry, EntryKind, Time};
use crate::error::{Error, Result, lossy};
use crate::name;
use crate::tree::{self, failed};
use crate::writer::Writer;
use rustix::fs::{CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// How [`pack`] packs.
#[derive(Debug, Clone, Default)]
pub struct PackOptions {
    /// All extended attributes, not only capabilities.
    pub all_xattrs: bool,
}

/// Writes the tree or file at `path` under `root` as a tar, resolved as [`crate::stat`] does, and flushes.
pub fn pack<W: Write>(root: BorrowedFd<'_>, path: &Path, options: &PackOptions, writer: W) -> Result<()> {
    let path = name::absolute(path.as_os_str().as_bytes());
    let fd = tree::open_in_root(root, &path, tree::NAME_ANY).map_err(failed("lstat", &path))?;
    // The root is named by the empty text, so that its children are `/bin`, not `//bin`.
    let first = if path == b"/" { Vec::new() } else { name::base(&path).to_vec() };
    let mut packer = Packer::new(options, writer);
    packer.member(first, fd)?;
    packer.run()
}

/// Writes the whole tree under `root` as a tar whose names are relative to it, without an entry for the root.
pub fn export<W: Write>(root: BorrowedFd<'_>, writer: W) -> Result<()> {
    let fd = tree::open_in_root(root, b".", tree::DIRECTORY).map_err(failed("open", b"/"))?;
    let options = PackOptions::default();
    let mut packer = Packer::new(&options, writer);
    let names = tree::sorted_names(fd.as_fd()).map_err(failed("readdir", b"/"))?;
    packer.stack.push(Level { prefix: None, directory: fd, names: names.into_iter() });
    packer.run()
}

/// Writes what an overlay's upper directory changes as a layer's tar: removed names as empty files `.wh.NAME`, before
/// all else of their directory those that hide all that is beneath as `.wh..wh..opq`.
///
/// # Errors
/// [`Error::Unsupported`] for a file whose own name begins with `.wh.`: nobody could tell it from such a mark.
pub fn layer<W: Write>(upper: &Path, writer: W) -> Result<()> {
    let fd = rustix::fs::openat(CWD, upper, tree::DIRECTORY, Mode::empty())
        .map_err(|errno| Error::path("open", upper.as_os_str().as_bytes(), errno))?;
    let options = PackOptions { all_xattrs: true };
    let mut packer = Packer::new(&options, writer);
    packer.is_layer = true;
    packer.marks(fd.as_fd(), b"")?;
    let names = tree::sorted_names(fd.as_fd()).map_err(failed("readdir", b"/"))?;
    packer.stack.push(Level { prefix: None, directory: fd, names: names.into_iter() });
    packer.run()
}

// A directory being walked.
struct Level {
    // Its name in the archive; None for a root without a name.
    prefix: Option<Vec<u8>>,
    directory: OwnedFd,
    names: std::vec::IntoIter<Vec<u8>>,
}

struct Packer<'a, W> {
    writer: Writer<W>,
    options: &'a PackOptions,
    // Of an upper directory, whose marks become a layer's.
    is_layer: bool,
    stack: Vec<Level>,
    // First names of files with several.
    seen: HashMap<(u64, u64), Vec<u8>>,
    buffer: Vec<u8>,
}

impl<'a, W: Write> Packer<'a, W> {
    fn new(options: &'a PackOptions, writer: W) -> Self {
        let buffer = vec![0; 256 * 1024];
        Self {
            writer: Writer::new(writer),
            options,
            is_layer: false,
            stack: Vec::new(),
            seen: HashMap::new(),
            buffer,
        }
    }

    // Not recursive: whoever made the tree chose its depth.
    fn run(mut self) -> Result<()> {
        while let Some(level) = self.stack.last_mut() {
            let Some(last) = level.names.next() else {
                self.stack.pop();
                continue;
            };
            let full = match &level.prefix {
                Some(prefix) => [prefix.as_slice(), b"/", &last].concat(),
                None => last.clone(),
            };
            match rustix::fs::openat(&level.directory, last.as_slice(), tree::NAME_ANY, Mode::empty()) {
                Ok(fd) => self.member(full, fd)?,
                // Removed since the directory was read.
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(Error::path("open", &full, errno)),
            }
        }
        self.writer.finish().map(drop)
    }

    // Packs what the O_PATH descriptor names; a directory's own members come later.
    fn member(&mut self, full: Vec<u8>, fd: OwnedFd) -> Result<()> {
        let stat = rustix::fs::fstat(&fd).map_err(failed("stat", &full))?;
        let Some(kind) = kind_of(&stat) else { return Ok(()) };
        if self.is_layer {
            if tree::is_whiteout(&stat) {
                return self.mark(name::parent(&full), &[apply::WHITEOUT, name::last(&full)].concat());
            }
            if name::last(&full).starts_with(apply::WHITEOUT) {
                let reason = "a layer can't hold a file whose name begins with .wh.".into();
                return Err(Error::Unsupported { name: lossy(&full), reason });
            }
        }
        let mut entry = Entry::new(full, kind, stat.st_mode & 0o7777);
        (entry.uid, entry.gid) = (stat.st_uid, stat.st_gid);
        entry.mtime = Time { seconds: stat.st_mtime, nanoseconds: 0 };
        let links = !kind.is_directory() && stat.st_nlink > 1;
        if let Some(first) = self.seen.get(&(stat.st_dev, stat.st_ino)).filter(|_| links) {
            (entry.kind, entry.link) = (EntryKind::HardLink, first.clone());
            return self.writer.entry(&entry);
        }
        if links {
            self.seen.insert((stat.st_dev, stat.st_ino), entry.name.clone());
        }
        match kind {
            EntryKind::File => self.file(entry, fd.as_fd(), stat.st_size as u64),
            EntryKind::Directory => self.directory(entry, fd.as_fd()),
            EntryKind::Symlink => {
                let target =
                    rustix::fs::readlinkat(&fd, "", Vec::new()).map_err(failed("readlink", &entry.name))?;
                entry.link = target.into_bytes();
                self.writer.entry(&entry)
            }
            EntryKind::CharDevice | EntryKind::BlockDevice => {
                entry.device = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
                self.writer.entry(&entry)
            }
            _ => self.writer.entry(&entry),
        }
    }

    fn file(&mut self, mut entry: Entry, fd: BorrowedFd<'_>, size: u64) -> Result<()> {
        // Known to be a regular file: opening a device could do something.
        let opened = tree::reopen(fd, OFlags::RDONLY).map_err(failed("open", &entry.name))?;
        entry.size = size;
        self.read_xattrs(&mut entry, opened.as_fd())?;
        self.writer.entry(&entry)?;
        let mut file = File::from(opened);
        while self.writer.left() > 0 {
            let most = usize::try_from(self.writer.left()).unwrap_or(usize::MAX).min(self.buffer.len());
            let length = match file.read(&mut self.buffer[..most]) {
                Ok(length) => length,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(source) => {
                    return Err(Error::Contents { act: "read", path: lossy(&entry.name), source });
                }
            };
            if length == 0 {
                // The file has shrunk; the header is out already.
                self.buffer[..most].fill(0);
                self.writer.contents(&self.buffer[..most])?;
            } else {
                self.writer.contents(&self.buffer[..length])?;
            }
        }
        Ok(())
    }

    fn directory(&mut self, mut entry: Entry, fd: BorrowedFd<'_>) -> Result<()> {
        let opened =
            tree::reopen(fd, OFlags::RDONLY | OFlags::DIRECTORY).map_err(failed("open", &entry.name))?;
        self.read_xattrs(&mut entry, opened.as_fd())?;
        let prefix = entry.name.clone();
        entry.name.push(b'/');
        self.writer.entry(&entry)?;
        self.marks(opened.as_fd(), &prefix)?;
        let names = tree::sorted_names(opened.as_fd()).map_err(failed("readdir", &prefix))?;
        self.stack.push(Level { prefix: Some(prefix), directory: opened, names: names.into_iter() });
        Ok(())
    }

    // What an upper directory says of itself.
    fn marks(&mut self, directory: BorrowedFd<'_>, path: &[u8]) -> Result<()> {
        if self.is_layer && changes::is_opaque(directory).map_err(failed("getxattr", path))? {
            self.mark(path, apply::OPAQUE)?;
        }
        Ok(())
    }

    fn mark(&mut self, directory: &[u8], mark: &[u8]) -> Result<()> {
        self.writer.entry(&Entry::new(name::join(directory, mark), EntryKind::File, 0))
    }

    fn read_xattrs(&self, entry: &mut Entry, fd: BorrowedFd<'_>) -> Result<()> {
        if self.options.all_xattrs {
            entry.xattrs = crate::copy::attributes(fd, false).map_err(failed("getxattr", &entry.name))?;
            return Ok(());
        }
        const CAPABILITY: &[u8] = b"security.capability";
        if !entry.kind.is_file() {
            return Ok(());
        }
        let value = tree::xattr(fd, false, CAPABILITY).map_err(failed("getxattr", &entry.name))?;
        entry.xattrs.extend(value.map(|value| (CAPABILITY.to_vec(), value)));
        Ok(())
    }
}

fn kind_of(stat: &Stat) -> Option<EntryKind> {
    Some(match tree::type_of(stat) {
        FileType::RegularFile => EntryKind::File,
        FileType::Directory => EntryKind::Directory,
        FileType::Symlink => EntryKind::Symlink,
        FileType::Fifo => EntryKind::Fifo,
        FileType::CharacterDevice => EntryKind::CharDevice,
        FileType::BlockDevice => EntryKind::BlockDevice,
        FileType::Socket | FileType::Unknown => return None,
    })
}
