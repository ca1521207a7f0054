//! Batches into the kernel.

use std::io;

use hull_netlink::Socket;
use hull_sys::netlink_socket::NetlinkProtocol;

use crate::{Batch, Error, Result};

/// A `NETLINK_NETFILTER` socket.
#[derive(Debug)]
pub struct NftSocket {
    socket: Socket,
}

impl NftSocket {
    /// Opens a socket in the calling thread's network namespace.
    pub fn open() -> Result<Self> {
        Ok(Self { socket: Socket::open(NetlinkProtocol::Netfilter)? })
    }

    /// The number by which the kernel's notifications name this socket's changes. Known once a batch was applied.
    pub fn port(&self) -> Result<u32> {
        Ok(self.socket.port()?)
    }

    /// Makes the changes of a batch, all of them or none.
    pub fn apply(&mut self, batch: &Batch) -> Result<()> {
        const ACT: &str = "apply an nftables batch";
        if batch.changes.is_empty() {
            return Ok(());
        }
        let first = self.socket.reserve(batch.message_count() as u32);
        let messages = batch.messages(first);
        let changes: Vec<Option<usize>> = messages.iter().map(|message| message.change).collect();
        let datagram: Vec<u8> = messages.into_iter().flat_map(|message| message.bytes).collect();
        self.socket.send(ACT, &datagram)?;
        // The answers of a batch are queued when the send returns.
        let answers = self.socket.queued_answers(ACT)?;
        let mine = |sequence: u32| changes.get(sequence.wrapping_sub(first) as usize);
        for answer in &answers {
            let Some(change) = mine(answer.sequence) else { continue };
            if answer.errno != 0 {
                let change = change.and_then(|number| batch.changes.get(number));
                let change =
                    change.map_or_else(|| "commit the nftables batch".to_owned(), |c| batch.describe(c));
                let source = io::Error::from_raw_os_error(answer.errno);
                return Err(Error::Refused { change, source, explanation: answer.explanation.clone() });
            }
        }
        let acknowledged = answers.iter().any(|answer| mine(answer.sequence).is_some());
        if acknowledged { Ok(()) } else { Err(Error::NotAcknowledged) }
    }
}
