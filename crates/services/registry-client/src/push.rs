//! Pushing: what is there already, blobs mounted or uploaded, manifests put (distribution specification, "Push").

use crate::endpoint::Endpoint;
use crate::error::RegistryError;
use crate::repository::{Repository, hash};
use crate::transport::may_follow;
use crate::{MANIFEST_LIMIT, endpoints};
use bytes::Bytes;
use futures::stream::StreamExt;
use futures::{FutureExt, Stream};
use hull_types::Digest;
use reqwest::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RANGE,
};
use reqwest::{Method, Response, StatusCode, Url};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long an upload may take nothing, or its answer, before it counts as broken.
const STALLED: Duration = Duration::from_secs(60);
const ANSWER: Duration = Duration::from_secs(300);

/// The bytes of a blob, from some offset to its end.
pub struct Payload {
    /// How many there are; `None` where that shows only at the end.
    pub length: Option<u64>,
    /// The bytes.
    pub stream: futures::stream::BoxStream<'static, Result<Bytes, std::io::Error>>,
}

/// What asking for a blob's upload led to.
pub enum Begun {
    /// The registry had it in the other repository, and has it in this one now.
    Mounted,
    /// It has to be sent.
    Upload(Box<Upload>),
}

/// What became of sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// The registry has all of it and waits for [`Upload::finish`].
    All,
    /// The blob is in the repository: the registry takes blobs in one piece.
    Finished,
}

/// An upload under way.
pub struct Upload {
    repository: Repository,
    endpoint: Endpoint,
    location: Url,
}

impl Repository {
    /// Finds the server that pushes go to: no mirror, and plain http only where that is allowed.
    pub async fn connect_to_push(&self) -> Result<(), RegistryError> {
        let all = endpoints(self.transport(), self.name().domain(), &[]).await?;
        let all: Vec<Endpoint> = all.into_iter().filter(|endpoint| endpoint.capabilities.push).collect();
        self.first_of(all, |endpoint| self.answers(endpoint).boxed()).await
    }
    async fn answers(&self, endpoint: Endpoint) -> Result<(), RegistryError> {
        let response = self.ask(&endpoint, Method::GET, &endpoint.url("")?, HeaderMap::new()).await?;
        match response.status().is_success() {
            true => Ok(()),
            false => Err(self.refusal(response, &Method::PUT, None).await),
        }
    }

    /// The blob's size, where the repository has it.
    pub async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>, RegistryError> {
        let endpoint = self.chosen().await?;
        let url = self.url(&endpoint, "blobs", digest.as_str())?;
        let response = self.ask(&endpoint, Method::HEAD, &url, HeaderMap::new()).await?;
        match response.status() {
            StatusCode::OK => {
                let size = response.headers().get(CONTENT_LENGTH);
                Ok(size.and_then(|size| size.to_str().ok()?.parse().ok()))
            }
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(self.refusal(response, &Method::PUT, None).await),
        }
    }

    /// Begins a blob; `mount` names it and a repository of the same registry that has it.
    pub async fn begin_upload(&self, mount: Option<(&Digest, &str)>) -> Result<Begun, RegistryError> {
        let endpoint = self.chosen().await?;
        let mut url = self.url(&endpoint, "blobs", "uploads/")?;
        if let Some((digest, from)) = mount {
            url.query_pairs_mut().append_pair("mount", digest.as_str()).append_pair("from", from);
        }
        let response = self.ask(&endpoint, Method::POST, &url, HeaderMap::new()).await?;
        match response.status() {
            StatusCode::CREATED if mount.is_some() => Ok(Begun::Mounted),
            StatusCode::ACCEPTED => {
                let location = self.location(&response)?;
                Ok(Begun::Upload(Box::new(Upload { repository: self.clone(), endpoint, location })))
            }
            _ => Err(self.refusal(response, &Method::POST, None).await),
        }
    }

    /// Puts a manifest or index under a tag or a digest.
    pub async fn put_manifest(
        &self,
        name: &str,
        media_type: &str,
        document: Vec<u8>,
    ) -> Result<Digest, RegistryError> {
        let endpoint = self.chosen().await?;
        let url = self.url(&endpoint, "manifests", name)?;
        if document.len() as u64 > MANIFEST_LIMIT {
            let cause = format!("the manifest has {} bytes, which is too large", document.len());
            return Err(RegistryError::Answer { url: url.to_string(), cause });
        }
        let digest = hash(None, &document);
        let mut headers = HeaderMap::new();
        headers.extend(HeaderValue::from_str(media_type).map(|value| (CONTENT_TYPE, value)));
        let response = self.ask_with(&endpoint, Method::PUT, &url, headers, document.into()).await?;
        if !response.status().is_success() {
            return Err(self.refusal(response, &Method::PUT, None).await);
        }
        // A registry that keeps something else than what it was given is found out here.
        let kept = response.headers().get("docker-content-digest").and_then(|kept| kept.to_str().ok());
        match kept.filter(|kept| *kept != digest.as_str() && !name.contains(':')) {
            Some(kept) => {
                let cause = format!("it keeps the manifest as {kept}, which is {digest}");
                Err(RegistryError::Answer { url: url.to_string(), cause })
            }
            None => Ok(digest),
        }
    }

    // Where an upload goes on: a URL of its own choice, which must not weaken the connection.
    fn location(&self, response: &Response) -> Result<Url, RegistryError> {
        let from = response.url();
        let target = response.headers().get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or_default();
        let to = from.join(target).ok().filter(|_| !target.is_empty());
        to.filter(|to| may_follow(from, to, &self.transport().insecure)).ok_or_else(|| {
            RegistryError::Redirect { method: "Post", url: from.to_string(), target: target.into() }
        })
    }
}

impl Upload {
    /// Sends what there is from `offset` on, as one chunk. `digest` is the blob's, where it is known; `sent` counts.
    pub async fn send(
        &mut self,
        offset: u64,
        payload: Payload,
        digest: Option<&Digest>,
        sent: Arc<AtomicU64>,
    ) -> Result<Sent, RegistryError> {
        let mut headers = self.headers().await;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        if let Some(length) = payload.length {
            headers.insert(CONTENT_LENGTH, length.into());
            if offset > 0 && length > 0 {
                let text = format!("{offset}-{}", offset + length - 1);
                headers.extend(HeaderValue::from_str(&text).map(|value| (CONTENT_RANGE, value)));
            }
        }
        let (method, url) = (Method::PATCH, self.location.clone());
        let body = reqwest::Body::wrap_stream(counted(payload.stream, sent.clone()));
        let transport = self.repository.transport();
        let sending = transport.upload(method, &url, headers, body, &self.endpoint.trust);
        let response = watched(sending, &url, &sent).await?;
        match response.status().as_u16() {
            202 | 204 => {
                self.location = self.repository.location(&response)?;
                Ok(Sent::All)
            }
            201 if digest.is_some() => Ok(Sent::Finished),
            _ => Err(self.repository.refusal(response, &Method::PATCH, None).await),
        }
    }

    /// Sends the whole blob in one request, for registries that take no chunks.
    pub async fn send_whole(
        &mut self,
        payload: Payload,
        digest: &Digest,
        sent: Arc<AtomicU64>,
    ) -> Result<(), RegistryError> {
        let mut headers = self.headers().await;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.extend(payload.length.map(|length| (CONTENT_LENGTH, length.into())));
        let url = self.closing(digest);
        let body = reqwest::Body::wrap_stream(counted(payload.stream, sent.clone()));
        let transport = self.repository.transport();
        let sending = transport.upload(Method::PUT, &url, headers, body, &self.endpoint.trust);
        let response = watched(sending, &url, &sent).await?;
        match response.status().is_success() {
            true => Ok(()),
            false => Err(self.repository.refusal(response, &Method::PUT, None).await),
        }
    }

    /// How much of it the registry has, after it broke off. `None`: begin anew.
    pub async fn received(&mut self) -> Option<u64> {
        let ask = self.repository.ask(&self.endpoint, Method::GET, &self.location, HeaderMap::new());
        let response = ask.await.ok()?;
        if response.status() != StatusCode::NO_CONTENT {
            return None;
        }
        // `0-99`: the last byte that it has. `0-0` is what it says where it has none.
        let last: u64 =
            response.headers().get(RANGE)?.to_str().ok()?.rsplit_once('-')?.1.trim().parse().ok()?;
        self.location = self.repository.location(&response).unwrap_or_else(|_| self.location.clone());
        Some(if last == 0 { 0 } else { last + 1 })
    }

    /// Makes a blob of what was sent.
    pub async fn finish(self, digest: &Digest) -> Result<(), RegistryError> {
        let (url, body) = (self.closing(digest), Bytes::new());
        let mut headers = self.headers().await;
        headers.insert(CONTENT_LENGTH, 0.into());
        let transport = self.repository.transport();
        let idle = Arc::new(AtomicU64::new(0));
        let sending = transport.upload(Method::PUT, &url, headers, body.into(), &self.endpoint.trust);
        let response = watched_for(sending, &url, &idle, ANSWER).await?;
        match response.status().is_success() {
            true => Ok(()),
            false => Err(self.repository.refusal(response, &Method::PUT, None).await),
        }
    }

    fn closing(&self, digest: &Digest) -> Url {
        let mut url = self.location.clone();
        url.query_pairs_mut().append_pair("digest", digest.as_str());
        url
    }
    // Credentials are for the registry; where it sends its uploads elsewhere, the URL itself is the permission.
    async fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if self.location.origin() == self.endpoint.base.origin() {
            headers.extend(self.endpoint.headers.clone());
            headers.extend(self.repository.held().await.map(|value| (AUTHORIZATION, value)));
        }
        headers
    }
}

fn counted<S>(stream: S, sent: Arc<AtomicU64>) -> impl Stream<Item = Result<Bytes, std::io::Error>>
where
    S: Stream<Item = Result<Bytes, std::io::Error>>,
{
    stream.inspect(move |piece| {
        if let Ok(piece) = piece {
            sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
        }
    })
}

async fn watched(
    sending: impl Future<Output = Result<Response, RegistryError>>,
    url: &Url,
    sent: &AtomicU64,
) -> Result<Response, RegistryError> {
    watched_for(sending, url, sent, STALLED).await
}

// Breaks off what does not move: a peer that stops reading, or one that never answers.
async fn watched_for(
    sending: impl Future<Output = Result<Response, RegistryError>>,
    url: &Url,
    sent: &AtomicU64,
    patience: Duration,
) -> Result<Response, RegistryError> {
    let stalled = async {
        let (mut last, mut since) = (sent.load(Ordering::Relaxed), Instant::now());
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let now = sent.load(Ordering::Relaxed);
            if now != last {
                (last, since) = (now, Instant::now());
            }
            if since.elapsed() > patience {
                return;
            }
        }
    };
    tokio::select! {
        response = sending => response,
        () = stalled => Err(RegistryError::Transport {
            method: "Patch",
            url: url.to_string(),
            cause: format!("nothing moved for {} seconds", patience.as_secs()),
            tls: false,
        }),
    }
}
