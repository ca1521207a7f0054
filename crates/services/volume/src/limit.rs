//! Volumes of a limited size: what lies in `_data` counts for a project of the file system's quotas.
//!
//! A project is a number that the file system knows nothing more of, and others may use some too: a volume gets one that
//! no row has and for which nothing is counted or limited.

use crate::{Record, Result, failed};
use hull_api_types::Map;
use hull_sys::quota;
use hull_types::size::parse_binary;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::Path;

/// Where projects begin; people and dockerd count from 1.
const FIRST: u32 = 1 << 20;

/// How large a volume may become; `None` if nobody said.
pub(crate) fn size(options: &Map<String>) -> Option<u64> {
    let bytes = parse_binary(options.get("size")?)?;
    u64::try_from(bytes).ok().filter(|bytes| *bytes > 0)
}

/// A project that is nobody's.
pub(crate) fn allot(root: &Path, taken: &BTreeSet<u32>) -> io::Result<u32> {
    let root = File::open(root)?;
    if !quota::is_enforced(&root) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    // After the last one: what a removed volume had may be counted a while longer, for files that are still open.
    let first = taken.last().map_or(FIRST, |last| last.saturating_add(1).max(FIRST));
    for project in (first..u32::MAX).filter(|project| !taken.contains(project)) {
        if quota::account(&root, project)?.is_empty() {
            return Ok(project);
        }
    }
    Err(io::ErrorKind::QuotaExceeded.into())
}

/// Lets a directory count for a project, which may take so much.
pub(crate) fn apply(data: &Path, project: u32, bytes: u64) -> io::Result<()> {
    let data = File::open(data)?;
    if !quota::is_enforced(&data) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    quota::set_limit(&data, project, bytes)?;
    quota::set_project(&data, project)
}

/// Takes a project's limit away: its volume is gone.
pub(crate) fn lift(root: &Path, project: u32) {
    let lifted = File::open(root).and_then(|root| quota::set_limit(root, project, 0));
    if let Err(error) = lifted {
        tracing::warn!(project, %error, "cannot take away the limit of a volume that is removed");
    }
}

/// Runs `act`, which writes into the volume, so that its limit holds for the daemon too.
pub(crate) fn within<T>(record: &Record, act: impl FnOnce() -> Result<T>) -> Result<T> {
    if record.project.is_none() {
        return act();
    }
    quota::within_limits(act).map_err(failed("write within the limit of", Path::new(&record.name)))?
}

/// Docker's words where the file system has no quotas.
pub(crate) fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::Unsupported => "quota size requested but no quota support".into(),
        _ => format!("cannot limit its size: {error}"),
    }
}
