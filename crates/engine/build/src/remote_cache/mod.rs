//! Caches in registries and directories, and in images themselves.
//!
//! ```text
//!  manifest ─ config: application/vnd.buildkit.cacheconfig.v0: records (a step's key → a layer), layers
//!           └ layers: as images have them, gzip or zstd
//! ```
//! The format is BuildKit's; the keys are ours, so that each leaves the other's records alone.
//!
//! Trust: whoever may write the place decides what a step comes to, as with every cache by key: that is the choice of
//! who names it. What is imported is used by builds that name the same place and by no other: its rows are kept under
//! keys that have the place in them. Blobs are verified by their digests, layers by their diff ids; what is wrong in
//! a cache is a warning, and the step is done.

pub(crate) mod document;
mod export;
mod import;

pub(crate) use import::Imported;

use crate::files::Context;
use hull_image::Packing;
use hull_types::ImageRef;

/// The media type of a cache's records.
pub(crate) const CONFIG: &str = "application/vnd.buildkit.cacheconfig.v0";

/// A place to take steps' results from.
#[derive(Debug, Clone)]
pub enum CacheSource {
    /// A cache, or an image with one in it.
    Registry(ImageRef),
    /// A directory: its name, for people, and what is in it.
    Files(String, Context),
}

/// Where a cache is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CachePlace {
    /// To a registry.
    Registry(ImageRef),
    /// To whoever asks for the layout: [`crate::Product::cache`].
    Files,
}

/// A cache to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheTarget {
    /// Where.
    pub place: CachePlace,
    /// Every step's result, not only those that the image has.
    pub max: bool,
    /// How layers go out.
    pub packing: Packing,
    /// A failure is a warning.
    pub ignore_error: bool,
}
