//! One mount for each layer that is an image, so that all who use the layer share the kernel's inodes and cached pages
//! of it. They are detached: no mount namespace shows them.

use hull_sys::LayerMounts;
use hull_types::Lower;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

// How many are kept at most: those used last, whoever still uses the others' copies. A fourth of what descriptors a
// process may have is what they may take.
const MOST: usize = 1024;

#[derive(Debug)]
pub(super) struct Mounts {
    most: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    // By the image's file.
    mounts: HashMap<PathBuf, Mount>,
    uses: u64,
}

#[derive(Debug)]
struct Mount {
    mount: Arc<OwnedFd>,
    // The number of its last use.
    used: u64,
}

impl Mounts {
    pub fn new() -> Self {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let most = limit.map_or(MOST, |limit| MOST.min(limit as usize / 4));
        Self { most, kept: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The mounts of those layers that are images, made at the first use. One that cannot be had is left out: who uses
    /// the layers mounts it then, and says why that fails.
    pub fn of(&self, lowers: &[Lower]) -> LayerMounts {
        let mut kept = self.lock();
        kept.uses += 1;
        let images = lowers.iter().filter(|lower| matches!(lower, Lower::Erofs { .. }));
        images.filter_map(|lower| Some((lower.path().to_owned(), kept.get(lower, self.most)?))).collect()
    }

    /// Lets go of the mounts of images in a directory, as that goes.
    pub fn forget(&self, directory: &Path) {
        self.lock().mounts.retain(|image, _| !image.starts_with(directory));
    }
}

impl Kept {
    fn get(&mut self, lower: &Lower, most: usize) -> Option<Arc<OwnedFd>> {
        let used = self.uses;
        if let Some(known) = self.mounts.get_mut(lower.path()) {
            known.used = used;
            return Some(Arc::clone(&known.mount));
        }
        if self.mounts.len() >= most {
            let (oldest, image) = self.mounts.iter().map(|(image, mount)| (mount.used, image)).min()?;
            if oldest == used {
                return None;
            }
            let image = image.clone();
            self.mounts.remove(&image);
        }
        let mount = Arc::new(hull_sys::rootfs::mount_lower(lower).ok()?);
        self.mounts.insert(lower.path().to_owned(), Mount { mount: Arc::clone(&mount), used });
        Some(mount)
    }
}
