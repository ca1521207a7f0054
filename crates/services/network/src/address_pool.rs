//! Giving out the addresses of a subnet, the lowest free one first, as Docker does.

use std::collections::{BTreeSet, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::Subnet;
use crate::model::Pool;
use crate::subnet::number;

/// Which addresses of a pool are given out.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    used: BTreeSet<u128>,
    /// Every address of the range below this one is used or reserved: the search starts here, so that adding the
    /// thousandth endpoint costs what adding the first did.
    lowest: u128,
}

impl Leases {
    /// The lowest free address of the pool; it is taken.
    pub fn take_lowest(&mut self, pool: &Pool) -> Option<IpAddr> {
        let (first, last) = range(pool);
        let reserved = reserved(pool);
        let mut candidate = first.max(self.lowest);
        while candidate <= last {
            if !reserved.contains(&candidate) && self.used.insert(candidate) {
                self.lowest = candidate.saturating_add(1);
                return Some(pool.subnet.at(candidate));
            }
            candidate = candidate.checked_add(1)?;
        }
        None
    }

    /// Takes an address; whether it was free.
    pub fn take(&mut self, pool: &Pool, address: IpAddr) -> bool {
        !reserved(pool).contains(&number(address)) && self.used.insert(number(address))
    }

    /// Gives an address back.
    pub fn give_back(&mut self, address: IpAddr) {
        if self.used.remove(&number(address)) {
            self.lowest = self.lowest.min(number(address));
        }
    }
}

/// The first and last address to give out: of the range, without what the subnet keeps for itself.
fn range(pool: &Pool) -> (u128, u128) {
    let (first, last) = pool.subnet.hosts();
    let range = pool.ip_range.unwrap_or(pool.subnet);
    (number(first).max(number(range.network())), number(last).min(number(range.last())))
}

fn reserved(pool: &Pool) -> HashSet<u128> {
    let own = [pool.gateway, pool.default_gateway].into_iter().flatten();
    own.chain(pool.auxiliary.values().copied()).map(number).collect()
}

/// The first subnet of the pools that nothing in `taken` overlaps; else what is in the way, one by one.
pub(crate) fn choose_subnet(
    pools: &[(Subnet, u8)],
    taken: &[(Subnet, String)],
) -> Result<Subnet, Vec<String>> {
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
pub(crate) fn default_ipv4_pools() -> Vec<(Subnet, u8)> {
    let mut pools: Vec<_> =
        (17..=31).map(|n| (Subnet::containing(Ipv4Addr::new(172, n, 0, 0), 16), 16)).collect();
    pools.push((Subnet::containing(Ipv4Addr::new(192, 168, 0, 0), 16), 20));
    pools
}

/// Networks of 64 bits from a unique local range of this daemon's own (RFC 4193): `fd`, and 40 bits of `seed`, a
/// random hexadecimal text that stays the same.
pub(crate) fn default_ipv6_pools(seed: &str) -> Vec<(Subnet, u8)> {
    let global_id = seed.get(..10).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0);
    let address = 0xfd_u128 << 120 | u128::from(global_id) << 80;
    vec![(Subnet::containing(Ipv6Addr::from(address), 48), 64)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(subnet: &str, range: Option<&str>) -> Pool {
        let subnet: Subnet = subnet.parse().unwrap();
        Pool {
            gateway: Some(subnet.hosts().0),
            ip_range: range.map(|range| range.parse().unwrap()),
            auxiliary: [("router".to_owned(), subnet.at(number(subnet.network()) + 3))].into(),
            ..Pool::new(subnet)
        }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_lowest_free_address_is_given_and_reserved_ones_never() {
        let (pool, mut leases) = (pool("10.0.0.0/29", None), Leases::default());
        let given: Vec<_> = std::iter::from_fn(|| leases.take_lowest(&pool)).collect();
        assert_eq!(given, ["10.0.0.2", "10.0.0.4", "10.0.0.5", "10.0.0.6"].map(address));
        leases.give_back(address("10.0.0.4"));
        assert!(!leases.take(&pool, address("10.0.0.1")));
        assert!(!leases.take(&pool, address("10.0.0.5")));
        assert_eq!(leases.take_lowest(&pool), Some(address("10.0.0.4")));
        leases.give_back(address("10.0.0.5"));
        assert!(leases.take(&pool, address("10.0.0.5")));
        assert_eq!(leases.take_lowest(&pool), None);
    }

    #[test]
    fn ipv6_addresses_are_given_in_order_too() {
        let (pool, mut leases) = (pool("fd00::/64", None), Leases::default());
        assert_eq!(leases.take_lowest(&pool), Some(address("fd00::2")));
        assert_eq!(leases.take_lowest(&pool), Some(address("fd00::4")));
        assert!(leases.take(&pool, address("fd00::ffff:0:0:1")));
    }

    #[test]
    fn a_range_limits_what_is_given_not_what_may_be_asked_for() {
        let (pool, mut leases) = (pool("10.0.0.0/16", Some("10.0.5.0/31")), Leases::default());
        assert_eq!(leases.take_lowest(&pool), Some(address("10.0.5.0")));
        assert_eq!(leases.take_lowest(&pool), Some(address("10.0.5.1")));
        assert_eq!(leases.take_lowest(&pool), None);
        assert!(leases.take(&pool, address("10.0.9.9")));
    }

    #[test]
    fn pools_avoid_what_is_taken_and_name_it() {
        let taken = |list: &[(&str, &str)]| -> Vec<_> {
            list.iter().map(|(subnet, what)| (subnet.parse().unwrap(), (*what).to_owned())).collect()
        };
        let pools = default_ipv4_pools();
        let busy = taken(&[("172.17.0.0/16", "the route on docker0"), ("172.18.4.0/24", "network x")]);
        assert_eq!(choose_subnet(&pools, &busy).unwrap().to_string(), "172.19.0.0/16");
        let all = taken(&[("172.16.0.0/12", "the VPN"), ("192.168.0.0/17", "a"), ("192.168.128.0/17", "b")]);
        let clashes = choose_subnet(&pools, &all).unwrap_err();
        assert_eq!(clashes.len(), 15 + 16);
        assert_eq!(clashes[0], "172.17.0.0/16 by the VPN");
        let partly = taken(&[("172.16.0.0/12", "the VPN"), ("192.168.0.0/17", "a")]);
        assert_eq!(choose_subnet(&pools, &partly).unwrap().to_string(), "192.168.128.0/20");
    }

    #[test]
    fn unique_local_ranges_follow_from_the_seed() {
        let pools = default_ipv6_pools("0123456789abcdef");
        assert_eq!(pools, [("fd01:2345:6789::/48".parse().unwrap(), 64)]);
        let busy = [("fd01:2345:6789::/64".parse().unwrap(), "network a".to_owned())];
        assert_eq!(choose_subnet(&pools, &busy).unwrap().to_string(), "fd01:2345:6789:1::/64");
    }
}
