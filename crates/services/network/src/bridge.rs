//! The host's side: bridges, their settings, and the containers' interfaces.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use hull_netlink::link::{self, Veth};
use hull_netlink::{RouteSocket, address, neighbour, route};

use crate::model::{Bridge, Interface, mac_of};
use crate::{Error, Ipv4Subnet, Result};

/// Makes the bridge's interface where it isn't there, with its address and settings.
pub(crate) fn ensure(route: &mut RouteSocket, network: &str, bridge: &Bridge, forward: bool) -> Result<()> {
    let kernel = |source| Error::Kernel { network: network.to_owned(), source };
    let name = bridge.interface.as_str();
    let found = route.link_by_name(name).map_err(kernel)?;
    let present = match found {
        Some(link) if link.kind != "bridge" => {
            return Err(Error::Conflict(format!(
                "cannot use the interface {name} for network {network}: it exists and is no bridge"
            )));
        }
        Some(link) => link,
        None => {
            route.run(link::create_bridge(name, mac_of(bridge.gateway), bridge.mtu)).map_err(kernel)?;
            let made = route.link_by_name(name).map_err(kernel)?;
            made.ok_or_else(|| Error::Conflict(format!("the bridge {name} vanished while it was made")))?
        }
    };
    let has = |entry: &address::Address| {
        entry.index == present.index
            && entry.address == IpAddr::V4(bridge.gateway)
            && entry.prefix == bridge.subnet.prefix()
    };
    if bridge.managed && !route.addresses().map_err(kernel)?.iter().any(has) {
        let add = address::add(present.index, bridge.gateway.into(), bridge.subnet.prefix());
        route.run(add).map_err(kernel)?;
    }
    if !present.up {
        route.run(link::set_up(present.index, true)).map_err(kernel)?;
    }
    settings(name, forward)
}

/// Ports published on 127.0.0.1 leave by the bridge with that address until they are masqueraded: without
/// route_localnet the kernel would drop them. The table's guard chain keeps containers from using it.
fn settings(name: &str, forward: bool) -> Result<()> {
    set(&format!("net/ipv4/conf/{name}/route_localnet"), "1")?;
    // Set one by one as well, since ip_forward may have been switched off for later interfaces.
    if forward {
        set(&format!("net/ipv4/conf/{name}/forwarding"), "1")?;
    }
    // What containers advertise is no configuration for the host, and an IPv4 network has no link-local addresses.
    for (key, value) in [("accept_ra", "0"), ("disable_ipv6", "1")] {
        set_if_there(&format!("net/ipv6/conf/{name}/{key}"), value)?;
    }
    Ok(())
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
/// address. `inside` is a socket of that namespace.
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
    let master = route.link_by_name(&bridge.interface).map_err(kernel)?;
    let master = master.ok_or_else(|| missing(&bridge.interface))?.index;
    let veth = Veth {
        name: &interface.host_name,
        master,
        mtu: interface.mtu,
        peer_netns: netns.as_fd(),
        peer_name: &interface.name,
        peer_mac: interface.mac,
    };
    route.run(link::create_veth(&veth)).map_err(kernel)?;
    let port = route.link_by_name(&interface.host_name).map_err(kernel)?;
    let port = port.ok_or_else(|| missing(&interface.host_name))?.index;
    // The port of a container that had this hardware address may still be going: what it taught the bridge must
    // not keep frames from the new one.
    let mut requests = vec![neighbour::place_behind_port(port, interface.mac)];
    let settings = port_settings(interface.isolated, bridged_packets_are_filtered());
    if settings != link::Port::default() {
        requests.push(link::set_port(port, settings));
    }
    route.execute(&requests).map_err(kernel)?;
    if interface.mac != mac_of(interface.address) {
        match route.run(neighbour::forget(master, interface.address.into())) {
            Err(error) if !error.is_missing() => return Err(kernel(error)),
            _ => {}
        }
    }
    let own = inside.link_by_name(&interface.name).map_err(kernel)?;
    let own = own.ok_or_else(|| missing(&interface.name))?.index;
    let add = address::add(own, interface.address.into(), interface.prefix);
    inside.execute(&[add, link::set_up(own, true)]).map_err(kernel)
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

/// Makes the default route inside a container lead through `new` rather than `old`.
pub(crate) fn change_default_route(
    inside: &mut RouteSocket,
    network: &str,
    old: Option<&Interface>,
    new: Option<&Interface>,
) -> Result<()> {
    let kernel = |source| Error::Kernel { network: network.to_owned(), source };
    let hop = |interface: Option<&Interface>| interface.and_then(|interface| interface.gateway);
    let (old, new) = (hop(old), hop(new));
    if old == new {
        return Ok(());
    }
    if let Some(gateway) = old {
        match inside.run(route::delete_default(0, gateway.into())) {
            // It went with its interface.
            Err(error) if !error.is_missing() => return Err(kernel(error)),
            _ => {}
        }
    }
    let Some(gateway) = new else { return Ok(()) };
    inside.run(route::add_default(0, gateway.into())).map_err(kernel)
}

/// The subnets that are in use on the host, each with the words for it. Default routes are none, nor is what is on
/// `own`, the interface that is asked for.
pub(crate) fn taken_on_host(
    route: &mut RouteSocket,
    own: &str,
    servers: &[IpAddr],
) -> Result<Vec<(Ipv4Subnet, String)>> {
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
    for entry in route.routes(false).map_err(kernel)? {
        if let Some(IpAddr::V4(destination)) = entry.destination
            && Some(entry.index) != own
        {
            let subnet = Ipv4Subnet::containing(destination, entry.prefix);
            taken.push((subnet, format!("the host's route {subnet} on {}", name(entry.index))));
        }
    }
    for entry in route.addresses().map_err(kernel)? {
        if let IpAddr::V4(address) = entry.address
            && Some(entry.index) != own
        {
            let subnet = Ipv4Subnet::containing(address, entry.prefix);
            taken.push((subnet, format!("the address {address}/{} of {}", entry.prefix, name(entry.index))));
        }
    }
    for server in servers {
        if let IpAddr::V4(address) = server {
            taken.push((Ipv4Subnet::containing(*address, 32), format!("the name server {address}")));
        }
    }
    Ok(taken)
}

/// The address of an interface that the administrator made (`--bridge`).
pub(crate) fn address_of(route: &mut RouteSocket, interface: &str) -> Result<Option<(Ipv4Addr, u8)>> {
    let kernel = |source| Error::Kernel { network: "bridge".into(), source };
    let Some(link) = route.link_by_name(interface).map_err(kernel)? else {
        return Err(Error::Invalid(format!(
            "bridge device {interface} does not exist: it was named by --bridge"
        )));
    };
    let addresses = route.addresses().map_err(kernel)?;
    Ok(addresses.iter().filter(|entry| entry.index == link.index).find_map(|entry| match entry.address {
        IpAddr::V4(address) => Some((address, entry.prefix)),
        IpAddr::V6(_) => None,
    }))
}
