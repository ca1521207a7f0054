//! What a container's resolver is to do: written by the daemon, read by the container's shim.
//!
//! ```text
//! hull-resolver 1
//! names /run/hull/network/names
//! network 0 6c3d… front          internal or not, id, name; in the order of looking
//! link 6c3d… db postgres         an alias that this container alone has for another, in one network
//! host /etc/resolv.conf          the host's servers, or
//! server 10.0.0.1                those named for it, in the order of asking
//! ndots                          names without a dot stay here
//! ```

use std::fmt::Write;
use std::net::IpAddr;
use std::path::PathBuf;

const FIRST_LINE: &str = "hull-resolver 1";

/// A container's place in a network, as far as names go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkEntry {
    /// The network's id: the name of its file.
    pub id: String,
    /// Its name, for `container.network`.
    pub name: String,
    /// Whether it leads nowhere outside.
    pub internal: bool,
}

/// A name that one container alone has for another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The network's id.
    pub network: String,
    /// The alias.
    pub alias: String,
    /// The other container's name in that network.
    pub target: String,
}

/// Whom to ask for other names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Servers {
    /// Those of the host, in this file, and when it changes the new ones.
    Host(PathBuf),
    /// These.
    Named(Vec<IpAddr>),
}

/// What a container's resolver is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The directory of the networks' files.
    pub names: PathBuf,
    /// The container's networks in the order of looking.
    pub networks: Vec<NetworkEntry>,
    /// Its own aliases.
    pub links: Vec<Link>,
    /// Whom to ask for other names.
    pub servers: Servers,
    /// A name without a dot is not asked for outside: somebody set `ndots`.
    pub dotless_stay: bool,
}

/// Whether a text can be a word of these files.
pub(crate) fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

impl Settings {
    /// The text of a container's file.
    pub fn write(&self) -> String {
        let mut text = format!("{FIRST_LINE}\nnames {}\n", self.names.display());
        // Writing to a String does not fail.
        for network in &self.networks {
            let name = if network.name.contains(char::is_control) { &network.id } else { &network.name };
            let _ = writeln!(text, "network {} {} {name}", u8::from(network.internal), network.id);
        }
        for Link { network, alias, target } in &self.links {
            if is_word(alias) && is_word(target) {
                let _ = writeln!(text, "link {network} {alias} {target}");
            }
        }
        match &self.servers {
            Servers::Host(path) => {
                let _ = writeln!(text, "host {}", path.display());
            }
            Servers::Named(servers) => {
                for server in servers {
                    let _ = writeln!(text, "server {server}");
                }
            }
        }
        if self.dotless_stay {
            text += "ndots\n";
        }
        text
    }

    /// Reads it; the number of the line that is not understood otherwise.
    pub fn read(text: &str) -> Result<Self, usize> {
        let mut settings = Self {
            names: PathBuf::new(),
            networks: Vec::new(),
            links: Vec::new(),
            servers: Servers::Named(Vec::new()),
            dotless_stay: false,
        };
        let mut lines = text.lines();
        if lines.next() != Some(FIRST_LINE) {
            return Err(1);
        }
        for (number, line) in lines.enumerate() {
            settings.read_line(line).ok_or(number + 2)?;
        }
        Ok(settings)
    }

    fn read_line(&mut self, line: &str) -> Option<()> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "names" => self.names = rest.into(),
            "network" => {
                let mut parts = rest.splitn(3, ' ');
                let internal = match parts.next()? {
                    "0" => false,
                    "1" => true,
                    _ => return None,
                };
                let (id, name) = (parts.next()?.to_owned(), parts.next()?.to_owned());
                // It becomes the name of a file.
                if !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                    return None;
                }
                self.networks.push(NetworkEntry { id, name, internal });
            }
            "link" => {
                let mut parts = rest.split(' ').map(str::to_owned);
                let (network, alias, target) = (parts.next()?, parts.next()?, parts.next()?);
                self.links.push(Link { network, alias, target });
            }
            "host" => self.servers = Servers::Host(rest.into()),
            "server" => match &mut self.servers {
                Servers::Named(servers) => servers.push(rest.parse().ok()?),
                Servers::Host(_) => return None,
            },
            "ndots" => self.dotless_stay = true,
            _ => return None,
        }
        Some(())
    }
}

/// The servers of a `resolv.conf`, those with a zone (`%eth0`) left out.
pub(crate) fn host_servers(text: &str) -> Vec<IpAddr> {
    let server = |line: &str| {
        let line = line.split(['#', ';']).next()?;
        let mut words = line.split_ascii_whitespace();
        (words.next()? == "nameserver").then(|| words.next()?.parse().ok())?
    };
    text.lines().filter_map(server).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            names: "/run/a b/names".into(),
            networks: vec![
                NetworkEntry { id: "6c3d".into(), name: "my net".into(), internal: false },
                NetworkEntry { id: "7e".into(), name: "in".into(), internal: true },
            ],
            links: vec![Link { network: "6c3d".into(), alias: "db".into(), target: "postgres".into() }],
            servers: Servers::Host("/etc/resolv.conf".into()),
            dotless_stay: true,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut settings = settings();
        assert_eq!(Settings::read(&settings.write()), Ok(settings.clone()));
        settings.servers = Servers::Named(vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()]);
        settings.dotless_stay = false;
        assert_eq!(Settings::read(&settings.write()), Ok(settings.clone()));
        settings.networks[0].name = "a\nserver 6.6.6.6".into();
        assert_eq!(Settings::read(&settings.write()).unwrap().networks[0].name, "6c3d");
    }

    #[test]
    fn what_is_not_understood_is_told() {
        for line in
            ["what is this", "network 2 a b", "network 0 ../x y", "network 0 a", "link a b", "server x"]
        {
            assert_eq!(Settings::read(&format!("{FIRST_LINE}\n{line}\n")), Err(2), "{line}");
        }
        assert_eq!(Settings::read("hull-resolver 9\n"), Err(1));
    }

    #[test]
    fn the_hosts_servers_are_found() {
        let text = "# nameserver 1.1.1.1\nnameserver 127.0.0.53 # local\n nameserver\t::1\nnameserver fe80::1%eth0\nsearch x\n";
        assert_eq!(host_servers(text), ["127.0.0.53".parse::<IpAddr>().unwrap(), "::1".parse().unwrap()]);
    }
}
