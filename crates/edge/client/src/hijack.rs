//! Connections that stopped being HTTP: attach and exec.

use crate::{Error, Result};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf};

/// A raw connection to a container's streams.
pub struct Hijacked {
    stream: TokioIo<Upgraded>,
    /// Whether the engine says that it frames its output (API ≥ 1.42); older ones always say `raw-stream`.
    pub multiplexed: bool,
}

impl Hijacked {
    pub(crate) fn new(upgraded: Upgraded, multiplexed: bool) -> Self {
        Self { stream: TokioIo::new(upgraded), multiplexed }
    }
    /// The two directions.
    pub fn split(self) -> (HijackedReader, HijackedWriter) {
        let (reader, writer) = tokio::io::split(self.stream);
        (HijackedReader(reader), HijackedWriter(writer))
    }
}

/// What the container writes.
pub struct HijackedReader(ReadHalf<TokioIo<Upgraded>>);

impl AsyncRead for HijackedReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

/// What the container reads.
pub struct HijackedWriter(WriteHalf<TokioIo<Upgraded>>);

impl HijackedWriter {
    /// Sends all of `data`.
    pub async fn write_all(&mut self, data: &[u8]) -> Result<()> {
        let sent = async {
            self.0.write_all(data).await?;
            self.0.flush().await
        };
        sent.await.map_err(|source| Error::Stream { act: "writing to the container", source })
    }
    /// Half-close: the container's input ends, its output goes on.
    pub async fn close(&mut self) -> Result<()> {
        match self.0.shutdown().await {
            Err(source) if source.kind() != io::ErrorKind::NotConnected => {
                Err(Error::Stream { act: "closing the container's input", source })
            }
            _ => Ok(()),
        }
    }
}

impl AsyncWrite for HijackedWriter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, data)
    }
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
