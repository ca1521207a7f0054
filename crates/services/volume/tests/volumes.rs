//! The local driver on real directories, as root.
#![allow(clippy::unwrap_used)]

use hull_api_types::{Filters, Map, VolumeCreateOptions};
use hull_errors::{HasKind, Kind};
use hull_events::{EventBus, Subscription};
use hull_store::Store;
use hull_volume::{ANONYMOUS_LABEL, VolumeMount, Volumes};
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;

struct Scene {
    directory: tempfile::TempDir,
    volumes: Volumes,
    events: Subscription,
}

impl Scene {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("hull.db")).unwrap();
        let bus = EventBus::new();
        let events = bus.subscribe();
        let volumes = Volumes::open(&directory.path().join("volumes"), store, bus).unwrap();
        Self { directory, volumes, events }
    }
    fn actions(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(event) = self.events.try_next() {
            assert_eq!(event.kind, "volume");
            all.push(format!("{} {}", event.action, event.actor.id));
        }
        all
    }
    fn names(&self, filters: &[(&str, &str)]) -> Vec<String> {
        let list = self.volumes.list(&filter(filters)).unwrap();
        list.into_iter().map(|volume| volume.name).collect()
    }
}

fn named(name: &str) -> VolumeCreateOptions {
    VolumeCreateOptions { name: name.into(), ..VolumeCreateOptions::default() }
}

fn map(pairs: &[(&str, &str)]) -> Map<String> {
    pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
}

fn filter(pairs: &[(&str, &str)]) -> Filters {
    let mut filters = Filters::new();
    for (key, value) in pairs {
        filters.entry((*key).into()).or_default().push((*value).into());
    }
    filters
}

#[test]
fn a_volume_is_made_found_and_removed() {
    let mut scene = Scene::new();
    let labels = map(&[("a", "b")]);
    let made = scene.volumes.create(VolumeCreateOptions { labels: labels.clone(), ..named("data") }).unwrap();
    let data = scene.directory.path().join("volumes/data/_data");
    assert_eq!(Path::new(&made.mountpoint), data);
    assert_eq!(
        (made.driver.as_str(), made.scope.as_str(), made.labels.as_ref()),
        ("local", "local", Some(&labels))
    );
    assert!(made.created_at.len() == "2026-11-20T21:35:54Z".len() && made.created_at.ends_with('Z'));
    assert_eq!(data.metadata().unwrap().mode() & 0o7777, 0o755);
    assert_eq!(data.parent().unwrap().metadata().unwrap().mode() & 0o7777, 0o701);
    assert_eq!(scene.volumes.get("data").unwrap(), made);
    assert_eq!(scene.volumes.create(named("data")).unwrap(), made);
    std::fs::write(data.join("file"), "12345").unwrap();
    assert_eq!(scene.volumes.size("data"), 5);
    scene.volumes.remove("data", false).unwrap();
    assert!(!data.parent().unwrap().exists());
    let error = scene.volumes.get("data").unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (Kind::NotFound, "get data: no such volume"));
    assert_eq!(scene.volumes.remove("data", false).unwrap_err().kind(), Kind::NotFound);
    scene.volumes.remove("data", true).unwrap();
    assert_eq!(scene.actions(), ["create data", "destroy data"]);
}

#[test]
fn what_cannot_be_made_is_refused() {
    let scene = Scene::new();
    let refused = |options: VolumeCreateOptions| scene.volumes.create(options).unwrap_err();
    for name in ["../x", "/abs", "a/b", "x"] {
        assert_eq!(refused(named(name)).kind(), Kind::InvalidParameter, "{name}");
    }
    let driver = refused(VolumeCreateOptions { driver: "other".into(), ..named("data") });
    assert_eq!(driver.kind(), Kind::NotFound);
    for (options, text) in [
        (map(&[("nope", "1")]), "create data: invalid option: \"nope\""),
        (map(&[("type", "tmpfs")]), "create data: missing device in volume options"),
        (map(&[("device", "/x")]), "create data: missing type in volume options"),
    ] {
        let error = refused(VolumeCreateOptions { driver_opts: options, ..named("data") });
        assert_eq!((error.kind(), error.to_string().as_str()), (Kind::InvalidParameter, text));
    }
    scene.volumes.create(named("data")).unwrap();
    let tmpfs = map(&[("type", "tmpfs"), ("device", "tmpfs")]);
    let error = refused(VolumeCreateOptions { driver_opts: tmpfs, ..named("data") });
    assert_eq!(error.kind(), Kind::Conflict);
}

#[test]
fn volumes_in_use_stay() {
    let scene = Scene::new();
    scene.volumes.create(named("data")).unwrap();
    let mount = scene.volumes.acquire("data", "c1").unwrap();
    assert_eq!(mount, VolumeMount::Bind { source: scene.volumes.mountpoint("data").unwrap() });
    scene.volumes.acquire("data", "c2").unwrap();
    for force in [false, true] {
        let error = scene.volumes.remove("data", force).unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict);
        assert_eq!(error.to_string(), "remove data: volume is in use - [c1, c2]");
    }
    assert!(scene.names(&[("dangling", "true")]).is_empty());
    scene.volumes.release("data", "c1");
    scene.volumes.release("data", "c2");
    assert_eq!(scene.names(&[("dangling", "1")]), ["data"]);
    scene.volumes.remove("data", false).unwrap();
    assert_eq!(scene.volumes.acquire("data", "c1").unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn filters_and_pruning() {
    let mut scene = Scene::new();
    let labelled =
        |name: &str, pairs: &[(&str, &str)]| VolumeCreateOptions { labels: map(pairs), ..named(name) };
    scene.volumes.create(labelled("alpha", &[("k", "v"), ("x", "")])).unwrap();
    scene.volumes.create(labelled("alphabet", &[("k", "w")])).unwrap();
    let (anonymous, _) = scene.volumes.create_for(VolumeCreateOptions::default(), "c1").unwrap();
    let unused = scene.volumes.create(VolumeCreateOptions::default()).unwrap();
    assert!(hull_types::is_full_id(&anonymous.name));
    assert_eq!(anonymous.labels, Some(map(&[(ANONYMOUS_LABEL, "")])));
    assert_eq!(scene.names(&[("name", "alpha")]), ["alpha", "alphabet"]);
    assert_eq!(scene.names(&[("name", "^alpha$")]), ["alpha"]);
    assert_eq!(scene.names(&[("label", "k")]), ["alpha", "alphabet"]);
    assert_eq!(scene.names(&[("label", "k=v"), ("label", "x")]), ["alpha"]);
    assert_eq!(scene.names(&[("dangling", "false")]), std::slice::from_ref(&anonymous.name));
    assert!(scene.names(&[("driver", "other")]).is_empty());
    let error = scene.volumes.list(&filter(&[("nope", "1")])).unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (Kind::InvalidParameter, "invalid filter 'nope'"));
    std::fs::write(Path::new(&unused.mountpoint).join("f"), "123").unwrap();
    scene.actions();
    let pruned = scene.volumes.prune(&Filters::new()).unwrap();
    assert_eq!((pruned.volumes_deleted.unwrap(), pruned.space_reclaimed), (vec![unused.name.clone()], 3));
    assert_eq!(scene.actions(), [format!("destroy {}", unused.name), "prune ".into()]);
    let pruned = scene.volumes.prune(&filter(&[("all", "true"), ("label!", "k=v")])).unwrap();
    assert_eq!(pruned.volumes_deleted.unwrap(), ["alphabet"]);
    assert_eq!(scene.names(&[]).len(), 2);
}

#[test]
fn options_say_what_to_mount() {
    let scene = Scene::new();
    let mount = |name: &str, pairs: &[(&str, &str)]| {
        scene.volumes.create(VolumeCreateOptions { driver_opts: map(pairs), ..named(name) }).unwrap();
        let VolumeMount::Mount { fstype, device, options } = scene.volumes.acquire(name, "c").unwrap() else {
            panic!("{name} is bound");
        };
        format!("{fstype} {device} {}", options.join("+"))
    };
    assert_eq!(
        mount("memory", &[("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m,uid=5")]),
        "tmpfs tmpfs size=1m+uid=5"
    );
    assert_eq!(mount("bound", &[("type", "none"), ("device", "/srv"), ("o", "bind")]), "none /srv bind");
    assert_eq!(
        mount("net", &[("type", "nfs"), ("device", ":/x"), ("o", "addr=1.2.3.4,rw")]),
        "nfs 1.2.3.4:/x addr=1.2.3.4+rw"
    );
}

#[test]
fn an_images_files_are_copied_into_an_empty_volume_only() {
    let scene = Scene::new();
    let image = scene.directory.path().join("image");
    std::fs::create_dir_all(image.join("srv/data/sub")).unwrap();
    std::fs::write(image.join("srv/data/file"), "from the image").unwrap();
    std::fs::hard_link(image.join("srv/data/file"), image.join("srv/data/sub/hard")).unwrap();
    symlink("/etc/passwd", image.join("srv/data/link")).unwrap();
    symlink("/srv/data", image.join("alias")).unwrap();
    symlink(scene.directory.path(), image.join("out")).unwrap();
    std::fs::set_permissions(image.join("srv/data"), std::fs::Permissions::from_mode(0o2770)).unwrap();
    chown(image.join("srv/data"), Some(33), Some(44)).unwrap();
    std::fs::set_permissions(image.join("srv/data"), std::fs::Permissions::from_mode(0o2770)).unwrap();
    let rootfs = File::open(&image).unwrap();
    let copied = |name: &str, path: &str| {
        scene.volumes.create(named(name)).unwrap();
        scene.volumes.copy_up(name, rootfs.as_fd(), Path::new(path)).unwrap();
        scene.volumes.mountpoint(name).unwrap()
    };
    for (name, path) in [("direct", "/srv/data"), ("linked", "/alias")] {
        let data = copied(name, path);
        let root = data.metadata().unwrap();
        assert_eq!((root.mode() & 0o7777, root.uid(), root.gid()), (0o2770, 33, 44));
        assert_eq!(std::fs::read_to_string(data.join("file")).unwrap(), "from the image");
        let (a, b) = (data.join("file").metadata().unwrap(), data.join("sub/hard").metadata().unwrap());
        assert_eq!(a.ino(), b.ino());
        assert_eq!(data.join("link").read_link().unwrap(), Path::new("/etc/passwd"));
    }
    for (name, path) in [("none", "/nothing/here"), ("outside", "/out")] {
        assert_eq!(std::fs::read_dir(copied(name, path)).unwrap().count(), 0, "{name}");
    }
    let full = scene.volumes.mountpoint("none").unwrap();
    std::fs::write(full.join("mine"), "").unwrap();
    copied("none", "/srv/data");
    assert_eq!(std::fs::read_dir(full).unwrap().count(), 1);
}
