//! The contents of a container's `/etc/hosts` and `/etc/resolv.conf`.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use crate::endpoint::{Dns, Sandbox};
use crate::{AttachRequest, Error, NetworksConfig, Result};

const LOCALHOST: &str = "127.0.0.1\tlocalhost\n\
    ::1\tlocalhost ip6-localhost ip6-loopback\n\
    fe00::\tip6-localnet\n\
    ff00::\tip6-mcastprefix\n\
    ff02::1\tip6-allnodes\n\
    ff02::2\tip6-allrouters\n";

/// Where systemd-resolved, when `/etc/resolv.conf` names only itself, keeps the servers that it asks.
const RESOLVED: &str = "/run/systemd/resolve/resolv.conf";

/// As Docker: what a container asks when the host has no server that it could reach.
const FALLBACK: [&str; 2] = ["8.8.8.8", "8.8.4.4"];

/// The hosts file of a container with a network namespace of its own: the loopback's names, those asked for, links,
/// and its own.
pub(crate) fn hosts(
    request: &AttachRequest,
    own: &[IpAddr],
    links: &[(IpAddr, Vec<String>)],
    host_gateway: &[IpAddr],
) -> Result<String> {
    let mut text = LOCALHOST.to_owned();
    text += &extra_hosts(request, host_gateway)?;
    for (address, names) in links {
        text += &format!("{address}\t{}\n", names.join(" "));
    }
    for address in own {
        text += &format!("{address}\t{}\n", own_names(&request.hostname, &request.domainname));
    }
    Ok(text)
}

/// The hosts file of a container in the host's network: the host's, and the names asked for.
pub(crate) fn host_network_hosts(request: &AttachRequest, host_gateway: &[IpAddr]) -> Result<String> {
    let mut text = fs::read_to_string("/etc/hosts").unwrap_or_else(|_| LOCALHOST.to_owned());
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text + &extra_hosts(request, host_gateway)?)
}

/// The names of a container's own lines: the whole one, and its first label where there are more.
pub fn own_names(hostname: &str, domainname: &str) -> String {
    let whole = if domainname.is_empty() { hostname.to_owned() } else { format!("{hostname}.{domainname}") };
    match whole.split_once('.') {
        Some((first, _)) => format!("{whole} {first}"),
        None => whole,
    }
}

fn extra_hosts(request: &AttachRequest, host_gateway: &[IpAddr]) -> Result<String> {
    let mut text = String::new();
    for extra in &request.extra_hosts {
        let wrong = || Error::Invalid(format!("bad format for add-host: \"{extra}\""));
        let (name, address) = extra.split_once(['=', ':']).ok_or_else(wrong)?;
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(wrong());
        }
        let addresses = if address == "host-gateway" {
            host_gateway.to_vec()
        } else {
            let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
            let wrong = |_| Error::Invalid(format!("invalid IP address in add-host: \"{address}\""));
            vec![bare.parse::<IpAddr>().map_err(wrong)?]
        };
        if addresses.is_empty() {
            return Err(Error::Invalid("unable to derive the IP value for host-gateway".to_owned()));
        }
        for address in addresses {
            text += &format!("{address}\t{name}\n");
        }
    }
    Ok(text)
}

/// The host's resolver configuration as it is, for a container in the host's network; servers, domains or options
/// asked for replace the host's.
pub(crate) fn host_network_resolv_conf(dns: &Dns, config: &NetworksConfig) -> String {
    let host = fs::read_to_string(&config.resolv_conf).unwrap_or_default();
    if *dns == Dns::default() {
        return host;
    }
    Resolver::parse(&host).overridden(dns, config).text()
}

/// The resolver configuration of a container with a network namespace of its own.
pub(crate) fn resolv_conf_of(sandbox: &Sandbox, config: &NetworksConfig) -> String {
    if sandbox.has_names() {
        named_resolv_conf(&sandbox.dns, config)
    } else {
        resolv_conf(&sandbox.dns, config, sandbox.reaches_outside())
    }
}

/// Where containers know each other by names: Hull's resolver, which asks whom the file's comments name.
fn named_resolv_conf(dns: &Dns, config: &NetworksConfig) -> String {
    let resolver = Resolver::of_host(&config.resolv_conf).overridden(dns, config);
    let asked = |own: &[String], configured: &[String]| !own.is_empty() || !configured.is_empty();
    let named = asked(&dns.servers, &config.dns);
    let servers: Vec<String> =
        resolver.servers.iter().map(|s| if named { s.clone() } else { format!("host({s})") }).collect();
    let overrides = [
        ("nameservers", named),
        ("search", asked(&dns.search, &config.dns_search)),
        ("options", asked(&dns.options, &config.dns_options)),
    ];
    let overrides: Vec<&str> = overrides.iter().filter(|(_, is)| *is).map(|(word, _)| *word).collect();
    let ndots_from = match (resolver.ndots(), overrides.contains(&"options")) {
        (None, _) => "internal",
        (Some(_), true) => "override",
        (Some(_), false) => "host",
    };
    let mut inner = Resolver { servers: vec![hull_dns::ADDRESS.to_string()], ..resolver };
    if inner.ndots().is_none() {
        inner.options.push("ndots:0".to_owned());
    }
    let mut text = inner.text();
    text += &format!("\n# Based on host file: '{}' (internal resolver)\n", config.resolv_conf.display());
    if !servers.is_empty() {
        text += &format!("# ExtServers: [{}]\n", servers.join(" "));
    }
    text += &format!("# Overrides: [{}]\n# Option ndots from: {ndots_from}\n", overrides.join(" "));
    text
}

/// Where they don't: the host's servers but for those on the host's loopback, which isn't the container's.
fn resolv_conf(dns: &Dns, config: &NetworksConfig, reaches_outside: bool) -> String {
    let mut resolver = Resolver::parse(&host_file(&config.resolv_conf));
    resolver.servers.retain(|server| !is_loopback(server));
    if resolver.servers.is_empty() && reaches_outside {
        resolver.servers = FALLBACK.map(str::to_owned).to_vec();
    }
    resolver.overridden(dns, config).text()
}

/// The name servers that containers would ask by default: no network's subnet may hide one.
pub(crate) fn host_servers(path: &Path) -> Vec<IpAddr> {
    let servers = Resolver::parse(&host_file(path)).servers;
    servers.iter().filter_map(|server| server.parse().ok()).collect()
}

fn host_file(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let servers = Resolver::parse(&text).servers;
    if servers.iter().any(|server| server == "127.0.0.53") && servers.iter().all(|server| is_loopback(server))
    {
        return fs::read_to_string(RESOLVED).unwrap_or(text);
    }
    text
}

fn is_loopback(server: &str) -> bool {
    // A link-local address may carry a zone, `%eth0`, which means nothing in a container either.
    server.parse::<IpAddr>().map_or(true, |address| address.is_loopback())
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Resolver {
    pub servers: Vec<String>,
    search: Vec<String>,
    options: Vec<String>,
}

impl Resolver {
    fn parse(text: &str) -> Self {
        let mut resolver = Self::default();
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_whitespace().map(str::to_owned);
            match words.next().as_deref() {
                Some("nameserver") => resolver.servers.extend(words.next()),
                // The last one counts.
                Some("search" | "domain") => resolver.search = words.collect(),
                Some("options") => resolver.options.extend(words),
                _ => {}
            }
        }
        resolver
    }

    /// The host's, as it is.
    pub fn of_host(path: &Path) -> Self {
        Self::parse(&fs::read_to_string(path).unwrap_or_default())
    }

    /// How many dots make a name one that is not tried with the search domains first, where somebody said so.
    pub fn ndots(&self) -> Option<u32> {
        self.options.iter().rev().find_map(|option| option.strip_prefix("ndots:")?.parse().ok())
    }

    /// With what the container asks for, or else the daemon.
    pub fn overridden(mut self, dns: &Dns, config: &NetworksConfig) -> Self {
        let choose = |own: &mut Vec<String>, asked: &[String], configured: &[String]| {
            if let Some(list) = [asked, configured].into_iter().find(|list| !list.is_empty()) {
                *own = list.to_vec();
            }
        };
        choose(&mut self.servers, &dns.servers, &config.dns);
        choose(&mut self.search, &dns.search, &config.dns_search);
        choose(&mut self.options, &dns.options, &config.dns_options);
        // Docker's word for none.
        if self.search == ["."] {
            self.search.clear();
        }
        self
    }

    fn text(&self) -> String {
        let mut text =
            "# Generated by Hull.\n# This file can be edited; Hull will not make further changes once it\n# has been \
             modified.\n\n"
                .to_owned();
        for server in &self.servers {
            text += &format!("nameserver {server}\n");
        }
        for (word, list) in [("search", &self.search), ("options", &self.options)] {
            if !list.is_empty() {
                text += &format!("{word} {}\n", list.join(" "));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> AttachRequest {
        AttachRequest { hostname: "web".into(), ..AttachRequest::default() }
    }

    fn config(resolv_conf: &str) -> (NetworksConfig, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("resolv.conf");
        fs::write(&path, resolv_conf).unwrap();
        (NetworksConfig { resolv_conf: path, ..NetworksConfig::new("/x".into(), "t", "b") }, directory)
    }

    #[test]
    fn hosts_has_localhost_extra_links_and_own_lines() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let own = [address("172.17.0.2"), address("fd00::2")];
        let gateway = [address("172.17.0.1"), address("fd00::1")];
        let mut request = request();
        request.extra_hosts =
            vec!["a:10.0.0.1".into(), "b=::1".into(), "c:[fd00::1]".into(), "h:host-gateway".into()];
        let links = [(address("172.17.0.3"), vec!["db".to_owned(), "postgres".to_owned()])];
        let text = hosts(&request, &own, &links, &gateway).unwrap();
        assert_eq!(
            text.strip_prefix(LOCALHOST).unwrap(),
            "10.0.0.1\ta\n::1\tb\nfd00::1\tc\n172.17.0.1\th\nfd00::1\th\n172.17.0.3\tdb postgres\n172.17.0.2\tweb\nfd00::2\tweb\n"
        );
        request.domainname = "example.org".into();
        assert!(
            hosts(&request, &own[..1], &[], &gateway).unwrap().ends_with("172.17.0.2\tweb.example.org web\n")
        );
        assert_eq!(own_names("web.example.org", ""), "web.example.org web");
    }

    #[test]
    fn bad_extra_hosts_are_refused() {
        for extra in
            ["", "a", ":1.2.3.4", "a:", "a:nonsense", "a b:1.2.3.4", "a\nb:1.2.3.4", "a:host-gateway"]
        {
            let request = AttachRequest { extra_hosts: vec![extra.into()], ..request() };
            assert!(hosts(&request, &[], &[], &[]).is_err(), "{extra:?}");
        }
    }

    #[test]
    fn the_hosts_loopback_servers_are_left_out() {
        let (config, _directory) =
            config("nameserver 127.0.0.1\nnameserver 10.1.1.1 # x\nsearch a b\noptions ndots:2\n");
        let text = resolv_conf(&Dns::default(), &config, true);
        assert_eq!(text.split_once("\n\n").unwrap().1, "nameserver 10.1.1.1\nsearch a b\noptions ndots:2\n");
        assert_eq!(
            host_network_resolv_conf(&Dns::default(), &config).lines().next(),
            Some("nameserver 127.0.0.1")
        );
    }

    #[test]
    fn the_containers_options_come_before_the_daemons_and_the_hosts() {
        let (mut config, _directory) = config("nameserver 127.0.0.1\nsearch a\n");
        assert!(
            resolv_conf(&Dns::default(), &config, true).contains("nameserver 8.8.8.8\nnameserver 8.8.4.4\n")
        );
        assert!(!resolv_conf(&Dns::default(), &config, false).contains("nameserver"));
        config.dns = vec!["9.9.9.9".into()];
        assert!(resolv_conf(&Dns::default(), &config, true).contains("nameserver 9.9.9.9\nsearch a\n"));
        let asked = Dns { servers: vec!["1.1.1.1".into()], search: vec![".".into()], options: vec![] };
        let text = resolv_conf(&asked, &config, true);
        assert!(text.ends_with("nameserver 1.1.1.1\n"), "{text}");
    }

    #[test]
    fn containers_with_names_ask_the_resolver() {
        let (mut config, _directory) = config("nameserver 127.0.0.53\nsearch lan\noptions edns0 trust-ad\n");
        let text = named_resolv_conf(&Dns::default(), &config);
        let text = text.split_once("\n\n").unwrap().1.replace(&config.resolv_conf.display().to_string(), "F");
        assert_eq!(
            text,
            "nameserver 127.0.0.11\nsearch lan\noptions edns0 trust-ad ndots:0\n\n# Based on host file: 'F' (internal \
             resolver)\n# ExtServers: [host(127.0.0.53)]\n# Overrides: []\n# Option ndots from: internal\n"
        );
        config.dns = vec!["9.9.9.9".into()];
        let asked = Dns { options: vec!["ndots:2".into()], ..Dns::default() };
        let text = named_resolv_conf(&asked, &config);
        assert!(text.contains("options ndots:2\n"), "{text}");
        assert!(text.ends_with(
            "# ExtServers: [9.9.9.9]\n# Overrides: [nameservers options]\n# Option ndots from: override\n"
        ));
    }
}
