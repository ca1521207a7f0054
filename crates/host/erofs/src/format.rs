//! The bytes of the format, little-endian.

/// Binary logarithm of the block size, 512: where contents begin in a tar.
pub(crate) const BLOCK_BITS: u32 = 9;
pub(crate) const BLOCK: u64 = 1 << BLOCK_BITS;
pub(crate) const SUPERBLOCK: u64 = 1024;
/// Where the inodes begin: after the block with the superblock and the device slot.
pub(crate) const INODES: u64 = SUPERBLOCK + BLOCK;
/// Inodes begin at multiples of this; a nid counts them.
pub(crate) const SLOT: u64 = 32;
/// Where in the superblock the block stands from which nids count.
pub(crate) const INODES_FROM: usize = 40;
pub(crate) const MAGIC: u32 = 0xE0F5_E1E2;
pub(crate) const COMPACT: usize = 32;
pub(crate) const EXTENDED: usize = 64;
pub(crate) const DIRENT: usize = 12;
/// What a chunk index begins at a multiple of, and takes.
pub(crate) const CHUNK_INDEX: u64 = 8;

const FEATURE_COMPAT_CHECKSUM: u32 = 1;
const FEATURE_COMPAT_MTIME: u32 = 2;
const FEATURE_INCOMPAT_CHUNKED_FILE: u32 = 4;
const FEATURE_INCOMPAT_DEVICE_TABLE: u32 = 8;
const DEVICE_SLOT: u64 = 128;

/// How an inode's contents are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum DataLayout {
    FlatPlain = 0,
    FlatInline = 2,
    ChunkBased = 4,
}

/// An inode's fields.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inode {
    pub extended: bool,
    pub layout: DataLayout,
    /// Bytes of attributes after the inode, a multiple of 4 from 12 on, or 0.
    pub attributes: usize,
    pub mode: u16,
    pub links: u32,
    pub size: u64,
    /// A block address, a device number or a chunk format, by type and layout.
    pub union: u32,
    pub number: u32,
    pub uid: u32,
    pub gid: u32,
    pub seconds: i64,
    pub nanoseconds: u32,
}

impl Inode {
    pub fn append(&self, to: &mut Vec<u8>) {
        let start = to.len();
        let length = if self.extended { EXTENDED } else { COMPACT };
        to.resize(start + length, 0);
        let bytes = &mut to[start..];
        put(bytes, 0, &(u16::from(self.extended) | (self.layout as u16) << 1).to_le_bytes());
        let count = if self.attributes == 0 { 0 } else { (self.attributes - 12) / 4 + 1 };
        put(bytes, 2, &(count as u16).to_le_bytes());
        put(bytes, 4, &self.mode.to_le_bytes());
        put(bytes, 16, &self.union.to_le_bytes());
        put(bytes, 20, &self.number.to_le_bytes());
        if self.extended {
            put(bytes, 8, &self.size.to_le_bytes());
            put(bytes, 24, &self.uid.to_le_bytes());
            put(bytes, 28, &self.gid.to_le_bytes());
            put(bytes, 32, &self.seconds.to_le_bytes());
            put(bytes, 40, &self.nanoseconds.to_le_bytes());
            put(bytes, 44, &self.links.to_le_bytes());
        } else {
            put(bytes, 6, &(self.links as u16).to_le_bytes());
            put(bytes, 8, &(self.size as u32).to_le_bytes());
            put(bytes, 24, &(self.uid as u16).to_le_bytes());
            put(bytes, 26, &(self.gid as u16).to_le_bytes());
        }
    }
}

/// How a file of `size` bytes is cut into chunks: the binary logarithm of a chunk's blocks, and how many there are.
pub(crate) fn chunks(size: u64) -> (u32, u64) {
    let blocks = size.div_ceil(BLOCK);
    let bits = blocks.next_power_of_two().trailing_zeros().min(31);
    (bits, blocks.div_ceil(1 << bits))
}

/// `i_u` of a chunk-based inode: with indexes rather than bare block addresses, as those name the device.
pub(crate) fn chunk_format(bits: u32) -> u32 {
    bits | 0x20
}

/// A chunk that begins at a block of a device: 0 is the image itself, 1 the tar.
pub(crate) fn chunk_index(device: u16, block: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[2..4].copy_from_slice(&device.to_le_bytes());
    bytes[4..].copy_from_slice(&block.to_le_bytes());
    bytes
}

/// A device number as the kernel's `new_encode_dev` has it.
pub(crate) fn device_number(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

/// The code of a mode's type in a directory entry.
pub(crate) fn file_type(mode: u32) -> u8 {
    match mode & 0o170_000 {
        0o100_000 => 1,
        0o040_000 => 2,
        0o020_000 => 3,
        0o060_000 => 4,
        0o010_000 => 5,
        0o140_000 => 6,
        _ => 7,
    }
}

/// What the superblock says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Superblock {
    pub root: u16,
    pub inodes: u64,
    pub seconds: i64,
    pub nanoseconds: u32,
    pub blocks: u32,
    /// The block from which nids count.
    pub inodes_from: u32,
    pub attributes: u32,
    pub uuid: [u8; 16],
    pub device_blocks: u32,
}

impl Superblock {
    /// Its block, with the device table behind it.
    pub fn block(&self) -> [u8; BLOCK as usize] {
        let mut bytes = [0; BLOCK as usize];
        put(&mut bytes, 0, &MAGIC.to_le_bytes());
        put(&mut bytes, 8, &(FEATURE_COMPAT_CHECKSUM | FEATURE_COMPAT_MTIME).to_le_bytes());
        bytes[12] = BLOCK_BITS as u8;
        put(&mut bytes, 14, &self.root.to_le_bytes());
        put(&mut bytes, 16, &self.inodes.to_le_bytes());
        put(&mut bytes, 24, &self.seconds.to_le_bytes());
        put(&mut bytes, 32, &self.nanoseconds.to_le_bytes());
        put(&mut bytes, 36, &self.blocks.to_le_bytes());
        put(&mut bytes, INODES_FROM, &self.inodes_from.to_le_bytes());
        put(&mut bytes, 44, &self.attributes.to_le_bytes());
        put(&mut bytes, 48, &self.uuid);
        put(&mut bytes, 80, &(FEATURE_INCOMPAT_CHUNKED_FILE | FEATURE_INCOMPAT_DEVICE_TABLE).to_le_bytes());
        put(&mut bytes, 86, &1_u16.to_le_bytes());
        let slot = SUPERBLOCK / DEVICE_SLOT + 1;
        put(&mut bytes, 88, &(slot as u16).to_le_bytes());
        put(&mut bytes, DEVICE_SLOT as usize + 64, &self.device_blocks.to_le_bytes());
        let checksum = crc32c(&bytes);
        put(&mut bytes, 4, &checksum.to_le_bytes());
        bytes
    }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// CRC-32C (Castagnoli) without the final inversion, as the kernel's `crc32c(~0, …)`.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82F6_3B78 } else { crc >> 1 };
        }
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_one_chunk_as_long_as_one_can_hold_them() {
        for (size, wanted) in [
            (1, (0, 1)),
            (512, (0, 1)),
            (513, (1, 1)),
            (1025, (2, 1)),
            (5 << 30, (24, 1)),
            (1 << 40, (31, 1)),
            ((1 << 40) + 1, (31, 2)),
        ] {
            assert_eq!(chunks(size), wanted, "{size}");
        }
    }

    #[test]
    fn checksums_are_the_known_ones() {
        // RFC 3720, B.4, with the final inversion taken back.
        assert_eq!(!crc32c(&[0; 32]), 0x8A91_36AA);
        assert_eq!(!crc32c(b"123456789"), 0xE306_9283);
    }
}
