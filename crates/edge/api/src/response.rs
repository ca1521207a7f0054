//! What handlers answer with.

use crate::compat;
use crate::hijack::Hijack;
use crate::status::{Failure, status_of};
use crate::version::ApiVersion;
use bytes::Bytes;
use hull_archive::PieceWriter;
use hull_errors::Kind;
use hyper::body::{Frame, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;
use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// The answer of a handler.
pub enum Reply {
    /// An HTTP response.
    Response(Response<Body>),
    /// The connection becomes a byte stream.
    Hijack(Box<Hijack>),
}

/// What a handler returns.
pub type Outcome = Result<Reply, Failure>;

/// Ends a task when dropped: the producer of a body whose client went away.
pub struct AbortOnDrop(pub tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A response's body.
pub enum Body {
    /// All at once.
    Full(Option<Bytes>),
    /// Piece by piece, each sent when it comes. An error breaks the connection off, so that clients notice.
    Stream(mpsc::Receiver<io::Result<Bytes>>, Option<AbortOnDrop>),
}

impl Body {
    /// No body.
    pub fn empty() -> Self {
        Self::Full(None)
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut *self {
            Self::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(pieces, _) => {
                pieces.poll_recv(cx).map(|piece| piece.map(|bytes| bytes.map(Frame::data)))
            }
        }
    }
    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Full(None))
    }
    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Stream(..) => SizeHint::default(),
        }
    }
}

/// For whom an answer is shaped.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// The route's pattern.
    pub route: &'static str,
    /// The client's version.
    pub version: ApiVersion,
}

impl Shape {
    /// The value as this client's version knows it, as one line of JSON.
    pub fn bytes<T: Serialize>(self, value: &T) -> Result<Bytes, Failure> {
        let unwritable =
            |error| Failure::internal(format!("write the answer of {} as JSON: {error}", self.route));
        let mut bytes = if compat::changes_response(self) {
            let mut value = serde_json::to_value(value).map_err(unwritable)?;
            compat::response_down(self, &mut value);
            serde_json::to_vec(&value).map_err(unwritable)?
        } else {
            serde_json::to_vec(value).map_err(unwritable)?
        };
        bytes.push(b'\n');
        Ok(bytes.into())
    }
    /// 200 with the value as JSON.
    pub fn json<T: Serialize>(self, value: &T) -> Outcome {
        self.json_with(StatusCode::OK, value)
    }
    /// This status with the value as JSON.
    pub fn json_with<T: Serialize>(self, status: StatusCode, value: &T) -> Outcome {
        Ok(Reply::Response(respond(status, "application/json", Body::Full(Some(self.bytes(value)?)))))
    }
}

/// A status without body.
pub fn empty(status: StatusCode) -> Outcome {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    Ok(Reply::Response(response))
}

/// 200 with a stream of this type.
pub fn stream(
    content_type: &'static str,
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    producer: Option<AbortOnDrop>,
) -> Outcome {
    Ok(Reply::Response(respond(StatusCode::OK, content_type, Body::Stream(pieces, producer))))
}

/// 200 with a stream of what is written, by a blocking thread. One that fails ends without its end.
pub fn written<E: std::error::Error + Send + Sync + 'static>(
    content_type: &'static str,
    write: impl FnOnce(&mut (dyn Write + Send)) -> Result<(), E> + Send + 'static,
) -> Outcome {
    let (sender, pieces) = mpsc::channel(4);
    tokio::task::spawn_blocking(move || {
        let send = |piece: Vec<u8>| {
            sender.blocking_send(Ok(piece.into())).map_err(|_| io::ErrorKind::BrokenPipe.into())
        };
        let mut writer = PieceWriter::new(send);
        let written = write(&mut writer).map_err(io::Error::other).and_then(|()| writer.flush());
        if let Err(error) = written {
            if !sender.is_closed() {
                tracing::warn!(%error, content_type, "what was asked for could not be sent to its end");
            }
            let _ = sender.blocking_send(Err(error));
        }
    });
    stream(content_type, pieces, None)
}

/// A response with a body.
pub fn respond(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// The reply with a further header.
pub fn with_header(reply: Reply, name: &'static str, value: &str) -> Outcome {
    let Reply::Response(mut response) = reply else { return Ok(reply) };
    let value =
        HeaderValue::from_str(value).map_err(|_| Failure::internal(format!("unwritable header {name}")))?;
    response.headers_mut().insert(HeaderName::from_static(name), value);
    Ok(Reply::Response(response))
}

/// How a failure reads: `{"message":"…"}`, or plain text for the oldest clients.
pub fn failure(failure: &Failure, version: ApiVersion) -> Response<Body> {
    let status = status_of(failure.kind);
    if failure.kind == Kind::NotModified {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        return response;
    }
    if !version.has_json_errors() {
        let text = format!("{}\n", failure.message);
        return respond(status, "text/plain; charset=utf-8", Body::Full(Some(text.into())));
    }
    respond(status, "application/json", Body::Full(Some(message(&failure.message))))
}

/// The body of every error.
pub fn message(text: &str) -> Bytes {
    let mut bytes = serde_json::json!({ "message": text }).to_string().into_bytes();
    bytes.push(b'\n');
    bytes.into()
}
