//! The file of a network's names as its one writer keeps it: a change costs a line, however many are in the network.
//!
//! Lines are appended, each by one write, and readers take whole lines only. Once most lines are dead, or something
//! else than coming and going happened, the file is replaced by rename.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;

use crate::table::{COMES, Entry, FIRST_LINE, GOES};

// So many dead lines are kept however few live ones there are.
const DEAD_AT_LEAST: usize = 64;

/// The names of a network, by whatever tells its endpoints apart.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    records: BTreeMap<String, String>,
    dead: usize,
    // A write failed: nobody knows how the file ends.
    broken: bool,
}

impl Journal {
    /// Writes the whole file. Entries with names that can't be asked for, or without addresses, are left out.
    pub fn create(path: PathBuf, entries: impl IntoIterator<Item = (String, Entry)>) -> io::Result<Self> {
        let records = entries.into_iter().filter_map(|(key, entry)| Some((key, entry.record()?)));
        let mut journal = Self { path, records: records.collect(), dead: 0, broken: true };
        journal.rewrite()?;
        Ok(journal)
    }

    /// An endpoint has come, has other names or addresses than before, or is gone (`None`). The answer is how many
    /// bytes were written for it.
    pub fn set(&mut self, key: &str, entry: Option<&Entry>) -> io::Result<usize> {
        let record = entry.and_then(Entry::record);
        let before = self.records.get(key);
        if before == record.as_ref() {
            return if self.broken { self.rewrite() } else { Ok(0) };
        }
        let line = match (before, &record) {
            (None, Some(record)) => Some(format!("{COMES}{record}\n")),
            (Some(before), None) => Some(format!("{GOES}{before}\n")),
            // Nobody is to see the time between.
            _ => None,
        };
        match record {
            Some(record) => drop(self.records.insert(key.to_owned(), record)),
            None => drop(self.records.remove(key)),
        }
        match line {
            Some(line) if !self.broken && self.dead <= DEAD_AT_LEAST.max(2 * self.records.len()) => {
                self.append(&line)
            }
            _ => self.rewrite(),
        }
    }

    fn append(&mut self, line: &str) -> io::Result<usize> {
        if line.starts_with(GOES) {
            self.dead += 2;
        }
        self.broken = true;
        let mut file = OpenOptions::new().append(true).open(&self.path)?;
        if file.write(line.as_bytes())? < line.len() {
            return self.rewrite();
        }
        self.broken = false;
        Ok(line.len())
    }

    fn rewrite(&mut self) -> io::Result<usize> {
        self.broken = true;
        let mut text = format!("{FIRST_LINE}\n");
        for record in self.records.values() {
            text.push(COMES);
            text.push_str(record);
            text.push('\n');
        }
        let new = self.path.with_extension("new");
        std::fs::write(&new, &text)?;
        std::fs::rename(&new, &self.path)?;
        (self.dead, self.broken) = (0, false);
        Ok(text.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::followed::Followed;

    fn entry(number: usize) -> (String, Entry) {
        let address = format!("10.1.{}.{}", number / 250, number % 250 + 1).parse().unwrap();
        let names = vec![format!("c{number}"), "all".to_owned(), format!("{number:012x}")];
        (format!("{number:064x}"), Entry { addresses: vec![address], names })
    }

    fn holds(followed: &Followed, number: usize) -> bool {
        followed.value.as_ref().unwrap().addresses(&format!("c{number}")).is_some()
    }

    #[test]
    fn the_thousandth_costs_as_the_first_to_writer_and_reader() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("names");
        let mut journal = Journal::create(path.clone(), []).unwrap();
        let mut reader = Followed::new(path);
        reader.refresh();
        for number in 0..1000 {
            let (key, entry) = entry(number);
            let written = journal.set(&key, Some(&entry)).unwrap();
            assert!(written < 50, "{written} bytes for the {number}th");
            assert_eq!(reader.refresh(), written, "the reader reads what is new");
            assert!(holds(&reader, number));
        }
        assert_eq!(reader.value.as_ref().unwrap().addresses("all").unwrap().len(), 1000);
        assert_eq!(reader.refresh(), 0);
        let (key, entry) = entry(500);
        assert_eq!(journal.set(&key, Some(&entry)).unwrap(), 0, "it is there already");
        assert!(journal.set(&key, None).unwrap() < 50);
        reader.refresh();
        assert!(!holds(&reader, 500) && holds(&reader, 501));
        assert_eq!(reader.value.as_ref().unwrap().addresses("all").unwrap().len(), 999);
        assert_eq!(reader.value.as_ref().unwrap().name_of(entry.addresses[0]), None);
    }

    #[test]
    fn what_is_dead_is_written_off_and_readers_follow() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("names");
        let mut journal = Journal::create(path.clone(), [entry(1), entry(2)]).unwrap();
        let mut reader = Followed::new(path.clone());
        let mut written = 0;
        for round in 0..5000 {
            let (key, entry) = entry(3 + round % 7);
            for entry in [Some(&entry), None] {
                written += journal.set(&key, entry).unwrap();
                reader.refresh();
                assert_eq!(holds(&reader, 3 + round % 7), entry.is_some());
                assert!(holds(&reader, 1) && holds(&reader, 2));
            }
            assert!(std::fs::metadata(&path).unwrap().len() < 8192, "the file stays small");
        }
        assert!(written < 10_000 * 60, "{written} bytes for 10,000 changes");
    }

    #[test]
    fn a_new_name_is_seen_without_a_time_between() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("names");
        let (key, mut entry) = entry(1);
        let mut journal = Journal::create(path.clone(), [(key.clone(), entry.clone())]).unwrap();
        entry.names[0] = "renamed".into();
        journal.set(&key, Some(&entry)).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2, "replaced, not appended to: {text}");
        assert!(text.contains("renamed"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        // The file is lost: the next change brings all of it back.
        std::fs::remove_file(&path).unwrap();
        let (other, second) = super::tests::entry(2);
        assert!(journal.set(&other, Some(&second)).is_err());
        journal.set(&other, Some(&second)).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 3);
    }
}
