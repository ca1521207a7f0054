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
//! Everything but these two is there twice, for IPv4 and for IPv6, whose loopback the kernel guards by itself.
//! Publishing a port is one element; a network more or less rewrites the rules. Either is one atomic batch.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hull_nft::{
    BaseChain, Batch, Chain, ChainKind, Change, Datatype, Element, Family, Hook, Policy, RuleBuilder, Set,
    Value, Verdict, ct_state, ct_status,
};

use crate::endpoint::{Published, Sandbox};
use crate::model::{Bridge, GatewayMode, NetworkRow, Pool};
use crate::obedience::Obedience;

const BRIDGES: &str = "bridges";
pub(crate) const INTERNAL: &str = "internal";
const ICC: &str = "icc";
pub(crate) const PUBLISHED: &str = "published";
pub(crate) const PUBLISHED_BY_ADDRESS: &str = "published-by-address";
const LOOPED: &str = "looped";
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
    /// Where the host's own rules decide first on what comes to published ports: the way back in.
    pub obedience: Option<&'a Obedience>,
}

/// A batch that makes the whole table, in place of the one that is there.
pub(crate) fn whole<'a>(
    frame: Frame<'_>,
    networks: impl Iterator<Item = &'a NetworkRow> + Clone,
    sandboxes: impl Iterator<Item = &'a Sandbox>,
) -> Batch {
    let mut batch = Batch::new(Family::Inet, frame.table);
    // Adding it first makes the deletion succeed where there was none.
    batch.push(Change::AddTable).push(Change::DeleteTable).push(Change::AddTable);
    let of_interfaces = interface_sets();
    for set in of_interfaces.iter().chain(&port_sets()) {
        batch.push(Change::AddSet(set.clone()));
    }
    chains(&mut batch);
    rules(&mut batch, frame, networks.clone());
    push_elements(&mut batch, Change::AddElements, of_interfaces, interface_elements(networks));
    let mut lists: [Vec<Element>; 7] = Default::default();
    sandboxes.for_each(|sandbox| port_elements(&mut lists, sandbox, &sandbox.published));
    push_elements(&mut batch, Change::AddElements, port_sets(), lists);
    batch
}

/// A batch that publishes ports of a container.
pub(crate) fn publish(table: &str, sandbox: &Sandbox, ports: &[Published]) -> Batch {
    change_elements(table, Change::AddElements, sandbox, ports)
}

/// A batch that withdraws them.
pub(crate) fn withdraw(table: &str, sandbox: &Sandbox, ports: &[Published]) -> Batch {
    change_elements(table, Change::DeleteElements, sandbox, ports)
}

/// A batch that removes the table.
pub(crate) fn remove(table: &str) -> Batch {
    let mut batch = Batch::new(Family::Inet, table);
    batch.push(Change::AddTable).push(Change::DeleteTable);
    batch
}

fn change_elements(
    table: &str,
    change: fn(Set, Vec<Element>) -> Change,
    sandbox: &Sandbox,
    ports: &[Published],
) -> Batch {
    let mut batch = Batch::new(Family::Inet, table);
    let mut lists: [Vec<Element>; 7] = Default::default();
    port_elements(&mut lists, sandbox, ports);
    push_elements(&mut batch, change, port_sets(), lists);
    batch
}

fn push_elements<const N: usize>(
    batch: &mut Batch,
    change: fn(Set, Vec<Element>) -> Change,
    sets: [Set; N],
    lists: [Vec<Element>; N],
) {
    for (set, list) in sets.into_iter().zip(lists) {
        if !list.is_empty() {
            batch.push(change(set, list));
        }
    }
}

/// An element for each port, added to the list of its set in [`port_sets`].
fn port_elements(lists: &mut [Vec<Element>; 7], sandbox: &Sandbox, ports: &[Published]) {
    let sets = port_sets();
    let target = FAMILIES.map(|ipv6| {
        let interface = sandbox.gateway_interface(ipv6)?;
        Some((interface.address(ipv6)?.address, interface.mode(ipv6)))
    });
    for port in ports {
        let ipv6 = port.host_address.is_ipv6();
        let Some((container, mode)) = target[usize::from(ipv6)] else { continue };
        let first = if ipv6 { 3 } else { 0 };
        let key = Value::new().protocol(port.protocol.number());
        let value = address_value(Value::new(), container).port(port.container_port);
        let (set, element) = if mode == GatewayMode::Routed {
            let key = address_value(key, container).port(port.container_port);
            (first + 2, Element::new(&sets[first + 2], key))
        } else if port.host_address.is_unspecified() {
            (first + 1, Element::with_value(&sets[first + 1], key.port(port.host_port), value))
        } else {
            let key = address_value(key, port.host_address).port(port.host_port);
            (first, Element::with_value(&sets[first], key, value))
        };
        lists[set].push(element);
    }
    lists[6].extend(looped_services(&sets[6], sandbox, ports));
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
        let key = address_value(Value::new().protocol(protocol), own.address).port(port);
        Element::new(set, key)
    };
    services.into_iter().map(element).collect()
}

fn address_value(value: Value, address: IpAddr) -> Value {
    match address {
        IpAddr::V4(address) => value.ipv4(address),
        IpAddr::V6(address) => value.ipv6(address),
    }
}

/// A set's name in one family.
pub(crate) fn of(name: &str, ipv6: bool) -> String {
    if ipv6 { format!("{name}-ipv6") } else { name.to_owned() }
}

/// Of each family: published at one address, published at every address, open at the container's own address. Then
/// those that reply by `lo`.
fn port_sets() -> [Set; 7] {
    use Datatype::{Port, Protocol};
    let sets = |ipv6| {
        let address = if ipv6 { Datatype::Ipv6Address } else { Datatype::Ipv4Address };
        let service = [Protocol, address, Port];
        [
            Set::map(&of(PUBLISHED_BY_ADDRESS, ipv6), &service, &[address, Port]),
            Set::map(&of(PUBLISHED, ipv6), &[Protocol, Port], &[address, Port]),
            Set::new(&of("routed", ipv6), &service),
        ]
    };
    let ([a, b, c], [d, e, f]) = (sets(false), sets(true));
    [a, b, c, d, e, f, Set::new(LOOPED, &[Protocol, Datatype::Ipv6Address, Port])]
}

/// The bridges, those of internal networks, those whose containers may talk to each other; of each family, those
/// that are open to all, and those that are routed.
fn interface_sets() -> [Set; 7] {
    let name = Datatype::InterfaceName;
    let set = |text: &str, ipv6| Set::new(&of(text, ipv6), &[name]);
    [
        set(BRIDGES, false),
        set(INTERNAL, false),
        Set::new(ICC, &[name, name]),
        set("open", false),
        set("open", true),
        set("routed-bridges", false),
        set("routed-bridges", true),
    ]
}

fn interface_elements<'a>(networks: impl Iterator<Item = &'a NetworkRow>) -> [Vec<Element>; 7] {
    let sets = interface_sets();
    let mut lists: [Vec<Element>; 7] = Default::default();
    for (row, bridge) in networks.filter_map(|row| Some((row, row.bridge()?))) {
        let name = || Value::new().interface(&bridge.interface);
        let mut add = |list: usize| lists[list].push(Element::new(&sets[list], name()));
        add(0);
        if row.internal {
            add(1);
        }
        for ipv6 in FAMILIES {
            match bridge.mode(ipv6) {
                GatewayMode::NatUnprotected => add(3 + usize::from(ipv6)),
                GatewayMode::Routed => add(5 + usize::from(ipv6)),
                GatewayMode::Nat | GatewayMode::Isolated => {}
            }
        }
        if bridge.icc {
            lists[2].push(Element::new(&sets[2], name().interface(&bridge.interface)));
        }
    }
    lists
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
    for name in ["publish", "into-bridge"] {
        batch.push(Change::AddChain(Chain { name: name.into(), base: None }));
    }
}

fn rules<'a>(batch: &mut Batch, frame: Frame<'_>, networks: impl Iterator<Item = &'a NetworkRow>) {
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
    let jump = |rule: RuleBuilder| rule.destination_is_local().verdict(Verdict::Jump("publish".into()));
    let arriving = match frame.obedience {
        Some(obedience) => rule("prerouting").in_interface(&obedience.comes_in),
        None => rule("prerouting"),
    };
    batch.push(jump(arriving)).push(jump(rule("output")));
    if let Some(obedience) = frame.obedience {
        obedience.mark_what_is_published(batch);
    }
    for ipv6 in FAMILIES {
        let publish = || rule("publish").family(ipv6);
        batch.push(publish().dnat_by_address(&of(PUBLISHED_BY_ADDRESS, ipv6), ipv6));
        batch.push(publish().dnat_by_port(&of(PUBLISHED, ipv6), ipv6));
    }
    forward(batch, frame);
    for (ipv6, (address, prefix)) in FAMILIES.into_iter().zip([LOOPBACK, IPV6_LOOPBACK]) {
        let loopback = rule("postrouting").family(ipv6).source(address, prefix).out_interface_in(BRIDGES);
        batch.push(loopback.comment("a loopback address means another host in a container").masquerade());
    }
    for (row, bridge) in networks.filter_map(|row| Some((row, row.bridge()?))) {
        row.pools.iter().for_each(|pool| masquerade(batch, row, bridge, pool));
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

fn masquerade(batch: &mut Batch, row: &NetworkRow, bridge: &Bridge, pool: &Pool) {
    let ipv6 = !pool.subnet.is_ipv4();
    if matches!(bridge.mode(ipv6), GatewayMode::Routed | GatewayMode::Isolated) {
        return;
    }
    let from = || {
        let rule = RuleBuilder::new("postrouting").family(ipv6);
        rule.source(pool.subnet.network(), pool.subnet.prefix())
    };
    if bridge.masquerade && !row.internal {
        batch.push(from().out_interface_not(&bridge.interface).comment(&row.name).masquerade());
    }
    // A container that reaches a neighbour by a published port has to get the reply by the way it came.
    let hairpin = from().out_interface(&bridge.interface).status(ct_status::DNAT);
    batch.push(hairpin.comment(&row.name).masquerade());
}
