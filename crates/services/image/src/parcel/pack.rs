//! Layers as they go out: compressed as asked for. The same tar becomes the same blob on every machine.

use super::Parcel;
use crate::error::{ImageError, Result};
use crate::packed::descriptor;
use hull_archive::Decompressor;
use hull_content::Ingest;
use hull_types::oci::image::{Descriptor, media_type};
use std::fs::File;
use std::io::{self, Write};

/// How layers are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all.
    Uncompressed,
    /// gzip.
    #[default]
    Gzip,
    /// Zstandard.
    Zstd,
}

/// How layers go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Packing {
    /// How those made here are compressed.
    pub compression: Compression,
    /// How hard: gzip 0 to 9, zstd 1 to 19.
    pub level: Option<i32>,
    /// Whether layers that came from elsewhere are compressed anew.
    pub force: bool,
    /// Docker's media types in place of OCI's.
    pub docker: bool,
}

impl Packing {
    fn kind(&self) -> &'static str {
        match (self.compression, self.docker) {
            (Compression::Uncompressed, false) => media_type::OCI_LAYER,
            (Compression::Gzip, false) => media_type::OCI_LAYER_GZIP,
            (Compression::Uncompressed, true) => media_type::DOCKER_LAYER,
            (Compression::Gzip, true) => media_type::DOCKER_LAYER_GZIP,
            // Docker's types have none for it.
            (Compression::Zstd, _) => media_type::OCI_LAYER_ZSTD,
        }
    }
}

/// The type of a layer that goes out with its bytes as they are.
fn renamed(kind: &str, docker: bool) -> &str {
    match (kind, docker) {
        (media_type::OCI_LAYER, true) => media_type::DOCKER_LAYER,
        (media_type::OCI_LAYER_GZIP, true) => media_type::DOCKER_LAYER_GZIP,
        (media_type::DOCKER_LAYER, false) => media_type::OCI_LAYER,
        (media_type::DOCKER_LAYER_GZIP, false) => media_type::OCI_LAYER_GZIP,
        (kind, _) => kind,
    }
}

impl Parcel {
    /// Takes a layer in: `layer` is a blob that is here. `own` says that it was made here, and is compressed in any
    /// case; one of a base image goes as it came.
    pub fn layer(&mut self, layer: &Descriptor, own: bool, how: &Packing) -> Result<Descriptor> {
        self.lease.protect(&layer.digest);
        let wanted = how.kind();
        let fits = renamed(&layer.media_type, how.docker) == wanted && how.level.is_none();
        let packed = match fits || !(own || how.force) {
            true => Descriptor { media_type: renamed(&layer.media_type, how.docker).into(), ..layer.clone() },
            false => self.compressed(layer, wanted, how)?,
        };
        self.blobs.push(packed.clone());
        Ok(packed)
    }

    fn compressed(&self, layer: &Descriptor, kind: &str, how: &Packing) -> Result<Descriptor> {
        let content = self.images.content();
        let memory = self.images.sources();
        let plain = [media_type::OCI_LAYER, media_type::DOCKER_LAYER].contains(&layer.media_type.as_str());
        let usual = how.compression == Compression::Gzip && how.level.is_none() && plain;
        if usual && let Some(known) = memory.compressed(&layer.digest) {
            self.lease.protect(&known.digest);
            if content.has(&known.digest) {
                return Ok(descriptor(kind, known.digest, known.size));
            }
        }
        let mut ingest = content.ingest(None)?;
        let unreadable = |source: io::Error| ImageError::Layer {
            digest: layer.digest.clone(),
            cause: format!("it could not be compressed: {source}"),
        };
        let file = content.reader(&layer.digest)?;
        compress(file, &mut ingest, how).map_err(unreadable)?;
        let size = ingest.offset();
        let digest = ingest.finish()?;
        self.lease.protect(&digest);
        self.note(&digest);
        let made = descriptor(kind, digest, size);
        if usual {
            memory.note_compressed(&layer.digest, &made)?;
        }
        Ok(made)
    }
}

fn compress(file: File, to: &mut Ingest, how: &Packing) -> io::Result<()> {
    let mut plain = Decompressor::detect(file)?;
    match how.compression {
        Compression::Uncompressed => io::copy(&mut plain, to).map(drop),
        Compression::Zstd => hull_archive::zstd(&mut plain, how.level.unwrap_or(3), to),
        Compression::Gzip => {
            let threads = std::thread::available_parallelism().map_or(1, usize::from);
            let mut write = |piece: Vec<u8>| to.write_all(&piece);
            match how.level.and_then(|level| u32::try_from(level).ok()) {
                Some(level) => hull_archive::gzip_at(level, &mut plain, threads, &mut write),
                None => hull_archive::gzip(&mut plain, threads, &mut write),
            }
        }
    }
}
