//! Snapshots: read-only layers and writable trees upon them.
//!
//! ```text
//!   image layers, by ChainId          a container, by key
//!   apply(parent, diff id, tar)       prepare(key, top) ─▶ rootfs(key) ─▶ Rootfs ─▶ the runtime mounts it
//!         │                                │                view(top) ──▶ Rootfs, read-only
//!   [skeleton] ◀─ [A] ◀─ [B] ◀─ [C] ◀── [key's upper]
//! ```
//!
//! # Invariants
//! * A layer that [`Snapshotter::has`] is whole: it was written aside and renamed. It is on the disk after the next
//!   [`Snapshotter::sync`]: before, a loss of power takes it, all of it.
//! * Layers never change. A snapshot's top is fixed when it is prepared.
//! * What a crash leaves half made is swept when the driver is opened; nothing else is ever removed unasked.
//! * Nothing is mounted at a path: a [`hull_types::Rootfs`] says what to mount, and the runtime does it where it is
//!   used. Of a layer that is an image there is one detached mount, from which all others are copied
//!   ([`Snapshotter::mounts`]); it ends with its layer, or with the process.
//!
//! Every driver passes the same tests, [`suite`]. This crate must not know images, containers or registries.

pub mod erofs;
mod error;
mod hash;
pub mod overlay;
pub mod stacked;
pub mod suite;

pub use error::{Error, Result};
pub use hash::chain_of;
pub use hull_archive::{Change, ChangeKind};

use hull_sys::LayerMounts;
use hull_types::{ChainId, DiffId, Rootfs};
use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;

/// A layer that was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layer {
    /// Size of the contents as Docker counts it: files' and symbolic links' sizes, hard links once.
    pub size: u64,
}

/// A layer that was added, and is called what its contents say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// The digest of its tar.
    pub diff_id: DiffId,
    /// Its name as a layer, with what it stands on.
    pub chain: ChainId,
    /// As [`Layer::size`].
    pub size: u64,
    /// Length of its tar in bytes.
    pub tar_size: u64,
}

/// How much a snapshot's own files take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Bytes: sizes of files and links, hard links once; directories count nothing.
    pub size: u64,
    /// Inodes, directories included.
    pub inodes: u64,
}

/// A store of layers, and of writable snapshots upon them.
///
/// All calls block; those that touch few files take microseconds, `apply` takes as long as its reader. Calls may
/// run in parallel.
pub trait Snapshotter: Send + Sync {
    /// The driver's name, as `docker info` shows it.
    fn name(&self) -> &'static str;
    /// Whether the layer is there, whole.
    fn has(&self, chain: &ChainId) -> bool;
    /// Makes the layer `diff_id` upon `parent` from its uncompressed tar, read to the end, which the caller sees to be
    /// the one of that digest: a reader that finds out at its end fails there. `parent` need not be there yet: the
    /// layers of an image may be applied in parallel. A layer that is there is left as it is, its reader read to the
    /// end all the same. Where the tar is a whole file that nobody will ever write again, that is `tar`: a driver
    /// that keeps tars gives it one more name instead of copying it.
    fn apply(
        &self,
        parent: Option<&ChainId>,
        diff_id: &DiffId,
        reader: &mut dyn Read,
        tar: Option<&File>,
    ) -> Result<Layer>;
    /// Makes a layer on `parent`, which must be there, from an uncompressed tar whose digest is not known beforehand.
    /// One that is there already is left as it is. `named` is told its name before it is there, so that it can be held.
    fn add(
        &self,
        parent: Option<&ChainId>,
        reader: &mut dyn Read,
        named: &mut dyn FnMut(&ChainId),
    ) -> Result<Added>;
    /// Returns when every layer that is there is on the disk: to be called before a row names one. Layers that the disk
    /// did not take are gone when this fails.
    fn sync(&self) -> Result<()>;
    /// Makes a writable snapshot on top of `top`, none for an empty one. [`Error::Exists`] when the key is taken.
    fn prepare(&self, key: &str, top: Option<&ChainId>) -> Result<()>;
    /// What to mount for a snapshot.
    fn rootfs(&self, key: &str) -> Result<Rootfs>;
    /// What to mount, read-only, for the layers up to `top`.
    fn view(&self, top: Option<&ChainId>) -> Result<Rootfs>;
    /// Mounts of those of its layers that are images, the same for all who ask: what the kernel keeps of a layer is
    /// then kept once. They are made at the first use and let go with their layers; whoever mounts the root file system
    /// may hold them as long as that takes. Layers that are not in there are to be mounted by whoever uses them.
    fn mounts(&self, rootfs: &Rootfs) -> LayerMounts;
    /// What the snapshot itself takes.
    fn usage(&self, key: &str) -> Result<Usage>;
    /// What differs from the layers beneath, as `docker diff` lists it.
    fn changes(&self, key: &str) -> Result<Vec<Change>>;
    /// Writes what the snapshot changes as a layer's tar (image specification, "Representing Changes"): names sorted,
    /// removed ones as `.wh.NAME`, times in whole seconds, no entry for the root. Its container should not run.
    fn diff(&self, key: &str, to: &mut dyn Write) -> Result<()>;
    /// Whether the driver keeps layers' tars.
    fn keeps_tars(&self) -> bool;
    /// The layer's uncompressed tar, byte for byte as it came, where the driver keeps it.
    fn tar(&self, chain: &ChainId) -> Result<Option<File>>;
    /// Removes a snapshot; it is gone when this returns, its files a while after. [`Error::NoSnapshot`] when there
    /// is none.
    fn remove(&self, key: &str) -> Result<()>;
    /// Removes a layer. [`Error::InUse`] while another layer or a snapshot stands on it.
    fn remove_layer(&self, chain: &ChainId) -> Result<()>;
    /// The directories that layers are kept in.
    fn directories(&self) -> Vec<PathBuf>;
    /// All layers, in no order.
    fn layers(&self) -> Vec<ChainId>;
    /// All snapshots' keys, in no order.
    fn keys(&self) -> Vec<String>;
    /// A layer's own size, without its parents'.
    fn layer_size(&self, chain: &ChainId) -> Result<u64>;
}
