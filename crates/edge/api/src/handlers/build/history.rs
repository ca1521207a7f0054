//! The records of builds.

use crate::request::Call;
use crate::response::{self, Outcome, empty};
use hull_api_types::build::BuildRecord;
use hull_build::{BuildRequest, Builder, Recorder};
use hyper::StatusCode;
use std::io;

pub async fn list(builder: Builder, call: Call) -> Outcome {
    call.shape().json(&builder.history().list()?)
}

pub async fn log(builder: Builder, call: Call) -> Outcome {
    let mut file = builder.history().log(call.param("ref"))?;
    response::written("application/json", move |writer| io::copy(&mut file, writer).map(drop))
}

pub async fn remove(builder: Builder, call: Call) -> Outcome {
    builder.history().remove(call.param("ref"))?;
    empty(StatusCode::NO_CONTENT)
}

/// Begins the record of a build. One that can't be kept is no reason not to build.
pub(super) fn begin(
    builder: &Builder,
    request: &BuildRequest,
    origin: &str,
    platforms: Vec<String>,
) -> Option<Recorder> {
    let record = BuildRecord {
        context: origin.to_owned(),
        dockerfile: request.dockerfile_name.clone(),
        target: request.target.clone(),
        platforms,
        tags: request.tags.iter().map(hull_types::ImageRef::familiar).collect(),
        args: request.args.clone(),
        labels: request.labels.clone(),
        network: Some(request.network.clone()).filter(|network| network != "default").unwrap_or_default(),
        no_cache: request.no_cache,
        ..BuildRecord::default()
    };
    let begun = builder.history().begin(record);
    begun.inspect_err(|error| tracing::warn!(%error, "the record of a build could not be begun")).ok()
}
