//! Writing files past the page cache (`O_DIRECT`): what nobody reads again soon need not be copied into memory of the
//! kernel's, nor push other things out of it.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::atomic::{AtomicBool, Ordering};

/// What places in memory and in files have to be multiples of: a page, which no disk's block is larger than.
pub const ALIGNMENT: usize = 4096;

/// Memory that begins at a multiple of [`ALIGNMENT`].
pub struct Aligned {
    memory: Box<[u8]>,
    start: usize,
    length: usize,
}

impl Aligned {
    /// So many zeros.
    pub fn new(length: usize) -> Self {
        let memory = vec![0; length + ALIGNMENT].into_boxed_slice();
        let start = memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Self { memory, start, length }
    }
}

impl Deref for Aligned {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.length]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.length]
    }
}

/// A file of which whole blocks are written past the page cache where the file system lets them, and all else as ever.
pub struct DirectFile {
    file: File,
    direct: Option<File>,
    refused: AtomicBool,
}

impl DirectFile {
    /// Takes a file that is open for writing.
    pub fn new(file: File) -> Self {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let direct = OpenOptions::new().write(true).custom_flags(libc::O_DIRECT).open(path).ok();
        Self { file, direct, refused: AtomicBool::new(false) }
    }

    /// The file as it was given.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Writes all of it. Past the page cache goes what stands at a multiple of [`ALIGNMENT`], in memory as in the file.
    pub fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let passed = self.pass(bytes, offset)?;
        self.file.write_all_at(&bytes[passed..], offset + passed as u64)
    }

    // How many bytes were written past the page cache.
    fn pass(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let aligned = (bytes.as_ptr() as usize | offset as usize).is_multiple_of(ALIGNMENT);
        let whole = if aligned { bytes.len() - bytes.len() % ALIGNMENT } else { 0 };
        match &self.direct {
            Some(direct) if whole > 0 && !self.refused.load(Ordering::Relaxed) => {
                match direct.write_all_at(&bytes[..whole], offset) {
                    // Some file systems say so only now.
                    Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                        self.refused.store(true, Ordering::Relaxed);
                        Ok(0)
                    }
                    written => written.map(|()| whole),
                }
            }
            _ => Ok(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages_in_memory(file: &File) -> usize {
        let length = file.metadata().unwrap().len() as usize;
        let mut there = vec![0_u8; length.div_ceil(ALIGNMENT)];
        // SAFETY: a fresh mapping that is only asked about and unmapped again; the vector has a byte for each page.
        unsafe {
            let place = std::ptr::null_mut();
            let at = libc::mmap(place, length, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), 0);
            assert_ne!(at, libc::MAP_FAILED);
            assert_eq!(libc::mincore(at, length, there.as_mut_ptr()), 0);
            libc::munmap(at, length);
        }
        there.iter().filter(|page| **page & 1 == 1).count()
    }

    #[test]
    fn whole_blocks_pass_the_page_cache_and_odd_ones_are_written_too() {
        // Not in memory: a directory of the build's, on a disk.
        let file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let direct = DirectFile::new(file);
        let mut buffer = Aligned::new(64 << 10);
        for (at, byte) in buffer.iter_mut().enumerate() {
            *byte = ((at * 7) >> 3) as u8;
        }
        direct.write_all_at(&buffer, 0).unwrap();
        if direct.direct.is_some() && !direct.refused.load(Ordering::Relaxed) {
            assert_eq!(pages_in_memory(direct.file()), 0);
        }
        direct.write_all_at(&buffer[..5000], 64 << 10).unwrap();
        direct.write_all_at(&buffer[5000..], (64 << 10) + 5000).unwrap();
        let mut all = vec![0; 128 << 10];
        direct.file().read_exact_at(&mut all, 0).unwrap();
        assert!(all[..64 << 10] == buffer[..] && all[64 << 10..] == buffer[..]);
        assert_eq!(direct.file().metadata().unwrap().len(), 128 << 10);
    }

    #[test]
    fn where_the_file_system_has_no_such_thing_it_is_written_as_ever() {
        let file = File::from(rustix::fs::memfd_create("direct", rustix::fs::MemfdFlags::CLOEXEC).unwrap());
        let direct = DirectFile::new(file);
        let mut buffer = Aligned::new(8192);
        buffer.fill(7);
        direct.write_all_at(&buffer, 4096).unwrap();
        let mut all = vec![1; 12288];
        direct.file().read_exact_at(&mut all, 0).unwrap();
        assert!(all[..4096].iter().all(|byte| *byte == 0) && all[4096..].iter().all(|byte| *byte == 7));
    }
}
