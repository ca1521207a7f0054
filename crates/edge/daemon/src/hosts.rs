//! Addresses that the daemon listens at: `unix://`, `tcp://`, `fd://`.

use crate::settings::SettingsError;
use std::path::PathBuf;

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A unix socket.
    Unix(PathBuf),
    /// `host:port`; an empty host means every address.
    Tcp(String),
    /// Sockets that systemd hands over: all, or the one of this name or number.
    Inherited(String),
}

impl Host {
    /// Reads a host as dockerd does: without protocol it is TCP, and what is missing of a TCP address is
    /// 127.0.0.1 and 2375 (2376 with TLS).
    pub fn parse(text: &str, tls: bool, default_unix: &str) -> Result<Self, SettingsError> {
        let invalid = || SettingsError::Value(format!("invalid bind address format: {text}"));
        let text = text.trim();
        if let Some(path) = text.strip_prefix("unix://") {
            let path = if path.is_empty() { default_unix.trim_start_matches("unix://") } else { path };
            return std::path::absolute(path).map(Self::Unix).map_err(|_| invalid());
        }
        if let Some(name) = text.strip_prefix("fd://") {
            return Ok(Self::Inherited(name.to_owned()));
        }
        if text.contains("://") && !text.starts_with("tcp://") {
            return Err(invalid());
        }
        let port = if tls { "2376" } else { "2375" };
        let address = text.strip_prefix("tcp://").unwrap_or(text);
        if address.contains('/') {
            return Err(invalid());
        }
        let (host, given) = match address.rfind(':').filter(|colon| !address[*colon..].contains(']')) {
            Some(colon) => (&address[..colon], &address[colon + 1..]),
            None => (address, ""),
        };
        let port = if given.is_empty() { port } else { given };
        port.parse::<u16>().map_err(|_| invalid())?;
        // `tcp://` alone is loopback; `tcp://:2375` is every address.
        let host = if host.is_empty() && given.is_empty() { "127.0.0.1" } else { host };
        Ok(Self::Tcp(format!("{}:{port}", if host.is_empty() { "0.0.0.0" } else { host })))
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::Inherited(name) => write!(f, "fd://{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_as_dockerd_does() {
        for (text, shown) in [
            ("unix:///a/b.sock", "unix:///a/b.sock"),
            ("unix://", "unix:///run/hull/hull.sock"),
            ("tcp://", "tcp://127.0.0.1:2375"),
            ("tcp://:5555", "tcp://0.0.0.0:5555"),
            ("tcp://1.2.3.4", "tcp://1.2.3.4:2375"),
            ("1.2.3.4:77", "tcp://1.2.3.4:77"),
            ("tcp://[::1]:77", "tcp://[::1]:77"),
            ("tcp://[::1]", "tcp://[::1]:2375"),
            ("fd://", "fd://"),
            ("fd://3", "fd://3"),
        ] {
            assert_eq!(Host::parse(text, false, "unix:///run/hull/hull.sock").unwrap().to_string(), shown);
        }
        assert_eq!(Host::parse("tcp://h", true, "").unwrap().to_string(), "tcp://h:2376");
        for bad in ["npipe:////./pipe/x", "tcp://h:port", "tcp://h:1/x", "http://x"] {
            assert!(Host::parse(bad, false, "").is_err(), "{bad}");
        }
    }
}
