//! One entry of a log.

use std::collections::BTreeMap;

use hull_types::Timestamp;
use serde::{Deserialize, Serialize};

/// Which of a container's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output, and all output of a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// `stdout` or `stderr`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// One entry as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where the container wrote it.
    pub stream: Stream,
    /// When the shim read it.
    pub time: Timestamp,
    /// The bytes with their newline; without one it is a part of a longer line.
    pub line: Vec<u8>,
    /// The labels and environment variables that were asked to be logged (`--log-opt labels=…`).
    pub attrs: BTreeMap<String, String>,
}

// The form on disk. `log` borrows where it has no escapes, and most lines have one (`\n`).
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    log: String,
    stream: Stream,
    #[serde(default)]
    attrs: BTreeMap<String, String>,
    time: Timestamp,
}

impl Record {
    /// Parses one line of a log file; `None` when it is damaged.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        let line: Line = serde_json::from_slice(line).ok()?;
        Some(Self { stream: line.stream, time: line.time, line: line.log.into_bytes(), attrs: line.attrs })
    }
}
