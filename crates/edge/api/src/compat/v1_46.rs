//! 1.46: the container list tells annotations.

use super::{Boundary, CONTAINERS, each};
use serde_json::Value;

pub(super) const BOUNDARY: Boundary = Boundary {
    responses: &[CONTAINERS],
    response_down: |_, body| {
        for container in each(body) {
            if let Some(host) = container.get_mut("HostConfig").and_then(Value::as_object_mut) {
                host.remove("Annotations");
            }
        }
    },
    ..Boundary::new(46)
};
