//! `commit`: what a container changed becomes a layer, and with its configuration an image.

use crate::engine::{Engine, blocking};
use crate::error::{Error, Result};
use crate::record::{ContainerSpec, Phase};
use crate::supervisor::{Handle, Request};
use hull_api_types::{ContainerConfig, HealthConfig, IdResponse, Set};
use hull_image::changes::{self, Changed};
use hull_image::{ImageError, is_empty_layer};
use hull_types::oci::image::{Execution, History};
use hull_types::{DiffId, ImageRef, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the image is to be.
#[derive(Debug, Clone, Default)]
pub struct CommitOptions {
    /// Its name; none for an image without.
    pub name: Option<ImageRef>,
    /// Who made it.
    pub author: String,
    /// The note in its history.
    pub comment: String,
    /// Dockerfile instructions on its configuration.
    pub changes: Vec<String>,
    /// Its configuration instead of the container's, which fills what this one leaves open.
    pub config: Option<ContainerConfig>,
    /// Freeze a running container meanwhile.
    pub pause: bool,
}

pub(crate) async fn commit(
    engine: &Arc<Engine>,
    handle: &Handle,
    options: CommitOptions,
) -> Result<IdResponse> {
    let published = handle.published();
    let spec = Arc::clone(&published.spec);
    match published.state.phase {
        Phase::Removing => {
            return Err(Error::conflict(format!(
                "You cannot commit container {} which is being removed",
                spec.id
            )));
        }
        Phase::Dead => {
            return Err(Error::conflict(format!("You cannot commit container {} which is Dead", spec.id)));
        }
        _ => {}
    }
    let execution = configuration(&spec, &options)?;
    // What was paused before stays so.
    let freeze = options.pause && published.state.phase == Phase::Running;
    if freeze {
        handle.ask(Request::Pause).await?;
    }
    let (own_engine, own_spec) = (Arc::clone(engine), Arc::clone(&spec));
    let layer = blocking(move || {
        let making = own_engine.images.make();
        let layer =
            making.layer(|to| Ok(own_engine.snapshotter.diff(&own_spec.id, to)?)).map_err(Error::service)?;
        Ok((making, layer))
    })
    .await;
    if freeze {
        // It may have been stopped meanwhile: that is no fault of the commit's.
        if let Err(error) = handle.ask(Request::Unpause).await {
            tracing::warn!(container = %spec.id, %error, "could not be unpaused after a commit");
        }
    }
    let (making, layer) = layer?;
    let (own_engine, own_spec, own_options) = (Arc::clone(engine), Arc::clone(&spec), options.clone());
    let id = blocking(move || image(&own_engine, &own_spec, &own_options, execution, &making, layer)).await?;
    let reference = options.name.map(|name| name.familiar()).unwrap_or_default();
    let more = [("comment", options.comment), ("imageID", id.clone()), ("imageRef", reference)];
    engine.event(&spec, "commit", &more);
    Ok(IdResponse { id })
}

fn image(
    engine: &Engine,
    spec: &ContainerSpec,
    options: &CommitOptions,
    execution: Execution,
    making: &hull_image::Making,
    layer: hull_types::oci::image::Descriptor,
) -> Result<String> {
    let base = engine.images.of_container(&spec.image).map_err(Error::service)?;
    let mut layers = making.layers_of(spec.image.as_str()).map_err(Error::service)?;
    let mut config = base.config;
    let empty_layer = is_empty_layer(&layer);
    let created = Some(Timestamp::now());
    config.created = created;
    config.author = options.author.clone();
    config.config = execution;
    config.history.push(History {
        created,
        created_by: spec.config.cmd.iter().flatten().cloned().collect::<Vec<_>>().join(" "),
        author: options.author.clone(),
        comment: options.comment.clone(),
        empty_layer,
    });
    if !empty_layer {
        config.rootfs.diff_ids.push(DiffId(layer.digest.clone()));
        layers.push(layer);
    }
    let id = making.image(&config, layers, options.name.as_ref()).map_err(Error::service)?;
    Ok(id.to_string())
}

/// The image's configuration: the one given (the container's where none is), changed, with the container's under it.
fn configuration(spec: &ContainerSpec, options: &CommitOptions) -> Result<Execution> {
    let given = options.config.as_ref().unwrap_or(&spec.config);
    let mut execution = execution_of(given);
    let applied = changes::apply(&mut execution, &options.changes, &mut Changed::default());
    applied.map_err(|error: ImageError| Error::service(error))?;
    fill(&mut execution, execution_of(&spec.config));
    Ok(execution)
}

/// What a container's configuration says of an image: not its host name, terminal or open standard input.
fn execution_of(config: &ContainerConfig) -> Execution {
    let set = |set: &Option<Set>| -> BTreeMap<String, Value> {
        set.iter().flat_map(|set| set.keys()).map(|key| (key.clone(), json!({}))).collect()
    };
    Execution {
        user: config.user.clone(),
        exposed_ports: set(&config.exposed_ports),
        env: config.env.clone().unwrap_or_default(),
        entrypoint: config.entrypoint.clone(),
        cmd: config.cmd.clone(),
        args_escaped: config.args_escaped,
        volumes: set(&config.volumes),
        working_dir: config.working_dir.clone(),
        labels: config.labels.clone().into_iter().collect(),
        stop_signal: config.stop_signal.clone(),
        healthcheck: config
            .healthcheck
            .as_ref()
            .and_then(|check: &HealthConfig| serde_json::to_value(check).ok()),
        on_build: config.on_build.clone(),
        shell: config.shell.clone(),
    }
}

/// Fills what `wanted` leaves open from the container's configuration, as Docker merges an image's into a container's.
fn fill(wanted: &mut Execution, container: Execution) {
    let or = |mine: &mut String, theirs: String| {
        if mine.is_empty() {
            *mine = theirs;
        }
    };
    or(&mut wanted.user, container.user);
    or(&mut wanted.working_dir, container.working_dir);
    or(&mut wanted.stop_signal, container.stop_signal);
    for (port, value) in container.exposed_ports {
        wanted.exposed_ports.entry(port).or_insert(value);
    }
    for (path, value) in container.volumes {
        wanted.volumes.entry(path).or_insert(value);
    }
    for (name, value) in container.labels {
        wanted.labels.entry(name).or_insert(value);
    }
    let name = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let set: Vec<String> = wanted.env.iter().map(|entry| name(entry)).collect();
    wanted.env.extend(container.env.into_iter().filter(|entry| !set.contains(&name(entry))));
    if wanted.entrypoint.as_ref().is_none_or(Vec::is_empty) {
        if wanted.cmd.as_ref().is_none_or(Vec::is_empty) {
            wanted.cmd = container.cmd;
            wanted.args_escaped = container.args_escaped;
        }
        if wanted.entrypoint.is_none() {
            wanted.entrypoint = container.entrypoint;
        }
    }
    wanted.healthcheck = wanted.healthcheck.take().or(container.healthcheck);
    wanted.on_build = wanted.on_build.take().or(container.on_build);
    wanted.shell = wanted.shell.take().or(container.shell);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(list: &[&str]) -> Option<Vec<String>> {
        Some(list.iter().map(|word| (*word).to_owned()).collect())
    }

    #[test]
    fn what_is_left_open_is_the_containers() {
        let container = ContainerConfig {
            user: "1".into(),
            env: words(&["A=1", "B=2"]),
            cmd: words(&["sleep", "9"]),
            entrypoint: words(&["/e"]),
            ..ContainerConfig::default()
        };
        let mut wanted = Execution { env: words(&["B=3"]).unwrap(), ..Execution::default() };
        fill(&mut wanted, execution_of(&container));
        assert_eq!((wanted.user.as_str(), &wanted.env), ("1", &words(&["B=3", "A=1"]).unwrap()));
        assert_eq!((wanted.cmd, wanted.entrypoint), (words(&["sleep", "9"]), words(&["/e"])));
        let mut own = Execution { entrypoint: words(&["/own"]), ..Execution::default() };
        fill(&mut own, execution_of(&container));
        assert_eq!((own.entrypoint, own.cmd), (words(&["/own"]), None));
    }
}
