//! HTTP: clients, certificates, redirects, and what a broken connection is called.

use crate::Config;
use crate::endpoint::{Insecure, authority};
use crate::error::RegistryError;
use crate::token::Tokens;
use bytes::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, LOCATION, RANGE};
use reqwest::{Certificate, Client, Identity, Method, Response, StatusCode, Url};
use std::collections::HashMap;
use std::error::Error as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// See [`Config::stall`].
pub(crate) const STALL: Duration = Duration::from_secs(60);
/// What has to come in that time, in bytes: a modem of 1985 was faster.
const LEAST: u64 = 16 << 10;
const REDIRECTS: usize = 10;

pub(crate) struct Transport {
    config: Config,
    pub(crate) insecure: Insecure,
    clients: Mutex<HashMap<(String, Trust, bool), Client>>,
    pub(crate) tokens: Tokens,
}

/// How far a server is trusted, and who we are to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Trust {
    /// Whether its certificate need not be verified.
    pub(crate) insecure: bool,
    /// Authorities besides the system's.
    pub(crate) authorities: Vec<PathBuf>,
    /// A client certificate and its key, which may be one file.
    pub(crate) client: Option<(PathBuf, Option<PathBuf>)>,
}

impl Trust {
    pub(crate) fn lax(insecure: bool) -> Self {
        Self { insecure, ..Self::default() }
    }
}

impl Transport {
    pub(crate) fn new(config: Config) -> Self {
        let insecure = Insecure::parse(&config.insecure);
        Self { config, insecure, clients: Mutex::default(), tokens: Tokens::default() }
    }
    pub(crate) fn certs_dir(&self) -> Option<&Path> {
        self.config.certs_dir.as_deref()
    }
    pub(crate) fn mirrors(&self) -> &[String] {
        &self.config.mirrors
    }

    /// Sends one request, following redirects. `authorization` goes to the first server alone.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: Url,
        mut headers: HeaderMap,
        authorization: Option<HeaderValue>,
        trust: &Trust,
    ) -> Result<Response, RegistryError> {
        let first = url.clone();
        if let Some(authorization) = authorization {
            headers.insert(AUTHORIZATION, authorization);
        }
        let mut url = url;
        for _ in 0..=REDIRECTS {
            let client = match url.origin() == first.origin() {
                true => self.client(&url, trust, false)?,
                false => self.client(&url, &Trust::lax(self.insecure.covers(&authority(&url))), false)?,
            };
            let request = client.request(method.clone(), url.clone()).headers(headers.clone());
            let response = request.send().await.map_err(|error| self.unsent(&method, &url, &error))?;
            if !is_redirect(response.status()) {
                return Ok(response);
            }
            let target =
                response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let next = url.join(target).ok().filter(|next| may_follow(&url, next, &self.insecure));
            let Some(next) = next.filter(|_| !target.is_empty()) else {
                let (url, target) = (first.to_string(), target.to_owned());
                return Err(RegistryError::Redirect { method: verb(&method), url, target });
            };
            if next.origin() != first.origin() {
                // Neither credentials nor what an administrator has sent along to that server.
                let all = std::mem::take(&mut headers);
                for kept in [ACCEPT, RANGE] {
                    headers.extend(all.get_all(&kept).iter().map(|value| (kept.clone(), value.clone())));
                }
            }
            url = next;
        }
        let target = url.to_string();
        Err(RegistryError::Redirect { method: verb(&method), url: first.to_string(), target })
    }

    /// Posts a form, following no redirect: forms carry secrets.
    pub(crate) async fn post(
        &self,
        url: Url,
        body: String,
        trust: &Trust,
    ) -> Result<Response, RegistryError> {
        let request = self.client(&url, trust, false)?.post(url.clone());
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        request.send().await.map_err(|error| self.unsent(&Method::POST, &url, &error))
    }

    /// Sends one request with a body, following no redirect: the body is read once. Answers may take as long as
    /// they like: whoever sends watches over that.
    pub(crate) async fn upload(
        &self,
        method: Method,
        url: &Url,
        headers: HeaderMap,
        body: reqwest::Body,
        trust: &Trust,
    ) -> Result<Response, RegistryError> {
        let request = self.client(url, trust, true)?.request(method.clone(), url.clone());
        let sent = request.headers(headers).body(body).send().await;
        sent.map_err(|error| self.unsent(&method, url, &error))
    }

    /// The answer's body.
    pub(crate) fn incoming(&self, response: Response) -> Incoming {
        Incoming::new(response, self.config.stall.unwrap_or(STALL))
    }

    fn unsent(&self, method: &Method, url: &Url, error: &reqwest::Error) -> RegistryError {
        broken(method, url, self.config.proxies.of(url), error)
    }

    // One client a host: each has that host's certificates, and its pool of connections.
    fn client(&self, url: &Url, trust: &Trust, patient: bool) -> Result<Client, RegistryError> {
        let key = (authority(url), trust.clone(), patient);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let client = self.build(&key.0, trust, patient)?;
        clients.insert(key, client.clone());
        Ok(client)
    }

    fn build(&self, authority: &str, trust: &Trust, patient: bool) -> Result<Client, RegistryError> {
        let mut builder = Client::builder()
            .user_agent(&self.config.user_agent)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .tls_danger_accept_invalid_certs(trust.insecure);
        if !patient {
            builder = builder.read_timeout(self.config.stall.unwrap_or(STALL));
        }
        let proxies = self.config.proxies.clone();
        builder = match proxies.is_empty() {
            true => builder.no_proxy(),
            false => builder.proxy(reqwest::Proxy::custom(move |url| proxies.of(url).cloned())),
        };
        let own = self.config.certs_dir.as_ref().map(|all| all.join(authority)).filter(|own| own.is_dir());
        if let Some(directory) = own {
            for certificate in roots(&directory)? {
                builder = builder.add_root_certificate(certificate);
            }
            if let Some(identity) = identity(&directory)? {
                builder = builder.identity(identity);
            }
        }
        for path in &trust.authorities {
            for certificate in bundle(path)? {
                builder = builder.add_root_certificate(certificate);
            }
        }
        if let Some((certificate, key)) = &trust.client {
            builder = builder.identity(joined(certificate, key.as_deref())?);
        }
        builder
            .build()
            .map_err(|error| RegistryError::Client { host: authority.into(), cause: innermost(&error) })
    }
}

/// A body on its way here, from a server that has to keep going.
pub(crate) struct Incoming {
    response: Response,
    pace: Pace,
}

impl Incoming {
    /// `stall` is how long the server may say next to nothing.
    pub(crate) fn new(response: Response, stall: Duration) -> Self {
        Self { response, pace: Pace { stall, waited: Duration::ZERO, came: 0 } }
    }
    /// The next piece; none after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, RegistryError> {
        let begun = Instant::now();
        let chunk = self.response.chunk().await;
        let url = self.response.url();
        let chunk = chunk.map_err(|error| broken(&Method::GET, url, None, &error))?;
        let length = chunk.as_ref().map_or(u64::MAX, |chunk| chunk.len() as u64);
        if self.pace.holds(begun.elapsed(), length) {
            return Ok(chunk);
        }
        let cause = format!("fewer than {LEAST} bytes came in {:?}", self.pace.stall);
        Err(RegistryError::Transport { method: "Get", url: url.to_string(), cause, tls: false })
    }
}

/// A server that is slow is borne with, one that sends a byte now and then is not: it would never be done. Only time
/// spent waiting for it counts.
struct Pace {
    stall: Duration,
    waited: Duration,
    came: u64,
}

impl Pace {
    fn holds(&mut self, waited: Duration, came: u64) -> bool {
        (self.waited, self.came) = (self.waited + waited, self.came.saturating_add(came));
        if self.waited < self.stall {
            return true;
        }
        let enough = self.came >= LEAST;
        (self.waited, self.came) = (Duration::ZERO, 0);
        enough
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

// A redirect must not lead out of TLS, where anyone on the way could answer, unless to a server listed as insecure.
pub(crate) fn may_follow(from: &Url, to: &Url, insecure: &Insecure) -> bool {
    match to.scheme() {
        "https" => true,
        "http" => from.scheme() == "http" || insecure.covers(&authority(to)),
        _ => false,
    }
}

fn roots(directory: &Path) -> Result<Vec<Certificate>, RegistryError> {
    let mut found = Vec::new();
    for path in files(directory, "crt")? {
        found.extend(bundle(&path)?);
    }
    Ok(found)
}

fn bundle(path: &Path) -> Result<Vec<Certificate>, RegistryError> {
    let bytes = fs::read(path).map_err(|error| unusable(path, error))?;
    Certificate::from_pem_bundle(&bytes).map_err(|error| unusable(path, error))
}

fn identity(directory: &Path) -> Result<Option<Identity>, RegistryError> {
    let Some(certificate) = files(directory, "cert")?.into_iter().next() else { return Ok(None) };
    let key = certificate.with_extension("key");
    joined(&certificate, Some(&key)).map(Some)
}

fn joined(certificate: &Path, key: Option<&Path>) -> Result<Identity, RegistryError> {
    let mut pem = fs::read(certificate).map_err(|error| unusable(certificate, error))?;
    if let Some(key) = key {
        pem.push(b'\n');
        pem.extend(
            fs::read(key)
                .map_err(|error| unusable(key, format!("missing key for {certificate:?}: {error}")))?,
        );
    }
    Identity::from_pem(&pem).map_err(|error| unusable(certificate, error))
}

fn files(directory: &Path, extension: &str) -> Result<Vec<std::path::PathBuf>, RegistryError> {
    let entries = fs::read_dir(directory).map_err(|error| unusable(directory, error))?;
    let mut found: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect();
    found.sort();
    Ok(found)
}

fn unusable(path: &Path, cause: impl ToString) -> RegistryError {
    RegistryError::Certificates { path: path.into(), cause: cause.to_string() }
}

pub(crate) fn verb(method: &Method) -> &'static str {
    match *method {
        Method::HEAD => "Head",
        Method::POST => "Post",
        Method::PUT => "Put",
        Method::PATCH => "Patch",
        _ => "Get",
    }
}

/// A failed request as an error, in the words that Go programs (and so Docker's users) know.
fn broken(method: &Method, url: &Url, proxy: Option<&Url>, error: &reqwest::Error) -> RegistryError {
    let cause = innermost(error);
    let (cause, tls) = describe(url, proxy, &cause, error);
    RegistryError::Transport { method: verb(method), url: url.to_string(), cause, tls }
}

fn describe(url: &Url, proxy: Option<&Url>, cause: &str, error: &reqwest::Error) -> (String, bool) {
    if cause.contains("InvalidContentType") {
        return ("http: server gave HTTP response to HTTPS client".into(), true);
    }
    if cause.contains("UnknownIssuer") {
        let words = "tls: failed to verify certificate: x509: certificate signed by unknown authority";
        return (words.into(), true);
    }
    if cause.contains("certificate") || cause.contains("handshake") {
        return (format!("tls: {cause}"), true);
    }
    if error.is_connect() {
        let cause = if error.is_timeout() { "i/o timeout" } else { cause };
        let text = unconnected(proxy.unwrap_or(url), cause);
        return (if proxy.is_some() { format!("proxyconnect tcp: {text}") } else { text }, false);
    }
    if error.is_timeout() {
        return ("net/http: request canceled (Client.Timeout exceeded while awaiting headers)".into(), false);
    }
    (cause.to_owned(), false)
}

// Why nobody could be spoken to at `to`, a registry or the proxy before it.
fn unconnected(to: &Url, cause: &str) -> String {
    let host = to.host_str().unwrap_or_default();
    let place = format!("{host}:{}", to.port_or_known_default().unwrap_or(0));
    // The kernel's words, which Go writes small.
    if let Some((words, _)) = cause.split_once(" (os error ") {
        return format!("dial tcp {place}: connect: {}", words.to_lowercase());
    }
    match cause {
        "i/o timeout" => format!("dial tcp {place}: i/o timeout"),
        "tunnel error: proxy authorization required" => "Proxy Authentication Required".into(),
        "tunnel error: unsuccessful" => format!("the proxy {host} refuses to connect to it"),
        _ if cause.contains("failed to lookup address") || cause.contains("dns error") => {
            format!("dial tcp: lookup {host}: no such host ({cause})")
        }
        _ => cause.to_owned(),
    }
}

fn innermost(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = inner.to_string();
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cannot_be_reached_is_named_as_go_names_it() {
        let to = Url::parse("https://r.example/v2/").unwrap();
        for (cause, text) in [
            (
                "Network is unreachable (os error 101)",
                "dial tcp r.example:443: connect: network is unreachable",
            ),
            ("Connection refused (os error 111)", "dial tcp r.example:443: connect: connection refused"),
            ("i/o timeout", "dial tcp r.example:443: i/o timeout"),
            ("something else", "something else"),
        ] {
            assert_eq!(unconnected(&to, cause), text);
        }
    }

    #[test]
    fn slow_is_borne_with_and_trickling_is_not() {
        let pace = || Pace { stall: Duration::from_secs(60), waited: Duration::ZERO, came: 0 };
        let second = Duration::from_secs(1);
        let mut trickling = pace();
        assert!((0..59).all(|_| trickling.holds(second, 1)));
        assert!(!trickling.holds(second, 1));
        let mut slow = pace();
        assert!((0..600).all(|_| slow.holds(second, 300)));
        // What a minute long came fast is no credit for the next.
        let mut stalling = pace();
        assert!((0..60).all(|_| stalling.holds(second, 1 << 20)));
        assert!(!(0..60).all(|_| stalling.holds(second, 1)));
        // The end is no trickle, however long it took.
        assert!(pace().holds(60 * second, u64::MAX));
    }
}
