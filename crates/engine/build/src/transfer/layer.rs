//! A layer as a table of members, written as a sorted archive.

use crate::error::{Error, Result};
use crate::files::{Facts, Files, Name};
use hull_archive::{Entry, EntryKind, Time, Writer};
use hull_content::Hasher;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::Arc;

/// Where a member's contents come from.
#[derive(Clone)]
pub(crate) enum Source {
    /// It has none.
    None,
    /// A file.
    File(Arc<dyn Files>, Name),
}

/// A file of a layer.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) facts: Facts,
    pub(crate) source: Source,
}

/// The members, by path.
#[derive(Default)]
pub(crate) struct Layer {
    members: BTreeMap<Name, Member>,
}

impl Layer {
    /// Adds a member; a later one takes the place of an earlier, a directory that is there stays.
    pub(crate) fn add(&mut self, name: Name, member: Member) -> Result<()> {
        if name.is_empty() {
            return Ok(());
        }
        match self.members.get(&name) {
            Some(old) if old.facts.is_directory() && member.facts.is_directory() => return Ok(()),
            Some(old) if old.facts.is_directory() => {
                let text = format!("cannot copy to non-directory: /{}", String::from_utf8_lossy(&name));
                return Err(Error::Invalid(text));
            }
            _ => {}
        }
        self.members.insert(name, member);
        Ok(())
    }

    /// The facts of a member.
    pub(crate) fn facts(&self, name: &[u8]) -> Option<&Facts> {
        self.members.get(name).map(|member| &member.facts)
    }

    /// Whether a directory of the layer is new, by its owner's choice.
    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// A digest of what is in it: names, kinds, modes, owners and contents, and no times.
    pub(crate) fn digest(&self) -> Result<[u8; 32]> {
        let mut hasher = Hasher::like(None);
        for (name, Member { facts, source }) in &self.members {
            let head = format!(
                "{}\0{:?}\0{:o}\0{}:{}\0{}\0{}:{}\0",
                name.len(),
                facts.kind,
                facts.mode,
                facts.uid,
                facts.gid,
                facts.size,
                facts.device.0,
                facts.device.1
            );
            hasher.update(head.as_bytes());
            hasher.update(name);
            hasher.update(&(facts.link.len() as u64).to_le_bytes());
            hasher.update(&facts.link);
            for (key, value) in &facts.xattrs {
                hasher.update(key);
                hasher.update(&(value.len() as u64).to_le_bytes());
                hasher.update(value);
            }
            match source {
                Source::None => {}
                Source::File(files, name) => {
                    let digest = files.digest(name).map_err(unreadable(name))?;
                    hasher.update(&digest);
                }
            }
        }
        Ok(crate::files::raw_of(hasher))
    }

    /// Writes the archive; times are `epoch` where they are later, and everywhere where `fixed`.
    pub(crate) fn write(&self, epoch: i64, to: &mut dyn Write) -> Result<()> {
        let mut writer = Writer::new(to);
        let mut buffer = vec![0; 256 << 10];
        for (name, Member { facts, source }) in &self.members {
            let mut path = name.clone();
            if facts.is_directory() {
                path.push(b'/');
            }
            let mut entry = Entry::new(path, facts.kind, facts.mode);
            entry.uid = facts.uid;
            entry.gid = facts.gid;
            entry.mtime = Time { seconds: facts.mtime.min(epoch), nanoseconds: 0 };
            entry.link = facts.link.clone();
            entry.device = facts.device;
            entry.xattrs = facts.xattrs.clone();
            entry.size = if facts.kind == EntryKind::File { facts.size } else { 0 };
            writer.entry(&entry)?;
            match source {
                Source::None => {}
                Source::File(files, name) if entry.size > 0 => {
                    let mut reader = files.open(name).map_err(unreadable(name))?;
                    while writer.left() > 0 {
                        let most = usize::try_from(writer.left()).unwrap_or(usize::MAX).min(buffer.len());
                        let read = reader.read(&mut buffer[..most]).map_err(unreadable(name))?;
                        if read == 0 {
                            return Err(unreadable(name)(std::io::ErrorKind::UnexpectedEof.into()));
                        }
                        writer.contents(&buffer[..read])?;
                    }
                }
                Source::File(..) => {}
            }
        }
        writer.finish()?;
        Ok(())
    }
}

fn unreadable(name: &[u8]) -> impl FnOnce(std::io::Error) -> Error {
    Error::io(format!("read /{}", String::from_utf8_lossy(name)))
}
