//! What builds were: a row for each, and beside it a file of what it said. Of both only so much is kept.
//!
//! ```text
//!  begin ─► Recorder: note, note … ─► end     <root>/history/<ref>   what was said, a line of JSON each
//!                        └ dropped: called off                        then the row that names it
//! ```

use crate::build::{lock, new_id};
use crate::error::{Error, Result};
use hull_api_types::build::{BuildLogLine, BuildMessage, BuildRecord};
use hull_store::{Store, Table};
use hull_types::Timestamp;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// How many builds are remembered.
const MOST: usize = 50;
/// How much of what one says is kept.
const LOG_LIMIT: u64 = 2 << 20;

/// All that are remembered. Cheap to clone.
#[derive(Clone)]
pub struct History {
    inner: Arc<Inner>,
}

struct Inner {
    table: Table<BuildRecord>,
    root: PathBuf,
    /// Builds under way have no row yet.
    running: Mutex<BTreeMap<String, BuildRecord>>,
}

impl History {
    /// Opens it, without what a killed daemon left.
    pub(crate) fn open(store: &Store, root: &Path) -> Result<Self> {
        let table: Table<BuildRecord> = store.table("build-history");
        let root = root.join("history");
        std::fs::create_dir_all(&root).map_err(Error::io(format!("make {}", root.display())))?;
        let rows = table.keys()?;
        for entry in std::fs::read_dir(&root).into_iter().flatten().flatten() {
            if !rows.iter().any(|row| entry.file_name() == row.as_str()) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        Ok(Self { inner: Arc::new(Inner { table, root, running: Mutex::default() }) })
    }

    /// All, the newest first.
    pub fn list(&self) -> Result<Vec<BuildRecord>> {
        let mut all: Vec<BuildRecord> = lock(&self.inner.running).values().cloned().collect();
        for (key, row) in self.inner.table.list()? {
            match row {
                Ok(row) => all.push(row),
                // A record that can't be read is of no use to anybody.
                Err(_) => self.forget(&key)?,
            }
        }
        all.sort_by_key(|record| std::cmp::Reverse(record.created));
        Ok(all)
    }

    /// The file of what a build said.
    pub fn log(&self, reference: &str) -> Result<File> {
        self.known(reference)?;
        File::open(self.path(reference)).map_err(Error::io(format!("read the log of the build {reference}")))
    }

    /// Forgets a build that ended.
    pub fn remove(&self, reference: &str) -> Result<()> {
        self.known(reference)?;
        if lock(&self.inner.running).contains_key(reference) {
            return Err(Error::Invalid(format!("the build {reference} is under way")));
        }
        self.forget(reference)
    }

    /// Begins the record of a build.
    pub fn begin(&self, mut record: BuildRecord) -> Result<Recorder> {
        record.reference = new_id()?[..25].to_owned();
        record.created = Timestamp::now();
        let path = self.path(&record.reference);
        let file = File::create_new(&path).map_err(Error::io(format!("make {}", path.display())))?;
        let log = BufWriter::with_capacity(16 << 10, file);
        lock(&self.inner.running).insert(record.reference.clone(), record.clone());
        let history = self.clone();
        Ok(Recorder { history, record, log, written: 0, began: Instant::now(), ended: false })
    }

    fn known(&self, reference: &str) -> Result<()> {
        let running = lock(&self.inner.running).contains_key(reference);
        if running || self.inner.table.get(reference)?.is_some() {
            return Ok(());
        }
        Err(Error::NotFound(format!("no record found for ref {reference:?}")))
    }

    fn path(&self, reference: &str) -> PathBuf {
        self.inner.root.join(reference)
    }

    fn forget(&self, reference: &str) -> Result<()> {
        self.inner.table.remove(reference)?;
        let _ = std::fs::remove_file(self.path(reference));
        Ok(())
    }

    fn keep(&self, record: &BuildRecord) -> Result<()> {
        self.inner.table.put(&record.reference, record)?;
        lock(&self.inner.running).remove(&record.reference);
        let ended = self.list()?.into_iter().filter(|record| record.completed.is_some());
        ended.skip(MOST).try_for_each(|old| self.forget(&old.reference))
    }
}

/// The record of a build under way. Dropped before its end, it says that the build was called off.
pub struct Recorder {
    history: History,
    record: BuildRecord,
    log: BufWriter<File>,
    written: u64,
    began: Instant,
    ended: bool,
}

impl Recorder {
    /// What the build is called by.
    pub fn reference(&self) -> &str {
        &self.record.reference
    }

    /// Notes what the build says.
    pub fn note(&mut self, message: &BuildMessage) {
        match message {
            BuildMessage::Begin(step) if !step.name.is_empty() => self.record.steps += 1,
            BuildMessage::End { cached, .. } => {
                self.record.done = (self.record.done + 1).min(self.record.steps);
                self.record.cached = (self.record.cached + u32::from(*cached)).min(self.record.done);
            }
            BuildMessage::Done { image, .. } => {
                self.record.image.clone_from(image);
                self.ended = true;
            }
            BuildMessage::Error(error) => {
                self.record.error.clone_from(&error.message);
                self.ended = true;
            }
            _ => {}
        }
        let at = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let is_output = matches!(message, BuildMessage::Output { .. } | BuildMessage::Status { .. });
        if is_output && self.written > LOG_LIMIT {
            return;
        }
        self.write(&BuildLogLine { at, message: message.clone() });
        if let BuildMessage::Output { step, .. } = message
            && self.written > LOG_LIMIT
        {
            let text = format!("[output clipped, log limit {}MiB reached]\n", LOG_LIMIT >> 20);
            self.write(&BuildLogLine {
                at,
                message: BuildMessage::Output { step: *step, stderr: true, text },
            });
        }
    }

    fn write(&mut self, line: &BuildLogLine) {
        let mut bytes = serde_json::to_vec(line).unwrap_or_default();
        bytes.push(b'\n');
        self.written += bytes.len() as u64;
        // A build does not fail because nobody will be able to read what it said.
        if let Err(error) = self.log.write_all(&bytes) {
            tracing::debug!(%error, "what a build says could not be kept");
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.record.completed = Some(Timestamp::now());
        self.record.cancelled = !self.ended;
        let kept = self.log.flush().map_err(Error::io("write what a build said"));
        if let Err(error) = kept.and_then(|()| self.history.keep(&self.record)) {
            tracing::warn!(%error, "the record of a build could not be kept");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hull_api_types::build::BuildStep;

    fn message(text: &str) -> BuildMessage {
        BuildMessage::Output { step: 1, stderr: false, text: text.into() }
    }

    #[test]
    fn builds_are_remembered_with_what_they_said() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("db")).unwrap();
        let history = History::open(&store, directory.path()).unwrap();
        let mut first = history.begin(BuildRecord { target: "a".into(), ..BuildRecord::default() }).unwrap();
        let reference = first.reference().to_owned();
        assert!(history.list().unwrap()[0].completed.is_none());
        assert!(history.remove(&reference).is_err(), "it is under way");
        first.note(&BuildMessage::Begin(BuildStep {
            id: 1,
            name: "[1/1] RUN x".into(),
            ..BuildStep::default()
        }));
        first.note(&message("hello"));
        first.note(&BuildMessage::End { step: 1, cached: true });
        let (image, top) = ("sha256:1".to_owned(), String::new());
        first.note(&BuildMessage::Done { image, top, result: Box::default() });
        drop(first);
        drop(history.begin(BuildRecord::default()).unwrap());
        let history = History::open(&store, directory.path()).unwrap();
        let [second, first] = &history.list().unwrap()[..] else { panic!("two were built") };
        assert!(second.cancelled && !first.cancelled);
        assert_eq!((first.steps, first.done, first.cached, first.image.as_str()), (1, 1, 1, "sha256:1"));
        let said = std::io::read_to_string(history.log(&reference).unwrap()).unwrap();
        let line: BuildLogLine = serde_json::from_str(said.lines().nth(1).unwrap()).unwrap();
        assert_eq!(line.message, message("hello"));
        history.remove(&reference).unwrap();
        assert!(history.log(&reference).is_err() && history.remove(&reference).is_err());
        assert!(history.log("../db").is_err(), "a name is no path");
        std::fs::write(directory.path().join("history/orphan"), "").unwrap();
        History::open(&store, directory.path()).unwrap();
        assert!(!directory.path().join("history/orphan").exists());
    }

    #[test]
    fn only_so_much_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("db")).unwrap();
        let history = History::open(&store, directory.path()).unwrap();
        for _ in 0..MOST + 3 {
            drop(history.begin(BuildRecord::default()).unwrap());
        }
        assert_eq!(history.list().unwrap().len(), MOST);
        assert_eq!(std::fs::read_dir(directory.path().join("history")).unwrap().count(), MOST);
        let mut loud = history.begin(BuildRecord::default()).unwrap();
        let reference = loud.reference().to_owned();
        let line = message(&"x".repeat(1 << 20));
        (0..5).for_each(|_| loud.note(&line));
        drop(loud);
        let said = std::io::read_to_string(history.log(&reference).unwrap()).unwrap();
        assert!(said.len() < 3 << 20 && said.contains("output clipped"), "{}", said.len());
    }
}
