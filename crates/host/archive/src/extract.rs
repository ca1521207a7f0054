//! Members become files: what applying a layer and unpacking into a container have in common.
//!
//! The parent directory of the member before is kept open, with those above it: a typical archive goes depth
//! first, so most members need no look-up at all. A file is created with O_EXCL and thus costs open, write,
//! utimensat and close; who was there before is only looked at when that fails.

use crate::entry::{Entry, EntryKind, Time};
use crate::error::{Error, Result, lossy};
use crate::name;
use crate::reader::Archive;
use crate::tree::{self, failed};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, XattrFlags};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What the two uses differ in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Use {
    /// A layer into a private directory in overlayfs's form.
    Layer,
    /// An upload into a tree that somebody else may be changing.
    Copy {
        /// `noOverwriteDirNonDir`.
        keep_sorts: bool,
        /// Instead of the members' owners.
        owner: Option<(u32, u32)>,
    },
}

/// Overlayfs's mark of a directory that hides what is beneath.
const OPAQUE: &str = "trusted.overlay.opaque";

// Set at the end, since entries made in a directory change its time, and a set-group-id bit their group.
struct Late {
    mtime: Time,
    atime: Option<Time>,
    mode: Option<u32>,
}

pub(crate) struct Extractor<'a> {
    root: BorrowedFd<'a>,
    // The extraction point: its path in the root, and itself.
    base: Vec<u8>,
    base_fd: OwnedFd,
    purpose: Use,
    umask: u32,
    // Whether what is created belongs to root without being told.
    is_root: bool,
    // The open directories from the extraction point down, each with its whole path.
    stack: Vec<(Vec<u8>, OwnedFd)>,
    late: BTreeMap<Vec<u8>, Late>,
    /// Directories that no member has described so far.
    pub implied: BTreeSet<Vec<u8>>,
    /// Sizes of files and links.
    pub size: u64,
}

impl<'a> Extractor<'a> {
    pub fn new(root: BorrowedFd<'a>, base: Vec<u8>, base_fd: OwnedFd, purpose: Use) -> Self {
        let is_root = rustix::process::geteuid().is_root() && rustix::process::getegid().is_root();
        let umask = tree::umask();
        let (stack, late) = (Vec::new(), BTreeMap::new());
        // The root is a directory that some archives don't describe.
        let implied = BTreeSet::from([Vec::new()]);
        Self { root, base, base_fd, purpose, umask, is_root, stack, late, implied, size: 0 }
    }

    /// Extracts a member to the cleaned `path`.
    pub fn member<R: Read>(&mut self, archive: &mut Archive<R>, entry: &Entry, path: &[u8]) -> Result<()> {
        if path.is_empty() {
            return self.root_member(entry);
        }
        self.enter(name::parent(path))?;
        match entry.kind {
            EntryKind::File => self.file(archive, entry, path),
            EntryKind::Directory => self.directory(entry, path),
            EntryKind::Symlink => self.symlink(entry, path),
            EntryKind::HardLink => self.hard_link(entry, path),
            EntryKind::Fifo => self.node(entry, path, FileType::Fifo),
            EntryKind::CharDevice => self.node(entry, path, FileType::CharacterDevice),
            EntryKind::BlockDevice => self.node(entry, path, FileType::BlockDevice),
            EntryKind::Other(flag) => {
                let reason = format!("unhandled tar header type {flag}");
                Err(Error::Unsupported { name: lossy(&entry.name), reason })
            }
        }
    }

    /// Sets what had to wait: directories' times and set-group-id bits. `implied` is the time of those that no entry
    /// describes.
    pub fn finish(mut self, implied: Option<Time>) -> Result<(u64, BTreeSet<Vec<u8>>)> {
        let mut late = std::mem::take(&mut self.late);
        if let Some(mtime) = implied {
            late.extend(
                self.implied.iter().map(|path| (path.clone(), Late { mtime, atime: None, mode: None })),
            );
        }
        for (path, Late { mtime, atime, mode }) in late {
            let times = tree::timestamps(mtime, atime);
            if path.is_empty() {
                rustix::fs::utimensat(&self.base_fd, ".", &times, AtFlags::empty())
                    .map_err(failed("utimensat", &path))?;
                continue;
            }
            self.enter(name::parent(&path))?;
            let (here, last) = (self.here(), name::last(&path));
            if let Some(mode) = mode {
                let fd = rustix::fs::openat(here, last, tree::DIRECTORY, Mode::empty())
                    .map_err(failed("open", &path))?;
                rustix::fs::fchmod(fd, Mode::from_raw_mode(mode)).map_err(failed("chmod", &path))?;
            }
            rustix::fs::utimensat(here, last, &times, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(failed("utimensat", &path))?;
        }
        Ok((self.size, self.implied))
    }

    /// A layer's mark that `path` of the layers beneath is removed.
    pub fn whiteout(&mut self, path: &[u8]) -> Result<()> {
        self.enter(name::parent(path))?;
        let (here, last) = (self.here(), name::last(path));
        match rustix::fs::mknodat(here, last, FileType::CharacterDevice, Mode::empty(), 0) {
            Ok(()) => Ok(()),
            // What the layer itself has of that name stays, and only hides what is beneath it.
            Err(Errno::EXIST) => match rustix::fs::openat(here, last, tree::DIRECTORY, Mode::empty()) {
                Ok(directory) => set_opaque(directory.as_fd(), path),
                Err(Errno::NOTDIR | Errno::LOOP) => Ok(()),
                Err(errno) => Err(Error::path("open", path, errno)),
            },
            Err(errno) => Err(Error::path("mknod", path, errno)),
        }
    }

    /// A layer's mark that nothing of the layers beneath is in the directory `path`.
    pub fn opaque(&mut self, path: &[u8]) -> Result<()> {
        self.enter(path)?;
        let directory =
            tree::reopen(self.here(), OFlags::RDONLY | OFlags::DIRECTORY).map_err(failed("open", path))?;
        set_opaque(directory.as_fd(), path)
    }

    fn here(&self) -> BorrowedFd<'_> {
        self.stack.last().map_or(self.base_fd.as_fd(), |(_, fd)| fd.as_fd())
    }

    // Makes the directory `path` the one that `here` gives, and makes what is missing of it.
    fn enter(&mut self, path: &[u8]) -> Result<()> {
        while let Some((open, _)) = self.stack.last() {
            if path == open || (path.starts_with(open) && path.get(open.len()) == Some(&b'/')) {
                break;
            }
            self.stack.pop();
        }
        loop {
            let depth = self.stack.last().map_or(0, |(open, _)| open.len() + 1);
            if depth > path.len() || path.is_empty() {
                return Ok(());
            }
            let length = path[depth..].iter().position(|byte| *byte == b'/').unwrap_or(path.len() - depth);
            let down_to = &path[..depth + length];
            let fd = self.descend(down_to)?;
            self.stack.push((down_to.to_vec(), fd));
        }
    }

    fn descend(&mut self, path: &[u8]) -> Result<OwnedFd> {
        let last = name::last(path);
        let open = |this: &Self| rustix::fs::openat(this.here(), last, tree::NAME_DIRECTORY, Mode::empty());
        match open(self) {
            Ok(fd) => return Ok(fd),
            Err(Errno::NOENT) => match rustix::fs::mkdirat(self.here(), last, Mode::from_raw_mode(0o755)) {
                Ok(()) => {
                    self.made_implied(path)?;
                    return open(self).map_err(failed("open", path));
                }
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(Error::path("mkdir", path, errno)),
            },
            Err(Errno::NOTDIR | Errno::LOOP) => {}
            Err(errno) => return Err(Error::path("open", path, errno)),
        }
        if matches!(self.purpose, Use::Layer) && self.is_whiteout_here(last) {
            self.replace_whiteout(path)?;
            self.made_implied(path)?;
            return open(self).map_err(failed("open", path));
        }
        // A link: it is followed, inside the root.
        let whole = name::join(&self.base, path);
        tree::make_directories(self.root, &whole).map_err(failed("mkdir", path))
    }

    fn made_implied(&mut self, path: &[u8]) -> Result<()> {
        if 0o755 & self.umask != 0 {
            let fd = rustix::fs::openat(self.here(), name::last(path), tree::DIRECTORY, Mode::empty())
                .map_err(failed("open", path))?;
            rustix::fs::fchmod(fd, Mode::from_raw_mode(0o755)).map_err(failed("chmod", path))?;
        }
        self.implied.insert(path.to_vec());
        Ok(())
    }

    fn is_whiteout_here(&self, last: &[u8]) -> bool {
        tree::stat_at(self.here(), last).is_ok_and(|stat| tree::is_whiteout(&stat))
    }

    // The layer removed what was there and now puts a directory in its place, which must hide what it was.
    fn replace_whiteout(&self, path: &[u8]) -> Result<()> {
        let (here, last) = (self.here(), name::last(path));
        rustix::fs::unlinkat(here, last, AtFlags::empty()).map_err(failed("unlink", path))?;
        rustix::fs::mkdirat(here, last, Mode::from_raw_mode(0o755)).map_err(failed("mkdir", path))?;
        let fd =
            rustix::fs::openat(here, last, tree::DIRECTORY, Mode::empty()).map_err(failed("open", path))?;
        set_opaque(fd.as_fd(), path)
    }

    fn root_member(&mut self, entry: &Entry) -> Result<()> {
        if !entry.kind.is_directory() {
            let reason = "the root can only be a directory".into();
            return Err(Error::Unsupported { name: lossy(&entry.name), reason });
        }
        // An upload leaves the directory that it goes into as it is.
        if matches!(self.purpose, Use::Copy { .. }) {
            return Ok(());
        }
        let directory = tree::reopen(self.base_fd.as_fd(), OFlags::RDONLY | OFlags::DIRECTORY)
            .map_err(failed("open", b""))?;
        self.directory_attributes(directory.as_fd(), entry, b"")
    }

    fn file<R: Read>(&mut self, archive: &mut Archive<R>, entry: &Entry, path: &[u8]) -> Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let asked = entry.mode & 0o777;
        let fd = self.create(entry, path, "open", |here, last| {
            rustix::fs::openat(here, last, flags, Mode::from_raw_mode(asked))
        })?;
        let mut file = File::from(fd);
        archive.write_contents(&mut file).map_err(|error| match error {
            Error::Write(source) => Error::Contents { act: "write", path: lossy(path), source },
            other => other,
        })?;
        if entry.extents.is_some() {
            // A hole at the end was not written.
            rustix::fs::ftruncate(&file, entry.size).map_err(failed("truncate", path))?;
        }
        // The owner first: changing it takes set-id bits and capabilities away. Writing does too.
        if let Some((uid, gid)) = self.owner_to_set(entry) {
            let (uid, gid) = tree::owner(uid, gid);
            rustix::fs::fchown(&file, uid, gid).map_err(failed("chown", path))?;
        }
        if self.must_chmod(entry.mode) {
            rustix::fs::fchmod(&file, Mode::from_raw_mode(entry.mode)).map_err(failed("chmod", path))?;
        }
        self.xattrs(file.as_fd(), false, entry, path)?;
        rustix::fs::futimens(&file, &tree::timestamps(entry.mtime, entry.atime))
            .map_err(failed("utimensat", path))?;
        self.size += entry.size;
        Ok(())
    }

    fn directory(&mut self, entry: &Entry, path: &[u8]) -> Result<()> {
        let last = name::last(path);
        let asked = Mode::from_raw_mode(entry.mode & 0o777);
        let mut tries = 0;
        loop {
            match rustix::fs::mkdirat(self.here(), last, asked) {
                Ok(()) => break,
                Err(Errno::EXIST) if tries < 3 => {
                    tries += 1;
                    if self.make_way(entry, path)? {
                        break;
                    }
                }
                Err(errno) => return Err(Error::path("mkdir", path, errno)),
            }
        }
        let fd = rustix::fs::openat(self.here(), last, tree::DIRECTORY, Mode::empty())
            .map_err(failed("open", path))?;
        self.directory_attributes(fd.as_fd(), entry, path)?;
        // What is in it most likely comes next.
        self.stack.push((path.to_vec(), fd));
        Ok(())
    }

    fn directory_attributes(&mut self, fd: BorrowedFd<'_>, entry: &Entry, path: &[u8]) -> Result<()> {
        let existed = self.implied.remove(path) || self.late.contains_key(path);
        let owner = match self.owner_to_set(entry) {
            None if existed => Some((entry.uid, entry.gid)),
            owner => owner,
        };
        if let Some((uid, gid)) = owner {
            let (uid, gid) = tree::owner(uid, gid);
            rustix::fs::fchown(fd, uid, gid).map_err(failed("chown", path))?;
        }
        let is_layer = matches!(self.purpose, Use::Layer);
        let mode = if is_layer { entry.mode & !0o2000 } else { entry.mode };
        if existed || self.must_chmod(mode) {
            rustix::fs::fchmod(fd, Mode::from_raw_mode(mode)).map_err(failed("chmod", path))?;
        }
        self.xattrs(fd, false, entry, path)?;
        let mode = (mode != entry.mode).then_some(entry.mode);
        self.late.insert(path.to_vec(), Late { mtime: entry.mtime, atime: entry.atime, mode });
        Ok(())
    }

    fn symlink(&mut self, entry: &Entry, path: &[u8]) -> Result<()> {
        self.create(entry, path, "symlink", |here, last| {
            rustix::fs::symlinkat(entry.link.as_slice(), here, last)
        })?;
        let (here, last) = (self.here(), name::last(path));
        if let Some((uid, gid)) = self.owner_to_set(entry) {
            let (uid, gid) = tree::owner(uid, gid);
            rustix::fs::chownat(here, last, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(failed("lchown", path))?;
        }
        if !entry.xattrs.is_empty() {
            let fd = rustix::fs::openat(here, last, tree::NAME_ANY, Mode::empty())
                .map_err(failed("open", path))?;
            self.xattrs(fd.as_fd(), true, entry, path)?;
        }
        let times = tree::timestamps(entry.mtime, entry.atime);
        rustix::fs::utimensat(here, last, &times, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(failed("utimensat", path))?;
        self.size += entry.link.len() as u64;
        Ok(())
    }

    // The member's own attributes are not set: the file has those of its first name.
    fn hard_link(&mut self, entry: &Entry, path: &[u8]) -> Result<()> {
        let target = name::clean(&entry.link)?;
        let missing = || Error::LinkTarget { name: lossy(&entry.name), target: lossy(&entry.link) };
        let elsewhere = if name::parent(&target) == name::parent(path) {
            None
        } else {
            let whole = name::join(&self.base, name::parent(&target));
            match tree::open_in_root(self.root, &whole, OFlags::PATH | OFlags::DIRECTORY) {
                Ok(fd) => Some(fd),
                Err(Errno::NOENT | Errno::NOTDIR) => return Err(missing()),
                Err(errno) => return Err(Error::path("open", &target, errno)),
            }
        };
        let result = self.create(entry, path, "link", |here, last| {
            let from = elsewhere.as_ref().map_or(here, |fd| fd.as_fd());
            rustix::fs::linkat(from, name::last(&target), here, last, AtFlags::empty())
        });
        match result {
            Err(Error::Path { source: Errno::NOENT, .. }) => Err(missing()),
            other => other,
        }
    }

    fn node(&mut self, entry: &Entry, path: &[u8], kind: FileType) -> Result<()> {
        let (major, minor) = entry.device;
        let device = if kind == FileType::Fifo { 0 } else { rustix::fs::makedev(major, minor) };
        self.create(entry, path, "mknod", |here, last| {
            rustix::fs::mknodat(here, last, kind, Mode::from_raw_mode(entry.mode & 0o777), device)
        })?;
        let (here, last) = (self.here(), name::last(path));
        let fd =
            rustix::fs::openat(here, last, tree::NAME_ANY, Mode::empty()).map_err(failed("open", path))?;
        // Somebody else may have put another file there by now.
        let stat = rustix::fs::fstat(&fd).map_err(failed("stat", path))?;
        if tree::type_of(&stat) != kind {
            return Err(Error::path("mknod", path, Errno::EXIST));
        }
        if let Some((uid, gid)) = self.owner_to_set(entry) {
            let (uid, gid) = tree::owner(uid, gid);
            rustix::fs::chownat(&fd, "", uid, gid, AtFlags::EMPTY_PATH).map_err(failed("chown", path))?;
        }
        if self.must_chmod(entry.mode) {
            tree::chmod_named(fd.as_fd(), entry.mode).map_err(failed("chmod", path))?;
        }
        self.xattrs(fd.as_fd(), true, entry, path)?;
        let times = tree::timestamps(entry.mtime, entry.atime);
        rustix::fs::utimensat(&fd, "", &times, AtFlags::EMPTY_PATH).map_err(failed("utimensat", path))
    }

    // Creates what must not be there; clears the way when it is.
    fn create<T>(
        &mut self,
        entry: &Entry,
        path: &[u8],
        act: &'static str,
        make: impl Fn(BorrowedFd<'_>, &[u8]) -> std::result::Result<T, Errno>,
    ) -> Result<T> {
        for _ in 0..3 {
            match make(self.here(), name::last(path)) {
                Err(Errno::EXIST) => self.make_way(entry, path)?,
                other => return other.map_err(failed(act, path)),
            };
        }
        Err(Error::path(act, path, Errno::EXIST))
    }

    // Something of the name is there. True: it is a directory, and so is the entry, and it stays.
    fn make_way(&mut self, entry: &Entry, path: &[u8]) -> Result<bool> {
        let last = name::last(path);
        let stat = match tree::stat_at(self.here(), last) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(false),
            Err(errno) => return Err(Error::path("stat", path, errno)),
        };
        let (was, becomes) = (tree::type_of(&stat) == FileType::Directory, entry.kind.is_directory());
        if was && becomes {
            // Whoever it was made by, its attributes are now to be set in full.
            self.implied.insert(path.to_vec());
            return Ok(true);
        }
        if matches!(self.purpose, Use::Layer) && becomes && tree::is_whiteout(&stat) {
            self.replace_whiteout(path)?;
            self.implied.insert(path.to_vec());
            return Ok(true);
        }
        if let Use::Copy { keep_sorts: true, .. } = self.purpose {
            let (path, base) = (lossy(&name::join(&self.base, path)), lossy(&self.base));
            if was {
                let text = format!("cannot overwrite directory \"/{path}\" with non-directory \"/{base}\"");
                return Err(Error::Overwrite(text));
            }
            if becomes {
                let text = format!("cannot overwrite non-directory \"/{path}\" with directory \"/{base}\"");
                return Err(Error::Overwrite(text));
            }
        }
        if !was
            && matches!(tree::type_of(&stat), FileType::RegularFile | FileType::Symlink)
            && stat.st_nlink == 1
        {
            self.size = self.size.saturating_sub(stat.st_size as u64);
        }
        self.forget(path);
        tree::remove_tree(self.here(), last).map_err(failed("remove", path))?;
        Ok(false)
    }

    // The tree at `path` goes: nothing may be set on it later.
    fn forget(&mut self, path: &[u8]) {
        let beneath = |known: &[u8]| {
            known.starts_with(path) && (known.len() == path.len() || known[path.len()] == b'/')
        };
        self.stack.retain(|(open, _)| !beneath(open));
        // Sorted by bytes, all that begin with `path` stand together.
        let from = path.to_vec();
        let gone: Vec<Vec<u8>> = self
            .late
            .range(from.clone()..)
            .map(|(known, _)| known)
            .take_while(|known| known.starts_with(path))
            .filter(|known| beneath(known))
            .cloned()
            .collect();
        for known in gone {
            self.late.remove(&known);
        }
        let gone: Vec<Vec<u8>> = self
            .implied
            .range(from..)
            .take_while(|known| known.starts_with(path))
            .filter(|known| beneath(known))
            .cloned()
            .collect();
        for known in gone {
            self.implied.remove(&known);
        }
    }

    fn owner_to_set(&self, entry: &Entry) -> Option<(u32, u32)> {
        match self.purpose {
            Use::Copy { owner: Some(owner), .. } => Some(owner),
            // A directory there may hand its group down.
            Use::Copy { .. } => Some((entry.uid, entry.gid)),
            Use::Layer if self.is_root && entry.uid == 0 && entry.gid == 0 => None,
            Use::Layer => Some((entry.uid, entry.gid)),
        }
    }

    fn must_chmod(&self, mode: u32) -> bool {
        mode & 0o7000 != 0 || mode & self.umask != 0 || matches!(self.purpose, Use::Copy { .. })
    }

    fn xattrs(&self, fd: BorrowedFd<'_>, by_name: bool, entry: &Entry, path: &[u8]) -> Result<()> {
        for (name, value) in &entry.xattrs {
            // Overlayfs obeys these: no image may say where its lower files are.
            if name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.") {
                continue;
            }
            tree::set_xattr(fd, by_name, name, value).map_err(failed("setxattr", path))?;
        }
        Ok(())
    }
}

fn set_opaque(directory: BorrowedFd<'_>, path: &[u8]) -> Result<()> {
    rustix::fs::fsetxattr(directory, OPAQUE, b"y", XattrFlags::empty()).map_err(failed("setxattr", path))
}
