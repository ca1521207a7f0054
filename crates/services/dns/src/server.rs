//! The sockets in the container's network namespace, and what comes by them.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use hull_sys::rustix::event::PollFlags;

use crate::answer::{Answer, answer};
use crate::directory::Directory;
use crate::forward::{Client, Forwarder};
use crate::message;
use crate::namespaces::Inside;
use crate::redirect::{self, Redirect};
use crate::tcp::Connection;
use crate::{ADDRESS, Error, LIMITS, Result};

/// How many datagrams are answered before others have their turn.
const BATCH: usize = 256;
/// Room for any answer from outside.
const BUFFER: usize = 64 << 10;

/// Which socket became ready.
#[derive(Debug, Clone, Copy)]
pub enum Ready {
    /// Datagrams came.
    Udp,
    /// Somebody connects.
    Listener,
    /// A client's connection.
    Connection(usize),
    /// An answer from outside.
    Upstream(usize, usize),
}

/// A container's resolver. It never waits: whoever has it polls [`Self::interests`] and calls [`Self::handle`], and
/// [`Self::tick`] at [`Self::deadline`].
#[derive(Debug)]
pub struct Resolver {
    directory: Directory,
    inside: Inside,
    udp: UdpSocket,
    listener: TcpListener,
    _redirect: Redirect,
    connections: Vec<Option<Connection>>,
    serial: u64,
    turn: usize,
    forwarder: Forwarder,
    buffer: Vec<u8>,
}

impl Resolver {
    /// Opens the resolver of the container whose process has that id; `settings` is its file.
    pub fn open(settings: &Path, pid: i32) -> Result<Self> {
        let directory = Directory::open(settings)?;
        let inside = Inside::of_process(pid)?;
        let (udp, listener, redirect) =
            inside.run(listen).map_err(|source| Error::Namespace { pid, source })??;
        let [turn] = hull_sys::random::bytes().unwrap_or_default();
        Ok(Self {
            directory,
            inside,
            udp,
            listener,
            _redirect: redirect,
            connections: Vec::new(),
            serial: 0,
            turn: usize::from(turn),
            forwarder: Forwarder::default(),
            buffer: Vec::new(),
        })
    }

    /// Tells every socket that something can come of, and what.
    pub fn interests<'a>(&'a self, mut add: impl FnMut(BorrowedFd<'a>, PollFlags, Ready)) {
        add(self.udp.as_fd(), PollFlags::IN, Ready::Udp);
        if self.connections.iter().flatten().count() < LIMITS.connections {
            add(self.listener.as_fd(), PollFlags::IN, Ready::Listener);
        }
        for (place, connection) in self.connections.iter().enumerate() {
            if let Some(connection) = connection {
                let (socket, flags) = connection.interest();
                add(socket, flags, Ready::Connection(place));
            }
        }
        self.forwarder
            .interests(|socket, flags, (place, index)| add(socket, flags, Ready::Upstream(place, index)));
    }

    /// Does what can be done with a ready socket.
    pub fn handle(&mut self, ready: Ready, flags: PollFlags) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(BUFFER, 0);
        match ready {
            Ready::Udp => self.take_datagrams(&mut buffer),
            Ready::Listener => self.accept(),
            Ready::Connection(place) => self.serve(place, flags, &mut buffer),
            Ready::Upstream(place, index) => {
                let Self { forwarder, inside, .. } = self;
                if let Some((client, reply)) =
                    forwarder.handle((place, index), &mut buffer, &|here, make| open(inside, here, make))
                {
                    self.deliver(client, &reply, true);
                }
            }
        }
        self.buffer = buffer;
    }

    /// How long until [`Self::tick`] has something to do.
    pub fn deadline(&self) -> Option<Duration> {
        let connections = self.connections.iter().flatten().map(Connection::closes_at);
        let next = connections.chain(self.forwarder.deadline()).min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    /// Does what it is time for.
    pub fn tick(&mut self) {
        let now = Instant::now();
        let Self { forwarder, inside, .. } = self;
        for (client, reply) in forwarder.tick(now, &|here, make| open(inside, here, make)) {
            self.deliver(client, &reply, true);
        }
        for place in &mut self.connections {
            if place.as_ref().is_some_and(|connection| connection.is_over(now)) {
                *place = None;
            }
        }
    }

    /// Lets go of all memory that is not needed while nobody asks.
    pub fn rest(&mut self) {
        self.directory.forget();
        self.buffer = Vec::new();
        self.connections.shrink_to_fit();
    }

    fn take_datagrams(&mut self, buffer: &mut [u8]) {
        self.directory.refresh();
        for _ in 0..BATCH {
            // One byte more than is taken: what is longer shows.
            match self.udp.recv_from(&mut buffer[..LIMITS.query + 1]) {
                Ok((length, from)) => {
                    if let Some(reply) = self.consider(&buffer[..length], Some(from), None) {
                        // A client that does not take it is gone.
                        let _ = self.udp.send_to(&reply, from);
                    }
                }
                // An earlier answer's refusal may be told here.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(_) => return,
            }
        }
    }

    /// The answer to a message, unless it comes later or never.
    fn consider(
        &mut self,
        message: &[u8],
        from: Option<SocketAddr>,
        connection: Option<(usize, u64)>,
    ) -> Option<Vec<u8>> {
        self.turn = self.turn.wrapping_add(1);
        match answer(message, &self.directory, from.is_some(), self.turn) {
            Answer::Reply(reply) => Some(reply),
            Answer::Nothing => None,
            Answer::Forward(query) => {
                let client = match (from, connection) {
                    (Some(from), _) => Client::Udp(from, query.limit()),
                    (None, connection) => {
                        let (place, serial) = connection?;
                        Client::Tcp(place, serial)
                    }
                };
                let Self { forwarder, inside, directory, .. } = self;
                let upstreams = directory.upstreams();
                forwarder.begin(&query, client, upstreams, &|here, make| open(inside, here, make))
            }
        }
    }

    fn accept(&mut self) {
        while self.connections.iter().flatten().count() < LIMITS.connections
            && let Ok((socket, _)) = self.listener.accept()
        {
            if socket.set_nonblocking(true).is_err() {
                continue;
            }
            self.serial += 1;
            let connection = Some(Connection::new(socket, self.serial));
            match self.connections.iter_mut().find(|place| place.is_none()) {
                Some(place) => *place = connection,
                None => self.connections.push(connection),
            }
        }
    }

    fn serve(&mut self, place: usize, flags: PollFlags, buffer: &mut [u8]) {
        let Some(Some(connection)) = self.connections.get_mut(place) else { return };
        connection.flush();
        if flags.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            connection.receive(buffer);
            connection.dead |= flags.contains(PollFlags::ERR);
        }
        self.directory.refresh();
        self.answer_connection(place);
    }

    /// Answers what has come whole.
    fn answer_connection(&mut self, place: usize) {
        loop {
            let Some(Some(connection)) = self.connections.get_mut(place) else { return };
            let serial = connection.serial;
            let Some(message) = connection.next() else { break };
            // Counted before: it may be over at once.
            connection.waiting += 1;
            if let Some(reply) = self.consider(&message, None, Some((place, serial))) {
                self.deliver(Client::Tcp(place, serial), &reply, false);
            } else if matches!(message::Query::parse(&message), Err(message::Malformed::Silent))
                && let Some(Some(connection)) = self.connections.get_mut(place)
            {
                connection.dead = true;
            }
        }
        if self.connections[place].as_ref().is_some_and(|connection| connection.is_over(Instant::now())) {
            self.connections[place] = None;
        }
    }

    /// Sends an answer; `resume`: the client may have more questions waiting.
    fn deliver(&mut self, client: Client, reply: &[u8], resume: bool) {
        match client {
            Client::Udp(to, _) => {
                let _ = self.udp.send_to(reply, to);
            }
            Client::Tcp(place, serial) => {
                let Some(Some(connection)) = self.connections.get_mut(place) else { return };
                if connection.serial != serial {
                    return;
                }
                connection.waiting -= 1;
                connection.send(reply);
                if resume {
                    self.answer_connection(place);
                }
            }
        }
    }
}

fn open(inside: &Inside, here: bool, make: &dyn Fn() -> io::Result<OwnedFd>) -> io::Result<OwnedFd> {
    if here { inside.run(make)? } else { make() }
}

/// The sockets, on ports that the kernel chooses, and the rules that lead to them.
fn listen() -> Result<(UdpSocket, TcpListener, Redirect)> {
    let failed = |protocol| move |source| Error::Listen { protocol, source };
    let udp = UdpSocket::bind((ADDRESS, 0)).map_err(failed("udp"))?;
    udp.set_nonblocking(true).map_err(failed("udp"))?;
    let listener = TcpListener::bind((ADDRESS, 0)).map_err(failed("tcp"))?;
    listener.set_nonblocking(true).map_err(failed("tcp"))?;
    let udp_port = udp.local_addr().map_err(failed("udp"))?.port();
    let tcp_port = listener.local_addr().map_err(failed("tcp"))?.port();
    let redirect = redirect::establish(udp_port, tcp_port)?;
    Ok((udp, listener, redirect))
}
