//! What a connection's client has said about leaving, shared by the connection and its handlers.
//!
//! A client that shuts down its sending side ends standard input of what it is attached to, and no more. For every
//! other request the end of input means that the client is gone and that its work may stop: that is hyper's view.
//! So while a request may become a hijack, the end of input is kept from hyper and noted here.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

// A client that does not read within so many milliseconds is not one that this is for.
const HEAD_READ_CHECKS: usize = 100;

/// The state of one connection's two directions.
#[derive(Debug, Default)]
pub struct Hangup {
    hijacking: AtomicBool,
    closed_early: Notify,
    write_blocked: AtomicBool,
    socket: Option<OwnedFd>,
}

impl Hangup {
    /// For a connection; `socket` is a duplicate of its descriptor, where it is a unix socket's.
    pub fn new(socket: Option<OwnedFd>) -> Self {
        Self { socket, ..Self::default() }
    }

    pub(crate) fn set_hijacking(&self, hijacking: bool) {
        self.hijacking.store(hijacking, Relaxed);
    }
    pub(crate) fn is_hijacking(&self) -> bool {
        self.hijacking.load(Relaxed)
    }
    /// The client ended its input while a hijack was under way.
    pub(crate) fn note_eof(&self) {
        self.closed_early.notify_one();
    }
    /// Waits until the client ends its input before its request's body is whole.
    pub(crate) async fn closed_early(&self) {
        self.closed_early.notified().await;
    }
    pub(crate) fn set_write_blocked(&self, blocked: bool) {
        self.write_blocked.store(blocked, Relaxed);
    }
    pub(crate) fn is_write_blocked(&self) -> bool {
        self.write_blocked.load(Relaxed)
    }

    /// Waits until the client has read what was written to it, where the kernel tells and within reason.
    ///
    /// docker-py reads an answer's head through a buffer and what follows around it: bytes that reach it together
    /// with the head are lost. dockerd is slow enough never to send any.
    pub(crate) async fn head_read(&self) {
        let Some(socket) = &self.socket else { return };
        for _ in 0..HEAD_READ_CHECKS {
            if hull_sys::socket_queue::unread_by_peer(socket).map_or(true, |unread| unread == 0) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits until the client has closed both directions, where the kernel tells (unix sockets do).
    pub(crate) async fn gone(&self) {
        // Watching for urgent data only: then the sole wake-ups are EPOLLHUP's and EPOLLERR's.
        // What is deprecated about this constructor is that a type's descriptor may change under it; a borrowed one
        // does not, and the replacement is unsafe to call.
        #[allow(deprecated)]
        let watch = self
            .socket
            .as_ref()
            .and_then(|socket| AsyncFd::with_interest(socket.as_fd(), Interest::PRIORITY).ok());
        let Some(watch) = watch else { return std::future::pending().await };
        loop {
            match watch.ready(Interest::PRIORITY).await {
                Ok(guard) if guard.ready().is_read_closed() => return,
                Ok(mut guard) => guard.clear_ready(),
                Err(_) => return std::future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    #[tokio::test]
    async fn a_half_closed_client_is_not_gone() {
        let (server, mut client) = tokio::net::UnixStream::pair().unwrap();
        let server = server.into_std().unwrap();
        let hangup = Hangup::new(Some(server.try_clone().unwrap().into()));
        client.write_all(b"x").await.unwrap();
        client.shutdown().await.unwrap();
        let mut gone = Box::pin(hangup.gone());
        assert!(futures::FutureExt::now_or_never(&mut gone).is_none());
        tokio::task::yield_now().await;
        assert!(futures::FutureExt::now_or_never(&mut gone).is_none());
        drop(client);
        gone.await;
    }
}
