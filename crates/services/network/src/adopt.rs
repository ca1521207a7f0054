//! What outlives a daemon: containers taken over, and what is told of those that run.

use hull_api_types::{EndpointSettings, PortMap};

use crate::networks::Networks;
use crate::{Attachment, Result, ports};

impl Networks {
    /// Takes over a container that a former daemon left running as process `pid`: its addresses and ports stay its
    /// own. `None` when nothing is recorded of it (it is in another container's network). Of the answer only
    /// `endpoints`, `ports` and `sandbox_id` are filled in.
    pub fn reattach(&self, container_id: &str, pid: i32) -> Result<Option<Attachment>> {
        let mut state = self.state();
        let Some(sandbox) = state.sandboxes.get(container_id) else {
            tracing::debug!(container_id, pid, "no endpoints recorded");
            return Ok(None);
        };
        let attachment = Attachment {
            sandbox_id: sandbox.sandbox_id.clone(),
            endpoints: sandbox.settings(),
            ports: ports::to_api(&sandbox.published, &sandbox.exposed),
            ..Attachment::default()
        };
        state.unclaimed.remove(container_id);
        Ok(Some(attachment))
    }

    /// After the last [`Self::reattach`]: releases what containers have that no longer run, and makes the packet
    /// filter's table anew in one batch. Containers that run don't notice.
    pub fn reconcile(&self) -> Result<()> {
        let dead = {
            let mut state = self.state();
            let dead: Vec<String> = state.unclaimed.drain().collect();
            dead.iter().filter_map(|id| state.remove(id)).collect::<Vec<_>>()
        };
        for sandbox in &dead {
            self.inner.records.remove(&sandbox.container_id)?;
            self.remove_resolver(&sandbox.container_id);
            self.tell_of(sandbox);
        }
        self.write_all_names()?;
        self.rebuild_filter()
    }

    /// Tells of a container's new name.
    pub fn rename(&self, container_id: &str, name: &str) {
        let renamed = {
            let mut state = self.state();
            let Some(sandbox) = state.sandboxes.get_mut(container_id) else { return };
            sandbox.name = name.to_owned();
            sandbox.clone()
        };
        self.tell_of(&renamed);
        if let Err(error) = self.inner.records.put(&renamed) {
            tracing::warn!(container_id, %error, "the new name is not recorded");
        }
    }

    /// The endpoints and ports of a running container.
    pub fn endpoints(&self, container_id: &str) -> Option<(Vec<(String, EndpointSettings)>, PortMap)> {
        let state = self.state();
        let sandbox = state.sandboxes.get(container_id)?;
        Some((sandbox.settings(), ports::to_api(&sandbox.published, &sandbox.exposed)))
    }
}
