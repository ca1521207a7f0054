//! Reading a tar stream, member by member, without seeking and with bounded memory.
//!
//! Strict where readers are known to differ, since then one reader's contents are another's headers: the size
//! that skips a member's contents is always the one that is handed out (the extended header's over the block's),
//! an extended header belongs to the very next member, and nothing between the two may carry members of its own.

use crate::entry::{Entry, EntryKind, Time};
use crate::error::{Error, Result, lossy};
use crate::header::{self, BLOCK, Header};
use crate::pax::Pax;
use std::io::{self, Read};

// Large enough that a system call per buffer doesn't count, small enough to stay in the processor's cache.
const BUFFER: usize = 256 * 1024;
// The most that an extended header or a long name may hold, as Go's reader has it.
const MAX_EXTENDED: u64 = 1 << 20;

/// A tar stream.
pub struct Archive<R> {
    source: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    // Of the next byte to take from the buffer, in the stream.
    offset: u64,
    body: u64,
    padding: u64,
    global: Pax,
    finished: bool,
}

impl<R> std::fmt::Debug for Archive<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archive").field("offset", &self.offset).field("body", &self.body).finish()
    }
}

// What stands before a member's own header and speaks of it.
#[derive(Default)]
struct Pending {
    pax: Option<Pax>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl<R: Read> Archive<R> {
    /// A reader at the beginning of an uncompressed stream.
    pub fn new(source: R) -> Self {
        Self {
            source,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            start: 0,
            end: 0,
            offset: 0,
            body: 0,
            padding: 0,
            global: Pax::default(),
            finished: false,
        }
    }

    /// The next member; what is left of the present one's contents is skipped. `None` after the last.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        self.skip_contents()?;
        let mut pending = Pending::default();
        loop {
            let at = self.offset;
            let malformed = |reason: String| Error::Malformed { offset: at, reason };
            let Some(header) = self.next_header()? else {
                if pending.pax.is_some() || pending.long_name.is_some() || pending.long_link.is_some() {
                    return Err(malformed("the archive ends after an extended header".into()));
                }
                return Ok(None);
            };
            let twice = || malformed("two extended headers of one kind for one member".into());
            match header.flag {
                b'x' => {
                    let data = self.extended(&header, at)?;
                    let mut pax = self.global.clone();
                    pax.read(&data, false).map_err(malformed)?;
                    if pending.pax.replace(pax).is_some() {
                        return Err(twice());
                    }
                }
                b'g' => {
                    if pending.pax.is_some() {
                        return Err(malformed(
                            "a global header between an extended header and its member".into(),
                        ));
                    }
                    let data = self.extended(&header, at)?;
                    self.global.read(&data, true).map_err(malformed)?;
                }
                b'L' => {
                    if pending.long_name.replace(self.long_name(&header, at)?).is_some() {
                        return Err(twice());
                    }
                }
                b'K' => {
                    if pending.long_link.replace(self.long_name(&header, at)?).is_some() {
                        return Err(twice());
                    }
                }
                _ => return self.member(header, pending, at).map(Some),
            }
        }
    }

    /// The next piece of the present member's contents; empty after the last.
    pub fn contents(&mut self) -> Result<&[u8]> {
        if self.body == 0 {
            return Ok(&[]);
        }
        if self.start == self.end {
            self.fill()?;
        }
        let length = usize::try_from(self.body).unwrap_or(usize::MAX).min(self.end - self.start);
        let from = self.start;
        self.take(length);
        self.body -= length as u64;
        Ok(&self.buffer[from..from + length])
    }

    /// Reads the stream to its end, past the end marker: what hashes or answers the stream sees all of it.
    pub fn drain(&mut self) -> Result<()> {
        self.start = self.end;
        loop {
            match self.source.read(&mut self.buffer) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::Read(error)),
            }
        }
    }

    /// How many bytes of the stream were taken so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    fn member(&mut self, header: Header, pending: Pending, at: u64) -> Result<Entry> {
        let malformed = |reason: String| Error::Malformed { offset: at, reason };
        let pax = pending.pax.unwrap_or_else(|| self.global.clone());
        let name = pending.long_name.or(pax.path).unwrap_or(header.name);
        if pax.sparse || header.flag == b'S' {
            let reason = "sparse members are not supported; archive again without --sparse".into();
            return Err(Error::Unsupported { name: lossy(&name), reason });
        }
        let kind = header::kind_of(header.flag, name.ends_with(b"/"));
        let size = match pax.size {
            Some(size) => size,
            None => u64::try_from(header.size).map_err(|_| malformed("the size is negative".into()))?,
        };
        // Links, devices, directories and pipes have no contents whatever their size field says (POSIX; a
        // directory's is what it may grow to). The flag decides, not the slash: `0` with a slash has contents.
        let empty = matches!(header.flag, b'1'..=b'6');
        if size > i64::MAX as u64 - BLOCK as u64 {
            return Err(malformed("the size is too large".into()));
        }
        self.body = if empty { 0 } else { size };
        self.padding = self.body.next_multiple_of(BLOCK as u64) - self.body;
        let id = |name: &str, value: i64| {
            // The last number means "leave it" to chown.
            u32::try_from(value)
                .ok()
                .filter(|id| *id != u32::MAX)
                .ok_or_else(|| malformed(format!("the {name} {value} is out of range")))
        };
        let number = |value: i64| {
            u32::try_from(value).map_err(|_| malformed(format!("the device number {value} is out of range")))
        };
        Ok(Entry {
            kind,
            link: pending.long_link.or(pax.link).unwrap_or(header.link),
            size: self.body,
            mode: header.mode,
            uid: id("uid", pax.uid.unwrap_or(header.uid))?,
            gid: id("gid", pax.gid.unwrap_or(header.gid))?,
            mtime: pax.mtime.unwrap_or(Time { seconds: header.mtime, nanoseconds: 0 }),
            atime: pax.atime,
            device: (number(header.device.0)?, number(header.device.1)?),
            xattrs: pax.xattrs.into_iter().collect(),
            name,
        })
    }

    fn next_header(&mut self) -> Result<Option<Header>> {
        let at = self.offset;
        let Some(block) = self.block()? else { return Ok(None) };
        if !header::is_zero(&block) {
            let parsed = header::parse(&block);
            return parsed.map(Some).map_err(|reason| Error::Malformed { offset: at, reason });
        }
        self.finished = true;
        match self.read_block()? {
            Some(block) if !header::is_zero(&block) => {
                Err(Error::Malformed { offset: at, reason: "one zero block amid the archive".into() })
            }
            _ => Ok(None),
        }
    }

    fn block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        if self.finished { Ok(None) } else { self.read_block() }
    }

    // None at the end of the stream, which archives without end marker may have between members.
    fn read_block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let mut have = 0;
        while have < BLOCK {
            if self.start == self.end && !self.refill()? {
                if have == 0 {
                    self.finished = true;
                    return Ok(None);
                }
                return Err(Error::Read(io::ErrorKind::UnexpectedEof.into()));
            }
            let length = (BLOCK - have).min(self.end - self.start);
            block[have..have + length].copy_from_slice(&self.buffer[self.start..self.start + length]);
            have += length;
            self.take(length);
        }
        Ok(Some(block))
    }

    fn extended(&mut self, header: &Header, at: u64) -> Result<Vec<u8>> {
        let size = u64::try_from(header.size).ok().filter(|size| *size <= MAX_EXTENDED).ok_or_else(|| {
            Error::Malformed { offset: at, reason: format!("an extended header of {} bytes", header.size) }
        })?;
        self.body = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
        let mut data = Vec::with_capacity(size as usize);
        while self.body > 0 {
            let piece = self.contents()?;
            data.extend_from_slice(piece);
        }
        self.skip_contents()?;
        Ok(data)
    }

    fn long_name(&mut self, header: &Header, at: u64) -> Result<Vec<u8>> {
        let mut data = self.extended(header, at)?;
        data.truncate(data.iter().position(|byte| *byte == 0).unwrap_or(data.len()));
        Ok(data)
    }

    fn skip_contents(&mut self) -> Result<()> {
        let mut left = self.body + self.padding;
        (self.body, self.padding) = (0, 0);
        while left > 0 {
            if self.start == self.end {
                self.fill()?;
            }
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(self.end - self.start);
            self.take(length);
            left -= length as u64;
        }
        Ok(())
    }

    fn take(&mut self, length: usize) {
        self.start += length;
        self.offset += length as u64;
    }

    fn fill(&mut self) -> Result<()> {
        if self.refill()? { Ok(()) } else { Err(Error::Read(io::ErrorKind::UnexpectedEof.into())) }
    }

    // Whether there was more.
    fn refill(&mut self) -> Result<bool> {
        loop {
            match self.source.read(&mut self.buffer) {
                Ok(length) => {
                    (self.start, self.end) = (0, length);
                    return Ok(length > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::Read(error)),
            }
        }
    }
}

impl EntryKind {
    /// Whether the member is a regular file.
    pub fn is_file(self) -> bool {
        self == Self::File
    }
    /// Whether the member is a directory.
    pub fn is_directory(self) -> bool {
        self == Self::Directory
    }
}
