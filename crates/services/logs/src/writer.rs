//! Writing: what the shim does with the container's output.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use hull_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Error, Result, Stream, encode};

/// The longest line that is one entry, without its newline.
pub const PARTIAL_SIZE: usize = 16 << 10;

// Entries are gathered up to this size before they are written.
const GATHER: usize = 32 << 10;

/// Where and how a log is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JsonFileOptions {
    /// The current file; rotated ones are `<path>.1`, `<path>.2` …
    pub path: PathBuf,
    /// The size from which on the file is rotated; `None` is never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size: Option<u64>,
    /// How many files there are at most, the current one included; with 1 a full file is thrown away.
    pub max_file: u32,
    /// Written with every entry.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attrs: BTreeMap<String, String>,
}

impl JsonFileOptions {
    /// A log at `path` that is never rotated.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), max_size: None, max_file: 1, attrs: BTreeMap::new() }
    }
}

/// An open log. Not for several threads or processes at once.
#[derive(Debug)]
pub struct JsonFile {
    options: JsonFileOptions,
    attrs: Vec<u8>,
    file: File,
    size: u64,
    // Entries that are not written yet; empty between calls.
    out: Vec<u8>,
    unfinished: [Unfinished; 2],
}

// A line whose end has not come yet.
#[derive(Debug, Default)]
struct Unfinished {
    // Less than `PARTIAL_SIZE`.
    bytes: Vec<u8>,
    // When its first part was written: all parts of a line bear that time.
    since: Option<Timestamp>,
}

impl JsonFile {
    /// Opens the log for appending and creates it, mode 0640, if it is not there.
    pub fn open(options: JsonFileOptions) -> Result<Self> {
        let (file, size) = open_file(&options.path)?;
        let attrs = if options.attrs.is_empty() {
            Vec::new()
        } else {
            serde_json::to_vec(&options.attrs).unwrap_or_default()
        };
        Ok(Self { options, attrs, file, size, out: Vec::new(), unfinished: Default::default() })
    }

    /// Adds what the container wrote. Whole lines are in the file when this returns; the rest waits for its end.
    pub fn write(&mut self, stream: Stream, bytes: &[u8], at: Timestamp) -> Result<()> {
        let mut rest = bytes;
        let time = at.to_string();
        while !rest.is_empty() {
            let held = self.unfinished[stream as usize].bytes.len();
            let part = &rest[..rest.len().min(PARTIAL_SIZE - held)];
            if let Some(end) = part.iter().position(|&byte| byte == b'\n') {
                self.entry(stream, &part[..end], true, at, &time)?;
                rest = &rest[end + 1..];
            } else if held + part.len() == PARTIAL_SIZE {
                self.entry(stream, part, false, at, &time)?;
                rest = &rest[part.len()..];
            } else {
                self.unfinished[stream as usize].bytes.extend_from_slice(part);
                rest = &[];
            }
        }
        self.flush()
    }

    /// Writes the unfinished lines as they are: no more output will come.
    pub fn finish(&mut self, at: Timestamp) -> Result<()> {
        for stream in [Stream::Stdout, Stream::Stderr] {
            if !self.unfinished[stream as usize].bytes.is_empty() {
                self.entry(stream, b"", false, at, &at.to_string())?;
            }
        }
        self.flush()
    }

    // One entry: what was held back of the line, and `tail`.
    fn entry(
        &mut self,
        stream: Stream,
        tail: &[u8],
        complete: bool,
        at: Timestamp,
        time: &str,
    ) -> Result<()> {
        if self.options.max_size.is_some_and(|max| self.size + self.out.len() as u64 >= max) {
            self.flush()?;
            self.rotate()?;
        }
        let unfinished = &mut self.unfinished[stream as usize];
        let earlier = unfinished.since.filter(|since| *since != at).map(|since| since.to_string());
        let time = earlier.as_deref().unwrap_or(time);
        encode::entry(&mut self.out, [&unfinished.bytes, tail], complete, stream, &self.attrs, time);
        unfinished.bytes.clear();
        unfinished.since = if complete { None } else { unfinished.since.or(Some(at)) };
        if self.out.len() >= GATHER { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let written = self.file.write_all(&self.out);
        self.size += self.out.len() as u64;
        // After a failure (a full disk) the entries are given up: keeping them would only grow.
        self.out.clear();
        self.out.shrink_to(GATHER * 2);
        written.map_err(|source| Error::Write { path: self.options.path.clone(), source })
    }

    fn rotate(&mut self) -> Result<()> {
        let path = &self.options.path;
        let failed = |source| Error::Rotate { path: path.clone(), source };
        if self.options.max_file < 2 {
            missing_is_fine(std::fs::remove_file(path)).map_err(failed)?;
        } else {
            for number in (1..self.options.max_file).rev() {
                let older = rotated(path, number);
                let newer = if number == 1 { path.clone() } else { rotated(path, number - 1) };
                missing_is_fine(std::fs::rename(newer, older)).map_err(failed)?;
            }
        }
        (self.file, self.size) = open_file(path)?;
        Ok(())
    }
}

/// The path of the `number`th oldest rotated file.
pub(crate) fn rotated(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

fn missing_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn open_file(path: &Path) -> Result<(File, u64)> {
    let open = |source| Error::Open { path: path.into(), source };
    let mut file =
        File::options().append(true).read(true).create(true).mode(0o640).open(path).map_err(open)?;
    let mut size = file.metadata().map_err(open)?.len();
    // A writer that died in the middle of a line: the next entry must not be glued to it.
    let mut last = [b'\n'];
    if size > 0 && file.read_at(&mut last, size - 1).is_ok() && last != [b'\n'] {
        file.write_all(b"\n").map_err(open)?;
        size += 1;
    }
    Ok((file, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(options: JsonFileOptions) -> JsonFile {
        JsonFile::open(options).unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp { seconds, nanoseconds: 5 }
    }

    fn logs(path: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.ends_with('\n'));
        text.lines()
            .map(|line| {
                serde_json::from_str::<serde_json::Value>(line).unwrap()["log"].as_str().unwrap().into()
            })
            .collect()
    }

    #[test]
    fn lines_are_entries_whatever_the_chunks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = open(JsonFileOptions::new(&path));
        log.write(Stream::Stdout, b"one\ntw", at(0)).unwrap();
        log.write(Stream::Stderr, b"err\n", at(1)).unwrap();
        log.write(Stream::Stdout, b"o\n\nrest", at(2)).unwrap();
        assert_eq!(logs(&path), ["one\n", "err\n", "two\n", "\n"]);
        log.finish(at(3)).unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap().lines().last().unwrap(),
            r#"{"log":"rest","stream":"stdout","time":"1970-01-01T00:00:03.000000005Z"}"#
        );
    }

    #[test]
    fn long_lines_are_split_at_16_kib() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = open(JsonFileOptions::new(&path));
        let long = [vec![b'x'; PARTIAL_SIZE * 2 + 3], b"\n".to_vec()].concat();
        for (number, chunk) in long.chunks(5000).enumerate() {
            log.write(Stream::Stdout, chunk, at(number as i64)).unwrap();
        }
        log.write(Stream::Stdout, &[vec![b'y'; PARTIAL_SIZE - 1], b"\nz\n".to_vec()].concat(), at(9))
            .unwrap();
        log.write(Stream::Stdout, &[vec![b'w'; PARTIAL_SIZE], b"\n".to_vec()].concat(), at(9)).unwrap();
        let lengths: Vec<_> = logs(&path).iter().map(String::len).collect();
        assert_eq!(lengths, [PARTIAL_SIZE, PARTIAL_SIZE, 4, PARTIAL_SIZE, 2, PARTIAL_SIZE, 1]);
        // All parts of a line bear the time of its first entry.
        let text = std::fs::read_to_string(&path).unwrap();
        let times: Vec<_> = text.lines().take(3).map(|l| l.rsplit_once("time").unwrap().1).collect();
        assert!(times[0] == times[1] && times[1] == times[2], "{times:?}");
    }

    #[test]
    fn full_files_are_rotated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let options = JsonFileOptions { max_size: Some(300), max_file: 3, ..JsonFileOptions::new(&path) };
        let mut log = open(options.clone());
        for number in 0..40 {
            log.write(Stream::Stdout, format!("line {number}\n").as_bytes(), at(number)).unwrap();
        }
        let mut all = logs(&rotated(&path, 2));
        all.extend(logs(&rotated(&path, 1)));
        all.extend(logs(&path));
        assert_eq!(all.last().unwrap(), "line 39\n");
        let first: usize = all[0].trim().rsplit_once(' ').unwrap().1.parse().unwrap();
        assert_eq!(all.len(), 40 - first);
        assert!(!rotated(&path, 3).exists());
        let single = JsonFileOptions { max_file: 1, ..options };
        open(single).write(Stream::Stdout, &b"again\n".repeat(20), at(0)).unwrap();
        assert!(std::fs::metadata(&path).unwrap().len() < 400);
    }

    #[test]
    fn a_torn_line_is_not_glued_to_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, "{\"log\":\"tor").unwrap();
        open(JsonFileOptions::new(&path)).write(Stream::Stdout, b"whole\n", at(0)).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("{\"log\":\"tor\n{\"log\":\"whole\\n\""), "{text}");
    }
}
