//! A build context: a table of its files, whose contents lie in a spool. It is never unpacked: COPY reads from it.

use super::{Facts, Files, Name, clean, parent, parts};
use crate::error::{Error, Result};
use hull_archive::{Archive, EntryKind};
use hull_content::Hasher;
use hull_dockerfile::Ignore;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Cursor, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Where a file's contents are.
#[derive(Debug, Clone)]
pub enum Content {
    /// In a file, from there on.
    Span {
        /// The spool.
        file: Arc<File>,
        /// The first byte.
        offset: u64,
    },
    /// In memory.
    Bytes(Arc<[u8]>),
}

#[derive(Debug, Clone)]
struct Member {
    facts: Facts,
    content: Option<Content>,
    digest: [u8; 32],
}

/// The files that a client sent. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Context {
    members: Arc<BTreeMap<Name, Member>>,
    // Of an archive that is taken apart: owners, times and attributes are its own.
    owners: bool,
}

impl Context {
    /// Reads an uncompressed tar, which is kept in `spool` (an empty file that nobody else uses). Names that lead
    /// outside are refused.
    pub fn from_tar(reader: impl Read, spool: File) -> Result<Self> {
        Self::read(reader, spool, false)
    }

    /// The same for an archive whose owners count, as ADD takes it apart.
    pub(crate) fn from_archive(reader: impl Read, spool: File) -> Result<Self> {
        Self::read(reader, spool, true)
    }

    fn read(reader: impl Read, spool: File, owners: bool) -> Result<Self> {
        let mut spool = Spool::new(spool);
        let mut archive = Archive::new(reader);
        let mut members: BTreeMap<Name, Member> = BTreeMap::new();
        while let Some(entry) = archive.next_entry()? {
            let name = checked(&entry.name)?;
            let facts = Facts {
                kind: entry.kind,
                mode: entry.mode & 0o7777,
                uid: entry.uid,
                gid: entry.gid,
                mtime: entry.mtime.seconds,
                size: entry.size,
                link: entry.link,
                device: entry.device,
                xattrs: if owners { entry.xattrs } else { Vec::new() },
            };
            let mut member = Member { facts: facts.clone(), content: None, digest: [0; 32] };
            match entry.kind {
                EntryKind::File => {
                    let offset = spool.offset;
                    let mut hasher = Hasher::like(None);
                    loop {
                        let piece = archive.contents()?;
                        if piece.is_empty() {
                            break;
                        }
                        hasher.update(piece);
                        spool.write(piece)?;
                    }
                    member.digest = raw(hasher);
                    member.content = Some(Content::Span { file: Arc::clone(&spool.file), offset });
                }
                EntryKind::HardLink => {
                    let target = checked(&facts.link)?;
                    let found = members.get(&target).cloned();
                    member = found.ok_or_else(|| {
                        let text = format!(
                            "the context's {} is a link to {}, which is not in it",
                            lossy(&name),
                            lossy(&target)
                        );
                        Error::Invalid(text)
                    })?;
                }
                EntryKind::Directory | EntryKind::Symlink => {}
                EntryKind::Fifo | EntryKind::CharDevice | EntryKind::BlockDevice if owners => {}
                // Sockets, pipes and devices of a source tree are nobody's to copy.
                _ => continue,
            }
            if !name.is_empty() {
                members.insert(name, member);
            }
        }
        archive.drain()?;
        spool.flush()?;
        Ok(Self { owners, ..Self::complete(members) })
    }

    /// Reads a tree, without the names that `wanted` refuses.
    pub(crate) fn from_tree(files: &dyn Files, spool: File, wanted: &dyn Fn(&[u8]) -> bool) -> Result<Self> {
        let mut spool = Spool::new(spool);
        let mut members = BTreeMap::new();
        let mut open: Vec<Name> = vec![Name::new()];
        while let Some(directory) = open.pop() {
            let failed = || Error::io(format!("read {}", lossy(&directory)));
            for name in files.list(&directory).map_err(failed())? {
                let name = super::join(&directory, &name);
                let Some(mut facts) = files.facts(&name).map_err(failed())?.filter(|_| wanted(&name)) else {
                    continue;
                };
                let mut member = Member { facts: facts.clone(), content: None, digest: [0; 32] };
                match facts.kind {
                    EntryKind::Directory => open.push(name.clone()),
                    EntryKind::Symlink => {}
                    EntryKind::File => {
                        let (offset, mut hasher) = (spool.offset, Hasher::like(None));
                        let mut reader = files.open(&name).map_err(failed())?;
                        let mut piece = vec![0; 64 << 10];
                        loop {
                            let read = reader.read(&mut piece).map_err(failed())?;
                            if read == 0 {
                                break;
                            }
                            hasher.update(&piece[..read]);
                            spool.write(&piece[..read])?;
                        }
                        facts.size = spool.offset - offset;
                        let content = Content::Span { file: Arc::clone(&spool.file), offset };
                        member = Member { facts, content: Some(content), digest: raw(hasher) };
                    }
                    _ => continue,
                }
                members.insert(name, member);
            }
        }
        spool.flush()?;
        Ok(Self::complete(members))
    }

    /// The same with this mode for every file.
    pub(crate) fn with_mode(&self, mode: u32) -> Self {
        let mut members = (*self.members).clone();
        members.values_mut().for_each(|member| member.facts.mode = mode);
        Self { members: Arc::new(members), owners: self.owners }
    }

    /// A context of files in memory.
    pub fn of(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let members = files.into_iter().map(|(name, bytes)| {
            let facts = Facts { size: bytes.len() as u64, ..Facts::plain(EntryKind::File, 0o644) };
            let mut hasher = Hasher::like(None);
            hasher.update(&bytes);
            let member = Member { facts, content: Some(Content::Bytes(bytes.into())), digest: raw(hasher) };
            (clean(name.as_bytes()), member)
        });
        Self::complete(members.collect())
    }

    /// A context of entries whose contents somebody keeps: name, facts, contents and their SHA-256.
    pub fn from_entries(
        entries: impl IntoIterator<Item = (Name, Facts, Option<Content>, [u8; 32])>,
    ) -> Result<Self> {
        let mut members = BTreeMap::new();
        for (name, facts, content, digest) in entries {
            let name = checked(&name)?;
            if !name.is_empty() {
                members.insert(name, Member { facts, content, digest });
            }
        }
        Ok(Self::complete(members))
    }

    // Directories that no entry describes are there too.
    fn complete(mut members: BTreeMap<Name, Member>) -> Self {
        let mut missing = Vec::new();
        for name in members.keys() {
            let mut above = parent(name);
            while !above.is_empty()
                && !members.contains_key(above)
                && missing.last().is_none_or(|last| last != above)
            {
                missing.push(above.to_vec());
                above = parent(above);
            }
        }
        for name in missing {
            let member = Member { facts: Facts::directory(), content: None, digest: [0; 32] };
            members.entry(name).or_insert(member);
        }
        Self { members: Arc::new(members), owners: false }
    }

    /// The context without what `.dockerignore` leaves out.
    pub fn without(&self, ignore: &Ignore) -> Self {
        if ignore.is_empty() {
            return self.clone();
        }
        let kept = |name: &[u8]| !ignore.ignores(&String::from_utf8_lossy(name));
        let members: BTreeMap<Name, Member> = self
            .members
            .iter()
            .filter(|(name, member)| member.facts.is_directory() || kept(name))
            .map(|(name, member)| (name.clone(), member.clone()))
            .collect();
        // A directory that is left out stays while something in it does not.
        let needed = |name: &[u8]| {
            let below = [name, b"/"].concat();
            let next = members.range(below.clone()..).find(|(_, member)| !member.facts.is_directory());
            next.is_some_and(|(other, _)| other.starts_with(&below))
        };
        let names: Vec<Name> = members
            .iter()
            .filter(|(name, member)| !member.facts.is_directory() || kept(name) || needed(name))
            .map(|(name, _)| name.clone())
            .collect();
        let kept =
            names.into_iter().filter_map(|name| members.get(&name).map(|member| (name, member.clone())));
        Self { members: Arc::new(kept.collect()), owners: self.owners }
    }

    /// The part of it below a directory.
    pub fn below(&self, directory: &str) -> Result<Self> {
        let directory = clean(directory.as_bytes());
        if directory.is_empty() {
            return Ok(self.clone());
        }
        let prefix = [&directory[..], b"/"].concat();
        let members: BTreeMap<Name, Member> = self
            .members
            .range(prefix.clone()..)
            .take_while(|(name, _)| name.starts_with(&prefix))
            .map(|(name, member)| (name[prefix.len()..].to_vec(), member.clone()))
            .collect();
        let own = self.members.get(&directory);
        // A link is none, wherever it leads.
        if own.is_some_and(|member| !member.facts.is_directory()) || (own.is_none() && members.is_empty()) {
            return Err(Error::NotFound(format!("the context has no directory {}", lossy(&directory))));
        }
        Ok(Self { members: Arc::new(members), owners: self.owners })
    }

    /// A small file's text; `None` where there is no such file.
    pub fn text(&self, path: &str, limit: u64) -> Result<Option<String>> {
        let failed = |source| Error::Io { action: format!("read {path} in the context"), source };
        let Some(name) = super::resolve(self, path.as_bytes(), true).map_err(failed)? else {
            return Ok(None);
        };
        let Some(member) = self.members.get(&name) else { return Ok(None) };
        if member.facts.kind != EntryKind::File {
            return Ok(None);
        }
        if member.facts.size > limit {
            return Err(Error::Invalid(format!("{path} is larger than {limit} bytes")));
        }
        let mut bytes = Vec::new();
        self.open(&name).and_then(|mut reader| reader.read_to_end(&mut bytes)).map_err(failed)?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

impl Files for Context {
    fn facts(&self, name: &[u8]) -> io::Result<Option<Facts>> {
        if name.is_empty() {
            return Ok(Some(Facts::directory()));
        }
        Ok(self.members.get(name).map(|member| member.facts.clone()))
    }
    fn list(&self, directory: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let prefix = if directory.is_empty() { Vec::new() } else { [directory, b"/"].concat() };
        let below = self.members.range(prefix.clone()..).take_while(|(name, _)| name.starts_with(&prefix));
        Ok(below
            .map(|(name, _)| &name[prefix.len()..])
            .filter(|rest| !rest.contains(&b'/'))
            .map(<[u8]>::to_vec)
            .collect())
    }
    fn open(&self, name: &[u8]) -> io::Result<Box<dyn Read + Send>> {
        let member = self.members.get(name).ok_or(io::ErrorKind::NotFound)?;
        match &member.content {
            None => Ok(Box::new(io::empty())),
            Some(Content::Bytes(bytes)) => Ok(Box::new(Cursor::new(Arc::clone(bytes)))),
            Some(Content::Span { file, offset }) => {
                let span = Span { file: Arc::clone(file), offset: *offset, left: member.facts.size };
                Ok(Box::new(span))
            }
        }
    }
    fn keeps_owners(&self) -> bool {
        self.owners
    }
    fn digest(&self, name: &[u8]) -> io::Result<[u8; 32]> {
        Ok(self.members.get(name).map_or([0; 32], |member| member.digest))
    }
}

/// A part of a file.
struct Span {
    file: Arc<File>,
    offset: u64,
    left: u64,
}

impl Read for Span {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.read_at(&mut buffer[..most], self.offset)?;
        if read == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.offset += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

struct Spool {
    file: Arc<File>,
    buffer: Vec<u8>,
    offset: u64,
}

impl Spool {
    fn new(file: File) -> Self {
        Self { file: Arc::new(file), buffer: Vec::with_capacity(1 << 20), offset: 0 }
    }
    fn write(&mut self, piece: &[u8]) -> Result<()> {
        self.buffer.extend_from_slice(piece);
        self.offset += piece.len() as u64;
        if self.buffer.len() >= 1 << 20 { self.flush() } else { Ok(()) }
    }
    fn flush(&mut self) -> Result<()> {
        let written = (&*self.file).write_all(&self.buffer);
        self.buffer.clear();
        written.map_err(Error::io("keep the build context"))
    }
}

pub(crate) fn raw(hasher: Hasher) -> [u8; 32] {
    let digest = hasher.finish();
    let mut raw = [0; 32];
    for (byte, pair) in raw.iter_mut().zip(digest.hex().as_bytes().chunks(2)) {
        *byte = std::str::from_utf8(pair).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok()).unwrap_or(0);
    }
    raw
}

/// The name below the root; one that leads outside is refused.
fn checked(name: &[u8]) -> Result<Name> {
    let mut depth = 0i32;
    for part in parts(name) {
        depth += if part == b".." { -1 } else { 1 };
        if depth < 0 {
            return Err(Error::Invalid(format!("the context's {} leads outside of it", lossy(name))));
        }
    }
    Ok(clean(name))
}

fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}
