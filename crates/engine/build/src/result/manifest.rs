//! Manifests, what is attested of them, and the index.

use super::annotation::Place;
use super::provenance::{self, Mode};
use super::{Output, Solved, inline, sbom};
use crate::error::{Error, Result};
use crate::result::Kind;
use hull_content::digest_of;
use hull_image::{Form, Parcel};
use hull_types::oci::image::{Descriptor, ImageConfig, Index, Manifest, media_type};
use hull_types::{Digest, ImageRef, Platform};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const STATEMENT: &str = "application/vnd.in-toto+json";

/// Everything of one output.
pub(super) struct Packed {
    pub(super) parcel: Parcel,
    pub(super) images: Vec<Image>,
    /// For the descriptor in a layout's index.
    pub(super) descriptor_annotations: BTreeMap<String, String>,
}

/// One platform's image.
pub(super) struct Image {
    pub(super) manifest: Descriptor,
    pub(super) config: ImageConfig,
    pub(super) config_digest: Digest,
}

pub(super) fn pack(solved: &[Solved], output: &Output) -> Result<Packed> {
    let mut parcel = solved[0].build.making.parcel();
    let (mut images, mut entries, mut attested) = (Vec::new(), Vec::new(), Vec::new());
    for one in solved {
        let image = pack_image(one, output, &mut parcel)?;
        let mut entry = Descriptor { platform: Some(one.state.platform.clone()), ..image.manifest.clone() };
        entry.annotations = notes(output, Place::ManifestDescriptor, &one.state.platform);
        let statements = statements(one, output, &image.manifest.digest)?;
        if !statements.is_empty() {
            attested.push(attest(&mut parcel, &image.manifest.digest, statements)?);
        }
        entries.push(entry);
        images.push(image);
    }
    let platform = &solved[0].state.platform;
    let single = entries.len() == 1 && attested.is_empty();
    let mut descriptor_annotations = notes(output, Place::IndexDescriptor, platform);
    if single && (output.has(Place::Index) || output.has(Place::IndexDescriptor)) {
        return Err(Error::invalid("index annotations not supported for single platform export"));
    }
    if single {
        descriptor_annotations = notes(output, Place::ManifestDescriptor, platform);
    } else {
        let docker = output.packing().docker && attested.is_empty();
        let kind = if docker { media_type::DOCKER_INDEX } else { media_type::OCI_INDEX };
        entries.extend(attested);
        let annotations = notes(output, Place::Index, platform);
        let index =
            Index { schema_version: 2, media_type: Some(kind.into()), manifests: entries, annotations };
        parcel.document(kind, &index)?;
    }
    Ok(Packed { parcel, images, descriptor_annotations })
}

fn notes(output: &Output, place: Place, platform: &Platform) -> BTreeMap<String, String> {
    let wanted = |note: &&super::Annotation| {
        note.place == place && note.platform.as_ref().is_none_or(|only| only.matches(platform))
    };
    output.annotations.iter().filter(wanted).map(|note| (note.key.clone(), note.value.clone())).collect()
}

fn pack_image(solved: &Solved, output: &Output, parcel: &mut Parcel) -> Result<Image> {
    let packing = output.packing();
    let mut layers = Vec::new();
    for (layer, own) in solved.layers()? {
        layers.push(parcel.layer(&layer, own, &packing)?);
    }
    let config = solved.config();
    let text = match solved.build.request.inline_cache {
        true => inline::config(solved, &config, &layers)?,
        false => serde_json::to_vec(&config).map_err(Error::json)?,
    };
    let kind = if packing.docker { media_type::DOCKER_CONFIG } else { media_type::OCI_CONFIG };
    let described = parcel.blob(kind, &text)?;
    let kind = if packing.docker { media_type::DOCKER_MANIFEST } else { media_type::OCI_MANIFEST };
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(kind.into()),
        artifact_type: None,
        config: described.clone(),
        layers,
        // Docker's own manifests have no place for notes.
        annotations: match packing.docker {
            true => BTreeMap::new(),
            false => notes(output, Place::Manifest, &solved.state.platform),
        },
    };
    Ok(Image { manifest: parcel.document(kind, &manifest)?, config, config_digest: described.digest })
}

/// Statements by their predicate's type.
fn statements(solved: &Solved, output: &Output, subject: &Digest) -> Result<Vec<(&'static str, Vec<u8>)>> {
    let attest = &solved.build.request.attest;
    // Docker's archives have no place for them.
    if output.kind == Kind::Archive(Form::Docker) {
        return Ok(Vec::new());
    }
    let leaves = matches!(output.kind, Kind::Registry | Kind::Archive(Form::Oci));
    let mode = attest.provenance.unwrap_or(if leaves { Mode::Min } else { Mode::Off });
    let mut found = Vec::new();
    if attest.sbom {
        found.push((sbom::PREDICATE, sbom::document(solved)?));
    }
    if mode != Mode::Off {
        found.push(provenance::predicate(solved, mode));
    }
    let subjects = subjects(&output.names, &solved.state.platform, subject);
    let statement = |(kind, predicate): (&'static str, Value)| {
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v0.1",
            "predicateType": kind,
            "subject": subjects,
            "predicate": predicate,
        });
        serde_json::to_vec(&statement).map(|text| (kind, text)).map_err(Error::json)
    };
    found.into_iter().map(statement).collect()
}

fn subjects(names: &[ImageRef], platform: &Platform, digest: &Digest) -> Vec<Value> {
    let digest = json!({ digest.algorithm(): digest.hex() });
    match names {
        [] => vec![json!({ "name": "_", "digest": digest })],
        names => names
            .iter()
            .map(|name| json!({ "name": provenance::purl(name, None, platform), "digest": digest }))
            .collect(),
    }
}

/// The manifest that carries statements about the manifest `of`, as registries have it.
fn attest(parcel: &mut Parcel, of: &Digest, statements: Vec<(&str, Vec<u8>)>) -> Result<Descriptor> {
    let mut layers = Vec::new();
    let mut ids = Vec::new();
    for (kind, text) in &statements {
        let mut layer = parcel.blob(STATEMENT, text)?;
        layer.annotations.insert("in-toto.io/predicate-type".into(), (*kind).to_owned());
        ids.push(digest_of(text).to_string());
        layers.push(layer);
    }
    let config = json!({
        "architecture": "unknown", "os": "unknown", "config": {},
        "rootfs": { "type": "layers", "diff_ids": ids },
    });
    let config = parcel.blob(media_type::OCI_CONFIG, config.to_string().as_bytes())?;
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media_type::OCI_MANIFEST.into()),
        artifact_type: None,
        config,
        layers,
        annotations: BTreeMap::new(),
    };
    let mut entry = parcel.document(media_type::OCI_MANIFEST, &manifest)?;
    let unknown = || "unknown".to_owned();
    entry.platform = Some(Platform { os: unknown(), architecture: unknown(), ..Platform::default() });
    entry.annotations.insert("vnd.docker.reference.digest".into(), of.to_string());
    entry.annotations.insert("vnd.docker.reference.type".into(), "attestation-manifest".into());
    Ok(entry)
}

impl Packed {
    /// Makes an image here of the one for this machine, or of the first where there is none.
    pub(super) fn keep(&self, solved: &[Solved], names: &[ImageRef]) -> Result<Digest> {
        let host = Platform::host();
        let ours = solved.iter().position(|one| host.matches(&one.state.platform)).unwrap_or(0);
        let (image, making) = (&self.images[ours], &solved[ours].build.making);
        Ok(self.parcel.keep(making, &image.manifest, &image.config, names)?)
    }
}
