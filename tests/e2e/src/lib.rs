//! The end-to-end harness: a [`World`] is a host of its own (network and mount namespace, a registry with real images,
//! a Hull daemon with all its directories in a temporary folder) that is driven through real clients and leaves nothing.
//!
//! `./test` sets `HULL_BIN`, `HULL_RUNTIME` and `HULL_TEST_IMAGES`.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

pub mod comparison;
pub mod terminal;
pub mod world;

pub use terminal::Terminal;
pub use world::{Client, Output, World};

/// Runs one test body once with `hull` and once with the docker CLI, each in a world of its own.
pub fn with_each_client(body: impl Fn(&World, Client)) {
    for client in [Client::Hull, Client::Docker] {
        let world = World::start();
        body(&world, client);
        world.stop();
    }
}

/// Calls `probe` until it gives a value, for at most `seconds`; panics with `what` after that.
pub fn eventually<T>(what: &str, seconds: u64, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(seconds);
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(std::time::Instant::now() < deadline, "waited {seconds} s in vain: {what}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
