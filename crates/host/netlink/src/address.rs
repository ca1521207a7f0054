//! Addresses of links (`struct ifaddrmsg`).

use std::net::IpAddr;

use crate::socket::request;
use crate::{Attributes, MessageBuilder, Request, Result, RouteSocket, flags};

const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_FLAGS: u16 = 8;
/// No duplicate address detection: the address is usable at once, and it is Hull that gives each out once.
const IFA_F_NODAD: u32 = 2;
const IFA_F_PERMANENT: u32 = 0x80;

pub(crate) const AF_INET: u8 = 2;
pub(crate) const AF_INET6: u8 = 10;

pub(crate) fn family(address: &IpAddr) -> u8 {
    if address.is_ipv4() { AF_INET } else { AF_INET6 }
}

pub(crate) fn put(message: &mut MessageBuilder, kind: u16, address: &IpAddr) {
    match address {
        IpAddr::V4(address) => message.bytes(kind, &address.octets()),
        IpAddr::V6(address) => message.bytes(kind, &address.octets()),
    };
}

fn header(family: u8, prefix: u8, index: u32) -> [u8; 8] {
    let index = index.to_ne_bytes();
    [family, prefix, 0, 0, index[0], index[1], index[2], index[3]]
}

/// Gives a link an address.
pub fn add(index: u32, address: IpAddr, prefix: u8) -> Request {
    let act = format!("add the address {address}/{prefix} to link {index}");
    let header = header(family(&address), prefix, index);
    let mut request = request(act, RTM_NEWADDR, flags::CREATE | flags::EXCL, &header);
    put(&mut request.message, IFA_LOCAL, &address);
    put(&mut request.message, IFA_ADDRESS, &address);
    match address {
        IpAddr::V4(address) if prefix < 31 => {
            let broadcast = u32::from(address) | (u32::MAX >> prefix);
            request.message.bytes(IFA_BROADCAST, &broadcast.to_be_bytes());
        }
        IpAddr::V4(_) => {}
        IpAddr::V6(_) => {
            request.message.u32(IFA_FLAGS, IFA_F_NODAD);
        }
    }
    request
}

/// Takes an address from a link.
pub fn delete(index: u32, address: IpAddr, prefix: u8) -> Request {
    let act = format!("remove the address {address}/{prefix} from link {index}");
    let mut request = request(act, RTM_DELADDR, 0, &header(family(&address), prefix, index));
    put(&mut request.message, IFA_LOCAL, &address);
    request
}

/// An address as the kernel tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The link that has it.
    pub index: u32,
    /// The address.
    pub address: IpAddr,
    /// Its prefix length.
    pub prefix: u8,
    /// Whether it was set by someone, for good, and may be spoken to from anywhere (`IFA_F_PERMANENT`, scope 0).
    pub is_permanent_and_global: bool,
}

fn parse(body: &[u8]) -> Option<Address> {
    let prefix = *body.get(1)?;
    let index = u32::from_ne_bytes(body.get(4..8)?.try_into().ok()?);
    let attributes = Attributes::new(body.get(8..)?);
    // On point-to-point links IFA_ADDRESS is the other side.
    let own = attributes.find_kind(IFA_LOCAL).or_else(|| attributes.find_kind(IFA_ADDRESS))?;
    // The header has the first eight flags only.
    let flags = match attributes.find_kind(IFA_FLAGS) {
        Some(flags) => flags.u32()?,
        None => u32::from(*body.get(2)?),
    };
    let is_permanent_and_global = flags & IFA_F_PERMANENT != 0 && *body.get(3)? == 0;
    Some(Address { index, address: own.address()?, prefix, is_permanent_and_global })
}

impl RouteSocket {
    /// All addresses of all links, of both families.
    pub fn addresses(&mut self) -> Result<Vec<Address>> {
        let request = request("list the addresses".into(), RTM_GETADDR, flags::DUMP, &header(0, 0, 0));
        self.list(&request, parse)
    }
}
