//! 1.50: an image's configuration leaves out what concerns containers only, and an image what it does not know;
//! `/info` leaves out the bridge's netfilter settings.

use super::{Boundary, IMAGE, INFO};
use serde_json::{Value, json};

/// What the configuration of an image has no more.
pub(crate) const CONTAINER_ONLY: [(&str, Value); 9] = [
    ("Hostname", Value::Null),
    ("Domainname", Value::Null),
    ("Image", Value::Null),
    ("AttachStdin", Value::Bool(false)),
    ("AttachStdout", Value::Bool(false)),
    ("AttachStderr", Value::Bool(false)),
    ("Tty", Value::Bool(false)),
    ("OpenStdin", Value::Bool(false)),
    ("StdinOnce", Value::Bool(false)),
];

/// What an image leaves out when it is empty.
pub(crate) const OMITTED: [&str; 4] = ["Parent", "Comment", "DockerVersion", "Author"];

pub(super) const BOUNDARY: Boundary = Boundary {
    responses: &[IMAGE, INFO],
    response_down: |route, body| {
        if route == INFO {
            body["BridgeNfIptables"] = json!(true);
            body["BridgeNfIp6tables"] = json!(true);
            return;
        }
        let Some(image) = body.as_object_mut() else { return };
        for key in OMITTED {
            image.entry(key).or_insert("".into());
        }
        let Some(config) = image.get_mut("Config").and_then(Value::as_object_mut) else { return };
        for (key, value) in CONTAINER_ONLY {
            config.entry(key).or_insert(if value.is_null() { "".into() } else { value });
        }
    },
    ..Boundary::new(50)
};
