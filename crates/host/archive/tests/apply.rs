//! Layers onto real directories, as root: good ones as GNU tar extracts them, evil ones without a trace outside.
#![allow(clippy::unwrap_used)]

mod support;

use hull_archive::{Applied, ApplyOptions, Decompressor, Entry, EntryKind, Error, Time, apply};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use support::{Tar, facts, output, xattrs};

fn onto(root: &Path, tar: &[u8]) -> Result<Applied, Error> {
    apply(tar, root, &ApplyOptions::default())
}

fn applied(tar: &[u8]) -> (tempfile::TempDir, Applied) {
    let directory = tempfile::tempdir().unwrap();
    let applied = onto(directory.path(), tar).unwrap();
    (directory, applied)
}

#[test]
fn every_kind_of_member_keeps_its_attributes() {
    let time = Time { seconds: 1_600_000_000, nanoseconds: 123_456_789 };
    let with = |entry: Entry| Entry { uid: 12, gid: 34, mtime: time, ..entry };
    let capability = vec![1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let tar = Tar::new()
        .entry(with(Entry::new("./", EntryKind::Directory, 0o751)))
        .entry(with(Entry::new("mail/", EntryKind::Directory, 0o2775)))
        .file("mail/by-root", "x")
        .entry(with(Entry {
            xattrs: vec![
                (b"security.capability".to_vec(), capability.clone()),
                (b"trusted.overlay.redirect".to_vec(), b"/etc".to_vec()),
                (b"user.note".to_vec(), b"n".to_vec()),
            ],
            ..Entry::new("setid", EntryKind::File, 0o6755)
        }))
        .entry(with(Entry { link: "setid".into(), ..Entry::new("link", EntryKind::Symlink, 0o777) }))
        .hard_link("mail/hard", "setid")
        .entry(with(Entry::new("pipe", EntryKind::Fifo, 0o622)))
        .entry(with(Entry { device: (1, 3), ..Entry::new("null", EntryKind::CharDevice, 0o666) }))
        .entry(with(Entry { device: (7, 300), ..Entry::new("loop", EntryKind::BlockDevice, 0o660) }))
        .bytes();
    let (directory, applied) = applied(&tar);
    let meta = |name: &str| directory.path().join(name).symlink_metadata().unwrap();
    let of = |name: &str| {
        let metadata = meta(name);
        (metadata.mode(), metadata.uid(), metadata.gid(), metadata.mtime(), metadata.mtime_nsec())
    };
    for (name, mode) in [
        ("", 0o040751),
        ("mail", 0o042775),
        ("setid", 0o106755),
        ("link", 0o120777),
        ("pipe", 0o010622),
        ("null", 0o020666),
        ("loop", 0o060660),
    ] {
        assert_eq!(of(name), (mode, 12, 34, time.seconds, 123_456_789), "{name}");
    }
    assert_eq!(of("mail/by-root"), (0o100644, 0, 0, 0, 0), "the directory's group is not inherited");
    assert_eq!(meta("mail/hard").ino(), meta("setid").ino());
    assert_eq!(meta("loop").rdev(), rustix::fs::makedev(7, 300));
    let set = xattrs(&directory.path().join("setid"));
    assert!(set.contains(&("security.capability".into(), capability)), "{set:?}");
    assert!(set.iter().all(|(name, _)| !name.contains("overlay")), "{set:?}");
    assert_eq!(applied, Applied { size: 1 + 5, entries: 9, implied: vec![] });
}

#[test]
fn whiteouts_and_opaque_directories_in_any_order() {
    let tar = Tar::new()
        .file("etc/.wh.passwd", "")
        .file("var/.wh..wh..opq", "")
        .file("var/new", "n")
        .file(".wh.gone", "")
        .dir("gone")
        .file("gone/again", "a")
        .dir("other")
        .file(".wh.other", "")
        .file(".wh.deep", "")
        .file("deep/implied", "i")
        .file("kept", "k")
        .file(".wh.kept", "")
        .file(".wh..wh.plnk/1.2", "aufs")
        .bytes();
    let (directory, applied) = applied(&tar);
    let at = |name: &str| directory.path().join(name);
    let opaque = |name: &str| xattrs(&at(name)) == [("trusted.overlay.opaque".to_owned(), b"y".to_vec())];
    let whiteout = at("etc/passwd").symlink_metadata().unwrap();
    assert_eq!((whiteout.mode() & 0o170000, whiteout.rdev()), (0o020000, 0));
    assert!(opaque("var") && opaque("gone") && opaque("other") && opaque("deep"));
    assert!(!opaque("etc"));
    assert_eq!(std::fs::read(at("kept")).unwrap(), b"k");
    assert!(!at(".wh..wh.plnk").exists());
    let implied: Vec<PathBuf> = ["", "deep", "etc", "var"].iter().map(PathBuf::from).collect();
    assert_eq!(applied.implied, implied);
    // Whenever it is unpacked, they are as old.
    for path in &implied {
        assert_eq!(directory.path().join(path).symlink_metadata().unwrap().mtime(), first_time(&tar));
    }
}

/// The time of an archive's first entry.
fn first_time(tar: &[u8]) -> i64 {
    let entry = hull_archive::Archive::new(tar).next_entry().unwrap().unwrap();
    entry.mtime.seconds
}

#[test]
fn later_members_replace_earlier_ones() {
    let tar = Tar::new()
        .file("a", "first")
        .file("a", "second!")
        .dir("tree")
        .file("tree/in", "x")
        .symlink("tree", "a")
        .file("b", "file")
        .dir("b")
        .file("b/in", "y")
        .bytes();
    let (directory, applied) = applied(&tar);
    assert_eq!(std::fs::read(directory.path().join("a")).unwrap(), b"second!");
    assert_eq!(directory.path().join("tree").read_link().unwrap(), Path::new("a"));
    assert!(directory.path().join("b/in").exists());
    // What was in a replaced directory is counted still.
    assert_eq!(applied.size, 7 + 1 + 1 + 1);
}

#[test]
fn links_as_parents_are_followed_inside_the_root() {
    let tar = Tar::new()
        .dir("usr/lib")
        .symlink("lib", "usr/lib")
        .file("lib/libc", "c")
        .symlink("run", "/var/run")
        .file("run/pid", "1")
        .symlink("up", "../../../../usr")
        .file("up/share/doc", "d")
        .bytes();
    let (directory, _) = applied(&tar);
    for name in ["usr/lib/libc", "var/run/pid", "usr/share/doc"] {
        assert!(directory.path().join(name).is_file(), "{name}");
    }
}

// Whatever these do, nothing outside of the root changes.
#[test]
fn cve_2021_32760_2026_17106_evil_archives_touch_nothing_outside() {
    let outer = tempfile::tempdir().unwrap();
    let canary = outer.path().join("canary");
    std::fs::create_dir(&canary).unwrap();
    std::fs::write(canary.join("secret"), "untouched").unwrap();
    let before = facts(&canary);
    for (what, tar) in support::evil(&canary) {
        let root = outer.path().join("root");
        std::fs::create_dir(&root).unwrap();
        let result = onto(&root, &tar);
        assert_eq!(facts(&canary), before, "{what}: {result:?}");
        assert_eq!(std::fs::read_dir(outer.path()).unwrap().count(), 2, "{what}");
        std::fs::remove_dir_all(&root).unwrap();
    }
}

#[test]
fn limits_and_missing_targets_are_errors() {
    let tar = Tar::new().file("a", "12345").file("b", "12345").bytes();
    let limited = |max_entries, max_bytes| {
        let directory = tempfile::tempdir().unwrap();
        apply(&tar[..], directory.path(), &ApplyOptions { max_entries, max_bytes }).is_ok()
    };
    assert!(!limited(1, 100) && !limited(2, 9) && limited(2, 10));
    let directory = tempfile::tempdir().unwrap();
    let tar = Tar::new().hard_link("h", "no/such").bytes();
    assert!(matches!(onto(directory.path(), &tar), Err(Error::LinkTarget { .. })));
    let tar = Tar::new().file("f", "").file("f/x", "").bytes();
    assert!(onto(directory.path(), &tar).is_err());
}

#[test]
fn the_stream_is_read_past_the_end_marker() {
    let mut tar = Tar::new().file("a", "1").bytes();
    tar.resize(tar.len() + 1_000_000, 7);
    let directory = tempfile::tempdir().unwrap();
    let mut rest = &tar[..];
    apply(&mut rest, directory.path(), &ApplyOptions::default()).unwrap();
    assert!(rest.is_empty());
}

// The images' layers, where this machine has them: as GNU tar extracts them, byte by byte and nanosecond by
// nanosecond. Those with whiteouts aren't compared.
#[test]
fn real_layers_are_extracted_as_gnu_tar_does() {
    let Ok(images) = std::fs::read_dir("/tmp/images") else { return };
    let memory = if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" };
    let mut blobs: Vec<PathBuf> = Vec::new();
    for image in images {
        let Ok(files) = std::fs::read_dir(image.unwrap().path().join("blobs/sha256")) else { continue };
        blobs.extend(files.map(|file| file.unwrap().path()));
    }
    blobs.sort_by_key(|path| path.file_name().map(ToOwned::to_owned));
    blobs.dedup_by_key(|path| path.file_name().map(ToOwned::to_owned));
    for blob in blobs {
        let mut magic = [0; 2];
        std::io::Read::read_exact(&mut std::fs::File::open(&blob).unwrap(), &mut magic).unwrap();
        if magic == [0x1f, 0x8b] {
            compare_layer(&blob, Path::new(memory));
        }
    }
}

fn compare_layer(blob: &Path, memory: &Path) {
    let directory = tempfile::tempdir_in(memory).unwrap();
    let (ours, theirs) = (directory.path().join("ours"), directory.path().join("theirs"));
    std::fs::create_dir(&ours).unwrap();
    std::fs::create_dir(&theirs).unwrap();
    let reader = Decompressor::detect(std::fs::File::open(blob).unwrap()).unwrap();
    let applied = apply(reader, &ours, &ApplyOptions::default()).unwrap();
    let (from, to) = (blob.to_str().unwrap(), theirs.to_str().unwrap());
    let flags = ["--numeric-owner", "--xattrs", "--xattrs-include=*", "-xpzf", from, "-C", to];
    output("tar", &flags, b"");
    let (ours, theirs) = (facts(&ours), facts(&theirs));
    if theirs.keys().any(|path| path.to_string_lossy().contains(".wh.")) {
        return;
    }
    assert!(applied.entries > 0);
    for (path, text) in &theirs {
        // Nothing describes these: their times are now.
        if !applied.implied.contains(path) {
            assert_eq!(ours.get(path), Some(text), "{}: {}", blob.display(), path.display());
        }
    }
    assert_eq!(ours.len(), theirs.len());
}

#[test]
fn cve_2025_47290_names_are_exchanged_while_a_layer_is_unpacked() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let scene = tempfile::tempdir().unwrap();
    let (root, canary) = (scene.path().join("root"), scene.path().join("canary"));
    std::fs::create_dir(&canary).unwrap();
    std::fs::write(canary.join("secret"), "host").unwrap();
    let before = facts(&canary);
    let mut tar = Tar::new();
    for number in 0..60 {
        tar = tar
            .dir("d")
            .file("d/secret", "evil")
            .file(&format!("d/{number}"), "evil")
            .file("d/.wh.gone", "")
            .hard_link("d/hard", "d/secret")
            .entry(Entry { uid: 1, ..Entry::new("d/", EntryKind::Directory, 0o777) });
    }
    let tar = tar.bytes();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = std::fs::rename(root.join("d"), root.join("aside"));
                let _ = std::os::unix::fs::symlink(&canary, root.join("d"));
                let _ = std::fs::remove_file(root.join("d"));
                let _ = std::fs::rename(root.join("aside"), root.join("d"));
            }
        });
        let mut rounds = support::Rounds::new(40);
        while rounds.more() {
            let _ = std::fs::remove_dir_all(&root);
            let _ = std::fs::create_dir(&root);
            let _ = onto(&root, &tar);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(facts(&canary), before);
}
