//! Which servers stand for a name, and how far each is trusted.

use crate::error::RegistryError;
use crate::transport::Trust;
use reqwest::Url;
use reqwest::header::HeaderMap;
use std::net::IpAddr;

const HUB: &str = "docker.io";
const HUB_SERVER: &str = "registry-1.docker.io";

/// A server to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// `scheme://host[:port]/`, with a path where a mirror has one.
    pub(crate) base: Url,
    /// Whether the caller's credentials are meant for it: they are not for a mirror.
    pub(crate) credentials: bool,
    /// What its certificate is verified against, and what it is shown.
    pub(crate) trust: Trust,
    /// Whether it stands in for another server, which is tried after it.
    pub(crate) mirror: bool,
    /// What is asked of it.
    pub(crate) capabilities: Capabilities,
    /// Sent with every request.
    pub(crate) headers: HeaderMap,
    /// Whether `base` is the API's root itself: `v2/` is not appended.
    pub(crate) bare: bool,
}

/// What a server is asked (`capabilities` of `hosts.toml`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Capabilities {
    /// What a tag stands for.
    pub(crate) resolve: bool,
    /// Manifests by digest, and blobs.
    pub(crate) pull: bool,
    /// To take images.
    pub(crate) push: bool,
}

impl Capabilities {
    pub(crate) const ALL: Self = Self { resolve: true, pull: true, push: true };
    pub(crate) const MIRROR: Self = Self { push: false, ..Self::ALL };
}

impl Endpoint {
    /// The server at `base` itself.
    pub(crate) fn own(base: Url, insecure: bool) -> Self {
        let trust = Trust { insecure, ..Trust::default() };
        let headers = HeaderMap::new();
        Self {
            base,
            credentials: true,
            trust,
            mirror: false,
            capabilities: Capabilities::ALL,
            headers,
            bare: false,
        }
    }
    /// One that stands in for another: credentials are not for it.
    pub(crate) fn stand_in(base: Url, insecure: bool) -> Self {
        Self {
            credentials: false,
            mirror: true,
            capabilities: Capabilities::MIRROR,
            ..Self::own(base, insecure)
        }
    }
    pub(crate) fn authority(&self) -> String {
        authority(&self.base)
    }
    /// The URL of `path` below `/v2/`.
    pub(crate) fn url(&self, path: &str) -> Result<Url, RegistryError> {
        let root = if self.bare { Ok(self.base.clone()) } else { self.base.join("v2/") };
        root.and_then(|root| root.join(path)).map_err(|_| RegistryError::Endpoint(path.into()))
    }
}

/// `host[:port]` of a URL, brackets of an IPv6 address included.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Which registries may be spoken to without verified TLS.
#[derive(Debug, Clone, Default)]
pub(crate) struct Insecure {
    hosts: Vec<String>,
    networks: Vec<(IpAddr, u8)>,
}

impl Insecure {
    pub(crate) fn parse(entries: &[String]) -> Self {
        let mut parsed = Self::default();
        for entry in entries {
            match network(entry) {
                Some(network) => parsed.networks.push(network),
                None => parsed.hosts.push(entry.to_ascii_lowercase()),
            }
        }
        parsed
    }
    /// Whether `authority` (`host[:port]`) is loopback or was listed by the administrator.
    pub(crate) fn covers(&self, authority: &str) -> bool {
        let authority = authority.to_ascii_lowercase();
        let host = host_of(&authority);
        if self.hosts.iter().any(|known| *known == authority || *known == host) || host == "localhost" {
            return true;
        }
        let Ok(address) = host.parse::<IpAddr>() else { return false };
        address.is_loopback() || self.networks.iter().any(|network| contains(*network, address))
    }
    /// Whether a name would have to be looked up to tell.
    pub(crate) fn has_networks(&self) -> bool {
        !self.networks.is_empty()
    }
    pub(crate) fn covers_address(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| contains(*network, address))
    }
}

/// The host of `host[:port]`, without an IPv6 address's brackets.
pub(crate) fn host_of(authority: &str) -> &str {
    match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or(rest, |(host, _)| host),
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    }
}

/// A network in CIDR notation.
pub(crate) fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/')?;
    Some((address.parse().ok()?, length.parse().ok()?))
}

pub(crate) fn contains((network, length): (IpAddr, u8), address: IpAddr) -> bool {
    let same = |a: &[u8], b: &[u8]| {
        let (whole, bits) = (usize::from(length / 8), length % 8);
        let mask = !(0xff_u8.checked_shr(u32::from(bits)).unwrap_or(0));
        usize::from(length) <= a.len() * 8
            && a[..whole] == b[..whole]
            && (bits == 0 || a[whole] & mask == b[whole] & mask)
    };
    match (network, address) {
        (IpAddr::V4(a), IpAddr::V4(b)) => same(&a.octets(), &b.octets()),
        (IpAddr::V6(a), IpAddr::V6(b)) => same(&a.octets(), &b.octets()),
        _ => false,
    }
}

/// The servers to try for the registry `domain`, in order.
pub(crate) fn endpoints(
    domain: &str,
    mirrors: &[String],
    insecure: impl Fn(&str) -> bool,
) -> Result<Vec<Endpoint>, RegistryError> {
    let mut found = Vec::new();
    if domain == HUB {
        for mirror in mirrors {
            let base = mirror_url(mirror)?;
            let insecure = insecure(&authority(&base));
            found.push(Endpoint::stand_in(base, insecure));
        }
    }
    let host = server_of(domain);
    let lax = insecure(host);
    // Plain http comes second and only for a registry that was listed: a failing https never opens it for others.
    for scheme in if lax { &["https", "http"][..] } else { &["https"] } {
        let base = Url::parse(&format!("{scheme}://{host}/"));
        let base = base.map_err(|_| RegistryError::Endpoint(host.into()))?;
        found.push(Endpoint::own(base, lax));
    }
    Ok(found)
}

/// The server of a registry's domain, which differs for Docker's own.
pub(crate) fn server_of(domain: &str) -> &str {
    if domain == HUB { HUB_SERVER } else { domain }
}

pub(crate) fn mirror_url(text: &str) -> Result<Url, RegistryError> {
    let failed = || RegistryError::Endpoint(text.into());
    let with_slash = if text.ends_with('/') { text.to_owned() } else { format!("{text}/") };
    let mut url = Url::parse(&with_slash).map_err(|_| failed())?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(failed());
    }
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

/// The registry's domain that a login names: `https://index.docker.io/v1/` and nothing at all mean Docker's own.
pub(crate) fn login_domain(server: &str) -> String {
    let bare = server.trim().trim_start_matches("https://").trim_start_matches("http://");
    let host = bare.split('/').next().unwrap_or_default();
    match host {
        "" | "index.docker.io" | "registry-1.docker.io" | HUB => HUB.into(),
        host => host.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bases(domain: &str, mirrors: &[&str], listed: &[&str]) -> Vec<(String, bool)> {
        let insecure = Insecure::parse(&listed.iter().map(ToString::to_string).collect::<Vec<_>>());
        let mirrors: Vec<String> = mirrors.iter().map(ToString::to_string).collect();
        let found = endpoints(domain, &mirrors, |host| insecure.covers(host)).unwrap();
        found.into_iter().map(|e| (e.base.to_string(), e.credentials)).collect()
    }

    #[test]
    fn http_is_only_for_loopback_and_the_listed() {
        assert_eq!(bases("example.com", &[], &[]), [("https://example.com/".into(), true)]);
        for domain in ["127.0.0.1:5000", "127.9.9.9", "localhost:5000", "[::1]:5000"] {
            assert_eq!(bases(domain, &[], &[]).len(), 2, "{domain}");
        }
        assert_eq!(bases("10.1.2.3:5000", &[], &["10.1.0.0/16"]).len(), 2);
        assert_eq!(bases("10.2.2.3:5000", &[], &["10.1.0.0/16"]).len(), 1);
        assert_eq!(bases("reg.local:5000", &[], &["reg.local:5000"]).len(), 2);
        assert_eq!(bases("reg.local:5001", &[], &["reg.local:5000"]).len(), 1);
        // A name that merely begins like loopback is not loopback.
        assert_eq!(bases("127.0.0.1.example.com", &[], &[]).len(), 1);
    }

    #[test]
    fn mirrors_are_for_the_hub_and_get_no_credentials() {
        let found = bases("docker.io", &["http://mirror:5000", "https://m.example/cache"], &[]);
        assert_eq!(
            found,
            [
                ("http://mirror:5000/".to_owned(), false),
                ("https://m.example/cache/".to_owned(), false),
                ("https://registry-1.docker.io/".to_owned(), true),
            ]
        );
        assert_eq!(bases("quay.io", &["http://mirror:5000"], &[]).len(), 1);
        assert!(endpoints("docker.io", &["ftp://x".into()], |_| false).is_err());
    }

    #[test]
    fn logins_name_registries_in_many_ways() {
        for (given, domain) in [
            ("", "docker.io"),
            ("https://index.docker.io/v1/", "docker.io"),
            ("127.0.0.1:5000", "127.0.0.1:5000"),
            ("https://Reg.example/v2/", "reg.example"),
        ] {
            assert_eq!(login_domain(given), domain);
        }
    }
}
