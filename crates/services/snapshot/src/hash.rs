//! Digests of what passes by.

use hull_types::{ChainId, DiffId, Digest};
use ring::digest::{Context, SHA256, digest};
use std::io::{self, Read};

/// The sha256 of some bytes.
pub(crate) fn digest_of(bytes: &[u8]) -> Digest {
    canonical(digest(&SHA256, bytes))
}

/// The name of a layer with all beneath it.
pub fn chain_of(parent: Option<&ChainId>, layer: &DiffId) -> ChainId {
    match parent {
        None => ChainId(layer.0.clone()),
        Some(parent) => ChainId(digest_of(ChainId::text_of(parent, layer).as_bytes())),
    }
}

fn canonical(digest: ring::digest::Digest) -> Digest {
    let mut raw = [0; 32];
    raw.copy_from_slice(digest.as_ref());
    Digest::sha256(&raw)
}

/// Passes a stream on and hashes it.
pub(crate) struct Hashed<'a> {
    source: &'a mut dyn Read,
    context: Context,
    length: u64,
}

impl<'a> Hashed<'a> {
    pub fn new(source: &'a mut dyn Read) -> Self {
        Self { source, context: Context::new(&SHA256), length: 0 }
    }

    /// Reads what is left, and gives the digest and length of all.
    pub fn finish(mut self) -> io::Result<(Digest, u64)> {
        io::copy(&mut self, &mut io::sink())?;
        Ok((canonical(self.context.finish()), self.length))
    }
}

impl Read for Hashed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.context.update(&buffer[..read]);
        self.length += read as u64;
        Ok(read)
    }
}
