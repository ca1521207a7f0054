//! What daemon and shim say to each other: length-prefixed JSON over a unix stream socket.
//!
//! A message is a `u32`, little endian, the length of the JSON text that follows it. The daemon sends [`Call`]s;
//! the shim sends [`Message`]s: a reply to each call, in any order, and, to connections that subscribed, events.
//!
//! After the reply to an [`Request::Attach`] the connection is a byte stream. Towards the shim it is the
//! process's standard input, ended by a half close (`shutdown(SHUT_WR)`), which does not end the output. Towards
//! the daemon it is what a terminal shows, or without a terminal Docker's frames: `[1 or 2, 0, 0, 0]`, the length
//! as `u32` big endian, the bytes. It ends when all output of the process was sent.

mod codec;
mod options;
mod reading;

use hull_types::Timestamp;
use hull_types::oci::runtime::{Process, Resources};
use serde::{Deserialize, Serialize};

pub use codec::{DecodeError, Decoder, EncodeError, MESSAGE_LIMIT, encode};
pub use options::{ConsoleSize, CreateOptions, JsonLog, LogTarget, MountSource, RuntimeKind};

/// The version of the protocol, told in [`State`]. A newer daemon asks nothing of an older shim that it lacks.
/// Since 2 there is [`Request::Resolve`].
pub const VERSION: u32 = 2;

/// The shim's socket in the bundle.
pub const SOCKET: &str = "shim.sock";
/// The record of the exit in the bundle.
pub const EXIT_FILE: &str = "exit.json";
/// The shim's own complaints in the bundle.
pub const SHIM_LOG: &str = "shim.log";

/// A request with the number that its reply bears.
#[derive(Debug, Serialize)]
pub struct Call {
    /// Chosen by the daemon, any number.
    pub id: u64,
    /// What is asked.
    pub request: Request,
}

/// What the daemon asks of the shim. Unless said otherwise the reply is [`Reply::Done`].
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Create the container; the first request on the inherited connection, and only there.
    /// Reply: [`Reply::Created`]; the connection is subscribed.
    Create(Box<CreateOptions>),
    /// Run the container's process.
    Start,
    /// How things are. Reply: [`Reply::State`].
    #[default]
    State,
    /// From now on send events here. Reply: [`Reply::State`], of the moment from which on events are sent.
    Subscribe,
    /// Send a signal.
    Kill {
        /// Its number.
        signal: i32,
        /// To all processes of the container.
        all: bool,
        /// To this exec'd process in place of the container's first.
        #[serde(skip_serializing_if = "Option::is_none")]
        exec_id: Option<String>,
    },
    /// Make ready to run another process; it is started by [`Request::ExecStart`], so that it can be attached to
    /// before.
    ExecCreate(Box<ExecCreate>),
    /// Run it. Reply: [`Reply::Started`].
    ExecStart {
        /// As created.
        exec_id: String,
    },
    /// Forget an exec that was not started or has exited.
    ExecDelete {
        /// As created.
        exec_id: String,
    },
    /// Set a terminal's size.
    Resize {
        /// The exec'd process; `None` is the container's first.
        #[serde(skip_serializing_if = "Option::is_none")]
        exec_id: Option<String>,
        /// Columns and rows.
        size: ConsoleSize,
    },
    /// Close standard input (without a terminal), once what was sent to it is written.
    CloseStdin {
        /// The exec'd process; `None` is the container's first.
        #[serde(skip_serializing_if = "Option::is_none")]
        exec_id: Option<String>,
    },
    /// Freeze all processes.
    Pause,
    /// Thaw them.
    Resume,
    /// Change limits.
    Update {
        /// Those said here; all others stay.
        resources: Box<Resources>,
    },
    /// The processes' ids on the host. Reply: [`Reply::Pids`].
    Pids,
    /// Answer names from now on, if that is not done already: the container came into a network with names.
    Resolve {
        /// As [`CreateOptions::resolver`].
        settings: std::path::PathBuf,
    },
    /// Become a byte stream. Reply: [`Reply::Attached`].
    Attach(Attach),
    /// Kill everything and end.
    Shutdown,
}

/// See [`Request::ExecCreate`].
#[derive(Debug, Clone, Default, Serialize)]
pub struct ExecCreate {
    /// Unique within the container.
    pub exec_id: String,
    /// What to run; its `terminal` says whether it gets one.
    pub process: Process,
    /// Whether it has a standard input; otherwise that is `/dev/null`.
    pub stdin: bool,
    /// Nobody will ever attach: outputs are `/dev/null` as well.
    pub detach: bool,
}

/// See [`Request::Attach`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Attach {
    /// The exec'd process; `None` is the container's first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exec_id: Option<String>,
    /// What the client sends is standard input; otherwise it is thrown away.
    pub stdin: bool,
    /// Send standard output (what a terminal shows).
    pub stdout: bool,
    /// Send standard error.
    pub stderr: bool,
}

/// What the shim sends.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Message {
    /// The answer to a call.
    Reply {
        /// The call's number.
        id: u64,
        /// The answer.
        result: Result<Reply, Failure>,
    },
    /// Something happened.
    Event(Event),
}

/// The answer to a request that was done.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// It was done.
    Done,
    /// The container is made; its process waits for `Start`.
    Created {
        /// The process's id on the host.
        pid: i32,
    },
    /// The exec'd process runs.
    Started {
        /// Its id on the host.
        pid: i32,
    },
    /// How things are.
    State(State),
    /// The ids of all processes, on the host.
    Pids(Vec<i32>),
    /// The connection is a byte stream from here on.
    Attached {
        /// The process has a terminal: the stream is raw, not framed.
        terminal: bool,
    },
}

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What sort of failure.
    pub kind: FailureKind,
    /// For people.
    pub message: String,
}

/// What sort of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// No such exec, no such process.
    NotFound,
    /// Not in this state.
    Conflict,
    /// The request makes no sense.
    Invalid,
    /// The runtime or the kernel refused.
    Failed,
}

impl Failure {
    /// A failure of that kind.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// What a subscribed connection is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// The container's first process exited; all its output is in the log and on its way to who is attached.
    Exit(Exit),
    /// An exec'd process exited.
    ExecExit {
        /// Which.
        exec_id: String,
        /// How.
        exit: Exit,
    },
    /// The kernel killed something in the container for want of memory.
    OutOfMemory,
    /// The runtime's state and the cgroup are gone: the id may be used again.
    Deleted,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// 0 to 255; 128 and the signal's number when a signal ended it.
    pub code: i32,
    /// When.
    pub at: Timestamp,
    /// Whether the kernel killed something in the container for want of memory.
    #[serde(default)]
    pub oom_killed: bool,
    /// Nobody knows how it ended: the shim was killed. The code is 255, and processes, cgroup and state of the
    /// container may be left (see `client::remove_leftovers`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lost: bool,
}

impl Exit {
    /// The end of a process whose shim was killed.
    pub fn lost() -> Self {
        Self { code: 255, at: Timestamp::now(), oom_killed: false, lost: true }
    }
}

/// How a container is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The shim's [`VERSION`].
    pub version: u32,
    /// The container's id.
    pub id: String,
    /// The first process's id on the host; kept after its exit.
    pub pid: i32,
    /// How it is.
    pub status: Status,
    /// How it ended, when stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// Whether the first process has a terminal.
    pub terminal: bool,
    /// The exec'd processes; those that exited are listed until a subscriber was told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub execs: Vec<ExecState>,
}

/// Where a container is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Made, not started.
    Created,
    /// Started.
    Running,
    /// Frozen.
    Paused,
    /// Its first process exited.
    Stopped,
}

/// How an exec is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecState {
    /// Which.
    pub exec_id: String,
    /// Its process's id on the host, once started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
}
