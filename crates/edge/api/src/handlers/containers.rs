//! Containers, as far as request and answer are plain.

use super::to_the_end;
use crate::request::Call;
use crate::response::{self, Outcome, empty};
use crate::router::Router;
use crate::status::Failure;
use crate::version::ApiVersion;
use bytes::Bytes;
use hull_api_types::{ContainerConfig, ContainerCreateRequest, ContainerUpdateRequest};
use hull_container::{CommitOptions, Containers, ListOptions, RemoveOptions, WaitCondition};
use hull_errors::Kind;
use hull_types::{ImageRef, ImageRefError, Platform};
use hyper::StatusCode;
use hyper::body::Body as _;
use tokio::sync::mpsc;

const LIST_FILTERS: [&str; 16] = [
    "ancestor",
    "annotation",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
];
const PRUNE_FILTERS: [&str; 3] = ["label", "label!", "until"];

pub fn register(router: &mut Router, containers: &Containers, experimental: bool) {
    router.add("POST /commit", containers, commit);
    router.add("GET /containers/json", containers, list);
    router.add("POST /containers/create", containers, create);
    router.add("POST /containers/prune", containers, prune);
    router.add("GET /containers/{name:.*}/json", containers, inspect);
    router.add("GET /containers/{name:.*}/top", containers, top);
    router.add("GET /containers/{name:.*}/changes", containers, changes);
    router.add("POST /containers/{name:.*}/start", &(containers.clone(), experimental), start);
    router.add("POST /containers/{name:.*}/stop", containers, stop);
    router.add("POST /containers/{name:.*}/restart", containers, restart);
    router.add("POST /containers/{name:.*}/kill", containers, kill);
    router.add("POST /containers/{name:.*}/pause", containers, pause);
    router.add("POST /containers/{name:.*}/unpause", containers, unpause);
    router.add("POST /containers/{name:.*}/rename", containers, rename);
    router.add("POST /containers/{name:.*}/update", containers, update);
    router.add("POST /containers/{name:.*}/resize", containers, resize);
    router.add("POST /containers/{name:.*}/wait", containers, wait);
    router.add("DELETE /containers/{name:.*}", containers, remove);
}

async fn list(containers: Containers, call: Call) -> Outcome {
    let options = ListOptions {
        all: call.query.flag("all"),
        limit: call.query.number("limit")?.filter(|limit| *limit > 0),
        size: call.query.flag("size"),
        filters: call.query.filters(&LIST_FILTERS)?,
    };
    call.shape().json(&containers.list(options).await?)
}

async fn create(containers: Containers, mut call: Call) -> Outcome {
    let request: ContainerCreateRequest = call.json().await?;
    let platform = call.query.text("platform").map(str::parse::<Platform>).transpose();
    let platform = platform.map_err(|error| Failure::invalid(error.to_string()))?;
    let name = call.query.text("name").map(str::to_owned);
    let created =
        to_the_end(async move { containers.create(name.as_deref(), platform, request).await }).await?;
    call.shape().json_with(StatusCode::CREATED, &created)
}

async fn prune(containers: Containers, call: Call) -> Outcome {
    let filters = call.query.filters(&PRUNE_FILTERS)?;
    let pruned = to_the_end(async move { containers.prune(&filters).await }).await?;
    call.shape().json(&pruned)
}

async fn inspect(containers: Containers, call: Call) -> Outcome {
    call.shape().json(&containers.inspect(call.name(), call.query.flag("size")).await?)
}

async fn top(containers: Containers, call: Call) -> Outcome {
    let arguments = call.query.text("ps_args").unwrap_or("-ef");
    call.shape().json(&containers.top(call.name(), arguments).await?)
}

async fn changes(containers: Containers, call: Call) -> Outcome {
    call.shape().json(&containers.changes(call.name()).await?)
}

async fn start((containers, experimental): (Containers, bool), call: Call) -> Outcome {
    // Clients before 1.22 sent the host configuration here; `{}` and `null` are let through.
    let length = call.body.as_ref().map_or(Some(0), |body| body.size_hint().exact());
    if length.is_none_or(|length| length > 7) {
        return Err(Failure::invalid(
            "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24",
        ));
    }
    if call.query.text("checkpoint").is_some() {
        if !experimental {
            return Err(Failure::invalid("checkpoint is only supported in experimental mode"));
        }
        return Err(Failure::new(
            Kind::NotImplemented,
            "starting from a checkpoint is not available in Hull yet",
        ));
    }
    let name = call.name().to_owned();
    to_the_end(async move { containers.start(&name).await }).await?;
    empty(StatusCode::NO_CONTENT)
}

async fn stop(containers: Containers, call: Call) -> Outcome {
    let (name, signal, timeout) = stopping(&call)?;
    to_the_end(async move { containers.stop(&name, signal.as_deref(), timeout).await }).await?;
    empty(StatusCode::NO_CONTENT)
}

async fn restart(containers: Containers, call: Call) -> Outcome {
    let (name, signal, timeout) = stopping(&call)?;
    to_the_end(async move { containers.restart(&name, signal.as_deref(), timeout).await }).await?;
    empty(StatusCode::NO_CONTENT)
}

type Stopping = (String, Option<String>, Option<i64>);

fn stopping(call: &Call) -> Result<Stopping, Failure> {
    Ok((call.name().to_owned(), call.query.text("signal").map(str::to_owned), call.query.number("t")?))
}

async fn kill(containers: Containers, call: Call) -> Outcome {
    let (name, signal) = (call.name().to_owned(), call.query.text("signal").map(str::to_owned));
    to_the_end(async move { containers.kill(&name, signal.as_deref()).await }).await?;
    empty(StatusCode::NO_CONTENT)
}

async fn pause(containers: Containers, call: Call) -> Outcome {
    let name = call.name().to_owned();
    to_the_end(async move { containers.pause(&name).await }).await?;
    empty(StatusCode::NO_CONTENT)
}

async fn unpause(containers: Containers, call: Call) -> Outcome {
    let name = call.name().to_owned();
    to_the_end(async move { containers.unpause(&name).await }).await?;
    empty(StatusCode::NO_CONTENT)
}

async fn rename(containers: Containers, call: Call) -> Outcome {
    let (name, new_name) = (call.name().to_owned(), call.query.get("name").unwrap_or_default().to_owned());
    to_the_end(async move { containers.rename(&name, &new_name).await }).await?;
    empty(StatusCode::NO_CONTENT)
}

async fn update(containers: Containers, mut call: Call) -> Outcome {
    let request: ContainerUpdateRequest = call.json().await?;
    let name = call.name().to_owned();
    let updated = to_the_end(async move { containers.update(&name, request).await }).await?;
    call.shape().json(&updated)
}

async fn resize(containers: Containers, call: Call) -> Outcome {
    let (height, width) = size(&call)?;
    containers.resize(call.name(), height, width).await?;
    empty(StatusCode::OK)
}

/// Height and width, which a resize must have.
pub fn size(call: &Call) -> Result<(u32, u32), Failure> {
    let side = |name| {
        call.query.number(name)?.ok_or_else(|| {
            Failure::invalid(format!("invalid resize {name}: strconv.Atoi: parsing \"\": invalid syntax"))
        })
    };
    Ok((side("h")?, side("w")?))
}

async fn remove(containers: Containers, call: Call) -> Outcome {
    let options = RemoveOptions {
        force: call.query.flag("force"),
        volumes: call.query.flag("v"),
        link: call.query.flag("link"),
    };
    let name = call.name().to_owned();
    to_the_end(async move { containers.remove(&name, options).await }).await?;
    empty(StatusCode::NO_CONTENT)
}

// The head goes out at once: clients start the container only when they know that somebody waits for it.
async fn wait(containers: Containers, call: Call) -> Outcome {
    // Before 1.30 there were no conditions, and no early head.
    let modern = call.version >= ApiVersion::v1(30);
    let condition = match call.query.text("condition").filter(|_| modern) {
        None | Some("not-running") => WaitCondition::NotRunning,
        Some("next-exit") => WaitCondition::NextExit,
        Some("removed") => WaitCondition::Removed,
        Some(other) => return Err(Failure::invalid(format!("invalid condition: {other:?}"))),
    };
    let wait = containers.wait(call.name(), condition).await?;
    let shape = call.shape();
    if !modern {
        return shape.json(&wait.finish().await);
    }
    let (sender, pieces) = mpsc::channel(1);
    let task = tokio::spawn(async move {
        let answer = wait.finish().await;
        let bytes = shape.bytes(&answer).unwrap_or_else(|failure| Bytes::from(failure.message));
        let _ = sender.send(Ok(bytes)).await;
    });
    response::stream("application/json", pieces, Some(response::AbortOnDrop(task.abort_handle())))
}

async fn commit(containers: Containers, mut call: Call) -> Outcome {
    let Some(container) = call.query.text("container").map(str::to_owned) else {
        return Err(Failure::invalid("container is missing: name one with container="));
    };
    let invalid = |error: ImageRefError| Failure::invalid(error.to_string());
    let name = match call.query.text("repo") {
        None => None,
        Some(repository) => {
            let parsed: ImageRef = repository.parse().map_err(invalid)?;
            if parsed.digest().is_some() {
                return Err(Failure::invalid("refusing to create a tag with a digest reference"));
            }
            Some(match call.query.text("tag") {
                Some(tag) => parsed.with_tag(tag).map_err(invalid)?,
                None => parsed.or_latest(),
            })
        }
    };
    let text = |key| call.query.get(key).unwrap_or_default().to_owned();
    let (author, comment) = (text("author"), text("comment"));
    let changes = call.query.all("changes").map(str::to_owned).collect();
    let pause = call.query.flag_or("pause", true);
    let config: Option<ContainerConfig> = call.json_or_default().await?;
    let options = CommitOptions { name, author, comment, changes, config, pause };
    let (shape, commit) = (call.shape(), async move { containers.commit(&container, options).await });
    shape.json_with(StatusCode::CREATED, &to_the_end(commit).await?)
}
