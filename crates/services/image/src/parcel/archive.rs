//! A parcel as one tar: an OCI image layout, which Docker's own documents make readable to `docker load`.

use super::Parcel;
use crate::error::Result;
use crate::packed::to_json;
use crate::save::{self, CONTAINERD_NAME, REF_NAME};
use hull_archive::{Entry, EntryKind, Writer};
use hull_types::ImageRef;
use hull_types::oci::image::{Descriptor, Index, Manifest, media_type};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

/// Whose archive it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// An OCI layout alone.
    Oci,
    /// One that `docker load` of any age reads, too.
    Docker,
}

impl Parcel {
    /// Writes the archive. The index names the root under each of `names`, with `annotations` on its descriptor.
    pub fn archive(
        &self,
        form: Form,
        names: &[ImageRef],
        annotations: &BTreeMap<String, String>,
        to: impl Write,
    ) -> Result<()> {
        let mut archive = Writer::new(to);
        for directory in ["blobs/", "blobs/sha256/"] {
            archive.entry(&Entry::new(directory, EntryKind::Directory, 0o755)).map_err(save::failed)?;
        }
        save::file(&mut archive, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        save::file(&mut archive, "index.json", &to_json(&self.layout(names, annotations))?)?;
        if form == Form::Docker {
            save::file(&mut archive, "manifest.json", &to_json(&self.items(names))?)?;
        }
        let mut written = BTreeSet::new();
        for (descriptor, _) in &self.documents {
            save::blob(&self.images, &mut archive, descriptor, &mut written)?;
        }
        for descriptor in &self.blobs {
            save::blob(&self.images, &mut archive, descriptor, &mut written)?;
        }
        archive.finish().map_err(save::failed)?;
        Ok(())
    }

    fn layout(&self, names: &[ImageRef], annotations: &BTreeMap<String, String>) -> Index {
        let mut manifests = Vec::new();
        if let Some(root) = self.root() {
            let mut entry = root.clone();
            entry.annotations.extend(annotations.clone());
            for name in names {
                let mut named: Descriptor = entry.clone();
                named.annotations.insert(CONTAINERD_NAME.into(), name.to_string());
                named.annotations.insert(REF_NAME.into(), name.tag().unwrap_or_default().to_owned());
                manifests.push(named);
            }
            if names.is_empty() {
                manifests.push(entry);
            }
        }
        Index {
            schema_version: 2,
            media_type: Some(media_type::OCI_INDEX.into()),
            manifests,
            annotations: BTreeMap::new(),
        }
    }

    fn items(&self, names: &[ImageRef]) -> serde_json::Value {
        let names: Vec<String> = names.iter().map(ImageRef::familiar).collect();
        let manifests =
            self.documents.iter().filter_map(|(_, text)| serde_json::from_slice::<Manifest>(text).ok());
        let items = manifests.map(|manifest| {
            let layers: Vec<String> =
                manifest.layers.iter().map(|layer| save::place(&layer.digest)).collect();
            let tags = (!names.is_empty()).then_some(&names);
            json!({ "Config": save::place(&manifest.config.digest), "RepoTags": tags, "Layers": layers })
        });
        items.collect()
    }
}
