//! What runs the container: Hull's own runtime in this process, or another one by its command line.

use std::fmt::Display;
use std::os::fd::OwnedFd;

use hull_sys::LayerMounts;
use hull_task::protocol::{CreateOptions, Failure, FailureKind, RuntimeKind};
use hull_types::oci::runtime::{Process, Resources};

use crate::foreign::Foreign;
use crate::own::Own;
use crate::streams::ProcessEnds;

/// A process that the runtime made: a child of the shim.
pub(crate) struct Made {
    pub(crate) pid: i32,
    /// The master of its terminal.
    pub(crate) console: Option<OwnedFd>,
}

pub(crate) enum Runtime {
    Own(Own),
    Foreign(Foreign),
}

impl Runtime {
    pub(crate) fn new(options: &CreateOptions, layers: &LayerMounts) -> Result<Self, Failure> {
        match &options.runtime {
            RuntimeKind::Hull => Ok(Self::Own(Own::new(options))),
            RuntimeKind::Command { path, options: before, root } => {
                Foreign::new(options, layers, path, before, root).map(Self::Foreign)
            }
        }
    }

    /// Makes the container; its process waits for [`Runtime::start`].
    pub(crate) fn create(
        &mut self,
        options: &CreateOptions,
        layers: LayerMounts,
        ends: ProcessEnds,
    ) -> Result<Made, Failure> {
        match self {
            Self::Own(own) => own.create(options, layers, ends),
            Self::Foreign(foreign) => foreign.create(options, ends),
        }
    }

    pub(crate) fn start(&self) -> Result<(), Failure> {
        match self {
            Self::Own(own) => own.start(),
            Self::Foreign(foreign) => foreign.run(&["start"]),
        }
    }

    pub(crate) fn exec(&self, exec_id: &str, process: Process, ends: ProcessEnds) -> Result<Made, Failure> {
        match self {
            Self::Own(own) => own.exec(process, ends),
            Self::Foreign(foreign) => foreign.exec(exec_id, &process, ends),
        }
    }

    /// Sends a signal to every process of the container.
    pub(crate) fn kill_all(&self, signal: i32) -> Result<(), Failure> {
        match self {
            Self::Own(own) => own.kill_all(signal),
            Self::Foreign(foreign) => foreign.kill_all(signal),
        }
    }

    pub(crate) fn pause(&self) -> Result<(), Failure> {
        match self {
            Self::Own(own) => own.pause(),
            Self::Foreign(foreign) => foreign.run(&["pause"]),
        }
    }

    pub(crate) fn resume(&self) -> Result<(), Failure> {
        match self {
            Self::Own(own) => own.resume(),
            Self::Foreign(foreign) => foreign.run(&["resume"]),
        }
    }

    pub(crate) fn update(&self, resources: &Resources) -> Result<(), Failure> {
        match self {
            Self::Own(own) => own.update(resources),
            Self::Foreign(foreign) => foreign.update(resources),
        }
    }

    pub(crate) fn pids(&self) -> Result<Vec<i32>, Failure> {
        match self {
            Self::Own(own) => own.pids(),
            Self::Foreign(foreign) => foreign.pids(),
        }
    }

    /// Whether the kernel killed something in the container for want of memory.
    pub(crate) fn oom_killed(&self) -> bool {
        match self {
            Self::Own(own) => own.oom_killed(),
            Self::Foreign(foreign) => foreign.oom_killed(),
        }
    }

    /// Removes the runtime's state and the cgroup.
    pub(crate) fn delete(&self) -> Result<(), Failure> {
        match self {
            Self::Own(own) => own.delete(),
            Self::Foreign(foreign) => foreign.delete(),
        }
    }
}

pub(crate) fn failed(error: impl Display) -> Failure {
    Failure::new(FailureKind::Failed, error.to_string())
}
