//! The bytes of `cp`: tars between the engine's stream and the file system, on threads that may wait.

use super::plan::{Placing, Thing, rename};
use crate::failure::{Failure, file_error};
use bytes::Bytes;
use hull_archive::{Archive, EntryKind, PackOptions, UnpackOptions, Writer, pack, unpack};
use hull_client::{Client, Response};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use tokio::sync::mpsc;

/// How many pieces wait between the network and the disk.
const DEPTH: usize = 8;
const PIECE: usize = 128 * 1024;

/// Unpacks an answer's tar here. Returns the tar's size.
pub async fn receive(mut response: Response, placing: Placing, keep_owners: bool) -> Result<u64, Failure> {
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(DEPTH);
    let unpacking =
        tokio::task::spawn_blocking(move || unpack_here(ChannelReader::new(receiver), &placing, keep_owners));
    let mut bytes = 0;
    let mut broken = None;
    loop {
        match response.chunk().await {
            Ok(Some(piece)) => {
                bytes += piece.len() as u64;
                if sender.send(Ok(piece)).await.is_err() {
                    break;
                }
            }
            Ok(None) => break,
            Err(error) => {
                let _ = sender.send(Err(io::Error::other("the connection broke"))).await;
                broken = Some(error);
                break;
            }
        }
    }
    drop(sender);
    let unpacked = unpacking.await.map_err(|error| Failure::new(error.to_string()))?;
    match broken {
        Some(error) => Err(error.into()),
        None => unpacked.map(|()| bytes),
    }
}

fn unpack_here(reader: ChannelReader, placing: &Placing, keep_owners: bool) -> Result<(), Failure> {
    let directory = Path::new(&placing.directory);
    let root = File::open(directory).map_err(|error| Failure::new(file_error("open", directory, &error)))?;
    // What comes belongs to who asked for it, unless its owners were asked for too.
    let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let options = UnpackOptions { no_overwrite_dir_non_dir: true, owner: (!keep_owners).then_some(own) };
    let failed = |error: hull_archive::Error| Failure::new(error.to_string());
    // The target directory is the root for the unpacking: nothing in the archive reaches past it.
    let Some((old, new)) = &placing.rename else {
        return unpack(root.as_fd(), Path::new("/"), reader, &options).map_err(failed);
    };
    let (pipe_reader, pipe_writer) = io::pipe().map_err(|error| Failure::new(format!("pipe: {error}")))?;
    std::thread::scope(|scope| {
        let renaming =
            scope.spawn(move || renamed(reader, io::BufWriter::with_capacity(PIECE, pipe_writer), old, new));
        let unpacked = unpack(root.as_fd(), Path::new("/"), pipe_reader, &options).map_err(failed);
        let renamed = renaming.join().unwrap_or_else(|_| Err(Failure::new("the renaming thread panicked")));
        // What the engine's stream failed with says more than the cut archive that came of it.
        renamed.and(unpacked)
    })
}

/// Copies a tar with the first part of its members' names renamed.
fn renamed<R: Read, W: Write>(source: R, sink: W, old: &str, new: &str) -> Result<(), Failure> {
    let failed = |error: hull_archive::Error| Failure::new(error.to_string());
    let mut archive = Archive::new(source);
    let mut writer = Writer::new(sink);
    while let Some(mut entry) = archive.next_entry().map_err(failed)? {
        if let Some(name) = rename(&entry.name, old, new) {
            entry.name = name;
        }
        if entry.kind == EntryKind::HardLink
            && let Some(link) = rename(&entry.link, old, new)
        {
            entry.link = link;
        }
        writer.entry(&entry).map_err(failed)?;
        loop {
            let piece = archive.contents().map_err(failed)?;
            if piece.is_empty() {
                break;
            }
            writer.contents(piece).map_err(failed)?;
        }
    }
    writer.finish().map_err(failed)?;
    archive.drain().map_err(failed)
}

/// Sends what is at `source` here, or standard input's tar, to be unpacked in the container. Returns the tar's size.
pub async fn send(
    client: &Client,
    container: &str,
    source: Option<Thing>,
    placing: &Placing,
    keep_owners: bool,
) -> Result<u64, Failure> {
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(DEPTH);
    let rename = placing.rename.clone();
    let packing = tokio::task::spawn_blocking(move || match source {
        Some(source) => pack_here(&source, rename, sender),
        None => copy_input(sender),
    });
    let sent = client.container_unpack(container, &placing.directory, false, keep_owners, receiver).await;
    // The engine's refusal ends the packing too; it is the one to tell of, unless the packing failed by itself.
    let packed = packing.await.map_err(|error| Failure::new(error.to_string()))?;
    match (sent, packed) {
        (Ok(()), packed) => packed,
        (Err(error), Ok(_)) => Err(error.into()),
        (Err(error), Err(failure)) if error.status().is_some() || failure.message.is_empty() => {
            Err(error.into())
        }
        (Err(_), Err(failure)) => Err(failure),
    }
}

fn pack_here(
    source: &Thing,
    rename: Option<(String, String)>,
    sender: mpsc::Sender<io::Result<Bytes>>,
) -> Result<u64, Failure> {
    let failed = |error: hull_archive::Error| Failure::new(error.to_string());
    let root = File::open("/").map_err(|error| Failure::new(file_error("open", "/", &error)))?;
    let abort = sender.clone();
    let mut sink = ChannelWriter { sender, buffer: Vec::with_capacity(PIECE), bytes: 0 };
    let path = Path::new(&source.path);
    let options = PackOptions::default();
    let packed = match &rename {
        None => pack(root.as_fd(), path, &options, &mut sink).map_err(failed),
        Some((old, new)) => (|| {
            let (pipe_reader, pipe_writer) =
                io::pipe().map_err(|error| Failure::new(format!("pipe: {error}")))?;
            std::thread::scope(|scope| {
                let packing = scope.spawn(|| {
                    let writer = io::BufWriter::with_capacity(PIECE, pipe_writer);
                    pack(root.as_fd(), path, &options, writer).map_err(failed)
                });
                let renamed = renamed(pipe_reader, &mut sink, old, new);
                let packed =
                    packing.join().unwrap_or_else(|_| Err(Failure::new("the packing thread panicked")));
                packed.and(renamed)
            })
        })(),
    };
    let packed = packed.and_then(|()| sink.flush().map_err(|_| Failure::silent(1)));
    if packed.is_err() {
        // A body that ends early must not look whole.
        let _ = abort.blocking_send(Err(io::Error::other("the archive is not complete")));
    }
    packed.map(|()| sink.bytes)
}

fn copy_input(sender: mpsc::Sender<io::Result<Bytes>>) -> Result<u64, Failure> {
    let mut sink = ChannelWriter { sender, buffer: Vec::with_capacity(PIECE), bytes: 0 };
    let copied = io::copy(&mut io::stdin().lock(), &mut sink).and_then(|_| sink.flush());
    copied.map_err(|error| Failure::new(format!("cannot send standard input: {error}")))?;
    Ok(sink.bytes)
}

struct ChannelReader {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    rest: Bytes,
}

impl ChannelReader {
    fn new(receiver: mpsc::Receiver<io::Result<Bytes>>) -> Self {
        Self { receiver, rest: Bytes::new() }
    }
}

impl Read for ChannelReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.rest = piece?,
                None => return Ok(0),
            }
        }
        let length = self.rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&self.rest.split_to(length));
        Ok(length)
    }
}

struct ChannelWriter {
    sender: mpsc::Sender<io::Result<Bytes>>,
    buffer: Vec<u8>,
    bytes: u64,
}

impl Write for ChannelWriter {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(data);
        if self.buffer.len() >= PIECE {
            self.flush()?;
        }
        Ok(data.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.buffer, Vec::with_capacity(PIECE));
        self.bytes += piece.len() as u64;
        self.sender.blocking_send(Ok(piece.into())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::copy::plan::{self, place};

    /// Packs what is at a local path and unpacks it at another, as both halves of `cp` do.
    fn through(source: &str, target: &str) -> Result<(), Failure> {
        let source = plan::source(source, false).unwrap();
        let target = plan::destination(target).map_err(Failure::new)?;
        let placing = place(&source, &target)?;
        let (sender, receiver) = mpsc::channel(DEPTH);
        let packing = std::thread::spawn(move || pack_here(&source, None, sender));
        let unpacked = unpack_here(ChannelReader::new(receiver), &placing, false);
        packing.join().unwrap().unwrap();
        unpacked
    }

    #[test]
    fn copies_land_under_the_right_names() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| format!("{}/{name}", directory.path().display());
        std::fs::create_dir_all(at("src/sub")).unwrap();
        std::fs::write(at("src/sub/f"), "hello").unwrap();
        std::fs::create_dir(at("dst")).unwrap();
        for (source, target, found) in [
            ("src", "dst", "dst/src/sub/f"),
            ("src", "new", "new/sub/f"),
            ("src/.", "dst", "dst/sub/f"),
            ("src/.", "new2", "new2/sub/f"),
            ("src/sub/f", "dst", "dst/f"),
            ("src/sub/f", "g", "g"),
            ("src/sub/f", "dst/f", "dst/f"),
        ] {
            through(&at(source), &at(target))
                .unwrap_or_else(|failure| panic!("{source} {target}: {failure}"));
            assert_eq!(std::fs::read_to_string(at(found)).unwrap(), "hello", "{source} {target}");
        }
        assert_eq!(through(&at("src"), &at("g")).unwrap_err().message, "cannot copy directory");
        assert_eq!(through(&at("g"), &at("nope/")).unwrap_err().message, "no such directory");
    }
}
