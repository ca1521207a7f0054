//! Routes of the Engine API that Hull does not have yet, and swarm's as they are outside a swarm.

use crate::request::Call;
use crate::response::Outcome;
use crate::router::Router;
use crate::status::Failure;
use hull_errors::Kind;
use serde_json::json;

const NOT_BUILT: &[&str] = &[
    "POST /session",
    "POST /grpc",
    "POST /swarm/init",
    "POST /swarm/join",
    "GET /plugins/privileges",
    "POST /plugins/pull",
    "POST /plugins/create",
    "DELETE /plugins/{name:.*}",
    "POST /plugins/{name:.*}/enable",
    "POST /plugins/{name:.*}/disable",
    "POST /plugins/{name:.*}/upgrade",
    "POST /plugins/{name:.*}/push",
    "POST /plugins/{name:.*}/set",
    "GET /debug/vars",
    "GET /debug/pprof/",
    "GET /debug/pprof/{name:.*}",
    "GET /metrics",
];

/// Docker has them where the daemon is told `--experimental` only.
const EXPERIMENTAL: &[&str] = &[
    "GET /containers/{name:.*}/checkpoints",
    "POST /containers/{name:.*}/checkpoints",
    "DELETE /containers/{name:.*}/checkpoints/{checkpoint}",
];

const MANAGERS_ONLY: &[&str] = &[
    "GET /swarm",
    "POST /swarm/update",
    "GET /swarm/unlockkey",
    "GET /nodes",
    "GET /nodes/{name}",
    "DELETE /nodes/{name}",
    "POST /nodes/{name}/update",
    "GET /services",
    "POST /services/create",
    "GET /services/{name}",
    "DELETE /services/{name}",
    "POST /services/{name}/update",
    "GET /services/{name}/logs",
    "GET /tasks",
    "GET /tasks/{name}",
    "GET /tasks/{name}/logs",
    "GET /secrets",
    "POST /secrets/create",
    "GET /secrets/{name}",
    "DELETE /secrets/{name}",
    "POST /secrets/{name}/update",
    "GET /configs",
    "POST /configs/create",
    "GET /configs/{name}",
    "DELETE /configs/{name}",
    "POST /configs/{name}/update",
];

const MEMBERS_ONLY: &[&str] = &["POST /swarm/leave", "POST /swarm/unlock"];

pub fn register(router: &mut Router, experimental: bool) {
    for route in NOT_BUILT {
        router.add(route, &(), not_built);
    }
    for route in EXPERIMENTAL {
        if experimental {
            router.add(route, &(), not_built);
        } else {
            router.add(route, &(), not_enabled);
        }
    }
    for route in MANAGERS_ONLY {
        router.add(route, &(), no_manager);
    }
    for route in MEMBERS_ONLY {
        router.add(route, &(), no_member);
    }
    // These have true answers: there are no plugins.
    router.add("GET /plugins", &(), |(), call| async move { call.shape().json(&json!([])) });
    router.add("GET /plugins/{name:.*}/json", &(), no_plugin);
}

async fn not_built((): (), call: Call) -> Outcome {
    let route = call.route.replace(":.*}", "}");
    Err(Failure::new(Kind::NotImplemented, format!("{route} is not available in Hull yet")))
}

async fn not_enabled((): (), _: Call) -> Outcome {
    let text = "This experimental feature is disabled by default. Start the Docker daemon in experimental mode in order to enable it.";
    Err(Failure::new(Kind::NotImplemented, text))
}

async fn no_manager((): (), _: Call) -> Outcome {
    let text = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.";
    Err(Failure::new(Kind::Unavailable, text))
}

async fn no_member((): (), _: Call) -> Outcome {
    Err(Failure::new(Kind::Unavailable, "This node is not part of a swarm"))
}

async fn no_plugin((): (), call: Call) -> Outcome {
    Err(Failure::new(Kind::NotFound, format!("plugin {:?} not found", call.name())))
}
