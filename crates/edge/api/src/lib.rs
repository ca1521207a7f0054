//! The Engine API: REST in, one call of the engine, REST out.
//!
//! ```text
//!  socket ─► server (hyper, one HTTP/1.1 connection) ─► router ─► handlers/<group> ─► engine
//!               │                                         │            │
//!               │ takes the socket back for               version      compat: request_up / response_down
//!               └─► hijack (attach, exec start)           check        status: kind → HTTP status
//! ```
//!
//! # Invariants
//! * Handlers see the newest API version only; `compat` alone knows older shapes.
//! * [`status`] alone maps error kinds to HTTP statuses.
//! * A call that changes something runs to its end even when its client goes away; one that only reads or streams
//!   (logs, events, stats, wait, pull) ends with its client.
//! * A hijacked connection is taken from hyper with every byte that hyper had read beyond the request, so the
//!   request may be any on a keep-alive connection.
//! * A route of the API that Hull does not have answers 501 and names itself; nothing pretends.
//!
//! This crate must not know sockets' addresses, TLS, configuration files or how the engine does anything.

mod compat;
mod handlers;
mod hangup;
mod hijack;
mod query;
mod request;
mod response;
mod router;
mod server;
pub mod status;
mod version;

pub use handlers::system::Facts;
pub use hangup::Hangup;
pub use hijack::detach::{DEFAULT_DETACH_KEYS, DetachKeys, KeysError};
pub use router::{Headers, Router};
pub use server::{Shutdown, serve};
pub use version::ApiVersion;

use hull_build::Builder;
use hull_container::Containers;
use hull_events::EventBus;
use hull_image::Images;
use hull_network::Networks;
use hull_registry_client::Registry;
use hull_volume::Volumes;
use tokio::sync::watch;

/// What the API speaks for. Handlers each get the part that they need.
pub struct Services {
    /// Builds.
    pub builder: Builder,
    /// Containers and exec.
    pub containers: Containers,
    /// Images.
    pub images: Images,
    /// Networks.
    pub networks: Networks,
    /// Volumes.
    pub volumes: Volumes,
    /// Events.
    pub events: EventBus,
    /// Registries, for what is asked of them alone.
    pub registry: Registry,
    /// What the daemon knows about itself and its machine, as it is now.
    pub facts: watch::Receiver<Facts>,
}

/// The whole API over these services.
pub fn router(services: Services) -> Router {
    let facts = services.facts.borrow().clone();
    let headers = Headers::new(&facts.version.version, facts.info.experimental_build);
    let mut router = Router::new(headers);
    handlers::register(&mut router, services);
    router
}
