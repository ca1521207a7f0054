//! The builder: a Dockerfile and a context in, layers and an image out.
//!
//! ```text
//!  Dockerfile ─plan (pure)─► the stages that the target needs ─► made on demand, in parallel
//!                                                                      │
//!  a stage:  FROM ─► State ─► step ─► State ─► step ─► …               ▼
//!                              │ key = definition + what it takes in   record: configuration, layers, names
//!                              ├─ cached: the row's layer              (hull-image)
//!                              ├─ RUN: a process on a snapshot (hull-container's step) ─diff─┐
//!                              └─ COPY, ADD, WORKDIR: a table of files ─────────────written──┴─► Snapshotter::add
//! ```
//!
//! The result: `Builder::build` records an image, as classic clients want it; `Builder::produce` builds for several
//! platforms, and makes of them what outputs want: manifests with compressed layers, attestations, an index
//! (`result`), caches for other machines (`remote_cache`).
//!
//! On disk, below the builder's root: `caches/` (`RUN --mount=type=cache`), `contexts/` (what
//! clients sent, for the next time), `mounts/` (for a step's time), `tmp/`; cached steps are rows of the store's table
//! `build-cache`, their layers are the snapshotter's.
//!
//! Invariants:
//! - Reproducible: whatever is written has the base image's time or an earlier one (SOURCE_DATE_EPOCH where given),
//!   archives are sorted, and the key of a step that copies knows contents, modes and owners, but no times.
//! - A key has in it all that the step's result depends on, the layers beneath by their chain among that. Secrets, ssh
//!   sockets, the contents of caches, and proxies that are not declared are in no key, layer or history.
//! - A context is never unpacked; every path in it, in a stage or in an archive is resolved inside its own tree.
//! - A build that is dropped ends at once: its processes die, its snapshots, mounts and secrets go.
//!
//! It must not know HTTP, the clients' streams, or how containers are run.

mod build;
mod builder;
mod cache;
mod caches;
mod commit;
mod contexts;
mod emulation;
mod error;
mod files;
mod history;
mod key;
mod link;
mod mounts;
pub mod outline;
pub mod plan;
mod progress;
mod remote_cache;
mod request;
mod result;
mod source;
mod stage;
mod time;
mod transfer;

pub use builder::{Builder, BuilderConfig, Built, named_image};
pub use cache::{Cache, CacheRecord, Made};
pub use contexts::Contexts;
pub use error::{Error, Result};
pub use files::{Content, Context, Facts, Name};
pub use history::{History, Recorder};
pub use link::{Link, Links};
pub use progress::{Event, Progress, StepInfo};
pub use remote_cache::{CachePlace, CacheSource, CacheTarget};
pub use request::{BuildRequest, NamedContext};
pub use result::{Annotation, Attest, Finished, Given, Kept, Kind, Mode, Output, Product, Version};
pub use source::{Checkout, git, is_git};
