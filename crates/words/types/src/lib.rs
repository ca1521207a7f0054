//! The words of Hull: values that every floor shares. No I/O, no async runtime.
//!
//! `ImageRef → Descriptor → Manifest → ImageConfig + layers (DiffId) → ChainId → Snapshot → Rootfs → Bundle → Task → Exit`

pub mod digest;
pub mod document;
pub mod duration;
pub mod glob;
pub mod image_ref;
pub mod oci;
pub mod pattern;
pub mod platform;
pub mod rootfs;
pub mod signal;
pub mod size;
pub mod timestamp;

pub use digest::{ChainId, DiffId, Digest, DigestError};
pub use glob::Glob;
pub use image_ref::{ImageRef, ImageRefError, is_tag};
pub use pattern::Pattern;
pub use platform::Platform;
pub use rootfs::{Lower, Rootfs};
pub use timestamp::Timestamp;

/// Whether `text` is a full container, image or network id: 64 lower-case hexadecimal digits.
pub fn is_full_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// The first twelve digits of an id, as Docker shows it; an algorithm prefix (`sha256:`) is left out.
pub fn short_id(id: &str) -> &str {
    let hex = id.strip_prefix("sha256:").unwrap_or(id);
    hex.get(..12).unwrap_or(hex)
}
