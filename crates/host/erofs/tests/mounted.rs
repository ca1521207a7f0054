//! What the kernel shows of an image is what unpacking the tar gives: random tars, and every kind of member.
//! Needs root, and a kernel that mounts EROFS from files.
#![allow(clippy::unwrap_used)]

#[path = "../../archive/tests/support/mod.rs"]
mod support;

use hull_archive::{ApplyOptions, Entry, EntryKind, Time, Writer, apply};
use hull_erofs::{Builder, Summary};
use hull_types::Lower;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::facts;

struct Scene(tempfile::TempDir);

impl Scene {
    fn new() -> Self {
        // The kernel mounts images of file systems on disks, not of tmpfs.
        Self(tempfile::tempdir_in("/var/tmp").unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn image(&self, tar: &[u8]) -> hull_archive::Result<Summary> {
        std::fs::write(self.path("tar"), tar).unwrap();
        hull_erofs::index(tar, &mut File::create(self.path("image")).unwrap(), Builder::default())
    }

    fn mounted<T>(&self, act: impl FnOnce(&Path) -> T) -> T {
        let lower = Lower::Erofs { index: self.path("image"), data: vec![self.path("tar")] };
        let mount = hull_sys::rootfs::mount_lower(&lower).unwrap();
        act(&PathBuf::from(format!("/proc/self/fd/{}/.", mount.as_raw_fd())))
    }

    // Both, or neither with the same kind of error.
    fn compare(&self, tar: &[u8]) -> bool {
        let unpacked = self.path("unpacked");
        let _ = std::fs::remove_dir_all(&unpacked);
        std::fs::create_dir(&unpacked).unwrap();
        let applied = apply(tar, &unpacked, &ApplyOptions::default());
        let imaged = self.image(tar);
        let (applied, imaged) = match (applied, imaged) {
            (Ok(applied), Ok(imaged)) => (applied, imaged),
            (Err(_), Err(_)) => return false,
            (applied, imaged) => panic!("unpacked {applied:?}, as an image {imaged:?}"),
        };
        assert_eq!(applied.entries, imaged.entries);
        let (mut wanted, mut found) = (facts(&unpacked), self.mounted(facts));
        // Nobody says when these were changed.
        let whiteouts =
            wanted.iter().filter(|(_, text)| text.starts_with("20000 ") && text.contains("device 0 "));
        let whiteouts: Vec<PathBuf> = whiteouts.map(|(path, _)| path.clone()).collect();
        // Nor of a directory that only one of them takes for implied: an entry for it was taken back.
        let (ours, theirs) = (&imaged.implied, &applied.implied);
        let odd = ours.iter().filter(|path| !theirs.contains(path));
        let odd = odd.chain(theirs.iter().filter(|path| !ours.contains(path)));
        for path in odd.chain(&whiteouts) {
            for facts in [&mut wanted, &mut found] {
                let Some(text) = facts.get_mut(path).filter(|text| text.contains(" at ")) else { continue };
                let (before, rest) = text.split_once(" at ").unwrap();
                *text = format!("{before} {}", rest.split_once(' ').unwrap().1);
            }
        }
        same(&wanted, &found);
        self.fsck();
        true
    }

    fn fsck(&self) {
        let Some(program) = std::env::var_os("HULL_FSCK_EROFS") else { return };
        let device = format!("--device={}", self.path("tar").display());
        let output = Command::new(program).arg(device).arg(self.path("image")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

fn same(wanted: &BTreeMap<PathBuf, String>, found: &BTreeMap<PathBuf, String>) {
    for (path, text) in wanted {
        let found = found.get(path).map_or("nothing", String::as_str);
        assert!(text == found, "{}: {text:.300} is {found:.300}", path.display());
    }
    assert_eq!(wanted.len(), found.len());
}

fn tar(entries: &[(Entry, Vec<u8>)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (entry, contents) in entries {
        writer.entry(&Entry { size: contents.len() as u64, ..entry.clone() }).unwrap();
        writer.contents(contents).unwrap();
    }
    writer.finish().unwrap()
}

fn file(name: &str, contents: &[u8]) -> (Entry, Vec<u8>) {
    (Entry::new(name, EntryKind::File, 0o644), contents.to_vec())
}

fn member(name: &str, kind: EntryKind) -> (Entry, Vec<u8>) {
    (Entry::new(name, kind, 0o755), Vec::new())
}

fn link(name: &str, kind: EntryKind, to: &str) -> (Entry, Vec<u8>) {
    (Entry { link: to.into(), ..Entry::new(name, kind, 0o777) }, Vec::new())
}

#[test]
fn every_kind_of_member_is_there() {
    let scene = Scene::new();
    let time = Time { seconds: 1_234_567_890, nanoseconds: 123_456_789 };
    let attributes = |list: &[(&str, &[u8])]| -> Vec<(Vec<u8>, Vec<u8>)> {
        list.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec())).collect()
    };
    let acl: &[u8] = &[
        2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 7, 0, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255,
        16, 0, 4, 0, 255, 255, 255, 255, 32, 0, 4, 0, 255, 255, 255, 255,
    ];
    let capability: &[u8] = &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let long = "n".repeat(255);
    let mut entries = vec![
        member("./", EntryKind::Directory),
        file("empty", b""),
        file("one", b"1"),
        file("block", &[7; 512]),
        file("more", &[8; 513]),
        file("large", &(0..3_000_000_u32).map(|at| (at / 7) as u8).collect::<Vec<_>>()),
        link("hard", EntryKind::HardLink, "one"),
        link("also/hard", EntryKind::HardLink, "./hard"),
        link("link", EntryKind::Symlink, "../somewhere"),
        link("long-link", EntryKind::Symlink, &"l/".repeat(1500)),
        link("middle-link", EntryKind::Symlink, &"m".repeat(512)),
        member("pipe", EntryKind::Fifo),
        file(&format!("deep/{}/{long}", "d/".repeat(300)), b"deep"),
        file(&long, b"long"),
        file("+before-the-dots", b"+"),
    ];
    for (kind, name, device) in [
        (EntryKind::CharDevice, "null", (1, 3)),
        (EntryKind::BlockDevice, "disk", (259, 300)),
        (EntryKind::CharDevice, "far", (4095, 1_048_575)),
    ] {
        entries.push((Entry { device, ..Entry::new(name, kind, 0o666) }, Vec::new()));
    }
    let xattrs = attributes(&[
        ("security.capability", capability),
        ("system.posix_acl_access", acl),
        ("trusted.mine", b"trusted"),
        ("trusted.overlay.opaque", b"y"),
        ("user.empty", b""),
        ("user.note", b"text"),
    ]);
    for (number, name) in ["caps", "caps2", "dir/"].iter().enumerate() {
        let kind = if name.ends_with('/') { EntryKind::Directory } else { EntryKind::File };
        let mut entry = Entry { mtime: time, xattrs: xattrs.clone(), ..Entry::new(*name, kind, 0o6644) };
        entry.xattrs.push((format!("user.own{number}").into_bytes(), vec![b'x'; 3000]));
        (entry.uid, entry.gid) = (70_000, 4_000_000_000);
        entries.push((entry, Vec::new()));
    }
    entries
        .push((Entry { mtime: Time { seconds: -5, nanoseconds: 1 }, ..file("old", b"o").0 }, b"o".to_vec()));
    for number in 0..2000 {
        entries.push(file(
            &format!("many/{number:x}{}", "y".repeat(number % 90)),
            format!("{number}").as_bytes(),
        ));
    }
    assert!(scene.compare(&tar(&entries)));
}

#[test]
fn later_entries_take_the_place_of_earlier_ones() {
    let scene = Scene::new();
    let entries = [
        file("a", b"first"),
        file("a", b"second"),
        member("b", EntryKind::Directory),
        file("b/c", b"kept"),
        (Entry { mode: 0o700, ..member("b", EntryKind::Directory).0 }, Vec::new()),
        file("d/e/f", b"gone"),
        file("d", b"a file now"),
        link("way", EntryKind::Symlink, "b"),
        file("way/through", b"in b"),
        link("dangling", EntryKind::Symlink, "/x/../made/here"),
        file("dangling/file", b"there"),
        file("g", b"to be linked"),
        link("h", EntryKind::HardLink, "way/../g"),
        file("g", b"another"),
        file(".wh.removed", b""),
        file("b/.wh.c", b""),
        file(".wh.b", b""),
        file("opaque/.wh..wh..opq", b""),
        file(".wh.again", b""),
        file("again/file", b"in an opaque directory"),
        file(".wh..wh.plnk/3.4", b""),
    ];
    assert!(scene.compare(&tar(&entries)));
    scene.mounted(|root| {
        assert_eq!(std::fs::read(root.join("h")).unwrap(), b"to be linked");
        let whiteout = root.join("removed").symlink_metadata().unwrap();
        assert_eq!((whiteout.mode() & 0o170_000, whiteout.rdev()), (0o020_000, 0));
    });
}

#[test]
fn hostile_tars_are_refused() {
    let scene = Scene::new();
    for entries in [
        vec![file("../evil", b"x")],
        vec![file("a/../../evil", b"x")],
        vec![file(&"n".repeat(256), b"x")],
        vec![link("hard", EntryKind::HardLink, "../../etc/passwd")],
        vec![link("hard", EntryKind::HardLink, "missing")],
        vec![member("dir", EntryKind::Directory), link("hard", EntryKind::HardLink, "dir")],
        vec![file("file", b""), file("file/below", b"")],
        vec![link("a", EntryKind::Symlink, "b"), link("b", EntryKind::Symlink, "a"), file("a/x", b"")],
        vec![file(".wh.", b"")],
        vec![file("x/.wh..", b"")],
        vec![link("root", EntryKind::Symlink, "x"), link(".", EntryKind::Symlink, "x")],
    ] {
        let name = format!("{:?}", entries.last().unwrap().0.name);
        assert!(!scene.compare(&tar(&entries)), "{name}");
    }
    // Absolute names and links that lead out end inside.
    let inside = [
        file("/abs", b"x"),
        link("out", EntryKind::Symlink, "/../../tmp"),
        file("out/file", b"in the image's tmp"),
        link("up", EntryKind::Symlink, "../../../.."),
        file("up/file", b"at the top"),
    ];
    assert!(scene.compare(&tar(&inside)));
}

#[test]
fn what_is_held_is_bounded() {
    let scene = Scene::new();
    let tar = tar(&(0..200).map(|number| file(&format!("{number}"), b"")).collect::<Vec<_>>());
    let image = |max_entries, max_bytes| {
        let builder = Builder::new(hull_erofs::Limits { max_entries, max_bytes });
        hull_erofs::index(&tar[..], &mut File::create(scene.path("image")).unwrap(), builder)
    };
    assert!(image(1000, 1000).is_ok());
    for too_much in [image(100, 1000), image(1000, 100)] {
        assert!(matches!(too_much, Err(hull_archive::Error::TooMuch { .. })));
    }
}

#[test]
fn covered_directories_have_what_they_cover() {
    let scene = Scene::new();
    let tar = tar(&[file("tmp/file", b"x"), file("own/file", b"x"), member("own/", EntryKind::Directory)]);
    std::fs::write(scene.path("tar"), &tar).unwrap();
    let mut builder = Builder::default();
    let note = [(b"user.note".to_vec(), b"n".to_vec())];
    builder.cover(Path::new("tmp"), 0o1777, (5, 6), &note);
    builder.cover(Path::new("own"), 0o1777, (5, 6), &note);
    builder.cover(Path::new(""), 0o711, (70_000, 8), &[]);
    let mut image = File::create(scene.path("image")).unwrap();
    let summary = hull_erofs::index(&tar[..], &mut image, builder).unwrap();
    assert_eq!(summary.implied, [Path::new(""), Path::new("tmp")]);
    let root = hull_erofs::root(&File::open(scene.path("image")).unwrap()).unwrap();
    assert_eq!((root.mode, root.uid, root.gid), (0o711, 70_000, 8));
    scene.mounted(|root| {
        let is = |name: &str| {
            let metadata = root.join(name).metadata().unwrap();
            (metadata.mode() & 0o7777, metadata.uid(), metadata.gid())
        };
        assert_eq!((is(""), is("tmp"), is("own")), ((0o711, 70_000, 8), (0o1777, 5, 6), (0o755, 0, 0)));
        assert_eq!(support::xattrs(&root.join("tmp")), [("user.note".to_owned(), b"n".to_vec())]);
    });
}

// xorshift: the same trees every time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }

    fn name(&mut self) -> String {
        const PARTS: [&str; 12] =
            ["a", "b", "c", "dd", "e.e", "-f", ".g", ".wh.a", ".wh.b", ".wh..wh..opq", "..", "+"];
        let depth = 1 + self.below(4);
        let part = |random: &mut Self| {
            let at = random.below(12) as usize;
            // A few lead out, or whiteouts where only directories can be.
            if at >= 7 && random.below(8) > 0 { PARTS[at - 7].to_owned() } else { PARTS[at].to_owned() }
        };
        (0..depth).map(|_| part(self)).collect::<Vec<_>>().join("/")
    }

    fn entry(&mut self) -> (Entry, Vec<u8>) {
        use EntryKind::{BlockDevice, CharDevice, Directory, Fifo, HardLink, Symlink};
        let name = self.name();
        let kinds = [
            EntryKind::File,
            EntryKind::File,
            Directory,
            Directory,
            Symlink,
            HardLink,
            Fifo,
            CharDevice,
            BlockDevice,
        ];
        let kind = kinds[self.below(9) as usize];
        let size = if kind == EntryKind::File { [0, 3, 512, 5000][self.below(4) as usize] } else { 0 };
        let mut entry = Entry::new(name, kind, [0o644, 0o4755, 0o1777, 0][self.below(4) as usize]);
        entry.mtime.seconds = 1_600_000_000 + self.below(3) as i64;
        entry.uid = [0, 0, 1000, 100_000][self.below(4) as usize];
        entry.link = self.name().into_bytes();
        entry.device = (self.below(5) as u32 + 1, self.below(300) as u32);
        if self.below(4) == 0 {
            entry.xattrs = vec![(b"trusted.t".to_vec(), vec![b'v'; self.below(600) as usize])];
        }
        let byte = self.below(256) as u8;
        (entry, vec![byte; size])
    }
}

#[test]
fn random_tars_are_as_unpacked() {
    let scene = Scene::new();
    let mut whole = 0;
    for seed in 1..=400_u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let count = 1 + random.below(25);
        let entries: Vec<_> = (0..count).map(|_| random.entry()).collect();
        let names: Vec<_> = entries.iter().map(|(entry, _)| String::from_utf8_lossy(&entry.name)).collect();
        let compared =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| scene.compare(&tar(&entries))));
        whole += u32::from(compared.unwrap_or_else(|_| panic!("seed {seed}: {names:?}")));
    }
    assert!(whole > 40, "only {whole} of the random tars were whole");
}

#[test]
fn spoiled_tars_do_no_harm() {
    let scene = Scene::new();
    let mut random = Random(77);
    for _ in 0..300 {
        let entries: Vec<_> = (0..8).map(|_| random.entry()).collect();
        let mut tar = tar(&entries);
        for _ in 0..1 + random.below(4) {
            let at = random.below(tar.len() as u64) as usize;
            tar[at] = random.below(256) as u8;
        }
        let cut = tar.len() - random.below(700) as usize;
        let _ = scene.image(&tar[..cut]);
    }
}

#[test]
fn sparse_files_of_every_form_have_what_was_packed() {
    let scene = Scene::new();
    let from = scene.path("from");
    std::fs::create_dir(&from).unwrap();
    for (form, tar) in support::sparse_archives(&from) {
        assert!(scene.compare(&tar), "{form}");
        let from: BTreeMap<_, _> = facts(&from).into_iter().collect();
        same(&from, &scene.mounted(facts));
        // What stands in no archive takes no place on the disk.
        let image = std::fs::metadata(scene.path("image")).unwrap();
        assert!(image.blocks() * 512 < 3 << 20 && image.len() > 9 << 20, "{form}: {}", image.blocks());
        assert_eq!(
            hull_erofs::root(&File::open(scene.path("image")).unwrap()).unwrap().mode,
            0o755,
            "{form}"
        );
    }
}

#[test]
fn sparse_files_that_are_too_large_are_refused() {
    let scene = Scene::new();
    let from = scene.path("from");
    std::fs::create_dir(&from).unwrap();
    let pack = |size: &str| {
        let script = "cd $1; truncate -s $2 file other; tar --sparse --format=posix -cf - file other";
        let arguments = ["-c", script, "pack", from.to_str().unwrap(), size];
        support::output("bash", &arguments, b"")
    };
    let summary = scene.image(&pack("400G")).unwrap();
    assert_eq!(summary.size, 800 << 30);
    let length = |root: &Path| std::fs::metadata(root.join("file")).unwrap().len();
    assert_eq!(scene.mounted(length), 400 << 30);
    let error = scene.image(&pack("600G")).unwrap_err();
    assert!(error.to_string().contains("too large"), "{error}");
}

// Judged by another's tar: the files of this machine's own packages.
#[test]
fn a_real_tree_is_as_gnu_tar_has_it() {
    let scene = Scene::new();
    let from = ["/etc", "/usr/share/doc", "/usr/lib/python3"];
    let mut pack = Command::new("tar");
    pack.args(["--xattrs", "--format=pax", "--exclude=*.pyc", "-C", "/", "-cf"]).arg(scene.path("tar"));
    pack.args(from.iter().filter(|path| Path::new(path).exists()).map(|path| &path[1..]));
    let packed = pack.output().unwrap();
    assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
    let unpacked = scene.path("unpacked");
    std::fs::create_dir(&unpacked).unwrap();
    let mut unpack = Command::new("tar");
    unpack.args(["--xattrs", "--xattrs-include=*", "-p", "--numeric-owner", "-xf"]).arg(scene.path("tar"));
    assert!(unpack.arg("-C").arg(&unpacked).output().unwrap().status.success());
    let image = hull_erofs::index(
        File::open(scene.path("tar")).unwrap(),
        &mut File::create(scene.path("image")).unwrap(),
        Builder::default(),
    );
    let implied = image.unwrap().implied;
    let mut wanted = facts(&unpacked);
    let mut found = scene.mounted(facts);
    for path in &implied {
        wanted.remove(path);
        found.remove(path);
    }
    assert!(wanted.len() > 100, "only {} files", wanted.len());
    same(&wanted, &found);
    scene.fsck();
}
