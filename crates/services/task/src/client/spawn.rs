//! Starting a shim.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use hull_sys::LayerMounts;
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

use super::link::Link;
use super::{Error, Inner, Result, Task};
use crate::protocol::{CreateOptions, EXIT_FILE, Reply, Request, SHIM_LOG, SOCKET, VERSION};

// The longest path of a unix socket, without the final NUL.
const SOCKET_PATH_LIMIT: usize = 107;
// Attaching clients that may wait while the shim is busy creating.
const BACKLOG: i32 = 128;

/// What [`Task::spawn`] needs.
#[derive(Debug, Clone)]
pub struct SpawnOptions {
    /// `hull-runtime`.
    pub runtime_binary: PathBuf,
    /// What is created. The bundle must hold `config.json`.
    pub create: CreateOptions,
    /// Mounts of the root's layers, to be shared with other containers.
    pub layers: LayerMounts,
}

pub(super) async fn spawn(options: SpawnOptions) -> Result<Task> {
    let SpawnOptions { runtime_binary, mut create, layers } = options;
    let (id, bundle, terminal) = (create.id.clone(), create.bundle.clone(), create.terminal);
    // An exit of the container's last life must not be taken for this one's.
    let _ = std::fs::remove_file(bundle.join(EXIT_FILE));
    let _ = std::fs::remove_file(bundle.join(SHIM_LOG));
    let (child, stream) = launch(&runtime_binary, &create)?;
    let link = Link::open(stream, Some(child), &bundle);
    let descriptors;
    (create.mounted, descriptors) = layers.into_iter().unzip();
    let pid = match link.call_with(Request::Create(Box::new(create)), descriptors).await {
        Ok(Reply::Created { pid }) => pid,
        Ok(_) => return Err(Error::protocol(&bundle, "not a creation")),
        Err(Error::Refused(failure)) => return Err(Error::Create { id, message: failure.message }),
        Err(Error::Closed { .. }) => {
            let said = std::fs::read_to_string(bundle.join(SHIM_LOG)).unwrap_or_default();
            return Err(Error::Create {
                id,
                message: format!("the shim ended at once: {}", said.trim_end()),
            });
        }
        Err(error) => return Err(error),
    };
    Ok(Task { inner: Arc::new(Inner { id, bundle, pid, terminal, version: VERSION, link }) })
}

// The shim gets its first connection as descriptor 0 and its listening socket as descriptor 1: with nothing to do
// between fork and exec, the standard library starts it by posix_spawn, whatever the daemon's size.
fn launch(program: &Path, create: &CreateOptions) -> Result<(Child, UnixStream)> {
    let failed = |source| Error::Spawn { program: program.into(), source };
    let socket = create.bundle.join(SOCKET);
    let listener = listen(&create.bundle).map_err(|source| Error::Bind { path: socket, source })?;
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
    ours.set_nonblocking(true).map_err(failed)?;
    let log = File::options().append(true).create(true).mode(0o600).open(create.bundle.join(SHIM_LOG));
    let mut command = Command::new(program);
    command.arg("shim").arg("--id").arg(&create.id).arg("--bundle").arg(&create.bundle);
    // Nothing of the daemon's environment concerns a container; PATH finds a foreign runtime's helpers.
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
        .stdin(OwnedFd::from(theirs))
        .stdout(listener)
        .stderr(log.map_or_else(|_| Stdio::null(), Stdio::from));
    let child = command.spawn().map_err(failed)?;
    // It starts nothing before it is told to create.
    child.id().map_or(Ok(()), hull_sys::open_files::give_back).map_err(failed)?;
    let stream = UnixStream::from_std(ours).map_err(failed)?;
    Ok((child, stream))
}

fn listen(bundle: &Path) -> io::Result<OwnedFd> {
    let (path, _folder) = socket_path(bundle).map_err(io::Error::other)?;
    match std::fs::remove_file(bundle.join(SOCKET)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // The socket's own mode becomes the file's: there is no moment at which others could connect.
    rustix::fs::fchmod(&socket, Mode::from_raw_mode(0o600))?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(&path)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// A path to the bundle's socket that is short enough, valid as long as the descriptor is open.
pub(super) fn socket_path(bundle: &Path) -> Result<(PathBuf, Option<OwnedFd>)> {
    let path = bundle.join(SOCKET);
    if path.as_os_str().as_bytes().len() <= SOCKET_PATH_LIMIT {
        return Ok((path, None));
    }
    let folder = rustix::fs::open(bundle, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| Error::Connect { path, source: error.into() })?;
    let short = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()));
    Ok((short, Some(folder)))
}

/// Kills and removes what a killed shim left of a container of Hull's own runtime: processes, cgroup, state.
/// Nothing being left is fine.
pub async fn remove_leftovers(runtime_binary: &Path, state_root: &Path, id: &str) -> Result<()> {
    let mut command = Command::new(runtime_binary);
    command.arg("--root").arg(state_root).args(["delete", "--force", id]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let output =
        command.output().await.map_err(|source| Error::Spawn { program: runtime_binary.into(), source })?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
    Err(Error::RemoveLeftovers { id: id.into(), message })
}
