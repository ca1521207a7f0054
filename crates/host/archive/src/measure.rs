//! How much a tree takes, and how it goes.

use crate::error::{Error, Result};
use crate::tree::{self, failed};
use rustix::fs::{CWD, FileType, Mode};
use rustix::io::Errno;
use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// What a tree takes, as Docker counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Measure {
    /// Sizes of files and of symbolic links' texts in bytes, hard links once, directories nothing.
    pub size: u64,
    /// Inodes, with directories and the root.
    pub inodes: u64,
    /// Bytes that the file system gave them, each inode once, directories too.
    pub disk: u64,
}

/// Measures the tree under the directory `root`; links aren't followed. What disappears meanwhile isn't counted.
pub fn measure(root: &Path) -> Result<Measure> {
    measure_all(&[root])
}

/// The same of several trees, what is in more than one of them counted once.
pub fn measure_all(roots: &[&Path]) -> Result<Measure> {
    let (mut total, mut seen) = (Measure::default(), HashSet::new());
    roots.iter().try_for_each(|root| add(root, &mut total, &mut seen))?;
    Ok(total)
}

fn add(root: &Path, total: &mut Measure, seen: &mut HashSet<(u64, u64)>) -> Result<()> {
    let root = rustix::fs::openat(CWD, root, tree::DIRECTORY, Mode::empty())
        .map_err(|errno| Error::path("open", root.as_os_str().as_encoded_bytes(), errno))?;
    let of_root = rustix::fs::fstat(&root).map_err(|errno| Error::path("stat", b"", errno))?;
    total.count(&of_root);
    let mut stack = vec![level(root)?];
    while let Some((directory, names)) = stack.last_mut() {
        let Some(name) = names.next() else {
            stack.pop();
            continue;
        };
        let stat = match tree::stat_at(&*directory, &name) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => continue,
            Err(errno) => return Err(Error::path("stat", &name, errno)),
        };
        if tree::type_of(&stat) == FileType::Directory {
            total.count(&stat);
            match rustix::fs::openat(&*directory, name.as_slice(), tree::DIRECTORY, Mode::empty()) {
                Ok(child) => stack.push(level(child)?),
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(errno) => return Err(Error::path("open", &name, errno)),
            }
        } else if stat.st_nlink == 1 || seen.insert((stat.st_dev, stat.st_ino)) {
            total.count(&stat);
            total.size += u64::try_from(stat.st_size).unwrap_or(0);
        }
    }
    Ok(())
}

impl Measure {
    fn count(&mut self, stat: &rustix::fs::Stat) {
        self.inodes += 1;
        self.disk += u64::try_from(stat.st_blocks).unwrap_or(0) * 512;
    }
}

fn level(directory: OwnedFd) -> Result<(OwnedFd, std::vec::IntoIter<Vec<u8>>)> {
    let names = tree::sorted_names(directory.as_fd()).map_err(failed("readdir", b""))?;
    Ok((directory, names.into_iter()))
}

/// Removes whatever `name` is in the directory, with all in it, without following links or leaving it. That there
/// is nothing is no error.
pub fn remove_tree(parent: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    tree::remove_tree(parent, name).map_err(failed("remove", name))
}
