//! The OCI runtime: a bundle becomes a process, and back.
//!
//! ```text
//!   create ─ parent ─ state dir, clone3 ─────────── cgroup, limits, maps ──── go ──── hooks ───── state.json ─▶ Created
//!              │                                                                                     ▲
//!              └ init ─ namespaces, root, mounts, devices, (go) cgroup mounts, hooks, pivot, masks, user ─ ready ─ waits
//!   start  ─ one byte into exec.fifo ─▶ init: startContainer hooks, filter, capabilities, execve
//!   exec   ─ parent: pid namespace for children, clone3 ─▶ child: joins the rest by pidfd, then as init from "user" on
//! ```
//!
//! One file per verb, and below `init/` one per step. The callers are the shim and the runtime's command line: both
//! have one thread, which `clone3` without `exec` asks for. What `create` and `exec` return is the caller's child:
//! `exec` sets the pid namespace of its own children, forks, and sets it back, so that no process stands between.
//!
//! Invariants: on failure nothing is left (process, cgroup, state); every path of the container's goes through
//! [`hull_sys::InRoot`]; the init cannot be traced or read by others until it runs the container's program, and no
//! descriptor of the host reaches that; an error in init comes back as text and is the caller's error.
//!
//! On disk, `<state_root>/<id>/`: `state.json` (the record), `exec.fifo` (there until started), `seccomp.bpf` (the
//! filter, for `exec`). Must not know: images, networks, logs, the daemon.

mod channel;
mod checkpoint;
mod config;
mod create;
mod default_devices;
mod delete;
mod error;
mod exec;
mod failure;
mod hooks;
mod init;
mod intel_rdt;
mod kill;
mod list;
mod mount_options;
mod net_devices;
mod options;
mod pause;
mod process;
mod rootless;
mod start;
mod state;
mod update;
mod watch;

pub use checkpoint::{CriuOptions, RestoreOptions, checkpoint, restore};
pub use create::create;
pub use delete::delete;
pub use error::{Error, Result};
pub use exec::exec;
pub use kill::kill;
pub use list::{Listed, list, listed, ps};
pub use mount_options::known_options;
pub use options::{CreateOptions, Created, ExecOptions, Process, Stdio};
pub use pause::{pause, resume};
pub use process::{memory_policy_flags, memory_policy_modes};
pub use rootless::is_rootless;
pub use start::start;
pub use state::{cgroup, process_of, state};
pub use update::{update, update_classes};
pub use watch::{Event, Watch, watch};
