//! One connection that speaks messages.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use hull_sys::rustix;
use hull_task::protocol::{Call, Decoder, Event, Failure, MESSAGE_LIMIT, Message, Reply, encode};
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::SendFlags;

pub(crate) struct Connection {
    // `None` once it became a byte stream.
    socket: Option<OwnedFd>,
    decoder: Decoder,
    queue: Vec<u8>,
    pub(crate) subscribed: bool,
    dead: bool,
}

impl Connection {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self {
            socket: Some(socket),
            decoder: Decoder::default(),
            queue: Vec::new(),
            subscribed: false,
            dead: false,
        }
    }

    /// Whether it may be forgotten.
    pub(crate) fn is_over(&self) -> bool {
        self.dead || self.socket.is_none()
    }

    pub(crate) fn interest(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        let mut flags = PollFlags::IN;
        flags.set(PollFlags::OUT, !self.queue.is_empty());
        self.socket.as_ref().map(|socket| (socket.as_fd(), flags))
    }

    /// Reads what is there; [`Connection::next_call`] has the calls.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) {
        let Some(socket) = &self.socket else { return };
        match rustix::io::read(socket, &mut *buffer) {
            Ok(0) => self.dead = true,
            Ok(read) => self.decoder.push(&buffer[..read]),
            Err(Errno::WOULDBLOCK | Errno::INTR) => {}
            Err(_) => self.dead = true,
        }
    }

    /// The next whole call. After a malformed one the connection is over.
    pub(crate) fn next_call(&mut self) -> Option<Call> {
        if self.is_over() {
            return None;
        }
        match self.decoder.decode(Call::read) {
            Ok(call) => call,
            Err(error) => {
                eprintln!("a connection was closed: {error}");
                self.dead = true;
                None
            }
        }
    }

    pub(crate) fn reply(&mut self, id: u64, result: Result<Reply, Failure>) {
        self.send(&Message::Reply { id, result });
    }

    pub(crate) fn tell(&mut self, event: &Event) {
        self.send(&Message::Event(event.clone()));
    }

    /// Queues bytes that were encoded before.
    pub(crate) fn send_encoded(&mut self, bytes: &[u8]) {
        self.queue.extend_from_slice(bytes);
        self.flush();
    }

    pub(crate) fn flush(&mut self) {
        let Some(socket) = &self.socket else { return };
        while !self.queue.is_empty() {
            match rustix::net::send(socket, &self.queue, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(sent) => {
                    self.queue.drain(..sent);
                }
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => break,
                Err(_) => {
                    self.dead = true;
                    return;
                }
            }
        }
        if self.queue.is_empty() {
            self.queue = Vec::new();
        }
    }

    /// Gives up the socket, and what came after the last call.
    pub(crate) fn take_stream(&mut self) -> Option<(OwnedFd, Vec<u8>)> {
        let socket = self.socket.take()?;
        Some((socket, std::mem::take(&mut self.decoder).into_rest()))
    }

    fn send(&mut self, message: &Message) {
        if encode(message, &mut self.queue).is_err() {
            self.dead = true;
        }
        self.flush();
        // A peer that asks and never listens is let go.
        self.dead |= self.queue.len() > MESSAGE_LIMIT;
    }
}

/// Whether the peer may speak to this shim: root, or this user.
pub(crate) fn is_trusted(socket: &OwnedFd) -> bool {
    let own = rustix::process::geteuid();
    rustix::net::sockopt::socket_peercred(socket).is_ok_and(|peer| peer.uid.is_root() || peer.uid == own)
}
