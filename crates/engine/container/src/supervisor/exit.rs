//! The end of a process: endpoint released, exit recorded and told, and what follows: nothing, another start, removal.

use super::stop::AfterExit;
use super::{Live, Supervisor, prepare};
use crate::engine::blocking;
use crate::error::Error;
use crate::options::RemoveOptions;
use crate::record::{NetworkState, Phase};
use crate::restart::{self, Ended};
use crate::spec::MountKind;
use hull_task::client::remove_leftovers;
use hull_task::{Exit, Status, Task};
use hull_types::Timestamp;
use std::sync::Arc;
use tokio::time::Instant;

const LOST: &str = "the container's shim was killed: how the container ended is not known";

impl Supervisor {
    pub(super) async fn on_exit(&mut self, exit: Exit) {
        let ran = match self.live.take() {
            Some(live) => {
                if let Some(health) = &live.health {
                    health.abort();
                }
                self.ending = Some(live.task);
                live.since.elapsed()
            }
            None => std::time::Duration::ZERO,
        };
        self.kill_at = None;
        if exit.lost {
            self.sweep().await;
        }
        self.release().await;
        self.note_exit(exit);
        let restart = self.after_exit.is_empty()
            && restart::after_exit(&self.spec.host_config.restart_policy, self.ended(exit.code.into()));
        if restart {
            self.state.phase = Phase::Restarting;
            self.state.restart_count += 1;
            self.restart_at = Some(Instant::now() + self.backoff.next(ran));
        }
        self.engine.images.uses().set(&self.spec.id, &self.spec.image, false);
        self.record();
        let lasted = exit.at.seconds.saturating_sub(self.state.started_at.seconds).max(0);
        let attributes = [("exitCode", exit.code.to_string()), ("execDuration", lasted.to_string())];
        self.engine.event(&self.spec, "die", &attributes);
        prepare::unmount_volumes(&self.engine, &self.spec);
        for mount in self.spec.mounts.iter().filter(|mount| mount.kind == MountKind::Volume) {
            self.engine.volumes.unmounted(&mount.source, &self.spec.id);
        }
        self.follow_up(restart).await;
    }

    fn note_exit(&mut self, exit: Exit) {
        self.state.phase = Phase::Exited;
        self.state.pid = 0;
        self.state.exit_code = exit.code.into();
        self.state.error = if exit.lost { LOST.into() } else { String::new() };
        self.state.oom_killed |= exit.oom_killed;
        self.state.finished_at = exit.at;
        self.state.network = NetworkState::default();
        if let Some(health) = &mut self.state.health {
            health.status = "unhealthy".into();
        }
        self.exits += 1;
        self.last_exit = (self.state.exit_code, self.state.error.clone());
    }

    fn ended(&self, exit_code: i64) -> Ended {
        Ended { exit_code, restarts: self.state.restart_count, by_hand: self.state.manually_stopped }
    }

    /// Answers those who waited for the exit, and does what they wanted next.
    async fn follow_up(&mut self, restart: bool) {
        let mut removed = None;
        let mut started = Vec::new();
        for after in std::mem::take(&mut self.after_exit) {
            match after {
                AfterExit::Stopped(reply) => {
                    self.engine.event(&self.spec, "stop", &[]);
                    let _ = reply.send(Ok(()));
                }
                AfterExit::Killed(reply) => {
                    let _ = reply.send(Ok(()));
                }
                AfterExit::Started(reply) => started.push(reply),
                AfterExit::Removed(options, reply) => removed = Some((options, reply)),
            }
        }
        if let Some((options, reply)) = removed {
            let result = self.remove_now(options).await;
            let _ = reply.send(result);
            return;
        }
        if !started.is_empty() {
            self.engine.event(&self.spec, "stop", &[]);
            self.state.manually_stopped = false;
            let mut result = self.start().await;
            if result.is_ok() {
                self.engine.event(&self.spec, "restart", &[]);
            }
            for reply in started {
                let text = result.as_ref().err().map(ToString::to_string);
                let own =
                    std::mem::replace(&mut result, text.map_or(Ok(()), |text| Err(Error::Conflict(text))));
                let _ = reply.send(own);
            }
            return;
        }
        if self.spec.host_config.auto_remove && !restart {
            self.auto_remove().await;
        }
    }

    async fn auto_remove(&mut self) {
        let options = RemoveOptions { force: true, volumes: true, link: false };
        if let Err(error) = self.remove_now(options).await {
            tracing::warn!(container = %self.spec.id, %error, "cannot remove the container after its exit");
        }
    }

    /// Gives addresses, ports and a shared `/dev/shm` back.
    pub(super) async fn release(&mut self) {
        let (engine, id) = (Arc::clone(&self.engine), self.spec.id.clone());
        let shares = self.spec.host_config.ipc_mode == "shareable";
        let in_another = self.spec.host_config.network_mode.starts_with("container:");
        if in_another && !shares {
            return;
        }
        let released = blocking(move || {
            if shares {
                prepare::unmount_shm(&engine, &id);
            }
            engine.networks.release(&id).map_err(Error::service)
        });
        if let Err(error) = released.await {
            tracing::warn!(container = %self.spec.id, %error, "cannot release the container's endpoints");
        }
    }

    /// Removes what a killed shim left.
    async fn sweep(&mut self) {
        let (program, root) = (&self.engine.config().runtime_binary, self.engine.runtime_state());
        if let Err(error) = remove_leftovers(program, &root, &self.spec.id).await {
            tracing::warn!(container = %self.spec.id, %error, "cannot remove what a killed shim left");
        }
    }

    /// The daemon came up: takes over a live shim, or learns how the container ended meanwhile.
    pub(super) async fn adopt(&mut self) {
        match Task::connect(&self.engine.bundle(&self.spec.id)).await {
            Ok(task) => self.take_over(task).await,
            Err(hull_task::Error::Gone { exit, .. }) if self.phase().is_live() => {
                // It ran when the last daemon looked: nobody has told of this exit yet.
                self.on_exit(exit.unwrap_or_else(Exit::lost)).await;
            }
            Err(hull_task::Error::Gone { .. }) => {}
            Err(error) => {
                // Unknown is not ended: the row stays as it is, and a person has to look.
                tracing::error!(container = %self.spec.id, %error, "cannot reach the container's shim");
                self.state.error = error.to_string();
                self.publish();
            }
        }
    }

    async fn take_over(&mut self, task: Task) {
        let status = task.state().await.map(|state| state.status);
        if matches!(status, Ok(Status::Created)) {
            // The last daemon died between creating and starting.
            let _ = task.shutdown().await;
            task.deleted().await;
            self.release().await;
            if self.phase().is_live() {
                self.on_exit(Exit::lost()).await;
            }
            return;
        }
        let (networks, id, pid) = (self.engine.networks.clone(), self.spec.id.clone(), task.pid());
        match blocking(move || networks.reattach(&id, pid).map_err(Error::service)).await {
            Ok(Some(attachment)) => {
                self.state.network = NetworkState {
                    sandbox_id: attachment.sandbox_id,
                    endpoints: attachment.endpoints.into_iter().collect(),
                    ports: attachment.ports,
                };
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(container = %self.spec.id, %error, "cannot take over the endpoints"),
        }
        for mount in self.spec.mounts.iter().filter(|mount| mount.kind == MountKind::Volume) {
            if let Err(error) = self.engine.volumes.mount(&mount.source, &self.spec.id) {
                tracing::warn!(container = %self.spec.id, volume = mount.source, %error, "the volume is not mounted");
            }
        }
        if !self.phase().is_live() {
            self.state.started_at = Timestamp::now();
        }
        self.state.phase = if matches!(status, Ok(Status::Paused)) { Phase::Paused } else { Phase::Running };
        self.state.pid = task.pid();
        let mut live = Live::new(task);
        self.begin_health(&mut live);
        self.live = Some(live);
        self.engine.images.uses().set(&self.spec.id, &self.spec.image, true);
        self.record();
    }

    /// Every container was adopted: finishes removals and applies the restart policy.
    pub(super) async fn boot(&mut self) {
        match self.phase() {
            Phase::Running | Phase::Paused | Phase::Created => {}
            Phase::Removing | Phase::Dead => self.auto_remove().await,
            Phase::Exited if self.spec.host_config.auto_remove => self.auto_remove().await,
            Phase::Exited | Phase::Restarting => {
                let policy = &self.spec.host_config.restart_policy;
                if restart::at_boot(policy, self.ended(self.state.exit_code)) {
                    self.state.phase = Phase::Restarting;
                    self.restart_at.get_or_insert_with(Instant::now);
                } else {
                    self.state.phase = Phase::Exited;
                    self.restart_at = None;
                }
                self.record();
            }
        }
    }
}
