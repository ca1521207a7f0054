//! Connection tracking (`linux/netfilter/nfnetlink_conntrack.h`): making the kernel forget connections.

use hull_sys::netlink_socket::NetlinkProtocol;

use crate::address::{AF_INET, AF_INET6};
use crate::{MessageBuilder, Request, Result, Socket, flags};

const SUBSYSTEM: u16 = 1;
const DELETE: u16 = 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_DST_PORT: u16 = 3;
const CTA_FILTER: u16 = 25;
const CTA_FILTER_ORIG_FLAGS: u16 = 1;
/// Bits of the filter: what of the tuple has to match.
const MATCH_PROTO_NUM: u32 = 1 << 3;
const MATCH_PROTO_DST_PORT: u32 = 1 << 5;

/// Has the kernel forget the connections of one family whose first packet was for that port, so that the next packet
/// of each goes where the rules say now. Since Linux 5.19 the kernel itself chooses them.
pub fn forget(ipv6: bool, protocol: u8, port: u16) -> Request {
    let mut message = MessageBuilder::new(SUBSYSTEM << 8 | DELETE, flags::ACK);
    // A kernel that looks at the family at all does so from version 1 on.
    message.header(&[if ipv6 { AF_INET6 } else { AF_INET }, 1, 0, 0]);
    message.nest(CTA_TUPLE_ORIG, |tuple| {
        tuple.nest(CTA_TUPLE_PROTO, |proto| {
            proto.u8(CTA_PROTO_NUM, protocol).bytes(CTA_PROTO_DST_PORT, &port.to_be_bytes());
        });
    });
    message.nest(CTA_FILTER, |filter| {
        filter.u32(CTA_FILTER_ORIG_FLAGS, MATCH_PROTO_NUM | MATCH_PROTO_DST_PORT);
    });
    Request::new(format!("forget the tracked connections to port {port}"), message)
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

    /// Carries out the requests. That there was nothing to forget is no error.
    pub fn execute(&mut self, requests: &[Request]) -> Result<()> {
        for request in requests {
            match self.socket.dump(request, |_, _| {}) {
                Err(error) if error.is_missing() => {}
                other => other?,
            }
        }
        Ok(())
    }
}
