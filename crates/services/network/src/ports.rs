//! Published ports: reading what was asked for, finding free host ports, and holding them.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use hull_api_types::{BYPASS_HOST_FIREWALL, OBEY_HOST_FIREWALL, PortBinding, PortMap};
use hull_sys::rustix;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use serde::{Deserialize, Serialize};

use crate::endpoint::{Protocol, Published};
use crate::model::GatewayMode;
use crate::{Error, Result};

/// How many sockets at most hold ports for the daemon. Ports beyond work as well, but another program is not kept
/// from binding them.
const HELD_MAX: usize = 1024;

/// What a container asks for: as in its `HostConfig` and its image.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Asked {
    pub bindings: PortMap,
    pub exposed: Vec<String>,
    pub publish_all: bool,
    /// Which ports obey the host's own rules, and which don't, whatever their network says.
    #[serde(default)]
    pub obey: String,
    #[serde(default)]
    pub bypass: String,
}

impl Asked {
    /// Whether a port obeys the host's own rules, where the container doesn't choose: `otherwise`.
    pub fn obeys(&self, protocol: Protocol, container_port: u16, otherwise: bool) -> bool {
        let named = |text| Chosen::read(text).is_ok_and(|chosen| chosen.has((protocol, container_port)));
        named(&self.obey) || otherwise && !named(&self.bypass)
    }

    /// Whoever misspells a port that is to obey must not find it open.
    fn check_choices(&self, ports: &BTreeMap<(Protocol, u16), Vec<PortBinding>>, reach: Reach) -> Result<()> {
        for (name, text) in [(OBEY_HOST_FIREWALL, &self.obey), (BYPASS_HOST_FIREWALL, &self.bypass)] {
            let Chosen::Ports(chosen) = Chosen::read(text)? else { continue };
            let missing = chosen.iter().find(|port| ports.get(port).is_none_or(Vec::is_empty));
            if let Some((protocol, port)) = missing {
                return Err(Error::Invalid(format!(
                    "{name} names {port}/{protocol}, which is none of the container's published ports"
                )));
            }
        }
        let routed = [reach.ipv4, reach.ipv6].contains(&Some(GatewayMode::Routed));
        if routed && !self.obey.is_empty() {
            return Err(Error::Invalid(format!(
                "{OBEY_HOST_FIREWALL}: the container's network is routed, and what is routed never comes to the host's \
                 input rules"
            )));
        }
        Ok(())
    }
}

/// The ports that a choice is about.
enum Chosen {
    All,
    Ports(Vec<(Protocol, u16)>),
}

impl Chosen {
    fn read(text: &str) -> Result<Self> {
        if text == "all" {
            return Ok(Self::All);
        }
        let mut ports = Vec::new();
        for key in text.split(',').map(str::trim).filter(|key| !key.is_empty()) {
            ports.extend(parse_key(key)?);
        }
        Ok(Self::Ports(ports))
    }

    fn has(&self, port: (Protocol, u16)) -> bool {
        match self {
            Self::All => true,
            Self::Ports(ports) => ports.contains(&port),
        }
    }
}

/// By which families a container is reached from outside, and where its ports are published that name no address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reach {
    pub ipv4: Option<GatewayMode>,
    pub ipv6: Option<GatewayMode>,
    pub default_address: IpAddr,
    /// Whether they obey the host's own rules where the container doesn't say.
    pub obeys: bool,
}

/// A port to publish, before a host port is chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub protocol: Protocol,
    pub container_port: u16,
    /// It gets the same port at each.
    pub host_addresses: Vec<IpAddr>,
    /// First and last host port to take; `None` for any.
    pub host_ports: Option<(u16, u16)>,
}

impl Reach {
    fn mode(&self, address: &IpAddr) -> Option<GatewayMode> {
        if address.is_ipv6() { self.ipv6 } else { self.ipv4 }
    }

    pub fn is_routed(&self, address: &IpAddr) -> bool {
        self.mode(address) == Some(GatewayMode::Routed)
    }

    /// The host's addresses that a binding means. Without one it means all, of both families.
    fn addresses(&self, text: &str) -> Result<Vec<IpAddr>> {
        let given = if text.is_empty() {
            None
        } else {
            let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
            Some(bare.parse().map_err(|_| Error::Invalid(format!("invalid IP address: {text}")))?)
        };
        let any = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        let addresses = match given {
            Some(address) => vec![address],
            None if self.default_address == any[0] => any.to_vec(),
            None => vec![self.default_address],
        };
        let reached: Vec<IpAddr> =
            addresses.into_iter().filter(|address| self.mode(address).is_some()).collect();
        match given {
            Some(address) if reached.is_empty() => Err(Error::Invalid(format!(
                "cannot publish a port on the host's address {address}: the container has no {} address that leads \
                 out (see the network's --ipv4 and --ipv6)",
                if address.is_ipv6() { "IPv6" } else { "IPv4" }
            ))),
            _ => Ok(reached),
        }
    }
}

/// What a container wants published, in the order of its ports, and what it only exposes.
pub(crate) fn read(asked: &Asked, reach: Reach) -> Result<(Vec<Wanted>, Vec<String>)> {
    let mut wanted = Vec::new();
    let mut only_exposed = Vec::new();
    let mut ports: BTreeMap<(Protocol, u16), Vec<PortBinding>> = BTreeMap::new();
    for (key, list) in &asked.bindings {
        for port in parse_key(key)? {
            ports.entry(port).or_default().extend(list.iter().flatten().cloned());
        }
    }
    for key in &asked.exposed {
        for port in parse_key(key)? {
            let list = ports.entry(port).or_default();
            if list.is_empty() && asked.publish_all {
                list.push(PortBinding::default());
            }
        }
    }
    asked.check_choices(&ports, reach)?;
    for ((protocol, container_port), list) in ports {
        if list.is_empty() {
            only_exposed.push(format!("{container_port}/{protocol}"));
        }
        for binding in &list {
            let (host_addresses, host_ports) = (reach.addresses(&binding.host_ip)?, host_ports(binding)?);
            if !host_addresses.is_empty() {
                wanted.push(Wanted { protocol, container_port, host_addresses, host_ports });
            }
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
        // What is routed is at no port of the host's.
        if port.host_port != 0 {
            list.get_or_insert_default().push(PortBinding {
                host_ip: port.host_address.to_string(),
                host_port: port.host_port.to_string(),
                obeys_host_firewall: port.obeys,
            });
        }
    }
    map
}

/// Which host ports are given away, and the sockets that keep other programs from binding them. The sockets die
/// with the daemon; the ports go on being published without them, and the next daemon takes them again.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    used: HashMap<(Protocol, u16), Vec<IpAddr>>,
    held: HashMap<(Protocol, u16, IpAddr), OwnedFd>,
    next_random: u16,
}

impl Ports {
    /// Takes a host port for each wanted one; all or none. The error is the reason, in Docker's words, which name the
    /// container's address.
    pub fn take_all(
        &mut self,
        wanted: &[Wanted],
        reach: Reach,
        container: &str,
    ) -> Result<Vec<Published>, String> {
        let mut taken = Vec::with_capacity(wanted.len());
        for port in wanted {
            let (routed, at_host): (Vec<IpAddr>, Vec<IpAddr>) =
                port.host_addresses.iter().partition(|address| reach.is_routed(address));
            taken.extend(routed.into_iter().map(|address| port.at(address, 0)));
            if at_host.is_empty() {
                continue;
            }
            match self.take(&Wanted { host_addresses: at_host, ..port.clone() }, container) {
                Ok(published) => taken.extend(published),
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
        for port in published.iter().filter(|port| port.host_port != 0) {
            self.used.entry((port.protocol, port.host_port)).or_default().push(port.host_address);
            if let Ok(Some(socket)) = bind(port.protocol, port.host_address, port.host_port) {
                self.hold(port, socket);
            }
        }
    }

    /// Takes those of these ports that are given back, again.
    pub fn retake_missing(&mut self, published: &[Published]) {
        let missing = |port: &&Published| {
            let list = self.used.get(&(port.protocol, port.host_port));
            !list.is_some_and(|list| list.contains(&port.host_address))
        };
        let missing: Vec<Published> = published.iter().filter(missing).cloned().collect();
        self.retake(&missing);
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

    fn take(&mut self, wanted: &Wanted, container: &str) -> Result<Vec<Published>, String> {
        let Some((first, last)) = wanted.host_ports else { return self.take_random(wanted) };
        let mut reason = String::new();
        for port in first..=last {
            match self.try_port(wanted, port) {
                Ok(published) => return Ok(published),
                Err((address, Refusal::Ours)) => {
                    let at = SocketAddr::new(address, port);
                    reason = format!("Bind for {at} failed: port is already allocated");
                }
                Err((address, Refusal::Other(error))) => {
                    reason = format!(
                        "failed to bind host port for {}:{container}:{}/{}: {}",
                        SocketAddr::new(address, port),
                        wanted.container_port,
                        wanted.protocol,
                        errno_text(error)
                    );
                }
            }
        }
        Err(reason)
    }

    fn take_random(&mut self, wanted: &Wanted) -> Result<Vec<Published>, String> {
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

    /// Takes that port at every address that is wanted.
    fn try_port(&mut self, wanted: &Wanted, host_port: u16) -> Result<Vec<Published>, (IpAddr, Refusal)> {
        let mut taken = Vec::with_capacity(wanted.host_addresses.len());
        for address in &wanted.host_addresses {
            let published = wanted.at(*address, host_port);
            match self.try_one(&published) {
                Ok(()) => taken.push(published),
                Err(refusal) => {
                    self.give_back(&taken);
                    return Err((*address, refusal));
                }
            }
        }
        Ok(taken)
    }

    fn try_one(&mut self, port: &Published) -> Result<(), Refusal> {
        let (protocol, own) = (port.protocol, port.host_address);
        let clashes = |other: &IpAddr| {
            other.is_ipv4() == own.is_ipv4()
                && (other.is_unspecified() || own.is_unspecified() || *other == own)
        };
        if self.used.get(&(protocol, port.host_port)).is_some_and(|list| list.iter().any(clashes)) {
            return Err(Refusal::Ours);
        }
        if let Some(socket) = bind(protocol, own, port.host_port).map_err(Refusal::Other)? {
            self.hold(port, socket);
        }
        self.used.entry((protocol, port.host_port)).or_default().push(own);
        Ok(())
    }

    fn hold(&mut self, port: &Published, socket: OwnedFd) {
        if self.held.len() < HELD_MAX {
            self.held.insert((port.protocol, port.host_port, port.host_address), socket);
        }
    }
}

impl Wanted {
    fn at(&self, host_address: IpAddr, host_port: u16) -> Published {
        let (protocol, container_port) = (self.protocol, self.container_port);
        Published { protocol, container_port, host_address, host_port, obeys: false }
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
fn bind(protocol: Protocol, address: IpAddr, port: u16) -> rustix::io::Result<Option<OwnedFd>> {
    let kind = match protocol {
        Protocol::Tcp => SocketType::STREAM,
        Protocol::Udp => SocketType::DGRAM,
        // Not every kernel has it, and whether a port is free matters little here.
        Protocol::Sctp => return Ok(None),
    };
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let socket = || {
        let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
        if address.is_ipv6() {
            rustix::net::sockopt::set_ipv6_v6only(&socket, true)?;
        }
        Ok(socket)
    };
    let address = SocketAddr::new(address, port);
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
        let binding = |(ip, port): &(&str, &str)| PortBinding {
            host_ip: (*ip).into(),
            host_port: (*port).into(),
            ..PortBinding::default()
        };
        entries.iter().map(|(key, list)| ((*key).into(), Some(list.iter().map(binding).collect()))).collect()
    }

    const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

    fn asked(bindings: PortMap, exposed: &[&str], publish_all: bool) -> Asked {
        let exposed = exposed.iter().map(|key| (*key).to_owned()).collect();
        Asked { bindings, exposed, publish_all, ..Asked::default() }
    }

    fn ipv4_only(default_address: IpAddr) -> Reach {
        Reach { ipv4: Some(GatewayMode::Nat), ipv6: None, default_address, obeys: false }
    }

    #[test]
    fn bindings_are_read_as_docker_reads_them() {
        let bindings =
            map(&[("80/tcp", &[("", "8080"), ("127.0.0.1", "")]), ("53/udp", &[("", "5000-5010")])]);
        let exposed = ["80/tcp", "443/tcp", "9000-9001"];
        let (wanted, only) = read(&asked(bindings.clone(), &exposed, false), ipv4_only(ANY)).unwrap();
        let want = |protocol, container_port, host_address: IpAddr, host_ports| Wanted {
            protocol,
            container_port,
            host_addresses: vec![host_address],
            host_ports,
        };
        assert_eq!(
            wanted,
            [
                want(Protocol::Tcp, 80, ANY, Some((8080, 8080))),
                want(Protocol::Tcp, 80, Ipv4Addr::LOCALHOST.into(), None),
                want(Protocol::Udp, 53, ANY, Some((5000, 5010))),
            ]
        );
        assert_eq!(only, ["443/tcp", "9000/tcp", "9001/tcp"]);
        let (wanted, only) = read(&asked(bindings, &exposed, true), ipv4_only(ANY)).unwrap();
        assert_eq!((wanted.len(), only.len()), (6, 0));
    }

    #[test]
    fn a_port_is_published_by_the_families_that_the_container_has() {
        let nat = Some(GatewayMode::Nat);
        let addresses = |host_ip: &str, reach: Reach| -> Result<Vec<String>> {
            let asked = asked(map(&[("80", &[(host_ip, "8080")])]), &[], false);
            let (wanted, _) = read(&asked, reach)?;
            Ok(wanted.iter().flat_map(|port| &port.host_addresses).map(IpAddr::to_string).collect())
        };
        let both = Reach { ipv4: nat, ipv6: nat, default_address: ANY, obeys: false };
        assert_eq!(addresses("", both).unwrap(), ["0.0.0.0", "::"]);
        assert_eq!(addresses("[::1]", both).unwrap(), ["::1"]);
        assert_eq!(addresses("::", both).unwrap(), ["::"]);
        assert_eq!(addresses("0.0.0.0", both).unwrap(), ["0.0.0.0"]);
        let local = Reach { default_address: Ipv4Addr::LOCALHOST.into(), ..both };
        assert_eq!(addresses("", local).unwrap(), ["127.0.0.1"]);
        assert_eq!(addresses("", Reach { ipv4: None, ..both }).unwrap(), ["::"]);
        let error = addresses("::1", ipv4_only(ANY)).unwrap_err().to_string();
        assert!(error.contains("the container has no IPv6 address"), "{error}");
    }

    #[test]
    fn malformed_ports_are_refused() {
        let refused = |bindings| read(&asked(bindings, &[], false), ipv4_only(ANY)).is_err();
        for key in ["", "/tcp", "0", "65536", "80/icmp", "90-80", "a", "80-"] {
            assert!(refused(map(&[(key, &[("", "")])])), "{key}");
        }
        for binding in [("x", ""), ("", "x"), ("", "70000"), ("1.2.3", "80"), ("[::1", "80")] {
            assert!(refused(map(&[("80", &[binding])])), "{binding:?}");
        }
    }

    #[test]
    fn who_obeys_the_hosts_rules_is_chosen_by_port() {
        let published = map(&[("80/tcp", &[("", "8080")]), ("53/udp", &[("", "53")])]);
        let choose = |obey: &str, bypass: &str, otherwise| {
            let (obey, bypass) = (obey.to_owned(), bypass.to_owned());
            let asked = Asked { obey, bypass, ..asked(published.clone(), &["81"], false) };
            read(&asked, ipv4_only(ANY)).map_err(|error| error.to_string())?;
            let obeys = |protocol, port| asked.obeys(protocol, port, otherwise);
            Ok::<_, String>([obeys(Protocol::Tcp, 80), obeys(Protocol::Udp, 53)])
        };
        assert_eq!(choose("", "", false).unwrap(), [false, false]);
        assert_eq!(choose("", "", true).unwrap(), [true, true]);
        assert_eq!(choose("80", "", false).unwrap(), [true, false]);
        assert_eq!(choose("all", "", false).unwrap(), [true, true]);
        assert_eq!(choose("", "53/udp", true).unwrap(), [true, false]);
        assert_eq!(choose("80/tcp, 53/udp", "all", true).unwrap(), [true, true], "obeying wins");
        let wrong = |obey| choose(obey, "", false).unwrap_err();
        assert!(wrong("8080").contains("names 8080/tcp, which is none of the container's published ports"));
        assert!(wrong("81").contains("names 81/tcp"), "exposed only");
        assert!(wrong("web").contains("invalid port specification"));
        let routed = Reach { ipv4: Some(GatewayMode::Routed), ..ipv4_only(ANY) };
        let asked = Asked { obey: "80".into(), ..asked(published.clone(), &[], false) };
        assert!(read(&asked, routed).unwrap_err().to_string().contains("is routed"));
    }

    #[test]
    fn exposed_ports_are_null_and_published_ones_are_listed() {
        let port = |host_address, container_port, host_port| Published {
            protocol: Protocol::Tcp,
            container_port,
            host_address,
            host_port,
            obeys: host_port == 8080,
        };
        let published = [port(ANY, 80, 8080), port(Ipv6Addr::UNSPECIFIED.into(), 80, 8080), port(ANY, 90, 0)];
        let map = to_api(&published, &["443/tcp".into()]);
        assert_eq!(
            serde_json::to_string(&map).unwrap(),
            r#"{"443/tcp":null,"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"8080","ObeysHostFirewall":true},{"HostIp":"::","HostPort":"8080","ObeysHostFirewall":true}],"90/tcp":null}"#
        );
    }
}
