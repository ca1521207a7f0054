//! Sets and maps: what rules look things up in, whose elements change without touching the rules.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::expression::Verdict;
use crate::rule::interface_name;

/// The type of a key or datum, or of a part of a concatenated one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Datatype {
    /// `ipv4_addr`.
    Ipv4Address,
    /// `ipv6_addr`.
    Ipv6Address,
    /// `inet_proto`: a transport protocol's number.
    Protocol,
    /// `inet_service`: a port.
    Port,
    /// `ifname`.
    InterfaceName,
}

impl Datatype {
    /// The number by which `nft` knows the type.
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::Ipv4Address => 7,
            Self::Ipv6Address => 8,
            Self::Protocol => 12,
            Self::Port => 13,
            Self::InterfaceName => 41,
        }
    }

    /// Its length in bytes.
    pub(crate) fn length(self) -> u32 {
        match self {
            Self::Ipv4Address => 4,
            Self::Ipv6Address | Self::InterfaceName => 16,
            Self::Protocol => 1,
            Self::Port => 2,
        }
    }

    /// Whether its values are in the host's byte order.
    pub(crate) fn is_host_order(self) -> bool {
        self == Self::InterfaceName
    }
}

/// What a map leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetData {
    /// Values.
    Values(Vec<Datatype>),
    /// Verdicts.
    Verdicts,
}

/// A named set, or, with data, a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Its name.
    pub name: String,
    /// Its key's parts.
    pub key: Vec<Datatype>,
    /// What its keys lead to.
    pub data: Option<SetData>,
    /// Whether an element stands for all keys from one to another.
    pub intervals: bool,
}

impl Set {
    /// A set of keys.
    pub fn new(name: &str, key: &[Datatype]) -> Self {
        Self { name: name.to_owned(), key: key.to_vec(), data: None, intervals: false }
    }

    /// A set of keys whose elements are [`Element::range`]s. Of more than one part since Linux 5.6.
    pub fn of_intervals(name: &str, key: &[Datatype]) -> Self {
        Self { intervals: true, ..Self::new(name, key) }
    }

    /// A map to values.
    pub fn map(name: &str, key: &[Datatype], data: &[Datatype]) -> Self {
        Self { data: Some(SetData::Values(data.to_vec())), ..Self::new(name, key) }
    }

    /// A map to verdicts.
    pub fn verdict_map(name: &str, key: &[Datatype]) -> Self {
        Self { data: Some(SetData::Verdicts), ..Self::new(name, key) }
    }
}

/// What an element of a map leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ElementData {
    /// A value, as [`Element::key`] is made.
    Value(Vec<u8>),
    /// A verdict.
    Verdict(Verdict),
}

/// An element of a set or map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// The key's parts, each filled up to whole 32-bit words where there are several.
    pub key: Vec<u8>,
    /// The last key of a range.
    pub last: Option<Vec<u8>>,
    /// What it leads to.
    pub data: Option<ElementData>,
}

/// A key or value, part by part. Parts are filled up to whole words, as the registers are in which they are
/// compared; a lone part is not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Value {
    bytes: Vec<u8>,
}

impl Value {
    /// Without parts.
    pub fn new() -> Self {
        Self::default()
    }
    fn part(mut self, bytes: &[u8]) -> Self {
        let start = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(start, 0);
        self.bytes.extend_from_slice(bytes);
        self
    }
    /// An IPv4 address.
    pub fn ipv4(self, address: Ipv4Addr) -> Self {
        self.part(&address.octets())
    }
    /// An IPv6 address.
    pub fn ipv6(self, address: Ipv6Addr) -> Self {
        self.part(&address.octets())
    }
    /// A transport protocol's number.
    pub fn protocol(self, number: u8) -> Self {
        self.part(&[number])
    }
    /// An address of either family.
    pub fn address(self, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => self.ipv4(address),
            IpAddr::V6(address) => self.ipv6(address),
        }
    }
    /// A port.
    pub fn port(self, number: u16) -> Self {
        self.part(&number.to_be_bytes())
    }
    /// An interface's name.
    pub fn interface(self, name: &str) -> Self {
        self.part(&interface_name(name))
    }
    fn finish(self, parts_are_several: bool) -> Vec<u8> {
        let mut bytes = self.bytes;
        if parts_are_several {
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }
}

impl Element {
    /// An element of a set.
    pub fn new(set: &Set, key: Value) -> Self {
        Self { key: key.finish(set.key.len() > 1), last: None, data: None }
    }

    /// An element for all keys from one to another; of several parts, each part is a range of its own.
    pub fn range(set: &Set, first: Value, last: Value) -> Self {
        Self { last: Some(last.finish(set.key.len() > 1)), ..Self::new(set, first) }
    }

    /// An element of a map.
    pub fn with_value(set: &Set, key: Value, value: Value) -> Self {
        let several = matches!(&set.data, Some(SetData::Values(parts)) if parts.len() > 1);
        Self { data: Some(ElementData::Value(value.finish(several))), ..Self::new(set, key) }
    }

    /// An element of a map to verdicts.
    pub fn with_verdict(set: &Set, key: Value, verdict: Verdict) -> Self {
        Self { data: Some(ElementData::Verdict(verdict)), ..Self::new(set, key) }
    }
}
