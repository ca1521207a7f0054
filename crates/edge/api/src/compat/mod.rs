//! Older API versions, as changes to the newest one's JSON.
//!
//! A module `v1_NN` holds what version 1.NN changed: its `request_up` makes a request of 1.NN out of one of the
//! version before, its `response_down` makes an answer of the version before out of one of 1.NN. They are pure, and
//! chained: a request climbs every boundary above its client's version, its answer descends them.
//!
//! Boundaries whose changes old clients cannot notice (new fields that they ignore) have no module.

mod v1_25;
mod v1_40;
mod v1_41;
mod v1_42;
mod v1_43;
mod v1_44;
mod v1_45;
mod v1_46;
mod v1_48;
pub(crate) mod v1_50;
mod v1_51;

use crate::query::Query;
use crate::response::Shape;
use crate::status::Failure;
use crate::version::ApiVersion;
use serde_json::{Map, Value};

type Object = Map<String, Value>;

/// What one version changed. The lists name the routes whose bodies it touches.
struct Boundary {
    minor: u16,
    requests: &'static [&'static str],
    request_up: fn(&'static str, &mut Value) -> Result<(), Failure>,
    responses: &'static [&'static str],
    response_down: fn(&'static str, &mut Value),
    query_up: fn(&'static str, &mut Query),
}

impl Boundary {
    const fn new(minor: u16) -> Self {
        Self {
            minor,
            requests: &[],
            request_up: |_, _| Ok(()),
            responses: &[],
            response_down: |_, _| {},
            query_up: |_, _| {},
        }
    }
    fn is_above(&self, version: ApiVersion) -> bool {
        version < ApiVersion::v1(self.minor)
    }
}

// The oldest first.
const BOUNDARIES: [Boundary; 11] = [
    v1_25::BOUNDARY,
    v1_40::BOUNDARY,
    v1_41::BOUNDARY,
    v1_42::BOUNDARY,
    v1_43::BOUNDARY,
    v1_44::BOUNDARY,
    v1_45::BOUNDARY,
    v1_46::BOUNDARY,
    v1_48::BOUNDARY,
    v1_50::BOUNDARY,
    v1_51::BOUNDARY,
];

pub(crate) const CREATE: &str = "POST /containers/create";
pub(crate) const EXEC_CREATE: &str = "POST /containers/{name:.*}/exec";
pub(crate) const EXEC_START: &str = "POST /exec/{name}/start";
pub(crate) const CONTAINERS: &str = "GET /containers/json";
pub(crate) const CONTAINER: &str = "GET /containers/{name:.*}/json";
pub(crate) const IMAGES: &str = "GET /images/json";
pub(crate) const IMAGE: &str = "GET /images/{name:.*}/json";
pub(crate) const NETWORKS: &str = "GET /networks";
pub(crate) const NETWORK_CREATE: &str = "POST /networks/create";
pub(crate) const NETWORK: &str = "GET /networks/{name:.*}";
pub(crate) const ATTACH_WEBSOCKET: &str = "GET /containers/{name:.*}/attach/ws";
pub(crate) const VOLUMES_PRUNE: &str = "POST /volumes/prune";
pub(crate) const DISK_USAGE: &str = "GET /system/df";
pub(crate) const INFO: &str = "GET /info";

/// Whether any boundary touches what this client sends there.
pub fn changes_request(shape: Shape) -> bool {
    BOUNDARIES
        .iter()
        .any(|boundary| boundary.is_above(shape.version) && boundary.requests.contains(&shape.route))
}

/// Whether any boundary touches what this client gets there.
pub fn changes_response(shape: Shape) -> bool {
    BOUNDARIES
        .iter()
        .any(|boundary| boundary.is_above(shape.version) && boundary.responses.contains(&shape.route))
}

/// Brings a request's body up to the newest version.
pub fn request_up(shape: Shape, body: &mut Value) -> Result<(), Failure> {
    let above = BOUNDARIES.iter().filter(|boundary| boundary.is_above(shape.version));
    for boundary in above.filter(|boundary| boundary.requests.contains(&shape.route)) {
        (boundary.request_up)(shape.route, body)?;
    }
    Ok(())
}

/// Brings a request's query up to the newest version.
pub fn query_up(shape: Shape, query: &mut Query) {
    for boundary in BOUNDARIES.iter().filter(|boundary| boundary.is_above(shape.version)) {
        (boundary.query_up)(shape.route, query);
    }
}

/// Brings an answer down to the client's version.
pub fn response_down(shape: Shape, body: &mut Value) {
    let above = BOUNDARIES.iter().rev().filter(|boundary| boundary.is_above(shape.version));
    for boundary in above.filter(|boundary| boundary.responses.contains(&shape.route)) {
        (boundary.response_down)(shape.route, body);
    }
}

/// The object at that key of an object, made where it is missing or null.
fn object<'a>(body: &'a mut Value, key: &str) -> Option<&'a mut Object> {
    let entry = body.as_object_mut()?.entry(key).or_insert(Value::Null);
    if entry.is_null() {
        *entry = Value::Object(Object::new());
    }
    entry.as_object_mut()
}

/// Whether an object has nothing, or nothing to say, at that key.
fn is_blank(object: &Object, key: &str) -> bool {
    object.get(key).is_none_or(|value| value.is_null() || value.as_str() == Some(""))
}

/// The items of a list, or the one object itself.
fn each(body: &mut Value) -> impl Iterator<Item = &mut Object> {
    let items = match body {
        Value::Array(items) => items.as_mut_slice(),
        other => std::slice::from_mut(other),
    };
    items.iter_mut().filter_map(Value::as_object_mut)
}

/// The endpoints of a container's inspection, or of a row of the container list.
fn endpoints(container: &mut Object) -> impl Iterator<Item = &mut Object> {
    let networks = container.get_mut("NetworkSettings").and_then(|settings| settings.get_mut("Networks"));
    networks
        .and_then(Value::as_object_mut)
        .into_iter()
        .flat_map(|all| all.values_mut().filter_map(Value::as_object_mut))
}

#[cfg(test)]
mod tests;
