//! What the daemon knows: networks, live endpoints, addresses and ports given out. No I/O but for binding ports.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use crate::address_pool::Leases;
use crate::endpoint::{Endpoint, Sandbox};
use crate::model::NetworkRow;
use crate::ports::Ports;
use crate::subnet::number;
use crate::{Error, Result, Subnet};

#[derive(Debug, Default)]
pub(crate) struct State {
    /// By id.
    pub networks: BTreeMap<String, NetworkRow>,
    /// By the pool's subnet; no two networks share one.
    pub leases: HashMap<Subnet, Leases>,
    /// By the container's id.
    pub sandboxes: BTreeMap<String, Sandbox>,
    /// Containers of a former daemon that nobody has taken over yet.
    pub unclaimed: HashSet<String>,
    pub ports: Ports,
    /// Whether published ports obey the host's own rules where neither container nor network says.
    pub obey_host_rules: bool,
}

impl State {
    /// A network by its id, its name or the beginning of its id.
    pub fn network(&self, name_or_id: &str) -> Result<&NetworkRow> {
        if let Some(row) = self.networks.get(name_or_id) {
            return Ok(row);
        }
        if let Some(row) = self.by_name(name_or_id) {
            return Ok(row);
        }
        let is_prefix = !name_or_id.is_empty() && name_or_id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let mut matches = self.networks.values().filter(|row| is_prefix && row.id.starts_with(name_or_id));
        match (matches.next(), matches.count()) {
            (None, _) => Err(Error::NotFound(name_or_id.to_owned())),
            (Some(row), 0) => Ok(row),
            (Some(_), more) => Err(Error::Ambiguous(name_or_id.to_owned(), more + 1)),
        }
    }

    pub fn by_name(&self, name: &str) -> Option<&NetworkRow> {
        self.networks.values().find(|row| row.name == name)
    }

    /// The running containers of a network.
    pub fn members<'a>(&'a self, network_id: &'a str) -> impl Iterator<Item = &'a Sandbox> + 'a {
        self.sandboxes.values().filter(move |sandbox| sandbox.endpoint(network_id).is_some())
    }

    /// An address of one family on a network, with the prefix length of its subnet: the one asked for, or a free one.
    /// An IPv6 address has the number in its subnet that `beside`, its IPv4 neighbour, has, where that is free: so the
    /// two have the same hardware address when they are given out again.
    pub fn lease(
        &mut self,
        row: &NetworkRow,
        ipv6: bool,
        asked: Option<IpAddr>,
        beside: Option<IpAddr>,
    ) -> Result<Option<(IpAddr, u8)>> {
        if let Some(address) = asked {
            return self.lease_asked(row, address).map(Some);
        }
        let mut subnets = Vec::new();
        for pool in row.pools_of(ipv6) {
            let leases = self.leases.entry(pool.subnet).or_default();
            let preferred = beside.and_then(|other| {
                let own = number(other) - number(row.pool_with(other)?.subnet.network());
                let address = pool.subnet.at(number(pool.subnet.network()) + own);
                let in_range = pool.ip_range.unwrap_or(pool.subnet).contains(address);
                (in_range && leases.take(pool, address)).then_some(address)
            });
            if let Some(address) = preferred.or_else(|| leases.take_lowest(pool)) {
                return Ok(Some((address, pool.subnet.prefix())));
            }
            subnets.push(pool.subnet.to_string());
        }
        if subnets.is_empty() {
            return Ok(None);
        }
        let family = if ipv6 { "IPv6" } else { "IPv4" };
        Err(Error::NoAddress { family, network: row.name.clone(), subnet: subnets.join(", ") })
    }

    fn lease_asked(&mut self, row: &NetworkRow, address: IpAddr) -> Result<(IpAddr, u8)> {
        let Some(pool) = row.pool_with(address) else {
            let subnets: Vec<String> = row.pools.iter().map(|pool| pool.subnet.to_string()).collect();
            return Err(Error::Invalid(format!(
                "invalid address {address}: no configured subnet contains it (network {} has {})",
                row.name,
                subnets.join(", ")
            )));
        };
        if !self.leases.entry(pool.subnet).or_default().take(pool, address) {
            return Err(Error::AddressInUse { address, network: row.name.clone() });
        }
        Ok((address, pool.subnet.prefix()))
    }

    /// Gives the addresses of an endpoint back.
    pub fn give_back_addresses(&mut self, endpoint: &Endpoint) {
        let row = self.networks.get(&endpoint.network_id);
        for own in endpoint.interface.iter().flat_map(|interface| &interface.addresses) {
            let pool = row.and_then(|row| row.pool_with(own.address));
            if let Some(leases) = pool.and_then(|pool| self.leases.get_mut(&pool.subnet)) {
                leases.give_back(own.address);
            }
        }
    }

    /// Takes the addresses of an endpoint that has them already.
    pub fn retake_addresses(&mut self, endpoint: &Endpoint) {
        let row = self.networks.get(&endpoint.network_id);
        for own in endpoint.interface.iter().flat_map(|interface| &interface.addresses) {
            if let Some(pool) = row.and_then(|row| row.pool_with(own.address)) {
                self.leases.entry(pool.subnet).or_default().take(pool, own.address);
            }
        }
    }

    /// Gives back what a container has, and forgets it.
    pub fn remove(&mut self, container_id: &str) -> Option<Sandbox> {
        let sandbox = self.sandboxes.remove(container_id)?;
        self.unclaimed.remove(container_id);
        self.give_back(&sandbox);
        Some(sandbox)
    }

    /// Gives back addresses and ports.
    pub fn give_back(&mut self, sandbox: &Sandbox) {
        sandbox.endpoints.iter().for_each(|endpoint| self.give_back_addresses(endpoint));
        self.ports.give_back(&sandbox.published);
    }

    /// Takes over what a former daemon gave a container.
    pub fn recover(&mut self, sandbox: Sandbox) {
        sandbox.endpoints.iter().for_each(|endpoint| self.retake_addresses(endpoint));
        self.ports.retake(&sandbox.published);
        self.unclaimed.insert(sandbox.container_id.clone());
        self.sandboxes.insert(sandbox.container_id.clone(), sandbox);
    }
}
