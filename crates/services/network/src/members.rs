//! Who is in a network, under which names: what a resolver answers from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::endpoint::Sandbox;
use crate::networks::Networks;

/// A running container's place in a network whose containers know each other by names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The container's full id.
    pub container_id: String,
    /// The container's name, which is what its address resolves to.
    pub name: String,
    /// All names that lead to it: its own, its aliases in this network, its short id, its host name. Several members
    /// may share an alias.
    pub names: Vec<String>,
    /// Its IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
}

impl Networks {
    /// The running containers of the network of that id and their names; empty where the network has no names (the
    /// predefined ones) or isn't there.
    pub fn members(&self, network_id: &str) -> Vec<Member> {
        let state = self.state();
        state.members(network_id).filter_map(|sandbox| member(sandbox, network_id)).collect()
    }

    /// One of them.
    pub(crate) fn member(&self, network_id: &str, container_id: &str) -> Option<Member> {
        member(self.state().sandboxes.get(container_id)?, network_id)
    }

    /// The ids of the networks with names that a running container is in, in the order of its interfaces.
    pub fn named_networks(&self, container_id: &str) -> Vec<String> {
        let state = self.state();
        let endpoints = state.sandboxes.get(container_id).into_iter().flat_map(|sandbox| &sandbox.endpoints);
        endpoints.filter(|endpoint| endpoint.has_names).map(|endpoint| endpoint.network_id.clone()).collect()
    }

    /// Whether a running container has a way to the outside: not, where it is in internal networks only.
    pub fn reaches_outside(&self, container_id: &str) -> bool {
        let state = self.state();
        state.sandboxes.get(container_id).is_some_and(Sandbox::reaches_outside)
    }
}

fn member(sandbox: &Sandbox, network_id: &str) -> Option<Member> {
    let endpoint = sandbox.endpoint(network_id).filter(|endpoint| endpoint.has_names)?;
    Some(Member {
        container_id: sandbox.container_id.clone(),
        name: sandbox.name.clone(),
        names: endpoint.names(sandbox),
        ipv4: endpoint.address(false).and_then(|own| match own.address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        }),
        ipv6: endpoint.address(true).and_then(|own| match own.address {
            IpAddr::V6(address) => Some(address),
            IpAddr::V4(_) => None,
        }),
    })
}
