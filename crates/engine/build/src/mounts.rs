//! `RUN --mount`: what is mounted into a step, from where, and what is left of it: nothing.
//!
//! A source is opened by descriptor in its own tree before the step begins, and what is open there is mounted at a
//! place of the builder's own, which the runtime then binds: whoever swaps a path in a cache or a tree afterwards swaps
//! nothing (CVE-2024-23651). Places that have to be made for mounts
//! are made by the runtime inside the step's tree, and taken out of its layer again.

use crate::build::{Build, blocking, new_id};
use crate::caches::{self, Lent};
use crate::error::{Error, Result};
use crate::files::{self, Files};
use crate::stage::State;
use bytes::Bytes;
use hull_container::bundle::{ResolvedMount, Source};
use hull_dockerfile::{Mount, MountKind, Run, Sharing};
use hull_sys::in_root::InRoot;
use hull_types::ChainId;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::OwnedMutexGuard;

/// The mounts of a step, their sources known.
pub(crate) struct Mounts {
    list: Vec<Resolved>,
    definitions: Vec<String>,
    script: Option<PathBuf>,
}

struct Resolved {
    mount: Mount,
    target: String,
    what: What,
}

enum What {
    /// Layers, and a path in them.
    Layers(Option<ChainId>, String),
    /// A cache: its name, and the layers that it begins with.
    Cache(String, Option<ChainId>),
    Tmpfs,
    Secret(Arc<[u8]>),
    Socket(PathBuf),
}

/// Mounts that are in place; all is undone when this is dropped.
#[derive(Default)]
pub(crate) struct Placed {
    pub(crate) mounts: Vec<ResolvedMount>,
    pub(crate) environment: Vec<String>,
    /// What must not be seen in the output.
    pub(crate) secrets: Vec<Arc<[u8]>>,
    traces: BTreeSet<Vec<u8>>,
    mounted: Vec<PathBuf>,
    scratch: Option<PathBuf>,
    snapshots: Vec<(Arc<crate::builder::Inner>, String)>,
    // Held until the step is over.
    caches: Vec<Lent>,
    alone: Vec<OwnedMutexGuard<()>>,
}

impl Mounts {
    pub(crate) async fn resolve(
        build: &Arc<Build>,
        index: usize,
        state: &State,
        run: &Run,
        expand: &(dyn Fn(&str) -> Result<String> + Sync),
        step: usize,
    ) -> Result<Self> {
        let mut mounts = Self { list: Vec::new(), definitions: Vec::new(), script: None };
        for text in &run.mounts {
            let mut mount = Mount::parse(&expand(text)?).map_err(Error::Invalid)?;
            if mount.kind == MountKind::Cache && mount.id == mount.target {
                mount.id = absolute(state, &mount.target);
            }
            let target = absolute(state, &mount.target);
            let Some((what, input)) = source_of(build, index, &mount, step).await? else { continue };
            mounts.definitions.push(format!("{mount:?} {target} {input}"));
            mounts.list.push(Resolved { mount, target, what });
        }
        Ok(mounts)
    }

    /// What of them a step's result depends on: never what is in a secret or a cache.
    pub(crate) fn definitions(&self) -> &[String] {
        &self.definitions
    }

    /// A here-document that begins with `#!`, as a program.
    pub(crate) fn add_script(&mut self, build: &Build, name: &str, content: &[u8]) -> Result<()> {
        // Not below the exec root: programs may not be run from there.
        let directory = build.builder.root.join("tmp").join(new_id()?);
        make_private(&directory)?;
        let path = directory.join(name.replace('/', "_"));
        write_file(&path, content, 0o755, 0, 0)?;
        self.script = Some(path);
        Ok(())
    }

    /// Puts them in place. `further` are places where the step gets other mounts: they leave no traces either.
    pub(crate) async fn place(
        self,
        build: &Arc<Build>,
        id: &str,
        state: &State,
        further: Vec<String>,
    ) -> Result<Placed> {
        let mut placed = Placed::default();
        // Each once and in one order, whatever the Dockerfiles say: no two steps wait for each other.
        let locked: BTreeSet<&String> = self.list.iter().filter_map(Resolved::locked).collect();
        for name in locked {
            placed.alone.push(build.builder.caches.alone(name).await);
        }
        let (own, id, top) = (Arc::clone(build), id.to_owned(), state.top.clone());
        blocking(move || {
            let tree = own.tree(top.as_ref())?;
            if let Some(script) = &self.script {
                placed.scratch_of(script);
                let target =
                    format!("/dev/pipes/{}", script.file_name().unwrap_or_default().to_string_lossy());
                placed.bind(&target, script.clone(), true);
            }
            for (number, resolved) in self.list.iter().enumerate() {
                let target = match resolved.mount.kind {
                    MountKind::Secret => secret_target(resolved),
                    MountKind::Ssh => ssh_target(number, resolved),
                    _ => resolved.target.clone(),
                };
                placed.note_traces(tree.as_ref(), &target)?;
                place_one(&own, &id, number, resolved, &mut placed)?;
            }
            further.iter().try_for_each(|target| placed.note_traces(tree.as_ref(), target))?;
            Ok(placed)
        })
        .await
    }
}

fn absolute(state: &State, target: &str) -> String {
    let now = &state.config.config.working_dir;
    let path = if target.starts_with('/') { target.to_owned() } else { format!("{now}/{target}") };
    format!("/{}", String::from_utf8_lossy(&files::clean(path.as_bytes())))
}

/// Where a mount comes from, and what of that counts for the key. `None`: it is not there, and need not be.
async fn source_of(
    build: &Arc<Build>,
    index: usize,
    mount: &Mount,
    step: usize,
) -> Result<Option<(What, String)>> {
    Ok(Some(match mount.kind {
        MountKind::Bind => {
            let layers = build.layers_of(index, &mount.from, step).await?;
            let input = layers.as_ref().map_or(String::new(), |chain| chain.0.to_string());
            (What::Layers(layers, mount.source.clone()), input)
        }
        MountKind::Cache => {
            let from = match mount.from.as_str() {
                "" => None,
                from => build.layers_of(index, from, step).await?,
            };
            let space = build.request.args.get("BUILDKIT_CACHE_MOUNT_NS").map_or("", String::as_str);
            let name = caches::name(mount, space, from.as_ref());
            (What::Cache(name, from), String::new())
        }
        MountKind::Tmpfs => (What::Tmpfs, String::new()),
        MountKind::Secret => match build.request.secrets.get(&mount.id) {
            Some(secret) => (What::Secret(Arc::clone(secret)), String::new()),
            None if mount.required => {
                return Err(Error::NotFound(format!("secret {}: not found", mount.id)));
            }
            None => return Ok(None),
        },
        MountKind::Ssh => match build.request.ssh.get(&mount.id) {
            Some(socket) => (What::Socket(socket.clone()), String::new()),
            None if mount.required => {
                return Err(Error::NotFound(format!("unset ssh forward key {}", mount.id)));
            }
            None => return Ok(None),
        },
    }))
}

fn place_one(build: &Build, id: &str, number: usize, resolved: &Resolved, placed: &mut Placed) -> Result<()> {
    let mount = &resolved.mount;
    match &resolved.what {
        What::Tmpfs => {
            let mut options = vec!["mode=1777".to_owned()];
            options.extend(mount.size.map(|size| format!("size={size}")));
            let source = Source::FileSystem { kind: "tmpfs".into(), device: "tmpfs".into(), options };
            placed.add(&resolved.target, source, false);
            Ok(())
        }
        What::Cache(name, from) => {
            let begin = |directory: &Path| match from {
                Some(from) => copied(build, from, &mount.source, directory),
                None => Ok(()),
            };
            let lent = build.builder.caches.lend(mount, name, begin)?;
            // What it begins with is all of it; else `source` is a part of the cache.
            let part = if from.is_some() { "" } else { &mount.source };
            let source = pinned(build, (id, number), &lent.path, part, placed)?;
            placed.caches.push(lent);
            placed.bind(&resolved.target, source, mount.read_only.unwrap_or(false));
            Ok(())
        }
        What::Layers(top, path) => {
            let writable = mount.read_only == Some(false);
            let mounted = mount_layers(build, id, number, top.as_ref(), writable, placed)?;
            let source = pinned(build, (id, number), &mounted, path, placed)?;
            placed.bind(&resolved.target, source, !writable);
            Ok(())
        }
        What::Secret(secret) => {
            placed.secrets.push(Arc::clone(secret));
            if let Some(name) = &mount.env {
                placed.environment.push(format!("{name}={}", String::from_utf8_lossy(secret)));
                if mount.target.is_empty() {
                    return Ok(());
                }
            }
            // Below the exec root, which is memory: a secret is never on a disk.
            let directory = placed.scratch(build)?;
            let path = directory.join(format!("secret-{number}"));
            let (mode, uid, gid) =
                (mount.mode.unwrap_or(0o400), mount.uid.unwrap_or(0), mount.gid.unwrap_or(0));
            write_file(&path, secret, mode, uid, gid)?;
            let target = secret_target(resolved);
            placed.bind(&target, path, true);
            Ok(())
        }
        What::Socket(socket) => {
            let target = ssh_target(number, resolved);
            placed.environment.push(format!("SSH_AUTH_SOCK={target}"));
            placed.bind(&target, socket.clone(), true);
            Ok(())
        }
    }
}

fn ssh_target(number: usize, resolved: &Resolved) -> String {
    match resolved.mount.target.is_empty() {
        true => format!("/run/buildkit/ssh_agent.{number}"),
        false => resolved.target.clone(),
    }
}

impl Resolved {
    /// The cache that no other step may have meanwhile.
    fn locked(&self) -> Option<&String> {
        match &self.what {
            What::Cache(name, _) if self.mount.sharing == Sharing::Locked => Some(name),
            _ => None,
        }
    }
}

/// Copies a directory of layers into another.
fn copied(build: &Build, from: &ChainId, path: &str, to: &Path) -> Result<()> {
    let failed = || Error::io(format!("open {}", to.display()));
    let tree = build.mounted(from)?;
    let to = InRoot::open_dir(to).map_err(failed())?;
    let path = Path::new(if path.is_empty() { "/" } else { path });
    hull_archive::copy_tree(tree.root().as_fd(), path, to.as_fd())?;
    Ok(())
}

fn secret_target(resolved: &Resolved) -> String {
    match resolved.mount.target.is_empty() {
        true => format!("/run/secrets/{}", resolved.mount.id.replace('/', "_")),
        false => resolved.target.clone(),
    }
}

/// Mounts layers where the runtime can find them for the step's time.
fn mount_layers(
    build: &Build,
    id: &str,
    number: usize,
    top: Option<&ChainId>,
    writable: bool,
    placed: &mut Placed,
) -> Result<PathBuf> {
    let builder = &build.builder;
    let mut rootfs = match writable {
        false => builder.snapshotter.view(top)?,
        true => {
            // What is written there goes with the step.
            let key = new_id()?;
            builder.snapshotter.prepare(&key, top)?;
            placed.snapshots.push((Arc::clone(builder), key.clone()));
            builder.snapshotter.rootfs(&key)?
        }
    };
    crate::build::without_skeleton(&mut rootfs);
    let place = builder.root.join("mounts").join(format!("{id}-{number}"));
    make_private(&place)?;
    if rootfs.lowers.is_empty() {
        placed.mounted.push(place.clone());
        return Ok(place);
    }
    let failed = || Error::io(format!("mount at {}", place.display()));
    let mounted = hull_sys::mount_rootfs(&rootfs, &builder.snapshotter.mounts(&rootfs)).map_err(failed())?;
    let target = InRoot::open_dir(&place).map_err(failed())?;
    hull_sys::mount::attach(&mounted, target.as_fd()).map_err(failed())?;
    placed.mounted.push(place.clone());
    Ok(place)
}

/// A path in a tree, with links kept inside of it, mounted at a place that nobody else writes to.
fn pinned(
    build: &Build,
    (id, number): (&str, usize),
    directory: &Path,
    path: &str,
    placed: &mut Placed,
) -> Result<PathBuf> {
    let inside = String::from_utf8_lossy(&files::clean(path.as_bytes())).into_owned();
    if inside.is_empty() {
        return Ok(directory.to_path_buf());
    }
    let root = InRoot::open_dir(directory).map_err(Error::io(format!("open {}", directory.display())))?;
    let source = root.open_path(&inside).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::NotFound(format!("\"/{inside}\": not found")),
        _ => Error::io(format!("open /{inside} of a mount"))(error),
    })?;
    let place = build.builder.root.join("mounts").join(format!("{id}-{number}-source"));
    let failed = || Error::io(format!("mount /{inside} at {}", place.display()));
    let stat = rustix::fs::fstat(&source).map_err(|error| failed()(error.into()))?;
    match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
        rustix::fs::FileType::Directory => make_private(&place)?,
        _ => write_file(&place, b"", 0o600, 0, 0)?,
    }
    placed.mounted.push(place.clone());
    let copy = hull_sys::mount::clone_tree_at(&source, false).map_err(failed())?;
    let target = InRoot::open_dir(place.parent().unwrap_or(Path::new("/"))).map_err(failed())?;
    let target = target.open_path(place.file_name().unwrap_or_default()).map_err(failed())?;
    hull_sys::mount::attach(&copy, &target).map_err(failed())?;
    Ok(place)
}

pub(crate) fn make_private(directory: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = std::fs::DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(directory);
    made.map_err(Error::io(format!("make {}", directory.display())))
}

fn write_file(path: &Path, content: &[u8], mode: u32, uid: u32, gid: u32) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let failed = || Error::io(format!("write {}", path.display()));
    let mut file =
        std::fs::File::options().write(true).create_new(true).mode(0o600).open(path).map_err(failed())?;
    file.write_all(content).map_err(failed())?;
    std::os::unix::fs::fchown(&file, Some(uid), Some(gid)).map_err(failed())?;
    file.set_permissions(std::fs::Permissions::from_mode(mode)).map_err(failed())
}

impl Placed {
    /// What mounts leave in the step's tree.
    pub(crate) fn traces(&self) -> BTreeSet<Vec<u8>> {
        self.traces.clone()
    }

    fn add(&mut self, target: &str, source: Source, read_only: bool) {
        self.mounts.push(ResolvedMount {
            destination: target.to_owned(),
            source,
            read_only,
            recursive: true,
            read_only_below: false,
            propagation: String::new(),
            id_maps: Default::default(),
        });
    }

    fn bind(&mut self, target: &str, path: PathBuf, read_only: bool) {
        self.add(target, Source::Bind(path), read_only);
    }

    fn scratch(&mut self, build: &Build) -> Result<PathBuf> {
        if let Some(path) = &self.scratch {
            return Ok(path.clone());
        }
        let path = build.builder.exec_root.join("build").join(new_id()?);
        make_private(&path)?;
        self.scratch = Some(path.clone());
        Ok(path)
    }

    fn scratch_of(&mut self, script: &Path) {
        self.scratch = script.parent().map(Path::to_path_buf);
    }

    /// The parts of the way to a target that are not there yet.
    fn note_traces(&mut self, tree: &dyn Files, target: &str) -> Result<()> {
        let mut path = files::Name::new();
        for part in files::parts(target.as_bytes()) {
            path = files::join(&path, part);
            let real = files::resolve(tree, &path, true).map_err(Error::io("look at a mount's target"))?;
            let real = real.unwrap_or_default();
            if tree.facts(&real).map_err(Error::io("look at a mount's target"))?.is_none() {
                self.traces.insert(real);
            }
        }
        Ok(())
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        // The last first: a source lies in what was mounted before it.
        for place in self.mounted.iter().rev() {
            let _ = rustix::mount::unmount(place, rustix::mount::UnmountFlags::DETACH);
            let _ = std::fs::remove_dir(place).or_else(|_| std::fs::remove_file(place));
        }
        if let Some(scratch) = &self.scratch {
            let _ = std::fs::remove_dir_all(scratch);
        }
        for (builder, key) in &self.snapshots {
            if let Err(error) = builder.snapshotter.remove(key) {
                tracing::warn!(%error, "cannot remove what a step of a build wrote into a mount");
            }
        }
    }
}

/// The output with secrets covered, where a piece has them whole.
pub(crate) fn masked(bytes: Bytes, secrets: &[Arc<[u8]>]) -> Bytes {
    let mut result: Option<Vec<u8>> = None;
    for secret in secrets {
        let secret = secret.trim_ascii();
        // Short texts are everywhere, and covering them would tell what they are.
        if secret.len() < 6 {
            continue;
        }
        let text = result.as_deref().unwrap_or(&bytes);
        let mut covered = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.windows(secret.len()).position(|window| window == secret) {
            covered.extend_from_slice(&rest[..at]);
            covered.extend_from_slice(b"xxxxx");
            rest = &rest[at + secret.len()..];
        }
        if !covered.is_empty() || rest.len() != text.len() {
            covered.extend_from_slice(rest);
            result = Some(covered);
        }
    }
    result.map_or(bytes, Bytes::from)
}
