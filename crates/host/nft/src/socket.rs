//! Batches into the kernel.

use std::io;

use hull_netlink::{Attributes, MessageBuilder, Request, Socket, flags};
use hull_sys::netlink_socket::NetlinkProtocol;

use crate::{Batch, Error, Result};

/// `NFT_MSG_GETCHAIN` of the nftables subsystem.
const GET_CHAIN: u16 = 10 << 8 | 4;
const GENERIC_HEADER: usize = 4;
/// What `nfgenmsg` says of the families whose packets are routed: inet, ip, ip6.
const FAMILIES: [(u8, &str); 3] = [(1, "inet"), (2, "ip"), (10, "ip6")];
const FORWARD: u32 = 2;
const DROP: u32 = 0;

/// A chain at the hook `forward` that drops what its rules don't accept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dropper {
    /// `inet`, `ip` or `ip6`.
    pub family: &'static str,
    /// Its table.
    pub table: String,
    /// Its name.
    pub chain: String,
}

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

    /// The chains of all tables that drop what is forwarded unless their rules accept it.
    pub fn forward_droppers(&mut self) -> Result<Vec<Dropper>> {
        let mut message = MessageBuilder::new(GET_CHAIN, flags::DUMP);
        message.header(&[0; GENERIC_HEADER]);
        let mut found = Vec::new();
        let request = Request::new("list the nftables chains", message);
        self.socket.dump(&request, |_, body| found.extend(dropper(body)))?;
        found.sort();
        Ok(found)
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

/// Attributes: the table 1, the name 3, the hook 4 with its number 1, the policy 5.
fn dropper(body: &[u8]) -> Option<Dropper> {
    let (_, family) = FAMILIES.into_iter().find(|(number, _)| body.first() == Some(number))?;
    let attributes = Attributes::new(body.get(GENERIC_HEADER..)?);
    let number = |attributes: &Attributes<'_>, kind| attributes.find_kind(kind)?.u32().map(u32::from_be);
    let hook = attributes.find_kind(4)?.nested();
    let drops = number(&hook, 1) == Some(FORWARD) && number(&attributes, 5) == Some(DROP);
    let text = |kind| attributes.find_kind(kind)?.text().map(str::to_owned);
    drops.then_some(Dropper { family, table: text(1)?, chain: text(3)? })
}
