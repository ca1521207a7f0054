//! A network's names as a reader follows them: of a file that grew only what is new is read.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::table::Names;

// Of a file that was read while somebody wrote it so much at most.
const LONGEST: u64 = 64 << 20;

#[derive(Debug)]
struct Source {
    // While it is held no other file has its number.
    file: File,
    device: u64,
    inode: u64,
    /// Up to here it was read: the end of a line.
    read: u64,
    /// It was so long then; more than `read` where the last line was not whole.
    length: u64,
    /// Something in it is not understood: it is read from the start once it changes.
    strange: bool,
}

#[derive(Debug)]
pub(crate) struct Followed {
    path: PathBuf,
    source: Option<Source>,
    pub(crate) value: Option<Names>,
}

impl Followed {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, source: None, value: None }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Looks, and reads what is new; how many bytes that was. What can't be understood leaves the names as they were;
    /// a file that is gone leaves none.
    pub(crate) fn refresh(&mut self) -> usize {
        let Ok(now) = std::fs::metadata(&self.path) else {
            (self.source, self.value) = (None, None);
            return 0;
        };
        match &self.source {
            Some(source) if (source.device, source.inode) == (now.dev(), now.ino()) => {
                if now.len() == source.length {
                    return 0;
                }
                if now.len() > source.length && !source.strange {
                    return self.read_on().unwrap_or(0);
                }
            }
            _ => {}
        }
        self.read_all().unwrap_or(0)
    }

    fn read_all(&mut self) -> io::Result<usize> {
        let file = File::open(&self.path)?;
        let metadata = file.metadata()?;
        let (device, inode) = (metadata.dev(), metadata.ino());
        let text = lines_from(&file, 0, metadata.len())?;
        let names = Names::read(&text).ok();
        let strange = names.is_none();
        let read = text.len() as u64;
        self.source = Some(Source { file, device, inode, read, length: metadata.len(), strange });
        self.value = names.or(self.value.take());
        Ok(text.len())
    }

    fn read_on(&mut self) -> io::Result<usize> {
        let (Some(source), Some(names)) = (&mut self.source, &mut self.value) else { return Ok(0) };
        source.length = source.file.metadata()?.len();
        let text = lines_from(&source.file, source.read, source.length)?;
        source.read += text.len() as u64;
        source.strange = names.follow(&text).is_err();
        Ok(text.len())
    }
}

/// The whole lines between two places.
fn lines_from(file: &File, from: u64, to: u64) -> io::Result<String> {
    let mut bytes = vec![0; to.saturating_sub(from).min(LONGEST) as usize];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], from + filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    let whole = bytes[..filled].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    bytes.truncate(whole);
    String::from_utf8(bytes).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn has(followed: &Followed, name: &str) -> bool {
        followed.value.as_ref().is_some_and(|names| names.addresses(name).is_some())
    }

    #[test]
    fn only_whole_lines_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("names");
        std::fs::write(&path, "hull-names 2\n+10.0.0.1 a\n+10.0.0.2 b").unwrap();
        let mut followed = Followed::new(path.clone());
        followed.refresh();
        assert!(has(&followed, "a") && !has(&followed, "b"));
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(b"b\n").unwrap();
        assert_eq!(followed.refresh(), "+10.0.0.2 bb\n".len());
        assert!(has(&followed, "a") && has(&followed, "bb"));
    }

    #[test]
    fn what_is_not_understood_leaves_the_names_until_it_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (path, new) = (folder.path().join("names"), folder.path().join("new"));
        std::fs::write(&path, "hull-names 2\n+10.0.0.1 a\n").unwrap();
        let mut followed = Followed::new(path.clone());
        followed.refresh();
        std::fs::write(&new, "hull-names 9\nwhatever\n").unwrap();
        std::fs::rename(&new, &path).unwrap();
        followed.refresh();
        assert!(has(&followed, "a"), "the last good ones stay");
        std::fs::write(&new, "hull-names 2\n+10.0.0.1 c\n").unwrap();
        std::fs::rename(&new, &path).unwrap();
        followed.refresh();
        assert!(has(&followed, "c") && !has(&followed, "a"));
        std::fs::remove_file(&path).unwrap();
        followed.refresh();
        assert!(followed.value.is_none());
    }

    #[test]
    fn every_replacement_is_seen_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let (path, new) = (folder.path().join("names"), folder.path().join("new"));
        let mut followed = Followed::new(path.clone());
        for number in 0..2000 {
            std::fs::write(&new, format!("hull-names 2\n+10.0.0.1 c{number:04}\n")).unwrap();
            std::fs::rename(&new, &path).unwrap();
            followed.refresh();
            assert!(has(&followed, &format!("c{number:04}")));
        }
    }
}
