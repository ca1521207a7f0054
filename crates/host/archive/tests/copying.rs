//! `docker cp`, `export`, `diff` and the copying of an image's files into a volume, on real trees as root.
#![allow(clippy::unwrap_used)]

mod support;

use hull_archive::{
    Archive, Change, ChangeKind, Entry, EntryKind, Error, PackOptions, UnpackOptions, changes, copy_tree,
    export, measure, pack, remove_tree, stat, unpack,
};
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use support::{Tar, facts, output};

// A root beside a canary, with links of all sorts in it.
struct Scene {
    outer: tempfile::TempDir,
    root: File,
}

impl Scene {
    fn new() -> Self {
        // In memory: the swapping test makes thousands of files.
        let memory = if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" };
        let outer = tempfile::tempdir_in(memory).unwrap();
        let script = r#"
            set -e; cd "$1"; mkdir canary root; echo untouched > canary/secret; cd root
            mkdir -p etc/sub var/lib run empty; echo root > etc/passwd; echo x > etc/sub/file; chmod 600 etc/sub/file
            ln etc/passwd etc/hard; ln -s /etc/passwd abs; ln -s ../../../../etc up; ln -s "$1/canary" out
            ln -s /run var/run; ln -s nowhere/x dangling; ln -s loop loop; mkfifo pipe; mknod null c 1 3
            chmod 4755 etc/passwd; chown 5:6 etc/sub; chmod 1777 var/lib
            python3 -c "import socket; socket.socket(socket.AF_UNIX).bind('socket')"
        "#;
        output("bash", &["-c", script, "scene", outer.path().to_str().unwrap()], b"");
        let root = File::open(outer.path().join("root")).unwrap();
        Self { outer, root }
    }
    fn path(&self, name: &str) -> std::path::PathBuf {
        self.outer.path().join("root").join(name)
    }
    fn packed(&self, path: &str) -> Vec<(String, EntryKind, String)> {
        let mut tar = Vec::new();
        pack(self.root.as_fd(), Path::new(path), &PackOptions::default(), &mut tar).unwrap();
        listed(&tar)
    }
    fn names(&self, path: &str) -> Vec<String> {
        self.packed(path).into_iter().map(|(name, _, _)| name).collect()
    }
    fn put(&self, dest: &str, tar: &[u8], options: UnpackOptions) -> Result<(), Error> {
        unpack(self.root.as_fd(), Path::new(dest), tar, &options)
    }
}

fn listed(tar: &[u8]) -> Vec<(String, EntryKind, String)> {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut archive = Archive::new(tar);
    let mut all = Vec::new();
    while let Some(entry) = archive.next_entry().unwrap() {
        all.push((lossy(&entry.name), entry.kind, lossy(&entry.link)));
    }
    all
}

#[test]
fn a_packed_path_is_rooted_at_its_base_name() {
    let scene = Scene::new();
    let etc = ["etc/", "etc/hard", "etc/passwd", "etc/sub/", "etc/sub/file"];
    assert_eq!(scene.names("/etc"), etc);
    assert_eq!(scene.names("etc/"), etc);
    assert_eq!(scene.names("/etc/."), ["./", "./hard", "./passwd", "./sub/", "./sub/file"]);
    assert_eq!(scene.names("/etc/passwd"), ["passwd"]);
    assert_eq!(scene.names("/var/../etc/sub"), ["sub/", "sub/file"]);
    // A link at the end is itself; with a slash it is where it leads, under the link's name.
    assert_eq!(scene.packed("/abs"), [("abs".into(), EntryKind::Symlink, "/etc/passwd".into())]);
    assert_eq!(scene.names("/up/sub"), ["sub/", "sub/file"]);
    assert_eq!(scene.names("/up/")[..2], ["up/", "up/hard"]);
    let whole = scene.packed("/");
    assert_eq!(whole[0].0, "/");
    assert!(whole.contains(&("/etc/passwd".into(), EntryKind::HardLink, "/etc/hard".into())), "{whole:?}");
    assert!(whole.iter().all(|(name, _, _)| name != "/socket"));
    for missing in ["/nope", "/etc/passwd/", "/etc/passwd/x", "/out/secret", "/loop/", "/dangling/"] {
        assert!(pack(scene.root.as_fd(), Path::new(missing), &PackOptions::default(), Vec::new()).is_err());
    }
}

#[test]
fn an_export_is_the_tree() {
    let scene = Scene::new();
    std::fs::remove_file(scene.path("socket")).unwrap();
    let mut tar = Vec::new();
    export(scene.root.as_fd(), &mut tar).unwrap();
    let copy = tempfile::tempdir().unwrap();
    output("tar", &["-xpf", "-", "--numeric-owner", "-C", copy.path().to_str().unwrap()], &tar);
    let whole_seconds = |root: &Path| {
        let mut facts = facts(root);
        facts.remove(Path::new(""));
        for text in facts.values_mut() {
            let (head, tail) = text.split_once('.').unwrap();
            *text = format!("{head}{}", &tail[9..]);
        }
        facts
    };
    assert_eq!(whole_seconds(copy.path()), whole_seconds(&scene.path("")));
    assert_eq!(listed(&tar)[0].0, "abs");
}

#[test]
fn stat_has_gos_modes_and_evaluated_links() {
    let scene = Scene::new();
    let at = |path: &str| stat(scene.root.as_fd(), Path::new(path)).unwrap();
    let (directory, link, set_uid, sticky) = (1 << 31, 1 << 27, 1 << 23, 1 << 20);
    assert_eq!((at("/etc").name.as_str(), at("/etc").mode), ("etc", directory | 0o755));
    assert_eq!((at("/etc/.").name, at("/").name), (".".into(), "/".into()));
    assert_eq!((at("/etc/passwd").mode, at("/etc/passwd").size), (set_uid | 0o755, 5));
    assert_eq!(at("/var/lib").mode, directory | sticky | 0o777);
    assert_eq!(at("/null").mode, 1 << 26 | 1 << 21 | 0o644);
    assert_eq!(at("/pipe").mode, 1 << 25 | 0o644);
    assert_eq!(at("/socket").mode & (1 << 24), 1 << 24);
    assert_eq!((at("/abs").mode, at("/abs").link_target.as_str()), (link | 0o777, "/etc/passwd"));
    assert_eq!(at("/up").link_target, "/etc");
    assert_eq!(at("/dangling").link_target, "/nowhere/x");
    assert_eq!(at("/var/run").link_target, "/run");
    assert_eq!(at("/up/passwd").link_target, "");
    assert!(
        stat(scene.root.as_fd(), Path::new("/nope"))
            .unwrap_err()
            .to_string()
            .ends_with("no such file or directory")
    );
}

#[test]
fn an_upload_merges_and_replaces_as_docker_does() {
    let scene = Scene::new();
    let sub = Entry { uid: 9, gid: 9, ..Entry::new("sub/", EntryKind::Directory, 0o700) };
    let tar = Tar::new()
        .entry(Entry::new("./", EntryKind::Directory, 0o700))
        .entry(sub)
        .file("sub/file", "new")
        .file("passwd", "new")
        .file(".wh.name", "ordinary")
        .file("made/up/here", "x")
        .symlink("link", "../anywhere")
        .bytes();
    let before = std::fs::metadata(scene.path("etc")).unwrap();
    scene.put("/up", &tar, UnpackOptions::default()).unwrap();
    let read = |name: &str| std::fs::read_to_string(scene.path(name)).unwrap();
    let of = |name: &str| {
        let metadata = scene.path(name).symlink_metadata().unwrap();
        (metadata.mode(), metadata.uid(), metadata.gid())
    };
    assert_eq!((read("etc/sub/file"), of("etc/sub/file")), ("new".into(), (0o100644, 0, 0)));
    assert_eq!((read("etc/passwd"), of("etc/passwd")), ("new".into(), (0o100644, 0, 0)));
    assert_eq!(read("etc/hard"), "root\n", "the other name of the replaced file keeps its contents");
    assert_eq!(of("etc/sub"), (0o040700, 9, 9));
    assert_eq!(read("etc/.wh.name"), "ordinary");
    assert_eq!(read("etc/made/up/here"), "x");
    assert_eq!(
        std::fs::metadata(scene.path("etc")).unwrap().mode(),
        before.mode(),
        "dest itself is left as it is"
    );
    // Everything to one owner.
    let options = UnpackOptions { owner: Some((1000, 1001)), ..UnpackOptions::default() };
    scene.put("/empty", &Tar::new().dir("d").file("d/f", "x").symlink("l", "d").bytes(), options).unwrap();
    for name in ["empty/d", "empty/d/f", "empty/l"] {
        let (_, uid, gid) = of(name);
        assert_eq!((uid, gid), (1000, 1001), "{name}");
    }
}

#[test]
fn sorts_are_kept_when_asked() {
    let scene = Scene::new();
    let strict = || UnpackOptions { no_overwrite_dir_non_dir: true, ..UnpackOptions::default() };
    let error = scene.put("/etc", &Tar::new().file("sub", "x").bytes(), strict()).unwrap_err();
    assert_eq!(error.to_string(), "cannot overwrite directory \"/etc/sub\" with non-directory \"/etc\"");
    let error = scene.put("/etc", &Tar::new().dir("passwd").bytes(), strict()).unwrap_err();
    assert_eq!(error.to_string(), "cannot overwrite non-directory \"/etc/passwd\" with directory \"/etc\"");
    let tar = Tar::new().file("sub", "x").dir("passwd").bytes();
    scene.put("/etc", &tar, UnpackOptions::default()).unwrap();
    assert!(scene.path("etc/sub").is_file() && scene.path("etc/passwd").is_dir());
    assert!(matches!(scene.put("/etc/sub", &tar, strict()), Err(Error::NotADirectory)));
    assert!(scene.put("/none", &tar, strict()).unwrap_err().errno() == Some(2));
}

#[test]
fn cve_2021_41089_evil_uploads_touch_nothing_outside() {
    let scene = Scene::new();
    let canary = scene.outer.path().join("canary");
    let before = facts(&canary);
    for (what, tar) in support::evil(&canary) {
        for dest in ["/", "/empty", "/up", "/etc/sub"] {
            let result = scene.put(dest, &tar, UnpackOptions::default());
            assert_eq!(facts(&canary), before, "{what} into {dest}: {result:?}");
        }
    }
    assert_eq!(std::fs::read_dir(scene.outer.path()).unwrap().count(), 2);
}

// CVE-2018-15664: the container swaps a directory for a link while the engine resolves it.
#[test]
fn cve_2018_15664_swapped_directories_never_lead_outside() {
    let scene = Scene::new();
    let canary = scene.outer.path().join("canary");
    let before = facts(&canary);
    let (a, b) = (scene.path("swap"), scene.path("other"));
    std::fs::create_dir(&a).unwrap();
    std::fs::write(a.join("secret"), "inside").unwrap();
    symlink(&canary, &b).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            use rustix::fs::{CWD, RenameFlags, renameat_with};
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                renameat_with(CWD, &a, CWD, &b, RenameFlags::EXCHANGE).unwrap();
                std::thread::yield_now();
            }
        });
        let mut rounds = support::Rounds::new(2000);
        while rounds.more() {
            let tar = Tar::new().file("secret", "evil").file("new", "evil").bytes();
            let _ = scene.put("/swap", &tar, UnpackOptions::default());
            let inner = Tar::new().file("swap/secret", "evil").file("swap/new", "evil").bytes();
            let _ = scene.put("/", &inner, UnpackOptions::default());
            let mut tar = Vec::new();
            if pack(scene.root.as_fd(), Path::new("/swap/secret"), &PackOptions::default(), &mut tar).is_ok()
            {
                assert!(!String::from_utf8_lossy(&tar).contains("untouched"));
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(facts(&canary), before);
}

#[test]
fn a_copied_tree_is_the_same_tree() {
    let scene = Scene::new();
    std::fs::remove_file(scene.path("socket")).unwrap();
    rustix::fs::setxattr(scene.path("etc/passwd"), "user.note", b"n", rustix::fs::XattrFlags::empty())
        .unwrap();
    let volume = tempfile::tempdir().unwrap();
    let to = File::open(volume.path()).unwrap();
    copy_tree(scene.root.as_fd(), Path::new("/"), to.as_fd()).unwrap();
    assert_eq!(facts(volume.path()), facts(&scene.path("")));
    let volume = tempfile::tempdir().unwrap();
    let to = File::open(volume.path()).unwrap();
    copy_tree(scene.root.as_fd(), Path::new("/up/sub"), to.as_fd()).unwrap();
    assert_eq!(facts(volume.path()), facts(&scene.path("etc/sub")));
    for (path, errno) in [("/out", 2), ("/nope", 2), ("/etc/passwd", 20)] {
        assert_eq!(
            copy_tree(scene.root.as_fd(), Path::new(path), to.as_fd()).unwrap_err().errno(),
            Some(errno)
        );
    }
}

#[test]
fn deep_trees_are_removed_and_links_are_not_followed() {
    let scene = Scene::new();
    let script = "
import os, sys
os.chdir(sys.argv[1])
for _ in range(1500): os.mkdir('d'); os.chdir('d')
os.symlink('/tmp', 'link'); open('file', 'w').close()
";
    output("python3", &["-c", script, scene.path("empty").to_str().unwrap()], b"");
    remove_tree(scene.root.as_fd(), b"empty").unwrap();
    assert!(!scene.path("empty").exists());
    remove_tree(scene.root.as_fd(), b"out").unwrap();
    remove_tree(scene.root.as_fd(), b"nothing").unwrap();
    assert!(scene.outer.path().join("canary/secret").exists());
}

#[test]
fn a_measure_counts_hard_links_once() {
    let scene = Scene::new();
    let total = measure(&scene.path("etc")).unwrap();
    assert_eq!((total.size, total.inodes), (5 + 2, 4));
}

#[test]
fn changes_are_those_of_docker_diff() {
    let directory = tempfile::tempdir().unwrap();
    let script = r#"
        set -e; cd "$1"; mkdir -p low/etc/same low/var/cache/old low/usr top/etc upper/etc/same upper/var upper/new/in
        echo a > low/etc/passwd; echo b > low/etc/gone; echo c > low/var/keep; echo d > low/var/cache/old/f
        echo t > low/usr/tool; mknod top/etc/hidden c 0 0; echo h > low/etc/hidden; touch -r low/etc top/etc
        # modified, removed, added; a directory that only holds changes; one replaced; copied up unchanged
        echo changed > upper/etc/passwd; mknod upper/etc/gone c 0 0; mknod upper/etc/hidden c 0 0; echo n > upper/etc/added
        echo x > upper/new/in/file
        python3 -c "import os; os.setxattr('upper/var', 'trusted.overlay.opaque', b'y')"; cp -p low/var/keep upper/var/keep; mkdir upper/var/cache
        cp -a low/usr upper/usr; chmod 700 upper/etc/same
        touch -r low/etc upper/etc
    "#;
    output("bash", &["-c", script, "changes", directory.path().to_str().unwrap()], b"");
    let at = |name: &str| directory.path().join(name);
    let found = changes(&at("upper"), vec![opened(&at("top")), opened(&at("low"))]).unwrap();
    let text: Vec<String> = found
        .iter()
        .map(|Change { path, kind }| {
            let letter = match kind {
                ChangeKind::Modified => 'C',
                ChangeKind::Added => 'A',
                ChangeKind::Deleted => 'D',
            };
            format!("{letter} {path}")
        })
        .collect();
    assert_eq!(
        text,
        [
            "C /etc",
            "A /etc/added",
            "D /etc/gone",
            "C /etc/passwd",
            "C /etc/same",
            "A /new",
            "A /new/in",
            "A /new/in/file",
            "C /var",
            "C /var/cache",
            "D /var/cache/old",
        ]
    );
    // A file in place of a directory, and the other way round.
    std::fs::remove_dir_all(at("upper")).unwrap();
    std::fs::create_dir_all(at("upper/usr/tool")).unwrap();
    std::fs::write(at("upper/usr/tool/x"), "").unwrap();
    std::fs::write(at("upper/var"), "").unwrap();
    std::fs::set_permissions(at("upper"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let found = changes(&at("upper"), vec![opened(&at("top")), opened(&at("low"))]).unwrap();
    let paths: Vec<(&str, ChangeKind)> =
        found.iter().map(|change| (change.path.as_str(), change.kind)).collect();
    let (modified, added) = (ChangeKind::Modified, ChangeKind::Added);
    assert_eq!(
        paths,
        [("/usr", modified), ("/usr/tool", modified), ("/usr/tool/x", added), ("/var", modified)]
    );
}

fn opened(path: &Path) -> std::os::fd::OwnedFd {
    std::fs::File::open(path).unwrap().into()
}
