//! From a stream of tar to a layer: one thread writes it, another reads, hashes and stores it.

use crate::cache::Made;
use crate::error::{Error, Result};
use hull_archive::{Archive, Entry, PieceWriter, Time, Writer};
use hull_image::Making;
use hull_snapshot::Added;
use hull_types::ChainId;
use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, sync_channel};

/// What an archive without members is as long as.
const EMPTY: usize = 1024;

/// Makes a layer of what `write` writes, upon `parent`. `None` where that is nothing.
pub(crate) fn commit(
    making: &Making,
    parent: Option<&ChainId>,
    write: impl FnOnce(&mut dyn Write) -> Result<()> + Send,
) -> Result<Option<Made>> {
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(4);
        let writer = scope.spawn(move || {
            let mut unread = false;
            let mut pieces = PieceWriter::new(|piece| {
                sender.send(piece).map_err(|_| {
                    unread = true;
                    io::ErrorKind::BrokenPipe.into()
                })
            });
            let written =
                write(&mut pieces).and_then(|()| pieces.flush().map_err(Error::io("write a layer")));
            drop(pieces);
            (written, unread)
        });
        let made = consume(making, parent, receiver);
        match writer.join() {
            // The reader gave up, and knows why.
            Ok((Err(_), true)) if made.is_err() => made,
            // The reader only saw a stream that ended early.
            Ok((written, _)) => written.and(made),
            Err(_) => Err(Error::io("write a layer")(io::Error::other("the writing thread broke"))),
        }
    })
}

fn consume(making: &Making, parent: Option<&ChainId>, receiver: Receiver<Vec<u8>>) -> Result<Option<Made>> {
    let Some(piece) = beginning(&receiver) else { return Ok(None) };
    let mut reader = PieceReader { receiver, piece, at: 0 };
    let Added { diff_id, chain, size, tar_size } = making.add(parent, &mut reader)?;
    Ok(Some(Made { diff_id, chain, size, tar_size }))
}

/// The first pieces; `None` where all together are an archive without members.
fn beginning(receiver: &Receiver<Vec<u8>>) -> Option<Vec<u8>> {
    let mut piece = receiver.recv().ok()?;
    // A header alone is short, too, before a file that fills a piece by itself.
    while piece.len() <= EMPTY {
        piece.extend(receiver.recv().ok()?);
    }
    Some(piece)
}

struct PieceReader {
    receiver: Receiver<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
}

impl Read for PieceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.piece.len() {
            match self.receiver.recv() {
                Ok(piece) => (self.piece, self.at) = (piece, 0),
                Err(_) => return Ok(0),
            }
        }
        let length = buffer.len().min(self.piece.len() - self.at);
        buffer[..length].copy_from_slice(&self.piece[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

/// Passes an archive on with later times set back to `epoch`, and without the entries `left_out`.
pub(crate) fn clamp(
    from: impl Read,
    epoch: i64,
    left_out: &BTreeSet<Vec<u8>>,
    to: &mut dyn Write,
) -> Result<()> {
    let mut archive = Archive::new(from);
    let mut writer = Writer::new(to);
    while let Some(mut entry) = archive.next_entry()? {
        if left_out.contains(entry.name.strip_suffix(b"/").unwrap_or(&entry.name)) {
            continue;
        }
        set_back(&mut entry, epoch);
        writer.entry(&entry)?;
        loop {
            let piece = archive.contents()?;
            if piece.is_empty() {
                break;
            }
            writer.contents(piece)?;
        }
    }
    // Who writes it has not ended yet: the last blocks come after the end.
    archive.drain()?;
    writer.finish()?;
    Ok(())
}

fn set_back(entry: &mut Entry, epoch: i64) {
    if entry.mtime.seconds >= epoch {
        entry.mtime = Time { seconds: epoch, nanoseconds: 0 };
    }
    entry.atime = None;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(write: impl FnOnce(&mut Writer<&mut dyn Write>) -> hull_archive::Result<()>) -> Option<usize> {
        let (sender, receiver) = sync_channel(100);
        let mut pieces = PieceWriter::new(|piece| sender.send(piece).map_err(io::Error::other));
        let mut writer = Writer::new(&mut pieces as &mut dyn Write);
        write(&mut writer).unwrap();
        writer.finish().unwrap();
        pieces.flush().unwrap();
        drop(pieces);
        drop(sender);
        let first = beginning(&receiver)?;
        Some(first.len() + receiver.iter().map(|piece| piece.len()).sum::<usize>())
    }

    #[test]
    fn only_an_archive_without_members_is_empty() {
        assert_eq!(sent(|_| Ok(())), None);
        // Its contents come in one write that fills a piece: the header before it goes alone.
        let large = vec![7u8; 256 << 10];
        let length = sent(|writer| {
            let mut entry = Entry::new("large", hull_archive::EntryKind::File, 0o644);
            entry.size = large.len() as u64;
            writer.entry(&entry)?;
            writer.contents(&large)
        });
        assert!(length.unwrap() > large.len() + 512);
    }
}
