//! Published ports: reading what was asked for, finding free host ports, and holding them.

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;

use hull_api_types::{PortBinding, PortMap};
use hull_sys::rustix;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::model::{Protocol, Published};
use crate::{Error, Result};

/// How many sockets at most hold ports for the daemon. Ports beyond work as well, but another program is not kept
/// from binding them.
const HELD_MAX: usize = 1024;

/// A port to publish, before a host port is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub protocol: Protocol,
    pub container_port: u16,
    pub host_address: Ipv4Addr,
    /// First and last host port to take; `None` for any.
    pub host_ports: Option<(u16, u16)>,
}

/// What a container wants published, in the order of its ports, and what it only exposes.
pub(crate) fn read(
    bindings: &PortMap,
    exposed: &[String],
    publish_all: bool,
    default_address: Ipv4Addr,
) -> Result<(Vec<Wanted>, Vec<String>)> {
    let mut wanted = Vec::new();
    let mut only_exposed = Vec::new();
    let mut ports: BTreeMap<(Protocol, u16), Vec<PortBinding>> = BTreeMap::new();
    for (key, list) in bindings {
        for port in parse_key(key)? {
            ports.entry(port).or_default().extend(list.iter().flatten().cloned());
        }
    }
    for key in exposed {
        for port in parse_key(key)? {
            let list = ports.entry(port).or_default();
            if list.is_empty() && publish_all {
                list.push(PortBinding::default());
            }
        }
    }
    for ((protocol, container_port), list) in ports {
        if list.is_empty() {
            only_exposed.push(format!("{container_port}/{protocol}"));
        }
        for binding in &list {
            let (host_address, host_ports) =
                (host_address(&binding.host_ip, default_address)?, host_ports(binding)?);
            wanted.push(Wanted { protocol, container_port, host_address, host_ports });
        }
    }
    Ok((wanted, only_exposed))
}

/// `80`, `80/tcp`, `8000-8010/udp`.
fn parse_key(key: &str) -> Result<impl Iterator<Item = (Protocol, u16)> + use<>> {
    let wrong = || Error::Invalid(format!("invalid port specification: {key:?}"));
    let (ports, protocol) = key.split_once('/').unwrap_or((key, "tcp"));
    let protocol: Protocol = protocol.parse().map_err(|()| wrong())?;
    let (first, last) = parse_range(ports).ok_or_else(wrong)?;
    Ok((first..=last).map(move |port| (protocol, port)))
}

fn parse_range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first != 0 && first <= last).then_some((first, last))
}

fn host_address(text: &str, default: Ipv4Addr) -> Result<Ipv4Addr> {
    match text {
        "" => Ok(default),
        _ if text.contains(':') => Err(Error::NotImplemented(format!(
            "cannot publish a port on the host's IPv6 address {text}: containers have no IPv6 addresses yet"
        ))),
        _ => text.parse().map_err(|_| Error::Invalid(format!("invalid IP address: {text}"))),
    }
}

fn host_ports(binding: &PortBinding) -> Result<Option<(u16, u16)>> {
    let text = binding.host_port.as_str();
    // Clients send "0" for "any" as well as nothing.
    if text.is_empty() || text == "0" {
        return Ok(None);
    }
    parse_range(text).map(Some).ok_or_else(|| Error::Invalid(format!("invalid port specification: {text:?}")))
}

/// The ports as `NetworkSettings.Ports`.
pub(crate) fn to_api(published: &[Published], exposed: &[String]) -> PortMap {
    let mut map = PortMap::new();
    for key in exposed {
        map.insert(key.clone(), None);
    }
    for port in published {
        let list = map.entry(format!("{}/{}", port.container_port, port.protocol)).or_default();
        list.get_or_insert_default().push(PortBinding {
            host_ip: port.host_address.to_string(),
            host_port: port.host_port.to_string(),
        });
    }
    map
}

/// Which host ports are given away, and the sockets that keep other programs from binding them. The sockets die
/// with the daemon; the ports go on being published without them, and the next daemon takes them again.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    used: HashMap<(Protocol, u16), Vec<Ipv4Addr>>,
    held: HashMap<(Protocol, u16, Ipv4Addr), OwnedFd>,
    next_random: u16,
}

impl Ports {
    /// Takes a host port for each wanted one; all or none. The error is the reason, in Docker's words.
    pub fn take_all(&mut self, wanted: &[Wanted], container: Ipv4Addr) -> Result<Vec<Published>, String> {
        let mut taken = Vec::with_capacity(wanted.len());
        for port in wanted {
            match self.take(port, container) {
                Ok(published) => taken.push(published),
                Err(reason) => {
                    self.give_back(&taken);
                    return Err(reason);
                }
            }
        }
        Ok(taken)
    }

    /// Takes ports that are published already, those of a container that is taken over.
    pub fn retake(&mut self, published: &[Published]) {
        for port in published {
            self.used.entry((port.protocol, port.host_port)).or_default().push(port.host_address);
            if let Ok(Some(socket)) = bind(port.protocol, port.host_address, port.host_port) {
                self.hold(port, socket);
            }
        }
    }

    /// Gives ports back.
    pub fn give_back(&mut self, published: &[Published]) {
        for port in published {
            let key = (port.protocol, port.host_port);
            if let Some(addresses) = self.used.get_mut(&key) {
                if let Some(position) = addresses.iter().position(|address| *address == port.host_address) {
                    addresses.swap_remove(position);
                }
                if addresses.is_empty() {
                    self.used.remove(&key);
                }
            }
            self.held.remove(&(port.protocol, port.host_port, port.host_address));
        }
    }

    fn take(&mut self, wanted: &Wanted, container: Ipv4Addr) -> Result<Published, String> {
        let Some((first, last)) = wanted.host_ports else { return self.take_random(wanted) };
        let mut reason = String::new();
        for port in first..=last {
            match self.try_port(wanted, port) {
                Ok(published) => return Ok(published),
                Err(Refusal::Ours) => {
                    reason =
                        format!("Bind for {}:{port} failed: port is already allocated", wanted.host_address);
                }
                Err(Refusal::Other(error)) => {
                    reason = format!(
                        "failed to bind host port for {}:{port}:{container}:{}/{}: {}",
                        wanted.host_address,
                        wanted.container_port,
                        wanted.protocol,
                        errno_text(error)
                    );
                }
            }
        }
        Err(reason)
    }

    fn take_random(&mut self, wanted: &Wanted) -> Result<Published, String> {
        let (first, last) = ephemeral_range();
        for _ in first..=last {
            if !(first..=last).contains(&self.next_random) {
                self.next_random = first;
            }
            let port = self.next_random;
            self.next_random = port.wrapping_add(1);
            if let Ok(published) = self.try_port(wanted, port) {
                return Ok(published);
            }
        }
        Err(format!("no host port from {first} to {last} is free: all ports are allocated"))
    }

    fn try_port(&mut self, wanted: &Wanted, host_port: u16) -> Result<Published, Refusal> {
        let (protocol, host_address) = (wanted.protocol, wanted.host_address);
        let clashes = |address: &Ipv4Addr| {
            address.is_unspecified() || host_address.is_unspecified() || *address == host_address
        };
        if self.used.get(&(protocol, host_port)).is_some_and(|list| list.iter().any(clashes)) {
            return Err(Refusal::Ours);
        }
        let published =
            Published { protocol, container_port: wanted.container_port, host_address, host_port };
        if let Some(socket) = bind(protocol, host_address, host_port).map_err(Refusal::Other)? {
            self.hold(&published, socket);
        }
        self.used.entry((protocol, host_port)).or_default().push(host_address);
        Ok(published)
    }

    fn hold(&mut self, port: &Published, socket: OwnedFd) {
        if self.held.len() < HELD_MAX {
            self.held.insert((port.protocol, port.host_port, port.host_address), socket);
        }
    }
}

enum Refusal {
    /// Another container has it.
    Ours,
    /// Another program has it, or the address isn't this host's.
    Other(rustix::io::Errno),
}

/// Binds a host port as a program of the host would; `None` where it is free but can't be held. The socket never
/// listens: it only makes the next one who wants the port fail as if the container were a program of the host.
fn bind(protocol: Protocol, address: Ipv4Addr, port: u16) -> rustix::io::Result<Option<OwnedFd>> {
    let kind = match protocol {
        Protocol::Tcp => SocketType::STREAM,
        Protocol::Udp => SocketType::DGRAM,
        // Not every kernel has it, and whether a port is free matters little here.
        Protocol::Sctp => return Ok(None),
    };
    let address = SocketAddrV4::new(address, port);
    let socket = || rustix::net::socket_with(AddressFamily::INET, kind, SocketFlags::CLOEXEC, None);
    let exclusive = match socket() {
        // Not to hold a port is better than not to publish it.
        Err(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE) => return Ok(None),
        other => other?,
    };
    match rustix::net::bind(&exclusive, &address) {
        Err(rustix::io::Errno::ADDRINUSE) if protocol == Protocol::Tcp => {}
        other => return other.map(|()| Some(exclusive)),
    }
    // Perhaps only connections in TIME_WAIT of a server that is gone: those don't bar one that reuses the address.
    // Listening for a moment is what tells a living holder, who may allow reuse as well.
    let probe = socket()?;
    rustix::net::sockopt::set_socket_reuseaddr(&probe, true)?;
    rustix::net::bind(&probe, &address)?;
    rustix::net::listen(&probe, 0)?;
    Ok(None)
}

fn errno_text(errno: rustix::io::Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text[..1].to_lowercase() + &text[1..]
}

/// Where the host takes the ports of outgoing connections from, and Docker random published ones.
fn ephemeral_range() -> (u16, u16) {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut numbers = text.split_whitespace().map_while(|word| word.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(first), Some(last)) if first <= last => (first, last),
        _ => (32768, 60999),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, &[(&str, &str)])]) -> PortMap {
        let binding =
            |(ip, port): &(&str, &str)| PortBinding { host_ip: (*ip).into(), host_port: (*port).into() };
        entries.iter().map(|(key, list)| ((*key).into(), Some(list.iter().map(binding).collect()))).collect()
    }

    #[test]
    fn bindings_are_read_as_docker_reads_them() {
        let bindings =
            map(&[("80/tcp", &[("", "8080"), ("127.0.0.1", "")]), ("53/udp", &[("", "5000-5010")])]);
        let exposed = ["80/tcp".into(), "443/tcp".into(), "9000-9001".into()];
        let (wanted, only) = read(&bindings, &exposed, false, Ipv4Addr::UNSPECIFIED).unwrap();
        let want = |protocol, container_port, host_address, host_ports| Wanted {
            protocol,
            container_port,
            host_address,
            host_ports,
        };
        let any = Ipv4Addr::UNSPECIFIED;
        assert_eq!(
            wanted,
            [
                want(Protocol::Tcp, 80, any, Some((8080, 8080))),
                want(Protocol::Tcp, 80, Ipv4Addr::LOCALHOST, None),
                want(Protocol::Udp, 53, any, Some((5000, 5010))),
            ]
        );
        assert_eq!(only, ["443/tcp", "9000/tcp", "9001/tcp"]);
        let (wanted, only) = read(&bindings, &exposed, true, any).unwrap();
        assert_eq!((wanted.len(), only.len()), (6, 0));
    }

    #[test]
    fn malformed_ports_are_refused() {
        for key in ["", "/tcp", "0", "65536", "80/icmp", "90-80", "a", "80-"] {
            assert!(read(&map(&[(key, &[("", "")])]), &[], false, Ipv4Addr::UNSPECIFIED).is_err(), "{key}");
        }
        for binding in [("x", ""), ("", "x"), ("", "70000"), ("1.2.3", "80"), ("::1", "80")] {
            assert!(
                read(&map(&[("80", &[binding])]), &[], false, Ipv4Addr::UNSPECIFIED).is_err(),
                "{binding:?}"
            );
        }
    }

    #[test]
    fn exposed_ports_are_null_and_published_ones_are_listed() {
        let published = [Published {
            protocol: Protocol::Tcp,
            container_port: 80,
            host_address: Ipv4Addr::UNSPECIFIED,
            host_port: 8080,
        }];
        let map = to_api(&published, &["443/tcp".into()]);
        assert_eq!(
            serde_json::to_string(&map).unwrap(),
            r#"{"443/tcp":null,"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"8080"}]}"#
        );
    }
}
