//! Reading back the little that is asked without a mount.

use crate::format::{BLOCK, INODES_FROM, MAGIC, SLOT, SUPERBLOCK};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// What an image's root directory is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Root {
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Reads the root directory's inode of an image of ours.
pub fn root(image: &File) -> io::Result<Root> {
    let mut superblock = [0; INODES_FROM + 4];
    image.read_exact_at(&mut superblock, SUPERBLOCK)?;
    if superblock[..4] != MAGIC.to_le_bytes() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no EROFS image"));
    }
    let nid = u64::from(u16::from_le_bytes([superblock[14], superblock[15]]));
    let from = superblock[INODES_FROM..].iter().rev().fold(0, |from, byte| from << 8 | u64::from(*byte));
    let mut inode = [0; 32];
    image.read_exact_at(&mut inode, from * BLOCK + nid * SLOT)?;
    let short = |at: usize| u32::from(u16::from_le_bytes([inode[at], inode[at + 1]]));
    let (uid, gid) = match inode[0] & 1 {
        0 => (short(24), short(26)),
        _ => (short(24) | short(26) << 16, short(28) | short(30) << 16),
    };
    Ok(Root { mode: short(4) & 0o7777, uid, gid })
}
