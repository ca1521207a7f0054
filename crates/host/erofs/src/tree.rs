//! The tree that a tar describes, as unpacking it would make it.

use crate::attributes::{Attributes, SetId};
use crate::format;
use hull_archive::{Archive, Entry, EntryKind, Error, Mark, Result, Time, clean_name, layer_mark};
use rustix::io::Errno;
use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Where a node is in [`Builder::nodes`].
pub(crate) type NodeId = u32;
pub(crate) type Names = BTreeMap<Box<[u8]>, NodeId>;
pub(crate) const ROOT: NodeId = 0;

// As many links as the kernel follows in one path.
const MAX_LINKS: u32 = 40;
const OPAQUE: (&[u8], &[u8]) = (b"trusted.overlay.opaque", b"y");

/// Bounds of what is held while a tar is read.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The most files, directories and so on.
    pub max_entries: u64,
    /// The most bytes of names, links and attributes.
    pub max_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_entries: 4_000_000, max_bytes: 512 << 20 }
    }
}

/// Where a file's contents begin, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// In the tar.
    Tar(u64),
    /// In the image, where [`Builder::expand`] put them.
    Image(u64),
}

#[derive(Debug)]
pub(crate) enum Content {
    Directory(Names),
    /// Where it is, and how long.
    File {
        place: Contents,
        size: u64,
    },
    Symlink(Box<[u8]>),
    /// A device's number.
    Device(u32),
    Pipe,
}

#[derive(Debug)]
pub(crate) struct Node {
    /// With the type.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: Time,
    pub attributes: SetId,
    /// How many names it has.
    pub names: u32,
    /// Of a directory: no entry describes it.
    pub implied: bool,
    /// Of a directory: it hides what is beneath.
    pub opaque: bool,
    pub content: Content,
}

impl Node {
    fn implied() -> Self {
        Self {
            mode: 0o040_755,
            uid: 0,
            gid: 0,
            mtime: Time::default(),
            attributes: 0,
            names: 1,
            implied: true,
            opaque: false,
            content: Content::Directory(Names::new()),
        }
    }

    fn whiteout() -> Self {
        Self { mode: 0o020_000, implied: false, content: Content::Device(0), ..Self::implied() }
    }

    fn is_whiteout(&self) -> bool {
        self.mode & 0o170_000 == 0o020_000 && matches!(self.content, Content::Device(0))
    }

    pub fn is_directory(&self) -> bool {
        matches!(self.content, Content::Directory(_))
    }

    // As Docker counts it.
    fn size(&self) -> u64 {
        match &self.content {
            Content::File { size, .. } => *size,
            Content::Symlink(target) => target.len() as u64,
            _ => 0,
        }
    }
}

/// Takes a tar's entries in, then writes the image.
#[derive(Debug)]
pub struct Builder {
    pub(crate) nodes: Vec<Node>,
    pub(crate) attributes: Attributes,
    /// Sizes of files and links.
    pub(crate) size: u64,
    pub(crate) entries: u64,
    /// The time of the first entry, which directories have that none describes: as `hull_archive::apply` has it.
    first: Option<Time>,
    limits: Limits,
    held: usize,
    /// Where what was expanded into the image ends.
    pub(crate) expanded: u64,
    // The directory that was asked for last: a tar tells a directory's files one after the other.
    last: Option<(Vec<u8>, NodeId)>,
    covered: HashMap<PathBuf, (u32, u32, u32, SetId)>,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Builder {
    /// An empty tree.
    pub fn new(limits: Limits) -> Self {
        Self {
            nodes: vec![Node::implied()],
            attributes: Attributes::default(),
            size: 0,
            entries: 0,
            first: None,
            limits,
            held: 0,
            expanded: format::INODES,
            last: None,
            covered: HashMap::new(),
        }
    }

    /// Tells what the directory `path` has in the layers beneath: permission bits, owner, group and attributes, which
    /// it gets if no entry describes it.
    pub fn cover(&mut self, path: &Path, mode: u32, owner: (u32, u32), attributes: &[(Vec<u8>, Vec<u8>)]) {
        let set = self.attributes.set(attributes.iter().map(|(name, value)| (&name[..], &value[..])));
        self.covered.insert(path.to_owned(), (mode & 0o7777, owner.0, owner.1, set));
    }

    /// Copies a sparse member's contents into the image, where it says.
    pub fn expand<R: Read>(
        &mut self,
        entry: &Entry,
        archive: &mut Archive<R>,
        image: &mut (impl Write + Seek),
    ) -> Result<u64> {
        let place = self.expanded;
        let end = place.checked_add(entry.size).map(|end| end.next_multiple_of(format::BLOCK));
        // What comes behind has to have an address too.
        let end = end.filter(|end| end >> format::BLOCK_BITS < 1 << 31);
        self.expanded = end.ok_or_else(|| unsupported(entry, "the layer's sparse files are too large"))?;
        image.seek(SeekFrom::Start(place)).map_err(Error::Write)?;
        archive.write_contents(image)?;
        Ok(place)
    }

    /// Takes an entry in.
    pub fn add(&mut self, entry: &Entry, place: Contents) -> Result<()> {
        self.entries += 1;
        self.first.get_or_insert(entry.mtime);
        let path = clean_name(&entry.name)?;
        match layer_mark(&path)? {
            Mark::None => self.member(entry, &path, place),
            Mark::Removed(path) => self.whiteout(&path),
            Mark::Opaque(path) => {
                let directory = self.enter(&path)?;
                self.nodes[directory as usize].opaque = true;
                Ok(())
            }
            Mark::Bookkeeping => Ok(()),
        }
    }

    fn member(&mut self, entry: &Entry, path: &[u8], place: Contents) -> Result<()> {
        if path.is_empty() {
            if !entry.kind.is_directory() {
                return Err(unsupported(entry, "the root can only be a directory"));
            }
            self.describe(ROOT, entry);
            return Ok(());
        }
        let (parent, name) = split(path);
        let parent = self.enter(parent)?;
        if name.len() > 255 {
            return Err(failed("open", path, Errno::NAMETOOLONG));
        }
        let node = match entry.kind {
            EntryKind::HardLink => return self.hard_link(entry, path, parent, name),
            EntryKind::Directory => return self.directory(entry, parent, name),
            EntryKind::File => {
                let (Contents::Tar(offset) | Contents::Image(offset)) = place;
                if !offset.is_multiple_of(format::BLOCK)
                    || (offset + entry.size) >> format::BLOCK_BITS >= 1 << 32
                {
                    return Err(unsupported(entry, "its contents are too far into the archive"));
                }
                self.node(entry, 0o100_000, Content::File { place, size: entry.size })
            }
            EntryKind::Symlink => {
                let wrong = match entry.link.len() {
                    0 => Some(Errno::NOENT),
                    4096.. => Some(Errno::NAMETOOLONG),
                    _ => None,
                };
                if let Some(errno) = wrong {
                    return Err(failed("symlink", path, errno));
                }
                self.held += entry.link.len();
                let node = self.node(entry, 0o120_000, Content::Symlink(entry.link.as_slice().into()));
                Node { mode: 0o120_777, ..node }
            }
            EntryKind::Fifo => self.node(entry, 0o010_000, Content::Pipe),
            EntryKind::CharDevice => self.device(entry, 0o020_000),
            EntryKind::BlockDevice => self.device(entry, 0o060_000),
            EntryKind::Other(flag) => {
                return Err(unsupported(entry, &format!("unhandled tar header type {flag}")));
            }
        };
        self.size += node.size();
        let node = self.push(node)?;
        self.put(parent, name, node);
        Ok(())
    }

    fn node(&mut self, entry: &Entry, kind: u32, content: Content) -> Node {
        let mut node = Node { content, implied: false, names: 0, ..Node::implied() };
        self.fill(&mut node, entry);
        node.mode = kind | entry.mode;
        node
    }

    fn device(&mut self, entry: &Entry, kind: u32) -> Node {
        let number = format::device_number(entry.device.0 & 0xfff, entry.device.1 & 0xf_ffff);
        self.node(entry, kind, Content::Device(number))
    }

    fn fill(&mut self, node: &mut Node, entry: &Entry) {
        // Overlayfs obeys these: no image may say where its lower files are.
        let kept = entry.xattrs.iter().filter(|(name, _)| {
            !name.starts_with(b"trusted.overlay.") && !name.starts_with(b"user.overlay.")
        });
        node.attributes = self.attributes.set(kept.map(|(name, value)| (&name[..], &value[..])));
        (node.uid, node.gid, node.mtime) = (entry.uid, entry.gid, entry.mtime);
    }

    // Gives a directory what its entry says.
    fn describe(&mut self, id: NodeId, entry: &Entry) {
        let mut node = std::mem::replace(&mut self.nodes[id as usize], Node::implied());
        self.fill(&mut node, entry);
        (node.mode, node.implied) = (0o040_000 | entry.mode, false);
        self.nodes[id as usize] = node;
    }

    fn directory(&mut self, entry: &Entry, parent: NodeId, name: &[u8]) -> Result<()> {
        let id = match self.child(parent, name) {
            Some(id) if self.nodes[id as usize].is_directory() => id,
            _ => self.make_directory(parent, name)?,
        };
        self.describe(id, entry);
        Ok(())
    }

    // What the layer itself removed is hidden by the directory that it now puts there.
    fn make_directory(&mut self, parent: NodeId, name: &[u8]) -> Result<NodeId> {
        let replaced = self.child(parent, name);
        let opaque = replaced.is_some_and(|id| self.nodes[id as usize].is_whiteout());
        let id = self.push(Node { opaque, names: 0, ..Node::implied() })?;
        self.put(parent, name, id);
        Ok(id)
    }

    // The member's own attributes are not set: the file has those of its first name.
    fn hard_link(&mut self, entry: &Entry, path: &[u8], parent: NodeId, name: &[u8]) -> Result<()> {
        let target = clean_name(&entry.link)?;
        let missing = || Error::LinkTarget {
            name: String::from_utf8_lossy(&entry.name).into_owned(),
            target: String::from_utf8_lossy(&entry.link).into_owned(),
        };
        let (above, last) = split(&target);
        let above = self.walk(above, false)?.ok_or_else(missing)?;
        let id = self.child(above, last).filter(|_| !target.is_empty()).ok_or_else(missing)?;
        if self.nodes[id as usize].is_directory() {
            return Err(failed("link", path, Errno::PERM));
        }
        if (above, last) == (parent, name) {
            return Err(missing());
        }
        self.put(parent, name, id);
        Ok(())
    }

    fn whiteout(&mut self, path: &[u8]) -> Result<()> {
        let (parent, name) = split(path);
        let parent = self.enter(parent)?;
        match self.child(parent, name) {
            // What the layer itself has of that name stays, and only hides what is beneath it.
            Some(id) => self.nodes[id as usize].opaque = true,
            None => {
                let id = self.push(Node { names: 0, ..Node::whiteout() })?;
                self.put(parent, name, id);
            }
        }
        Ok(())
    }

    pub(crate) fn names(&self, directory: NodeId) -> Option<&Names> {
        match &self.nodes[directory as usize].content {
            Content::Directory(names) => Some(names),
            _ => None,
        }
    }

    fn child(&self, directory: NodeId, name: &[u8]) -> Option<NodeId> {
        self.names(directory)?.get(name).copied()
    }

    fn push(&mut self, node: Node) -> Result<NodeId> {
        if self.nodes.len() as u64 >= self.limits.max_entries {
            return Err(Error::TooMuch { what: "entries", allowed: self.limits.max_entries });
        }
        if self.held + self.attributes.held > self.limits.max_bytes {
            return Err(Error::TooMuch { what: "bytes of names", allowed: self.limits.max_bytes as u64 });
        }
        self.nodes.push(node);
        Ok((self.nodes.len() - 1) as NodeId)
    }

    // Gives a node a name, in place of who had it.
    fn put(&mut self, directory: NodeId, name: &[u8], id: NodeId) {
        self.nodes[id as usize].names += 1;
        let Content::Directory(names) = &mut self.nodes[directory as usize].content else { return };
        let before = match names.get_mut(name) {
            Some(place) => Some(std::mem::replace(place, id)),
            None => {
                self.held += name.len();
                names.insert(name.into(), id);
                None
            }
        };
        let mut gone: Vec<NodeId> = before.into_iter().collect();
        while let Some(id) = gone.pop() {
            let node = &mut self.nodes[id as usize];
            node.names -= 1;
            if node.names == 0 {
                self.size -= node.size();
                if let Content::Directory(names) = &mut node.content {
                    gone.extend(std::mem::take(names).into_values());
                    self.last = None;
                }
            }
        }
    }

    // The directory of that path, with what is missing of it.
    fn enter(&mut self, path: &[u8]) -> Result<NodeId> {
        if let Some((last, id)) = &self.last
            && last == path
        {
            return Ok(*id);
        }
        let id = self.walk(path, true)?.unwrap_or(ROOT);
        self.last = Some((path.to_vec(), id));
        Ok(id)
    }

    // Links on the way are followed inside the tree. None when something is missing and nothing is to be made.
    fn walk(&mut self, path: &[u8], make: bool) -> Result<Option<NodeId>> {
        let mut todo: Vec<Box<[u8]>> = Vec::new();
        push_components(&mut todo, path);
        let mut stack = vec![ROOT];
        let mut links = 0;
        while let Some(name) = todo.pop() {
            let here = stack.last().copied().unwrap_or(ROOT);
            if &*name == b".." {
                stack.truncate(stack.len().max(2) - 1);
                continue;
            }
            let found = self.child(here, &name).map(|id| (id, &self.nodes[id as usize]));
            match found {
                Some((id, node)) if node.is_directory() => stack.push(id),
                Some((_, Node { content: Content::Symlink(target), .. })) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(failed("open", path, Errno::LOOP));
                    }
                    if target.first() == Some(&b'/') {
                        stack.truncate(1);
                    }
                    push_components(&mut todo, target);
                }
                Some((_, node)) if !(make && node.is_whiteout()) => {
                    return if make { Err(failed("open", path, Errno::NOTDIR)) } else { Ok(None) };
                }
                None if !make => return Ok(None),
                _ if name.len() > 255 => return Err(failed("mkdir", path, Errno::NAMETOOLONG)),
                _ => stack.push(self.make_directory(here, &name)?),
            }
        }
        Ok(stack.pop())
    }

    /// Settles what is known only at the end: attributes of covered and opaque directories. Gives the paths of the
    /// directories that no entry describes.
    pub(crate) fn settle(&mut self) -> Vec<PathBuf> {
        use std::os::unix::ffi::OsStringExt;
        let mut implied = Vec::new();
        let mut todo = vec![(ROOT, Vec::new())];
        while let Some((id, path)) = todo.pop() {
            let directories = self.names(id).into_iter().flatten();
            for (name, child) in directories.filter(|(_, child)| self.nodes[**child as usize].is_directory())
            {
                let path = if path.is_empty() { name.to_vec() } else { [&path[..], b"/", name].concat() };
                todo.push((*child, path));
            }
            let path = PathBuf::from(std::ffi::OsString::from_vec(path));
            let node = &mut self.nodes[id as usize];
            if node.implied {
                if let Some((mode, uid, gid, set)) = self.covered.get(&path) {
                    (node.mode, node.uid, node.gid, node.attributes) = (0o040_000 | mode, *uid, *gid, *set);
                }
                node.mtime = self.first.unwrap_or_default();
                implied.push(path);
            }
            if node.opaque {
                node.attributes = self.attributes.with(node.attributes, OPAQUE);
            }
        }
        implied.sort();
        implied
    }
}

// Last component on top.
fn push_components(todo: &mut Vec<Box<[u8]>>, path: &[u8]) {
    let components = path.split(|byte| *byte == b'/').rev();
    todo.extend(components.filter(|part| !part.is_empty() && *part != b".").map(Box::from));
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

fn failed(act: &'static str, path: &[u8], source: Errno) -> Error {
    Error::Path { act, path: format!("/{}", String::from_utf8_lossy(path)), source }
}

fn unsupported(entry: &Entry, reason: &str) -> Error {
    Error::Unsupported { name: String::from_utf8_lossy(&entry.name).into_owned(), reason: reason.into() }
}
