//! `tmpcopyup`: a new tmpfs begins with what the image has at its place.
//!
//! Everything goes by descriptors of directories and single names: no path is followed, and links are copied as links.

use crate::failure::{During, Step};
use hull_sys::rustix::fs::{
    self, AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags,
};
use hull_sys::rustix::io as fd_io;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Copies what is in one directory into another, and the directory's own mode, owner and times.
pub(super) fn copy(from: &OwnedFd, to: &OwnedFd) -> Step<()> {
    // Descriptors of places are not for reading.
    let from =
        fs::openat(from, c".", DIRECTORY | OFlags::RDONLY, Mode::empty()).during("open the image's")?;
    let to = fs::openat(to, c".", DIRECTORY | OFlags::RDONLY, Mode::empty()).during("open the new one")?;
    copy_directory(from.as_fd(), to.as_fd())
}

fn copy_directory(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Step<()> {
    for entry in Dir::read_from(from).during("read directory")? {
        let entry = entry.during("read directory")?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            copy_entry(from, to, name).during(format_args!("{}", name.to_string_lossy()))?;
        }
    }
    let stat = fs::fstat(from).during("stat")?;
    copy_attributes(from, to)?;
    own(to, &stat)
}

fn copy_entry(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> Step<()> {
    let stat = fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW).during("stat")?;
    let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            fs::mkdirat(to, name, Mode::from_raw_mode(0o700)).during("mkdir")?;
            let below = |at| fs::openat(at, name, DIRECTORY | OFlags::RDONLY, Mode::empty());
            let (from, to) = (below(from).during("open")?, below(to).during("open")?);
            return copy_directory(from.as_fd(), to.as_fd());
        }
        FileType::RegularFile => return copy_file(from, to, name, &stat),
        FileType::Symlink => {
            let target = fs::readlinkat(from, name, Vec::new()).during("read link")?;
            fs::symlinkat(target, to, name).during("symlink")?;
        }
        kind => fs::mknodat(to, name, kind, mode, stat.st_rdev).during("mknod")?,
    }
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    fs::chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW).during("chown")?;
    fs::utimensat(to, name, &times(&stat), AtFlags::SYMLINK_NOFOLLOW).during("set times")
}

fn copy_file(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> Step<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let source = fs::openat(from, name, flags, Mode::empty()).during("open")?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let copy = fs::openat(to, name, flags, Mode::from_raw_mode(0o600)).during("create")?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = fd_io::read(&source, buffer.as_mut_slice()).during("read")?;
        if length == 0 {
            break;
        }
        let mut rest = &buffer[..length];
        while !rest.is_empty() {
            let written = fd_io::write(&copy, rest).during("write")?;
            rest = &rest[written..];
        }
    }
    copy_attributes(source.as_fd(), copy.as_fd())?;
    own(copy.as_fd(), stat)
}

/// Owner, then mode: a change of owner takes set-user-id bits away.
fn own(copy: BorrowedFd<'_>, stat: &Stat) -> Step<()> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    fs::fchown(copy, Some(uid), Some(gid)).during("chown")?;
    fs::fchmod(copy, Mode::from_raw_mode(stat.st_mode & 0o7777)).during("chmod")?;
    fs::futimens(copy, &times(stat)).during("set times")
}

/// Extended attributes: file capabilities among them. What a tmpfs does not take is left out.
fn copy_attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Step<()> {
    let mut names = vec![0_u8; 16 * 1024];
    let Ok(length) = fs::flistxattr(from, names.as_mut_slice()) else { return Ok(()) };
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0_u8; 64 * 1024];
        if let Ok(length) = fs::fgetxattr(from, name, value.as_mut_slice()) {
            let _ = fs::fsetxattr(to, name, &value[..length], XattrFlags::empty());
        }
    }
    Ok(())
}

fn times(stat: &Stat) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: stat.st_atime as _, tv_nsec: stat.st_atime_nsec as _ },
        last_modification: Timespec { tv_sec: stat.st_mtime as _, tv_nsec: stat.st_mtime_nsec as _ },
    }
}
