//! Hijacked connections: attach and exec start.
//!
//! ```text
//!   client ──(detach keys, if a terminal)──► container's stdin      half-closed by the client: end of input, only
//!   client ◄─replay─── head ◄─────────────── container's output     ends: the connection is closed
//! ```

pub mod detach;
pub mod websocket;

use crate::hangup::Hangup;
use crate::response::{Body, Reply, respond};
use crate::version::ApiVersion;
use bytes::{BufMut, Bytes, BytesMut};
use detach::{DetachKeys, Found, Interpreter};
use hull_container::Attachment;
use hyper::StatusCode;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use websocket::{Attached, Websocket};

/// Bytes as they are.
pub const RAW: &str = "application/vnd.docker.raw-stream";
/// Frames: `[stream 0 0 0][length, 32 bits big-endian][bytes]`.
pub const MULTIPLEXED: &str = "application/vnd.docker.multiplexed-stream";

const BUFFER: usize = 16 << 10;

/// A frame of this stream.
pub fn frame(stream: u8, bytes: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(8 + bytes.len());
    frame.put_slice(&[stream, 0, 0, 0]);
    frame.put_u32(bytes.len() as u32);
    frame.put_slice(bytes);
    frame.freeze()
}

/// The type of a process's output for clients of this version.
pub fn content_type(tty: bool, version: ApiVersion) -> &'static str {
    if tty || version < ApiVersion::v1(42) { RAW } else { MULTIPLEXED }
}

/// A process's output and input.
type Streams = (Box<dyn AsyncRead + Send + Unpin>, Box<dyn AsyncWrite + Send + Unpin>);

/// A connection about to become a byte stream.
pub struct Hijack {
    head: String,
    replay: Bytes,
    streams: Option<Streams>,
    stdin: bool,
    keys: Option<DetachKeys>,
    /// What was agreed upon, and whether the output is a terminal's.
    websocket: Option<(Websocket, bool)>,
}

impl Hijack {
    /// For an attachment over a WebSocket.
    pub fn over(websocket: Websocket, attachment: Attachment, keys: DetachKeys) -> Self {
        let tty = attachment.tty;
        let hijack = Self::new(true, ApiVersion::NEWEST, attachment, keys);
        Self { head: websocket.head(), websocket: Some((websocket, tty)), ..hijack }
    }

    /// For an attachment. With an upgrade the head is 101, in moby's own words; otherwise 200, whose body has neither
    /// length nor chunks, and whose type is never the multiplexed one.
    pub fn new(upgrade: bool, version: ApiVersion, attachment: Attachment, keys: DetachKeys) -> Self {
        let Attachment { tty, replay, stream, stdin, .. } = attachment;
        let streams = stream.map(|stream| {
            let (output, input) = stream.into_split();
            (Box::new(output) as _, Box::new(input) as _)
        });
        Self::of(upgrade, content_type(tty, version), replay, streams, (tty && stdin).then_some(keys), stdin)
    }

    pub(crate) fn of(
        upgrade: bool,
        content_type: &str,
        replay: Bytes,
        streams: Option<Streams>,
        keys: Option<DetachKeys>,
        stdin: bool,
    ) -> Self {
        Self { head: head(upgrade, content_type), replay, streams, stdin, keys, websocket: None }
    }

    /// For something that can only be told: the text, and the end.
    pub fn telling(upgrade: bool, version: ApiVersion, tty: bool, text: &str) -> Self {
        let replay = if tty { Bytes::copy_from_slice(text.as_bytes()) } else { frame(1, text.as_bytes()) };
        Self::of(upgrade, content_type(tty, version), replay, None, None, false)
    }

    /// As a handler's answer.
    pub fn reply(self) -> Reply {
        Reply::Hijack(Box::new(self))
    }
}

fn head(upgrade: bool, content_type: &str) -> String {
    if upgrade {
        format!(
            "HTTP/1.1 101 UPGRADED\r\nContent-Type: {content_type}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
        )
    } else {
        format!("HTTP/1.1 200 OK\r\nContent-Type: {RAW}\r\n\r\n")
    }
}

/// Moves bytes both ways until the output ends, the client detaches or is gone. `read` was received already.
pub(crate) async fn run<I>(io: I, read: Bytes, hijack: Box<Hijack>, hangup: &Hangup)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut client_in, mut client_out) = tokio::io::split(io);
    if send(&mut client_out, hijack.head.as_bytes()).await.is_err() {
        return;
    }
    let interpreter = hijack.keys.map(Interpreter::new);
    if let Some((websocket, tty)) = hijack.websocket {
        let Hijack { replay, streams, stdin, .. } = *hijack;
        let attached = Attached { websocket, tty, replay, streams, stdin, interpreter };
        return websocket::run(client_in, client_out, read, attached, hangup).await;
    }
    if !hijack.replay.is_empty() {
        hangup.head_read().await;
        if send(&mut client_out, &hijack.replay).await.is_err() {
            return;
        }
    }
    if let Some((mut output, mut input)) = hijack.streams {
        let feed = async {
            let left = if hijack.stdin {
                feed(&mut client_in, &mut input, read, interpreter).await
            } else {
                discard(&mut client_in).await
            };
            match left {
                Ok(Left::Detached) => {}
                // The end of input, or of the process's wish for it: its output goes on.
                Ok(Left::Ended) => std::future::pending().await,
                // A broken client.
                Err(_) => {}
            }
        };
        tokio::select! {
            biased;
            _ = copy(&mut output, &mut client_out, hangup) => {}
            () = feed => {}
            () = hangup.gone() => {}
        }
    }
    let _ = client_out.shutdown().await;
}

enum Left {
    Detached,
    Ended,
}

/// Client to container. Errors are the client's only.
async fn feed(
    client: &mut (impl AsyncRead + Unpin),
    input: &mut (impl AsyncWrite + Unpin),
    read: Bytes,
    mut interpreter: Option<Interpreter>,
) -> io::Result<Left> {
    let mut wanted = deliver(input, &read, &mut interpreter).await;
    let mut buffer = vec![0; BUFFER];
    loop {
        match wanted {
            Delivered::Detached => return Ok(Left::Detached),
            // Nobody reads any more; what still comes is dropped, the connection stays for the output.
            Delivered::Unwanted => return discard(client).await,
            Delivered::Yes => {}
        }
        let length = client.read(&mut buffer).await?;
        if length == 0 {
            let _ = input.shutdown().await;
            return Ok(Left::Ended);
        }
        wanted = deliver(input, &buffer[..length], &mut interpreter).await;
    }
}

enum Delivered {
    Yes,
    Unwanted,
    Detached,
}

async fn deliver(
    input: &mut (impl AsyncWrite + Unpin),
    bytes: &[u8],
    interpreter: &mut Option<Interpreter>,
) -> Delivered {
    let (found, passed) = match interpreter {
        Some(interpreter) => interpreter.feed(bytes),
        None => (Found::Nothing, std::borrow::Cow::Borrowed(bytes)),
    };
    let written = if passed.is_empty() { Ok(()) } else { input.write_all(&passed).await };
    match (found, written) {
        (Found::Detach, _) => Delivered::Detached,
        (Found::Nothing, Ok(())) => Delivered::Yes,
        (Found::Nothing, Err(_)) => Delivered::Unwanted,
    }
}

async fn discard(client: &mut (impl AsyncRead + Unpin)) -> io::Result<Left> {
    let mut buffer = [0; 1 << 10];
    while client.read(&mut buffer).await? > 0 {}
    Ok(Left::Ended)
}

async fn send(client: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    client.write_all(bytes).await?;
    client.flush().await
}

/// Container to client.
async fn copy(
    output: &mut (impl AsyncRead + Unpin),
    client: &mut (impl AsyncWrite + Unpin),
    hangup: &Hangup,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    let mut first = true;
    loop {
        let length = output.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        if std::mem::take(&mut first) {
            hangup.head_read().await;
        }
        send(client, &buffer[..length]).await?;
    }
}

/// The answer of an exec started without anyone attached.
pub fn detached() -> Reply {
    Reply::Response(respond(StatusCode::OK, "text/plain", Body::empty()))
}
