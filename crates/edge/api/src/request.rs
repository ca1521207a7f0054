//! What handlers get: the parts of one request.

use crate::compat;
use crate::hangup::Hangup;
use crate::query::Query;
use crate::response::Shape;
use crate::status::Failure;
use crate::version::ApiVersion;
use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hull_api_types::AuthConfig;
use hyper::HeaderMap;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, UPGRADE};
use serde::de::DeserializeOwned;
use std::io;
use std::sync::Arc;
use tokio::sync::mpsc;

/// The most that a JSON body may have.
pub const JSON_LIMIT: usize = 4 << 20;

/// What stood for a pattern's names.
pub type Params = Vec<(&'static str, String)>;

/// One request, routed.
pub struct Call {
    /// The client's version.
    pub version: ApiVersion,
    /// The route's pattern, such as `GET /containers/{name:.*}/json`.
    pub route: &'static str,
    /// What stood for the pattern's names.
    pub params: Params,
    /// The query.
    pub query: Query,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, until it is read.
    pub body: Option<Incoming>,
    /// The connection, for what hijacks it.
    pub(crate) hangup: Arc<Hangup>,
}

impl Call {
    /// For whom the answer is shaped.
    pub fn shape(&self) -> Shape {
        Shape { route: self.route, version: self.version }
    }
    /// What stood for `{name}` in the path.
    pub fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
    }
    /// The object that the path names.
    pub fn name(&self) -> &str {
        self.param("name")
    }
    /// Whether the client asks to switch protocols.
    pub fn wants_upgrade(&self) -> bool {
        let upgrades = |value: &hyper::header::HeaderValue| {
            value
                .to_str()
                .is_ok_and(|text| text.split(',').any(|word| word.trim().eq_ignore_ascii_case("upgrade")))
        };
        self.headers.contains_key(UPGRADE) || self.headers.get_all(CONNECTION).iter().any(upgrades)
    }

    /// The whole body, at most `limit` bytes of it.
    pub async fn bytes(&mut self, limit: usize) -> Result<Bytes, Failure> {
        let Some(body) = self.body.take() else { return Ok(Bytes::new()) };
        let collected = tokio::select! {
            biased;
            collected = Limited::new(body, limit).collect() => collected,
            () = self.hangup.closed_early() => return Err(Failure::invalid("unexpected EOF in the request body")),
        };
        collected.map(|body| body.to_bytes()).map_err(|error| {
            match error.downcast_ref::<LengthLimitError>() {
                Some(_) => Failure::invalid(format!("request body is larger than {limit} bytes")),
                None => Failure::invalid(format!("read the request body: {error}")),
            }
        })
    }

    /// The JSON body, brought up to the newest version.
    pub async fn json<T: DeserializeOwned>(&mut self) -> Result<T, Failure> {
        let bytes = self.json_bytes().await?;
        if bytes.is_empty() {
            return Err(Failure::invalid("invalid JSON: got EOF while reading request body"));
        }
        self.parse(&bytes)
    }

    /// The JSON body, or the default where there is none.
    pub async fn json_or_default<T: DeserializeOwned + Default>(&mut self) -> Result<T, Failure> {
        let bytes = self.json_bytes().await?;
        if bytes.is_empty() { Ok(T::default()) } else { self.parse(&bytes) }
    }

    async fn json_bytes(&mut self) -> Result<Bytes, Failure> {
        let empty = self.body.as_ref().is_none_or(|body| body.is_end_stream());
        check_content_type(&self.headers, empty)?;
        self.bytes(JSON_LIMIT).await
    }

    fn parse<T: DeserializeOwned>(&mut self, bytes: &[u8]) -> Result<T, Failure> {
        let bad = |error: serde_json::Error| Failure::invalid(format!("invalid JSON: {error}"));
        if compat::changes_request(self.shape()) {
            let mut value = serde_json::from_slice(bytes).map_err(bad)?;
            compat::request_up(self.shape(), &mut value)?;
            return serde_json::from_value(value).map_err(bad);
        }
        serde_json::from_slice(bytes).map_err(bad)
    }

    /// The body as something to read on a blocking thread. What isn't read is drained, so that the connection stays
    /// usable and the client gets to see the answer.
    pub fn reader(&mut self) -> BodyReader {
        let (sender, pieces) = mpsc::channel(4);
        if let Some(mut body) = self.body.take() {
            tokio::spawn(async move {
                let mut wanted = true;
                while let Some(frame) = body.frame().await {
                    let piece =
                        frame.map(|frame| frame.into_data().unwrap_or_default()).map_err(io::Error::other);
                    let broken = piece.is_err();
                    wanted = wanted && sender.send(piece).await.is_ok();
                    if broken {
                        return;
                    }
                }
            });
        }
        BodyReader::new(pieces)
    }

    /// The registry credentials that came along. A header that can't be read counts as none, as with Docker.
    pub fn registry_auth(&self) -> Option<AuthConfig> {
        let header = self.headers.get("x-registry-auth")?;
        match decode_json::<AuthConfig>(header.as_bytes()) {
            Ok(auth) => (auth != AuthConfig::default()).then_some(auth),
            Err(cause) => {
                tracing::warn!(cause, "ignoring an X-Registry-Auth header");
                None
            }
        }
    }
}

/// A JSON body must say that it is one.
fn check_content_type(headers: &HeaderMap, empty: bool) -> Result<(), Failure> {
    let stated = headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?"));
    let media_type = stated.map(|text| text.split(';').next().unwrap_or("").trim().to_ascii_lowercase());
    match media_type.as_deref() {
        Some("application/json") => Ok(()),
        None | Some("") if empty => Ok(()),
        _ if empty && stated == Some("text/plain") => Ok(()),
        _ => Err(Failure::invalid(format!(
            "unsupported Content-Type header ({}): must be 'application/json'",
            stated.unwrap_or("")
        ))),
    }
}

// Docker's own clients write the URL alphabet with padding; others leave the padding out or use the usual alphabet.
pub(crate) fn decode_json<T: DeserializeOwned + Default>(header: &[u8]) -> Result<T, &'static str> {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let text: Vec<u8> = header
        .trim_ascii()
        .iter()
        .map(|b| match b {
            b'+' => b'-',
            b'/' => b'_',
            b => *b,
        })
        .collect();
    let engine = GeneralPurpose::new(&base64::alphabet::URL_SAFE, LENIENT);
    let json = engine.decode(text).map_err(|_| "it is not base64url")?;
    if json.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(&json).map_err(|_| "it is not the JSON of credentials")
}

/// A request's body, for a blocking thread.
pub struct BodyReader {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    rest: Bytes,
}

impl BodyReader {
    /// What comes through a channel.
    pub fn new(pieces: mpsc::Receiver<io::Result<Bytes>>) -> Self {
        Self { pieces, rest: Bytes::new() }
    }
}

impl io::Read for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.rest = piece?,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.rest.len());
        buffer[..length].copy_from_slice(&self.rest.split_to(length));
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_read_with_and_without_padding() {
        let json = r#"{"username":"ü?>","password":"p~~~"}"#;
        let padded = base64::engine::general_purpose::URL_SAFE.encode(json);
        for text in [
            padded.clone(),
            padded.trim_end_matches('=').to_owned(),
            base64::engine::general_purpose::STANDARD.encode(json),
        ] {
            assert_eq!(decode_json::<AuthConfig>(text.as_bytes()).unwrap().password, "p~~~");
        }
        assert_eq!(decode_json::<AuthConfig>(b"e30=").unwrap(), AuthConfig::default());
        assert_eq!(decode_json::<AuthConfig>(b"").unwrap(), AuthConfig::default());
        assert!(decode_json::<AuthConfig>(b"*").is_err() && decode_json::<AuthConfig>(b"e30e").is_err());
    }

    #[test]
    fn content_types() {
        let check = |value: Option<&str>, empty| {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(CONTENT_TYPE, value.parse().unwrap());
            }
            check_content_type(&headers, empty)
        };
        assert!(check(Some("application/json; charset=utf-8"), false).is_ok());
        assert!(check(None, true).is_ok());
        assert_eq!(
            check(Some("text/plain"), false).unwrap_err().message,
            "unsupported Content-Type header (text/plain): must be 'application/json'"
        );
        assert!(check(None, false).is_err());
    }
}
