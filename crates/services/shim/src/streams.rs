//! The standard streams of one process: outputs to the log and to the attached clients, the clients' input to it.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use hull_logs::Stream;
use hull_sys::rustix;
use hull_task::protocol::{Attach, ConsoleSize, Failure, FailureKind};
use rustix::event::PollFlags;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags};
use rustix::pipe::PipeFlags;

use crate::log::Log;

/// How much is read from a process or a client at once.
pub(crate) const CHUNK: usize = 32 << 10;

// A client gets more only while less than this waits for it: with one chunk more it holds 64 KiB at most.
const CLIENT_ROOM: usize = 32 << 10;

/// The ends that a new process gets.
#[derive(Debug, Default)]
pub(crate) struct ProcessEnds {
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) stdout: Option<OwnedFd>,
    pub(crate) stderr: Option<OwnedFd>,
    /// It gets a terminal in place of all three.
    pub(crate) terminal: bool,
}

/// Which descriptor of a process's streams became ready.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ready {
    Output(Stream),
    Input,
    Client(usize),
}

pub(crate) struct Streams {
    terminal: bool,
    outputs: [Option<Rc<OwnedFd>>; 2],
    input: Input,
    clients: Vec<Client>,
    log: Option<Log>,
    // All output was read; clients leave when they have it.
    ended: bool,
}

// The way into the process.
#[derive(Default)]
struct Input {
    descriptor: Option<Rc<OwnedFd>>,
    // What the process has not taken yet; clients are not read while there is some.
    waiting: Vec<u8>,
    close_when_empty: bool,
    // Ends with the first client's.
    once: bool,
}

struct Client {
    socket: OwnedFd,
    wants: Attach,
    queue: Vec<u8>,
    sent: usize,
    input_ended: bool,
    // The peer closed the socket while its last input waits to be read.
    hung_up: bool,
    gone: bool,
}

impl Streams {
    pub(crate) fn new(terminal: bool, stdin_once: bool, log: Option<Log>) -> Self {
        let input = Input { once: stdin_once, ..Input::default() };
        Self { terminal, outputs: [None, None], input, clients: Vec::new(), log, ended: false }
    }

    pub(crate) fn terminal(&self) -> bool {
        self.terminal
    }

    /// Makes pipes, keeps the shim's ends and returns the process's. `discard`: nobody will look at the output.
    pub(crate) fn open(
        &mut self,
        stdin: bool,
        terminal: bool,
        discard: bool,
    ) -> Result<ProcessEnds, Failure> {
        if terminal {
            return Ok(ProcessEnds { terminal, ..ProcessEnds::default() });
        }
        let mut ends = ProcessEnds::default();
        if stdin {
            let (theirs, ours) = pipe()?;
            self.input.descriptor = Some(keep(ours)?);
            ends.stdin = Some(theirs);
        } else {
            ends.stdin = Some(null()?);
        }
        for (index, end) in [&mut ends.stdout, &mut ends.stderr].into_iter().enumerate() {
            if discard {
                *end = Some(null()?);
                continue;
            }
            let (ours, theirs) = pipe()?;
            self.outputs[index] = Some(keep(ours)?);
            *end = Some(theirs);
        }
        Ok(ends)
    }

    /// Takes the master of the terminal that the runtime made.
    pub(crate) fn set_console(&mut self, master: OwnedFd) -> Result<(), Failure> {
        let master = keep(master)?;
        self.outputs[Stream::Stdout as usize] = Some(Rc::clone(&master));
        self.input.descriptor = Some(master);
        Ok(())
    }

    pub(crate) fn resize(&self, size: ConsoleSize) -> Result<(), Failure> {
        let not_now = || Failure::new(FailureKind::Conflict, "the process has no terminal now");
        let master = self.input.descriptor.as_ref().filter(|_| self.terminal).ok_or_else(not_now)?;
        hull_sys::terminal::resize(master, size.width, size.height).map_err(|error| {
            Failure::new(FailureKind::Failed, format!("cannot resize the terminal: {error}"))
        })
    }

    /// Adds a client. `early` is what it sent right behind its request.
    pub(crate) fn attach(&mut self, socket: OwnedFd, wants: Attach, reply: Vec<u8>, early: &[u8]) {
        let client =
            Client { socket, wants, queue: reply, sent: 0, input_ended: false, hung_up: false, gone: false };
        self.clients.push(client);
        let index = self.clients.len() - 1;
        self.clients[index].flush();
        if !early.is_empty() {
            self.take_input(index, early);
        }
    }

    pub(crate) fn close_input(&mut self) {
        if self.terminal {
            return;
        }
        if self.input.waiting.is_empty() {
            self.input.descriptor = None;
        } else {
            self.input.close_when_empty = true;
        }
    }

    /// Tells every descriptor that something can come of, and what.
    pub(crate) fn interests<'a>(&'a self, mut add: impl FnMut(BorrowedFd<'a>, PollFlags, Ready)) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            if let Some(output) = &self.outputs[stream as usize]
                && self.has_room(stream)
            {
                add(output.as_fd(), PollFlags::IN, Ready::Output(stream));
            }
        }
        if let Some(input) = &self.input.descriptor
            && !self.input.waiting.is_empty()
        {
            add(input.as_fd(), PollFlags::OUT, Ready::Input);
        }
        for (index, client) in self.clients.iter().enumerate() {
            if client.hung_up && !self.input.waiting.is_empty() {
                // Told over and over otherwise.
                continue;
            }
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::OUT, !client.is_flushed());
            flags.set(PollFlags::IN, !client.input_ended && self.input.waiting.is_empty());
            // Without any flag a hang-up is still told.
            add(client.socket.as_fd(), flags, Ready::Client(index));
        }
    }

    /// Does what can be done with a ready descriptor. `buffer` is [`CHUNK`] long.
    pub(crate) fn handle(&mut self, ready: Ready, flags: PollFlags, buffer: &mut [u8]) {
        match ready {
            Ready::Output(stream) => {
                self.read_output(stream, buffer);
            }
            Ready::Input => self.write_input(),
            Ready::Client(index) => {
                if flags.contains(PollFlags::OUT) {
                    self.clients[index].flush();
                }
                if flags.contains(PollFlags::IN) {
                    self.read_client(index, buffer);
                }
                // Both directions are shut or the peer is dead; half a close is told as IN and end of file.
                if flags.intersects(PollFlags::HUP | PollFlags::ERR) && !flags.contains(PollFlags::IN) {
                    let client = &mut self.clients[index];
                    client.hung_up = true;
                    client.gone = client.input_ended || !client.wants.stdin || self.input.waiting.is_empty();
                }
            }
        }
    }

    /// Lets clients go that left or, after the end, have everything.
    pub(crate) fn sweep(&mut self) {
        let left = self.clients.iter().any(|client| client.gone && client.wants.stdin);
        let ended = self.ended;
        self.clients.retain(|client| !(client.gone || ended && client.is_flushed()));
        if left && self.input.once {
            self.close_input();
        }
    }

    /// Whether a client still waits for output.
    pub(crate) fn has_clients(&self) -> bool {
        !self.clients.is_empty()
    }

    /// Reads all that is there, room or not, and ends the outputs: the process exited. Who else still holds them
    /// is not waited for.
    pub(crate) fn end(&mut self, buffer: &mut [u8]) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            // Somebody who holds the pipe and writes without pause must not keep the shim: what was there at the
            // exit is at most a pipe's capacity.
            let mut left = crate::drain::capacity(self.outputs[stream as usize].as_deref());
            while let Some(read) = self.read_output(stream, buffer) {
                left = left.saturating_sub(read);
                if left == 0 {
                    break;
                }
            }
            self.outputs[stream as usize] = None;
        }
        self.input = Input::default();
        if let Some(log) = &mut self.log {
            log.finish();
        }
        self.ended = true;
    }

    fn has_room(&self, stream: Stream) -> bool {
        self.clients.iter().filter(|client| client.takes(stream)).all(|client| client.waiting() < CLIENT_ROOM)
    }

    // How much was read; `None` when there is nothing now or never again.
    fn read_output(&mut self, stream: Stream, buffer: &mut [u8]) -> Option<usize> {
        let output = self.outputs[stream as usize].as_ref()?;
        match rustix::io::read(output.as_fd(), &mut *buffer) {
            Ok(read @ 1..) => {
                self.distribute(stream, &buffer[..read]);
                Some(read)
            }
            Err(Errno::WOULDBLOCK) => None,
            Err(Errno::INTR) => Some(0),
            // End of a pipe; a terminal whose last user left says EIO.
            Ok(0) | Err(_) => {
                self.outputs[stream as usize] = None;
                None
            }
        }
    }

    fn distribute(&mut self, stream: Stream, bytes: &[u8]) {
        if let Some(log) = &mut self.log {
            log.write(stream, bytes);
        }
        let mut header = [stream as u8 + 1, 0, 0, 0, 0, 0, 0, 0];
        header[4..].copy_from_slice(&(bytes.len() as u32).to_be_bytes());
        let header = if self.terminal { &[][..] } else { &header };
        for client in self.clients.iter_mut().filter(|client| client.takes(stream)) {
            client.send(header, bytes);
        }
    }

    fn read_client(&mut self, index: usize, buffer: &mut [u8]) {
        let client = &mut self.clients[index];
        match rustix::io::read(&client.socket, &mut *buffer) {
            Ok(0) => {
                client.input_ended = true;
                if client.wants.stdin && self.input.once {
                    self.close_input();
                }
            }
            Ok(read) => self.take_input(index, &buffer[..read]),
            Err(Errno::WOULDBLOCK | Errno::INTR) => {}
            Err(_) => client.gone = true,
        }
    }

    fn take_input(&mut self, index: usize, bytes: &[u8]) {
        if self.clients[index].wants.stdin && self.input.descriptor.is_some() {
            self.input.waiting.extend_from_slice(bytes);
            self.write_input();
        }
    }

    fn write_input(&mut self) {
        let Some(descriptor) = &self.input.descriptor else { return };
        match rustix::io::write(descriptor.as_fd(), &self.input.waiting) {
            Ok(written) => {
                self.input.waiting.drain(..written);
            }
            Err(Errno::WOULDBLOCK | Errno::INTR) => return,
            // Nobody reads it any more: clients may go on sending, into nothing.
            Err(_) => {
                self.input.waiting.clear();
                if !self.terminal {
                    self.input.descriptor = None;
                }
            }
        }
        if self.input.waiting.is_empty() {
            self.input.waiting = Vec::new();
            if self.input.close_when_empty {
                self.input.descriptor = None;
            }
        }
    }
}

impl Client {
    fn takes(&self, stream: Stream) -> bool {
        match stream {
            Stream::Stdout => self.wants.stdout && !self.gone,
            Stream::Stderr => self.wants.stderr && !self.gone,
        }
    }

    fn waiting(&self) -> usize {
        self.queue.len() - self.sent
    }

    fn is_flushed(&self) -> bool {
        self.waiting() == 0
    }

    // Sends at once what the socket takes; the rest waits.
    fn send(&mut self, header: &[u8], bytes: &[u8]) {
        let mut done = 0;
        if self.is_flushed() {
            let parts = [IoSlice::new(header), IoSlice::new(bytes)];
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            match rustix::net::sendmsg(&self.socket, &parts, &mut SendAncillaryBuffer::default(), flags) {
                Ok(sent) => done = sent,
                Err(Errno::WOULDBLOCK | Errno::INTR) => {}
                Err(_) => return self.lose_output(),
            }
        }
        if done < header.len() {
            self.queue.extend_from_slice(&header[done..]);
        }
        self.queue.extend_from_slice(&bytes[done.saturating_sub(header.len())..]);
    }

    fn flush(&mut self) {
        while !self.is_flushed() {
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            match rustix::net::send(&self.socket, &self.queue[self.sent..], flags) {
                Ok(sent) => self.sent += sent,
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => return,
                Err(_) => return self.lose_output(),
            }
        }
        self.queue = Vec::new();
        self.sent = 0;
    }

    // The peer takes no more; what it sent before may still have to be read.
    fn lose_output(&mut self) {
        (self.wants.stdout, self.wants.stderr) = (false, false);
        self.queue = Vec::new();
        self.sent = 0;
    }
}

// The shim's own end: it must never wait in a read or write. The process's end stays as it is.
fn keep(descriptor: OwnedFd) -> Result<Rc<OwnedFd>, Failure> {
    rustix::io::ioctl_fionbio(&descriptor, true).map_err(|error| set_up("set up a stream", error))?;
    Ok(Rc::new(descriptor))
}

fn pipe() -> Result<(OwnedFd, OwnedFd), Failure> {
    rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|error| set_up("make a pipe", error))
}

fn null() -> Result<OwnedFd, Failure> {
    rustix::fs::open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| set_up("open /dev/null", error))
}

fn set_up(act: &str, error: Errno) -> Failure {
    Failure::new(FailureKind::Failed, format!("cannot {act}: {}", io::Error::from(error)))
}
