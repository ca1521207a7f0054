//! 1.44: hardware addresses are endpoints', not the container's; read-only binds cover the mounts below them;
//! health checks have a start interval; `VirtualSize` went; endpoints tell their DNS names.

use super::{
    Boundary, CONTAINER, CONTAINERS, CREATE, DISK_USAGE, IMAGE, IMAGES, Object, each, endpoints, object,
};
use crate::status::Failure;
use serde_json::{Value, json};

pub(super) const BOUNDARY: Boundary = Boundary {
    requests: &[CREATE],
    request_up: |_, body| {
        if let Some(check) = body.get_mut("Healthcheck").and_then(Value::as_object_mut) {
            check.remove("StartInterval");
        }
        move_mac_address(body)?;
        limit_read_only_binds(body)
    },
    responses: &[IMAGES, IMAGE, DISK_USAGE, CONTAINER, CONTAINERS],
    response_down: |route, body| match route {
        DISK_USAGE => {
            if let Some(images) = body.get_mut("Images") {
                each(images).for_each(add_virtual_size);
            }
        }
        IMAGES | IMAGE => each(body).for_each(add_virtual_size),
        _ => each(body).for_each(|container| {
            endpoints(container).for_each(|endpoint| {
                endpoint.remove("DNSNames");
            });
        }),
    },
    ..Boundary::new(44)
};

fn add_virtual_size(image: &mut Object) {
    if let Some(size) = image.get("Size").cloned() {
        image.insert("VirtualSize".into(), size);
    }
}

fn move_mac_address(body: &mut Value) -> Result<(), Failure> {
    let address = body.as_object_mut().and_then(|body| body.remove("MacAddress"));
    let address = address.filter(|address| address.as_str().is_some_and(|text| !text.is_empty()));
    let mode = body.get("HostConfig").and_then(|host| host.get("NetworkMode")).and_then(Value::as_str);
    let mode = mode.unwrap_or_default().to_owned();
    let Some(address) = address else {
        // The older API ignored what it did not know.
        let endpoints = body.get_mut("NetworkingConfig").and_then(|config| config.get_mut("EndpointsConfig"));
        let endpoints = endpoints.and_then(Value::as_object_mut).into_iter().flat_map(|all| all.values_mut());
        endpoints.filter_map(Value::as_object_mut).for_each(|endpoint| {
            endpoint.remove("MacAddress");
        });
        return Ok(());
    };
    if matches!(mode.as_str(), "host" | "none") || mode.starts_with("container:") {
        return Err(Failure::invalid("conflicting options: mac-address and the network mode"));
    }
    let network = if mode.is_empty() || mode == "default" { "bridge" } else { &mode };
    let config =
        object(body, "NetworkingConfig").map(|config| config.entry("EndpointsConfig").or_insert(json!({})));
    let Some(config) = config else { return Ok(()) };
    if config.is_null() {
        *config = json!({});
    }
    let name =
        config.as_object().and_then(|all| all.keys().next().cloned()).unwrap_or_else(|| network.to_owned());
    if let Some(endpoint) = object(config, &name) {
        endpoint.insert("MacAddress".into(), address);
    }
    Ok(())
}

fn limit_read_only_binds(body: &mut Value) -> Result<(), Failure> {
    let Some(mounts) = body.get_mut("HostConfig").and_then(|host| host.get_mut("Mounts")) else {
        return Ok(());
    };
    for mount in mounts.as_array_mut().into_iter().flatten() {
        if mount.get("Type").and_then(Value::as_str) != Some("bind") {
            continue;
        }
        let read_only = mount.get("ReadOnly") == Some(&json!(true));
        let Some(options) = object(mount, "BindOptions") else { continue };
        if options.get("ReadOnlyForceRecursive") == Some(&json!(true)) {
            return Err(Failure::invalid("BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer"));
        }
        // Of a mount that may be written, it says nothing.
        if read_only {
            options.insert("ReadOnlyNonRecursive".into(), true.into());
        }
    }
    Ok(())
}
