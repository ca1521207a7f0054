//! A stream of archive handed on in pieces, as channels want it.

use std::io::{self, Write};

/// What a piece has, in bytes; the last may have fewer, and one that was written at once may have more.
const PIECE: usize = 256 << 10;

/// Collects what is written, and hands it on piece by piece. The last goes with `flush`.
#[derive(Debug)]
pub struct PieceWriter<F> {
    buffer: Vec<u8>,
    send: F,
}

impl<F: FnMut(Vec<u8>) -> io::Result<()>> PieceWriter<F> {
    /// A writer to whoever takes the pieces.
    pub fn new(send: F) -> Self {
        Self { buffer: Vec::with_capacity(PIECE), send }
    }
}

impl<F: FnMut(Vec<u8>) -> io::Result<()>> Write for PieceWriter<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() + bytes.len() > PIECE {
            self.flush()?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        (self.send)(std::mem::replace(&mut self.buffer, Vec::with_capacity(PIECE)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_whole_but_the_last() {
        let mut sizes = Vec::new();
        let mut all = Vec::new();
        let mut writer = PieceWriter::new(|piece: Vec<u8>| {
            sizes.push(piece.len());
            all.extend(piece);
            Ok(())
        });
        let line: Vec<u8> = (0..1000u32).map(|n| n as u8).collect();
        for _ in 0..600 {
            writer.write_all(&line).unwrap();
        }
        writer.flush().unwrap();
        writer.flush().unwrap();
        assert_eq!(sizes, [262_000, 262_000, 76_000]);
        assert_eq!(all, line.repeat(600));
        let mut broken = PieceWriter::new(|_| Err(io::ErrorKind::BrokenPipe.into()));
        broken.write_all(&line).unwrap();
        assert_eq!(broken.flush().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
