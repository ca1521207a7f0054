//! Networks and addresses in them, IPv4 and IPv6.

use super::{Called, take, whole};
use crate::evaluate::{Outcome, text};
use hcl::Value;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(super) fn call(name: &str, arguments: &[Value]) -> Called {
    Some(match name {
        "cidrhost" => take(arguments).and_then(|[prefix, number]| {
            let (network, number) = (Network::parse(&text(prefix)?)?, whole(number)?);
            let size = network.width - network.length;
            let offset =
                if number < 0 { (1i128 << size.min(126)) + i128::from(number) } else { number.into() };
            if offset < 0 || size < 126 && offset >= 1i128 << size {
                return Err(format!(
                    "prefix of {} does not accommodate a host numbered {number}",
                    network.length
                ));
            }
            Ok(network.address(network.bits + offset as u128).to_string().into())
        }),
        "cidrnetmask" => take(arguments).and_then(|[prefix]| {
            let network = Network::parse(&text(prefix)?)?;
            if network.width != 32 {
                return Err("only IPv4 networks have a netmask".into());
            }
            Ok(network.address(network.mask()).to_string().into())
        }),
        "cidrsubnet" => take(arguments).and_then(|[prefix, bits, number]| {
            let network = Network::parse(&text(prefix)?)?;
            let (bits, number) = (whole(bits)?, whole(number)?);
            let subnet = u32::try_from(bits).ok().zip(u128::try_from(number).ok());
            let subnet = subnet.and_then(|(bits, number)| network.subnet(bits, number));
            subnet
                .map(Value::from)
                .ok_or_else(|| format!("no subnet number {number} with {bits} more bits fits"))
        }),
        "cidrsubnets" => subnets(arguments),
        _ => return None,
    })
}

// One after the other, each as many bits longer than the prefix as its argument says.
fn subnets(arguments: &[Value]) -> Outcome<Value> {
    let (prefix, lengths) = arguments.split_first().ok_or("a prefix is missing")?;
    let network = Network::parse(&text(prefix)?)?;
    let mut next = network.bits;
    let mut found = Vec::new();
    for bits in lengths {
        let bits = u32::try_from(whole(bits)?).map_err(|_| "a number of bits is required")?;
        let length = network.length + bits;
        if length > network.width {
            return Err(format!("{bits} more bits than {} has", text(prefix)?));
        }
        let size = 1u128.checked_shl(network.width - length).unwrap_or(0);
        let start = if size == 0 { next } else { next.div_ceil(size) * size };
        if size == 0 || start - network.bits + size > network.size() {
            return Err("not enough remaining address space".into());
        }
        found.push(format!("{}/{length}", network.address(start)).into());
        next = start + size;
    }
    Ok(Value::Array(found))
}

struct Network {
    bits: u128,
    length: u32,
    width: u32,
}

impl Network {
    fn parse(text: &str) -> Outcome<Self> {
        let invalid = || format!("invalid CIDR expression: {text:?}");
        let (address, length) = text.split_once('/').ok_or_else(invalid)?;
        let (bits, width) = match address.parse::<IpAddr>().map_err(|_| invalid())? {
            IpAddr::V4(address) => (u128::from(u32::from(address)), 32),
            IpAddr::V6(address) => (u128::from(address), 128),
        };
        let length: u32 = length.parse().ok().filter(|length| *length <= width).ok_or_else(invalid)?;
        let mut network = Self { bits, length, width };
        network.bits &= network.mask();
        Ok(network)
    }

    // How many addresses; for all of IPv6 one too few.
    fn size(&self) -> u128 {
        1u128.checked_shl(self.width - self.length).unwrap_or(u128::MAX)
    }

    fn mask(&self) -> u128 {
        let all = if self.width == 32 { u128::from(u32::MAX) } else { u128::MAX };
        all & !(self.size().wrapping_sub(1)) & if self.length == 0 { 0 } else { u128::MAX }
    }

    fn subnet(&self, bits: u32, number: u128) -> Option<String> {
        let length = self.length.checked_add(bits).filter(|length| *length <= self.width)?;
        if bits < 128 && number >> bits != 0 {
            return None;
        }
        let start = self.bits | number.checked_shl(self.width - length).unwrap_or(0);
        Some(format!("{}/{length}", self.address(start)))
    }

    fn address(&self, bits: u128) -> IpAddr {
        match self.width {
            32 => Ipv4Addr::from(bits as u32).into(),
            _ => Ipv6Addr::from(bits).into(),
        }
    }
}
