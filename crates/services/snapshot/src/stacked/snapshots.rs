//! The snapshots: their directories, and on which layer each stands.

use super::trash::Trash;
use super::{Attributes, failed, private_directory};
use crate::{Error, Result};
use hull_types::ChainId;
use rustix::fs::{AtFlags, CWD, Gid, Mode, RenameFlags, Uid, XattrFlags};
use rustix::io::Errno;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

// The digest's bytes, not its text, so that it fits into the inode.
const TOP: &str = "trusted.hull.top";
// How many are made ahead of need.
const SPARES: usize = 2;

#[derive(Debug, Clone, PartialEq)]
enum Top {
    Nothing,
    Layer(ChainId),
    // The attribute is missing or no digest. The files are kept.
    Unknown,
}

#[derive(Debug)]
pub(super) struct Snapshots {
    path: PathBuf,
    tops: Mutex<HashMap<String, Top>>,
    spares: Arc<Spares>,
    trash: Arc<Trash>,
}

impl Snapshots {
    pub fn open(path: PathBuf, trash: Arc<Trash>) -> Result<Self> {
        let opened = |source| Error::Open { path: path.clone(), source };
        private_directory(&path).map_err(opened)?;
        let mut tops = HashMap::new();
        for entry in std::fs::read_dir(&path).map_err(opened)? {
            let entry = entry.map_err(opened)?;
            let Ok(key) = entry.file_name().into_string() else { continue };
            let top = read_top(&entry.path()).unwrap_or_else(|error| {
                tracing::warn!("cannot read what snapshot {key} stands on, keeping its files: {error}");
                Top::Unknown
            });
            tops.insert(key, top);
        }
        let spares = Arc::new(Spares { trash: Arc::downgrade(&trash), ready: Mutex::new(Vec::new()) });
        spares.refill();
        Ok(Self { path, tops: Mutex::new(tops), spares, trash })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Top>> {
        self.tops.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn directory(&self, key: &str) -> PathBuf {
        self.path.join(key)
    }

    pub fn keys(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// The layer that a snapshot stands on.
    pub fn top(&self, key: &str) -> Result<Option<ChainId>> {
        match self.lock().get(key) {
            None => Err(Error::NoSnapshot(key.into())),
            Some(Top::Nothing) => Ok(None),
            Some(Top::Layer(chain)) => Ok(Some(chain.clone())),
            Some(Top::Unknown) => {
                let source = io::Error::from(io::ErrorKind::InvalidData);
                Err(Error::Path { act: "read trusted.hull.top of", path: self.directory(key), source })
            }
        }
    }

    /// A snapshot's key that stands on the layer.
    pub fn standing_on(&self, chain: &ChainId) -> Option<String> {
        let tops = self.lock();
        let found = tops.iter().find(|(_, top)| matches!(top, Top::Layer(layer) if layer == chain));
        found.map(|(key, _)| format!("snapshot {key}"))
    }

    /// Makes a snapshot; `root` is the topmost layer's root, whose owner and mode the new root gets.
    pub fn prepare(&self, key: &str, top: Option<&ChainId>, root: Option<Attributes>) -> Result<()> {
        check_key(key)?;
        if self.lock().contains_key(key) {
            return Err(Error::Exists(key.into()));
        }
        let aside = match self.spares.take() {
            Some(spare) => spare,
            None => make(&self.trash)?,
        };
        let placed = self.place(key, top, root, &aside);
        if placed.is_err() {
            self.trash.forget(&aside);
        }
        self.spares.refill();
        placed
    }

    fn place(&self, key: &str, top: Option<&ChainId>, root: Option<Attributes>, aside: &Path) -> Result<()> {
        if let Some(root) = root {
            like(root, &aside.join("upper"))?;
        }
        let value = top.map(|chain| bytes_of(chain.0.hex())).unwrap_or_default();
        rustix::fs::setxattr(aside, TOP, &value, XattrFlags::empty())
            .map_err(failed("set trusted.hull.top of", aside))?;
        let place = self.directory(key);
        match rustix::fs::renameat_with(CWD, aside, CWD, &place, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => return Err(Error::Exists(key.into())),
            result => result.map_err(failed("rename into place", &place))?,
        }
        let top = top.map_or(Top::Nothing, |chain| Top::Layer(chain.clone()));
        self.lock().insert(key.into(), top);
        Ok(())
    }

    pub fn remove(&self, key: &str) -> Result<()> {
        let mut tops = self.lock();
        if !tops.contains_key(key) {
            return Err(Error::NoSnapshot(key.into()));
        }
        self.trash.discard(&self.directory(key))?;
        tops.remove(key);
        Ok(())
    }
}

// Snapshots' directories made ahead: creating files is what costs most on some file systems.
#[derive(Debug)]
struct Spares {
    // Weak: the background thread must not be what keeps itself alive.
    trash: Weak<Trash>,
    ready: Mutex<Vec<PathBuf>>,
}

impl Spares {
    fn lock(&self) -> MutexGuard<'_, Vec<PathBuf>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<PathBuf> {
        self.lock().pop()
    }

    fn refill(self: &Arc<Self>) {
        let Some(trash) = self.trash.upgrade() else { return };
        let spares = Arc::clone(self);
        // Made with the paths alone, so that the driver can be dropped meanwhile.
        let paths: Vec<PathBuf> = (self.lock().len()..SPARES).map(|_| trash.fresh()).collect();
        trash.later(move || {
            for path in paths {
                if spares.lock().len() < SPARES && make_at(&path).is_ok() {
                    spares.lock().push(path);
                }
            }
        });
    }
}

fn make(trash: &Trash) -> Result<PathBuf> {
    let path = trash.fresh();
    make_at(&path)?;
    Ok(path)
}

fn make_at(path: &Path) -> Result<()> {
    for (directory, mode) in
        [(path.to_owned(), 0o700), (path.join("upper"), 0o755), (path.join("work"), 0o700)]
    {
        let mode = Mode::from_raw_mode(mode);
        rustix::fs::mkdir(&directory, mode).map_err(failed("make", &directory))?;
    }
    // Whatever the umask is: this one shows in the container.
    let upper = path.join("upper");
    rustix::fs::chmod(&upper, Mode::from_raw_mode(0o755)).map_err(failed("chmod", &upper))
}

// The upper's root is the root directory that the container sees.
fn like(root: Attributes, upper: &Path) -> Result<()> {
    let Attributes { mode, uid, gid } = root;
    if (uid, gid) != (0, 0) {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        rustix::fs::chownat(CWD, upper, Some(uid), Some(gid), AtFlags::empty())
            .map_err(failed("chown", upper))?;
    }
    if mode != 0o755 {
        rustix::fs::chmod(upper, Mode::from_raw_mode(mode)).map_err(failed("chmod", upper))?;
    }
    Ok(())
}

fn read_top(snapshot: &Path) -> io::Result<Top> {
    let mut value = [0; 65];
    let length = rustix::fs::getxattr(snapshot, TOP, &mut value)?;
    let algorithm = match length {
        0 => return Ok(Top::Nothing),
        32 => "sha256",
        64 => "sha512",
        _ => return Err(io::ErrorKind::InvalidData.into()),
    };
    let hex: String = value[..length].iter().map(|byte| format!("{byte:02x}")).collect();
    let digest = format!("{algorithm}:{hex}").parse().map_err(io::Error::other)?;
    Ok(Top::Layer(ChainId(digest)))
}

fn bytes_of(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).filter_map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).ok()).collect()
}

fn check_key(key: &str) -> Result<()> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if key.is_empty() || key.len() > 128 || key.starts_with('.') || !key.bytes().all(allowed) {
        return Err(Error::Key(key.into()));
    }
    Ok(())
}
