//! The sockets that the API is served on.

use crate::config::TlsFiles;
use crate::hosts::Host;
use crate::tls;
use hull_api::{Hangup, Router, Shutdown};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Notify, mpsc};
use tokio_rustls::TlsAcceptor;

const HANDSHAKE: Duration = Duration::from_secs(10);

/// Why the daemon can't listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// A socket can't be made.
    #[error("listen at {host}: {source}")]
    Bind {
        /// Where.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// Somebody answers there.
    #[error("listen at unix://{}: another daemon listens there already", .0.display())]
    Taken(PathBuf),
    /// There is a file that is no socket.
    #[error("listen at unix://{}: there is something that is not a socket", .0.display())]
    NotASocket(PathBuf),
    /// The group is unknown.
    #[error("group {0} not found")]
    NoGroup(String),
    /// systemd handed over no such socket.
    #[error("listen at {0}: no such socket was handed over by systemd (LISTEN_FDS)")]
    NotInherited(String),
    /// Certificates or keys can't be used.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
}

/// A socket that listens.
pub enum Listener {
    /// A unix socket, and the path to remove afterwards (none for inherited ones).
    Unix(UnixListener, Option<PathBuf>),
    /// TCP, with or without TLS.
    Tcp(TcpListener, Option<TlsAcceptor>),
}

/// Listens at `host`.
pub fn listen(
    host: &Host,
    tls: Option<&TlsFiles>,
    group: Option<&str>,
) -> Result<Vec<Listener>, ListenError> {
    let failed = |source| ListenError::Bind { host: host.to_string(), source };
    match host {
        Host::Unix(path) => {
            let listener = bind_unix(path, gid(group)?)?;
            let listener = UnixListener::from_std(listener).map_err(failed)?;
            Ok(vec![Listener::Unix(listener, Some(path.clone()))])
        }
        Host::Tcp(address) => {
            let acceptor = tls.map(tls::acceptor).transpose()?;
            let addresses: Vec<SocketAddr> = address.to_socket_addrs().map_err(failed)?.collect();
            let mut listeners = Vec::new();
            for address in addresses {
                let listener = std::net::TcpListener::bind(address).map_err(failed)?;
                listener.set_nonblocking(true).map_err(failed)?;
                listeners
                    .push(Listener::Tcp(TcpListener::from_std(listener).map_err(failed)?, acceptor.clone()));
            }
            Ok(listeners)
        }
        Host::Inherited(name) => inherited(host, name, tls),
    }
}

fn inherited(host: &Host, name: &str, tls: Option<&TlsFiles>) -> Result<Vec<Listener>, ListenError> {
    let failed = |source| ListenError::Bind { host: host.to_string(), source };
    let sockets = hull_sys::activation::inherited_sockets().map_err(failed)?;
    let mut listeners = Vec::new();
    for socket in sockets {
        if !name.is_empty() && socket.name != name && socket.number.to_string() != name {
            continue;
        }
        listeners.push(if socket.is_unix {
            let listener = std::os::unix::net::UnixListener::from(socket.fd);
            listener.set_nonblocking(true).map_err(failed)?;
            Listener::Unix(UnixListener::from_std(listener).map_err(failed)?, None)
        } else {
            let listener = std::net::TcpListener::from(socket.fd);
            listener.set_nonblocking(true).map_err(failed)?;
            Listener::Tcp(
                TcpListener::from_std(listener).map_err(failed)?,
                tls.map(tls::acceptor).transpose()?,
            )
        });
    }
    if listeners.is_empty() { Err(ListenError::NotInherited(host.to_string())) } else { Ok(listeners) }
}

/// Binds a unix socket that nobody can connect to before its mode and group are right: it is made in a directory of
/// its own that only root enters, and renamed into place. A stale socket is replaced by that, a live one is not.
fn bind_unix(path: &Path, gid: u32) -> Result<std::os::unix::net::UnixListener, ListenError> {
    let failed = |source| ListenError::Bind { host: format!("unix://{}", path.display()), source };
    match std::fs::symlink_metadata(path) {
        Ok(there) if !there.file_type().is_socket() => return Err(ListenError::NotASocket(path.into())),
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            return Err(ListenError::Taken(path.into()));
        }
        _ => {}
    }
    let parent = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(parent).map_err(failed)?;
    let private = parent.join(format!(".{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&private);
    std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700)
        .create(&private)
        .map_err(failed)?;
    let socket = private.join("s");
    let bound = (|| {
        let listener = std::os::unix::net::UnixListener::bind(&socket)?;
        listener.set_nonblocking(true)?;
        std::os::unix::fs::chown(&socket, Some(0), Some(gid))?;
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o660))?;
        std::fs::rename(&socket, path)?;
        Ok(listener)
    })();
    let _ = std::fs::remove_dir_all(&private);
    bound.map_err(failed)
}

/// The group of the unix socket: the one asked for, by name or number, or `hull`, or `docker`, or root.
pub fn gid(group: Option<&str>) -> Result<u32, ListenError> {
    let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
    let find = |name: &str| {
        groups.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some(name)).then(|| fields.nth(1)?.parse::<u32>().ok()).flatten()
        })
    };
    match group {
        Some(name) => {
            find(name).or_else(|| name.parse().ok()).ok_or_else(|| ListenError::NoGroup(name.into()))
        }
        None => Ok(find("hull").or_else(|| find("docker")).unwrap_or(0)),
    }
}

/// What every connection needs.
#[derive(Clone)]
pub struct Serving {
    /// The API.
    pub router: Arc<Router>,
    /// Turns true when the daemon leaves.
    pub shutdown: Shutdown,
    /// Held by each connection: the daemon waits until all are dropped.
    pub alive: mpsc::Sender<()>,
    /// Told of each connection that comes or goes.
    pub connections: Arc<Notify>,
}

/// A connection that is open.
struct Present {
    _alive: mpsc::Sender<()>,
    connections: Arc<Notify>,
}

impl Present {
    fn new(serving: &Serving) -> Self {
        serving.connections.notify_one();
        Self { _alive: serving.alive.clone(), connections: serving.connections.clone() }
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.connections.notify_one();
    }
}

/// Accepts connections until the daemon leaves, and then removes what it made.
pub async fn accept(listener: Listener, serving: Serving) {
    let mut shutdown = serving.shutdown.clone();
    tokio::select! {
        _ = shutdown.wait_for(|leaves| *leaves) => {}
        () = async {
            loop {
                if let Err(error) = accept_one(&listener, &serving).await {
                    // Mostly too many open files: without a pause this would spin.
                    tracing::warn!("accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        } => {}
    }
    if let Listener::Unix(_, Some(path)) = &listener {
        let _ = std::fs::remove_file(path);
    }
}

async fn accept_one(listener: &Listener, serving: &Serving) -> io::Result<()> {
    let Serving { router, shutdown, .. } = serving.clone();
    match listener {
        Listener::Unix(listener, _) => {
            let (stream, _) = listener.accept().await?;
            let socket: OwnedFd = stream.as_fd().try_clone_to_owned()?;
            let present = Present::new(serving);
            tokio::spawn(async move {
                hull_api::serve(stream, Hangup::new(Some(socket)), router, shutdown).await;
                drop(present);
            });
        }
        Listener::Tcp(listener, tls) => {
            let (stream, peer) = listener.accept().await?;
            let _ = stream.set_nodelay(true);
            let tls = tls.clone();
            let present = Present::new(serving);
            tokio::spawn(async move {
                match tls {
                    None => hull_api::serve(stream, Hangup::new(None), router, shutdown).await,
                    Some(tls) => match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
                        Ok(Ok(stream)) => hull_api::serve(stream, Hangup::new(None), router, shutdown).await,
                        Ok(Err(error)) => tracing::info!("TLS handshake with {peer} failed: {error}"),
                        Err(_) => tracing::info!("TLS handshake with {peer} took too long"),
                    },
                }
                drop(present);
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_socket_has_its_mode_and_replaces_a_stale_one_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        let live = bind_unix(&path, 7).unwrap();
        let there = std::fs::metadata(&path).unwrap();
        assert_eq!((there.mode() & 0o7777, there.gid()), (0o660, 7));
        assert!(matches!(bind_unix(&path, 0), Err(ListenError::Taken(_))));
        drop(live);
        bind_unix(&path, 0).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "precious").unwrap();
        assert!(matches!(bind_unix(&path, 0), Err(ListenError::NotASocket(_))));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn groups_are_found_by_name_and_number() {
        assert_eq!(gid(Some("root")).unwrap(), 0);
        assert_eq!(gid(Some("12345")).unwrap(), 12345);
        assert!(matches!(gid(Some("no-such-group")), Err(ListenError::NoGroup(_))));
    }
}
