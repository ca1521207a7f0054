//! `delete`: nothing is left of a container.

use crate::state::{Directory, Record};
use crate::{Error, Result, hooks, intel_rdt};
use hull_cgroup::Unit;
use hull_sys::process;
use std::path::Path;

/// How long a killed process may take to end.
const PATIENCE_MILLISECONDS: i64 = 10_000;

/// Removes a container's cgroup and state. One that is not stopped is killed first if `force`, else refused.
///
/// With `force` a container that does not exist is deleted already. What is returned is to be warned of: hooks that
/// failed after all was gone.
pub fn delete(state_root: &Path, id: &str, force: bool) -> Result<Vec<String>> {
    let directory = Directory::of(state_root, id)?;
    let record = match directory.load(id) {
        Ok(record) => record,
        // What a killed `create` left, or nothing.
        Err(Error::NotFound(_)) if force => return directory.remove().map(|()| Vec::new()),
        Err(error) => return Err(error),
    };
    if let Some(pidfd) = record.process() {
        if !force {
            let status = record.status(&directory);
            return Err(Error::NotStopped { id: id.into(), status });
        }
        end(&record, &pidfd)?;
    }
    let cgroup = record.cgroup()?;
    // Without a pid namespace of their own, other processes outlive the first one.
    if !cgroup.pids()?.is_empty() {
        cgroup.kill_all()?;
    }
    cgroup.remove()?;
    if !record.unit.is_empty() {
        Unit::named(&record.unit).stop()?;
    }
    intel_rdt::Made { directories: record.classes.clone() }.remove();
    directory.remove()?;
    Ok(hooks::run_all("poststop", &record.poststop, &record.state("stopped")))
}

fn end(record: &Record, pidfd: &std::os::fd::OwnedFd) -> Result<()> {
    let signal = |source| Error::Signal { id: record.id.clone(), signal: 9, source };
    if let Ok(cgroup) = record.cgroup()
        && cgroup.is_frozen().unwrap_or(false)
    {
        let _ = process::pidfd_send_signal(pidfd, 9);
        let _ = cgroup.thaw();
    }
    process::pidfd_send_signal(pidfd, 9).map_err(signal)?;
    if !process::wait_exited(pidfd, PATIENCE_MILLISECONDS) {
        return Err(signal(std::io::ErrorKind::TimedOut.into()));
    }
    Ok(())
}
