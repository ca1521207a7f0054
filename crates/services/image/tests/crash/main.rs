//! What the store keeps through a loss of power, a full disk, and a failing one, with each storage driver.
//!
//! A child process does what engines do (load, import, commit, build, tag, remove, pull, prune) under strace. Its record
//! is replayed on a model of a disk that forgets what was not synced ([`disk::Disk`]), and at every point the disk is
//! lost: what is left is opened as a daemon opens it. It must open, show a state that the child was in (no older than
//! the last act that promises to outlive power), hold every image whole, mount it with the files that it had, and after
//! its sweep nothing else.
//!
//! `HULL_CRASH_ALL=1` tries every point in four ways, and every fault, instead of a part of them.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod disk;
#[path = "../registry/mod.rs"]
mod registry;
mod trace;

use disk::{Disk, Unsynced};
use hull_api_types::{Filters, ImageListOptions};
use hull_archive::{Entry, EntryKind, Writer};
use hull_image::{ImportOptions, LoadOptions, Making};
use hull_types::oci::image::{Descriptor, Execution, ImageConfig, LayerIds};
use hull_types::{DiffId, Lower};
use registry::{Engine, Registry};
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the acts are, and whether they outlive power when they return.
const ACTS: [(&str, bool); 10] = [
    ("start", false),
    ("import", true),
    ("commit", true),
    ("build", true),
    ("tag", false),
    ("load", true),
    ("pull", true),
    ("remove", false),
    ("unbuild", false),
    ("prune", false),
];

/// The storage driver of the child, and of who looks at what it leaves.
fn driver() -> String {
    std::env::var("HULL_CRASH_DRIVER").unwrap()
}

/// Files by their paths, each with what is in it; directories with their modes.
type Tree = BTreeMap<PathBuf, Vec<u8>>;

/// What an engine shows: ids and names, and each image's files.
#[derive(serde::Serialize, serde::Deserialize, Default)]
struct State {
    shown: BTreeSet<String>,
    trees: BTreeMap<String, Tree>,
}

fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = Writer::new(Vec::new());
    for (name, text) in files {
        if name.ends_with('/') {
            archive.entry(&Entry::new(*name, EntryKind::Directory, 0o711)).unwrap();
            continue;
        }
        let mut entry = Entry::new(*name, EntryKind::File, 0o644);
        entry.size = text.len() as u64;
        archive.entry(&entry).unwrap();
        archive.contents(text.as_bytes()).unwrap();
    }
    archive.finish().unwrap()
}

/// What an engine shows: ids and names.
fn shown(engine: &Engine) -> BTreeSet<String> {
    let options = ImageListOptions { all: true, ..ImageListOptions::default() };
    let list = engine.images.list(&options).unwrap();
    let mut all = BTreeSet::new();
    for image in list {
        for name in image.repo_tags.iter().chain(&image.repo_digests).filter(|name| !name.contains("<none>"))
        {
            all.insert(format!("{name} is {}", image.id));
        }
        all.insert(image.id);
    }
    all
}

/// What is in an image, as a container would see it.
fn tree(driver: &str, engine: &Engine, id: &str) -> Result<Tree, String> {
    let image = engine.images.resolve(id, None).map_err(|error| error.to_string())?;
    let rootfs = engine.snapshotter.view(image.top.as_ref()).map_err(|error| error.to_string())?;
    let mounted = hull_sys::mount_rootfs(&rootfs, &engine.snapshotter.mounts(&rootfs));
    let mounted = mounted.map_err(|error| format!("cannot be mounted: {error}"))?;
    let root = PathBuf::from(format!("/proc/self/fd/{}", mounted.as_raw_fd()));
    let (mut found, mut open) = (Tree::new(), vec![PathBuf::new()]);
    while let Some(at) = open.pop() {
        for entry in std::fs::read_dir(root.join(&at)).map_err(|error| error.to_string())? {
            let entry = entry.unwrap();
            let (path, kind) = (at.join(entry.file_name()), entry.file_type().unwrap());
            if kind.is_dir() {
                // The model of the disk knows no modes; those that an image has are a file's contents to it.
                let model = driver == "overlay"
                    || ["dev", "etc", "proc", "sys"].iter().any(|own| path.starts_with(own));
                let mode = if model { 0 } else { entry.metadata().unwrap().mode() };
                found.insert(path.clone(), format!("directory {mode:o}").into());
                open.push(path);
            } else if kind.is_file() {
                let contents = std::fs::read(entry.path()).map_err(|error| error.to_string())?;
                found.insert(path, contents);
            }
        }
    }
    Ok(found)
}

/// The ids among what is shown.
fn ids(shown: &BTreeSet<String>) -> impl Iterator<Item = &String> {
    shown.iter().filter(|line| !line.contains(" is "))
}

/// An archive with an image that shares no layer with others, for `load`.
fn archive(directory: &Path) -> Vec<u8> {
    let engine = Engine::open(&directory.join("first"));
    let name = Some("loaded:1".parse().unwrap());
    engine
        .images
        .import(&tar(&[("l/one", "1"), ("l/two", "22")])[..], &ImportOptions { name, ..Default::default() })
        .unwrap();
    let mut archive = Vec::new();
    engine.images.save(&["loaded:1".into()], None).unwrap().write(&mut archive).unwrap();
    archive
}

/// The child: not a test by itself.
#[test]
#[ignore = "run by the others, under strace"]
fn child() {
    let Some(root) = std::env::var_os("HULL_CRASH_ROOT").map(std::path::PathBuf::from) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let _entered = runtime.enter();
    let mut engine = None;
    for (number, (act, _)) in ACTS.iter().enumerate() {
        match one(&runtime, act, &root, &mut engine) {
            Ok(()) => {}
            // With errors injected an act may fail; it must say so, and leave the rest sound.
            Err(error) if std::env::var_os("HULL_CRASH_FAULTS").is_some() => println!("{act}: {error}"),
            Err(error) => panic!("{act}: {error}"),
        }
        let state = engine.as_ref().map(|engine| {
            let shown = shown(engine);
            let faults = std::env::var_os("HULL_CRASH_FAULTS").is_some();
            let trees =
                ids(&shown).filter(|_| !faults).map(|id| (id.clone(), tree(&driver(), engine, id).unwrap()));
            State { trees: trees.collect(), shown }
        });
        let state = state.unwrap_or_default();
        std::fs::write(root.join(format!("state-{number}")), serde_json::to_vec(&state).unwrap()).unwrap();
        std::fs::create_dir(root.join(format!("mark-{number}"))).unwrap();
    }
}

/// The lowest layer, and one further up.
const BASE: &[(&str, &str)] = &[("a", "text of a"), ("d/", ""), ("d/b", "text of b")];

fn image(making: &Making, layers: Vec<Descriptor>, name: &str) -> hull_image::Result<()> {
    let diff_ids = layers.iter().map(|layer| DiffId(layer.digest.clone())).collect();
    let config = ImageConfig {
        os: "linux".into(),
        config: Execution { env: vec!["A=1".into()], ..Execution::default() },
        rootfs: LayerIds { diff_ids, ..LayerIds::default() },
        ..ImageConfig::default()
    };
    making.image(&config, layers, Some(&name.parse().unwrap())).map(drop)
}

fn one(
    runtime: &tokio::runtime::Runtime,
    act: &str,
    root: &Path,
    held: &mut Option<Engine>,
) -> Result<(), String> {
    if act == "start" {
        *held = Some(Engine::open_on(&driver(), &root.join("data")));
        return Ok(());
    }
    let engine = held.as_ref().unwrap();
    let text = |error: hull_image::ImageError| error.to_string();
    match act {
        "import" => {
            let name = Some("base:1".parse().unwrap());
            let layer = tar(BASE);
            engine
                .images
                .import(&layer[..], &ImportOptions { name, ..Default::default() })
                .map(drop)
                .map_err(text)
        }
        "commit" => {
            let making = engine.images.make();
            let upper = tar(&[("a", "another"), ("c", "new")]);
            let layer = making
                .layer(|to| {
                    to.write_all(&upper).map_err(|error| hull_image::ImageError::Load(error.to_string()))
                })
                .map_err(text)?;
            let mut layers = making.layers_of("base:1").map_err(text)?;
            layers.push(layer);
            image(&making, layers, "made:1").map_err(text)
        }
        // Two steps: one with a directory that only what is beneath tells of, one with a layer that is there already.
        "build" => {
            let making = engine.images.make();
            let mut layers = making.layers_of("base:1").map_err(text)?;
            let mut top = engine.images.resolve("base:1", None).map_err(text)?.top;
            for step in [&[("d/c", "text of c")][..], BASE] {
                let added = making.add(top.as_ref(), &mut &tar(step)[..]).map_err(text)?;
                layers.push(making.kept(&added.chain, &added.diff_id).map_err(text)?);
                top = Some(added.chain);
            }
            image(&making, layers, "built:1").map_err(text)
        }
        "tag" => engine.images.tag("base:1", "other", "2").map_err(text),
        "load" => {
            let archive = std::fs::read(root.join("archive.tar")).unwrap();
            let (sender, mut messages) = tokio::sync::mpsc::channel(64);
            runtime.spawn(async move { while messages.recv().await.is_some() {} });
            let done = std::thread::scope(|scope| {
                scope
                    .spawn(|| engine.images.load(&archive[..], &LoadOptions::default(), &sender))
                    .join()
                    .unwrap()
            });
            done.map_err(text)
        }
        "pull" => {
            let name = std::env::var("HULL_CRASH_PULL").unwrap();
            runtime.block_on(engine.pull(&name)).0.map(drop).map_err(text)
        }
        "remove" => engine.images.remove("made:1", false, false).map(drop).map_err(text),
        "unbuild" => engine.images.remove("built:1", false, false).map(drop).map_err(text),
        _ => {
            let filters: Filters = serde_json::from_str(r#"{"dangling":["false"]}"#).unwrap();
            engine.images.prune(&filters).map(drop).map_err(text)
        }
    }
}

struct Scene {
    driver: &'static str,
    directory: tempfile::TempDir,
    registry: Registry,
}

impl Scene {
    fn new(driver: &'static str) -> Self {
        // The kernel mounts no images of a file system in memory.
        let memory = driver == "overlay" && Path::new("/dev/shm").is_dir();
        let directory = tempfile::tempdir_in(if memory { "/dev/shm" } else { "/var/tmp" }).unwrap();
        let registry = Registry::start(false);
        let archived = archive(directory.path());
        std::fs::write(directory.path().join("pushed.tar"), &archived).unwrap();
        let output = Command::new("skopeo")
            .args(["copy", "--quiet", "--dest-tls-verify=false"])
            .arg(format!("oci-archive:{}", directory.path().join("pushed.tar").display()))
            .arg(format!("docker://{}/pulled:1", registry.address))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // Loaded is another image than the one pulled.
        let engine = Engine::open(&directory.path().join("second"));
        let name = Some("loaded:1".parse().unwrap());
        engine
            .images
            .import(&tar(&[("own", "file")])[..], &ImportOptions { name, ..Default::default() })
            .unwrap();
        let mut loaded = Vec::new();
        engine.images.save(&["loaded:1".into()], None).unwrap().write(&mut loaded).unwrap();
        std::fs::write(directory.path().join("archive.tar"), loaded).unwrap();
        Self { driver, directory, registry }
    }

    /// Runs the child in a folder of its own, under strace with these options.
    fn child(&self, name: &str, options: &[&str]) -> (std::path::PathBuf, std::process::Output) {
        let root = self.directory.path().join(name);
        std::fs::create_dir(&root).unwrap();
        std::fs::copy(self.directory.path().join("archive.tar"), root.join("archive.tar")).unwrap();
        let output = Command::new("strace")
            .args(options)
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--ignored", "--nocapture"])
            .env("HULL_CRASH_ROOT", &root)
            .env("HULL_CRASH_DRIVER", self.driver)
            .env("HULL_CRASH_PULL", self.registry.name("pulled:1"))
            .output()
            .unwrap();
        (root, output)
    }
}

/// Whether a state is one of those between two neighbours, acts being several commits.
fn between(state: &BTreeSet<String>, before: &BTreeSet<String>, after: &BTreeSet<String>) -> bool {
    (state.is_superset(before) && state.is_subset(after))
        || (state.is_superset(after) && state.is_subset(before))
}

#[test]
fn a_loss_of_power_at_any_point_loses_nothing_that_was_promised_with_overlay() {
    loss_of_power("overlay");
}

#[test]
fn a_loss_of_power_at_any_point_loses_nothing_that_was_promised_with_erofs() {
    loss_of_power("erofs");
}

fn loss_of_power(driver: &'static str) {
    let scene = Scene::new(driver);
    let record = scene.directory.path().join("record");
    let calls = "trace=open,openat,openat2,creat,close,dup,dup2,dup3,fcntl,write,pwrite64,writev,pwritev,copy_file_range,sendfile,splice,lseek,ftruncate,fallocate,fsync,fdatasync,syncfs,mkdir,mkdirat,mknodat,symlink,symlinkat,unlink,rmdir,unlinkat,rename,renameat,renameat2,linkat";
    let (root, output) = scene.child(
        "run",
        &["-f", "-xx", "-s", "100000000", "-e", calls, "-e", "signal=none", "-o", record.to_str().unwrap()],
    );
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (mut states, mut trees) = (Vec::new(), BTreeMap::new());
    for act in 0..ACTS.len() {
        let state = std::fs::read(root.join(format!("state-{act}"))).unwrap();
        let state: State = serde_json::from_slice(&state).unwrap();
        trees.extend(state.trees);
        states.push(state.shown);
    }
    assert!(states[6].len() >= 10 && trees.len() == 5, "{states:#?}");
    let calls = trace::parse(&std::fs::read_to_string(record).unwrap());
    let thorough = std::env::var_os("HULL_CRASH_ALL").is_some();

    let mut disk = Disk::new(&root.join("data"));
    let (mut act, mut points) = (0, 0_usize);
    for call in calls {
        if call.name.starts_with("mkdir") && call.arguments.iter().any(|a| a.starts_with('"')) {
            let at = if call.name == "mkdir" { 0 } else { 1 };
            if Path::new(&call.text(at)).file_name().is_some_and(|n| n.to_string_lossy().starts_with("mark-"))
            {
                act += 1;
                continue;
            }
        }
        if !disk.apply(&call) || act >= ACTS.len() {
            continue;
        }
        // Between two of these only contents change that nothing refers to yet.
        let matters = matches!(
            call.name.as_str(),
            "fsync"
                | "fdatasync"
                | "syncfs"
                | "rename"
                | "renameat"
                | "renameat2"
                | "linkat"
                | "unlink"
                | "unlinkat"
                | "mkdir"
                | "mkdirat"
                | "pwrite64"
        );
        if !matters {
            continue;
        }
        points += 1;
        let ways = [
            Unsynced::Dropped,
            Unsynced::Kept,
            Unsynced::Mixed(points as u64),
            Unsynced::Mixed(!points as u64),
        ];
        let promised = (0..act).rev().find(|done| ACTS[*done].1).unwrap_or(0);
        for (number, way) in ways.into_iter().enumerate() {
            if !thorough && (points + number) % 4 != 0 {
                continue;
            }
            let lost = scene.directory.path().join("lost");
            disk.crash(way, &lost);
            let what = format!(
                "{way:?} at point {points}, in {}, after {} = {}",
                ACTS[act].0, call.name, call.result
            );
            let allowed = (promised, act);
            look(driver, &lost, &states, allowed, &trees, &what);
            std::fs::remove_dir_all(&lost).unwrap();
        }
    }
    println!("{points} points");
    assert!(points > 100, "only {points} points: was the record read?");
}

/// Opens what is left and checks it.
fn look(
    driver: &str,
    lost: &Path,
    states: &[BTreeSet<String>],
    (promised, act): (usize, usize),
    trees: &BTreeMap<String, Tree>,
    what: &str,
) {
    // What other tools read is whole before anyone mends it.
    if let Ok(index) = std::fs::read(lost.join("content/index.json")) {
        serde_json::from_slice::<serde_json::Value>(&index)
            .unwrap_or_else(|error| panic!("{what}: index.json: {error}"));
    }
    let engine = Engine::open_on(driver, lost);
    let now = shown(&engine);
    let allowed = (promised.max(1)..=act).any(|at| between(&now, &states[at - 1], &states[at]))
        || now == states[promised];
    assert!(allowed, "{what}: shows {now:#?}, which is no state from {} on", ACTS[promised].0);
    for id in ids(&now) {
        let found = tree(driver, &engine, id).unwrap_or_else(|error| panic!("{what}: {id}: {error}"));
        let other: Vec<_> = found.iter().filter(|(path, file)| trees[id].get(*path) != Some(*file)).collect();
        let less = trees[id].len() - found.len();
        assert!(other.is_empty() && less == 0, "{what}: {id} has {other:?}, and {less} files less");
    }
    whole(driver, engine, lost, what);
}

/// Checks that all images can be saved, that nothing else is there, and ends the engine.
fn whole(driver: &str, engine: Engine, root: &Path, what: &str) {
    let (mut blobs, mut chains, mut places) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for id in ids(&shown(&engine)) {
        // Every document and layer can be read and is what its digest says.
        engine
            .images
            .save(std::slice::from_ref(id), None)
            .and_then(|saving| saving.write(&mut std::io::sink()))
            .unwrap_or_else(|error| panic!("{what}: {id}: {error}"));
        blobs.extend(engine.images.blobs_of(id).unwrap());
        let rootfs = engine.snapshotter.view(engine.images.resolve(id, None).unwrap().top.as_ref());
        for lower in rootfs.unwrap_or_else(|error| panic!("{what}: {id}: {error}")).lowers {
            let data = match &lower {
                Lower::Erofs { data, .. } => &data[0],
                Lower::Directory(path) => path,
            };
            places.insert(data.parent().unwrap().to_owned());
        }
    }
    // A layer stands on others: all up to the lowest.
    for id in ids(&shown(&engine)) {
        let diff_ids = engine.images.resolve(id, None).unwrap().config.rootfs.diff_ids;
        let mut below = None;
        for diff_id in &diff_ids {
            below = Some(hull_snapshot::chain_of(below.as_ref(), diff_id));
            chains.extend(below.clone());
        }
    }
    let there: BTreeSet<_> = engine.content.list().unwrap().into_iter().collect();
    assert_eq!(there, blobs, "{what}: blobs");
    let there: BTreeSet<_> = engine.snapshotter.layers().into_iter().collect();
    assert_eq!(there, chains, "{what}: layers");
    // It ends when all is removed that it removes in the background.
    drop(engine);
    places.extend(chains.iter().map(|chain| root.join(driver).join("chains/sha256").join(chain.0.hex())));
    places.insert(root.join(driver).join("skeleton"));
    let mut open = vec![root.join(driver)];
    while let Some(at) = open.pop() {
        if places.contains(&at) {
            continue;
        }
        for entry in std::fs::read_dir(&at).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap().is_dir() {
                true => open.push(entry.path()),
                false => panic!("{what}: {} is left", entry.path().display()),
            }
        }
    }
}

/// The n-th call fails: the act says so or does without, nothing breaks, and what is there later is whole.
#[test]
fn a_full_or_failing_disk_breaks_nothing_with_overlay() {
    failing_disk("overlay");
}

#[test]
fn a_full_or_failing_disk_breaks_nothing_with_erofs() {
    failing_disk("erofs");
}

/// The files that the child writes by `write`, which it also uses for much that is no file of the store.
fn written(data: &Path, driver: &str) -> Vec<String> {
    let mut all = Vec::new();
    for number in 0..40 {
        all.push(data.join(format!("content/ingest/{number}")));
        for file in ["layer.erofs", "fs/a", "fs/c", "fs/d/b", "fs/own", "fs/l/one"] {
            all.push(data.join(format!("{driver}/tmp/{number}/{file}")));
        }
    }
    all.iter().flat_map(|path| ["-P".to_owned(), path.display().to_string()]).collect()
}

fn failing_disk(driver: &'static str) {
    let scene = Scene::new(driver);
    let thorough = std::env::var_os("HULL_CRASH_ALL").is_some();
    let mut faults = Vec::new();
    for (calls, error, most, every) in [
        ("fsync,fdatasync,syncfs", "EIO", 45, 5),
        ("pwrite64", "ENOSPC", 45, 9),
        ("pwrite64", "EIO", 45, 11),
        ("write", "ENOSPC", 30, 5),
        ("rename,renameat,renameat2,linkat", "ENOSPC", 60, 7),
        ("mkdir", "ENOSPC", 40, 11),
        ("unlink,unlinkat", "EIO", 45, 9),
    ] {
        let step = if thorough { 1 } else { every };
        faults.extend((1..=most).step_by(step).map(|number| (calls, error, number + 2)));
    }
    for (calls, error, number) in faults {
        let name = format!("{}-{error}-{number}", calls.split(',').next().unwrap());
        let inject = format!("inject={calls}:error={error}:when={number}");
        let mut options: Vec<String> =
            ["-f", "-qq", "-e", "trace=none", "-e", "signal=none"].map(Into::into).to_vec();
        if calls == "write" {
            options[3] = "trace=write".into();
            options.extend(written(&scene.directory.path().join(&name).join("data"), driver));
            options.extend(["-o".into(), "/dev/null".into()]);
        }
        options.extend(["-e".into(), inject, "-E".into(), "HULL_CRASH_FAULTS=1".into()]);
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let (root, output) = scene.child(&name, &options);
        let text = format!(
            "{name}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        // A start may fail as a whole; afterwards nothing may panic.
        if !root.join("mark-0").exists() {
            continue;
        }
        assert!(output.status.success(), "{text}");
        let last = std::fs::read(root.join(format!("state-{}", ACTS.len() - 1))).unwrap();
        let last: State = serde_json::from_slice(&last).unwrap();
        let engine = Engine::open_on(driver, &root.join("data"));
        assert_eq!(shown(&engine), last.shown, "{text}");
        for id in ids(&last.shown) {
            tree(driver, &engine, id).unwrap_or_else(|error| panic!("{text}{id}: {error}"));
        }
        whole(driver, engine, &root.join("data"), &text);
        std::fs::remove_dir_all(root).unwrap();
    }
}
