//! Networks joined and left, while running or before.

use super::{Supervisor, hosts};
use crate::engine::blocking;
use crate::error::{Error, Result};
use crate::record::Phase;
use hull_api_types::EndpointSettings;
use std::os::fd::AsFd;
use std::sync::Arc;

impl Supervisor {
    pub(super) async fn connect(&mut self, network: String, settings: EndpointSettings) -> Result<()> {
        self.check_changeable()?;
        let resolv_conf = self.engine.networks.resolv_conf(&self.spec.id);
        let networks = self.engine.networks.clone();
        let (id, pid, wanted) =
            (self.spec.id.clone(), self.live.as_ref().map(|_| self.state.pid), settings.clone());
        let (name, actual) = blocking(move || {
            let Some(pid) = pid else {
                let found = networks.inspect(&network).map_err(Error::service)?;
                return Ok((found.name, None));
            };
            let netns =
                hull_sys::netns::of_process(pid).map_err(Error::io("open the container's network"))?;
            let (name, actual) =
                networks.connect(&network, &id, netns.as_fd(), &wanted).map_err(Error::service)?;
            Ok((name, Some(actual)))
        })
        .await?;
        if actual.is_none() && self.spec.networks.contains_key(&name) && self.phase() != Phase::Created {
            return Err(Error::Forbidden(format!(
                "endpoint with name {} already exists in network {name}",
                self.spec.name
            )));
        }
        let mut spec = (*self.spec).clone();
        spec.networks.insert(name.clone(), settings);
        if spec.host_config.network_mode == "none" {
            spec.networks.remove("none");
        }
        self.spec = Arc::new(spec);
        if let Some(actual) = actual {
            let lines = hosts::lines(&hosts::addresses(&actual), &self.own_names());
            hosts::change(&self.engine, &self.spec.id, |_, _| false, &lines);
            self.state.network.endpoints.insert(name, actual);
            self.follow_names(resolv_conf).await?;
        }
        self.refresh_endpoints();
        self.write_spec()?;
        self.record();
        Ok(())
    }

    pub(super) async fn disconnect(&mut self, network: String, force: bool) -> Result<()> {
        self.check_changeable()?;
        let resolv_conf = self.engine.networks.resolv_conf(&self.spec.id);
        let networks = self.engine.networks.clone();
        let (id, pid) = (self.spec.id.clone(), self.live.as_ref().map(|_| self.state.pid));
        let live = pid.is_some();
        let name = blocking(move || {
            if let Some(pid) = pid {
                let netns =
                    hull_sys::netns::of_process(pid).map_err(Error::io("open the container's network"))?;
                return networks.disconnect(&network, &id, Some(netns.as_fd())).map_err(Error::service);
            }
            match networks.inspect(&network) {
                Ok(found) => Ok(found.name),
                // With force a network that is gone is left too.
                Err(_) if force => Ok(network),
                Err(error) => Err(Error::service(error)),
            }
        })
        .await?;
        let mut spec = (*self.spec).clone();
        let known = spec.networks.remove(&name).is_some();
        if !known && !live {
            return Err(Error::Forbidden(format!(
                "container {} is not connected to the network {name}",
                self.spec.id
            )));
        }
        self.spec = Arc::new(spec);
        let left = self.state.network.endpoints.remove(&name);
        if live {
            let (names, gone) = (self.own_names(), left.as_ref().map(hosts::addresses).unwrap_or_default());
            let is_gone =
                |address: &str, known: &str| known == names && gone.iter().any(|own| own == address);
            hosts::change(&self.engine, &self.spec.id, is_gone, &[]);
            self.follow_names(resolv_conf).await?;
        }
        self.refresh_endpoints();
        self.write_spec()?;
        self.record();
        Ok(())
    }

    /// The names of its own lines in the hosts file.
    fn own_names(&self) -> String {
        hull_network::own_names(&self.spec.config.hostname, &self.spec.config.domainname)
    }

    /// Brings the resolver and `resolv.conf` of a running container up to date; `before` is what Hull wrote there, and
    /// what somebody else wrote stays.
    async fn follow_names(&mut self, before: Option<String>) -> Result<()> {
        let networks = &self.engine.networks;
        let path = self.engine.bundle(&self.spec.id).join("resolv.conf");
        let after = networks.resolv_conf(&self.spec.id);
        if let (Some(before), Some(after)) = (before, after)
            && before != after
            && std::fs::read_to_string(&path).is_ok_and(|text| text == before)
        {
            // In place: the container has this very file.
            std::fs::write(&path, after).map_err(Error::io(format!("write {}", path.display())))?;
        }
        let task = self.live.as_ref().map(|live| live.task.clone());
        match (networks.resolver(&self.spec.id), task) {
            (Some(settings), Some(task)) => task.resolve(&settings).await.map_err(Error::service),
            _ => Ok(()),
        }
    }

    /// Another endpoint may have become the gateway's.
    fn refresh_endpoints(&mut self) {
        if self.live.is_some()
            && let Some((endpoints, ports)) = self.engine.networks.endpoints(&self.spec.id)
        {
            self.state.network.endpoints = endpoints.into_iter().collect();
            self.state.network.ports = ports;
        }
    }

    fn check_changeable(&self) -> Result<()> {
        if matches!(self.phase(), Phase::Removing | Phase::Dead) {
            return Err(Error::Forbidden(format!(
                "container {} is marked for removal and cannot be connected or disconnected to the network",
                self.spec.id
            )));
        }
        let mode = &self.spec.host_config.network_mode;
        if mode == "host" {
            return Err(Error::Forbidden(
                "container cannot be disconnected from host network or connected to host network".into(),
            ));
        }
        if mode.starts_with("container:") {
            return Err(Error::Forbidden(
                "container sharing network namespace with another container or host cannot be connected to any other \
                 network"
                    .into(),
            ));
        }
        Ok(())
    }
}
