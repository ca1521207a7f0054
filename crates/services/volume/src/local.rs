//! The `local` driver: a directory, or a mount that its options describe.

use crate::{Error, Record, Result, failed};
use hull_api_types::Map;
use std::fs::{DirBuilder, File, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What a container mounts for a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeMount {
    /// Bind this directory.
    Bind {
        /// The volume's `_data` directory.
        source: PathBuf,
    },
    /// Mount a file system, as `type`, `device` and `o` of the volume say. With `bind` or `rbind` among the
    /// options it is a bind mount of `device`.
    Mount {
        /// The file system's type; may be empty or `none` for a bind mount.
        fstype: String,
        /// The device. For nfs `host:/path`; `:/path` with `addr=` among the options has the host put before it.
        device: String,
        /// Mount options.
        options: Vec<String>,
    },
}

/// A random name: 64 hexadecimal digits.
pub fn anonymous_name() -> io::Result<String> {
    hull_sys::random::hex::<32>()
}

/// Refuses options that make no mount, with Docker's words.
pub(crate) fn check_options(name: &str, options: &Map<String>) -> Result<()> {
    let wrong = |reason: String| Err(Error::Options { name: name.into(), reason });
    if let Some(unknown) =
        options.keys().find(|key| !matches!(key.as_str(), "type" | "device" | "o" | "size"))
    {
        return wrong(format!("invalid option: {unknown:?}"));
    }
    if options.contains_key("size") {
        return wrong("quota size requested but no quota support".into());
    }
    if options.is_empty() {
        return Ok(());
    }
    let given = |key: &str| options.get(key).is_some_and(|value| !value.is_empty());
    if !given("device") {
        return wrong("missing device in volume options".into());
    }
    let is_bind = options.get("o").is_some_and(|o| o.split(',').any(|o| matches!(o, "bind" | "rbind")));
    if !given("type") && !is_bind {
        return wrong("missing type in volume options".into());
    }
    Ok(())
}

/// What to mount for a volume.
pub(crate) fn mount_of(record: &Record, data: PathBuf) -> Result<VolumeMount> {
    if record.options.is_empty() {
        return Ok(VolumeMount::Bind { source: data });
    }
    let option = |key: &str| record.options.get(key).cloned().unwrap_or_default();
    let (fstype, mut device) = (option("type"), option("device"));
    let options: Vec<String> =
        option("o").split(',').filter(|text| !text.is_empty()).map(str::to_owned).collect();
    // The kernel wants the server's name in the device; who writes addr= leaves it out there.
    if fstype.starts_with("nfs")
        && device.starts_with(':')
        && let Some(address) = options.iter().find_map(|text| text.strip_prefix("addr="))
    {
        device.insert_str(0, address);
    }
    Ok(VolumeMount::Mount { fstype, device, options })
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
    let directory = File::open(root).map_err(failed("open", root))?;
    hull_archive::remove_tree(directory.as_fd(), name.as_bytes()).map_err(|error| {
        let source =
            error.errno().map_or_else(|| io::Error::other(error.to_string()), io::Error::from_raw_os_error);
        Error::Path { act: "remove", path: root.join(name), source }
    })
}
