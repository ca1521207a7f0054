//! Further processes in a running container.

use super::containers::size;
use super::streams::detach_keys;
use super::to_the_end;
use crate::hijack::{self, Hijack};
use crate::request::Call;
use crate::response::{Outcome, empty};
use crate::router::Router;
use crate::status::Failure;
use hull_api_types::{ExecCreateRequest, ExecStartRequest};
use hull_container::Containers;
use hull_errors::Kind;
use hyper::StatusCode;

pub fn register(router: &mut Router, containers: &Containers) {
    router.add("POST /containers/{name:.*}/exec", containers, create);
    router.add_hijack("POST /exec/{name}/start", containers, start);
    router.add("POST /exec/{name}/resize", containers, resize);
    router.add("GET /exec/{name}/json", containers, inspect);
}

async fn create(containers: Containers, mut call: Call) -> Outcome {
    let request: ExecCreateRequest = call.json().await?;
    if request.cmd.as_ref().is_none_or(Vec::is_empty) {
        return Err(Failure::invalid("No exec command specified"));
    }
    if !request.detach_keys.is_empty() {
        detach_keys(Some(&request.detach_keys))?;
    }
    let name = call.name().to_owned();
    let created = to_the_end(async move { containers.exec_create(&name, request).await }).await?;
    call.shape().json_with(StatusCode::CREATED, &created)
}

async fn start(containers: Containers, mut call: Call) -> Outcome {
    let request: ExecStartRequest = call.json_or_default().await?;
    let (id, detach) = (call.name().to_owned(), request.detach);
    let tty = request.tty;
    let started = to_the_end(async move { containers.exec_attach_start(&id, request).await }).await;
    match started {
        Ok(None) => Ok(hijack::detached()),
        Ok(Some(attachment)) => {
            let keys = detach_keys(attachment.detach_keys.as_deref().filter(|keys| !keys.is_empty()))?;
            Ok(Hijack::new(call.wants_upgrade(), call.version, attachment, keys).reply())
        }
        // Docker has hijacked the connection before it tries: why the process did not start is told as its output,
        // and clients then ask for its exit code, 126 or 127.
        Err(failure)
            if !detach && !matches!(failure.kind, Kind::NotFound | Kind::Conflict | Kind::NotImplemented) =>
        {
            let text = format!("{}\r\n", failure.message);
            Ok(Hijack::telling(call.wants_upgrade(), call.version, tty, &text).reply())
        }
        Err(failure) => Err(failure),
    }
}

async fn resize(containers: Containers, call: Call) -> Outcome {
    let (height, width) = size(&call)?;
    containers.exec_resize(call.name(), height, width).await?;
    empty(StatusCode::OK)
}

async fn inspect(containers: Containers, call: Call) -> Outcome {
    call.shape().json(&containers.exec_inspect(call.name()).await?)
}
