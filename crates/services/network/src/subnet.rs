//! IPv4 subnets and the arithmetic on them.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An IPv4 subnet: address bits beyond the prefix are zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ipv4Subnet {
    address: Ipv4Addr,
    prefix: u8,
}

/// A text that is no subnet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid CIDR address: {0}")]
pub struct SubnetError(pub String);

impl Ipv4Subnet {
    /// The subnet that `address` is in. `prefix` is at most 32.
    pub fn containing(address: Ipv4Addr, prefix: u8) -> Self {
        let prefix = prefix.min(32);
        Self { address: Ipv4Addr::from(u32::from(address) & mask(prefix)), prefix }
    }

    /// Its first address.
    pub fn network(&self) -> Ipv4Addr {
        self.address
    }

    /// The prefix length.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Its last address.
    pub fn broadcast(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.address) | !mask(self.prefix))
    }

    /// Whether `address` is in it.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        u32::from(address) & mask(self.prefix) == u32::from(self.address)
    }

    /// Whether the two share an address.
    pub fn overlaps(&self, other: &Self) -> bool {
        let prefix = self.prefix.min(other.prefix);
        u32::from(self.address) & mask(prefix) == u32::from(other.address) & mask(prefix)
    }

    /// Whether `other` lies in it wholly.
    pub fn covers(&self, other: &Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.address)
    }

    /// The first and last address that hosts may have: without network and broadcast address where there is room.
    pub fn hosts(&self) -> (Ipv4Addr, Ipv4Addr) {
        let (first, last) = (u32::from(self.network()), u32::from(self.broadcast()));
        if self.prefix >= 31 {
            return (Ipv4Addr::from(first), Ipv4Addr::from(last));
        }
        (Ipv4Addr::from(first + 1), Ipv4Addr::from(last - 1))
    }

    /// The subnets of prefix length `size` that it divides into, in order.
    pub fn divide(self, size: u8) -> impl Iterator<Item = Self> {
        let size = size.clamp(self.prefix, 32);
        let count = 1u64 << (size - self.prefix);
        let step = 1u64 << (32 - size);
        (0..count).map(move |n| {
            let start = u64::from(u32::from(self.address)) + n * step;
            Self { address: Ipv4Addr::from(start as u32), prefix: size }
        })
    }
}

/// An address with its prefix length, as in `--bip 172.17.0.1/16`.
pub fn parse_interface_address(text: &str) -> Result<(Ipv4Addr, u8), SubnetError> {
    let wrong = || SubnetError(text.to_owned());
    let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
    let address = address.parse().map_err(|_| wrong())?;
    let prefix: u8 = prefix.parse().map_err(|_| wrong())?;
    if prefix > 32 { Err(wrong()) } else { Ok((address, prefix)) }
}

fn mask(prefix: u8) -> u32 {
    if prefix == 0 { 0 } else { u32::MAX << (32 - u32::from(prefix)) }
}

impl FromStr for Ipv4Subnet {
    type Err = SubnetError;
    fn from_str(text: &str) -> Result<Self, SubnetError> {
        let (address, prefix) = parse_interface_address(text)?;
        Ok(Self::containing(address, prefix))
    }
}

impl TryFrom<String> for Ipv4Subnet {
    type Error = SubnetError;
    fn try_from(text: String) -> Result<Self, SubnetError> {
        text.parse()
    }
}

impl From<Ipv4Subnet> for String {
    fn from(subnet: Ipv4Subnet) -> Self {
        subnet.to_string()
    }
}

impl fmt::Display for Ipv4Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl fmt::Debug for Ipv4Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Ipv4Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn parses_normalises_and_refuses() {
        assert_eq!(subnet("172.17.0.1/16").to_string(), "172.17.0.0/16");
        assert_eq!(subnet("0.0.0.0/0").broadcast(), Ipv4Addr::BROADCAST);
        for wrong in ["", "1.2.3.4", "1.2.3/8", "1.2.3.4/33", "1.2.3.4/-1", "a/8", "::/0"] {
            assert!(wrong.parse::<Ipv4Subnet>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn knows_overlap_and_cover() {
        assert!(subnet("10.0.0.0/8").overlaps(&subnet("10.1.0.0/16")));
        assert!(subnet("10.1.0.0/16").overlaps(&subnet("10.0.0.0/8")));
        assert!(!subnet("10.1.0.0/16").overlaps(&subnet("10.2.0.0/16")));
        assert!(subnet("0.0.0.0/0").overlaps(&subnet("10.2.0.0/16")));
        assert!(subnet("10.0.0.0/8").covers(&subnet("10.1.0.0/16")));
        assert!(!subnet("10.1.0.0/16").covers(&subnet("10.0.0.0/8")));
    }

    #[test]
    fn divides() {
        let parts: Vec<_> = subnet("192.168.0.0/16").divide(18).map(|s| s.to_string()).collect();
        assert_eq!(parts, ["192.168.0.0/18", "192.168.64.0/18", "192.168.128.0/18", "192.168.192.0/18"]);
        assert_eq!(subnet("255.255.255.254/31").divide(32).count(), 2);
        assert_eq!(
            subnet("10.0.0.0/24").hosts(),
            ("10.0.0.1".parse().unwrap(), "10.0.0.254".parse().unwrap())
        );
    }
}
