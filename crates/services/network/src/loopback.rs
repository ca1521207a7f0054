//! Ports published on the host's `::1`: a table of the family `netdev`, beside the firewall's.
//!
//! A client's packet leaves with the bridge's address in place of `::1`, and the container replies to the bridge. The
//! connection tracking turns that reply into one for `::1` when the packet filter sees it first: with br_netfilter that
//! is while it is bridged. From then on the kernel drops it, as everything that is for `::1` and did not come by `lo`.
//! So what a published port sends to its bridge is taken from the container's interface and comes in by `lo`:
//!
//! ```text
//!  curl ─ ::1 ▶ :8080 ─▶ output: publish, masquerade ─▶ bridge ─▶ veth ─▶ container
//!  curl ◀─ ::1 ── conntrack ◀── lo ◀── divert ◀───────── ingress of the veth ◀─┘
//! ```
//!
//! `lo` is trusted by hosts' own rules, so nothing may begin there from a container: the firewall's chain `into-lo`
//! drops all but replies. IPv4 needs none of this: bridges have route_localnet.

use std::net::IpAddr;

use hull_nft::{Batch, Change, Datatype, Element, Family, RuleBuilder, Set, Value, Verdict};

use crate::endpoint::Sandbox;
use crate::firewall::looped_services;
use crate::model::NetworkRow;

const PORTS: &str = "ports";
const GATEWAYS: &str = "gateways";
const DIVERT: &str = "divert";

/// The table's name: another than the firewall's, for chains go with their interfaces, which is no reason to restore.
fn name(table: &str) -> String {
    format!("{table}-loopback")
}

fn batch(table: &str) -> Batch {
    Batch::new(Family::Netdev, &name(table))
}

fn ports() -> Set {
    Set::new(PORTS, &[Datatype::Protocol, Datatype::Ipv6Address, Datatype::Port])
}

fn gateways() -> Set {
    Set::new(GATEWAYS, &[Datatype::Ipv6Address])
}

/// A batch that makes the table, without any container, in place of the one that is there. `lo` is the number of the
/// loopback interface.
pub(crate) fn whole<'a>(table: &str, lo: u32, networks: impl Iterator<Item = &'a NetworkRow>) -> Batch {
    let mut batch = batch(table);
    batch.push(Change::AddTable).push(Change::DeleteTable).push(Change::AddTable);
    batch.push(Change::AddSet(ports())).push(Change::AddSet(gateways()));
    batch.push(Change::AddChain(hull_nft::Chain { name: DIVERT.into(), base: None }));
    let replies = RuleBuilder::new(DIVERT).ethernet_ipv6().ipv6_destination_in(GATEWAYS);
    let replies = replies.sent_by_service_in(PORTS).comment("published on ::1 of the host");
    batch.push(replies.receive_by_loopback(lo));
    let own: Vec<Element> = networks.flat_map(gateways_of).collect();
    if !own.is_empty() {
        batch.push(Change::AddElements(gateways(), own));
    }
    batch
}

/// The addresses of a network's bridge.
fn gateways_of(row: &NetworkRow) -> Vec<Element> {
    let pools = row.bridge().into_iter().flat_map(|_| &row.pools);
    let own = pools.filter_map(|pool| match pool.gateway {
        Some(IpAddr::V6(gateway)) => Some(Element::new(&gateways(), Value::new().ipv6(gateway))),
        _ => None,
    });
    own.collect()
}

/// A batch that adds a network, by one change, or removes it, by the other.
pub(crate) fn change_network(
    table: &str,
    change: fn(Set, Vec<Element>) -> Change,
    row: &NetworkRow,
) -> Option<Batch> {
    let own = gateways_of(row);
    let mut batch = batch(table);
    batch.push(change(gateways(), own.clone()));
    (!own.is_empty()).then_some(batch)
}

/// A batch that diverts the replies of a container's ports; `None` where none is published on `::1`.
pub(crate) fn publish(table: &str, sandbox: &Sandbox) -> Option<Batch> {
    let interface = &sandbox.gateway_interface(true)?.host_name;
    let elements = looped_services(&ports(), sandbox, &sandbox.published);
    if elements.is_empty() {
        return None;
    }
    let mut batch = batch(table);
    let chain = || interface.clone();
    batch.push(Change::AddIngressChain { name: chain(), interface: chain() });
    batch.push(Change::FlushChain(chain()));
    batch.push(RuleBuilder::new(interface).ethernet_ipv6().verdict(Verdict::Jump(DIVERT.into())));
    batch.push(Change::AddElements(ports(), elements));
    Some(batch)
}

/// Batches that end it. The second may fail: before Linux 6.16 the chain goes with the interface.
pub(crate) fn withdraw(table: &str, sandbox: &Sandbox) -> Option<[Batch; 2]> {
    let interface = &sandbox.gateway_interface(true)?.host_name;
    let elements = looped_services(&ports(), sandbox, &sandbox.published);
    if elements.is_empty() {
        return None;
    }
    let mut services = batch(table);
    services.push(Change::DeleteElements(ports(), elements));
    let mut chain = batch(table);
    chain.push(Change::FlushChain(interface.clone())).push(Change::DeleteChain(interface.clone()));
    Some([services, chain])
}

/// A batch that removes the table.
pub(crate) fn remove(table: &str) -> Batch {
    let mut batch = batch(table);
    batch.push(Change::AddTable).push(Change::DeleteTable);
    batch
}
