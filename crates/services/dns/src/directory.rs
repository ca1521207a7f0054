//! What a container's resolver knows now.

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::followed::Followed;
use crate::settings::{NetworkEntry, Servers, Settings, host_servers};
use crate::table::Names;
use crate::watched::Watched;
use crate::{Error, LIMITS, Result};

// The host's file changes when a person or a DHCP lease does something.
const HOST_EVERY: Duration = Duration::from_secs(1);

/// Whom Docker asks where the host names nobody.
const FALLBACK: [IpAddr; 2] =
    [IpAddr::V4(std::net::Ipv4Addr::new(8, 8, 8, 8)), IpAddr::V4(std::net::Ipv4Addr::new(8, 8, 4, 4))];

/// A container's settings with the names of its networks and the servers outside.
#[derive(Debug)]
pub struct Directory {
    settings: Watched<Settings>,
    names: Vec<Followed>,
    host: Option<Watched<Vec<IpAddr>>>,
    host_looked_at: Option<Instant>,
}

/// What is known of a name.
#[derive(Debug, PartialEq, Eq)]
pub enum Known<'a> {
    /// These addresses, of either family.
    Here(&'a [IpAddr]),
    /// Nothing: the servers outside may know.
    No,
}

/// Whom to ask, and from where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Upstreams<'a> {
    pub servers: &'a [IpAddr],
    /// From the container's network namespace, not the host's.
    pub inside: bool,
}

impl Directory {
    /// Opens a container's file.
    pub fn open(settings: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(settings)
            .map_err(|source| Error::Read { path: settings.into(), source })?;
        Settings::read(&text).map_err(|line| Error::Format {
            path: settings.into(),
            line,
            text: text.lines().nth(line - 1).unwrap_or_default().into(),
        })?;
        Ok(Self {
            settings: Watched::new(settings.into()),
            names: Vec::new(),
            host: None,
            host_looked_at: None,
        })
    }

    /// Reads again what has changed.
    pub fn refresh(&mut self) {
        if self.settings.refresh(|text| Settings::read(text).ok()) {
            self.follow_settings();
        }
        for names in &mut self.names {
            names.refresh();
        }
        if let Some(host) = &mut self.host
            && self.host_looked_at.is_none_or(|then| then.elapsed() >= HOST_EVERY)
        {
            host.refresh(|text| Some(host_servers(text)));
            self.host_looked_at = Some(Instant::now());
        }
    }

    /// Lets go of everything that can be read again.
    pub fn forget(&mut self) {
        self.settings.forget();
        self.names = Vec::new();
        self.host = None;
        self.host_looked_at = None;
    }

    fn follow_settings(&mut self) {
        let Some(settings) = &self.settings.value else {
            self.names.clear();
            return;
        };
        let mut before = std::mem::take(&mut self.names);
        for network in &settings.networks {
            let path = settings.names.join(&network.id);
            let known = before.iter().position(|names| names.path() == path);
            self.names.push(known.map_or_else(|| Followed::new(path), |index| before.swap_remove(index)));
        }
        match &settings.servers {
            Servers::Host(path) if self.host.as_ref().is_some_and(|host| host.path() == path) => {}
            Servers::Host(path) => {
                self.host = Some(Watched::new(path.clone()));
                self.host_looked_at = None;
            }
            Servers::Named(_) => self.host = None,
        }
    }

    fn networks(&self) -> impl Iterator<Item = (&NetworkEntry, &Names)> {
        let entries = self.settings.value.iter().flat_map(|settings| &settings.networks);
        entries.zip(&self.names).filter_map(|(entry, names)| Some((entry, names.value.as_ref()?)))
    }

    /// What is known of a name in lower case: as it is in any network, or `name.network` in that one. A network's own
    /// aliases come first.
    pub fn known(&self, name: &str) -> Known<'_> {
        for (entry, names) in self.networks() {
            if let Some(found) = self.in_network(entry, names, name) {
                return Known::Here(found);
            }
        }
        for (dot, _) in name.match_indices('.') {
            let (name, network) = (&name[..dot], &name[dot + 1..]);
            for (entry, names) in
                self.networks().filter(|(entry, _)| entry.name.eq_ignore_ascii_case(network))
            {
                if let Some(found) = self.in_network(entry, names, name) {
                    return Known::Here(found);
                }
            }
        }
        Known::No
    }

    fn in_network<'a>(&'a self, entry: &NetworkEntry, names: &'a Names, name: &str) -> Option<&'a [IpAddr]> {
        let links = self.settings.value.iter().flat_map(|settings| &settings.links);
        let mut aliases =
            links.filter(|link| link.network == entry.id && link.alias.eq_ignore_ascii_case(name));
        aliases
            .find_map(|link| names.addresses(&link.target.to_ascii_lowercase()))
            .or_else(|| names.addresses(name))
    }

    /// The name of an address: `container.network`.
    pub(crate) fn name_of(&self, address: IpAddr) -> Option<String> {
        self.networks().find_map(|(entry, names)| Some(format!("{}.{}", names.name_of(address)?, entry.name)))
    }

    pub(crate) fn dotless_stay(&self) -> bool {
        self.settings.value.as_ref().is_some_and(|settings| settings.dotless_stay)
    }

    /// Whom to ask for other names. On internal networks alone only whom the container could reach by itself.
    pub(crate) fn upstreams(&self) -> Upstreams<'_> {
        let none = Upstreams { servers: &[], inside: true };
        let Some(settings) = &self.settings.value else { return none };
        let upstreams = match &settings.servers {
            Servers::Named(servers) => Upstreams { servers, inside: true },
            Servers::Host(_) if settings.networks.iter().all(|network| network.internal) => return none,
            Servers::Host(_) => {
                let servers = self.host.as_ref().and_then(|host| host.value.as_deref()).unwrap_or_default();
                let servers = if servers.is_empty() { &FALLBACK } else { servers };
                Upstreams { servers, inside: false }
            }
        };
        Upstreams { servers: &upstreams.servers[..upstreams.servers.len().min(LIMITS.servers)], ..upstreams }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(settings: &str, networks: &[(&str, &str)]) -> (Directory, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        for (id, text) in networks {
            std::fs::write(folder.path().join(id), {
                let lines: String = text.lines().map(|line| format!("+{line}\n")).collect();
                format!("hull-names 2\n{lines}")
            })
            .unwrap();
        }
        let path = folder.path().join("settings");
        std::fs::write(&path, format!("hull-resolver 1\nnames {}\n{settings}", folder.path().display()))
            .unwrap();
        let mut directory = Directory::open(&path).unwrap();
        directory.refresh();
        (directory, folder)
    }

    fn here(directory: &Directory, name: &str) -> Vec<String> {
        match directory.known(name) {
            Known::Here(addresses) => addresses.iter().map(IpAddr::to_string).collect(),
            Known::No => Vec::new(),
        }
    }

    #[test]
    fn names_are_found_in_the_networks_order_and_by_network() {
        let settings = "network 0 aa front\nnetwork 1 bb back.end\nlink bb db postgres\n";
        let networks =
            [("aa", "10.1.0.2 web shop\n10.1.0.3 web2 shop\n"), ("bb", "10.2.0.2 web\n10.2.0.5 postgres\n")];
        let (directory, _folder) = directory(settings, &networks);
        assert_eq!(here(&directory, "web"), ["10.1.0.2"]);
        assert_eq!(here(&directory, "shop"), ["10.1.0.2", "10.1.0.3"]);
        assert_eq!(here(&directory, "web.back.end"), ["10.2.0.2"]);
        assert_eq!(here(&directory, "db"), ["10.2.0.5"]);
        assert_eq!(here(&directory, "db.front"), Vec::<String>::new());
        assert_eq!(directory.known("example.org"), Known::No);
        assert_eq!(directory.name_of("10.2.0.5".parse().unwrap()).as_deref(), Some("postgres.back.end"));
    }

    #[test]
    fn nobody_outside_is_asked_on_internal_networks() {
        let (closed, folder) = directory("network 1 bb back\nhost /etc/resolv.conf\n", &[]);
        assert!(closed.upstreams().servers.is_empty());
        drop(folder);
        let (named, _folder) = directory("network 1 bb back\nserver 10.2.0.9\n", &[]);
        let upstreams = named.upstreams();
        assert!(upstreams.inside && upstreams.servers.len() == 1, "as far as the container itself can reach");
        let (open, _folder) = directory("network 1 bb b\nnetwork 0 aa a\nhost /does/not/exist\n", &[]);
        assert_eq!(open.upstreams(), Upstreams { servers: &FALLBACK, inside: false });
    }

    #[test]
    fn changes_are_followed() {
        let (mut directory, folder) = directory("network 0 aa front\n", &[("aa", "10.1.0.2 web\n")]);
        std::fs::write(folder.path().join("new"), "hull-names 2\n+10.1.0.2 renamed\n").unwrap();
        std::fs::rename(folder.path().join("new"), folder.path().join("aa")).unwrap();
        std::fs::write(folder.path().join("bb"), "hull-names 2\n+10.2.0.2 new\n").unwrap();
        directory.refresh();
        assert_eq!((here(&directory, "web").len(), here(&directory, "renamed").len()), (0, 1));
        let text = format!("hull-resolver 1\nnames {}\nnetwork 0 bb b\n", folder.path().display());
        std::fs::write(folder.path().join("settings"), text).unwrap();
        directory.refresh();
        assert_eq!((here(&directory, "renamed").len(), here(&directory, "new").len()), (0, 1));
        directory.forget();
        assert_eq!(directory.known("new"), Known::No);
        directory.refresh();
        assert_eq!(here(&directory, "new").len(), 1);
    }
}
