//! The client of the Engine API: of Hull's own daemon and of any other Docker engine.
//!
//! ```text
//!   Host ("unix:///…", "tcp://…", "ssh://…")          how to reach an engine: `host`, `tls`, `ssh`
//!     └ Client  ── version agreed by HEAD /_ping       `client`
//!         └ request(GET, "/containers/json")           `request`: query, body → Response
//!              ├ json()      one value
//!              ├ messages()  a stream of JSON values   `json_stream`
//!              └ hijack()    the raw connection        `hijack`, its frames in `frames`
//! ```
//!
//! The calls themselves are methods of [`Client`] in `containers`, `exec` and `images`; whatever has no method
//! yet goes through [`Client::request`].
//!
//! Invariants: a connection goes back to the pool only when its answer was read to the end; a hijacked one
//! never does. Nothing here prints, retries or reads the environment: that is the caller's (`cli`).
//! Must not know: command lines, terminals, configuration files.

mod client;
mod containers;
mod error;
mod exec;
mod frames;
mod hijack;
mod host;
mod images;
mod json_stream;
mod query;
mod request;
mod ssh;
mod tls;

pub use client::{Client, Options, Ping};
pub use containers::{AttachQuery, CommitQuery, ListQuery, LogsQuery, StatsStream, Waiting};
pub use error::{Error, Result};
pub use frames::{FrameReader, StreamKind};
pub use hijack::{Hijacked, HijackedReader, HijackedWriter};
pub use host::{Host, HostError};
pub use hyper::Method;
pub use images::PullQuery;
pub use json_stream::{DecodedMessages, JsonStream};
pub use query::{Query, encode_filters};
pub use request::{Body, BodySender, Request, Response};
pub use tls::TlsFiles;
