//! Into a network and out of it while the container runs.

use std::os::fd::BorrowedFd;

use hull_api_types::EndpointSettings;
use hull_netlink::{RouteSocket, link};
use hull_sys::netns;

use crate::attach::first_name;
use crate::model::{Endpoint, NetworkRow, Sandbox};
use crate::networks::Networks;
use crate::plan::{new_endpoint, prefix};
use crate::state::State;
use crate::{Error, Result, bridge, firewall};

impl Networks {
    /// Puts a running container, whose namespace is `netns`, into one more network. The answer is the network's
    /// name and the settings filled in.
    pub fn connect(
        &self,
        network: &str,
        container_id: &str,
        netns: BorrowedFd<'_>,
        settings: &EndpointSettings,
    ) -> Result<(String, EndpointSettings)> {
        let enter = |source| Error::Namespace { act: "enter", source };
        let open = || RouteSocket::open().map_err(std::io::Error::other);
        let mut inside = netns::within(netns, open).map_err(enter)?;
        let kernel = |source| Error::Kernel { network: network.to_owned(), source };
        let links = inside.links().map_err(kernel)?;
        let (before, after, row) = {
            let mut state = self.state();
            let row = state.network(network)?.clone();
            let before = connectable(&state, &row, container_id)?.clone();
            let name = free_name(&links, prefix(&row));
            let endpoint = new_endpoint(&mut state, &row, settings.clone(), name)?;
            let mut after = before.clone();
            after.endpoints.push(endpoint);
            state.sandboxes.insert(container_id.to_owned(), after.clone());
            (before, after, row)
        };
        let endpoint = &after.endpoints[after.endpoints.len() - 1];
        let plugged = self
            .plug(&mut inside, netns, &row, endpoint)
            .and_then(|()| self.move_gateway(Some(&mut inside), &before, &after))
            .and_then(|()| self.inner.records.put(&after))
            .and_then(|()| self.write_resolver(&after));
        if let Err(error) = plugged {
            let _ = self.unplug(&row, endpoint);
            let _ = self.write_resolver(&before);
            self.put_back(&before, endpoint);
            return Err(error);
        }
        self.publish_endpoint("connect", container_id, endpoint);
        self.tell_of(&after);
        Ok((row.name, endpoint.settings(&after)))
    }

    /// Takes a running container out of a network. `netns` is its namespace, in which another of its networks may
    /// have to become the default route. The answer is the network's name.
    pub fn disconnect(
        &self,
        network: &str,
        container_id: &str,
        netns: Option<BorrowedFd<'_>>,
    ) -> Result<String> {
        let (before, after, row, endpoint) = {
            let mut state = self.state();
            let row = state.network(network)?.clone();
            let before = state.sandboxes.get(container_id).cloned();
            let not_in = || {
                Error::Forbidden(format!("container {container_id} is not connected to network {}", row.name))
            };
            let before = before.filter(|sandbox| sandbox.endpoint(&row.id).is_some()).ok_or_else(not_in)?;
            if row.driver == crate::model::HOST {
                return Err(Error::Forbidden("container cannot be disconnected from host network".into()));
            }
            let mut after = before.clone();
            after.endpoints.retain(|endpoint| endpoint.network_id != row.id);
            let endpoint = before.endpoint(&row.id).cloned().ok_or_else(not_in)?;
            state.sandboxes.insert(container_id.to_owned(), after.clone());
            if let (Some(interface), Some(leases)) = (&endpoint.interface, state.leases.get_mut(&row.id)) {
                leases.give_back(interface.address);
            }
            (before, after, row, endpoint)
        };
        if let Err(error) = self.unplug(&row, &endpoint) {
            // It still has what it had.
            let mut state = self.state();
            if let (Some(interface), Some(made)) = (&endpoint.interface, &row.bridge) {
                state.leases.entry(row.id).or_default().take(made, interface.address);
            }
            state.sandboxes.insert(before.container_id.clone(), before);
            return Err(error);
        }
        let enter = |source| Error::Namespace { act: "enter", source };
        let open = || RouteSocket::open().map_err(std::io::Error::other);
        let mut inside = netns.map(|fd| netns::within(fd, open)).transpose().map_err(enter)?;
        self.move_gateway(inside.as_mut(), &before, &after)?;
        self.inner.records.put(&after)?;
        self.write_resolver(&after)?;
        self.publish_endpoint("disconnect", container_id, &endpoint);
        self.tell_of(&before);
        Ok(row.name)
    }

    fn unplug(&self, row: &NetworkRow, endpoint: &Endpoint) -> Result<()> {
        let Some(interface) = &endpoint.interface else { return Ok(()) };
        let kernel = |source| Error::Kernel { network: row.name.clone(), source };
        let mut route = self.route();
        match route.link_by_name(&interface.host_name).map_err(kernel)? {
            Some(port) => route.run(link::delete(port.index)).map_err(kernel),
            None => Ok(()),
        }
    }

    fn put_back(&self, before: &Sandbox, endpoint: &Endpoint) {
        let mut state = self.state();
        if let (Some(interface), Some(leases)) =
            (&endpoint.interface, state.leases.get_mut(&endpoint.network_id))
        {
            leases.give_back(interface.address);
        }
        state.sandboxes.insert(before.container_id.clone(), before.clone());
    }

    /// Default route and published ports follow the endpoint that is the gateway now.
    fn move_gateway(
        &self,
        inside: Option<&mut RouteSocket>,
        before: &Sandbox,
        after: &Sandbox,
    ) -> Result<()> {
        let (old, new) = (before.gateway_interface(), after.gateway_interface());
        if old == new {
            return Ok(());
        }
        if let Some(inside) = inside {
            bridge::change_default_route(inside, first_name(after), old, new)?;
        }
        let table = &self.inner.config.table;
        let mut batch = firewall::withdraw(table, before, &before.published);
        batch.changes.extend(firewall::publish(table, after, &after.published).changes);
        self.change_filter(&batch)
    }
}

fn free_name(links: &[link::Link], prefix: &str) -> String {
    let taken = |name: &String| links.iter().any(|link| link.name == *name);
    (0..).map(|number| format!("{prefix}{number}")).find(|name| !taken(name)).unwrap_or_default()
}

fn connectable<'a>(state: &'a State, row: &NetworkRow, container_id: &str) -> Result<&'a Sandbox> {
    let unknown = || Error::Conflict(format!("container {container_id} has no network namespace of its own"));
    let sandbox = state.sandboxes.get(container_id).ok_or_else(unknown)?;
    if sandbox.endpoint(&row.id).is_some() {
        return Err(Error::Forbidden(format!(
            "endpoint with name {} already exists in network {}",
            sandbox.name, row.name
        )));
    }
    let in_host = |endpoint: &Endpoint| endpoint.network_name == "host";
    if sandbox.endpoints.iter().any(in_host) {
        return Err(Error::Forbidden(
            "container in the host's network cannot be connected to another".into(),
        ));
    }
    if row.bridge.is_none() || sandbox.endpoints.iter().any(|endpoint| endpoint.interface.is_none()) {
        return Err(Error::Invalid(format!(
            "container cannot be connected to multiple networks with one of the networks in private (none) mode: {}",
            row.name
        )));
    }
    Ok(sandbox)
}
