//! The resolver at 127.0.0.11: names of a container's neighbours, and everything else from the servers outside.
//!
//! ```text
//!  daemon ── Names, Settings ──▶ <exec-root>/network/names/<network>, …/resolvers/<container>
//!                                       │ appended to, or renamed into place: looked at again when they change
//!  container ─ 127.0.0.11:53 ─▶ Resolver (in the container's shim)
//!                 redirect      ├─ Query (hardened) ─▶ answer ─▶ A, AAAA, PTR of the networks' names
//!                 (nftables)    └─ forward ─▶ upstream servers, the next one asked before the first has given up
//! ```
//!
//! # Invariants
//! * Nothing but the two sorts of files is needed: it answers while no daemon is there.
//! * Port 53 of the container stays the container's: the resolver has ports of its own, to which packets for
//!   127.0.0.11:53 are rewritten, and their answers back. A server in the container may bind `0.0.0.0:53`.
//! * No message makes it panic, loop or allocate more than its bounds: [`LIMITS`].
//! * A name known in one of the container's networks is never asked for outside. Where every network is internal
//!   nothing is asked of the host's servers at all.
//! * An upstream's answer counts only from the address asked, with the number and the question asked; each question
//!   has a socket, hence a port, and a number of its own.
//!
//! # Whence it asks
//! The host's servers (those of its `resolv.conf`) are asked from the host's network namespace, where alone
//! 127.0.0.53 and the like are. Servers that were named for the container or the daemon are asked from the
//! container's: they may be its neighbours, or itself.
//!
//! Must not know: containers beyond their names and addresses, tokio, the daemon.

mod answer;
mod directory;
mod error;
mod followed;
mod forward;
mod journal;
mod message;
mod name;
mod namespaces;
mod redirect;
mod server;
mod settings;
mod table;
mod tcp;
mod upstream;
mod watched;

pub use answer::{Answer, answer};
pub use directory::{Directory, Known};
pub use error::{Error, Result};
pub use journal::Journal;
pub use message::{Kind, Malformed, Query, truncated};
pub use server::{Ready, Resolver};
pub use settings::{Link, NetworkEntry, Servers, Settings};
pub use table::{Entry, Names};

/// Where containers find it.
pub const ADDRESS: std::net::Ipv4Addr = std::net::Ipv4Addr::new(127, 0, 0, 11);

/// What bounds its memory.
pub const LIMITS: Limits =
    Limits { query: 4096, records: 32, in_flight: 256, servers: 3, connections: 32, unsent: 256 << 10 };

/// See [`LIMITS`].
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The longest query, in bytes.
    pub query: usize,
    /// The most records that are looked at in a query.
    pub records: usize,
    /// The most questions asked outside at once; who asks more is refused.
    pub in_flight: usize,
    /// The most servers asked.
    pub servers: usize,
    /// The most TCP connections.
    pub connections: usize,
    /// The most bytes that wait for a TCP client to read them before its next question is read.
    pub unsent: usize,
}
