//! Copying a tree of an image into an empty volume, without an archive in between.

use crate::error::{Error, Result, lossy};
use crate::name;
use crate::tree::{self, failed};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, XattrFlags};
use rustix::io::Errno;
use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Copies what is in the directory `path` of the tree under `root` into the directory `to`, and that directory's
/// own owner, mode and times: contents, hard links among the copied, symbolic links as they are, devices, pipes,
/// attributes. Gives the number of files copied.
///
/// `path` is resolved inside of `root`; no link beneath it is followed.
///
/// # Errors
/// Kind NotFound when there is no directory at `path`.
pub fn copy_tree(root: BorrowedFd<'_>, path: &Path, to: BorrowedFd<'_>) -> Result<u64> {
    let path = name::absolute(path.as_os_str().as_bytes());
    let from =
        tree::open_in_root(root, &path, OFlags::RDONLY | OFlags::DIRECTORY).map_err(failed("open", &path))?;
    let to = tree::reopen(to, OFlags::RDONLY | OFlags::DIRECTORY).map_err(failed("open", b"/"))?;
    let mut copier = Copier { top: None, linked: HashMap::new(), count: 0 };
    copier.top = Some(rustix::io::fcntl_dupfd_cloexec(&to, 0).map_err(failed("dup", b"/"))?);
    copier.tree(from, to, path)?;
    Ok(copier.count)
}

struct Copier {
    top: Option<OwnedFd>,
    // Where the first name of a file with several was copied to, under the top.
    linked: HashMap<(u64, u64), Vec<u8>>,
    count: u64,
}

struct Level {
    // Under the top.
    path: Vec<u8>,
    from: OwnedFd,
    to: OwnedFd,
    names: std::vec::IntoIter<Vec<u8>>,
}

impl Copier {
    fn tree(&mut self, from: OwnedFd, to: OwnedFd, shown: Vec<u8>) -> Result<()> {
        let names = tree::sorted_names(from.as_fd()).map_err(failed("readdir", &shown))?;
        let mut stack = vec![Level { path: Vec::new(), from, to, names: names.into_iter() }];
        while let Some(level) = stack.last_mut() {
            let Some(last) = level.names.next() else {
                // Only now: its time must not change any more.
                let stat = rustix::fs::fstat(&level.from).map_err(failed("stat", &level.path))?;
                copy_attributes(level.from.as_fd(), level.to.as_fd(), false, &stat, &level.path)?;
                stack.pop();
                continue;
            };
            let path = name::join(&level.path, &last);
            let source = rustix::fs::openat(&level.from, last.as_slice(), tree::NAME_ANY, Mode::empty())
                .map_err(failed("open", &path))?;
            if let Some((from, to)) = self.one(source.as_fd(), level.to.as_fd(), &last, &path)? {
                let names = tree::sorted_names(from.as_fd()).map_err(failed("readdir", &path))?;
                stack.push(Level { path, from, to, names: names.into_iter() });
            }
        }
        Ok(())
    }

    // Copies what the O_PATH descriptor names. For a directory: it and its copy, to go on with.
    fn one(
        &mut self,
        source: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        last: &[u8],
        path: &[u8],
    ) -> Result<Option<(OwnedFd, OwnedFd)>> {
        let stat = rustix::fs::fstat(source).map_err(failed("stat", path))?;
        let kind = tree::type_of(&stat);
        self.count += 1;
        if kind != FileType::Directory && stat.st_nlink > 1 {
            if let (Some(first), Some(top)) = (self.linked.get(&(stat.st_dev, stat.st_ino)), &self.top) {
                // Made by this copy a moment ago, in a directory of ours: no link is on the way.
                let linked = rustix::fs::linkat(top, first.as_slice(), to, last, AtFlags::empty());
                return linked.map(|()| None).map_err(failed("link", path));
            }
            self.linked.insert((stat.st_dev, stat.st_ino), path.to_vec());
        }
        match kind {
            FileType::RegularFile => {
                let mut reader =
                    File::from(tree::reopen(source, OFlags::RDONLY).map_err(failed("open", path))?);
                let flags =
                    OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let fd = rustix::fs::openat(to, last, flags, Mode::from_raw_mode(0o600))
                    .map_err(failed("create", path))?;
                let mut writer = File::from(fd);
                // The kernel copies between files where it can (copy_file_range).
                std::io::copy(&mut reader, &mut writer).map_err(|source| Error::Contents {
                    act: "copy",
                    path: lossy(path),
                    source,
                })?;
                copy_attributes(reader.as_fd(), writer.as_fd(), false, &stat, path)?;
            }
            FileType::Directory => {
                rustix::fs::mkdirat(to, last, Mode::from_raw_mode(0o700)).map_err(failed("mkdir", path))?;
                let copy = rustix::fs::openat(to, last, tree::DIRECTORY, Mode::empty())
                    .map_err(failed("open", path))?;
                let from =
                    tree::reopen(source, OFlags::RDONLY | OFlags::DIRECTORY).map_err(failed("open", path))?;
                return Ok(Some((from, copy)));
            }
            FileType::Symlink => {
                let target =
                    rustix::fs::readlinkat(source, "", Vec::new()).map_err(failed("readlink", path))?;
                rustix::fs::symlinkat(target, to, last).map_err(failed("symlink", path))?;
                let copy = rustix::fs::openat(to, last, tree::NAME_ANY, Mode::empty())
                    .map_err(failed("open", path))?;
                copy_attributes(source, copy.as_fd(), true, &stat, path)?;
            }
            // A socket without its program is of no use; Docker makes no copy either.
            FileType::Socket | FileType::Unknown => self.count -= 1,
            FileType::Fifo | FileType::CharacterDevice | FileType::BlockDevice => {
                rustix::fs::mknodat(to, last, kind, Mode::from_raw_mode(0o600), stat.st_rdev)
                    .map_err(failed("mknod", path))?;
                let copy = rustix::fs::openat(to, last, tree::NAME_ANY, Mode::empty())
                    .map_err(failed("open", path))?;
                copy_attributes(source, copy.as_fd(), true, &stat, path)?;
            }
        }
        Ok(None)
    }
}

// Owner, mode, attributes, times, in the order in which none undoes another.
fn copy_attributes(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    by_name: bool,
    stat: &Stat,
    path: &[u8],
) -> Result<()> {
    let (uid, gid) = tree::owner(stat.st_uid, stat.st_gid);
    rustix::fs::chownat(to, "", uid, gid, AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW)
        .map_err(failed("chown", path))?;
    let is_link = tree::type_of(stat) == FileType::Symlink;
    if !is_link {
        tree::chmod_named(to, stat.st_mode & 0o7777).map_err(failed("chmod", path))?;
    }
    for (name, value) in attributes(from, by_name).map_err(failed("getxattr", path))? {
        tree::set_xattr(to, by_name, &name, &value).map_err(failed("setxattr", path))?;
    }
    let mut times = tree::timestamps(tree::mtime(stat), None);
    times.last_access.tv_sec = stat.st_atime;
    times.last_access.tv_nsec = stat.st_atime_nsec as _;
    rustix::fs::utimensat(to, "", &times, AtFlags::EMPTY_PATH).map_err(failed("utimensat", path))
}

/// Extended attributes: names and values.
pub type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

/// All attributes that mean something outside of an overlay.
pub(crate) fn attributes(fd: BorrowedFd<'_>, by_name: bool) -> std::result::Result<Attributes, Errno> {
    let mut attributes = Vec::new();
    for name in tree::xattr_names(fd, by_name)? {
        if name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.") {
            continue;
        }
        attributes.extend(tree::xattr(fd, by_name, &name)?.map(|value| (name, value)));
    }
    attributes.sort();
    Ok(attributes)
}

/// The mode's permission bits, owner, group and attributes of a directory.
pub fn directory_attributes(directory: impl AsFd) -> Result<(u32, u32, u32, Attributes)> {
    let stat = rustix::fs::fstat(&directory).map_err(failed("stat", b""))?;
    let attributes = attributes(directory.as_fd(), false).map_err(failed("getxattr", b""))?;
    Ok((stat.st_mode & 0o7777, stat.st_uid, stat.st_gid, attributes))
}

/// Gives the directory `to` the owner, mode and attributes (not the times) of the directory `from`.
pub fn copy_directory_attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<()> {
    let stat = rustix::fs::fstat(from).map_err(failed("stat", b""))?;
    let (uid, gid) = tree::owner(stat.st_uid, stat.st_gid);
    rustix::fs::chownat(to, "", uid, gid, AtFlags::EMPTY_PATH).map_err(failed("chown", b""))?;
    tree::chmod_named(to, stat.st_mode & 0o7777).map_err(failed("chmod", b""))?;
    for (name, value) in attributes(from, true).map_err(failed("getxattr", b""))? {
        rustix::fs::setxattr(tree::magic_name(to), name.as_slice(), &value, XattrFlags::empty())
            .or_else(|errno| if errno == Errno::OPNOTSUPP { Ok(()) } else { Err(errno) })
            .map_err(failed("setxattr", b""))?;
    }
    Ok(())
}
