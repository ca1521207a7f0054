//! Volumes.

use super::blocking;
use crate::request::Call;
use crate::response::{self, Outcome, empty};
use crate::router::Router;
use crate::status::Failure;
use hull_api_types::{VolumeCreateOptions, VolumeListResponse};
use hull_errors::Kind;
use hull_volume::Volumes;
use hyper::StatusCode;

const LIST_FILTERS: [&str; 4] = ["dangling", "driver", "label", "name"];
const PRUNE_FILTERS: [&str; 3] = ["all", "label", "label!"];

pub fn register(router: &mut Router, volumes: &Volumes) {
    router.add("GET /volumes", volumes, list);
    router.add("POST /volumes/create", volumes, create);
    router.add("POST /volumes/prune", volumes, prune);
    // Hull's own; a volume's name has no slash.
    router.add("GET /volumes/{name}/export", volumes, export);
    router.add("POST /volumes/{name}/import", volumes, import);
    router.add("POST /volumes/{name}/clone", volumes, copy);
    router.add("POST /volumes/{name}/rename", volumes, rename);
    router.add("PUT /volumes/{name:.*}", &(), update);
    router.add("GET /volumes/{name:.*}", volumes, inspect);
    router.add("DELETE /volumes/{name:.*}", volumes, remove);
}

async fn list(volumes: Volumes, call: Call) -> Outcome {
    let filters = call.query.filters(&LIST_FILTERS)?;
    let mut volumes = blocking(move || volumes.list(&filters)).await?;
    // What a volume holds is told by `/system/df` alone.
    volumes.iter_mut().for_each(|volume| volume.usage_data = None);
    call.shape().json(&VolumeListResponse { volumes, warnings: None })
}

async fn create(volumes: Volumes, mut call: Call) -> Outcome {
    let options: VolumeCreateOptions = call.json().await?;
    let volume = blocking(move || volumes.create(options)).await?;
    call.shape().json_with(StatusCode::CREATED, &volume)
}

async fn inspect(volumes: Volumes, call: Call) -> Outcome {
    let name = call.name().to_owned();
    call.shape().json(&blocking(move || volumes.get(&name)).await?)
}

async fn remove(volumes: Volumes, call: Call) -> Outcome {
    let (name, force) = (call.name().to_owned(), call.query.flag("force"));
    blocking(move || volumes.remove(&name, force)).await?;
    empty(StatusCode::NO_CONTENT)
}

async fn prune(volumes: Volumes, call: Call) -> Outcome {
    let filters = call.query.filters(&PRUNE_FILTERS)?;
    call.shape().json(&blocking(move || volumes.prune(&filters)).await?)
}

async fn update((): (), _: Call) -> Outcome {
    let text = "volume update only valid for cluster volumes, but swarm is unavailable";
    Err(Failure::new(Kind::Unavailable, text))
}

async fn export(volumes: Volumes, call: Call) -> Outcome {
    let name = call.name().to_owned();
    let zstd = match call.query.text("compression").unwrap_or_default() {
        "" | "none" => false,
        "zstd" => true,
        other => return Err(Failure::invalid(format!("invalid compression {other:?}: it is none or zstd"))),
    };
    let export = blocking(move || volumes.export(&name)).await?;
    let kind = if zstd { "application/zstd" } else { "application/x-tar" };
    response::written(kind, move |writer| if zstd { export.write_zstd(writer) } else { export.write(writer) })
}

async fn import(volumes: Volumes, mut call: Call) -> Outcome {
    let (name, body) = (call.name().to_owned(), call.reader());
    let volume = blocking(move || volumes.import(&name, body)).await?;
    call.shape().json_with(StatusCode::CREATED, &volume)
}

fn new_name(call: &Call) -> Result<String, Failure> {
    let name = call.query.text("to").filter(|name| !name.is_empty());
    name.map(str::to_owned).ok_or_else(|| Failure::invalid("the query has no new name: to"))
}

async fn copy(volumes: Volumes, call: Call) -> Outcome {
    let (from, to) = (call.name().to_owned(), new_name(&call)?);
    let volume = blocking(move || volumes.copy(&from, &to)).await?;
    call.shape().json_with(StatusCode::CREATED, &volume)
}

async fn rename(volumes: Volumes, call: Call) -> Outcome {
    let (from, to) = (call.name().to_owned(), new_name(&call)?);
    call.shape().json(&blocking(move || volumes.rename(&from, &to)).await?)
}
