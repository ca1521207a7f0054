//! The connection pool and the agreement on a version.

use crate::request::{Body, Request};
use crate::ssh::SshStream;
use crate::{Error, Host, Result, TlsFiles, tls};
use hull_api_types::{API_VERSION, MIN_API_VERSION};
use hyper::Method;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// How to reach an engine and what to say on the way.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its address.
    pub host: Host,
    /// TLS, for `tcp://`.
    pub tls: Option<TlsFiles>,
    /// A version to use without asking (`DOCKER_API_VERSION`).
    pub api_version: Option<String>,
    /// The `User-Agent`.
    pub user_agent: String,
    /// Further headers of every request (`HttpHeaders` of the configuration).
    pub headers: Vec<(String, String)>,
}

impl Options {
    /// Plain access to `host`.
    pub fn new(host: Host) -> Self {
        let user_agent = concat!("Hull-Client/", env!("CARGO_PKG_VERSION"), " (linux)").into();
        Self { host, tls: None, api_version: None, user_agent, headers: Vec::new() }
    }
}

/// What `HEAD /_ping` told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ping {
    /// The newest version that the engine serves.
    pub api_version: String,
    /// `linux`.
    pub os_type: String,
    /// Whether experimental features are on.
    pub experimental: bool,
    /// The builder that it prefers: `1` classic, `2` BuildKit.
    pub builder_version: String,
    /// `inactive`, `active/manager`…
    pub swarm: String,
}

/// A client of one engine. Connections are kept and used again; calls may run side by side.
pub struct Client {
    pub(crate) options: Options,
    tls: Option<Arc<rustls::ClientConfig>>,
    version: String,
    ping: Ping,
    idle: Mutex<Vec<SendRequest<Body>>>,
}

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

impl Client {
    /// Connects, asks which version the engine serves and agrees on the lower one of its and ours.
    pub async fn connect(options: Options) -> Result<Self> {
        let tls = match (&options.tls, &options.host) {
            (Some(files), Host::Tcp { .. }) => Some(tls::configure(files)?),
            _ => None,
        };
        let mut client = Self {
            options,
            tls,
            version: API_VERSION.into(),
            ping: Ping::default(),
            idle: Mutex::new(Vec::new()),
        };
        match client.ping_engine().await {
            Ok(ping) => client.ping = ping,
            // An engine that fails the ping may still answer calls, as Docker's client has it; one that can't
            // be reached can't.
            Err(Error::Api { .. }) => {}
            Err(error) => return Err(error),
        }
        client.version = match &client.options.api_version {
            Some(version) => version.trim_start_matches('v').to_owned(),
            None => agreed(&client.ping.api_version),
        };
        Ok(client)
    }

    async fn ping_engine(&self) -> Result<Ping> {
        let response = self.request(Method::HEAD, "/_ping").unversioned().send().await?;
        let header = |name: &str| response.header(name).unwrap_or_default().to_owned();
        let ping = Ping {
            api_version: header("api-version"),
            os_type: header("ostype"),
            experimental: header("docker-experimental") == "true",
            builder_version: header("builder-version"),
            swarm: header("swarm"),
        };
        response.release(self).await?;
        Ok(ping)
    }

    /// The agreed version, such as `1.51`.
    pub fn version(&self) -> &str {
        &self.version
    }
    /// Whether the agreed version is this one or newer.
    pub fn at_least(&self, version: &str) -> bool {
        numbers(&self.version) >= numbers(version)
    }
    /// What the engine said of itself.
    pub fn ping(&self) -> &Ping {
        &self.ping
    }
    /// The engine's address.
    pub fn host(&self) -> &Host {
        &self.options.host
    }
    /// A call; `path` begins with a slash and has no version.
    pub fn request(&self, method: Method, path: &str) -> Request<'_> {
        Request::new(self, method, path)
    }

    /// A connection that is ready for a request: an idle one that still lives, or a new one.
    pub(crate) async fn sender(&self) -> Result<SendRequest<Body>> {
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            match idle {
                Some(mut sender) => {
                    if !sender.is_closed() && sender.ready().await.is_ok() {
                        return Ok(sender);
                    }
                }
                None => return self.open().await,
            }
        }
    }
    pub(crate) fn give_back(&self, sender: SendRequest<Body>) {
        if !sender.is_closed() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        }
    }

    async fn open(&self) -> Result<SendRequest<Body>> {
        let stream = dial(&self.options.host, self.tls.as_ref())
            .await
            .map_err(|source| Error::connecting(&self.options.host.to_string(), source))?;
        let (sender, connection) = http1::Builder::new()
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|source| Error::Transport { method: "CONNECT".into(), path: String::new(), source })?;
        // The connection's errors reach the caller through the response it waits for.
        tokio::spawn(async move {
            let _ = connection.with_upgrades().await;
        });
        Ok(sender)
    }

    /// A connection to the engine before any HTTP is spoken on it: what `system dial-stdio` pipes to.
    pub async fn dial(options: &Options) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + use<>> {
        let config = options.tls.as_ref().map(tls::configure).transpose()?;
        dial(&options.host, config.as_ref())
            .await
            .map_err(|source| Error::connecting(&options.host.to_string(), source))
    }
}

async fn dial(host: &Host, tls: Option<&Arc<rustls::ClientConfig>>) -> io::Result<Box<dyn Io>> {
    match host {
        Host::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
        Host::Ssh { user, host, port, socket } => {
            Ok(Box::new(SshStream::spawn(user.as_deref(), host, *port, socket.as_deref())?))
        }
        Host::Tcp { host, port, .. } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            stream.set_nodelay(true)?;
            let Some(config) = tls else { return Ok(Box::new(stream)) };
            let name = rustls::pki_types::ServerName::try_from(host.clone()).map_err(io::Error::other)?;
            Ok(Box::new(tokio_rustls::TlsConnector::from(config.clone()).connect(name, stream).await?))
        }
    }
}

/// The lower of ours and the engine's; 1.24 for an engine too old to say.
fn agreed(engine: &str) -> String {
    match numbers(engine) {
        None => MIN_API_VERSION.into(),
        theirs if theirs < numbers(API_VERSION) => engine.into(),
        _ => API_VERSION.into(),
    }
}

fn numbers(version: &str) -> Option<(u32, u32)> {
    let (major, minor) = version.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lower_version_is_agreed() {
        assert_eq!(agreed("1.41"), "1.41");
        assert_eq!(agreed("1.9"), "1.9");
        assert_eq!(agreed("9.99"), API_VERSION);
        assert_eq!(agreed(""), MIN_API_VERSION);
    }
}
