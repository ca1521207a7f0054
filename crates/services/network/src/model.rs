//! What is kept of networks, in the store.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str::FromStr;

use hull_api_types::{ConfigReference, Ipam, IpamConfig, Network, NetworkCreateRequest};
use hull_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Subnet;

/// The drivers' names in the API.
pub(crate) const BRIDGE: &str = "bridge";
pub(crate) const HOST: &str = "host";
pub(crate) const NULL: &str = "null";
pub(crate) const MACVLAN: &str = "macvlan";
pub(crate) const IPVLAN: &str = "ipvlan";

/// The driver option by which a bridge's published ports obey the host's own input rules, or not; Hull's.
pub(crate) const HOST_FIREWALL: &str = "hull.host-firewall";
pub(crate) const OBEY: &str = "obey";
pub(crate) const BYPASS: &str = "bypass";

/// A network: what was asked for, and what was chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct NetworkRow {
    pub id: String,
    pub name: String,
    pub created: Timestamp,
    pub driver: String,
    #[serde(default)]
    pub scope: String,
    pub enable_ipv4: bool,
    pub enable_ipv6: bool,
    #[serde(default)]
    pub internal: bool,
    #[serde(default)]
    pub attachable: bool,
    /// The configuration of others, and no network itself: what was asked for.
    #[serde(default)]
    pub configuration: Option<NetworkCreateRequest>,
    /// The name of the network whose configuration this one has, or empty.
    #[serde(default)]
    pub config_from: String,
    /// What the request said of address management; the chosen subnets are in `pools`.
    #[serde(default)]
    pub ipam_options: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Where its addresses come from: IPv4 before IPv6.
    #[serde(default)]
    pub pools: Vec<Pool>,
    /// What its containers are plugged into; none of `host`, `none` and configurations.
    #[serde(default)]
    pub medium: Option<Medium>,
}

/// A subnet of a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pool {
    pub subnet: Subnet,
    /// The bridge's own address, or the router's of a physical network.
    pub gateway: Option<IpAddr>,
    /// The containers' default route, where it isn't `gateway`.
    #[serde(default)]
    pub default_gateway: Option<IpAddr>,
    /// The part of the subnet that addresses are given out from.
    #[serde(default)]
    pub ip_range: Option<Subnet>,
    #[serde(default)]
    pub auxiliary: BTreeMap<String, IpAddr>,
}

/// What containers are plugged into.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Medium {
    /// A bridge: containers are ports of it, by veth pairs.
    Bridge(Bridge),
    /// A host's interface, of which containers get sub-interfaces.
    Parent(Parent),
}

/// The bridge of a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Bridge {
    pub interface: String,
    /// Whether Hull made the interface, and removes it.
    pub managed: bool,
    pub mtu: u32,
    /// Whether containers may talk to each other.
    pub icc: bool,
    pub masquerade: bool,
    /// The host address of published ports that name none. `0.0.0.0` means every address of either family.
    pub host_binding: IpAddr,
    pub ipv4_mode: GatewayMode,
    pub ipv6_mode: GatewayMode,
    /// Whether the bridge itself gets no IPv4 address (`inhibit_ipv4`).
    #[serde(default)]
    pub inhibit_ipv4: bool,
}

/// How containers on a bridge meet what is beyond the host, in one address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum GatewayMode {
    /// Behind the host's address; ports are published at it.
    #[serde(rename = "nat")]
    Nat,
    /// The same, and the containers' own addresses are open to who has a route to them.
    #[serde(rename = "nat-unprotected")]
    NatUnprotected,
    /// By their own addresses, of which published ports are open.
    #[serde(rename = "routed")]
    Routed,
    /// Not at all: the bridge has no address, and the host is not on the network.
    #[serde(rename = "isolated")]
    Isolated,
}

impl FromStr for GatewayMode {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "" | "nat" => Ok(Self::Nat),
            "nat-unprotected" => Ok(Self::NatUnprotected),
            "routed" => Ok(Self::Routed),
            "isolated" => Ok(Self::Isolated),
            _ => Err(()),
        }
    }
}

/// The parent of sub-interfaces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Parent {
    pub interface: String,
    pub mode: String,
    /// How IPVLAN interfaces meet (`ipvlan_flag`).
    pub flag: String,
    /// What Hull made for it, and removes with it.
    pub made: Made,
    pub mtu: u32,
}

/// What of a parent is Hull's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Made {
    /// Nothing: it is the administrator's.
    Nothing,
    /// The VLAN of that number on an interface of the administrator's.
    Vlan(u16),
    /// All of it: a link that leads nowhere.
    Nowhere,
}

impl Bridge {
    pub fn mode(&self, ipv6: bool) -> GatewayMode {
        if ipv6 { self.ipv6_mode } else { self.ipv4_mode }
    }
}

impl Pool {
    /// A whole subnet, without a gateway.
    pub fn new(subnet: Subnet) -> Self {
        let (gateway, default_gateway, ip_range) = (None, None, None);
        Self { subnet, gateway, default_gateway, ip_range, auxiliary: BTreeMap::new() }
    }

    fn to_api(&self) -> IpamConfig {
        let auxiliary = self.auxiliary.iter();
        IpamConfig {
            subnet: self.subnet.to_string(),
            ip_range: self.ip_range.map(|range| range.to_string()).unwrap_or_default(),
            gateway: self.gateway.map(|gateway| gateway.to_string()).unwrap_or_default(),
            auxiliary_addresses: auxiliary.map(|(k, v)| (k.clone(), v.to_string())).collect(),
        }
    }
}

impl NetworkRow {
    /// A network of nothing but its name.
    pub fn new(id: String, name: &str, driver: &str) -> Self {
        Self {
            id,
            name: name.to_owned(),
            created: Timestamp::now(),
            driver: driver.to_owned(),
            scope: "local".into(),
            enable_ipv4: true,
            enable_ipv6: false,
            internal: false,
            attachable: false,
            configuration: None,
            config_from: String::new(),
            ipam_options: None,
            options: BTreeMap::new(),
            labels: BTreeMap::new(),
            pools: Vec::new(),
            medium: None,
        }
    }

    pub fn is_predefined(&self) -> bool {
        matches!(self.name.as_str(), "bridge" | "host" | "none")
    }

    /// Containers on user-defined networks know each other by names.
    pub fn has_names(&self) -> bool {
        self.medium.is_some() && !self.is_predefined()
    }

    pub fn bridge(&self) -> Option<&Bridge> {
        match &self.medium {
            Some(Medium::Bridge(bridge)) => Some(bridge),
            _ => None,
        }
    }

    /// The pools of one family.
    /// What the network says of published ports and the host's own input rules: obeyed, or not.
    pub fn obeys(&self) -> Option<bool> {
        self.options.get(HOST_FIREWALL).map(|text| text == OBEY)
    }

    pub fn pools_of(&self, ipv6: bool) -> impl Iterator<Item = &Pool> {
        self.pools.iter().filter(move |pool| pool.subnet.is_ipv4() != ipv6)
    }

    /// The pool that an address is of.
    pub fn pool_with(&self, address: IpAddr) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.subnet.contains(address))
    }

    /// As the API shows it, without its containers.
    pub fn to_api(&self) -> Network {
        let asked = self.configuration.as_ref().and_then(|request| request.ipam.as_ref());
        let config =
            asked.map_or_else(|| self.pools.iter().map(Pool::to_api).collect(), |ipam| ipam.config.clone());
        Network {
            name: self.name.clone(),
            id: self.id.clone(),
            created: self.created,
            scope: if self.scope.is_empty() { "local".into() } else { self.scope.clone() },
            driver: self.driver.clone(),
            enable_ipv4: self.enable_ipv4,
            enable_ipv6: self.enable_ipv6,
            ipam: Ipam { driver: "default".into(), options: self.ipam_options.clone(), config },
            internal: self.internal,
            attachable: self.attachable,
            config_only: self.configuration.is_some(),
            config_from: ConfigReference { network: self.config_from.clone() },
            options: self.options.clone(),
            labels: self.labels.clone(),
            ..Network::default()
        }
    }
}
