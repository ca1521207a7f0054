//! Safe, descriptor-based wrappers over what Hull needs of Linux and `rustix` does not give: the only crate of
//! Hull with `unsafe` code.
//!
//! ```text
//!   InRoot      paths of an untrusted tree (image, container, build context), resolved inside its root only
//!   mount       the descriptor-based mount API
//!   rootfs      a snapshot's Rootfs as one detached mount, with layers that are mounted already
//!   process     clone3, pidfd, close_range, execve, prctl, the sealed executable
//!   program     programs that are started and waited for
//!   capability  the five sets            namespace  setns and unshare by kind
//!   terminal    pseudo-terminals         signal     masks and signalfd
//!   socket      descriptors over unix sockets       filter, device_program  classic and extended BPF
//!   direct      files written past the page cache
//!   quota       limits on what lies in a directory
//! ```
//!
//! Invariants: every descriptor made here is close-on-exec; no function keeps global state; a path that comes
//! from a container is only ever given to [`InRoot`]. Must not know: OCI documents, cgroups, daemons.
#![allow(unsafe_code)]

pub mod activation;
pub mod capability;
pub mod detached;
pub mod device_program;
pub mod direct;
pub mod event_descriptor;
pub mod filter;
pub mod fork;
pub mod in_root;
pub mod local_time;
pub mod memory_policy;
pub mod mount;
pub mod namespace;
pub mod netlink_socket;
pub mod netns;
#[cfg(all(panic = "abort", target_env = "musl"))]
mod no_unwinding;
pub mod open_files;
pub mod process;
pub mod program;
pub mod program_memory;
pub mod quota;
pub mod random;
pub mod rootfs;
pub mod signal;
pub mod socket;
pub mod socket_queue;
pub mod terminal;
pub mod xattr;

pub use in_root::InRoot;
pub use rootfs::{LayerMounts, mount_rootfs};
pub use rustix;
pub use rustix::fs::{Mode, OFlags};
