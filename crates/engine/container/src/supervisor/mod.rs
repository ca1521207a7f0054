//! The supervisor: one task owns one container's state.
//!
//! ```text
//!              start                      exit, policy says no
//!  Created ───────────▶ Running ─────────────────────────────▶ Exited ──start──▶ Running
//!     │                 │  ▲  │ exit, policy says yes            │
//!     │           pause │  │  └──────▶ Restarting ──timer──▶ Running
//!     │                 ▼  │ unpause       │ stop
//!     │               Paused               ▼
//!     │                                  Exited
//!     └───────────────▶ Removing ◀─────────┘          (failed half way: Dead; removal may be asked for again)
//! ```
//!
//! * **In:** [`Request`]s by a queue. Each is accepted or rejected by the state it finds; a request that takes long
//!   (stop) leaves a note of what to do at the exit, and the loop goes on.
//! * **Out:** [`Published`], by a watch channel, after the row is committed; events after that. Readers take no lock.
//! * A start that fails half way is undone by a stack of named steps; nothing of it stays but the error's text.

mod attach;
mod exit;
mod hosts;
pub(crate) mod links;
mod network;
mod prepare;
mod remove;
mod request;
mod start;
pub(crate) mod step;
mod stop;
mod undo;

pub(crate) use prepare::{below, bind_source, hostname_of, user_in};
pub(crate) use request::{PendingAttach, Reply, Request};
pub(crate) use start::{attach_request, exit_code_of};

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::record::{ContainerSpec, Phase, State};
use crate::restart::Backoff;
use futures::future::BoxFuture;
use hull_task::protocol::Event;
use hull_task::{Exit, Task};
use std::sync::Arc;
use stop::AfterExit;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// What readers see of a container.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    pub spec: Arc<ContainerSpec>,
    pub state: State,
    /// The process's shim, while there is one.
    pub task: Option<Task>,
    /// How often it exited since the daemon came up: a wait for the next exit counts by it.
    pub exits: u64,
    /// Code and error of the last exit, kept while it runs again.
    pub last_exit: (i64, String),
    /// It was removed.
    pub gone: bool,
}

/// How to reach a supervisor, and what it published.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    requests: mpsc::Sender<Request>,
    published: watch::Receiver<Arc<Published>>,
}

impl Handle {
    pub(crate) fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published.borrow())
    }
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Published>> {
        self.published.clone()
    }
    /// Queues a request without an answer.
    pub(crate) async fn tell(&self, request: Request) {
        let _ = self.requests.send(request).await;
    }
    /// Queues a request and waits for its answer.
    pub(crate) async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let gone = || Error::Gone(self.published().spec.id.clone());
        self.requests.send(request(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// The container's process, as long as it has one.
struct Live {
    task: Task,
    exit: BoxFuture<'static, Exit>,
    events: broadcast::Receiver<Event>,
    since: Instant,
    health: Option<JoinHandle<()>>,
}

impl Live {
    fn new(task: Task) -> Self {
        let waiting = task.clone();
        let events = task.events();
        Self {
            exit: Box::pin(async move { waiting.wait().await }),
            events,
            task,
            since: Instant::now(),
            health: None,
        }
    }
}

/// One container's owner.
pub(crate) struct Supervisor {
    engine: Arc<Engine>,
    spec: Arc<ContainerSpec>,
    state: State,
    requests: mpsc::Receiver<Request>,
    /// For what this supervisor starts to talk back to it.
    sender: mpsc::WeakSender<Request>,
    published: watch::Sender<Arc<Published>>,
    live: Option<Live>,
    /// The shim of the last run, while it may still be cleaning up.
    ending: Option<Task>,
    /// Clients that came before the process.
    attaching: Vec<PendingAttach>,
    /// The terminal's size, told before there was a terminal; rows and columns.
    console: Option<(u32, u32)>,
    after_exit: Vec<AfterExit>,
    /// When to kill a container that was asked to stop.
    kill_at: Option<Instant>,
    /// When to start it again.
    restart_at: Option<Instant>,
    backoff: Backoff,
    exits: u64,
    last_exit: (i64, String),
    gone: bool,
}

impl Supervisor {
    /// Makes the supervisor of a container; [`Supervisor::run`] is its life.
    pub(crate) fn new(engine: Arc<Engine>, spec: ContainerSpec, state: State) -> (Self, Handle) {
        let (sender, requests) = mpsc::channel(64);
        let spec = Arc::new(spec);
        let last_exit = (state.exit_code, String::new());
        let first = Published {
            spec: Arc::clone(&spec),
            state: state.clone(),
            task: None,
            exits: 0,
            last_exit: last_exit.clone(),
            gone: false,
        };
        let (published, watching) = watch::channel(Arc::new(first));
        let handle = Handle { requests: sender.clone(), published: watching };
        let supervisor = Self {
            engine,
            spec,
            state,
            requests,
            sender: sender.downgrade(),
            published,
            live: None,
            ending: None,
            attaching: Vec::new(),
            console: None,
            after_exit: Vec::new(),
            kill_at: None,
            restart_at: None,
            backoff: Backoff::default(),
            exits: 0,
            last_exit,
            gone: false,
        };
        (supervisor, handle)
    }

    /// Owns the container until it is removed or the daemon leaves.
    pub(crate) async fn run(mut self) {
        while !self.gone {
            let deadline = [self.kill_at, self.restart_at].into_iter().flatten().min();
            tokio::select! {
                biased;
                happened = next_of(&mut self.live) => match happened {
                    Happened::Exit(exit) => self.on_exit(exit).await,
                    Happened::OutOfMemory => self.on_out_of_memory(),
                },
                request = self.requests.recv() => match request {
                    Some(Request::Leave) | None => return,
                    Some(request) => self.handle(request).await,
                },
                () = until(deadline) => self.on_deadline().await,
            }
        }
    }

    async fn handle(&mut self, request: Request) {
        // An answer that nobody waits for any more is no matter.
        match request {
            Request::Start(reply) => {
                let result = self.start_by_hand().await;
                let _ = reply.send(result);
            }
            Request::Stop { signal, timeout, reply } => {
                self.stop(signal, timeout, AfterExit::Stopped(reply)).await
            }
            Request::Restart { signal, timeout, reply } => self.restart(signal, timeout, reply).await,
            Request::Kill { signal, reply } => self.kill(signal, reply).await,
            Request::Pause(reply) => {
                let result = self.pause().await;
                let _ = reply.send(result);
            }
            Request::Unpause(reply) => {
                let result = self.unpause().await;
                let _ = reply.send(result);
            }
            Request::Rename { name, reply } => {
                let _ = reply.send(self.rename(name));
            }
            Request::Update { request, reply } => {
                let result = self.update(*request).await;
                let _ = reply.send(result);
            }
            Request::Remove { options, reply } => self.remove(options, reply).await,
            Request::Attach(pending) => self.attach(pending).await,
            Request::Resize { height, width, reply } => {
                let result = self.resize(height, width).await;
                let _ = reply.send(result);
            }
            Request::Connect { network, settings, reply } => {
                let result = self.connect(network, *settings).await;
                let _ = reply.send(result);
            }
            Request::Disconnect { network, force, reply } => {
                let result = self.disconnect(network, force).await;
                let _ = reply.send(result);
            }
            Request::Unlink { alias, reply } => {
                let result = self.unlink(&alias);
                let _ = reply.send(result);
            }
            Request::Health { of, health } => self.on_health(of, health),
            Request::Adopt(reply) => {
                self.adopt().await;
                let _ = reply.send(Ok(()));
            }
            Request::Boot { reply } => {
                self.boot().await;
                let _ = reply.send(Ok(()));
            }
            Request::Leave => {}
        }
    }

    async fn on_deadline(&mut self) {
        let now = Instant::now();
        if self.kill_at.is_some_and(|at| at <= now) {
            self.kill_at = None;
            if let Some(live) = &self.live {
                // What fails here is that it just exited.
                let _ = live.task.kill(libc_kill(), false).await;
            }
        }
        if self.restart_at.is_some_and(|at| at <= now) {
            self.restart_at = None;
            self.restart_now().await;
        }
    }

    fn on_out_of_memory(&mut self) {
        self.state.oom_killed = true;
        self.engine.event(&self.spec, "oom", &[]);
        self.publish();
    }

    fn on_health(&mut self, of: i32, health: hull_api_types::Health) {
        // A word about an earlier process comes too late.
        if self.state.pid != of || !self.state.phase.is_live() {
            return;
        }
        let before = self.state.health.as_ref().map(|known| known.status.clone());
        let now = health.status.clone();
        self.state.health = Some(health);
        self.publish();
        if before.as_deref() != Some(now.as_str()) {
            // Only what changed is worth a row: results of checks come every few seconds.
            if let Err(error) = self.write_state() {
                tracing::warn!(container = %self.spec.id, %error, "cannot record the health status");
            }
            self.engine.event(&self.spec, &format!("health_status: {now}"), &[]);
        }
    }

    fn rename(&mut self, name: String) -> Result<()> {
        let old = self.spec.name.clone();
        if old == name {
            return Err(Error::invalid("Renaming a container with the same name as its current name"));
        }
        self.engine.reserve_name(&name, &self.spec.id)?;
        let mut spec = (*self.spec).clone();
        spec.name = name.clone();
        if let Err(error) = self.engine.specs.put(&spec.id, &spec) {
            self.engine.release_name(&name, &self.spec.id);
            return Err(Error::service(error));
        }
        self.spec = Arc::new(spec);
        self.engine.release_name(&old, &self.spec.id);
        self.engine.networks.rename(&self.spec.id, &name);
        self.publish();
        self.engine.event(&self.spec, "rename", &[("oldName", format!("/{old}"))]);
        Ok(())
    }

    /// Commits the state's row.
    fn write_state(&self) -> Result<()> {
        self.engine.states.put(&self.spec.id, &self.state).map_err(Error::service)
    }

    /// Commits the specification's row.
    fn write_spec(&self) -> Result<()> {
        self.engine.specs.put(&self.spec.id, &self.spec).map_err(Error::service)
    }

    /// Lets readers see the present state.
    fn publish(&self) {
        self.published.send_replace(Arc::new(Published {
            spec: Arc::clone(&self.spec),
            state: self.state.clone(),
            task: self.live.as_ref().map(|live| live.task.clone()),
            exits: self.exits,
            last_exit: self.last_exit.clone(),
            gone: self.gone,
        }));
    }

    /// Commits and publishes. A row that can't be written is told in the log: the kernel's fact stands.
    fn record(&self) {
        if let Err(error) = self.write_state() {
            tracing::error!(container = %self.spec.id, %error, "cannot record the container's state");
        }
        self.publish();
    }

    fn not_running(&self) -> Error {
        Error::conflict(format!("container {} is not running", self.spec.id))
    }

    fn require_task(&self) -> Result<Task> {
        self.live.as_ref().map(|live| live.task.clone()).ok_or_else(|| self.not_running())
    }

    fn phase(&self) -> Phase {
        self.state.phase
    }
}

fn libc_kill() -> i32 {
    rustix::process::Signal::KILL.as_raw()
}

enum Happened {
    Exit(Exit),
    OutOfMemory,
}

async fn next_of(live: &mut Option<Live>) -> Happened {
    let Some(live) = live else { return std::future::pending().await };
    loop {
        tokio::select! {
            biased;
            event = live.events.recv() => match event {
                Ok(Event::OutOfMemory) => return Happened::OutOfMemory,
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return Happened::Exit((&mut live.exit).await),
            },
            exit = &mut live.exit => return Happened::Exit(exit),
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
