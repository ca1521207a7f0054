//! Links (`struct ifinfomsg`): veth pairs, bridges, and reading them.

use std::os::fd::{AsRawFd, BorrowedFd};

use crate::socket::request;
use crate::{Attributes, Request, Result, RouteSocket, flags};

pub(crate) const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_SETLINK: u16 = 19;

pub(crate) const IFLA_ADDRESS: u16 = 1;
pub(crate) const IFLA_IFNAME: u16 = 3;
pub(crate) const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
pub(crate) const IFLA_LINK: u16 = 5;
const IFLA_PROTINFO: u16 = 12;
pub(crate) const IFLA_LINKINFO: u16 = 18;
pub(crate) const IFLA_NET_NS_FD: u16 = 28;
pub(crate) const IFLA_INFO_KIND: u16 = 1;
pub(crate) const IFLA_INFO_DATA: u16 = 2;
pub(crate) const VETH_INFO_PEER: u16 = 1;
const IFLA_BR_FORWARD_DELAY: u16 = 1;
const IFLA_BR_STP_STATE: u16 = 5;
const IFLA_BR_MCAST_SNOOPING: u16 = 23;
const IFLA_BRPORT_MODE: u16 = 4;
const IFLA_BRPORT_ISOLATED: u16 = 33;

const AF_BRIDGE: u8 = 7;
pub(crate) const IFF_UP: u32 = 1;
const IFF_NOARP: u32 = 0x80;

/// A hardware address.
pub type Mac = [u8; 6];

/// The longest name that an interface can have.
pub const NAME_MAX: usize = 15;

pub(crate) fn header(family: u8, index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[0] = family;
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    bytes[8..12].copy_from_slice(&flags.to_ne_bytes());
    bytes[12..16].copy_from_slice(&change.to_ne_bytes());
    bytes
}

/// A veth pair whose one end is a port of a bridge here and whose other is a container's interface.
#[derive(Debug, Clone, Copy)]
pub struct Veth<'a> {
    /// The name of the end here.
    pub name: &'a str,
    /// The bridge that it becomes a port of.
    pub master: u32,
    /// Of both ends; 0 leaves the kernel's default.
    pub mtu: u32,
    /// The other end's namespace.
    pub peer_netns: BorrowedFd<'a>,
    /// The other end's name.
    pub peer_name: &'a str,
    /// The other end's hardware address.
    pub peer_mac: Mac,
}

/// Makes a veth pair by one message: both ends in place, this one up and attached. (Moving an end to its namespace
/// after its creation would wait for RCU grace periods, 30 ms.) The other end is to be set up from inside: at the
/// moment when the kernel makes it, it has no counterpart yet, and can't come up (ENOTCONN).
pub fn create_veth(veth: &Veth<'_>) -> Request {
    let act = format!("create the veth pair {} to {}", veth.name, veth.peer_name);
    let flags = flags::CREATE | flags::EXCL;
    let mut request = request(act, RTM_NEWLINK, flags, &header(0, 0, IFF_UP, IFF_UP));
    let message = &mut request.message;
    message.text(IFLA_IFNAME, veth.name).u32(IFLA_MASTER, veth.master);
    if veth.mtu != 0 {
        message.u32(IFLA_MTU, veth.mtu);
    }
    message.nest(IFLA_LINKINFO, |info| {
        info.text(IFLA_INFO_KIND, "veth").nest(IFLA_INFO_DATA, |data| {
            data.nest(VETH_INFO_PEER, |peer| {
                peer.header(&header(0, 0, 0, 0));
                peer.text(IFLA_IFNAME, veth.peer_name).bytes(IFLA_ADDRESS, &veth.peer_mac);
                if veth.mtu != 0 {
                    peer.u32(IFLA_MTU, veth.mtu);
                }
                peer.u32(IFLA_NET_NS_FD, veth.peer_netns.as_raw_fd() as u32);
            });
        });
    });
    request
}

/// Makes a veth pair of which both ends stay here, down: what leaves by one comes in by the other. Neither asks for
/// its neighbours' hardware addresses: each has the same as the other.
pub fn create_loop(name: &str, peer: &str, mac: Mac, mtu: u32) -> Request {
    let act = format!("create the veth pair {name} to {peer}");
    let own = header(0, 0, IFF_NOARP, IFF_NOARP);
    let mut request = request(act, RTM_NEWLINK, flags::CREATE | flags::EXCL, &own);
    let message = &mut request.message;
    message.text(IFLA_IFNAME, name).bytes(IFLA_ADDRESS, &mac).u32(IFLA_MTU, mtu);
    message.nest(IFLA_LINKINFO, |info| {
        info.text(IFLA_INFO_KIND, "veth").nest(IFLA_INFO_DATA, |data| {
            data.nest(VETH_INFO_PEER, |end| {
                end.header(&own).text(IFLA_IFNAME, peer).bytes(IFLA_ADDRESS, &mac).u32(IFLA_MTU, mtu);
            });
        });
    });
    request
}

/// Makes a bridge, up, without spanning tree and without forwarding delay: a port forwards from its first frame.
/// Its hardware address is given so that it doesn't change with the ports that come and go.
pub fn create_bridge(name: &str, mac: Mac, mtu: u32) -> Request {
    let act = format!("create the bridge {name}");
    let mut request = request(act, RTM_NEWLINK, flags::CREATE | flags::EXCL, &header(0, 0, IFF_UP, IFF_UP));
    let message = &mut request.message;
    message.text(IFLA_IFNAME, name).bytes(IFLA_ADDRESS, &mac);
    if mtu != 0 {
        message.u32(IFLA_MTU, mtu);
    }
    message.nest(IFLA_LINKINFO, |info| {
        info.text(IFLA_INFO_KIND, "bridge").nest(IFLA_INFO_DATA, |data| {
            data.u32(IFLA_BR_FORWARD_DELAY, 0).u32(IFLA_BR_STP_STATE, 0).u8(IFLA_BR_MCAST_SNOOPING, 0);
        });
    });
    request
}

/// Sets a link up or down.
pub fn set_up(index: u32, up: bool) -> Request {
    let act = format!("set link {index} {}", if up { "up" } else { "down" });
    let flags = if up { IFF_UP } else { 0 };
    request(act, RTM_NEWLINK, 0, &header(0, index, flags, IFF_UP))
}

/// Moves a link to another network namespace, under a name there. It is down afterwards, without addresses.
pub fn move_to(index: u32, namespace: BorrowedFd<'_>, name: &str) -> Request {
    let act = format!("move link {index} to another network namespace as {name}");
    let mut request = request(act, RTM_NEWLINK, 0, &header(0, index, 0, 0));
    request.message.text(IFLA_IFNAME, name).u32(IFLA_NET_NS_FD, namespace.as_raw_fd() as u32);
    request
}

/// Sets a link's MTU.
pub fn set_mtu(index: u32, mtu: u32) -> Request {
    let mut request =
        request(format!("set the MTU of link {index} to {mtu}"), RTM_NEWLINK, 0, &header(0, index, 0, 0));
    request.message.u32(IFLA_MTU, mtu);
    request
}

/// Makes a link a port of the bridge `master`; 0 takes it out.
pub fn set_master(index: u32, master: u32) -> Request {
    let act = format!("make link {index} a port of link {master}");
    let mut request = request(act, RTM_NEWLINK, 0, &header(0, index, 0, 0));
    request.message.u32(IFLA_MASTER, master);
    request
}

/// What a bridge's port may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Port {
    /// Whether frames may leave by the port that they came in by.
    pub hairpin: bool,
    /// Whether the port can't talk to the bridge's other isolated ports.
    pub isolated: bool,
}

/// Sets what a bridge's port may do.
pub fn set_port(index: u32, port: Port) -> Request {
    let act = format!("set up the bridge port {index}");
    // Only SETLINK of this family looks into the port's attributes.
    let mut request = request(act, RTM_SETLINK, 0, &header(AF_BRIDGE, index, 0, 0));
    request.message.nest(IFLA_PROTINFO, |attributes| {
        attributes.u8(IFLA_BRPORT_MODE, port.hairpin.into()).u8(IFLA_BRPORT_ISOLATED, port.isolated.into());
    });
    request
}

/// Removes a link; of a veth pair, both ends. Takes some 15 ms: dropping the namespace that an end is in is free.
pub fn delete(index: u32) -> Request {
    request(format!("delete link {index}"), RTM_DELLINK, 0, &header(0, index, 0, 0))
}

/// A link as the kernel tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Link {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its kind, such as `bridge` or `veth`; empty for hardware.
    pub kind: String,
    /// Whether it is set up.
    pub up: bool,
    /// The bridge that it is a port of; 0 for none.
    pub master: u32,
    /// Its MTU.
    pub mtu: u32,
    /// Its hardware address, where it has one of six bytes.
    pub mac: Option<Mac>,
}

fn parse(body: &[u8]) -> Option<Link> {
    let word = |at: usize| Some(u32::from_ne_bytes(body.get(at..at + 4)?.try_into().ok()?));
    let mut link = Link { index: word(4)?, up: word(8)? & IFF_UP != 0, ..Link::default() };
    for attribute in Attributes::new(body.get(16..)?) {
        match attribute.kind {
            IFLA_IFNAME => link.name = attribute.text()?.to_owned(),
            IFLA_MTU => link.mtu = attribute.u32()?,
            IFLA_MASTER => link.master = attribute.u32()?,
            IFLA_ADDRESS => link.mac = attribute.payload.try_into().ok(),
            IFLA_LINKINFO => {
                let kind = attribute.nested().find_kind(IFLA_INFO_KIND);
                link.kind = kind.and_then(|kind| kind.text()).unwrap_or_default().to_owned();
            }
            _ => {}
        }
    }
    Some(link)
}

impl RouteSocket {
    /// The link of that name.
    pub fn link_by_name(&mut self, name: &str) -> Result<Option<Link>> {
        let mut request = request(format!("look up the link {name}"), RTM_GETLINK, 0, &header(0, 0, 0, 0));
        request.message.text(IFLA_IFNAME, name);
        self.get(&request, parse)
    }

    /// The link of that index.
    pub fn link_by_index(&mut self, index: u32) -> Result<Option<Link>> {
        let request = request(format!("look up link {index}"), RTM_GETLINK, 0, &header(0, index, 0, 0));
        self.get(&request, parse)
    }

    /// All links.
    pub fn links(&mut self) -> Result<Vec<Link>> {
        let request = request("list the links".into(), RTM_GETLINK, flags::DUMP, &header(0, 0, 0, 0));
        self.list(&request, parse)
    }
}
