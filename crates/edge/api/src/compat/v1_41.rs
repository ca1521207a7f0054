//! 1.41: the default of `CgroupnsMode` became the daemon's, before it was `host`; `filter=` of the image list went.

use super::{Boundary, CREATE, IMAGES, is_blank, object};
use serde_json::{Value, json};

pub(super) const BOUNDARY: Boundary = Boundary {
    requests: &[CREATE],
    request_up: |_, body| {
        if let Some(host) = object(body, "HostConfig").filter(|host| is_blank(host, "CgroupnsMode")) {
            host.insert("CgroupnsMode".into(), "host".into());
        }
        Ok(())
    },
    query_up: |route, query| {
        let Some(name) = query.text("filter").filter(|_| route == IMAGES).map(str::to_owned) else { return };
        let mut filters =
            query.text("filters").and_then(|text| serde_json::from_str(text).ok()).unwrap_or(json!({}));
        if let Some(filters) = Value::as_object_mut(&mut filters) {
            filters.insert("reference".into(), json!([name]));
        }
        query.set("filters", &filters.to_string());
    },
    ..Boundary::new(41)
};
