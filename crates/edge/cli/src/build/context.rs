//! A directory as a context: walked once, without what `.dockerignore` leaves out.

use super::hashes::{self, Hashes};
use crate::failure::{Failure, file_error};
use hull_api_types::build::{ContextFile, ContextManifest};
use hull_dockerfile::Ignore;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A walked directory.
pub struct Directory {
    pub root: PathBuf,
    pub manifest: ContextManifest,
}

/// What is to be left out: the Dockerfile's own file, or the directory's.
pub fn ignore(root: &Path, dockerfile: Option<&Path>) -> Result<Ignore, Failure> {
    let (path, text) = ignore_text(root, dockerfile)?;
    Ignore::parse(&text).map_err(|error| Failure::new(format!("error reading {}: {error}", path.display())))
}

/// That file and its text, which is empty where there is none.
pub fn ignore_text(root: &Path, dockerfile: Option<&Path>) -> Result<(PathBuf, String), Failure> {
    let own = dockerfile.map(|path| PathBuf::from(format!("{}.dockerignore", path.display())));
    for path in own.into_iter().chain([root.join(".dockerignore")]) {
        match std::fs::read_to_string(&path) {
            Ok(text) => return Ok((path, text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(file_error("open", &path, &error).into()),
        }
    }
    Ok(Default::default())
}

/// Walks it.
pub fn walk(root: &Path, ignore: &Ignore) -> Result<Directory, Failure> {
    let root = root.canonicalize().map_err(|error| Failure::new(file_error("open", root, &error)))?;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = hashes::name_of(&format!("{host}\n{}", root.display()));
    let mut hashes = Hashes::load(&name);
    let mut files = Vec::new();
    step(&root, "", ignore, &mut hashes, &mut files)?;
    hashes.store();
    Ok(Directory { root, manifest: ContextManifest { name, files } })
}

fn step(
    directory: &Path,
    prefix: &str,
    ignore: &Ignore,
    hashes: &mut Hashes,
    files: &mut Vec<ContextFile>,
) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new(file_error("open", directory, &error));
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name().into_string();
        names.push(name.map_err(|name| {
            Failure::new(format!("{}: the file name {name:?} is not UTF-8", directory.display()))
        })?);
    }
    names.sort_unstable();
    for name in names {
        let path = directory.join(&name);
        let below = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        let ignored = ignore.ignores(&below);
        let data = match path.symlink_metadata() {
            Ok(data) => data,
            // It went while the directory was read.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(file_error("lstat", &path, &error).into()),
        };
        let mode = data.mode() & 0o7777;
        if data.is_dir() {
            if ignored && ignore.skips_directory(&below) {
                continue;
            }
            let at = files.len();
            files.push(ContextFile(below.clone(), 'd', mode, 0, String::new()));
            step(&path, &below, ignore, hashes, files)?;
            if ignored && files.len() == at + 1 {
                files.pop();
            }
        } else if ignored {
        } else if data.is_symlink() {
            let target = std::fs::read_link(&path)
                .map_err(|error| Failure::new(file_error("readlink", &path, &error)))?;
            let target = target.to_string_lossy().into_owned();
            files.push(ContextFile(below, 'l', 0o777, 0, target));
        } else if data.is_file() {
            let digest =
                hashes.of(&path, &data).map_err(|error| Failure::new(file_error("open", &path, &error)))?;
            files.push(ContextFile(below, 'f', mode, data.len(), hashes::hex(&digest)));
        }
    }
    Ok(())
}
