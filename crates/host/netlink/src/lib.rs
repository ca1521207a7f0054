//! Netlink: requests as bytes, answers parsed within their bounds, and the rtnetlink messages that Hull's networks
//! are made of. Synchronous: the kernel has worked off a request when `send` returns.
//!
//! ```text
//!  link::create_veth(…) ─┐
//!  address::add(…)       ├─▶ Request ─▶ RouteSocket::execute(&[Request]) ─▶ one datagram ─▶ kernel
//!  route::add(…)        ─┘                                                      acks, with its explanations
//!  RouteSocket::links() ─▶ dump ─▶ Attributes (bounds-checked) ─▶ Vec<Link>
//! ```
//!
//! # Invariants
//! * Building a request is pure; only [`Socket`] does I/O.
//! * Nothing that the kernel sends is trusted to have the length it claims: a short or torn message is
//!   [`Error::Malformed`], never a panic.
//! * A socket stays in the network namespace that it was opened in: one opened inside a container's namespace
//!   configures the container from any thread.
//! * An error names the act and its operands, the errno and the kernel's own explanation (extended ack).
//!
//! Must not know: containers, networks, where names and addresses come from.

pub mod address;
mod attribute;
pub mod conntrack;
mod error;
pub mod link;
mod message;
pub mod neighbour;
pub mod route;
mod socket;
pub mod sub_interface;
mod watch;

pub use attribute::{Attribute, Attributes};
pub use error::{Error, Result};
pub use message::{MessageBuilder, Messages, flags};
pub use socket::{Answer, Request, RouteSocket, Socket};
pub use watch::{Notice, Watch};
