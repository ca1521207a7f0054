//! Rules by what they say rather than by registers.

use std::net::IpAddr;

use crate::batch::{Change, Rule};
use crate::expression::{
    CompareOperator, CtKey, Expression, FibResult, MetaKey, NatKind, PayloadBase, Register, Verdict,
};

/// The bits of `ct state`.
pub mod ct_state {
    /// No connection that could be told.
    pub const INVALID: u32 = 1;
    /// Packets went both ways.
    pub const ESTABLISHED: u32 = 2;
    /// Belongs to an established connection (an ICMP error, FTP data).
    pub const RELATED: u32 = 4;
    /// The first packet.
    pub const NEW: u32 = 8;
}

/// The bits of `ct status`.
pub mod ct_status {
    /// The connection's source was rewritten.
    pub const SNAT: u32 = 1 << 4;
    /// The connection's destination was rewritten.
    pub const DNAT: u32 = 1 << 5;
}

const IPV4_SOURCE: u32 = 12;
const IPV4_DESTINATION: u32 = 16;
const IPV6_SOURCE: u32 = 8;
const IPV6_DESTINATION: u32 = 24;
const SOURCE_PORT: u32 = 0;
const DESTINATION_PORT: u32 = 2;
const ETHERNET_DESTINATION: u32 = 0;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const TO_THIS_HOST: u8 = 0;
const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;
const ADDRESS_TYPE_LOCAL: u32 = 2;
const R0: Register = Register(0);

/// A rule under construction: matches from first to last, then what to do.
#[derive(Debug, Clone)]
pub struct RuleBuilder {
    rule: Rule,
}

impl RuleBuilder {
    /// A rule for the end of that chain.
    pub fn new(chain: &str) -> Self {
        Self { rule: Rule { chain: chain.to_owned(), expressions: Vec::new(), comment: String::new() } }
    }

    /// What `nft list ruleset` shows beside it.
    pub fn comment(mut self, text: &str) -> Self {
        self.rule.comment = text.to_owned();
        self
    }

    /// IPv4 packets only.
    pub fn ipv4(self) -> Self {
        self.meta(MetaKey::NfProtocol).equals(&[NFPROTO_IPV4])
    }

    /// IPv6 packets only.
    pub fn ipv6(self) -> Self {
        self.meta(MetaKey::NfProtocol).equals(&[NFPROTO_IPV6])
    }

    /// Came in by this interface.
    pub fn in_interface(self, name: &str) -> Self {
        self.meta(MetaKey::InInterfaceName).equals(&interface_name(name))
    }

    /// Came in by an interface of this set.
    pub fn in_interface_in(self, set: &str) -> Self {
        self.meta(MetaKey::InInterfaceName).in_set(set)
    }

    /// Came in by an interface that is not of this kind.
    pub fn in_interface_kind_not(self, kind: &str) -> Self {
        self.meta(MetaKey::InInterfaceKind).differs(&interface_name(kind))
    }

    /// Leaves by an interface of this set.
    pub fn out_interface_in(self, set: &str) -> Self {
        self.meta(MetaKey::OutInterfaceName).in_set(set)
    }

    /// Leaves by an interface that is not of this kind.
    pub fn out_interface_kind_not(self, kind: &str) -> Self {
        self.meta(MetaKey::OutInterfaceKind).differs(&interface_name(kind))
    }

    /// The pair of interfaces, in and out, is in this set.
    pub fn interfaces_in(mut self, set: &str) -> Self {
        self.push(Expression::Meta { key: MetaKey::InInterfaceName, to: R0 });
        self.push(Expression::Meta { key: MetaKey::OutInterfaceName, to: Register(4) });
        self.in_set(set)
    }

    /// IPv6 packets only, in tables of [`crate::Family::Netdev`].
    pub fn ethernet_ipv6(self) -> Self {
        self.meta(MetaKey::Protocol).equals(&ETHERTYPE_IPV6.to_be_bytes())
    }

    /// Packets of one family only.
    pub fn family(self, ipv6: bool) -> Self {
        if ipv6 { self.ipv6() } else { self.ipv4() }
    }

    /// The source is in this subnet; of packets of its family, which is to be matched before.
    pub fn source(self, network: IpAddr, prefix: u8) -> Self {
        let offset = if network.is_ipv4() { IPV4_SOURCE } else { IPV6_SOURCE };
        self.address(offset, network, prefix)
    }

    /// The source is in this set of addresses; of packets of its family, which is to be matched before.
    pub fn source_in(mut self, set: &str, ipv6: bool) -> Self {
        self.load_source(ipv6);
        self.in_set(set)
    }

    /// The source and the interface that the packet leaves by are in this set `ipv4_addr . ifname` (or `ipv6_addr`);
    /// of packets of that family, which is to be matched before.
    pub fn source_and_out_interface_in(mut self, set: &str, ipv6: bool) -> Self {
        self.load_source(ipv6);
        let next = Register(if ipv6 { 4 } else { 1 });
        self.push(Expression::Meta { key: MetaKey::OutInterfaceName, to: next });
        self.in_set(set)
    }

    /// The destination is in this subnet; of packets of its family, which is to be matched before.
    pub fn destination(self, network: IpAddr, prefix: u8) -> Self {
        let offset = if network.is_ipv4() { IPV4_DESTINATION } else { IPV6_DESTINATION };
        self.address(offset, network, prefix)
    }

    /// Protocol, destination address and port are in this set `inet_proto . ipv4_addr . inet_service` (or
    /// `ipv6_addr`).
    pub fn service_in(mut self, set: &str, ipv6: bool) -> Self {
        self.load_service(ipv6, true);
        self.in_set(set)
    }

    /// Protocol, source address and port are in this set `inet_proto . ipv6_addr . inet_service`; of IPv6 packets.
    pub fn sent_by_service_in(mut self, set: &str) -> Self {
        self.push(Expression::Meta { key: MetaKey::L4Protocol, to: R0 });
        let base = PayloadBase::Network;
        self.push(Expression::Payload { base, offset: IPV6_SOURCE, length: 16, to: Register(1) });
        let base = PayloadBase::Transport;
        self.push(Expression::Payload { base, offset: SOURCE_PORT, length: 2, to: Register(5) });
        self.in_set(set)
    }

    /// The destination is in this set `ipv6_addr`; of IPv6 packets.
    pub fn ipv6_destination_in(mut self, set: &str) -> Self {
        let base = PayloadBase::Network;
        self.push(Expression::Payload { base, offset: IPV6_DESTINATION, length: 16, to: R0 });
        self.in_set(set)
    }

    /// The packet is for a port of a map as [`Self::dnat_by_address`] takes it, or, without the address, as
    /// [`Self::dnat_by_port`] does.
    pub fn published_in(mut self, map: &str, ipv6: bool, with_address: bool) -> Self {
        self.load_service(ipv6, with_address);
        // The kernel looks into a map only where the data goes somewhere.
        self.push(Expression::Lookup { set: map.to_owned(), from: R0, to: Some(R0), inverted: false });
        self
    }

    /// The packet has this mark.
    pub fn marked(self, mark: u32) -> Self {
        self.meta(MetaKey::Mark).equals(&mark.to_ne_bytes())
    }

    /// The transport protocol is this one.
    pub fn l4_protocol(self, number: u8) -> Self {
        self.meta(MetaKey::L4Protocol).equals(&[number])
    }

    /// The destination is an address of this host's.
    pub fn destination_is_local(mut self) -> Self {
        self.push(Expression::Fib { result: FibResult::DestinationAddressType, to: R0 });
        self.equals(&ADDRESS_TYPE_LOCAL.to_ne_bytes())
    }

    /// The connection has one of these [`ct_state`] bits.
    pub fn state(self, bits: u32) -> Self {
        self.ct_bits(CtKey::State, bits)
    }

    /// The connection has one of these [`ct_status`] bits.
    pub fn status(self, bits: u32) -> Self {
        self.ct_bits(CtKey::Status, bits)
    }

    /// The packet goes against the way of its connection's first.
    pub fn reply(mut self) -> Self {
        self.push(Expression::Ct { key: CtKey::Direction, to: R0 });
        self.equals(&[1])
    }

    /// Lets it pass.
    pub fn accept(self) -> Change {
        self.verdict(Verdict::Accept)
    }

    /// Drops it.
    pub fn drop(self) -> Change {
        self.verdict(Verdict::Drop)
    }

    /// Decides.
    pub fn verdict(mut self, verdict: Verdict) -> Change {
        self.push(Expression::Verdict(verdict));
        Change::AddRule(self.rule)
    }

    /// Gives the packet a mark.
    pub fn mark(mut self, mark: u32) -> Self {
        self.push(Expression::Immediate { to: R0, value: mark.to_ne_bytes().to_vec() });
        self.push(Expression::StoreMeta { key: MetaKey::Mark, from: R0 });
        self
    }

    /// Sends a copy to that neighbour, by the interface of that number. In tables of one family only.
    pub fn duplicate(mut self, to: IpAddr, interface: u32) -> Self {
        let value = match to {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        self.push(Expression::Immediate { to: R0, value });
        self.push(Expression::Immediate { to: Register(4), value: interface.to_ne_bytes().to_vec() });
        self.push(Expression::Duplicate { to: R0, interface: Register(4) });
        self
    }

    /// Takes it from the interface that it came in by and lets the loopback interface of that number receive it, in
    /// tables of [`crate::Family::Netdev`].
    pub fn receive_by_loopback(mut self, number: u32) -> Change {
        // Its Ethernet address is all zeros.
        self.push(Expression::Immediate { to: R0, value: vec![0; 6] });
        let (base, offset) = (PayloadBase::Link, ETHERNET_DESTINATION);
        self.push(Expression::StorePayload { base, offset, length: 6, from: R0, checksum: None });
        self.push(Expression::Immediate { to: R0, value: vec![TO_THIS_HOST] });
        self.push(Expression::StoreMeta { key: MetaKey::PacketType, from: R0 });
        self.push(Expression::Immediate { to: R0, value: number.to_ne_bytes().to_vec() });
        self.push(Expression::Forward { interface: R0 });
        Change::AddRule(self.rule)
    }

    /// Hides the source behind this host.
    pub fn masquerade(mut self) -> Change {
        self.push(Expression::Masquerade);
        Change::AddRule(self.rule)
    }

    /// Rewrites the destination by a map `inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service` (or of
    /// `ipv6_addr`).
    pub fn dnat_by_address(self, map: &str, ipv6: bool) -> Change {
        self.dnat(map, ipv6, true)
    }

    /// Rewrites the destination by a map `inet_proto . inet_service : ipv4_addr . inet_service` (or to `ipv6_addr`).
    pub fn dnat_by_port(self, map: &str, ipv6: bool) -> Change {
        self.dnat(map, ipv6, false)
    }

    fn dnat(mut self, map: &str, ipv6: bool, with_address: bool) -> Change {
        self.load_service(ipv6, with_address);
        self.push(Expression::Lookup { set: map.to_owned(), from: R0, to: Some(R0), inverted: false });
        let port = Some(Register(if ipv6 { 4 } else { 1 }));
        self.push(Expression::Nat { kind: NatKind::Destination, ipv6, address: R0, port });
        Change::AddRule(self.rule)
    }

    /// Loads protocol, destination address where that is asked for, and destination port, one after another.
    fn load_service(&mut self, ipv6: bool, with_address: bool) {
        self.push(Expression::Meta { key: MetaKey::L4Protocol, to: R0 });
        let mut next = Register(1);
        if with_address {
            let (offset, length) = if ipv6 { (IPV6_DESTINATION, 16) } else { (IPV4_DESTINATION, 4) };
            self.push(Expression::Payload { base: PayloadBase::Network, offset, length, to: next });
            next = Register(1 + length as u8 / 4);
        }
        let (base, offset) = (PayloadBase::Transport, DESTINATION_PORT);
        self.push(Expression::Payload { base, offset, length: 2, to: next });
    }

    fn load_source(&mut self, ipv6: bool) {
        let (offset, length) = if ipv6 { (IPV6_SOURCE, 16) } else { (IPV4_SOURCE, 4) };
        self.push(Expression::Payload { base: PayloadBase::Network, offset, length, to: R0 });
    }

    fn address(mut self, offset: u32, network: IpAddr, prefix: u8) -> Self {
        let octets = match network {
            IpAddr::V4(network) => network.octets().to_vec(),
            IpAddr::V6(network) => network.octets().to_vec(),
        };
        let length = octets.len();
        let base = PayloadBase::Network;
        self.push(Expression::Payload { base, offset, length: length as u32, to: R0 });
        if usize::from(prefix) < length * 8 {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0).to_be_bytes();
            self.push(Expression::Mask { from: R0, to: R0, mask: mask[..length].to_vec() });
        }
        self.equals(&octets)
    }

    fn ct_bits(mut self, key: CtKey, bits: u32) -> Self {
        self.push(Expression::Ct { key, to: R0 });
        self.push(Expression::Mask { from: R0, to: R0, mask: bits.to_ne_bytes().to_vec() });
        self.differs(&[0; 4])
    }

    fn meta(mut self, key: MetaKey) -> Self {
        self.push(Expression::Meta { key, to: R0 });
        self
    }

    fn equals(mut self, value: &[u8]) -> Self {
        let operator = CompareOperator::Equal;
        self.push(Expression::Compare { operator, from: R0, value: value.to_vec() });
        self
    }

    fn differs(mut self, value: &[u8]) -> Self {
        let operator = CompareOperator::NotEqual;
        self.push(Expression::Compare { operator, from: R0, value: value.to_vec() });
        self
    }

    fn in_set(mut self, set: &str) -> Self {
        self.push(Expression::Lookup { set: set.to_owned(), from: R0, to: None, inverted: false });
        self
    }

    fn push(&mut self, expression: Expression) {
        self.rule.expressions.push(expression);
    }
}

/// An interface's name as the kernel compares it: 16 bytes, filled with NUL.
pub(crate) fn interface_name(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    let length = name.len().min(15);
    bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
    bytes
}
