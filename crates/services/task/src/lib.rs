//! Tasks: a created container as the daemon sees it, and the protocol to the shim that stands beside it.
//!
//! ```text
//! daemon                                             hull-runtime shim (one per container)
//! Task::spawn ── exec, fd 0 = socketpair, ─────────▶ Create ──▶ container's init (waits)
//!             │      fd 1 = bound <bundle>/shim.sock
//! Task ◀──────┴──── requests, replies, events ─────▶ poll loop
//! Task::attach ──── connect(shim.sock), Attach ────▶ raw stdin ⇄ framed output
//! Task::connect ─── (a later daemon) Subscribe ────▶
//! ```
//!
//! # On disk (`<exec-root>/containers/<id>/`, the bundle)
//! * `shim.sock`: the shim's socket, mode 0600; no abstract names, nothing global.
//! * `exit.json`: an [`Exit`], written whole (rename) before anybody is told of the exit.
//! * `shim.log`: what the shim itself has to complain of; empty in general.
//!
//! # Invariants
//! * The daemon may die at any time: the shim goes on, and [`client::Task::connect`] finds it.
//! * An [`Exit`] is told only after it is in `exit.json`.
//! * Messages are at most [`protocol::MESSAGE_LIMIT`] long; a bad one costs its own connection only.
//!
//! [`protocol`] must not know an async runtime; the shim links it alone.

#[cfg(feature = "client")]
pub mod client;
pub mod protocol;

#[cfg(feature = "client")]
pub use client::{AttachOptions, Error, ExecOptions, Result, SpawnOptions, Task};
pub use protocol::{ConsoleSize, Exit, JsonLog, LogTarget, MountSource, RuntimeKind, State, Status};
