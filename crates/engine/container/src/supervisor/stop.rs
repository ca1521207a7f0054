//! Stopping, killing, freezing: signals sent now, and a note of what to do at the exit.

use super::{Reply, Supervisor, libc_kill};
use crate::error::{Error, Result};
use crate::options::RemoveOptions;
use crate::record::Phase;
use crate::spec;
use hull_api_types::{ContainerUpdateRequest, ContainerUpdateResponse, Resources};
use hull_types::signal;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const TERM: i32 = 15;

/// Who waits for the exit, and for what.
pub(super) enum AfterExit {
    Stopped(Reply<()>),
    Killed(Reply<()>),
    Started(Reply<()>),
    Removed(RemoveOptions, Reply<()>),
}

impl Supervisor {
    fn stop_signal(&self) -> i32 {
        signal::parse(&self.spec.config.stop_signal).unwrap_or(TERM)
    }

    pub(super) async fn stop(&mut self, signal: Option<i32>, timeout: Option<i64>, after: AfterExit) {
        if self.phase() == Phase::Restarting {
            self.cancel_restart();
            self.answer_stopped(after);
            return;
        }
        let Some(live) = &self.live else {
            if let AfterExit::Stopped(reply) = after {
                let _ = reply.send(Err(Error::NotModified(self.spec.id.clone())));
            }
            return;
        };
        let task = live.task.clone();
        self.after_exit.push(after);
        self.note_stopped_by_hand();
        let signal = signal.unwrap_or_else(|| self.stop_signal());
        // What fails here is that it exited just now: the exit is on its way.
        let _ = task.kill(signal, false).await;
        self.engine.event(&self.spec, "kill", &[("signal", signal.to_string())]);
        if self.phase() == Phase::Paused {
            let _ = task.resume().await;
        }
        let seconds = timeout.or(self.spec.config.stop_timeout).unwrap_or(self.engine.config().stop_timeout);
        if let Ok(seconds) = u64::try_from(seconds) {
            let at = Instant::now() + Duration::from_secs(seconds.min(u64::from(u32::MAX)));
            self.kill_at = Some(self.kill_at.map_or(at, |known| known.min(at)));
        }
    }

    fn answer_stopped(&mut self, after: AfterExit) {
        match after {
            AfterExit::Stopped(reply) | AfterExit::Killed(reply) => {
                let _ = reply.send(Ok(()));
            }
            AfterExit::Started(_) | AfterExit::Removed(..) => self.after_exit.push(after),
        }
    }

    pub(super) async fn restart(&mut self, signal: Option<i32>, timeout: Option<i64>, reply: Reply<()>) {
        if self.live.is_some() {
            self.stop(signal, timeout, AfterExit::Started(reply)).await;
            return;
        }
        self.restart_at = None;
        if self.phase() == Phase::Restarting {
            self.state.phase = Phase::Exited;
        }
        let result = self.start_by_hand().await;
        if result.is_ok() {
            self.engine.event(&self.spec, "restart", &[]);
        }
        let _ = reply.send(result);
    }

    pub(super) async fn kill(&mut self, signal: i32, reply: Reply<()>) {
        if self.phase() == Phase::Restarting {
            self.cancel_restart();
            let _ = reply.send(Ok(()));
            return;
        }
        let Some(live) = &self.live else {
            let _ = reply.send(Err(self.not_running()));
            return;
        };
        let task = live.task.clone();
        let own = signal::parse(&self.spec.config.stop_signal);
        let stops = signal == libc_kill() || own.is_none_or(|own| own == signal);
        if stops {
            self.note_stopped_by_hand();
        }
        if let Err(error) = task.kill(signal, false).await {
            let _ = reply.send(Err(Error::service(error)));
            return;
        }
        self.engine.event(&self.spec, "kill", &[("signal", signal.to_string())]);
        if stops && self.phase() == Phase::Paused {
            let _ = task.resume().await;
        }
        if signal == libc_kill() {
            // Docker answers once it is dead.
            self.after_exit.push(AfterExit::Killed(reply));
        } else {
            let _ = reply.send(Ok(()));
        }
    }

    /// Kills it, whatever it does, for its removal.
    pub(super) async fn kill_for_removal(&mut self, options: RemoveOptions, reply: Reply<()>) {
        let Some(live) = &self.live else { return };
        let (task, paused) = (live.task.clone(), self.phase() == Phase::Paused);
        self.after_exit.push(AfterExit::Removed(options, reply));
        self.state.manually_stopped = true;
        let _ = task.kill(libc_kill(), false).await;
        self.engine.event(&self.spec, "kill", &[("signal", libc_kill().to_string())]);
        if paused {
            let _ = task.resume().await;
        }
    }

    // A daemon that dies now must not take the coming exit for one that the policy answers.
    fn note_stopped_by_hand(&mut self) {
        self.state.manually_stopped = true;
        if self.spec.host_config.restart_policy.name != "no" {
            self.record();
        }
    }

    fn cancel_restart(&mut self) {
        self.restart_at = None;
        self.state.phase = Phase::Exited;
        self.state.manually_stopped = true;
        self.record();
        self.engine.event(&self.spec, "stop", &[]);
    }

    pub(super) async fn pause(&mut self) -> Result<()> {
        match self.phase() {
            Phase::Paused => {
                return Err(Error::conflict(format!("container {} is already paused", self.spec.id)));
            }
            Phase::Restarting => {
                return Err(Error::conflict(format!(
                    "container {} is restarting, wait until the container is running",
                    self.spec.id
                )));
            }
            _ => {}
        }
        self.require_task()?.pause().await.map_err(Error::service)?;
        self.state.phase = Phase::Paused;
        self.record();
        self.engine.event(&self.spec, "pause", &[]);
        Ok(())
    }

    pub(super) async fn unpause(&mut self) -> Result<()> {
        if self.phase() != Phase::Paused {
            return Err(Error::conflict(format!("container {} is not paused", self.spec.id)));
        }
        self.require_task()?.resume().await.map_err(Error::service)?;
        self.state.phase = Phase::Running;
        self.record();
        self.engine.event(&self.spec, "unpause", &[]);
        Ok(())
    }

    pub(super) async fn update(
        &mut self,
        request: ContainerUpdateRequest,
    ) -> Result<ContainerUpdateResponse> {
        if matches!(self.phase(), Phase::Removing | Phase::Dead) {
            return Err(Error::conflict(format!(
                "Cannot update container {}: Container is marked for removal and cannot be \"update\".",
                self.spec.id
            )));
        }
        let mut changed = (*self.spec).clone();
        if let Some(policy) = request.restart_policy.filter(|policy| !policy.name.is_empty()) {
            spec::check_restart_policy(&policy)?;
            if changed.host_config.auto_remove && policy.name != "no" {
                return Err(Error::conflict(
                    "Restart policy cannot be updated because AutoRemove is enabled for the container",
                ));
            }
            changed.host_config.restart_policy = policy;
        }
        let old = changed.host_config.resources.clone();
        merge_limits(&mut changed.host_config.resources, &request.resources)?;
        let warnings = spec::check_resources(&mut changed.host_config.resources, &self.engine.machine.host)?;
        if changed.host_config.resources != old
            && let Some(live) = &self.live
        {
            let limits = crate::bundle::resources(&changed.host_config.resources, &Default::default());
            live.task.update(limits).await.map_err(Error::service)?;
        }
        self.spec = Arc::new(changed);
        self.write_spec()?;
        self.publish();
        self.engine.event(&self.spec, "update", &[]);
        Ok(ContainerUpdateResponse { warnings })
    }
}

/// What the request says replaces what was; what it leaves at zero stays.
fn merge_limits(limits: &mut Resources, asked: &Resources) -> Result<()> {
    if asked.nano_cpus > 0 {
        (limits.cpu_period, limits.cpu_quota) = (0, 0);
    }
    if asked.cpu_period > 0 || asked.cpu_quota > 0 {
        limits.nano_cpus = 0;
    }
    if asked.memory > 0
        && asked.memory_swap == 0
        && limits.memory_swap > 0
        && asked.memory > limits.memory_swap
    {
        return Err(Error::invalid(
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
        ));
    }
    for (mine, theirs) in [
        (&mut limits.cpu_shares, asked.cpu_shares),
        (&mut limits.nano_cpus, asked.nano_cpus),
        (&mut limits.cpu_period, asked.cpu_period),
        (&mut limits.cpu_quota, asked.cpu_quota),
        (&mut limits.cpu_realtime_period, asked.cpu_realtime_period),
        (&mut limits.cpu_realtime_runtime, asked.cpu_realtime_runtime),
        (&mut limits.memory, asked.memory),
        (&mut limits.memory_swap, asked.memory_swap),
        (&mut limits.memory_reservation, asked.memory_reservation),
    ] {
        if theirs != 0 {
            *mine = theirs;
        }
    }
    for (mine, theirs) in
        [(&mut limits.cpuset_cpus, &asked.cpuset_cpus), (&mut limits.cpuset_mems, &asked.cpuset_mems)]
    {
        if !theirs.is_empty() {
            mine.clone_from(theirs);
        }
    }
    if asked.blkio_weight != 0 {
        limits.blkio_weight = asked.blkio_weight;
    }
    if asked.pids_limit.is_some() {
        limits.pids_limit = asked.pids_limit;
    }
    Ok(())
}
