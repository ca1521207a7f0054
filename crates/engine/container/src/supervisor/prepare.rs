//! What a start finds out before it makes anything: sources of mounts, users, devices, the system call filter.
//!
//! All of it blocks for microseconds, on a thread that may. Nothing here is to be undone, but for a shared `/dev/shm`
//! and the directories that `-v` asks to be made, which Docker leaves too.

use crate::bundle::{self, ResolvedMount, ShmSource, Source};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::machine::{self, Devices};
use crate::record::ContainerSpec;
use crate::spec::{self, MountKind, MountSpec, SeccompChoice, SecurityOptions};
use crate::user::{self, Accounts, User};
use hull_sys::LayerMounts;
use hull_sys::in_root::InRoot;
use hull_task::MountSource;
use hull_types::oci::runtime::Seccomp;
use hull_types::{Lower, Rootfs};
use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) struct Prepared {
    pub rootfs: Rootfs,
    /// Mounts of layers, of the root and of images, that other containers have too.
    pub layers: LayerMounts,
    pub user: User,
    pub mounts: Vec<ResolvedMount>,
    pub devices: Devices,
    pub block_devices: BTreeMap<String, (i64, i64)>,
    pub security: SecurityOptions,
    pub seccomp: Option<Arc<Seccomp>>,
    pub shm: ShmSource,
    /// What the shim mounts for another runtime.
    pub sources: Vec<MountSource>,
    /// Until the runtime has made its mounts.
    pub held: Held,
}

pub(super) fn prepare(engine: &Engine, spec: &ContainerSpec) -> Result<Prepared> {
    let rootfs = engine.snapshotter.rootfs(&spec.id).map_err(Error::service)?;
    let layers = engine.snapshotter.mounts(&rootfs);
    let user = first_user(engine, spec, &rootfs, &layers)?;
    make_working_directory(spec, &rootfs, &layers)?;
    let security = spec::parse_security_options(&spec.host_config)?;
    let foreign = spec::runtime_of(&spec.host_config.runtime, &engine.config())?.is_some();
    let places = foreign.then(|| engine.bundle(&spec.id).join("sources"));
    let mut held = Held { places, layers, ..Held::default() };
    let mounts = spec.mounts.iter().map(|mount| resolve_mount(engine, spec, mount, &user, &mut held));
    Ok(Prepared {
        mounts: mounts.collect::<Result<_>>()?,
        layers: std::mem::take(&mut held.layers),
        sources: std::mem::take(&mut held.sources),
        held,
        user,
        devices: machine::devices(&spec.host_config, &engine.config().cdi_spec_dirs)?,
        block_devices: machine::block_devices(&spec.host_config)?,
        seccomp: filter(engine, spec, &security)?,
        security,
        shm: shm(engine, spec)?,
        rootfs,
    })
}

/// The host name that the container's processes see.
pub(crate) fn hostname_of(engine: &Engine, spec: &ContainerSpec) -> String {
    if let Some(other) = spec.host_config.network_mode.strip_prefix("container:")
        && let Ok(other) = engine.published(other)
    {
        return other.spec.config.hostname.clone();
    }
    spec.config.hostname.clone()
}

/// Resolves a user in a running or mounted tree.
pub(crate) fn user_in(root: &InRoot, text: &str, groups: &[String]) -> Result<User> {
    user::resolve(&Accounts::read(root), text, groups)
}

pub(super) fn first_user(
    engine: &Engine,
    spec: &ContainerSpec,
    rootfs: &Rootfs,
    layers: &LayerMounts,
) -> Result<User> {
    let mount = |rootfs: &Rootfs| {
        hull_sys::mount_rootfs(rootfs, layers)
            .map(InRoot::new)
            .map_err(Error::io(format!("mount the files of {}", spec.id)))
    };
    // The container's own changes count once there are any below /etc, or where /etc itself may lead elsewhere.
    let changed = rootfs.upper.as_ref().is_none_or(|upper| upper.join("etc").symlink_metadata().is_ok());
    let accounts = match &spec.top {
        Some(top) if !changed => engine.cached_accounts(top, || {
            let view = engine.snapshotter.view(Some(top)).map_err(Error::service)?;
            Ok(Accounts::read(&mount(&view)?))
        })?,
        _ => Arc::new(Accounts::read(&mount(rootfs)?)),
    };
    user::resolve(&accounts, &spec.config.user, spec.host_config.group_add.as_deref().unwrap_or_default())
}

/// Makes the working directory where the image has none, as Docker does; below the kernel's own file systems there is
/// nothing to make.
fn make_working_directory(spec: &ContainerSpec, rootfs: &Rootfs, layers: &LayerMounts) -> Result<()> {
    let path = spec::clean(&spec.config.working_dir);
    let virtual_tree = ["/proc", "/sys", "/dev"].iter().any(|top| Path::new(&path).starts_with(top));
    if path == "/" || virtual_tree || rootfs.upper.is_none() {
        return Ok(());
    }
    let failed = |source| Error::invalid(format!("Cannot mkdir: {path}: {source}"));
    let root = hull_sys::mount_rootfs(rootfs, layers).map(InRoot::new).map_err(failed)?;
    root.mkdir_all(&path, hull_sys::Mode::from_raw_mode(0o755)).map_err(failed)?;
    Ok(())
}

fn resolve_mount(
    engine: &Engine,
    spec: &ContainerSpec,
    mount: &MountSpec,
    user: &User,
    held: &mut Held,
) -> Result<ResolvedMount> {
    let source = match mount.kind {
        MountKind::Bind => Source::Bind(bind_source(mount)?),
        MountKind::Tmpfs => Source::FileSystem {
            kind: "tmpfs".into(),
            device: "tmpfs".into(),
            options: bundle::tmpfs_options(&mount.tmpfs),
        },
        MountKind::Volume => volume_source(engine, spec, mount, held)?,
        MountKind::Image => image_source(engine, mount, held)?,
    };
    let id_maps = match (&mount.id_map, &source) {
        (Some(map), Source::Bind(path)) => {
            let failed = Error::io(format!("look at the bind source {}", path.display()));
            let owner = path.metadata().map_err(failed)?;
            map.mappings((owner.uid(), owner.gid()), (user.uid, user.gid))
        }
        _ => Default::default(),
    };
    Ok(ResolvedMount {
        destination: mount.destination.clone(),
        source,
        read_only: mount.read_only,
        recursive: !mount.non_recursive,
        read_only_below: mount.read_only && !mount.non_recursive && !mount.writable_below,
        propagation: mount.propagation.clone(),
        id_maps,
    })
}

/// What is bound by descriptor: nobody can put something else in its place before the runtime has it.
#[derive(Debug, Default)]
pub(crate) struct Held {
    descriptors: Vec<OwnedFd>,
    /// Another runtime can't take a descriptor of another mount namespace's: where the shim mounts them for it.
    places: Option<PathBuf>,
    sources: Vec<MountSource>,
    /// Mounts of layers, of the root and of images, that other containers have too.
    layers: LayerMounts,
}

impl Held {
    /// A path to what the descriptor stands for, good while this is kept.
    fn keep(&mut self, descriptor: OwnedFd) -> PathBuf {
        let from = PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), descriptor.as_raw_fd()));
        self.descriptors.push(descriptor);
        let Some(places) = &self.places else { return from };
        let at = places.join(self.sources.len().to_string());
        self.sources.push(MountSource { from, at: at.clone() });
        at
    }
}

/// The path on the host of a bind mount; made or missed as it was asked for.
pub(crate) fn bind_source(mount: &MountSpec) -> Result<PathBuf> {
    let path = PathBuf::from(&mount.source);
    match path.symlink_metadata() {
        Ok(_) => Ok(path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && mount.create_source => {
            let failed = |source: std::io::Error| {
                Error::invalid(format!(
                    "error while creating mount source path '{}': mkdir {}: {source}",
                    mount.source, mount.source
                ))
            };
            std::fs::create_dir_all(&path).map_err(failed)?;
            Ok(path)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Error::invalid(format!(
            "invalid mount config for type \"bind\": bind source path does not exist: {}",
            mount.source
        ))),
        Err(error) => Err(Error::io(format!("look at the bind source {}", mount.source))(error)),
    }
}

fn volume_source(
    engine: &Engine,
    spec: &ContainerSpec,
    mount: &MountSpec,
    held: &mut Held,
) -> Result<Source> {
    engine.volumes.acquire(&mount.source, &spec.id).map_err(Error::service)?;
    let files = engine.volumes.mount(&mount.source, &spec.id).map_err(Error::service)?;
    match mount.subpath.as_str() {
        "" => Ok(Source::Bind(files)),
        subpath => Ok(Source::Bind(held.keep(below(&files, subpath)?))),
    }
}

/// Takes away the file systems of volumes that were mounted for the container.
pub(super) fn unmount_volumes(engine: &Engine, spec: &ContainerSpec) {
    for mount in spec.mounts.iter().filter(|mount| mount.kind == MountKind::Volume) {
        engine.volumes.unmount(&mount.source, &spec.id);
    }
}

/// A path inside a directory: links are followed inside the directory only.
pub(crate) fn below(directory: &Path, path: &str) -> Result<OwnedFd> {
    let failed = |source| Error::invalid(format!("subpath {path:?} of {}: {source}", directory.display()));
    InRoot::open_dir(directory).and_then(|root| root.open_path(path)).map_err(failed)
}

fn image_source(engine: &Engine, mount: &MountSpec, held: &mut Held) -> Result<Source> {
    let image = engine.images.resolve(&mount.source, None).map_err(Error::service)?;
    let view = engine.snapshotter.view(image.top.as_ref()).map_err(Error::service)?;
    let directories: Option<Vec<&Path>> = view.lowers.iter().map(directory_of).collect();
    match (directories.as_deref(), mount.subpath.as_str()) {
        (Some([only]), "") => return Ok(Source::Bind((*only).to_owned())),
        (Some([only]), subpath) => return Ok(Source::Bind(held.keep(below(only, subpath)?))),
        (Some(several), "") => {
            let options = if held.places.is_some() {
                let escaped = |path: &&Path| path.to_string_lossy().replace('\\', "\\\\").replace(':', "\\:");
                vec![format!("lowerdir={}", several.iter().map(escaped).collect::<Vec<_>>().join(":"))]
            } else {
                // One each: a list of all is cut at 255 characters.
                several.iter().map(|path| format!("lowerdir+={}", path.display())).collect()
            };
            return Ok(Source::FileSystem { kind: "overlay".into(), device: "overlay".into(), options });
        }
        _ => {}
    }
    // Mounted here, in no namespace, and handed on by descriptor.
    let refused = |why: &str| Error::NotImplemented(format!("image mount {}: {why}", mount.destination));
    if mount.subpath.is_empty() && held.places.is_none() {
        held.layers.extend(engine.snapshotter.mounts(&view));
        let device = serde_json::to_string(&view).map_err(|error| refused(&error.to_string()))?;
        return Ok(Source::FileSystem { kind: Rootfs::MOUNT_TYPE.into(), device, options: Vec::new() });
    }
    if !engine.machine.binds_detached {
        return Err(refused("a part of it, or another runtime than Hull's, needs Linux 6.15 or newer"));
    }
    let failed = |source| Error::invalid(format!("image mount {}: {source}", mount.destination));
    let root = hull_sys::mount_rootfs(&view, &engine.snapshotter.mounts(&view)).map_err(failed)?;
    if mount.subpath.is_empty() {
        return Ok(Source::Bind(held.keep(root)));
    }
    let part =
        InRoot::new(root.try_clone().map_err(failed)?).open_path(&mount.subpath).map_err(|source| {
            Error::invalid(format!("subpath {:?} of image {}: {source}", mount.subpath, mount.source))
        })?;
    held.descriptors.push(root);
    Ok(Source::Bind(held.keep(part)))
}

fn directory_of(lower: &Lower) -> Option<&Path> {
    match lower {
        Lower::Directory(path) => Some(path),
        _ => None,
    }
}

pub(super) fn filter(
    engine: &Engine,
    spec: &ContainerSpec,
    security: &SecurityOptions,
) -> Result<Option<Arc<Seccomp>>> {
    let host = &spec.host_config;
    let profile = match &security.seccomp {
        SeccompChoice::Unconfined => return Ok(None),
        // A privileged container has the filter that it asks for by name only.
        SeccompChoice::Default if host.privileged => return Ok(None),
        SeccompChoice::Profile(text) => Some(text.clone()),
        SeccompChoice::BuiltIn => None,
        SeccompChoice::Default => match &engine.config().seccomp_profile {
            None => None,
            Some(path) if path.as_os_str() == "unconfined" => return Ok(None),
            Some(path) if path.as_os_str() == "builtin" => None,
            Some(path) => {
                let action = format!("read the daemon's seccomp profile {}", path.display());
                Some(std::fs::read_to_string(path).map_err(Error::io(action))?)
            }
        },
    };
    let sets = bundle::capability_sets(host, host.privileged, 0, &engine.machine.grantable);
    engine.seccomp(profile, &sets.bounding).map(Some)
}

fn shm(engine: &Engine, spec: &ContainerSpec) -> Result<ShmSource> {
    let mode = spec.host_config.ipc_mode.as_str();
    match mode {
        "none" => Ok(ShmSource::None),
        "host" => Ok(ShmSource::Shared("/dev/shm".into())),
        "shareable" => Ok(ShmSource::Shared(mount_shm(engine, spec)?)),
        _ => match mode.strip_prefix("container:") {
            None => Ok(ShmSource::Own),
            Some(name) => {
                let donor = engine.published(name)?;
                if donor.spec.host_config.ipc_mode == "host" {
                    return Ok(ShmSource::Shared("/dev/shm".into()));
                }
                if donor.spec.host_config.ipc_mode != "shareable" {
                    return Err(Error::invalid(format!(
                        "cannot join IPC namespace of container {}: non-shareable IPC (hint: use IpcMode:shareable for \
                         the donor container)",
                        donor.spec.id
                    )));
                }
                Ok(ShmSource::Shared(engine.bundle(&donor.spec.id).join("shm")))
            }
        },
    }
}

/// A `/dev/shm` that other containers may mount too has to be mounted on the host.
fn mount_shm(engine: &Engine, spec: &ContainerSpec) -> Result<PathBuf> {
    use hull_sys::mount::{Attributes, FileSystem, attach};
    let path = engine.bundle(&spec.id).join("shm");
    let failed = || Error::io(format!("mount {}", path.display()));
    std::fs::create_dir_all(&path).map_err(failed())?;
    unmount_shm(engine, &spec.id);
    let tmpfs = FileSystem::open("tmpfs").map_err(failed())?;
    tmpfs.set("source", "shm").map_err(failed())?;
    tmpfs.set("mode", "1777").map_err(failed())?;
    tmpfs.set("size", spec.host_config.shm_size.to_string().as_str()).map_err(failed())?;
    let flags = Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NODEV | Attributes::MOUNT_ATTR_NOEXEC;
    let mount = tmpfs.mount(flags).map_err(failed())?;
    let target = InRoot::open_dir(&path).map_err(failed())?;
    attach(&mount, target.as_fd()).map_err(failed())?;
    Ok(path)
}

/// Takes a shared `/dev/shm` away again; there being none is fine.
pub(super) fn unmount_shm(engine: &Engine, id: &str) {
    let path = engine.bundle(id).join("shm");
    let _ = rustix::mount::unmount(&path, rustix::mount::UnmountFlags::DETACH);
}
