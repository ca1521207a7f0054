//! Images out and in: saved, loaded, imported.
#![allow(clippy::unwrap_used)]

mod registry;

use hull_api_types::JsonMessage;
use hull_archive::{Entry, EntryKind, Writer};
use hull_errors::{HasKind, Kind};
use hull_image::{ImportOptions, LoadOptions};
use registry::{Engine, layouts};
use serde_json::json;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

fn load(engine: &Engine, archive: &[u8]) -> Result<String, (Kind, String)> {
    load_with(engine, archive, &LoadOptions { quiet: true, ..LoadOptions::default() })
}
fn load_with(engine: &Engine, archive: &[u8], options: &LoadOptions) -> Result<String, (Kind, String)> {
    let (sender, mut receiver) = tokio::sync::mpsc::channel::<JsonMessage>(1000);
    let done = tokio::task::block_in_place(|| engine.images.load(archive, options, &sender));
    drop(sender);
    let mut told = String::new();
    while let Ok(message) = receiver.try_recv() {
        told.push_str(&message.stream);
    }
    done.map(|()| told).map_err(|error| (error.kind(), error.to_string()))
}
fn save(engine: &Engine, names: &[&str]) -> Vec<u8> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut archive = Vec::new();
    engine.images.save(&names, None).unwrap().write(&mut archive).unwrap();
    archive
}

type File<'a> = (&'a str, EntryKind, Vec<u8>);

fn file(name: &str, text: impl Into<Vec<u8>>) -> File<'_> {
    (name, EntryKind::File, text.into())
}
fn tar(files: &[File]) -> Vec<u8> {
    let mut archive = Writer::new(Vec::new());
    for (name, kind, text) in files {
        let mut entry = Entry::new(*name, *kind, 0o644);
        match kind {
            EntryKind::File => entry.size = text.len() as u64,
            _ => entry.link = text.clone(),
        }
        archive.entry(&entry).unwrap();
        if *kind == EntryKind::File {
            archive.contents(text).unwrap();
        }
    }
    archive.finish().unwrap()
}
fn digest(bytes: &[u8]) -> String {
    hull_content::digest_of(bytes).hex().to_owned()
}
/// A layer, a configuration for it, and `manifest.json`, as Docker 20.10 writes them.
fn old_archive(layer: &[u8], tag: &str) -> Vec<(String, EntryKind, Vec<u8>)> {
    let config = json!({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/x"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", digest(layer))]}})
    .to_string();
    let name = format!("{}.json", digest(config.as_bytes()));
    let manifest = json!([{"Config": name, "RepoTags": [tag], "Layers": ["aaaa/layer.tar"]}]).to_string();
    vec![
        ("aaaa/VERSION".into(), EntryKind::File, b"1.0".to_vec()),
        ("aaaa/layer.tar".into(), EntryKind::File, layer.to_vec()),
        (name, EntryKind::File, config.into_bytes()),
        ("manifest.json".into(), EntryKind::File, manifest.into_bytes()),
    ]
}
fn pack(files: &[(String, EntryKind, Vec<u8>)]) -> Vec<u8> {
    let files: Vec<File> =
        files.iter().map(|(name, kind, text)| (name.as_str(), *kind, text.clone())).collect();
    tar(&files)
}

// A blob that was hashed as it came in is not hashed again as a layer: it has to be the layer's tar itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_layer_has_no_diff_id_of_its_own_digest() {
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::open(data.path());
    // More than is kept in memory, and nothing that gets smaller.
    let mut state = 1u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u8
    };
    let noise: Vec<u8> = (0..2 << 20).map(|_| noise()).collect();
    let plain = tar(&[file("x", noise)]);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&plain).unwrap();
    let (kind, text) = load(&engine, &pack(&old_archive(&packed.finish().unwrap(), "wrong:1"))).unwrap_err();
    assert_eq!(kind, Kind::InvalidParameter);
    assert!(text.contains("the image's configuration says"), "{text}");
    assert_eq!((engine.images.count(), engine.snapshotter.layers().len()), (0, 0));
    load(&engine, &pack(&old_archive(&plain, "right:1"))).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_saved_loads_as_the_same_image() {
    let registry = registry::Registry::with(&["busybox"]);
    let (data, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let engine = Engine::open(data.path());
    let name = registry.name("library/busybox:latest");
    let id = engine.must_pull(&name).await;
    engine.images.tag(&name, "copy", "1").unwrap();
    let archive = save(&engine, &[&name, "copy:1"]);

    let second = Engine::open(other.path());
    let told = load(&second, &archive).unwrap();
    assert_eq!(told, format!("Loaded image: {name}\nLoaded image: copy:1\n"));
    for name in [name.as_str(), "copy:1"] {
        assert_eq!(second.images.resolve(name, None).unwrap().id, id);
    }
    assert_eq!(second.snapshotter.layers(), engine.snapshotter.layers());
    // The manifest is the registry's: it could be pushed back as it came.
    let manifest = |engine: &Engine| save(engine, &["copy:1"]);
    assert_eq!(manifest(&engine), manifest(&second));
    // Compressed as a whole, and once more: nothing new.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&archive).unwrap();
    load(&second, &gzip.finish().unwrap()).unwrap();
    load(&second, &zstd::encode_all(&archive[..], 1).unwrap()).unwrap();
    assert_eq!(second.images.count(), 1);
    // Gone means gone.
    second.images.remove(&id.to_string(), true, false).unwrap();
    assert_eq!(second.content.list().unwrap(), []);
    assert_eq!(second.snapshotter.layers().len(), 0);
}

#[test]
fn the_form_of_docker_20_loads_with_links_in_it() {
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::open(data.path());
    let layer = tar(&[file("x", "text")]);
    let mut files = old_archive(&layer, "old:1");
    // A layer that is there twice is a link to the first.
    let config = json!({"architecture": "amd64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", digest(&layer)), format!("sha256:{}", digest(&layer))]}})
    .to_string();
    let name = format!("{}.json", digest(config.as_bytes()));
    let manifest =
        json!([{"Config": name, "RepoTags": ["twice:1"], "Layers": ["aaaa/layer.tar", "bbbb/layer.tar"]}]);
    files.insert(0, ("bbbb/layer.tar".into(), EntryKind::Symlink, b"../aaaa/layer.tar".to_vec()));
    files.push((name, EntryKind::File, config.into_bytes()));
    files.retain(|file| file.0 != "manifest.json");
    files.insert(0, ("manifest.json".into(), EntryKind::File, manifest.to_string().into_bytes()));
    assert_eq!(load(&engine, &pack(&files)).unwrap(), "Loaded image: twice:1\n");
    assert_eq!(engine.images.inspect("twice:1", false).unwrap().root_fs.layers.len(), 2);
    // A name that was another image's moves.
    let layer = tar(&[file("y", "text")]);
    let before = engine.images.resolve("twice:1", None).unwrap().id;
    let told = load(&engine, &pack(&old_archive(&layer, "twice:1"))).unwrap();
    assert_eq!(
        told,
        format!(
            "The image twice:1 already exists, renaming the old one with ID {before} to empty string\nLoaded image: twice:1\n"
        )
    );
    assert!(engine.images.resolve(before.as_str(), None).unwrap().references.is_empty());
}

#[test]
fn an_oci_archive_loads_by_its_annotations() {
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::open(data.path());
    let archive = data.path().join("x.tar");
    let from = format!("oci:{}:latest", layouts().join("busybox").display());
    let copied = |to: &str| {
        let to = format!("{to}:{}:docker.io/library/mine:2", archive.display());
        let _ = std::fs::remove_file(&archive);
        let output = Command::new("skopeo").args(["copy", "--quiet", &from, &to]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::read(&archive).unwrap()
    };
    for form in ["oci-archive", "docker-archive"] {
        let engine = Engine::open(&data.path().join(form));
        assert_eq!(load(&engine, &copied(form)).unwrap(), "Loaded image: mine:2\n", "{form}");
    }
    // What is not for the platform asked for is not loaded.
    let options = LoadOptions { quiet: true, platform: Some("linux/s390x".parse().unwrap()) };
    let (kind, text) = load_with(&engine, &copied("oci-archive"), &options).unwrap_err();
    assert_eq!(kind, Kind::NotFound, "{text}");
    assert!(text.contains("linux/s390x"), "{text}");
}

/// Nothing of a refused archive stays, and nothing outside of the store is touched.
#[track_caller]
fn refused(what: &str, archive: &[u8], expected: &str) {
    let data = tempfile::tempdir().unwrap();
    let canary = data.path().join("canary");
    std::fs::write(&canary, "alive").unwrap();
    let engine = Engine::open(&data.path().join("engine"));
    let (_, text) = load(&engine, archive).expect_err(what);
    assert!(text.contains(expected), "{what}: {text}");
    assert_eq!(std::fs::read_to_string(canary).unwrap(), "alive");
    assert_eq!((engine.images.count(), engine.content.list().unwrap().len()), (0, 0), "{what}");
    drop(engine);
    let engine = Engine::open(&data.path().join("engine"));
    assert_eq!((engine.snapshotter.layers().len(), engine.content.list().unwrap().len()), (0, 0), "{what}");
}

/// CVE-2014-6407, CVE-2014-9356: links as layer files; CVE-2014-9358: ids that are paths.
#[test]
fn cve_2014_6407_9358_links_and_ids_that_lead_out_are_refused() {
    let layer = tar(&[file("x", "text")]);
    let good = old_archive(&layer, "a:1");
    let replaced = |kind: EntryKind, link: &str| {
        let mut files = good.clone();
        files[1] = ("aaaa/layer.tar".into(), kind, link.as_bytes().to_vec());
        pack(&files)
    };
    refused("absolute link", &replaced(EntryKind::Symlink, "/etc/passwd"), "leads out of the archive");
    refused("link upwards", &replaced(EntryKind::Symlink, "../../../etc/passwd"), "leads out of the archive");
    refused("link to a name of nothing", &replaced(EntryKind::Symlink, "../etc/passwd"), "not in it");
    refused("hard link", &replaced(EntryKind::HardLink, "/etc/passwd"), "not in it");
    refused("circle", &replaced(EntryKind::Symlink, "layer.tar"), "not in it");
    refused("device", &replaced(EntryKind::CharDevice, ""), "device or pipe");
    for (config, layer) in
        [("../../etc/passwd", "aaaa/layer.tar"), ("x.json", "/../../etc/passwd"), ("/proc/self/environ", "x")]
    {
        let manifest = json!([{"Config": config, "RepoTags": [], "Layers": [layer]}]).to_string();
        let archive = tar(&[file("x.json", "{}"), file("manifest.json", manifest)]);
        let data = tempfile::tempdir().unwrap();
        let (kind, text) = load(&Engine::open(data.path()), &archive).unwrap_err();
        assert_eq!(kind, Kind::InvalidParameter, "{text}");
    }
    refused("a member above", &tar(&[file("../../evil", "x")]), "leads out of the archive");
    let legacy = tar(&[file("repositories", r#"{"a":{"1":"../../x"}}"#), file("../x/json", "{}")]);
    refused("ids that are paths", &legacy, "leads out");
    let legacy = tar(&[file("repositories", r#"{"a":{"1":"../../x"}}"#)]);
    refused("the oldest form", &legacy, "older than 1.10");
}

/// CVE-2023-25153: documents are read up to a limit.
#[test]
fn cve_2023_25153_documents_are_bounded() {
    let large = vec![b' '; 5 << 20];
    refused("a large manifest.json", &tar(&[file("manifest.json", large.clone())]), "limit");
    refused("a large index.json", &tar(&[file("index.json", large)]), "limit");
    let deep = "[".repeat(100_000);
    refused("a deep one", &tar(&[file("manifest.json", deep)]), "invalid manifest.json");
    let manifest = json!([{"Config": "c", "Layers": []}]).to_string();
    let config = vec![b' '; 9 << 20];
    refused(
        "a large configuration",
        &tar(&[file("c", config), file("manifest.json", manifest.clone())]),
        "limit",
    );
    let bomb = format!("{{\"rootfs\":{}", "{\"a\":".repeat(10_000));
    refused(
        "a deep configuration",
        &tar(&[file("c", bomb), file("manifest.json", manifest)]),
        "configuration",
    );
}

#[test]
fn what_is_not_what_it_says_is_refused() {
    let layer = tar(&[file("x", "text")]);
    let other = tar(&[file("y", "text")]);
    let mut files = old_archive(&layer, "a:1");
    files[1].2 = other;
    refused("another layer", &pack(&files), "the image's configuration says");
    let name = format!("blobs/sha256/{}", "0".repeat(64));
    refused("a blob under another's name", &tar(&[file(&name, "text")]), "verification failed");
    refused("a large one", &tar(&[file(&name, vec![1; 2 << 20])]), "verification failed");
    refused("no archive", b"not a tar at all, but long enough to be read as one", "cannot read");
    refused("an empty one", &tar(&[]), "neither");
    let mut cut = pack(&old_archive(&layer, "a:1"));
    cut.truncate(cut.len() - 4096);
    refused("cut off", &cut, "");
    let index = json!({"schemaVersion": 2, "manifests": [
        {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": format!("sha256:{}", "1".repeat(64)), "size": 5}]});
    refused("blobs missing", &tar(&[file("index.json", index.to_string())]), "not in it");
    let mut files = old_archive(&layer, "a:1");
    files[3].2 = files[3].2.iter().map(|b| if *b == b'a' { b'A' } else { *b }).collect();
    refused("a name that is none", &pack(&files), "");
    let two = json!([{"Config": files[2].0, "RepoTags": [], "Layers": []}]).to_string();
    files[3].2 = two.into_bytes();
    refused("too few layers", &pack(&files), "layers length mismatch");
}

#[test]
fn an_import_is_an_image_of_one_layer() {
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::open(data.path());
    let layer = tar(&[file("bin/x", "program")]);
    let options = ImportOptions {
        name: Some("made:1".parse().unwrap()),
        message: "note".into(),
        changes: vec!["CMD [\"/bin/x\"]".into(), "ENV A=1".into()],
        platform: Some("linux/arm64".parse().unwrap()),
    };
    let id = engine.images.import(&zstd::encode_all(&layer[..], 1).unwrap()[..], &options).unwrap();
    let made = engine.images.inspect("made:1", false).unwrap();
    assert_eq!(made.id, id.to_string());
    assert_eq!(made.root_fs.layers, [format!("sha256:{}", digest(&layer))]);
    assert_eq!((made.architecture.as_str(), made.comment.as_str()), ("arm64", "note"));
    assert_eq!(made.config.unwrap().cmd.unwrap(), ["/bin/x"]);
    let rootfs =
        engine.snapshotter.view(engine.images.resolve("made:1", None).unwrap().top.as_ref()).unwrap();
    let hull_types::Lower::Directory(top) = &rootfs.lowers[0] else { panic!("no directory") };
    assert_eq!(std::fs::read_to_string(top.join("bin/x")).unwrap(), "program");
    assert_eq!(engine.actions(), [("tag".into(), "made:1".into()), ("import".into(), id.to_string())]);
    // And out again: other tools read what was made here.
    let archive = data.path().join("x.tar");
    std::fs::write(&archive, save(&engine, &["made"])).unwrap();
    for form in ["oci-archive", "docker-archive"] {
        assert_eq!(layers_by_skopeo(form, &archive), 1);
    }
    let bad = ImportOptions { changes: vec!["RUN x".into()], ..ImportOptions::default() };
    assert_eq!(engine.images.import(&layer[..], &bad).unwrap_err().kind(), Kind::InvalidParameter);
    assert!(engine.images.import(&b"no tar, and too short for one"[..], &ImportOptions::default()).is_err());
}

fn layers_by_skopeo(form: &str, archive: &Path) -> usize {
    let output =
        Command::new("skopeo").args(["inspect", &format!("{form}:{}", archive.display())]).output().unwrap();
    assert!(output.status.success(), "{form}: {}", String::from_utf8_lossy(&output.stderr));
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    shown["Layers"].as_array().unwrap().len()
}

/// A blob that rots is found by its digest, named with its image, and fetched again; a row that can't be read is
/// listed and keeps everything from being pruned.
#[tokio::test(flavor = "multi_thread")]
async fn damage_is_found_named_and_mended() {
    let registry = registry::Registry::with(&["busybox"]);
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::open(data.path());
    let name = registry.name("library/busybox:latest");
    let id = engine.must_pull(&name).await;
    let clean = engine.images.check(false).await.unwrap();
    assert_eq!((clean.problems.len(), clean.images, clean.layers, clean.blobs), (0, 1, 1, 3));
    let blobs = engine.images.blobs_of(&name).unwrap();
    let largest = blobs.iter().max_by_key(|digest| engine.content.size(digest).unwrap()).unwrap();
    let rot = |digest: &hull_types::Digest| {
        let path = engine.content.path(digest);
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, bytes).unwrap();
    };
    for digest in &blobs {
        rot(digest);
        // On use: a save breaks off, and says which.
        if digest == largest {
            let mut archive = Vec::new();
            let error = engine
                .images
                .save(std::slice::from_ref(&name), None)
                .unwrap()
                .write(&mut archive)
                .unwrap_err();
            assert!(error.to_string().contains(digest.as_str()), "{error}");
        }
        let report = engine.images.check(false).await.unwrap();
        let problem = &report.problems[0];
        assert_eq!((problem.kind.as_str(), problem.id.as_str()), ("blob", digest.as_str()), "{report:?}");
        assert_eq!((problem.images.as_slice(), problem.repaired), (&[name.clone()][..], false));
        let report = engine.images.check(true).await.unwrap();
        assert!(report.problems.iter().all(|problem| problem.repaired), "{report:?}");
        assert_eq!(engine.images.check(false).await.unwrap(), clean);
        // Gone altogether is no different.
        engine.content.remove(digest).unwrap();
        assert_eq!(engine.images.check(false).await.unwrap().problems[0].id, digest.as_str());
        assert!(engine.images.check(true).await.unwrap().problems.iter().all(|problem| problem.repaired));
    }
    let chain = engine.snapshotter.layers().remove(0);
    engine.snapshotter.remove_layer(&chain).unwrap();
    let report = engine.images.check(false).await.unwrap();
    assert_eq!(
        (report.problems[0].kind.as_str(), report.problems[0].id.as_str()),
        ("layer", chain.0.as_str())
    );
    assert!(engine.images.check(true).await.unwrap().problems[0].repaired);
    assert_eq!(engine.images.check(false).await.unwrap(), clean);

    // With nowhere to fetch it from, it is reported, and reported again.
    drop(registry);
    rot(largest);
    let report = engine.images.check(true).await.unwrap();
    assert!(
        !report.problems[0].repaired && report.problems[0].repair.contains("could not be repaired"),
        "{report:?}"
    );
    assert_eq!(engine.images.resolve(&name, None).unwrap().id, id);

    // A row that can't be read is no leave to sweep.
    let table = engine.store.table::<serde_json::Value>("images");
    table.put("sha256:broken", &json!({"what": 1})).unwrap();
    engine.content.put(b"nobody's").unwrap();
    let before = engine.content.list().unwrap().len();
    drop((table, engine));
    let engine = Engine::open(data.path());
    assert_eq!(engine.content.list().unwrap().len(), before);
    let report = engine.images.check(false).await.unwrap();
    assert!(
        report.problems.iter().any(|problem| problem.kind == "row" && problem.id == "images/sha256:broken"),
        "{report:?}"
    );
}
