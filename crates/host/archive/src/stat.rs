//! What is at a path of a container (`HEAD /containers/{id}/archive`).

use crate::error::{Result, lossy};
use crate::name;
use crate::tree::{self, failed};
use hull_types::Timestamp;
use rustix::fs::{FileType, Stat};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What `X-Docker-Container-Path-Stat` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathStat {
    /// The path's base name, `/` for the root and `.` when the path ends so.
    pub name: String,
    /// Size in bytes.
    pub size: i64,
    /// Permissions and type as Go's `os.FileMode` has them.
    pub mode: u32,
    /// When it was last changed.
    pub mtime: Timestamp,
    /// Where a symbolic link leads in the end, as an absolute path of the container; empty for all else.
    pub link_target: String,
}

/// What is at `path` in the tree under `root`: links before its last component are followed inside the root, the
/// last one only when the path ends in a slash.
///
/// # Errors
/// Kind NotFound when there is nothing.
pub fn stat(root: BorrowedFd<'_>, path: &Path) -> Result<PathStat> {
    let path = name::absolute(path.as_os_str().as_bytes());
    let fd = tree::open_in_root(root, &path, tree::NAME_ANY).map_err(failed("lstat", &path))?;
    let stat = rustix::fs::fstat(&fd).map_err(failed("lstat", &path))?;
    let is_link = tree::type_of(&stat) == FileType::Symlink;
    Ok(PathStat {
        name: lossy(name::base(&path)),
        size: stat.st_size,
        mode: go_mode(&stat),
        mtime: Timestamp { seconds: stat.st_mtime, nanoseconds: stat.st_mtime_nsec as u32 },
        link_target: if is_link { lossy(&tree::evaluate(root, &path)) } else { String::new() },
    })
}

/// A mode with Go's bits for the type, set-id and sticky.
pub(crate) fn go_mode(stat: &Stat) -> u32 {
    let kind = match tree::type_of(stat) {
        FileType::Directory => 1 << 31,
        FileType::Symlink => 1 << 27,
        FileType::BlockDevice => 1 << 26,
        FileType::Fifo => 1 << 25,
        FileType::Socket => 1 << 24,
        FileType::CharacterDevice => 1 << 26 | 1 << 21,
        FileType::RegularFile => 0,
        FileType::Unknown => 1 << 19,
    };
    let special = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
    let special = special.iter().filter(|(bit, _)| stat.st_mode & bit != 0).map(|(_, go)| go).sum::<u32>();
    kind | special | (stat.st_mode & 0o777)
}
