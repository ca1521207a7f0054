//! A container in the foreground: signals go in, its terminal is relayed, its status comes out.

use hull_sys::rustix::event::{PollFd, PollFlags, poll};
use hull_sys::rustix::fs::OFlags;
use hull_sys::rustix::io::Errno;
use hull_sys::rustix::termios::{self, OptionalActions, Termios};
use hull_sys::signal::{self, SignalSet};
use hull_sys::{process, rustix, terminal};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const SIGCHLD: i32 = 17;
const SIGWINCH: i32 = 28;
/// Signals that a fault of this process's own raises: they are not forwarded, they end it.
const FAULTS: [i32; 7] = [4, 5, 6, 7, 8, 11, 31];
/// `SIGURG`, which runtimes with their own schedulers send to themselves, and stops at the terminal.
const IGNORED: [i32; 3] = [21, 22, 23];

/// The size of the caller's terminal, if it has one.
pub(crate) fn own_size() -> Option<(u64, u64)> {
    let size = termios::tcgetwinsize(rustix::stdio::stdin()).ok()?;
    Some((u64::from(size.ws_col), u64::from(size.ws_row)))
}

/// Waits until a child ends and gives its status; meanwhile forwards signals, relays its terminal and reaps others.
pub(crate) fn wait(pid: i32, console: Option<OwnedFd>) -> io::Result<u8> {
    let mask = SignalSet::all().without(&FAULTS);
    mask.block()?;
    let signals = mask.descriptor()?;
    let raw = console.as_ref().and_then(|_| RawMode::enter());
    let mut relay = console.map(Relay::new).transpose()?;
    if let Some(relay) = &relay {
        relay.copy_size();
    }
    // It may have ended before its signal was blocked.
    let mut ended = reap(pid);
    let status = loop {
        if let Some(status) = ended {
            break status;
        }
        wait_for_something(&signals, relay.as_mut())?;
        ended = serve_signals(&signals, pid, relay.as_ref())?;
    };
    if let Some(relay) = &mut relay {
        relay.drain();
    }
    drop(raw);
    Ok(status as u8)
}

fn wait_for_something(signals: &OwnedFd, relay: Option<&mut Relay>) -> io::Result<()> {
    let Some(relay) = relay else {
        let mut fds = [PollFd::new(signals, PollFlags::IN)];
        return match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        };
    };
    relay.turn(signals)
}

/// Takes all signals that have come; the child's status once it has ended.
fn serve_signals(signals: &OwnedFd, pid: i32, relay: Option<&Relay>) -> io::Result<Option<i32>> {
    let mut ended = None;
    while let Some(received) = signal::read(signals)? {
        match received.signal {
            SIGCHLD => ended = ended.or(reap(pid)),
            SIGWINCH => relay.into_iter().for_each(Relay::copy_size),
            other if IGNORED.contains(&other) => {}
            other => {
                let _ = process::kill(pid, other);
            }
        }
    }
    Ok(ended)
}

/// Takes all ended children; the status of the one that counts, if it is among them.
fn reap(pid: i32) -> Option<i32> {
    let mut ended = None;
    while let Ok(Some((child, status))) = process::reap_any() {
        if child == pid {
            ended = Some(status);
        }
    }
    ended
}

/// The caller's terminal without its own line editing, until this is dropped.
struct RawMode(Termios);

impl RawMode {
    fn enter() -> Option<Self> {
        let stdin = rustix::stdio::stdin();
        let old = termios::tcgetattr(stdin).ok()?;
        let mut raw = old.clone();
        raw.make_raw();
        termios::tcsetattr(stdin, OptionalActions::Now, &raw).ok()?;
        Some(Self(old))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &self.0);
    }
}

/// Bytes between the caller's streams and a container's terminal.
struct Relay {
    master: OwnedFd,
    /// What was read from standard input and the terminal has not taken yet.
    pending: Vec<u8>,
    input_open: bool,
    output_open: bool,
}

impl Relay {
    fn new(master: OwnedFd) -> io::Result<Self> {
        let flags = rustix::fs::fcntl_getfl(&master)?;
        rustix::fs::fcntl_setfl(&master, flags | OFlags::NONBLOCK)?;
        Ok(Self { master, pending: Vec::new(), input_open: true, output_open: true })
    }

    fn copy_size(&self) {
        if let Some((width, height)) = own_size() {
            let _ = terminal::resize(&self.master, width as u16, height as u16);
        }
    }

    fn turn(&mut self, signals: &OwnedFd) -> io::Result<()> {
        let stdin = rustix::stdio::stdin();
        let mut wanted = if self.output_open { PollFlags::IN } else { PollFlags::empty() };
        if !self.pending.is_empty() {
            wanted |= PollFlags::OUT;
        }
        let reads_input = self.input_open && self.pending.is_empty();
        let mut fds = vec![PollFd::new(signals, PollFlags::IN)];
        if self.output_open {
            fds.push(PollFd::new(&self.master, wanted));
        }
        if reads_input {
            fds.push(PollFd::new(&stdin, PollFlags::IN));
        }
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let master_ready = if self.output_open { fds[1].revents() } else { PollFlags::empty() };
        let input_ready = reads_input && fds.last().is_some_and(|fd| !fd.revents().is_empty());
        drop(fds);
        if master_ready.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            self.output_open = self.copy_output(rustix::stdio::stdout());
        }
        if input_ready {
            self.read_input(stdin);
        }
        if !self.pending.is_empty() {
            self.write_pending();
        }
        Ok(())
    }

    /// One read's worth; false once nobody has the terminal open any more.
    fn copy_output(&mut self, out: BorrowedFd<'_>) -> bool {
        let mut buffer = [0_u8; 16 * 1024];
        match rustix::io::read(&self.master, &mut buffer) {
            Ok(0) => false,
            Ok(length) => write_all(out, &buffer[..length]),
            Err(Errno::AGAIN | Errno::INTR) => true,
            Err(_) => false,
        }
    }

    fn read_input(&mut self, stdin: BorrowedFd<'_>) {
        let mut buffer = [0_u8; 4096];
        match rustix::io::read(stdin, &mut buffer) {
            Ok(0) => {
                self.input_open = false;
                // The end of the input is what ^D says on a terminal.
                self.pending.push(4);
            }
            Ok(length) => self.pending.extend_from_slice(&buffer[..length]),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.input_open = false,
        }
    }

    fn write_pending(&mut self) {
        match rustix::io::write(&self.master, &self.pending) {
            Ok(length) => drop(self.pending.drain(..length)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.pending.clear(),
        }
    }

    /// What the process wrote before it ended.
    fn drain(&mut self) {
        let master = self.master.as_fd();
        loop {
            let mut fds = [PollFd::new(&master, PollFlags::IN)];
            let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
            let readable =
                matches!(poll(&mut fds, Some(&now)), Ok(1)) && fds[0].revents().contains(PollFlags::IN);
            let mut buffer = [0_u8; 16 * 1024];
            match rustix::io::read(master, &mut buffer) {
                Ok(length) if readable && length > 0 => {
                    write_all(rustix::stdio::stdout(), &buffer[..length]);
                }
                _ => return,
            }
        }
    }
}

fn write_all(out: BorrowedFd<'_>, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match rustix::io::write(out, bytes) {
            Ok(length) => bytes = &bytes[length..],
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
    true
}
