//! Sparse members of every form become the files that GNU tar makes of them, holes included; and maps that lie are
//! refused.
#![allow(clippy::unwrap_used)]

mod support;

use hull_archive::{ApplyOptions, Archive, Error, Piece, UnpackOptions, apply, unpack};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use support::{facts, output, sparse_archives};

fn blocks(root: &Path) -> u64 {
    let names = ["middle", "begin", "end", "all", "whole", "hard"];
    names.iter().map(|name| root.join(name).metadata().unwrap().blocks()).sum()
}

#[test]
fn files_are_as_gnu_tar_makes_them_with_their_holes() {
    let scene = tempfile::tempdir_in("/var/tmp").unwrap();
    let place = |name: &str| {
        let path = scene.path().join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        path
    };
    let tree = place("tree");
    for (form, tar) in sparse_archives(&tree) {
        assert!(tar.len() < 6 << 20, "{form}: {} bytes", tar.len());
        let theirs = place("theirs");
        output("tar", &["-p", "-C", theirs.to_str().unwrap(), "-xf", "-"], &tar);
        let (layer, copied) = (place("layer"), place("copied"));
        let applied = apply(&tar[..], &layer, &ApplyOptions::default()).unwrap();
        let root = std::fs::File::open(&copied).unwrap();
        unpack(root.as_fd(), Path::new("/"), &tar[..], &UnpackOptions::default()).unwrap();
        let mut wanted = facts(&theirs);
        assert!(wanted.len() > 9);
        assert_eq!(facts(&layer), wanted, "{form}");
        let mut found = facts(&copied);
        // An upload leaves the directory as it is that it goes into.
        wanted.remove(Path::new(""));
        found.remove(Path::new(""));
        assert_eq!(found, wanted, "{form}");
        for ours in [&layer, &copied] {
            assert!(blocks(ours) <= blocks(&theirs), "{form}: {} and {}", blocks(ours), blocks(&theirs));
        }
        assert!(applied.size > 9 << 20, "{form}: {}", applied.size);
    }
}

#[test]
fn contents_are_as_pythons_with_the_holes_as_zeros() {
    let scene = tempfile::tempdir_in("/var/tmp").unwrap();
    let script = "
import re, sys, tarfile, zlib
archive = tarfile.open(fileobj=sys.stdin.buffer, mode='r|')
for m in archive:
    # With a long name it shows the place that GNU tar gives to those who know no sparse files.
    name = re.sub(r'GNUSparseFile\\.[0-9]+/', '', m.name)
    if m.isreg(): print(name, m.size, zlib.adler32(archive.extractfile(m).read()))
";
    for (form, tar) in sparse_archives(scene.path()) {
        let mut archive = Archive::new(&tar[..]);
        let mut text = String::new();
        while let Some(entry) = archive.next_entry().unwrap() {
            if !entry.kind.is_file() {
                continue;
            }
            let (mut low, mut high, mut length) = (1_u64, 0_u64, 0);
            loop {
                let piece = archive.contents().unwrap();
                if piece.is_empty() {
                    break;
                }
                for part in piece.chunks(4096) {
                    for byte in part {
                        low += u64::from(*byte);
                        high += low;
                    }
                    (low, high) = (low % 65521, high % 65521);
                }
                length += piece.len() as u64;
            }
            assert_eq!(length, entry.size, "{form}");
            text += &format!("{} {length} {}\n", String::from_utf8_lossy(&entry.name), high << 16 | low);
        }
        assert_eq!(text, String::from_utf8(output("python3", &["-c", script], &tar)).unwrap(), "{form}");
    }
}

fn block(flag: u8, size: u64, change: impl FnOnce(&mut [u8; 512])) -> [u8; 512] {
    let mut block = [0_u8; 512];
    block[..4].copy_from_slice(b"name");
    block[100..108].copy_from_slice(b"0000644\0");
    block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    block[156] = flag;
    block[257..265].copy_from_slice(b"ustar  \0");
    change(&mut block);
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

fn pairs(block: &mut [u8], map: &[(u64, u64)]) {
    for (pair, (offset, length)) in block.chunks_exact_mut(24).zip(map) {
        for (field, number) in pair.chunks_exact_mut(12).zip([offset, length]) {
            field[4..].copy_from_slice(&number.to_be_bytes());
            field[0] = 0x80;
        }
    }
}

fn old(map: &[(u64, u64)], more: bool, real: u64, stored: u64) -> [u8; 512] {
    block(b'S', stored, |block| {
        pairs(&mut block[386..482], map);
        block[482] = u8::from(more);
        block[483] = 0x80;
        block[487..495].copy_from_slice(&real.to_be_bytes());
    })
}

fn read(tar: &[u8]) -> Result<Vec<(u64, u64)>, Error> {
    let mut archive = Archive::new(tar);
    let mut all = Vec::new();
    while let Some(entry) = archive.next_entry()? {
        let (mut data, mut holes) = (0, 0);
        loop {
            match archive.next_piece()? {
                Piece::Data([]) => break,
                Piece::Data(piece) => data += piece.len() as u64,
                Piece::Hole(length) => holes += length,
            }
        }
        assert_eq!(data + holes, entry.size);
        all.push((data, holes));
    }
    Ok(all)
}

#[test]
fn maps_that_lie_are_refused_and_hide_nothing() {
    let data = [7_u8; 1024];
    let old = |map: &[(u64, u64)], real, stored| [&old(map, false, real, stored)[..], &data].concat();
    assert_eq!(
        read(&old(&[(0, 512), (1 << 40, 512)], (1 << 40) + 512, 1024)).unwrap(),
        [(1024, (1 << 40) - 512)]
    );
    for (what, tar) in [
        ("overlapping", old(&[(0, 1024), (512, 512)], 4096, 1536)),
        ("unsorted", old(&[(1024, 512), (0, 512)], 4096, 1024)),
        ("beyond the size", old(&[(0, 512), (4096, 512)], 4096, 1024)),
        ("around the end of numbers", old(&[(u64::MAX - 511, 512)], 4096, 512)),
        ("negative", old(&[(u64::MAX, 512)], u64::MAX, 512)),
        ("less than is stored: a member in the rest", old(&[(0, 512)], 4096, 1024)),
        ("more than is stored: the next member as contents", old(&[(0, 1024)], 4096, 512)),
        ("a part amid a block", old(&[(0, 500), (1024, 524)], 4096, 1024)),
        ("a size below zero", old(&[], u64::MAX, 0)),
    ] {
        assert!(matches!(read(&tar), Err(Error::Malformed { .. })), "{what}: {:?}", read(&tar));
    }
    // Blocks of a map without end: refused long before memory counts.
    let mut endless = self::old(&[(0, 0); 4], true, 4096, 0).to_vec();
    let mut more = [0_u8; 512];
    pairs(&mut more[..504], &[(0, 0); 21]);
    more[504] = 1;
    endless.extend(more.repeat(13_000));
    let error = read(&endless).unwrap_err().to_string();
    assert!(error.contains("parts"), "{error}");
    assert!(read(&endless[..5120]).is_err(), "cut off amid the map");
}

#[test]
fn records_that_lie_are_refused() {
    let tar = |flag: u8, records: &[(&str, &str)], data: &[u8]| {
        let mut text = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let length = (rest..).find(|length| length.to_string().len() + rest == *length).unwrap();
            text.extend(format!("{length} {key}={value}\n").into_bytes());
        }
        let mut tar = block(b'x', text.len() as u64, |_| {}).to_vec();
        tar.extend(&text);
        tar.resize(tar.len().next_multiple_of(512), 0);
        tar.extend(block(flag, data.len() as u64, |_| {}));
        tar.extend(data);
        tar.resize(tar.len().next_multiple_of(512), 0);
        tar
    };
    let version = [("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.name", "real")];
    let one = |size: &'static str| [&version[..], &[("GNU.sparse.realsize", size)]].concat();
    let contents = |map: &str, length: usize| {
        let mut data = map.as_bytes().to_vec();
        data.resize(data.len().next_multiple_of(512), 0);
        data.extend(vec![7; length]);
        data
    };
    assert_eq!(read(&tar(b'0', &one("2000"), &contents("1\n1024\n5\n", 5))).unwrap(), [(5, 1995)]);
    assert_eq!(read(&tar(b'0', &one("9"), &contents("0\n", 0))).unwrap(), [(0, 9)]);
    let inline = [("GNU.sparse.size", "9000"), ("GNU.sparse.map", "0,512,4096,3")];
    assert_eq!(read(&tar(b'0', &inline, &[7; 515])).unwrap(), [(515, 8485)]);
    for (what, tar) in [
        ("no map at all", tar(b'0', &one("9"), &[])),
        ("a map that does not end", tar(b'0', &one("9"), &contents("9\n1\n", 0))),
        ("a map of a thousand million parts", tar(b'0', &one("9"), &contents("999999999\n", 0))),
        ("parts beyond the size", tar(b'0', &one("9"), &contents("1\n8\n2\n", 2))),
        ("less than is stored", tar(b'0', &one("9"), &contents("1\n1\n2\n", 3))),
        ("more than is stored", tar(b'0', &one("9"), &contents("1\n1\n3\n", 2))),
        ("a directory", tar(b'5', &inline, &[])),
        ("a link", tar(b'2', &inline, &[])),
        ("an old sparse member", tar(b'S', &inline, &[])),
        ("a name alone", tar(b'0', &version, &[])),
        ("an odd map", tar(b'0', &[("GNU.sparse.size", "9"), ("GNU.sparse.map", "0")], &[])),
    ] {
        assert!(matches!(read(&tar), Err(Error::Malformed { .. })), "{what}: {:?}", read(&tar));
    }
}
