//! What is kept of live endpoints: a running container's place in its networks.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use hull_api_types::{EndpointSettings, NetworkContainer};
use hull_netlink::link::Mac;
use hull_types::short_id;
use serde::{Deserialize, Serialize};

use crate::model::GatewayMode;
use crate::ports::Asked;
use crate::subnet::number;

/// A transport protocol that ports are published of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

impl FromStr for Protocol {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text.to_ascii_lowercase().as_str() {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            "sctp" => Ok(Self::Sctp),
            _ => Err(()),
        }
    }
}

/// A container's port at a port of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Published {
    pub protocol: Protocol,
    pub container_port: u16,
    /// The container's address of the same family that has the port goes with the gateway of that family.
    pub host_address: IpAddr,
    /// 0 where the network is routed: the port is open at the container's own address.
    pub host_port: u16,
    /// Whether the host's own input rules decide first on what comes to it.
    #[serde(default)]
    pub obeys: bool,
}

/// A running container's place in all its networks: `<exec_root>/network/endpoints/<container id>.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sandbox {
    pub container_id: String,
    pub name: String,
    pub sandbox_id: String,
    pub hostname: String,
    pub endpoints: Vec<Endpoint>,
    pub published: Vec<Published>,
    /// What was asked for of ports; what of it is published follows the networks that it is in.
    pub asked: Asked,
    /// Ports that are only exposed, as `80/tcp`.
    pub exposed: Vec<String>,
    /// What was asked for of the resolver.
    #[serde(default)]
    pub dns: Dns,
}

/// `--dns`, `--dns-search`, `--dns-option`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dns {
    pub servers: Vec<String>,
    pub search: Vec<String>,
    pub options: Vec<String>,
}

/// A running container's place in one network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    pub id: String,
    pub network_id: String,
    pub network_name: String,
    /// Whether the network's containers know each other by names.
    pub has_names: bool,
    /// What was asked for.
    pub requested: EndpointSettings,
    /// Its interface; none in the networks `host` and `none`.
    pub interface: Option<Interface>,
}

/// An endpoint's interface and what it is configured with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Interface {
    /// The host's end of a veth pair; empty of a sub-interface.
    pub host_name: String,
    /// The container's end.
    pub name: String,
    /// At most one of each family.
    pub addresses: Vec<InterfaceAddress>,
    /// Further addresses, of links only.
    #[serde(default)]
    pub link_local: Vec<IpAddr>,
    /// `None` leaves it to the kernel: sub-interfaces in the modes that share their parent's.
    pub mac: Option<Mac>,
    pub mtu: u32,
    pub isolated: bool,
    /// How each family gets out: what ports are published by.
    pub ipv4_mode: GatewayMode,
    pub ipv6_mode: GatewayMode,
    /// Kernel settings of the interface, as `net/ipv4/conf/eth0/log_martians` and its value.
    #[serde(default)]
    pub settings: Vec<(String, String)>,
}

/// An address of an interface, and the way out that goes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InterfaceAddress {
    pub address: IpAddr,
    pub prefix: u8,
    pub hop: Hop,
}

/// Where an interface's default route would lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Hop {
    /// Nowhere: the network is internal.
    None,
    /// To a router.
    Via(IpAddr),
    /// Out of the interface, whatever the address.
    OnLink,
}

impl Interface {
    /// Its address of one family.
    pub fn address(&self, ipv6: bool) -> Option<&InterfaceAddress> {
        self.addresses.iter().find(|own| own.address.is_ipv6() == ipv6)
    }

    pub fn mode(&self, ipv6: bool) -> GatewayMode {
        if ipv6 { self.ipv6_mode } else { self.ipv4_mode }
    }

    pub fn has_ipv6(&self) -> bool {
        self.addresses.iter().any(|own| own.address.is_ipv6())
            || self.link_local.iter().any(|address| address.is_ipv6())
    }
}

impl InterfaceAddress {
    /// The router that is its gateway, as inspect shows it.
    pub fn gateway(&self) -> Option<IpAddr> {
        match self.hop {
            Hop::Via(gateway) => Some(gateway),
            Hop::None | Hop::OnLink => None,
        }
    }
}

impl Sandbox {
    /// Whether the host's own input rules decide on some of its ports.
    pub fn obeys(&self) -> bool {
        self.published.iter().any(|port| port.obeys)
    }

    /// The endpoint whose network has the default route and the published ports of a family: the highest priority,
    /// and of several such the first.
    pub fn gateway_endpoint(&self, ipv6: bool) -> Option<&Endpoint> {
        let leads_out = |endpoint: &&Endpoint| {
            let interface = endpoint.interface.as_ref();
            interface.and_then(|own| own.address(ipv6)).is_some_and(|own| own.hop != Hop::None)
        };
        self.endpoints.iter().filter(leads_out).rev().max_by_key(|endpoint| endpoint.requested.gw_priority)
    }

    /// Whether it is in a network whose containers know each other by names.
    pub fn has_names(&self) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.has_names)
    }

    /// Whether one of its networks leads out.
    pub fn reaches_outside(&self) -> bool {
        self.gateway_endpoint(false).is_some() || self.gateway_endpoint(true).is_some()
    }

    pub fn gateway_interface(&self, ipv6: bool) -> Option<&Interface> {
        self.gateway_endpoint(ipv6).and_then(|endpoint| endpoint.interface.as_ref())
    }

    pub fn endpoint(&self, network_id: &str) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.network_id == network_id)
    }

    /// Each network's name with the settings filled in.
    pub fn settings(&self) -> Vec<(String, EndpointSettings)> {
        let settings = |endpoint: &Endpoint| (endpoint.network_name.clone(), endpoint.settings(self));
        self.endpoints.iter().map(settings).collect()
    }
}

impl Endpoint {
    /// Whether its interface in the container is called so.
    pub fn has_name(&self, name: &str) -> bool {
        self.interface.as_ref().is_some_and(|interface| interface.name == name)
    }

    /// Its address of one family.
    pub fn address(&self, ipv6: bool) -> Option<&InterfaceAddress> {
        self.interface.as_ref().and_then(|interface| interface.address(ipv6))
    }

    /// What was asked for with what was given.
    pub fn settings(&self, sandbox: &Sandbox) -> EndpointSettings {
        let mut settings = EndpointSettings {
            network_id: self.network_id.clone(),
            endpoint_id: self.id.clone(),
            dns_names: self.has_names.then(|| self.names(sandbox)),
            ..self.requested.clone()
        };
        let gateway = |own: &InterfaceAddress| own.gateway().map(|hop| hop.to_string()).unwrap_or_default();
        if let Some(own) = self.address(false) {
            settings.ip_address = own.address.to_string();
            settings.ip_prefix_len = own.prefix.into();
            settings.gateway = gateway(own);
        }
        if let Some(own) = self.address(true) {
            settings.global_ipv6_address = own.address.to_string();
            settings.global_ipv6_prefix_len = own.prefix.into();
            settings.ipv6_gateway = gateway(own);
        }
        if let Some(mac) = self.interface.as_ref().and_then(|interface| interface.mac) {
            settings.mac_address = mac_text(mac);
        }
        settings
    }

    /// The names by which its network's other containers find it.
    pub fn names(&self, sandbox: &Sandbox) -> Vec<String> {
        let mut names = vec![sandbox.name.clone()];
        names.extend(self.requested.aliases.iter().flatten().cloned());
        names.push(short_id(&sandbox.container_id).to_owned());
        names.push(sandbox.hostname.clone());
        let mut seen = std::collections::HashSet::new();
        names.retain(|name| !name.is_empty() && seen.insert(name.clone()));
        names
    }

    /// Its row in the network's `Containers`.
    pub fn row(&self, sandbox: &Sandbox) -> NetworkContainer {
        let shown = |ipv6| {
            self.address(ipv6).map(|own| format!("{}/{}", own.address, own.prefix)).unwrap_or_default()
        };
        NetworkContainer {
            name: sandbox.name.clone(),
            endpoint_id: self.id.clone(),
            mac_address: self.interface.as_ref().and_then(|i| i.mac).map(mac_text).unwrap_or_default(),
            ipv4_address: shown(false),
            ipv6_address: shown(true),
        }
    }
}

/// `02:42:ac:11:00:02`.
pub(crate) fn mac_text(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// Six hexadecimal bytes between `:` or `-`.
pub(crate) fn parse_mac(text: &str) -> Option<Mac> {
    let mut mac = [0; 6];
    let mut parts = text.split([':', '-']);
    for byte in &mut mac {
        let part = parts.next().filter(|part| part.len() == 2)?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}

/// The hardware address that goes with an address when none was asked for: locally administered, `02:42` and the
/// last four bytes. So an address that is given out again keeps its hardware address, and no neighbour's cache is
/// ever stale.
pub(crate) fn mac_of(address: IpAddr) -> Mac {
    let [a, b, c, d] = (number(address) as u32).to_be_bytes();
    [0x02, 0x42, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn hardware_addresses() {
        let mac = mac_of("172.17.0.2".parse().unwrap());
        assert_eq!(mac_text(mac), "02:42:ac:11:00:02");
        assert_eq!(parse_mac("02:42:AC-11:00:02"), Some(mac));
        for wrong in [
            "",
            "02:42:ac:11:00",
            "02:42:ac:11:00:02:03",
            "2:42:ac:11:00:02",
            "+2:42:ac:11:00:02x",
            "zz:42:ac:11:00:02",
        ] {
            assert_eq!(parse_mac(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_gateway_is_the_first_of_the_highest_priority() {
        let endpoint = |name: &str, priority, hop: Hop| Endpoint {
            id: name.into(),
            network_id: name.into(),
            network_name: name.into(),
            has_names: false,
            requested: EndpointSettings { gw_priority: priority, ..Default::default() },
            interface: Some(Interface {
                host_name: String::new(),
                name: String::new(),
                addresses: vec![InterfaceAddress { address: Ipv4Addr::LOCALHOST.into(), prefix: 8, hop }],
                link_local: Vec::new(),
                mac: None,
                mtu: 0,
                isolated: false,
                ipv4_mode: GatewayMode::Nat,
                ipv6_mode: GatewayMode::Nat,
                settings: Vec::new(),
            }),
        };
        let any = Hop::Via(Ipv4Addr::LOCALHOST.into());
        let mut sandbox = Sandbox {
            container_id: "c".into(),
            name: "n".into(),
            sandbox_id: String::new(),
            hostname: String::new(),
            endpoints: vec![endpoint("internal", 9, Hop::None), endpoint("a", 0, any), endpoint("b", 0, any)],
            published: vec![],
            asked: Asked::default(),
            exposed: vec![],
            dns: Dns::default(),
        };
        assert_eq!(sandbox.gateway_endpoint(false).unwrap().id, "a");
        sandbox.endpoints.push(endpoint("c", 1, any));
        assert_eq!(sandbox.gateway_endpoint(false).unwrap().id, "c");
        assert!(sandbox.gateway_endpoint(true).is_none());
    }
}
