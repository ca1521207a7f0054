//! Messages on a stream: each with its length before it (RFC 1035, 4.2.2); and the connections of clients.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use hull_sys::rustix;
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use crate::LIMITS;

const IDLE: Duration = Duration::from_secs(10);

/// A message as a stream has it.
pub(crate) struct Framed<'a>(pub(crate) &'a [u8]);

impl Framed<'_> {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let length = self.0.len().min(usize::from(u16::MAX));
        let mut bytes = (length as u16).to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.0[..length]);
        bytes
    }
}

/// What came of a stream and was not taken yet.
#[derive(Debug)]
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    longest: usize,
}

impl Inbox {
    pub(crate) fn new(longest: usize) -> Self {
        Self { bytes: Vec::new(), longest }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn has_room(&self) -> bool {
        self.bytes.len() < self.longest + 2
    }

    /// The next whole message; an error for one that is too long.
    pub(crate) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some(head) = self.bytes.first_chunk() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes(*head));
        if length > self.longest {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if self.bytes.len() < length + 2 {
            return Ok(None);
        }
        let message = self.bytes[2..length + 2].to_vec();
        self.bytes.drain(..length + 2);
        Ok(Some(message))
    }
}

/// A client's connection.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: TcpStream,
    /// Tells it from a later one in the same place.
    pub(crate) serial: u64,
    inbox: Inbox,
    unsent: Vec<u8>,
    last: Instant,
    /// Questions that are being asked outside.
    pub(crate) waiting: usize,
    ended: bool,
    pub(crate) dead: bool,
}

impl Connection {
    pub(crate) fn new(socket: TcpStream, serial: u64) -> Self {
        let inbox = Inbox::new(LIMITS.query);
        Self {
            socket,
            serial,
            inbox,
            unsent: Vec::new(),
            last: Instant::now(),
            waiting: 0,
            ended: false,
            dead: false,
        }
    }

    pub(crate) fn interest(&self) -> (BorrowedFd<'_>, PollFlags) {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, !self.ended && self.takes_more());
        flags.set(PollFlags::OUT, !self.unsent.is_empty());
        (self.socket.as_fd(), flags)
    }

    /// A client that asks and does not read is not read either.
    fn takes_more(&self) -> bool {
        self.unsent.len() < LIMITS.unsent && self.waiting < LIMITS.in_flight / 4
    }

    pub(crate) fn closes_at(&self) -> Instant {
        self.last + IDLE
    }

    /// Whether it may be forgotten.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.dead
            || self.ended && self.waiting == 0 && self.unsent.is_empty()
            || self.waiting == 0 && now >= self.closes_at()
    }

    pub(crate) fn receive(&mut self, buffer: &mut [u8]) {
        if !self.takes_more() || !self.inbox.has_room() {
            return;
        }
        match rustix::net::recv(&self.socket, &mut buffer[..LIMITS.query], RecvFlags::empty()) {
            Ok((0, _)) => self.ended = true,
            Ok((length, _)) => {
                self.last = Instant::now();
                self.inbox.push(&buffer[..length]);
            }
            Err(Errno::WOULDBLOCK | Errno::INTR) => {}
            Err(_) => self.dead = true,
        }
    }

    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        if self.dead || !self.takes_more() {
            return None;
        }
        self.inbox.next().unwrap_or_else(|_| {
            self.dead = true;
            None
        })
    }

    pub(crate) fn send(&mut self, reply: &[u8]) {
        self.unsent.extend(Framed(reply).bytes());
        self.flush();
    }

    pub(crate) fn flush(&mut self) {
        while !self.unsent.is_empty() {
            match rustix::net::send(&self.socket, &self.unsent, SendFlags::NOSIGNAL) {
                Ok(sent) => {
                    self.last = Instant::now();
                    self.unsent.drain(..sent);
                }
                Err(Errno::WOULDBLOCK | Errno::INTR) => return,
                Err(_) => {
                    self.dead = true;
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_put_together() {
        let mut inbox = Inbox::new(10);
        let bytes = [Framed(b"one").bytes(), Framed(b"").bytes(), Framed(b"three").bytes()].concat();
        let mut got = Vec::new();
        for byte in bytes {
            inbox.push(&[byte]);
            while let Some(message) = inbox.next().unwrap() {
                got.push(message);
            }
        }
        assert_eq!(got, [b"one".to_vec(), b"".to_vec(), b"three".to_vec()]);
        inbox.push(&[0, 11]);
        assert!(inbox.next().is_err());
    }
}
