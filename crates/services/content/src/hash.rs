//! Hashing with the algorithms that a [`Digest`] can name.

use hull_types::Digest;
use ring::digest::{Context, SHA256, SHA512};

/// A running hash.
#[derive(Clone)]
pub struct Hasher {
    context: Context,
    name: &'static str,
}

impl Hasher {
    /// Of the algorithm that `like` is of; sha256 without one.
    pub fn like(like: Option<&Digest>) -> Self {
        match like.map(Digest::algorithm) {
            Some("sha512") => Self { context: Context::new(&SHA512), name: "sha512" },
            _ => Self { context: Context::new(&SHA256), name: "sha256" },
        }
    }
    /// Takes in more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
    }
    /// The digest of everything taken in.
    pub fn finish(self) -> Digest {
        let raw = self.context.finish();
        let mut text = format!("{}:", self.name);
        for byte in raw.as_ref() {
            use std::fmt::Write;
            let _ = write!(text, "{byte:02x}");
        }
        // The text is canonical by construction; should it ever not be, a sha256 of nothing matches no blob.
        text.parse().unwrap_or_else(|_| Digest::sha256(&[0; 32]))
    }
}

/// The sha256 digest of `bytes`.
pub fn digest_of(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::like(None);
    hasher.update(bytes);
    hasher.finish()
}

/// Whether `bytes` hash to `digest`.
pub fn verify(bytes: &[u8], digest: &Digest) -> bool {
    let mut hasher = Hasher::like(Some(digest));
    hasher.update(bytes);
    hasher.finish() == *digest
}
