//! The files of an archive, by name.

use super::not_an_archive;
use crate::error::{ImageError, Result};
use hull_archive::{Archive, EntryKind};
use hull_content::{Content, ContentError};
use hull_types::Digest;
use std::collections::HashMap;
use std::io::{Read, Write};

/// Files up to this size are kept in memory: documents mostly, which may turn out to be of no use.
const SMALL: u64 = 1 << 20;
/// As long as there are no more bytes than this of them.
const SMALL_TOTAL: u64 = 32 << 20;
/// The most members, and bytes of names, that an archive may have. Images have some hundred.
const MEMBERS: usize = 100_000;
const NAMES: usize = 16 << 20;
/// How many links may lead to links.
const HOPS: usize = 8;

/// Where a file's contents are.
#[derive(Debug)]
pub(super) enum Stored {
    Small(Vec<u8>),
    Blob { digest: Digest, size: u64 },
}

#[derive(Debug)]
enum Place {
    File(Stored),
    // The cleaned name that it leads to.
    Link(String),
}

pub(super) struct Files {
    content: Content,
    places: HashMap<String, Place>,
    small: u64,
    names: usize,
}

impl Files {
    pub(super) fn new(content: Content) -> Self {
        Self { content, places: HashMap::new(), small: 0, names: 0 }
    }

    /// Reads the archive to its end.
    pub(super) fn read<R: Read>(&mut self, archive: &mut Archive<R>) -> Result<()> {
        while let Some(entry) = archive.next_entry().map_err(ImageError::Archive)? {
            let name = clean(&entry.name)?;
            self.names += name.len();
            if self.places.len() >= MEMBERS || self.names > NAMES {
                return Err(not_an_archive("the archive has more members than any image's".into()));
            }
            let place = match entry.kind {
                EntryKind::File => Place::File(self.contents(archive, &name, entry.size)?),
                EntryKind::HardLink => Place::Link(clean(&entry.link)?),
                EntryKind::Symlink => Place::Link(beside(&name, &entry.link)?),
                EntryKind::Directory => continue,
                _ => {
                    return Err(not_an_archive(format!(
                        "{name:?} is a device or pipe: no image has one in its archive"
                    )));
                }
            };
            self.places.insert(name, place);
        }
        archive.drain().map_err(ImageError::Archive)
    }

    fn contents<R: Read>(&mut self, archive: &mut Archive<R>, name: &str, size: u64) -> Result<Stored> {
        // A blob's name is what it must hash to.
        let expected = digest_in(name);
        if size <= SMALL && self.small + size <= SMALL_TOTAL {
            self.small += size;
            let mut bytes = Vec::with_capacity(size as usize);
            loop {
                match archive.contents().map_err(ImageError::Archive)? {
                    [] => break,
                    piece => bytes.extend_from_slice(piece),
                }
            }
            if let Some(expected) = expected.filter(|expected| !hull_content::verify(&bytes, expected)) {
                let actual = hull_content::digest_of(&bytes);
                return Err(ContentError::Mismatch { expected, actual }.into());
            }
            return Ok(Stored::Small(bytes));
        }
        let mut ingest = self.content.ingest(expected.as_ref())?;
        loop {
            match archive.contents().map_err(ImageError::Archive)? {
                [] => break,
                piece => ingest
                    .write_all(piece)
                    .map_err(|source| ContentError::Write { path: name.into(), source })?,
            }
        }
        let size = ingest.offset();
        Ok(Stored::Blob { digest: ingest.finish()?, size })
    }

    /// The file of that name, links followed.
    pub(super) fn find(&self, name: &str) -> Result<&Stored> {
        let mut at = clean(name.as_bytes())?;
        for _ in 0..HOPS {
            match self.places.get(&at) {
                Some(Place::File(stored)) => return Ok(stored),
                Some(Place::Link(next)) => at = next.clone(),
                None => break,
            }
        }
        Err(not_an_archive(format!("the archive names {name:?}, which is not in it")))
    }

    /// Whether there is such a file.
    pub(super) fn has(&self, name: &str) -> bool {
        self.find(name).is_ok()
    }

    /// A document's text, at most `limit` bytes of it.
    pub(super) fn document(&self, name: &str, limit: u64) -> Result<Vec<u8>> {
        match self.find(name)? {
            Stored::Small(bytes) if bytes.len() as u64 > limit => {
                Err(not_an_archive(format!("{name:?} has {} bytes, which is too large", bytes.len())))
            }
            Stored::Small(bytes) => Ok(bytes.clone()),
            Stored::Blob { digest, .. } => Ok(self.content.read(digest, limit)?),
        }
    }

    /// Every blob that came in.
    pub(super) fn blobs(&self) -> Vec<Digest> {
        let blob = |place: &Place| match place {
            Place::File(Stored::Blob { digest, .. }) => Some(digest.clone()),
            _ => None,
        };
        self.places.values().filter_map(blob).collect()
    }
}

fn digest_in(name: &str) -> Option<Digest> {
    let (algorithm, hex) = name.strip_prefix("blobs/")?.split_once('/')?;
    format!("{algorithm}:{hex}").parse().ok()
}

// A member's name without `.` and doubled slashes. Nothing is ever opened by it, but one that leads out of the
// archive is an attack all the same, and told as one.
fn clean(name: &[u8]) -> Result<String> {
    resolve(Vec::new(), name)
}

// Where a symbolic link leads, which stands at `name`.
fn beside(name: &str, link: &[u8]) -> Result<String> {
    let mut parts: Vec<&str> = name.split('/').collect();
    parts.pop();
    if link.first() == Some(&b'/') {
        return Err(not_an_archive(format!("the link {name:?} leads out of the archive")));
    }
    resolve(parts, link)
}

fn resolve<'a>(mut parts: Vec<&'a str>, name: &'a [u8]) -> Result<String> {
    let text =
        std::str::from_utf8(name).map_err(|_| not_an_archive("a member's name is not UTF-8".into()))?;
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.pop().is_none() => {
                return Err(not_an_archive(format!("{text:?} leads out of the archive")));
            }
            ".." => {}
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_never_lead_out() {
        assert_eq!(clean(b"./a//b/").unwrap(), "a/b");
        assert_eq!(beside("x/layer.tar", b"../y/layer.tar").unwrap(), "y/layer.tar");
        for bad in [&b"../x"[..], b"a/../../x", b"\xff"] {
            assert!(clean(bad).is_err());
        }
        assert!(beside("x/layer.tar", b"../../etc/passwd").is_err());
        assert!(beside("x/layer.tar", b"/etc/passwd").is_err());
    }
}
