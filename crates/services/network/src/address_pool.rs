//! Giving out the addresses of a subnet, the lowest free one first, as Docker does.

use std::collections::{BTreeSet, HashSet};
use std::net::Ipv4Addr;

use crate::Ipv4Subnet;
use crate::model::Bridge;

/// Which addresses of a network are given out.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    used: BTreeSet<u32>,
    /// Every address of the range below this one is used or reserved: the search starts here, so that adding the
    /// thousandth endpoint costs what adding the first did.
    lowest: u32,
}

impl Leases {
    /// The lowest free address of the network; it is taken.
    pub fn take_lowest(&mut self, bridge: &Bridge) -> Option<Ipv4Addr> {
        let (first, last) = range(bridge);
        let reserved = reserved(bridge);
        let mut candidate = first.max(self.lowest);
        while candidate <= last {
            if !reserved.contains(&candidate) && self.used.insert(candidate) {
                self.lowest = candidate.saturating_add(1);
                return Some(candidate.into());
            }
            candidate = candidate.checked_add(1)?;
        }
        None
    }

    /// Takes an address; whether it was free.
    pub fn take(&mut self, bridge: &Bridge, address: Ipv4Addr) -> bool {
        !reserved(bridge).contains(&address.into()) && self.used.insert(address.into())
    }

    /// Gives an address back.
    pub fn give_back(&mut self, address: Ipv4Addr) {
        if self.used.remove(&address.into()) {
            self.lowest = self.lowest.min(address.into());
        }
    }
}

/// The first and last address to give out: of the range, without the subnet's network and broadcast address.
fn range(bridge: &Bridge) -> (u32, u32) {
    let (first, last) = bridge.subnet.hosts();
    let range = bridge.ip_range.unwrap_or(bridge.subnet);
    (u32::from(first).max(range.network().into()), u32::from(last).min(range.broadcast().into()))
}

fn reserved(bridge: &Bridge) -> HashSet<u32> {
    let own = [Some(bridge.gateway), bridge.default_gateway].into_iter().flatten();
    own.chain(bridge.auxiliary.values().copied()).map(u32::from).collect()
}

/// The first subnet of the pools that nothing in `taken` overlaps; else what is in the way, one by one.
pub(crate) fn choose_subnet(
    pools: &[(Ipv4Subnet, u8)],
    taken: &[(Ipv4Subnet, String)],
) -> Result<Ipv4Subnet, Vec<String>> {
    let mut clashes = Vec::new();
    for (base, size) in pools {
        // A taken range that covers the pool is met once, not once for each of its subnets.
        if let Some((_, what)) = taken.iter().find(|(subnet, _)| subnet.covers(base)) {
            clashes.push(format!("{base} by {what}"));
            continue;
        }
        for candidate in base.divide(*size) {
            match taken.iter().find(|(subnet, _)| subnet.overlaps(&candidate)) {
                None => return Ok(candidate),
                Some((_, what)) => clashes.push(format!("{candidate} by {what}")),
            }
        }
    }
    Err(clashes)
}

/// Docker's pools: sixteen-bit networks 172.17 to 172.31, then the twenty-bit ones of 192.168.
pub(crate) fn default_pools() -> Vec<(Ipv4Subnet, u8)> {
    let mut pools: Vec<_> =
        (17..=31).map(|n| (Ipv4Subnet::containing(Ipv4Addr::new(172, n, 0, 0), 16), 16)).collect();
    pools.push((Ipv4Subnet::containing(Ipv4Addr::new(192, 168, 0, 0), 16), 20));
    pools
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bridge(subnet: &str, range: Option<&str>) -> Bridge {
        let subnet: Ipv4Subnet = subnet.parse().unwrap();
        Bridge {
            interface: "x".into(),
            managed: true,
            subnet,
            gateway: subnet.hosts().0,
            default_gateway: None,
            ip_range: range.map(|range| range.parse().unwrap()),
            auxiliary: [("router".to_owned(), Ipv4Addr::new(10, 0, 0, 3))].into(),
            mtu: 0,
            icc: true,
            masquerade: true,
            host_binding: Ipv4Addr::UNSPECIFIED,
        }
    }

    #[test]
    fn the_lowest_free_address_is_given_and_reserved_ones_never() {
        let (bridge, mut leases) = (bridge("10.0.0.0/29", None), Leases::default());
        let mut next = || leases.take_lowest(&bridge).map(|address| address.octets()[3]);
        assert_eq!([next(), next(), next(), next(), next()], [Some(2), Some(4), Some(5), Some(6), None]);
        leases.give_back(Ipv4Addr::new(10, 0, 0, 4));
        assert!(!leases.take(&bridge, Ipv4Addr::new(10, 0, 0, 1)));
        assert!(!leases.take(&bridge, Ipv4Addr::new(10, 0, 0, 5)));
        assert_eq!(leases.take_lowest(&bridge), Some(Ipv4Addr::new(10, 0, 0, 4)));
        leases.give_back(Ipv4Addr::new(10, 0, 0, 5));
        assert!(leases.take(&bridge, Ipv4Addr::new(10, 0, 0, 5)));
        assert_eq!(leases.take_lowest(&bridge), None);
    }

    #[test]
    fn a_range_limits_what_is_given_not_what_may_be_asked_for() {
        let (bridge, mut leases) = (bridge("10.0.0.0/16", Some("10.0.5.0/31")), Leases::default());
        assert_eq!(leases.take_lowest(&bridge), Some(Ipv4Addr::new(10, 0, 5, 0)));
        assert_eq!(leases.take_lowest(&bridge), Some(Ipv4Addr::new(10, 0, 5, 1)));
        assert_eq!(leases.take_lowest(&bridge), None);
        assert!(leases.take(&bridge, Ipv4Addr::new(10, 0, 9, 9)));
    }

    #[test]
    fn pools_avoid_what_is_taken_and_name_it() {
        let taken = |list: &[(&str, &str)]| -> Vec<_> {
            list.iter().map(|(subnet, what)| (subnet.parse().unwrap(), (*what).to_owned())).collect()
        };
        let busy = taken(&[("172.17.0.0/16", "the route on docker0"), ("172.18.4.0/24", "network x")]);
        assert_eq!(choose_subnet(&default_pools(), &busy).unwrap().to_string(), "172.19.0.0/16");
        let all = taken(&[("172.16.0.0/12", "the VPN"), ("192.168.0.0/17", "a"), ("192.168.128.0/17", "b")]);
        let clashes = choose_subnet(&default_pools(), &all).unwrap_err();
        assert_eq!(clashes.len(), 15 + 16);
        assert_eq!(clashes[0], "172.17.0.0/16 by the VPN");
        let partly = taken(&[("172.16.0.0/12", "the VPN"), ("192.168.0.0/17", "a")]);
        assert_eq!(choose_subnet(&default_pools(), &partly).unwrap().to_string(), "192.168.128.0/20");
    }
}
