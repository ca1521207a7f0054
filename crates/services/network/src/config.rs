//! What the daemon decides about its networks.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use crate::subnet::Subnet;

/// A range of addresses that networks without a given subnet are cut from (`default-address-pools`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressPool {
    /// The whole range.
    pub base: Subnet,
    /// The prefix length of each network cut from it.
    pub size: u8,
}

/// What the administrator says of the default bridge's addresses in one family.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BridgeAddresses {
    /// Its own address and subnet (`--bip`, `--bip6`), such as `172.17.0.1/16`.
    pub address: Option<String>,
    /// The part of the subnet that containers get addresses from (`--fixed-cidr`, `--fixed-cidr-v6`).
    pub fixed_cidr: Option<String>,
    /// The default route of its containers (`--default-gateway`, `--default-gateway-v6`); its own address otherwise.
    pub default_gateway: Option<IpAddr>,
}

/// Everything that follows from the daemon's configuration. Two daemons on one machine differ in `exec_root`,
/// `table` and `bridge`.
#[derive(Debug, Clone)]
pub struct NetworksConfig {
    /// The daemon's run directory; live endpoints are recorded under `<exec_root>/network`.
    pub exec_root: PathBuf,
    /// The name of the nftables table (family `inet`).
    pub table: String,
    /// The default network's interface (`--bridge`); `none` for no default network.
    pub bridge: String,
    /// Whether `bridge` was named by the administrator, who then owns that interface: it has to exist, and its
    /// address is taken as it is.
    pub bridge_is_given: bool,
    /// The default bridge's IPv4 addresses.
    pub ipv4_addresses: BridgeAddresses,
    /// Whether the default bridge has IPv6 (`--ipv6`). User-defined networks have it anyway.
    pub ipv6: bool,
    /// The default bridge's IPv6 addresses.
    pub ipv6_addresses: BridgeAddresses,
    /// MTU of the default bridge; 0 is the kernel's 1500.
    pub mtu: u32,
    /// Whether containers on the default bridge may talk to each other (`--icc`).
    pub icc: bool,
    /// Whether to switch IPv4 forwarding on (`--ip-forward`).
    pub ip_forward: bool,
    /// With `ip_forward`: whether the host may then route between interfaces that are not bridges
    /// (`--ip-forward-no-drop`). It may not by default: it was no router before Hull came.
    pub ip_forward_no_drop: bool,
    /// Whether containers' addresses are hidden behind the host's (`--ip-masq`).
    pub ip_masquerade: bool,
    /// Whether to program the packet filter at all (`--iptables`). Without it no port is published.
    pub packet_filter: bool,
    /// Whether what comes to a published port has to pass the host's own `input` rules, as if the container were a
    /// program of the host (`--obey-host-firewall`); they never see it otherwise, as with Docker.
    pub obey_host_rules: bool,
    /// The host address of published ports that name none (`--ip`); `0.0.0.0` is every address of either family.
    pub default_host_address: IpAddr,
    /// What `host-gateway` in `--add-host` stands for; the default bridge's addresses otherwise.
    pub host_gateway: Vec<IpAddr>,
    /// Pools for networks without a subnet. A family of which there is none has Docker's: 172.17.0.0/16 to
    /// 172.31.0.0/16 and 192.168.0.0/16 by /20; a unique local range by /64.
    pub default_address_pools: Vec<AddressPool>,
    /// Name servers of containers that name none (`--dns`).
    pub dns: Vec<String>,
    /// Search domains of containers that name none (`--dns-search`).
    pub dns_search: Vec<String>,
    /// Resolver options of containers that name none (`--dns-opt`).
    pub dns_options: Vec<String>,
    /// The host's resolver configuration.
    pub resolv_conf: PathBuf,
    /// How many prepared network namespaces to keep; 0 makes each when it is needed.
    pub prepared_namespaces: usize,
}

impl NetworksConfig {
    /// Docker's defaults, for a daemon of this run directory, table name and bridge.
    pub fn new(exec_root: PathBuf, table: &str, bridge: &str) -> Self {
        Self {
            exec_root,
            table: table.to_owned(),
            bridge: bridge.to_owned(),
            bridge_is_given: false,
            ipv4_addresses: BridgeAddresses::default(),
            ipv6: false,
            ipv6_addresses: BridgeAddresses::default(),
            mtu: 0,
            icc: true,
            ip_forward: true,
            ip_forward_no_drop: false,
            ip_masquerade: true,
            packet_filter: true,
            obey_host_rules: false,
            default_host_address: Ipv4Addr::UNSPECIFIED.into(),
            host_gateway: Vec::new(),
            default_address_pools: Vec::new(),
            dns: Vec::new(),
            dns_search: Vec::new(),
            dns_options: Vec::new(),
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
            prepared_namespaces: 4,
        }
    }
}
