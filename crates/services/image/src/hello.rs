//! The image `hello`, which ships inside Hull: one layer that holds the helper program as `/hello`.
//!
//! The same program gives the same image, byte for byte: times are the program file's own.

use crate::error::{ImageError, Result};
use hull_archive::{Entry, EntryKind, Writer};
use hull_content::{Content, digest_of};
use hull_types::oci::image::{Descriptor, Execution, History, ImageConfig, LayerIds, Manifest, media_type};
use hull_types::{DiffId, Digest, ImageRef, Platform, Timestamp};
use std::collections::BTreeMap;
use std::path::Path;

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Whether the name is that of the built-in image: `hello` or `hello:latest` of no registry in particular.
pub(crate) fn is_hello(reference: &ImageRef) -> bool {
    let latest = reference.tag().is_none_or(|tag| tag == "latest") && reference.digest().is_none();
    latest && reference.repository() == "docker.io/library/hello"
}

/// Puts the image's blobs into the store, and returns its manifest.
pub(crate) fn build(program: &Path, content: &Content) -> Result<(Descriptor, Manifest)> {
    let failed = |cause: String| ImageError::BuiltIn { path: program.display().to_string(), cause };
    let bytes = std::fs::read(program).map_err(|error| failed(error.to_string()))?;
    let modified =
        std::fs::metadata(program).and_then(|data| data.modified()).map_err(|e| failed(e.to_string()))?;
    let created = Timestamp { nanoseconds: 0, ..Timestamp::from(modified) };
    let tar = layer(&bytes, created).map_err(|error| failed(error.to_string()))?;
    let layer = content.put(&tar)?;
    let config = to_json(&config(&layer, created)).map_err(failed)?;
    let id = content.put(&config)?;
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media_type::OCI_MANIFEST.into()),
        artifact_type: None,
        config: descriptor(media_type::OCI_CONFIG, id, config.len()),
        layers: vec![descriptor(media_type::OCI_LAYER, layer, tar.len())],
        annotations: BTreeMap::new(),
    };
    let document = to_json(&manifest).map_err(failed)?;
    let digest = digest_of(&document);
    content.put_as(&document, &digest)?;
    Ok((descriptor(media_type::OCI_MANIFEST, digest, document.len()), manifest))
}

fn layer(program: &[u8], modified: Timestamp) -> std::io::Result<Vec<u8>> {
    let mut entry = Entry::new("hello", EntryKind::File, 0o755);
    entry.mtime.seconds = modified.seconds.max(0);
    entry.size = program.len() as u64;
    let mut archive = Writer::new(Vec::with_capacity(program.len() + 4096));
    let written = archive.entry(&entry).and_then(|()| archive.contents(program));
    written.and_then(|()| archive.finish()).map_err(std::io::Error::other)
}

fn config(layer: &Digest, created: Timestamp) -> ImageConfig {
    let host = Platform::host();
    ImageConfig {
        created: Some(created),
        architecture: host.architecture,
        os: host.os,
        variant: host.variant,
        config: Execution {
            env: vec![PATH.into()],
            cmd: Some(vec!["/hello".into()]),
            ..Execution::default()
        },
        rootfs: LayerIds { diff_ids: vec![DiffId(layer.clone())], ..LayerIds::default() },
        history: vec![History {
            created: Some(created),
            created_by: "hull: the program /hello, out of Hull itself".into(),
            ..History::default()
        }],
        ..ImageConfig::default()
    }
}

fn descriptor(media_type: &str, digest: Digest, size: usize) -> Descriptor {
    Descriptor {
        media_type: media_type.into(),
        digest,
        size: size as u64,
        urls: Vec::new(),
        annotations: BTreeMap::new(),
        platform: None,
        artifact_type: None,
    }
}

fn to_json<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, String> {
    serde_json::to_vec(value).map_err(|error| error.to_string())
}
