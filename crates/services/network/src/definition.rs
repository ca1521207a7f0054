//! From a request to create a network to its row: names checked, subnet and addresses chosen.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::str::FromStr;

use hull_api_types::{IpamConfig, NetworkCreateRequest};
use hull_netlink::{RouteSocket, link};
use hull_types::{Timestamp, short_id};

use crate::address_pool::choose_subnet;
use crate::model::{BRIDGE, Bridge, NetworkRow};
use crate::records::random_hex;
use crate::{Error, Ipv4Subnet, NetworksConfig, Result, predefined};

const OPTION: &str = "com.docker.network.";

/// The row of a network that is asked for.
pub(crate) fn define(
    request: &NetworkCreateRequest,
    config: &NetworksConfig,
    networks: &BTreeMap<String, NetworkRow>,
    route: &mut RouteSocket,
) -> Result<NetworkRow> {
    check_name(&request.name)?;
    if networks.values().any(|row| row.name == request.name) {
        return Err(Error::Exists(request.name.clone()));
    }
    check_supported(request)?;
    let id = random_hex::<32>()?;
    let interface =
        option(request, "bridge.name").map_or_else(|| format!("br-{}", short_id(&id)), str::to_owned);
    if interface.is_empty() || interface.len() > link::NAME_MAX || interface.contains(['/', ' ']) {
        return Err(Error::Invalid(format!(
            "invalid bridge name {interface:?}: at most {} letters",
            link::NAME_MAX
        )));
    }
    if let Some(other) =
        networks.values().find(|row| row.bridge.as_ref().is_some_and(|b| b.interface == interface))
    {
        return Err(Error::Conflict(format!("network {} already uses the bridge {interface}", other.name)));
    }
    let taken = predefined::taken(config, networks.values(), route, &interface)?;
    let ipam = request.ipam.clone().unwrap_or_default();
    let addresses = addresses(request, ipam.config.first(), &predefined::pools(config), &taken)?;
    let flag = |name, default| option(request, name).map_or(Ok(default), |text| parse(name, text));
    let bridge = Bridge {
        interface,
        managed: true,
        default_gateway: None,
        mtu: option(request, "driver.mtu").map_or(Ok(1500), |text| parse("driver.mtu", text))?,
        icc: flag("bridge.enable_icc", true)?,
        masquerade: flag("bridge.enable_ip_masquerade", true)?,
        host_binding: option(request, "bridge.host_binding_ipv4")
            .map_or(Ok(config.default_host_address), |text| parse("bridge.host_binding_ipv4", text))?,
        ..addresses
    };
    Ok(NetworkRow {
        id,
        name: request.name.clone(),
        created: Timestamp::now(),
        driver: BRIDGE.to_owned(),
        internal: request.internal,
        attachable: request.attachable,
        ipam_options: ipam.options,
        options: request.options.clone(),
        labels: request.labels.clone(),
        bridge: Some(bridge),
    })
}

fn check_name(name: &str) -> Result<()> {
    if matches!(name, "bridge" | "host" | "none" | "default") {
        return Err(Error::Forbidden(format!("operation is not permitted on predefined {name} network ")));
    }
    let mut bytes = name.bytes();
    let good_start = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if !good_start || !bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)) {
        return Err(Error::Invalid(format!(
            "invalid network name {name:?}: only [a-zA-Z0-9][a-zA-Z0-9_.-]* are allowed"
        )));
    }
    Ok(())
}

fn check_supported(request: &NetworkCreateRequest) -> Result<()> {
    match request.driver.as_str() {
        "" | "bridge" | "default" => {}
        "host" | "null" => {
            return Err(Error::Forbidden(format!(
                "only one instance of \"{}\" network is allowed",
                request.driver
            )));
        }
        "macvlan" | "ipvlan" | "overlay" => {
            return Err(Error::NotImplemented(format!(
                "the network driver {} is not built yet",
                request.driver
            )));
        }
        other => {
            return Err(Error::DriverNotFound(other.to_owned()));
        }
    }
    let missing = [
        (request.enable_ipv6 == Some(true), "IPv6 on networks"),
        (request.enable_ipv4 == Some(false), "networks without IPv4"),
        (
            request.config_only || request.config_from.as_ref().is_some_and(|c| !c.network.is_empty()),
            "config-only networks",
        ),
        (request.ingress, "ingress networks"),
        (!matches!(request.scope.as_str(), "" | "local"), "networks beyond one host"),
    ];
    if let Some((_, what)) = missing.into_iter().find(|(asked, _)| *asked) {
        return Err(Error::NotImplemented(format!("{what}: not built yet")));
    }
    match &request.ipam {
        Some(ipam) if !matches!(ipam.driver.as_str(), "" | "default") => {
            Err(Error::NotImplemented(format!("the address management driver {} is not built", ipam.driver)))
        }
        Some(ipam) if ipam.config.len() > 1 => {
            Err(Error::NotImplemented("several subnets in a network: not built yet".into()))
        }
        _ => Ok(()),
    }
}

/// A bridge with the address part filled in.
fn addresses(
    request: &NetworkCreateRequest,
    asked: Option<&IpamConfig>,
    pools: &[(Ipv4Subnet, u8)],
    taken: &[(Ipv4Subnet, String)],
) -> Result<Bridge> {
    let empty = IpamConfig::default();
    let asked = asked.unwrap_or(&empty);
    let subnet = if asked.subnet.is_empty() {
        if !asked.ip_range.is_empty() || !asked.gateway.is_empty() || !asked.auxiliary_addresses.is_empty() {
            return Err(Error::Invalid(
                "invalid network config: a gateway, range or auxiliary address needs a subnet".into(),
            ));
        }
        choose_subnet(pools, taken)
            .map_err(|clashes| Error::NoPool { network: request.name.clone(), taken: clashes.join("; ") })?
    } else {
        given_subnet(request, &asked.subnet, taken)?
    };
    let within = |text: &str| -> Result<Ipv4Addr> {
        let address = parse("address", text)?;
        if subnet.contains(address) {
            return Ok(address);
        }
        Err(Error::Invalid(format!(
            "invalid network config: no matching subnet for address {text} ({subnet})"
        )))
    };
    let ip_range: Option<Ipv4Subnet> =
        if asked.ip_range.is_empty() { None } else { Some(parse("ip-range", &asked.ip_range)?) };
    if let Some(range) = ip_range.filter(|range| !subnet.covers(range)) {
        return Err(Error::Invalid(format!("invalid network config: no matching subnet for range {range}")));
    }
    let auxiliary = asked.auxiliary_addresses.iter().map(|(name, text)| Ok((name.clone(), within(text)?)));
    let auxiliary = auxiliary.collect::<Result<BTreeMap<_, _>>>()?;
    let gateway = if asked.gateway.is_empty() { subnet.hosts().0 } else { within(&asked.gateway)? };
    Ok(Bridge {
        interface: String::new(),
        managed: true,
        subnet,
        gateway,
        default_gateway: None,
        ip_range,
        auxiliary,
        mtu: 0,
        icc: true,
        masquerade: true,
        host_binding: Ipv4Addr::UNSPECIFIED,
    })
}

/// A subnet that was asked for has to be free among Hull's networks. A route of the host's may be wider (a VPN of
/// 10.0.0.0/8 leaves room for a network in it); one as narrow or narrower would lose its traffic to the network.
fn given_subnet(
    request: &NetworkCreateRequest,
    text: &str,
    taken: &[(Ipv4Subnet, String)],
) -> Result<Ipv4Subnet> {
    let subnet: Ipv4Subnet = text.parse().map_err(|_| {
        Error::Invalid(format!("invalid subnet {text}: an IPv4 subnet such as 10.1.0.0/24 is needed"))
    })?;
    if subnet.prefix() > 30 || subnet.prefix() == 0 {
        return Err(Error::Invalid(format!(
            "invalid subnet {text}: no room for a gateway and a container, or too wide"
        )));
    }
    let clash = taken.iter().find(|(other, what)| {
        if what.starts_with("network ") { other.overlaps(&subnet) } else { subnet.covers(other) }
    });
    match clash {
        None => Ok(subnet),
        Some((_, what)) => Err(Error::Overlap {
            subnet: subnet.to_string(),
            network: request.name.clone(),
            taken: what.clone(),
        }),
    }
}

fn option<'a>(request: &'a NetworkCreateRequest, name: &str) -> Option<&'a str> {
    request.options.get(&format!("{OPTION}{name}")).map(String::as_str)
}

fn parse<T: FromStr>(name: &str, text: &str) -> Result<T> {
    text.parse().map_err(|_| Error::Invalid(format!("invalid value {text:?} for {name}")))
}
