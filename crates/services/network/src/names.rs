//! What containers' resolvers are told: who is in each network, and each container's networks and servers.
//!
//! Files under `<exec_root>/network`, read by the resolvers in the containers' shims whether or not a daemon is there:
//! `names/<network id>`, one for all its members, to which changes are appended, and `resolvers/<container id>`,
//! replaced by rename.

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use hull_dns::{Entry, Journal, Link, NetworkEntry, Servers, Settings};

use crate::endpoint::Sandbox;
use crate::files::{self, Resolver};
use crate::model::NetworkRow;
use crate::networks::Networks;
use crate::{Error, Result};

impl Networks {
    /// The file of a running container's resolver; `None` where it is in no network with names.
    pub fn resolver(&self, container_id: &str) -> Option<PathBuf> {
        let state = self.state();
        state.sandboxes.get(container_id)?.has_names().then(|| self.resolver_path(container_id))
    }

    /// What a running container's `resolv.conf` says when nobody changed it.
    pub fn resolv_conf(&self, container_id: &str) -> Option<String> {
        let state = self.state();
        Some(files::resolv_conf_of(state.sandboxes.get(container_id)?, &self.inner.config))
    }

    /// Tells of a change in every network with names that the container is in.
    pub(crate) fn tell_of(&self, sandbox: &Sandbox) {
        for endpoint in sandbox.endpoints.iter().filter(|endpoint| endpoint.has_names) {
            if let Err(error) = self.write_name(&endpoint.network_id, &sandbox.container_id) {
                tracing::warn!(network = endpoint.network_name, %error, "the network's names are not up to date");
            }
        }
    }

    /// Writes under which names a network has a container now, if at all: the same work however many are in it.
    fn write_name(&self, network_id: &str, container_id: &str) -> Result<()> {
        // The last to write has seen the last change.
        let mut journals = self.inner.names.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(journal) = journals.get_mut(network_id) else {
            return self.write_names(&mut journals, network_id);
        };
        let entry = self.member(network_id, container_id).map(entry);
        journal
            .set(container_id, entry.as_ref())
            .map(drop)
            .map_err(|source| self.names_not_written(network_id, source))
    }

    /// Writes who is in a network now.
    fn write_names(&self, journals: &mut HashMap<String, Journal>, network_id: &str) -> Result<()> {
        let members = self.members(network_id).into_iter();
        let entries = members.map(|member| (member.container_id.clone(), entry(member)));
        let journal = Journal::create(self.names_path().join(network_id), entries)
            .map_err(|source| self.names_not_written(network_id, source))?;
        journals.insert(network_id.to_owned(), journal);
        Ok(())
    }

    fn names_not_written(&self, network_id: &str, source: std::io::Error) -> Error {
        Error::File { act: "write", path: self.names_path().join(network_id), source }
    }

    /// Writes who is in each network, and forgets the networks that are no more.
    pub(crate) fn write_all_names(&self) -> Result<()> {
        let named: Vec<String> = {
            let state = self.state();
            state.networks.values().filter(|row| row.has_names()).map(|row| row.id.clone()).collect()
        };
        let path = self.names_path();
        for entry in
            fs::read_dir(&path).map_err(|source| Error::File { act: "read", path, source })?.flatten()
        {
            if !named.iter().any(|id| entry.file_name() == id.as_str()) {
                let _ = fs::remove_file(entry.path());
            }
        }
        let mut journals = self.inner.names.lock().unwrap_or_else(PoisonError::into_inner);
        named.iter().try_for_each(|id| self.write_names(&mut journals, id))
    }

    /// Forgets a network's names.
    pub(crate) fn remove_names(&self, network_id: &str) {
        self.inner.names.lock().unwrap_or_else(PoisonError::into_inner).remove(network_id);
        let _ = fs::remove_file(self.names_path().join(network_id));
    }

    /// Writes what a container's resolver is to do, if it has one.
    pub(crate) fn write_resolver(&self, sandbox: &Sandbox) -> Result<()> {
        let path = self.resolver_path(&sandbox.container_id);
        if !sandbox.has_names() {
            let _ = fs::remove_file(path);
            return Ok(());
        }
        replace(&path, &self.settings(sandbox).write())
    }

    pub(crate) fn remove_resolver(&self, container_id: &str) {
        let _ = fs::remove_file(self.resolver_path(container_id));
    }

    fn settings(&self, sandbox: &Sandbox) -> Settings {
        let state = self.state();
        let rows = sandbox.endpoints.iter().filter_map(|endpoint| state.networks.get(&endpoint.network_id));
        let networks = rows.map(|row: &NetworkRow| NetworkEntry {
            id: row.id.clone(),
            name: row.name.clone(),
            internal: row.internal,
        });
        let resolver =
            Resolver::of_host(&self.inner.config.resolv_conf).overridden(&sandbox.dns, &self.inner.config);
        let named = !sandbox.dns.servers.is_empty() || !self.inner.config.dns.is_empty();
        Settings {
            names: self.names_path(),
            networks: networks.collect(),
            links: links(sandbox),
            servers: if named {
                Servers::Named(resolver.servers.iter().filter_map(|server| server.parse().ok()).collect())
            } else {
                Servers::Host(self.inner.config.resolv_conf.clone())
            },
            dotless_stay: resolver.ndots().is_some_and(|dots| dots > 0),
        }
    }

    fn names_path(&self) -> PathBuf {
        self.inner.config.exec_root.join("network/names")
    }

    fn resolver_path(&self, container_id: &str) -> PathBuf {
        self.inner.config.exec_root.join("network/resolvers").join(container_id)
    }
}

fn entry(member: crate::Member) -> Entry {
    let addresses = member.ipv4.map(IpAddr::from).into_iter().chain(member.ipv6.map(IpAddr::from));
    Entry { addresses: addresses.collect(), names: member.names }
}

/// `--link name:alias` on a network with names.
fn links(sandbox: &Sandbox) -> Vec<Link> {
    let of = |endpoint: &crate::endpoint::Endpoint| {
        let texts = endpoint.requested.links.clone().unwrap_or_default();
        let network = endpoint.network_id.clone();
        texts.into_iter().map(move |text| {
            let (target, alias) = text.split_once(':').unwrap_or((&text, &text));
            Link {
                network: network.clone(),
                alias: alias.into(),
                target: target.trim_start_matches('/').into(),
            }
        })
    };
    sandbox.endpoints.iter().filter(|endpoint| endpoint.has_names).flat_map(of).collect()
}

fn replace(path: &Path, text: &str) -> Result<()> {
    let failed = |source| Error::File { act: "write", path: path.into(), source };
    let new = path.with_extension("new");
    fs::write(&new, text).and_then(|()| fs::rename(&new, path)).map_err(failed)
}
