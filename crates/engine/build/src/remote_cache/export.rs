//! Writing caches.

use super::document::Document;
use super::{CONFIG, CachePlace, CacheTarget};
use crate::build::blocking;
use crate::builder::Builder;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::result::{OWN_STEPS, Own, Product, Solved};
use hull_image::Parcel;
use hull_types::DiffId;
use hull_types::oci::image::{Manifest, media_type};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::mpsc;

impl Builder {
    /// Writes the caches that the request names; those of directories go into the product.
    pub(crate) async fn export_caches(
        &self,
        solved: &Arc<Vec<Solved>>,
        product: &mut Product,
        progress: &Progress,
    ) -> Result<()> {
        let targets = solved[0].build.request.cache_to.clone();
        for (number, target) in targets.into_iter().enumerate() {
            let own = Own::begin(progress, OWN_STEPS + 1000 + number, "exporting cache").await;
            let ignore = target.ignore_error;
            match own.end(self.export_cache(solved, target).await).await {
                Ok(parcel) => product.caches.extend(parcel),
                Err(error) if ignore => tracing::warn!(%error, "a build's cache could not be exported"),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn export_cache(&self, solved: &Arc<Vec<Solved>>, target: CacheTarget) -> Result<Option<Parcel>> {
        let (all, wanted) = (Arc::clone(solved), target.clone());
        let parcel = blocking(move || pack(&all, &wanted)).await?;
        let CachePlace::Registry(name) = &target.place else { return Ok(Some(parcel)) };
        let build = &solved[0].build;
        let auth = build.builder.auth_for(&build.request.auth, name);
        let (sender, mut messages) = mpsc::channel(16);
        let unheard = async { while messages.recv().await.is_some() {} };
        let (sent, ()) = tokio::join!(parcel.send(name, auth, sender), unheard);
        sent?;
        Ok(None)
    }
}

fn pack(solved: &[Solved], target: &CacheTarget) -> Result<Parcel> {
    let making = &solved[0].build.making;
    let mut parcel = making.parcel();
    let mut document = Document::default();
    let mut layers = Vec::new();
    let mut done = BTreeSet::new();
    for one in solved {
        let of_image: BTreeSet<&DiffId> = one.state.made.iter().map(|made| &made.diff_id).collect();
        for (key, made) in one.build.results() {
            let wanted = made.as_ref().is_none_or(|made| target.max || of_image.contains(&made.diff_id));
            if !wanted || !done.insert(key.clone()) {
                continue;
            }
            let Some(made) = made else {
                document.push_record(&key, None);
                continue;
            };
            let blob =
                parcel.layer(&one.build.making.kept(&made.chain, &made.diff_id)?, true, &target.packing)?;
            let before = document.layers.len();
            let place = document.push_layer(&blob, &made.diff_id, -1);
            if place == before {
                layers.push(blob);
            }
            document.push_record(&key, Some(place));
        }
    }
    let text = serde_json::to_vec(&document).map_err(Error::json)?;
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media_type::OCI_MANIFEST.into()),
        artifact_type: None,
        config: parcel.blob(CONFIG, &text)?,
        layers,
        annotations: BTreeMap::new(),
    };
    parcel.document(media_type::OCI_MANIFEST, &manifest)?;
    Ok(parcel)
}
