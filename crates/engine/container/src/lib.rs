//! Containers: one supervisor per container.
//!
//! ```text
//!  create ─ image's configuration, request ─▶ spec (pure) ─▶ ContainerSpec ─▶ row, snapshot, volumes
//!                                                                │
//!  start, stop, kill … ─▶ queue ─▶ Supervisor (one task) ────────┤
//!                                    │ networks.attach           ├─▶ bundle (pure) ─▶ config.json
//!                                    │ Task::spawn, attach, start┘
//!                                    ├─▶ Published by a watch channel ─▶ ps, inspect, wait, logs, stats
//!                                    └─▶ row, then event
//! ```
//!
//! # Invariants
//! * A container's rows and state are written by its supervisor alone; readers see what it published, and take no lock.
//! * The daemon is disposable: what runs, runs on without it. [`Containers::open`] adopts live shims and learns of the
//!   exits that nobody saw from the files that the shims wrote.
//! * A row that can't be read is kept, and owns the data that has its id.
//! * Paths in a container are resolved inside its tree by descriptor, and nothing of a container's is run for the
//!   engine. What an image says never reaches the part of a configuration that is about the host.
//! * An event tells of what is committed.
//!
//! # On disk
//! * The store: table `containers` (the intent, [`record::ContainerSpec`]) and `container-states` (the fact,
//!   [`record::State`]).
//! * `<data-root>/containers/<id>/<id>-json.log`, written by the shim.
//! * `<exec-root>/containers/<id>/`: the bundle, gone with a reboot: `config.json`, `hostname`, `hosts`, `resolv.conf`,
//!   the shim's socket and exit file, `shm` for a container that shares it.
//! * `<exec-root>/runtime/`: the runtime's own state.
//!
//! # Must not know
//! HTTP, API versions, how the runtime makes a container, what a registry is.

mod attach_stream;
mod boot;
pub mod bundle;
pub mod cdi;
mod commit;
mod config;
mod containers;
mod create;
mod duration;
mod engine;
mod error;
mod exec;
mod health;
mod inspect;
mod list;
mod logs;
mod machine;
mod options;
pub mod record;
mod restart;
pub mod spec;
mod stats;
mod step;
mod supervisor;
mod top;
mod tree;
pub mod user;
mod wait;

pub use attach_stream::{AttachReader, AttachStream, AttachWriter};
pub use commit::CommitOptions;
pub use config::{BUILT_IN_RUNTIME, ContainersConfig, DEFAULT_RUNTIME_ALIAS, RuntimeSpec};
pub use containers::{Containers, Counts};
pub use error::{Error, Result};
pub use options::{
    AttachOptions, Attachment, ListOptions, LogOptions, LogRecord, LogStream, RemoveOptions, WaitCondition,
};
pub use step::{Step, StepExit, StepOutput};
pub use wait::WaitHandle;
