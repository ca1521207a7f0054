//! The `local` driver: a directory, or a mount that its options describe.

use crate::{Error, Result, failed};
use hull_api_types::Map;
use hull_types::size::parse_binary;
use std::fs::{DirBuilder, File, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

/// A random name: 64 hexadecimal digits.
pub fn anonymous_name() -> io::Result<String> {
    hull_sys::random::hex::<32>()
}

/// Refuses options that make no volume, with Docker's words.
pub(crate) fn check_options(name: &str, options: &Map<String>) -> Result<()> {
    let wrong = |reason: String| Err(Error::Options { name: name.into(), reason });
    if let Some(unknown) =
        options.keys().find(|key| !matches!(key.as_str(), "type" | "device" | "o" | "size"))
    {
        return wrong(format!("invalid option: {unknown:?}"));
    }
    if let Some(size) = options.get("size") {
        if parse_binary(size).is_none() {
            return wrong(format!("invalid size: '{size}'"));
        }
        if options.len() > 1 {
            return wrong(
                "size is of a volume without a device; of a tmpfs it is a word of o: o=size=…".into(),
            );
        }
        return Ok(());
    }
    if options.is_empty() {
        return Ok(());
    }
    for key in ["device", "type"] {
        if options.get(key).is_none_or(String::is_empty) {
            return wrong(format!("missing required option: {key:?}"));
        }
    }
    Ok(())
}

/// Takes away a volume's directories that have nothing in them.
pub(crate) fn remove_empty(root: &Path, name: &str) {
    let directory = root.join(name);
    let _ = std::fs::remove_dir(directory.join("_data"));
    let _ = std::fs::remove_dir(directory);
}

/// Makes a directory of that mode unless it is there.
pub(crate) fn directory(path: &Path, mode: u32) -> Result<()> {
    match DirBuilder::new().mode(mode).create(path) {
        Ok(()) => std::fs::set_permissions(path, Permissions::from_mode(mode))
            .map_err(failed("set the mode of", path)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_directory(path) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = path.parent().ok_or_else(|| failed("make", path)(error))?;
            directory(parent, 0o711)?;
            directory(path, mode)
        }
        Err(error) => Err(failed("make", path)(error)),
    }
}

// Not a link to one: nobody but us should have made it.
fn is_directory(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir())
}

/// Removes a volume's directory with all in it.
pub(crate) fn remove(root: &Path, name: &str) -> Result<()> {
    let data = root.join(name).join("_data");
    crate::mounting::unmount(&data);
    if crate::mounting::is_mounted(&data) {
        // What is mounted there is not the volume's to remove.
        return Err(failed("unmount", &data)(io::ErrorKind::ResourceBusy.into()));
    }
    let directory = File::open(root).map_err(failed("open", root))?;
    hull_archive::remove_tree(directory.as_fd(), name.as_bytes()).map_err(|error| {
        let source =
            error.errno().map_or_else(|| io::Error::other(error.to_string()), io::Error::from_raw_os_error);
        Error::Path { act: "remove", path: root.join(name), source }
    })
}
