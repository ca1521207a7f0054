//! Who is in a network, under which names: what a resolver answers from.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::{Endpoint, Sandbox};
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

type Listener = dyn Fn(&str) + Send + Sync;

/// Who wants to know when a network's members or their names change.
#[derive(Default, Clone)]
pub(crate) struct Listeners {
    list: Arc<Mutex<Vec<Arc<Listener>>>>,
}

impl fmt::Debug for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listeners").finish_non_exhaustive()
    }
}

impl Listeners {
    fn add(&self, listener: Arc<Listener>) {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).push(listener);
    }

    pub fn tell(&self, network_id: &str) {
        let listeners = self.list.lock().unwrap_or_else(PoisonError::into_inner).clone();
        listeners.iter().for_each(|listener| listener(network_id));
    }
}

impl Networks {
    /// The running containers of the network of that id and their names; empty where the network has no names (the
    /// predefined ones) or isn't there.
    pub fn members(&self, network_id: &str) -> Vec<Member> {
        let state = self.state();
        let member = |sandbox: &Sandbox| {
            let endpoint = sandbox.endpoint(network_id).filter(|endpoint| endpoint.has_names)?;
            Some(member(sandbox, endpoint))
        };
        state.members(network_id).filter_map(member).collect()
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
        state.sandboxes.get(container_id).is_some_and(|sandbox| sandbox.gateway_endpoint().is_some())
    }

    /// Calls `listener` with a network's id after each change of its members or their names, before the call that
    /// made the change returns. It may be called from any thread, and must not block.
    pub fn on_members_changed(&self, listener: impl Fn(&str) + Send + Sync + 'static) {
        self.inner.listeners.add(Arc::new(listener));
    }

    /// Tells of a change in every network with names that the container is in.
    pub(crate) fn tell_of(&self, sandbox: &Sandbox) {
        for endpoint in sandbox.endpoints.iter().filter(|endpoint| endpoint.has_names) {
            self.inner.listeners.tell(&endpoint.network_id);
        }
    }
}

fn member(sandbox: &Sandbox, endpoint: &Endpoint) -> Member {
    Member {
        container_id: sandbox.container_id.clone(),
        name: sandbox.name.clone(),
        names: endpoint.names(sandbox),
        ipv4: endpoint.interface.as_ref().map(|interface| interface.address),
        ipv6: None,
    }
}
