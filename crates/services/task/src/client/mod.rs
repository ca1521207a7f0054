//! The daemon's half: tasks over tokio.

mod error;
mod link;
mod spawn;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hull_types::oci::runtime::Resources;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::broadcast;

use crate::protocol::{
    Call, ConsoleSize, EXIT_FILE, Event, Exit, MESSAGE_LIMIT, Message, Reply, Request, SOCKET, State, encode,
};
use link::Link;

pub use crate::protocol::{Attach as AttachOptions, ExecCreate as ExecOptions};
pub use error::{Error, Result};
pub use spawn::{SpawnOptions, remove_leftovers};

/// A container with its shim. Clones are the same task.
///
/// Dropping the last clone only closes the connection: the container goes on, and [`Task::connect`] finds it.
#[derive(Debug, Clone)]
pub struct Task {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    id: String,
    bundle: PathBuf,
    pid: i32,
    terminal: bool,
    version: u32,
    link: Link,
}

impl Task {
    /// Starts a shim, which creates the container; its process waits for [`Task::start`].
    ///
    /// # Errors
    /// [`Error::Create`] with the runtime's words when it cannot; nothing is left of it then.
    pub async fn spawn(options: SpawnOptions) -> Result<Self> {
        spawn::spawn(options).await
    }

    /// Connects to the shim of the container whose bundle that is.
    ///
    /// # Errors
    /// [`Error::Gone`] when no shim runs there (any more), with the container's exit if that is known.
    pub async fn connect(bundle: &Path) -> Result<Self> {
        let stream = connect(bundle).await?;
        let link = Link::open(stream, None, bundle);
        let state = match link.call(Request::Subscribe).await {
            Ok(Reply::State(state)) => state,
            Ok(_) => return Err(Error::protocol(bundle, "not a state")),
            // It ended while it was being connected to.
            Err(Error::Closed { .. }) => {
                return Err(Error::Gone { bundle: bundle.into(), exit: read_exit(bundle)? });
            }
            Err(error) => return Err(error),
        };
        link.adopt(&state);
        let State { id, pid, terminal, version, .. } = state;
        let inner = Inner { id, bundle: bundle.into(), pid, terminal, version, link };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The container's id.
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// The bundle's directory.
    pub fn bundle(&self) -> &Path {
        &self.inner.bundle
    }

    /// The first process's id on the host. Meaningful until [`Task::wait`] returns.
    pub fn pid(&self) -> i32 {
        self.inner.pid
    }

    /// Whether the first process has a terminal: attached streams are raw then, framed otherwise.
    pub fn terminal(&self) -> bool {
        self.inner.terminal
    }

    /// Runs the container's process.
    pub async fn start(&self) -> Result<()> {
        self.done(Request::Start).await
    }

    /// How things are.
    pub async fn state(&self) -> Result<State> {
        match self.inner.link.call(Request::State).await? {
            Reply::State(state) => Ok(state),
            _ => Err(self.unexpected("not a state")),
        }
    }

    /// Sends a signal to the first process, or to all.
    pub async fn kill(&self, signal: i32, all: bool) -> Result<()> {
        self.done(Request::Kill { signal, all, exec_id: None }).await
    }

    /// Sends a signal to an exec'd process.
    pub async fn exec_kill(&self, exec_id: &str, signal: i32) -> Result<()> {
        self.done(Request::Kill { signal, all: false, exec_id: Some(exec_id.into()) }).await
    }

    /// Connects to the streams of the first process or of an exec'd one: see [`crate::protocol`] for what the
    /// socket carries. To lose no output attach before `start` or `exec_start`.
    pub async fn attach(&self, options: AttachOptions) -> Result<UnixStream> {
        let mut stream = connect(&self.inner.bundle).await?;
        let bundle = &self.inner.bundle;
        let mut bytes = Vec::new();
        let call = Call { id: 0, request: Request::Attach(options) };
        encode(&call, &mut bytes).map_err(|error| Error::protocol(bundle, error))?;
        let closed = |_| Error::Closed { bundle: bundle.clone() };
        stream.write_all(&bytes).await.map_err(closed)?;
        // Exactly the reply is read: what follows it is the stream.
        let length = stream.read_u32_le().await.map_err(closed)? as usize;
        if length > MESSAGE_LIMIT {
            return Err(self.unexpected("a reply over the limit"));
        }
        bytes.resize(length, 0);
        stream.read_exact(&mut bytes).await.map_err(closed)?;
        match serde_json::from_slice(&bytes).map_err(|error| Error::protocol(bundle, error))? {
            Message::Reply { result: Ok(Reply::Attached { .. }), .. } => Ok(stream),
            Message::Reply { result: Err(failure), .. } => Err(Error::Refused(failure)),
            _ => Err(self.unexpected("not a reply to attach")),
        }
    }

    /// Makes ready to run another process in the container.
    pub async fn exec_create(&self, options: ExecOptions) -> Result<()> {
        let exec_id = options.exec_id.clone();
        let new = self.inner.link.expect_exec(&exec_id);
        let created = self.done(Request::ExecCreate(Box::new(options))).await;
        if created.is_err() && new {
            self.inner.link.forget_exec(&exec_id);
        }
        created
    }

    /// Runs it; its process's id on the host.
    pub async fn exec_start(&self, exec_id: &str) -> Result<i32> {
        match self.inner.link.call(Request::ExecStart { exec_id: exec_id.into() }).await? {
            Reply::Started { pid } => Ok(pid),
            _ => Err(self.unexpected("not a start")),
        }
    }

    /// Waits for its exit. Whoever created an exec forgets it by [`Task::exec_delete`] in the end.
    ///
    /// # Errors
    /// [`Error::NoSuchExec`] when it was never created here, or was forgotten.
    pub async fn exec_wait(&self, exec_id: &str) -> Result<Exit> {
        self.inner.link.exec_exit(exec_id).await
    }

    /// Forgets an exec that was not started or has exited.
    pub async fn exec_delete(&self, exec_id: &str) -> Result<()> {
        let exited = self.inner.link.forget_exec(exec_id);
        // The shim forgets by itself what it has reported.
        if exited { Ok(()) } else { self.done(Request::ExecDelete { exec_id: exec_id.into() }).await }
    }

    /// Sets the size of the first process's terminal, or of an exec'd one's.
    pub async fn resize(&self, exec_id: Option<&str>, size: ConsoleSize) -> Result<()> {
        self.done(Request::Resize { exec_id: exec_id.map(Into::into), size }).await
    }

    /// Closes the standard input of the first process or of an exec'd one.
    pub async fn close_stdin(&self, exec_id: Option<&str>) -> Result<()> {
        self.done(Request::CloseStdin { exec_id: exec_id.map(Into::into) }).await
    }

    /// Freezes all processes.
    pub async fn pause(&self) -> Result<()> {
        self.done(Request::Pause).await
    }

    /// Thaws them.
    pub async fn resume(&self) -> Result<()> {
        self.done(Request::Resume).await
    }

    /// Changes the limits said in `resources`; all others stay.
    pub async fn update(&self, resources: Resources) -> Result<()> {
        self.done(Request::Update { resources: Box::new(resources) }).await
    }

    /// The ids of all processes on the host.
    pub async fn pids(&self) -> Result<Vec<i32>> {
        match self.inner.link.call(Request::Pids).await? {
            Reply::Pids(pids) => Ok(pids),
            _ => Err(self.unexpected("not process ids")),
        }
    }

    /// Has the shim answer names as that file says, if it does not yet. An older shim can't: its containers keep the
    /// resolver that they were started with.
    pub async fn resolve(&self, settings: &Path) -> Result<()> {
        if self.inner.version < 2 {
            return Ok(());
        }
        self.done(Request::Resolve { settings: settings.into() }).await
    }

    /// Kills everything; [`Task::wait`] and [`Task::deleted`] tell when it is done.
    pub async fn shutdown(&self) -> Result<()> {
        self.done(Request::Shutdown).await
    }

    /// Waits for the first process's exit. When the shim was killed, the exit is what it wrote before, or
    /// [`Exit::lost`]: then somebody should call [`remove_leftovers`].
    pub async fn wait(&self) -> Exit {
        self.inner.link.exit().await
    }

    /// The exit if it is known by now.
    pub fn exit(&self) -> Option<Exit> {
        self.inner.link.exit_now()
    }

    /// Waits until runtime state and cgroup are gone too: only then the id and the bundle may be used for another
    /// [`Task::spawn`]. A few hundred microseconds after [`Task::wait`].
    pub async fn deleted(&self) {
        self.inner.link.deleted().await;
    }

    /// All that the shim tells, from now on (out-of-memory kills among it).
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.inner.link.events()
    }

    async fn done(&self, request: Request) -> Result<()> {
        match self.inner.link.call(request).await? {
            Reply::Done => Ok(()),
            _ => Err(self.unexpected("more than 'done'")),
        }
    }

    fn unexpected(&self, what: &str) -> Error {
        Error::protocol(&self.inner.bundle, what)
    }
}

/// The exit recorded in the bundle; `None` when there is none.
pub fn read_exit(bundle: &Path) -> Result<Option<Exit>> {
    let path = bundle.join(EXIT_FILE);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::ReadExit { path, source }),
    };
    serde_json::from_slice(&text).map(Some).map_err(|error| Error::ReadExit { path, source: error.into() })
}

async fn connect(bundle: &Path) -> Result<UnixStream> {
    let (path, _folder) = spawn::socket_path(bundle)?;
    match UnixStream::connect(&path).await {
        Ok(stream) => Ok(stream),
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused
            ) =>
        {
            Err(Error::Gone { bundle: bundle.into(), exit: read_exit(bundle)? })
        }
        Err(source) => Err(Error::Connect { path: bundle.join(SOCKET), source }),
    }
}
