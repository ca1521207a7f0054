//! `update`: other limits.

use crate::Result;
use crate::state::Directory;
use hull_types::oci::runtime::Resources;
use std::path::Path;

/// Changes a container's limits; what is not said stays.
pub fn update(state_root: &Path, id: &str, resources: &Resources) -> Result<()> {
    let record = Directory::of(state_root, id)?.load(id)?;
    Ok(record.cgroup()?.update(resources)?)
}
