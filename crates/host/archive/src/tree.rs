//! Touching files inside a root by descriptor only.
//!
//! Nothing here takes a path of the host. A path inside a root is resolved either by the kernel
//! (`openat2`, RESOLVE_IN_ROOT: links of any kind end inside the root) or one component at a time without
//! following links; the object that was found is then held by descriptor, so that swapping names behind it changes
//! nothing.

use crate::entry::Time;
use crate::error::{Error, Result};
use crate::name;
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, RenameFlags, ResolveFlags, Stat, Timespec, Timestamps, Uid,
    XattrFlags,
};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Flags for a descriptor that only names a directory.
pub(crate) const NAME_DIRECTORY: OFlags =
    OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Flags for a descriptor that only names whatever is there, a symbolic link itself included.
pub(crate) const NAME_ANY: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Flags to list a directory or set its attributes.
pub(crate) const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

// As many links as the kernel follows in one path.
const MAX_LINKS: usize = 40;

/// Opens a path inside the root; the kernel keeps every link and `..` in it.
pub(crate) fn open_in_root(
    root: impl AsFd,
    path: &[u8],
    flags: OFlags,
) -> std::result::Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let path: &[u8] = if path.is_empty() { b"." } else { path };
    loop {
        match rustix::fs::openat2(&root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            // A rename or mount somewhere raced with `..`; the kernel asks to try again.
            Err(Errno::AGAIN) => {}
            other => return other,
        }
    }
}

/// Opens a directory inside the root and makes what is missing of it, as root, 0755. Links are followed inside the
/// root, to where they lead even if nothing is there yet.
pub(crate) fn make_directories(root: BorrowedFd<'_>, path: &[u8]) -> std::result::Result<OwnedFd, Errno> {
    let mut todo: VecDeque<Vec<u8>> = components(path);
    let mut here: Vec<OwnedFd> = Vec::new();
    let mut links = 0;
    while let Some(component) = todo.pop_front() {
        if component == b".." {
            here.pop();
            continue;
        }
        let parent = here.last().map_or(root, |fd| fd.as_fd());
        match rustix::fs::openat(parent, component.as_slice(), NAME_DIRECTORY, Mode::empty()) {
            Ok(fd) => here.push(fd),
            Err(Errno::NOENT) => {
                match rustix::fs::mkdirat(parent, component.as_slice(), Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(Errno::EXIST) => todo.push_front(component),
                    Err(errno) => return Err(errno),
                }
                links += 1;
            }
            Err(Errno::NOTDIR | Errno::LOOP) => {
                // Something else than a link is no directory: readlinkat says so with EINVAL.
                let target = rustix::fs::readlinkat(parent, component.as_slice(), Vec::new())
                    .map_err(|errno| if errno == Errno::INVAL { Errno::NOTDIR } else { errno })?;
                if target.as_bytes().starts_with(b"/") {
                    here.clear();
                }
                for part in components(target.as_bytes()).into_iter().rev() {
                    todo.push_front(part);
                }
                links += 1;
            }
            Err(errno) => return Err(errno),
        }
        // Made directories count too: a path has at most 2048 of them, a loop has no end.
        if links > 2048 + MAX_LINKS {
            return Err(Errno::LOOP);
        }
    }
    match here.pop() {
        Some(fd) => Ok(fd),
        None => open_in_root(root, b".", NAME_DIRECTORY),
    }
}

fn components(path: &[u8]) -> VecDeque<Vec<u8>> {
    path.split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .map(<[u8]>::to_vec)
        .collect()
}

/// Where a path leads when every link in it, the last one included, is followed inside the root, as far as it
/// exists; by text alone from there on. For showing, not for opening.
pub(crate) fn evaluate(root: BorrowedFd<'_>, path: &[u8]) -> Vec<u8> {
    let mut todo = components(path);
    let mut reached: Vec<u8> = Vec::new();
    let mut links = 0;
    while let Some(component) = todo.pop_front() {
        if component == b".." {
            reached.truncate(name::parent(&reached).len());
            continue;
        }
        let next = name::join(&reached, &component);
        let target = open_in_root(root, &next, NAME_ANY)
            .and_then(|fd| rustix::fs::readlinkat(fd, "", Vec::new()))
            .ok()
            .filter(|target| !target.as_bytes().is_empty() && links < MAX_LINKS);
        let Some(target) = target else {
            reached = next;
            continue;
        };
        links += 1;
        if target.as_bytes().starts_with(b"/") {
            reached.clear();
        }
        for part in components(target.as_bytes()).into_iter().rev() {
            todo.push_front(part);
        }
    }
    reached.insert(0, b'/');
    reached
}

/// The names in a directory, sorted by their bytes. `directory` must be open for reading.
pub(crate) fn sorted_names(directory: BorrowedFd<'_>) -> std::result::Result<Vec<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    rustix::fs::seek(directory, rustix::fs::SeekFrom::Start(0))?;
    let mut buffer = Vec::with_capacity(32 * 1024);
    let mut entries = rustix::fs::RawDir::new(directory, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Removes whatever `name` is in the directory, with all in it. Links are removed, not followed; the tree is never
/// left through `..`.
pub(crate) fn remove_tree(parent: BorrowedFd<'_>, name: &[u8]) -> std::result::Result<(), Errno> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(errno),
    }
    let mut moved = 0;
    loop {
        let before = moved;
        let top = match rustix::fs::openat(parent, name, DIRECTORY, Mode::empty()) {
            Ok(top) => top,
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(errno),
        };
        empty_directory(top.as_fd(), top.as_fd(), 0, &mut moved)?;
        match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            // Deep parts were moved up and are still there, or somebody is putting files in.
            Err(Errno::NOTEMPTY) if moved > before => {}
            Err(errno) => return Err(errno),
        }
    }
}

// Each level holds a descriptor and a frame of the stack, so deeper ones are moved to the top first.
const MAX_DEPTH: usize = 100;

fn empty_directory(
    top: BorrowedFd<'_>,
    directory: BorrowedFd<'_>,
    depth: usize,
    moved: &mut usize,
) -> std::result::Result<(), Errno> {
    for name in sorted_names(directory)? {
        match rustix::fs::unlinkat(directory, name.as_slice(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => continue,
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(errno) => return Err(errno),
        }
        if depth >= MAX_DEPTH {
            move_up(top, directory, &name, moved)?;
            continue;
        }
        let child = match rustix::fs::openat(directory, name.as_slice(), DIRECTORY, Mode::empty()) {
            Ok(child) => child,
            Err(Errno::NOENT) => continue,
            Err(errno) => return Err(errno),
        };
        empty_directory(top, child.as_fd(), depth + 1, moved)?;
        match rustix::fs::unlinkat(directory, name.as_slice(), AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn move_up(
    top: BorrowedFd<'_>,
    directory: BorrowedFd<'_>,
    name: &[u8],
    moved: &mut usize,
) -> std::result::Result<(), Errno> {
    loop {
        *moved += 1;
        let aside = format!(".hull-deep-{moved}");
        match rustix::fs::renameat_with(directory, name, top, aside.as_str(), RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => {}
            other => return other,
        }
    }
}

/// The kernel's type of a file.
pub(crate) fn type_of(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Whether this is overlayfs's mark of a removed name: a character device 0/0.
pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    type_of(stat) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// `stat` without following a link.
pub(crate) fn stat_at(directory: impl AsFd, name: &[u8]) -> std::result::Result<Stat, Errno> {
    rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
}

/// Modification and access time for the kernel.
pub(crate) fn timestamps(mtime: Time, atime: Option<Time>) -> Timestamps {
    let timespec = |time: Time| Timespec { tv_sec: time.seconds, tv_nsec: i64::from(time.nanoseconds) };
    // Docker sets an access time no older than the modification.
    let access = atime.map_or(mtime, |atime| atime.max(mtime));
    Timestamps { last_access: timespec(access), last_modification: timespec(mtime) }
}

/// When the contents were last changed.
pub(crate) fn mtime(stat: &Stat) -> Time {
    Time { seconds: stat.st_mtime, nanoseconds: stat.st_mtime_nsec as u32 }
}

/// Owner and group as the kernel wants them.
pub(crate) fn owner(uid: u32, gid: u32) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
}

/// The name by which system calls without a descriptor form reach what a descriptor holds.
pub(crate) fn magic_name(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Sets the mode of what an O_PATH descriptor names.
pub(crate) fn chmod_named(fd: BorrowedFd<'_>, mode: u32) -> std::result::Result<(), Errno> {
    rustix::fs::chmodat(CWD, magic_name(fd), Mode::from_raw_mode(mode), AtFlags::empty())
}

/// Sets an attribute on what a descriptor holds, an O_PATH one included (so a link itself too). What the file
/// system or the file's type can't have is left out, as Docker does.
pub(crate) fn set_xattr(
    fd: BorrowedFd<'_>,
    by_name: bool,
    name: &[u8],
    value: &[u8],
) -> std::result::Result<(), Errno> {
    let result = if by_name {
        rustix::fs::setxattr(magic_name(fd), name, value, XattrFlags::empty())
    } else {
        rustix::fs::fsetxattr(fd, name, value, XattrFlags::empty())
    };
    match result {
        Err(Errno::OPNOTSUPP | Errno::PERM) => Ok(()),
        other => other,
    }
}

/// The value of an attribute; None when there is none or the file can't have any.
pub(crate) fn xattr(
    fd: BorrowedFd<'_>,
    by_name: bool,
    name: &[u8],
) -> std::result::Result<Option<Vec<u8>>, Errno> {
    // Most are small; the largest are 64 KiB.
    for size in [256, 65536] {
        let mut value = vec![0; size];
        let result = if by_name {
            rustix::fs::getxattr(magic_name(fd), name, &mut value)
        } else {
            rustix::fs::fgetxattr(fd, name, &mut value)
        };
        match result {
            Ok(length) => {
                value.truncate(length);
                return Ok(Some(value));
            }
            Err(Errno::RANGE) => {}
            Err(Errno::NODATA | Errno::OPNOTSUPP) => return Ok(None),
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::RANGE)
}

/// The names of all attributes.
pub(crate) fn xattr_names(fd: BorrowedFd<'_>, by_name: bool) -> std::result::Result<Vec<Vec<u8>>, Errno> {
    let mut list = vec![0_u8; 65536];
    let result = if by_name {
        rustix::fs::listxattr(magic_name(fd), &mut list)
    } else {
        rustix::fs::flistxattr(fd, &mut list)
    };
    match result {
        Ok(length) => {
            let names = list[..length].split(|byte| *byte == 0);
            Ok(names.filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect())
        }
        Err(Errno::OPNOTSUPP) => Ok(Vec::new()),
        Err(errno) => Err(errno),
    }
}

/// A kernel error on a path inside the tree, for `map_err`.
pub(crate) fn failed<'a>(act: &'static str, path: &'a [u8]) -> impl Fn(Errno) -> Error + 'a {
    move |errno| Error::path(act, path, errno)
}

/// The umask of this process; what it takes from created files' modes must be given back. Reading it by setting it
/// would race with other threads' creations.
pub(crate) fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    // Unknown: every mode is then set again.
    line.and_then(|text| u32::from_str_radix(text.trim(), 8).ok()).unwrap_or(0o777)
}

/// Opens for reading what an O_PATH descriptor names, which was found to be a regular file or a directory.
pub(crate) fn reopen(fd: BorrowedFd<'_>, flags: OFlags) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(CWD, magic_name(fd), flags | OFlags::CLOEXEC, Mode::empty())
}
