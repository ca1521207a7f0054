//! A container's files, for `cp`, `export` and the like: the running container's own view, or, when it doesn't run,
//! the same mounts in a mount namespace that one thread has for itself and that ends with it.
//!
//! Whoever is in the container may change it all at any moment: what is done here is done by descriptors that cannot
//! lead out of the tree, and no program is run (CVE-2018-15664, CVE-2019-14271, CVE-2026-41567).

use crate::engine::{Engine, blocking};
use crate::error::{Error, Result};
use crate::options::RemoveOptions;
use crate::record::ContainerSpec;
use crate::spec::{MountKind, MountSpec, clean};
use crate::supervisor::{Handle, Published, below, user_in};
use bytes::Bytes;
use hull_api_types::{ContainerPathStat, FilesystemChange};
use hull_archive::{Decompressor, PackOptions, PieceWriter, UnpackOptions};
use hull_errors::{HasKind, Kind};
use hull_sys::in_root::InRoot;
use hull_sys::mount::{self, Attributes, Change, Propagation};
use hull_types::{Lower, Rootfs};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

type Pieces = mpsc::Receiver<io::Result<Bytes>>;

pub(crate) async fn stat(engine: &Arc<Engine>, handle: &Handle, path: &str) -> Result<ContainerPathStat> {
    let published = handle.published();
    let (path, spec) = (path.to_owned(), Arc::clone(&published.spec));
    let stat = in_tree(engine, &published, move |root| path_stat(root, &spec, &path)).await??;
    engine.event(&published.spec, "archive-path", &[]);
    Ok(stat)
}

fn path_stat(root: &InRoot, spec: &ContainerSpec, path: &str) -> Result<ContainerPathStat> {
    let stat =
        hull_archive::stat(root.as_fd(), Path::new(path)).map_err(|error| missing(error, spec, path))?;
    Ok(ContainerPathStat {
        name: stat.name,
        size: stat.size,
        mode: stat.mode,
        mtime: stat.mtime.to_string(),
        link_target: stat.link_target,
    })
}

fn missing(error: hull_archive::Error, spec: &ContainerSpec, path: &str) -> Error {
    match error.kind() {
        Kind::NotFound => Error::NoSuchPath { path: path.to_owned(), container: spec.id.clone() },
        _ => Error::service(error),
    }
}

pub(crate) async fn get(
    engine: &Arc<Engine>,
    handle: &Handle,
    path: &str,
) -> Result<(ContainerPathStat, Pieces)> {
    let published = handle.published();
    let (sender, receiver) = mpsc::channel(4);
    let (told, stat) = oneshot::channel();
    let (path, spec) = (path.to_owned(), Arc::clone(&published.spec));
    let (own_engine, own_published) = (Arc::clone(engine), Arc::clone(&published));
    let act = move |root: &InRoot| {
        let stat = path_stat(root, &spec, &path);
        let found = stat.is_ok();
        let _ = told.send(stat);
        if found {
            let pack = |writer: &mut dyn Write| {
                hull_archive::pack(root.as_fd(), Path::new(&path), &PackOptions::default(), writer)
            };
            stream(sender, pack);
        }
    };
    let mut work = tokio::spawn(async move { in_tree(&own_engine, &own_published, act).await });
    let stat = tokio::select! {
        biased;
        stat = stat => stat.ok(),
        // The tree could not be had at all.
        ended = &mut work => match ended {
            Ok(Err(error)) => return Err(error),
            _ => None,
        },
    };
    let stat = stat.unwrap_or_else(|| Err(Error::Gone(published.spec.id.clone())))?;
    engine.event(&published.spec, "archive-path", &[]);
    Ok((stat, receiver))
}

/// Runs what writes an archive, and tells its failure as the stream's last piece.
fn stream(
    sender: mpsc::Sender<io::Result<Bytes>>,
    act: impl FnOnce(&mut dyn Write) -> hull_archive::Result<()>,
) {
    let send =
        |piece: Vec<u8>| sender.blocking_send(Ok(piece.into())).map_err(|_| io::ErrorKind::BrokenPipe.into());
    let mut writer = PieceWriter::new(send);
    let result = act(&mut writer).map_err(io::Error::other).and_then(|()| writer.flush());
    if let Err(error) = result {
        let _ = sender.blocking_send(Err(error));
    }
}

pub(crate) async fn put(
    engine: &Arc<Engine>,
    handle: &Handle,
    path: &str,
    no_overwrite_dir_non_dir: bool,
    copy_uid_gid: bool,
    body: impl Read + Send + 'static,
) -> Result<()> {
    let published = handle.published();
    check_writable(&published.spec, path)?;
    let (path, spec) = (path.to_owned(), Arc::clone(&published.spec));
    in_tree(engine, &published, move |root| {
        // Without a user the archive's owners stay, as with Docker.
        let owner = match copy_uid_gid && !spec.config.user.is_empty() {
            true => {
                let user = user_in(root, &spec.config.user, &[])?;
                Some((user.uid, user.gid))
            }
            false => None,
        };
        let reader = Decompressor::detect(body)
            .map_err(|error| Error::invalid(format!("read the archive: {error}")))?;
        let options = UnpackOptions { no_overwrite_dir_non_dir, owner };
        let unpack = || hull_archive::unpack(root.as_fd(), Path::new(&path), reader, &options);
        // A volume's size holds for what is copied into it too.
        let unpacked = hull_sys::quota::within_limits(unpack).map_err(Error::io("give up a capability"))?;
        unpacked.map_err(|error| missing(error, &spec, &path))
    })
    .await??;
    engine.event(&published.spec, "extract-to-dir", &[]);
    Ok(())
}

/// Refuses what the container itself could not write either.
fn check_writable(spec: &ContainerSpec, path: &str) -> Result<()> {
    let path = clean(path);
    let below = |mount: &&MountSpec| Path::new(&path).starts_with(&mount.destination);
    let deepest = spec.mounts.iter().filter(below).max_by_key(|mount| mount.destination.len());
    match deepest {
        Some(mount) if mount.read_only => Err(Error::Forbidden("mounted volume is marked read-only".into())),
        Some(_) => Ok(()),
        None if spec.host_config.readonly_rootfs => {
            Err(Error::Forbidden("container rootfs is marked read-only".into()))
        }
        None => Ok(()),
    }
}

/// The image's files with the container's changes, without anything mounted in it.
pub(crate) async fn export(engine: &Arc<Engine>, handle: &Handle) -> Result<Pieces> {
    let published = handle.published();
    let (sender, receiver) = mpsc::channel(4);
    let rootfs = engine.snapshotter.rootfs(&published.spec.id).map_err(Error::service)?;
    let layers = engine.snapshotter.mounts(&rootfs);
    let root = hull_sys::mount_rootfs(&read_only(rootfs), &layers)
        .map_err(Error::io(format!("mount the files of {}", published.spec.id)))?;
    tokio::task::spawn_blocking(move || {
        stream(sender, |writer| hull_archive::export(root.as_fd(), writer));
    });
    engine.event(&published.spec, "export", &[]);
    Ok(receiver)
}

/// The same tree, only to be read: a running container's upper directory must not be written by a second mount.
fn read_only(rootfs: Rootfs) -> Rootfs {
    let upper = rootfs.upper.map(Lower::Directory);
    Rootfs { lowers: upper.into_iter().chain(rootfs.lowers).collect(), upper: None, work: None }
}

pub(crate) async fn changes(engine: &Arc<Engine>, handle: &Handle) -> Result<Vec<FilesystemChange>> {
    let (engine, id) = (Arc::clone(engine), handle.published().spec.id.clone());
    blocking(move || {
        let changes = engine.snapshotter.changes(&id).map_err(Error::service)?;
        Ok(changes
            .into_iter()
            .map(|change| FilesystemChange { path: change.path, kind: change.kind as u8 })
            .collect())
    })
    .await
}

/// Runs `act` with the container's tree, on a thread that may block and change its mounts.
async fn in_tree<T: Send + 'static>(
    engine: &Arc<Engine>,
    published: &Arc<Published>,
    act: impl FnOnce(&InRoot) -> T + Send + 'static,
) -> Result<T> {
    if let Some(task) = &published.task {
        let task = task.clone();
        return blocking(move || {
            let failed = Error::io(format!("open the files of container {}", task.id()));
            let root = InRoot::open_dir(format!("/proc/{}/root", task.pid())).map_err(failed)?;
            if task.exit().is_some() {
                // The number may be another process's by now.
                return Err(Error::conflict(format!("container {} stopped meanwhile", task.id())));
            }
            Ok(act(&root))
        })
        .await;
    }
    let (engine, spec) = (Arc::clone(engine), Arc::clone(&published.spec));
    let (sender, receiver) = oneshot::channel();
    let thread = std::thread::Builder::new().name("container-files".into());
    let spawned = thread.spawn(move || {
        let _ = sender.send(mounted(&engine, &spec).map(|root| act(&root)));
    });
    spawned.map_err(Error::io("start a thread"))?;
    receiver
        .await
        .map_err(|_| Error::io("use the files of a stopped container")(io::ErrorKind::Other.into()))?
}

/// Mounts a stopped container's tree in a mount namespace of the calling thread's own.
fn mounted(engine: &Engine, spec: &ContainerSpec) -> Result<InRoot> {
    let failed = |what: &str| Error::io(format!("{what} for the files of container {}", spec.id));
    hull_sys::namespace::unshare(hull_sys::namespace::MOUNT).map_err(failed("make a mount namespace"))?;
    mount::set_root_propagation(Propagation::Private, true).map_err(failed("make mounts private"))?;
    let place = engine.config().exec_root.join("containers");
    std::fs::create_dir_all(&place).map_err(failed("make a directory"))?;
    let rootfs = engine.snapshotter.rootfs(&spec.id).map_err(Error::service)?;
    let tree = hull_sys::mount_rootfs(&rootfs, &engine.snapshotter.mounts(&rootfs));
    let tree = tree.map_err(failed("mount the root"))?;
    let target = InRoot::open_dir(&place).map_err(failed("open the place"))?;
    mount::attach(&tree, target.as_fd()).map_err(failed("attach the root"))?;
    let root = InRoot::new(tree);
    for asked in &spec.mounts {
        let Some(source) = source_of(engine, asked)? else { continue };
        let copy = mount::clone_tree_at(&source, !asked.non_recursive).map_err(failed("copy a mount"))?;
        if asked.read_only {
            let change = Change { set: Attributes::MOUNT_ATTR_RDONLY, ..Change::default() };
            mount::change(&copy, change, true).map_err(failed("protect a mount"))?;
        }
        let mode = hull_sys::Mode::from_raw_mode(0o755);
        let place = match is_directory(&source) {
            true => root.mkdir_all(&asked.destination, mode),
            false => root.ensure_file(&asked.destination, hull_sys::Mode::from_raw_mode(0o644)),
        };
        let place = place.map_err(failed("find a mount's place"))?;
        mount::attach(&copy, &place).map_err(failed("attach a mount"))?;
    }
    Ok(root)
}

fn is_directory(source: &OwnedFd) -> bool {
    rustix::fs::fstat(source).is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir())
}

/// What is mounted from the host, if it is there.
fn source_of(engine: &Engine, mount: &MountSpec) -> Result<Option<OwnedFd>> {
    let path = match mount.kind {
        MountKind::Bind => PathBuf::from(&mount.source),
        MountKind::Volume => engine.volumes.mount_here(&mount.source).map_err(Error::service)?,
        MountKind::Tmpfs | MountKind::Image => return Ok(None),
    };
    if !mount.subpath.is_empty() {
        return below(&path, &mount.subpath).map(Some);
    }
    match rustix::fs::open(&path, hull_sys::OFlags::PATH | hull_sys::OFlags::CLOEXEC, hull_sys::Mode::empty())
    {
        Ok(source) => Ok(Some(source)),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(error) => Err(Error::io(format!("open the mount source {}", path.display()))(error.into())),
    }
}

/// How a prune removes a container: its volumes stay, those without a name too.
pub(crate) const PRUNED: RemoveOptions = RemoveOptions { force: false, volumes: false, link: false };
