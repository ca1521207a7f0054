//! One repository: its manifests and blobs.

use crate::challenge::{self, Challenge};
use crate::endpoint::{Capabilities, Endpoint};
use crate::error::{RegistryError, codes};
use crate::token::{self, Authorization, Tokens};
use crate::transport::{Incoming, Transport, Trust, verb};
use crate::{Auth, endpoints, read_limited};
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, BoxStream, StreamExt};
use hull_types::oci::image::{Descriptor, media_type};
use hull_types::{Digest, ImageRef};
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue, LINK, RANGE,
    RETRY_AFTER, WWW_AUTHENTICATE,
};
use reqwest::{Method, Response, StatusCode, Url};
use ring::digest::{SHA256, SHA512};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, RwLock};

/// The largest manifest or index that is read, in bytes (the distribution specification's floor for registries).
pub const MANIFEST_LIMIT: u64 = 4 << 20;
const ERROR_LIMIT: u64 = 1 << 20;
/// More tags than these are not listed.
const TAGS_LIMIT: usize = 100_000;
const MANIFESTS: [&str; 5] = [
    media_type::OCI_INDEX,
    media_type::DOCKER_INDEX,
    media_type::OCI_MANIFEST,
    media_type::DOCKER_MANIFEST,
    // Asked for only to be refused with a reason instead of "not found".
    media_type::DOCKER_SCHEMA1,
];

/// What a name stands for at its registry.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// Media type, digest and size of the manifest or index.
    pub descriptor: Descriptor,
    /// The document, where finding out took reading it.
    pub document: Option<Vec<u8>>,
}

/// A blob on its way.
pub struct Blob {
    /// Where in the blob the stream begins: what was asked for, or 0 where the server does not do ranges.
    pub offset: u64,
    /// Whether the stream goes to the blob's end, whatever end was asked for.
    pub whole: bool,
    /// The bytes; the stream ends early, with an error, when the connection breaks.
    pub stream: BoxStream<'static, Result<Bytes, RegistryError>>,
}

/// A repository at its registry, or at a mirror of it. Cheap to clone; clones share tokens.
#[derive(Clone)]
pub struct Repository {
    shared: Arc<Shared>,
}

struct Shared {
    transport: Arc<Transport>,
    reference: ImageRef,
    auth: Option<Auth>,
    // What tokens are asked for.
    scope: String,
    // The endpoint that answered first; blobs come from where the manifest came from.
    chosen: RwLock<Option<Endpoint>>,
    authorization: Mutex<Option<Authorization>>,
}

impl Repository {
    pub(crate) fn new(
        transport: Arc<Transport>,
        reference: ImageRef,
        auth: Option<Auth>,
        scope: String,
    ) -> Self {
        let (chosen, authorization) = (RwLock::default(), Mutex::default());
        Self { shared: Arc::new(Shared { transport, reference, auth, scope, chosen, authorization }) }
    }
    pub(crate) fn transport(&self) -> &Transport {
        &self.shared.transport
    }
    /// The repository's name, without tag and digest.
    pub fn name(&self) -> &ImageRef {
        &self.shared.reference
    }

    /// What `reference`'s digest, tag, or `latest` stands for.
    ///
    /// Asks by HEAD first, which registries do not count against pull limits; reads the document where that is
    /// not answered fully.
    pub async fn resolve(&self, reference: &ImageRef) -> Result<Resolved, RegistryError> {
        let shared = &self.shared;
        let domain = reference.domain();
        let all = endpoints(&shared.transport, domain, shared.transport.mirrors()).await?;
        let can = |all: &Capabilities| if reference.digest().is_some() { all.pull } else { all.resolve };
        let all: Vec<Endpoint> = all.into_iter().filter(|endpoint| can(&endpoint.capabilities)).collect();
        self.first_of(all, |endpoint| self.resolve_at(endpoint, reference).boxed()).await
    }

    /// Every tag of the repository, in the registry's order.
    pub async fn tags(&self) -> Result<Vec<String>, RegistryError> {
        let all = endpoints(self.transport(), self.name().domain(), self.transport().mirrors()).await?;
        let all: Vec<Endpoint> = all.into_iter().filter(|endpoint| endpoint.capabilities.resolve).collect();
        self.first_of(all, |endpoint| self.tags_at(endpoint).boxed()).await
    }

    async fn tags_at(&self, endpoint: Endpoint) -> Result<Vec<String>, RegistryError> {
        let mut url = self.url(&endpoint, "tags", "list")?;
        url.query_pairs_mut().append_pair("n", "1000");
        let mut all = Vec::new();
        loop {
            let response = self.ask(&endpoint, Method::GET, &url, HeaderMap::new()).await?;
            if response.status() != StatusCode::OK {
                return Err(self.refusal(response, &Method::GET, None).await);
            }
            let next = next_page(&response);
            let body = read_limited(response, MANIFEST_LIMIT).await?;
            let page: TagList = serde_json::from_slice(&body).map_err(|error| RegistryError::Answer {
                url: url.to_string(),
                cause: format!("no list of tags: {error}"),
            })?;
            let before = all.len();
            all.extend(page.tags.unwrap_or_default().into_iter().filter(|tag| hull_types::is_tag(tag)));
            match next.and_then(|next| url.join(&next).ok()) {
                // A page that is empty or leads elsewhere is the last.
                Some(next)
                    if next.origin() == url.origin() && all.len() > before && all.len() < TAGS_LIMIT =>
                {
                    url = next;
                }
                _ => return Ok(all),
            }
        }
    }

    /// Tries the servers in order; the first that answers is the one for all that follows.
    pub(crate) async fn first_of<'a, T>(
        &'a self,
        all: Vec<Endpoint>,
        act: impl Fn(Endpoint) -> BoxFuture<'a, Result<T, RegistryError>>,
    ) -> Result<T, RegistryError> {
        let shared = &self.shared;
        let mut failed: Option<RegistryError> = None;
        for endpoint in all {
            let known = Tokens::key(&endpoint, &shared.scope, self.auth(&endpoint));
            *shared.authorization.lock().await = shared.transport.tokens.get(&known);
            match act(endpoint.clone()).await {
                Ok(done) => {
                    *shared.chosen.write().await = Some(endpoint);
                    return Ok(done);
                }
                Err(error) if endpoint.mirror => {
                    let repository = &shared.reference;
                    tracing::warn!(mirror = %endpoint.base, %repository, %error, "mirror did not serve");
                    failed = failed.or(Some(error));
                }
                // Between https and http of one insecure registry: only what is no answer at all moves on, and
                // the first failure is told if there is no second way.
                Err(error @ RegistryError::Transport { .. }) => {
                    let plainer = failed.is_some() && endpoint.base.scheme() == "http";
                    failed = Some(if plainer { error } else { failed.unwrap_or(error) });
                }
                Err(error) => return Err(error),
            }
        }
        Err(failed.unwrap_or_else(|| RegistryError::Endpoint(shared.reference.domain().into())))
    }
    fn auth(&self, endpoint: &Endpoint) -> Option<&Auth> {
        self.shared.auth.as_ref().filter(|_| endpoint.credentials)
    }

    async fn resolve_at(&self, endpoint: Endpoint, reference: &ImageRef) -> Result<Resolved, RegistryError> {
        let wanted = match (reference.digest(), reference.tag()) {
            (Some(digest), _) => digest.to_string(),
            (None, tag) => tag.unwrap_or("latest").to_owned(),
        };
        let url = self.url(&endpoint, "manifests", &wanted)?;
        let head = self.ask(&endpoint, Method::HEAD, &url, accept_manifests()).await?;
        let told = described(&head, reference.digest()).filter(|_| head.status() == StatusCode::OK);
        if let Some(descriptor) = told {
            return Ok(Resolved { descriptor, document: None });
        }
        let (descriptor, document) =
            self.get_manifest(&endpoint, &url, reference.digest(), reference).await?;
        Ok(Resolved { descriptor, document: Some(document) })
    }

    /// The manifest or index that `digest` names, verified.
    pub async fn manifest(&self, digest: &Digest) -> Result<(Descriptor, Vec<u8>), RegistryError> {
        let endpoint = self.chosen().await?;
        let url = self.url(&endpoint, "manifests", digest.as_str())?;
        let named = self.shared.reference.with_digest(digest.clone());
        self.get_manifest(&endpoint, &url, Some(digest), &named).await
    }

    async fn get_manifest(
        &self,
        endpoint: &Endpoint,
        url: &Url,
        expected: Option<&Digest>,
        reference: &ImageRef,
    ) -> Result<(Descriptor, Vec<u8>), RegistryError> {
        let response = self.ask(endpoint, Method::GET, url, accept_manifests()).await?;
        if response.status() != StatusCode::OK {
            return Err(self.refusal(response, &Method::GET, Some(reference)).await);
        }
        let kind = content_type(response.headers());
        let document = read_limited(response, MANIFEST_LIMIT).await?;
        let digest = hash(expected, &document);
        if let Some(expected) = expected.filter(|expected| **expected != digest) {
            let cause =
                format!("manifest verification failed for digest {expected}: its content is {digest}");
            return Err(RegistryError::Answer { url: url.to_string(), cause });
        }
        let size = document.len() as u64;
        Ok((descriptor(kind.unwrap_or_default(), digest, size), document))
    }

    /// The blob that `wanted` names, from `offset` on.
    pub async fn blob(&self, wanted: &Descriptor, offset: u64) -> Result<Blob, RegistryError> {
        self.blob_part(wanted, offset, None).await
    }

    /// The part of the blob from `offset` to before `end`, or to the blob's end. Servers that do no ranges give all
    /// of it: see [`Blob::offset`] and [`Blob::whole`].
    pub async fn blob_part(
        &self,
        wanted: &Descriptor,
        offset: u64,
        end: Option<u64>,
    ) -> Result<Blob, RegistryError> {
        let part = Part { offset, end };
        let endpoint = self.chosen().await?;
        let url = self.url(&endpoint, "blobs", wanted.digest.as_str())?;
        let response = self.ask(&endpoint, Method::GET, &url, part.header()).await?;
        if let Some(blob) = part.opened(&response) {
            return Ok(blob.of(self.transport().incoming(response)));
        }
        let refusal = self.refusal(response, &Method::GET, None).await;
        match self.foreign(wanted, part).await {
            Some(blob) => Ok(blob),
            None => Err(refusal),
        }
    }

    // Layers that their vendors do not let registries hand out name other places: https only, and no credentials.
    async fn foreign(&self, wanted: &Descriptor, part: Part) -> Option<Blob> {
        for url in
            wanted.urls.iter().filter_map(|url| Url::parse(url).ok()).filter(|url| url.scheme() == "https")
        {
            let sent =
                self.shared.transport.send(Method::GET, url, part.header(), None, &Trust::default()).await;
            let Ok(response) = sent else { continue };
            if let Some(blob) = part.opened(&response) {
                return Some(blob.of(self.transport().incoming(response)));
            }
        }
        None
    }

    pub(crate) async fn chosen(&self) -> Result<Endpoint, RegistryError> {
        let chosen = self.shared.chosen.read().await.clone();
        chosen
            .ok_or_else(|| RegistryError::Endpoint(format!("{} was not resolved yet", self.shared.reference)))
    }
    pub(crate) fn url(&self, endpoint: &Endpoint, kind: &str, name: &str) -> Result<Url, RegistryError> {
        endpoint.url(&format!("{}/{kind}/{name}", self.shared.reference.path()))
    }

    // One request, with what the registry asks for by way of authorization.
    pub(crate) async fn ask(
        &self,
        endpoint: &Endpoint,
        method: Method,
        url: &Url,
        headers: HeaderMap,
    ) -> Result<Response, RegistryError> {
        self.ask_with(endpoint, method, url, headers, Bytes::new()).await
    }

    /// The same with a body.
    pub(crate) async fn ask_with(
        &self,
        endpoint: &Endpoint,
        method: Method,
        url: &Url,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response, RegistryError> {
        headers.extend(endpoint.headers.clone());
        let tried = self.held().await;
        let response = self.send(endpoint, &method, url, &headers, &body, tried.clone()).await?;
        // A 401 from behind a redirect is that server's business, which gets no credentials.
        if response.status() != StatusCode::UNAUTHORIZED || response.url().origin() != url.origin() {
            return Ok(response);
        }
        let Some(challenge) = challenge_of(&response) else { return Ok(response) };
        match self.authorize(endpoint, &challenge, tried, &method, url).await? {
            Some(value) => self.send(endpoint, &method, url, &headers, &body, Some(value)).await,
            None => Ok(response),
        }
    }

    async fn send(
        &self,
        endpoint: &Endpoint,
        method: &Method,
        url: &Url,
        headers: &HeaderMap,
        body: &Bytes,
        authorization: Option<HeaderValue>,
    ) -> Result<Response, RegistryError> {
        let (transport, mut headers) = (&self.shared.transport, headers.clone());
        if body.is_empty() && *method != Method::POST {
            return transport
                .send(method.clone(), url.clone(), headers, authorization, &endpoint.trust)
                .await;
        }
        headers.extend(authorization.map(|value| (AUTHORIZATION, value)));
        transport.upload(method.clone(), url, headers, body.clone().into(), &endpoint.trust).await
    }

    /// What requests say of who is asking.
    pub(crate) async fn held(&self) -> Option<HeaderValue> {
        let held = self.shared.authorization.lock().await.clone().filter(Authorization::is_fresh);
        held.map(|held| held.value)
    }

    // The answer to a challenge; `None` where `tried` already was the best there is.
    async fn authorize(
        &self,
        endpoint: &Endpoint,
        challenge: &Challenge,
        tried: Option<HeaderValue>,
        method: &Method,
        url: &Url,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        let shared = &self.shared;
        let mut held = shared.authorization.lock().await;
        // Another request of this repository may have got a new one meanwhile.
        if let Some(newer) =
            held.as_ref().filter(|held| held.is_fresh() && Some(&held.value) != tried.as_ref())
        {
            return Ok(Some(newer.value.clone()));
        }
        let auth = self.auth(endpoint);
        let fresh = match challenge.scheme.as_str() {
            "bearer" => {
                let given = auth.map(|auth| auth.registry_token.as_str()).filter(|token| !token.is_empty());
                match given {
                    Some(given) => token::bearer(given, None)?,
                    None => {
                        let (transport, scope) = (&shared.transport, shared.scope.as_str());
                        let key = Tokens::key(endpoint, scope, auth);
                        transport.tokens.forget(&key);
                        let granted =
                            token::fetch(transport, endpoint, challenge, Some(scope), auth, false).await?;
                        transport.tokens.keep(key, &granted.authorization);
                        granted.authorization
                    }
                }
            }
            _ => match auth.filter(|auth| !auth.username.is_empty()) {
                Some(auth) => token::basic(auth)?,
                None => {
                    return Err(RegistryError::NoBasicCredentials {
                        method: verb(method),
                        url: url.to_string(),
                    });
                }
            },
        };
        if Some(&fresh.value) == tried.as_ref() {
            return Ok(None);
        }
        let value = fresh.value.clone();
        *held = Some(fresh);
        Ok(Some(value))
    }

    // An answer other than the one hoped for, in Docker's words.
    pub(crate) async fn refusal(
        &self,
        response: Response,
        method: &Method,
        reference: Option<&ImageRef>,
    ) -> RegistryError {
        let status = response.status();
        let url = response.url().clone();
        let scope_missing =
            challenge_of(&response).is_some_and(|c| c.get("error") == Some("insufficient_scope"));
        let retry_after = retry_after(response.headers());
        let body = read_limited(response, ERROR_LIMIT).await.unwrap_or_default();
        let (code, words) = codes::first(&body).unwrap_or_default();
        let repository = self.shared.reference.familiar_name();
        let named = reference.map_or_else(|| repository.clone(), ImageRef::familiar);
        let writing = [Method::PUT, Method::POST, Method::PATCH].contains(method);
        match (code.as_str(), status.as_u16()) {
            ("DENIED", _) | (_, 403) if writing => RegistryError::PushDenied(denied(&words)),
            (_, 401) if writing && scope_missing => RegistryError::PushDenied(denied("")),
            ("DENIED", _) | (_, 403) => RegistryError::Denied { repository, cause: denied(&words) },
            (_, 401) if scope_missing => RegistryError::Denied { repository, cause: denied("") },
            (_, 401) => RegistryError::Unauthorized(or(&words, "unauthorized: authentication required")),
            ("MANIFEST_UNKNOWN", _) => RegistryError::ManifestUnknown { reference: named, cause: words },
            ("NAME_UNKNOWN", _) => RegistryError::NameUnknown { repository, cause: words },
            (_, 404) if reference.is_some() => RegistryError::ManifestUnknown {
                reference: named,
                cause: or(&words, "manifest unknown: manifest unknown"),
            },
            (_, number) => {
                let unexpected =
                    format!("{} \"{url}\": received unexpected HTTP status: {status}", verb(method));
                RegistryError::Status { status: number, cause: or(&words, &unexpected), retry_after }
            }
        }
    }
}

/// Which part of a blob is asked for.
#[derive(Clone, Copy)]
struct Part {
    offset: u64,
    end: Option<u64>,
}

impl Part {
    fn header(self) -> HeaderMap {
        let text = match self.end {
            // Ranges name their last byte.
            Some(end) => format!("bytes={}-{}", self.offset, end.saturating_sub(1)),
            None => format!("bytes={}-", self.offset),
        };
        let mut headers = HeaderMap::new();
        let wanted = self.offset > 0 || self.end.is_some();
        headers.extend(HeaderValue::from_str(&text).ok().filter(|_| wanted).map(|value| (RANGE, value)));
        headers
    }
    fn opened(self, response: &Response) -> Option<Opened> {
        match response.status().as_u16() {
            200 => Some(Opened { offset: 0, whole: true }),
            206 => {
                // `bytes 100-199/200`; a server that gives another part than asked for is not understood.
                let text = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
                let first = text.strip_prefix("bytes ")?.split('-').next()?.trim().parse::<u64>().ok()?;
                (first == self.offset).then_some(Opened { offset: first, whole: self.end.is_none() })
            }
            _ => None,
        }
    }
}

#[derive(serde::Deserialize)]
struct TagList {
    // `null` where there are none.
    tags: Option<Vec<String>>,
}

// `Link: </v2/…?n=…&last=…>; rel="next"` (RFC 8288).
fn next_page(response: &Response) -> Option<String> {
    let text = response.headers().get(LINK)?.to_str().ok()?;
    let (target, parameters) = text.trim_start().strip_prefix('<')?.split_once('>')?;
    parameters.contains("rel=\"next\"").then(|| target.to_owned())
}

struct Opened {
    offset: u64,
    whole: bool,
}

impl Opened {
    fn of(self, body: Incoming) -> Blob {
        let chunks = stream::unfold(Some(body), |body| async move {
            let mut body = body?;
            match body.next().await {
                Ok(chunk) => chunk.map(|chunk| (Ok(chunk), Some(body))),
                Err(error) => Some((Err(error), None)),
            }
        });
        Blob { offset: self.offset, whole: self.whole, stream: chunks.boxed() }
    }
}

fn accept_manifests() -> HeaderMap {
    let mut headers = HeaderMap::new();
    for kind in MANIFESTS {
        headers.append(ACCEPT, HeaderValue::from_static(kind));
    }
    headers
}

pub(crate) fn content_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

// What a HEAD tells, if it tells all.
fn described(response: &Response, expected: Option<&Digest>) -> Option<Descriptor> {
    let headers = response.headers();
    let kind = content_type(headers).filter(|kind| MANIFESTS.contains(&kind.as_str()))?;
    let digest: Digest = headers.get("docker-content-digest")?.to_str().ok()?.parse().ok()?;
    let size: u64 = headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()?;
    if expected.is_some_and(|expected| *expected != digest) || size == 0 || size > MANIFEST_LIMIT {
        return None;
    }
    Some(descriptor(kind, digest, size))
}

fn descriptor(media_type: String, digest: Digest, size: u64) -> Descriptor {
    let (urls, annotations) = (Vec::new(), BTreeMap::new());
    Descriptor { media_type, digest, size, urls, annotations, platform: None, artifact_type: None }
}

pub(crate) fn hash(like: Option<&Digest>, document: &[u8]) -> Digest {
    let (name, algorithm) = match like.map(Digest::algorithm) {
        Some("sha512") => ("sha512", &SHA512),
        _ => ("sha256", &SHA256),
    };
    let raw = ring::digest::digest(algorithm, document);
    let hex: String = raw.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{name}:{hex}").parse().unwrap_or_else(|_| Digest::sha256(&[0; 32]))
}

/// The challenge to answer: a bearer one where there is a choice.
pub(crate) fn challenge_of(response: &Response) -> Option<Challenge> {
    let headers = response.headers().get_all(WWW_AUTHENTICATE);
    let all: Vec<Challenge> =
        headers.iter().filter_map(|value| value.to_str().ok()).flat_map(challenge::parse).collect();
    let known = |scheme: &str| all.iter().find(|challenge| challenge.scheme == scheme).cloned();
    known("bearer").or_else(|| known("basic"))
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn denied(words: &str) -> String {
    or(words, "denied: requested access to the resource is denied")
}
fn or(words: &str, otherwise: &str) -> String {
    if words.is_empty() { otherwise.to_owned() } else { words.to_owned() }
}
