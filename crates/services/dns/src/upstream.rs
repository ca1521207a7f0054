//! One question on its way to one server: a socket of its own, so that port and number are not to be guessed.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use hull_sys::rustix;
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::message;
use crate::tcp::{Framed, Inbox};

// Whoever floods the port with wrong answers gets so many looked at.
const WRONG_ANSWERS: u32 = 64;

/// How it goes on.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Nothing yet.
    Waiting,
    /// The answer, checked against the question.
    Answer(Vec<u8>),
    /// No answer will come.
    Failed,
}

#[derive(Debug)]
pub(crate) struct Upstream {
    socket: OwnedFd,
    pub(crate) server: usize,
    wrong: u32,
    stream: Option<Stream>,
}

#[derive(Debug)]
struct Stream {
    unsent: Vec<u8>,
    inbox: Inbox,
}

/// A socket towards a server, in the calling thread's network namespace. A stream is connected later.
pub(crate) fn connect(server: IpAddr, port: u16, by_tcp: bool) -> io::Result<OwnedFd> {
    let family = if server.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let kind = if by_tcp { SocketType::STREAM } else { SocketType::DGRAM };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, kind, flags, None)?;
    match rustix::net::connect(&socket, &SocketAddr::new(server, port)) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}

impl Upstream {
    /// Asks by a socket that [`connect`] made.
    pub(crate) fn ask(socket: OwnedFd, server: usize, query: &[u8], by_tcp: bool) -> io::Result<Self> {
        let stream = by_tcp
            .then(|| Stream { unsent: Framed(query).bytes(), inbox: Inbox::new(usize::from(u16::MAX)) });
        if stream.is_none() {
            rustix::net::send(&socket, query, SendFlags::NOSIGNAL)?;
        }
        Ok(Self { socket, server, wrong: 0, stream })
    }

    /// Whether what comes may have been cut.
    pub(crate) fn is_by_udp(&self) -> bool {
        self.stream.is_none()
    }

    pub(crate) fn interest(&self) -> (BorrowedFd<'_>, PollFlags) {
        let unsent = self.stream.as_ref().is_some_and(|stream| !stream.unsent.is_empty());
        (self.socket.as_fd(), if unsent { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN })
    }

    /// Does what can be done now.
    pub(crate) fn proceed(&mut self, query: &[u8], buffer: &mut [u8]) -> Progress {
        match &mut self.stream {
            Some(stream) => match stream.proceed(&self.socket, buffer) {
                Ok(Some(reply)) if message::answers(&reply, query) => Progress::Answer(reply),
                Ok(None) => Progress::Waiting,
                _ => Progress::Failed,
            },
            None => self.receive(query, buffer),
        }
    }

    fn receive(&mut self, query: &[u8], buffer: &mut [u8]) -> Progress {
        loop {
            match rustix::net::recv(&self.socket, &mut *buffer, RecvFlags::empty()) {
                Ok((length, _)) if message::answers(&buffer[..length], query) => {
                    return Progress::Answer(buffer[..length].to_vec());
                }
                Ok(_) if self.wrong >= WRONG_ANSWERS => return Progress::Failed,
                Ok(_) => self.wrong += 1,
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => return Progress::Waiting,
                // Nobody listens there.
                Err(_) => return Progress::Failed,
            }
        }
    }
}

impl Stream {
    fn proceed(&mut self, socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<Option<Vec<u8>>> {
        while !self.unsent.is_empty() {
            match rustix::net::send(socket, &self.unsent, SendFlags::NOSIGNAL) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(Errno::WOULDBLOCK | Errno::NOTCONN) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
        loop {
            match rustix::net::recv(socket, &mut *buffer, RecvFlags::empty()) {
                Ok((0, _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok((length, _)) => {
                    self.inbox.push(&buffer[..length]);
                    if let Some(reply) = self.inbox.next()? {
                        return Ok(Some(reply));
                    }
                }
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
