//! The networks that every daemon has: `bridge`, `host` and `none`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use hull_netlink::RouteSocket;

use crate::address_pool::{choose_subnet, default_ipv4_pools, default_ipv6_pools};
use crate::config::BridgeAddresses;
use crate::model::{BRIDGE, Bridge, GatewayMode, HOST, Medium, NULL, NetworkRow, Pool};
use crate::records::random_hex;
use crate::subnet::parse_interface_address;
use crate::{Error, NetworksConfig, Result, Subnet, bridge, files};

/// The predefined networks' rows as they have to be now. A network keeps the id and the age it has.
pub(crate) fn rows(
    config: &NetworksConfig,
    present: &BTreeMap<String, NetworkRow>,
    route: &mut RouteSocket,
) -> Result<Vec<NetworkRow>> {
    let mut rows = vec![row("host", HOST, present)?, row("none", NULL, present)?];
    if config.bridge != "none" {
        let mut default = row("bridge", BRIDGE, present)?;
        let made = default_bridge(config);
        let seed = seed(rows.iter());
        default.enable_ipv6 = config.ipv6;
        default.pools = default_pools(config, &default, &seed, present, route)?;
        default.options = options(&made);
        default.medium = Some(Medium::Bridge(made));
        rows.push(default);
    }
    Ok(rows)
}

/// What this daemon's unique local range of IPv6 follows from: the id of its network `host`, random and kept.
pub(crate) fn seed<'a>(mut networks: impl Iterator<Item = &'a NetworkRow>) -> String {
    networks.find(|row| row.name == "host").map(|row| row.id.clone()).unwrap_or_default()
}

fn row(name: &str, driver: &str, present: &BTreeMap<String, NetworkRow>) -> Result<NetworkRow> {
    if let Some(row) = present.values().find(|row| row.name == name) {
        return Ok(row.clone());
    }
    Ok(NetworkRow::new(random_hex::<32>()?, name, driver))
}

fn default_bridge(config: &NetworksConfig) -> Bridge {
    Bridge {
        interface: config.bridge.clone(),
        managed: !config.bridge_is_given,
        mtu: if config.mtu == 0 { 1500 } else { config.mtu },
        icc: config.icc,
        masquerade: config.ip_masquerade,
        host_binding: config.default_host_address,
        ipv4_mode: GatewayMode::Nat,
        ipv6_mode: GatewayMode::Nat,
        inhibit_ipv4: false,
    }
}

/// The subnets of the default bridge.
fn default_pools(
    config: &NetworksConfig,
    row: &NetworkRow,
    seed: &str,
    present: &BTreeMap<String, NetworkRow>,
    route: &mut RouteSocket,
) -> Result<Vec<Pool>> {
    let mut pools = Vec::new();
    let families: &[bool] = if config.ipv6 { &[false, true] } else { &[false] };
    for ipv6 in families.iter().copied() {
        let before = row.pools_of(ipv6).next();
        let asked = if ipv6 { &config.ipv6_addresses } else { &config.ipv4_addresses };
        let (gateway, prefix) = interface_address(config, ipv6, asked, before, seed, present, route)?;
        let subnet = Subnet::containing(gateway, prefix);
        pools.push(default_pool(asked, gateway, subnet)?);
    }
    Ok(pools)
}

fn default_pool(asked: &BridgeAddresses, gateway: IpAddr, subnet: Subnet) -> Result<Pool> {
    let v6 = if gateway.is_ipv6() { "-v6" } else { "" };
    let ip_range = asked.fixed_cidr.as_deref().map(str::parse::<Subnet>).transpose();
    let ip_range = ip_range.map_err(|error| Error::Invalid(format!("--fixed-cidr{v6}: {error}")))?;
    if let Some(range) = ip_range.filter(|range| !subnet.covers(range)) {
        return Err(Error::Invalid(format!(
            "--fixed-cidr{v6} {range} is not within the bridge's subnet {subnet}"
        )));
    }
    if let Some(gateway) = asked.default_gateway.filter(|gateway| !subnet.contains(*gateway)) {
        return Err(Error::Invalid(format!(
            "--default-gateway{v6} {gateway} is not in the bridge's subnet {subnet}"
        )));
    }
    let default_gateway = asked.default_gateway;
    // A range that is the whole subnet is none.
    let ip_range = ip_range.filter(|range| *range != subnet);
    Ok(Pool { gateway: Some(gateway), default_gateway, ip_range, ..Pool::new(subnet) })
}

/// The bridge's own address: as told; else the one it has, or had, where nothing else has it now; else a free one.
fn interface_address(
    config: &NetworksConfig,
    ipv6: bool,
    asked: &BridgeAddresses,
    before: Option<&Pool>,
    seed: &str,
    present: &BTreeMap<String, NetworkRow>,
    route: &mut RouteSocket,
) -> Result<(IpAddr, u8)> {
    let name = config.bridge.as_str();
    let family = if ipv6 { "IPv6" } else { "IPv4" };
    let of_family = |list: Vec<(IpAddr, u8)>| list.into_iter().find(|(address, _)| address.is_ipv6() == ipv6);
    if config.bridge_is_given {
        let no_address = || {
            Error::Invalid(format!(
                "bridge device {name} has no {family} address: give it one, or leave --bridge out"
            ))
        };
        return of_family(bridge::addresses_of(route, name)?).ok_or_else(no_address);
    }
    if let Some(told) = told_address(asked, ipv6)? {
        return Ok(told);
    }
    let kernel = |source| Error::Kernel { network: "bridge".into(), source };
    if route.link_by_name(name).map_err(kernel)?.is_some()
        && let Some(present) = of_family(bridge::addresses_of(route, name)?)
    {
        return Ok(present);
    }
    let others = present.values().filter(|row| row.name != "bridge");
    let taken = taken(config, others, route, name)?;
    let is_free = |pool: &&Pool| taken.iter().all(|(subnet, _)| !subnet.overlaps(&pool.subnet));
    if let Some((gateway, prefix)) =
        before.filter(is_free).and_then(|pool| Some((pool.gateway?, pool.subnet.prefix())))
    {
        return Ok((gateway, prefix));
    }
    let subnet = choose_subnet(&pools(config, ipv6, seed), &taken)
        .map_err(|clashes| Error::NoPool { network: "bridge".into(), taken: clashes.join("; ") })?;
    Ok((subnet.hosts().0, subnet.prefix()))
}

/// The address that `--bip`, or else `--fixed-cidr-v6`, gives the bridge.
fn told_address(asked: &BridgeAddresses, ipv6: bool) -> Result<Option<(IpAddr, u8)>> {
    let option = if ipv6 { "--bip6" } else { "--bip" };
    let Some(text) = &asked.address else {
        // Docker's IPv6 bridge has the range as its subnet.
        let range = asked.fixed_cidr.as_deref().filter(|_| ipv6).map(str::parse::<Subnet>).transpose();
        let range = range.map_err(|error| Error::Invalid(format!("--fixed-cidr-v6: {error}")))?;
        return Ok(range.map(|subnet| (subnet.hosts().0, subnet.prefix())));
    };
    let told = parse_interface_address(text);
    let (address, prefix) = told.map_err(|error| Error::Invalid(format!("{option}: {error}")))?;
    let (first, last) = Subnet::containing(address, prefix).hosts();
    let longest = if ipv6 { 126 } else { 30 };
    if address.is_ipv6() != ipv6 || prefix > longest || address < first || address > last {
        return Err(Error::Invalid(format!(
            "{option} {address}/{prefix}: no address for a bridge with containers"
        )));
    }
    Ok(Some((address, prefix)))
}

/// What no new network's subnet may overlap.
pub(crate) fn taken<'a>(
    config: &NetworksConfig,
    networks: impl Iterator<Item = &'a NetworkRow>,
    route: &mut RouteSocket,
    interface: &str,
) -> Result<Vec<(Subnet, String)>> {
    let subnets =
        |row: &'a NetworkRow| row.pools.iter().map(|pool| (pool.subnet, format!("network {}", row.name)));
    let mut taken: Vec<_> = networks.flat_map(subnets).collect();
    taken.extend(bridge::taken_on_host(route, interface, &files::host_servers(&config.resolv_conf))?);
    Ok(taken)
}

pub(crate) fn pools(config: &NetworksConfig, ipv6: bool, seed: &str) -> Vec<(Subnet, u8)> {
    let configured = config.default_address_pools.iter().map(|pool| (pool.base, pool.size));
    let pools: Vec<_> = configured.filter(|(base, _)| base.is_ipv4() != ipv6).collect();
    if !pools.is_empty() {
        return pools;
    }
    if ipv6 { default_ipv6_pools(seed) } else { default_ipv4_pools() }
}

fn options(bridge: &Bridge) -> BTreeMap<String, String> {
    let options = [
        ("bridge.default_bridge", "true".to_owned()),
        ("bridge.enable_icc", bridge.icc.to_string()),
        ("bridge.enable_ip_masquerade", bridge.masquerade.to_string()),
        ("bridge.host_binding_ipv4", bridge.host_binding.to_string()),
        ("bridge.name", bridge.interface.clone()),
        ("driver.mtu", bridge.mtu.to_string()),
    ];
    options.into_iter().map(|(key, value)| (format!("com.docker.network.{key}"), value)).collect()
}
