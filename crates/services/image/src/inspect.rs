//! `inspect` and `history`.

use crate::Images;
use crate::catalogue::{CONFIG_LIMIT, Record};
use crate::error::Result;
use crate::manifests::row_of;
use crate::resolve;
use hull_api_types::{ContainerConfig, DriverData, Empty, HistoryItem, ImageInspect, ImageMetadata, RootFs};
use hull_types::ImageRef;
use hull_types::oci::image::Execution;
use std::collections::BTreeMap;

/// With `manifests`: every one that the name stands for.
pub(crate) fn inspect(images: &Images, name: &str, manifests: bool) -> Result<ImageInspect> {
    let (record, names, row) = {
        let state = images.catalogue().read();
        let found = resolve::find(&state, name)?;
        let names = state.names_of(&found.record.id);
        let row = row_of(&state, &found.record, found.reference.as_ref()).cloned();
        (found.record, names, row.filter(|_| manifests))
    };
    let raw = images.content().read(&record.id, CONFIG_LIMIT)?;
    let raw: serde_json::Value = serde_json::from_slice(&raw).unwrap_or_default();
    let text =
        |field: &str| raw.get(field).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    let (digests, tags): (Vec<ImageRef>, Vec<ImageRef>) =
        names.into_iter().partition(|name| name.digest().is_some());
    let familiar = |names: Vec<ImageRef>| names.iter().map(ImageRef::familiar).collect();
    let last_comment = || record.config.history.last().map(|step| step.comment.clone()).unwrap_or_default();
    Ok(ImageInspect {
        id: record.id.to_string(),
        manifests: row.map(|row| images.manifests(&record, &row)).transpose()?.unwrap_or_default(),
        repo_tags: familiar(tags),
        repo_digests: familiar(digests),
        comment: Some(text("comment")).filter(|comment| !comment.is_empty()).unwrap_or_else(last_comment),
        created: record.config.created,
        docker_version: text("docker_version"),
        author: record.config.author.clone(),
        config: Some(container_config(&record.config.config)),
        architecture: record.config.architecture.clone(),
        variant: record.config.variant.clone(),
        os: record.config.os.clone(),
        os_version: record.config.os_version.clone(),
        size: record.size() as i64,
        graph_driver: driver_data(images, &record)?,
        root_fs: RootFs {
            kind: record.config.rootfs.kind.clone(),
            layers: record.config.rootfs.diff_ids.iter().map(|id| id.0.to_string()).collect(),
        },
        metadata: ImageMetadata { last_tag_time: record.row.last_tagged },
        ..ImageInspect::default()
    })
}

// The image specification's `config` in the Engine API's words.
fn container_config(config: &Execution) -> ContainerConfig {
    let set =
        |keys: &BTreeMap<String, serde_json::Value>| keys.keys().map(|key| (key.clone(), Empty {})).collect();
    let some = |keys: &BTreeMap<String, serde_json::Value>| (!keys.is_empty()).then(|| set(keys));
    let healthcheck = config.healthcheck.clone().and_then(|value| serde_json::from_value(value).ok());
    ContainerConfig {
        user: config.user.clone(),
        exposed_ports: some(&config.exposed_ports),
        env: (!config.env.is_empty()).then(|| config.env.clone()),
        cmd: config.cmd.clone(),
        healthcheck,
        args_escaped: config.args_escaped,
        volumes: some(&config.volumes),
        working_dir: config.working_dir.clone(),
        entrypoint: config.entrypoint.clone(),
        on_build: config.on_build.clone(),
        labels: config.labels.clone(),
        stop_signal: config.stop_signal.clone(),
        shell: config.shell.clone(),
        ..ContainerConfig::default()
    }
}

// What `docker inspect` shows of the driver: the top layer as UpperDir, the ones below as LowerDir.
fn driver_data(images: &Images, record: &Record) -> Result<DriverData> {
    let snapshotter = images.snapshotter();
    let rootfs = snapshotter.view(record.top())?;
    let directories: Vec<String> =
        rootfs.lowers.iter().map(|lower| lower.path().display().to_string()).collect();
    let mut data = BTreeMap::new();
    if let Some((top, below)) = directories.split_first() {
        data.insert("UpperDir".to_owned(), top.clone());
        if !below.is_empty() {
            data.insert("LowerDir".to_owned(), below.join(":"));
        }
    }
    Ok(DriverData { name: snapshotter.name().into(), data: Some(data) })
}

pub(crate) fn history(images: &Images, name: &str) -> Result<Vec<HistoryItem>> {
    let state = images.catalogue().read();
    let record = resolve::find(&state, name)?.record;
    let mut layers = record.row.layers.iter();
    let mut items: Vec<HistoryItem> = Vec::new();
    for step in &record.config.history {
        let layer = if step.empty_layer { None } else { layers.next() };
        items.push(HistoryItem {
            comment: step.comment.clone(),
            created: step.created.map_or(0, |at| at.seconds),
            created_by: step.created_by.clone(),
            id: "<missing>".into(),
            size: layer.map_or(0, |layer| layer.size as i64),
            tags: None,
        });
    }
    // Layers that the history does not speak of are part of the image all the same.
    for layer in layers {
        items.push(HistoryItem { id: "<missing>".into(), size: layer.size as i64, ..HistoryItem::default() });
    }
    items.reverse();
    let tags: Vec<String> = state
        .names_of(&record.id)
        .iter()
        .filter(|name| name.digest().is_none())
        .map(ImageRef::familiar)
        .collect();
    if let Some(top) = items.first_mut() {
        top.id = record.id.to_string();
        top.tags = (!tags.is_empty()).then_some(tags);
    }
    Ok(items)
}
