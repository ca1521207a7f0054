//! Pulling from registries (OCI distribution specification; Docker Registry HTTP API V2), and logging in to them.
//!
//! ```text
//!   ImageRef ─► Registry::repository ─► Repository ─┬─ resolve  → Descriptor (+ document);  tags
//!                     │                             ├─ manifest → document
//!       endpoints: hosts.toml, mirrors of           ├─ blob     → stream of Bytes, from an offset
//!       docker.io, https, http (loopback and        └─ push: blobs asked for, mounted, uploaded; manifests put
//!       listed only)
//!                     │ 401
//!                     └─► challenge ─► basic, or token server
//! ```
//!
//! Invariants:
//! - Plain http is spoken to loopback, to registries the administrator listed and to mirrors given so; a failing
//!   https opens no other way.
//! - Credentials go to the registry they are for, or to the token server it names over https (over http only on the
//!   registry's own host); never to mirrors, to redirects' targets on other hosts, or to a descriptor's `urls`.
//! - A server that says nothing, or next to nothing, is given up: no request lasts for ever.
//! - Documents are bounded: manifests 4 MiB, tokens and errors 1 MiB. Manifests are verified by digest here; blobs
//!   are streams, which the reader verifies.
//!
//! TLS is rustls with ring, roots come from the system's store (`ca-certificates`) and `<certs_dir>/<host:port>/`
//! (`*.crt`, `*.cert` with `*.key`). [`Proxies`] are told as Go's programs are; loopback is never behind one.
//!
//! It must not know content stores, snapshots, or the Engine API.

mod challenge;
mod endpoint;
mod error;
mod hosts;
mod login;
mod proxy;
mod push;
mod repository;
mod search;
mod token;
mod transport;

pub use error::RegistryError;
pub use proxy::Proxies;
pub use push::{Begun, Payload, Sent, Upload};
pub use repository::{Blob, MANIFEST_LIMIT, Repository, Resolved};
pub use search::Found;

use endpoint::Endpoint;
use hull_types::ImageRef;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use transport::{Incoming, Transport};

/// How registries are reached.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// URLs that are tried before docker.io's own registry, in order.
    pub mirrors: Vec<String>,
    /// `host`, `host:port` or CIDR: registries that may be spoken to by http or with certificates that do not
    /// verify. Loopback always may.
    pub insecure: Vec<String>,
    /// Where `<host:port>/hosts.toml` (containerd's) and `<host:port>/*.crt`, `*.cert` and `*.key` (Docker's) are,
    /// such as /etc/docker/certs.d.
    pub certs_dir: Option<PathBuf>,
    /// What Hull calls itself.
    pub user_agent: String,
    /// How long a connection may say next to nothing before it counts as broken; a minute where nothing is set.
    pub stall: Option<std::time::Duration>,
    /// What stands between here and there.
    pub proxies: Proxies,
}

/// Credentials for one registry.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Auth {
    /// The account.
    pub username: String,
    /// Its password.
    pub password: String,
    /// A refresh token from an earlier login, used instead of the password.
    pub identity_token: String,
    /// A bearer token, used as it is.
    pub registry_token: String,
}

impl Auth {
    /// Whether there is nothing in it: clients send empty credentials where they have none.
    pub fn is_empty(&self) -> bool {
        self.username.is_empty() && self.identity_token.is_empty() && self.registry_token.is_empty()
    }
}

/// Secrets never reach a log.
impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Access to every registry. Cheap to clone; connections are shared among clones.
#[derive(Clone)]
pub struct Registry {
    transport: Arc<RwLock<Arc<Transport>>>,
}

/// Bytes on their way here, from [`Registry::fetch`].
pub struct Fetched {
    length: Option<u64>,
    body: Incoming,
}

impl Fetched {
    /// How many there are, where the server says so.
    pub fn length(&self) -> Option<u64> {
        self.length
    }
    /// The next of them; none after the last.
    pub async fn next(&mut self) -> Result<Option<bytes::Bytes>, RegistryError> {
        self.body.next().await
    }
}

impl Registry {
    /// Prepares access; nothing is connected to yet. Installs ring as rustls's provider for the process, unless
    /// one is installed already.
    pub fn new(config: Config) -> Self {
        install_crypto();
        Self { transport: Arc::new(RwLock::new(Arc::new(Transport::new(config)))) }
    }
    /// Reaches registries by this configuration from now on; what is under way ends by the old one.
    pub fn reconfigure(&self, config: Config) {
        *self.transport.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Transport::new(config));
    }
    fn transport(&self) -> Arc<Transport> {
        self.transport.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
    /// The repository of `reference`, with these credentials.
    pub fn repository(&self, reference: &ImageRef, auth: Option<Auth>) -> Repository {
        let auth = auth.filter(|auth| !auth.is_empty());
        let scope = format!("repository:{}:pull", reference.path());
        Repository::new(self.transport(), reference.bare(), auth, scope)
    }
    /// The repository of `reference`, to push to. `sources` are repositories of the same registry that blobs may be
    /// mounted from.
    pub fn pusher(&self, reference: &ImageRef, sources: &[String], auth: Option<Auth>) -> Repository {
        let auth = auth.filter(|auth| !auth.is_empty());
        let mut scope = format!("repository:{}:pull,push", reference.path());
        for source in sources.iter().filter(|source| *source != reference.path()) {
            scope.push_str(&format!(" repository:{source}:pull"));
        }
        Repository::new(self.transport(), reference.bare(), auth, scope)
    }
    /// Gets what is at an address (`docker import URL`): its length where the server says it, and its bytes.
    pub async fn fetch(&self, url: &str) -> Result<Fetched, RegistryError> {
        let parsed = reqwest::Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let Some(parsed) = parsed else { return Err(RegistryError::Address(url.into())) };
        let get = reqwest::Method::GET;
        let transport = self.transport();
        let response =
            transport.send(get, parsed, Default::default(), None, &transport::Trust::default()).await?;
        let status = response.status().as_u16();
        if status >= 400 {
            return Err(RegistryError::Fetch { url: url.into(), status });
        }
        Ok(Fetched { length: response.content_length(), body: transport.incoming(response) })
    }
    /// Searches an index (`docker search`): Docker's, or that of the registry which the term begins with.
    pub async fn search(
        &self,
        term: &str,
        limit: usize,
        auth: Option<Auth>,
    ) -> Result<Vec<Found>, RegistryError> {
        let auth = auth.filter(|auth| !auth.is_empty());
        search::search(&self.transport(), term, limit, auth.as_ref()).await
    }
    /// Checks credentials with `server` (as `docker login` names it). Returns the identity token to keep instead
    /// of the password, where the registry gives one.
    pub async fn login(&self, server: &str, auth: &Auth) -> Result<Option<String>, RegistryError> {
        login::login(&self.transport(), server, auth).await
    }
}

/// Makes ring the provider of rustls for this process. Harmless when done twice.
pub fn install_crypto() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

async fn endpoints(
    transport: &Transport,
    domain: &str,
    mirrors: &[String],
) -> Result<Vec<Endpoint>, RegistryError> {
    let lax = transport.insecure.covers(domain) || by_address(transport, domain).await;
    let covers = |host: &str| transport.insecure.covers(host) || (lax && host == domain);
    let own = endpoint::endpoints(domain, mirrors, covers)?;
    match transport.certs_dir().map(|all| hosts::read(all, domain)).transpose()?.flatten() {
        Some(file) => file.endpoints(domain, own, covers),
        None => Ok(own),
    }
}

// A listed network covers names that lead into it, as with Docker: only then is a name looked up here.
async fn by_address(transport: &Transport, domain: &str) -> bool {
    if !transport.insecure.has_networks() {
        return false;
    }
    let host = endpoint::host_of(domain);
    match tokio::net::lookup_host((host, 443)).await {
        Ok(found) => found.into_iter().any(|address| transport.insecure.covers_address(address.ip())),
        Err(_) => false,
    }
}

async fn read_limited(response: reqwest::Response, limit: u64) -> Result<Vec<u8>, RegistryError> {
    let url = response.url().clone();
    let mut body = Incoming::new(response, transport::STALL);
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await? {
        if (bytes.len() + chunk.len()) as u64 > limit {
            let cause = format!("more than {limit} bytes");
            return Err(RegistryError::Answer { url: url.to_string(), cause });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}
