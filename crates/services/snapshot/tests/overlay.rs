//! The overlay driver passes the suite, and keeps its directory to itself.
#![allow(clippy::unwrap_used)]

use hull_snapshot::overlay::Overlay;
use hull_snapshot::{Snapshotter, suite};
use hull_sys::LayerMounts;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

fn directory() -> tempfile::TempDir {
    // Any file system that takes trusted.* attributes; the root one is slow at making files.
    let memory = if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" };
    tempfile::tempdir_in(memory).unwrap()
}

#[test]
fn it_passes_the_suite() {
    let directory = directory();
    suite::run(&suite::Driver {
        open: &|root| Box::new(Overlay::open(root).unwrap()),
        mount: &|rootfs| hull_sys::mount_rootfs(rootfs, &LayerMounts::default()).unwrap(),
        directory: directory.path(),
        leftover: "tmp/99",
    });
}

#[test]
fn nobody_walks_past_its_directory() {
    let directory = directory();
    let root = directory.path().join("overlay");
    let overlay = Overlay::open(&root).unwrap();
    overlay.prepare("key", None).unwrap();
    for path in ["", "layers", "layers/sha256", "snapshots", "snapshots/key", "tmp"] {
        let mode = root.join(path).metadata().unwrap().mode() & 0o7777;
        assert_eq!(mode, 0o700, "{path}");
    }
    let upper = root.join("snapshots/key/upper").metadata().unwrap();
    assert_eq!((upper.mode() & 0o7777, upper.uid()), (0o755, 0));
}

#[test]
fn a_snapshot_without_its_mark_is_kept_but_not_used() {
    let directory = directory();
    let root = directory.path().join("overlay");
    drop(Overlay::open(&root).unwrap());
    std::fs::create_dir_all(root.join("snapshots/strange/upper")).unwrap();
    let overlay = Overlay::open(&root).unwrap();
    assert_eq!(overlay.keys(), ["strange"]);
    assert!(overlay.rootfs("strange").is_err());
    overlay.remove("strange").unwrap();
    assert!(overlay.keys().is_empty());
}
