//! One HTTP/1.1 connection: hyper until a request hijacks it, raw bytes afterwards.
//!
//! hyper can hand a connection over only after answering 101, yet clients that send no `Upgrade` are answered `200
//! OK` with neither length nor chunks. So for a hijack hyper never gets to answer: the handler's future stays
//! pending, the connection is taken apart between two polls, and the head is written here. What hyper had read
//! beyond the request comes along.

use crate::hangup::Hangup;
use crate::hijack::{self, Hijack};
use crate::response::{Body, Reply};
use crate::router::{BoxFuture, Router};
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::rt::ReadBufCursor;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

/// Turns true when the daemon leaves: connections that idle are closed, the others finish their request.
pub type Shutdown = watch::Receiver<bool>;

// Bounds a request's head; hyper's own default is 400 KiB.
const HEAD_LIMIT: usize = 128 << 10;

/// Serves a connection to its end.
pub async fn serve<I>(io: I, hangup: Hangup, router: Arc<Router>, shutdown: Shutdown)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let hangup = Arc::new(hangup);
    let io = Watched { io: TokioIo::new(io), hangup: hangup.clone(), begun: false };
    match drive(io, &hangup, router, shutdown).await {
        Ok(Some((io, read, hijack))) => hijack::run(io, read, hijack, &hangup).await,
        Ok(None) => {}
        // A client that leaves in the middle of something is no news.
        Err(error) => tracing::debug!("connection ended: {error}"),
    }
}

type Taken<I> = (I, Bytes, Box<Hijack>);
type Slot = Arc<Mutex<Option<Box<Hijack>>>>;

async fn drive<I>(
    io: Watched<I>,
    hangup: &Arc<Hangup>,
    router: Arc<Router>,
    mut shutdown: Shutdown,
) -> hyper::Result<Option<Taken<I>>>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let slot = Slot::default();
    let answer = {
        let (slot, hangup) = (slot.clone(), hangup.clone());
        move |request: Request<Incoming>| answer(router.dispatch(request, hangup.clone()), slot.clone())
    };
    let mut builder = http1::Builder::new();
    builder.title_case_headers(true).max_buf_size(HEAD_LIMIT);
    let mut connection = builder.serve_connection(io, service_fn(answer));
    let mut leaving = Box::pin(async move {
        let _ = shutdown.wait_for(|leaves| *leaves).await;
    });
    let mut left = false;
    let mut hijack = None;
    poll_fn(|cx| {
        if !left && leaving.as_mut().poll(cx).is_ready() {
            left = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        if let Poll::Ready(end) = Pin::new(&mut connection).poll(cx) {
            return Poll::Ready(end);
        }
        // An earlier, pipelined answer that is not written out yet has to be first.
        if hijack.is_none() {
            hijack = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
        if hijack.is_some() && !hangup.is_write_blocked() { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await?;
    Ok(hijack.map(|hijack| {
        let parts = connection.into_parts();
        (parts.io.io.into_inner(), parts.read_buf, hijack)
    }))
}

fn answer(reply: BoxFuture<Reply>, slot: Slot) -> BoxFuture<Result<Response<Body>, Infallible>> {
    Box::pin(async move {
        match reply.await {
            Reply::Response(response) => Ok(response),
            Reply::Hijack(hijack) => {
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(hijack);
                std::future::pending().await
            }
        }
    })
}

/// The connection as hyper sees it: see [`Hangup`].
struct Watched<I> {
    io: TokioIo<I>,
    hangup: Arc<Hangup>,
    /// Whether its first bytes were read.
    begun: bool,
}

/// The beginning of a connection with the quotes of its first request's query encoded: people write JSON filters there
/// as it is (`curl -g '…?filters={"status":["exited"]}'`), which Docker takes and hyper refuses. At most three times as
/// long as it was.
fn with_quotes_encoded(beginning: &[u8]) -> Vec<u8> {
    let line = beginning.iter().position(|byte| *byte == b'\n').unwrap_or(beginning.len());
    let query = beginning[..line].iter().position(|byte| *byte == b'?').unwrap_or(line);
    let mut encoded = beginning[..query].to_vec();
    for byte in &beginning[query..line] {
        match byte {
            b'"' => encoded.extend(b"%22"),
            byte => encoded.push(*byte),
        }
    }
    encoded.extend(&beginning[line..]);
    encoded
}

impl<I: AsyncRead + Unpin> hyper::rt::Read for Watched<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.remaining();
        // A cursor can't tell how much was filled once it is moved; a shorter-lived one can.
        let read = {
            let mut piece = [std::mem::MaybeUninit::uninit(); 64 << 10];
            // What is encoded has to fit.
            let limit = if self.begun { before } else { before / 3 };
            let limit = limit.min(piece.len());
            let mut piece = tokio::io::ReadBuf::uninit(&mut piece[..limit]);
            match Pin::new(self.io.inner_mut()).poll_read(cx, &mut piece) {
                Poll::Ready(Ok(())) => {
                    if std::mem::replace(&mut self.begun, true) {
                        buffer.put_slice(piece.filled());
                    } else {
                        buffer.put_slice(&with_quotes_encoded(piece.filled()));
                    }
                    piece.filled().len()
                }
                other => return other,
            }
        };
        if read == 0 && before > 0 && self.hangup.is_hijacking() {
            self.hangup.note_eof();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> hyper::rt::Write for Watched<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.hangup.set_write_blocked(written.is_pending());
        written
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, buffers);
        self.hangup.set_write_blocked(written.is_pending());
        written
    }
}

#[cfg(test)]
mod tests;
