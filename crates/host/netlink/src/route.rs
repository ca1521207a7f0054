//! Routes of the main table (`struct rtmsg`).

use std::net::IpAddr;

use crate::address::{AF_INET, AF_INET6, family, put};
use crate::socket::request;
use crate::{Attributes, Request, Result, RouteSocket, flags};

const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_GETROUTE: u16 = 26;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_TABLE: u16 = 15;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_BOOT: u8 = 3;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_LINK: u8 = 253;
const RT_SCOPE_NOWHERE: u8 = 255;
const RTN_UNICAST: u8 = 1;

fn header(family: u8, prefix: u8, table: u8, protocol: u8, scope: u8, kind: u8) -> [u8; 12] {
    [family, prefix, 0, 0, table, protocol, scope, kind, 0, 0, 0, 0]
}

/// Adds the default route through `gateway`, out of link `index`; 0 is the link that the gateway is on.
pub fn add_default(index: u32, gateway: IpAddr) -> Request {
    let header = header(family(&gateway), 0, RT_TABLE_MAIN, RTPROT_BOOT, RT_SCOPE_UNIVERSE, RTN_UNICAST);
    let act = format!("add the default route via {gateway}");
    let mut request = request(act, RTM_NEWROUTE, flags::CREATE | flags::EXCL, &header);
    put(&mut request.message, RTA_GATEWAY, &gateway);
    if index != 0 {
        request.message.u32(RTA_OIF, index);
    }
    request
}

/// Removes the default route through `gateway`, out of link `index`; 0 is any.
pub fn delete_default(index: u32, gateway: IpAddr) -> Request {
    let header = header(family(&gateway), 0, RT_TABLE_MAIN, 0, RT_SCOPE_UNIVERSE, 0);
    let act = format!("remove the default route via {gateway}");
    let mut request = request(act, RTM_DELROUTE, 0, &header);
    put(&mut request.message, RTA_GATEWAY, &gateway);
    if index != 0 {
        request.message.u32(RTA_OIF, index);
    }
    request
}

/// Adds a route to a subnet that is on the link itself.
pub fn add_on_link(index: u32, destination: IpAddr, prefix: u8) -> Request {
    let header = header(family(&destination), prefix, RT_TABLE_MAIN, RTPROT_BOOT, RT_SCOPE_LINK, RTN_UNICAST);
    let act = format!("add the route to {destination}/{prefix}");
    let mut request = request(act, RTM_NEWROUTE, flags::CREATE | flags::EXCL, &header);
    put(&mut request.message, RTA_DST, &destination);
    request.message.u32(RTA_OIF, index);
    request
}

/// Adds the default route out of link `index`, to whom the link reaches directly.
pub fn add_default_on_link(index: u32, ipv6: bool) -> Request {
    let family = if ipv6 { AF_INET6 } else { AF_INET };
    let header = header(family, 0, RT_TABLE_MAIN, RTPROT_BOOT, RT_SCOPE_LINK, RTN_UNICAST);
    let act = format!("add the default route out of link {index}");
    let mut request = request(act, RTM_NEWROUTE, flags::CREATE | flags::EXCL, &header);
    request.message.u32(RTA_OIF, index);
    request
}

/// Removes the default route out of link `index`.
pub fn delete_default_on_link(index: u32, ipv6: bool) -> Request {
    let family = if ipv6 { AF_INET6 } else { AF_INET };
    let header = header(family, 0, RT_TABLE_MAIN, 0, RT_SCOPE_NOWHERE, 0);
    let act = format!("remove the default route out of link {index}");
    let mut request = request(act, RTM_DELROUTE, 0, &header);
    request.message.u32(RTA_OIF, index);
    request
}

/// A unicast route of the main table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Where it leads; `None` is the default route.
    pub destination: Option<IpAddr>,
    /// The destination's prefix length.
    pub prefix: u8,
    /// The next hop.
    pub gateway: Option<IpAddr>,
    /// The link it leads out of; 0 where there is none or several.
    pub index: u32,
}

fn parse(body: &[u8]) -> Option<Route> {
    let header: [u8; 12] = body.get(..12)?.try_into().ok()?;
    let attributes = Attributes::new(body.get(12..)?);
    let table = attributes.find_kind(RTA_TABLE).and_then(|table| table.u32()).unwrap_or(header[4].into());
    if table != u32::from(RT_TABLE_MAIN) || header[7] != RTN_UNICAST {
        return None;
    }
    Some(Route {
        destination: attributes.find_kind(RTA_DST).and_then(|destination| destination.address()),
        prefix: header[1],
        gateway: attributes.find_kind(RTA_GATEWAY).and_then(|gateway| gateway.address()),
        index: attributes.find_kind(RTA_OIF).and_then(|index| index.u32()).unwrap_or(0),
    })
}

impl RouteSocket {
    /// The unicast routes of the main table, of one family.
    pub fn routes(&mut self, ipv6: bool) -> Result<Vec<Route>> {
        let family = if ipv6 { AF_INET6 } else { AF_INET };
        let header = header(family, 0, 0, 0, 0, 0);
        let request = request("list the routes".into(), RTM_GETROUTE, flags::DUMP, &header);
        self.list(&request, parse)
    }
}
