//! `pull`: a name → manifest → configuration → layers → rows.

use crate::Images;
use crate::catalogue::{CONFIG_LIMIT, Change, ImageRow, LayerRow, Record, ReferenceRow};
use crate::documents::{self, Document};
use crate::error::{ImageError, Result};
use crate::layers::{self, LayerPlan};
use crate::progress::{line, send};
use crate::shared::Hold;
use crate::{auth, download, hello};
use hull_api_types::{AuthConfig, JsonMessage};
use hull_content::Lease;
use hull_registry_client::{MANIFEST_LIMIT, Repository};
use hull_store::Durability;
use hull_types::oci::image::{Descriptor, ImageConfig, Manifest};
use hull_types::{Digest, ImageRef, Platform};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::mpsc::Sender;

/// What a name turned out to be, before anything of it is fetched.
struct Chosen {
    // What the registry says the name stands for.
    target: Descriptor,
    // The manifest for the platform: the target itself, or one that it lists.
    descriptor: Descriptor,
    manifest: Box<Manifest>,
}

struct Pull<'a> {
    images: &'a Images,
    reference: ImageRef,
    platform: Option<Platform>,
    lease: Arc<Lease>,
    to: Sender<JsonMessage>,
}

pub(crate) async fn pull(
    images: &Images,
    reference: &ImageRef,
    platform: Option<Platform>,
    auth: Option<AuthConfig>,
    to: Sender<JsonMessage>,
) -> Result<Digest> {
    let reference = reference.clone().or_latest();
    let lease = Arc::new(images.content().lease());
    let pull = Pull { images, reference, platform, lease, to };
    let built_in = hello::is_hello(&pull.reference) && !images.config().builtin_hello.as_os_str().is_empty();
    let pulled = if built_in { pull.hello().await? } else { pull.run(auth).await? };
    pull.say_status(pulled.newer).await?;
    Ok(pulled.image)
}

/// Pulls every tag of a repository, one after the other: layers shared by them come once.
pub(crate) async fn pull_all(
    images: &Images,
    repository: &ImageRef,
    platform: Option<Platform>,
    auth: Option<AuthConfig>,
    to: Sender<JsonMessage>,
) -> Result<()> {
    let reference = repository.bare();
    let given = auth.as_ref().map(auth::credentials).transpose()?;
    let tags = images.registry().repository(&reference, given).tags().await?;
    let lease = Arc::new(images.content().lease());
    let mut all = Pull { images, reference: reference.clone(), platform, lease, to };
    let mut newer = false;
    for tag in tags {
        all.reference = reference.with_tag(&tag)?;
        newer |= all.run(auth.clone()).await?.newer;
    }
    all.reference = reference;
    all.say_status(newer).await
}

/// A name that was pulled.
struct Pulled {
    image: Digest,
    /// Whether the name stood for another image before, or for none.
    newer: bool,
}

impl Pull<'_> {
    async fn run(&self, auth: Option<AuthConfig>) -> Result<Pulled> {
        let auth = auth.map(|auth| auth::credentials(&auth)).transpose()?;
        let repository = self.images.registry().repository(&self.reference, auth);
        // Until here nothing was said: what fails now becomes an HTTP status.
        let resolved = repository.resolve(&self.reference).await?;
        let target = resolved.descriptor;
        if let Some(image) = self.have(&target.digest) {
            self.say_from(self.reference.path()).await?;
            self.say_digest(&target.digest).await?;
            self.tell(&image);
            return Ok(Pulled { image, newer: false });
        }
        let _once = self.images.keyed().lock(&format!("manifest {}", target.digest)).await;
        let chosen = self.choose(&repository, target, resolved.document).await?;
        self.say_from(self.reference.path()).await?;
        let config = self.config(&repository, &chosen.manifest.config).await?;
        self.check_platform(&config)?;
        self.finish(chosen, config, Some(repository)).await
    }

    async fn hello(&self) -> Result<Pulled> {
        let (program, content) = (self.images.config().builtin_hello.clone(), self.images.content().clone());
        let (descriptor, manifest) =
            tokio::task::spawn_blocking(move || hello::build(&program, &content)).await??;
        let id = manifest.config.digest.clone();
        let text = self.read(&id, CONFIG_LIMIT).await?;
        let config = parse_config(&self.reference, &text)?;
        self.check_platform(&config)?;
        self.say_from("Hull itself: this image ships inside it, no registry is asked").await?;
        self.finish(
            Chosen { target: descriptor.clone(), descriptor, manifest: Box::new(manifest) },
            config,
            None,
        )
        .await
    }

    // The image that the name stands for already, when that is what the registry says too.
    fn have(&self, target: &Digest) -> Option<Digest> {
        let state = self.images.catalogue().read();
        let row = state.references.get(&self.key(target))?;
        let record = state.images.get(&row.image)?;
        let fits = self.platform.as_ref().is_none_or(|wanted| wanted.matches(&record.config.platform()));
        (row.target.digest == *target && fits).then(|| row.image.clone())
    }
    // A name with a digest is kept under the digest; its tag is for the reader.
    fn key(&self, target: &Digest) -> ImageRef {
        match self.reference.digest() {
            Some(_) => self.reference.with_digest(target.clone()),
            None => self.reference.clone(),
        }
    }

    async fn choose(
        &self,
        repository: &Repository,
        target: Descriptor,
        document: Option<Vec<u8>>,
    ) -> Result<Chosen> {
        let (target, found) = self.document(repository, target, document).await?;
        let index = match found {
            Document::Manifest(manifest) => {
                return Ok(Chosen { descriptor: target.clone(), target, manifest });
            }
            Document::Index(index) => index,
        };
        let wanted = self.platform.clone().unwrap_or_else(Platform::host);
        let entry = documents::choose(&index, &wanted)?.clone();
        let (descriptor, found) = self.document(repository, entry, None).await?;
        match found {
            Document::Manifest(manifest) => Ok(Chosen { target, descriptor, manifest }),
            Document::Index(_) => Err(self.wrong("an index inside an index".into())),
        }
    }

    // A manifest or index, out of the store where it is there, and in the store afterwards.
    async fn document(
        &self,
        repository: &Repository,
        described: Descriptor,
        document: Option<Vec<u8>>,
    ) -> Result<(Descriptor, Document)> {
        self.lease.protect(&described.digest);
        let stored = match document {
            Some(_) => None,
            None => self.read(&described.digest, MANIFEST_LIMIT).await.ok(),
        };
        let (kind, bytes) = match document.or(stored) {
            Some(bytes) => (described.media_type.clone(), bytes),
            None => {
                let (served, bytes) = repository.manifest(&described.digest).await?;
                // What listed it and what serves it must agree on what it is.
                if !served.media_type.is_empty() && served.media_type != described.media_type {
                    let (listed, served) = (described.media_type, served.media_type);
                    return Err(
                        self.wrong(format!("{} is served as {served:?}, not {listed:?}", described.digest))
                    );
                }
                (described.media_type.clone(), bytes)
            }
        };
        if bytes.len() as u64 != described.size {
            let cause = format!(
                "{} has {} bytes, not the {} described",
                described.digest,
                bytes.len(),
                described.size
            );
            return Err(self.wrong(cause));
        }
        let parsed = documents::parse(&self.reference.familiar(), &kind, &bytes)?;
        let (content, digest) = (self.images.content().clone(), described.digest.clone());
        tokio::task::spawn_blocking(move || content.put_as(&bytes, &digest)).await??;
        Ok((described, parsed))
    }

    async fn config(&self, repository: &Repository, wanted: &Descriptor) -> Result<ImageConfig> {
        self.lease.protect(&wanted.digest);
        let bytes = match self.read(&wanted.digest, CONFIG_LIMIT).await {
            Ok(bytes) => bytes,
            Err(_) => {
                let (content, attempts) = (self.images.content(), self.images.attempts());
                download::fetch(repository, content, wanted, attempts, self.images.downloading()).await?;
                self.read(&wanted.digest, CONFIG_LIMIT).await?
            }
        };
        parse_config(&self.reference, &bytes)
    }

    fn check_platform(&self, config: &ImageConfig) -> Result<()> {
        if config.os != "linux" && !config.os.is_empty() {
            return Err(self.wrong(format!(
                "image operating system {:?} cannot be used on this platform: operating system is not supported",
                config.os
            )));
        }
        match &self.platform {
            Some(wanted) if !wanted.matches(&config.platform()) => Err(ImageError::PlatformMismatch {
                reference: self.reference.familiar(),
                actual: config.platform().to_string(),
                wanted: wanted.to_string(),
            }),
            _ => Ok(()),
        }
    }

    // Fetches what is missing of the layers, and then, in one commit, lets the image be there.
    async fn finish(
        &self,
        chosen: Chosen,
        config: ImageConfig,
        repository: Option<Repository>,
    ) -> Result<Pulled> {
        let (diff_ids, blobs) = (&config.rootfs.diff_ids, &chosen.manifest.layers);
        if diff_ids.len() != blobs.len() {
            let cause =
                format!("its configuration has {} layers, its manifest {}", diff_ids.len(), blobs.len());
            return Err(self.wrong(cause));
        }
        let plans = layers::plan(blobs, diff_ids);
        let from_registry = repository.is_some();
        // Held until the rows are there: what is found now, even a whole image, could be removed meanwhile.
        let hold = self.hold(&plans).await?;
        let layers = match self.known(&chosen.manifest.config.digest) {
            Some(record) => record.row.layers.clone(),
            None => self.layers(repository, &plans, &hold).await?,
        };
        let id = chosen.manifest.config.digest.clone();
        let blobs = self.blobs(&chosen, &plans);
        let config_size = chosen.manifest.config.size;
        let row = ImageRow { config_size, blobs, layers, last_tagged: Default::default(), removed: false };
        let (images, target) = (self.images.clone(), chosen.target.digest.clone());
        let names = self.names(&chosen);
        let record = Record { id: id.clone(), row, config };
        // Where the image came from has its blobs: a push need not bring them there.
        let given: Vec<Digest> =
            plans.iter().map(|plan| plan.blob.digest.clone()).chain([id.clone()]).collect();
        let from = from_registry.then(|| self.reference.bare());
        let committed = move || {
            let newer = commit(&images, record, names)?;
            if let Some(from) = from {
                images.sources().note(&from, &given.iter().collect::<Vec<_>>())?;
            }
            Ok::<_, ImageError>(newer)
        };
        let newer = tokio::task::spawn_blocking(committed).await??;
        drop(hold);
        self.tell(&id);
        self.say_digest(&target).await?;
        Ok(Pulled { image: id, newer })
    }

    fn tell(&self, id: &Digest) {
        let record = self.known(id);
        let (full, short) = (self.reference.familiar(), self.reference.familiar_name());
        self.images.event("pull", &full, &short, record.as_deref());
    }

    async fn hold(&self, plans: &[LayerPlan]) -> Result<Arc<Hold>> {
        for plan in plans {
            self.lease.protect(&plan.blob.digest);
        }
        let (holds, chains) =
            (self.images.holds().clone(), plans.iter().map(|plan| plan.chain.clone()).collect());
        // May wait for a removal that is under way.
        Ok(Arc::new(tokio::task::spawn_blocking(move || holds.hold(chains)).await?))
    }

    fn known(&self, id: &Digest) -> Option<Arc<Record>> {
        self.images.catalogue().read().images.get(id).cloned()
    }

    async fn layers(
        &self,
        repository: Option<Repository>,
        plans: &[LayerPlan],
        hold: &Arc<Hold>,
    ) -> Result<Vec<LayerRow>> {
        let fetched = layers::fetch(self.images, repository, plans, &self.lease, hold, &self.to).await;
        if fetched.is_err() {
            self.images.note_orphans();
        }
        fetched
    }

    fn blobs(&self, chosen: &Chosen, plans: &[LayerPlan]) -> BTreeSet<Digest> {
        let documents = [&chosen.target.digest, &chosen.descriptor.digest, &chosen.manifest.config.digest];
        let layers = plans.iter().map(|plan| &plan.blob.digest);
        documents.into_iter().chain(layers).cloned().collect()
    }

    fn names(&self, chosen: &Chosen) -> Vec<(ImageRef, ReferenceRow)> {
        let (target, manifest) = (chosen.target.clone(), chosen.descriptor.clone());
        let row = ReferenceRow { target, manifest, image: chosen.manifest.config.digest.clone() };
        let by_digest = self.reference.with_digest(row.target.digest.clone());
        let mut names = vec![(by_digest, row.clone())];
        if self.reference.digest().is_none() {
            names.push((self.reference.clone(), row));
        }
        names
    }

    async fn read(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>> {
        let (content, digest) = (self.images.content().clone(), digest.clone());
        Ok(tokio::task::spawn_blocking(move || content.read(&digest, limit)).await??)
    }

    fn wrong(&self, cause: String) -> ImageError {
        ImageError::Document { reference: self.reference.familiar(), cause }
    }

    async fn say_from(&self, from: &str) -> Result<()> {
        let shown = match (self.reference.digest(), self.reference.tag()) {
            (Some(digest), _) => digest.as_str(),
            (None, tag) => tag.unwrap_or("latest"),
        };
        send(&self.to, line(shown, format!("Pulling from {from}"))).await
    }
    async fn say_digest(&self, target: &Digest) -> Result<()> {
        send(&self.to, line("", format!("Digest: {target}"))).await
    }
    async fn say_status(&self, newer: bool) -> Result<()> {
        let what = if newer { "Downloaded newer image" } else { "Image is up to date" };
        send(&self.to, line("", format!("Status: {what} for {}", self.reference.familiar()))).await
    }
}

fn parse_config(reference: &ImageRef, bytes: &[u8]) -> Result<ImageConfig> {
    let failed = |cause| ImageError::Document { reference: reference.familiar(), cause };
    let config: ImageConfig = serde_json::from_slice(bytes)
        .map_err(|error| failed(format!("invalid image configuration: {error}")))?;
    match config.rootfs.kind.as_str() {
        "layers" | "" => Ok(config),
        other => Err(failed(format!("invalid image configuration: rootfs type {other:?}"))),
    }
}

// Whether the name stands for another image than before.
pub(crate) fn commit(
    images: &Images,
    mut record: Record,
    names: Vec<(ImageRef, ReferenceRow)>,
) -> Result<bool> {
    images.sync()?;
    let newer = {
        let writer = images.catalogue().write();
        let newer = {
            let state = images.catalogue().read();
            if let Some(known) = state.kept(&record.id) {
                // The same image by another manifest: both are needed to push it as it came.
                record.row.blobs.extend(known.row.blobs.iter().cloned());
                record.row.last_tagged = known.row.last_tagged;
            }
            names
                .last()
                .and_then(|(name, _)| state.references.get(name))
                .is_none_or(|row| row.image != record.id)
        };
        // A layer whose blob is not here came out of another image's blob.
        record.row.blobs.retain(|digest| images.content().has(digest));
        let change = Change { put_image: Some(Arc::new(record)), put_references: names, ..Change::default() };
        writer.commit(change, Durability::Power)?;
        newer
    };
    images.publish_index();
    Ok(newer)
}
