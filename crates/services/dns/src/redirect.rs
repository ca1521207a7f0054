//! Port 53 of 127.0.0.11, for the container's eyes.
//!
//! ```text
//!  query   client:x ─▶ 127.0.0.11:53 ─ input ─▶ :PORT       (before the socket is looked for)
//!  answer  127.0.0.11:PORT ─ output ─▶ :53 ─▶ client:x
//! ```
//! The headers are rewritten packet by packet: no connection is tracked for it, and a firewall inside the container
//! sees port 53 both ways. The table is this socket's own: a flush of the ruleset inside leaves it, and it goes with
//! the resolver.

use hull_nft::{
    BaseChain, Batch, Chain, ChainKind, Change, CompareOperator, Expression, Family, Hook, MetaKey,
    NftSocket, PayloadBase, Policy, Register, Result, Rule,
};

use crate::ADDRESS;

const TABLE: &str = "hull-resolver";
const DNS: u16 = 53;
const TCP: u8 = 6;
const UDP: u8 = 17;
const R0: Register = Register(0);

/// Rules that last as long as this does.
#[derive(Debug)]
pub(crate) struct Redirect {
    _socket: NftSocket,
}

/// Makes the rules in the calling thread's network namespace.
pub(crate) fn establish(udp_port: u16, tcp_port: u16) -> Result<Redirect> {
    let mut socket = NftSocket::open()?;
    if socket.apply(&batch(udp_port, tcp_port, Change::AddOwnedTable)).is_err() {
        // Before Linux 5.12 nobody owns a table.
        socket.apply(&batch(udp_port, tcp_port, Change::AddTable))?;
    }
    Ok(Redirect { _socket: socket })
}

fn batch(udp_port: u16, tcp_port: u16, table: Change) -> Batch {
    let mut batch = Batch::new(Family::Ipv4, TABLE);
    batch.push(table);
    for (name, hook, priority) in [("query", Hook::Input, 300), ("answer", Hook::Output, -300)] {
        let base = BaseChain { kind: ChainKind::Filter, hook, priority, policy: Policy::Accept };
        batch.push(Change::AddChain(Chain { name: name.into(), base: Some(base) }));
    }
    for (protocol, port) in [(UDP, udp_port), (TCP, tcp_port)] {
        batch.push(rule("query", protocol, Header::Destination, DNS, port));
        batch.push(rule("answer", protocol, Header::Source, port, DNS));
    }
    batch
}

#[derive(Clone, Copy)]
enum Header {
    Source,
    Destination,
}

fn rule(chain: &str, protocol: u8, header: Header, from: u16, to: u16) -> Change {
    let (address, port) = match header {
        Header::Source => (12, 0),
        Header::Destination => (16, 2),
    };
    let equal = |value: &[u8]| Expression::Compare {
        operator: CompareOperator::Equal,
        from: R0,
        value: value.to_vec(),
    };
    let (network, transport) = (PayloadBase::Network, PayloadBase::Transport);
    let expressions = vec![
        Expression::Payload { base: network, offset: address, length: 4, to: R0 },
        equal(&ADDRESS.octets()),
        Expression::Meta { key: MetaKey::L4Protocol, to: R0 },
        equal(&[protocol]),
        Expression::Payload { base: transport, offset: port, length: 2, to: R0 },
        equal(&from.to_be_bytes()),
        Expression::Immediate { to: R0, value: to.to_be_bytes().to_vec() },
        Expression::StorePayload {
            base: transport,
            offset: port,
            length: 2,
            from: R0,
            checksum: Some(if protocol == TCP { 16 } else { 6 }),
        },
    ];
    Change::AddRule(Rule { chain: chain.into(), expressions, comment: String::new() })
}
