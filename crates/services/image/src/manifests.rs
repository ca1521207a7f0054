//! What an image's name stands for: its manifest, or an index of several, some of which hold what is attested of others
//! (BuildKit's "attestation storage": in-toto statements as layers).

use crate::Images;
use crate::catalogue::{Record, ReferenceRow, State};
use crate::documents::{self, Document};
use crate::error::{ImageError, Result};
use crate::resolve;
use hull_api_types::{
    AttestationData, AttestationStatement, ImageData, ImageManifestSummary, ManifestSize, UnpackedSize,
};
use hull_content::ContentError;
use hull_registry_client::MANIFEST_LIMIT;
use hull_types::oci::image::{Descriptor, Index, Manifest, media_type};
use hull_types::{Digest, ImageRef};
use std::collections::BTreeSet;

const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";
const PREDICATE_TYPE: &str = "in-toto.io/predicate-type";
/// The most bytes of statements that are answered with.
const STATEMENTS_LIMIT: u64 = 64 << 20;

/// An index all of which is here.
#[derive(Debug, Clone)]
pub(crate) struct Whole {
    pub(crate) descriptor: Descriptor,
    pub(crate) document: Vec<u8>,
    /// Each with its text.
    pub(crate) manifests: Vec<(Descriptor, Vec<u8>, Manifest)>,
}

/// The row of an image's name, or of any of its names; one that stands for an index where there is a choice.
pub(crate) fn row_of<'a>(
    state: &'a State,
    record: &Record,
    name: Option<&ImageRef>,
) -> Option<&'a ReferenceRow> {
    let own = || state.references.values().filter(|row| row.image == record.id);
    let named = name.and_then(|name| state.references.get(name));
    named.or_else(|| own().find(|row| row.target.digest != row.manifest.digest)).or_else(|| own().next())
}

/// The manifest that what `entry` names is attested of, if that is what it is.
pub(crate) fn attested_of(entry: &Descriptor) -> Option<Digest> {
    let of = |key: &str| entry.annotations.get(key).map(String::as_str);
    (of(REFERENCE_TYPE) == Some("attestation-manifest")).then(|| of(REFERENCE_DIGEST)?.parse().ok()).flatten()
}

/// What is attested of the manifest `of`.
pub(crate) fn attestations_in<'a>(index: &'a Index, of: &'a Digest) -> impl Iterator<Item = &'a Descriptor> {
    index.manifests.iter().filter(move |entry| attested_of(entry).as_ref() == Some(of))
}

impl Images {
    // The index that the name stands for, with its text.
    fn index_of(&self, row: &ReferenceRow) -> Result<Option<(Index, Vec<u8>)>> {
        if row.target.digest == row.manifest.digest {
            return Ok(None);
        }
        let document = match self.content().read(&row.target.digest, MANIFEST_LIMIT) {
            Ok(document) => document,
            Err(ContentError::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        match documents::parse(row.target.digest.as_str(), &row.target.media_type, &document)? {
            Document::Index(index) => Ok(Some((index, document))),
            Document::Manifest(_) => Ok(None),
        }
    }

    // A manifest that is here. What is attested of images has layers that are none, so only its form is asked for.
    fn manifest_of(&self, entry: &Descriptor) -> Option<(Vec<u8>, Manifest)> {
        let text = self.content().read(&entry.digest, MANIFEST_LIMIT).ok()?;
        let manifest = serde_json::from_slice(&text).ok()?;
        Some((text, manifest))
    }

    /// The index that the name stands for, if all that it names is here.
    pub(crate) fn whole_index(&self, row: &ReferenceRow) -> Result<Option<Whole>> {
        let Some((index, document)) = self.index_of(row)? else { return Ok(None) };
        let mut manifests = Vec::new();
        for entry in index.manifests {
            let Some((text, manifest)) = self.manifest_of(&entry) else { return Ok(None) };
            if !parts(&manifest).all(|part| self.content().has(&part.digest)) {
                return Ok(None);
            }
            manifests.push((entry, text, manifest));
        }
        Ok(Some(Whole { descriptor: row.target.clone(), document, manifests }))
    }

    /// Every manifest that the name stands for, here or not.
    pub(crate) fn manifests(&self, record: &Record, row: &ReferenceRow) -> Result<Vec<ImageManifestSummary>> {
        let entries = match self.index_of(row)? {
            Some((index, _)) => index.manifests,
            None => vec![row.manifest.clone()],
        };
        let one = |entry| self.summary(record, entry, &row.manifest.digest);
        Ok(entries.into_iter().map(one).collect())
    }

    fn summary(&self, record: &Record, entry: Descriptor, own: &Digest) -> ImageManifestSummary {
        let own = entry.digest == *own;
        let manifest = self.manifest_of(&entry).map(|(_, manifest)| manifest);
        let size = |part: &Descriptor| self.content().has(&part.digest).then_some(part.size);
        let here: Vec<Option<u64>> = manifest.iter().flat_map(parts).map(size).collect();
        let content = here.iter().flatten().sum::<u64>() + manifest.as_ref().map_or(0, |_| entry.size);
        let attested = attested_of(&entry);
        let platform = entry.platform.clone().or_else(|| own.then(|| record.config.platform()));
        let is_image = |kind: &str| [media_type::OCI_MANIFEST, media_type::DOCKER_MANIFEST].contains(&kind);
        let image = platform.filter(|_| attested.is_none() && is_image(&entry.media_type));
        let unpacked = if own { record.size() } else { 0 };
        let containers = if own { self.uses().of(&record.id) } else { Vec::new() };
        ImageManifestSummary {
            id: entry.digest.to_string(),
            // An image that runs here is here, even where a layer came out of another image's blob.
            available: own || (manifest.is_some() && here.iter().all(Option::is_some)),
            size: ManifestSize { content: content as i64, total: (content + unpacked) as i64 },
            kind: match (&attested, &image) {
                (Some(_), _) => "attestation",
                (None, Some(_)) => "image",
                (None, None) => "unknown",
            }
            .into(),
            image_data: image.map(|platform| ImageData {
                platform,
                containers,
                size: UnpackedSize { unpacked: unpacked as i64 },
            }),
            attestation_data: attested.map(|of| AttestationData { of: of.to_string() }),
            descriptor: entry,
        }
    }

    /// `GET /images/{name}/attestations`: the statements about the image, of these predicate types or of all; with
    /// their text where `statements` says so.
    pub fn attestations(
        &self,
        name: &str,
        types: &[String],
        statements: bool,
    ) -> Result<Vec<AttestationStatement>> {
        let row = {
            let state = self.catalogue().read();
            let found = resolve::find(&state, name)?;
            row_of(&state, &found.record, found.reference.as_ref()).cloned()
        };
        let index = row.as_ref().map(|row| self.index_of(row)).transpose()?.flatten();
        let (Some(row), Some((index, _))) = (row, index) else { return Ok(Vec::new()) };
        let (mut all, mut left) = (Vec::new(), STATEMENTS_LIMIT);
        for entry in attestations_in(&index, &row.manifest.digest) {
            let Some((_, manifest)) = self.manifest_of(entry) else {
                return Err(ImageError::NotKept { name: name.into(), digest: entry.digest.clone() });
            };
            for layer in manifest.layers {
                let Some(kind) = layer.annotations.get(PREDICATE_TYPE).cloned() else { continue };
                if !types.is_empty() && !types.contains(&kind) {
                    continue;
                }
                let statement = match statements {
                    true => {
                        let text = self.content().read(&layer.digest, left)?;
                        left -= text.len() as u64;
                        let wrong = |error: serde_json::Error| ImageError::Document {
                            reference: layer.digest.to_string(),
                            cause: format!("the statement is no JSON document: {error}"),
                        };
                        Some(serde_json::from_slice(&text).map_err(wrong)?)
                    }
                    false => None,
                };
                all.push(AttestationStatement { descriptor: layer, predicate_type: kind, statement });
            }
        }
        Ok(all)
    }
}

/// What a manifest names.
pub(crate) fn parts(manifest: &Manifest) -> impl Iterator<Item = &Descriptor> {
    let mut seen = BTreeSet::new();
    std::iter::once(&manifest.config).chain(&manifest.layers).filter(move |part| seen.insert(&part.digest))
}
