//! The nftables table: rules that follow from the networks, maps whose elements follow from the endpoints.
//!
//! ```text
//!  guard        prerouting raw     no container reaches the host's loopback, no packet claims to come from there
//!  prerouting ─┐
//!  output     ─┴▶ publish          (protocol . address . port) or (protocol . port) ─▶ container address . port
//!  forward                         into a bridge: replies, published ports, its own containers; nothing else
//!  postrouting                     containers behind the host's address; hairpin and loopback behind the bridge's
//! ```
//!
//! Publishing a port is one element; a network more or less rewrites the rules. Either is one atomic batch.

use std::net::Ipv4Addr;

use hull_nft::{
    BaseChain, Batch, Chain, ChainKind, Change, Datatype, Element, Family, Hook, Policy, RuleBuilder, Set,
    Value, Verdict, ct_state, ct_status,
};

use crate::model::{Bridge, NetworkRow, Published, Sandbox};

const BRIDGES: &str = "bridges";
const INTERNAL: &str = "internal";
const ICC: &str = "icc";
const BY_ADDRESS: &str = "published-by-address";
const BY_PORT: &str = "published";
const LOOPBACK: (Ipv4Addr, u8) = (Ipv4Addr::new(127, 0, 0, 0), 8);

/// What the rules follow from besides the networks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'a> {
    pub table: &'a str,
    /// Whether to keep the host from routing between interfaces that are not bridges: Hull made it a router, and
    /// it was none before.
    pub no_router: bool,
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
    for set in [bridges(), internal(), icc(), by_address(), by_port()] {
        batch.push(Change::AddSet(set));
    }
    chains(&mut batch);
    rules(&mut batch, frame, networks.clone());
    interface_elements(&mut batch, networks);
    let published = sandboxes.flat_map(|sandbox| elements(sandbox, &sandbox.published));
    let (specific, any): (Vec<_>, Vec<_>) = published.partition(|(is_specific, _)| *is_specific);
    push_elements(&mut batch, Change::AddElements, specific, any);
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
    let (specific, any): (Vec<_>, Vec<_>) =
        elements(sandbox, ports).partition(|(is_specific, _)| *is_specific);
    push_elements(&mut batch, change, specific, any);
    batch
}

fn push_elements(
    batch: &mut Batch,
    change: fn(Set, Vec<Element>) -> Change,
    specific: Vec<(bool, Element)>,
    any: Vec<(bool, Element)>,
) {
    for (set, list) in [(by_address(), specific), (by_port(), any)] {
        if !list.is_empty() {
            batch.push(change(set, list.into_iter().map(|(_, element)| element).collect()));
        }
    }
}

/// An element for each port, and whether it is for one host address only.
fn elements<'a>(sandbox: &'a Sandbox, ports: &'a [Published]) -> impl Iterator<Item = (bool, Element)> + 'a {
    let target = sandbox.gateway_interface().map(|interface| interface.address);
    ports.iter().filter_map(move |port| {
        let value = Value::new().ipv4(target?).port(port.container_port);
        let key = Value::new().protocol(port.protocol.number());
        Some(if port.host_address.is_unspecified() {
            (false, Element::with_value(&by_port(), key.port(port.host_port), value))
        } else {
            (
                true,
                Element::with_value(&by_address(), key.ipv4(port.host_address).port(port.host_port), value),
            )
        })
    })
}

fn bridges() -> Set {
    Set::new(BRIDGES, &[Datatype::InterfaceName])
}

fn internal() -> Set {
    Set::new(INTERNAL, &[Datatype::InterfaceName])
}

fn icc() -> Set {
    Set::new(ICC, &[Datatype::InterfaceName, Datatype::InterfaceName])
}

fn by_address() -> Set {
    let key = [Datatype::Protocol, Datatype::Ipv4Address, Datatype::Port];
    Set::map(BY_ADDRESS, &key, &[Datatype::Ipv4Address, Datatype::Port])
}

fn by_port() -> Set {
    Set::map(BY_PORT, &[Datatype::Protocol, Datatype::Port], &[Datatype::Ipv4Address, Datatype::Port])
}

fn chains(batch: &mut Batch) {
    use {ChainKind::*, Hook::*};
    let bases = [
        ("guard", Filter, Prerouting, -300),
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
    // Bridges have route_localnet, for ports published on 127.0.0.1; so the kernel does not do this by itself.
    let guard = || rule("guard").in_interface_in(BRIDGES).ipv4();
    batch.push(
        guard().ipv4_destination(LOOPBACK.0, LOOPBACK.1).comment("the host's loopback is its own").drop(),
    );
    batch.push(guard().ipv4_source(LOOPBACK.0, LOOPBACK.1).drop());

    // What comes from outside to 127.0.0.1 must reach the routing decision, which drops it, as 127.0.0.1.
    let outside = rule("prerouting").ipv4().ipv4_destination(LOOPBACK.0, LOOPBACK.1);
    batch.push(outside.comment("ports published on 127.0.0.1 are the host's alone").verdict(Verdict::Return));
    let jump = |chain| rule(chain).ipv4().destination_is_local().verdict(Verdict::Jump("publish".into()));
    batch.push(jump("prerouting")).push(jump("output"));
    batch.push(rule("publish").ipv4().dnat_ipv4_by_address(BY_ADDRESS));
    batch.push(rule("publish").ipv4().dnat_ipv4_by_port(BY_PORT));

    batch.push(rule("forward").out_interface_in(BRIDGES).verdict(Verdict::Jump("into-bridge".into())));
    batch.push(rule("forward").in_interface_in(INTERNAL).comment("internal networks have no outside").drop());
    if frame.no_router {
        let between = rule("forward").ipv4().in_interface_kind_not("bridge").out_interface_kind_not("bridge");
        batch.push(between.comment("the host was no router before Hull enabled forwarding").drop());
    }
    batch.push(rule("into-bridge").state(ct_state::ESTABLISHED | ct_state::RELATED).accept());
    batch.push(rule("into-bridge").status(ct_status::DNAT).comment("published").accept());
    batch.push(rule("into-bridge").interfaces_in(ICC).accept());
    batch.push(rule("into-bridge").drop());

    let loopback = rule("postrouting").ipv4().ipv4_source(LOOPBACK.0, LOOPBACK.1).out_interface_in(BRIDGES);
    batch.push(loopback.comment("127.0.0.1 means another host in a container").masquerade());
    for (row, bridge) in networks.filter_map(|row| Some((row, row.bridge.as_ref()?))) {
        masquerade(batch, row, bridge);
    }
}

fn masquerade(batch: &mut Batch, row: &NetworkRow, bridge: &Bridge) {
    let from = || {
        RuleBuilder::new("postrouting").ipv4().ipv4_source(bridge.subnet.network(), bridge.subnet.prefix())
    };
    if bridge.masquerade && !row.internal {
        batch.push(from().out_interface_not(&bridge.interface).comment(&row.name).masquerade());
    }
    // A container that reaches a neighbour by a published port has to get the reply by the way it came.
    let hairpin = from().out_interface(&bridge.interface).status(ct_status::DNAT);
    batch.push(hairpin.comment(&row.name).masquerade());
}

fn interface_elements<'a>(batch: &mut Batch, networks: impl Iterator<Item = &'a NetworkRow>) {
    let mut lists: [Vec<Element>; 3] = Default::default();
    for (row, bridge) in networks.filter_map(|row| Some((row, row.bridge.as_ref()?))) {
        let name = bridge.interface.as_str();
        lists[0].push(Element::new(&bridges(), Value::new().interface(name)));
        if row.internal {
            lists[1].push(Element::new(&internal(), Value::new().interface(name)));
        }
        if bridge.icc {
            lists[2].push(Element::new(&icc(), Value::new().interface(name).interface(name)));
        }
    }
    for (set, list) in [bridges(), internal(), icc()].into_iter().zip(lists) {
        if !list.is_empty() {
            batch.push(Change::AddElements(set, list));
        }
    }
}
