//! The reader sees what GNU tar and Python's tarfile see, and refuses what readers differ on.
#![allow(clippy::unwrap_used)]

mod support;

use hull_archive::{Archive, Entry, EntryKind, Error, Time};
use support::{Tar, output};

// Name, kind, mode, uid, gid, size, whole seconds, link, sum of the contents' bytes, attributes of each member.
fn ours(tar: &[u8]) -> Result<String, Error> {
    let mut archive = Archive::new(tar);
    let mut text = String::new();
    while let Some(entry) = archive.next_entry()? {
        let kind = match entry.kind {
            EntryKind::File => 'f',
            EntryKind::HardLink => 'h',
            EntryKind::Symlink => 'l',
            EntryKind::CharDevice => 'c',
            EntryKind::BlockDevice => 'b',
            EntryKind::Directory => 'd',
            EntryKind::Fifo => 'p',
            EntryKind::Other(_) => '?',
        };
        let mut sum = 0_u64;
        loop {
            let piece = archive.contents()?;
            if piece.is_empty() {
                break;
            }
            sum += piece.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        }
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        text += &format!(
            "{} {kind} {:o} {} {} {} {} [{}] {sum} {:?}\n",
            lossy(&entry.name).trim_end_matches('/'),
            entry.mode,
            entry.uid,
            entry.gid,
            entry.size,
            entry.mtime.seconds,
            lossy(&entry.link),
            entry.xattrs.iter().map(|(name, _)| lossy(name)).collect::<Vec<_>>(),
        );
    }
    Ok(text)
}

// Python's tarfile, the same of each member.
const PYTHON: &str = "
import sys, tarfile
kinds = {b'0':'f', b'\\0':'f', b'7':'f', b'1':'h', b'2':'l', b'3':'c', b'4':'b', b'5':'d', b'6':'p'}
archive = tarfile.open(fileobj=sys.stdin.buffer, mode='r|')
for m in archive:
    kind = 'd' if m.isdir() else kinds.get(m.type, '?')
    total, size = 0, 0
    if m.isreg():
        total, size = sum(archive.extractfile(m).read()), m.size
    xattrs = sorted(k[13:] for k in m.pax_headers if k.startswith('SCHILY.xattr.'))
    xattrs = '[' + ', '.join(chr(34) + x + chr(34) for x in xattrs) + ']'
    name, seconds = m.name.rstrip('/'), int(m.mtime // 1)
    print(f'{name} {kind} {m.mode & 0o7777:o} {m.uid} {m.gid} {size} {seconds} [{m.linkname}] {total} {xattrs}')
";

fn same(tar: &[u8]) -> String {
    let listed = ours(tar).unwrap();
    let theirs = String::from_utf8(output("python3", &["-c", PYTHON], tar)).unwrap();
    assert_eq!(listed, theirs);
    listed
}

// A tree with what the formats differ in.
fn tree() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let script = r#"
        set -e; cd "$1"
        d=$(printf 'd%.0s' $(seq 120)); e=$(printf 'e%.0s' $(seq 120)); f=$(printf 'f%.0s' $(seq 120))
        x=$(printf 'x%.0s' $(seq 200)); t=$(printf 't%.0s' $(seq 150))
        mkdir -p plain "$d/$e" "$x"
        echo contents > plain/file; head -c 100000 /dev/zero > plain/zeros; : > plain/empty
        ln plain/file plain/hard; ln -s file plain/link; ln -s "$t" plain/longlink
        ln plain/file "$x/hard"; echo deep > "$d/$e/$f"; ln "$d/$e/$f" plain/tofar
        echo x > 'plain/naïve – name'; mkfifo plain/pipe; mknod plain/null c 1 3; mknod plain/loop b 7 300
        chmod 4755 plain/file; chmod 1777 plain; chown 3000000:4000000 plain/empty
        touch -d @1600000000.123456789 plain/zeros; touch -d 1960-01-01 plain/empty
        python3 -c "import os; os.setxattr('plain/zeros', 'user.note', b'hello')"
    "#;
    output("bash", &["-c", script, "tree", directory.path().to_str().unwrap()], b"");
    directory
}

#[test]
fn archives_of_gnu_tar_in_all_formats() {
    let tree = tree();
    let path = tree.path().to_str().unwrap();
    for format in ["gnu", "posix", "oldgnu"] {
        let format = format!("--format={format}");
        let mut arguments = vec![format.as_str(), "-C", path, "--sort=name", "-cf", "-"];
        if format.ends_with("posix") {
            arguments.push("--xattrs");
        }
        arguments.push(".");
        let listed = same(&output("tar", &arguments, b""));
        assert!(listed.contains("plain/naïve – name f 644 0 0 2"), "{listed}");
        assert!(listed.contains(" 3000000 4000000 0 -315619200 "), "{listed}");
    }
    // These hold no long names and no large numbers.
    for format in ["ustar", "v7"] {
        let format = format!("--format={format}");
        let names = ["plain/file", "plain/hard", "plain/zeros", "plain/link"];
        let arguments = [&[format.as_str(), "-C", path, "-cf", "-"][..], &names[..]].concat();
        same(&output("tar", &arguments, b""));
    }
}

#[test]
fn archives_of_python_in_all_formats() {
    for format in ["USTAR_FORMAT", "GNU_FORMAT", "PAX_FORMAT"] {
        let script = format!(
            "
import sys, io, tarfile
t = tarfile.open(fileobj=sys.stdout.buffer, mode='w|', format=tarfile.{format})
def add(name, type=tarfile.REGTYPE, data=b'', **fields):
    m = tarfile.TarInfo(name); m.type = type; m.size = len(data)
    for k, v in fields.items(): setattr(m, k, v)
    t.addfile(m, io.BytesIO(data))
add('dir', tarfile.DIRTYPE, mode=0o2755)
add('dir/' + 'n' * 90, data=b'abc' * 1000, mtime=1700000000)
add('a' * 60 + '/' + 'b' * 90, data=b'x')
add('link', tarfile.SYMTYPE, linkname='dir')
add('hard', tarfile.LNKTYPE, linkname='dir/' + 'n' * 90)
add('tty', tarfile.CHRTYPE, devmajor=5, devminor=1)
if '{format}' != 'USTAR_FORMAT':
    add('l' * 300, data=b'long'); add('s', tarfile.SYMTYPE, linkname='t' * 300)
    add('big', uid=2**31, gid=2**25, mtime=-5)
if '{format}' == 'PAX_FORMAT':
    add('x', data=b'1', pax_headers={{'SCHILY.xattr.user.a': 'b=c', 'mtime': '12.75', 'comment': 'no'}})
t.close()
"
        );
        same(&output("python3", &["-c", &script], b""));
    }
}

#[test]
fn what_we_write_others_read() {
    let long = "n".repeat(150);
    let tar = Tar::new()
        .dir("dir")
        .file("dir/file", "contents")
        .file(&format!("{}/{}", "p".repeat(150), "q".repeat(99)), "split")
        .file(&format!("{long}/{long}"), "extended")
        .file("naïve", "not ascii")
        .symlink("link", &long)
        .hard_link("hard", "dir/file")
        .entry(Entry { device: (5, 1), ..Entry::new("tty", EntryKind::CharDevice, 0o620) })
        .entry(Entry {
            uid: 3_000_000,
            gid: u32::MAX - 1,
            mtime: Time { seconds: -2, nanoseconds: 500_000_000 },
            xattrs: vec![(b"security.capability".to_vec(), vec![1, 0, 0, 2])],
            ..Entry::new("extreme", EntryKind::Fifo, 0o7777)
        })
        .bytes();
    let listed = same(&tar);
    let extreme = "extreme p 7777 3000000 4294967294 0 -2 [] 0 [\"security.capability\"]";
    assert!(listed.contains(extreme), "{listed}");
    let listed = String::from_utf8(output("tar", &["-tf", "-"], &tar)).unwrap();
    assert_eq!(listed.lines().count(), 9);
}

// CVE-2025-62518 and its kin: where the size of an extended header doesn't count for skipping, contents become
// members.
#[test]
fn cve_2025_62518_2026_33055_contents_never_become_members() {
    let inner = Tar::new().file("smuggled", "evil").bytes();
    let mut tar = Vec::new();
    raw(&mut tar, b'x', "pax", &record("size", &inner.len().to_string()), None);
    raw(&mut tar, b'0', "outer", &inner, Some(0));
    raw(&mut tar, b'0', "after", b"end", None);
    tar.extend([0; 1024]);
    let listed = same(&tar);
    assert_eq!(listed.lines().count(), 2, "{listed}");
    // A long name between the two has its own size.
    let mut tar = Vec::new();
    raw(&mut tar, b'x', "pax", &record("size", &inner.len().to_string()), None);
    raw(&mut tar, b'L', "././@LongLink", b"outer\0", None);
    raw(&mut tar, b'0', "x", &inner, Some(0));
    tar.extend([0; 1024]);
    let listed = ours(&tar).unwrap();
    assert!(listed.starts_with("outer f ") && listed.lines().count() == 1, "{listed}");
}

// Crafted headers in every order: what is not refused has the members that GNU tar and Python see.
#[test]
fn cve_2025_62518_crafted_headers_give_the_members_that_others_see() {
    let inner = Tar::new().file("smuggled", "evil").bytes();
    let size = |by: i64| record("size", &(inner.len() as i64 + by).to_string());
    let (mut seen, mut refused) = (0, 0);
    for first in 0..6 {
        for second in 0..4 {
            for shown in [0, inner.len()] {
                let mut tar = Vec::new();
                match first {
                    0 => {}
                    1 => raw(&mut tar, b'x', "pax", &size(0), None),
                    2 => raw(&mut tar, b'x', "pax", &size(-512), None),
                    3 => raw(&mut tar, b'x', "pax", &[record("path", "named"), size(0)].concat(), None),
                    4 => raw(&mut tar, b'g', "pax", &record("comment", "all"), None),
                    _ => raw(&mut tar, b'x', "pax", &[size(-512), size(0)].concat(), None),
                }
                match second {
                    0 => {}
                    1 => raw(&mut tar, b'L', "././@LongLink", b"long\0", None),
                    2 => raw(&mut tar, b'x', "pax", &record("mtime", "5"), None),
                    _ => raw(&mut tar, b'K', "././@LongLink", b"link\0", None),
                }
                raw(&mut tar, b'0', "outer", &inner, Some(shown));
                raw(&mut tar, b'0', "after", b"end", None);
                tar.extend([0; 1024]);
                let Ok(ours) = ours(&tar) else {
                    refused += 1;
                    continue;
                };
                seen += 1;
                let names: Vec<&str> = ours.lines().map(|line| line.split(' ').next().unwrap()).collect();
                let theirs = String::from_utf8(output("tar", &["-tf", "-"], &tar)).unwrap();
                assert_eq!(names, theirs.lines().collect::<Vec<_>>(), "{first} {second} {shown}");
            }
        }
    }
    assert!(seen > 15 && refused > 5, "{seen} seen, {refused} refused");
}

#[test]
fn what_readers_differ_on_is_refused() {
    let pax = |text: &str| record("path", text);
    type Blocks = Vec<(u8, Vec<u8>)>;
    let cases: Vec<(&str, Blocks)> = vec![
        ("two extended headers", vec![(b'x', pax("a")), (b'x', pax("b")), (b'0', vec![])]),
        ("two long names", vec![(b'L', b"a".to_vec()), (b'L', b"b".to_vec()), (b'0', vec![])]),
        ("global between", vec![(b'x', pax("a")), (b'g', record("comment", "c")), (b'0', vec![])]),
        ("global path", vec![(b'g', pax("a")), (b'0', vec![])]),
        ("global size", vec![(b'g', record("size", "5")), (b'0', vec![])]),
        ("nothing after", vec![(b'x', pax("a"))]),
        ("NUL in a path", vec![(b'x', pax("a\0b")), (b'0', vec![])]),
        ("negative size", vec![(b'x', record("size", "-1")), (b'0', vec![])]),
        ("sparse", vec![(b'x', record("GNU.sparse.major", "1")), (b'0', vec![])]),
        ("old sparse", vec![(b'S', vec![])]),
        ("no newline", vec![(b'x', b"9 path=ab".to_vec()), (b'0', vec![])]),
    ];
    for (what, blocks) in cases {
        let mut tar = Vec::new();
        for (flag, data) in blocks {
            raw(&mut tar, flag, "name", &data, None);
        }
        tar.extend([0; 1024]);
        assert!(ours(&tar).is_err(), "{what}");
    }
    let good = Tar::new().file("a", "contents").bytes();
    let mut bad = good.clone();
    bad[0] ^= 1;
    assert!(matches!(ours(&bad), Err(Error::Malformed { offset: 0, .. })), "checksum");
    assert!(ours(&good[..512 + 4]).is_err(), "cut off in the contents");
    assert!(ours(&good[..300]).is_err(), "cut off in a header");
    assert!(ours(&good[..1024]).is_ok(), "no end marker");
    let mut bad = good[..1024].to_vec();
    bad.extend([0; 512]);
    bad.extend(&good);
    assert!(ours(&bad).is_err(), "a zero block amid");
    let mut large = Vec::new();
    raw(&mut large, b'x', "pax", &vec![b'x'; (1 << 20) + 1], None);
    assert!(ours(&large).is_err(), "an extended header without bound");
}

// Whatever bytes there are: an error or members, never a panic and never without end.
#[test]
fn damaged_archives_never_panic() {
    let tree = tree();
    let path = tree.path().to_str().unwrap();
    let good = output("tar", &["--format=posix", "-C", path, "--exclude=zeros", "-cf", "-", "."], b"");
    let mut state = 1_u64;
    for _ in 0..3000 {
        let mut bad = good.clone();
        for _ in 0..3 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (state >> 33) as usize % bad.len();
            bad[at] = (state >> 25) as u8;
            // The checksum made right again, so that what is behind it is reached.
            let block = at / 512 * 512;
            bad[block + 148..block + 156].fill(b' ');
            let sum: u32 = bad[block..block + 512].iter().map(|byte| u32::from(*byte)).sum();
            bad[block + 148..block + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        let _ = ours(&bad);
    }
}

fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let length = (rest..).find(|length| length.to_string().len() + rest == *length).unwrap();
    format!("{length} {key}={value}\n").into_bytes()
}

// A header made by hand; `size` when it isn't the data's.
fn raw(tar: &mut Vec<u8>, flag: u8, name: &str, data: &[u8], size: Option<usize>) {
    let mut block = [0_u8; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[100..108].copy_from_slice(b"0000644\0");
    block[108..116].copy_from_slice(b"0000000\0");
    block[116..124].copy_from_slice(b"0000000\0");
    block[124..136].copy_from_slice(format!("{:011o}\0", size.unwrap_or(data.len())).as_bytes());
    block[136..148].copy_from_slice(b"00000000000\0");
    block[156] = flag;
    block[257..265].copy_from_slice(b"ustar\x0000");
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    tar.extend(block);
    tar.extend(data);
    tar.resize(tar.len().next_multiple_of(512), 0);
}

#[test]
fn the_last_members_padding_may_be_missing() {
    let mut whole = Vec::new();
    let mut writer = hull_archive::Writer::new(&mut whole);
    for (name, text) in [("a", "first"), ("b", "the last")] {
        let mut entry = Entry::new(name, EntryKind::File, 0o644);
        entry.size = text.len() as u64;
        writer.entry(&entry).unwrap();
        writer.contents(text.as_bytes()).unwrap();
    }
    writer.finish().unwrap();
    // docker's classic client sends a Dockerfile from elsewhere so.
    let end = 3 * 512 + "the last".len();
    assert_eq!(ours(&whole[..end]).unwrap(), ours(&whole).unwrap());
    assert!(ours(&whole[..end - 1]).is_err(), "contents may not be missing");
    assert!(ours(&whole[..512 + 5]).is_ok() && ours(&whole[..2 * 512 + 7]).is_err());
}
