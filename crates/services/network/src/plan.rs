//! From a request to what a container gets: networks, addresses, interfaces' names, host ports. In memory; a plan
//! takes what it needs from the [`State`], all of it or nothing.

use std::net::Ipv4Addr;

use hull_api_types::EndpointSettings;
use hull_netlink::link;

use crate::model::{Dns, Endpoint, Interface, NetworkRow, Sandbox, mac_of, parse_mac};
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
        exposed: Vec::new(),
        dns: Dns {
            servers: request.dns.clone(),
            search: request.dns_search.clone(),
            options: request.dns_options.clone(),
        },
    })
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
    let row = state.network(first)?;
    let mut wanted = vec![(row.clone(), asked_of(request, row).cloned().unwrap_or_default())];
    for (name, settings) in &request.endpoints {
        let row = state.network(if name == "default" { "bridge" } else { name })?;
        if wanted.iter().any(|(other, _)| other.id == row.id) {
            continue;
        }
        if row.bridge.is_none() || wanted[0].0.bridge.is_none() {
            return Err(Error::Invalid(format!(
                "container cannot be connected to network {} as well as to network {}",
                wanted[0].0.name, row.name
            )));
        }
        wanted.push((row.clone(), settings.clone()));
    }
    Ok(wanted)
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
        let name = format!("{}{}", prefix(&row), rows.len());
        match new_endpoint(state, &row, requested, name) {
            Ok(endpoint) => sandbox.endpoints.push(endpoint),
            Err(error) => {
                state.give_back(&sandbox);
                return Err(error);
            }
        }
        rows.push(row);
    }
    if let Err(error) = plan_ports(state, request, &mut sandbox, &rows) {
        state.give_back(&sandbox);
        return Err(error);
    }
    Ok((sandbox, rows))
}

pub(crate) fn plan_ports(
    state: &mut State,
    request: &AttachRequest,
    sandbox: &mut Sandbox,
    rows: &[NetworkRow],
) -> Result<()> {
    // Without a way to the outside nothing is published.
    let Some(endpoint) = sandbox.gateway_endpoint() else { return Ok(()) };
    let Some(address) = endpoint.interface.as_ref().map(|interface| interface.address) else { return Ok(()) };
    let row = rows.iter().find(|row| row.id == endpoint.network_id);
    let default = row.and_then(|row| row.bridge.as_ref()).map_or(Ipv4Addr::UNSPECIFIED, |b| b.host_binding);
    let (wanted, exposed) = ports::read(&request.ports, &request.exposed, request.publish_all, default)?;
    let failed =
        |reason| Error::Publish { container: request.name.clone(), endpoint: endpoint.id.clone(), reason };
    sandbox.published = state.ports.take_all(&wanted, address).map_err(failed)?;
    sandbox.exposed = exposed;
    Ok(())
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
    let (asked_address, asked_mac) = asked(row, &requested)?;
    let mut endpoint = endpoint_without_interface(row, requested)?;
    let host_name = format!("veth{}", random_hex::<4>()?);
    let (Some(bridge), Some(address)) = (&row.bridge, state.lease(row, asked_address)?) else {
        return Ok(endpoint);
    };
    endpoint.interface = Some(Interface {
        host_name,
        name,
        address,
        prefix: bridge.subnet.prefix(),
        gateway: (!row.internal).then_some(bridge.default_gateway.unwrap_or(bridge.gateway)),
        mac: asked_mac.unwrap_or_else(|| mac_of(address)),
        mtu: bridge.mtu,
        isolated: !bridge.icc,
    });
    Ok(endpoint)
}

/// The addresses that were asked for.
pub(crate) fn asked(
    row: &NetworkRow,
    settings: &EndpointSettings,
) -> Result<(Option<Ipv4Addr>, Option<link::Mac>)> {
    let ipam = settings.ipam_config.as_ref();
    let text = ipam.map_or("", |ipam| ipam.ipv4_address.as_str());
    if ipam.is_some_and(|ipam| !ipam.ipv6_address.is_empty()) {
        return Err(Error::NotImplemented("IPv6 on networks: not built yet".into()));
    }
    let address = if text.is_empty() {
        None
    } else {
        if !row.has_names() {
            return Err(Error::Invalid(
                "user specified IP address is supported on user defined networks only".into(),
            ));
        }
        Some(text.parse().map_err(|_| Error::Invalid(format!("invalid IPv4 address: {text}")))?)
    };
    let mac = match settings.mac_address.as_str() {
        "" => None,
        text => {
            let wrong = || Error::Invalid(format!("invalid MAC address: {text}"));
            // The lowest bit of the first byte marks a group's address, which no interface can have.
            Some(parse_mac(text).filter(|mac| mac[0] & 1 == 0).ok_or_else(wrong)?)
        }
    };
    Ok((address, mac))
}

/// The running containers that are linked to, with the names for them.
pub(crate) fn linked(state: &State, request: &AttachRequest) -> Vec<(Ipv4Addr, Vec<String>)> {
    let address = |link: &crate::Link| {
        let interface = state.sandboxes.get(&link.container_id)?.gateway_interface()?;
        Some((interface.address, link.names.clone()))
    };
    request.links.iter().filter_map(address).collect()
}
