//! A cache's records.

use crate::result::Solved;
use hull_types::oci::image::Descriptor;
use hull_types::{DiffId, Digest};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// `application/vnd.buildkit.cacheconfig.v0`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Document {
    #[serde(default)]
    pub(crate) layers: Vec<Layer>,
    #[serde(default)]
    pub(crate) records: Vec<Record>,
}

/// A layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Layer {
    pub(crate) blob: Digest,
    /// Which of the layers it stands on; -1 where the records say that.
    #[serde(default = "none")]
    pub(crate) parent: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) annotations: Option<Notes>,
}

/// What is known of a layer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Notes {
    pub(crate) media_type: String,
    #[serde(rename = "diffID", skip_serializing_if = "Option::is_none")]
    pub(crate) diff_id: Option<DiffId>,
    pub(crate) size: u64,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The key.
    pub(crate) digest: Digest,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) results: Vec<Outcome>,
    /// Ours: the step changed no file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) empty: bool,
}

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) layer: usize,
}

fn none() -> i64 {
    -1
}

/// A key as a digest.
pub(crate) fn digest_of_key(key: &str) -> Option<Digest> {
    format!("sha256:{key}").parse().ok()
}

impl Document {
    pub(crate) fn push_layer(&mut self, blob: &Descriptor, diff_id: &DiffId, parent: i64) -> usize {
        if let Some(known) = self.layers.iter().position(|layer| layer.blob == blob.digest) {
            return known;
        }
        let notes =
            Notes { media_type: blob.media_type.clone(), diff_id: Some(diff_id.clone()), size: blob.size };
        self.layers.push(Layer { blob: blob.digest.clone(), parent, annotations: Some(notes) });
        self.layers.len() - 1
    }

    pub(crate) fn push_record(&mut self, key: &str, layer: Option<usize>) {
        let Some(digest) = digest_of_key(key) else { return };
        let results = layer.map(|layer| Outcome { layer }).into_iter().collect();
        self.records.push(Record { digest, results, empty: layer.is_none() });
    }
}

/// The cache that an image of these layers is itself.
pub(crate) fn of_image(solved: &Solved, layers: &[Descriptor]) -> Document {
    let mut document = Document::default();
    let ids = &solved.state.config.rootfs.diff_ids;
    let mut places = HashMap::new();
    for (number, (layer, id)) in layers.iter().zip(ids).enumerate() {
        let place = document.push_layer(layer, id, number as i64 - 1);
        places.insert(id.clone(), place);
    }
    for (key, made) in solved.build.results() {
        match made {
            None => document.push_record(&key, None),
            Some(made) => {
                if let Some(place) = places.get(&made.diff_id) {
                    document.push_record(&key, Some(*place));
                }
            }
        }
    }
    document
}
