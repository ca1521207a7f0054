//! Networks without a bridge: containers get sub-interfaces (MACVLAN, IPVLAN) of an interface of the host's, and are
//! neighbours of the hosts that it leads to.

use std::os::fd::{AsFd, BorrowedFd};

use hull_netlink::sub_interface::{
    self, IpvlanFlag, IpvlanMode, MacvlanMode, SubInterface, SubInterfaceKind,
};
use hull_netlink::{RouteSocket, link};
use hull_types::short_id;

use crate::endpoint::Interface;
use crate::model::{IPVLAN, Made, NetworkRow, Parent};
use crate::{Error, Result, bridge};

const OPERATION_NOT_SUPPORTED: i32 = 95;

/// The kind that a driver and its options mean, in the words of the options.
pub(crate) fn kind(driver: &str, mode: &str, flag: &str) -> Result<SubInterfaceKind> {
    if driver == IPVLAN {
        let mode = match mode {
            "" | "l2" => IpvlanMode::L2,
            "l3" => IpvlanMode::L3,
            "l3s" => IpvlanMode::L3s,
            other => {
                return Err(Error::Invalid(format!(
                    "requested ipvlan mode '{other}' is not valid, 'l2' mode is the ipvlan driver default"
                )));
            }
        };
        let flag = match flag {
            "" | "bridge" => IpvlanFlag::Bridge,
            "private" => IpvlanFlag::Private,
            "vepa" => IpvlanFlag::Vepa,
            other => {
                return Err(Error::Invalid(format!(
                    "requested ipvlan flag '{other}' is not valid, 'bridge' is the ipvlan driver default"
                )));
            }
        };
        return Ok(SubInterfaceKind::Ipvlan(mode, flag));
    }
    let mode = match mode {
        "" | "bridge" => MacvlanMode::Bridge,
        "private" => MacvlanMode::Private,
        "vepa" => MacvlanMode::Vepa,
        "passthru" => MacvlanMode::Passthru,
        other => {
            return Err(Error::Invalid(format!(
                "requested macvlan mode '{other}' is not valid, 'bridge' mode is the macvlan driver default"
            )));
        }
    };
    Ok(SubInterfaceKind::Macvlan(mode))
}

/// What the option `parent` means: an interface that is there, a VLAN of one (`eth0.10`), or, without it, a link that
/// leads nowhere, for containers that meet only each other.
pub(crate) fn parent(
    route: &mut RouteSocket,
    id: &str,
    network: &str,
    option: &str,
) -> Result<(String, Made)> {
    let kernel = |source| Error::Kernel { network: network.to_owned(), source };
    if option.is_empty() {
        return Ok((format!("dm-{}", short_id(id)), Made::Nowhere));
    }
    if option == "lo" {
        return Err(Error::Invalid("loopback interface is not a valid parent link".into()));
    }
    if route.link_by_name(option).map_err(kernel)?.is_some() {
        return Ok((option.to_owned(), Made::Nothing));
    }
    let missing = || {
        Error::Invalid(format!(
            "-o parent interface was not found on the host: {option} (a VLAN of an interface is named as eth0.10)"
        ))
    };
    let (below, number) = option.rsplit_once('.').ok_or_else(missing)?;
    let number: u16 = number.parse().ok().filter(|number| (1..=4094).contains(number)).ok_or_else(missing)?;
    if option.len() > link::NAME_MAX || route.link_by_name(below).map_err(kernel)?.is_none() {
        return Err(missing());
    }
    Ok((option.to_owned(), Made::Vlan(number)))
}

/// Makes the parent where Hull is to make it and it isn't there.
pub(crate) fn ensure(route: &mut RouteSocket, network: &str, parent: &Parent) -> Result<()> {
    let kernel = |source| Error::Kernel { network: network.to_owned(), source };
    let name = parent.interface.as_str();
    let found = route.link_by_name(name).map_err(kernel)?;
    match (found, parent.made) {
        (Some(link), _) if link.up => Ok(()),
        (Some(link), _) => route.run(link::set_up(link.index, true)).map_err(kernel),
        (None, Made::Nothing) => {
            Err(Error::Conflict(format!("the interface {name}, parent of network {network}, is gone")))
        }
        (None, Made::Vlan(number)) => {
            let below = name.rsplit_once('.').map_or(name, |(below, _)| below);
            let below = route.link_by_name(below).map_err(kernel)?.ok_or_else(|| {
                Error::Conflict(format!("the interface {below}, parent of network {network}, is gone"))
            })?;
            let made = route.run(sub_interface::create_vlan(name, below.index, number));
            supported(made, network, "vlan", "8021q")
        }
        (None, Made::Nowhere) => ensure_nowhere(route, network, name),
    }
}

/// A dummy interface; where the kernel has none, a veth pair of which nobody has the other end.
fn ensure_nowhere(route: &mut RouteSocket, network: &str, name: &str) -> Result<()> {
    let kernel = |source| Error::Kernel { network: network.to_owned(), source };
    match route.run(sub_interface::create_dummy(name)) {
        Err(error) if error.errno() == Some(OPERATION_NOT_SUPPORTED) => {}
        other => return other.map_err(kernel),
    }
    let other = name.replacen("dm-", "dn-", 1);
    route.run(sub_interface::create_pair(name, &other)).map_err(kernel)?;
    let Some(end) = route.link_by_name(&other).map_err(kernel)? else { return Ok(()) };
    route.run(link::set_up(end.index, true)).map_err(kernel)
}

/// Removes what Hull made.
pub(crate) fn remove(route: &mut RouteSocket, network: &str, parent: &Parent) -> Result<()> {
    if parent.made == Made::Nothing { Ok(()) } else { bridge::remove(route, network, &parent.interface) }
}

/// Makes a container's sub-interface in its namespace, with its addresses.
pub(crate) fn plug(
    route: &mut RouteSocket,
    inside: &mut RouteSocket,
    netns: BorrowedFd<'_>,
    row: &NetworkRow,
    parent: &Parent,
    interface: &Interface,
) -> Result<()> {
    let kernel = |source| Error::Kernel { network: row.name.clone(), source };
    let kind = kind(&row.driver, &parent.mode, &parent.flag)?;
    let link = route.link_by_name(&parent.interface).map_err(kernel)?.ok_or_else(|| {
        Error::Conflict(format!(
            "the interface {}, parent of network {}, is gone",
            parent.interface, row.name
        ))
    })?;
    let wanted = SubInterface {
        name: &interface.name,
        parent: link.index,
        kind,
        mac: interface.mac,
        mtu: interface.mtu,
        netns: netns.as_fd(),
    };
    supported(route.run(sub_interface::create(&wanted)), &row.name, kind.name(), kind.name())?;
    bridge::configure(inside, netns, &row.name, interface)
}

/// Whether the kernel can make sub-interfaces of that kind, by making one that is gone at once. Without a parent to
/// try on, the first container tells.
pub(crate) fn probe(route: &mut RouteSocket, row: &NetworkRow, parent: &Parent) -> Result<()> {
    let kernel = |source| Error::Kernel { network: row.name.clone(), source };
    let kind = kind(&row.driver, &parent.mode, &parent.flag)?;
    let Some(link) = route.link_by_name(&parent.interface).map_err(kernel)? else { return Ok(()) };
    if matches!(kind, SubInterfaceKind::Macvlan(_)) {
        return Ok(());
    }
    let failed = |source| Error::Namespace { act: "create", source };
    let (netns, ()) = hull_sys::netns::create(|| Ok(())).map_err(failed)?;
    let wanted =
        SubInterface { name: "probe", parent: link.index, kind, mac: None, mtu: 0, netns: netns.as_fd() };
    match supported(route.run(sub_interface::create(&wanted)), &row.name, kind.name(), kind.name()) {
        Err(error @ Error::Missing { .. }) => Err(error),
        // What else may be in the way is told when a container needs it.
        _ => Ok(()),
    }
}

fn supported(
    made: hull_netlink::Result<()>,
    network: &str,
    kind: &'static str,
    module: &'static str,
) -> Result<()> {
    made.map_err(|source| match source.errno() {
        Some(OPERATION_NOT_SUPPORTED) => Error::Missing { network: network.to_owned(), kind, module },
        _ => Error::Kernel { network: network.to_owned(), source },
    })
}
