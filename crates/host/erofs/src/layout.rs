//! Where everything goes: sizes and places of inodes and blocks, before anything is written.

use crate::attributes::Shared;
use crate::format::{self, BLOCK, DIRENT, DataLayout, INODES, SLOT};
use crate::tree::{Builder, Content, Node, NodeId, ROOT};
use hull_archive::Time;
use std::collections::HashMap;

/// An inode's place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub node: NodeId,
    /// The directory that it was found in, of which `..` of a directory tells.
    pub parent: NodeId,
    pub extended: bool,
    pub layout: DataLayout,
    /// The first whole block, counted from the first of all.
    pub block: u32,
    /// Bytes of what it holds, of directories and links.
    pub size: u64,
    pub links: u32,
}

/// The plan of an image.
#[derive(Debug)]
pub(crate) struct Plan {
    pub places: Vec<Place>,
    /// By node, 0 for those that no name leads to.
    pub nids: Vec<u32>,
    /// Where the inodes end.
    pub inodes_end: u64,
    /// How many whole blocks there are.
    pub blocks: u32,
    pub time: Time,
}

/// The names in a directory in the order in which they are written, with `.` and `..`.
pub(crate) fn listing(builder: &Builder, directory: NodeId, parent: NodeId) -> Vec<Listed<'_>> {
    let names = builder.names(directory).into_iter().flatten();
    let mut all: Vec<(&[u8], NodeId)> = vec![(b".", directory), (b"..", parent)];
    all.extend(names.map(|(name, id)| (&**name, *id)));
    all.sort_unstable();
    all
}

/// A name and its node.
pub(crate) type Listed<'a> = (&'a [u8], NodeId);

/// Cuts a listing into what goes into one block each, with the bytes used.
pub(crate) fn blocks<'a, 'b>(list: &'a [Listed<'b>]) -> Vec<(&'a [Listed<'b>], usize)> {
    let mut blocks = Vec::new();
    let (mut start, mut used) = (0, 0);
    for (index, (name, _)) in list.iter().enumerate() {
        let more = DIRENT + name.len();
        if used + more > BLOCK as usize {
            blocks.push((&list[start..index], used));
            (start, used) = (index, 0);
        }
        used += more;
    }
    blocks.push((&list[start..], used));
    blocks
}

/// Plans the image of a settled tree.
pub(crate) fn plan(builder: &Builder, shared: &Shared, time: Time) -> Plan {
    let mut planner = Planner {
        builder,
        shared,
        plan: Plan {
            places: Vec::new(),
            nids: vec![0; builder.nodes.len()],
            inodes_end: INODES,
            blocks: 0,
            time,
        },
        scratch: Vec::new(),
    };
    planner.place(ROOT, ROOT);
    // A directory's inodes stand together; then come those of the directories in it.
    let mut todo = vec![ROOT];
    while let Some(directory) = todo.pop() {
        let Some(names) = builder.names(directory) else { continue };
        for id in names.values().filter(|id| builder.nodes[**id as usize].names > 0) {
            if planner.plan.nids[*id as usize] == 0 {
                planner.place(*id, directory);
            }
        }
        let below = names.values().rev().filter(|id| builder.nodes[**id as usize].is_directory());
        todo.extend(below);
    }
    planner.plan
}

struct Planner<'a> {
    builder: &'a Builder,
    shared: &'a Shared,
    plan: Plan,
    scratch: Vec<u8>,
}

impl Planner<'_> {
    fn place(&mut self, id: NodeId, parent: NodeId) {
        let node = &self.builder.nodes[id as usize];
        let (size, links) = self.extent(node, id, parent);
        let extended = is_extended(node, size, links, self.plan.time);
        self.scratch.clear();
        self.builder.attributes.append(node.attributes, self.shared, &mut self.scratch);
        let inode = if extended { format::EXTENDED } else { format::COMPACT };
        let head = (inode + self.scratch.len()) as u64;
        let mut start = self.plan.inodes_end.next_multiple_of(SLOT);
        let (layout, end) = match &node.content {
            Content::File { size: 0, .. } | Content::Device(_) | Content::Pipe => {
                (DataLayout::FlatPlain, start + head)
            }
            Content::File { size, .. } => {
                let indexes = format::chunks(*size).1 * format::CHUNK_INDEX;
                (DataLayout::ChunkBased, (start + head).next_multiple_of(format::CHUNK_INDEX) + indexes)
            }
            // A link that is longer than a block is not cut.
            Content::Symlink(_) if size >= BLOCK => (DataLayout::FlatPlain, start + head),
            Content::Symlink(_) | Content::Directory(_) => match inline(start, head, size % BLOCK) {
                Some(place) => {
                    start = place;
                    (DataLayout::FlatInline, start + head + size % BLOCK)
                }
                None => (DataLayout::FlatPlain, start + head),
            },
        };
        let block = self.plan.blocks;
        self.plan.blocks += match (&node.content, layout) {
            (Content::File { .. } | Content::Device(_) | Content::Pipe, _) => 0,
            (_, DataLayout::FlatInline) => (size / BLOCK) as u32,
            _ => size.div_ceil(BLOCK) as u32,
        };
        self.plan.inodes_end = end;
        self.plan.nids[id as usize] = (start / SLOT) as u32;
        self.plan.places.push(Place { node: id, parent, extended, layout, block, size, links });
    }

    // What an inode says of its size and names.
    fn extent(&self, node: &Node, id: NodeId, parent: NodeId) -> (u64, u32) {
        match &node.content {
            Content::Directory(names) => {
                let list = listing(self.builder, id, parent);
                let blocks = blocks(&list);
                let tail = blocks.last().map_or(0, |(_, used)| *used) as u64;
                let below = names.values().filter(|id| self.builder.nodes[**id as usize].is_directory());
                ((blocks.len() as u64 - 1) * BLOCK + tail, 2 + below.count() as u32)
            }
            Content::File { size, .. } => (*size, node.names),
            Content::Symlink(target) => (target.len() as u64, node.names),
            Content::Device(_) | Content::Pipe => (0, node.names),
        }
    }
}

// Where an inode begins so that `tail` bytes behind its head stand in one block.
fn inline(from: u64, head: u64, tail: u64) -> Option<u64> {
    if tail == 0 {
        return None;
    }
    let fits = |start: &u64| (start + head) % BLOCK + tail <= BLOCK;
    (from..from + BLOCK).step_by(SLOT as usize).find(fits)
}

fn is_extended(node: &Node, size: u64, links: u32, time: Time) -> bool {
    node.mtime != time
        || node.uid > u32::from(u16::MAX)
        || node.gid > u32::from(u16::MAX)
        || links > u32::from(u16::MAX)
        || size > u64::from(u32::MAX)
}

/// The time that most nodes have, of several the earliest.
pub(crate) fn common_time(builder: &Builder) -> Time {
    let mut counts: HashMap<(i64, u32), u32> = HashMap::new();
    for node in builder.nodes.iter().filter(|node| node.names > 0 && !node.implied) {
        *counts.entry((node.mtime.seconds, node.mtime.nanoseconds)).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(time, count)| (*count, std::cmp::Reverse(*time)));
    most.map_or(Time::default(), |((seconds, nanoseconds), _)| Time { seconds, nanoseconds })
}
