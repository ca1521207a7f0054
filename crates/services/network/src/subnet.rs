//! Subnets of either family, and the arithmetic on them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A subnet: address bits beyond the prefix are zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet {
    address: IpAddr,
    prefix: u8,
}

/// A text that is no subnet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid CIDR address: {0}")]
pub struct SubnetError(pub String);

/// An address as a number; IPv4 addresses have 32 bits.
pub(crate) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

/// How many bits an address of this family has.
fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl Subnet {
    /// The subnet that `address` is in. A `prefix` that is too long is that of the address alone.
    pub fn containing(address: impl Into<IpAddr>, prefix: u8) -> Self {
        let address = address.into();
        let prefix = prefix.min(width(address));
        let unmasked = Self { address, prefix };
        Self { address: unmasked.at(number(address) & unmasked.mask()), prefix }
    }

    /// Its first address.
    pub fn network(&self) -> IpAddr {
        self.address
    }

    /// The prefix length.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether its addresses are IPv4.
    pub fn is_ipv4(&self) -> bool {
        self.address.is_ipv4()
    }

    /// Its last address.
    pub fn last(&self) -> IpAddr {
        self.at(number(self.address) | (self.full() & !self.mask()))
    }

    /// Whether `address` is in it.
    pub fn contains(&self, address: impl Into<IpAddr>) -> bool {
        let address = address.into();
        address.is_ipv4() == self.is_ipv4() && number(address) & self.mask() == number(self.address)
    }

    /// Whether the two share an address.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// Whether `other` lies in it wholly.
    pub fn covers(&self, other: &Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.address)
    }

    /// The first and last address that hosts may have: not IPv4's network and broadcast address, not IPv6's anycast
    /// address of the routers, where there is room.
    pub fn hosts(&self) -> (IpAddr, IpAddr) {
        let (first, last) = (number(self.network()), number(self.last()));
        if self.prefix + 1 >= width(self.address) {
            return (self.network(), self.last());
        }
        (self.at(first + 1), self.at(if self.is_ipv4() { last - 1 } else { last }))
    }

    /// The subnets of prefix length `size` that it divides into, in order.
    pub fn divide(self, size: u8) -> impl Iterator<Item = Self> {
        let width = width(self.address);
        let size = size.clamp(self.prefix, width);
        let count = 1u64.checked_shl((size - self.prefix).into()).unwrap_or(u64::MAX);
        let shift = u32::from(width - size);
        (0..count).map(move |n| {
            let address = self.at(number(self.address) + (u128::from(n) << shift));
            Self { address, prefix: size }
        })
    }

    /// The address of its family that is this number.
    pub(crate) fn at(&self, number: u128) -> IpAddr {
        match self.address {
            IpAddr::V4(_) => Ipv4Addr::from(number as u32).into(),
            IpAddr::V6(_) => Ipv6Addr::from(number).into(),
        }
    }

    fn full(&self) -> u128 {
        if self.is_ipv4() { u32::MAX.into() } else { u128::MAX }
    }

    fn mask(&self) -> u128 {
        let free = u32::from(width(self.address) - self.prefix);
        self.full() & u128::MAX.checked_shl(free).unwrap_or(0)
    }
}

/// An address with its prefix length, as in `--bip 172.17.0.1/16`.
pub fn parse_interface_address(text: &str) -> Result<(IpAddr, u8), SubnetError> {
    let wrong = || SubnetError(text.to_owned());
    let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let prefix: u8 = prefix.parse().map_err(|_| wrong())?;
    if prefix > width(address) { Err(wrong()) } else { Ok((address, prefix)) }
}

impl FromStr for Subnet {
    type Err = SubnetError;
    fn from_str(text: &str) -> Result<Self, SubnetError> {
        let (address, prefix) = parse_interface_address(text)?;
        Ok(Self::containing(address, prefix))
    }
}

impl TryFrom<String> for Subnet {
    type Error = SubnetError;
    fn try_from(text: String) -> Result<Self, SubnetError> {
        text.parse()
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> Self {
        subnet.to_string()
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl fmt::Debug for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn parses_normalises_and_refuses() {
        assert_eq!(subnet("172.17.0.1/16").to_string(), "172.17.0.0/16");
        assert_eq!(subnet("fd00:1::5/64").to_string(), "fd00:1::/64");
        assert_eq!(subnet("0.0.0.0/0").last(), IpAddr::from(Ipv4Addr::BROADCAST));
        assert_eq!(subnet("::/0").last(), IpAddr::from(Ipv6Addr::from(u128::MAX)));
        for wrong in ["", "1.2.3.4", "1.2.3/8", "1.2.3.4/33", "1.2.3.4/-1", "a/8", "::/129"] {
            assert!(wrong.parse::<Subnet>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn knows_overlap_and_cover() {
        assert!(subnet("10.0.0.0/8").overlaps(&subnet("10.1.0.0/16")));
        assert!(subnet("10.1.0.0/16").overlaps(&subnet("10.0.0.0/8")));
        assert!(!subnet("10.1.0.0/16").overlaps(&subnet("10.2.0.0/16")));
        assert!(subnet("0.0.0.0/0").overlaps(&subnet("10.2.0.0/16")));
        assert!(!subnet("0.0.0.0/0").overlaps(&subnet("::/0")));
        assert!(subnet("10.0.0.0/8").covers(&subnet("10.1.0.0/16")));
        assert!(!subnet("10.1.0.0/16").covers(&subnet("10.0.0.0/8")));
        assert!(subnet("fd00::/8").covers(&subnet("fd12:3456::/64")));
    }

    #[test]
    fn divides() {
        let parts: Vec<_> = subnet("192.168.0.0/16").divide(18).map(|s| s.to_string()).collect();
        assert_eq!(parts, ["192.168.0.0/18", "192.168.64.0/18", "192.168.128.0/18", "192.168.192.0/18"]);
        assert_eq!(subnet("255.255.255.254/31").divide(32).count(), 2);
        let second = subnet("fd00:1:2::/48").divide(64).nth(1).unwrap();
        assert_eq!(second.to_string(), "fd00:1:2:1::/64");
        let hosts = |text: &str| subnet(text).hosts();
        assert_eq!(hosts("10.0.0.0/24"), ("10.0.0.1".parse().unwrap(), "10.0.0.254".parse().unwrap()));
        assert_eq!(hosts("fd00::/126"), ("fd00::1".parse().unwrap(), "fd00::3".parse().unwrap()));
        assert_eq!(hosts("10.0.0.4/31"), ("10.0.0.4".parse().unwrap(), "10.0.0.5".parse().unwrap()));
    }
}
