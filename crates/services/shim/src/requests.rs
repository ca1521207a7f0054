//! What the daemon asks, done.

use std::path::Path;

use hull_task::protocol::{
    Attach, Call, ExecCreate, Failure, FailureKind, Message, Reply, Request, State, Status, VERSION, encode,
};

use crate::process::Process;
use crate::server::Server;

const SIGKILL: i32 = 9;

type Answer = Result<Reply, Failure>;

impl Server {
    /// Answers all calls that have come whole on a connection.
    pub(crate) fn answer_all(&mut self, index: usize) {
        while let Some(Call { id, request }) = self.connections[index].next_call() {
            if let Request::Attach(wants) = request {
                self.attach(index, id, wants);
                return;
            }
            let subscribes = matches!(request, Request::Subscribe);
            let result = self.answer(request);
            self.connections[index].reply(id, result);
            if subscribes {
                self.subscribe(index);
            }
        }
    }

    fn answer(&mut self, request: Request) -> Answer {
        match request {
            Request::Start => self.start(),
            Request::State | Request::Subscribe => Ok(Reply::State(self.state())),
            Request::Kill { signal, all, exec_id } => self.kill(signal, all, exec_id.as_deref()),
            Request::ExecCreate(create) => self.exec_create(create),
            Request::ExecStart { exec_id } => self.exec_start(&exec_id),
            Request::ExecDelete { exec_id } => self.exec_delete(&exec_id),
            Request::Resize { exec_id, size } => {
                let index = self.find(exec_id.as_deref())?;
                self.processes[index].streams.resize(size)?;
                Ok(Reply::Done)
            }
            Request::CloseStdin { exec_id } => {
                let index = self.find(exec_id.as_deref())?;
                self.processes[index].streams.close_input();
                Ok(Reply::Done)
            }
            Request::Pause => self.pause(),
            Request::Resume => self.resume(),
            Request::Update { resources } => {
                self.alive()?;
                self.runtime.update(&resources)?;
                Ok(Reply::Done)
            }
            Request::Pids => {
                self.alive()?;
                Ok(Reply::Pids(self.runtime.pids()?))
            }
            Request::Resolve { settings } => self.resolve(&settings),
            Request::Shutdown => self.shutdown(),
            Request::Create(_) => {
                Err(Failure::new(FailureKind::Conflict, "the container is created already"))
            }
            // Dealt with before: it takes the connection.
            Request::Attach(_) => Err(Failure::new(FailureKind::Invalid, "attach ends a connection's calls")),
        }
    }

    // The state that was replied tells of the execs that ended while nobody listened.
    fn subscribe(&mut self, index: usize) {
        self.connections[index].subscribed = true;
        for process in self.processes.iter_mut().filter(|process| process.exec_id.is_some()) {
            process.reported |= process.exit.is_some();
        }
    }

    fn start(&mut self) -> Answer {
        self.alive()?;
        if self.status != Status::Created {
            return Err(Failure::new(FailureKind::Conflict, "the container was started already"));
        }
        self.runtime.start()?;
        self.status = Status::Running;
        Ok(Reply::Done)
    }

    fn state(&self) -> State {
        State {
            version: VERSION,
            id: self.options.id.clone(),
            pid: self.processes[0].pid.unwrap_or_default(),
            status: self.status,
            exit: self.exit,
            terminal: self.processes[0].streams.terminal(),
            execs: self.processes.iter().filter_map(Process::state).collect(),
        }
    }

    fn kill(&mut self, signal: i32, all: bool, exec_id: Option<&str>) -> Answer {
        if !(0..=64).contains(&signal) {
            return Err(Failure::new(FailureKind::Invalid, format!("there is no signal {signal}")));
        }
        let index = self.find(exec_id)?;
        if all {
            self.alive()?;
            self.runtime.kill_all(signal)?;
        } else {
            // The process is this one's child and not reaped: its id is its own.
            let process = &self.processes[index];
            let running = process.pid.filter(|_| process.is_running() && self.ending.is_none());
            let not_running = || Failure::new(FailureKind::Conflict, "the process is not running");
            let pid = running.ok_or_else(not_running)?;
            hull_sys::process::kill(pid, signal).map_err(|error| {
                Failure::new(FailureKind::Failed, format!("cannot send signal {signal}: {error}"))
            })?;
        }
        // With version 1 a frozen process dies only when it is thawed. With version 2 it may be dead by now, and then
        // there is nothing to thaw.
        if signal == SIGKILL && self.status == Status::Paused {
            let thawed = self.resume();
            return if self.first_has_ended() { Ok(Reply::Done) } else { thawed };
        }
        Ok(Reply::Done)
    }

    fn first_has_ended(&self) -> bool {
        let pidfd = self.processes[0].pid.and_then(|pid| hull_sys::process::pidfd_open(pid).ok());
        pidfd.is_none_or(|pidfd| hull_sys::process::has_exited(&pidfd))
    }

    fn exec_create(&mut self, create: Box<ExecCreate>) -> Answer {
        self.alive()?;
        if self.find(Some(&create.exec_id)).is_ok() {
            let message = format!("exec {} is there already", create.exec_id);
            return Err(Failure::new(FailureKind::Conflict, message));
        }
        self.processes.push(Process::exec(create));
        Ok(Reply::Done)
    }

    fn exec_start(&mut self, exec_id: &str) -> Answer {
        self.alive()?;
        let index = self.find(Some(exec_id))?;
        let process = &mut self.processes[index];
        let started = || Failure::new(FailureKind::Conflict, format!("exec {exec_id} was started already"));
        let prepared = process.prepared.take().ok_or_else(started)?;
        let ExecCreate { process: spec, stdin, detach, .. } = *prepared;
        let begun = process
            .streams
            .open(stdin, spec.terminal, detach)
            .and_then(|ends| self.runtime.exec(exec_id, spec, ends))
            .and_then(|made| process.begin(made));
        if let Err(failure) = begun {
            // Whoever attached gets the end of the stream, and what went wrong from whoever started it.
            process.streams.end(&mut self.buffer);
            process.reported = true;
            return Err(failure);
        }
        Ok(Reply::Started { pid: process.pid.unwrap_or_default() })
    }

    fn exec_delete(&mut self, exec_id: &str) -> Answer {
        let index = self.find(Some(exec_id))?;
        let process = &mut self.processes[index];
        if process.is_running() {
            return Err(Failure::new(FailureKind::Conflict, format!("exec {exec_id} is running")));
        }
        process.streams.end(&mut self.buffer);
        process.reported = true;
        Ok(Reply::Done)
    }

    fn pause(&mut self) -> Answer {
        self.alive()?;
        if self.status != Status::Running {
            return Err(Failure::new(FailureKind::Conflict, "the container is not running"));
        }
        self.runtime.pause()?;
        self.status = Status::Paused;
        Ok(Reply::Done)
    }

    fn resume(&mut self) -> Answer {
        self.alive()?;
        if self.status != Status::Paused {
            return Err(Failure::new(FailureKind::Conflict, "the container is not paused"));
        }
        self.runtime.resume()?;
        self.status = Status::Running;
        Ok(Reply::Done)
    }

    // What it answers from follows the file by itself.
    fn resolve(&mut self, settings: &Path) -> Answer {
        self.alive()?;
        if self.resolver.is_none() {
            self.resolver = Some(crate::startup::resolver(settings, self.processes[0].pid)?);
        }
        Ok(Reply::Done)
    }

    fn shutdown(&mut self) -> Answer {
        if self.exit.is_none() && self.ending.is_none() {
            self.kill(SIGKILL, false, None)?;
        }
        Ok(Reply::Done)
    }

    fn attach(&mut self, index: usize, id: u64, wants: Attach) {
        let found = self.find(wants.exec_id.as_deref());
        let target = match found {
            Ok(target) => target,
            Err(failure) => return self.connections[index].reply(id, Err(failure)),
        };
        let streams = &mut self.processes[target].streams;
        let attached = Reply::Attached { terminal: streams.terminal() };
        let mut reply = Vec::new();
        // A short reply always has a JSON form.
        let _ = encode(&Message::Reply { id, result: Ok(attached) }, &mut reply);
        if let Some((socket, early)) = self.connections[index].take_stream() {
            streams.attach(socket, wants, reply, &early);
        }
    }

    // The process that is meant; the first one when none is named.
    fn find(&self, exec_id: Option<&str>) -> Result<usize, Failure> {
        let Some(exec_id) = exec_id else { return Ok(0) };
        let is_it = |process: &Process| process.exec_id.as_deref() == Some(exec_id) && !process.reported;
        self.processes
            .iter()
            .position(is_it)
            .ok_or_else(|| Failure::new(FailureKind::NotFound, format!("No such exec instance: {exec_id}")))
    }

    fn alive(&self) -> Result<(), Failure> {
        if self.exit.is_some() || self.ending.is_some() {
            return Err(Failure::new(
                FailureKind::Conflict,
                format!("container {} is not running", self.options.id),
            ));
        }
        Ok(())
    }
}
