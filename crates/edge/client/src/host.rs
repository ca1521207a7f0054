//! Where an engine is: `unix:///path`, `tcp://host:port`, `ssh://[user@]host[:port][/socket]`.

use std::fmt;
use std::path::PathBuf;

/// An engine's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A unix socket.
    Unix(PathBuf),
    /// A TCP address; TLS is the [`Options`](crate::Options)' matter.
    Tcp {
        /// Name or address, IPv6 without brackets.
        host: String,
        /// Port; 2375 where none was given, 2376 with TLS.
        port: u16,
        /// A path that all requests' paths come under, without a trailing slash.
        base: String,
    },
    /// `ssh host … system dial-stdio`.
    Ssh {
        /// User, where one was given.
        user: Option<String>,
        /// Name or address.
        host: String,
        /// Port, where one was given.
        port: Option<u16>,
        /// A socket on that machine other than its default.
        socket: Option<String>,
    },
}

/// Why a text is no engine's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// No `scheme://`.
    #[error("invalid bind address format: {0}")]
    Form(String),
    /// A scheme that no transport is for.
    #[error("invalid bind address format: {0}")]
    Scheme(String),
    /// The port is no number.
    #[error("invalid port in docker host `{0}`")]
    Port(String),
    /// An ssh address with a password, query or without a host.
    #[error("invalid ssh host `{0}`: {1}")]
    Ssh(String, &'static str),
}

impl Host {
    /// Parses an address; `tls` decides the default port and the scheme of an address without one.
    pub fn parse(text: &str, tls: bool) -> Result<Self, HostError> {
        let default_port = if tls { 2376 } else { 2375 };
        let (scheme, rest) = match text.split_once("://") {
            Some(parts) => parts,
            None if text.starts_with('/') => ("unix", text),
            None if text.is_empty() => return Err(HostError::Form(text.into())),
            None => ("tcp", text),
        };
        match scheme {
            "unix" if rest.is_empty() => Err(HostError::Form(text.into())),
            "unix" => Ok(Host::Unix(rest.into())),
            "tcp" | "http" | "https" => {
                let (address, base) = split_path(rest);
                let (host, port) = split_port(address).ok_or_else(|| HostError::Port(text.into()))?;
                let host = if host.is_empty() { "localhost".into() } else { host };
                Ok(Host::Tcp {
                    host,
                    port: port.unwrap_or(default_port),
                    base: base.trim_end_matches('/').into(),
                })
            }
            "ssh" => Self::parse_ssh(text, rest),
            other => Err(HostError::Scheme(format!("{other}://{rest}"))),
        }
    }

    fn parse_ssh(text: &str, rest: &str) -> Result<Self, HostError> {
        let wrong = |why| HostError::Ssh(text.into(), why);
        let (address, path) = split_path(rest);
        let (user, address) = match address.rsplit_once('@') {
            Some((user, address)) => (Some(user), address),
            None => (None, address),
        };
        if user.is_some_and(|user| user.contains(':')) {
            return Err(wrong("plain-text password is not supported"));
        }
        if rest.contains(['?', '#']) {
            return Err(wrong("extra query or fragment"));
        }
        let (host, port) = split_port(address).ok_or_else(|| HostError::Port(text.into()))?;
        if host.is_empty() || host.starts_with('-') || user.is_some_and(|user| user.starts_with('-')) {
            return Err(wrong("no host specified"));
        }
        let socket = (!path.trim_matches('/').is_empty()).then(|| path.to_owned());
        Ok(Host::Ssh { user: user.map(Into::into), host, port, socket })
    }

    /// What goes into the `Host` header: Docker sends a fixed name over sockets that have none.
    pub(crate) fn authority(&self) -> String {
        match self {
            Host::Tcp { host, port, .. } if host.contains(':') => format!("[{host}]:{port}"),
            Host::Tcp { host, port, .. } => format!("{host}:{port}"),
            Host::Unix(_) => "api.moby.localhost".into(),
            Host::Ssh { .. } => "docker.example.com".into(),
        }
    }
    /// The path that all requests' paths come under.
    pub(crate) fn base(&self) -> &str {
        match self {
            Host::Tcp { base, .. } => base,
            _ => "",
        }
    }
}

fn split_path(text: &str) -> (&str, &str) {
    text.find('/').map_or((text, ""), |slash| text.split_at(slash))
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`.
fn split_port(text: &str) -> Option<(String, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        return match port.strip_prefix(':') {
            Some(port) => Some((host.into(), Some(port.parse().ok()?))),
            None => port.is_empty().then(|| (host.into(), None)),
        };
    }
    match text.split_once(':') {
        Some((host, port)) if !port.is_empty() => Some((host.into(), Some(port.parse().ok()?))),
        Some((host, _)) => Some((host.into(), None)),
        None => Some((text.into(), None)),
    }
}

/// The address as Docker shows it.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Unix(path) => write!(f, "unix://{}", path.display()),
            Host::Tcp { base, .. } => write!(f, "tcp://{}{base}", self.authority()),
            Host::Ssh { user, host, port, socket } => {
                f.write_str("ssh://")?;
                if let Some(user) = user {
                    write!(f, "{user}@")?;
                }
                f.write_str(host)?;
                if let Some(port) = port {
                    write!(f, ":{port}")?;
                }
                f.write_str(socket.as_deref().unwrap_or_default())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_and_show() {
        for (text, shown) in [
            ("unix:///run/x.sock", "unix:///run/x.sock"),
            ("/run/x.sock", "unix:///run/x.sock"),
            ("tcp://h", "tcp://h:2375"),
            ("tcp://h:1/base/", "tcp://h:1/base"),
            ("tcp://[::1]:9", "tcp://[::1]:9"),
            ("h:5", "tcp://h:5"),
            ("foo", "tcp://foo:2375"),
            ("ssh://u@h:22", "ssh://u@h:22"),
            ("ssh://h/run/d.sock", "ssh://h/run/d.sock"),
        ] {
            assert_eq!(Host::parse(text, false).unwrap().to_string(), shown, "{text}");
        }
        assert_eq!(Host::parse("tcp://h", true).unwrap().to_string(), "tcp://h:2376");
        for bad in ["", "unix://", "foo://x", "tcp://h:x", "ssh://", "ssh://u:p@h", "ssh://-oProxyCommand=x"]
        {
            assert!(Host::parse(bad, false).is_err(), "{bad}");
        }
    }
}
