//! Which proxy a request goes through: `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` as Go's programs read them
//! (golang.org/x/net/http/httpproxy), Docker's among them. Pure.

use crate::endpoint::{contains, network};
use reqwest::Url;
use std::fmt;
use std::net::IpAddr;

/// The proxies of this machine. The default: none.
#[derive(Clone, Default)]
pub struct Proxies {
    http: Option<Url>,
    https: Option<Url>,
    except: Vec<Except>,
}

/// What is reached without a proxy: an entry of `NO_PROXY`.
#[derive(Clone)]
enum Except {
    Everything,
    Network(IpAddr, u8),
    // An empty port is any.
    Address(IpAddr, String),
    // The name with a dot before it; whether the name itself is meant besides what is below it; the port.
    Domain(String, bool, String),
}

impl Proxies {
    /// What the environment says, by names in capital letters first.
    pub fn from_environment() -> Self {
        let [http, https, no] = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"].map(variable);
        let proxies = Self::new(&http, &https, &no);
        // As Go goes on without it, but not in silence.
        for (name, text, read) in
            [("HTTP_PROXY", http, &proxies.http), ("HTTPS_PROXY", https, &proxies.https)]
        {
            if !text.is_empty() && read.is_none() {
                tracing::warn!("{name} is no http, https or socks5 address: no proxy is used");
            }
        }
        proxies
    }

    /// Proxies for `http` and `https` URLs, and what needs none. Empty: none; what is no URL counts as empty.
    pub fn new(http: &str, https: &str, no: &str) -> Self {
        let except = no.split(',').filter_map(|entry| except(&entry.trim().to_lowercase())).collect();
        Self { http: address(http), https: address(https), except }
    }

    /// The proxy for `url`; none where it is asked directly, as loopback always is.
    pub(crate) fn of(&self, url: &Url) -> Option<&Url> {
        let proxy = if url.scheme() == "https" { &self.https } else { &self.http };
        proxy.as_ref().filter(|_| !self.spares(url))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.http.is_none() && self.https.is_none()
    }

    fn spares(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let address = host.parse::<IpAddr>().ok().map(|address| address.to_canonical());
        let port = url.port_or_known_default().unwrap_or(0).to_string();
        let at = |wanted: &String| wanted.is_empty() || *wanted == port;
        host == "localhost"
            || address.is_some_and(|address| address.is_loopback())
            || self.except.iter().any(|except| match except {
                Except::Everything => true,
                Except::Network(network, length) => {
                    address.is_some_and(|address| contains((*network, *length), address))
                }
                Except::Address(known, port) => address == Some(*known) && at(port),
                Except::Domain(name, itself, port) => {
                    (host.ends_with(name.as_str()) || (*itself && host == &name[1..])) && at(port)
                }
            })
    }
}

/// Proxies' addresses have passwords in them: these never reach a log.
impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = |url: &Option<Url>| url.as_ref().and_then(|url| url.host_str().map(str::to_owned));
        f.debug_struct("Proxies")
            .field("http", &host(&self.http))
            .field("https", &host(&self.https))
            .finish_non_exhaustive()
    }
}

/// A variable of the environment by its name in capital letters, or else in small ones.
fn variable(name: &str) -> String {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    set(name).or_else(|| set(&name.to_ascii_lowercase())).unwrap_or_default()
}

// A proxy without scheme is one that speaks http.
fn address(text: &str) -> Option<Url> {
    let text = text.trim();
    let known = |url: &Url| url.has_host() && matches!(url.scheme(), "http" | "https" | "socks5" | "socks5h");
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let mut url = Url::parse(&whole).ok().filter(known)?;
    // Names are looked up by the proxy, for both, as with Go.
    if url.scheme() == "socks5" {
        url.set_scheme("socks5h").ok()?;
    }
    Some(url)
}

fn except(entry: &str) -> Option<Except> {
    if entry == "*" {
        return Some(Except::Everything);
    }
    if let Some((address, length)) = network(entry) {
        return Some(Except::Network(address, length));
    }
    let (host, port) = host_and_port(entry);
    if let Ok(address) = host.parse::<IpAddr>() {
        return Some(Except::Address(address.to_canonical(), port.into()));
    }
    let host = host.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(host);
    let bare = host.strip_prefix('.').unwrap_or(host);
    if bare.is_empty() {
        return None;
    }
    // As URLs write it: names of other alphabets are encoded there.
    let encoded = Url::parse(&format!("http://{bare}/")).ok();
    let encoded = encoded.as_ref().and_then(Url::host_str).unwrap_or(bare);
    Some(Except::Domain(format!(".{encoded}"), bare == host, port.into()))
}

fn host_and_port(entry: &str) -> (&str, &str) {
    if let Some((host, rest)) = entry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (host, rest.strip_prefix(':').unwrap_or_default());
    }
    match entry.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, port),
        _ => (entry, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(proxies: &Proxies, url: &str) -> Option<String> {
        proxies.of(&Url::parse(url).unwrap()).map(ToString::to_string)
    }

    #[test]
    fn each_scheme_has_its_proxy() {
        let both = Proxies::new("proxy:3128", "https://ann:pw@secure.example", "");
        assert_eq!(through(&both, "http://r.example/v2/").as_deref(), Some("http://proxy:3128/"));
        assert_eq!(through(&both, "https://r.example/").as_deref(), Some("https://ann:pw@secure.example/"));
        assert!(!format!("{both:?}").contains("pw"));
        let one = Proxies::new("", "socks5://proxy", "");
        assert_eq!(through(&one, "http://r.example/"), None);
        assert_eq!(through(&one, "https://r.example/").as_deref(), Some("socks5h://proxy"));
        for none in ["", " ", "ftp://x", "http://"] {
            assert!(Proxies::new(none, none, "").is_empty(), "{none:?}");
        }
    }

    #[test]
    fn exceptions_are_gos() {
        let spared = |no: &str, url: &str| through(&Proxies::new("p:1", "p:1", no), url).is_none();
        for (no, url, expected) in [
            // Loopback always.
            ("", "http://localhost:5000/", true),
            ("", "https://127.3.2.1/", true),
            ("", "http://[::1]:5000/", true),
            ("", "http://localhost.example/", false),
            ("*", "https://r.example/", true),
            // A name is itself and what is below it; with a dot or a star only the latter.
            ("example.com", "https://example.com/", true),
            ("example.com", "https://r.example.com:5000/", true),
            ("example.com", "https://notexample.com/", false),
            (".example.com", "https://example.com/", false),
            (".example.com", "https://r.example.com/", true),
            ("*.example.com", "https://example.com/", false),
            ("*.example.com", "https://a.r.example.com/", true),
            ("EXAMPLE.com", "https://Example.COM/", true),
            ("exämple.com", "https://exämple.com/", true),
            ("other, example.com ,", "https://example.com/", true),
            // Ports, the scheme's own among them.
            ("example.com:443", "https://example.com/", true),
            ("example.com:443", "http://example.com/", false),
            ("example.com:5000", "http://r.example.com:5000/", true),
            (":5000", "http://r.example.com:5000/", false),
            // Addresses and networks: these cover addresses, not names.
            ("10.1.2.3", "http://10.1.2.3:5000/", true),
            ("10.1.2.3:80", "http://10.1.2.3:5000/", false),
            ("10.1.2.3:5000", "http://10.1.2.3:5000/", true),
            ("10.0.0.0/8", "http://10.200.3.4/", true),
            ("10.0.0.0/8", "http://11.200.3.4/", false),
            ("10.0.0.0/8", "http://r.example/", false),
            ("fd00::/8", "http://[fd12::1]:5000/", true),
            ("fd12::1", "http://[fd12::1]:5000/", true),
            ("[fd12::1]:5000", "http://[fd12::1]:5000/", true),
            ("[fd12::1]:5001", "http://[fd12::1]:5000/", false),
        ] {
            assert_eq!(spared(no, url), expected, "{no:?} {url}");
        }
    }
}
