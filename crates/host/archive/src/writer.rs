//! Writing a tar stream in the POSIX form: ustar headers, an extended header before those that need one.

use crate::entry::{Entry, EntryKind};
use crate::error::{Error, Result, lossy};
use crate::header::BLOCK;
use crate::pax;
use std::io::{self, Write};

/// A tar stream being written. Each entry must be followed by exactly its `size` bytes of contents, and the last
/// by [`Writer::finish`].
#[derive(Debug)]
pub struct Writer<W> {
    sink: W,
    left: u64,
    padding: usize,
}

impl<W: Write> Writer<W> {
    /// A writer at the beginning of a stream.
    pub fn new(sink: W) -> Self {
        Self { sink, left: 0, padding: 0 }
    }

    /// Writes a member's header.
    pub fn entry(&mut self, entry: &Entry) -> Result<()> {
        debug_assert_eq!(self.left, 0, "contents of the entry before are missing");
        let (name, prefix, records) = extended(entry);
        if !records.is_empty() {
            self.extended_header(&entry.name, &records)?;
        }
        let flag = match entry.kind {
            EntryKind::File => b'0',
            EntryKind::HardLink => b'1',
            EntryKind::Symlink => b'2',
            EntryKind::CharDevice => b'3',
            EntryKind::BlockDevice => b'4',
            EntryKind::Directory => b'5',
            EntryKind::Fifo => b'6',
            EntryKind::Other(flag) => {
                let reason = format!("cannot write a member of type {:?}", char::from(flag));
                return Err(Error::Unsupported { name: lossy(&entry.name), reason });
            }
        };
        let mut block = Block::new(&name, flag);
        block.bytes(345..500, &prefix);
        block.octal(100..108, u64::from(entry.mode));
        block.octal(108..116, u64::from(entry.uid));
        block.octal(116..124, u64::from(entry.gid));
        block.octal(136..148, u64::try_from(entry.mtime.seconds).unwrap_or(0));
        // Only files have contents; the others say 0, as some readers refuse a field without digits.
        let size = if entry.kind.is_file() { entry.size } else { 0 };
        block.octal(124..136, size);
        self.left = size;
        self.padding = (size.next_multiple_of(BLOCK as u64) - size) as usize;
        block.bytes(157..257, &entry.link);
        block.octal(329..337, u64::from(entry.device.0));
        block.octal(337..345, u64::from(entry.device.1));
        self.put(&block.finish())
    }

    /// Writes a piece of the present member's contents.
    pub fn contents(&mut self, data: &[u8]) -> Result<()> {
        let length = data.len() as u64;
        if length > self.left {
            return Err(Error::Write(io::Error::other("more contents than the entry's size")));
        }
        self.put(data)?;
        self.left -= length;
        if self.left == 0 {
            let padding = std::mem::take(&mut self.padding);
            self.put(&[0; BLOCK][..padding])?;
        }
        Ok(())
    }

    /// How many bytes of contents are still to come.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Writes the end marker and gives the sink back, flushed.
    pub fn finish(mut self) -> Result<W> {
        if self.left > 0 {
            return Err(Error::Write(io::Error::other("fewer contents than the entry's size")));
        }
        self.put(&[0; 2 * BLOCK])?;
        self.sink.flush().map_err(Error::Write)?;
        Ok(self.sink)
    }

    fn extended_header(&mut self, name: &[u8], records: &[u8]) -> Result<()> {
        let base =
            name.strip_suffix(b"/").unwrap_or(name).rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let mut label = b"PaxHeaders.0/".to_vec();
        label.extend(base.iter().filter(|byte| byte.is_ascii()).take(80));
        let mut block = Block::new(&label, b'x');
        block.octal(100..108, 0o644);
        block.octal(108..116, 0);
        block.octal(116..124, 0);
        block.octal(124..136, records.len() as u64);
        block.octal(136..148, 0);
        self.put(&block.finish())?;
        self.put(records)?;
        let padding = records.len().next_multiple_of(BLOCK) - records.len();
        self.put(&[0; BLOCK][..padding])
    }

    fn put(&mut self, data: &[u8]) -> Result<()> {
        self.sink.write_all(data).map_err(Error::Write)
    }
}

// The name and prefix fields, and the records of what does not fit the plain header.
fn extended(entry: &Entry) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let mut records = Vec::new();
    let (name, prefix) = split(&entry.name).unwrap_or_else(|| {
        pax::write_record(&mut records, b"path", &entry.name);
        (entry.name.iter().copied().filter(u8::is_ascii).take(100).collect(), Vec::new())
    });
    if entry.link.len() > 100 || !entry.link.is_ascii() {
        pax::write_record(&mut records, b"linkpath", &entry.link);
    }
    if entry.size > 0o777_7777_7777 {
        pax::write_record(&mut records, b"size", entry.size.to_string().as_bytes());
    }
    for (key, id) in [(&b"uid"[..], entry.uid), (b"gid", entry.gid)] {
        if id > 0o777_7777 {
            pax::write_record(&mut records, key, id.to_string().as_bytes());
        }
    }
    let time = entry.mtime;
    if time.nanoseconds > 0 || !(0..=0o777_7777_7777).contains(&time.seconds) {
        pax::write_record(&mut records, b"mtime", pax::time_text(time).as_bytes());
    }
    for (name, value) in &entry.xattrs {
        pax::write_xattr(&mut records, name, value);
    }
    (name, prefix, records)
}

// A name in the plain header's two fields; None when it doesn't fit.
fn split(name: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    if !name.is_ascii() {
        return None;
    }
    if name.len() <= 100 {
        return Some((name.to_vec(), Vec::new()));
    }
    // The last slash that leaves a prefix short enough and a name that isn't empty.
    let searched = &name[..name.len().min(157) - 1];
    let slash = searched.iter().rposition(|byte| *byte == b'/').filter(|slash| *slash > 0)?;
    let rest = &name[slash + 1..];
    (rest.len() <= 100 && !rest.is_empty()).then(|| (rest.to_vec(), name[..slash].to_vec()))
}

struct Block([u8; BLOCK]);

impl Block {
    fn new(name: &[u8], flag: u8) -> Self {
        let mut block = Self([0; BLOCK]);
        block.bytes(0..100, name);
        block.0[156] = flag;
        block.0[257..265].copy_from_slice(b"ustar\x0000");
        block
    }
    fn bytes(&mut self, range: std::ops::Range<usize>, value: &[u8]) {
        let length = value.len().min(range.len());
        self.0[range.start..range.start + length].copy_from_slice(&value[..length]);
    }
    // Zero-padded digits and a NUL; a number that doesn't fit is in the extended header and 0 here.
    fn octal(&mut self, range: std::ops::Range<usize>, value: u64) {
        let width = range.len() - 1;
        let text = format!("{value:0width$o}");
        let text = if text.len() > width { "0".repeat(width) } else { text };
        self.bytes(range, text.as_bytes());
    }
    fn finish(mut self) -> [u8; BLOCK] {
        self.0[148..156].fill(b' ');
        let sum: u64 = self.0.iter().map(|byte| u64::from(*byte)).sum();
        self.0[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0
    }
}
