//! One connection to a shim: requests that overlap, and events.
//!
//! A single tokio task owns the socket. It ends when the shim ends, or when the last [`Link`] is dropped.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hull_sys::socket;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::process::Child;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::{Error, Result, read_exit};
use crate::protocol::{Call, Decoder, Event, Exit, Failure, Message, Reply, Request, State, encode};

#[derive(Debug)]
pub(super) struct Link {
    outgoing: mpsc::UnboundedSender<Outgoing>,
    shared: Arc<Shared>,
}

/// A message, and descriptors that go with its first bytes.
#[derive(Debug)]
struct Outgoing {
    bytes: Vec<u8>,
    descriptors: Vec<Arc<OwnedFd>>,
}

#[derive(Debug)]
struct Shared {
    bundle: PathBuf,
    calls: Mutex<Calls>,
    life: watch::Sender<Life>,
    execs: Mutex<HashMap<String, watch::Sender<Option<Exit>>>>,
    events: broadcast::Sender<Event>,
}

#[derive(Debug, Default)]
struct Calls {
    last: u64,
    waiting: HashMap<u64, oneshot::Sender<Result<Reply, Failure>>>,
    closed: bool,
}

#[derive(Debug, Default)]
struct Life {
    exit: Option<Exit>,
    deleted: bool,
}

impl Link {
    /// Takes the connection over. `child` is the shim when it is a child of this process: it is waited for.
    pub(super) fn open(stream: UnixStream, child: Option<Child>, bundle: &Path) -> Self {
        let (outgoing, queue) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            bundle: bundle.into(),
            calls: Mutex::default(),
            life: watch::Sender::default(),
            execs: Mutex::default(),
            events: broadcast::Sender::new(64),
        });
        tokio::spawn(drive(stream, child, queue, Arc::clone(&shared)));
        Self { outgoing, shared }
    }

    pub(super) async fn call(&self, request: Request) -> Result<Reply> {
        self.call_with(request, Vec::new()).await
    }

    /// Asks, and gives descriptors along.
    pub(super) async fn call_with(&self, request: Request, descriptors: Vec<Arc<OwnedFd>>) -> Result<Reply> {
        let bundle = &self.shared.bundle;
        let closed = || Error::Closed { bundle: bundle.clone() };
        let (answer, answered) = oneshot::channel();
        let id = {
            let mut calls = lock(&self.shared.calls);
            if calls.closed {
                return Err(closed());
            }
            calls.last += 1;
            let id = calls.last;
            calls.waiting.insert(id, answer);
            id
        };
        let mut bytes = Vec::new();
        if let Err(error) = encode(&Call { id, request }, &mut bytes) {
            lock(&self.shared.calls).waiting.remove(&id);
            return Err(Error::protocol(bundle, error));
        }
        self.outgoing.send(Outgoing { bytes, descriptors }).map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?.map_err(Error::Refused)
    }

    /// Takes over what happened before this connection.
    pub(super) fn adopt(&self, state: &State) {
        for exec in &state.execs {
            // The exit may have been told by an event already.
            let mut execs = lock(&self.shared.execs);
            let sender = execs.entry(exec.exec_id.clone()).or_insert_with(|| watch::Sender::new(None));
            if let Some(exit) = exec.exit {
                sender.send_replace(Some(exit));
            }
        }
        if let Some(exit) = state.exit {
            self.shared.exited(exit);
        }
    }

    pub(super) async fn exit(&self) -> Exit {
        let mut life = self.shared.life.subscribe();
        match life.wait_for(|life| life.exit.is_some()).await {
            Ok(life) => life.exit.unwrap_or_else(Exit::lost),
            Err(_) => Exit::lost(),
        }
    }

    pub(super) fn exit_now(&self) -> Option<Exit> {
        self.shared.life.borrow().exit
    }

    pub(super) async fn deleted(&self) {
        // The sender lives in `shared`, as this does: waiting cannot fail.
        let _ = self.shared.life.subscribe().wait_for(|life| life.deleted).await;
    }

    pub(super) fn events(&self) -> broadcast::Receiver<Event> {
        self.shared.events.subscribe()
    }

    /// Makes ready to be told of an exec's exit; whether it was not known before.
    pub(super) fn expect_exec(&self, exec_id: &str) -> bool {
        let mut execs = lock(&self.shared.execs);
        let new = !execs.contains_key(exec_id);
        if new {
            execs.insert(exec_id.into(), watch::Sender::new(None));
        }
        new
    }

    /// Whether it had exited.
    pub(super) fn forget_exec(&self, exec_id: &str) -> bool {
        lock(&self.shared.execs).remove(exec_id).is_some_and(|sender| sender.borrow().is_some())
    }

    pub(super) async fn exec_exit(&self, exec_id: &str) -> Result<Exit> {
        let receiver = lock(&self.shared.execs).get(exec_id).map(watch::Sender::subscribe);
        let mut receiver = receiver.ok_or_else(|| Error::NoSuchExec(exec_id.into()))?;
        // The sender goes when the exec is forgotten.
        let exit = receiver.wait_for(Option::is_some).await.ok().and_then(|exit| *exit);
        exit.ok_or_else(|| Error::NoSuchExec(exec_id.into()))
    }
}

impl Shared {
    fn exited(&self, exit: Exit) {
        self.life.send_if_modified(|life| {
            let first = life.exit.is_none();
            life.exit = life.exit.or(Some(exit));
            first
        });
    }

    fn receive(&self, message: Message) {
        match message {
            Message::Reply { id, result } => {
                if let Some(answer) = lock(&self.calls).waiting.remove(&id) {
                    // Who asked may have gone.
                    let _ = answer.send(result);
                }
            }
            Message::Event(event) => {
                match &event {
                    Event::Exit(exit) => self.exited(*exit),
                    Event::ExecExit { exec_id, exit } => {
                        if let Some(sender) = lock(&self.execs).get(exec_id) {
                            sender.send_replace(Some(*exit));
                        }
                    }
                    Event::Deleted => {
                        self.life.send_modify(|life| life.deleted = true);
                    }
                    Event::OutOfMemory => {}
                }
                let _ = self.events.send(event);
            }
        }
    }

    // The shim is gone: nobody waits for ever.
    fn close(&self) {
        let mut calls = lock(&self.calls);
        calls.closed = true;
        calls.waiting.clear();
        drop(calls);
        let exit = read_exit(&self.bundle).ok().flatten().unwrap_or_else(Exit::lost);
        self.exited(exit);
        for sender in lock(&self.execs).values() {
            sender.send_if_modified(|known| {
                let unknown = known.is_none();
                *known = known.or(Some(Exit::lost()));
                unknown
            });
        }
        self.life.send_modify(|life| life.deleted = true);
    }
}

async fn drive(
    mut stream: UnixStream,
    child: Option<Child>,
    mut queue: mpsc::UnboundedReceiver<Outgoing>,
    shared: Arc<Shared>,
) {
    let left = converse(&mut stream, &mut queue, &shared).await;
    drop(stream);
    if !left {
        shared.close();
    }
    // The shim is reaped at its end even when nobody here is interested in the container any more.
    if let Some(mut child) = child {
        let _ = child.wait().await;
    }
}

// Whether it was this side that ended the conversation.
async fn converse(
    stream: &mut UnixStream,
    queue: &mut mpsc::UnboundedReceiver<Outgoing>,
    shared: &Shared,
) -> bool {
    let mut decoder = Decoder::default();
    let mut buffer = [0; 2048];
    loop {
        tokio::select! {
            read = stream.read(&mut buffer) => {
                let Ok(read @ 1..) = read else { return false };
                decoder.push(&buffer[..read]);
                loop {
                    match decoder.decode(|text| serde_json::from_slice::<Message>(text)) {
                        Ok(Some(message)) => shared.receive(message),
                        Ok(None) => break,
                        Err(_) => return false,
                    }
                }
            }
            message = queue.recv() => {
                let Some(message) = message else { return true };
                // The shim never waits for this side to read: writing cannot deadlock. After a failure what it
                // sent before it ended is still to be read.
                let _ = send(stream, message).await;
            }
        }
    }
}

// As many descriptors as one message of a socket's may bear go with each of the first bytes.
async fn send(stream: &mut UnixStream, message: Outgoing) -> io::Result<()> {
    let Outgoing { bytes, descriptors } = message;
    let mut rest = bytes.as_slice();
    for some in descriptors.chunks(socket::MOST_DESCRIPTORS) {
        let Some((first, behind)) = rest.split_at_checked(1) else { break };
        let some: Vec<BorrowedFd<'_>> = some.iter().map(|descriptor| descriptor.as_fd()).collect();
        stream.async_io(Interest::WRITABLE, || socket::send(&*stream, first, &some)).await?;
        rest = behind;
    }
    stream.write_all(rest).await
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
