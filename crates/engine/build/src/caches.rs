//! Directories that steps keep for the next time: `RUN --mount=type=cache`.
//!
//! ```text
//!  <root>/caches/<digest of what it is>       shared and locked ones
//!               /<digest>-<n>                 private ones: each is one step's at a time
//! ```
//! What a cache is: its id, what it begins with (`from`, `source`) and whose it is (`mode`, `uid`, `gid`). One that is
//! new is made aside and gets its name when it is whole; one that a step has is not pruned.

use crate::build::{lock, new_id};
use crate::error::{Error, Result};
use hull_dockerfile::{Mount, Sharing};
use hull_image::Keyed;
use hull_types::ChainId;
use std::collections::HashMap;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tokio::sync::OwnedMutexGuard;

/// All caches.
pub(crate) struct Caches {
    root: PathBuf,
    /// Where they are made, and taken apart.
    aside: PathBuf,
    locks: Keyed,
    /// How many steps have which.
    lent: Mutex<HashMap<String, usize>>,
}

/// A cache that a step has; it is given back when this is dropped.
pub(crate) struct Lent {
    caches: Arc<Caches>,
    name: String,
    pub(crate) path: PathBuf,
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut lent = lock(&self.caches.lent);
        if let Some(count) = lent.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                lent.remove(&self.name);
            }
        }
    }
}

/// What a cache is, in one word. `from` are the layers that it begins with.
pub(crate) fn name(mount: &Mount, space: &str, from: Option<&ChainId>) -> String {
    let mut text = mount.id.clone();
    if !space.is_empty() {
        text = format!("{space}/{text}");
    }
    let begins = from.map(|chain| (chain.0.as_str(), mount.source.as_str()));
    let owner = (mount.mode, mount.uid, mount.gid);
    if begins.is_some() || owner != (None, None, None) {
        text.push_str(&format!("\0{begins:?}{owner:?}"));
    }
    hull_content::digest_of(text.as_bytes()).hex().to_owned()
}

impl Caches {
    pub(crate) fn open(root: &Path) -> Result<Arc<Self>> {
        let (caches, aside) = (root.join("caches"), root.join("tmp"));
        for directory in [&caches, &aside] {
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
            made.map_err(Error::io(format!("make {}", directory.display())))?;
        }
        let (locks, lent) = (Keyed::default(), Mutex::default());
        Ok(Arc::new(Self { root: caches, aside, locks, lent }))
    }

    /// Waits until no other step has the cache.
    pub(crate) async fn alone(&self, name: &str) -> OwnedMutexGuard<()> {
        self.locks.lock(name).await
    }

    /// Lends a cache. `fill` puts into a new one what it begins with.
    pub(crate) fn lend(
        self: &Arc<Self>,
        mount: &Mount,
        name: &str,
        fill: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Lent> {
        let lent = {
            let mut lent = lock(&self.lent);
            let name = match mount.sharing {
                Sharing::Shared | Sharing::Locked => name.to_owned(),
                Sharing::Private => {
                    let mut names = (0..).map(|number: usize| format!("{name}-{number}"));
                    names.find(|name| !lent.contains_key(name)).unwrap_or_default()
                }
            };
            *lent.entry(name.clone()).or_default() += 1;
            Lent { caches: Arc::clone(self), path: self.root.join(&name), name }
        };
        if !lent.path.is_dir() {
            self.make(mount, &lent.path, fill)?;
        }
        Ok(lent)
    }

    fn make(&self, mount: &Mount, path: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let aside = self.aside.join(new_id()?);
        let failed = || Error::io(format!("make the cache {}", path.display()));
        std::fs::DirBuilder::new().mode(0o700).create(&aside).map_err(failed())?;
        let made = (|| {
            let (uid, gid) = (mount.uid.unwrap_or(0), mount.gid.unwrap_or(0));
            std::os::unix::fs::chown(&aside, Some(uid), Some(gid)).map_err(failed())?;
            let mode = std::fs::Permissions::from_mode(mount.mode.unwrap_or(0o755));
            std::fs::set_permissions(&aside, mode).map_err(failed())?;
            fill(&aside)?;
            match std::fs::rename(&aside, path) {
                // Another step was faster: its is as good.
                Err(_) if path.is_dir() => Ok(()),
                renamed => renamed.map_err(failed()),
            }
        })();
        let _ = std::fs::remove_dir_all(&aside);
        made
    }

    /// Bytes of all of them.
    pub(crate) fn size(&self) -> u64 {
        hull_archive::measure(&self.root).map_or(0, |measure| measure.size)
    }

    /// Removes all that no step has; how many bytes that freed.
    pub(crate) fn prune(&self) -> u64 {
        let before = self.size();
        let Ok(entries) = std::fs::read_dir(&self.root) else { return 0 };
        for entry in entries.flatten() {
            let path = entry.path();
            let taken = {
                // Nobody gets it while it loses its name.
                let lent = lock(&self.lent);
                if lent.contains_key(&*entry.file_name().to_string_lossy()) {
                    continue;
                }
                new_id().and_then(|id| {
                    let aside = self.aside.join(id);
                    std::fs::rename(&path, &aside).map_err(Error::io("set it aside"))?;
                    Ok(aside)
                })
            };
            let removed = taken
                .and_then(|aside| std::fs::remove_dir_all(&aside).map_err(Error::io("remove its files")));
            if let Err(error) = removed {
                tracing::warn!(path = %path.display(), %error, "a build's cache could not be removed");
            }
        }
        before.saturating_sub(self.size())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(text: &str) -> Mount {
        Mount::parse(text).unwrap()
    }

    #[test]
    fn caches_are_told_apart_by_all_that_makes_them() {
        let chain = ChainId(hull_content::digest_of(b"layers"));
        let plain = mount("type=cache,target=/c,id=a");
        let mut names =
            vec![name(&plain, "", None), name(&plain, "space", None), name(&plain, "", Some(&chain))];
        for text in ["id=b", "id=a,mode=0700", "id=a,uid=1", "id=a,gid=1"] {
            names.push(name(&mount(&format!("type=cache,target=/c,{text}")), "", None));
        }
        let part = mount("type=cache,target=/c,id=a,from=x,source=/d");
        names.push(name(&part, "", Some(&chain)));
        // Where in a cache a step looks is no other cache.
        assert_eq!(name(&part, "", None), names[0]);
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn private_ones_are_one_steps_at_a_time_and_none_in_use_is_pruned() {
        let root = tempfile::tempdir().unwrap();
        let caches = Caches::open(root.path()).unwrap();
        let private = mount("type=cache,target=/c,sharing=private");
        let fill = |path: &Path| {
            std::fs::write(path.join("begun"), "x").unwrap();
            Ok(())
        };
        let one = caches.lend(&private, "p", fill).unwrap();
        let two = caches.lend(&private, "p", |_| Ok(())).unwrap();
        assert_ne!(one.path, two.path);
        assert!(one.path.join("begun").is_file());
        let first = one.path.clone();
        drop(one);
        // What one left is there for the next; it is not filled anew.
        std::fs::remove_file(first.join("begun")).unwrap();
        let again = caches.lend(&private, "p", fill).unwrap();
        assert_eq!(again.path, first);
        assert!(!first.join("begun").exists());
        drop(two);
        caches.prune();
        assert!(first.is_dir());
        assert_eq!(std::fs::read_dir(root.path().join("caches")).unwrap().count(), 1);
        drop(again);
        caches.prune();
        assert_eq!(std::fs::read_dir(root.path().join("caches")).unwrap().count(), 0);
        let refused = caches.lend(&private, "q", |_| Err(Error::invalid("no")));
        assert!(refused.is_err());
        drop(refused);
        assert_eq!(std::fs::read_dir(root.path().join("caches")).unwrap().count(), 0);
        assert_eq!(std::fs::read_dir(root.path().join("tmp")).unwrap().count(), 0);
    }
}
