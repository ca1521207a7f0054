//! One request and its answer.

use crate::query::{Query, escape_path};
use crate::{Client, Error, Hijacked, JsonStream, Result};
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hull_api_types::ErrorResponse;
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, UPGRADE, USER_AGENT};
use hyper::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// A request's body.
pub type Body = BoxBody<Bytes, io::Error>;
/// The writing end of a body that is sent as it is made; dropping it ends the body.
pub type BodySender = mpsc::Sender<io::Result<Bytes>>;

/// A request being put together.
pub struct Request<'a> {
    client: &'a Client,
    method: Method,
    path: String,
    query: Query,
    headers: Vec<(HeaderName, String)>,
    body: Option<Body>,
    versioned: bool,
    failure: Option<serde_json::Error>,
}

impl<'a> Request<'a> {
    pub(crate) fn new(client: &'a Client, method: Method, path: &str) -> Self {
        Self {
            client,
            method,
            path: path.to_owned(),
            query: Query::new(),
            headers: Vec::new(),
            body: None,
            versioned: true,
            failure: None,
        }
    }
    /// Adds to the query by `write`.
    pub fn query(mut self, write: impl FnOnce(&mut Query)) -> Self {
        write(&mut self.query);
        self
    }
    /// Adds a header.
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((HeaderName::from_static(name), value.to_owned()));
        self
    }
    /// The body is this value as JSON.
    pub fn json<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(bytes) => {
                self.body = Some(Full::new(Bytes::from(bytes)).map_err(|never| match never {}).boxed())
            }
            Err(error) => self.failure = Some(error),
        }
        self.headers.push((CONTENT_TYPE, "application/json".into()));
        self
    }
    /// The body is what is sent into the channel, of this content type.
    pub fn stream(mut self, content_type: &str, receiver: mpsc::Receiver<io::Result<Bytes>>) -> Self {
        self.body = Some(BodyExt::boxed(StreamBody::new(Pieces(receiver))));
        self.headers.push((CONTENT_TYPE, content_type.to_owned()));
        self
    }
    /// Leaves the version out of the path.
    pub fn unversioned(mut self) -> Self {
        self.versioned = false;
        self
    }

    /// Sends it; an answer of 400 and above is an error.
    pub async fn send(self) -> Result<Response> {
        let client = self.client;
        let (path, method, request) = self.build(false)?;
        let mut sender = client.sender().await?;
        let answer = sender.send_request(request).await;
        let answer = answer.map_err(|source| Error::Transport { method, path: path.clone(), source })?;
        let (parts, body) = answer.into_parts();
        let response =
            Response { status: parts.status, headers: parts.headers, body, path, sender: Some(sender) };
        if response.status.as_u16() < 400 {
            return Ok(response);
        }
        Err(response.into_error().await)
    }
    /// Sends it and reads the answer as JSON.
    pub async fn fetch<T: DeserializeOwned>(self) -> Result<T> {
        let client = self.client;
        let response = self.send().await?;
        response.json_into(client).await
    }
    /// Sends it; the answer's body is of no interest.
    pub async fn done(self) -> Result<()> {
        let client = self.client;
        self.send().await?.release(client).await
    }
    /// Sends it and takes the connection over.
    pub async fn hijack(self) -> Result<Hijacked> {
        let client = self.client;
        let (path, method, request) = self.build(true)?;
        let mut sender = client.sender().await?;
        let answer = sender.send_request(request).await;
        let answer = answer.map_err(|source| Error::Transport {
            method: method.clone(),
            path: path.clone(),
            source,
        })?;
        let status = answer.status();
        if status.as_u16() >= 400 {
            let (parts, body) = answer.into_parts();
            let response = Response { status, headers: parts.headers, body, path, sender: None };
            return Err(response.into_error().await);
        }
        if status != StatusCode::SWITCHING_PROTOCOLS {
            return Err(Error::NotUpgraded { status: status.as_u16() });
        }
        let content_type = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let multiplexed = content_type == Some("application/vnd.docker.multiplexed-stream");
        let upgraded = hyper::upgrade::on(answer).await;
        let upgraded = upgraded.map_err(|source| Error::Transport { method, path, source })?;
        Ok(Hijacked::new(upgraded, multiplexed))
    }

    fn build(self, upgrade: bool) -> Result<(String, String, hyper::Request<Body>)> {
        if let Some(source) = self.failure {
            return Err(Error::Decode { path: self.path, source });
        }
        let mut uri = self.client.options.host.base().to_owned();
        if self.versioned {
            uri.push_str("/v");
            uri.push_str(self.client.version());
        }
        uri.push_str(&escape_path(&self.path));
        if !self.query.as_str().is_empty() {
            uri.push('?');
            uri.push_str(self.query.as_str());
        }
        let wrong = |reason: String| Error::Request { path: self.path.clone(), reason };
        let options = &self.client.options;
        let mut request = hyper::Request::builder()
            .method(self.method.clone())
            .uri(uri)
            .header(HOST, options.host.authority())
            .header(USER_AGENT, &options.user_agent);
        for (name, value) in &options.headers {
            request = request.header(name.as_str(), value.as_str());
        }
        for (name, value) in &self.headers {
            request =
                request.header(name, HeaderValue::from_str(value).map_err(|error| wrong(error.to_string()))?);
        }
        if upgrade {
            request = request.header(CONNECTION, "Upgrade").header(UPGRADE, "tcp");
        }
        let body = self.body.unwrap_or_else(|| Empty::new().map_err(|never| match never {}).boxed());
        let request = request.body(body).map_err(|error| wrong(error.to_string()))?;
        Ok((self.path, self.method.to_string(), request))
    }
}

/// An answer whose body is not read yet.
#[derive(Debug)]
pub struct Response {
    status: StatusCode,
    headers: hyper::HeaderMap,
    body: Incoming,
    path: String,
    sender: Option<SendRequest<Body>>,
}

impl Response {
    /// The HTTP status, under 400.
    pub fn status(&self) -> u16 {
        self.status.as_u16()
    }
    /// A header's value, where it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
    /// The path that was asked for, without version and query.
    pub fn path(&self) -> &str {
        &self.path
    }
    /// The next piece of the body; `None` at its end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|source| self.broken(source))?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
    /// The whole body.
    pub async fn bytes(mut self) -> Result<Vec<u8>> {
        self.collect().await
    }
    /// The whole body as JSON.
    pub async fn json<T: DeserializeOwned>(mut self) -> Result<T> {
        let bytes = self.collect().await?;
        serde_json::from_slice(&bytes).map_err(|source| Error::Decode { path: self.path, source })
    }
    /// The body as a stream of JSON values.
    pub fn messages<T: DeserializeOwned>(self) -> JsonStream<T> {
        JsonStream::new(self)
    }
    /// Reads and drops the body.
    pub async fn drain(mut self) -> Result<()> {
        while self.chunk().await?.is_some() {}
        Ok(())
    }

    /// Reads the body to its end, so that the connection can be used again.
    pub(crate) async fn release(mut self, client: &Client) -> Result<()> {
        while self.chunk().await?.is_some() {}
        self.give_back(client);
        Ok(())
    }
    async fn json_into<T: DeserializeOwned>(mut self, client: &Client) -> Result<T> {
        let bytes = self.collect().await?;
        self.give_back(client);
        serde_json::from_slice(&bytes).map_err(|source| Error::Decode { path: self.path, source })
    }
    /// Only after the body's end: until then the connection is not free.
    fn give_back(&mut self, client: &Client) {
        if let Some(sender) = self.sender.take() {
            client.give_back(sender);
        }
    }
    async fn collect(&mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while let Some(piece) = self.chunk().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }
    fn broken(&self, source: hyper::Error) -> Error {
        Error::Transport { method: "reading the answer to".into(), path: self.path.clone(), source }
    }
    async fn into_error(mut self) -> Error {
        let status = self.status.as_u16();
        let body = match self.collect().await {
            Ok(body) => body,
            Err(error) => return error,
        };
        let message = match serde_json::from_slice::<ErrorResponse>(&body) {
            Ok(error) if !error.message.is_empty() => error.message.trim_end().to_owned(),
            _ => String::from_utf8_lossy(&body).trim().to_owned(),
        };
        if !message.is_empty() {
            return Error::Api { status, message };
        }
        let message = format!(
            "request returned {} for API route and version {}, check if the server supports the requested API version",
            self.status, self.path
        );
        Error::Api { status, message }
    }
}

/// The receiving end of a channel as the stream that a body is made of.
struct Pieces(mpsc::Receiver<io::Result<Bytes>>);

impl futures::Stream for Pieces {
    type Item = io::Result<Frame<Bytes>>;
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|piece| piece.map(|data| data.map(Frame::data)))
    }
}
