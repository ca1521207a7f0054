//! A disk that forgets what was not synced.
//!
//! As strict as POSIX lets a disk be: a file's contents are there after an `fsync` of the file, a name is there (or
//! gone) after an `fsync` of its directory, `syncfs` makes everything so. What is between may be either way.

use super::trace::Call;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

pub type Number = usize;

/// Before the number of a descriptor: what is open there.
const OPEN: &str = "/proc/self/fd/";

#[derive(Clone, Debug)]
pub enum Node {
    File { data: Vec<u8>, synced: Vec<u8> },
    Directory { names: BTreeMap<String, Number>, synced: BTreeMap<String, Number> },
    Link(String),
    Special,
}

struct Open {
    node: Number,
    offset: u64,
    append: bool,
}

pub struct Disk {
    root: PathBuf,
    pub nodes: Vec<Node>,
    open: HashMap<i64, Option<Open>>,
}

/// What becomes of what was not synced.
#[derive(Debug, Clone, Copy)]
pub enum Unsynced {
    Kept,
    Dropped,
    /// Each file and directory for itself, by this number.
    Mixed(u64),
}

fn directory() -> Node {
    Node::Directory { names: BTreeMap::new(), synced: BTreeMap::new() }
}

impl Disk {
    pub fn new(root: &Path) -> Self {
        Self { root: root.into(), nodes: vec![directory()], open: HashMap::new() }
    }

    /// Takes a call in; whether it changed something that matters.
    pub fn apply(&mut self, call: &Call) -> bool {
        match call.name.as_str() {
            "open" => self.opened(self.at(None, &call.text(0)), call, 1),
            "openat" if call.text(1).starts_with(OPEN) => {
                let node = call.text(1)[OPEN.len()..].parse().ok().and_then(|of| self.node_of(of));
                let open = node.map(|node| Open { node, offset: 0, append: false });
                self.open.insert(call.result, open);
                false
            }
            "openat" => self.opened(self.below(call.number(0), &call.text(1)), call, 2),
            "openat2" => self.opened(self.below(call.number(0), &call.text(1)), call, 2),
            "creat" => panic!("creat is not known here"),
            "close" => {
                self.open.remove(&call.number(0));
                false
            }
            "dup" | "dup2" | "dup3" => {
                panic!("{call:?}: descriptors with a common offset are not known here")
            }
            "fcntl" if call.has(1, "F_DUPFD_CLOEXEC") || call.has(1, "F_DUPFD") => {
                let copy = self.open.get(&call.number(0)).and_then(Option::as_ref);
                let copy =
                    copy.map(|open| Open { node: open.node, offset: open.offset, append: open.append });
                self.open.insert(call.result, copy);
                false
            }
            "write" => self.written(call, None),
            "pwrite64" => self.written(call, Some(call.number(3) as u64)),
            "writev" | "pwritev" | "copy_file_range" | "sendfile" | "splice" => {
                let to = if call.name == "sendfile" || call.name.contains("write") { 0 } else { 2 };
                assert!(
                    self.node_of(call.number(to)).is_none(),
                    "{} into the store is not known here",
                    call.name
                );
                false
            }
            "lseek" => {
                if let Some(Some(open)) = self.open.get_mut(&call.number(0)) {
                    open.offset = call.result as u64;
                }
                false
            }
            "ftruncate" => self.truncated(call),
            "fallocate" => self.node_of(call.number(0)).is_some(),
            "fsync" | "fdatasync" => self.synced(call.number(0)),
            "syncfs" => self.all_synced(),
            "sync_file_range" | "fadvise64" => false,
            "mkdir" => self.made(self.at(None, &call.text(0)), directory()),
            "mkdirat" => self.made(self.below(call.number(0), &call.text(1)), directory()),
            "mknodat" => self.made(self.below(call.number(0), &call.text(1)), Node::Special),
            "symlink" => self.made(self.at(None, &call.text(1)), Node::Link(call.text(0))),
            "symlinkat" => self.made(self.below(call.number(1), &call.text(2)), Node::Link(call.text(0))),
            "unlink" | "rmdir" => self.removed(self.at(None, &call.text(0))),
            "unlinkat" => self.removed(self.below(call.number(0), &call.text(1))),
            "rename" => self.renamed(self.at(None, &call.text(0)), self.at(None, &call.text(1))),
            "renameat" | "renameat2" => self.renamed(
                self.below(call.number(0), &call.text(1)),
                self.below(call.number(2), &call.text(3)),
            ),
            "linkat" => self.linked(call),
            _ => false,
        }
    }

    fn node_of(&self, descriptor: i64) -> Option<Number> {
        self.open.get(&descriptor)?.as_ref().map(|open| open.node)
    }

    // The directory and last name of a path; None outside of the store.
    fn below(&self, descriptor: i64, path: &str) -> Option<(Number, String)> {
        if path.starts_with('/') || descriptor == -100 {
            return self.at(None, path);
        }
        self.at(Some(self.node_of(descriptor)?), path)
    }
    fn at(&self, from: Option<Number>, path: &str) -> Option<(Number, String)> {
        let relative = match from {
            Some(_) => path,
            None => {
                let path = path.strip_prefix(OPEN).map_or(Some(path), |_| None)?;
                Path::new(path).strip_prefix(&self.root).ok()?.to_str()?
            }
        };
        let mut parts: Vec<&str> =
            relative.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        let last = parts.pop().unwrap_or("").to_owned();
        let mut at = from.unwrap_or(0);
        for part in parts {
            at = *self.names(at).get(part)?;
        }
        matches!(self.nodes[at], Node::Directory { .. }).then_some((at, last))
    }
    fn names(&self, node: Number) -> &BTreeMap<String, Number> {
        match &self.nodes[node] {
            Node::Directory { names, .. } => names,
            other => panic!("{other:?} is no directory"),
        }
    }
    fn names_mut(&mut self, node: Number) -> &mut BTreeMap<String, Number> {
        match &mut self.nodes[node] {
            Node::Directory { names, .. } => names,
            other => panic!("{other:?} is no directory"),
        }
    }
    fn find(&self, place: &(Number, String)) -> Option<Number> {
        match place.1.as_str() {
            "" => Some(place.0),
            name => self.names(place.0).get(name).copied(),
        }
    }

    fn opened(&mut self, place: Option<(Number, String)>, call: &Call, flags: usize) -> bool {
        let Some(place) = place else {
            self.open.insert(call.result, None);
            return false;
        };
        let all = &call.arguments[flags];
        let has = |flag: &str| all.contains(flag);
        assert!(!has("O_TMPFILE"), "files without name are not known here");
        let mut changed = false;
        let node = match self.find(&place) {
            Some(node) => node,
            None if has("O_CREAT") => {
                changed = true;
                self.nodes.push(Node::File { data: Vec::new(), synced: Vec::new() });
                let node = self.nodes.len() - 1;
                self.names_mut(place.0).insert(place.1, node);
                node
            }
            None => {
                self.open.insert(call.result, None);
                return false;
            }
        };
        if let (true, Node::File { data, .. }) = (has("O_TRUNC"), &mut self.nodes[node]) {
            changed = true;
            data.clear();
        }
        self.open.insert(call.result, Some(Open { node, offset: 0, append: has("O_APPEND") }));
        changed
    }

    fn written(&mut self, call: &Call, at: Option<u64>) -> bool {
        let Some(Some(open)) = self.open.get_mut(&call.number(0)) else { return false };
        let Node::File { data, .. } = &mut self.nodes[open.node] else { return false };
        let mut bytes = call.bytes(1);
        bytes.truncate(call.result as usize);
        let from = match at {
            Some(at) => at as usize,
            None if open.append => data.len(),
            None => open.offset as usize,
        };
        if at.is_none() {
            open.offset = (from + bytes.len()) as u64;
        }
        if data.len() < from + bytes.len() {
            data.resize(from + bytes.len(), 0);
        }
        data[from..from + bytes.len()].copy_from_slice(&bytes);
        true
    }

    fn truncated(&mut self, call: &Call) -> bool {
        let Some(node) = self.node_of(call.number(0)) else { return false };
        if let Node::File { data, .. } = &mut self.nodes[node] {
            data.resize(call.number(1) as usize, 0);
        }
        true
    }

    fn synced(&mut self, descriptor: i64) -> bool {
        let Some(node) = self.node_of(descriptor) else { return false };
        sync(&mut self.nodes[node]);
        true
    }
    fn all_synced(&mut self) -> bool {
        self.nodes.iter_mut().for_each(sync);
        true
    }

    fn made(&mut self, place: Option<(Number, String)>, node: Node) -> bool {
        let Some(place) = place else { return false };
        self.nodes.push(node);
        let number = self.nodes.len() - 1;
        self.names_mut(place.0).insert(place.1, number);
        true
    }
    fn removed(&mut self, place: Option<(Number, String)>) -> bool {
        let Some(place) = place else { return false };
        self.names_mut(place.0).remove(&place.1).is_some()
    }
    fn renamed(&mut self, from: Option<(Number, String)>, to: Option<(Number, String)>) -> bool {
        let (Some(from), Some(to)) = (from, to) else { return false };
        let Some(node) = self.names_mut(from.0).remove(&from.1) else { return false };
        self.names_mut(to.0).insert(to.1, node);
        true
    }
    fn linked(&mut self, call: &Call) -> bool {
        let path = call.text(1);
        let from = match path.strip_prefix(OPEN) {
            Some(descriptor) => self.node_of(descriptor.parse().expect("a descriptor")),
            None => self.below(call.number(0), &path).and_then(|place| self.find(&place)),
        };
        let (Some(node), Some(to)) = (from, self.below(call.number(2), &call.text(3))) else { return false };
        self.names_mut(to.0).insert(to.1, node);
        true
    }

    /// Writes what is left after a crash now into an empty directory.
    pub fn crash(&self, unsynced: Unsynced, to: &Path) {
        let mut made = HashMap::new();
        self.put(0, unsynced, to, &mut made, &mut HashSet::new());
    }

    fn keeps(unsynced: Unsynced, node: Number) -> bool {
        match unsynced {
            Unsynced::Kept => true,
            Unsynced::Dropped => false,
            Unsynced::Mixed(seed) => {
                let mut x = seed ^ (node as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                (x >> 40) & 1 == 0
            }
        }
    }

    fn put(
        &self,
        node: Number,
        unsynced: Unsynced,
        to: &Path,
        made: &mut HashMap<Number, PathBuf>,
        above: &mut HashSet<Number>,
    ) {
        // A directory that was moved may be in both its places: once is enough, and never inside itself.
        let keep = Self::keeps(unsynced, node);
        match &self.nodes[node] {
            Node::File { data, synced } => {
                if let Some(first) = made.get(&node) {
                    std::fs::hard_link(first, to).unwrap();
                    return;
                }
                made.insert(node, to.into());
                // What SQLite keeps in shared memory is no file's contents: it makes it anew.
                if to.to_str().is_some_and(|path| path.ends_with("-shm")) {
                    return;
                }
                let mut file =
                    std::fs::File::options().write(true).create_new(true).mode(0o600).open(to).unwrap();
                std::io::Write::write_all(&mut file, if keep { data } else { synced }).unwrap();
            }
            Node::Directory { names, synced } => {
                if !above.insert(node) {
                    return;
                }
                if !to.exists() {
                    std::fs::DirBuilder::new().mode(0o700).create(to).unwrap();
                }
                for (name, below) in if keep { names } else { synced } {
                    self.put(*below, unsynced, &to.join(name), made, above);
                }
            }
            Node::Link(target) => std::os::unix::fs::symlink(target, to).unwrap(),
            Node::Special => drop(std::fs::File::create(to).unwrap()),
        }
    }
}

fn sync(node: &mut Node) {
    match node {
        Node::File { data, synced } => synced.clone_from(data),
        Node::Directory { names, synced } => synced.clone_from(names),
        _ => {}
    }
}
