//! Volumes.

use super::blocking;
use crate::request::Call;
use crate::response::{Outcome, empty};
use crate::router::Router;
use hull_api_types::{VolumeCreateOptions, VolumeListResponse};
use hull_volume::Volumes;
use hyper::StatusCode;

const LIST_FILTERS: [&str; 4] = ["dangling", "driver", "label", "name"];
const PRUNE_FILTERS: [&str; 3] = ["all", "label", "label!"];

pub fn register(router: &mut Router, volumes: &Volumes) {
    router.add("GET /volumes", volumes, list);
    router.add("POST /volumes/create", volumes, create);
    router.add("POST /volumes/prune", volumes, prune);
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
