//! `list` and `ps`.

use crate::state::{Directory, Record};
use crate::{Error, Result};
use hull_types::oci::runtime::State;
use std::path::{Path, PathBuf};

/// A container in the list.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its state.
    pub state: State,
    /// Its root file system on the host; where a snapshot is mounted inside, the configured path.
    pub rootfs: PathBuf,
    /// When it was created (RFC 3339).
    pub created: String,
}

/// All containers of a state root, by id. A damaged one is left out here; `delete --force` removes it.
pub fn list(state_root: &Path) -> Result<Vec<Listed>> {
    let failed = |source| Error::State { path: state_root.into(), source };
    let entries = match std::fs::read_dir(state_root) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        result => result.map_err(failed)?,
    };
    let mut all: Vec<Listed> = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        let Some(id) = name.to_str() else { continue };
        let Ok(directory) = Directory::of(state_root, id) else { continue };
        let Ok(record) = directory.load(id) else { continue };
        let listed = Listed::of(record, &directory);
        let place = all.partition_point(|other| other.state.id < listed.state.id);
        all.insert(place, listed);
    }
    Ok(all)
}

/// One container as the list has it.
pub fn listed(state_root: &Path, id: &str) -> Result<Listed> {
    let directory = Directory::of(state_root, id)?;
    Ok(Listed::of(directory.load(id)?, &directory))
}

impl Listed {
    fn of(record: Record, directory: &Directory) -> Self {
        let state = record.state(record.status(directory));
        Self { state, rootfs: record.rootfs, created: record.created }
    }
}

/// The ids, on the host, of a container's processes.
pub fn ps(state_root: &Path, id: &str) -> Result<Vec<i32>> {
    let record = Directory::of(state_root, id)?.load(id)?;
    Ok(record.cgroup()?.pids()?)
}
