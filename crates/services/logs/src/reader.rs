//! Reading: what `logs` shows.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hull_types::Timestamp;

use crate::follow::{Stopper, Watch};
use crate::tail::last_lines;
use crate::writer::rotated;
use crate::{Error, Record, Result, Stream};

const BLOCK: usize = 32 << 10;

/// Which entries to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOptions {
    /// Entries of standard output.
    pub stdout: bool,
    /// Entries of standard error.
    pub stderr: bool,
    /// Nothing before this.
    pub since: Option<Timestamp>,
    /// Nothing after this.
    pub until: Option<Timestamp>,
    /// Only so many entries from the end (counted before the other conditions, as Docker does).
    pub tail: Option<u64>,
    /// Wait for more at the end.
    pub follow: bool,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { stdout: true, stderr: true, since: None, until: None, tail: None, follow: false }
    }
}

/// A log to be read.
#[derive(Debug, Clone)]
pub struct Reader {
    path: PathBuf,
}

impl Reader {
    /// The log at `path`. It need not be there yet: a container that never ran has an empty log.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        Ok(Self { path: path.into() })
    }

    /// Reads the entries. With `follow` it goes on until `stopper` says that the container stopped, and then to
    /// the end; without it `stopper` can still cancel.
    pub fn read(&self, options: ReadOptions, stopper: Stopper) -> Result<Records> {
        // The watch comes first: what is written while the files are being opened is not missed.
        let watch = if options.follow {
            let watch = Watch::new(&self.path, stopper.clone());
            Some(watch.map_err(|source| Error::Follow { path: self.path.clone(), source })?)
        } else {
            None
        };
        let mut records = Records {
            path: self.path.clone(),
            options,
            files: VecDeque::new(),
            watch,
            stopper,
            skipped: 0,
            ended: false,
        };
        records.files = records.files_after(None)?;
        records.seek_tail()?;
        Ok(records)
    }
}

/// The entries of a log, oldest first. As an iterator it blocks while it follows; for an event loop there are
/// [`Records::try_next`] and the descriptor ([`AsFd`]), readable when it is worth trying again.
#[derive(Debug)]
pub struct Records {
    path: PathBuf,
    options: ReadOptions,
    // Oldest first; the front one is being read.
    files: VecDeque<Lines>,
    watch: Option<Watch>,
    stopper: Stopper,
    skipped: u64,
    ended: bool,
}

/// What [`Records::try_next`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// An entry.
    Record(Record),
    /// Nothing now; there may be more later (only when following).
    Pending,
    /// There will be nothing more.
    End,
}

impl Records {
    /// How many damaged lines were skipped so far.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The next entry, without waiting.
    pub fn try_next(&mut self) -> Result<Next> {
        if self.ended || self.stopper.is_cancelled() {
            return Ok(Next::End);
        }
        // Asked before the files are read: what was written until the stop is read before the end.
        let stopped = self.watch.is_none() || self.stopper.is_stopped() || self.is_past_until();
        let mut next = self.scan()?;
        if let (None, Some(watch)) = (&next, &self.watch) {
            // Changes are only taken note of at the end, and once more is read after that: no change is lost, and
            // a long log costs no system call per entry.
            watch.clear().map_err(|source| Error::Follow { path: self.path.clone(), source })?;
            next = self.scan()?;
        }
        match next {
            Some(Next::End) => self.ended = true,
            None if stopped => self.ended = true,
            _ => {}
        }
        Ok(match next {
            Some(next) => next,
            None if stopped => Next::End,
            None => Next::Pending,
        })
    }

    // Reads on to the next entry that is wanted; `None` at the end of all files.
    fn scan(&mut self) -> Result<Option<Next>> {
        loop {
            let Some(line) = self.next_line()? else { return Ok(None) };
            let Some(record) = Record::parse(&line) else {
                // A blank line is what separates a torn one from the next (see the writer).
                self.skipped += 1;
                continue;
            };
            if self.options.until.is_some_and(|until| record.time > until) {
                return Ok(Some(Next::End));
            }
            let early = self.options.since.is_some_and(|since| record.time < since);
            let wanted = match record.stream {
                Stream::Stdout => self.options.stdout,
                Stream::Stderr => self.options.stderr,
            };
            if wanted && !early {
                return Ok(Some(Next::Record(record)));
            }
        }
    }

    fn next_line(&mut self) -> Result<Option<Vec<u8>>> {
        let read = |source| Error::Read { path: self.path.clone(), source };
        loop {
            let Some(front) = self.files.front_mut() else {
                self.files = self.files_after(None)?;
                if self.files.is_empty() {
                    return Ok(None);
                }
                continue;
            };
            if let Some(line) = front.next().map_err(read)? {
                return Ok(Some(line));
            }
            if self.files.len() == 1 {
                let newer = self.files_after(self.files.front().map(|lines| lines.id))?;
                if newer.is_empty() {
                    return Ok(None);
                }
                self.files.extend(newer);
                // It was renamed after its last line was written: one more look finds that line.
                if let Some(line) = self.files.front_mut().and_then(|front| front.next().transpose()) {
                    return line.map(Some).map_err(|source| Error::Read { path: self.path.clone(), source });
                }
            }
            self.files.pop_front();
        }
    }

    // The files newer than the one of that identity; all when there is none. Opened from the newest to the
    // oldest: a rotation in between shows one file twice, which its identity tells.
    fn files_after(&self, known: Option<FileId>) -> Result<VecDeque<Lines>> {
        let mut files: VecDeque<Lines> = VecDeque::new();
        for number in 0.. {
            let path = if number == 0 { self.path.clone() } else { rotated(&self.path, number) };
            let lines = match Lines::open(&path) {
                Ok(lines) => lines,
                // Between a rename and the creation of the new file there is no current one.
                Err(error) if error.kind() == io::ErrorKind::NotFound && number == 0 => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(source) => return Err(Error::Open { path, source }),
            };
            if Some(lines.id) == known {
                break;
            }
            if files.front().is_none_or(|newer| newer.id != lines.id) {
                files.push_front(lines);
            }
        }
        Ok(files)
    }

    fn seek_tail(&mut self) -> Result<()> {
        let Some(mut wanted) = self.options.tail else { return Ok(()) };
        let read = |source| Error::Read { path: self.path.clone(), source };
        let mut first = self.files.len();
        for (index, lines) in self.files.iter_mut().enumerate().rev() {
            let size = lines.file.metadata().map_err(read)?.len();
            let (offset, found) = last_lines(&lines.file, size, wanted).map_err(read)?;
            lines.offset = offset;
            wanted -= found;
            first = index;
            if wanted == 0 {
                break;
            }
        }
        self.files.drain(..first);
        Ok(())
    }

    fn is_past_until(&self) -> bool {
        self.options.until.is_some_and(|until| Timestamp::now() > until)
    }

    // How long until `until`, which ends a follower as well.
    fn remaining(&self) -> Option<Duration> {
        let until = self.options.until?.unix_nanoseconds();
        let left = (until - Timestamp::now().unix_nanoseconds()).max(0) as u64;
        Some(Duration::from_nanos(left) + Duration::from_millis(1))
    }
}

impl Iterator for Records {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Result<Record>> {
        loop {
            match self.try_next() {
                Ok(Next::Record(record)) => return Some(Ok(record)),
                Ok(Next::End) => return None,
                Ok(Next::Pending) => {
                    let limit = self.remaining();
                    let waited = self.watch.as_ref().map_or(Ok(()), |watch| watch.wait(limit));
                    if let Err(source) = waited {
                        self.ended = true;
                        return Some(Err(Error::Follow { path: self.path.clone(), source }));
                    }
                }
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
    }
}

impl Records {
    /// The descriptor to wait on while [`Records::try_next`] says `Pending`; `None` when not following.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.watch.as_ref().map(AsFd::as_fd)
    }
}

type FileId = (u64, u64);

// The lines of one file, from `offset` on.
#[derive(Debug)]
struct Lines {
    file: File,
    id: FileId,
    // Of the first byte after `buffer`.
    offset: u64,
    buffer: Vec<u8>,
    // What of `buffer` was given out.
    taken: usize,
    // How far `buffer` was searched for a newline.
    searched: usize,
}

impl Lines {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let id = (metadata.dev(), metadata.ino());
        Ok(Self { file, id, offset: 0, buffer: Vec::new(), taken: 0, searched: 0 })
    }

    // The next whole line without its newline.
    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(length) = self.buffer[self.searched..].iter().position(|&byte| byte == b'\n') {
                let end = self.searched + length;
                let line = self.buffer[self.taken..end].to_vec();
                self.taken = end + 1;
                self.searched = self.taken;
                return Ok(Some(line));
            }
            self.buffer.drain(..self.taken);
            self.taken = 0;
            self.searched = self.buffer.len();
            self.buffer.resize(self.searched + BLOCK, 0);
            let read = self.file.read_at(&mut self.buffer[self.searched..], self.offset);
            self.buffer.truncate(self.searched + *read.as_ref().unwrap_or(&0));
            let read = read?;
            self.offset += read as u64;
            if read == 0 {
                // Emptied by somebody (`truncate -s 0`): the writer appends from the start again.
                if self.offset > 0 && self.file.metadata()?.len() < self.offset {
                    self.offset = 0;
                    self.buffer.clear();
                    self.searched = 0;
                    continue;
                }
                return Ok(None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{JsonFile, JsonFileOptions};

    fn at(seconds: i64) -> Timestamp {
        Timestamp { seconds, nanoseconds: 0 }
    }

    fn texts(records: Records) -> Vec<String> {
        records.map(|record| String::from_utf8(record.unwrap().line).unwrap().trim_end().to_owned()).collect()
    }

    fn read(path: &Path, options: ReadOptions) -> Vec<String> {
        texts(Reader::open(path).unwrap().read(options, Stopper::new().unwrap()).unwrap())
    }

    fn rotating(path: &Path) -> JsonFile {
        let options = JsonFileOptions { max_size: Some(500), max_file: 4, ..JsonFileOptions::new(path) };
        JsonFile::open(options).unwrap()
    }

    #[test]
    fn all_files_from_the_oldest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        assert!(read(&path, ReadOptions::default()).is_empty());
        let mut log = rotating(&path);
        for number in 0..25 {
            let stream = if number % 2 == 0 { Stream::Stdout } else { Stream::Stderr };
            log.write(stream, format!("{number}\n").as_bytes(), at(number)).unwrap();
        }
        let numbers = |range: std::ops::Range<i64>| range.map(|n| n.to_string()).collect::<Vec<_>>();
        assert_eq!(read(&path, ReadOptions::default()), numbers(0..25));
        for tail in [0, 1, 3, 12, 24, 25, 99] {
            let options = ReadOptions { tail: Some(tail), ..Default::default() };
            assert_eq!(read(&path, options), numbers((25 - tail as i64).max(0)..25), "tail {tail}");
        }
        let options = ReadOptions { since: Some(at(5)), until: Some(at(8)), ..Default::default() };
        assert_eq!(read(&path, options), numbers(5..9));
        let options = ReadOptions { stdout: false, tail: Some(3), ..Default::default() };
        assert_eq!(read(&path, options), ["23"]);
    }

    #[test]
    fn damaged_lines_are_skipped_and_unfinished_ones_wait() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let good = r#"{"log":"good\n","stream":"stdout","attrs":{"a":"b"},"time":"2026-11-20T08:00:00Z"}"#;
        std::fs::write(&path, format!("{good}\n\0\0\0 junk\n{{\"log\":1}}\n{good}\n{{\"log\":\"unfin"))
            .unwrap();
        let mut records =
            Reader::open(&path).unwrap().read(ReadOptions::default(), Stopper::new().unwrap()).unwrap();
        let found: Vec<_> = records.by_ref().map(Result::unwrap).collect();
        assert_eq!((found.len(), records.skipped()), (2, 2));
        assert_eq!((found[0].line.as_slice(), found[0].attrs["a"].as_str()), (&b"good\n"[..], "b"));
    }

    #[test]
    fn following_sees_every_line_through_rotations_until_the_stop() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let stopper = Stopper::new().unwrap();
        let options = ReadOptions { follow: true, ..Default::default() };
        // The file is not there yet when following starts.
        let records = Reader::open(&path).unwrap().read(options, stopper.clone()).unwrap();
        let (count, counted) = std::sync::mpsc::channel();
        let follower = std::thread::spawn(move || {
            records
                .map(|r| String::from_utf8(r.unwrap().line).unwrap())
                .inspect(|_| count.send(()).unwrap())
                .count()
        });
        let mut log = rotating(&path);
        for number in 0..300 {
            log.write(Stream::Stdout, format!("line {number}\n").as_bytes(), at(number)).unwrap();
            // Only as many files as are kept can be followed: wait for the reader now and then.
            if number % 10 == 9 {
                (0..10).for_each(|_| counted.recv().unwrap());
            }
        }
        log.write(Stream::Stdout, b"last, without newline", at(300)).unwrap();
        log.finish(at(300)).unwrap();
        stopper.stopped();
        assert_eq!(follower.join().unwrap(), 301);
    }

    #[test]
    fn following_survives_truncation_and_cancels() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = JsonFile::open(JsonFileOptions::new(&path)).unwrap();
        log.write(Stream::Stdout, &b"a long line before\n".repeat(9), at(0)).unwrap();
        let stopper = Stopper::new().unwrap();
        let options = ReadOptions { follow: true, tail: Some(1), ..Default::default() };
        let mut records = Reader::open(&path).unwrap().read(options, stopper.clone()).unwrap();
        assert_eq!(records.next().unwrap().unwrap().line, b"a long line before\n");
        assert_eq!(records.try_next().unwrap(), Next::Pending);
        std::fs::File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        assert_eq!(records.try_next().unwrap(), Next::Pending);
        log.write(Stream::Stdout, b"after\n", at(1)).unwrap();
        assert_eq!(records.next().unwrap().unwrap().line, b"after\n");
        stopper.cancel();
        assert!(records.next().is_none());
    }
}
