//! Paths of an untrusted tree, resolved inside its root only.

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// How many symbolic links a path may go through, as in the kernel.
const MAX_LINKS: usize = 40;
/// How often a resolution is tried again when a rename or mount elsewhere disturbed it (openat2's EAGAIN).
const MAX_RETRIES: usize = 256;

/// A directory whose content is not trusted, and the only way to name what is in it.
///
/// Every path is taken as if the directory were `/`: `..` and absolute symbolic links stay inside it, and magic
/// links (`/proc/self/fd/7`) are refused with `ELOOP`. Resolution is by the kernel (`openat2` with
/// `RESOLVE_IN_ROOT`), so that a rename by someone inside cannot lead out of it.
#[derive(Debug)]
pub struct InRoot {
    root: OwnedFd,
}

/// What a walk leaves at its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leaf {
    Directory,
    File,
}

impl InRoot {
    /// The tree below this directory's descriptor (`O_PATH` is enough).
    pub fn new(root: OwnedFd) -> Self {
        Self { root }
    }

    /// The tree below a directory of the host, whose path is trusted.
    pub fn open_dir(path: impl AsRef<Path>) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { root: fs::open(path.as_ref(), flags, Mode::empty())? })
    }

    /// The root's own descriptor.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The root's own descriptor, owned.
    pub fn into_fd(self) -> OwnedFd {
        self.root
    }

    /// Another handle of the same tree.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { root: self.root.try_clone()? })
    }

    /// Opens a path; always close-on-exec. `mode` counts with `OFlags::CREATE` only.
    pub fn open(&self, path: impl AsRef<Path>, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        self.open_resolving(path.as_ref(), flags, mode, ResolveFlags::empty())
    }

    /// As [`open`](Self::open), and no symbolic link may be anywhere in the path (`ELOOP`).
    pub fn open_no_symlinks(&self, path: impl AsRef<Path>, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        self.open_resolving(path.as_ref(), flags, mode, ResolveFlags::NO_SYMLINKS)
    }

    fn open_resolving(
        &self,
        path: &Path,
        flags: OFlags,
        mode: Mode,
        resolve: ResolveFlags,
    ) -> io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let resolve = resolve | ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..MAX_RETRIES {
            match fs::openat2(&self.root, path, flags | OFlags::CLOEXEC, mode, resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                result => return Ok(result?),
            }
        }
        Err(Errno::AGAIN.into())
    }

    /// A handle (`O_PATH`) of what the path leads to.
    pub fn open_path(&self, path: impl AsRef<Path>) -> io::Result<OwnedFd> {
        self.open(path, OFlags::PATH, Mode::empty())
    }

    /// A handle (`O_PATH`) of what stands at the path, the link itself if it is a symbolic link.
    pub fn open_path_nofollow(&self, path: impl AsRef<Path>) -> io::Result<OwnedFd> {
        self.open(path, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty())
    }

    /// Opens an ordinary file for reading. What is no ordinary file (a FIFO would block) is `EINVAL`.
    pub fn open_file(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let fd = self.open(path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty())?;
        if FileType::from_raw_mode(fs::fstat(&fd)?.st_mode) != FileType::RegularFile {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(File::from(fd))
    }

    /// An ordinary file's content; more than `limit` bytes are `EFBIG`.
    pub fn read(&self, path: impl AsRef<Path>, limit: u64) -> io::Result<Vec<u8>> {
        let file = self.open_file(path)?;
        let mut content = Vec::new();
        file.take(limit.saturating_add(1)).read_to_end(&mut content)?;
        if content.len() as u64 > limit {
            return Err(Errno::FBIG.into());
        }
        Ok(content)
    }

    /// The tree below a directory inside this one.
    pub fn subtree(&self, path: impl AsRef<Path>) -> io::Result<InRoot> {
        Ok(Self { root: self.open(path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())? })
    }

    /// Facts about what the path leads to.
    pub fn metadata(&self, path: impl AsRef<Path>) -> io::Result<Stat> {
        Ok(fs::fstat(self.open_path(path)?)?)
    }

    /// Facts about what stands at the path, the link itself if it is a symbolic link.
    pub fn symlink_metadata(&self, path: impl AsRef<Path>) -> io::Result<Stat> {
        Ok(fs::fstat(self.open_path_nofollow(path)?)?)
    }

    /// Where a symbolic link points, as it is written.
    pub fn read_link(&self, path: impl AsRef<Path>) -> io::Result<OsString> {
        let link = self.open_path_nofollow(path)?;
        Ok(OsString::from_vec(fs::readlinkat(&link, c"", Vec::new())?.into_bytes()))
    }

    /// The directory that the path's last component is in, and that component. `EINVAL` for the root itself.
    pub fn parent(&self, path: impl AsRef<Path>) -> io::Result<(OwnedFd, OsString)> {
        let path = path.as_ref();
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
        let directory = path.parent().unwrap_or(Path::new("/"));
        let fd = self.open(directory, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
        Ok((fd, name))
    }

    /// Removes what stands at the path unless it is a directory.
    pub fn remove_file(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let (directory, name) = self.parent(path)?;
        Ok(fs::unlinkat(directory, name, AtFlags::empty())?)
    }

    /// Removes an empty directory.
    pub fn remove_dir(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let (directory, name) = self.parent(path)?;
        Ok(fs::unlinkat(directory, name, AtFlags::REMOVEDIR)?)
    }

    /// Makes a symbolic link at the path; `EEXIST` if something is there.
    pub fn symlink(&self, target: impl AsRef<OsStr>, path: impl AsRef<Path>) -> io::Result<()> {
        let (directory, name) = self.parent(path)?;
        Ok(fs::symlinkat(target.as_ref(), directory, name)?)
    }

    /// Makes or empties an ordinary file and opens it for reading and writing. Its directory must be there.
    pub fn create_file(&self, path: impl AsRef<Path>, mode: Mode) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC | OFlags::NONBLOCK;
        let fd = self.open(path, flags, mode)?;
        if FileType::from_raw_mode(fs::fstat(&fd)?.st_mode) != FileType::RegularFile {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(File::from(fd))
    }

    /// Makes the directory and those above it where they are missing, and returns a handle (`O_PATH`) of it.
    ///
    /// Symbolic links are followed inside the root, dangling ones too: with `/var/run → /run` and no `/run`,
    /// `/var/run/x` makes `/run/x`.
    pub fn mkdir_all(&self, path: impl AsRef<Path>, mode: Mode) -> io::Result<OwnedFd> {
        let path = path.as_ref();
        match self.open(path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.walk(path, Leaf::Directory, mode, mode)
            }
            result => result,
        }
    }

    /// Makes an empty ordinary file, and the directories above it, where nothing is, and returns a handle
    /// (`O_PATH`) of what is there; an existing one is left as it is, whatever its type.
    pub fn ensure_file(&self, path: impl AsRef<Path>, mode: Mode) -> io::Result<OwnedFd> {
        let path = path.as_ref();
        match self.open_path(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.walk(path, Leaf::File, mode, Mode::from_raw_mode(0o755))
            }
            result => result,
        }
    }

    /// The slow way: component by component, each opened relative to the last and never through a link, which
    /// is read and spliced into what remains. `..` goes back to the descriptor before, so nothing leads out.
    fn walk(&self, path: &Path, leaf: Leaf, mode: Mode, directory_mode: Mode) -> io::Result<OwnedFd> {
        let mut above: Vec<OwnedFd> = vec![self.root.try_clone()?];
        let mut pending = components(path.as_os_str().as_bytes());
        let mut links = 0;
        while let Some(name) = pending.pop_front() {
            if name == b".." {
                above.truncate(above.len().saturating_sub(1).max(1));
                continue;
            }
            let here = above.last().map(|fd| fd.as_fd()).unwrap_or(self.root.as_fd());
            match fs::readlinkat(here, name.as_slice(), Vec::new()) {
                Ok(target) => {
                    refuse_magic_link(here, &name)?;
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::LOOP.into());
                    }
                    let target = target.into_bytes();
                    let mut spliced = components(&target);
                    spliced.append(&mut pending);
                    pending = spliced;
                    if target.first() == Some(&b'/') {
                        above.truncate(1);
                    }
                    continue;
                }
                Err(Errno::INVAL | Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
            let last = pending.is_empty();
            let next = if last && leaf == Leaf::File {
                open_or_create_file(here, &name, mode)?
            } else {
                open_or_make_directory(here, &name, if last { mode } else { directory_mode })?
            };
            above.push(next);
        }
        above.pop().ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }
}

/// A link of `/proc` whose text says less than where it leads (`/proc/self/fd/7`) is none that may be followed.
fn refuse_magic_link(here: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    match fs::openat2(here, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve) {
        // An absolute link of another file system may well lead to itself when it is read from here: /var/run.
        Err(Errno::LOOP) if fs::fstatfs(here)?.f_type == fs::PROC_SUPER_MAGIC => Err(Errno::LOOP.into()),
        _ => Ok(()),
    }
}

fn components(path: &[u8]) -> VecDeque<Vec<u8>> {
    let parts = path.split(|b| *b == b'/').filter(|part| !part.is_empty() && *part != b".");
    parts.map(<[u8]>::to_vec).collect()
}

fn open_or_make_directory(here: BorrowedFd<'_>, name: &[u8], mode: Mode) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match fs::openat(here, name, flags, Mode::empty()) {
        Err(Errno::NOENT) => {}
        result => return Ok(result?),
    }
    match fs::mkdirat(here, name, mode) {
        // Someone else was quicker: what counts is what is there now.
        Ok(()) | Err(Errno::EXIST) => Ok(fs::openat(here, name, flags, Mode::empty())?),
        Err(error) => Err(error.into()),
    }
}

fn open_or_create_file(here: BorrowedFd<'_>, name: &[u8], mode: Mode) -> io::Result<OwnedFd> {
    let create = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match fs::openat(here, name, create, mode) {
        Ok(_) | Err(Errno::EXIST) => {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            Ok(fs::openat(here, name, flags, Mode::empty())?)
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_link_to_its_own_name_at_the_root_is_no_loop() {
        let (directory, root) = tree();
        let at = directory.path().join("root");
        std::fs::create_dir_all(at.join("v")).unwrap();
        symlink("/run", at.join("v/run")).unwrap();
        root.mkdir_all("v/run/x/y", Mode::from_raw_mode(0o755)).unwrap();
        root.ensure_file("v/run/x/file", Mode::from_raw_mode(0o644)).unwrap();
        assert!(at.join("run/x/y").is_dir() && at.join("run/x/file").is_file());
    }

    fn tree() -> (tempfile::TempDir, InRoot) {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::fs::write(directory.path().join("canary"), "host").unwrap();
        std::fs::write(root.join("etc/passwd"), "inside").unwrap();
        symlink("/etc/passwd", root.join("absolute")).unwrap();
        symlink("../../../../../../canary", root.join("escape")).unwrap();
        symlink("/run", root.join("dangling")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        let in_root = InRoot::open_dir(&root).unwrap();
        (directory, in_root)
    }

    #[test]
    fn links_stay_inside() {
        let (_directory, root) = tree();
        assert_eq!(root.read("/absolute", 100).unwrap(), b"inside");
        assert_eq!(root.read("../../etc/passwd", 100).unwrap(), b"inside");
        assert_eq!(root.read("escape", 100).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(root.read("etc/passwd", 5).unwrap_err().raw_os_error(), Some(27));
        assert!(root.open_no_symlinks("absolute", OFlags::PATH, Mode::empty()).is_err());
    }

    #[test]
    fn magic_links_are_refused() {
        let root = InRoot::open_dir("/").unwrap();
        let error = root.open_path("/proc/self/exe").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::LOOP.raw_os_error()));
    }

    #[test]
    fn directories_are_made_through_dangling_links() {
        let (directory, root) = tree();
        root.mkdir_all("/dangling/a/../b", Mode::from_raw_mode(0o755)).unwrap();
        assert!(directory.path().join("root/run/b").is_dir());
        root.ensure_file("dangling/b/x/file", Mode::from_raw_mode(0o644)).unwrap();
        assert!(directory.path().join("root/run/b/x/file").is_file());
        root.ensure_file("escape", Mode::from_raw_mode(0o644)).unwrap();
        assert!(directory.path().join("root/canary").is_file());
        assert_eq!(std::fs::read(directory.path().join("canary")).unwrap(), b"host");
        assert!(root.mkdir_all("loop/x", Mode::from_raw_mode(0o755)).is_err());
        assert!(root.mkdir_all("etc/passwd/x", Mode::from_raw_mode(0o755)).is_err());
    }
}
