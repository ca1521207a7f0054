//! Finding out how a stream is compressed and reading through it, in this process: no program is ever started for
//! it. What inflates without bound is the caller's to bound, with [`Limited`].

use flate2::bufread::MultiGzDecoder;
use std::io::{self, BufReader, Chain, Cursor, Read};

// A whole read of the source; the decoders take what they need from it.
const BUFFER: usize = 128 * 1024;

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, of one or more members (RFC 1952).
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
}

type Source<R> = BufReader<Chain<Cursor<Vec<u8>>, R>>;

/// A reader of the uncompressed bytes of a gzip, zstd or plain stream.
pub struct Decompressor<R: Read>(Decoder<R>);

enum Decoder<R: Read> {
    Plain(Chain<Cursor<Vec<u8>>, R>),
    Gzip(Box<MultiGzDecoder<Source<R>>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, Source<R>>>),
}

impl<R: Read> Decompressor<R> {
    /// Finds the compression by the stream's first bytes. bzip2 and xz, which layers can't have, are errors of
    /// kind [`io::ErrorKind::Unsupported`].
    pub fn detect(mut reader: R) -> io::Result<Self> {
        let mut magic = Vec::with_capacity(6);
        reader.by_ref().take(6).read_to_end(&mut magic)?;
        let unsupported = |name: &str| {
            let text = format!("{name} compression is not supported: use gzip, zstd or none");
            Err(io::Error::new(io::ErrorKind::Unsupported, text))
        };
        let decoder = match magic.as_slice() {
            [0x1f, 0x8b, ..] => Decoder::Gzip(Box::new(MultiGzDecoder::new(source(magic, reader)))),
            // A frame, or one of the sixteen kinds of skippable frame before it.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
                let decoder = zstd::stream::read::Decoder::with_buffer(source(magic, reader))?;
                Decoder::Zstd(Box::new(decoder))
            }
            [b'B', b'Z', b'h', ..] => return unsupported("bzip2"),
            [0xfd, b'7', b'z', b'X', b'Z', 0] => return unsupported("xz"),
            _ => Decoder::Plain(Cursor::new(magic).chain(reader)),
        };
        Ok(Self(decoder))
    }

    /// What was found.
    pub fn compression(&self) -> Compression {
        match self.0 {
            Decoder::Plain(_) => Compression::None,
            Decoder::Gzip(_) => Compression::Gzip,
            Decoder::Zstd(_) => Compression::Zstd,
        }
    }
}

fn source<R: Read>(magic: Vec<u8>, reader: R) -> Source<R> {
    BufReader::with_capacity(BUFFER, Cursor::new(magic).chain(reader))
}

impl<R: Read> Read for Decompressor<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Decoder::Plain(reader) => reader.read(buffer),
            Decoder::Gzip(reader) => reader.read(buffer),
            Decoder::Zstd(reader) => reader.read(buffer),
        }
    }
}

impl<R: Read> std::fmt::Debug for Decompressor<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Decompressor").field(&self.compression()).finish()
    }
}

/// A reader that fails once its source has more than a number of bytes.
#[derive(Debug)]
pub struct Limited<R> {
    reader: R,
    left: u64,
    limit: u64,
}

impl<R: Read> Limited<R> {
    /// Lets `limit` bytes through; one more is an error of kind [`io::ErrorKind::FileTooLarge`].
    pub fn new(reader: R, limit: u64) -> Self {
        Self { reader, left: limit, limit }
    }
    /// How many bytes came through.
    pub fn count(&self) -> u64 {
        self.limit - self.left
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most > 0 || buffer.is_empty() {
            let length = self.reader.read(&mut buffer[..most])?;
            self.left -= length as u64;
            return Ok(length);
        }
        match self.reader.read(&mut [0])? {
            0 => Ok(0),
            _ => {
                let text = format!("the stream has more than {} bytes", self.limit);
                Err(io::Error::new(io::ErrorKind::FileTooLarge, text))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn through(data: &[u8]) -> io::Result<(Compression, Vec<u8>)> {
        let mut reader = Decompressor::detect(data)?;
        let mut out = Vec::new();
        reader.read_to_end(&mut out)?;
        Ok((reader.compression(), out))
    }

    #[test]
    fn each_compression_is_found_and_read() {
        let text = b"contents ".repeat(50_000);
        assert_eq!(through(&gzip(&text)).unwrap(), (Compression::Gzip, text.clone()));
        let members = [gzip(b"one "), gzip(b"two")].concat();
        assert_eq!(through(&members).unwrap(), (Compression::Gzip, b"one two".to_vec()));
        let packed = zstd::encode_all(&text[..], 1).unwrap();
        assert_eq!(through(&packed).unwrap(), (Compression::Zstd, text.clone()));
        assert_eq!(through(&text).unwrap(), (Compression::None, text));
        assert_eq!(through(b"").unwrap(), (Compression::None, Vec::new()));
        assert_eq!(through(b"ab").unwrap(), (Compression::None, b"ab".to_vec()));
    }

    #[test]
    fn what_is_not_supported_or_cut_off_is_an_error() {
        for (magic, name) in [(&b"BZh91AY&SY"[..], "bzip2"), (b"\xfd7zXZ\0\0", "xz")] {
            let error = through(magic).unwrap_err();
            assert!(error.kind() == io::ErrorKind::Unsupported && error.to_string().contains(name));
        }
        let whole = gzip(&b"contents ".repeat(1000));
        assert!(through(&whole[..whole.len() - 5]).is_err());
        let whole = zstd::encode_all(&b"contents ".repeat(1000)[..], 1).unwrap();
        assert!(through(&whole[..whole.len() - 5]).is_err());
    }

    #[test]
    fn a_limit_is_exact() {
        let read = |limit| io::copy(&mut Limited::new(&b"12345"[..], limit), &mut io::sink());
        assert_eq!(read(5).unwrap(), 5);
        assert_eq!(read(4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
