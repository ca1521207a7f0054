//! What `cp` makes of two paths. The rules are Docker's: a directory that is there takes the copy under its own
//! name; what isn't there becomes the copy; a path that ends in `/.` means the directory's contents.

use crate::container::options::devices::clean;
use crate::failure::Failure;
use std::io;
use std::path::{Path, PathBuf};

/// One of the command's two arguments.
#[derive(Debug, PartialEq, Eq)]
pub enum Side<'a> {
    /// `container:path`.
    Container {
        /// The container.
        name: &'a str,
        /// The path in it.
        path: &'a str,
    },
    /// A path here, or `-`.
    Local(&'a str),
}

/// Tells the two apart: a local path with a colon must begin with a slash or a dot.
pub fn split(argument: &str) -> Side<'_> {
    if argument.starts_with('/') {
        return Side::Local(argument);
    }
    match argument.split_once(':') {
        Some((name, path)) if !name.is_empty() && !name.starts_with('.') => Side::Container { name, path },
        _ => Side::Local(argument),
    }
}

/// A path on one of the sides, and what is known of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Thing {
    /// The path.
    pub path: String,
    /// Something is there.
    pub exists: bool,
    /// A directory is there.
    pub directory: bool,
    /// The name that the copy has instead of the path's own, where a link was followed.
    pub rebase: String,
}

/// Where an archive is to be unpacked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placing {
    /// The directory.
    pub directory: String,
    /// The first part of the members' names, and what it becomes.
    pub rename: Option<(String, String)>,
}

/// Decides it.
pub fn place(source: &Thing, target: &Thing) -> Result<Placing, Failure> {
    let (directory, base) = split_entry(&target.path);
    let (_, own) = split_entry(&source.path);
    // Members are named by the path that was packed, also where a link led to it.
    let renamed = Placing { directory, rename: Some((own.clone(), base)) };
    match (target.exists, target.directory) {
        (true, true) => {
            let rename = (!source.rebase.is_empty()).then(|| (own, source.rebase.clone()));
            Ok(Placing { directory: target.path.clone(), rename })
        }
        (true, false) if source.directory => Err("cannot copy directory".into()),
        (true, false) => Ok(renamed),
        (false, _) if source.directory => Ok(renamed),
        (false, _) if asserts_directory(&target.path) => Err("no such directory".into()),
        (false, _) => Ok(renamed),
    }
}

/// The directory and the name in it; a path that ends in a dot has the name `.`.
pub fn split_entry(path: &str) -> (String, String) {
    let cleaned = clean(path);
    if specifies_current(path) {
        return (cleaned, ".".into());
    }
    match cleaned.rsplit_once('/') {
        Some(("", "")) => ("/".into(), "/".into()),
        Some(("", name)) => ("/".into(), name.into()),
        Some((directory, name)) => (directory.into(), name.into()),
        None => (".".into(), cleaned),
    }
}

fn specifies_current(path: &str) -> bool {
    matches!(path.trim_end_matches('/').rsplit('/').next(), Some("."))
}
fn asserts_directory(path: &str) -> bool {
    path.ends_with('/') || specifies_current(path)
}

/// The path of what a link leads to: relative ones are relative to the link's directory.
pub fn link_target(link: &str, target: &str) -> String {
    if target.starts_with('/') {
        return target.to_owned();
    }
    clean(&format!("{}/{target}", split_entry(link).0))
}

/// A followed link's target with the end that the given path has, and the name to keep.
pub fn rebased(given: &str, resolved: &str) -> (String, String) {
    let mut resolved = resolved.to_owned();
    if specifies_current(given) && !specifies_current(&resolved) {
        resolved.push_str("/.");
    }
    if given.ends_with('/') && !resolved.ends_with('/') {
        resolved.push('/');
    }
    let base = |path: &str| path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
    let rebase = if base(given) == base(&resolved) { String::new() } else { base(given) };
    (resolved, rebase)
}

/// The absolute path with its end as it was given: `/` and `/.` at the end mean something here.
pub fn absolute_keeping_end(path: &str) -> String {
    let mut absolute = crate::container::options::volumes::absolute(path);
    if specifies_current(path) && !specifies_current(&absolute) {
        absolute.push_str("/.");
    } else if path.ends_with('/') && !absolute.ends_with('/') {
        absolute.push('/');
    }
    absolute
}

/// What is to be sent. Links before the last part of the path are followed always, the last one if asked for.
pub fn source(path: &str, follow: bool) -> Result<Thing, (PathBuf, io::Error)> {
    let failed = |at: &Path| {
        let at = at.to_owned();
        move |error| (at, error)
    };
    let (resolved, rebase) = if follow {
        let real = std::fs::canonicalize(path).map_err(failed(Path::new(path)))?;
        rebased(path, &real.to_string_lossy())
    } else {
        let bare = path.trim_end_matches('/');
        let (directory, base) = bare.rsplit_once('/').unwrap_or((".", bare));
        let directory = if directory.is_empty() { "/" } else { directory };
        let real = std::fs::canonicalize(directory).map_err(failed(Path::new(path)))?;
        let end = if path.ends_with('/') && !base.is_empty() { "/" } else { "" };
        (format!("{}/{base}{end}", real.to_string_lossy().trim_end_matches('/')), String::new())
    };
    // A path that ends in a slash asks for what the link leads to.
    let stat = std::fs::symlink_metadata(&resolved).map_err(failed(Path::new(&resolved)))?;
    Ok(Thing { path: resolved, exists: true, directory: stat.is_dir(), rebase })
}

const MOST_LINKS: usize = 10;

/// What is at the place here that the copy goes to. A link there is followed, also one that leads to nothing yet.
pub fn destination(path: &str) -> Result<Thing, String> {
    let mut at = path.to_owned();
    for _ in 0..=MOST_LINKS {
        let bare = clean(&at);
        match std::fs::symlink_metadata(&bare) {
            Ok(stat) if stat.is_symlink() => {
                let link = bare;
                let target = std::fs::read_link(&link)
                    .map_err(|error| crate::failure::file_error("readlink", &link, &error))?;
                at = link_target(&link, &target.to_string_lossy());
            }
            Ok(stat) => {
                if asserts_directory(&at) && !stat.is_dir() {
                    return Err(format!("stat {at}: not a directory"));
                }
                return Ok(Thing { path: at, exists: true, directory: stat.is_dir(), rebase: String::new() });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let parent = split_entry(&at).0;
                let stat = std::fs::metadata(&parent)
                    .map_err(|error| crate::failure::file_error("stat", &parent, &error))?;
                if !stat.is_dir() {
                    return Err("not a directory".into());
                }
                return Ok(Thing { path: at, ..Thing::default() });
            }
            Err(error) => return Err(crate::failure::file_error("lstat", &at, &error)),
        }
    }
    Err(format!("too many symlinks in {path:?}"))
}

/// A member's name with its first part renamed; `None` where the name doesn't begin with it.
pub fn rename(name: &[u8], old: &str, new: &str) -> Option<Vec<u8>> {
    if old == "/" || old.is_empty() {
        let rest = name.strip_prefix(b"/").unwrap_or(name);
        return Some([new.as_bytes(), b"/", rest].concat());
    }
    let rest = name.strip_prefix(old.as_bytes())?;
    (rest.is_empty() || rest.starts_with(b"/")).then(|| [new.as_bytes(), rest].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_told_apart() {
        assert_eq!(split("c:/x"), Side::Container { name: "c", path: "/x" });
        assert_eq!(split("/a:b"), Side::Local("/a:b"));
        assert_eq!(split("./a:b"), Side::Local("./a:b"));
        assert_eq!(split("-"), Side::Local("-"));
        assert_eq!(split(":x"), Side::Local(":x"));
    }

    #[test]
    fn the_copy_lands_where_dockers_does() {
        let file = |path: &str| Thing { path: path.into(), exists: true, ..Thing::default() };
        let directory = |path: &str| Thing { directory: true, ..file(path) };
        let absent = |path: &str| Thing { path: path.into(), ..Thing::default() };
        let shown = |source: &Thing, target: &Thing| match place(source, target) {
            Ok(Placing { directory, rename: None }) => directory,
            Ok(Placing { directory, rename: Some((old, new)) }) => format!("{directory} {old}>{new}"),
            Err(failure) => failure.message,
        };
        for (source, target, result) in [
            (file("/a/f"), directory("/d"), "/d"),
            (file("/a/f"), file("/d/g"), "/d f>g"),
            (file("/a/f"), absent("/d/g"), "/d f>g"),
            (file("/a/f"), absent("/d/g/"), "no such directory"),
            (directory("/a/s"), directory("/d"), "/d"),
            (directory("/a/s/."), directory("/d"), "/d"),
            (directory("/a/s"), absent("/d/n"), "/d s>n"),
            (directory("/a/s/."), absent("/d/n"), "/d .>n"),
            (directory("/"), absent("/d/n"), "/d />n"),
            (directory("/a/s"), file("/d/g"), "cannot copy directory"),
        ] {
            assert_eq!(shown(&source, &target), result, "{source:?} {target:?}");
        }
    }

    #[test]
    fn members_are_renamed_by_their_first_part() {
        assert_eq!(rename(b"s/x", "s", "n").unwrap(), b"n/x");
        assert_eq!(rename(b"s/", "s", "n").unwrap(), b"n/");
        assert_eq!(rename(b"s", "s", "n").unwrap(), b"n");
        assert_eq!(rename(b"./x", ".", "n").unwrap(), b"n/x");
        assert_eq!(rename(b"/bin/", "/", "n").unwrap(), b"n/bin/");
        assert_eq!(rename(b"sx", "s", "n"), None);
    }

    #[test]
    fn ends_of_paths_are_kept() {
        assert_eq!(absolute_keeping_end("/a/b/."), "/a/b/.");
        assert_eq!(absolute_keeping_end("/a/../b/"), "/b/");
        assert_eq!(split_entry("/a/b/."), ("/a/b".into(), ".".into()));
        assert_eq!(split_entry("/a/b/"), ("/a".into(), "b".into()));
        assert_eq!(rebased("/l", "/t/x"), ("/t/x".into(), "l".into()));
    }
}
