//! Archives: a layer's tar to a directory tree, and what `docker cp`, `export`, `diff` and volumes need of trees.
//!
//! ```text
//!  blob ─▶ Decompressor ─▶ Limited ─▶ Archive (strict tar reader) ─▶ apply ──▶ layer directory (overlayfs's form)
//!                                          └───────────────────────▶ unpack ─▶ a container's tree (cp up)
//!  a container's tree ─▶ pack, export ─▶ Writer (tar) ─▶ cp down      stat ─▶ PathStat
//!  upper + lowers ─▶ changes ─▶ diff        image's directory ─▶ copy_tree ─▶ an empty volume
//! ```
//!
//! # Invariants
//! * Every stream and every tree is a stranger's. A path is resolved by descriptor inside its root only
//!   (`openat2` with RESOLVE_IN_ROOT, or component by component without following links) and held by descriptor
//!   from then on; `..`, absolute names and links of any kind end inside the root, also while somebody swaps them.
//! * No program is started and no path of the host is opened, but the directories that callers name and
//!   `/proc/self/fd`.
//! * The reader hands out what GNU tar and Go's `archive/tar` see in the same bytes, or an error.
//! * Memory is bounded by the longest directory and the buffers, whatever the stream says.
//!
//! # Layer directories
//! As the kernel's overlayfs wants them: a removed name is a character device 0/0, a directory that hides what is
//! beneath has `trusted.overlay.opaque=y`. No other `trusted.overlay.*` attribute is ever set.
//!
//! This crate must not know images, containers or where anything is stored.

mod apply;
mod changes;
mod compression;
mod copy;
mod entry;
mod error;
mod extract;
mod gzip;
mod header;
mod measure;
mod name;
mod pack;
mod pax;
mod pieces;
mod reader;
mod sparse;
mod stat;
mod tree;
mod unpack;
mod writer;

pub use apply::{Applied, ApplyOptions, Mark, apply, mark as layer_mark};
pub use changes::{Change, ChangeKind, changes};
pub use compression::{Compression, Decompressor, Limited, zstd};
pub use copy::{Attributes, copy_directory_attributes, copy_tree, directory_attributes};
pub use entry::{Entry, EntryKind, Extent, Piece, Time};
pub use error::{Error, Result};
pub use gzip::{gzip, gzip_at};
pub use measure::{Measure, measure, measure_all, remove_tree};
pub use name::clean as clean_name;
pub use pack::{PackOptions, export, layer, pack};
pub use pieces::PieceWriter;
pub use reader::Archive;
pub use stat::{PathStat, stat};
pub use unpack::{UnpackOptions, unpack};
pub use writer::Writer;
