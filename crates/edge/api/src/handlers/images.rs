//! Images.

use super::image_archives::platform;
use super::{blocking, to_the_end};
use crate::compat::v1_50::{CONTAINER_ONLY, OMITTED};
use crate::request::Call;
use crate::response::{self, AbortOnDrop, Outcome, empty};
use crate::router::Router;
use crate::status::{Failure, text_of};
use bytes::Bytes;
use hull_api_types::{ImageInspect, ImageListOptions, JsonError, JsonMessage};
use hull_image::{ImageError, Images};
use hull_types::{Digest, ImageRef};
use hyper::StatusCode;
use serde_json::Value;
use std::io;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

const LIST_FILTERS: [&str; 6] = ["before", "dangling", "label", "reference", "since", "until"];
const PRUNE_FILTERS: [&str; 5] = ["all", "dangling", "label", "label!", "until"];

pub fn register(router: &mut Router, images: &Images) {
    router.add("GET /images/json", images, list);
    router.add("POST /images/prune", images, prune);
    router.add("GET /images/{name:.*}/json", images, inspect);
    router.add("GET /images/{name:.*}/history", images, history);
    router.add("GET /images/{name:.*}/attestations", images, attestations);
    router.add("POST /images/{name:.*}/tag", images, tag);
    router.add("DELETE /images/{name:.*}", images, remove);
}

async fn list(images: Images, call: Call) -> Outcome {
    let options = ImageListOptions {
        all: call.query.flag("all"),
        filters: call.query.filters(&LIST_FILTERS)?,
        shared_size: call.query.flag("shared-size"),
        digests: call.query.flag("digests"),
        manifests: call.query.flag("manifests"),
    };
    call.shape().json(&blocking(move || images.list(&options)).await?)
}

async fn inspect(images: Images, call: Call) -> Outcome {
    let (name, platform, manifests) =
        (call.name().to_owned(), platform(&call)?, call.query.flag("manifests"));
    if platform.is_some() && manifests {
        return Err(Failure::invalid(
            "conflicting options: manifests and platform options cannot both be set",
        ));
    }
    let inspected = move || {
        images.resolve(&name, platform.as_ref())?;
        images.inspect(&name, manifests)
    };
    call.shape().json(&newest(&blocking(inspected).await?)?)
}

/// The newest form: without what concerns containers only, and without what is not known.
fn newest(image: &ImageInspect) -> Result<Value, Failure> {
    let mut value = serde_json::to_value(image).map_err(|error| Failure::internal(error.to_string()))?;
    if let Some(image) = value.as_object_mut() {
        image.retain(|key, value| !OMITTED.contains(&key.as_str()) || value.as_str() != Some(""));
    }
    if let Some(config) = value.get_mut("Config").and_then(Value::as_object_mut) {
        config.retain(|key, _| !CONTAINER_ONLY.iter().any(|(only, _)| only == key));
    }
    Ok(value)
}

async fn history(images: Images, call: Call) -> Outcome {
    let (name, platform) = (call.name().to_owned(), platform(&call)?);
    let told = move || {
        images.resolve(&name, platform.as_ref())?;
        images.history(&name)
    };
    call.shape().json(&blocking(told).await?)
}

async fn attestations(images: Images, call: Call) -> Outcome {
    if call.query.all("platform").count() > 1 {
        return Err(Failure::invalid("only one platform can be asked for"));
    }
    let (name, platform) = (call.name().to_owned(), platform(&call)?);
    let types: Vec<String> = call.query.all("type").map(str::to_owned).collect();
    let statements = call.query.flag("statement");
    let told = move || {
        images.resolve(&name, platform.as_ref())?;
        images.attestations(&name, &types, statements)
    };
    call.shape().json(&blocking(told).await?)
}

async fn tag(images: Images, call: Call) -> Outcome {
    let name = call.name().to_owned();
    let text = |key| call.query.get(key).unwrap_or_default().to_owned();
    let (repository, tag) = (text("repo"), text("tag"));
    blocking(move || images.tag(&name, &repository, &tag)).await?;
    empty(StatusCode::CREATED)
}

async fn remove(images: Images, call: Call) -> Outcome {
    let name = call.name().to_owned();
    if name.trim().is_empty() {
        return Err(Failure::invalid("image name cannot be blank"));
    }
    let (force, noprune) = (call.query.flag("force"), call.query.flag("noprune"));
    call.shape().json(&blocking(move || images.remove(&name, force, noprune)).await?)
}

async fn prune(images: Images, call: Call) -> Outcome {
    let filters = call.query.filters(&PRUNE_FILTERS)?;
    call.shape().json(&blocking(move || images.prune(&filters)).await?)
}

pub(super) async fn pull(images: Images, call: Call) -> Outcome {
    let name = call.query.text("fromImage").unwrap_or_default();
    let wanted = reference(name, call.query.text("tag"))?;
    let platform = platform(&call)?;
    let auth = call.registry_auth();
    let (sender, messages) = mpsc::channel(16);
    let pulling = async move {
        match wanted {
            Wanted::One(reference) => images.pull(&reference, platform, auth, sender).await.map(drop),
            Wanted::AllTags(repository) => images.pull_all(&repository, platform, auth, sender).await,
        }
    };
    told(pulling, messages).await
}

/// Answers with what the work tells while it goes on; it ends when the client goes away.
pub(super) async fn told<T: Send + 'static>(
    work: impl Future<Output = Result<T, ImageError>> + Send + 'static,
    mut messages: mpsc::Receiver<JsonMessage>,
) -> Outcome {
    let work = tokio::spawn(work);
    let guard = AbortOnDrop(work.abort_handle());
    // What fails before it says anything fails by its status.
    match messages.recv().await {
        Some(first) => {
            let (sender, pieces) = mpsc::channel(16);
            tokio::spawn(send_progress(first, messages, work, sender));
            response::stream("application/json", pieces, Some(guard))
        }
        None => {
            to_the_end(async { work.await.unwrap_or_else(|error| Err(error.into())) }).await?;
            empty(StatusCode::OK)
        }
    }
}

/// What is to be pulled.
#[derive(Debug, PartialEq)]
enum Wanted {
    One(ImageRef),
    AllTags(ImageRef),
}

/// What `fromImage` and `tag` name; a tag may be a digest.
fn reference(name: &str, tag: Option<&str>) -> Result<Wanted, Failure> {
    let invalid = |error: hull_types::ImageRefError| Failure::invalid(error.to_string());
    // `docker pull -a` of old clients sent the name with a colon.
    let reference: ImageRef = name.strip_suffix(':').unwrap_or(name).parse().map_err(invalid)?;
    match tag {
        Some(tag) if tag.contains(':') => {
            let digest: Digest = tag.parse().map_err(|_| Failure::invalid("invalid reference format"))?;
            Ok(Wanted::One(reference.with_digest(digest)))
        }
        Some(tag) => Ok(Wanted::One(reference.with_tag(tag).map_err(invalid)?)),
        None if reference.tag().is_none() && reference.digest().is_none() => Ok(Wanted::AllTags(reference)),
        None => Ok(Wanted::One(reference)),
    }
}

pub(super) async fn send_progress<T>(
    first: JsonMessage,
    mut messages: mpsc::Receiver<JsonMessage>,
    pull: JoinHandle<Result<T, ImageError>>,
    sender: mpsc::Sender<io::Result<Bytes>>,
) {
    let mut next = Some(first);
    while let Some(message) = next {
        // The client's going away drops the receiver, and with it the guard that ends the pull.
        if sender.send(Ok(line(&message))).await.is_err() {
            return;
        }
        next = messages.recv().await;
    }
    let failed = match pull.await {
        Ok(Ok(_)) => return,
        Ok(Err(error)) => text_of(&error),
        Err(error) => error.to_string(),
    };
    let error_detail = Some(JsonError { code: 0, message: failed.clone() });
    let message = JsonMessage { error_detail, error: failed, ..JsonMessage::default() };
    let _ = sender.send(Ok(line(&message))).await;
}

fn line(message: &JsonMessage) -> Bytes {
    let mut bytes = serde_json::to_vec(message).unwrap_or_default();
    bytes.extend_from_slice(b"\r\n");
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hull_errors::Kind;

    #[test]
    fn pulled_names() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let one = |name, tag| match reference(name, tag).unwrap() {
            Wanted::One(reference) => reference.familiar(),
            Wanted::AllTags(repository) => format!("all of {}", repository.familiar()),
        };
        assert_eq!(one("bb", Some("1")), "bb:1");
        assert_eq!(one("bb:2", None), "bb:2");
        assert_eq!(one("bb", Some(&digest)), format!("bb@{digest}"));
        assert_eq!(one("bb", None), "all of bb");
        assert_eq!(reference("BB", Some("1")).unwrap_err().kind, Kind::InvalidParameter);
    }

    #[test]
    fn the_newest_inspection_has_no_container_fields() {
        let image =
            ImageInspect { config: Some(Default::default()), author: "a".into(), ..Default::default() };
        let value = newest(&image).unwrap();
        assert!(value["Config"].get("Tty").is_none() && value["Config"].get("Cmd").is_some());
        assert!(value.get("Parent").is_none());
        assert_eq!(value["Author"], "a");
    }

    #[test]
    fn messages_end_in_crlf() {
        let message = JsonMessage { status: "Pulling".into(), ..Default::default() };
        assert_eq!(&line(&message)[..], b"{\"status\":\"Pulling\"}\r\n");
    }
}
