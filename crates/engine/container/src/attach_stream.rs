//! A connection to a process's streams that may come before the process does.

use futures::future::{BoxFuture, FutureExt, Shared};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::sync::oneshot;

type Connection = Option<Arc<UnixStream>>;
type Connecting = Shared<BoxFuture<'static, Connection>>;

/// Output to read, input to write; `shutdown` ends the input and not the output.
///
/// Until the container is started, reading and writing wait. When it never is, reading finds the end and writing a
/// broken pipe. Once it runs, this is the shim's own socket: the daemon copies nothing twice.
#[derive(Debug)]
pub struct AttachStream {
    reader: AttachReader,
    writer: AttachWriter,
}

/// The reading half.
pub struct AttachReader(Half);
/// The writing half.
pub struct AttachWriter(Half);

// Each half polls a clone of the shared future of its own, and so is woken by itself.
enum Half {
    Waiting(Connecting),
    Known(Connection),
}

impl AttachStream {
    /// A connection that is there.
    pub(crate) fn ready(stream: UnixStream) -> Self {
        let stream = Some(Arc::new(stream));
        let reader = AttachReader(Half::Known(stream.clone()));
        Self { reader, writer: AttachWriter(Half::Known(stream)) }
    }

    /// A connection that comes by the sender.
    pub(crate) fn pending() -> (oneshot::Sender<UnixStream>, Self) {
        let (sender, receiver) = oneshot::channel::<UnixStream>();
        let connecting = receiver.map(|stream| stream.ok().map(Arc::new)).boxed().shared();
        let reader = AttachReader(Half::Waiting(connecting.clone()));
        (sender, Self { reader, writer: AttachWriter(Half::Waiting(connecting)) })
    }

    /// The halves, for tasks of their own.
    pub fn into_split(self) -> (AttachReader, AttachWriter) {
        (self.reader, self.writer)
    }
}

impl Half {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Connection> {
        if let Self::Waiting(connecting) = self {
            *self = Self::Known(ready!(connecting.poll_unpin(cx)));
        }
        match self {
            Self::Known(connection) => Poll::Ready(connection.clone()),
            Self::Waiting(_) => Poll::Pending,
        }
    }
}

impl AsyncRead for AttachReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(stream) = ready!(self.0.poll(cx)) else { return Poll::Ready(Ok(())) };
        loop {
            ready!(stream.poll_read_ready(cx))?;
            match stream.try_read(buf.initialize_unfilled()) {
                Ok(read) => {
                    buf.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for AttachWriter {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Some(stream) = ready!(self.0.poll(cx)) else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        loop {
            ready!(stream.poll_write_ready(cx))?;
            match stream.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(stream) = ready!(self.0.poll(cx)) else { return Poll::Ready(Ok(())) };
        match rustix::net::shutdown(&*stream, rustix::net::Shutdown::Write) {
            // The process is gone: there is nothing left to end.
            Ok(()) | Err(rustix::io::Errno::NOTCONN) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}

impl AsyncRead for AttachStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(cx, buf)
    }
}

impl AsyncWrite for AttachStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(cx, bytes)
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_shutdown(cx)
    }
}

impl std::fmt::Debug for AttachReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AttachReader")
    }
}
impl std::fmt::Debug for AttachWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AttachWriter")
    }
}

impl From<UnixStream> for AttachStream {
    fn from(stream: UnixStream) -> Self {
        Self::ready(stream)
    }
}
