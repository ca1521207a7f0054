//! Layers in some form, stacked by overlayfs, with snapshots as its upper directories.
//!
//! # On disk
//! ```text
//! <root>/                      0700: nobody walks past it to an image's set-id programs (CVE-2021-41091)
//!   skeleton/                  the bottom of every stack: mount points and files that containers expect
//!   layers/sha256/<hex>/       one layer's contents, as the form has them: named by its DiffId where they are the same
//!                              whatever is beneath ([`Form::SHARED`]), else by its ChainId
//!   chains/sha256/<hex>/       one layer of a stack, named by its ChainId; the same directory where contents are too
//!     layer.json               {"chain", "parent", "diff_id", "size", "entries", "implied": […], "fit"}
//!     …                        of shared contents what is different upon these layers
//!   snapshots/<key>/           one snapshot; trusted.hull.top = its top ChainId, or "" for none
//!     upper/  work/            overlayfs's own
//!   tmp/<number>/              being made, being removed, or kept ready; swept when the driver is opened
//! ```
//! A layer is written in `tmp` and renamed to its place. Nothing of it is synced then, and it has no `layer.json`: that
//! comes with [`Snapshotter::sync`], for all layers that wait for it at once, after their contents are on the disk.
//! What has none is swept when the driver is opened, and so are contents of no layer.
//!
//! A snapshot is three directories and an attribute, set last: without it the snapshot was never finished. It is made in `tmp` ahead of need, so that
//! [`Snapshotter::prepare`] mostly is one attribute and one rename. Nothing is synced for it: a container's own
//! files are lost with the power as on any file system.
//!
//! `implied` names directories that no entry of the layer describes. Those that a lower layer has get its owner,
//! mode and attributes when the layer is first used or synced, since layers may be applied before their parents are
//! there.

mod layers;
mod mounts;
mod skeleton;
mod snapshots;
mod trash;

use crate::{Added, Change, Error, Layer, Result, Snapshotter, Usage};
use hull_sys::LayerMounts;
use hull_types::{ChainId, DiffId, Lower, Rootfs};
use layers::Layers;
use mounts::Mounts;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use snapshots::Snapshots;
use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use trash::Trash;

/// A form that layers have on disk.
pub trait Form: fmt::Debug + Send + Sync + 'static {
    /// The driver's name, as `docker info` shows it.
    const NAME: &'static str;
    /// Whether a layer's contents don't depend on what is beneath, and are kept once for all stacks that have it.
    const SHARED: bool;
    /// Whether a layer's tar is kept.
    const KEEPS_TARS: bool;
    /// Writes a layer's contents into the directory `aside` from its uncompressed tar, read to the end. Where the tar is
    /// a file that may be kept as it is, that is `tar`.
    fn write(aside: &Path, reader: &mut dyn Read, tar: Option<&File>)
    -> Result<Written, hull_archive::Error>;
    /// Gives contents that are there one more name in the directory `aside`. Only of forms that are shared.
    fn share(contents: &Path, aside: &Path) -> io::Result<()>;
    /// What is mounted for a layer.
    fn lower(layer: &Place) -> Lower;
    /// The root of the layer's tree, to be read.
    fn open(layer: &Place) -> io::Result<OwnedFd>;
    /// What the root of the layer's tree is like.
    fn root(layer: &Place) -> io::Result<Attributes>;
    /// Gives implied directories the attributes of those that they cover. The layer has never been mounted yet; this
    /// may be done again after a crash. Whether it now has something of its own beside its contents.
    fn settle(layer: &Place, covered: &[(PathBuf, OwnedFd)]) -> Result<bool>;
    /// The layer's tar, where it is kept.
    fn tar(layer: &Place) -> io::Result<Option<File>>;
}

/// Where a layer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its contents.
    pub contents: PathBuf,
    /// Its record, and what is its own upon the layers beneath; the same as `contents` where those aren't shared.
    pub own: PathBuf,
    /// Whether there is something of its own to be used instead of that in `contents`.
    pub fitted: bool,
}

/// A directory's permission bits and owner.
#[derive(Debug, Clone, Copy)]
pub struct Attributes {
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// What [`Form::write`] wrote.
#[derive(Debug, Clone, Default)]
pub struct Written {
    /// The contents' size as Docker counts it.
    pub size: u64,
    /// How many entries the tar had.
    pub entries: u64,
    /// Directories that no entry describes.
    pub implied: Vec<PathBuf>,
}

/// The driver for one form of layers. Dropping it waits until what was removed is gone.
#[derive(Debug)]
pub struct Stacked<F: Form> {
    skeleton: PathBuf,
    layers: Layers<F>,
    mounts: Arc<Mounts>,
    snapshots: Snapshots,
}

// What overlayfs stacks at most.
const MOST_LOWERS: usize = 500;

impl<F: Form> Stacked<F> {
    /// Opens the driver's directory `root`, makes it if it isn't there, and sweeps what a crash left.
    pub fn open(root: &Path) -> Result<Self> {
        let opened = |source| Error::Open { path: root.into(), source };
        private_directory(root).map_err(opened)?;
        let trash = Arc::new(Trash::open(root.join("tmp"))?);
        let skeleton = root.join("skeleton");
        skeleton::make(&skeleton, &trash)?;
        let mounts = Arc::new(Mounts::new());
        let layers = Layers::open(root, Arc::clone(&trash), Arc::clone(&mounts))?;
        let snapshots = Snapshots::open(root.join("snapshots"), trash)?;
        Ok(Self { skeleton, layers, mounts, snapshots })
    }

    fn lowers(&self, top: Option<&ChainId>) -> Result<Vec<Lower>> {
        let mut lowers: Vec<Lower> =
            self.layers.with_stack(top, |layers| Ok(layers.iter().map(F::lower).collect()))?;
        // Overlayfs takes none twice, and of a layer that is there again further down nothing shows.
        let mut seen = HashSet::new();
        lowers.retain(|lower| seen.insert(lower.path().as_os_str().to_owned()));
        // Where there is no room for it the runtime makes what is missing.
        if lowers.len() < MOST_LOWERS {
            lowers.push(Lower::Directory(self.skeleton.clone()));
        }
        Ok(lowers)
    }

    fn open_layer(&self, layer: &Place) -> io::Result<OwnedFd> {
        let lower = F::lower(layer);
        match self.mounts.of(std::slice::from_ref(&lower)).get(lower.path()) {
            Some(mount) => Ok(open_inside(mount, Path::new(""))?),
            None => F::open(layer),
        }
    }

    fn upper(&self, key: &str) -> PathBuf {
        self.snapshots.directory(key).join("upper")
    }
}

impl<F: Form> Snapshotter for Stacked<F> {
    fn name(&self) -> &'static str {
        F::NAME
    }
    fn has(&self, chain: &ChainId) -> bool {
        self.layers.has(chain)
    }
    fn apply(
        &self,
        parent: Option<&ChainId>,
        diff_id: &DiffId,
        reader: &mut dyn Read,
        tar: Option<&File>,
    ) -> Result<Layer> {
        self.layers.apply(parent, diff_id, reader, tar)
    }
    fn add(
        &self,
        parent: Option<&ChainId>,
        reader: &mut dyn Read,
        named: &mut dyn FnMut(&ChainId),
    ) -> Result<Added> {
        self.layers.add(parent, reader, named)
    }
    fn sync(&self) -> Result<()> {
        self.layers.sync()
    }
    fn prepare(&self, key: &str, top: Option<&ChainId>) -> Result<()> {
        // The layers are held until the snapshot stands on them.
        self.layers.with_stack(top, |layers| {
            let root = layers
                .first()
                .map(|layer| F::root(layer).map_err(failed("open", &layer.contents)))
                .transpose()?;
            self.snapshots.prepare(key, top, root)
        })
    }
    fn rootfs(&self, key: &str) -> Result<Rootfs> {
        let lowers = self.lowers(self.snapshots.top(key)?.as_ref())?;
        let work = self.snapshots.directory(key).join("work");
        Ok(Rootfs { lowers, upper: Some(self.upper(key)), work: Some(work) })
    }
    fn view(&self, top: Option<&ChainId>) -> Result<Rootfs> {
        Ok(Rootfs { lowers: self.lowers(top)?, upper: None, work: None })
    }
    fn mounts(&self, rootfs: &Rootfs) -> LayerMounts {
        self.mounts.of(&rootfs.lowers)
    }
    fn usage(&self, key: &str) -> Result<Usage> {
        self.snapshots.top(key)?;
        let measure = hull_archive::measure(&self.upper(key))
            .map_err(|source| Error::Changes { key: key.into(), source })?;
        Ok(Usage { size: measure.size, inodes: measure.inodes })
    }
    fn changes(&self, key: &str) -> Result<Vec<Change>> {
        let top = self.snapshots.top(key)?;
        let mut lowers = self.layers.with_stack(top.as_ref(), |layers| {
            layers
                .iter()
                .map(|layer| self.open_layer(layer).map_err(failed("open", &layer.contents)))
                .collect::<Result<Vec<_>>>()
        })?;
        let skeleton = File::open(&self.skeleton).map_err(failed("open", &self.skeleton))?;
        lowers.push(skeleton.into());
        hull_archive::changes(&self.upper(key), lowers)
            .map_err(|source| Error::Changes { key: key.into(), source })
    }
    fn diff(&self, key: &str, to: &mut dyn Write) -> Result<()> {
        self.snapshots.top(key)?;
        hull_archive::layer(&self.upper(key), to).map_err(|source| Error::Diff { key: key.into(), source })
    }
    fn keeps_tars(&self) -> bool {
        F::KEEPS_TARS
    }
    fn tar(&self, chain: &ChainId) -> Result<Option<File>> {
        self.layers.tar(chain)
    }
    fn remove(&self, key: &str) -> Result<()> {
        self.snapshots.remove(key)
    }
    fn remove_layer(&self, chain: &ChainId) -> Result<()> {
        self.layers.remove(chain, || self.snapshots.standing_on(chain))
    }
    fn directories(&self) -> Vec<PathBuf> {
        self.layers.directories()
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
pub(crate) fn failed<E: Into<io::Error>>(act: &'static str, path: &Path) -> impl Fn(E) -> Error {
    let path = path.to_owned();
    move |source| Error::Path { act, path: path.clone(), source: source.into() }
}

/// A directory inside a layer, no link on the way.
pub(crate) fn open_inside(root: impl AsFd, path: &Path) -> std::result::Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    if path.as_os_str().is_empty() {
        return rustix::fs::openat(root, ".", flags, Mode::empty());
    }
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    rustix::fs::openat2(root, path, flags, Mode::empty(), resolve)
}
