//! A parcel to a registry: what it has not, what names it, and the root under its tag.

use super::Parcel;
use crate::auth;
use crate::error::Result;
use crate::progress::{line, send, state};
use crate::push::{Blob, Pushing};
use futures::stream::{FuturesUnordered, StreamExt};
use hull_api_types::{AuthConfig, JsonMessage};
use hull_types::{Digest, ImageRef, short_id};
use std::collections::BTreeSet;
use tokio::sync::mpsc::Sender;

impl Parcel {
    /// Sends everything to the name's repository; the root's digest there.
    pub async fn send(
        &self,
        name: &ImageRef,
        auth: Option<AuthConfig>,
        to: Sender<JsonMessage>,
    ) -> Result<Option<Digest>> {
        let auth = auth.map(|auth| auth::credentials(&auth)).transpose()?;
        let domain = name.domain();
        let known = self.blobs.iter().flat_map(|blob| self.images.sources().at(domain, &blob.digest));
        let known: BTreeSet<String> = known.filter(|path| path != name.path()).take(8).collect();
        let known: Vec<String> = known.into_iter().collect();
        let repository = self.images.registry().pusher(name, &known, auth);
        repository.connect_to_push().await?;
        let mut seen = BTreeSet::new();
        let mut pushing = FuturesUnordered::new();
        for descriptor in self.blobs.iter().filter(|blob| seen.insert(blob.digest.clone())) {
            let id = short_id(descriptor.digest.as_str()).to_owned();
            send(&to, state(&id, "Preparing")).await?;
            let shared =
                Pushing { images: self.images.clone(), repository: repository.clone(), to: to.clone() };
            let blob = Blob { pushing: shared, descriptor: descriptor.clone(), id, quiet: false };
            pushing.push(async move { blob.push_as_it_is().await });
        }
        while let Some(done) = pushing.next().await {
            done?;
        }
        let all: Vec<&Digest> = self.blobs.iter().map(|blob| &blob.digest).collect();
        self.images.sources().note(repository.name(), &all)?;
        let mut root = None;
        for (number, (descriptor, document)) in self.documents.iter().enumerate() {
            let last = number + 1 == self.documents.len();
            let tag = name.tag().unwrap_or("latest");
            let under = if last { tag } else { descriptor.digest.as_str() };
            let put = repository.put_manifest(under, &descriptor.media_type, document.clone()).await?;
            if last {
                let text = format!("{tag}: digest: {put} size: {}", document.len());
                send(&to, line("", text)).await?;
                root = Some(put);
            }
        }
        Ok(root)
    }
}
