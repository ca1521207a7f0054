//! Signals of this program's that are meant for the container.

use hull_client::Client;
use tokio::signal::unix::{Signal, SignalKind, signal};

// What the kernel sends about this program itself (CHLD, PIPE, faults) stays; WINCH becomes a resize.
const FORWARDED: [i32; 11] = [1, 2, 3, 10, 12, 14, 15, 18, 20, 29, 30];
const DEADLY: [i32; 4] = [1, 2, 3, 15];

/// Signals caught from now on.
pub struct Caught(Vec<(i32, Signal)>);

impl Caught {
    /// All that are passed on to a container.
    pub fn forwarded() -> Self {
        Self::of(&FORWARDED)
    }
    /// Those that end a program: whoever has changed the terminal must set it back first.
    pub fn deadly() -> Self {
        Self::of(&DEADLY)
    }
    fn of(numbers: &[i32]) -> Self {
        Self(
            numbers
                .iter()
                .filter_map(|number| Some((*number, signal(SignalKind::from_raw(*number)).ok()?)))
                .collect(),
        )
    }
    /// The number of the next one.
    pub async fn next(&mut self) -> i32 {
        std::future::poll_fn(|context| {
            for (number, stream) in &mut self.0 {
                if stream.poll_recv(context).is_ready() {
                    return std::task::Poll::Ready(*number);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}

/// Passes signals on to the container for as long as it is polled.
pub async fn proxy(client: &Client, id: &str, mut caught: Caught) -> std::convert::Infallible {
    loop {
        let number = caught.next().await;
        let Some(name) = hull_types::signal::name(number) else { continue };
        // A container that ended meanwhile refuses it; nothing is lost.
        let _ = client.container_kill(id, name.trim_start_matches("SIG")).await;
    }
}

/// Changes of the terminal's size.
pub fn window_changes() -> Option<Signal> {
    signal(SignalKind::window_change()).ok()
}
