//! Neighbours (`struct ndmsg`): which hardware address is behind which port or address.

use std::net::IpAddr;

use crate::address::{family, put};
use crate::link::Mac;
use crate::socket::request;
use crate::{Request, flags};

const RTM_NEWNEIGH: u16 = 28;
const RTM_DELNEIGH: u16 = 29;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const AF_BRIDGE: u8 = 7;
/// Not learned, does not age.
const NUD_NOARP: u16 = 0x40;
/// The entry is the bridge's, not the port's own.
const NTF_MASTER: u8 = 0x04;

fn header(family: u8, index: u32, state: u16, flags: u8) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[0] = family;
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    bytes[8..10].copy_from_slice(&state.to_ne_bytes());
    bytes[10] = flags;
    bytes
}

/// Tells a bridge that `mac` is behind its port `index`, whatever it learned before.
pub fn place_behind_port(index: u32, mac: Mac) -> Request {
    let act = format!("tell the bridge what is behind port {index}");
    let header = header(AF_BRIDGE, index, NUD_NOARP, NTF_MASTER);
    let mut request = request(act, RTM_NEWNEIGH, flags::CREATE | flags::REPLACE, &header);
    request.message.bytes(NDA_LLADDR, &mac);
    request
}

/// Makes the kernel forget which hardware address `address` had on link `index`.
pub fn forget(index: u32, address: IpAddr) -> Request {
    let act = format!("forget the neighbour {address} on link {index}");
    let mut request = request(act, RTM_DELNEIGH, 0, &header(family(&address), index, 0, 0));
    put(&mut request.message, NDA_DST, &address);
    request
}
