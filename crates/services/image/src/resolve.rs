//! From what a person writes to an image.

use crate::catalogue::{Record, State};
use crate::error::{ImageError, Result};
use hull_types::{Digest, ImageRef, is_full_id};
use std::sync::Arc;

/// What a text turned out to be.
pub(crate) struct Found {
    pub(crate) record: Arc<Record>,
    /// The name that it is, unless it is an id or the beginning of one.
    pub(crate) reference: Option<ImageRef>,
}

/// The image that `text` means: an id, a name, or the beginning of an id, in this order.
pub(crate) fn find(state: &State, text: &str) -> Result<Found> {
    if let Some(id) = full_id(text) {
        let record = state.images.get(&id).cloned();
        return record
            .map(|record| Found { record, reference: None })
            .ok_or(ImageError::NotFound(text.into()));
    }
    let parsed = text.parse::<ImageRef>().map(ImageRef::or_latest);
    if let Some(found) = parsed.as_ref().ok().and_then(|name| by_name(state, name)) {
        return Ok(found);
    }
    if let Some(record) = by_prefix(state, text)? {
        return Ok(Found { record, reference: None });
    }
    // `sha256:abcd` parses as a name with a tag; it was meant as an id.
    match parsed {
        Ok(name) if !text.starts_with("sha256:") => Err(ImageError::NotFound(name.familiar())),
        Ok(_) => Err(ImageError::NotFound(text.into())),
        Err(error) => Err(error.into()),
    }
}

/// The same where an image that was removed under its container counts too, which only its id means.
pub(crate) fn find_kept(state: &State, text: &str) -> Result<Found> {
    let removed = full_id(text).and_then(|id| state.removed.get(&id));
    match removed {
        Some(record) => Ok(Found { record: record.clone(), reference: None }),
        None => find(state, text),
    }
}

fn full_id(text: &str) -> Option<Digest> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    is_full_id(hex).then(|| format!("sha256:{hex}").parse().ok()).flatten()
}

fn by_name(state: &State, name: &ImageRef) -> Option<Found> {
    let key = match name.digest() {
        // A digest says all: the tag beside it is for the reader.
        Some(digest) => name.with_digest(digest.clone()),
        None => name.clone(),
    };
    let row = state.references.get(&key)?;
    let record = state.images.get(&row.image)?.clone();
    Some(Found { record, reference: Some(key) })
}

fn by_prefix(state: &State, text: &str) -> Result<Option<Arc<Record>>> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    if hex.is_empty() || !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Ok(None);
    }
    let mut matching = state.images.values().filter(|record| record.id.hex().starts_with(hex));
    match (matching.next(), matching.next()) {
        (Some(_), Some(_)) => Err(ImageError::Ambiguous(text.into())),
        (first, _) => Ok(first.cloned()),
    }
}
