//! `manifest inspect`.

use super::registry::{Found, find, find_image};
use super::store::{Image, Lists};
use super::{full, name};
use crate::command::{Action, Arguments, Command, Flag};
use crate::failure::Failure;
use crate::matches::Matches;
use crate::session::Session;
use crate::streams;
use hull_types::oci::image::media_type;
use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};
use serde_json::{Map, Value, json};

pub static INSPECT: Command = Command {
    usage: "[OPTIONS] [MANIFEST_LIST] MANIFEST",
    about: "Display an image manifest, or manifest list",
    names: &[],
    flags: &[
        Flag::switch("insecure", "Allow communication with an insecure registry"),
        Flag::switch("verbose", "Output additional info including layers and platform").short('v'),
    ],
    arguments: Arguments::Between(1, 2),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(inspect(session, matches))),
};

async fn inspect(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let (verbose, insecure) = (matches.switch("verbose"), matches.switch("insecure"));
    let lists = Lists::of(session.config());
    if !matches.argument(1).is_empty() {
        let (list, image) = (name(matches.argument(0))?, name(matches.argument(1))?);
        if lists.list(&list)?.is_none() {
            return Err(Failure::new(format!("No such manifest: {}", full(&list))));
        }
        let found = match lists.get(&list, &image)? {
            Some(found) => found,
            None => find_image(session, &image, insecure).await?,
        };
        return show_image(&found, verbose);
    }
    let wanted = name(matches.argument(0))?;
    if let Some(images) = lists.list(&wanted)? {
        return show_list(&images, verbose);
    }
    match find(session, &wanted, insecure).await? {
        Found::Image(image) => show_image(&image, verbose),
        Found::List(images) => show_list(&images, verbose),
    }
}

fn show_image(image: &Image, verbose: bool) -> Result<(), Failure> {
    if verbose {
        return print(image, b"\t");
    }
    let value: Value = serde_json::from_slice(&image.document()?)
        .map_err(|error| Failure::new(format!("{}: {error}", image.name)))?;
    print(&value, b"\t")
}

fn show_list(images: &[Image], verbose: bool) -> Result<(), Failure> {
    if verbose { print(&images, b"\t") } else { print(&index(images), b"   ") }
}

/// The list as it is pushed; the fields are in Docker's order.
pub fn index(images: &[Image]) -> Value {
    let oci = images.first().is_some_and(|image| image.descriptor.media_type == media_type::OCI_MANIFEST);
    let entries: Vec<Value> = images
        .iter()
        .map(|image| {
            let of = &image.descriptor;
            let mut entry = Map::new();
            entry.insert("mediaType".into(), of.media_type.clone().into());
            entry.insert("size".into(), of.size.into());
            entry.insert("digest".into(), of.digest.as_str().into());
            if !of.annotations.is_empty() {
                entry.insert("annotations".into(), json!(of.annotations));
            }
            entry.insert("platform".into(), json!(of.platform.clone().unwrap_or_default()));
            Value::Object(entry)
        })
        .collect();
    let kind = if oci { media_type::OCI_INDEX } else { media_type::DOCKER_INDEX };
    json!({ "schemaVersion": 2, "mediaType": kind, "manifests": entries })
}

/// The text of a list, as Docker's registries have it: three spaces a step.
pub fn indented(value: &impl Serialize, step: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(step));
    value.serialize(&mut serializer).map_err(|error| Failure::new(error.to_string()))?;
    Ok(text)
}

fn print(value: &impl Serialize, step: &[u8]) -> Result<(), Failure> {
    streams::print_line(&String::from_utf8_lossy(&indented(value, step)?));
    Ok(())
}
