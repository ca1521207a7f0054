//! Control groups of a container, on hosts of version 1, version 2 and both (hybrid).
//!
//! ```text
//!   Resources ── plan (pure) ──▶ writes per controller ──▶ Cgroup: one directory per hierarchy
//!                                                          └─ the unified one, where there is one: freeze, kill, events
//! ```
//!
//! Invariants: a path is taken below each hierarchy's mount point and cannot leave it; what was asked for and
//! cannot be set is an error that names the file; limits are set before a process is in. Layout: version 1
//! `<mount point of the controller>/<path>`, version 2 `<mount point>/<path>`. Must not know: containers' life,
//! processes beyond their numbers.

mod devices;
mod error;
mod group;
mod host;
mod inside;
mod plan;
mod stats;
mod systemd;

pub use error::{Error, Result};
pub use group::Cgroup;
pub use host::{Hierarchy, Host};
pub use plan::{Version, Write, plan};
pub use stats::{BlkioEntry, BlkioStats, CpuStats, MemoryStats, PidsStats, Stats};
pub use systemd::Unit;
