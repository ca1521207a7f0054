//! What the daemon does when nothing is left to do: it gives memory back.
//!
//! Code and constants that requests touched come from the page cache again when the next one touches them, which costs
//! the first `run` after a while a millisecond; what the allocator keeps for later, it asks for again.

use hull_events::EventBus;
use std::time::Duration;
use tokio::sync::Notify;

/// How long nothing happens until the daemon counts as idle: longer than the pauses of someone at work.
const QUIET: Duration = Duration::from_secs(5);

/// Gives memory back whenever no connection has come or gone and nothing was done for a while. Never ends.
pub async fn watch(connections: &Notify, events: &EventBus) {
    let stirred = || async {
        tokio::select! {
            () = connections.notified() => {}
            () = events.published() => {}
        }
    };
    loop {
        while tokio::time::timeout(QUIET, stirred()).await.is_ok() {}
        hull_sys::program_memory::trim_heap();
        hull_sys::program_memory::forget_program_pages();
        stirred().await;
    }
}
