//! Being told of changes that others make.

use std::os::fd::{AsFd, BorrowedFd};

use hull_sys::netlink_socket::{NetlinkProtocol, NetlinkSocket};
use hull_sys::rustix::event::{PollFd, PollFlags, poll};
use hull_sys::rustix::io::retry_on_intr;

use crate::message::Messages;
use crate::{Error, Result};

const BUFFER: usize = 32 << 10;
const NO_BUFFER_SPACE: i32 = 105;

/// A change that the kernel told of.
#[derive(Debug, Clone, Copy)]
pub struct Notice<'a> {
    /// The message's type.
    pub kind: u16,
    /// The port of the netlink socket whose request made the change.
    pub port: u32,
    /// The message's body, its family's header first.
    pub body: &'a [u8],
}

/// A socket that a group's notifications come in by.
#[derive(Debug)]
pub struct Watch {
    socket: NetlinkSocket,
}

impl Watch {
    /// Listens to a multicast group, in the calling thread's network namespace.
    pub fn open(protocol: NetlinkProtocol, group: u32) -> Result<Self> {
        let failed = |source| Error::Socket { act: format!("listen to netlink group {group}"), source };
        let socket = NetlinkSocket::open(protocol).map_err(failed)?;
        socket.join(group).map_err(failed)?;
        Ok(Self { socket })
    }

    /// Waits for notifications and gives them to `visit`, until `until` is readable or hung up: then `false`. More
    /// came than the kernel kept for the listener where `lost` is called.
    pub fn wait(
        &self,
        until: BorrowedFd<'_>,
        mut visit: impl FnMut(Notice<'_>),
        lost: impl FnOnce(),
    ) -> Result<bool> {
        let failed = |source| Error::Socket { act: "wait for netlink notifications".into(), source };
        let mut fds = [
            PollFd::from_borrowed_fd(self.socket.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(until, PollFlags::IN),
        ];
        retry_on_intr(|| poll(&mut fds, None)).map_err(|error| failed(error.into()))?;
        if !fds[1].revents().is_empty() {
            return Ok(false);
        }
        let mut buffer = vec![0; BUFFER];
        loop {
            match self.socket.try_receive(&mut buffer) {
                Ok(None) => return Ok(true),
                Ok(Some(length)) => {
                    for message in Messages::new(&buffer[..length]).flatten() {
                        visit(Notice { kind: message.kind, port: message.port, body: message.body });
                    }
                }
                Err(error) if error.raw_os_error() == Some(NO_BUFFER_SPACE) => {
                    lost();
                    return Ok(true);
                }
                Err(error) => return Err(failed(error)),
            }
        }
    }
}
