//! The loop: waits for any descriptor, does what can be done, and never waits for anything else.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use hull_dns::Resolver;
use hull_sys::rustix;
use hull_task::protocol::{CreateOptions, Event, Exit, Status};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::SocketFlags;

use crate::connection::{Connection, is_trusted};
use crate::process::Process;
use crate::runtime::Runtime;
use crate::streams::{CHUNK, Ready};

pub(crate) struct Server {
    pub(crate) options: CreateOptions,
    pub(crate) runtime: Runtime,
    pub(crate) status: Status,
    pub(crate) exit: Option<Exit>,
    /// The container's first process is the first, execs follow.
    pub(crate) processes: Vec<Process>,
    pub(crate) connections: Vec<Connection>,
    pub(crate) buffer: Vec<u8>,
    listener: OwnedFd,
    /// Readable when a child ended.
    pub(crate) children: OwnedFd,
    /// The first process was reaped with this code; others of the container may be dying.
    pub(crate) ending: Option<i32>,
    /// Answers the container's questions for names, where it is in a network with names.
    pub(crate) resolver: Option<Resolver>,
}

/// How long nothing must happen before the shim makes itself small.
const IDLE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

// What a polled descriptor belongs to.
#[derive(Debug, Clone, Copy)]
enum Token {
    Children,
    Listener,
    Connection(usize),
    Process(usize, Ready),
    Resolver(hull_dns::Ready),
}

impl Server {
    pub(crate) fn new(
        options: CreateOptions,
        runtime: Runtime,
        init: Process,
        listener: OwnedFd,
        children: OwnedFd,
        resolver: Option<Resolver>,
    ) -> Self {
        Self {
            options,
            runtime,
            status: Status::Created,
            exit: None,
            processes: vec![init],
            connections: Vec::new(),
            buffer: vec![0; CHUNK],
            listener,
            children,
            ending: None,
            resolver,
        }
    }

    /// The connection on which the creation was asked for; it is told of events without asking.
    pub(crate) fn adopt_first(&mut self, socket: OwnedFd, reply: Vec<u8>) {
        let mut connection = Connection::new(socket);
        connection.subscribed = true;
        connection.send_encoded(&reply);
        self.connections.push(connection);
    }

    /// Until the container is gone and everybody has its output.
    pub(crate) fn run(mut self) -> io::Result<()> {
        // A child may have ended before it was known by its id.
        self.reap();
        while !self.is_over() {
            let mut ready = self.wait()?;
            // Ends of children, which are polled first, last: what was asked and written before is dealt with before.
            if let [(Token::Children, _), ..] = ready[..] {
                ready.rotate_left(1);
            }
            for (token, flags) in ready {
                self.handle(token, flags);
            }
            if let Some(resolver) = &mut self.resolver {
                resolver.tick();
            }
            self.sweep();
        }
        Ok(())
    }

    pub(crate) fn tell(&mut self, event: &Event) {
        for connection in self.connections.iter_mut().filter(|connection| connection.subscribed) {
            connection.tell(event);
        }
    }

    pub(crate) fn has_subscribers(&self) -> bool {
        self.connections.iter().any(|connection| connection.subscribed && !connection.is_over())
    }

    fn is_over(&self) -> bool {
        self.exit.is_some() && !self.processes.iter().any(|process| process.streams.has_clients())
    }

    fn wait(&mut self) -> io::Result<Vec<(Token, PollFlags)>> {
        // The first wait after work is short; once it passes in vain the memory that is not needed is given back, and
        // only then does the shim wait for as long as it takes.
        let due = self.resolver.as_ref().and_then(Resolver::deadline);
        let wait = due.and_then(|due| Timespec::try_from(due).ok()).map_or(IDLE, |due| due.min(IDLE));
        let ready = self.poll(|polled| poll(polled, Some(&wait)))?;
        if !ready.is_empty() || due.is_some() {
            return Ok(ready);
        }
        if let Some(resolver) = &mut self.resolver {
            resolver.rest();
        }
        self.poll(hull_sys::program_memory::forget_and_poll)
    }

    fn poll(
        &self,
        wait: impl FnOnce(&mut [PollFd<'_>]) -> rustix::io::Result<usize>,
    ) -> io::Result<Vec<(Token, PollFlags)>> {
        let mut tokens = vec![Token::Children, Token::Listener];
        let mut polled =
            vec![PollFd::new(&self.children, PollFlags::IN), PollFd::new(&self.listener, PollFlags::IN)];
        for (index, connection) in self.connections.iter().enumerate() {
            if let Some((descriptor, flags)) = connection.interest() {
                tokens.push(Token::Connection(index));
                polled.push(PollFd::from_borrowed_fd(descriptor, flags));
            }
        }
        for (index, process) in self.processes.iter().enumerate() {
            process.streams.interests(|descriptor, flags, ready| {
                tokens.push(Token::Process(index, ready));
                polled.push(PollFd::from_borrowed_fd(descriptor, flags));
            });
        }
        if let Some(resolver) = &self.resolver {
            resolver.interests(|descriptor, flags, ready| {
                tokens.push(Token::Resolver(ready));
                polled.push(PollFd::from_borrowed_fd(descriptor, flags));
            });
        }
        match wait(&mut polled) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        }
        let ready = tokens.into_iter().zip(polled.iter().map(PollFd::revents));
        Ok(ready.filter(|(_, flags)| !flags.is_empty()).collect())
    }

    fn handle(&mut self, token: Token, flags: PollFlags) {
        match token {
            Token::Children => self.reap(),
            Token::Listener => self.accept(),
            Token::Connection(index) => {
                if flags.contains(PollFlags::OUT) {
                    self.connections[index].flush();
                }
                if flags.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                    self.connections[index].receive(&mut self.buffer);
                    self.answer_all(index);
                }
            }
            Token::Process(index, ready) => {
                let mut buffer = std::mem::take(&mut self.buffer);
                self.processes[index].streams.handle(ready, flags, &mut buffer);
                self.buffer = buffer;
            }
            Token::Resolver(ready) => {
                if let Some(resolver) = &mut self.resolver {
                    resolver.handle(ready, flags);
                }
            }
        }
    }

    fn accept(&mut self) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        while let Ok(socket) = rustix::net::accept_with(self.listener.as_fd(), flags) {
            if is_trusted(&socket) {
                self.connections.push(Connection::new(socket));
            } else {
                eprintln!("a connection of another user was refused");
            }
        }
    }

    // Indexes are those of the last wait until here: nothing is removed before.
    fn sweep(&mut self) {
        self.connections.retain(|connection| !connection.is_over());
        for process in &mut self.processes {
            process.streams.sweep();
        }
        self.processes.retain(|process| !process.reported || process.streams.has_clients());
    }
}
