//! `manifest push`.

use super::inspect::{indented, index};
use super::registry::{access, login, said};
use super::store::{Image, Lists};
use super::{full, name};
use crate::command::{Action, Arguments, Command, Flag};
use crate::failure::Failure;
use crate::matches::Matches;
use crate::session::Session;
use crate::streams;
use hull_registry_client::{Begun, Repository};
use hull_types::{Digest, ImageRef};

pub static PUSH: Command = Command {
    usage: "[OPTIONS] MANIFEST_LIST",
    about: "Push a manifest list to a repository",
    names: &[],
    flags: &[
        Flag::switch("insecure", "Allow push to an insecure registry"),
        Flag::switch("purge", "Remove the local manifest list after push").short('p'),
    ],
    arguments: Arguments::Exactly(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(push(session, matches))),
};

async fn push(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let list = name(matches.argument(0))?;
    let lists = Lists::of(session.config());
    let images = lists.list(&list)?.unwrap_or_default();
    if images.is_empty() {
        return Err(Failure::new(format!("{} not found", full(&list))));
    }
    let sources = checked(&list, &images)?;
    let registry = access(&list, matches.switch("insecure"));
    let repository = registry.pusher(&list, &sources, login(session, &list)?);
    repository.connect_to_push().await.map_err(|error| said(&list, error))?;
    for image in &images {
        bring(&repository, &list, image).await?;
    }
    let value = index(&images);
    let kind = value["mediaType"].as_str().unwrap_or_default().to_owned();
    let digest = repository
        .put_manifest(list.tag().unwrap_or("latest"), &kind, indented(&value, b"   ")?)
        .await
        .map_err(|error| said(&list, error))?;
    streams::print_line(digest.as_str());
    if matches.switch("purge") {
        lists.remove(&list)?;
    }
    Ok(())
}

/// What the images lack is found before anything is sent. Returns the other repositories that they are in.
pub fn checked(list: &ImageRef, images: &[Image]) -> Result<Vec<String>, Failure> {
    let mut sources = Vec::new();
    for image in images {
        let platform = image.descriptor.platform.as_ref();
        if platform.is_none_or(|platform| platform.os.is_empty() || platform.architecture.is_empty()) {
            let name = &image.name;
            return Err(Failure::new(format!(
                "manifest {name} must have an OS and Architecture to be pushed to a registry"
            )));
        }
        let from = image.reference()?;
        if from.domain() != list.domain() {
            let (from, to) = (from.domain(), list.domain());
            return Err(Failure::new(format!(
                "cannot use source images from a different registry than the target image: {from} != {to}"
            )));
        }
        if from.path() != list.path() && !sources.iter().any(|known| known == from.path()) {
            sources.push(from.path().to_owned());
        }
    }
    Ok(sources)
}

/// An image of another repository comes into this one: its blobs are mounted, its manifest is put.
pub async fn bring(repository: &Repository, list: &ImageRef, image: &Image) -> Result<(), Failure> {
    let from = image.reference()?;
    if from.path() == list.path() {
        return Ok(());
    }
    let manifest = image.manifest().cloned().unwrap_or_default();
    let layers = manifest["layers"].as_array().cloned().unwrap_or_default();
    for blob in layers.iter().chain([&manifest["config"]]) {
        let digest: Digest = blob["digest"]
            .as_str()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| Failure::new(format!("{}: a layer has no digest", image.name)))?;
        if repository.blob_size(&digest).await.map_err(|error| said(list, error))?.is_some() {
            continue;
        }
        match repository
            .begin_upload(Some((&digest, from.path())))
            .await
            .map_err(|error| said(list, error))?
        {
            Begun::Mounted => {}
            Begun::Upload(_) => {
                let text =
                    format!("failed to mount blob {digest} from {} to {}", from.repository(), full(list));
                return Err(Failure::new(text));
            }
        }
    }
    let (kind, text) = (&image.descriptor.media_type, image.document()?);
    let place = list.with_digest(image.descriptor.digest.clone());
    let digest = repository
        .put_manifest(image.descriptor.digest.as_str(), kind, text)
        .await
        .map_err(|error| said(list, error))?;
    streams::print_line(&format!("Pushed ref {} with digest: {digest}", full(&place)));
    Ok(())
}
