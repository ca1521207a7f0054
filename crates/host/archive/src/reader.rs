//! Reading a tar stream, member by member, without seeking and with bounded memory.
//!
//! Strict where readers are known to differ, since then one reader's contents are another's headers: the size
//! that skips a member's contents is always the one that is handed out (the extended header's over the block's),
//! an extended header belongs to the very next member, and nothing between the two may carry members of its own.

use crate::entry::{Entry, EntryKind, Extent, Piece, Time};
use crate::error::{Error, Result};
use crate::header::{self, BLOCK, Header, OldSparse};
use crate::pax::Pax;
use crate::sparse::{self, Form, MapReader};
use hull_sys::direct::Aligned;
use std::io::{self, Read, Seek, SeekFrom, Write};

// Large enough that a system call per buffer doesn't count, small enough to stay in the processor's cache.
const BUFFER: usize = 256 * 1024;
// The most that an extended header or a long name may hold, as Go's reader has it.
const MAX_EXTENDED: u64 = 1 << 20;

/// A tar stream.
pub struct Archive<R> {
    source: R,
    // Aligned, so that a source that keeps what it reads can write it to the disk from here.
    buffer: Aligned,
    start: usize,
    end: usize,
    // Of the next byte to take from the buffer, in the stream.
    offset: u64,
    body: u64,
    padding: u64,
    // Of a sparse member: what is left of its map, where its contents were read to, and its real size.
    sparse: Option<Sparse>,
    global: Pax,
    finished: bool,
}

struct Sparse {
    left: std::vec::IntoIter<Extent>,
    // What is left of the part that is being read.
    part: u64,
    position: u64,
    size: u64,
}

// Holes, for those who want bytes.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

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
            buffer: Aligned::new(BUFFER),
            start: 0,
            end: 0,
            offset: 0,
            body: 0,
            padding: 0,
            sparse: None,
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

    /// The next piece of the present member's contents; empty after the last. Holes come as zeros.
    pub fn contents(&mut self) -> Result<&[u8]> {
        if self.sparse.is_none() {
            return self.stored(u64::MAX);
        }
        match self.piece(ZEROS.len() as u64)? {
            Piece::Data(data) => Ok(data),
            Piece::Hole(length) => Ok(&ZEROS[..length as usize]),
        }
    }

    /// As [`Archive::contents`], but a hole comes as one. Empty data after the last piece.
    pub fn next_piece(&mut self) -> Result<Piece<'_>> {
        self.piece(u64::MAX)
    }

    /// Writes the present member's contents. Holes are stepped over: what is there must read as zeros, and a hole at
    /// the end adds nothing.
    pub fn write_contents(&mut self, to: &mut (impl Write + Seek)) -> Result<()> {
        loop {
            match self.next_piece()? {
                Piece::Data([]) => return Ok(()),
                Piece::Data(data) => to.write_all(data).map_err(Error::Write)?,
                // Sizes have 63 bits.
                Piece::Hole(length) => {
                    to.seek(SeekFrom::Current(length as i64)).map_err(Error::Write)?;
                }
            }
        }
    }

    fn piece(&mut self, longest_hole: u64) -> Result<Piece<'_>> {
        let Some(sparse) = &mut self.sparse else { return self.stored(u64::MAX).map(Piece::Data) };
        if sparse.part > 0 {
            let most = sparse.part;
            let length = self.stored(most)?.len();
            if let Some(sparse) = &mut self.sparse {
                sparse.part -= length as u64;
                sparse.position += length as u64;
            }
            return Ok(Piece::Data(&self.buffer[self.start - length..self.start]));
        }
        let (begins, length) = match sparse.left.as_slice().first() {
            Some(extent) => (extent.offset, extent.length),
            None => (sparse.size, 0),
        };
        let hole = (begins - sparse.position).min(longest_hole);
        sparse.position += hole;
        if hole > 0 {
            return Ok(Piece::Hole(hole));
        }
        sparse.left.next();
        sparse.part = length;
        // Parts have bytes, so this goes one step down.
        if length == 0 { Ok(Piece::Data(&[])) } else { self.piece(longest_hole) }
    }

    fn stored(&mut self, most: u64) -> Result<&[u8]> {
        if self.body == 0 {
            return Ok(&[]);
        }
        if self.start == self.end {
            self.fill()?;
        }
        let most = usize::try_from(self.body.min(most)).unwrap_or(usize::MAX);
        let length = most.min(self.end - self.start);
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
        let mut pax = pending.pax.unwrap_or_else(|| self.global.clone());
        let records = pax.sparse.take();
        // Of the two GNU tar takes the record, Go's reader the other.
        if (pending.long_name.is_some() && pax.path.is_some())
            || (pending.long_link.is_some() && pax.link.is_some())
        {
            return Err(malformed("a long name and a record of a name for one member".into()));
        }
        let real_name = records.as_ref().and_then(|records| records.name.clone());
        let name = real_name.or(pending.long_name).or(pax.path).unwrap_or(header.name);
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
        let mut kind = kind;
        if let Some(old) = header.sparse {
            if records.is_some()
                || pax.size.is_some()
                || kind != EntryKind::Other(b'S')
                || name.ends_with(b"/")
            {
                return Err(malformed("an old sparse member with records that say otherwise".into()));
            }
            kind = EntryKind::File;
            let size = old.size;
            let map = self.old_map(old).map_err(|error| at_header(error, at))?;
            self.begin_sparse(map, size).map_err(malformed)?;
        } else if header.flag == b'S' {
            return Err(malformed("a sparse member whose header has no map".into()));
        } else if let Some(records) = records {
            if kind != EntryKind::File {
                return Err(malformed("the records of a sparse member for what is no file".into()));
            }
            let (form, size) = records.form().map_err(malformed)?;
            let map = match form {
                Form::Map(map) => map,
                Form::InContents => self.map_in_contents().map_err(|error| at_header(error, at))?,
            };
            self.begin_sparse(map, size).map_err(malformed)?;
        }
        let sparse = self.sparse.as_ref();
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
            size: sparse.map_or(self.body, |sparse| sparse.size),
            extents: sparse.map(|sparse| sparse.left.as_slice().into()),
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

    fn begin_sparse(&mut self, map: Vec<Extent>, size: u64) -> Result<(), String> {
        let left = sparse::check(map, size, self.body)?.into_iter();
        self.sparse = Some(Sparse { left, part: 0, position: 0, size });
        Ok(())
    }

    // The blocks of the map that stand between an old sparse member's header and its contents.
    fn old_map(&mut self, old: OldSparse) -> Result<Vec<Extent>> {
        let OldSparse { extents: mut map, mut more, .. } = old;
        while more {
            let block = self.read_block()?.ok_or_else(|| Error::Read(io::ErrorKind::UnexpectedEof.into()))?;
            let (extents, another) = header::more_extents(&block).map_err(reason)?;
            map.extend(extents);
            more = another;
            if map.len() > sparse::MAX_EXTENTS {
                return Err(reason(sparse::too_many()));
            }
        }
        Ok(map)
    }

    fn map_in_contents(&mut self) -> Result<Vec<Extent>> {
        let mut reader = MapReader::default();
        loop {
            self.body = self
                .body
                .checked_sub(BLOCK as u64)
                .ok_or_else(|| reason("the map of a sparse member does not end".into()))?;
            let block = self.read_block()?.ok_or_else(|| Error::Read(io::ErrorKind::UnexpectedEof.into()))?;
            if let Some(map) = reader.block(&block).map_err(reason)? {
                return Ok(map);
            }
        }
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
        self.sparse = None;
        let mut left = self.body + self.padding;
        let padding = self.padding;
        (self.body, self.padding) = (0, 0);
        while left > 0 {
            if self.start == self.end && !self.refill()? {
                // docker's classic client ends an archive with its last member's contents, without padding.
                if left <= padding {
                    return Ok(());
                }
                return Err(Error::Read(io::ErrorKind::UnexpectedEof.into()));
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

fn reason(reason: String) -> Error {
    Error::Malformed { offset: 0, reason }
}

// Who reads a map doesn't know where its member began.
fn at_header(error: Error, at: u64) -> Error {
    match error {
        Error::Malformed { reason, .. } => Error::Malformed { offset: at, reason },
        other => other,
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
