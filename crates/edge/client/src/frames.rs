//! Docker's stream framing: `[kind 0 0 0][length, big endian u32][payload]`, for streams without a terminal.

use crate::{Error, Result};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Whose bytes a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamKind {
    /// Standard output (and kind 0, standard input echoed).
    Stdout,
    /// Standard error.
    Stderr,
}

const CAPACITY: usize = 64 * 1024;
/// An error of the daemon's is read whole, so its length is bounded.
const LONGEST_ERROR: usize = 1 << 20;

/// Takes frames apart. A payload is handed on as it arrives, so that one huge frame costs no more memory than a
/// small one.
pub struct FrameReader<R> {
    inner: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// What is left of the frame being read.
    left: usize,
    kind: u8,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Reads frames from `inner`.
    pub fn new(inner: R) -> Self {
        Self { inner, buffer: vec![0; CAPACITY].into_boxed_slice(), start: 0, end: 0, left: 0, kind: 0 }
    }

    /// The next piece of payload; `None` at the end of the stream. An error message of the daemon's (kind 3)
    /// is an error.
    pub async fn next(&mut self) -> Result<Option<(StreamKind, &[u8])>> {
        while self.left == 0 {
            if !self.header().await? {
                return Ok(None);
            }
            if self.kind == 3 {
                return Err(self.daemon_error().await);
            }
        }
        if self.start == self.end && !self.fill().await? {
            return Err(truncated());
        }
        let length = self.left.min(self.end - self.start);
        let from = self.start;
        self.start += length;
        self.left -= length;
        let kind = if self.kind == 2 { StreamKind::Stderr } else { StreamKind::Stdout };
        Ok(Some((kind, &self.buffer[from..from + length])))
    }

    /// Reads a header; `false` at a clean end.
    async fn header(&mut self) -> Result<bool> {
        while self.end - self.start < 8 {
            let had = self.end - self.start;
            if !self.fill().await? {
                return if had == 0 { Ok(false) } else { Err(truncated()) };
            }
        }
        let header = &self.buffer[self.start..self.start + 8];
        self.kind = header[0];
        self.left = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
        if self.kind > 3 {
            let source = std::io::Error::other(format!("Unrecognized input header: {}", self.kind));
            return Err(Error::Stream { act: "reading a stream", source });
        }
        self.start += 8;
        Ok(true)
    }

    async fn daemon_error(&mut self) -> Error {
        let mut message = Vec::new();
        while self.left > 0 && message.len() < LONGEST_ERROR {
            if self.start == self.end && !matches!(self.fill().await, Ok(true)) {
                break;
            }
            let length = self.left.min(self.end - self.start);
            message.extend_from_slice(&self.buffer[self.start..self.start + length]);
            self.start += length;
            self.left -= length;
        }
        Error::InStream(String::from_utf8_lossy(&message).into_owned())
    }

    /// Reads more; what is buffered moves to the front. `false` at the end.
    async fn fill(&mut self) -> Result<bool> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let got = self
            .inner
            .read(&mut self.buffer[self.end..])
            .await
            .map_err(|source| Error::Stream { act: "reading a stream", source })?;
        self.end += got;
        Ok(got > 0)
    }
}

fn truncated() -> Error {
    Error::Stream { act: "reading a stream", source: std::io::ErrorKind::UnexpectedEof.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![kind, 0, 0, 0];
        out.extend((payload.len() as u32).to_be_bytes());
        out.extend(payload);
        out
    }

    async fn split(data: &[u8]) -> (Vec<u8>, Vec<u8>, Result<()>) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut reader = FrameReader::new(data);
        loop {
            match reader.next().await {
                Ok(Some((StreamKind::Stdout, piece))) => out.extend(piece),
                Ok(Some((StreamKind::Stderr, piece))) => err.extend(piece),
                Ok(None) => return (out, err, Ok(())),
                Err(error) => return (out, err, Err(error)),
            }
        }
    }

    #[tokio::test]
    async fn streams_come_apart() {
        let big = vec![7; 3 * CAPACITY];
        let data = [frame(1, b"hi "), frame(2, b"oops"), frame(1, b""), frame(1, &big)].concat();
        let (out, err, end) = split(&data).await;
        end.unwrap();
        assert_eq!(out.len(), 3 + big.len());
        assert_eq!(err, b"oops");
    }

    #[tokio::test]
    async fn a_cut_stream_and_a_daemon_error_are_errors() {
        let whole = frame(1, b"hello");
        for cut in 1..whole.len() {
            assert!(split(&whole[..cut]).await.2.is_err(), "{cut}");
        }
        let (_, _, end) = split(&[frame(1, b"x"), frame(3, b"boom")].concat()).await;
        assert!(matches!(end, Err(Error::InStream(text)) if text == "boom"));
        assert!(split(&frame(9, b"x")).await.2.is_err());
    }
}
