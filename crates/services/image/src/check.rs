//! `system check`: is everything that the rows name here, and is it what its digest says?
//!
//! Everything is read once. With `repair`, what is damaged is fetched again: a blob out of the layer that has the same
//! bytes, or from a registry that one of the image's names is of; a layer out of its blob.

use crate::Images;
use crate::catalogue::{Record, State};
use crate::download;
use crate::error::{ImageError, Result};
use crate::layers::plan;
use crate::make;
use hull_api_types::{SystemCheck, SystemProblem};
use hull_content::{ContentError, Hasher};
use hull_types::oci::image::{Descriptor, media_type};
use hull_types::{ChainId, DiffId, Digest, ImageRef};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::sync::Arc;

/// Something that is not as it should be, with what could mend it.
struct Found {
    problem: SystemProblem,
    mend: Mend,
}

enum Mend {
    Nothing,
    Blob { digest: Digest, damaged: bool, images: Vec<Arc<Record>> },
    Layer { chain: ChainId, image: Arc<Record> },
}

pub(crate) async fn check(images: &Images, repair: bool) -> Result<SystemCheck> {
    let own = images.clone();
    let (mut report, found) = tokio::task::spawn_blocking(move || examine(&own)).await??;
    for mut one in found {
        if repair {
            match mend(images, one.mend).await {
                Ok(Some(how)) => {
                    one.problem.repaired = true;
                    one.problem.repair = how;
                }
                Ok(None) => {}
                Err(error) => one.problem.repair = format!("could not be repaired: {error}"),
            }
        }
        report.problems.push(one.problem);
    }
    let own = images.clone();
    tokio::task::spawn_blocking(move || own.sync()).await??;
    Ok(report)
}

fn examine(images: &Images) -> Result<(SystemCheck, Vec<Found>)> {
    let (mut report, mut found) = (SystemCheck::default(), Vec::new());
    let records: Vec<Arc<Record>> = {
        let state = images.catalogue().read();
        rows(&state, &mut found);
        state.images.values().chain(state.removed.values()).cloned().collect()
    };
    report.images = records.len() as i64;
    let mut users: BTreeMap<&Digest, Vec<Arc<Record>>> = BTreeMap::new();
    for record in &records {
        for digest in &record.row.blobs {
            users.entry(digest).or_default().push(record.clone());
        }
    }
    let there: BTreeSet<Digest> = images.content().list()?.into_iter().collect();
    for digest in &there {
        report.blobs += 1;
        match verify(images, digest) {
            Ok(bytes) => report.bytes += bytes as i64,
            // It was collected while we looked.
            Err(ContentError::NotFound(_)) => {}
            Err(error) => {
                let users = users.get(digest).cloned().unwrap_or_default();
                found.push(blob(images, digest, error.to_string(), true, users));
            }
        }
    }
    for (digest, users) in users {
        if !there.contains(digest) && !images.content().has(digest) {
            found.push(blob(images, digest, format!("content {digest} not found"), false, users));
        }
    }
    layers(images, &records, &mut report, &mut found);
    Ok((report, found))
}

fn rows(state: &State, found: &mut Vec<Found>) {
    for (key, reason) in &state.damaged {
        let problem = problem(
            "row",
            key,
            Vec::new(),
            format!("{reason}; it is kept, and nothing is pruned while it is there"),
        );
        found.push(Found { problem, mend: Mend::Nothing });
    }
    for (id, reason) in state.unreadable() {
        let problem =
            problem("image", id.as_str(), Vec::new(), format!("{reason}; pull or load the image again"));
        found.push(Found { problem, mend: Mend::Nothing });
    }
}

fn problem(kind: &str, id: &str, images: Vec<String>, error: String) -> SystemProblem {
    SystemProblem { kind: kind.into(), id: id.into(), images, error, ..SystemProblem::default() }
}

fn names(images: &Images, records: &[Arc<Record>]) -> Vec<String> {
    let state = images.catalogue().read();
    let shown = |record: &Arc<Record>| {
        let names = state.names_of(&record.id);
        let tagged = names.iter().find(|name| name.digest().is_none()).or(names.first());
        tagged.map_or_else(|| record.id.to_string(), ImageRef::familiar)
    };
    records.iter().map(shown).collect()
}

fn blob(images: &Images, digest: &Digest, error: String, damaged: bool, users: Vec<Arc<Record>>) -> Found {
    let problem = problem("blob", digest.as_str(), names(images, &users), error);
    Found { problem, mend: Mend::Blob { digest: digest.clone(), damaged, images: users } }
}

fn verify(images: &Images, digest: &Digest) -> Result<u64, ContentError> {
    hash(images.content().reader(digest)?, digest)
        .map_err(|source| ContentError::Read { digest: digest.clone(), source })
        .and_then(|(bytes, actual)| match actual == *digest {
            true => Ok(bytes),
            false => Err(ContentError::Mismatch { expected: digest.clone(), actual }),
        })
}

fn hash(mut reader: impl Read, like: &Digest) -> io::Result<(u64, Digest)> {
    let (mut hasher, mut buffer, mut total) = (Hasher::like(Some(like)), vec![0; 256 << 10], 0);
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok((total, hasher.finish())),
            Ok(read) => {
                hasher.update(&buffer[..read]);
                total += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn layers(images: &Images, records: &[Arc<Record>], report: &mut SystemCheck, found: &mut Vec<Found>) {
    let mut seen = BTreeSet::new();
    for record in records {
        for (layer, diff_id) in record.row.layers.iter().zip(&record.config.rootfs.diff_ids) {
            if !seen.insert(layer.chain.clone()) {
                continue;
            }
            report.layers += 1;
            let error = match layer_error(images, &layer.chain, diff_id) {
                Ok(()) => continue,
                Err(error) => error,
            };
            let problem =
                problem("layer", layer.chain.0.as_str(), names(images, std::slice::from_ref(record)), error);
            let mend = match images.snapshotter().has(&layer.chain) {
                // Containers may stand on it, and see what is in it.
                true => Mend::Nothing,
                false => Mend::Layer { chain: layer.chain.clone(), image: record.clone() },
            };
            found.push(Found { problem, mend });
        }
    }
}

fn layer_error(images: &Images, chain: &ChainId, diff_id: &DiffId) -> Result<(), String> {
    if !images.snapshotter().has(chain) {
        return Err(format!("layer {} does not exist", chain.0));
    }
    let Some(tar) = images.snapshotter().tar(chain).map_err(|error| error.to_string())? else {
        return Ok(());
    };
    match hash(tar, &diff_id.0) {
        Ok((_, actual)) if actual == diff_id.0 => Ok(()),
        Ok((_, actual)) => {
            Err(format!("its tar is {actual}, not {}: remove the image and pull it again", diff_id.0))
        }
        Err(error) => Err(format!("its tar can't be read: {error}")),
    }
}

async fn mend(images: &Images, mend: Mend) -> Result<Option<String>> {
    match mend {
        Mend::Nothing => Ok(None),
        Mend::Layer { chain, image } => {
            let own = images.clone();
            tokio::task::spawn_blocking(move || apply_again(&own, &chain, &image)).await??;
            Ok(Some("applied again from its blob".into()))
        }
        Mend::Blob { digest, damaged, images: users } => {
            // Nothing refers to it: it is no use to anyone.
            if users.is_empty() {
                images.content().remove(&digest)?;
                return Ok(Some("removed: no image needs it".into()));
            }
            if damaged {
                images.content().remove(&digest)?;
            }
            if from_layer(images, &digest, &users)? {
                return Ok(Some("taken from the layer of the same bytes".into()));
            }
            fetch(images, &digest, &users).await.map(Some)
        }
    }
}

fn apply_again(images: &Images, chain: &ChainId, image: &Record) -> Result<()> {
    let packed = images.packed(image, None)?;
    let plans = plan(&packed.manifest.layers, &image.config.rootfs.diff_ids);
    let plan = plans.iter().find(|plan| plan.chain == *chain);
    let plan = plan.ok_or_else(|| ImageError::NotFound(chain.0.to_string()))?;
    make::apply(images, plan, false, &mut |_| Ok(()))
}

// Where a driver keeps the tar of an uncompressed blob, that is the blob.
fn from_layer(images: &Images, digest: &Digest, users: &[Arc<Record>]) -> Result<bool> {
    for record in users {
        for (layer, diff_id) in record.row.layers.iter().zip(&record.config.rootfs.diff_ids) {
            if diff_id.0 != *digest || layer_error(images, &layer.chain, diff_id).is_err() {
                continue;
            }
            let Some(tar) = images.snapshotter().tar(&layer.chain)? else { continue };
            let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&tar));
            images.content().adopt(path.as_ref(), digest)?;
            return Ok(true);
        }
    }
    Ok(false)
}

// From a repository that one of the images' names is of.
async fn fetch(images: &Images, digest: &Digest, users: &[Arc<Record>]) -> Result<String> {
    let lease = images.content().lease();
    lease.protect(digest);
    let mut last = ImageError::Content(ContentError::NotFound(digest.clone()));
    for record in users {
        let rows: Vec<_> = {
            let state = images.catalogue().read();
            let rows = state.references.iter().filter(|(_, row)| row.image == record.id);
            rows.map(|(name, row)| (name.clone(), row.clone())).collect()
        };
        for (name, row) in rows {
            let repository = images.registry().repository(&name, None);
            // It is this that finds which of the registry's addresses serves.
            if let Err(error) = repository.resolve(&name).await {
                last = error.into();
                continue;
            }
            let described = [&row.target, &row.manifest].into_iter().find(|known| known.digest == *digest);
            let done = match described {
                Some(_) => match repository.manifest(digest).await {
                    Ok((_, bytes)) => {
                        images.content().put_as(&bytes, digest).map(drop).map_err(ImageError::from)
                    }
                    Err(error) => Err(error.into()),
                },
                None => {
                    let wanted = described_in(images, record, digest);
                    let attempts = images.attempts();
                    download::fetch(&repository, images.content(), &wanted, attempts, images.downloading())
                        .await
                }
            };
            match done {
                Ok(()) => return Ok(format!("fetched again from {}", name.familiar_name())),
                Err(error) => last = error,
            }
        }
    }
    Err(last)
}

// What the image's manifest says of the blob.
fn described_in(images: &Images, record: &Record, digest: &Digest) -> Descriptor {
    let manifest = images.nameless_row(record).manifest;
    let text =
        images.content().read(&manifest.digest, hull_registry_client::MANIFEST_LIMIT).unwrap_or_default();
    let parsed = serde_json::from_slice::<hull_types::oci::image::Manifest>(&text).ok();
    let all = parsed.into_iter().flat_map(|manifest| manifest.layers.into_iter().chain([manifest.config]));
    all.into_iter().find(|known| known.digest == *digest).unwrap_or_else(|| {
        crate::packed::descriptor(media_type::OCI_CONFIG, digest.clone(), record.row.config_size)
    })
}
