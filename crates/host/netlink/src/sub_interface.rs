//! Links on top of a link: MACVLAN, IPVLAN and VLAN interfaces, and links that lead nowhere to put them on.

use std::os::fd::{AsRawFd, BorrowedFd};

use crate::link::{
    IFF_UP, IFLA_ADDRESS, IFLA_IFNAME, IFLA_INFO_DATA, IFLA_INFO_KIND, IFLA_LINK, IFLA_LINKINFO, IFLA_MTU,
    IFLA_NET_NS_FD, Mac, RTM_NEWLINK, VETH_INFO_PEER, header,
};
use crate::socket::request;
use crate::{Request, flags};

const IFLA_MACVLAN_MODE: u16 = 1;
const IFLA_IPVLAN_MODE: u16 = 1;
const IFLA_IPVLAN_FLAGS: u16 = 2;
const IFLA_VLAN_ID: u16 = 1;

/// How MACVLAN interfaces of one parent meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MacvlanMode {
    /// Not at all.
    Private = 1,
    /// By a switch outside that sends frames back.
    Vepa = 2,
    /// Directly.
    Bridge = 4,
    /// There is only one, which takes the parent over.
    Passthru = 8,
}

/// On which layer IPVLAN interfaces meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IpvlanMode {
    /// As ports of a switch.
    L2 = 0,
    /// By routing, without broadcasts.
    L3 = 1,
    /// As `L3`, seen by the parent's packet filter.
    L3s = 2,
}

/// How IPVLAN interfaces of one parent meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IpvlanFlag {
    /// Directly.
    Bridge = 0,
    /// Not at all.
    Private = 1,
    /// By a switch outside that sends frames back.
    Vepa = 2,
}

/// A kind of sub-interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubInterfaceKind {
    /// With a hardware address of its own.
    Macvlan(MacvlanMode),
    /// With its parent's hardware address.
    Ipvlan(IpvlanMode, IpvlanFlag),
}

impl SubInterfaceKind {
    /// The kernel's name of the kind, and of the module that has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Macvlan(_) => "macvlan",
            Self::Ipvlan(..) => "ipvlan",
        }
    }
}

/// A sub-interface to make in a namespace.
#[derive(Debug, Clone, Copy)]
pub struct SubInterface<'a> {
    /// Its name there.
    pub name: &'a str,
    /// The link here that it is on top of.
    pub parent: u32,
    /// Its kind.
    pub kind: SubInterfaceKind,
    /// Its hardware address; the kernel's choice, or the parent's, without one.
    pub mac: Option<Mac>,
    /// 0 is the parent's.
    pub mtu: u32,
    /// Where it goes.
    pub netns: BorrowedFd<'a>,
}

/// Makes a sub-interface in its namespace, down.
pub fn create(wanted: &SubInterface<'_>) -> Request {
    let kind = wanted.kind.name();
    let act = format!("create the {kind} interface {} on link {}", wanted.name, wanted.parent);
    let mut request = request(act, RTM_NEWLINK, flags::CREATE | flags::EXCL, &header(0, 0, 0, 0));
    let message = &mut request.message;
    message.text(IFLA_IFNAME, wanted.name).u32(IFLA_LINK, wanted.parent);
    message.u32(IFLA_NET_NS_FD, wanted.netns.as_raw_fd() as u32);
    if let Some(mac) = wanted.mac {
        message.bytes(IFLA_ADDRESS, &mac);
    }
    if wanted.mtu != 0 {
        message.u32(IFLA_MTU, wanted.mtu);
    }
    message.nest(IFLA_LINKINFO, |info| {
        info.text(IFLA_INFO_KIND, kind).nest(IFLA_INFO_DATA, |data| {
            match wanted.kind {
                SubInterfaceKind::Macvlan(mode) => data.u32(IFLA_MACVLAN_MODE, mode as u32),
                SubInterfaceKind::Ipvlan(mode, flag) => {
                    let (mode, flag) = ((mode as u16).to_ne_bytes(), (flag as u16).to_ne_bytes());
                    data.bytes(IFLA_IPVLAN_MODE, &mode).bytes(IFLA_IPVLAN_FLAGS, &flag)
                }
            };
        });
    });
    request
}

/// Makes the VLAN `id` of the link `parent`, up.
pub fn create_vlan(name: &str, parent: u32, id: u16) -> Request {
    let act = format!("create the VLAN interface {name} on link {parent}");
    let mut request = request(act, RTM_NEWLINK, flags::CREATE | flags::EXCL, &header(0, 0, IFF_UP, IFF_UP));
    request.message.text(IFLA_IFNAME, name).u32(IFLA_LINK, parent).nest(IFLA_LINKINFO, |info| {
        info.text(IFLA_INFO_KIND, "vlan").nest(IFLA_INFO_DATA, |data| {
            data.bytes(IFLA_VLAN_ID, &id.to_ne_bytes());
        });
    });
    request
}

/// Makes a link that drops what is sent by it, up.
pub fn create_dummy(name: &str) -> Request {
    let act = format!("create the dummy interface {name}");
    let mut request = request(act, RTM_NEWLINK, flags::CREATE | flags::EXCL, &header(0, 0, IFF_UP, IFF_UP));
    request.message.text(IFLA_IFNAME, name).nest(IFLA_LINKINFO, |info| {
        info.text(IFLA_INFO_KIND, "dummy");
    });
    request
}

/// Makes a veth pair whose both ends are here, `name` up. The other is to be set up by itself.
pub fn create_pair(name: &str, other: &str) -> Request {
    let act = format!("create the veth pair {name} to {other}");
    let mut request = request(act, RTM_NEWLINK, flags::CREATE | flags::EXCL, &header(0, 0, IFF_UP, IFF_UP));
    request.message.text(IFLA_IFNAME, name).nest(IFLA_LINKINFO, |info| {
        info.text(IFLA_INFO_KIND, "veth").nest(IFLA_INFO_DATA, |data| {
            data.nest(VETH_INFO_PEER, |peer| {
                peer.header(&header(0, 0, 0, 0));
                peer.text(IFLA_IFNAME, other);
            });
        });
    });
    request
}
