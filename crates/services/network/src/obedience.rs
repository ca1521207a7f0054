//! Published ports that obey the host's own `input` rules (ufw, firewalld, a hand-written ruleset).
//!
//! What is rewritten before routing goes through `forward`, where those rules don't look. So here nothing is: the first
//! packet of a connection goes the way of any packet for a program of the host, under its own address and by its own
//! interface, and only what every chain of the host accepted reaches the last two steps. The kernel can't turn a packet
//! back from there, but send a copy round: out of one end of a veth pair and in by the other, where it is rewritten.
//!
//! ```text
//!  client ──▶ prerouting ──▶ input: the host's chains ──▶ accepted (250): a new connection to a published port? mark it
//!                                └ dropped, rejected           └▶ loop (251): a copy leaves by TABLE-o; this one is gone
//!  ┌────────────────────────────────────────────────────────────────────────────┘
//!  └▶ comes in by TABLE-i ──▶ prerouting: rewritten ──▶ forward ──▶ container
//! ```
//!
//! The connection is tracked from there on: all that follows is rewritten as it comes, at full speed, with the client's
//! own address. Connections that the host itself opens are rewritten in `output`, as ever.
//!
//! Whatever is lost of this (another program's flush, the pair) closes ports and opens none. A host that filters its
//! own `output` has to let TABLE-o through, one that drops asymmetric IPv6 (firewalld's strict `IPv6_rpfilter`) TABLE-i.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hull_netlink::link::{self, NAME_MAX};
use hull_netlink::{RouteSocket, address};
use hull_nft::{
    BaseChain, Batch, Chain, ChainKind, Change, Family, Hook, NftSocket, Policy, RuleBuilder, Verdict,
    ct_state,
};

use crate::firewall::{FAMILIES, INTERNAL, OBEYING, OBEYING_BY_ADDRESS, of};
use crate::{Error, Result, bridge};

/// Between the two chains, and nowhere else: "Hull".
const MARK: u32 = u32::from_be_bytes(*b"Hull");
/// After the host's own (firewalld's are at 10, security modules' at 50, rewriting of sources at 100).
const ACCEPTED: i32 = 250;
const LOOP: i32 = 251;
/// RFC 7600's address for an interface that has to have one and answers to none. An interface without would take
/// nothing where `rp_filter` is on.
const OWN: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 0, 8));
/// Neighbours that aren't: they only name the interface. They are in no packet.
const NEIGHBOURS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 0, 11)), IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1))];
const MAC: link::Mac = [0x02, 0x48, 0x75, 0x6c, 0x6c, 0x00];
/// Nothing is to be cut in pieces on the way round.
const MTU: u32 = 65535;

/// The pair of interfaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Obedience {
    /// The number of the end that copies leave by.
    leaves: u32,
    /// The name of the end that they come in by.
    pub comes_in: String,
}

/// The names of both ends.
fn names(table: &str) -> [String; 2] {
    let stem: String = table.chars().take(NAME_MAX - 2).collect();
    [format!("{stem}-o"), format!("{stem}-i")]
}

/// Makes the pair where it isn't there, and the tables that send copies round.
pub(crate) fn ensure(route: &mut RouteSocket, filter: &mut NftSocket, table: &str) -> Result<Obedience> {
    let kernel = |source| Error::Kernel { network: "host".into(), source };
    let [leaves, comes_in] = names(table);
    if route.link_by_name(&leaves).map_err(kernel)?.is_none() {
        route.run(link::create_loop(&leaves, &comes_in, MAC, MTU)).map_err(kernel)?;
    }
    let number = |route: &mut RouteSocket, name: &str| {
        let found = route.link_by_name(name).map_err(kernel)?;
        let gone = || Error::Conflict(format!("the interface {name} vanished while it was made"));
        found.map(|link| (link.index, link.up)).ok_or_else(gone)
    };
    let (leaves, comes_in_number) = (number(route, &leaves)?, number(route, &comes_in)?);
    if !(leaves.1 && comes_in_number.1) {
        bridge::loop_settings(&names(table))?;
        let there = route.addresses().map_err(kernel)?;
        if !there.iter().any(|entry| (entry.index, entry.address) == (comes_in_number.0, OWN)) {
            route.run(address::add(comes_in_number.0, OWN, 32)).map_err(kernel)?;
        }
        for (index, _) in [leaves, comes_in_number] {
            route.run(link::set_up(index, true)).map_err(kernel)?;
        }
    }
    for ipv6 in FAMILIES.into_iter().filter(|ipv6| !ipv6 || bridge::has_ipv6()) {
        filter.apply(&loop_table(table, ipv6, leaves.0)).map_err(Error::CannotObey)?;
    }
    Ok(Obedience { leaves: leaves.0, comes_in })
}

/// Removes what [`ensure`] made, if it did.
pub(crate) fn remove(route: &mut RouteSocket, filter: &mut NftSocket, table: &str) -> Result<()> {
    let kernel = |source| Error::Kernel { network: "host".into(), source };
    let [leaves, _] = names(table);
    let Some(link) = route.link_by_name(&leaves).map_err(kernel)? else { return Ok(()) };
    for ipv6 in FAMILIES.into_iter().filter(|ipv6| !ipv6 || bridge::has_ipv6()) {
        let mut batch = Batch::new(family(ipv6), table);
        batch.push(Change::AddTable).push(Change::DeleteTable);
        let failed = |source| Error::Filter { table: table.to_owned(), source };
        filter.apply(&batch).map_err(failed)?;
    }
    route.run(link::delete(link.index)).map_err(kernel)
}

fn family(ipv6: bool) -> Family {
    if ipv6 { Family::Ipv6 } else { Family::Ipv4 }
}

/// Copies are a matter of one family, and so of a table of its own: its rules never change.
fn loop_table(table: &str, ipv6: bool, leaves: u32) -> Batch {
    let mut batch = Batch::new(family(ipv6), table);
    batch.push(Change::AddTable).push(Change::DeleteTable).push(Change::AddTable);
    batch.push(input_chain("loop", LOOP));
    let round = RuleBuilder::new("loop").marked(MARK).mark(0);
    let round = round.duplicate(NEIGHBOURS[usize::from(ipv6)], leaves);
    batch.push(round.comment("published, and accepted by the host: once more, to be rewritten").drop());
    batch
}

fn input_chain(name: &str, priority: i32) -> Change {
    let base = BaseChain { kind: ChainKind::Filter, hook: Hook::Input, priority, policy: Policy::Accept };
    Change::AddChain(Chain { name: name.into(), base: Some(base) })
}

impl Obedience {
    /// The chain that finds what is for a published port among what the host accepted.
    pub fn mark_what_is_published(&self, batch: &mut Batch) {
        let rule = || RuleBuilder::new("accepted");
        batch.push(input_chain("accepted", ACCEPTED));
        batch.push(rule().in_interface(&self.comes_in).comment("went round already").accept());
        batch.push(rule().in_interface_in(INTERNAL).comment("internal networks have no outside").accept());
        for ipv6 in FAMILIES {
            let new = || rule().state(ct_state::NEW).family(ipv6).destination_is_local();
            for (map, with_address) in [(OBEYING_BY_ADDRESS, true), (OBEYING, false)] {
                let published = new().published_in(&of(map, ipv6), ipv6, with_address);
                batch.push(published.mark(MARK).verdict(Verdict::Accept));
            }
        }
    }
}
