//! What callers hand in and get back, where it is no wire struct.

use bytes::Bytes;
use hull_api_types::Filters;
use hull_types::Timestamp;
use tokio::sync::mpsc;

/// What a wait waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WaitCondition {
    /// That the container does not run; true at once for one that was never started.
    #[default]
    NotRunning,
    /// The next exit, even of a container that does not run yet.
    NextExit,
    /// That the container is gone.
    Removed,
}

/// How to remove a container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RemoveOptions {
    /// Kill it if it runs.
    pub force: bool,
    /// Remove its anonymous volumes too.
    pub volumes: bool,
    /// Remove a link, not the container.
    pub link: bool,
}

/// Which containers to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// Also those that don't run.
    pub all: bool,
    /// The newest so many, running or not; none or not positive: no limit.
    pub limit: Option<i64>,
    /// With sizes.
    pub size: bool,
    /// Docker's filters.
    pub filters: Filters,
}

/// Which part of a log, and in what form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Go on until the container stops.
    pub follow: bool,
    /// Standard output's lines.
    pub stdout: bool,
    /// Standard error's lines.
    pub stderr: bool,
    /// Nothing older.
    pub since: Option<Timestamp>,
    /// Nothing younger.
    pub until: Option<Timestamp>,
    /// Each line after its time.
    pub timestamps: bool,
    /// The last so many lines.
    pub tail: Option<u64>,
    /// Each line after the attributes that the log options chose.
    pub details: bool,
}

/// One piece of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// 1 standard output, 2 standard error.
    pub stream: u8,
    /// The line with its end, after the time if that was asked for.
    pub bytes: Bytes,
}

/// A log being read. Dropping it ends the reading.
#[derive(Debug)]
pub struct LogStream {
    /// Whether the container has a terminal, so that clients expect the bytes without frames.
    pub tty: bool,
    /// The records; ends with the log, or when the container stops.
    pub records: mpsc::Receiver<LogRecord>,
}

/// What to attach to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttachOptions {
    /// Feed standard input.
    pub stdin: bool,
    /// Get standard output.
    pub stdout: bool,
    /// Get standard error.
    pub stderr: bool,
    /// Replay the log first.
    pub logs: bool,
    /// Stay attached.
    pub stream: bool,
    /// The key sequence that detaches; interpreted by the caller.
    pub detach_keys: Option<String>,
}

/// A connection to a process's streams.
#[derive(Debug)]
pub struct Attachment {
    /// Whether the bytes are raw (a terminal) or in Docker's frames.
    pub tty: bool,
    /// What the log said before, in the same form as the stream.
    pub replay: Bytes,
    /// Output to read, input to write; `None` where only the replay was asked for.
    pub stream: Option<crate::AttachStream>,
    /// Whether what is written to `stream` is fed to the process.
    pub stdin: bool,
    /// The key sequence that detaches, as this attachment or exec asked for.
    pub detach_keys: Option<String>,
}
