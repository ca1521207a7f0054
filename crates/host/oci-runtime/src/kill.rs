//! `kill`: a signal to the container's process, or to all of them.

use crate::state::Directory;
use crate::{Error, Result};
use hull_sys::process;
use std::path::Path;

const SIGKILL: i32 = 9;

/// Sends a signal to the container's process, or with `all` to every process in its cgroup.
pub fn kill(state_root: &Path, id: &str, signal: i32, all: bool) -> Result<()> {
    let directory = Directory::of(state_root, id)?;
    let record = directory.load(id)?;
    let failed = |source| Error::Signal { id: id.into(), signal, source };
    if all {
        let cgroup = record.cgroup()?;
        if signal == SIGKILL {
            return Ok(cgroup.kill_all()?);
        }
        for pid in cgroup.pids()? {
            match process::kill(pid, signal) {
                Err(error) if error.raw_os_error() != Some(3) => return Err(failed(error)),
                _ => {}
            }
        }
        return Ok(());
    }
    let Some(pidfd) = record.process() else { return Err(Error::NotRunning) };
    process::pidfd_send_signal(&pidfd, signal).map_err(failed)?;
    // On version 1 a frozen process does not die of SIGKILL until it is thawed.
    if signal == SIGKILL
        && let Ok(cgroup) = record.cgroup()
        && cgroup.unified().is_none()
    {
        let _ = cgroup.thaw();
    }
    Ok(())
}
