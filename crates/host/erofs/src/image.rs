//! Writing a planned image.

use crate::attributes::Shared;
use crate::format::{self, BLOCK, DIRENT, DataLayout, Inode, SUPERBLOCK, Superblock};
use crate::layout::{self, Place, Plan};
use crate::tree::{Builder, Content, Contents, NodeId, ROOT};
use hull_archive::{Error, Result};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::PathBuf;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The contents' size as Docker counts it: files and the texts of symbolic links, hard links once.
    pub size: u64,
    /// How many entries the tar had.
    pub entries: u64,
    /// Directories that no entry describes; relative, the root itself is the empty path. They have 0755 of root, or
    /// what [`Builder::cover`] told.
    pub implied: Vec<PathBuf>,
}

impl Builder {
    /// Writes the image of what was taken in, from a tar of `length` bytes.
    pub fn write(mut self, length: u64, to: &mut (impl Write + Seek)) -> Result<Summary> {
        let time = layout::common_time(&self);
        let implied = self.settle();
        for node in self.nodes.iter().filter(|node| node.names > 0) {
            self.attributes.used(node.attributes);
        }
        let shared = self.attributes.share();
        let plan = layout::plan(&self, &shared, time);
        Image { builder: &self, shared, plan, out: Sink::new(to) }.write(length).map_err(Error::Write)?;
        Ok(Summary { size: self.size, entries: self.entries, implied })
    }
}

struct Image<'a, W: Write> {
    builder: &'a Builder,
    shared: Shared,
    plan: Plan,
    out: Sink<'a, W>,
}

impl<W: Write + Seek> Image<'_, W> {
    fn write(mut self, length: u64) -> io::Result<()> {
        let attributes = self.plan.inodes_end.next_multiple_of(BLOCK);
        let blocks = (attributes + self.shared.area.len() as u64).next_multiple_of(BLOCK);
        let end = blocks / BLOCK + u64::from(self.plan.blocks);
        let too_large = || io::Error::other("the image has more than 2^32 blocks");
        // The plan begins at the image's start, or behind what was expanded.
        let base = if self.builder.expanded == format::INODES { 0 } else { self.builder.expanded / BLOCK };
        let address = |block: u64| u32::try_from(base + block).map_err(|_| too_large());
        self.out.begin(base * BLOCK)?;
        let (first, total) = (address(blocks / BLOCK)?, address(end)?);
        let places = std::mem::take(&mut self.plan.places);
        for (number, place) in (1..).zip(&places) {
            self.inode(place, number, first)?;
        }
        self.out.pad_to(attributes)?;
        self.out.put(&self.shared.area)?;
        for place in &places {
            self.whole_blocks(place, blocks)?;
        }
        self.out.pad_to(end * BLOCK)?;
        let superblock = Superblock {
            root: self.plan.nids[ROOT as usize] as u16,
            inodes: places.len() as u64,
            seconds: self.plan.time.seconds,
            nanoseconds: self.plan.time.nanoseconds,
            blocks: total,
            inodes_from: address(0)?,
            attributes: address(attributes / BLOCK)?,
            uuid: self.out.uuid(),
            device_blocks: u32::try_from(length.div_ceil(BLOCK)).map_err(|_| too_large())?,
        };
        self.out.finish(SUPERBLOCK, &superblock.block())
    }

    fn inode(&mut self, place: &Place, number: u32, first: u32) -> io::Result<()> {
        let node = &self.builder.nodes[place.node as usize];
        let mut attributes = Vec::new();
        self.builder.attributes.append(node.attributes, &self.shared, &mut attributes);
        let union = match &node.content {
            Content::Device(number) => *number,
            Content::Pipe => 0,
            Content::File { size: 0, .. } => 0,
            Content::File { size, .. } => format::chunk_format(format::chunks(*size).0),
            _ if place.layout == DataLayout::FlatInline && place.size < BLOCK => 0,
            _ => first + place.block,
        };
        let inode = Inode {
            extended: place.extended,
            layout: place.layout,
            attributes: attributes.len(),
            mode: node.mode as u16,
            links: place.links,
            size: place.size,
            union,
            number,
            uid: node.uid,
            gid: node.gid,
            seconds: node.mtime.seconds,
            nanoseconds: node.mtime.nanoseconds,
        };
        let mut bytes = Vec::with_capacity(256);
        inode.append(&mut bytes);
        bytes.extend_from_slice(&attributes);
        self.out.pad_to(u64::from(self.plan.nids[place.node as usize]) * format::SLOT)?;
        self.out.put(&bytes)?;
        match (&node.content, place.layout) {
            (Content::File { place, size }, DataLayout::ChunkBased) => self.chunks(*place, *size),
            (_, DataLayout::FlatInline) => {
                let contents = self.contents(place);
                let tail = contents.len() - contents.len() % BLOCK as usize;
                self.out.put(&contents[tail..])
            }
            _ => Ok(()),
        }
    }

    fn chunks(&mut self, place: Contents, size: u64) -> io::Result<()> {
        let (device, offset) = match place {
            Contents::Image(offset) => (0, offset),
            Contents::Tar(offset) => (1, offset),
        };
        let (bits, count) = format::chunks(size);
        self.out.pad_to(self.out.position.next_multiple_of(format::CHUNK_INDEX))?;
        for chunk in 0..count {
            // Checked when the file was taken in.
            let block = (offset / BLOCK + (chunk << bits)) as u32;
            self.out.put(&format::chunk_index(device, block))?;
        }
        Ok(())
    }

    // A directory's or link's bytes.
    fn contents(&self, place: &Place) -> Vec<u8> {
        match &self.builder.nodes[place.node as usize].content {
            Content::Symlink(target) => target.to_vec(),
            Content::Directory(_) => self.directory(place.node, place.parent),
            _ => Vec::new(),
        }
    }

    fn directory(&self, id: NodeId, parent: NodeId) -> Vec<u8> {
        let list = layout::listing(self.builder, id, parent);
        let mut bytes = Vec::new();
        for (entries, _) in layout::blocks(&list) {
            bytes.resize(bytes.len().next_multiple_of(BLOCK as usize), 0);
            let mut name_offset = entries.len() * DIRENT;
            for (name, id) in entries {
                bytes.extend_from_slice(&u64::from(self.plan.nids[*id as usize]).to_le_bytes());
                bytes.extend_from_slice(&(name_offset as u16).to_le_bytes());
                bytes.extend_from_slice(&[format::file_type(self.builder.nodes[*id as usize].mode), 0]);
                name_offset += name.len();
            }
            entries.iter().for_each(|(name, _)| bytes.extend_from_slice(name));
        }
        bytes
    }

    fn whole_blocks(&mut self, place: &Place, from: u64) -> io::Result<()> {
        let inline = place.layout == DataLayout::FlatInline;
        if place.layout == DataLayout::ChunkBased || (inline && place.size < BLOCK) {
            return Ok(());
        }
        let contents = self.contents(place);
        if contents.is_empty() {
            return Ok(());
        }
        let tail = if inline { contents.len() - contents.len() % BLOCK as usize } else { contents.len() };
        self.out.pad_to(from + u64::from(place.block) * BLOCK)?;
        self.out.put(&contents[..tail])
    }
}

// Counts and hashes what is written, in large pieces.
struct Sink<'a, W> {
    to: &'a mut W,
    buffer: Vec<u8>,
    position: u64,
    hash: [u64; 2],
}

const PIECE: usize = 128 * 1024;

impl<'a, W: Write + Seek> Sink<'a, W> {
    fn new(to: &'a mut W) -> Self {
        let hash = [0xcbf2_9ce4_8422_2325, 0x9e37_79b9_7f4a_7c15];
        Self { to, buffer: Vec::with_capacity(2 * PIECE), position: 0, hash }
    }

    // Positions count from here.
    fn begin(&mut self, at: u64) -> io::Result<()> {
        self.to.seek(SeekFrom::Start(at)).map(drop)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(bytes);
        self.position += bytes.len() as u64;
        if self.buffer.len() >= PIECE { self.flush() } else { Ok(()) }
    }

    fn pad_to(&mut self, position: u64) -> io::Result<()> {
        debug_assert!(position >= self.position, "{position} is before {}", self.position);
        let length = position.saturating_sub(self.position) as usize;
        self.buffer.resize(self.buffer.len() + length, 0);
        self.position += length as u64;
        if self.buffer.len() >= PIECE { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        for word in self.buffer.chunks(8) {
            let mut bytes = [0; 8];
            bytes[..word.len()].copy_from_slice(word);
            let word = u64::from_le_bytes(bytes);
            self.hash[0] = (self.hash[0] ^ word).wrapping_mul(0x100_0000_01b3).rotate_left(29);
            self.hash[1] = (self.hash[1].rotate_left(17) ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd);
        }
        self.to.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    // Of what was written so far, marked as a UUID that is made from contents (RFC 9562, version 8).
    fn uuid(&mut self) -> [u8; 16] {
        let hash = self.buffer.iter().fold(self.hash, |[a, b], byte| {
            [(a ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3), b.rotate_left(9) ^ u64::from(*byte)]
        });
        let mut uuid = [0; 16];
        uuid[..8].copy_from_slice(&hash[0].to_le_bytes());
        uuid[8..].copy_from_slice(&hash[1].to_le_bytes());
        uuid[6] = uuid[6] & 0x0f | 0x80;
        uuid[8] = uuid[8] & 0x3f | 0x80;
        uuid
    }

    fn finish(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.flush()?;
        self.to.seek(SeekFrom::Start(at))?;
        self.to.write_all(bytes)?;
        self.to.flush()
    }
}
