//! Clients at the process's streams: those that come before it wait here and are connected before it starts, so that
//! they miss nothing.

use super::{PendingAttach, Supervisor};
use crate::error::{Error, Result};
use hull_task::{ConsoleSize, Task};

impl Supervisor {
    pub(super) async fn attach(&mut self, pending: PendingAttach) {
        self.attaching.retain(|waiting| !waiting.stream.is_closed());
        match &self.live {
            Some(live) => connect(&live.task.clone(), pending).await,
            None if self.gone => {}
            None => self.attaching.push(pending),
        }
    }

    /// Connects all who wait to a process that is about to start.
    pub(super) async fn attach_waiting(&mut self, task: &Task) {
        for pending in std::mem::take(&mut self.attaching) {
            connect(task, pending).await;
        }
    }

    pub(super) async fn resize(&mut self, height: u32, width: u32) -> Result<()> {
        self.console = Some((height, width));
        let Some(live) = &self.live else { return Ok(()) };
        let limited = |value: u32| u16::try_from(value).unwrap_or(u16::MAX);
        let size = ConsoleSize { width: limited(width), height: limited(height) };
        live.task.resize(None, size).await.map_err(Error::service)?;
        let attributes = [("height", height.to_string()), ("width", width.to_string())];
        self.engine.event(&self.spec, "resize", &attributes);
        Ok(())
    }
}

async fn connect(task: &Task, pending: PendingAttach) {
    if pending.stream.is_closed() {
        return;
    }
    match task.attach(pending.options).await {
        // The client may have gone just now.
        Ok(stream) => drop(pending.stream.send(stream)),
        Err(error) => tracing::warn!(container = task.id(), %error, "cannot attach a client"),
    }
}
