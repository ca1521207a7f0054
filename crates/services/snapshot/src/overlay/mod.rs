//! Layers as directories, stacked by overlayfs.
//!
//! # On disk
//! ```text
//! <root>/                      0700: nobody walks past it to an image's set-id programs (CVE-2021-41091)
//!   skeleton/                  the bottom of every stack: mount points and files that containers expect
//!   layers/sha256/<hex>/       one layer, named by its ChainId
//!     layer.json               {"chain", "parent", "size", "entries", "implied": […]}
//!     fs/                      its files, in overlayfs's form
//!   snapshots/<key>/           one snapshot; trusted.hull.top = its top ChainId, or "" for none
//!     upper/  work/            overlayfs's own
//!   tmp/<number>/              being made, being removed, or kept ready; swept when the driver is opened
//! ```
//! A layer is written in `tmp`, synced (`syncfs`) and renamed to its place. A snapshot is three directories and an
//! attribute, set last: without it the snapshot was never finished. It is made in `tmp` ahead of need, so that
//! [`Snapshotter::prepare`] mostly is one attribute and one rename. Nothing is synced for it: a container's own
//! files are lost with the power as on any file system.
//!
//! `implied` names directories that no entry of the layer describes. Those that a lower layer has get its owner,
//! mode and attributes when the layer is first used, since layers may be applied before their parents are there.

mod layers;
mod skeleton;
mod snapshots;
mod trash;

use crate::{Change, Error, Layer, Result, Snapshotter, Usage};
use hull_types::{ChainId, Lower, Rootfs};
use layers::Layers;
use snapshots::Snapshots;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use trash::Trash;

/// The driver. Dropping it waits until what was removed is gone.
#[derive(Debug)]
pub struct Overlay {
    skeleton: PathBuf,
    layers: Layers,
    snapshots: Snapshots,
}

impl Overlay {
    /// Opens the driver's directory `root`, makes it if it isn't there, and sweeps what a crash left.
    pub fn open(root: &Path) -> Result<Self> {
        let opened = |source| Error::Open { path: root.into(), source };
        private_directory(root).map_err(opened)?;
        let trash = Arc::new(Trash::open(root.join("tmp"))?);
        let skeleton = root.join("skeleton");
        skeleton::make(&skeleton, &trash)?;
        let layers = Layers::open(root.join("layers").join("sha256"), Arc::clone(&trash))?;
        let snapshots = Snapshots::open(root.join("snapshots"), trash)?;
        Ok(Self { skeleton, layers, snapshots })
    }

    fn lowers(&self, top: Option<&ChainId>) -> Result<Vec<PathBuf>> {
        let mut lowers = self.layers.with_stack(top, Ok)?;
        lowers.push(self.skeleton.clone());
        Ok(lowers)
    }
}

impl Snapshotter for Overlay {
    fn name(&self) -> &'static str {
        "overlay2"
    }
    fn has(&self, chain: &ChainId) -> bool {
        self.layers.has(chain)
    }
    fn apply(&self, parent: Option<&ChainId>, chain: &ChainId, reader: &mut dyn Read) -> Result<Layer> {
        self.layers.apply(parent, chain, reader)
    }
    fn prepare(&self, key: &str, top: Option<&ChainId>) -> Result<()> {
        // The layers are held until the snapshot stands on them.
        self.layers
            .with_stack(top, |files| self.snapshots.prepare(key, top, files.first().map(PathBuf::as_path)))
    }
    fn rootfs(&self, key: &str) -> Result<Rootfs> {
        let lowers = self.lowers(self.snapshots.top(key)?.as_ref())?;
        let directory = self.snapshots.directory(key);
        Ok(Rootfs {
            lowers: lowers.into_iter().map(Lower::Directory).collect(),
            upper: Some(directory.join("upper")),
            work: Some(directory.join("work")),
        })
    }
    fn view(&self, top: Option<&ChainId>) -> Result<Rootfs> {
        let lowers = self.lowers(top)?;
        Ok(Rootfs { lowers: lowers.into_iter().map(Lower::Directory).collect(), upper: None, work: None })
    }
    fn usage(&self, key: &str) -> Result<Usage> {
        self.snapshots.top(key)?;
        let upper = self.snapshots.directory(key).join("upper");
        let measure =
            hull_archive::measure(&upper).map_err(|source| Error::Changes { key: key.into(), source })?;
        Ok(Usage { size: measure.size, inodes: measure.inodes })
    }
    fn changes(&self, key: &str) -> Result<Vec<Change>> {
        let lowers = self.lowers(self.snapshots.top(key)?.as_ref())?;
        let upper = self.snapshots.directory(key).join("upper");
        hull_archive::changes(&upper, &lowers).map_err(|source| Error::Changes { key: key.into(), source })
    }
    fn remove(&self, key: &str) -> Result<()> {
        self.snapshots.remove(key)
    }
    fn remove_layer(&self, chain: &ChainId) -> Result<()> {
        self.layers.remove(chain, || self.snapshots.standing_on(chain))
    }
    fn layers(&self) -> Vec<ChainId> {
        self.layers.list()
    }
    fn keys(&self) -> Vec<String> {
        self.snapshots.keys()
    }
    fn layer_size(&self, chain: &ChainId) -> Result<u64> {
        self.layers.size(chain)
    }
}

/// Makes a directory, with what is missing above it, that only root can enter.
fn private_directory(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
}

/// An act on a path failed, for `map_err`.
fn failed<E: Into<io::Error>>(act: &'static str, path: &Path) -> impl Fn(E) -> Error {
    let path = path.to_owned();
    move |source| Error::Path { act, path: path.clone(), source: source.into() }
}
