//! The 512-byte header block: POSIX ustar, GNU, STAR and the old Unix form (POSIX.1-2017 `pax`, "ustar
//! Interchange Format"; GNU tar manual, "Basic Tar Format").

use crate::entry::{EntryKind, Extent};

/// The size of a block, and of a header.
pub(crate) const BLOCK: usize = 512;

/// A header's fields, decoded.
#[derive(Debug)]
pub(crate) struct Header {
    pub name: Vec<u8>,
    pub mode: u32,
    pub uid: i64,
    pub gid: i64,
    pub size: i64,
    pub mtime: i64,
    pub flag: u8,
    pub link: Vec<u8>,
    pub device: (i64, i64),
    /// Of GNU's old form: its map, or the beginning of it.
    pub sparse: Option<OldSparse>,
}

/// What a header of type `S` says of where its contents go.
#[derive(Debug)]
pub(crate) struct OldSparse {
    pub extents: Vec<Extent>,
    /// Whether a block with more of them follows.
    pub more: bool,
    pub size: u64,
}

#[derive(PartialEq)]
enum Format {
    V7,
    Ustar,
    Star,
    Gnu,
}

/// Whether the block is the end marker.
pub(crate) fn is_zero(block: &[u8]) -> bool {
    block.iter().all(|byte| *byte == 0)
}

/// Decodes a header after verifying its checksum. The error says what is wrong.
pub(crate) fn parse(block: &[u8; BLOCK]) -> Result<Header, String> {
    verify(block)?;
    let format = match (&block[257..265], &block[508..512]) {
        (b"ustar\x0000", b"tar\0") => Format::Star,
        (b"ustar  \0", _) => Format::Gnu,
        (magic, _) if magic.starts_with(b"ustar\0") => Format::Ustar,
        _ => Format::V7,
    };
    let field = |name: &str, range: std::ops::Range<usize>| {
        number(&block[range]).ok_or_else(|| format!("the {name} field is no number"))
    };
    let prefix = match format {
        Format::Ustar => text(&block[345..500]),
        Format::Star => text(&block[345..476]),
        // GNU keeps times and sparse maps there.
        Format::Gnu | Format::V7 => &[],
    };
    let mut name = prefix.to_vec();
    if !name.is_empty() {
        name.push(b'/');
    }
    name.extend_from_slice(text(&block[0..100]));
    let flag = block[156];
    let device = match flag {
        b'3' | b'4' if format != Format::V7 => (field("devmajor", 329..337)?, field("devminor", 337..345)?),
        _ => (0, 0),
    };
    Ok(Header {
        name,
        // Some writers put the file type's bits there too.
        mode: (field("mode", 100..108)? & 0o7777) as u32,
        uid: field("uid", 108..116)?,
        gid: field("gid", 116..124)?,
        size: field("size", 124..136)?,
        mtime: field("mtime", 136..148)?,
        flag,
        link: text(&block[157..257]).to_vec(),
        device,
        sparse: match (flag, format) {
            (b'S', Format::Gnu) => Some(old_sparse(block)?),
            _ => None,
        },
    })
}

fn old_sparse(block: &[u8; BLOCK]) -> Result<OldSparse, String> {
    let size = number(&block[483..495]).and_then(|size| u64::try_from(size).ok());
    let size = size.ok_or("the real size of a sparse member is no number")?;
    Ok(OldSparse { extents: extents(&block[386..482])?, more: block[482] != 0, size })
}

/// A block of nothing but a sparse member's map: the map, and whether another one follows.
pub(crate) fn more_extents(block: &[u8; BLOCK]) -> Result<(Vec<Extent>, bool), String> {
    Ok((extents(&block[..504])?, block[504] != 0))
}

// Pairs of twelve bytes each; the first that is empty ends them.
fn extents(field: &[u8]) -> Result<Vec<Extent>, String> {
    let pairs = field.chunks_exact(24).take_while(|pair| pair[12] != 0);
    pairs
        .map(|pair| {
            let part = |range| number(&pair[range]).and_then(|value| u64::try_from(value).ok());
            let extent = part(0..12).zip(part(12..24)).map(|(offset, length)| Extent { offset, length });
            extent.ok_or_else(|| "the map of a sparse member has what is no number".into())
        })
        .collect()
}

/// What a type flag means. `directory` is whether the name ends in a slash: how the oldest form marks directories.
pub(crate) fn kind_of(flag: u8, directory: bool) -> EntryKind {
    match flag {
        b'0' | b'\0' | b'7' if directory => EntryKind::Directory,
        b'0' | b'\0' | b'7' => EntryKind::File,
        b'1' => EntryKind::HardLink,
        b'2' => EntryKind::Symlink,
        b'3' => EntryKind::CharDevice,
        b'4' => EntryKind::BlockDevice,
        b'5' => EntryKind::Directory,
        b'6' => EntryKind::Fifo,
        other => EntryKind::Other(other),
    }
}

// The sum of all bytes with the checksum field as spaces. Some old writers added signed bytes.
fn verify(block: &[u8; BLOCK]) -> Result<(), String> {
    let stored = number(&block[148..156]).ok_or("the checksum field is no number")?;
    let (mut unsigned, mut signed) = (0_i64, 0_i64);
    for (index, byte) in block.iter().enumerate() {
        let byte = if (148..156).contains(&index) { b' ' } else { *byte };
        unsigned += i64::from(byte);
        signed += i64::from(byte as i8);
    }
    if stored == unsigned || stored == signed {
        return Ok(());
    }
    Err(format!("the checksum is {stored}, the header's bytes give {unsigned}"))
}

// Up to the first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

// Octal digits padded with spaces or NULs, or, with the first bit set, two's complement in big endian.
fn number(field: &[u8]) -> Option<i64> {
    match field.first() {
        Some(first) if first & 0x80 != 0 => base_256(field),
        _ => octal(field),
    }
}

fn base_256(field: &[u8]) -> Option<i64> {
    let negative = field[0] & 0x40 != 0;
    let mut value: i128 = if negative { -1 } else { 0 };
    for (index, byte) in field.iter().enumerate() {
        // The first bit is the mark of this form; the second is the sign.
        let byte = match (index, negative) {
            (0, false) => byte & 0x7f,
            (0, true) => byte | 0x80,
            _ => *byte,
        };
        value = (value << 8) | i128::from(byte);
    }
    i64::try_from(value).ok()
}

fn octal(field: &[u8]) -> Option<i64> {
    let is_padding = |byte: &u8| *byte == b' ' || *byte == 0;
    let start = field.iter().position(|byte| !is_padding(byte));
    let Some(start) = start else { return Some(0) };
    let digits = field[start..].split(is_padding).next().unwrap_or_default();
    if !field[start + digits.len()..].iter().all(is_padding) {
        return None;
    }
    digits.iter().try_fold(0_i64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_all_forms() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"   644 \0"), Some(0o644));
        assert_eq!(number(b"\0\0\0\0"), Some(0));
        assert_eq!(number(b"777777777777"), Some(0o777777777777));
        assert_eq!(number(b"\x80\0\0\0\0\0\0\0\0\0\x01\0"), Some(256));
        assert_eq!(number(b"\xff\xff\xff\xff\xff\xff\xff\xff"), Some(-1));
        assert_eq!(number(b"\x80\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff"), None);
        for bad in [&b"0000648\0"[..], b"12 34\0", b"-1\0", b"0x10\0"] {
            assert_eq!(number(bad), None, "{bad:?}");
        }
    }
}
