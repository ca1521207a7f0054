//! A container's way into its networks, and out.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, BorrowedFd};

use hull_api_types::PortMap;
use hull_netlink::RouteSocket;

use crate::endpoint::{Endpoint, Sandbox};
use crate::model::{GatewayMode, Medium, NetworkRow};
use crate::namespaces::Namespace;
use crate::networks::Networks;
use crate::plan::{self, Mode};
use crate::ports::Reach;
use crate::{AttachRequest, Attachment, Result, bridge, files, ports, sub_interface};

impl Networks {
    /// Gives a container its network: namespace, interfaces, addresses, published ports, the files about them.
    /// For the modes `host` and `container:` there is no namespace to give; a container in another's network
    /// shares that one's files as well, and gets an empty answer.
    ///
    /// What an earlier attachment of the same container left is released first. Nothing is left of a failure.
    pub fn attach(&self, request: &AttachRequest) -> Result<Attachment> {
        self.release(&request.container_id)?;
        match plan::mode(&request.network_mode) {
            Mode::Container => Ok(Attachment::default()),
            Mode::Host => self.attach_to_host(request),
            Mode::Own(first) => self.attach_own(request, &first),
        }
    }

    /// Whether the networks that a container asks for exist and its ports can be read; takes nothing.
    pub fn validate(&self, request: &AttachRequest) -> Result<()> {
        let state = self.state();
        match plan::mode(&request.network_mode) {
            Mode::Container => Ok(()),
            Mode::Host => state.network("host").map(|_| ()),
            Mode::Own(first) => {
                let rows = plan::wanted_networks(&state, request, &first)?;
                for (row, settings) in &rows {
                    plan::asked(row, settings)?;
                }
                let reach = |ipv6| {
                    let mut rows = rows.iter().map(|(row, _)| row);
                    rows.any(|row| row.pools_of(ipv6).next().is_some()).then_some(GatewayMode::Nat)
                };
                // A network without an outside publishes nothing, so nothing of it can be wrong.
                let (ipv4, ipv6) = (reach(false), reach(true));
                let default_address = Ipv4Addr::UNSPECIFIED.into();
                let reach = Reach { ipv4, ipv6, default_address, obeys: false };
                let asked = plan::asked_ports(request);
                if ipv4.is_none() && ipv6.is_none() {
                    return Ok(());
                }
                ports::read(&asked, reach).map(|_| ())
            }
        }
    }

    fn attach_to_host(&self, request: &AttachRequest) -> Result<Attachment> {
        let hosts = files::host_network_hosts(request, &self.host_gateway())?;
        let sandbox = {
            let mut state = self.state();
            let row = state.network("host")?.clone();
            let requested = plan::asked_of(request, &row).cloned().unwrap_or_default();
            let sandbox = Sandbox {
                endpoints: vec![plan::endpoint_without_interface(&row, requested)?],
                ..plan::empty_sandbox(request)?
            };
            state.sandboxes.insert(sandbox.container_id.clone(), sandbox.clone());
            sandbox
        };
        self.inner.records.put(&sandbox).inspect_err(|_| {
            self.state().remove(&request.container_id);
        })?;
        self.publish_endpoint("connect", &sandbox.container_id, &sandbox.endpoints[0]);
        let resolv_conf = files::host_network_resolv_conf(&sandbox.dns, &self.inner.config);
        Ok(Attachment {
            netns: None,
            sandbox_id: sandbox.sandbox_id.clone(),
            endpoints: sandbox.settings(),
            ports: PortMap::new(),
            hosts,
            resolv_conf,
            resolver: None,
        })
    }

    fn attach_own(&self, request: &AttachRequest, first: &str) -> Result<Attachment> {
        let mut namespace = self.inner.namespaces.take()?;
        let (sandbox, rows, links) = {
            let mut state = self.state();
            let (sandbox, rows) = plan::plan(&mut state, request, first)?;
            state.sandboxes.insert(sandbox.container_id.clone(), sandbox.clone());
            (sandbox, rows, plan::linked(&state, request))
        };
        match self.build(request, &mut namespace, &sandbox, &rows, &links) {
            Ok((hosts, resolv_conf)) => {
                self.forget_connections(&sandbox.published);
                for endpoint in &sandbox.endpoints {
                    self.publish_endpoint("connect", &sandbox.container_id, endpoint);
                }
                self.tell_of(&sandbox);
                Ok(Attachment {
                    netns: Some(namespace.fd),
                    sandbox_id: sandbox.sandbox_id.clone(),
                    endpoints: sandbox.settings(),
                    ports: ports::to_api(&sandbox.published, &sandbox.exposed),
                    hosts,
                    resolv_conf,
                    resolver: self.resolver(&request.container_id),
                })
            }
            Err(error) => {
                // The interfaces go with the namespace.
                self.state().remove(&request.container_id);
                self.remove_resolver(&request.container_id);
                let _ = self.inner.records.remove(&request.container_id);
                Err(error)
            }
        }
    }

    /// Makes what was planned. The ports come last: nothing has to be withdrawn when a step fails.
    fn build(
        &self,
        request: &AttachRequest,
        namespace: &mut Namespace,
        sandbox: &Sandbox,
        rows: &[NetworkRow],
        links: &[(IpAddr, Vec<String>)],
    ) -> Result<(String, String)> {
        let own = sandbox.endpoints.iter().flat_map(|e| &e.interface).flat_map(|i| &i.addresses);
        let own: Vec<IpAddr> = own.map(|own| own.address).collect();
        let hosts = files::hosts(request, &own, links, &self.host_gateway())?;
        let resolv_conf = files::resolv_conf_of(sandbox, &self.inner.config);
        // The record comes before the interfaces: a daemon that dies in between leaves one for the next to release.
        self.inner.records.put(sandbox)?;
        self.write_resolver(sandbox)?;
        for (endpoint, row) in sandbox.endpoints.iter().zip(rows) {
            self.plug(&mut namespace.route, namespace.fd.as_fd(), row, endpoint)?;
        }
        for ipv6 in [false, true] {
            let (inside, way) = (&mut namespace.route, sandbox.gateway_interface(ipv6));
            bridge::change_default_route(inside, first_name(sandbox), ipv6, None, way)?;
        }
        self.publish_ports(sandbox)?;
        Ok((hosts, resolv_conf))
    }

    pub(crate) fn plug(
        &self,
        inside: &mut RouteSocket,
        netns: BorrowedFd<'_>,
        row: &NetworkRow,
        endpoint: &Endpoint,
    ) -> Result<()> {
        let (Some(medium), Some(interface)) = (&row.medium, &endpoint.interface) else { return Ok(()) };
        let mut route = self.route();
        match medium {
            Medium::Bridge(made) => bridge::plug(&mut route, inside, netns, &row.name, made, interface),
            Medium::Parent(parent) => sub_interface::plug(&mut route, inside, netns, row, parent, interface),
        }
    }

    /// What `host-gateway` stands for: as configured, or the default bridge's addresses.
    pub(crate) fn host_gateway(&self) -> Vec<IpAddr> {
        let configured = &self.inner.config.host_gateway;
        if !configured.is_empty() {
            return configured.clone();
        }
        let state = self.state();
        let row = state.by_name("bridge");
        row.into_iter().flat_map(|row| &row.pools).filter_map(|pool| pool.gateway).collect()
    }

    /// Gives back a container's addresses and ports. Its namespace goes with its processes. Nothing happens where
    /// it has none.
    pub fn release(&self, container_id: &str) -> Result<()> {
        let Some(sandbox) = self.state().remove(container_id) else { return Ok(()) };
        let withdrawn = self.withdraw_ports(&sandbox);
        self.forget_connections(&sandbox.published);
        self.inner.records.remove(container_id)?;
        self.remove_resolver(container_id);
        for endpoint in &sandbox.endpoints {
            self.publish_endpoint("disconnect", container_id, endpoint);
        }
        self.tell_of(&sandbox);
        withdrawn
    }
}

pub(crate) fn first_name(sandbox: &Sandbox) -> &str {
    sandbox.endpoints.first().map_or("none", |endpoint| &endpoint.network_name)
}
