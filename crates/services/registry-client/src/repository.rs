//! One repository: its manifests and blobs.

use crate::challenge::{self, Challenge};
use crate::endpoint::Endpoint;
use crate::error::{RegistryError, codes};
use crate::token::{self, Authorization};
use crate::transport::{Transport, broken, verb};
use crate::{Auth, endpoints, read_limited};
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use hull_types::oci::image::{Descriptor, media_type};
use hull_types::{Digest, ImageRef};
use reqwest::header::{
    ACCEPT, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue, RANGE, RETRY_AFTER,
    WWW_AUTHENTICATE,
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
    // The endpoint that answered first; blobs come from where the manifest came from.
    chosen: RwLock<Option<Endpoint>>,
    authorization: Mutex<Option<Authorization>>,
}

impl Repository {
    pub(crate) fn new(transport: Arc<Transport>, reference: ImageRef, auth: Option<Auth>) -> Self {
        let (chosen, authorization) = (RwLock::default(), Mutex::default());
        Self { shared: Arc::new(Shared { transport, reference, auth, chosen, authorization }) }
    }

    /// What `reference`'s digest, tag, or `latest` stands for.
    ///
    /// Asks by HEAD first, which registries do not count against pull limits; reads the document where that is
    /// not answered fully.
    pub async fn resolve(&self, reference: &ImageRef) -> Result<Resolved, RegistryError> {
        let shared = &self.shared;
        let domain = reference.domain();
        let all = endpoints(&shared.transport, domain, shared.transport.mirrors()).await?;
        let mut failed: Option<RegistryError> = None;
        for endpoint in all {
            *shared.authorization.lock().await = None;
            match self.resolve_at(&endpoint, reference).await {
                Ok(resolved) => {
                    *shared.chosen.write().await = Some(endpoint);
                    return Ok(resolved);
                }
                Err(error) if endpoint.mirror => {
                    tracing::warn!(mirror = %endpoint.base, image = %reference, %error, "mirror did not serve");
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
        Err(failed.unwrap_or_else(|| RegistryError::Endpoint(domain.into())))
    }

    async fn resolve_at(&self, endpoint: &Endpoint, reference: &ImageRef) -> Result<Resolved, RegistryError> {
        let wanted = match (reference.digest(), reference.tag()) {
            (Some(digest), _) => digest.to_string(),
            (None, tag) => tag.unwrap_or("latest").to_owned(),
        };
        let url = self.url(endpoint, "manifests", &wanted)?;
        let head = self.ask(endpoint, Method::HEAD, &url, accept_manifests()).await?;
        let told = described(&head, reference.digest()).filter(|_| head.status() == StatusCode::OK);
        if let Some(descriptor) = told {
            return Ok(Resolved { descriptor, document: None });
        }
        let (descriptor, document) = self.get_manifest(endpoint, &url, reference.digest(), reference).await?;
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
        let endpoint = self.chosen().await?;
        let url = self.url(&endpoint, "blobs", wanted.digest.as_str())?;
        let response = self.ask(&endpoint, Method::GET, &url, range(offset)).await?;
        if let Some(blob) = opened(response.status(), offset, &response) {
            return Ok(blob.of(response));
        }
        let refusal = self.refusal(response, &Method::GET, None).await;
        match self.foreign(wanted, offset).await {
            Some(blob) => Ok(blob),
            None => Err(refusal),
        }
    }

    // Layers that their vendors do not let registries hand out name other places: https only, and no credentials.
    async fn foreign(&self, wanted: &Descriptor, offset: u64) -> Option<Blob> {
        for url in
            wanted.urls.iter().filter_map(|url| Url::parse(url).ok()).filter(|url| url.scheme() == "https")
        {
            let sent = self.shared.transport.send(Method::GET, url, range(offset), None, false).await;
            let Ok(response) = sent else { continue };
            if let Some(blob) = opened(response.status(), offset, &response) {
                return Some(blob.of(response));
            }
        }
        None
    }

    async fn chosen(&self) -> Result<Endpoint, RegistryError> {
        let chosen = self.shared.chosen.read().await.clone();
        chosen
            .ok_or_else(|| RegistryError::Endpoint(format!("{} was not resolved yet", self.shared.reference)))
    }
    fn url(&self, endpoint: &Endpoint, kind: &str, name: &str) -> Result<Url, RegistryError> {
        endpoint.url(&format!("{}/{kind}/{name}", self.shared.reference.path()))
    }

    // One request, with what the registry asks for by way of authorization.
    async fn ask(
        &self,
        endpoint: &Endpoint,
        method: Method,
        url: &Url,
        headers: HeaderMap,
    ) -> Result<Response, RegistryError> {
        let shared = &self.shared;
        let held = shared.authorization.lock().await.clone().filter(Authorization::is_fresh);
        let tried = held.as_ref().map(|held| held.value.clone());
        let send = |value| {
            shared.transport.send(method.clone(), url.clone(), headers.clone(), value, endpoint.insecure)
        };
        let response = send(tried.clone()).await?;
        // A 401 from behind a redirect is that server's business, which gets no credentials.
        if response.status() != StatusCode::UNAUTHORIZED || response.url().origin() != url.origin() {
            return Ok(response);
        }
        let Some(challenge) = challenge_of(&response) else { return Ok(response) };
        match self.authorize(endpoint, &challenge, tried, &method, url).await? {
            Some(value) => send(Some(value)).await,
            None => Ok(response),
        }
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
        let auth = shared.auth.as_ref().filter(|_| endpoint.credentials);
        let fresh = match challenge.scheme.as_str() {
            "bearer" => {
                let given = auth.map(|auth| auth.registry_token.as_str()).filter(|token| !token.is_empty());
                match given {
                    Some(given) => token::bearer(given, None)?,
                    None => {
                        let scope = format!("repository:{}:pull", shared.reference.path());
                        let named = Some(scope.as_str());
                        token::fetch(&shared.transport, endpoint, challenge, named, auth, false)
                            .await?
                            .authorization
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
    async fn refusal(
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
        match (code.as_str(), status.as_u16()) {
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

struct Opened {
    offset: u64,
}

impl Opened {
    fn of(self, response: Response) -> Blob {
        let url = response.url().clone();
        let chunks = stream::unfold(Some(response), move |response| {
            let url = url.clone();
            async move {
                let mut response = response?;
                match response.chunk().await {
                    Ok(Some(chunk)) => Some((Ok(chunk), Some(response))),
                    Ok(None) => None,
                    Err(error) => Some((Err(broken(&Method::GET, &url, &error)), None)),
                }
            }
        });
        Blob { offset: self.offset, stream: chunks.boxed() }
    }
}

fn opened(status: StatusCode, asked: u64, response: &Response) -> Option<Opened> {
    match status.as_u16() {
        200 => Some(Opened { offset: 0 }),
        206 => {
            // `bytes 100-199/200`; a server that gives another part than asked for is not understood.
            let text = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
            let first = text.strip_prefix("bytes ")?.split('-').next()?.trim().parse::<u64>().ok()?;
            (first == asked).then_some(Opened { offset: asked })
        }
        _ => None,
    }
}

fn range(offset: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let value = HeaderValue::from_str(&format!("bytes={offset}-")).ok().filter(|_| offset > 0);
    headers.extend(value.map(|value| (RANGE, value)));
    headers
}

fn accept_manifests() -> HeaderMap {
    let mut headers = HeaderMap::new();
    for kind in MANIFESTS {
        headers.append(ACCEPT, HeaderValue::from_static(kind));
    }
    headers
}

fn content_type(headers: &HeaderMap) -> Option<String> {
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

fn hash(like: Option<&Digest>, document: &[u8]) -> Digest {
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
