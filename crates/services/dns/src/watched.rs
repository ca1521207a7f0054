//! A file that somebody else replaces, read again when it changed.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use hull_sys::rustix;
use rustix::fs::Stat;

// Within a tick of the file system's clock two states of a file can look the same: what was read so soon after the
// change is read once more.
const TICK_NANOSECONDS: i128 = 50_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    device: u64,
    inode: u64,
    size: i64,
    changed: i128,
}

#[derive(Debug)]
pub(crate) struct Watched<T> {
    path: PathBuf,
    seen: Option<Look>,
    settled: bool,
    pub(crate) value: Option<T>,
}

impl<T> Watched<T> {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, seen: None, settled: false, value: None }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Looks, and reads it if it is another than before. What can't be understood leaves the value as it was; a file
    /// that is gone leaves none.
    pub(crate) fn refresh(&mut self, parse: impl FnOnce(&str) -> Option<T>) -> bool {
        let Ok(stat) = rustix::fs::stat(&self.path) else {
            self.seen = None;
            return self.value.take().is_some();
        };
        if self.settled && self.seen == Some(look(&stat)) {
            return false;
        }
        let Ok((look, text)) = self.read() else { return false };
        (self.settled, self.seen) = (nanoseconds_now() > look.changed + TICK_NANOSECONDS, Some(look));
        match parse(&text) {
            Some(value) => {
                self.value = Some(value);
                true
            }
            None => false,
        }
    }

    /// Forgets what it holds until the next look.
    pub(crate) fn forget(&mut self) {
        (self.seen, self.value) = (None, None);
    }

    // The look is of the very file that is read.
    fn read(&self) -> io::Result<(Look, String)> {
        let mut file = File::open(&self.path)?;
        let look = look(&rustix::fs::fstat(&file)?);
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        Ok((look, text))
    }
}

#[allow(clippy::unnecessary_cast, reason = "the fields' types differ between architectures and libraries")]
fn look(stat: &Stat) -> Look {
    let changed = i128::from(stat.st_ctime) * 1_000_000_000 + i128::from(stat.st_ctime_nsec as i64);
    Look { device: stat.st_dev as u64, inode: stat.st_ino as u64, size: stat.st_size as i64, changed }
}

fn nanoseconds_now() -> i128 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_is_seen_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let (path, new) = (folder.path().join("file"), folder.path().join("new"));
        let mut watched = Watched::new(path.clone());
        let parse = |text: &str| text.parse::<u32>().ok();
        assert!(!watched.refresh(parse) && watched.value.is_none());
        for number in 0..2000 {
            std::fs::write(&new, format!("{number:04}")).unwrap();
            std::fs::rename(&new, &path).unwrap();
            watched.refresh(parse);
            assert_eq!(watched.value, Some(number));
        }
        std::fs::write(&path, "damaged").unwrap();
        watched.refresh(parse);
        assert_eq!(watched.value, Some(1999), "the last good one stays");
        std::fs::remove_file(&path).unwrap();
        assert!(watched.refresh(parse) && watched.value.is_none());
    }
}
