//! `POST /images/{name}/push`.

use super::image_archives::platform;
use super::images::told;
use crate::request::Call;
use crate::response::Outcome;
use crate::router::Router;
use crate::status::Failure;
use hull_image::Images;
use hull_types::{ImageRef, ImageRefError};
use tokio::sync::mpsc;

pub fn register(router: &mut Router, images: &Images) {
    router.add("POST /images/{name:.*}/push", images, push);
}

async fn push(images: Images, call: Call) -> Outcome {
    let invalid = |error: ImageRefError| Failure::invalid(error.to_string());
    let named: ImageRef = call.name().parse().map_err(invalid)?;
    let reference = match call.query.text("tag") {
        Some(tag) => named.with_tag(tag).map_err(invalid)?,
        None => named,
    };
    let platform = platform(&call)?;
    let auth = call.registry_auth();
    let (sender, messages) = mpsc::channel(16);
    told(async move { images.push(&reference, platform, auth, sender).await }, messages).await
}
