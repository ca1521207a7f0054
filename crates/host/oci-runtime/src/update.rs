//! `update`: other limits.

use crate::Result;
use crate::intel_rdt::{self, Made};
use crate::state::Directory;
use hull_types::oci::runtime::Resources;
use std::path::Path;

/// Changes a container's limits; what is not said stays.
pub fn update(state_root: &Path, id: &str, resources: &Resources) -> Result<()> {
    let record = Directory::of(state_root, id)?.load(id)?;
    let cgroup = record.cgroup()?;
    if !record.unit.is_empty() {
        hull_cgroup::Unit::named(&record.unit).update(resources, cgroup.is_unified())?;
    }
    Ok(cgroup.update(resources)?)
}

/// Changes the limits of a container's own class of service (Intel RDT): lines of its `schemata`, empty to leave them.
pub fn update_classes(state_root: &Path, id: &str, l3_cache: &str, memory_bandwidth: &str) -> Result<()> {
    let record = Directory::of(state_root, id)?.load(id)?;
    let made = Made { directories: record.classes };
    intel_rdt::update(intel_rdt::mount_point().as_deref(), &made, l3_cache, memory_bandwidth)
}
