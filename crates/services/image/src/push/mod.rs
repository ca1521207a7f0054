//! `push`: rows → blobs that the registry lacks → manifest under its tag.
//!
//! What was pulled goes back byte for byte. A layer made here is kept uncompressed and is compressed on its way out;
//! what it became is remembered, so that the next push need not do it again.

mod blob;

use crate::Images;
use crate::auth;
use crate::catalogue::{Change, Record, ReferenceRow};
use crate::error::{ImageError, Result};
use crate::manifests::Whole;
use crate::packed::{Packed, descriptor};
use crate::progress::{aux, line, send, state};
pub(crate) use blob::{Blob, Pushing};
use futures::stream::{FuturesUnordered, StreamExt};
use hull_api_types::{AuthConfig, JsonMessage};
use hull_content::Lease;
use hull_registry_client::Repository;
use hull_store::Durability;
use hull_types::oci::image::{Descriptor, media_type};
use hull_types::{Digest, ImageRef, Platform, short_id};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::mpsc::Sender;

/// One name to push.
struct Named {
    name: ImageRef,
    row: ReferenceRow,
    record: Arc<Record>,
}

struct Push<'a> {
    images: &'a Images,
    repository: Repository,
    platform: Option<Platform>,
    lease: Lease,
    to: Sender<JsonMessage>,
}

/// Pushes the name's tag, or all tags of its repository where it has none.
pub(crate) async fn push(
    images: &Images,
    reference: &ImageRef,
    platform: Option<Platform>,
    auth: Option<AuthConfig>,
    to: Sender<JsonMessage>,
) -> Result<()> {
    if reference.digest().is_some() {
        return Err(ImageError::PushDigest);
    }
    let auth = auth.map(|auth| auth::credentials(&auth)).transpose()?;
    // Whatever is wrong from here on is told in the stream, as Docker does.
    send(&to, line("", format!("The push refers to repository [{}]", reference.repository()))).await?;
    let lease = images.content().lease();
    let all = named(images, reference)?;
    for one in &all {
        one.record.row.blobs.iter().for_each(|digest| lease.protect(digest));
    }
    let sources = mountable(images, reference, &all);
    let repository = images.registry().pusher(reference, &sources, auth);
    repository.connect_to_push().await?;
    let push = Push { images, repository, platform, lease, to };
    for one in all {
        push.one(one).await?;
    }
    Ok(())
}

fn named(images: &Images, reference: &ImageRef) -> Result<Vec<Named>> {
    let state = images.catalogue().read();
    let wanted = |name: &ImageRef| match reference.tag() {
        Some(_) => name == reference,
        None => name.digest().is_none() && name.bare() == *reference,
    };
    let of_repository = state.references.keys().any(|name| name.bare() == reference.bare());
    let all: Vec<Named> = state
        .references
        .iter()
        .filter(|(name, _)| wanted(name))
        .filter_map(|(name, row)| {
            let (name, row, record) = (name.clone(), row.clone(), state.images.get(&row.image)?.clone());
            Some(Named { name, row, record })
        })
        .collect();
    match all.is_empty() {
        false => Ok(all),
        true if of_repository && reference.tag().is_some() => Err(ImageError::NoTag(reference.familiar())),
        true => Err(ImageError::NotLocal(reference.familiar_name())),
    }
}

// The other repositories of the same registry that have some of the blobs: a token is asked for with them.
fn mountable(images: &Images, reference: &ImageRef, all: &[Named]) -> Vec<String> {
    let blobs: BTreeSet<&Digest> = all.iter().flat_map(|one| &one.record.row.blobs).collect();
    let compressed = blobs.iter().filter_map(|digest| images.sources().compressed(digest));
    let all: Vec<Digest> =
        compressed.map(|made| made.digest).chain(blobs.iter().map(|&d| d.clone())).collect();
    let found: BTreeSet<String> =
        all.iter().flat_map(|digest| images.sources().at(reference.domain(), digest)).collect();
    found.into_iter().filter(|path| path != reference.path()).take(8).collect()
}

impl Push<'_> {
    async fn one(&self, named: Named) -> Result<()> {
        let Named { name, row, record } = named;
        let actual = record.config.platform();
        if let Some(wanted) = self.platform.as_ref().filter(|wanted| !wanted.matches(&actual)) {
            let (actual, wanted) = (actual.to_string(), wanted.to_string());
            return Err(ImageError::PlatformMismatch { reference: name.familiar(), actual, wanted });
        }
        let pushed = match self.whole_index(&row).await? {
            Some(whole) => self.index(whole).await?,
            None => self.image(&record, &row).await?,
        };
        let (tag, (kind, document)) = (name.tag().unwrap_or("latest"), pushed);
        let size = document.len() as u64;
        let digest = self.repository.put_manifest(tag, &kind, document.clone()).await?;
        self.keep(&name, &row, descriptor(&kind, digest.clone(), size), document).await?;
        send(&self.to, line("", format!("{tag}: digest: {digest} size: {size}"))).await?;
        send(&self.to, aux(json!({ "Tag": tag, "Digest": digest.as_str(), "Size": size }))).await?;
        self.images.event("push", &name.familiar(), &name.familiar_name(), Some(&record));
        Ok(())
    }

    // The index that the name stands for, if all that it names is here and no one platform was asked for.
    async fn whole_index(&self, row: &ReferenceRow) -> Result<Option<Whole>> {
        if self.platform.is_some() {
            return Ok(None);
        }
        let (images, row) = (self.images.clone(), row.clone());
        tokio::task::spawn_blocking(move || images.whole_index(&row)).await?
    }

    async fn index(&self, whole: Whole) -> Result<(String, Vec<u8>)> {
        for (descriptor, document, manifest) in whole.manifests {
            let digest = descriptor.digest.clone();
            let ids = manifest.layers.iter().map(|layer| layer.digest.clone()).collect();
            // An index names its manifests by digest: nothing of them may change on the way.
            let (kind, text) = self.packed(Packed { descriptor, document, manifest }, ids, true).await?;
            self.repository.put_manifest(digest.as_str(), &kind, text).await?;
        }
        Ok((whole.descriptor.media_type, whole.document))
    }

    async fn image(&self, record: &Arc<Record>, row: &ReferenceRow) -> Result<(String, Vec<u8>)> {
        let (images, of, named) = (self.images.clone(), record.clone(), row.clone());
        let packed = tokio::task::spawn_blocking(move || images.packed(&of, Some(&named))).await??;
        let ids = record.config.rootfs.diff_ids.iter().map(|id| id.0.clone()).collect();
        self.packed(packed, ids, false).await
    }

    // Uploads what a manifest names; the manifest to put, which is another where layers were compressed.
    async fn packed(&self, packed: Packed, ids: Vec<Digest>, as_it_is: bool) -> Result<(String, Vec<u8>)> {
        let Packed { descriptor, document, mut manifest } = packed;
        self.lease.protect(&manifest.config.digest);
        let mut pushing = FuturesUnordered::new();
        for (at, (layer, id)) in manifest.layers.iter().zip(&ids).enumerate().rev() {
            self.lease.protect(&layer.digest);
            let id = short_id(id.as_str()).to_owned();
            send(&self.to, state(&id, "Preparing")).await?;
            let blob = self.blob(layer, id);
            pushing.push(async move {
                if as_it_is {
                    blob.push_as_it_is().await?;
                    return Ok::<_, ImageError>((at, blob.descriptor));
                }
                Ok((at, blob.push().await?))
            });
        }
        let mut changed = false;
        let mut pushed = manifest.layers.clone();
        while let Some(done) = pushing.next().await {
            let (at, descriptor) = done?;
            changed |= descriptor.digest != pushed[at].digest;
            pushed[at] = descriptor;
        }
        drop(pushing);
        let config = Blob { quiet: true, ..self.blob(&manifest.config, String::new()) };
        config.push().await?;
        let all: Vec<&Digest> = pushed.iter().map(|layer| &layer.digest).collect();
        self.images.sources().note(self.repository.name(), &all)?;
        if !changed {
            return Ok((descriptor.media_type, document));
        }
        manifest.layers = pushed;
        let text = serde_json::to_vec(&manifest).map_err(|error| ImageError::Task(error.to_string()))?;
        Ok((manifest.media_type.unwrap_or_else(|| media_type::OCI_MANIFEST.into()), text))
    }

    fn blob(&self, layer: &Descriptor, id: String) -> Blob {
        let pushing =
            Pushing { images: self.images.clone(), repository: self.repository.clone(), to: self.to.clone() };
        Blob { pushing, descriptor: layer.clone(), id, quiet: false }
    }

    // The name's digest is the one that it was pushed as, too.
    async fn keep(
        &self,
        name: &ImageRef,
        row: &ReferenceRow,
        pushed: Descriptor,
        document: Vec<u8>,
    ) -> Result<()> {
        let by_digest = name.with_digest(pushed.digest.clone());
        let manifest = if pushed.digest == row.target.digest { row.manifest.clone() } else { pushed.clone() };
        let row = ReferenceRow { target: pushed.clone(), manifest, image: row.image.clone() };
        let images = self.images.clone();
        let kept = move || {
            if images.catalogue().read().references.contains_key(&by_digest) {
                return Ok(());
            }
            images.content().put_as(&document, &pushed.digest)?;
            images.sync()?;
            let writer = images.catalogue().write();
            // Removed meanwhile: nothing to keep it for. What it is made of goes with the image.
            let Some(record) = images.catalogue().read().images.get(&row.image).cloned() else {
                return Ok(());
            };
            let mut owner = record.row.clone();
            owner.blobs.insert(pushed.digest.clone());
            let record = Record { id: record.id.clone(), row: owner, config: record.config.clone() };
            let (put_image, put_references) = (Some(Arc::new(record)), vec![(by_digest, row)]);
            writer.commit(Change { put_image, put_references, ..Change::default() }, Durability::Process)
        };
        tokio::task::spawn_blocking(kept).await?
    }
}
