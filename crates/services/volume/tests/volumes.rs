//! The local driver on real directories, as root.
#![allow(clippy::unwrap_used)]

use hull_api_types::{Filters, Map, VolumeCreateOptions};
use hull_errors::{HasKind, Kind};
use hull_events::{EventBus, Subscription};
use hull_store::Store;
use hull_sys::quota;
use hull_volume::{ANONYMOUS_LABEL, Volumes};
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;

struct Scene {
    directory: tempfile::TempDir,
    store: Store,
    volumes: Volumes,
    events: Subscription,
}

impl Scene {
    fn new() -> Self {
        Self::below(tempfile::tempdir().unwrap())
    }
    fn below(directory: tempfile::TempDir) -> Self {
        let store = Store::open(&directory.path().join("hull.db")).unwrap();
        let bus = EventBus::new();
        let events = bus.subscribe();
        let volumes = Volumes::open(&directory.path().join("volumes"), store.clone(), bus).unwrap();
        Self { directory, store, volumes, events }
    }
    /// The same volumes as another daemon finds them.
    fn reopened(&self) -> Volumes {
        Volumes::open(&self.directory.path().join("volumes"), self.store.clone(), EventBus::new()).unwrap()
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
        (map(&[("type", "tmpfs")]), "create data: missing required option: \"device\""),
        (map(&[("device", "/x")]), "create data: missing required option: \"type\""),
        (map(&[("size", "huge")]), "create data: invalid size: 'huge'"),
        (
            map(&[("size", "1m"), ("type", "tmpfs"), ("device", "tmpfs")]),
            "create data: size is of a volume without a device; of a tmpfs it is a word of o: o=size=…",
        ),
    ] {
        let error = refused(VolumeCreateOptions { driver_opts: options, ..named("data") });
        assert_eq!((error.kind(), error.to_string().as_str()), (Kind::InvalidParameter, text));
    }
    let made = scene.volumes.create(named("data")).unwrap();
    let tmpfs = with_options("data", &[("type", "tmpfs"), ("device", "tmpfs")]);
    assert_eq!(scene.volumes.create(tmpfs).unwrap(), made, "one that is there stays as it is");
}

#[test]
fn volumes_in_use_stay() {
    let scene = Scene::new();
    scene.volumes.create(named("data")).unwrap();
    scene.volumes.acquire("data", "c1").unwrap();
    assert_eq!(scene.volumes.mount("data", "c1").unwrap(), scene.volumes.mountpoint("data").unwrap());
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
    let anonymous = scene.volumes.create_for(VolumeCreateOptions::default(), "c1").unwrap();
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

/// Runs a test whose mounts nobody else sees.
fn alone(test: impl FnOnce(Scene) + Send) {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            hull_sys::namespace::unshare(hull_sys::namespace::MOUNT).unwrap();
            hull_sys::mount::set_root_propagation(hull_sys::mount::Propagation::Private, true).unwrap();
            test(Scene::new());
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

fn with_options(name: &str, pairs: &[(&str, &str)]) -> VolumeCreateOptions {
    VolumeCreateOptions { driver_opts: map(pairs), ..named(name) }
}

fn is_mounted(path: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    mounts.lines().any(|line| line.split(' ').nth(4) == path.to_str())
}

#[test]
fn a_file_system_of_its_own_is_mounted_while_somebody_runs() {
    alone(|scene| {
        let volumes = &scene.volumes;
        volumes
            .create(with_options(
                "memory",
                &[("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m,noexec")],
            ))
            .unwrap();
        let data = volumes.mount("memory", "c1").unwrap();
        assert!(is_mounted(&data));
        std::fs::write(data.join("shared"), "by all").unwrap();
        assert_eq!(volumes.mount("memory", "c2").unwrap(), data);
        volumes.unmount("memory", "c1");
        assert_eq!(std::fs::read_to_string(data.join("shared")).unwrap(), "by all");
        volumes.sweep().unwrap();
        assert!(is_mounted(&data));
        volumes.unmount("memory", "c2");
        assert!(!is_mounted(&data));
        // Another daemon finds it mounted, and its container ended.
        volumes.mount("memory", "c3").unwrap();
        let next = scene.reopened();
        next.sweep().unwrap();
        assert!(!is_mounted(&data));
        // Of a bound directory nothing is removed with the volume, mounted or not.
        let precious = scene.directory.path().join("precious");
        std::fs::create_dir(&precious).unwrap();
        std::fs::write(precious.join("file"), "mine").unwrap();
        next.create(with_options(
            "bound",
            &[("type", "none"), ("device", precious.to_str().unwrap()), ("o", "bind,ro")],
        ))
        .unwrap();
        let data = next.mount("bound", "c").unwrap();
        assert!(std::fs::write(data.join("new"), "").is_err(), "read-only");
        next.remove("bound", false).unwrap();
        assert!(!data.exists());
        assert_eq!(std::fs::read_to_string(precious.join("file")).unwrap(), "mine");
    });
}

#[test]
fn what_cannot_be_mounted_is_told_in_dockers_words() {
    alone(|scene| {
        let failure = |name: &str, pairs: &[(&str, &str)]| {
            scene.volumes.create(with_options(name, pairs)).unwrap();
            let data = scene.volumes.mountpoint(name).unwrap();
            let text = scene.volumes.mount(name, "c").unwrap_err().to_string();
            text.replace(data.to_str().unwrap(), "DATA")
        };
        assert_eq!(
            failure("gone", &[("type", "none"), ("device", "/does/not/exist"), ("o", "bind")]),
            "error while mounting volume 'DATA': failed to mount local volume: mount /does/not/exist:DATA, flags: \
             0x1000: no such file or directory"
        );
        assert_eq!(
            failure("odd", &[("type", "nosuchfs"), ("device", "x"), ("o", "ro,password=secret")]),
            "error while mounting volume 'DATA': failed to mount local volume: mount x:DATA, flags: 0x1, data: \
             password=********: no such device"
        );
        assert!(
            failure("net", &[("type", "nfs"), ("device", ":/x"), ("o", "addr=no.such.host.invalid,rw")])
                .contains("error resolving passed in network volume address: lookup no.such.host.invalid")
        );
    });
}

#[test]
fn volumes_travel_as_tars() {
    let scene = Scene::new();
    let volumes = &scene.volumes;
    let data = Path::new(&volumes.create(named("from")).unwrap().mountpoint).to_owned();
    std::fs::create_dir(data.join("sub")).unwrap();
    std::fs::write(data.join("sub/file"), "content").unwrap();
    std::fs::hard_link(data.join("sub/file"), data.join("hard")).unwrap();
    symlink("/etc/passwd", data.join("link")).unwrap();
    chown(&data, Some(33), Some(44)).unwrap();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o2750)).unwrap();
    let mut tar = Vec::new();
    volumes.export("from").unwrap().write(&mut tar).unwrap();
    let same = |data: &Path| {
        let root = data.metadata().unwrap();
        assert_eq!((root.mode() & 0o7777, root.uid(), root.gid()), (0o2750, 33, 44));
        assert_eq!(std::fs::read_to_string(data.join("sub/file")).unwrap(), "content");
        assert_eq!(data.join("hard").metadata().unwrap().nlink(), 2);
        assert_eq!(data.join("link").read_link().unwrap(), Path::new("/etc/passwd"));
    };
    same(Path::new(&volumes.import("to", &tar[..]).unwrap().mountpoint));
    same(Path::new(&volumes.copy("from", "twin").unwrap().mountpoint));
    same(Path::new(&volumes.rename("twin", "other").unwrap().mountpoint));
    assert_eq!(scene.names(&[]), ["from", "other", "to"]);
    assert_eq!(volumes.copy("from", "to").unwrap_err().kind(), Kind::Conflict);
    assert_eq!(volumes.rename("from", "to").unwrap_err().kind(), Kind::Conflict);
    assert_eq!(volumes.rename("from", "../x").unwrap_err().kind(), Kind::InvalidParameter);
    assert_eq!(volumes.export("none").unwrap_err().kind(), Kind::NotFound);
    volumes.acquire("from", "c1").unwrap();
    let error = volumes.rename("from", "new").unwrap_err();
    assert_eq!(error.to_string(), "rename from: volume is in use - [c1]");
    // A tar that is none makes no volume.
    assert!(volumes.import("rubbish", &[7u8; 2000][..]).is_err());
    assert_eq!(volumes.get("rubbish").unwrap_err().kind(), Kind::NotFound);
}

/// A file system in memory is what it is for the containers that run; of a device's the engine mounts it.
#[test]
fn what_is_mounted_travels_too() {
    alone(|scene| {
        let volumes = &scene.volumes;
        let memory = [("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m")];
        volumes.create(with_options("memory", &memory)).unwrap();
        let empty = "volume memory is in memory: it has files only while a container runs that has it";
        assert_eq!(volumes.export("memory").unwrap_err().to_string(), empty);
        assert_eq!(volumes.copy("memory", "kept").unwrap_err().to_string(), empty);
        assert_eq!(volumes.import("memory", &tar_of(&[], Path::new(""))[..]).unwrap_err().to_string(), empty);
        assert_eq!(scene.names(&[("dangling", "false")]), [""; 0], "nothing goes on using it");
        let data = volumes.mount("memory", "c1").unwrap();
        std::fs::write(data.join("file"), "in memory").unwrap();
        let export = volumes.export("memory").unwrap();
        // The container's end does not take away what is being read; nor does anybody else.
        volumes.unmount("memory", "c1");
        assert_eq!(volumes.remove("memory", true).unwrap_err().kind(), Kind::Conflict);
        assert_eq!(volumes.rename("memory", "other").unwrap_err().kind(), Kind::Conflict);
        let mut tar = Vec::new();
        export.write(&mut tar).unwrap();
        assert!(is_mounted(&data));
        drop(export);
        assert!(!is_mounted(&data));
        let data = volumes.mount("memory", "c2").unwrap();
        volumes.import("memory", &tar[..]).unwrap();
        assert_eq!(std::fs::read_to_string(data.join("file")).unwrap(), "in memory");
        let kept = volumes.copy("memory", "kept").unwrap();
        assert_eq!((kept.options, is_mounted(Path::new(&kept.mountpoint))), (None, false));
        assert_eq!(std::fs::read_to_string(Path::new(&kept.mountpoint).join("file")).unwrap(), "in memory");
        volumes.unmount("memory", "c2");
        volumes.rename("memory", "other").unwrap();
        // A directory of the host's, that no container has.
        let precious = scene.directory.path().join("precious");
        std::fs::create_dir(&precious).unwrap();
        let bound = [("type", "none"), ("device", precious.to_str().unwrap()), ("o", "bind")];
        let data = volumes.create(with_options("bound", &bound)).unwrap().mountpoint;
        volumes.import("bound", &tar[..]).unwrap();
        assert_eq!(std::fs::read_to_string(precious.join("file")).unwrap(), "in memory");
        assert!(!is_mounted(Path::new(&data)));
        let twin = volumes.copy("bound", "twin").unwrap();
        assert_eq!(std::fs::read_to_string(Path::new(&twin.mountpoint).join("file")).unwrap(), "in memory");
        volumes.rename("bound", "again").unwrap();
        let mut again = Vec::new();
        volumes.export("again").unwrap().write(&mut again).unwrap();
        assert!(again.windows(9).any(|window| window == b"in memory"));
    });
}

/// A volume that an image does not fit into has nothing of it: the next container's would be half of it.
#[test]
fn half_an_images_files_do_not_stay() {
    alone(|scene| {
        let image = scene.directory.path().join("image");
        std::fs::create_dir_all(image.join("a")).unwrap();
        std::fs::write(image.join("a/large"), vec![1; 3 << 20]).unwrap();
        std::fs::write(image.join("small"), "x").unwrap();
        // A device of its own that keeps what is in it: a directory on a small file system.
        let small = scene.directory.path().join("small");
        std::fs::create_dir(&small).unwrap();
        let flags = hull_sys::rustix::mount::MountFlags::empty();
        hull_sys::rustix::mount::mount("none", &small, "tmpfs", flags, Some(c"size=1m")).unwrap();
        let bound = [("type", "none"), ("device", small.to_str().unwrap()), ("o", "bind")];
        scene.volumes.create(with_options("bound", &bound)).unwrap();
        let tree = File::open(&image).unwrap();
        let error = scene.volumes.copy_up("bound", tree.as_fd(), Path::new("/")).unwrap_err();
        assert!(error.to_string().contains("No space left"), "{error}");
        assert_eq!(std::fs::read_dir(&small).unwrap().count(), 0);
    });
}

#[test]
fn a_size_is_refused_where_the_file_system_has_no_quotas() {
    alone(|scene| {
        let volumes = scene.directory.path().join("volumes");
        hull_sys::rustix::mount::mount(
            "none",
            &volumes,
            "tmpfs",
            hull_sys::rustix::mount::MountFlags::empty(),
            None,
        )
        .unwrap();
        let error = scene.volumes.create(with_options("data", &[("size", "10m")])).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (Kind::InvalidParameter, "create data: quota size requested but no quota support")
        );
        assert_eq!(std::fs::read_dir(&volumes).unwrap().count(), 0);
        // No limit is none to keep.
        scene.volumes.create(with_options("data", &[("size", "0")])).unwrap();
    });
}

/// `tests/quota-vm` runs it, on XFS and on ext4.
#[test]
#[ignore = "needs a file system with project quotas in HULL_QUOTA_ROOT: tests/quota-vm"]
fn a_size_holds_for_containers_and_for_the_daemon() {
    let root = std::env::var_os("HULL_QUOTA_ROOT").unwrap();
    let scene = Scene::below(tempfile::tempdir_in(root).unwrap());
    let volumes = &scene.volumes;
    let mega = vec![7u8; 1 << 20];
    let place = |name: &str| volumes.mountpoint(name).unwrap();
    let project = |path: &Path| quota::project(File::open(path).unwrap()).unwrap();
    // As a container writes: a root without CAP_SYS_RESOURCE.
    let write = |directory: &Path, file: &str, megabytes: usize| {
        quota::within_limits(|| {
            let mut file = File::create(directory.join(file))?;
            (0..megabytes).try_for_each(|_| file.write_all(&mega))?;
            file.sync_all()
        })
        .unwrap()
    };
    let is_full = |error: std::io::Error| {
        assert!(
            matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded),
            "{error}"
        );
    };
    let made = volumes.create(with_options("one", &[("size", "4m")])).unwrap();
    assert_eq!(made.options, Some(map(&[("size", "4m")])));
    volumes.create(with_options("two", &[("size", "4m")])).unwrap();
    volumes.create(named("free")).unwrap();
    let (one, two) = (place("one"), place("two"));
    assert!(project(&one) != project(&two) && project(&place("free")) == 0);
    write(&one, "fits", 3).unwrap();
    is_full(write(&one, "more", 3).unwrap_err());
    // Nobody else is harmed.
    write(&two, "fits", 3).unwrap();
    write(&place("free"), "file", 9).unwrap();
    std::fs::remove_file(one.join("more")).unwrap();
    write(&one, "again", 0).unwrap();
    // What the daemon writes counts as well.
    let mut tar = Vec::new();
    volumes.export("free").unwrap().write(&mut tar).unwrap();
    let error = volumes.import("one", &tar[..]).unwrap_err().to_string();
    assert!(error.contains("No space left") || error.contains("quota exceeded"), "{error}");
    let _ = std::fs::remove_file(one.join("file"));
    let image = scene.directory.path().join("image");
    std::fs::create_dir(&image).unwrap();
    std::fs::write(image.join("large"), mega.repeat(6)).unwrap();
    volumes.create(with_options("small", &[("size", "4m")])).unwrap();
    assert!(volumes.copy_up("small", File::open(&image).unwrap().as_fd(), Path::new("/")).is_err());
    assert_eq!(std::fs::read_dir(place("small")).unwrap().count(), 0, "nothing of what did not fit stays");
    // A clone has the limit, and a project of its own; a name changes neither.
    let twin = place(&volumes.copy("two", "twin").unwrap().name);
    assert_eq!(volumes.get("twin").unwrap().options, Some(map(&[("size", "4m")])));
    assert!(twin.join("fits").exists() && project(&twin) != project(&two));
    is_full(write(&twin, "more", 3).unwrap_err());
    let before = project(&two);
    volumes.rename("two", "second").unwrap();
    is_full(write(&place("second"), "more", 3).unwrap_err());
    assert_eq!(project(&place("second")), before);
    // Somebody removed the directory by hand.
    std::fs::remove_dir_all(&one).unwrap();
    let number = scene.reopened().mount("one", "c").map(|data| project(&data)).unwrap();
    is_full(write(&one, "file", 5).unwrap_err());
    // A project is free again once nothing counts for it.
    let open = File::open(one.join("file")).unwrap();
    volumes.remove("one", false).unwrap();
    let account = quota::account(&open, number).unwrap();
    assert!(account.limit == 0 && account.used > 0, "{account:?}");
    volumes.create(with_options("next", &[("size", "4m")])).unwrap();
    assert_ne!(project(&place("next")), number);
    for name in ["next", "small", "twin", "second", "free"] {
        volumes.remove(name, false).unwrap();
    }
}

/// podman followed links out of a volume when it exported one (CVE-2024-9341, CVE-2019-18466 of the same family), and
/// archives have written through links since there are archives.
#[test]
fn cve_2019_18466_no_link_leads_out_of_a_volume() {
    let scene = Scene::new();
    let volumes = &scene.volumes;
    let outside = scene.directory.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret"), "s3cret").unwrap();
    let data = Path::new(&volumes.create(named("from")).unwrap().mountpoint).to_owned();
    symlink(&outside, data.join("out")).unwrap();
    let mut tar = Vec::new();
    volumes.export("from").unwrap().write(&mut tar).unwrap();
    assert!(!tar.windows(6).any(|window| window == b"s3cret"));
    // A member below that link stays inside.
    let mut hostile = Vec::new();
    let mut builder =
        tar_of(&[("out", None), ("out/evil", Some("x")), ("../../../outside/evil", Some("x"))], &outside);
    hostile.append(&mut builder);
    let _ = volumes.import("from", &hostile[..]);
    let _ = volumes.import("fresh", &hostile[..]);
    let left: Vec<_> = std::fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["secret"]);
    // Nor does a volume whose directory was replaced by a link.
    std::fs::remove_dir_all(&data).unwrap();
    symlink(&outside, &data).unwrap();
    assert!(volumes.export("from").is_err());
    volumes.remove("from", false).unwrap();
    assert!(outside.join("secret").exists());
}

/// A tar with links to `target` and files.
fn tar_of(members: &[(&str, Option<&str>)], target: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, content) in members {
        let mut header = [0u8; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        let size = content.map_or(0, str::len);
        header[100..107].copy_from_slice(b"0000644");
        header[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
        header[156] = if content.is_some() { b'0' } else { b'2' };
        if content.is_none() {
            let text = target.to_str().unwrap();
            header[157..157 + text.len()].copy_from_slice(text.as_bytes());
        }
        header[257..265].copy_from_slice(b"ustar\x0000");
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        bytes.extend(header);
        if let Some(content) = content {
            bytes.extend(content.as_bytes());
            bytes.resize(bytes.len().next_multiple_of(512), 0);
        }
    }
    bytes.extend([0; 1024]);
    bytes
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
