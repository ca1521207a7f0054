//! Networks, endpoints, addresses and published ports.
//!
//! ```text
//!              Networks::attach(AttachRequest)
//!  state ─────────▶ plan: addresses, host ports             (in memory, one lock)
//!  namespaces ────▶ a prepared network namespace            (an fd; lives by the container's processes)
//!  bridge ────────▶ veth pair, addresses, default routes     (rtnetlink: 3 messages here, 2 inside)
//!  records ───────▶ <exec_root>/network/endpoints/<id>.json (tmpfs; what the next daemon takes over)
//!  firewall ──────▶ one map element for each published port (nftables, one atomic batch)
//!  files ─────────▶ contents of /etc/hosts and /etc/resolv.conf
//!              ◀──── Attachment
//! ```
//!
//! # Invariants
//! * The kernel forwards, the daemon only arranges: when the daemon dies, networks and published ports go on. A new
//!   one reads the records, keeps every address and port in them, and lets go of those that nobody
//!   [`Networks::reattach`]es at [`Networks::reconcile`].
//! * Rules follow from networks, map elements from endpoints. A change of either is one atomic batch; rebuilding
//!   the whole table is one too.
//! * Nothing is deleted synchronously at a container's end: interfaces go with their namespace.
//! * Nothing is left of an attachment that failed.
//! * A container reaches: its network's other containers (unless `icc` is off), the outside through masquerading
//!   (unless the network is internal), the host by the host's addresses, every published port. It can't reach:
//!   other networks' containers, the host's loopback. Other hosts reach published ports, and those published on
//!   127.0.0.1 not at all.
//! * Both families are treated alike. User-defined networks have both where the kernel has; where a network is
//!   without IPv6, its interfaces have it switched off, and no link-local address. Nobody takes router advertisements.
//! * Where the configuration says so, the host's own `input` rules decide on the first packet to a published port
//!   (see `obedience`); else they never see it.
//! * A port is published by the families of which the container has a way out: nothing is translated between them.
//! * What another program removes of the table comes back at once.
//!
//! # On disk
//! The store's table `networks`, by id; `<exec_root>/network/endpoints/*.json`;
//! `<exec_root>/network/forwarding-enabled-by-hull` and `ipv6-…`, present when it was Hull who switched forwarding on.
//!
//! # Must not know
//! Images, processes, the HTTP API. The container engine names what it wants and holds the namespace.

mod address_pool;
mod adopt;
mod attach;
mod bridge;
mod config;
mod connect;
mod definition;
mod endpoint;
mod error;
mod files;
mod filters;
mod firewall;
mod loopback;
mod members;
mod model;
mod names;
mod namespaces;
mod networks;
mod obedience;
mod plan;
mod ports;
mod predefined;
mod records;
mod request;
mod state;
mod sub_interface;
mod subnet;
mod watch;

pub use config::{AddressPool, BridgeAddresses, NetworksConfig};
pub use error::{Error, Result};
pub use files::own_names;
pub use members::Member;
pub use networks::Networks;
pub use request::{AttachRequest, Attachment, Link};
pub use subnet::{Subnet, SubnetError};
