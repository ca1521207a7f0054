//! Calls as the shim reads them: by tables, which take a tenth of what serde derives (see `hull_types::document`).

use std::path::PathBuf;

use hull_types::document;
use hull_types::document::{Choice, Document, Field, Malformed, Member, Slot, from_json};
use hull_types::oci::runtime::Resources;

use super::{
    Attach, Call, ConsoleSize, CreateOptions, ExecCreate, JsonLog, LogTarget, MountSource, Request,
    RuntimeKind,
};

/// A call on its way in.
#[derive(Default)]
struct Incoming {
    id: u64,
    request: Option<Request>,
}

impl Call {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        let Incoming { id, request } = from_json(text).map_err(|error: Malformed| error.to_string())?;
        Ok(Self { id, request: request.ok_or("it asks for nothing")? })
    }
}

document!(Incoming {
    "id" => id,
    "request" => request,
});

impl Choice for Request {
    fn choose(&mut self, name: &str) -> Option<Slot<'_>> {
        let exec_id = String::new;
        *self = match name {
            "create" => Self::Create(Box::default()),
            "start" => Self::Start,
            "state" => Self::State,
            "subscribe" => Self::Subscribe,
            "kill" => Self::Kill { signal: 0, all: false, exec_id: None },
            "exec-create" => Self::ExecCreate(Box::default()),
            "exec-start" => Self::ExecStart { exec_id: exec_id() },
            "exec-delete" => Self::ExecDelete { exec_id: exec_id() },
            "resize" => Self::Resize { exec_id: None, size: ConsoleSize::default() },
            "close-stdin" => Self::CloseStdin { exec_id: None },
            "pause" => Self::Pause,
            "resume" => Self::Resume,
            "update" => Self::Update { resources: Box::<Resources>::default() },
            "pids" => Self::Pids,
            "resolve" => Self::Resolve { settings: PathBuf::new() },
            "attach" => Self::Attach(Attach::default()),
            "shutdown" => Self::Shutdown,
            _ => return None,
        };
        Some(match self {
            Self::Create(options) => options.slot(),
            Self::ExecCreate(create) => create.slot(),
            Self::Attach(attach) => attach.slot(),
            Self::Start
            | Self::State
            | Self::Subscribe
            | Self::Pause
            | Self::Resume
            | Self::Pids
            | Self::Shutdown => Slot::Nothing,
            _ => Slot::Document(self),
        })
    }
}

/// The fields of the requests that have some of their own.
impl Document for Request {
    fn field(&mut self, name: &str) -> Option<Slot<'_>> {
        Some(match (self, name) {
            (Self::Kill { signal, .. }, "signal") => signal.slot(),
            (Self::Kill { all, .. }, "all") => all.slot(),
            (Self::ExecStart { exec_id } | Self::ExecDelete { exec_id }, "exec_id") => exec_id.slot(),
            (
                Self::Kill { exec_id, .. } | Self::Resize { exec_id, .. } | Self::CloseStdin { exec_id },
                "exec_id",
            ) => exec_id.slot(),
            (Self::Resize { size, .. }, "size") => size.slot(),
            (Self::Update { resources }, "resources") => resources.slot(),
            (Self::Resolve { settings }, "settings") => settings.slot(),
            _ => return None,
        })
    }
}

impl Field for Request {
    fn slot(&mut self) -> Slot<'_> {
        Slot::Choice(self)
    }
}

impl Member for Request {}

document!(ExecCreate {
    "exec_id" => exec_id,
    "process" => process,
    "stdin" => stdin,
    "detach" => detach,
});

document!(Attach {
    "exec_id" => exec_id,
    "stdin" => stdin,
    "stdout" => stdout,
    "stderr" => stderr,
});

document!(CreateOptions {
    "id" => id,
    "bundle" => bundle,
    "state_root" => state_root,
    "rootfs" => rootfs,
    "mounted" => mounted,
    "sources" => sources,
    "log" => log,
    "runtime" => runtime,
    "terminal" => terminal,
    "console_size" => console_size,
    "stdin_open" => stdin_open,
    "stdin_once" => stdin_once,
    "own_pid_namespace" => own_pid_namespace,
    "resolver" => resolver,
    "no_pivot" => no_pivot,
});

document!(MountSource {
    "from" => from,
    "at" => at,
});

document!(JsonLog {
    "path" => path,
    "max_size" => max_size,
    "max_file" => max_file,
    "attrs" => attrs,
});

document!(ConsoleSize {
    "width" => width,
    "height" => height,
});

impl Choice for LogTarget {
    fn choose(&mut self, name: &str) -> Option<Slot<'_>> {
        *self = match name {
            "none" => Self::None,
            "json-file" => Self::JsonFile(JsonLog::default()),
            _ => return None,
        };
        Some(match self {
            Self::None => Slot::Nothing,
            Self::JsonFile(json) => json.slot(),
        })
    }
}

impl Field for LogTarget {
    fn slot(&mut self) -> Slot<'_> {
        Slot::Choice(self)
    }
}

impl Choice for RuntimeKind {
    fn choose(&mut self, name: &str) -> Option<Slot<'_>> {
        *self = match name {
            "hull" => Self::Hull,
            "command" => Self::Command { path: PathBuf::new(), options: Vec::new(), root: PathBuf::new() },
            _ => return None,
        };
        Some(match self {
            Self::Hull => Slot::Nothing,
            Self::Command { .. } => Slot::Document(self),
        })
    }
}

/// The fields of another runtime's command line.
impl Document for RuntimeKind {
    fn field(&mut self, name: &str) -> Option<Slot<'_>> {
        Some(match (self, name) {
            (Self::Command { path, .. }, "path") => path.slot(),
            (Self::Command { options, .. }, "options") => options.slot(),
            (Self::Command { root, .. }, "root") => root.slot(),
            _ => return None,
        })
    }
}

impl Field for RuntimeKind {
    fn slot(&mut self) -> Slot<'_> {
        Slot::Choice(self)
    }
}
