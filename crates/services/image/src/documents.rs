//! Manifests and indexes as they come from a stranger: what is accepted, and which of an index's is ours. Pure.

use crate::error::{ImageError, Result};
use hull_types::Platform;
use hull_types::oci::image::{Descriptor, Index, Manifest, media_type};

/// Overlayfs takes 500 lowers; the shared bottom layer is one of them.
const LAYER_LIMIT: usize = 499;
const LAYER_TYPES: [&str; 5] = [
    media_type::OCI_LAYER,
    media_type::OCI_LAYER_GZIP,
    media_type::OCI_LAYER_ZSTD,
    media_type::DOCKER_LAYER,
    media_type::DOCKER_LAYER_GZIP,
];
// Deprecated, but in images that exist: layers that only their vendor hands out.
const FOREIGN_TYPES: [&str; 4] = [
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
];
// What servers say that know nothing about manifests.
const GENERIC: [&str; 4] = ["", "application/json", "text/plain", "application/octet-stream"];

/// A document that names further ones.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Document {
    Index(Index),
    Manifest(Box<Manifest>),
}

/// Reads a document that came as `kind`. One that could be read in two ways is refused (CVE-2021-41190).
pub(crate) fn parse(reference: &str, kind: &str, bytes: &[u8]) -> Result<Document> {
    let failed = |cause: String| ImageError::Document { reference: reference.into(), cause };
    let value: serde_json::Value = serde_json::from_slice(bytes)
        .map_err(|error| failed(format!("the manifest is no JSON document: {error}")))?;
    let has = |field: &str| value.get(field).is_some_and(|value| !value.is_null());
    if kind == media_type::DOCKER_SCHEMA1
        || value.get("schemaVersion").is_some_and(|v| v == 1)
        || has("fsLayers")
    {
        return Err(ImageError::Schema1(reference.into()));
    }
    if has("manifests") && (has("layers") || has("config")) {
        return Err(failed("the document is both a manifest and an index".into()));
    }
    if value.get("schemaVersion").is_none_or(|version| version != 2) {
        return Err(failed("the manifest's schemaVersion is not 2".into()));
    }
    let stated = value.get("mediaType").and_then(serde_json::Value::as_str).unwrap_or_default();
    let kind = if GENERIC.contains(&kind) { stated } else { kind };
    if !stated.is_empty() && stated != kind {
        return Err(failed(format!("the manifest's mediaType is {stated:?}, but it was served as {kind:?}")));
    }
    let is_index = match kind {
        media_type::OCI_INDEX | media_type::DOCKER_INDEX => true,
        media_type::OCI_MANIFEST | media_type::DOCKER_MANIFEST => false,
        "" => has("manifests"),
        other => return Err(failed(format!("unsupported manifest media type {other:?}"))),
    };
    if is_index != has("manifests") {
        return Err(failed(format!("the document is not what its media type {kind:?} says")));
    }
    let shape = |error: serde_json::Error| failed(format!("invalid manifest: {error}"));
    if is_index {
        return serde_json::from_value(value).map(Document::Index).map_err(shape);
    }
    let manifest: Manifest = serde_json::from_value(value).map_err(shape)?;
    check(&manifest).map_err(failed)?;
    Ok(Document::Manifest(Box::new(manifest)))
}

fn check(manifest: &Manifest) -> Result<(), String> {
    let kind = manifest.config.media_type.as_str();
    let artifact = manifest.artifact_type.as_deref().filter(|kind| !kind.is_empty());
    if let Some(kind) =
        artifact.or((![media_type::OCI_CONFIG, media_type::DOCKER_CONFIG].contains(&kind)).then_some(kind))
    {
        return Err(format!("unsupported media type {kind}: it is an artifact, not a container image"));
    }
    if manifest.config.size > crate::catalogue::CONFIG_LIMIT {
        return Err(format!(
            "the image's configuration has {} bytes, which is too large",
            manifest.config.size
        ));
    }
    if manifest.layers.len() > LAYER_LIMIT {
        return Err(format!(
            "max depth exceeded: the image has {} layers, {LAYER_LIMIT} can be mounted",
            manifest.layers.len()
        ));
    }
    let unknown = |layer: &&Descriptor| {
        !LAYER_TYPES.contains(&layer.media_type.as_str())
            && !FOREIGN_TYPES.contains(&layer.media_type.as_str())
    };
    match manifest.layers.iter().find(unknown) {
        Some(layer) => Err(format!("unsupported layer media type {:?}", layer.media_type)),
        None => Ok(()),
    }
}

/// The manifest in `index` for `wanted`: one of the very variant first, then one that serves.
pub(crate) fn choose<'a>(index: &'a Index, wanted: &Platform) -> Result<&'a Descriptor> {
    let manifests = || {
        let is_manifest =
            |kind: &str| [media_type::OCI_MANIFEST, media_type::DOCKER_MANIFEST].contains(&kind);
        index.manifests.iter().filter(move |entry| is_manifest(&entry.media_type))
    };
    let offers = |test: &dyn Fn(&Platform) -> bool| {
        manifests().find(|entry| entry.platform.as_ref().is_some_and(test))
    };
    let exact = offers(&|offered| wanted.matches(offered) && offered.variant == wanted.variant);
    let serving = || offers(&|offered| wanted.matches(offered));
    // An entry that names no platform says so in its configuration, which is checked after this.
    let only = || manifests().next().filter(|entry| entry.platform.is_none() && index.manifests.len() == 1);
    exact.or_else(serving).or_else(only).ok_or_else(|| ImageError::NoPlatform(wanted.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hull_errors::{HasKind, Kind};
    use serde_json::{Value, json};

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn manifest() -> Value {
        json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
            "config": {"mediaType": media_type::OCI_CONFIG, "digest": DIGEST, "size": 2},
            "layers": [{"mediaType": media_type::OCI_LAYER_GZIP, "digest": DIGEST, "size": 2}]})
    }
    fn entry(platform: &str) -> Value {
        let platform: Platform = platform.parse().unwrap();
        json!({"mediaType": media_type::OCI_MANIFEST, "digest": DIGEST, "size": platform.to_string().len(),
            "platform": platform})
    }
    fn read(kind: &str, value: &Value) -> Result<Document> {
        parse("x:1", kind, &serde_json::to_vec(value).unwrap())
    }
    fn refused(kind: &str, value: &Value) -> String {
        let error = read(kind, value).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidParameter);
        error.to_string()
    }

    #[test]
    fn a_manifest_is_read_by_its_type() {
        assert!(matches!(read(media_type::OCI_MANIFEST, &manifest()), Ok(Document::Manifest(_))));
        assert!(matches!(read("application/json", &manifest()), Ok(Document::Manifest(_))));
    }

    #[test]
    fn what_is_two_things_is_nothing() {
        let mut both = manifest();
        both["manifests"] = json!([]);
        assert!(refused(media_type::OCI_MANIFEST, &both).contains("both"));
        assert!(refused(media_type::OCI_INDEX, &both).contains("both"));
        let other = refused(media_type::DOCKER_MANIFEST, &manifest());
        assert!(other.contains("mediaType"), "{other}");
        let mut bare = manifest();
        bare.as_object_mut().unwrap().remove("mediaType");
        assert!(refused(media_type::OCI_INDEX, &bare).contains("not what its media type"));
    }

    #[test]
    fn old_and_foreign_documents_are_named() {
        assert!(refused("", &json!({"schemaVersion": 1, "fsLayers": []})).contains("schema 1"));
        let mut chart = manifest();
        chart["config"]["mediaType"] = json!("application/vnd.cncf.helm.config.v1+json");
        assert!(refused("", &chart).contains("helm"));
        let mut layer = manifest();
        layer["layers"][0]["mediaType"] = json!("application/x-iso");
        assert!(refused("", &layer).contains("x-iso"));
        let mut large = manifest();
        large["config"]["size"] = json!(9 << 20);
        assert!(refused("", &large).contains("too large"));
        let mut digest = manifest();
        digest["layers"][0]["digest"] = json!("sha256:../../etc");
        refused("", &digest);
        for junk in ["", "[]", "{}", "null", "\"x\"", "{\"schemaVersion\":\"2\"}"] {
            assert!(parse("x:1", "", junk.as_bytes()).is_err(), "{junk}");
        }
    }

    #[test]
    fn the_platform_decides() {
        let index = |entries: Vec<Value>| -> Index {
            serde_json::from_value(json!({"schemaVersion": 2, "manifests": entries})).unwrap()
        };
        let all = index(vec![
            entry("linux/arm/v6"),
            entry("linux/arm/v7"),
            entry("linux/arm64"),
            entry("linux/amd64"),
        ]);
        let pick = |wanted: &str| {
            choose(&all, &wanted.parse().unwrap()).unwrap().platform.clone().unwrap().to_string()
        };
        assert_eq!(pick("linux/amd64"), "linux/amd64");
        assert_eq!(pick("linux/arm64"), "linux/arm64/v8");
        assert_eq!(pick("linux/arm/v7"), "linux/arm/v7");
        let none = choose(&index(vec![entry("linux/amd64")]), &"linux/arm64".parse().unwrap()).unwrap_err();
        assert_eq!(
            none.to_string(),
            "no matching manifest for linux/arm64/v8 in the manifest list entries: no match for platform in manifest: not found"
        );
        assert_eq!(none.kind(), Kind::NotFound);
    }
}
