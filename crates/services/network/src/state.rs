//! What the daemon knows: networks, live endpoints, addresses and ports given out. No I/O but for binding ports.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::Ipv4Addr;

use crate::address_pool::Leases;
use crate::model::{NetworkRow, Sandbox};
use crate::ports::Ports;
use crate::{Error, Result};

#[derive(Debug, Default)]
pub(crate) struct State {
    /// By id.
    pub networks: BTreeMap<String, NetworkRow>,
    /// By the network's id.
    pub leases: HashMap<String, Leases>,
    /// By the container's id.
    pub sandboxes: BTreeMap<String, Sandbox>,
    /// Containers of a former daemon that nobody has taken over yet.
    pub unclaimed: HashSet<String>,
    pub ports: Ports,
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

    /// An address on a network: the one asked for, or the lowest free one.
    pub fn lease(&mut self, row: &NetworkRow, asked: Option<Ipv4Addr>) -> Result<Option<Ipv4Addr>> {
        let Some(bridge) = &row.bridge else { return Ok(None) };
        let leases = self.leases.entry(row.id.clone()).or_default();
        let Some(address) = asked else {
            let no_address =
                || Error::NoAddress { network: row.name.clone(), subnet: bridge.subnet.to_string() };
            return leases.take_lowest(bridge).map(Some).ok_or_else(no_address);
        };
        if !bridge.subnet.contains(address) {
            return Err(Error::Invalid(format!(
                "invalid address {address}: no configured subnet contains it (network {} has {})",
                row.name, bridge.subnet
            )));
        }
        if !leases.take(bridge, address) {
            return Err(Error::AddressInUse { address, network: row.name.clone() });
        }
        Ok(Some(address))
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
        for endpoint in &sandbox.endpoints {
            if let (Some(interface), Some(leases)) =
                (&endpoint.interface, self.leases.get_mut(&endpoint.network_id))
            {
                leases.give_back(interface.address);
            }
        }
        self.ports.give_back(&sandbox.published);
    }

    /// Takes over what a former daemon gave a container.
    pub fn recover(&mut self, sandbox: Sandbox) {
        for endpoint in &sandbox.endpoints {
            let bridge = self.networks.get(&endpoint.network_id).and_then(|row| row.bridge.as_ref());
            if let (Some(interface), Some(bridge)) = (&endpoint.interface, bridge) {
                self.leases.entry(endpoint.network_id.clone()).or_default().take(bridge, interface.address);
            }
        }
        self.ports.retake(&sandbox.published);
        self.unclaimed.insert(sandbox.container_id.clone());
        self.sandboxes.insert(sandbox.container_id.clone(), sandbox);
    }
}
