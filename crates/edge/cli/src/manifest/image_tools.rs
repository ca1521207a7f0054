//! `buildx imagetools`: images in registries, looked at and put together without an engine.

use super::inspect::{indented, index};
use super::push::{bring, checked};
use super::registry::{Found, access, find, login, said};
use super::store::Image;
use super::{full, name};
use crate::buildx::BUILDER;
use crate::command::{Action, Arguments, Command, Entry, Flag};
use crate::failure::{Failure, file_error};
use crate::format;
use crate::matches::Matches;
use crate::session::Session;
use crate::streams;
use hull_types::ImageRef;
use serde_json::{Value, json};

pub static GROUP: Command = Command {
    usage: "COMMAND",
    about: "Commands to work on images in registry",
    names: &[],
    flags: &[BUILDER],
    arguments: Arguments::Any,
    interspersed: true,
    action: Action::Group(&[Entry::new("create", &CREATE), Entry::new("inspect", &INSPECT)]),
};

static INSPECT: Command = Command {
    usage: "[OPTIONS] NAME",
    about: "Show details of an image in the registry",
    names: &[],
    flags: &[
        BUILDER,
        Flag::text("format", "string", "Format the output using the given Go template"),
        Flag::switch("raw", "Show original, unformatted JSON manifest"),
    ],
    arguments: Arguments::Exactly(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(inspect(session, matches))),
};

static CREATE: Command = Command {
    usage: "[OPTIONS] [SOURCE...]",
    about: "Create a new image based on source images",
    names: &[],
    flags: &[
        BUILDER,
        Flag::switch("dry-run", "Show final image instead of pushing"),
        Flag::list("file", "stringArray", "Read source descriptor from file").short('f'),
        Flag::text("progress", "string", "Set type of progress output").default("auto"),
        Flag::list("tag", "stringArray", "Set reference for new image").short('t'),
    ],
    arguments: Arguments::Any,
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(create(session, matches))),
};

async fn inspect(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let wanted = name(matches.argument(0))?;
    let repository = access(&wanted, false).repository(&wanted, login(session, &wanted)?);
    let resolved = repository.resolve(&wanted).await.map_err(|error| said(&wanted, error))?;
    let (descriptor, document) = match resolved.document {
        Some(document) => (resolved.descriptor, document),
        None => {
            let digest = resolved.descriptor.digest;
            repository.manifest(&digest).await.map_err(|error| said(&wanted, error))?
        }
    };
    if matches.switch("raw") {
        streams::print_bytes(&document);
        return Ok(());
    }
    let value: Value = serde_json::from_slice(&document)
        .map_err(|error| Failure::new(format!("{}: {error}", full(&wanted))))?;
    match matches.text("format") {
        "" => {
            streams::print(&description(&wanted, &descriptor.media_type, descriptor.digest.as_str(), &value))
        }
        template => {
            let mut manifest = value;
            manifest["digest"] = json!(descriptor.digest.as_str());
            manifest["size"] = json!(document.len());
            let known = json!({ "Name": full(&wanted), "name": full(&wanted), "Manifest": manifest, "manifest": manifest });
            streams::print(&format::one(template, &known)?);
        }
    }
    Ok(())
}

fn description(name: &ImageRef, kind: &str, digest: &str, manifest: &Value) -> String {
    let mut text = format!("Name:      {}\nMediaType: {kind}\nDigest:    {digest}\n", full(name));
    let Some(entries) = manifest["manifests"].as_array() else { return text };
    text.push_str("           \nManifests: \n");
    for (at, entry) in entries.iter().enumerate() {
        let word = |key: &str| entry[key].as_str().unwrap_or_default();
        if at > 0 {
            text.push_str("             \n");
        }
        text.push_str(&format!("  Name:        {}@{}\n", full(name), word("digest")));
        text.push_str(&format!("  MediaType:   {}\n", word("mediaType")));
        let platform = &entry["platform"];
        let parts = ["os", "architecture", "variant"].map(|key| platform[key].as_str().unwrap_or_default());
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        if !parts.is_empty() {
            text.push_str(&format!("  Platform:    {}\n", parts.join("/")));
        }
        if let Some(annotations) = entry["annotations"].as_object().filter(|map| !map.is_empty()) {
            text.push_str("  Annotations: \n");
            for (key, value) in annotations {
                text.push_str(&format!("    {key}: {}\n", value.as_str().unwrap_or_default()));
            }
        }
    }
    text
}

async fn create(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let (tags, dry) = (matches.list("tag"), matches.switch("dry-run"));
    if tags.is_empty() && !dry {
        return Err("ERROR: can't push with no tags specified, please set --tag or --dry-run".into());
    }
    let mut sources = matches.arguments().to_vec();
    for file in matches.list("file") {
        let text = std::fs::read_to_string(&file)
            .map_err(|error| Failure::new(file_error("open", &file, &error)))?;
        sources.extend(text.split_whitespace().map(str::to_owned));
    }
    let mut images: Vec<Image> = Vec::new();
    for source in &sources {
        match find(session, &name(source)?, false).await? {
            Found::Image(image) => images.push(*image),
            Found::List(list) => images.extend(list),
        }
    }
    if images.is_empty() {
        return Err("ERROR: no repositories specified, please set a reference in tag or source".into());
    }
    let value = index(&images);
    let text = indented(&value, b"  ")?;
    if dry {
        streams::print_line(&String::from_utf8_lossy(&text));
        return Ok(());
    }
    let kind = value["mediaType"].as_str().unwrap_or_default();
    for tag in tags {
        let list = name(&tag)?;
        let from = checked(&list, &images)?;
        let repository = access(&list, false).pusher(&list, &from, login(session, &list)?);
        repository.connect_to_push().await.map_err(|error| said(&list, error))?;
        for image in &images {
            bring(&repository, &list, image).await?;
        }
        let put = repository.put_manifest(list.tag().unwrap_or("latest"), kind, text.clone()).await;
        put.map_err(|error| said(&list, error))?;
        streams::complain(&format!("pushed {}", full(&list)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_described() {
        let name: ImageRef = "a/b:1".parse().unwrap();
        let manifest = json!({ "manifests": [
            { "digest": "sha256:1", "mediaType": "m", "platform": { "os": "linux", "architecture": "arm", "variant": "v7" } },
        ] });
        let text = description(&name, "list", "sha256:0", &manifest);
        assert_eq!(
            text,
            "Name:      docker.io/a/b:1\nMediaType: list\nDigest:    sha256:0\n           \nManifests: \n  \
             Name:        docker.io/a/b:1@sha256:1\n  MediaType:   m\n  Platform:    linux/arm/v7\n"
        );
    }
}
