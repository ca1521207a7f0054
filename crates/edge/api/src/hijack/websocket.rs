//! Attaching over a WebSocket (RFC 6455): what browsers have instead of a hijacked connection.
//!
//! ```text
//!   client ──frames──► pieces of messages ──(detach keys, if a terminal)──► container's stdin
//!      ▲                └ pings, a close: to the one who writes
//!      └──frames────── one for each piece of output, without Docker's own framing
//! ```
//!
//! A message's borders mean nothing here, so none is gathered: a piece goes on as it comes. Text is taken as the
//! bytes that it is, as dockerd does.

use super::{BUFFER, Delivered, Streams, deliver, send};
use crate::hangup::Hangup;
use crate::status::Failure;
use crate::version::ApiVersion;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use hyper::HeaderMap;
use hyper::header::{CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::detach::Interpreter;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

// What a close says.
const NORMAL: u16 = 1000;
const PROTOCOL_ERROR: u16 = 1002;

// How long a client may take to answer a close.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What was agreed upon with the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Websocket {
    /// The answer to the client's key.
    accept: String,
    protocol: Option<String>,
    /// The kind of the frames that carry output.
    kind: u8,
}

impl Websocket {
    /// From a request's headers; what is wrong with them is said in the words of the library that dockerd has.
    pub fn new(headers: &HeaderMap, version: ApiVersion) -> Result<Self, Failure> {
        let text = |name| headers.get(&name).and_then(|value| value.to_str().ok()).map_or("", str::trim);
        let upgrades = text(CONNECTION).split(',').any(|word| word.trim().eq_ignore_ascii_case("upgrade"));
        if !upgrades || !text(UPGRADE).eq_ignore_ascii_case("websocket") {
            return Err(Failure::invalid("not websocket protocol"));
        }
        let key = text(SEC_WEBSOCKET_KEY);
        if key.is_empty() {
            return Err(Failure::invalid("mismatch challenge/response"));
        }
        if text(SEC_WEBSOCKET_VERSION) != "13" {
            return Err(Failure::invalid("missing or bad WebSocket Version"));
        }
        let protocol = text(SEC_WEBSOCKET_PROTOCOL).split(',').map(str::trim).next();
        Ok(Self {
            accept: accept(key),
            protocol: protocol.filter(|name| !name.is_empty()).map(str::to_owned),
            kind: if version < ApiVersion::v1(28) { TEXT } else { BINARY },
        })
    }

    /// The head of the answer.
    pub(super) fn head(&self) -> String {
        let mut head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n",
            self.accept
        );
        if let Some(protocol) = &self.protocol {
            head.push_str(&format!("Sec-WebSocket-Protocol: {protocol}\r\n"));
        }
        head + "\r\n"
    }
}

/// RFC 6455, section 4.2.2: that the key was understood.
fn accept(key: &str) -> String {
    let mut hash = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key.as_bytes());
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(hash.finish())
}

/// A frame as a server sends it: whole, not masked.
fn frame(kind: u8, payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(10 + payload.len());
    frame.put_u8(0x80 | kind);
    match payload.len() {
        length @ ..126 => frame.put_u8(length as u8),
        length @ ..0x1_0000 => {
            frame.put_u8(126);
            frame.put_u16(length as u16);
        }
        length => {
            frame.put_u8(127);
            frame.put_u64(length as u64);
        }
    }
    frame.put_slice(payload);
    frame.freeze()
}

/// The client broke the protocol's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Violation;

/// What a client's frames hold.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    /// A part of a message.
    Data(&'a [u8]),
    /// To be answered with the same.
    Ping(Vec<u8>),
    /// The end, with its code where it has one.
    Close(Option<u16>),
}

/// A frame whose payload is coming.
#[derive(Debug, Clone, Copy)]
struct Frame {
    kind: u8,
    mask: [u8; 4],
    at: usize,
    left: u64,
}

/// Reads a client's frames.
#[derive(Debug, Default)]
struct Decoder {
    head: Vec<u8>,
    frame: Option<Frame>,
    // A message's first frames were there, its last one was not.
    within: bool,
    control: Vec<u8>,
}

impl Decoder {
    /// Takes from the front of `bytes` what is understood; `None`: more is wanted.
    fn next<'a>(&mut self, bytes: &mut &'a mut [u8]) -> Result<Option<Piece<'a>>, Violation> {
        loop {
            let Some(mut frame) = self.frame.take() else {
                let Some((first, rest)) = std::mem::take(bytes).split_first_mut() else { return Ok(None) };
                *bytes = rest;
                self.head.push(*first);
                self.begin()?;
                continue;
            };
            let length = usize::try_from(frame.left).unwrap_or(usize::MAX).min(bytes.len());
            let (piece, rest) = std::mem::take(bytes).split_at_mut(length);
            *bytes = rest;
            for (index, byte) in piece.iter_mut().enumerate() {
                *byte ^= frame.mask[(frame.at + index) % 4];
            }
            frame.at = (frame.at + length) % 4;
            frame.left -= length as u64;
            let whole = frame.left == 0;
            if !whole {
                self.frame = Some(frame);
            }
            if frame.kind < CLOSE {
                if !piece.is_empty() {
                    return Ok(Some(Piece::Data(piece)));
                }
            } else {
                self.control.extend_from_slice(piece);
                if let Some(piece) = if whole { self.control(frame.kind)? } else { None } {
                    return Ok(Some(piece));
                }
            }
            if !whole {
                return Ok(None);
            }
        }
    }

    /// Begins a frame as soon as its head is whole.
    fn begin(&mut self) -> Result<(), Violation> {
        let &[first, second, ref rest @ ..] = self.head.as_slice() else { return Ok(()) };
        let (last, kind, length) = (first & 0x80 != 0, first & 0x0f, second & 0x7f);
        let fits = match kind {
            CONTINUATION => self.within,
            TEXT | BINARY => !self.within,
            CLOSE | PING | PONG => last && length < 126,
            _ => false,
        };
        // No extension was agreed upon, and a client masks.
        if !fits || first & 0x70 != 0 || second & 0x80 == 0 {
            return Err(Violation);
        }
        let more = match length {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if rest.len() < more + 4 {
            return Ok(());
        }
        let (long, mask) = rest.split_at(more);
        let long = long.iter().fold(0, |length, byte| length << 8 | u64::from(*byte));
        if long >> 63 != 0 {
            return Err(Violation);
        }
        let left = if more == 0 { u64::from(length) } else { long };
        let mask = [mask[0], mask[1], mask[2], mask[3]];
        if kind < CLOSE {
            self.within = !last;
        }
        self.frame = Some(Frame { kind, mask, at: 0, left });
        self.head.clear();
        Ok(())
    }

    fn control(&mut self, kind: u8) -> Result<Option<Piece<'static>>, Violation> {
        let payload = std::mem::take(&mut self.control);
        match (kind, payload.as_slice()) {
            (PING, _) => Ok(Some(Piece::Ping(payload))),
            (CLOSE, []) => Ok(Some(Piece::Close(None))),
            (CLOSE, [high, low, ..]) => Ok(Some(Piece::Close(Some(u16::from_be_bytes([*high, *low]))))),
            (CLOSE, _) => Err(Violation),
            _ => Ok(None),
        }
    }
}

/// Takes Docker's framing off a process's output.
#[derive(Debug, Default)]
struct Unframed {
    head: Vec<u8>,
    left: usize,
}

impl Unframed {
    /// The next bytes of the output in `bytes`, and what stands after them.
    fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let (piece, rest) = bytes.split_at(self.left.min(bytes.len()));
                *bytes = rest;
                self.left -= piece.len();
                return Some(piece);
            }
            let (head, rest) = bytes.split_at((8 - self.head.len()).min(bytes.len()));
            *bytes = rest;
            self.head.extend_from_slice(head);
            if let [_, _, _, _, length @ ..] = self.head.as_slice()
                && length.len() == 4
            {
                self.left = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
                self.head.clear();
            }
        }
        None
    }
}

/// Output on its way to the client.
struct Sender<W> {
    client: W,
    kind: u8,
    /// `None`: a terminal's output has no framing.
    unframed: Option<Unframed>,
}

impl<W: AsyncWrite + Unpin> Sender<W> {
    async fn output(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let Some(unframed) = &mut self.unframed else {
            return send(&mut self.client, &frame(self.kind, bytes)).await;
        };
        while let Some(piece) = unframed.next(&mut bytes) {
            send(&mut self.client, &frame(self.kind, piece)).await?;
        }
        Ok(())
    }

    async fn close(&mut self, code: Option<u16>) {
        let code = code.map(u16::to_be_bytes);
        let _ = send(&mut self.client, &frame(CLOSE, code.as_ref().map_or(&[], |code| code))).await;
        let _ = self.client.shutdown().await;
    }
}

/// What the reading side asks the writing side for.
enum Wish {
    Pong(Vec<u8>),
    Close(Option<u16>),
}

/// What an attachment over a WebSocket has beside the connection.
pub(super) struct Attached {
    pub websocket: Websocket,
    pub tty: bool,
    pub replay: Bytes,
    pub streams: Option<Streams>,
    pub stdin: bool,
    pub interpreter: Option<Interpreter>,
}

/// Moves bytes both ways until the output ends, the client detaches, closes or is gone. The head is sent already,
/// `read` was received already.
pub(super) async fn run<R, W>(
    mut client_in: R,
    client_out: W,
    read: Bytes,
    attached: Attached,
    hangup: &Hangup,
) where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let Attached { websocket, tty, replay, streams, stdin, interpreter } = attached;
    let unframed = (!tty).then(Unframed::default);
    let mut sender = Sender { client: client_out, kind: websocket.kind, unframed };
    if !replay.is_empty() && sender.output(&replay).await.is_err() {
        return;
    }
    let Some((mut output, mut input)) = streams else {
        return sender.close(Some(NORMAL)).await;
    };
    let (wishes, mut wished) = mpsc::channel(1);
    let feed = async {
        let read = feed(&mut client_in, read, stdin.then_some(&mut input), interpreter, &wishes).await;
        // The end of a connection without a close ends what is given to the process, as on other connections.
        let _ = input.shutdown().await;
        match read {
            Ok(Some(wish)) => {
                let _ = wishes.send(wish).await;
                std::future::pending().await
            }
            Ok(None) => std::future::pending().await,
            Err(_) => {}
        }
    };
    let write = async {
        let mut buffer = vec![0; BUFFER];
        loop {
            tokio::select! {
                biased;
                wish = wished.recv() => match wish {
                    Some(Wish::Pong(payload)) => send(&mut sender.client, &frame(PONG, &payload)).await?,
                    Some(Wish::Close(code)) => return Ok(code),
                    None => return Ok(None),
                },
                length = output.read(&mut buffer) => match length? {
                    0 => return Ok(Some(NORMAL)),
                    length => sender.output(&buffer[..length]).await?,
                },
            }
        }
    };
    let closing: io::Result<Option<u16>> = tokio::select! {
        biased;
        closing = write => closing,
        () = feed => return,
        () = hangup.gone() => return,
    };
    if let Ok(code) = closing {
        sender.close(code).await;
        // A connection that is closed while something unread is in it loses what is on its way to the client.
        let mut rest = [0; 1 << 10];
        let drained = async { while client_in.read(&mut rest).await.is_ok_and(|length| length > 0) {} };
        let _ = tokio::time::timeout(LAST_WORDS, drained).await;
    }
}

/// Client to container. `None`: the client ended its input without a close. Errors are the client's only.
async fn feed(
    client: &mut (impl AsyncRead + Unpin),
    read: Bytes,
    mut input: Option<&mut Box<dyn AsyncWrite + Send + Unpin>>,
    mut interpreter: Option<Interpreter>,
    wishes: &mpsc::Sender<Wish>,
) -> io::Result<Option<Wish>> {
    let mut decoder = Decoder::default();
    let mut buffer = Vec::from(read);
    let mut length = buffer.len();
    buffer.resize(BUFFER.max(length), 0);
    loop {
        let mut bytes = &mut buffer[..length];
        loop {
            match decoder.next(&mut bytes) {
                Err(Violation) => return Ok(Some(Wish::Close(Some(PROTOCOL_ERROR)))),
                Ok(None) => break,
                Ok(Some(Piece::Close(code))) => return Ok(Some(Wish::Close(code))),
                Ok(Some(Piece::Ping(payload))) => {
                    let _ = wishes.send(Wish::Pong(payload)).await;
                }
                Ok(Some(Piece::Data(data))) => {
                    let Some(writer) = &mut input else { continue };
                    match deliver(*writer, data, &mut interpreter).await {
                        Delivered::Detached => return Ok(Some(Wish::Close(Some(NORMAL)))),
                        // Nobody reads any more; the connection stays for the output.
                        Delivered::Unwanted => input = None,
                        Delivered::Yes => {}
                    }
                }
            }
        }
        length = client.read(&mut buffer).await?;
        if length == 0 {
            return Ok(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client's frame.
    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 250];
        let mut frame = super::frame(first & 0x0f, payload).to_vec();
        let head = frame.len() - payload.len();
        frame[0] = first;
        frame[1] |= 0x80;
        let hidden = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
        frame.splice(head.., mask.into_iter().chain(hidden));
        frame
    }

    /// What is read of frames that come in pieces of `size` bytes.
    fn decode(frames: &[Vec<u8>], size: usize) -> Result<(Vec<u8>, Vec<String>), Violation> {
        let (mut decoder, mut data, mut others) = (Decoder::default(), Vec::new(), Vec::new());
        for chunk in frames.concat().chunks_mut(size) {
            let mut chunk = chunk;
            while let Some(piece) = decoder.next(&mut chunk)? {
                match piece {
                    Piece::Data(bytes) => data.extend_from_slice(bytes),
                    other => others.push(format!("{other:?}")),
                }
            }
            assert!(chunk.is_empty());
        }
        Ok((data, others))
    }

    #[test]
    fn the_rfcs_example_is_accepted() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn the_handshake_is_checked() {
        let headers = |leave: &str| {
            let all = [
                ("connection", "keep-alive, Upgrade"),
                ("upgrade", "WebSocket"),
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
                ("sec-websocket-version", "13"),
                ("sec-websocket-protocol", "raw, chat"),
            ];
            let named = all.into_iter().filter(|(name, _)| *name != leave);
            named.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect::<HeaderMap>()
        };
        let new = |leave, minor| Websocket::new(&headers(leave), ApiVersion::v1(minor));
        let whole = new("", 51).unwrap();
        assert_eq!((whole.kind, whole.protocol.as_deref()), (BINARY, Some("raw")));
        assert!(whole.head().ends_with("Sec-WebSocket-Protocol: raw\r\n\r\n"));
        assert_eq!(new("sec-websocket-protocol", 27).unwrap().protocol, None);
        assert_eq!((new("", 27).unwrap().kind, new("", 28).unwrap().kind), (TEXT, BINARY));
        for (leave, text) in [
            ("connection", "not websocket protocol"),
            ("upgrade", "not websocket protocol"),
            ("sec-websocket-key", "mismatch challenge/response"),
            ("sec-websocket-version", "missing or bad WebSocket Version"),
        ] {
            assert_eq!(new(leave, 51).unwrap_err().message, text);
        }
    }

    #[test]
    fn frames_are_read_however_they_come() {
        let long = vec![b'x'; 70_000];
        let frames = [
            masked(0x82, b"one "),
            masked(0x01, b"fra"),
            masked(0x89, b"still there?"),
            masked(0x00, b""),
            masked(0x80, b"gments "),
            masked(0x8a, b"unasked"),
            masked(0x82, &long[..300]),
            masked(0x82, &long),
            masked(0x88, &[3, 232, b'b', b'y', b'e']),
        ];
        for size in [1, 2, 3, 7, 1000, 1 << 20] {
            let (data, others) = decode(&frames, size).unwrap();
            assert_eq!(data, [b"one fragments ".as_slice(), &long[..300], &long].concat(), "by {size}");
            assert_eq!(others, [format!("Ping({:?})", b"still there?"), "Close(Some(1000))".into()]);
        }
        assert_eq!(decode(&[masked(0x88, b"")], 9).unwrap().1, ["Close(None)"]);
    }

    #[test]
    fn rules_are_kept() {
        let unmasked = frame(BINARY, b"x").to_vec();
        let endless = vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        for frames in [
            vec![unmasked],
            vec![endless],
            vec![masked(0xc2, b"reserved bit")],
            vec![masked(0x83, b"unknown kind")],
            vec![masked(0x80, b"continues nothing")],
            vec![masked(0x02, b"a"), masked(0x82, b"inside another")],
            vec![masked(0x09, b"a control frame in parts")],
            vec![masked(0x89, &[0; 126])],
            vec![masked(0x88, b"1")],
        ] {
            assert_eq!(decode(&frames, 5), Err(Violation), "{frames:?}");
        }
    }

    #[test]
    fn lengths_are_written_as_short_as_can_be() {
        assert_eq!(frame(BINARY, b"ab")[..], [0x82, 2, b'a', b'b']);
        assert_eq!(frame(PONG, &[7; 125])[..2], [0x8a, 125]);
        assert_eq!(frame(TEXT, &[7; 126])[..4], [0x81, 126, 0, 126]);
        assert_eq!(frame(TEXT, &[7; 65_535])[..4], [0x81, 126, 255, 255]);
        assert_eq!(frame(TEXT, &[7; 65_536])[..10], [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn dockers_framing_comes_off() {
        let framed =
            [crate::hijack::frame(1, b"out "), crate::hijack::frame(2, b""), crate::hijack::frame(2, b"err")];
        let framed = framed.concat();
        for size in [1, 3, 8, 9, 100] {
            let (mut unframed, mut all) = (Unframed::default(), Vec::new());
            for mut chunk in framed.chunks(size) {
                while let Some(piece) = unframed.next(&mut chunk) {
                    all.extend_from_slice(piece);
                }
            }
            assert_eq!(all, b"out err", "by {size}");
        }
    }
}
