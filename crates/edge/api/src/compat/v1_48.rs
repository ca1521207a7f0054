//! 1.48: networks tell whether they have IPv4, endpoints the priority of their gateway, containers the manifest of
//! their image.

use super::{Boundary, CONTAINER, CONTAINERS, NETWORK, NETWORKS, each, endpoints};

pub(super) const BOUNDARY: Boundary = Boundary {
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
