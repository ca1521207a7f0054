//! A process of the container that the shim looks after: its first, or an exec'd one.

use hull_task::protocol::{CreateOptions, ExecCreate, ExecState, Exit, Failure};

use crate::log::Log;
use crate::runtime::Made;
use crate::streams::Streams;

pub(crate) struct Process {
    /// `None` for the container's first process.
    pub(crate) exec_id: Option<String>,
    /// What an exec will run, until it is started.
    pub(crate) prepared: Option<Box<ExecCreate>>,
    pub(crate) pid: Option<i32>,
    pub(crate) exit: Option<Exit>,
    /// An exec whose exit was told: it goes as soon as its clients have all output.
    pub(crate) reported: bool,
    pub(crate) streams: Streams,
}

impl Process {
    pub(crate) fn init(options: &CreateOptions, log: Option<Log>) -> Self {
        let streams = Streams::new(options.terminal, options.stdin_once, log);
        Self { exec_id: None, prepared: None, pid: None, exit: None, reported: false, streams }
    }

    pub(crate) fn exec(create: Box<ExecCreate>) -> Self {
        // An exec's standard input ends with its client's.
        let streams = Streams::new(create.process.terminal, true, None);
        let exec_id = Some(create.exec_id.clone());
        Self { exec_id, prepared: Some(create), pid: None, exit: None, reported: false, streams }
    }

    /// Takes what the runtime made.
    pub(crate) fn begin(&mut self, made: Made) -> Result<(), Failure> {
        self.pid = Some(made.pid);
        if let Some(console) = made.console {
            self.streams.set_console(console)?;
        }
        Ok(())
    }

    pub(crate) fn is_running(&self) -> bool {
        self.pid.is_some() && self.exit.is_none()
    }

    pub(crate) fn state(&self) -> Option<ExecState> {
        let exec_id = self.exec_id.clone()?;
        (!self.reported).then_some(ExecState { exec_id, pid: self.pid, exit: self.exit })
    }
}
