//! `import`: a tar of files → an image of one layer.

use crate::Images;
use crate::changes::{self, Changed};
use crate::error::{ImageError, Result};
use hull_archive::{Archive, Decompressor};
use hull_types::oci::image::{Execution, History, ImageConfig, LayerIds};
use hull_types::{DiffId, Digest, ImageRef, Platform, Timestamp};
use std::io::{self, Read, Write};

/// What the image is to be.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// Its name; none for an image without.
    pub name: Option<ImageRef>,
    /// The note in its history.
    pub message: String,
    /// Dockerfile instructions that set its configuration.
    pub changes: Vec<String>,
    /// What it is for; this machine's where none is said.
    pub platform: Option<Platform>,
}

pub(crate) fn import(images: &Images, source: impl Read, options: &ImportOptions) -> Result<Digest> {
    let mut execution = Execution::default();
    changes::apply(&mut execution, &options.changes, &mut Changed::default())?;
    let making = images.make();
    let plain = Decompressor::detect(source).map_err(|error| ImageError::Load(error.to_string()))?;
    let layer = making.layer(|to| {
        let mut checked = Archive::new(Copied { plain, to });
        // Read as what it has to be: what no layer can be made of is refused before it is one.
        while checked.next_entry().map_err(ImageError::Archive)?.is_some() {}
        checked.drain().map_err(ImageError::Archive)
    })?;
    let created = Some(Timestamp::now());
    let platform = options.platform.clone().unwrap_or_else(Platform::host);
    let config = ImageConfig {
        created,
        architecture: platform.architecture,
        os: platform.os,
        variant: platform.variant,
        config: execution,
        rootfs: LayerIds { diff_ids: vec![DiffId(layer.digest.clone())], ..LayerIds::default() },
        history: vec![History { created, comment: options.message.clone(), ..History::default() }],
        ..ImageConfig::default()
    };
    let id = making.image(&config, vec![layer], options.name.as_ref())?;
    let record = crate::make::known(images, &id);
    images.event("import", id.as_str(), id.as_str(), record.as_deref());
    Ok(id)
}

// What is read is written too.
struct Copied<'a, R> {
    plain: R,
    to: &'a mut dyn Write,
}

impl<R: Read> Read for Copied<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.plain.read(buffer)?;
        self.to.write_all(&buffer[..read])?;
        Ok(read)
    }
}
