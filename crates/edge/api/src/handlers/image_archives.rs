//! Images as archives: saved, loaded, imported.

use super::images::{pull, send_progress};
use crate::request::{BodyReader, Call};
use crate::response::{self, Outcome};
use crate::router::Router;
use crate::status::Failure;
use hull_api_types::{JsonMessage, JsonProgress};
use hull_image::{ImageError, Images, ImportOptions, LoadOptions};
use hull_registry_client::Registry;
use hull_types::{ImageRef, Platform, size};
use std::io;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// How often a download's progress is told at most.
const INTERVAL: Duration = Duration::from_millis(100);

pub fn register(router: &mut Router, images: &Images, registry: &Registry) {
    router.add("GET /images/get", images, save_several);
    router.add("GET /images/{name:.*}/get", images, save_one);
    router.add("POST /images/load", images, load);
    router.add("POST /images/create", &(images.clone(), registry.clone()), create);
}

async fn save_several(images: Images, call: Call) -> Outcome {
    let names: Vec<String> =
        call.query.all("names").filter(|name| !name.is_empty()).map(str::to_owned).collect();
    if names.is_empty() {
        return Err(Failure::invalid("no image named: give one with names="));
    }
    save(images, names, platform(&call)?).await
}

async fn save_one(images: Images, call: Call) -> Outcome {
    let name = call.name().to_owned();
    save(images, vec![name], platform(&call)?).await
}

async fn save(images: Images, names: Vec<String>, platform: Option<Platform>) -> Outcome {
    let saving = super::blocking(move || images.save(&names, platform.as_ref())).await?;
    response::written("application/x-tar", move |writer| saving.write(writer))
}

/// The platform asked for: a JSON document of the image specification's, or its short form.
pub(super) fn platform(call: &Call) -> Result<Option<Platform>, Failure> {
    let Some(text) = call.query.text("platform") else { return Ok(None) };
    let parsed = match text.starts_with('{') {
        // Brought into the normal form, in which an architecture has one name.
        true => serde_json::from_str::<Platform>(text)
            .map_err(|error| error.to_string())
            .and_then(|platform| platform.to_string().parse().map_err(|error| format!("{error}"))),
        false => text.parse::<Platform>().map_err(|error| error.to_string()),
    };
    parsed.map(Some).map_err(|cause| Failure::invalid(format!("invalid platform: {cause}")))
}

async fn load(images: Images, mut call: Call) -> Outcome {
    let options = LoadOptions { quiet: call.query.flag("quiet"), platform: platform(&call)? };
    let body = call.reader();
    let (sender, messages) = mpsc::channel(16);
    let work = tokio::task::spawn_blocking(move || images.load(body, &options, &sender));
    told(messages, work).await
}

async fn create((images, registry): (Images, Registry), mut call: Call) -> Outcome {
    let Some(source) = call.query.text("fromSrc").map(str::to_owned) else { return pull(images, call).await };
    let name = match call.query.text("repo") {
        Some(repository) => Some(name(repository, call.query.text("tag"))?),
        None => None,
    };
    let message = match call.query.text("message") {
        Some(message) => message.to_owned(),
        None => format!("Imported from {source}"),
    };
    let changes = call.query.all("changes").map(str::to_owned).collect();
    let options = ImportOptions { name, message, changes, platform: platform(&call)? };
    let (sender, messages) = mpsc::channel(16);
    let body = match source.as_str() {
        "-" => call.reader(),
        // A name without scheme is the web's, as Docker has it.
        url => {
            let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
            download(&registry, &url, sender.clone()).await?
        }
    };
    let work = tokio::task::spawn_blocking(move || {
        let id = images.import(body, &options)?;
        let done = JsonMessage { status: id.to_string(), ..JsonMessage::default() };
        sender.blocking_send(done).map_err(|_| ImageError::Cancelled)
    });
    told(messages, work).await
}

fn name(repository: &str, tag: Option<&str>) -> Result<ImageRef, Failure> {
    let invalid = |error: hull_types::ImageRefError| Failure::invalid(error.to_string());
    let parsed: ImageRef = repository.parse().map_err(invalid)?;
    if parsed.digest().is_some() {
        return Err(Failure::invalid("cannot import digest reference"));
    }
    match tag {
        Some(tag) => parsed.with_tag(tag).map_err(invalid),
        None => Ok(parsed.or_latest()),
    }
}

/// What is at an address, as a body to read on a blocking thread, with its progress told.
async fn download(
    registry: &Registry,
    url: &str,
    to: mpsc::Sender<JsonMessage>,
) -> Result<BodyReader, Failure> {
    let mut source = registry.fetch(url).await?;
    let total = source.length().unwrap_or(0);
    let (sender, pieces) = mpsc::channel(4);
    let begun = JsonMessage { status: format!("Downloading from {url}"), ..JsonMessage::default() };
    let _ = to.send(begun).await;
    tokio::spawn(async move {
        let (mut done, mut told) = (0_u64, Instant::now());
        loop {
            let piece = match source.next().await {
                Ok(None) => return,
                Ok(Some(piece)) => Ok(piece),
                Err(error) => Err(io::Error::other(error)),
            };
            done += piece.as_ref().map_or(0, |piece| piece.len() as u64);
            let failed = piece.is_err();
            if sender.send(piece).await.is_err() || failed {
                return;
            }
            if told.elapsed() >= INTERVAL || done == total {
                told = Instant::now();
                let _ = to.try_send(importing(done, total));
            }
        }
    });
    Ok(BodyReader::new(pieces))
}

fn importing(current: u64, total: u64) -> JsonMessage {
    let detail = JsonProgress { current: current as i64, total: total as i64, ..JsonProgress::default() };
    let progress = size::decimal(current as f64);
    JsonMessage {
        status: "Importing".into(),
        progress_detail: Some(detail),
        progress,
        ..JsonMessage::default()
    }
}

/// Streams what the work tells. What fails before it says anything fails by its status.
async fn told<T: Send + 'static>(
    mut messages: mpsc::Receiver<JsonMessage>,
    work: JoinHandle<Result<T, ImageError>>,
) -> Outcome {
    match messages.recv().await {
        Some(first) => {
            let (sender, pieces) = mpsc::channel(16);
            tokio::spawn(send_progress(first, messages, work, sender));
            response::stream("application/json", pieces, None)
        }
        None => {
            super::to_the_end(async { work.await.unwrap_or_else(|error| Err(error.into())) }).await?;
            response::empty(hyper::StatusCode::OK)
        }
    }
}
