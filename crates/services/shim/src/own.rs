//! Hull's own runtime, in this process: the container's init is the shim's child from the start.

use std::path::PathBuf;

use hull_cgroup::Cgroup;
use hull_oci_runtime as runtime;
use hull_sys::LayerMounts;
use hull_task::protocol::{CreateOptions, Failure};
use hull_types::oci::runtime::{Process, Resources};

use crate::runtime::{Made, failed};
use crate::streams::ProcessEnds;

pub(crate) struct Own {
    id: String,
    state_root: PathBuf,
    cgroup: Option<Cgroup>,
}

impl Own {
    pub(crate) fn new(options: &CreateOptions) -> Self {
        Self { id: options.id.clone(), state_root: options.state_root.clone(), cgroup: None }
    }

    pub(crate) fn create(
        &mut self,
        options: &CreateOptions,
        layers: LayerMounts,
        ends: ProcessEnds,
    ) -> Result<Made, Failure> {
        let created = runtime::create(runtime::CreateOptions {
            id: self.id.clone(),
            bundle: options.bundle.clone(),
            state_root: self.state_root.clone(),
            rootfs: options.rootfs.clone(),
            layers,
            stdio: stdio(ends),
            no_pivot: options.no_pivot,
            ..Default::default()
        })
        .map_err(failed)?;
        for warning in &created.warnings {
            eprintln!("{warning}");
        }
        self.cgroup = runtime::cgroup(&self.state_root, &self.id).ok();
        Ok(Made { pid: created.pid, console: created.console })
    }

    pub(crate) fn start(&self) -> Result<(), Failure> {
        runtime::start(&self.state_root, &self.id).map_err(failed)
    }

    pub(crate) fn exec(&self, process: Process, ends: ProcessEnds) -> Result<Made, Failure> {
        let made = runtime::exec(runtime::ExecOptions {
            id: self.id.clone(),
            state_root: self.state_root.clone(),
            process,
            stdio: stdio(ends),
            ..Default::default()
        })
        .map_err(failed)?;
        Ok(Made { pid: made.pid, console: made.console })
    }

    pub(crate) fn kill_all(&self, signal: i32) -> Result<(), Failure> {
        runtime::kill(&self.state_root, &self.id, signal, true).map_err(failed)
    }

    pub(crate) fn pause(&self) -> Result<(), Failure> {
        runtime::pause(&self.state_root, &self.id).map_err(failed)
    }

    pub(crate) fn resume(&self) -> Result<(), Failure> {
        runtime::resume(&self.state_root, &self.id).map_err(failed)
    }

    pub(crate) fn update(&self, resources: &Resources) -> Result<(), Failure> {
        runtime::update(&self.state_root, &self.id, resources).map_err(failed)
    }

    pub(crate) fn pids(&self) -> Result<Vec<i32>, Failure> {
        runtime::ps(&self.state_root, &self.id).map_err(failed)
    }

    pub(crate) fn oom_killed(&self) -> bool {
        self.cgroup.as_ref().is_some_and(|cgroup| cgroup.oom_kills() > 0)
    }

    pub(crate) fn delete(&self) -> Result<(), Failure> {
        runtime::delete(&self.state_root, &self.id, true).map(drop).map_err(failed)
    }
}

fn stdio(ends: ProcessEnds) -> runtime::Stdio {
    runtime::Stdio { stdin: ends.stdin, stdout: ends.stdout, stderr: ends.stderr }
}
