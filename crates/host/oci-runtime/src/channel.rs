//! The words between a new process and the one that made it: one packet each.

use crate::failure::{During, Failure, Step};
use hull_sys::filter::SockFilter;
use hull_sys::socket;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

/// No message is longer: a filter has at most 4096 instructions of eight bytes.
const LIMIT: usize = 40 * 1024;

/// From the new process to its maker.
#[derive(Debug)]
pub(crate) enum Report {
    /// The terminal's master.
    Console(OwnedFd),
    /// The mounts are there: the hooks that run outside may run.
    HooksWanted,
    /// All is set up.
    Ready,
    /// It failed, and ends.
    Failed(String),
    /// It has ended without a word.
    Gone,
}

/// What comes with "go".
pub(crate) struct Go {
    /// The new process's own id where the runtime is.
    pub pid: i32,
    pub filter: Vec<SockFilter>,
}

/// The new process's end.
pub(crate) struct ChildEnd(OwnedFd);

/// Its maker's end.
pub(crate) struct ParentEnd(OwnedFd);

/// A new channel.
pub(crate) fn pair() -> io::Result<(ParentEnd, ChildEnd)> {
    let (parent, child) = socket::packet_pair()?;
    Ok((ParentEnd(parent), ChildEnd(child)))
}

impl ChildEnd {
    pub(crate) fn number(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    fn say(&self, message: &[u8], fds: &[std::os::fd::BorrowedFd<'_>]) -> Step<()> {
        socket::send(&self.0, message, fds).during("cannot report to the runtime")
    }

    pub(crate) fn console(&self, master: &OwnedFd) -> Step<()> {
        self.say(b"C", &[master.as_fd()])
    }

    pub(crate) fn ready(&self) -> Step<()> {
        self.say(b"R", &[])
    }

    pub(crate) fn failed(&self, failure: &Failure) {
        let mut message = b"E".to_vec();
        message.extend(failure.0.bytes().take(LIMIT - 1));
        let _ = socket::send(&self.0, &message, &[]);
    }

    fn hear(&self, expected: u8) -> Step<Vec<u8>> {
        let (mut message, _) = socket::receive(&self.0, LIMIT).during("cannot hear from the runtime")?;
        if message.first() != Some(&expected) {
            // The runtime gave up. It says why itself, and has no use for another reason.
            hull_sys::process::exit(1);
        }
        message.remove(0);
        Ok(message)
    }

    /// Waits until the user namespace has its maps.
    pub(crate) fn await_maps(&self) -> Step<()> {
        self.hear(b'M').map(drop)
    }

    /// Waits until the process is in its cgroup; the filter comes with that.
    pub(crate) fn await_go(&self) -> Step<Go> {
        let message = self.hear(b'G')?;
        let Some((pid, filter)) = message.split_first_chunk() else {
            return Err(Failure("the runtime's word is cut off".into()));
        };
        Ok(Go { pid: i32::from_ne_bytes(*pid), filter: decode_filter(filter) })
    }

    /// Asks for the hooks that run outside, and waits until they have run.
    pub(crate) fn run_outer_hooks(&self) -> Step<()> {
        self.say(b"H", &[])?;
        self.hear(b'h').map(drop)
    }
}

impl ParentEnd {
    fn say(&self, message: &[u8]) -> io::Result<()> {
        socket::send(&self.0, message, &[])
    }

    pub(crate) fn maps_written(&self) -> io::Result<()> {
        self.say(b"M")
    }

    pub(crate) fn go(&self, pid: i32, filter: &[SockFilter]) -> io::Result<()> {
        let mut message = b"G".to_vec();
        message.extend(pid.to_ne_bytes());
        message.extend(encode_filter(filter));
        self.say(&message)
    }

    pub(crate) fn hooks_done(&self) -> io::Result<()> {
        self.say(b"h")
    }

    /// Says that nothing more will be said: the new process ends where it waits for a word.
    pub(crate) fn give_up(&self) {
        // Where that fails it has ended already.
        let _ = hull_sys::rustix::net::shutdown(&self.0, hull_sys::rustix::net::Shutdown::Write);
    }

    pub(crate) fn next(&self) -> io::Result<Report> {
        let (message, mut fds) = match socket::receive(&self.0, LIMIT) {
            // Its end was closed with something unread in it. That is said once, and before its last words.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => socket::receive(&self.0, LIMIT)?,
            result => result?,
        };
        Ok(match (message.first(), fds.pop()) {
            (None, _) => Report::Gone,
            (Some(b'C'), Some(master)) => Report::Console(master),
            (Some(b'H'), _) => Report::HooksWanted,
            (Some(b'R'), _) => Report::Ready,
            (Some(b'E'), _) => Report::Failed(String::from_utf8_lossy(&message[1..]).into_owned()),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        })
    }
}

/// A filter as bytes, as it is kept in `seccomp.bpf` too.
pub(crate) fn encode_filter(filter: &[SockFilter]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(filter.len() * 8);
    for instruction in filter {
        bytes.extend(instruction.code.to_ne_bytes());
        bytes.extend([instruction.jt, instruction.jf]);
        bytes.extend(instruction.k.to_ne_bytes());
    }
    bytes
}

/// The inverse of [`encode_filter`].
pub(crate) fn decode_filter(bytes: &[u8]) -> Vec<SockFilter> {
    let instruction = |b: &[u8]| SockFilter {
        code: u16::from_ne_bytes([b[0], b[1]]),
        jt: b[2],
        jf: b[3],
        k: u32::from_ne_bytes([b[4], b[5], b[6], b[7]]),
    };
    bytes.chunks_exact(8).map(instruction).collect()
}
