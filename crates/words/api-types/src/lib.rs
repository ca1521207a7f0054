//! The Engine API's wire structs, of the newest version Hull serves (see `../../../../docs/ARCHITECTURE.md`, "API
//! versions"). Older versions are made from these at the edge, in `api/src/compat`.
//!
//! What counts here is the JSON: a field that moby writes as `null`, `[]`, `""` or `0` is written so, one that it
//! leaves out is left out. Hence `Option<Vec<_>>` where Go has a slice that may be nil, and `skip_serializing_if`
//! only where moby's struct says `omitempty`. Every field may be missing or null in what a client sends.
//!
//! The fields' meaning is the OpenAPI document's, under the schema of the same name; it isn't repeated here.
#![allow(missing_docs)]

pub mod build;
pub mod container;
pub mod exec;
pub mod image;
pub mod message;
pub mod network;
pub mod registry;
pub mod stats;
pub mod system;
pub mod volume;

pub use container::*;
pub use exec::*;
pub use image::*;
pub use message::*;
pub use network::*;
pub use registry::*;
pub use stats::*;
pub use system::*;
pub use volume::*;

use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

/// The newest API version served.
pub const API_VERSION: &str = "1.51";
/// The oldest.
pub const MIN_API_VERSION: &str = "1.24";

pub type Map<V> = BTreeMap<String, V>;
/// Go's `map[string]struct{}`: a set written as an object of empty objects.
pub type Set = BTreeMap<String, Empty>;
/// Filters as the API carries them: key → values.
pub type Filters = BTreeMap<String, Vec<String>>;

/// `{}`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Empty {}

/// A field that may be null in what a client sends, and then has its default.
pub(crate) fn null<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
