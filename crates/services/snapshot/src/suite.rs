//! The tests that every driver passes: `hull_snapshot::suite::run` with a way to open one, as root.
//!
//! The tree that a [`Rootfs`] stands for is read by mounting it, which the caller does ([`Driver::mount`]): this
//! crate has no mount of its own. Failures are panics.

// These are tests, though other crates' drivers call them.
#![allow(clippy::unwrap_used)]

use crate::{Added, ChangeKind, Error, Snapshotter, chain_of};
use hull_archive::{Entry, EntryKind, Time, Writer};
use hull_types::{ChainId, DiffId, Digest, Rootfs};
use std::fs;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

/// What the suite needs of a driver's tests.
pub struct Driver<'a> {
    /// Opens the driver on a directory; called again after the former was dropped.
    pub open: &'a dyn Fn(&Path) -> Box<dyn Snapshotter>,
    /// Mounts a tree without a place in the file system.
    pub mount: &'a dyn Fn(&Rootfs) -> OwnedFd,
    /// An empty directory of the test's.
    pub directory: &'a Path,
    /// Where, under the driver's directory, something half made would be.
    pub leftover: &'a str,
}

impl std::fmt::Debug for Driver<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("directory", &self.directory).finish()
    }
}

type Test = fn(&Driver<'_>, &Path);

/// Runs all.
pub fn run(driver: &Driver<'_>) {
    let tests: [(&str, Test); 13] = [
        ("contents", contents_are_those_of_the_layers),
        ("whiteouts", whiteouts_hide_and_opaque_directories_are_empty),
        ("writes", writes_go_to_the_snapshot_alone),
        ("changes", changes_and_usage_tell_of_writes),
        ("adding", an_added_layer_is_what_its_tar_says),
        ("file", a_file_is_applied_as_its_stream_is),
        ("diff", a_diff_is_a_layer_that_makes_the_same_tree),
        ("many", five_hundred_layers_are_stacked),
        ("removal", what_is_used_stays_and_what_is_removed_goes),
        ("twice", a_layer_that_stacks_share_stays_with_the_last),
        ("reopening", reopening_finds_all_and_sweeps_leftovers),
        ("parallel", parallel_calls_do_not_disturb_each_other),
        ("broken", broken_layers_leave_nothing),
    ];
    for (name, test) in tests {
        let root = driver.directory.join(name);
        fs::create_dir(&root).unwrap();
        test(driver, &root);
    }
}

struct Mounted(OwnedFd);

impl Mounted {
    fn at(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd())).join(name)
    }
    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).unwrap_or_else(|error| format!("{name}: {error}"))
    }
    fn names(&self, name: &str) -> Vec<String> {
        let entries = fs::read_dir(self.at(name)).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
    fn there(&self, name: &str) -> bool {
        self.at(name).symlink_metadata().is_ok()
    }
}

fn diff_id(number: u8) -> DiffId {
    DiffId(Digest::sha256(&[number; 32]))
}

// Layers are numbered from the lowest on.
fn chain(number: u8) -> ChainId {
    let below = (number > 1).then(|| chain(number - 1));
    chain_of(below.as_ref(), &diff_id(number))
}

fn mounted(driver: &Driver<'_>, rootfs: &Rootfs) -> Mounted {
    Mounted((driver.mount)(rootfs))
}

#[derive(Default)]
struct Tar(Vec<(Entry, String)>);

impl Tar {
    fn entry(mut self, entry: Entry) -> Self {
        self.0.push((entry, String::new()));
        self
    }
    fn file(mut self, name: &str, contents: &str) -> Self {
        let entry = Entry { size: contents.len() as u64, ..Entry::new(name, EntryKind::File, 0o644) };
        self.0.push((entry, contents.into()));
        self
    }
    fn dir(self, name: &str, mode: u32) -> Self {
        self.entry(Entry::new(format!("{name}/"), EntryKind::Directory, mode))
    }
    fn bytes(self) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        for (entry, contents) in self.0 {
            writer.entry(&entry).unwrap();
            if entry.size > 0 {
                writer.contents(contents.as_bytes()).unwrap();
            }
        }
        writer.finish().unwrap()
    }
}

fn apply(snapshots: &dyn Snapshotter, parent: Option<u8>, number: u8, tar: Tar) -> u64 {
    let tar = tar.bytes();
    assert_eq!(parent.unwrap_or(0), number - 1);
    snapshots.apply(parent.map(chain).as_ref(), &diff_id(number), &mut &tar[..], None).unwrap().size
}

fn add(snapshots: &dyn Snapshotter, parent: Option<&ChainId>, tar: &[u8]) -> Added {
    let mut named = None;
    let added = snapshots.add(parent, &mut &tar[..], &mut |chain| named = Some(chain.clone())).unwrap();
    assert_eq!(named.as_ref(), Some(&added.chain));
    added
}

// Three layers: files of every kind, then changes with whiteouts, then an opaque directory and a parent that only
// its contents tell of.
fn three_layers(snapshots: &dyn Snapshotter) {
    let time = Time { seconds: 1_600_000_000, nanoseconds: 987_654_321 };
    let base = Tar::default()
        .dir("./", 0o751)
        .dir("etc", 0o755)
        .file("etc/passwd", "root")
        .file("etc/shadow", "secret")
        .entry(Entry { uid: 7, gid: 8, ..Entry::new("tmp/", EntryKind::Directory, 0o1777) })
        .dir("var", 0o755)
        .file("var/old", "old")
        .entry(Entry {
            uid: 1000,
            gid: 1001,
            mtime: time,
            xattrs: vec![(b"user.note".to_vec(), b"kept".to_vec())],
            ..Entry::new("bin", EntryKind::File, 0o6755)
        })
        .entry(Entry { link: b"bin".to_vec(), ..Entry::new("hard", EntryKind::HardLink, 0o6755) })
        .entry(Entry { link: b"etc/passwd".to_vec(), ..Entry::new("link", EntryKind::Symlink, 0o777) })
        .entry(Entry::new("pipe", EntryKind::Fifo, 0o600))
        .entry(Entry { device: (1, 5), ..Entry::new("zero", EntryKind::CharDevice, 0o666) });
    assert_eq!(apply(snapshots, None, 1, base), 4 + 6 + 3 + 10);
    let second = Tar::default().file("etc/.wh.shadow", "").file("etc/new", "new").file("tmp/made", "m");
    assert_eq!(apply(snapshots, Some(1), 2, second), 4);
    let third = Tar::default()
        .dir("var", 0o755)
        .file("var/.wh..wh..opq", "")
        .file("var/fresh", "f")
        .file(".wh.pipe", "");
    apply(snapshots, Some(2), 3, third);
}

fn contents_are_those_of_the_layers(driver: &Driver<'_>, root: &Path) {
    let snapshots = (driver.open)(root);
    three_layers(&*snapshots);
    snapshots.prepare("key", Some(&chain(1))).unwrap();
    for rootfs in [snapshots.view(Some(&chain(1))).unwrap(), snapshots.rootfs("key").unwrap()] {
        let tree = mounted(driver, &rootfs);
        let meta = |name: &str| tree.at(name).symlink_metadata().unwrap();
        assert_eq!(tree.read("etc/passwd"), "root");
        assert_eq!(fs::read_link(tree.at("link")).unwrap(), Path::new("etc/passwd"));
        assert_eq!(meta(".").mode() & 0o7777, 0o751);
        let tmp = meta("tmp");
        assert_eq!((tmp.mode() & 0o7777, tmp.uid(), tmp.gid()), (0o1777, 7, 8));
        let bin = meta("bin");
        assert_eq!((bin.mode() & 0o7777, bin.uid(), bin.gid(), bin.nlink()), (0o6755, 1000, 1001, 2));
        assert_eq!((bin.mtime(), bin.mtime_nsec()), (1_600_000_000, 987_654_321));
        assert_eq!(meta("hard").ino(), bin.ino());
        let mut note = [0_u8; 16];
        assert_eq!(rustix::fs::getxattr(tree.at("bin"), "user.note", &mut note[..]).unwrap(), 4);
        assert!(meta("pipe").file_type().is_fifo() && meta("zero").file_type().is_char_device());
        // What the runtime mounts upon is there, and is nobody's change.
        for name in
            [".dockerenv", "proc", "sys", "dev/pts", "dev/shm", "dev/console", "etc/hosts", "etc/hostname"]
        {
            assert!(tree.there(name), "{name}");
        }
        assert_eq!(fs::read_link(tree.at("etc/mtab")).unwrap(), Path::new("/proc/mounts"));
    }
    assert_eq!(snapshots.changes("key").unwrap(), []);
    assert!(fs::write(mounted(driver, &snapshots.view(Some(&chain(1))).unwrap()).at("x"), "").is_err());
    let empty = mounted(driver, &snapshots.view(None).unwrap());
    assert!(empty.there("proc") && !empty.there("bin"));
}

fn whiteouts_hide_and_opaque_directories_are_empty(driver: &Driver<'_>, root: &Path) {
    let snapshots = (driver.open)(root);
    three_layers(&*snapshots);
    let second = mounted(driver, &snapshots.view(Some(&chain(2))).unwrap());
    assert!(!second.there("etc/shadow") && second.read("etc/new") == "new" && second.there("var/old"));
    let tmp = second.at("tmp").metadata().unwrap();
    // Layer 2 only has it as a parent.
    assert_eq!((tmp.mode() & 0o7777, tmp.uid(), tmp.gid()), (0o1777, 7, 8));
    assert_eq!(second.at(".").metadata().unwrap().mode() & 0o7777, 0o751);
    let third = mounted(driver, &snapshots.view(Some(&chain(3))).unwrap());
    assert_eq!(third.names("var"), ["fresh"]);
    assert!(!third.there("pipe") && third.there("zero"));
}

fn writes_go_to_the_snapshot_alone(driver: &Driver<'_>, root: &Path) {
    let snapshots = (driver.open)(root);
    three_layers(&*snapshots);
    for key in ["one", "two"] {
        snapshots.prepare(key, Some(&chain(3))).unwrap();
    }
    let one = mounted(driver, &snapshots.rootfs("one").unwrap());
    fs::write(one.at("etc/passwd"), "changed").unwrap();
    fs::remove_file(one.at("etc/new")).unwrap();
    fs::remove_dir_all(one.at("var")).unwrap();
    fs::create_dir(one.at("var")).unwrap();
    symlink("x", one.at("made")).unwrap();
    assert!(one.names("var").is_empty());
    let two = mounted(driver, &snapshots.rootfs("two").unwrap());
    assert!(two.read("etc/passwd") == "root" && two.read("etc/new") == "new" && !two.there("made"));
    drop(one);
    let again = mounted(driver, &snapshots.rootfs("one").unwrap());
    assert!(again.read("etc/passwd") == "changed" && again.names("var").is_empty());
}

fn changes_and_usage_tell_of_writes(driver: &Driver<'_>, root: &Path) {
    let snapshots = (driver.open)(root);
    three_layers(&*snapshots);
    snapshots.prepare("key", Some(&chain(3))).unwrap();
    let before = snapshots.usage("key").unwrap();
    assert_eq!(before.size, 0);
    let tree = mounted(driver, &snapshots.rootfs("key").unwrap());
    fs::write(tree.at("etc/passwd"), "changed").unwrap();
    fs::remove_file(tree.at("etc/new")).unwrap();
    fs::create_dir(tree.at("added")).unwrap();
    fs::write(tree.at("added/file"), "12345").unwrap();
    fs::hard_link(tree.at("added/file"), tree.at("added/other")).unwrap();
    let changes = snapshots.changes("key").unwrap();
    let changes: Vec<(&str, ChangeKind)> =
        changes.iter().map(|change| (change.path.as_str(), change.kind)).collect();
    let (modified, added, deleted) = (ChangeKind::Modified, ChangeKind::Added, ChangeKind::Deleted);
    assert_eq!(
        changes,
        [
            ("/added", added),
            ("/added/file", added),
            ("/added/other", added),
            ("/etc", modified),
            ("/etc/new", deleted),
            ("/etc/passwd", modified),
        ]
    );
    let after = snapshots.usage("key").unwrap();
    assert_eq!(after.size, 7 + 5);
    assert!(after.inodes > before.inodes);
    assert_eq!(snapshots.layer_size(&chain(2)).unwrap(), 4);
}

fn what_is_used_stays_and_what_is_removed_goes(driver: &Driver<'_>, root: &Path) {
    let snapshots = (driver.open)(root);
    three_layers(&*snapshots);
    snapshots.prepare("key", Some(&chain(2))).unwrap();
    assert!(matches!(snapshots.prepare("key", None), Err(Error::Exists(_))));
    for bad in ["", "..", ".x", "a/b", "a\0", &"k".repeat(129)] {
        assert!(matches!(snapshots.prepare(bad, None), Err(Error::Key(_))), "{bad:?}");
    }
    assert!(matches!(snapshots.prepare("new", Some(&chain(9))), Err(Error::NoLayer(_))));
    assert!(matches!(snapshots.remove_layer(&chain(1)), Err(Error::InUse { .. })));
    snapshots.remove_layer(&chain(3)).unwrap();
    assert!(!snapshots.has(&chain(3)) && matches!(snapshots.view(Some(&chain(3))), Err(Error::NoLayer(_))));
    assert!(matches!(snapshots.remove_layer(&chain(2)), Err(Error::InUse { .. })));
    snapshots.remove("key").unwrap();
    assert!(matches!(snapshots.remove("key"), Err(Error::NoSnapshot(_))));
    assert!(matches!(snapshots.rootfs("key"), Err(Error::NoSnapshot(_))));
    assert!(matches!(snapshots.usage("key"), Err(Error::NoSnapshot(_))));
    snapshots.prepare("key", None).unwrap();
    assert!(!mounted(driver, &snapshots.rootfs("key").unwrap()).there("bin"));
    snapshots.remove_layer(&chain(2)).unwrap();
    snapshots.remove_layer(&chain(1)).unwrap();
    assert!(matches!(snapshots.remove_layer(&chain(1)), Err(Error::NoLayer(_))));
    assert!(snapshots.layers().is_empty());
    // And can come again.
    three_layers(&*snapshots);
    assert_eq!(snapshots.layers().len(), 3);
}

// The same tar at different heights, with a directory that only its contents tell of.
fn a_layer_that_stacks_share_stays_with_the_last(driver: &Driver<'_>, root: &Path) {
    let snapshots = (driver.open)(root);
    let tar = Tar::default().file("dir/file", "contents").bytes();
    let base =
        |mode| Tar::default().entry(Entry { uid: 5, ..Entry::new("dir/", EntryKind::Directory, mode) });
    let low = add(&*snapshots, None, &tar);
    let stacks = [0o700, 0o711].map(|mode| {
        let below = add(&*snapshots, None, &base(mode).bytes()).chain;
        let parent = Some(&below);
        let size = snapshots.apply(parent, &low.diff_id, &mut &tar[..], None).unwrap().size;
        assert_eq!(size, 8);
        (chain_of(parent, &low.diff_id), (mode, 5))
    });
    let [first, second] = stacks;
    // Twice in one stack.
    let once = Tar::default().file("file", "other").bytes();
    let above = add(&*snapshots, Some(&second.0), &once).chain;
    snapshots.apply(Some(&above), &low.diff_id, &mut &tar[..], None).unwrap();
    let twice = chain_of(Some(&above), &low.diff_id);
    let tree = mounted(driver, &snapshots.view(Some(&twice)).unwrap());
    assert_eq!((tree.read("file"), tree.read("dir/file")), ("other".into(), "contents".into()));
    assert_eq!(tree.at("dir").metadata().unwrap().mode() & 0o777, 0o711);
    for chain in [&twice, &above] {
        snapshots.remove_layer(chain).unwrap();
    }
    let all = [(low.chain, (0o755, 0)), first, second];
    let inode = |chain: &ChainId| snapshots.tar(chain).unwrap().map(|tar| tar.metadata().unwrap().ino());
    assert!(all.iter().all(|(chain, _)| inode(chain) == inode(&all[0].0)));
    let check = |snapshots: &dyn Snapshotter, chain: &ChainId, expected: (u32, u32)| {
        let tree = mounted(driver, &snapshots.view(Some(chain)).unwrap());
        let dir = tree.at("dir").metadata().unwrap();
        assert_eq!(((dir.mode() & 0o777, dir.uid()), tree.read("dir/file")), (expected, "contents".into()));
    };
    all.iter().for_each(|(chain, expected)| check(&*snapshots, chain, *expected));
    snapshots.sync().unwrap();
    drop(snapshots);
    for gone in 0..all.len() {
        let snapshots = (driver.open)(root);
        all[gone..].iter().for_each(|(chain, expected)| check(&*snapshots, chain, *expected));
        snapshots.remove_layer(&all[gone].0).unwrap();
        all[gone + 1..].iter().for_each(|(chain, expected)| check(&*snapshots, chain, *expected));
    }
    let snapshots = (driver.open)(root);
    for chain in snapshots.layers() {
        snapshots.remove_layer(&chain).unwrap();
    }
    drop(snapshots);
    for folder in ["layers/sha256", "chains/sha256"] {
        assert_eq!(fs::read_dir(root.join(folder)).map_or(0, Iterator::count), 0, "{folder}");
    }
}

fn reopening_finds_all_and_sweeps_leftovers(driver: &Driver<'_>, root: &Path) {
    let snapshots = (driver.open)(root);
    three_layers(&*snapshots);
    snapshots.prepare("kept", Some(&chain(3))).unwrap();
    snapshots.prepare("gone", None).unwrap();
    snapshots.remove("gone").unwrap();
    let tree = mounted(driver, &snapshots.rootfs("kept").unwrap());
    fs::write(tree.at("note"), "still here").unwrap();
    snapshots.sync().unwrap();
    // No row can name one that was not synced.
    apply(&*snapshots, Some(3), 4, Tar::default().file("lost", "with the power"));
    drop((tree, snapshots));
    // As if the process had died while it made and removed things.
    let leftover = root.join(driver.leftover);
    fs::create_dir_all(leftover.join("fs/deep")).unwrap();
    fs::write(leftover.join("fs/deep/file"), "x").unwrap();
    let snapshots = (driver.open)(root);
    let mut layers = snapshots.layers();
    layers.sort();
    let mut expected = [1, 2, 3].map(chain);
    expected.sort();
    assert_eq!(layers, expected);
    assert_eq!(snapshots.keys(), ["kept"]);
    assert_eq!(snapshots.layer_size(&chain(2)).unwrap(), 4);
    let tree = mounted(driver, &snapshots.rootfs("kept").unwrap());
    assert_eq!((tree.read("note"), tree.names("var")), ("still here".into(), vec!["fresh".into()]));
    assert!(matches!(snapshots.remove_layer(&chain(3)), Err(Error::InUse { .. })));
    drop(snapshots);
    assert!(!leftover.exists());
}

fn parallel_calls_do_not_disturb_each_other(driver: &Driver<'_>, root: &Path) {
    let snapshots = (driver.open)(root);
    let snapshots = &*snapshots;
    std::thread::scope(|scope| {
        // Children before their parents, one layer twice at once.
        for number in [4_u8, 3, 2, 1, 4, 1] {
            let parent = (number > 1).then(|| number - 1);
            let tar = Tar::default().file(&format!("dir/{number}"), "contents");
            scope.spawn(move || assert_eq!(apply(snapshots, parent, number, tar), 8));
        }
    });
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for number in 0..20 {
                    let key = format!("key-{thread}-{number}");
                    snapshots.prepare(&key, Some(&chain(4))).unwrap();
                    assert_eq!(snapshots.rootfs(&key).unwrap().lowers.len(), 5);
                    if number % 2 == 0 {
                        snapshots.remove(&key).unwrap();
                    }
                }
            });
        }
        for _ in 0..4 {
            scope.spawn(|| snapshots.prepare("same", None).is_ok());
        }
    });
    assert_eq!(snapshots.keys().len(), 41);
    let tree = mounted(driver, &snapshots.rootfs("key-3-19").unwrap());
    assert_eq!(tree.names("dir"), ["1", "2", "3", "4"]);
}

fn broken_layers_leave_nothing(driver: &Driver<'_>, root: &Path) {
    let snapshots = (driver.open)(root);
    let good = Tar::default().file("file", &"x".repeat(5000)).bytes();
    let cut = &good[..2000];
    assert!(matches!(snapshots.apply(None, &diff_id(1), &mut &cut[..], None), Err(Error::Apply { .. })));
    let evil = Tar::default().file("../../../evil", "x").bytes();
    assert!(snapshots.apply(None, &diff_id(1), &mut &evil[..], None).is_err());
    assert!(!snapshots.has(&chain(1)) && snapshots.layers().is_empty());
    snapshots.apply(None, &diff_id(1), &mut &good[..], None).unwrap();
    // A layer that is there is kept, and the reader read to its end.
    let mut again = &good[..];
    assert_eq!(snapshots.apply(None, &diff_id(1), &mut again, None).unwrap().size, 5000);
    assert!(again.bytes().next().is_none());
    let view = mounted(driver, &snapshots.view(Some(&chain(1))).unwrap());
    assert_eq!(view.read("file").len(), 5000);
    assert!(view.0.as_fd().as_raw_fd() >= 0);
}

fn a_file_is_applied_as_its_stream_is(driver: &Driver<'_>, root: &Path) {
    let snapshots = (driver.open)(root);
    let place = driver.directory.join("a tar");
    fs::write(&place, Tar::default().dir("dir", 0o750).file("dir/file", "contents").bytes()).unwrap();
    let tar = fs::File::open(&place).unwrap();
    let mut reader = fs::File::open(&place).unwrap();
    assert_eq!(snapshots.apply(None, &diff_id(1), &mut reader, Some(&tar)).unwrap().size, 8);
    let kept = snapshots.tar(&chain(1)).unwrap().map(|kept| kept.metadata().unwrap().ino());
    // Who keeps it has the same file, not a copy.
    assert!(kept.is_none_or(|kept| kept == tar.metadata().unwrap().ino()));
    assert_eq!(tar.metadata().unwrap().nlink(), 1 + u64::from(kept.is_some()));
    fs::remove_file(&place).unwrap();
    let view = mounted(driver, &snapshots.view(Some(&chain(1))).unwrap());
    assert_eq!(view.read("dir/file"), "contents");
    drop(view);
    snapshots.remove_layer(&chain(1)).unwrap();
}

fn an_added_layer_is_what_its_tar_says(driver: &Driver<'_>, root: &Path) {
    let snapshots = (driver.open)(root);
    let tar = Tar::default().dir("dir", 0o750).file("dir/file", "contents").bytes();
    let raw: [u8; 32] = ring::digest::digest(&ring::digest::SHA256, &tar).as_ref().try_into().unwrap();
    let first = add(&*snapshots, None, &tar);
    assert_eq!((&first.diff_id.0, &first.chain.0), (&Digest::sha256(&raw), &Digest::sha256(&raw)));
    assert_eq!((first.size, first.tar_size), (8, tar.len() as u64));
    assert_eq!(add(&*snapshots, None, &tar), first);
    let second = add(&*snapshots, Some(&first.chain), &tar);
    assert!(second.diff_id == first.diff_id && second.chain != first.chain);
    assert_eq!(snapshots.layers().len(), 2);
    let tree = mounted(driver, &snapshots.view(Some(&second.chain)).unwrap());
    assert_eq!(
        (tree.read("dir/file"), tree.at("dir").metadata().unwrap().mode() & 0o777),
        ("contents".into(), 0o750)
    );
    if let Some(mut kept) = snapshots.tar(&second.chain).unwrap() {
        let mut again = Vec::new();
        kept.read_to_end(&mut again).unwrap();
        assert!(again == tar);
    }
    assert!(matches!(snapshots.tar(&chain(9)), Err(Error::NoLayer(_))));
}

fn a_diff_is_a_layer_that_makes_the_same_tree(driver: &Driver<'_>, root: &Path) {
    let snapshots = (driver.open)(root);
    three_layers(&*snapshots);
    snapshots.prepare("key", Some(&chain(3))).unwrap();
    let tree = mounted(driver, &snapshots.rootfs("key").unwrap());
    fs::remove_file(tree.at("etc/new")).unwrap();
    fs::remove_dir_all(tree.at("var")).unwrap();
    fs::create_dir(tree.at("var")).unwrap();
    fs::write(tree.at("var/after"), "after").unwrap();
    fs::hard_link(tree.at("var/after"), tree.at("also")).unwrap();
    symlink("to", tree.at("link2")).unwrap();
    rustix::fs::setxattr(tree.at("bin"), "user.more", b"m", rustix::fs::XattrFlags::empty()).unwrap();
    let mut tar = Vec::new();
    snapshots.diff("key", &mut tar).unwrap();
    let mut names = Vec::new();
    let mut archive = hull_archive::Archive::new(&tar[..]);
    while let Some(entry) = archive.next_entry().unwrap() {
        let link = String::from_utf8(entry.link).unwrap();
        names.push((String::from_utf8(entry.name).unwrap(), entry.kind, link));
        assert!(entry.xattrs.iter().all(|(name, _)| !name.starts_with(b"trusted.overlay.")));
    }
    let names: Vec<(&str, EntryKind, &str)> =
        names.iter().map(|(name, kind, link)| (name.as_str(), *kind, link.as_str())).collect();
    use EntryKind::{Directory, File, HardLink, Symlink};
    assert_eq!(
        names,
        [
            ("also", File, ""),
            ("bin", File, ""),
            ("etc/", Directory, ""),
            ("etc/.wh.new", File, ""),
            ("link2", Symlink, "to"),
            ("var/", Directory, ""),
            ("var/.wh..wh..opq", File, ""),
            ("var/after", HardLink, "also"),
        ]
    );
    let layer = add(&*snapshots, Some(&chain(3)), &tar);
    let again = mounted(driver, &snapshots.view(Some(&layer.chain)).unwrap());
    assert_eq!(again.names("."), tree.names("."));
    assert_eq!((again.names("etc"), again.names("var")), (tree.names("etc"), tree.names("var")));
    assert_eq!((again.read("also"), again.read("bin").len()), ("after".into(), tree.read("bin").len()));
    for name in ["user.note", "user.more"] {
        let mut value = [0_u8; 16];
        assert!(rustix::fs::getxattr(again.at("bin"), name, &mut value[..]).unwrap() > 0, "{name}");
    }
    assert!(matches!(snapshots.diff("none", &mut tar), Err(Error::NoSnapshot(_))));
}

// As many as overlayfs stacks.
fn five_hundred_layers_are_stacked(driver: &Driver<'_>, root: &Path) {
    let snapshots = (driver.open)(root);
    let mut top: Option<ChainId> = None;
    for number in 0..500 {
        let tar =
            Tar::default().file(&format!("dir/{number}"), "x").file("same", &number.to_string()).bytes();
        top = Some(add(&*snapshots, top.as_ref(), &tar).chain);
    }
    snapshots.prepare("key", top.as_ref()).unwrap();
    let tree = mounted(driver, &snapshots.rootfs("key").unwrap());
    assert_eq!((tree.names("dir").len(), tree.read("same")), (500, "499".into()));
    assert!(snapshots.changes("key").unwrap().is_empty());
}
