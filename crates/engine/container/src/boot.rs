//! Coming up: rows become supervisors, live shims are adopted, and what no row owns is swept.

use crate::create::launch;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::record::{ContainerSpec, State};
use crate::spec::MountKind;
use crate::supervisor::{Handle, Request};
use futures::future::join_all;
use hull_task::Task;
use hull_task::client::remove_leftovers;
use hull_types::is_full_id;
use std::path::Path;
use std::sync::Arc;

pub(crate) async fn boot(engine: &Arc<Engine>) -> Result<()> {
    for spec in load(engine)? {
        let state = match engine.states.get(&spec.id) {
            Ok(state) => state.unwrap_or_default(),
            Err(error) => {
                // What it is to be is known: what it is, adoption finds out.
                tracing::error!(container = %spec.id, %error, "the container's state is damaged");
                State { error: error.to_string(), ..State::default() }
            }
        };
        claim(engine, &spec);
        engine.index_mut().names.insert(spec.name.clone(), spec.id.clone());
        launch(engine, spec, state);
    }
    let handles: Vec<Handle> = engine.index().handles.values().cloned().collect();
    // All at once: a shim that does not answer holds up nobody else's adoption.
    join_all(handles.iter().map(|handle| handle.ask(Request::Adopt))).await;
    let networks = engine.networks.clone();
    crate::engine::blocking(move || networks.reconcile().map_err(Error::service)).await?;
    if let Err(error) = engine.volumes.sweep() {
        tracing::warn!(%error, "cannot unmount what volumes have mounted");
    }
    end_unowned(engine).await;
    sweep(engine);
    let images = engine.images.clone();
    if let Err(error) = crate::engine::blocking(move || images.release().map_err(Error::service)).await {
        tracing::warn!(%error, "images that were removed before are left");
    }
    for handle in handles {
        // Starts of restart policies take their time: nobody waits for them here.
        tokio::spawn(async move {
            let _ = handle.ask(|reply| Request::Boot { reply }).await;
        });
    }
    Ok(())
}

/// The rows, the damaged ones noted: they own what has their id.
fn load(engine: &Engine) -> Result<Vec<ContainerSpec>> {
    let mut specs = Vec::new();
    for (id, row) in engine.specs.list().map_err(Error::service)? {
        match row {
            Ok(spec) => specs.push(spec),
            Err(damaged) => {
                tracing::error!(container = %id, reason = %damaged, "the container's row is damaged; its data is kept");
                engine.index_mut().damaged.insert(id, damaged.to_string());
            }
        }
    }
    Ok(specs)
}

/// Tells images and volumes who uses them.
fn claim(engine: &Engine, spec: &ContainerSpec) {
    engine.images.uses().set(&spec.id, &spec.image, false);
    for mount in spec.mounts.iter().filter(|mount| mount.kind == MountKind::Volume) {
        if let Err(error) = engine.volumes.acquire(&mount.source, &spec.id) {
            tracing::warn!(container = %spec.id, volume = %mount.source, %error, "the container's volume is missing");
        }
    }
}

/// Ends what runs without a row: steps of builds that a killed daemon was at, and containers half created.
async fn end_unowned(engine: &Engine) {
    let folders = [engine.config().exec_root.join("containers"), engine.runtime_state()];
    let mut ids: Vec<String> = folders.iter().flat_map(|folder| entries(folder)).collect();
    ids.sort_unstable();
    ids.dedup();
    for id in ids.into_iter().filter(|id| is_full_id(id) && !is_owned(engine, id)) {
        if let Ok(task) = Task::connect(&engine.bundle(&id)).await {
            let _ = task.shutdown().await;
            task.deleted().await;
        }
        let left = remove_leftovers(&engine.config().runtime_binary, &engine.runtime_state(), &id).await;
        if let Err(error) = left {
            tracing::warn!(container = %id, %error, "cannot end what runs without a row");
        }
    }
}

fn is_owned(engine: &Engine, id: &str) -> bool {
    let index = engine.index();
    index.handles.contains_key(id) || index.damaged.contains_key(id)
}

/// Removes bundles, logs and snapshots without a row: a creation or removal that a crash interrupted.
fn sweep(engine: &Engine) {
    let owned = |id: &str| is_owned(engine, id);
    for folder in [engine.config().exec_root.join("containers"), engine.config().data_root.join("containers")]
    {
        for id in entries(&folder).into_iter().filter(|id| is_full_id(id) && !owned(id)) {
            let path = folder.join(&id);
            let _ = rustix::mount::unmount(path.join("shm"), rustix::mount::UnmountFlags::DETACH);
            if let Err(error) = std::fs::remove_dir_all(&path) {
                tracing::warn!(path = %path.display(), %error, "cannot remove what a container left");
            }
        }
    }
    for key in engine.snapshotter.keys().into_iter().filter(|key| is_full_id(key) && !owned(key)) {
        if let Err(error) = engine.snapshotter.remove(&key) {
            tracing::warn!(snapshot = %key, %error, "cannot remove the snapshot that a container left");
        }
    }
}

fn entries(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
