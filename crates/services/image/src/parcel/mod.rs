//! What a build gives out, in the form that it has elsewhere: manifests, their layers compressed as asked for, and
//! the index over them.
//!
//! ```text
//!  layers ─pack─► blobs ─┐
//!  configuration ────────┴─► manifest ─┐              ┌─► send: to a registry
//!  statements ─────────────► manifest ─┴─► index ─────┼─► archive: OCI layout, with Docker's manifest.json
//!                                                     └─► keep: an image here, under names
//! ```
//! Everything is a blob of the content store while the parcel lives; what no image took goes with it.

mod archive;
mod keep;
mod pack;
mod send;

pub use archive::Form;
pub use pack::{Compression, Packing};

use crate::Images;
use crate::error::Result;
use crate::make::Making;
use crate::packed::{descriptor, to_json};
use hull_content::{Lease, digest_of};
use hull_types::Digest;
use hull_types::oci::image::Descriptor;
use serde::Serialize;
use std::sync::{Mutex, PoisonError};

/// Documents and blobs that belong together.
pub struct Parcel {
    images: Images,
    lease: Lease,
    /// Manifests and indexes, what they name before them; the last is the one that names stand for.
    documents: Vec<(Descriptor, Vec<u8>)>,
    /// Configurations, layers, statements.
    blobs: Vec<Descriptor>,
    /// Which of all of it was made for this parcel.
    made: Mutex<Vec<Digest>>,
}

impl Making {
    /// Begins a parcel.
    pub fn parcel(&self) -> Parcel {
        let images = self.images().clone();
        let lease = images.content().lease();
        Parcel { images, lease, documents: Vec::new(), blobs: Vec::new(), made: Mutex::default() }
    }
}

impl Parcel {
    /// Takes a document in, as JSON; `kind` is its media type. The last one taken in is the root.
    pub fn document<T: Serialize>(&mut self, kind: &str, document: &T) -> Result<Descriptor> {
        let text = to_json(document)?;
        let described = self.put(kind, &text)?;
        self.documents.push((described.clone(), text));
        Ok(described)
    }

    /// Takes a small blob in: a configuration, a statement.
    pub fn blob(&mut self, kind: &str, bytes: &[u8]) -> Result<Descriptor> {
        let described = self.put(kind, bytes)?;
        self.blobs.push(described.clone());
        Ok(described)
    }

    fn put(&self, kind: &str, bytes: &[u8]) -> Result<Descriptor> {
        let digest = digest_of(bytes);
        if !self.images.content().has(&digest) {
            self.note(&digest);
        }
        self.lease.protect(&digest);
        self.images.content().put_as(bytes, &digest)?;
        Ok(descriptor(kind, digest, bytes.len() as u64))
    }

    fn note(&self, digest: &Digest) {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).push(digest.clone());
    }

    /// What names stand for.
    pub fn root(&self) -> Option<&Descriptor> {
        self.documents.last().map(|(descriptor, _)| descriptor)
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        let made = std::mem::take(&mut *self.made.lock().unwrap_or_else(PoisonError::into_inner));
        // What is still held by this parcel's own lease could not be collected.
        self.lease = self.images.content().lease();
        if !made.is_empty() {
            self.images.drop_unwanted(made);
        }
    }
}
