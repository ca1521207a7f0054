//! 1.45: images no longer tell the container they were committed from; a container's short id and host name are no
//! longer among its aliases.

use super::{Boundary, CONTAINER, IMAGE, each};
use serde_json::{Value, json};

pub(super) const BOUNDARY: Boundary = Boundary {
    responses: &[IMAGE, CONTAINER],
    response_down: |route, body| match route {
        IMAGE => each(body).for_each(|image| {
            image.insert("Container".into(), "".into());
            image.insert("ContainerConfig".into(), json!({}));
        }),
        _ => add_aliases(body),
    },
    ..Boundary::new(45)
};

fn add_aliases(body: &mut Value) {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let id = text(body.get("Id"));
    let names = [
        hull_types::short_id(&id).to_owned(),
        text(body.get("Config").and_then(|config| config.get("Hostname"))),
    ];
    let Some(networks) = body.get_mut("NetworkSettings").and_then(|settings| settings.get_mut("Networks"))
    else {
        return;
    };
    for (network, endpoint) in networks.as_object_mut().into_iter().flatten() {
        if matches!(network.as_str(), "bridge" | "host" | "none" | "default") {
            continue;
        }
        let Some(endpoint) = endpoint.as_object_mut() else { continue };
        let mut aliases = endpoint.get("Aliases").and_then(Value::as_array).cloned().unwrap_or_default();
        for name in names.iter().filter(|name| !name.is_empty()) {
            if !aliases.iter().any(|alias| alias == name) {
                aliases.push(name.as_str().into());
            }
        }
        endpoint.insert("Aliases".into(), aliases.into());
    }
}
