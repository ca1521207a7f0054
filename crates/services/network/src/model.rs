//! What is kept: networks in the store, live endpoints in the run directory.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use hull_api_types::{EndpointSettings, Ipam, IpamConfig, Network, NetworkContainer};
use hull_netlink::link::Mac;
use hull_types::{Timestamp, short_id};
use serde::{Deserialize, Serialize};

use crate::Ipv4Subnet;

/// The drivers' names in the API.
pub(crate) const BRIDGE: &str = "bridge";
pub(crate) const HOST: &str = "host";
pub(crate) const NULL: &str = "null";

/// A network: what was asked for, and what was chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct NetworkRow {
    pub id: String,
    pub name: String,
    pub created: Timestamp,
    pub driver: String,
    #[serde(default)]
    pub internal: bool,
    #[serde(default)]
    pub attachable: bool,
    /// What the request said of address management; the chosen subnet is in `bridge`.
    #[serde(default)]
    pub ipam_options: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Set where the driver is `bridge`.
    #[serde(default)]
    pub bridge: Option<Bridge>,
}

/// The bridge of a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Bridge {
    pub interface: String,
    /// Whether Hull made the interface, and removes it.
    pub managed: bool,
    pub subnet: Ipv4Subnet,
    /// The bridge's own address.
    pub gateway: Ipv4Addr,
    /// The containers' default route, where it isn't the bridge's own address.
    #[serde(default)]
    pub default_gateway: Option<Ipv4Addr>,
    /// The part of the subnet that addresses are given out from.
    #[serde(default)]
    pub ip_range: Option<Ipv4Subnet>,
    #[serde(default)]
    pub auxiliary: BTreeMap<String, Ipv4Addr>,
    pub mtu: u32,
    /// Whether containers may talk to each other.
    pub icc: bool,
    pub masquerade: bool,
    /// The host address of published ports that name none.
    pub host_binding: Ipv4Addr,
}

impl NetworkRow {
    pub fn is_predefined(&self) -> bool {
        matches!(self.name.as_str(), "bridge" | "host" | "none")
    }

    /// Containers on user-defined networks know each other by names.
    pub fn has_names(&self) -> bool {
        self.bridge.is_some() && !self.is_predefined()
    }

    /// As the API shows it, without its containers.
    pub fn to_api(&self) -> Network {
        let config = self.bridge.iter().map(|bridge| IpamConfig {
            subnet: bridge.subnet.to_string(),
            ip_range: bridge.ip_range.map(|range| range.to_string()).unwrap_or_default(),
            gateway: bridge.gateway.to_string(),
            auxiliary_addresses: bridge.auxiliary.iter().map(|(k, v)| (k.clone(), v.to_string())).collect(),
        });
        Network {
            name: self.name.clone(),
            id: self.id.clone(),
            created: self.created,
            scope: "local".into(),
            driver: self.driver.clone(),
            enable_ipv4: true,
            enable_ipv6: false,
            ipam: Ipam {
                driver: "default".into(),
                options: self.ipam_options.clone(),
                config: config.collect(),
            },
            internal: self.internal,
            attachable: self.attachable,
            options: self.options.clone(),
            labels: self.labels.clone(),
            ..Network::default()
        }
    }
}

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Published {
    pub protocol: Protocol,
    pub container_port: u16,
    pub host_address: Ipv4Addr,
    pub host_port: u16,
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

/// An endpoint's veth pair and what it is configured with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Interface {
    /// The host's end.
    pub host_name: String,
    /// The container's end.
    pub name: String,
    pub address: Ipv4Addr,
    pub prefix: u8,
    /// `None` on an internal network.
    pub gateway: Option<Ipv4Addr>,
    pub mac: Mac,
    pub mtu: u32,
    pub isolated: bool,
}

impl Sandbox {
    /// Whether it is in a network whose containers know each other by names.
    pub fn has_names(&self) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.has_names)
    }

    /// The endpoint whose network has the default route and the published ports: the highest priority, and of
    /// several such the first.
    pub fn gateway_endpoint(&self) -> Option<&Endpoint> {
        let candidates = self.endpoints.iter().filter(|endpoint| endpoint.gateway().is_some());
        candidates.rev().max_by_key(|endpoint| endpoint.requested.gw_priority)
    }

    pub fn gateway_interface(&self) -> Option<&Interface> {
        self.gateway_endpoint().and_then(|endpoint| endpoint.interface.as_ref())
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
    pub fn gateway(&self) -> Option<Ipv4Addr> {
        self.interface.as_ref().and_then(|interface| interface.gateway)
    }

    /// What was asked for with what was given.
    pub fn settings(&self, sandbox: &Sandbox) -> EndpointSettings {
        let mut settings = EndpointSettings {
            network_id: self.network_id.clone(),
            endpoint_id: self.id.clone(),
            dns_names: self.has_names.then(|| self.names(sandbox)),
            ..self.requested.clone()
        };
        if let Some(interface) = &self.interface {
            settings.ip_address = interface.address.to_string();
            settings.ip_prefix_len = interface.prefix.into();
            settings.gateway = interface.gateway.map(|gateway| gateway.to_string()).unwrap_or_default();
            settings.mac_address = mac_text(interface.mac);
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
        let interface = self.interface.as_ref();
        NetworkContainer {
            name: sandbox.name.clone(),
            endpoint_id: self.id.clone(),
            mac_address: interface.map(|i| mac_text(i.mac)).unwrap_or_default(),
            ipv4_address: interface.map(|i| format!("{}/{}", i.address, i.prefix)).unwrap_or_default(),
            ipv6_address: String::new(),
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

/// The hardware address that goes with an IPv4 address when none was asked for: locally administered, `02:42` and
/// the address. So an address that is given out again keeps its hardware address, and no neighbour's cache is
/// ever stale.
pub(crate) fn mac_of(address: Ipv4Addr) -> Mac {
    let [a, b, c, d] = address.octets();
    [0x02, 0x42, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_addresses() {
        let mac = mac_of(Ipv4Addr::new(172, 17, 0, 2));
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
        let endpoint = |name: &str, priority, gateway: Option<Ipv4Addr>| Endpoint {
            id: name.into(),
            network_id: name.into(),
            network_name: name.into(),
            has_names: false,
            requested: EndpointSettings { gw_priority: priority, ..Default::default() },
            interface: Some(Interface {
                host_name: String::new(),
                name: String::new(),
                address: Ipv4Addr::LOCALHOST,
                prefix: 8,
                gateway,
                mac: [0; 6],
                mtu: 0,
                isolated: false,
            }),
        };
        let any = Some(Ipv4Addr::LOCALHOST);
        let mut sandbox = Sandbox {
            container_id: "c".into(),
            name: "n".into(),
            sandbox_id: String::new(),
            hostname: String::new(),
            endpoints: vec![endpoint("internal", 9, None), endpoint("a", 0, any), endpoint("b", 0, any)],
            published: vec![],
            exposed: vec![],
            dns: Dns::default(),
        };
        assert_eq!(sandbox.gateway_endpoint().unwrap().id, "a");
        sandbox.endpoints.push(endpoint("c", 1, any));
        assert_eq!(sandbox.gateway_endpoint().unwrap().id, "c");
    }
}
