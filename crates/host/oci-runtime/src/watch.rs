//! `events`: what happens to a container.

use crate::state::Directory;
use crate::{Error, Result};
use hull_cgroup::{Cgroup, Stats};
use hull_sys::event_descriptor;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The container's process has ended.
    Ended,
    /// It ran out of memory.
    OutOfMemory,
    /// Nothing, for as long as was to be waited.
    Nothing,
}

/// A running container that is being watched.
#[derive(Debug)]
pub struct Watch {
    cgroup: Cgroup,
    process: OwnedFd,
    /// Hosts may have no memory controller.
    memory: Option<OwnedFd>,
    kills: u64,
}

/// Begins to watch a running container.
pub fn watch(state_root: &Path, id: &str) -> Result<Watch> {
    let record = Directory::of(state_root, id)?.load(id)?;
    let Some(process) = record.process() else { return Err(Error::NotRunning) };
    let cgroup = record.cgroup()?;
    let memory = cgroup.out_of_memory().ok();
    let kills = cgroup.oom_kills();
    Ok(Watch { cgroup, process, memory, kills })
}

impl Watch {
    /// What it uses now.
    pub fn stats(&self) -> Result<Stats> {
        Ok(self.cgroup.stats()?)
    }

    /// Waits for what happens next, at most until then.
    pub fn next(&mut self, until: Instant) -> Result<Event> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            // The kernel counts whole milliseconds: the last part of one is waited for too.
            let milliseconds = (left + Duration::from_micros(999)).as_millis() as u64;
            let mut fds = vec![self.process.as_fd()];
            fds.extend(self.memory.as_ref().map(AsFd::as_fd));
            let ready = event_descriptor::wait(&fds, milliseconds)
                .map_err(|source| Error::Prepare { what: "cannot wait for events", source })?;
            if ready[0] {
                return Ok(Event::Ended);
            }
            match &self.memory {
                Some(memory) if ready.get(1) == Some(&true) => event_descriptor::drain(memory.as_fd()),
                _ => return Ok(Event::Nothing),
            }
            let kills = self.cgroup.oom_kills();
            // Version 1 tells of a shortage itself; version 2 of many things, of which this one is looked for.
            if kills > self.kills || !self.cgroup.is_unified() && self.cgroup.exists() {
                self.kills = kills;
                return Ok(Event::OutOfMemory);
            }
        }
    }
}
