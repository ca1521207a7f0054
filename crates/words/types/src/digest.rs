//! Content digests, `algorithm:hex` (OCI image specification, "Digests").

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// A digest of an algorithm that Hull verifies: `sha256` (64 hex digits) or `sha512` (128).
///
/// Only canonical text makes a `Digest`, so one can be a file name without further checks.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(Box<str>);

/// Why a text is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// Not of the form `algorithm:hex`.
    #[error("invalid reference format: digest {0:?} is not of the form algorithm:hex")]
    Format(String),
    /// An algorithm other than sha256 or sha512.
    #[error("unsupported digest algorithm in {0:?}: Hull verifies sha256 and sha512")]
    Algorithm(String),
    /// Wrong length, or a character outside `0-9a-f`.
    #[error("invalid checksum digest length or character in {0:?}")]
    Hex(String),
}

impl Digest {
    /// The sha256 digest of 32 raw bytes.
    pub fn sha256(raw: &[u8; 32]) -> Self {
        let mut text = String::with_capacity(71);
        text.push_str("sha256:");
        for byte in raw {
            use fmt::Write;
            let _ = write!(text, "{byte:02x}");
        }
        Self(text.into())
    }
    /// The algorithm's name.
    pub fn algorithm(&self) -> &str {
        self.0.split_once(':').map_or("", |(algorithm, _)| algorithm)
    }
    /// The hexadecimal part.
    pub fn hex(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, hex)| hex)
    }
    /// The whole text, `algorithm:hex`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Digest {
    type Err = DigestError;
    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (algorithm, hex) = text.split_once(':').ok_or_else(|| DigestError::Format(text.into()))?;
        let length = match algorithm {
            "sha256" => 64,
            "sha512" => 128,
            _ => return Err(DigestError::Algorithm(text.into())),
        };
        if hex.len() != length || !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(DigestError::Hex(text.into()));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}
impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The digest of a layer's uncompressed tar (image specification, "Layer DiffID").
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DiffId(pub Digest);

/// The digest of a stack of layers (image specification, "Layer ChainID").
///
/// The chain of one layer is its DiffId; of more, `sha256(parent + " " + DiffId)`; whoever hashes makes it, with
/// [`ChainId::text_of`] as the input.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChainId(pub Digest);

impl ChainId {
    /// The text whose sha256 is the chain of `parent` with `layer` upon it.
    pub fn text_of(parent: &ChainId, layer: &DiffId) -> String {
        format!("{} {}", parent.0, layer.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_text_is_a_digest() {
        let good = format!("sha256:{}", "0a".repeat(32));
        assert_eq!(good.parse::<Digest>().unwrap().hex(), "0a".repeat(32));
        for bad in ["", "sha256", "sha256:", "md5:00", "sha256:../../etc/passwd"] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
        assert!(format!("sha256:{}", "0A".repeat(32)).parse::<Digest>().is_err());
        assert!(format!("sha256:{}", "0a".repeat(31)).parse::<Digest>().is_err());
    }
}
