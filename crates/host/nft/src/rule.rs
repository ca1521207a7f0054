//! Rules by what they say rather than by registers.

use std::net::Ipv4Addr;

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
const DESTINATION_PORT: u32 = 2;
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

    /// Came in by another interface than this.
    pub fn in_interface_not(self, name: &str) -> Self {
        self.meta(MetaKey::InInterfaceName).differs(&interface_name(name))
    }

    /// Came in by an interface of this set.
    pub fn in_interface_in(self, set: &str) -> Self {
        self.meta(MetaKey::InInterfaceName).in_set(set)
    }

    /// Came in by an interface that is not of this kind.
    pub fn in_interface_kind_not(self, kind: &str) -> Self {
        self.meta(MetaKey::InInterfaceKind).differs(&interface_name(kind))
    }

    /// Leaves by this interface.
    pub fn out_interface(self, name: &str) -> Self {
        self.meta(MetaKey::OutInterfaceName).equals(&interface_name(name))
    }

    /// Leaves by another interface than this.
    pub fn out_interface_not(self, name: &str) -> Self {
        self.meta(MetaKey::OutInterfaceName).differs(&interface_name(name))
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

    /// The IPv4 source is in this subnet.
    pub fn ipv4_source(self, network: Ipv4Addr, prefix: u8) -> Self {
        self.ipv4_address(IPV4_SOURCE, network, prefix)
    }

    /// The IPv4 destination is in this subnet.
    pub fn ipv4_destination(self, network: Ipv4Addr, prefix: u8) -> Self {
        self.ipv4_address(IPV4_DESTINATION, network, prefix)
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

    /// Hides the source behind this host.
    pub fn masquerade(mut self) -> Change {
        self.push(Expression::Masquerade);
        Change::AddRule(self.rule)
    }

    /// Rewrites the destination by a map `inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service`.
    pub fn dnat_ipv4_by_address(mut self, map: &str) -> Change {
        self.push(Expression::Meta { key: MetaKey::L4Protocol, to: R0 });
        self.push(Expression::Payload {
            base: PayloadBase::Network,
            offset: IPV4_DESTINATION,
            length: 4,
            to: Register(1),
        });
        self.dnat_ipv4(map, Register(2))
    }

    /// Rewrites the destination by a map `inet_proto . inet_service : ipv4_addr . inet_service`.
    pub fn dnat_ipv4_by_port(mut self, map: &str) -> Change {
        self.push(Expression::Meta { key: MetaKey::L4Protocol, to: R0 });
        self.dnat_ipv4(map, Register(1))
    }

    fn dnat_ipv4(mut self, map: &str, port: Register) -> Change {
        let base = PayloadBase::Transport;
        self.push(Expression::Payload { base, offset: DESTINATION_PORT, length: 2, to: port });
        self.push(Expression::Lookup { set: map.to_owned(), from: R0, to: Some(R0), inverted: false });
        let (kind, address) = (NatKind::Destination, R0);
        self.push(Expression::Nat { kind, ipv6: false, address, port: Some(Register(1)) });
        Change::AddRule(self.rule)
    }

    fn ipv4_address(mut self, offset: u32, network: Ipv4Addr, prefix: u8) -> Self {
        self.push(Expression::Payload { base: PayloadBase::Network, offset, length: 4, to: R0 });
        if prefix < 32 {
            let mask = if prefix == 0 { 0 } else { u32::MAX << (32 - prefix) };
            self.push(Expression::Mask { from: R0, to: R0, mask: mask.to_be_bytes().to_vec() });
        }
        self.equals(&network.octets())
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
