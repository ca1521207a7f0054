//! 1.42: pruning volumes spares the named ones unless asked; `ConsoleSize` began to count; attaching over a WebSocket
//! takes the streams that are asked for.

use super::{ATTACH_WEBSOCKET, Boundary, CREATE, EXEC_CREATE, EXEC_START, VOLUMES_PRUNE};
use serde_json::{Value, json};

pub(super) const BOUNDARY: Boundary = Boundary {
    requests: &[CREATE, EXEC_CREATE, EXEC_START],
    request_up: |_, body| {
        let holders = [body.get_mut("HostConfig").and_then(Value::as_object_mut)];
        holders.into_iter().flatten().for_each(|holder| {
            holder.remove("ConsoleSize");
        });
        if let Some(body) = body.as_object_mut() {
            body.remove("ConsoleSize");
        }
        Ok(())
    },
    query_up: |route, query| {
        if route == ATTACH_WEBSOCKET {
            ["stdin", "stdout", "stderr"].into_iter().for_each(|stream| query.set(stream, "1"));
        }
        if route == VOLUMES_PRUNE {
            let mut filters =
                query.text("filters").and_then(|text| serde_json::from_str(text).ok()).unwrap_or(json!({}));
            if let Some(filters) = Value::as_object_mut(&mut filters) {
                filters.insert("all".into(), json!(["true"]));
            }
            query.set("filters", &filters.to_string());
        }
    },
    ..Boundary::new(42)
};
