//! Finding out how a stream is compressed and reading through it, in this process: no program is ever started for
//! it. What inflates without bound is the caller's to bound, with [`Limited`].

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use std::io::{self, BufReader, Chain, Cursor, Read};

// A whole read of the source; the decoders take what they need from it.
const BUFFER: usize = 128 * 1024;
// The largest window of xz that is decoded, in KiB: what `xz -9` makes needs 64 MiB, and a stream may ask for 4 GiB.
const XZ_MEMORY: u32 = 66 * 1024;

// What tells the compression: lzma's whole header.
const MAGIC: usize = 13;

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, of one or more members (RFC 1952).
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
    /// bzip2, of one or more streams.
    Bzip2,
    /// xz, of one or more streams.
    Xz,
}

type Source<R> = BufReader<Chain<Cursor<Vec<u8>>, R>>;

/// A reader of the uncompressed bytes of a gzip, zstd, bzip2, xz or plain stream.
pub struct Decompressor<R: Read>(Decoder<R>);

enum Decoder<R: Read> {
    Plain(Chain<Cursor<Vec<u8>>, R>),
    Gzip(Box<MultiGzDecoder<Source<R>>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, Source<R>>>),
    Bzip2(Box<MultiBzDecoder<Source<R>>>),
    Xz(Box<XzReader<Source<R>>>),
}

impl<R: Read> Decompressor<R> {
    /// Finds the compression by the stream's first bytes. Plain lzma is an error of kind
    /// [`io::ErrorKind::Unsupported`], as is an xz stream that needs more than 66 MiB of memory.
    pub fn detect(mut reader: R) -> io::Result<Self> {
        let mut magic = Vec::with_capacity(MAGIC);
        reader.by_ref().take(MAGIC as u64).read_to_end(&mut magic)?;
        let decoder = match magic.as_slice() {
            [0x1f, 0x8b, ..] => Decoder::Gzip(Box::new(MultiGzDecoder::new(source(magic, reader)))),
            // A frame, or one of the sixteen kinds of skippable frame before it.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
                let decoder = zstd::stream::read::Decoder::with_buffer(source(magic, reader))?;
                Decoder::Zstd(Box::new(decoder))
            }
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => {
                Decoder::Bzip2(Box::new(MultiBzDecoder::new(source(magic, reader))))
            }
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
                Decoder::Xz(Box::new(XzReader::new_mem_limit(source(magic, reader), true, XZ_MEMORY)))
            }
            // No magic, only the usual properties (lc=3, lp=0, pb=2), a window of whole KiB and a size: what
            // lzma(1) writes. A tar's first bytes are a name.
            [0x5d, 0, 0, _, _, size @ ..]
                if size.len() == 8 && matches!(size[5..], [0, 0, 0] | [255, 255, 255]) =>
            {
                let text = "lzma compression is not supported: use xz, gzip, zstd, bzip2 or none";
                return Err(io::Error::new(io::ErrorKind::Unsupported, text));
            }
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
            Decoder::Bzip2(_) => Compression::Bzip2,
            Decoder::Xz(_) => Compression::Xz,
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
            Decoder::Bzip2(reader) => reader.read(buffer),
            Decoder::Xz(reader) => reader.read(buffer),
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

/// Reads `from` to its end and gives its zstd to `to`: one frame, made by one thread, the same wherever it is made.
pub fn zstd(from: &mut dyn Read, level: i32, to: &mut dyn io::Write) -> io::Result<()> {
    let mut encoder = zstd::stream::write::Encoder::new(to, level.clamp(1, 19))?;
    io::copy(from, &mut encoder)?;
    encoder.finish().map(drop)
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

    fn by(program: &str, arguments: &[&str], data: &[u8]) -> Vec<u8> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, data).unwrap();
        let output = std::process::Command::new(program).args(arguments).arg("-c").arg(file.path()).output();
        output.unwrap().stdout
    }

    #[test]
    fn what_bzip2_and_xz_write_is_read() {
        let mut text = b"contents ".repeat(50_000);
        text.extend((0..200_000_u32).flat_map(|number| number.wrapping_mul(0x9e37_79b9).to_le_bytes()));
        for (program, found) in [("bzip2", Compression::Bzip2), ("xz", Compression::Xz)] {
            for level in ["-1", "-6", "-9"] {
                let packed = by(program, &[level], &text);
                assert!(through(&packed).unwrap() == (found, text.clone()), "{program} {level}");
            }
            let two = [by(program, &[], b"one "), by(program, &[], b"two")].concat();
            assert_eq!(through(&two).unwrap().1, b"one two");
            assert_eq!(through(&by(program, &[], b"")).unwrap().1, b"");
        }
        for check in ["none", "crc32", "crc64", "sha256"] {
            let check = format!("--check={check}");
            assert!(through(&by("xz", &[&check, "--x86", "--lzma2=preset=6"], &text)).unwrap().1 == text);
        }
    }

    #[test]
    fn cve_2021_20291_an_xz_stream_cannot_ask_for_more_memory_than_there_should_be() {
        let packed = by("xz", &["--lzma2=preset=1,dict=256MiB"], b"small, but its window is not");
        let error = through(&packed).unwrap_err();
        assert!(error.to_string().contains("memory"), "{error}");
        // What inflates 7,000 times comes piece by piece, for Limited to count.
        let bomb = by("xz", &["-9"], &vec![0; 64 << 20]);
        assert!(bomb.len() < 32 << 10);
        let limited = &mut Limited::new(Decompressor::detect(&bomb[..]).unwrap(), 1 << 20);
        assert_eq!(io::copy(limited, &mut io::sink()).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
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
        let error = through(&by("lzma", &[], b"contents")).unwrap_err();
        assert!(error.kind() == io::ErrorKind::Unsupported && error.to_string().contains("lzma"));
        for program in ["bzip2", "xz"] {
            let whole = by(program, &[], &b"contents ".repeat(1000));
            assert!(through(&whole[..whole.len() - 5]).is_err(), "{program}");
            let mut spoiled = whole.clone();
            spoiled[whole.len() / 2] ^= 0x10;
            assert!(through(&spoiled).is_err(), "{program}");
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
