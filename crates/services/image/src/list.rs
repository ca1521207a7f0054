//! `images`.

use crate::Images;
use crate::catalogue::{Record, State};
use crate::error::{ImageError, Result};
use crate::filters::{self, Age};
use crate::manifests::row_of;
use hull_api_types::{ImageListOptions, ImageSummary};
use hull_types::{ChainId, ImageRef};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

const FILTERS: [&str; 6] = ["dangling", "label", "before", "since", "reference", "until"];

pub(crate) fn list(images: &Images, options: &ImageListOptions) -> Result<Vec<ImageSummary>> {
    let filters = &options.filters;
    filters::check(filters, &FILTERS)?;
    let dangling = filters::boolean(filters, "dangling")?;
    let patterns = filters.get("reference").map(Vec::as_slice).unwrap_or_default();
    let state = images.catalogue().read();
    let age = Age::of(filters, &state)?;
    let mut names: HashMap<_, Vec<&ImageRef>> = HashMap::new();
    for (name, row) in &state.references {
        names.entry(&row.image).or_default().push(name);
    }
    let shared = options.shared_size.then(|| sharers(&state));
    let mut summaries = Vec::new();
    for record in state.images.values() {
        if !age.admits(record) || !filters::labels_admit(filters, record) {
            continue;
        }
        let all = names.remove(&record.id).unwrap_or_default();
        let mut shown = Vec::new();
        for name in &all {
            if patterns.is_empty() || filters::reference_admits(patterns, name)? {
                shown.push(*name);
            }
        }
        let tagged = all.iter().any(|name| name.digest().is_none());
        let unwanted = match dangling {
            Some(true) => tagged,
            Some(false) => all.is_empty(),
            None => false,
        };
        if unwanted || (!patterns.is_empty() && shown.is_empty()) {
            continue;
        }
        let mut summary = summarize(record, &shown);
        summary.containers = images.uses().count(&record.id) as i64;
        if options.manifests
            && let Some(row) = row_of(&state, record, None)
        {
            summary.manifests = images.manifests(record, row)?;
        }
        summary.shared_size = shared.as_ref().map_or(-1, |shared| shared_size(record, shared));
        summaries.push(summary);
    }
    // The newest first; of one age, in a fixed order.
    summaries.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.repo_tags.cmp(&b.repo_tags)));
    Ok(summaries)
}

fn summarize(record: &Record, names: &[&ImageRef]) -> ImageSummary {
    let (digests, tags): (Vec<&ImageRef>, Vec<&ImageRef>) =
        names.iter().partition(|name| name.digest().is_some());
    let familiar = |names: Vec<&ImageRef>| names.into_iter().map(ImageRef::familiar).collect();
    let labels = &record.config.config.labels;
    ImageSummary {
        created: record.config.created.map_or(0, |at| at.seconds),
        id: record.id.to_string(),
        labels: (!labels.is_empty()).then(|| labels.clone()),
        repo_digests: familiar(digests),
        repo_tags: familiar(tags),
        size: record.size() as i64,
        ..ImageSummary::default()
    }
}

fn sharers(state: &State) -> HashMap<ChainId, usize> {
    let mut count = HashMap::new();
    for layer in state.images.values().flat_map(|record| &record.row.layers) {
        *count.entry(layer.chain.clone()).or_default() += 1;
    }
    count
}

fn shared_size(record: &Record, sharers: &HashMap<ChainId, usize>) -> i64 {
    let shared = |chain: &ChainId| sharers.get(chain).is_some_and(|count| *count > 1);
    record.row.layers.iter().filter(|layer| shared(&layer.chain)).map(|layer| layer.size as i64).sum()
}

/// What images take on the disk. A blob and a layer's tar may be one file.
pub(crate) fn disk_usage(images: &Images) -> Result<u64> {
    let layers = images.snapshotter().directories();
    let mut all: Vec<&Path> = layers.iter().map(PathBuf::as_path).collect();
    all.push(images.content().root());
    Ok(hull_archive::measure_all(&all).map_err(ImageError::Archive)?.disk)
}

pub(crate) fn layers_size(state: &State) -> u64 {
    let mut seen = HashMap::new();
    let records = state.images.values().chain(state.removed.values());
    for layer in records.flat_map(|record| &record.row.layers) {
        seen.insert(&layer.chain, layer.size);
    }
    seen.values().sum()
}
