//! Files in and out of a container.

use super::to_the_end;
use crate::request::Call;
use crate::response::{self, Outcome, empty, with_header};
use crate::router::Router;
use crate::status::Failure;
use base64::Engine;
use hull_api_types::ContainerPathStat;
use hull_container::Containers;
use hyper::StatusCode;

const PATH_STAT: &str = "x-docker-container-path-stat";

pub fn register(router: &mut Router, containers: &Containers) {
    router.add("HEAD /containers/{name:.*}/archive", containers, stat);
    router.add("GET /containers/{name:.*}/archive", containers, get);
    router.add("PUT /containers/{name:.*}/archive", containers, put);
}

fn path(call: &Call) -> Result<&str, Failure> {
    call.query.text("path").ok_or_else(|| Failure::invalid("bad parameter: path cannot be empty"))
}

fn encoded(stat: &ContainerPathStat) -> Result<String, Failure> {
    let json = serde_json::to_vec(stat)
        .map_err(|error| Failure::internal(format!("write a path's state: {error}")))?;
    Ok(base64::engine::general_purpose::STANDARD.encode(json))
}

async fn stat(containers: Containers, call: Call) -> Outcome {
    let stat = containers.archive_stat(call.name(), path(&call)?).await?;
    with_header(empty(StatusCode::OK)?, PATH_STAT, &encoded(&stat)?)
}

async fn get(containers: Containers, call: Call) -> Outcome {
    let (stat, pieces) = containers.archive_get(call.name(), path(&call)?).await?;
    with_header(response::stream("application/x-tar", pieces, None)?, PATH_STAT, &encoded(&stat)?)
}

async fn put(containers: Containers, mut call: Call) -> Outcome {
    let (name, path) = (call.name().to_owned(), path(&call)?.to_owned());
    let keep_kinds = call.query.flag("noOverwriteDirNonDir");
    let keep_owners = call.query.flag("copyUIDGID");
    let body = call.reader();
    to_the_end(async move { containers.archive_put(&name, &path, keep_kinds, keep_owners, body).await })
        .await?;
    empty(StatusCode::OK)
}
