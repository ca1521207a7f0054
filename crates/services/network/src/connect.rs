//! Into a network and out of it while the container runs.

use std::os::fd::BorrowedFd;

use hull_api_types::EndpointSettings;
use hull_netlink::{RouteSocket, link};
use hull_sys::netns;

use crate::attach::first_name;
use crate::endpoint::{Endpoint, Sandbox};
use crate::model::NetworkRow;
use crate::networks::Networks;
use crate::plan::{free_name, new_endpoint, plan_ports, prefix, usable};
use crate::state::State;
use crate::{Error, Result, bridge, firewall, loopback};

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
            let row = usable(&state, network)?.clone();
            let before = connectable(&state, &row, container_id)?.clone();
            let name = free_name(prefix(&row), |name| links.iter().any(|link| link.name == name));
            let endpoint = new_endpoint(&mut state, &row, settings.clone(), name)?;
            let mut after = before.clone();
            after.endpoints.push(endpoint.clone());
            if let Err(error) = plan_ports(&mut state, &mut after) {
                state.give_back_addresses(&endpoint);
                // What was published is so still.
                state.ports.retake_missing(&before.published);
                return Err(error);
            }
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
            let _ = self.unplug(Some(&mut inside), &row, endpoint);
            let _ = self.write_resolver(&before);
            self.put_back(&before, &after, endpoint);
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
            if let Err(error) = plan_ports(&mut state, &mut after) {
                state.ports.retake_missing(&before.published);
                return Err(error);
            }
            state.sandboxes.insert(container_id.to_owned(), after.clone());
            state.give_back_addresses(&endpoint);
            (before, after, row, endpoint)
        };
        let enter = |source| Error::Namespace { act: "enter", source };
        let open = || RouteSocket::open().map_err(std::io::Error::other);
        let mut inside = netns.map(|fd| netns::within(fd, open)).transpose().map_err(enter)?;
        if let Err(error) = self.unplug(inside.as_mut(), &row, &endpoint) {
            // It still has what it had.
            let mut state = self.state();
            state.retake_addresses(&endpoint);
            state.ports.give_back(&after.published);
            state.ports.retake(&before.published);
            state.sandboxes.insert(before.container_id.clone(), before);
            return Err(error);
        }
        self.move_gateway(inside.as_mut(), &before, &after)?;
        self.inner.records.put(&after)?;
        self.write_resolver(&after)?;
        self.publish_endpoint("disconnect", container_id, &endpoint);
        self.tell_of(&before);
        Ok(row.name)
    }

    fn unplug(&self, inside: Option<&mut RouteSocket>, row: &NetworkRow, endpoint: &Endpoint) -> Result<()> {
        let Some(interface) = &endpoint.interface else { return Ok(()) };
        let kernel = |source| Error::Kernel { network: row.name.clone(), source };
        let delete = |route: &mut RouteSocket, name: &str| match route.link_by_name(name).map_err(kernel)? {
            Some(port) => route.run(link::delete(port.index)).map_err(kernel),
            None => Ok(()),
        };
        match inside {
            // A sub-interface has no end on the host.
            _ if !interface.host_name.is_empty() => delete(&mut self.route(), &interface.host_name),
            Some(inside) => delete(inside, &interface.name),
            None => Ok(()),
        }
    }

    fn put_back(&self, before: &Sandbox, after: &Sandbox, endpoint: &Endpoint) {
        let mut state = self.state();
        state.give_back_addresses(endpoint);
        state.ports.give_back(&after.published);
        state.ports.retake(&before.published);
        state.sandboxes.insert(before.container_id.clone(), before.clone());
    }

    /// Default routes and published ports follow the endpoints that are the gateways now.
    fn move_gateway(
        &self,
        inside: Option<&mut RouteSocket>,
        before: &Sandbox,
        after: &Sandbox,
    ) -> Result<()> {
        let ways = [false, true].map(|v6| (v6, before.gateway_interface(v6), after.gateway_interface(v6)));
        if ways.iter().all(|(_, old, new)| old == new) && before.published == after.published {
            return Ok(());
        }
        if let Some(inside) = inside {
            for (ipv6, old, new) in ways {
                bridge::change_default_route(inside, first_name(after), ipv6, old, new)?;
            }
        }
        let table = &self.inner.config.table;
        let mut batch = firewall::withdraw(table, before, &before.published);
        batch.changes.extend(firewall::publish(table, after, &after.published).changes);
        let changed = self.change_ports(&batch, before.obeys() || after.obeys());
        self.change_loopback(loopback::withdraw(table, before).into_iter().flatten());
        self.change_loopback(loopback::publish(table, after));
        self.forget_connections(&before.published);
        self.forget_connections(&after.published);
        changed
    }
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
    if row.driver == crate::model::HOST {
        return Err(Error::Forbidden(
            "container cannot be disconnected from host network or connected to host network".into(),
        ));
    }
    if row.medium.is_none() || sandbox.endpoints.iter().any(|endpoint| endpoint.interface.is_none()) {
        return Err(Error::Invalid(format!(
            "container cannot be connected to multiple networks with one of the networks in private (none) mode: {}",
            row.name
        )));
    }
    Ok(sandbox)
}
