//! The networks that every daemon has: `bridge`, `host` and `none`.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use hull_netlink::RouteSocket;
use hull_types::Timestamp;

use crate::address_pool::{choose_subnet, default_pools};
use crate::model::{BRIDGE, Bridge, HOST, NULL, NetworkRow};
use crate::records::random_hex;
use crate::subnet::parse_interface_address;
use crate::{Error, Ipv4Subnet, NetworksConfig, Result, bridge, files};

/// The predefined networks' rows as they have to be now. A network keeps the id and the age it has.
pub(crate) fn rows(
    config: &NetworksConfig,
    present: &BTreeMap<String, NetworkRow>,
    route: &mut RouteSocket,
) -> Result<Vec<NetworkRow>> {
    let mut rows = vec![row("host", HOST, present)?, row("none", NULL, present)?];
    if config.bridge != "none" {
        let mut default = row("bridge", BRIDGE, present)?;
        let made = default_bridge(config, default.bridge.as_ref(), present, route)?;
        default.options = options(&made);
        default.bridge = Some(made);
        rows.push(default);
    }
    Ok(rows)
}

fn row(name: &str, driver: &str, present: &BTreeMap<String, NetworkRow>) -> Result<NetworkRow> {
    if let Some(row) = present.values().find(|row| row.name == name) {
        return Ok(row.clone());
    }
    Ok(NetworkRow {
        id: random_hex::<32>()?,
        name: name.to_owned(),
        created: Timestamp::now(),
        driver: driver.to_owned(),
        internal: false,
        attachable: false,
        ipam_options: None,
        options: BTreeMap::new(),
        labels: BTreeMap::new(),
        bridge: None,
    })
}

fn default_bridge(
    config: &NetworksConfig,
    before: Option<&Bridge>,
    present: &BTreeMap<String, NetworkRow>,
    route: &mut RouteSocket,
) -> Result<Bridge> {
    let (gateway, prefix) = interface_address(config, before, present, route)?;
    let subnet = Ipv4Subnet::containing(gateway, prefix);
    let ip_range = config.fixed_cidr.as_deref().map(str::parse::<Ipv4Subnet>).transpose();
    let ip_range = ip_range.map_err(|error| Error::Invalid(format!("--fixed-cidr: {error}")))?;
    if let Some(range) = ip_range.filter(|range| !subnet.covers(range)) {
        return Err(Error::Invalid(format!(
            "--fixed-cidr {range} is not within the bridge's subnet {subnet}"
        )));
    }
    if let Some(gateway) = config.default_gateway.filter(|gateway| !subnet.contains(*gateway)) {
        return Err(Error::Invalid(format!(
            "--default-gateway {gateway} is not in the bridge's subnet {subnet}"
        )));
    }
    Ok(Bridge {
        interface: config.bridge.clone(),
        managed: !config.bridge_is_given,
        subnet,
        gateway,
        default_gateway: config.default_gateway,
        ip_range,
        auxiliary: BTreeMap::new(),
        mtu: if config.mtu == 0 { 1500 } else { config.mtu },
        icc: config.icc,
        masquerade: config.ip_masquerade,
        host_binding: config.default_host_address,
    })
}

/// The bridge's own address: as told; else the one it has, or had, where nothing else has it now; else a free one.
fn interface_address(
    config: &NetworksConfig,
    before: Option<&Bridge>,
    present: &BTreeMap<String, NetworkRow>,
    route: &mut RouteSocket,
) -> Result<(Ipv4Addr, u8)> {
    let name = config.bridge.as_str();
    if config.bridge_is_given {
        let no_address = || {
            Error::Invalid(format!(
                "bridge device {name} has no IPv4 address: give it one, or leave --bridge out"
            ))
        };
        return bridge::address_of(route, name)?.ok_or_else(no_address);
    }
    let told = config.bip.as_deref().map(parse_interface_address).transpose();
    if let Some(told) = told.map_err(|error| Error::Invalid(format!("--bip: {error}")))? {
        let (address, prefix) = told;
        let (first, last) = Ipv4Subnet::containing(address, prefix).hosts();
        if prefix > 30 || address < first || address > last {
            return Err(Error::Invalid(format!(
                "--bip {address}/{prefix}: no address for a bridge with containers"
            )));
        }
        return Ok(told);
    }
    let kernel = |source| Error::Kernel { network: "bridge".into(), source };
    if route.link_by_name(name).map_err(kernel)?.is_some()
        && let Some(present) = bridge::address_of(route, name)?
    {
        return Ok(present);
    }
    let others = present.values().filter(|row| row.name != "bridge");
    let taken = taken(config, others, route, name)?;
    if let Some(before) =
        before.filter(|before| taken.iter().all(|(subnet, _)| !subnet.overlaps(&before.subnet)))
    {
        return Ok((before.gateway, before.subnet.prefix()));
    }
    let subnet = choose_subnet(&pools(config), &taken)
        .map_err(|clashes| Error::NoPool { network: "bridge".into(), taken: clashes.join("; ") })?;
    Ok((subnet.hosts().0, subnet.prefix()))
}

/// What no new network's subnet may overlap.
pub(crate) fn taken<'a>(
    config: &NetworksConfig,
    networks: impl Iterator<Item = &'a NetworkRow>,
    route: &mut RouteSocket,
    interface: &str,
) -> Result<Vec<(Ipv4Subnet, String)>> {
    let subnet = |row: &NetworkRow| Some((row.bridge.as_ref()?.subnet, format!("network {}", row.name)));
    let mut taken: Vec<_> = networks.filter_map(subnet).collect();
    taken.extend(bridge::taken_on_host(route, interface, &files::host_servers(&config.resolv_conf))?);
    Ok(taken)
}

pub(crate) fn pools(config: &NetworksConfig) -> Vec<(Ipv4Subnet, u8)> {
    if config.default_address_pools.is_empty() {
        return default_pools();
    }
    config.default_address_pools.iter().map(|pool| (pool.base, pool.size)).collect()
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
