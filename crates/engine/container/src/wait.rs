//! Waiting for a container: by what its supervisor publishes.

use crate::options::WaitCondition;
use crate::record::Phase;
use crate::supervisor::{Handle, Published};
use hull_api_types::{ContainerWaitError, ContainerWaitResponse};
use std::sync::Arc;
use tokio::sync::watch;

/// A wait that has begun: whatever happens from then on counts.
#[derive(Debug)]
pub struct WaitHandle {
    published: watch::Receiver<Arc<Published>>,
    condition: WaitCondition,
    /// The exits before the wait began.
    exits: u64,
}

impl WaitHandle {
    pub(crate) fn new(handle: &Handle, condition: WaitCondition) -> Self {
        Self { published: handle.watch(), condition, exits: handle.published().exits }
    }

    /// Waits for the condition. A container that is removed meanwhile ends every wait.
    pub async fn finish(mut self) -> ContainerWaitResponse {
        let (condition, before) = (self.condition, self.exits);
        let met = |now: &Arc<Published>| {
            now.gone
                || match condition {
                    WaitCondition::NotRunning => {
                        !now.state.phase.is_live() && now.state.phase != Phase::Restarting
                    }
                    WaitCondition::NextExit => now.exits > before,
                    WaitCondition::Removed => false,
                }
        };
        let (code, error) = match self.published.wait_for(met).await {
            Ok(now) => now.last_exit.clone(),
            // The daemon leaves.
            Err(_) => (0, "the daemon is shutting down".to_owned()),
        };
        // Who waits for the removal has been told by the start that failed.
        let error = if condition == WaitCondition::Removed { String::new() } else { error };
        ContainerWaitResponse {
            status_code: code,
            error: (!error.is_empty()).then_some(ContainerWaitError { message: error }),
        }
    }
}
