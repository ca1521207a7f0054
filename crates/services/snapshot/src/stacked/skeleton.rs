//! The bottom of every stack: what the runtime mounts upon and programs look for, so that it is there in every
//! image and is no change of any container.

use super::failed;
use super::trash::Trash;
use crate::Result;
use rustix::fs::{CWD, Mode, OFlags};
use std::path::Path;

const DIRECTORIES: &[&str] = &["dev", "dev/pts", "dev/shm", "etc", "proc", "sys"];
const FILES: &[&str] = &[".dockerenv", "dev/console", "etc/hosts", "etc/hostname", "etc/resolv.conf"];
const LINKS: &[(&str, &str)] = &[("etc/mtab", "/proc/mounts")];

/// Makes the skeleton unless it is there.
pub(super) fn make(place: &Path, trash: &Trash) -> Result<()> {
    if place.exists() {
        return Ok(());
    }
    let path = trash.fresh();
    let directory = |path: &Path| -> Result<()> {
        rustix::fs::mkdir(path, Mode::from_raw_mode(0o755)).map_err(failed("make", path))?;
        rustix::fs::chmod(path, Mode::from_raw_mode(0o755)).map_err(failed("chmod", path))
    };
    directory(&path)?;
    for name in DIRECTORIES {
        directory(&path.join(name))?;
    }
    for name in FILES {
        let file = path.join(name);
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o755);
        let fd = rustix::fs::openat(CWD, &file, flags, mode).map_err(failed("make", &file))?;
        rustix::fs::fchmod(fd, mode).map_err(failed("chmod", &file))?;
    }
    for (name, target) in LINKS {
        let link = path.join(name);
        rustix::fs::symlink(*target, &link).map_err(failed("make", &link))?;
    }
    rustix::fs::rename(&path, place).map_err(failed("rename into place", place))
}
