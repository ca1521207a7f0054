//! `pause` and `resume`.

use crate::state::Directory;
use crate::{Error, Result};
use std::path::Path;

/// Freezes all processes of a container.
pub fn pause(state_root: &Path, id: &str) -> Result<()> {
    let record = Directory::of(state_root, id)?.load(id)?;
    if record.process().is_none() {
        return Err(Error::NotRunning);
    }
    let cgroup = record.cgroup()?;
    if cgroup.is_frozen()? {
        return Err(Error::AlreadyPaused);
    }
    Ok(cgroup.freeze()?)
}

/// Lets all processes of a container go on.
pub fn resume(state_root: &Path, id: &str) -> Result<()> {
    let record = Directory::of(state_root, id)?.load(id)?;
    if record.process().is_none() {
        return Err(Error::NotRunning);
    }
    let cgroup = record.cgroup()?;
    if !cgroup.is_frozen()? {
        return Err(Error::NotPaused);
    }
    Ok(cgroup.thaw()?)
}
