//! Annotations: notes on manifests, indexes and the descriptors that name them.

use crate::error::{Error, Result};
use hull_types::Platform;

/// On what a note is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Manifest,
    ManifestDescriptor,
    Index,
    IndexDescriptor,
}

/// A note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    pub(crate) place: Place,
    /// Only there.
    pub(crate) platform: Option<Platform>,
    pub(crate) key: String,
    pub(crate) value: String,
}

impl Annotation {
    /// Reads an output's attribute: `annotation.KEY`, `annotation-index.KEY`, `annotation-manifest[PLATFORM].KEY`.
    /// `None` for one that is no annotation.
    pub fn read(attribute: &str, value: &str) -> Result<Option<Self>> {
        let Some(rest) = attribute.strip_prefix("annotation") else { return Ok(None) };
        let wrong = || Error::Invalid(format!("invalid annotation {attribute:?}"));
        // A platform has no dot before its bracket closes; a key may have brackets.
        let head = rest.find(['[', '.']).ok_or_else(wrong)?;
        let (place, rest) = rest.split_at(head);
        let (platform, key) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (platform, rest) = rest.split_once(']').ok_or_else(wrong)?;
                let platform =
                    platform.parse::<Platform>().map_err(|error| Error::Invalid(error.to_string()))?;
                (Some(platform), rest)
            }
            None => (None, rest),
        };
        let key = key.strip_prefix('.').filter(|key| !key.is_empty()).ok_or_else(wrong)?.to_owned();
        let place = match place {
            "" | "-manifest" => Place::Manifest,
            "-manifest-descriptor" => Place::ManifestDescriptor,
            "-index" => Place::Index,
            "-index-descriptor" => Place::IndexDescriptor,
            other => return Err(Error::Invalid(format!("unknown annotation type {:?}", &other[1..]))),
        };
        Ok(Some(Self { place, platform, key, value: value.to_owned() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read() {
        let read = |attribute: &str| Annotation::read(attribute, "v").unwrap();
        assert_eq!(read("name"), None);
        let plain = read("annotation.org.example.a").unwrap();
        assert_eq!(
            (plain.place, plain.platform, plain.key.as_str()),
            (Place::Manifest, None, "org.example.a")
        );
        let other = read("annotation-manifest-descriptor[linux/amd64].a.b[c]").unwrap();
        assert_eq!(other.place, Place::ManifestDescriptor);
        assert_eq!(other.platform, Some("linux/amd64".parse().unwrap()));
        assert_eq!(other.key, "a.b[c]");
        assert_eq!(read("annotation-index.k").unwrap().place, Place::Index);
        for wrong in ["annotation", "annotation.", "annotation-what.k", "annotation-index[linux/amd64.k"] {
            assert!(Annotation::read(wrong, "v").is_err(), "{wrong}");
        }
    }
}
