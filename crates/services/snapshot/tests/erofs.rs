//! The EROFS driver passes the suite, and what is its own holds. Needs a kernel that mounts EROFS from files.
#![allow(clippy::unwrap_used)]

use hull_archive::{Entry, EntryKind, Writer};
use hull_snapshot::erofs::{Erofs, works};
use hull_snapshot::{Snapshotter, suite};
use hull_sys::LayerMounts;
use hull_types::{ChainId, Rootfs};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

fn directory() -> tempfile::TempDir {
    // A file system on a disk: the kernel mounts no images of tmpfs.
    tempfile::tempdir_in("/var/tmp").unwrap()
}

#[test]
fn it_passes_the_suite() {
    let directory = directory();
    works(directory.path()).unwrap();
    suite::run(&suite::Driver {
        open: &|root| Box::new(Erofs::open(root).unwrap()),
        mount: &|rootfs| hull_sys::mount_rootfs(rootfs, &LayerMounts::default()).unwrap(),
        directory: directory.path(),
        leftover: "tmp/99",
    });
}

fn add(erofs: &Erofs, parent: Option<&ChainId>, tar: &[u8]) -> ChainId {
    erofs.add(parent, &mut &tar[..], &mut |_| {}).unwrap().chain
}

fn mounted(erofs: &Erofs, rootfs: &Rootfs) -> OwnedFd {
    hull_sys::mount_rootfs(rootfs, &erofs.mounts(rootfs)).unwrap()
}

#[test]
fn trying_it_leaves_nothing() {
    let directory = directory();
    works(directory.path()).unwrap();
    assert_eq!(directory.path().read_dir().unwrap().count(), 0);
    if std::path::Path::new("/dev/shm").is_dir() {
        let memory = tempfile::tempdir_in("/dev/shm").unwrap();
        assert!(works(memory.path()).is_err());
        assert_eq!(memory.path().read_dir().unwrap().count(), 0);
    }
}

fn tar(members: &[(&str, EntryKind, u32)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (name, kind, mode) in members {
        writer.entry(&Entry { uid: 5, gid: 6, ..Entry::new(*name, *kind, *mode) }).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn directories_that_only_names_tell_of_are_like_those_beneath() {
    let directory = directory();
    let erofs = Erofs::open(directory.path()).unwrap();
    let base = tar(&[
        ("./", EntryKind::Directory, 0o711),
        ("tmp/", EntryKind::Directory, 0o1777),
        ("tmp/deep/", EntryKind::Directory, 0o700),
    ]);
    let base = add(&erofs, None, &base);
    let middle = add(&erofs, Some(&base), &tar(&[("tmp/one", EntryKind::File, 0o600)]));
    let top = tar(&[("tmp/deep/two", EntryKind::File, 0o600), ("new/three", EntryKind::File, 0o600)]);
    let top = add(&erofs, Some(&middle), &top);
    erofs.sync().unwrap();
    drop(erofs);
    let erofs = Erofs::open(directory.path()).unwrap();
    for _ in 0..2 {
        let tree = mounted(&erofs, &erofs.view(Some(&top)).unwrap());
        let is = |name: &str| {
            let metadata = std::fs::metadata(format!("/proc/self/fd/{}/{name}", tree.as_raw_fd())).unwrap();
            (metadata.mode() & 0o7777, metadata.uid(), metadata.gid())
        };
        assert_eq!((is("."), is("tmp"), is("tmp/deep")), ((0o711, 5, 6), (0o1777, 5, 6), (0o700, 5, 6)));
        assert_eq!(
            (is("new"), is("tmp/one"), is("new/three")),
            ((0o755, 0, 0), (0o600, 5, 6), (0o600, 5, 6))
        );
    }
}

#[test]
fn a_removed_layer_is_gone_while_it_is_mounted() {
    let directory = directory();
    let erofs = Erofs::open(directory.path()).unwrap();
    let chain = add(&erofs, None, &tar(&[("file", EntryKind::File, 0o600)]));
    let tree = mounted(&erofs, &erofs.view(Some(&chain)).unwrap());
    erofs.remove_layer(&chain).unwrap();
    drop(erofs);
    assert_eq!(directory.path().join("layers/sha256").read_dir().unwrap().count(), 0);
    let left = directory.path().join("tmp").read_dir().unwrap();
    assert!(left.into_iter().all(|aside| !aside.unwrap().path().join("layer.tar").exists()));
    assert!(std::fs::metadata(format!("/proc/self/fd/{}/file", tree.as_raw_fd())).is_ok());
}

/// How much of a file is in memory.
fn cached(tree: &OwnedFd, name: &str) -> u64 {
    let path = format!("/proc/{}/fd/{}/{name}", std::process::id(), tree.as_raw_fd());
    let told = std::process::Command::new("fincore").args(["-b", "-n", "-o", "RES"]).arg(path).output();
    String::from_utf8(told.unwrap().stdout).unwrap().trim().parse().unwrap()
}

#[test]
fn all_who_use_a_layer_share_its_pages() {
    const SIZE: usize = 4 << 20;
    let directory = directory();
    let erofs = Erofs::open(directory.path()).unwrap();
    let mut writer = Writer::new(Vec::new());
    writer.entry(&Entry { size: SIZE as u64, ..Entry::new("file", EntryKind::File, 0o600) }).unwrap();
    writer.contents(&vec![7; SIZE]).unwrap();
    let chain = add(&erofs, None, &writer.finish().unwrap());
    let trees = ["one", "two"].map(|key| {
        erofs.prepare(key, Some(&chain)).unwrap();
        mounted(&erofs, &erofs.rootfs(key).unwrap())
    });
    erofs.prepare("apart", Some(&chain)).unwrap();
    let apart = hull_sys::mount_rootfs(&erofs.rootfs("apart").unwrap(), &LayerMounts::default()).unwrap();
    let read = std::fs::read(format!("/proc/self/fd/{}/file", trees[0].as_raw_fd())).unwrap();
    assert!(read.len() == SIZE && read.iter().all(|byte| *byte == 7));
    let found = [&trees[0], &trees[1], &apart].map(|tree| cached(tree, "file"));
    assert_eq!(found, [SIZE as u64, SIZE as u64, 0]);
    // They do without the kept mounts.
    drop(erofs);
    assert_eq!(cached(&trees[1], "file"), SIZE as u64);
}

#[test]
fn mounts_are_kept_as_long_as_their_layers() {
    let directory = directory();
    let erofs = Erofs::open(directory.path()).unwrap();
    // A detached mount's root has no other name; the driver's thread has files open now and then.
    let is_mount = |link: std::io::Result<std::path::PathBuf>| link.is_ok_and(|to| to.as_os_str() == "/");
    let descriptors = || {
        let all = std::fs::read_dir("/proc/self/fd").unwrap();
        all.filter(|entry| is_mount(std::fs::read_link(entry.as_ref().unwrap().path()))).count()
    };
    let before = descriptors();
    let base = add(&erofs, None, &tar(&[("a", EntryKind::File, 0o600)]));
    let top = add(&erofs, Some(&base), &tar(&[("b", EntryKind::File, 0o600)]));
    for key in 0..20 {
        let key = format!("key-{key}");
        erofs.prepare(&key, Some(&top)).unwrap();
        drop(mounted(&erofs, &erofs.rootfs(&key).unwrap()));
        assert!(erofs.changes(&key).unwrap().is_empty());
        erofs.remove(&key).unwrap();
        assert_eq!(descriptors(), before + 2, "one for each layer");
    }
    erofs.remove_layer(&top).unwrap();
    assert_eq!(descriptors(), before + 1);
    erofs.remove_layer(&base).unwrap();
    assert_eq!(descriptors(), before);
}

#[test]
fn equal_layers_are_one_tar_one_image_and_one_mount() {
    let directory = directory();
    let erofs = Erofs::open(directory.path()).unwrap();
    let same = tar(&[("./", EntryKind::Directory, 0o755), ("file", EntryKind::File, 0o600)]);
    let base = add(&erofs, None, &tar(&[("other", EntryKind::File, 0o600)]));
    let (low, high) = (add(&erofs, None, &same), add(&erofs, Some(&base), &same));
    let lowers = [low, high].map(|chain| erofs.view(Some(&chain)).unwrap().lowers[0].clone());
    assert_eq!(lowers[0], lowers[1]);
    let all = directory.path().join("layers/sha256").read_dir().unwrap();
    let tars = all.filter(|layer| layer.as_ref().unwrap().path().join("layer.tar").exists()).count();
    assert_eq!(tars, 2);
}

/// As the versions did before contents were named by their DiffIds: all in a directory named by the ChainId.
fn in_the_former_layout(root: &std::path::Path) {
    let (layers, chains) = (root.join("layers/sha256"), root.join("chains/sha256"));
    let mut used = Vec::new();
    for chain in chains.read_dir().unwrap() {
        let chain = chain.unwrap();
        let text = std::fs::read(chain.path().join("layer.json")).unwrap();
        let mut record: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let contents = layers.join(record["diff_id"].as_str().unwrap().split_once(':').unwrap().1);
        let place = layers.join(chain.file_name());
        std::fs::create_dir_all(&place).unwrap();
        for file in ["layer.tar", "layer.erofs"] {
            let _ = std::fs::hard_link(contents.join(file), place.join(file));
        }
        let fields = record.as_object_mut().unwrap();
        fields.remove("fit");
        fields.remove("diff_id");
        std::fs::write(place.join("layer.json"), record.to_string()).unwrap();
        used.push(place);
    }
    for layer in layers.read_dir().unwrap() {
        let layer = layer.unwrap().path();
        if !used.contains(&layer) {
            std::fs::remove_dir_all(layer).unwrap();
        }
    }
    std::fs::remove_dir_all(chains).unwrap();
}

#[test]
fn a_store_of_a_former_version_is_used_as_it_is() {
    let directory = directory();
    let root = directory.path();
    let (base, above) =
        (tar(&[("tmp/", EntryKind::Directory, 0o1777)]), tar(&[("tmp/one", EntryKind::File, 0o600)]));
    let erofs = Erofs::open(root).unwrap();
    let low = add(&erofs, None, &base);
    let high = add(&erofs, Some(&low), &above);
    erofs.sync().unwrap();
    drop(erofs);
    in_the_former_layout(root);
    let is = |erofs: &Erofs, top: &ChainId| {
        let tree = mounted(erofs, &erofs.view(Some(top)).unwrap());
        let at = |name: &str| format!("/proc/self/fd/{}/{name}", tree.as_raw_fd());
        assert!(std::fs::metadata(at("tmp/one")).is_ok());
        std::fs::metadata(at("tmp")).unwrap().mode() & 0o7777
    };
    for _ in 0..2 {
        let erofs = Erofs::open(root).unwrap();
        assert_eq!((erofs.layers().len(), is(&erofs, &high)), (2, 0o1777));
    }
    // The same layers in other stacks, beside them and upon them.
    let erofs = Erofs::open(root).unwrap();
    let alone = add(&erofs, None, &above);
    let again = add(&erofs, Some(&alone), &base);
    let twice = add(&erofs, Some(&again), &above);
    erofs.sync().unwrap();
    for chain in [&high, &low] {
        erofs.remove_layer(chain).unwrap();
    }
    drop(erofs);
    let erofs = Erofs::open(root).unwrap();
    assert_eq!((erofs.layers().len(), is(&erofs, &alone), is(&erofs, &twice)), (3, 0o755, 0o1777));
    for chain in [&twice, &again, &alone] {
        erofs.remove_layer(chain).unwrap();
    }
    drop(erofs);
    assert_eq!(root.join("layers/sha256").read_dir().unwrap().count(), 0);
}
