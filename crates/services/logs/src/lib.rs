//! Container logs: the `json-file` driver, written by the shim, read by the daemon.
//!
//! ```text
//! container ─pipe─▶ shim: JsonFile::write ──▶ <id>-json.log, .1, .2 … ──▶ daemon: Reader → Records
//!                                                        └─ inotify ──────────▶ (follow)
//! ```
//!
//! # On disk
//! Docker's own format, byte for byte: one JSON object per line,
//! `{"log":"hello\n","stream":"stdout","attrs":{…},"time":"2026-11-20T08:00:00.123456789Z"}`. A line of output
//! longer than 16 KiB becomes several entries of which only the last ends in `\n`. With `max-size` the file is
//! renamed to `.1` (and `.1` to `.2` …) once it has reached that size; `max-file` is how many there are in all.
//!
//! # Invariants
//! * What has been written is whole lines: a reader takes what follows the last newline as not written yet.
//! * A damaged line is skipped and counted, it never ends a reader.
//! * Reading needs no lock and no word with the writer: they may be of different versions and processes.
//!
//! This crate must not know containers, only paths; and no async runtime: [`Records`] can be polled by its
//! descriptor.

mod encode;
mod entry;
mod error;
mod follow;
mod options;
mod reader;
mod tail;
mod writer;

pub use entry::{Record, Stream};
pub use error::{Error, Result};
pub use follow::Stopper;
pub use options::{Driver, parse_options};
pub use reader::{Next, ReadOptions, Reader, Records};
pub use writer::{JsonFile, JsonFileOptions, PARTIAL_SIZE};
