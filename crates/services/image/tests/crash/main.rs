//! What the store keeps through a loss of power, a full disk, and a failing one.
//!
//! A child process does what engines do (load, import, commit, tag, remove, pull, prune) under strace. Its record is
//! replayed on a model of a disk that forgets what was not synced ([`disk::Disk`]), and at every point the disk is
//! lost: what is left is opened as a daemon opens it. It must open, show a state that the child was in (no older than
//! the last act that promises to outlive power), hold every image whole, and after its sweep nothing else.
//!
//! `HULL_CRASH_ALL=1` tries every point in four ways instead of a part of them.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod disk;
#[path = "../registry/mod.rs"]
mod registry;
mod trace;

use disk::{Disk, Unsynced};
use hull_api_types::{Filters, ImageListOptions};
use hull_archive::{Entry, EntryKind, Writer};
use hull_image::{ImportOptions, LoadOptions};
use hull_types::DiffId;
use hull_types::oci::image::{Execution, ImageConfig, LayerIds};
use registry::{Engine, Registry};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// What the acts are, and whether they outlive power when they return.
const ACTS: [(&str, bool); 8] = [
    ("start", false),
    ("import", true),
    ("commit", true),
    ("tag", false),
    ("load", true),
    ("pull", true),
    ("remove", false),
    ("prune", false),
];

fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = Writer::new(Vec::new());
    for (name, text) in files {
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

/// An archive with an image that shares no layer with others, for `load`.
fn archive(directory: &Path) -> Vec<u8> {
    let engine = Engine::open(&directory.join("other"));
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
        let state = engine.as_ref().map(shown).unwrap_or_default();
        std::fs::write(root.join(format!("state-{number}")), serde_json::to_vec(&state).unwrap()).unwrap();
        std::fs::create_dir(root.join(format!("mark-{number}"))).unwrap();
    }
}

fn one(
    runtime: &tokio::runtime::Runtime,
    act: &str,
    root: &Path,
    held: &mut Option<Engine>,
) -> Result<(), String> {
    if act == "start" {
        *held = Some(Engine::open(&root.join("data")));
        return Ok(());
    }
    let engine = held.as_ref().unwrap();
    let text = |error: hull_image::ImageError| error.to_string();
    match act {
        "import" => {
            let name = Some("base:1".parse().unwrap());
            let layer = tar(&[("a", "text of a"), ("d/b", "text of b")]);
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
            let diff_ids = layers.iter().map(|layer| DiffId(layer.digest.clone())).collect();
            let config = ImageConfig {
                os: "linux".into(),
                config: Execution { env: vec!["A=1".into()], ..Execution::default() },
                rootfs: LayerIds { diff_ids, ..LayerIds::default() },
                ..ImageConfig::default()
            };
            making.image(&config, layers, Some(&"made:1".parse().unwrap())).map(drop).map_err(text)
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
        _ => {
            let filters: Filters = serde_json::from_str(r#"{"dangling":["false"]}"#).unwrap();
            engine.images.prune(&filters).map(drop).map_err(text)
        }
    }
}

struct Scene {
    directory: tempfile::TempDir,
    registry: Registry,
}

impl Scene {
    fn new() -> Self {
        let memory = if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" };
        let directory = tempfile::tempdir_in(memory).unwrap();
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
        Self { directory, registry }
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
fn a_loss_of_power_at_any_point_loses_nothing_that_was_promised() {
    let scene = Scene::new();
    let record = scene.directory.path().join("record");
    let calls = "trace=open,openat,openat2,creat,close,dup,dup2,dup3,fcntl,write,pwrite64,writev,pwritev,copy_file_range,sendfile,splice,lseek,ftruncate,fallocate,fsync,fdatasync,syncfs,mkdir,mkdirat,mknodat,symlink,symlinkat,unlink,rmdir,unlinkat,rename,renameat,renameat2,linkat";
    let (root, output) = scene.child(
        "run",
        &["-f", "-xx", "-s", "100000000", "-e", calls, "-e", "signal=none", "-o", record.to_str().unwrap()],
    );
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let states: Vec<BTreeSet<String>> = (0..ACTS.len())
        .map(|act| {
            serde_json::from_slice(&std::fs::read(root.join(format!("state-{act}"))).unwrap()).unwrap()
        })
        .collect();
    assert!(states[5].len() >= 8, "{states:#?}");
    let calls = trace::parse(&std::fs::read_to_string(record).unwrap());
    let thorough = std::env::var_os("HULL_CRASH_ALL").is_some();

    let mut disk = Disk::new(&root.join("data"));
    let (mut act, mut layers, mut points) = (0, BTreeMap::new(), 0_usize);
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
        for (chain, _) in
            disk.files("overlay/layers/sha256").keys().filter_map(|path| path[1..].split_once('/'))
        {
            let found = disk.files(&format!("overlay/layers/sha256/{chain}/fs"));
            layers.entry(chain.to_owned()).or_insert(found);
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
            look(&lost, &states, promised, act, &layers, &what);
            std::fs::remove_dir_all(&lost).unwrap();
        }
    }
    println!("{points} points");
    assert!(points > 100, "only {points} points: was the record read?");
}

/// Opens what is left and checks it.
fn look(
    lost: &Path,
    states: &[BTreeSet<String>],
    promised: usize,
    act: usize,
    layers: &BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    what: &str,
) {
    let engine = Engine::open(lost);
    let now = shown(&engine);
    let allowed = (promised.max(1)..=act).any(|at| between(&now, &states[at - 1], &states[at]))
        || now == states[promised];
    assert!(allowed, "{what}: shows {now:#?}, which is no state from {} on", ACTS[promised].0);
    let mut wanted = BTreeSet::new();
    let ids: Vec<&String> = now.iter().filter(|line| !line.contains(" is ")).collect();
    for id in &ids {
        let image = engine.images.resolve(id, None).unwrap();
        // Whole: every document and layer can be read and is what its digest says.
        let mut sink = std::io::sink();
        engine
            .images
            .save(&[(*id).clone()], None)
            .and_then(|saving| saving.write(&mut sink))
            .unwrap_or_else(|error| panic!("{what}: {id}: {error}"));
        let rootfs = engine
            .snapshotter
            .view(image.top.as_ref())
            .unwrap_or_else(|error| panic!("{what}: {id}: {error}"));
        for lower in rootfs.lowers {
            let hull_types::Lower::Directory(path) = lower else { continue };
            let Some(chain) = path.parent().filter(|p| p.join("layer.json").exists()) else { continue };
            let chain = chain.file_name().unwrap().to_str().unwrap().to_owned();
            assert_eq!(&read(&path), &layers[&chain], "{what}: layer {chain}");
            wanted.insert(chain);
        }
    }
    let found: BTreeSet<String> =
        engine.snapshotter.layers().iter().map(|chain| chain.0.hex().to_owned()).collect();
    assert_eq!(found, wanted, "{what}: layers");
    let mut blobs = BTreeSet::new();
    for id in &ids {
        blobs.extend(engine.images.blobs_of(id).unwrap());
    }
    let there: BTreeSet<_> = engine.content.list().unwrap().into_iter().collect();
    assert_eq!(there, blobs, "{what}: blobs");
}

fn read(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![directory.to_owned()];
    while let Some(at) = open.pop() {
        for entry in std::fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => open.push(path),
                false => {
                    let name = format!("/{}", path.strip_prefix(directory).unwrap().display());
                    found.insert(name, std::fs::read(path).unwrap());
                }
            }
        }
    }
    found
}

/// The n-th call fails: the act says so or does without, nothing breaks, and what is there later is whole.
#[test]
fn a_full_or_failing_disk_breaks_nothing() {
    let scene = Scene::new();
    let thorough = std::env::var_os("HULL_CRASH_ALL").is_some();
    let mut faults = Vec::new();
    for (calls, error, every) in [
        ("fsync,fdatasync,syncfs", "EIO", 5),
        ("pwrite64", "ENOSPC", 9),
        ("pwrite64", "EIO", 11),
        ("rename,renameat,renameat2,linkat", "ENOSPC", 5),
        ("unlink,unlinkat", "EIO", 9),
    ] {
        let step = if thorough { 1 } else { every };
        faults.extend((1..=45).step_by(step).map(|number| (calls, error, number + 2)));
    }
    for (calls, error, number) in faults {
        let name = format!("{}-{error}-{number}", calls.split(',').next().unwrap());
        let inject = format!("inject={calls}:error={error}:when={number}");
        let (root, output) = scene.child(
            &name,
            &[
                "-f",
                "-qq",
                "-e",
                "trace=none",
                "-e",
                "signal=none",
                "-e",
                &inject,
                "-E",
                "HULL_CRASH_FAULTS=1",
            ],
        );
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
        let shown_last: BTreeSet<String> =
            serde_json::from_slice(&std::fs::read(root.join(format!("state-{}", ACTS.len() - 1))).unwrap())
                .unwrap();
        let engine = Engine::open(&root.join("data"));
        assert_eq!(shown(&engine), shown_last, "{text}");
        let ids: Vec<&String> = shown_last.iter().filter(|line| !line.contains(" is ")).collect();
        let mut blobs = BTreeSet::new();
        for id in ids {
            engine
                .images
                .save(std::slice::from_ref(id), None)
                .and_then(|s| s.write(std::io::sink()))
                .unwrap_or_else(|error| panic!("{text}{id}: {error}"));
            blobs.extend(engine.images.blobs_of(id).unwrap());
        }
        let there: BTreeSet<_> = engine.content.list().unwrap().into_iter().collect();
        assert_eq!(there, blobs, "{text}");
        drop(engine);
        std::fs::remove_dir_all(root).unwrap();
    }
}
