//! What an archive says that it holds: Docker's `manifest.json`, or an OCI layout's `index.json`.

use super::files::Files;
use super::not_an_archive;
use crate::documents::{self, Document};
use crate::error::{ImageError, Result};
use crate::manifests::attestations_in;
use crate::save::{CONTAINERD_NAME, REF_NAME};
use hull_registry_client::MANIFEST_LIMIT;
use hull_types::oci::image::{Descriptor, ImageConfig, Index, Manifest};
use hull_types::{Digest, ImageRef, Platform};
use serde::Deserialize;

/// One image of the archive.
#[derive(Debug)]
pub(super) struct Item {
    /// The configuration's name in the archive.
    pub(super) config: String,
    /// The layers' names, where there is no manifest.
    pub(super) layers: Vec<String>,
    /// What the image is to be called.
    pub(super) names: Vec<ImageRef>,
    /// Its manifest, where the archive has one.
    pub(super) manifest: Option<(Descriptor, Vec<u8>)>,
    /// What the names stand for, where it is an index.
    pub(super) target: Option<Descriptor>,
    /// Manifests of what is attested of it.
    pub(super) attested: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Line {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// Where a blob is in an OCI layout.
pub(super) fn place(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}

pub(super) fn find(files: &Files, platform: Option<&Platform>) -> Result<Vec<Item>> {
    let described = if files.has("index.json") { index(files, platform) } else { Ok(Vec::new()) };
    if files.has("manifest.json") {
        // The layout beside it only adds the manifests; what is wrong with it does not matter.
        return lines(files, platform, described.unwrap_or_default());
    }
    match described {
        Ok(items) if items.is_empty() && files.has("repositories") => Err(not_an_archive(
            "the archive was written by a Docker older than 1.10, which is not supported: load and save it with a Docker before 28".into(),
        )),
        Ok(items) if items.is_empty() => {
            Err(not_an_archive("there is neither a manifest.json nor an index.json with an image in the archive".into()))
        }
        other => other,
    }
}

fn lines(files: &Files, platform: Option<&Platform>, mut described: Vec<Item>) -> Result<Vec<Item>> {
    let text = files.document("manifest.json", MANIFEST_LIMIT)?;
    let lines: Vec<Line> = serde_json::from_slice(&text)
        .map_err(|error| not_an_archive(format!("invalid manifest.json: {error}")))?;
    let mut items = Vec::new();
    for line in lines {
        if !fits(files, &line.config, platform)? {
            continue;
        }
        let names = line.repo_tags.unwrap_or_default();
        let names = names.iter().map(|name| Ok(name.parse::<ImageRef>()?.or_latest()));
        let names = names.collect::<Result<Vec<ImageRef>>>()?;
        // The same image, with its own manifest.
        let known = described.iter_mut().find(|item| same_file(files, &item.config, &line.config));
        let (manifest, target, attested) = known.map_or_else(Default::default, |item| {
            (item.manifest.clone(), item.target.clone(), item.attested.clone())
        });
        let layers = line.layers.unwrap_or_default();
        items.push(Item { config: line.config, layers, names, manifest, target, attested });
    }
    match items.is_empty() {
        true => Err(no_platform(platform)),
        false => Ok(items),
    }
}

fn same_file(files: &Files, one: &str, other: &str) -> bool {
    match (files.find(one), files.find(other)) {
        (Ok(one), Ok(other)) => std::ptr::eq(one, other),
        _ => false,
    }
}

// Whether the image is for the platform asked for.
fn fits(files: &Files, config: &str, platform: Option<&Platform>) -> Result<bool> {
    let Some(wanted) = platform else { return Ok(true) };
    let text = files.document(config, crate::catalogue::CONFIG_LIMIT)?;
    let config: ImageConfig = serde_json::from_slice(&text)
        .map_err(|error| not_an_archive(format!("invalid image configuration: {error}")))?;
    Ok(wanted.matches(&config.platform()))
}

fn no_platform(platform: Option<&Platform>) -> ImageError {
    match platform {
        Some(platform) => ImageError::NoPlatform(platform.to_string()),
        None => not_an_archive("there is no image in the archive".into()),
    }
}

fn index(files: &Files, platform: Option<&Platform>) -> Result<Vec<Item>> {
    let text = files.document("index.json", MANIFEST_LIMIT)?;
    let index: Index = serde_json::from_slice(&text)
        .map_err(|error| not_an_archive(format!("invalid index.json: {error}")))?;
    let wanted = platform.cloned().unwrap_or_else(Platform::host);
    let mut items: Vec<Item> = Vec::new();
    let mut missing = None;
    for entry in &index.manifests {
        let Chosen { descriptor, document, manifest, attested } = match choose(files, entry, &wanted) {
            Ok(Some(found)) => found,
            Ok(None) => continue,
            Err(error) => {
                missing = Some(error);
                continue;
            }
        };
        let config = place(&manifest.config.digest);
        if platform.is_some() && !fits(files, &config, platform)? {
            continue;
        }
        let name = name_of(entry);
        match items.iter_mut().find(|item| item.config == config) {
            Some(item) => item.names.extend(name.filter(|name| !item.names.contains(name))),
            None => items.push(Item {
                config,
                layers: Vec::new(),
                names: name.into_iter().collect(),
                manifest: Some((descriptor, document)),
                target: Some(plain(entry)),
                attested,
            }),
        }
    }
    match (items.is_empty(), missing) {
        (true, Some(error)) => Err(error),
        (true, None) if !index.manifests.is_empty() => Err(no_platform(Some(&wanted))),
        _ => Ok(items),
    }
}

struct Chosen {
    descriptor: Descriptor,
    document: Vec<u8>,
    manifest: Manifest,
    attested: Vec<Descriptor>,
}

// The manifest that an entry of the layout's index stands for; none for what is no image.
fn choose(files: &Files, entry: &Descriptor, wanted: &Platform) -> Result<Option<Chosen>> {
    let (mut entry, mut attested) = (plain(entry), Vec::new());
    // An index inside of the layout's; one in that is refused.
    for _ in 0..2 {
        let document = files.document(&place(&entry.digest), MANIFEST_LIMIT)?;
        if document.len() as u64 != entry.size {
            return Err(not_an_archive(format!(
                "{} has {} bytes, not the {} described",
                entry.digest,
                document.len(),
                entry.size
            )));
        }
        match documents::parse(entry.digest.as_str(), &entry.media_type, &document)? {
            Document::Manifest(manifest) => {
                return Ok(Some(Chosen { descriptor: entry, document, manifest: *manifest, attested }));
            }
            Document::Index(index) => {
                entry = plain(documents::choose(&index, wanted)?);
                attested = attestations_in(&index, &entry.digest).map(plain).collect();
            }
        }
    }
    Err(not_an_archive("an index inside an index".into()))
}

// What a registry would say of it: without the annotations and the platform, which are the listing's.
fn plain(entry: &Descriptor) -> Descriptor {
    crate::packed::descriptor(&entry.media_type, entry.digest.clone(), entry.size)
}

// containerd and Docker write the whole name; others a name, or a tag alone, which names no image.
fn name_of(entry: &Descriptor) -> Option<ImageRef> {
    if let Some(name) = entry.annotations.get(CONTAINERD_NAME) {
        return name.parse::<ImageRef>().ok().map(ImageRef::or_latest);
    }
    let name = entry.annotations.get(REF_NAME)?;
    let whole = name.contains('/') || name.contains(':');
    name.parse::<ImageRef>().ok().filter(|_| whole).map(ImageRef::or_latest)
}
