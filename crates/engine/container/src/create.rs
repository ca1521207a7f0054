//! Creating: image → snapshot, volumes → mounts, name and record. Blocks; nothing stays of a creation that fails.

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::machine::{new_id, random};
use crate::record::{ContainerSpec, State};
use crate::spec::{self, MountKind, MountSpec, Plan};
use crate::supervisor::{Supervisor, attach_request, bind_source, links};
use hull_api_types::{
    ContainerCreateRequest, ContainerCreateResponse, EndpointSettings, Map, VolumeCreateOptions,
};
use hull_errors::{HasKind, Kind};
use hull_image::Image;
use hull_store::Durability;
use hull_types::{Platform, Timestamp, short_id};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

pub(crate) fn create(
    engine: &Arc<Engine>,
    name: Option<&str>,
    platform: Option<Platform>,
    request: ContainerCreateRequest,
) -> Result<ContainerCreateResponse> {
    let name = name.filter(|name| !name.is_empty()).map(|name| spec::check_name(name)).transpose()?;
    let wanted = request.config.image.clone();
    let image = engine.images.resolve(&wanted, platform.as_ref()).map_err(Error::service)?;
    let inherited = inherited(engine, request.host_config.volumes_from.as_deref().unwrap_or_default())?;
    let host = &engine.machine.host;
    let mut plan = spec::plan(request, &image.config.config, inherited, &engine.config(), host)?;
    for mount in plan.mounts.iter().filter(|mount| mount.kind == MountKind::Bind && !mount.create_source) {
        bind_source(mount)?;
    }
    plan.networks = network_names(engine, &plan)?;
    links::resolve(engine, &mut plan.host_config)?;
    let id = new_id()?;
    let name = take_name(engine, name, &id)?;
    let mut undo = Undo { engine, id: &id, name: &name, snapshot: false, volumes: Vec::new(), kept: false };
    let warnings = std::mem::take(&mut plan.warnings);
    let spec = build(engine, &id, &name, wanted, &image, plan);
    let spec = make(engine, spec, &mut undo)?;
    undo.kept = true;
    drop(undo);
    engine.event(&spec, "create", &[]);
    launch(engine, spec, State::default());
    Ok(ContainerCreateResponse { id, warnings })
}

/// Makes a container's supervisor and lets it run.
pub(crate) fn launch(engine: &Arc<Engine>, spec: ContainerSpec, state: State) {
    let id = spec.id.clone();
    let (supervisor, handle) = Supervisor::new(Arc::clone(engine), spec, state);
    engine.index_mut().handles.insert(id, handle);
    tokio::spawn(supervisor.run());
}

/// The mounts of `--volumes-from name[:mode]`.
fn inherited(engine: &Engine, list: &[String]) -> Result<Vec<MountSpec>> {
    let mut mounts = Vec::new();
    for text in list {
        let (name, read_only) = spec::parse_volumes_from(text)?;
        // At a 404 here clients would look for the image.
        let other = engine.published(name).map_err(|error| Error::invalid(error.to_string()))?;
        mounts.extend(spec::lent(&other.spec.mounts, read_only));
    }
    Ok(mounts)
}

/// The endpoints under the networks' own names, whatever the request called them.
fn network_names(engine: &Engine, plan: &Plan) -> Result<Map<EndpointSettings>> {
    let mut named = Map::new();
    for (key, settings) in &plan.networks {
        let name = match key.as_str() {
            "" | "default" | "bridge" => "bridge".to_owned(),
            key => match engine.networks.inspect(key).map_err(Error::service) {
                Ok(found) => found.name,
                // The start tells of it: at a 404 here clients would look for the image.
                Err(error) if error.kind() == Kind::NotFound => key.to_owned(),
                Err(error) => return Err(error),
            },
        };
        named.insert(name, settings.clone());
    }
    Ok(named)
}

fn take_name(engine: &Engine, name: Option<&str>, id: &str) -> Result<String> {
    if let Some(name) = name {
        engine.reserve_name(name, id)?;
        return Ok(name.to_owned());
    }
    for attempt in 0..64 {
        let name = spec::random_name(u64::from_le_bytes(random()?), attempt);
        if engine.reserve_name(&name, id).is_ok() {
            return Ok(name);
        }
    }
    // So many containers have taken all likely names: the id is one that is free.
    let name = short_id(id).to_owned();
    engine.reserve_name(&name, id)?;
    Ok(name)
}

fn build(engine: &Engine, id: &str, name: &str, wanted: String, image: &Image, plan: Plan) -> ContainerSpec {
    let Plan { mut config, host_config, networks, mounts, .. } = plan;
    if config.hostname.is_empty() && !host_config.network_mode.starts_with("container:") {
        config.hostname = if host_config.network_mode == "host" || host_config.uts_mode == "host" {
            engine.machine.host.hostname.clone()
        } else {
            short_id(id).to_owned()
        };
    }
    ContainerSpec {
        id: id.to_owned(),
        name: name.to_owned(),
        created: Timestamp::now(),
        image_name: wanted,
        image: image.id.clone(),
        top: image.top.clone(),
        config,
        host_config,
        networks,
        mounts,
    }
}

/// What was made so far, unmade when dropped before `kept`.
struct Undo<'a> {
    engine: &'a Engine,
    id: &'a str,
    name: &'a str,
    snapshot: bool,
    volumes: Vec<(String, bool)>,
    kept: bool,
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        for (volume, made) in self.volumes.drain(..).rev() {
            self.engine.volumes.release(&volume, self.id);
            if made && let Err(error) = self.engine.volumes.remove(&volume, true) {
                tracing::warn!(%volume, %error, "cannot remove the volume of a container that was not created");
            }
        }
        if self.snapshot
            && let Err(error) = self.engine.snapshotter.remove(self.id)
        {
            tracing::warn!(container = self.id, %error, "cannot remove the snapshot of a container that was not created");
        }
        self.engine.images.uses().clear(self.id);
        if let Err(error) = self.engine.images.release() {
            tracing::warn!(%error, "an image that was removed before is left");
        }
        self.engine.release_name(self.name, self.id);
    }
}

fn make(engine: &Engine, mut spec: ContainerSpec, undo: &mut Undo<'_>) -> Result<ContainerSpec> {
    // As in `network_names`.
    match engine.networks.validate(&attach_request(&spec)).map_err(Error::service) {
        Err(error) if error.kind() == Kind::NotFound => {}
        result => result?,
    }
    // Said before the snapshot is prepared: the image must not go in between.
    engine.images.uses().set(&spec.id, &spec.image, false);
    engine.snapshotter.prepare(&spec.id, spec.top.as_ref()).map_err(Error::service)?;
    undo.snapshot = true;
    make_volumes(engine, &mut spec, undo)?;
    engine
        .store
        .transaction(Durability::Process, |tx| {
            tx.put(&engine.specs, &spec.id, &spec)?;
            tx.put(&engine.states, &spec.id, &State::default())
        })
        .map_err(Error::service)?;
    Ok(spec)
}

fn make_volumes(engine: &Engine, spec: &mut ContainerSpec, undo: &mut Undo<'_>) -> Result<()> {
    let mut view = None;
    for mount in spec.mounts.iter_mut().filter(|mount| mount.kind == MountKind::Volume) {
        let source = mount.volume.take().unwrap_or_default();
        // Only a volume that has no name yet is surely new.
        let new = mount.source.is_empty();
        let options = VolumeCreateOptions {
            name: mount.source.clone(),
            driver: source.driver,
            driver_opts: source.options,
            labels: source.labels,
        };
        let volume = engine.volumes.create_for(options, &spec.id).map_err(Error::service)?;
        undo.volumes.push((volume.name.clone(), new));
        mount.source = volume.name;
        if mount.no_copy || !mount.subpath.is_empty() {
            continue;
        }
        if view.is_none() {
            let rootfs = engine.snapshotter.view(spec.top.as_ref()).map_err(Error::service)?;
            let mounted = hull_sys::mount_rootfs(&rootfs, &engine.snapshotter.mounts(&rootfs));
            view = Some(mounted.map_err(Error::io(format!("mount the layers of {}", spec.image)))?);
        }
        if let Some(view) = &view {
            let path = Path::new(&mount.destination);
            engine.volumes.copy_up(&mount.source, view.as_fd(), path).map_err(Error::service)?;
        }
    }
    Ok(())
}
