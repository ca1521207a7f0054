//! One daemon to an exec-root and to a data-root, and the pidfile.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Why the daemon can't have its directories to itself.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// A directory can't be made.
    #[error("make directory {}: {source}", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The lock's file can't be opened or locked.
    #[error("lock {}: {source}", path.display())]
    Lock {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another daemon has it.
    #[error("{} is in use by another Hull daemon: choose another --exec-root and --data-root, or stop it", directory.display())]
    Taken {
        /// The directory.
        directory: PathBuf,
    },
    /// The daemon that the pidfile names lives.
    #[error("failed to start daemon, ensure hulld is not running or delete {}: process with PID {pid} is still running", path.display())]
    Alive {
        /// The pidfile.
        path: PathBuf,
        /// The process.
        pid: i32,
    },
    /// The pidfile can't be written.
    #[error("write pidfile {}: {source}", path.display())]
    Pidfile {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Makes a directory that others may pass through at most.
pub fn directory(path: &Path, mode: u32) -> Result<(), LockError> {
    let failed = |source| LockError::Directory { path: path.into(), source };
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    match std::fs::DirBuilder::new().mode(mode).create(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

/// A directory held; the kernel lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes a directory.
    pub fn take(directory: &Path) -> Result<Self, LockError> {
        let path = directory.join("hulld.lock");
        let failed = |source| LockError::Lock { path: path.clone(), source };
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(LockError::Taken { directory: directory.into() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

/// The pidfile, removed when the daemon leaves in order.
#[derive(Debug)]
pub struct Pidfile {
    path: PathBuf,
}

impl Pidfile {
    /// Writes it, unless it names a daemon that lives.
    pub fn write(path: &Path) -> Result<Self, LockError> {
        if let Some(pid) = living(path) {
            return Err(LockError::Alive { path: path.into(), pid });
        }
        let failed = |source| LockError::Pidfile { path: path.into(), source };
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(failed)?;
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o644)
            .open(path)
            .map_err(failed)?;
        write!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { path: path.into() })
    }
}

impl Drop for Pidfile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The process that a pidfile names, if it lives and is of the same program: numbers are used again.
fn living(path: &Path) -> Option<i32> {
    let pid: i32 = std::fs::read_to_string(path).ok()?.trim().parse().ok()?;
    let program = |pid: String| -> Option<String> {
        let target = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
        let name = target.file_name()?.to_string_lossy().into_owned();
        // An upgrade under a running daemon.
        Some(name.trim_end_matches(" (deleted)").to_owned())
    };
    let own = i32::try_from(std::process::id()).ok()?;
    (pid > 0 && pid != own && program(pid.to_string())? == program("self".into())?).then_some(pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_held_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run");
        directory(&path, 0o710).unwrap();
        directory(&path, 0o710).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o710);
        let held = Lock::take(&path).unwrap();
        assert!(matches!(Lock::take(&path), Err(LockError::Taken { .. })));
        drop(held);
        Lock::take(&path).unwrap();
    }

    #[test]
    fn a_pidfile_of_the_dead_or_of_others_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        // Process 1 lives, and is no Hull.
        for text in ["", "1", "2147483647", "x"] {
            std::fs::write(&path, text).unwrap();
            let pidfile = Pidfile::write(&path).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), std::process::id().to_string());
            drop(pidfile);
            assert!(!path.exists());
        }
    }
}
