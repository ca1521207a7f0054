//! 1.48: networks tell whether they have IPv4, endpoints the priority of their gateway, containers the manifest of
//! their image. A network that is asked for may leave it to the engine whether it has IPv6; before, it had none unless
//! it was asked for, and clients (compose 1.29) make a network anew that has it.

use super::{Boundary, CONTAINER, CONTAINERS, NETWORK, NETWORK_CREATE, NETWORKS, each, endpoints};
use serde_json::Value;

pub(super) const BOUNDARY: Boundary = Boundary {
    requests: &[NETWORK_CREATE],
    request_up: |_, body| {
        if let Some(request) = body.as_object_mut() {
            let asked = request.entry("EnableIPv6").or_insert(Value::Null);
            if asked.is_null() {
                *asked = Value::Bool(false);
            }
        }
        Ok(())
    },
    responses: &[CONTAINER, CONTAINERS, NETWORK, NETWORKS],
    response_down: |route, body| {
        for item in each(body) {
            if matches!(route, NETWORK | NETWORKS) {
                item.remove("EnableIPv4");
                continue;
            }
            item.remove("ImageManifestDescriptor");
            for endpoint in endpoints(item) {
                endpoint.remove("GwPriority");
            }
        }
    },
    ..Boundary::new(48)
};
