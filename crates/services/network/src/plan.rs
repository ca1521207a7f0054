//! From a request to what a container gets: networks, addresses, interfaces' names, host ports. In memory; a plan
//! takes what it needs from the [`State`], all of it or nothing.

use std::net::{IpAddr, Ipv4Addr};

use hull_api_types::EndpointSettings;
use hull_netlink::link;

use crate::endpoint::{
    Dns, Endpoint, Hop, Interface, InterfaceAddress, Published, Sandbox, mac_of, parse_mac,
};
use crate::model::{GatewayMode, IPVLAN, Medium, NetworkRow, Parent};
use crate::ports::{Asked, Reach, Wanted};
use crate::records::random_hex;
use crate::state::State;
use crate::{AttachRequest, Error, Result, ports};

/// What a network mode says.
pub(crate) enum Mode {
    /// The host's namespace.
    Host,
    /// Another container's.
    Container,
    /// One of its own, with the network of that name first.
    Own(String),
}

pub(crate) fn mode(text: &str) -> Mode {
    match text {
        "host" => Mode::Host,
        "" | "default" => Mode::Own("bridge".into()),
        _ if text.starts_with("container:") => Mode::Container,
        _ => Mode::Own(text.into()),
    }
}

pub(crate) fn empty_sandbox(request: &AttachRequest) -> Result<Sandbox> {
    Ok(Sandbox {
        container_id: request.container_id.clone(),
        name: request.name.clone(),
        sandbox_id: random_hex::<32>()?,
        hostname: request.hostname.clone(),
        endpoints: Vec::new(),
        published: Vec::new(),
        asked: asked_ports(request),
        exposed: Vec::new(),
        dns: Dns {
            servers: request.dns.clone(),
            search: request.dns_search.clone(),
            options: request.dns_options.clone(),
        },
    })
}

/// What a request says of ports.
pub(crate) fn asked_ports(request: &AttachRequest) -> Asked {
    let (bindings, exposed) = (request.ports.clone(), request.exposed.clone());
    let (obey, bypass) = (request.obey.clone(), request.bypass.clone());
    Asked { bindings, exposed, publish_all: request.publish_all, obey, bypass }
}

/// What a request says of a network, under its name or its id.
pub(crate) fn asked_of<'a>(request: &'a AttachRequest, row: &NetworkRow) -> Option<&'a EndpointSettings> {
    let is_it =
        |name: &str| name == row.name || name == row.id || (name == "default" && row.name == "bridge");
    request.endpoints.iter().find(|(name, _)| is_it(name)).map(|(_, settings)| settings)
}

/// The networks that a container is to be in: that of its mode first, then the others in the request's order.
pub(crate) fn wanted_networks(
    state: &State,
    request: &AttachRequest,
    first: &str,
) -> Result<Vec<(NetworkRow, EndpointSettings)>> {
    let row = usable(state, first)?;
    let mut wanted = vec![(row.clone(), asked_of(request, row).cloned().unwrap_or_default())];
    for (name, settings) in &request.endpoints {
        let row = usable(state, if name == "default" { "bridge" } else { name })?;
        if wanted.iter().any(|(other, _)| other.id == row.id) {
            continue;
        }
        if row.medium.is_none() || wanted[0].0.medium.is_none() {
            return Err(Error::Invalid(format!(
                "container cannot be connected to network {} as well as to network {}",
                wanted[0].0.name, row.name
            )));
        }
        wanted.push((row.clone(), settings.clone()));
    }
    Ok(wanted)
}

/// A network that containers can be in.
pub(crate) fn usable<'a>(state: &'a State, name_or_id: &str) -> Result<&'a NetworkRow> {
    let row = state.network(name_or_id)?;
    if row.configuration.is_some() {
        return Err(Error::Forbidden(format!(
            "network {} is the configuration of other networks: containers cannot be in it",
            row.name
        )));
    }
    Ok(row)
}

/// Takes addresses and ports for a container; all that it needs, or none.
pub(crate) fn plan(
    state: &mut State,
    request: &AttachRequest,
    first: &str,
) -> Result<(Sandbox, Vec<NetworkRow>)> {
    let wanted = wanted_networks(state, request, first)?;
    let mut sandbox = empty_sandbox(request)?;
    let mut rows = Vec::with_capacity(wanted.len());
    for (row, requested) in wanted {
        let name = free_name(prefix(&row), |name| sandbox.endpoints.iter().any(|other| other.has_name(name)));
        match new_endpoint(state, &row, requested, name) {
            Ok(endpoint) => sandbox.endpoints.push(endpoint),
            Err(error) => {
                state.give_back(&sandbox);
                return Err(error);
            }
        }
        rows.push(row);
    }
    if let Err(error) = plan_ports(state, &mut sandbox) {
        state.give_back(&sandbox);
        return Err(error);
    }
    Ok((sandbox, rows))
}

/// The first name of that beginning that is not taken.
pub(crate) fn free_name(prefix: &str, taken: impl Fn(&str) -> bool) -> String {
    (0..).map(|number| format!("{prefix}{number}")).find(|name| !taken(name)).unwrap_or_default()
}

/// Takes the ports that a container wants published, by the families of which it has a way to the outside. Those
/// that it has already it keeps; a further family gets the same host port where that is free.
pub(crate) fn plan_ports(state: &mut State, sandbox: &mut Sandbox) -> Result<()> {
    let reach = reach(state, sandbox);
    let (kept, lost): (Vec<Published>, Vec<Published>) =
        std::mem::take(&mut sandbox.published).into_iter().partition(|port| {
            let is_there = if port.host_address.is_ipv6() { reach.ipv6 } else { reach.ipv4 }.is_some();
            is_there && reach.is_routed(&port.host_address) == (port.host_port == 0)
        });
    state.ports.give_back(&lost);
    sandbox.published = kept;
    sandbox.exposed.clear();
    // Without a way to the outside nothing is published.
    let Some(first) = sandbox.gateway_endpoint(false).or_else(|| sandbox.gateway_endpoint(true)) else {
        return Ok(());
    };
    let (wanted, exposed) = ports::read(&sandbox.asked, reach)?;
    let wanted: Vec<Wanted> =
        wanted.into_iter().filter_map(|port| still_wanted(port, &sandbox.published)).collect();
    let address = first.address(false).or_else(|| first.address(true)).map(|own| own.address.to_string());
    let taken = state.ports.take_all(&wanted, reach, &address.unwrap_or_default());
    let failed =
        |reason| Error::Publish { container: sandbox.name.clone(), endpoint: first.id.clone(), reason };
    let taken = taken.map_err(failed)?;
    sandbox.published.extend(taken);
    sandbox.exposed = exposed;
    decide_who_obeys(sandbox, reach.obeys);
    Ok(())
}

/// Decides which published ports obey the host's own rules; `otherwise` of those that the container doesn't name.
pub(crate) fn decide_who_obeys(sandbox: &mut Sandbox, otherwise: bool) {
    for port in &mut sandbox.published {
        // What is routed goes past the host's input rules whoever wishes it otherwise.
        port.obeys =
            port.host_port != 0 && sandbox.asked.obeys(port.protocol, port.container_port, otherwise);
    }
}

/// What of a wanted port is not published yet.
fn still_wanted(mut port: Wanted, published: &[Published]) -> Option<Wanted> {
    let same = |other: &&Published| {
        let in_range = port
            .host_ports
            .is_none_or(|(first, last)| other.host_port == 0 || (first..=last).contains(&other.host_port));
        other.protocol == port.protocol && other.container_port == port.container_port && in_range
    };
    let present: Vec<&Published> = published.iter().filter(same).collect();
    let host_port = present.iter().map(|other| other.host_port).find(|number| *number != 0);
    port.host_addresses.retain(|address| present.iter().all(|other| other.host_address != *address));
    if let Some(number) = host_port {
        port.host_ports = Some((number, number));
    }
    (!port.host_addresses.is_empty()).then_some(port)
}

/// How a container's ports are reached.
pub(crate) fn reach(state: &State, sandbox: &Sandbox) -> Reach {
    let mode = |ipv6| sandbox.gateway_interface(ipv6).map(|interface| interface.mode(ipv6));
    let first = sandbox.gateway_endpoint(false).or_else(|| sandbox.gateway_endpoint(true));
    let row = first.and_then(|endpoint| state.networks.get(&endpoint.network_id));
    let bridge = row.and_then(NetworkRow::bridge);
    Reach {
        ipv4: mode(false),
        ipv6: mode(true),
        default_address: bridge.map_or(Ipv4Addr::UNSPECIFIED.into(), |bridge| bridge.host_binding),
        obeys: row.and_then(NetworkRow::obeys).unwrap_or(state.obey_host_rules),
    }
}

pub(crate) fn endpoint_without_interface(row: &NetworkRow, requested: EndpointSettings) -> Result<Endpoint> {
    Ok(Endpoint {
        id: random_hex::<32>()?,
        network_id: row.id.clone(),
        network_name: row.name.clone(),
        has_names: row.has_names(),
        requested,
        interface: None,
    })
}

/// The beginning of interface names inside containers.
pub(crate) fn prefix(row: &NetworkRow) -> &str {
    row.options.get("com.docker.network.container_iface_prefix").map_or("eth", String::as_str)
}

pub(crate) fn new_endpoint(
    state: &mut State,
    row: &NetworkRow,
    requested: EndpointSettings,
    name: String,
) -> Result<Endpoint> {
    let asked = asked(row, &requested)?;
    let mut endpoint = endpoint_without_interface(row, requested)?;
    let Some(medium) = &row.medium else { return Ok(endpoint) };
    let host_name = match medium {
        Medium::Bridge(_) => format!("veth{}", random_hex::<4>()?),
        Medium::Parent(_) => String::new(),
    };
    let name = asked.name.unwrap_or(name);
    let mut addresses: Vec<InterfaceAddress> = Vec::new();
    let mut leased = Err(Error::Invalid(format!("network {} has no addresses", row.name)));
    for (ipv6, wanted) in [(false, asked.ipv4), (true, asked.ipv6)] {
        let beside = addresses.first().map(|own| own.address);
        leased = state.lease(row, ipv6, wanted, beside);
        match &leased {
            Ok(Some((address, prefix))) => {
                let (address, prefix) = (*address, *prefix);
                addresses.push(InterfaceAddress { address, prefix, hop: hop(row, medium, address) });
            }
            Ok(None) => {}
            Err(_) => break,
        }
    }
    let first = addresses.first().map(|own| own.address);
    let settings = asked.settings.into_iter().map(|(key, value)| (key.replace("IFNAME", &name), value));
    let mut interface = Interface {
        host_name,
        addresses,
        link_local: asked.link_local,
        mac: asked.mac.or(first.map(mac_of)),
        mtu: 0,
        isolated: false,
        ipv4_mode: GatewayMode::Nat,
        ipv6_mode: GatewayMode::Nat,
        settings: settings.collect(),
        name,
    };
    match medium {
        Medium::Bridge(bridge) => {
            (interface.mtu, interface.isolated) = (bridge.mtu, !bridge.icc);
            (interface.ipv4_mode, interface.ipv6_mode) = (bridge.ipv4_mode, bridge.ipv6_mode);
        }
        Medium::Parent(Parent { mtu, .. }) => {
            interface.mtu = *mtu;
            // IPVLAN interfaces have their parent's.
            interface.mac = interface.mac.filter(|_| row.driver != IPVLAN);
            // Such containers are neighbours of other hosts themselves: nothing is published at this one.
            (interface.ipv4_mode, interface.ipv6_mode) = (GatewayMode::Routed, GatewayMode::Routed);
        }
    }
    endpoint.interface = Some(interface);
    if let Err(error) = leased {
        state.give_back_addresses(&endpoint);
        return Err(error);
    }
    Ok(endpoint)
}

/// Where an address's default route would lead.
fn hop(row: &NetworkRow, medium: &Medium, address: IpAddr) -> Hop {
    let gateway = row.pool_with(address).and_then(|pool| pool.default_gateway.or(pool.gateway));
    let mode = match medium {
        Medium::Bridge(bridge) => bridge.mode(address.is_ipv6()),
        Medium::Parent(parent) if row.driver == IPVLAN && parent.mode != "l2" => {
            return if row.internal { Hop::None } else { Hop::OnLink };
        }
        Medium::Parent(_) => GatewayMode::Routed,
    };
    match gateway {
        Some(gateway) if !row.internal && mode != GatewayMode::Isolated => Hop::Via(gateway),
        _ => Hop::None,
    }
}

/// What a container asks of its place in a network.
#[derive(Debug, Default)]
pub(crate) struct EndpointAsked {
    ipv4: Option<IpAddr>,
    ipv6: Option<IpAddr>,
    link_local: Vec<IpAddr>,
    mac: Option<link::Mac>,
    name: Option<String>,
    settings: Vec<(String, String)>,
}

/// The addresses, names and settings that were asked for.
pub(crate) fn asked(row: &NetworkRow, settings: &EndpointSettings) -> Result<EndpointAsked> {
    let ipam = settings.ipam_config.clone().unwrap_or_default();
    let mut asked = EndpointAsked::default();
    for (text, ipv6) in [(&ipam.ipv4_address, false), (&ipam.ipv6_address, true)] {
        if text.is_empty() {
            continue;
        }
        if !row.has_names() {
            return Err(Error::Invalid(
                "user specified IP address is supported on user defined networks only".into(),
            ));
        }
        let family = if ipv6 { "IPv6" } else { "IPv4" };
        let address = text.parse().ok().filter(|address: &IpAddr| address.is_ipv6() == ipv6);
        let address = address.ok_or_else(|| Error::Invalid(format!("invalid {family} address: {text}")))?;
        if row.pools_of(ipv6).next().is_none() {
            return Err(Error::Invalid(format!(
                "cannot give a container the address {address}: {family} is off in network {}",
                row.name
            )));
        }
        *if ipv6 { &mut asked.ipv6 } else { &mut asked.ipv4 } = Some(address);
    }
    for text in &ipam.link_local_ips {
        let wrong = || Error::Invalid(format!("invalid link local IP address: {text}"));
        let address: IpAddr = text.parse().map_err(|_| wrong())?;
        let is_link_local = match address {
            IpAddr::V4(address) => address.is_link_local(),
            IpAddr::V6(address) => address.is_unicast_link_local(),
        };
        asked.link_local.push(Some(address).filter(|_| is_link_local).ok_or_else(wrong)?);
    }
    if !settings.mac_address.is_empty() {
        let text = &settings.mac_address;
        let wrong = || Error::Invalid(format!("invalid MAC address: {text}"));
        // The lowest bit of the first byte marks a group's address, which no interface can have.
        asked.mac = Some(parse_mac(text).filter(|mac| mac[0] & 1 == 0).ok_or_else(wrong)?);
    }
    let options = settings.driver_opts.iter().flatten();
    for (key, value) in options {
        match key.as_str() {
            "com.docker.network.endpoint.ifname" => asked.name = Some(interface_name(value)?),
            "com.docker.network.endpoint.sysctls" => asked.settings = interface_settings(value)?,
            _ => {}
        }
    }
    Ok(asked)
}

fn interface_name(text: &str) -> Result<String> {
    let good = !text.is_empty()
        && text.len() <= link::NAME_MAX
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
        && !matches!(text, "." | ".." | "lo" | "all" | "default");
    if good { Ok(text.to_owned()) } else { Err(Error::Invalid(format!("invalid interface name {text:?}"))) }
}

/// `net.ipv4.conf.IFNAME.log_martians=1,net.ipv6.conf.IFNAME.accept_ra=0`: settings of the interface itself only.
fn interface_settings(text: &str) -> Result<Vec<(String, String)>> {
    let setting = |pair: &str| -> Option<(String, String)> {
        let (key, value) = pair.split_once('=')?;
        let mut parts = key.trim().split('.');
        let head = (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let ("net", family @ ("ipv4" | "ipv6"), kind @ ("conf" | "neigh"), "IFNAME", name) = head else {
            return None;
        };
        let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let whole = parts.next().is_none() && !name.is_empty() && name.chars().all(good);
        whole.then(|| (format!("net/{family}/{kind}/IFNAME/{name}"), value.trim().to_owned()))
    };
    let wrong =
        |pair| Error::Invalid(format!("invalid endpoint sysctl {pair:?}: net.ipv4.conf.IFNAME.key=value"));
    text.split(',').map(|pair| setting(pair).ok_or_else(|| wrong(pair))).collect()
}

/// The running containers that are linked to, with the names for them.
pub(crate) fn linked(state: &State, request: &AttachRequest) -> Vec<(IpAddr, Vec<String>)> {
    let addresses = |link: &crate::Link| -> Vec<(IpAddr, Vec<String>)> {
        let Some(sandbox) = state.sandboxes.get(&link.container_id) else { return Vec::new() };
        // Links are the default bridge's.
        let endpoint = sandbox.endpoints.iter().find(|endpoint| endpoint.network_name == "bridge");
        let own = [false, true].into_iter().filter_map(|ipv6| endpoint?.address(ipv6));
        own.map(|own| (own.address, link.names.clone())).collect()
    };
    request.links.iter().flat_map(addresses).collect()
}
