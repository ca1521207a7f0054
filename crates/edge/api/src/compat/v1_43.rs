//! 1.43: an image without names has empty lists; before, lists of one `<none>`.

use super::{Boundary, IMAGES, each};
use serde_json::json;

pub(super) const BOUNDARY: Boundary = Boundary {
    responses: &[IMAGES],
    response_down: |_, body| {
        for image in each(body) {
            let empty =
                |key: &str| image.get(key).is_none_or(|list| list.as_array().is_none_or(Vec::is_empty));
            if empty("RepoTags") && empty("RepoDigests") {
                image.insert("RepoTags".into(), json!(["<none>:<none>"]));
                image.insert("RepoDigests".into(), json!(["<none>@<none>"]));
            }
        }
    },
    ..Boundary::new(43)
};
