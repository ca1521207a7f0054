//! The nftables table: rules that follow from the networks, maps whose elements follow from the endpoints.
//!
//! ```text
//!  guard        prerouting raw     no container reaches the host's loopback, no packet claims to come from there
//!  into-lo      prerouting         by `lo` (see `loopback`) containers reply, and begin nothing
//!  prerouting ─┐
//!  output     ─┴▶ publish          (protocol . address . port) or (protocol . port) ─▶ container address . port
//!  forward                         into a bridge: replies, published ports, its own containers; nothing else
//!  postrouting                     containers behind the host's address; hairpin and loopback behind the bridge's
//! ```
//!
//! Everything but these two is there twice, for IPv4 and for IPv6, whose loopback the kernel guards by itself. The rules
//! are the same however many networks and ports there are: a network more or less is some elements of sets, a published
//! port is one of a map. Either is one atomic batch.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hull_nft::{
    BaseChain, Batch, Chain, ChainKind, Change, Datatype, Element, Family, Hook, Policy, RuleBuilder, Set,
    Value, Verdict, ct_state, ct_status,
};

use crate::endpoint::{Published, Sandbox};
use crate::model::{GatewayMode, NetworkRow};
use crate::obedience::Obedience;

const BRIDGES: &str = "bridges";
pub(crate) const INTERNAL: &str = "internal";
const ICC: &str = "icc";
const OPEN: &str = "open";
const ROUTED: &str = "routed";
const ROUTED_BRIDGES: &str = "routed-bridges";
const OWN: &str = "own";
const HIDDEN: &str = "hidden";
const LOOPED: &str = "looped";
const PUBLISHED: &str = "published";
const PUBLISHED_BY_ADDRESS: &str = "published-by-address";
/// The same of ports that obey the host's own rules.
pub(crate) const OBEYING: &str = "obeying";
pub(crate) const OBEYING_BY_ADDRESS: &str = "obeying-by-address";
const LOOPBACK: (IpAddr, u8) = (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8);
const IPV6_LOOPBACK: (IpAddr, u8) = (IpAddr::V6(Ipv6Addr::LOCALHOST), 128);
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
pub(crate) const FAMILIES: [bool; 2] = [false, true];

/// What the rules follow from besides the networks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'a> {
    pub table: &'a str,
    /// Whether to keep the host from routing IPv4, and IPv6, between interfaces that are not bridges: Hull made it a
    /// router, and it was none before.
    pub no_router: [bool; 2],
    /// Whether replies find their way back to `::1`; without it nothing is published there.
    pub ipv6_loopback: bool,
    /// Where the host's own rules decide first on what comes to some published ports: the way back in.
    pub obedience: Option<&'a Obedience>,
}

/// A batch that makes the whole table, in place of the one that is there.
pub(crate) fn whole<'a>(
    frame: Frame<'_>,
    networks: impl Iterator<Item = &'a NetworkRow>,
    sandboxes: impl Iterator<Item = &'a Sandbox>,
) -> Batch {
    let mut batch = Batch::new(Family::Inet, frame.table);
    // Adding it first makes the deletion succeed where there was none.
    batch.push(Change::AddTable).push(Change::DeleteTable).push(Change::AddTable);
    let (mut of_networks, mut of_ports) = (Lists::new(network_sets()), Lists::new(port_sets()));
    networks.for_each(|row| network_elements(&mut of_networks, row));
    sandboxes.for_each(|sandbox| port_elements(&mut of_ports, sandbox, &sandbox.published));
    for (set, _) in of_networks.0.iter().chain(&of_ports.0) {
        batch.push(Change::AddSet(set.clone()));
    }
    chains(&mut batch);
    rules(&mut batch, frame);
    of_networks.push(&mut batch, Change::AddElements);
    of_ports.push(&mut batch, Change::AddElements);
    batch
}

/// A batch that adds a network.
pub(crate) fn add_network(table: &str, row: &NetworkRow) -> Batch {
    change_network(table, Change::AddElements, row)
}

/// A batch that removes it.
pub(crate) fn remove_network(table: &str, row: &NetworkRow) -> Batch {
    change_network(table, Change::DeleteElements, row)
}

/// A batch that publishes ports of a container.
pub(crate) fn publish(table: &str, sandbox: &Sandbox, ports: &[Published]) -> Batch {
    change_ports(table, Change::AddElements, sandbox, ports)
}

/// A batch that withdraws them.
pub(crate) fn withdraw(table: &str, sandbox: &Sandbox, ports: &[Published]) -> Batch {
    change_ports(table, Change::DeleteElements, sandbox, ports)
}

/// A batch that removes the table.
pub(crate) fn remove(table: &str) -> Batch {
    let mut batch = Batch::new(Family::Inet, table);
    batch.push(Change::AddTable).push(Change::DeleteTable);
    batch
}

type ElementChange = fn(Set, Vec<Element>) -> Change;

fn change_network(table: &str, change: ElementChange, row: &NetworkRow) -> Batch {
    let mut batch = Batch::new(Family::Inet, table);
    let mut lists = Lists::new(network_sets());
    network_elements(&mut lists, row);
    lists.push(&mut batch, change);
    batch
}

fn change_ports(table: &str, change: ElementChange, sandbox: &Sandbox, ports: &[Published]) -> Batch {
    let mut batch = Batch::new(Family::Inet, table);
    let mut lists = Lists::new(port_sets());
    port_elements(&mut lists, sandbox, ports);
    lists.push(&mut batch, change);
    batch
}

/// Sets, each with the elements gathered for it.
struct Lists(Vec<(Set, Vec<Element>)>);

impl Lists {
    fn new(sets: Vec<Set>) -> Self {
        Self(sets.into_iter().map(|set| (set, Vec::new())).collect())
    }

    /// Adds an element to the set of that name in one family.
    fn add(&mut self, name: &str, ipv6: bool, element: impl FnOnce(&Set) -> Element) {
        self.extend(&of(name, ipv6), |set| vec![element(set)]);
    }

    fn extend(&mut self, name: &str, elements: impl FnOnce(&Set) -> Vec<Element>) {
        if let Some((set, list)) = self.0.iter_mut().find(|(set, _)| set.name == name) {
            list.extend(elements(set));
        }
    }

    fn push(self, batch: &mut Batch, change: ElementChange) {
        for (set, list) in self.0.into_iter().filter(|(_, list)| !list.is_empty()) {
            batch.push(change(set, list));
        }
    }
}

/// An element for each port.
fn port_elements(lists: &mut Lists, sandbox: &Sandbox, ports: &[Published]) {
    let target = FAMILIES.map(|ipv6| {
        let interface = sandbox.gateway_interface(ipv6)?;
        Some((interface.address(ipv6)?.address, interface.mode(ipv6)))
    });
    for port in ports {
        let ipv6 = port.host_address.is_ipv6();
        let Some((container, mode)) = target[usize::from(ipv6)] else { continue };
        let key = Value::new().protocol(port.protocol.number());
        let value = Value::new().address(container).port(port.container_port);
        if mode == GatewayMode::Routed {
            let key = key.address(container).port(port.container_port);
            lists.add(ROUTED, ipv6, |set| Element::new(set, key));
        } else if port.host_address.is_unspecified() {
            let map = if port.obeys { OBEYING } else { PUBLISHED };
            lists.add(map, ipv6, |set| Element::with_value(set, key.port(port.host_port), value));
        } else {
            let map = if port.obeys { OBEYING_BY_ADDRESS } else { PUBLISHED_BY_ADDRESS };
            let key = key.address(port.host_address).port(port.host_port);
            lists.add(map, ipv6, |set| Element::with_value(set, key, value));
        }
    }
    lists.extend(LOOPED, |set| looped_services(set, sandbox, ports));
}

/// An element `inet_proto . ipv6_addr . inet_service` for each port of the container's that is published on `::1`.
pub(crate) fn looped_services(set: &Set, sandbox: &Sandbox, ports: &[Published]) -> Vec<Element> {
    let interface = sandbox.gateway_interface(true);
    let Some((interface, own)) = interface.and_then(|own| Some((own, own.address(true)?))) else {
        return Vec::new();
    };
    if interface.host_name.is_empty() || interface.mode(true) == GatewayMode::Routed {
        return Vec::new();
    }
    let looped = ports.iter().filter(|port| match port.host_address {
        IpAddr::V6(host) => host.is_unspecified() || host.is_loopback(),
        IpAddr::V4(_) => false,
    });
    // Several of the host's ports may lead to one of the container's.
    let services: BTreeSet<_> = looped.map(|port| (port.protocol.number(), port.container_port)).collect();
    let element = |(protocol, port)| {
        let key = Value::new().protocol(protocol).address(own.address).port(port);
        Element::new(set, key)
    };
    services.into_iter().map(element).collect()
}

/// A set's name in one family.
pub(crate) fn of(name: &str, ipv6: bool) -> String {
    if ipv6 { format!("{name}-ipv6") } else { name.to_owned() }
}

fn address_type(ipv6: bool) -> Datatype {
    if ipv6 { Datatype::Ipv6Address } else { Datatype::Ipv4Address }
}

/// Of each family: published at one address and at every address, the same of ports that obey the host's rules, open
/// at the container's own address. Then those that reply by `lo`.
fn port_sets() -> Vec<Set> {
    use Datatype::{Port, Protocol};
    let sets = |ipv6| {
        let address = address_type(ipv6);
        let service = [Protocol, address, Port];
        let map = |name, key: &[Datatype]| Set::map(&of(name, ipv6), key, &[address, Port]);
        [
            map(PUBLISHED_BY_ADDRESS, &service),
            map(PUBLISHED, &[Protocol, Port]),
            map(OBEYING_BY_ADDRESS, &service),
            map(OBEYING, &[Protocol, Port]),
            Set::new(&of(ROUTED, ipv6), &service),
        ]
    };
    let looped = Set::new(LOOPED, &[Protocol, Datatype::Ipv6Address, Port]);
    FAMILIES.into_iter().flat_map(sets).chain([looped]).collect()
}

/// The bridges, those of internal networks, those whose containers may talk to each other; of each family, those
/// that are open to all, those that are routed, subnets with their bridges, and subnets behind the host's address.
fn network_sets() -> Vec<Set> {
    let name = Datatype::InterfaceName;
    let mut sets =
        vec![Set::new(BRIDGES, &[name]), Set::new(INTERNAL, &[name]), Set::new(ICC, &[name, name])];
    for ipv6 in FAMILIES {
        let address = address_type(ipv6);
        sets.push(Set::new(&of(OPEN, ipv6), &[name]));
        sets.push(Set::new(&of(ROUTED_BRIDGES, ipv6), &[name]));
        sets.push(Set::of_intervals(&of(OWN, ipv6), &[address, name]));
        sets.push(Set::of_intervals(&of(HIDDEN, ipv6), &[address]));
    }
    sets
}

fn network_elements(lists: &mut Lists, row: &NetworkRow) {
    let Some(bridge) = row.bridge() else { return };
    let name = || Value::new().interface(&bridge.interface);
    lists.add(BRIDGES, false, |set| Element::new(set, name()));
    if row.internal {
        lists.add(INTERNAL, false, |set| Element::new(set, name()));
    }
    if bridge.icc {
        lists.add(ICC, false, |set| Element::new(set, name().interface(&bridge.interface)));
    }
    for ipv6 in FAMILIES {
        match bridge.mode(ipv6) {
            GatewayMode::NatUnprotected => lists.add(OPEN, ipv6, |set| Element::new(set, name())),
            GatewayMode::Routed => lists.add(ROUTED_BRIDGES, ipv6, |set| Element::new(set, name())),
            GatewayMode::Nat | GatewayMode::Isolated => {}
        }
        if matches!(bridge.mode(ipv6), GatewayMode::Routed | GatewayMode::Isolated) {
            continue;
        }
        for pool in row.pools_of(ipv6) {
            let ends = [pool.subnet.network(), pool.subnet.last()].map(|end| Value::new().address(end));
            let [first, last] = ends.clone().map(|end| end.interface(&bridge.interface));
            lists.add(OWN, ipv6, |set| Element::range(set, first, last));
            if bridge.masquerade && !row.internal {
                let [first, last] = ends;
                lists.add(HIDDEN, ipv6, |set| Element::range(set, first, last));
            }
        }
    }
}

fn chains(batch: &mut Batch) {
    use {ChainKind::*, Hook::*};
    let bases = [
        ("guard", Filter, Prerouting, -300),
        ("into-lo", Filter, Prerouting, -150),
        ("prerouting", Nat, Prerouting, -100),
        ("output", Nat, Output, -100),
        ("forward", Filter, Forward, 0),
        ("postrouting", Nat, Postrouting, 100),
    ];
    for (name, kind, hook, priority) in bases {
        let base = BaseChain { kind, hook, priority, policy: Policy::Accept };
        batch.push(Change::AddChain(Chain { name: name.into(), base: Some(base) }));
    }
    for name in ["publish", "publish-obeying", "into-bridge"] {
        batch.push(Change::AddChain(Chain { name: name.into(), base: None }));
    }
}

fn rules(batch: &mut Batch, frame: Frame<'_>) {
    let rule = RuleBuilder::new;
    let (loopback, prefix) = LOOPBACK;
    // Bridges have route_localnet, for ports published on 127.0.0.1; so the kernel does not do this by itself.
    let guard = || rule("guard").in_interface_in(BRIDGES).ipv4();
    batch.push(guard().destination(loopback, prefix).comment("the host's loopback is its own").drop());
    batch.push(guard().source(loopback, prefix).drop());

    let looped = || rule("into-lo").in_interface("lo").ipv6().sent_by_service_in(LOOPED);
    batch.push(looped().reply().comment("published on ::1").accept());
    batch.push(looped().comment("no way in for containers").drop());
    if !frame.ipv6_loopback {
        let (address, prefix) = IPV6_LOOPBACK;
        batch.push(rule("output").ipv6().destination(address, prefix).verdict(Verdict::Return));
    }

    // What comes from outside to 127.0.0.1 must reach the routing decision, which drops it, as 127.0.0.1.
    let outside = rule("prerouting").ipv4().destination(loopback, prefix);
    batch.push(outside.comment("ports published on 127.0.0.1 are the host's alone").verdict(Verdict::Return));
    let jump =
        |rule: RuleBuilder, chain: &str| rule.destination_is_local().verdict(Verdict::Jump(chain.into()));
    for chain in ["prerouting", "output"] {
        batch.push(jump(rule(chain), "publish"));
    }
    batch.push(jump(rule("output"), "publish-obeying"));
    if let Some(obedience) = frame.obedience {
        batch.push(jump(rule("prerouting").in_interface(&obedience.comes_in), "publish-obeying"));
        obedience.mark_what_is_published(batch);
    }
    for (chain, by_address, by_port) in
        [("publish", PUBLISHED_BY_ADDRESS, PUBLISHED), ("publish-obeying", OBEYING_BY_ADDRESS, OBEYING)]
    {
        for ipv6 in FAMILIES {
            batch.push(rule(chain).family(ipv6).dnat_by_address(&of(by_address, ipv6), ipv6));
            batch.push(rule(chain).family(ipv6).dnat_by_port(&of(by_port, ipv6), ipv6));
        }
    }
    forward(batch, frame);
    for (ipv6, (address, prefix)) in FAMILIES.into_iter().zip([LOOPBACK, IPV6_LOOPBACK]) {
        let out = || rule("postrouting").family(ipv6);
        let loopback = out().source(address, prefix).out_interface_in(BRIDGES);
        batch.push(loopback.comment("a loopback address means another host in a container").masquerade());
        let own = || out().source_and_out_interface_in(&of(OWN, ipv6), ipv6);
        let hairpin = own().status(ct_status::DNAT);
        batch.push(
            hairpin.comment("by a published port to a neighbour: the reply comes back by it").masquerade(),
        );
        batch.push(own().verdict(Verdict::Return));
        batch.push(out().source_in(&of(HIDDEN, ipv6), ipv6).masquerade());
    }
}

fn forward(batch: &mut Batch, frame: Frame<'_>) {
    let rule = RuleBuilder::new;
    batch.push(rule("forward").interfaces_in(ICC).comment("containers of one network").accept());
    batch.push(rule("forward").in_interface_in(INTERNAL).comment("internal networks have no outside").drop());
    batch.push(rule("forward").out_interface_in(BRIDGES).verdict(Verdict::Jump("into-bridge".into())));
    for ipv6 in FAMILIES.into_iter().filter(|ipv6| frame.no_router[usize::from(*ipv6)]) {
        let between = rule("forward").family(ipv6);
        let between = between.in_interface_kind_not("bridge").out_interface_kind_not("bridge");
        batch.push(between.comment("the host was no router before Hull enabled forwarding").drop());
    }
    let into = || rule("into-bridge");
    batch.push(into().state(ct_state::ESTABLISHED | ct_state::RELATED).accept());
    batch.push(into().status(ct_status::DNAT).comment("published").accept());
    for ipv6 in FAMILIES {
        batch.push(into().family(ipv6).out_interface_in(&of("open", ipv6)).accept());
        batch.push(into().family(ipv6).service_in(&of("routed", ipv6), ipv6).comment("published").accept());
        let ping = into().family(ipv6).l4_protocol(if ipv6 { ICMPV6 } else { ICMP });
        batch.push(ping.out_interface_in(&of("routed-bridges", ipv6)).accept());
    }
    batch.push(into().drop());
}
