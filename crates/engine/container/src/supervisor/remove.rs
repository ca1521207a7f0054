//! Removal: marked first, so that a daemon that dies half way finishes it; the rows go last.

use super::{Reply, Supervisor};
use crate::engine::{Engine, blocking};
use crate::error::{Error, Result};
use crate::options::RemoveOptions;
use crate::record::{ContainerSpec, Phase};
use crate::spec::MountKind;
use hull_errors::{HasKind, Kind};
use hull_store::Durability;
use std::io;
use std::path::Path;
use std::sync::Arc;

impl Supervisor {
    pub(super) async fn remove(&mut self, options: RemoveOptions, reply: Reply<()>) {
        let refuse = |why: &str| {
            Err(Error::conflict(format!("cannot remove container \"/{}\": {why}", self.spec.name)))
        };
        let running =
            |word: &str| format!("container is {word}: stop the container before removing or force remove");
        match self.phase() {
            Phase::Paused if !options.force => {
                let _ = reply.send(refuse("container is paused and must be unpaused first"));
            }
            phase @ (Phase::Running | Phase::Restarting) if !options.force => {
                let _ = reply.send(refuse(&running(phase.word())));
            }
            Phase::Running | Phase::Paused => self.kill_for_removal(options, reply).await,
            _ => {
                let result = self.remove_now(options).await;
                let _ = reply.send(result);
            }
        }
    }

    /// Removes a container that does not run.
    pub(super) async fn remove_now(&mut self, options: RemoveOptions) -> Result<()> {
        self.restart_at = None;
        self.state.phase = Phase::Removing;
        self.record();
        if let Some(ending) = self.ending.take() {
            ending.deleted().await;
        }
        let (engine, spec) = (Arc::clone(&self.engine), Arc::clone(&self.spec));
        let removed = blocking(move || remove_files(&engine, &spec, options)).await;
        if let Err(error) = removed {
            self.state.phase = Phase::Dead;
            self.state.error = error.to_string();
            self.record();
            return Err(error);
        }
        self.attaching.clear();
        self.gone = true;
        {
            let mut index = self.engine.index_mut();
            index.handles.remove(&self.spec.id);
            if index.names.get(&self.spec.name).is_some_and(|holder| *holder == self.spec.id) {
                index.names.remove(&self.spec.name);
            }
        }
        self.engine.images.uses().clear(&self.spec.id);
        let images = self.engine.images.clone();
        if let Err(error) = blocking(move || images.release().map_err(Error::service)).await {
            tracing::warn!(container = %self.spec.id, %error, "its image was removed before, and is left");
        }
        self.engine.execs.forget_container(&self.spec.id);
        self.engine.event(&self.spec, "destroy", &[]);
        self.publish();
        Ok(())
    }
}

fn remove_files(engine: &Engine, spec: &ContainerSpec, options: RemoveOptions) -> Result<()> {
    match engine.snapshotter.remove(&spec.id) {
        Ok(()) => {}
        // A removal that was begun before may have come so far.
        Err(error) if error.kind() == Kind::NotFound => {}
        Err(error) => return Err(Error::service(error)),
    }
    remove_tree(&engine.bundle(&spec.id))?;
    remove_tree(&engine.home(&spec.id))?;
    for mount in spec.mounts.iter().filter(|mount| mount.kind == MountKind::Volume) {
        engine.volumes.release(&mount.source, &spec.id);
        if options.volumes && mount.anonymous {
            match engine.volumes.remove(&mount.source, false) {
                Ok(()) => {}
                // Another container has it by --volumes-from: it goes with the last of them.
                Err(error) if matches!(error.kind(), Kind::Conflict | Kind::NotFound) => {}
                Err(error) => {
                    tracing::warn!(container = %spec.id, volume = %mount.source, %error, "cannot remove the volume");
                }
            }
        }
    }
    engine
        .store
        .transaction(Durability::Process, |tx| {
            tx.remove(&engine.specs, &spec.id)?;
            tx.remove(&engine.states, &spec.id)
        })
        .map_err(Error::service)?;
    Ok(())
}

fn remove_tree(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io(format!("remove {}", path.display()))(error))
        }
        _ => Ok(()),
    }
}
