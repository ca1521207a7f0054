//! The host's side: bridges, their settings, and the containers' interfaces.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use hull_netlink::link::{self, Veth};
use hull_netlink::{RouteSocket, address, neighbour, route};

use crate::endpoint::{Hop, Interface, InterfaceAddress, mac_of};
use crate::model::{Bridge, GatewayMode, NetworkRow, Pool};
use crate::{Error, Result, Subnet};

/// Makes the bridge's interface where it isn't there, with its addresses and settings.
pub(crate) fn ensure(
    route: &mut RouteSocket,
    row: &NetworkRow,
    bridge: &Bridge,
    forward: bool,
) -> Result<()> {
    let kernel = |source| Error::Kernel { network: row.name.clone(), source };
    let name = bridge.interface.as_str();
    let found = route.link_by_name(name).map_err(kernel)?;
    let present = match found {
        Some(link) if link.kind != "bridge" => {
            return Err(Error::Conflict(format!(
                "cannot use the interface {name} for network {}: it exists and is no bridge",
                row.name
            )));
        }
        Some(link) => link,
        None => {
            let first = row.pools.first().map(|pool| pool.gateway.unwrap_or(pool.subnet.network()));
            let mac = mac_of(first.unwrap_or(Ipv4Addr::UNSPECIFIED.into()));
            route.run(link::create_bridge(name, mac, bridge.mtu)).map_err(kernel)?;
            let made = route.link_by_name(name).map_err(kernel)?;
            made.ok_or_else(|| Error::Conflict(format!("the bridge {name} vanished while it was made")))?
        }
    };
    let own = own_addresses(row, bridge);
    let has_ipv6 = own.iter().any(|(address, _)| address.is_ipv6());
    settings(name, forward, has_ipv6)?;
    if bridge.managed {
        let there = route.addresses().map_err(kernel)?;
        for (address, prefix) in own {
            let is_it = |entry: &address::Address| {
                (entry.index, entry.address, entry.prefix) == (present.index, address, prefix)
            };
            if !there.iter().any(is_it) {
                route.run(address::add(present.index, address, prefix)).map_err(kernel)?;
            }
        }
    }
    if !present.up {
        route.run(link::set_up(present.index, true)).map_err(kernel)?;
    }
    Ok(())
}

/// The addresses that the bridge itself has: the containers' gateways.
fn own_addresses(row: &NetworkRow, bridge: &Bridge) -> Vec<(IpAddr, u8)> {
    let on_the_network = |pool: &&Pool| {
        let ipv6 = !pool.subnet.is_ipv4();
        bridge.mode(ipv6) != GatewayMode::Isolated && (ipv6 || !bridge.inhibit_ipv4)
    };
    let own = |pool: &Pool| Some((pool.gateway?, pool.subnet.prefix()));
    row.pools.iter().filter(on_the_network).filter_map(own).collect()
}

/// Ports published on 127.0.0.1 leave by the bridge with that address until they are masqueraded: without
/// route_localnet the kernel would drop them. The table's guard chain keeps containers from using it.
fn settings(name: &str, forward: bool, ipv6: bool) -> Result<()> {
    set(&format!("net/ipv4/conf/{name}/route_localnet"), "1")?;
    // Set one by one as well, since ip_forward may have been switched off for later interfaces.
    if forward {
        set(&format!("net/ipv4/conf/{name}/forwarding"), "1")?;
    }
    // What containers advertise is no configuration for the host, and an IPv4 network has no link-local addresses.
    // A bridge of Hull's own has no duplicate to look for; while it looked, the host could not find its containers.
    let disable = if ipv6 { "0" } else { "1" };
    for (key, value) in [("accept_ra", "0"), ("accept_dad", "0"), ("disable_ipv6", disable)] {
        set_if_there(&format!("net/ipv6/conf/{name}/{key}"), value)?;
    }
    Ok(())
}

/// Of the pair that packets go round by (see `obedience`): what comes in was sent from anywhere.
pub(crate) fn loop_settings(names: &[String; 2]) -> Result<()> {
    let [_, comes_in] = names;
    set(&format!("net/ipv4/conf/{comes_in}/rp_filter"), "2")?;
    set(&format!("net/ipv4/conf/{comes_in}/forwarding"), "1")?;
    let disable = if has_ipv6() { "0" } else { "1" };
    for (name, (key, value)) in names.iter().flat_map(|name| {
        [("accept_ra", "0"), ("accept_dad", "0"), ("disable_ipv6", disable)].map(|setting| (name, setting))
    }) {
        set_if_there(&format!("net/ipv6/conf/{name}/{key}"), value)?;
    }
    Ok(())
}

/// Whether this kernel has IPv6, and it is not switched off.
pub(crate) fn has_ipv6() -> bool {
    fs::read_to_string("/proc/sys/net/ipv6/conf/all/disable_ipv6").is_ok_and(|text| text.trim() == "0")
}

/// Switches IPv6 forwarding on; whether it was off. A host that forwards takes no more router advertisements unless it
/// is told to: interfaces that took them go on taking them.
pub(crate) fn enable_ipv6_forwarding() -> Result<bool> {
    let path = Path::new("/proc/sys/net/ipv6/conf/all/forwarding");
    let now = fs::read_to_string(path).map_err(|source| Error::Setting { path: path.into(), source })?;
    if now.trim() != "0" {
        return Ok(false);
    }
    let failed = |source| Error::Setting { path: "/proc/sys/net/ipv6/conf".into(), source };
    for entry in fs::read_dir("/proc/sys/net/ipv6/conf").map_err(failed)? {
        let path = entry.map_err(failed)?.path().join("accept_ra");
        if fs::read_to_string(&path).is_ok_and(|text| text.trim() == "1") {
            fs::write(&path, "2").map_err(|source| Error::Setting { path, source })?;
        }
    }
    set("net/ipv6/conf/all/forwarding", "1").map(|()| true)
}

/// Switches IPv4 forwarding on; whether it was off.
pub(crate) fn enable_forwarding() -> Result<bool> {
    let path = Path::new("/proc/sys/net/ipv4/ip_forward");
    let now = fs::read_to_string(path).map_err(|source| Error::Setting { path: path.into(), source })?;
    if now.trim() != "0" {
        return Ok(false);
    }
    set("net/ipv4/ip_forward", "1").map(|()| true)
}

fn set(name: &str, value: &str) -> Result<()> {
    let path = PathBuf::from("/proc/sys").join(name);
    fs::write(&path, value).map_err(|source| Error::Setting { path, source })
}

fn set_if_there(name: &str, value: &str) -> Result<()> {
    match set(name, value) {
        Err(Error::Setting { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Removes a bridge's interface.
pub(crate) fn remove(route: &mut RouteSocket, network: &str, interface: &str) -> Result<()> {
    let kernel = |source| Error::Kernel { network: network.to_owned(), source };
    let Some(link) = route.link_by_name(interface).map_err(kernel)? else { return Ok(()) };
    route.run(link::delete(link.index)).map_err(kernel)
}

/// Makes an endpoint's veth pair: one end a port of the bridge, the other in the container's namespace, with its
/// addresses. `inside` is a socket of that namespace.
pub(crate) fn plug(
    route: &mut RouteSocket,
    inside: &mut RouteSocket,
    netns: BorrowedFd<'_>,
    network: &str,
    bridge: &Bridge,
    interface: &Interface,
) -> Result<()> {
    let kernel = |source| Error::Kernel { network: network.to_owned(), source };
    let missing = |name: &str| Error::Conflict(format!("the interface {name} of network {network} is gone"));
    let mac = interface.mac.unwrap_or_default();
    let master = route.link_by_name(&bridge.interface).map_err(kernel)?;
    let master = master.ok_or_else(|| missing(&bridge.interface))?.index;
    let veth = Veth {
        name: &interface.host_name,
        master,
        mtu: interface.mtu,
        peer_netns: netns.as_fd(),
        peer_name: &interface.name,
        peer_mac: mac,
    };
    route.run(link::create_veth(&veth)).map_err(kernel)?;
    let port = route.link_by_name(&interface.host_name).map_err(kernel)?;
    let port = port.ok_or_else(|| missing(&interface.host_name))?.index;
    // The port of a container that had this hardware address may still be going: what it taught the bridge must
    // not keep frames from the new one.
    let mut requests = vec![neighbour::place_behind_port(port, mac)];
    let settings = port_settings(interface.isolated, bridged_packets_are_filtered());
    if settings != link::Port::default() {
        requests.push(link::set_port(port, settings));
    }
    route.execute(&requests).map_err(kernel)?;
    for own in interface.addresses.iter().filter(|own| mac != mac_of(own.address)) {
        // An IPv6 address goes with the hardware address of its IPv4 neighbour as a rule, but need not.
        match route.run(neighbour::forget(master, own.address)) {
            Err(error) if !error.is_missing() => return Err(kernel(error)),
            _ => {}
        }
    }
    configure(inside, netns, network, interface)
}

/// Gives a container's interface its settings and addresses, and sets it up.
pub(crate) fn configure(
    inside: &mut RouteSocket,
    netns: BorrowedFd<'_>,
    network: &str,
    interface: &Interface,
) -> Result<()> {
    let kernel = |source| Error::Kernel { network: network.to_owned(), source };
    let missing =
        || Error::Conflict(format!("the interface {} of network {network} is gone", interface.name));
    let own = inside.link_by_name(&interface.name).map_err(kernel)?.ok_or_else(missing)?.index;
    if interface.has_ipv6() || !interface.settings.is_empty() {
        configure_kernel(netns, interface)?;
    }
    let add = |own_address: &InterfaceAddress| address::add(own, own_address.address, own_address.prefix);
    let mut requests: Vec<_> = interface.addresses.iter().map(add).collect();
    let link_local = interface.link_local.iter();
    requests.extend(
        link_local.map(|address| address::add(own, *address, if address.is_ipv4() { 16 } else { 64 })),
    );
    requests.push(link::set_up(own, true));
    inside.execute(&requests).map_err(kernel)
}

/// Interfaces come without IPv6 (see `namespaces`): one that has addresses of it gets it, still without taking what
/// routers advertise (CVE-2020-13401).
fn configure_kernel(netns: BorrowedFd<'_>, interface: &Interface) -> Result<()> {
    let base = format!("net/ipv6/conf/{}", interface.name);
    let ipv6 = [("accept_ra", "0"), ("accept_dad", "0"), ("disable_ipv6", "0")];
    let ipv6 = ipv6.into_iter().filter(|_| interface.has_ipv6());
    let mut settings: Vec<(String, String)> =
        ipv6.map(|(key, value)| (format!("{base}/{key}"), value.to_owned())).collect();
    settings.extend(interface.settings.iter().cloned());
    let write = || -> std::io::Result<Result<()>> {
        Ok(settings.iter().try_for_each(|(name, value)| set(name, value)))
    };
    hull_sys::netns::within(netns, write).map_err(|source| Error::Namespace { act: "enter", source })?
}

/// Where the kernel's br_netfilter shows bridged packets to the table, it rewrites the destination of one that is for
/// a published port while it is bridged, and bridges it on: to the container itself only with hairpin, and never
/// between isolated ports. The forward chain keeps containers apart then. Elsewhere it sees nothing of what is
/// bridged, and isolation does.
fn port_settings(isolated: bool, filtered: bool) -> link::Port {
    link::Port { hairpin: filtered, isolated: isolated && !filtered }
}

fn bridged_packets_are_filtered() -> bool {
    let setting = fs::read_to_string("/proc/sys/net/bridge/bridge-nf-call-iptables");
    setting.is_ok_and(|text| text.trim() == "1")
}

/// Makes the default route of a family inside a container lead out of `new` rather than `old`.
pub(crate) fn change_default_route(
    inside: &mut RouteSocket,
    network: &str,
    ipv6: bool,
    old: Option<&Interface>,
    new: Option<&Interface>,
) -> Result<()> {
    let kernel = |source| Error::Kernel { network: network.to_owned(), source };
    let hop =
        |interface: Option<&Interface>| interface.and_then(|i| Some((i.name.clone(), i.address(ipv6)?.hop)));
    let (old, new) = (hop(old), hop(new));
    if old == new {
        return Ok(());
    }
    for (name, hop, removes) in [(old, true), (new, false)].into_iter().filter_map(|(way, removes)| {
        let (name, hop) = way?;
        Some((name, hop, removes))
    }) {
        let Some(link) = inside.link_by_name(&name).map_err(kernel)? else { continue };
        let request = match (hop, removes) {
            (Hop::None, _) => continue,
            (Hop::Via(gateway), true) => route::delete_default(link.index, gateway),
            (Hop::Via(gateway), false) => route::add_default(link.index, gateway),
            (Hop::OnLink, true) => route::delete_default_on_link(link.index, ipv6),
            (Hop::OnLink, false) => route::add_default_on_link(link.index, ipv6),
        };
        match inside.run(request) {
            // It went with its interface.
            Err(error) if removes && error.is_missing() => {}
            other => other.map_err(kernel)?,
        }
    }
    Ok(())
}

/// The subnets that are in use on the host, each with the words for it. Default routes are none, nor is what is on
/// `own`, the interface that is asked for.
pub(crate) fn taken_on_host(
    route: &mut RouteSocket,
    own: &str,
    servers: &[IpAddr],
) -> Result<Vec<(Subnet, String)>> {
    let kernel = |source| Error::Kernel { network: "host".into(), source };
    let links = route.links().map_err(kernel)?;
    let own = links.iter().find(|link| link.name == own).map(|link| link.index);
    let name = |index: u32| {
        links
            .iter()
            .find(|link| link.index == index)
            .map_or_else(|| "no interface".to_owned(), |link| link.name.clone())
    };
    let mut taken = Vec::new();
    for entry in [route.routes(false), route.routes(true)]
        .into_iter()
        .collect::<Result<Vec<_>, _>>()
        .map_err(kernel)?
        .concat()
    {
        let ours = Some(entry.index) == own;
        if let Some(destination) = entry.destination.filter(|address| !ours && !is_of_links_only(address)) {
            let subnet = Subnet::containing(destination, entry.prefix);
            taken.push((subnet, format!("the host's route {subnet} on {}", name(entry.index))));
        }
    }
    for entry in route.addresses().map_err(kernel)? {
        let address = entry.address;
        if Some(entry.index) != own && !is_of_links_only(&address) {
            let subnet = Subnet::containing(address, entry.prefix);
            taken.push((subnet, format!("the address {address}/{} of {}", entry.prefix, name(entry.index))));
        }
    }
    for server in servers {
        taken.push((Subnet::containing(*server, 128), format!("the name server {server}")));
    }
    Ok(taken)
}

/// Every link has such IPv6 addresses.
fn is_of_links_only(address: &IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local() || address.is_multicast())
}

/// The addresses of an interface that the administrator made (`--bridge`), IPv4 first.
pub(crate) fn addresses_of(route: &mut RouteSocket, interface: &str) -> Result<Vec<(IpAddr, u8)>> {
    let kernel = |source| Error::Kernel { network: "bridge".into(), source };
    let Some(link) = route.link_by_name(interface).map_err(kernel)? else {
        return Err(Error::Invalid(format!(
            "bridge device {interface} does not exist: it was named by --bridge"
        )));
    };
    let addresses = route.addresses().map_err(kernel)?;
    let own = addresses.iter().filter(|entry| entry.index == link.index && !is_of_links_only(&entry.address));
    let mut own: Vec<_> = own.map(|entry| (entry.address, entry.prefix)).collect();
    own.sort_by_key(|(address, _)| address.is_ipv6());
    Ok(own)
}
