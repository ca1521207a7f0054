//! COPY and ADD: what is taken from where, and the layer archive that comes of it. No file is created for it.
//!
//! ```text
//!  sources ─select─► found files ─place─► Layer { path → member } ─write─► tar ─► Snapshotter::add
//!                                  ▲
//!                       the stage's tree: links in the destination, directories that are there
//! ```

mod layer;
mod place;
mod select;

pub(crate) use layer::Layer;
pub(crate) use place::{Placement, place};
pub(crate) use select::{Found, Selection, select};
