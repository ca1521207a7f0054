//! The shim: the small process that stands beside each container, so that the daemon may come and go.
//!
//! ```text
//!              ┌──────────────── shim (one thread, one poll loop) ───────────────┐
//! daemon ◀────▶│ connection   requests, replies, events                          │
//! daemon ◀────▶│ connection                      ┌── stdin ◀── clients           │
//!              │ process ── Streams ─────────────┼── outputs ─▶ log, clients ────┼─▶ <id>-json.log
//! attached ◀──▶│   (init, and one for each exec) └── console (pty master)        │
//! container ◀─▶│ resolver     127.0.0.11 (hull-dns)                              │
//! SIGCHLD ────▶│ exits ── drain ─▶ exit.json ─▶ Exit event ─▶ delete ─▶ Deleted  │
//!              └─────────────────────────────────────────────────────────────────┘
//! ```
//!
//! # Started as
//! `hull-runtime shim --id ID --bundle DIR` with the first connection as descriptor 0, the listening socket
//! `<bundle>/shim.sock` as 1 and `<bundle>/shim.log` as 2. The first message on the first connection is `Create`.
//! It is a session of its own and the reaper of its descendants; it never is in the container's cgroup.
//!
//! # Invariants
//! * It lives until the container's first process exited, its output is in the log, and every attached client
//!   has got it or left.
//! * What the container writes is read only while every attached client of that output has room for it: a slow
//!   client slows the container down, it never costs memory. With nobody attached output goes to the log alone.
//! * `exit.json` is whole before anybody is told of the exit.
//! * Whoever connects must be root or this user; a bad message costs its own connection only.
//!
//! * The resolver goes with the container's first process; what it answers from are files that the daemon writes.
//!
//! It must not know images, networks or the daemon's state.

mod connection;
mod drain;
mod exits;
mod foreign;
mod log;
mod own;
mod process;
mod requests;
mod runtime;
mod server;
mod startup;
mod streams;

use std::ffi::OsString;
use std::process::ExitCode;

/// Plays the shim: returns when the container is gone. `arguments` are those after `shim`; they only are there
/// to be seen in `ps`.
pub fn run(_arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match startup::serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Descriptor 2 is shim.log, which the daemon reads when the shim ends before it answered.
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
