//! What comes by standard input: an archive, or a Dockerfile.

use crate::failure::Failure;
use bytes::Bytes;
use hull_archive::{Archive, Compression, Decompressor};
use std::io::{self, Read};
use tokio::sync::mpsc;

/// How much of the beginning tells an archive: its first entry may have long attributes.
const HEAD: u64 = 64 << 10;
/// The largest Dockerfile.
const TEXT: u64 = 4 << 20;

fn failed(error: io::Error) -> Failure {
    Failure::new(format!("read standard input: {error}"))
}

/// The beginning.
pub fn head() -> Result<Vec<u8>, Failure> {
    let mut head = Vec::new();
    io::stdin().lock().take(HEAD).read_to_end(&mut head).map_err(failed)?;
    Ok(head)
}

/// Whether this is the beginning of a tar, compressed or not.
pub fn is_archive(head: &[u8]) -> bool {
    match Decompressor::detect(head) {
        Ok(found) if found.compression() != Compression::None => true,
        _ => matches!(Archive::new(head).next_entry(), Ok(Some(_))),
    }
}

/// All of it as a text, after what was read of it.
pub fn text(mut head: Vec<u8>) -> Result<String, Failure> {
    io::stdin().lock().take(TEXT + 1).read_to_end(&mut head).map_err(failed)?;
    if head.len() as u64 > TEXT {
        return Err(Failure::new(format!("the Dockerfile on standard input is larger than {TEXT} bytes")));
    }
    match String::from_utf8(head) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err("standard input is neither an archive nor a Dockerfile".into()),
    }
}

/// The beginning and what follows, as it comes.
pub fn stream(head: Vec<u8>) -> mpsc::Receiver<io::Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(8);
    std::thread::spawn(move || {
        let mut piece = head;
        while !piece.is_empty() {
            if sender.blocking_send(Ok(piece.into())).is_err() {
                return;
            }
            piece = Vec::with_capacity(256 << 10);
            let read = io::stdin().lock().take(256 << 10).read_to_end(&mut piece);
            if let Err(error) = read {
                let _ = sender.blocking_send(Err(error));
                return;
            }
        }
    });
    receiver
}
