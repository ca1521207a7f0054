//! `--cache-to type=inline`: the image's own layers as a cache, told in its configuration.

use super::Solved;
use crate::error::{Error, Result};
use crate::remote_cache::document;
use hull_types::oci::image::{Descriptor, ImageConfig};
use serde_json::Value;

/// The field of a configuration that has it, BuildKit's.
pub(crate) const FIELD: &str = "moby.buildkit.cache.v0";

/// The configuration's text with the cache in it.
pub(super) fn config(solved: &Solved, config: &ImageConfig, layers: &[Descriptor]) -> Result<Vec<u8>> {
    use base64::Engine;
    let document = document::of_image(solved, layers);
    let text = serde_json::to_vec(&document).map_err(Error::json)?;
    let mut value = serde_json::to_value(config).map_err(Error::json)?;
    if let Value::Object(fields) = &mut value {
        let text = base64::engine::general_purpose::STANDARD.encode(text);
        fields.insert(FIELD.into(), text.into());
    }
    serde_json::to_vec(&value).map_err(Error::json)
}
