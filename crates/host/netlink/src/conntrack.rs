//! Connection tracking (`linux/netfilter/nfnetlink_conntrack.h`): making the kernel forget connections.

use hull_sys::netlink_socket::NetlinkProtocol;

use crate::address::{AF_INET, AF_INET6};
use crate::message::NESTED;
use crate::{Attributes, MessageBuilder, Request, Result, Socket, flags};

const SUBSYSTEM: u16 = 1;
const GET: u16 = 1;
const DELETE: u16 = 2;
const HEADER: usize = 4;
const INVALID: i32 = 22;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_DST_PORT: u16 = 3;
const CTA_FILTER: u16 = 25;
const CTA_FILTER_ORIG_FLAGS: u16 = 1;
/// Bits of the filter: what of the tuple has to match.
const MATCH_PROTO_NUM: u32 = 1 << 3;
const MATCH_PROTO_DST_PORT: u32 = 1 << 5;

/// Connections of one family whose first packet was for that port.
#[derive(Debug, Clone, Copy)]
pub struct Tracked {
    /// IPv6, or IPv4.
    pub ipv6: bool,
    /// The transport protocol's number.
    pub protocol: u8,
    /// The destination port of the first packet.
    pub port: u16,
}

impl Tracked {
    fn message(self, kind: u16, flags: u16) -> MessageBuilder {
        let mut message = MessageBuilder::new(SUBSYSTEM << 8 | kind, flags);
        // A kernel that looks at the family at all does so from version 1 on.
        message.header(&[if self.ipv6 { AF_INET6 } else { AF_INET }, 1, 0, 0]);
        message
    }

    fn request(self, message: MessageBuilder) -> Request {
        Request::new(format!("forget the tracked connections to port {}", self.port), message)
    }

    /// All of them at once, chosen by the kernel: since Linux 6.8.
    fn forget(self) -> Request {
        let mut message = self.message(DELETE, flags::ACK);
        message.nest(CTA_TUPLE_ORIG, |tuple| {
            tuple.nest(CTA_TUPLE_PROTO, |proto| {
                proto.u8(CTA_PROTO_NUM, self.protocol).bytes(CTA_PROTO_DST_PORT, &self.port.to_be_bytes());
            });
        });
        message.nest(CTA_FILTER, |filter| {
            filter.u32(CTA_FILTER_ORIG_FLAGS, MATCH_PROTO_NUM | MATCH_PROTO_DST_PORT);
        });
        self.request(message)
    }

    fn list(self) -> Request {
        self.request(self.message(GET, flags::DUMP))
    }

    /// The tuple by which the kernel knows the connection that a message tells of, if it is one of these.
    fn tuple(self, body: &[u8]) -> Option<&[u8]> {
        let tuple = Attributes::new(body.get(HEADER..)?).find_kind(CTA_TUPLE_ORIG)?;
        let proto = tuple.nested().find_kind(CTA_TUPLE_PROTO)?.nested();
        let is_one = proto.find_kind(CTA_PROTO_NUM)?.u8() == Some(self.protocol)
            && proto.find_kind(CTA_PROTO_DST_PORT)?.payload == self.port.to_be_bytes();
        is_one.then_some(tuple.payload)
    }

    fn forget_one(self, tuple: &[u8]) -> Request {
        let mut message = self.message(DELETE, flags::ACK);
        message.bytes(CTA_TUPLE_ORIG | NESTED, tuple);
        self.request(message)
    }
}

/// A `NETLINK_NETFILTER` socket for connection tracking.
#[derive(Debug)]
pub struct ConntrackSocket {
    socket: Socket,
}

impl ConntrackSocket {
    /// Opens a socket in the calling thread's network namespace.
    pub fn open() -> Result<Self> {
        Ok(Self { socket: Socket::open(NetlinkProtocol::Netfilter)? })
    }

    /// Has the kernel forget connections, so that the next packet of each goes where the rules say now. That there was
    /// nothing to forget is no error.
    pub fn forget(&mut self, connections: Tracked) -> Result<()> {
        match self.ask(&connections.forget()) {
            Err(error) if error.errno() == Some(INVALID) => self.forget_one_by_one(connections),
            other => other,
        }
    }

    /// The same on kernels that don't choose.
    fn forget_one_by_one(&mut self, connections: Tracked) -> Result<()> {
        self.tuples(connections)?.iter().try_for_each(|tuple| self.ask(&connections.forget_one(tuple)))
    }

    fn tuples(&mut self, connections: Tracked) -> Result<Vec<Vec<u8>>> {
        let mut tuples = Vec::new();
        let visit = |_, body: &[u8]| tuples.extend(connections.tuple(body).map(<[u8]>::to_vec));
        self.socket.dump(&connections.list(), visit)?;
        Ok(tuples)
    }

    fn ask(&mut self, request: &Request) -> Result<()> {
        match self.socket.dump(request, |_, _| {}) {
            Err(error) if error.is_missing() => Ok(()),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::process::Command;

    #[test]
    fn connections_are_forgotten_at_once_and_one_by_one() {
        hull_sys::netns::create(|| {
            let sh = |text: &str| assert!(Command::new("sh").args(["-c", text]).status().unwrap().success());
            sh("ip link set lo up && nft add table ip t && \
                nft add chain ip t o '{ type filter hook output priority 0; }' && nft add rule ip t o ct state new accept");
            let client = UdpSocket::bind("127.0.0.1:0").unwrap();
            let mut socket = ConntrackSocket::open().unwrap();
            let to = |port| Tracked { ipv6: false, protocol: 17, port };
            let mut known = |port, forget: fn(&mut ConntrackSocket, Tracked) -> Result<()>| {
                client.send_to(b"?", ("127.0.0.1", 4001)).unwrap();
                client.send_to(b"?", ("127.0.0.1", 4002)).unwrap();
                forget(&mut socket, to(port)).unwrap();
                // Nothing is there to forget any more.
                forget(&mut socket, to(port)).unwrap();
                [4001, 4002].map(|port| socket.tuples(to(port)).unwrap().len())
            };
            assert_eq!(known(9, ConntrackSocket::forget), [1, 1]);
            assert_eq!(known(4001, ConntrackSocket::forget), [0, 1]);
            assert_eq!(known(4002, ConntrackSocket::forget_one_by_one), [1, 0]);
            Ok(())
        })
        .unwrap();
    }
}
