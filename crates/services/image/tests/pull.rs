//! Pulling from a real registry.
#![allow(clippy::unwrap_used)]

mod registry;

use hull_api_types::{AuthConfig, ImageListOptions, JsonMessage};
use hull_errors::{HasKind, Kind};
use hull_image::{ImageError, ImagesConfig};
use hull_registry_client::Config;
use hull_types::oci::image::media_type;
use registry::proxy::{Fault, Proxy};
use registry::{Engine, Registry, copy_layout, layouts};
use std::fs;
use std::path::Path;
use std::process::Command;

fn statuses(messages: &[JsonMessage]) -> Vec<String> {
    let told = messages.iter().filter(|message| message.progress.is_empty());
    told.map(|message| message.status.clone()).collect()
}

#[tokio::test]
async fn a_fresh_pull_tells_what_docker_tells() {
    let registry = Registry::with(&["busybox"]);
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::open(data.path());
    let name = registry.name("library/busybox");
    let (id, messages) = engine.pull(&name).await;
    let id = id.unwrap();
    let digest = &engine.images.inspect(&name, false).unwrap().repo_digests[0];
    let digest = digest.split_once('@').unwrap().1;
    assert_eq!(
        statuses(&messages),
        [
            "Pulling from library/busybox".to_owned(),
            "Pulling fs layer".into(),
            "Verifying Checksum".into(),
            "Download complete".into(),
            "Pull complete".into(),
            format!("Digest: {digest}"),
            format!("Status: Downloaded newer image for {name}:latest"),
        ]
    );
    assert_eq!(messages[0].id, "latest");
    assert_eq!(messages[1].id.len(), 12);
    for status in ["Downloading", "Extracting"] {
        let progress: Vec<&JsonMessage> =
            messages.iter().filter(|message| message.status == status).collect();
        let last = progress.last().unwrap().progress_detail.clone().unwrap();
        assert_eq!(last.current, last.total, "{status}");
        assert!(progress[0].progress.starts_with('['));
    }

    let (again, messages) = engine.pull(&name).await;
    assert_eq!(again.unwrap(), id);
    assert_eq!(
        statuses(&messages),
        [
            "Pulling from library/busybox".to_owned(),
            format!("Digest: {digest}"),
            format!("Status: Image is up to date for {name}:latest"),
        ]
    );
    assert_eq!(engine.actions(), vec![("pull".to_owned(), name.clone()); 2]);

    // By digest: the same image under another name.
    let pinned = format!("{name}@{digest}");
    let (by_digest, messages) = engine.pull(&pinned).await;
    assert_eq!(by_digest.unwrap(), id);
    assert_eq!(messages[0].id, digest);
    assert_eq!(engine.images.resolve(&pinned, None).unwrap().id, id);
}

#[tokio::test]
async fn what_was_pulled_is_there_whole() {
    let registry = Registry::with(&["busybox"]);
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::open(data.path());
    let name = registry.name("library/busybox:latest");
    let id = engine.must_pull(&name).await;

    let image = engine.images.resolve(&name, None).unwrap();
    assert_eq!((&image.id, image.references.len()), (&id, 2));
    let rootfs = engine.snapshotter.view(image.top.as_ref()).unwrap();
    let top = rootfs.lowers[0].path();
    assert!(fs::metadata(top.join("bin/busybox")).unwrap().len() > 100_000);
    assert!(image.size > 100_000);

    let inspect = engine.images.inspect(&name, false).unwrap();
    assert_eq!(inspect.repo_tags, std::slice::from_ref(&name));
    assert_eq!(inspect.config.unwrap().cmd.unwrap(), ["sh"]);
    assert_eq!((inspect.os.as_str(), inspect.root_fs.layers.len()), ("linux", 1));
    assert!(inspect.graph_driver.data.unwrap().contains_key("UpperDir"));
    let history = engine.images.history(&name).unwrap();
    assert_eq!(history[0].id, id.to_string());
    assert_eq!(history[0].tags.as_deref(), Some(&[name.clone()][..]));
    assert_eq!(history.iter().map(|step| step.size).sum::<i64>(), image.size as i64);
    let list = engine.images.list(&ImageListOptions::default()).unwrap();
    assert_eq!((list.len(), list[0].id.as_str()), (1, id.as_str()));
    assert_eq!(engine.images.layers_size(), image.size);

    // Other tools read the blobs as an OCI layout.
    let layout = format!("oci:{}:{name}", data.path().join("content").display());
    let output = Command::new("skopeo").args(["inspect", "--config", &layout]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("\"sh\""));

    // And a new daemon finds all of it.
    drop(engine);
    let engine = Engine::open(data.path());
    assert_eq!(engine.images.resolve(&name, None).unwrap().id, id);
    assert_eq!(engine.images.inspect(&id.hex()[..4], false).unwrap().repo_tags, [name]);
}

#[tokio::test]
async fn shared_layers_are_fetched_once_and_go_last() {
    let registry = Registry::with(&["debian", "nginx"]);
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::open(data.path());
    let (debian, nginx) = (registry.name("library/debian:latest"), registry.name("library/nginx:latest"));
    engine.must_pull(&debian).await;
    let (_, messages) = engine.pull(&nginx).await;
    let told = statuses(&messages);
    assert_eq!(told.iter().filter(|status| *status == "Already exists").count(), 1);
    assert_eq!(told.iter().filter(|status| *status == "Pull complete").count(), 1);
    let options = ImageListOptions { shared_size: true, ..ImageListOptions::default() };
    let list = engine.images.list(&options).unwrap();
    let base = engine.images.resolve(&debian, None).unwrap().size as i64;
    assert!(list.iter().all(|image| image.shared_size == base), "{list:?}");

    let gone = engine.images.remove(&debian, false, false).unwrap();
    assert!(gone[0].untagged.ends_with("debian:latest") && gone[1].untagged.contains("debian@sha256:"));
    assert_eq!((gone.len(), gone[2].deleted.starts_with("sha256:")), (3, true));
    assert_eq!(engine.snapshotter.layers().len(), 2);
    let gone = engine.images.remove(&nginx, false, false).unwrap();
    assert_eq!(gone.iter().filter(|item| !item.deleted.is_empty()).count(), 3);
    assert_eq!(engine.snapshotter.layers().len(), 0);
    assert_eq!(engine.content.list().unwrap(), []);
    assert_eq!(engine.images.count(), 0);
}

#[tokio::test]
async fn every_format_gives_the_same_layers() {
    let registry = Registry::start(false);
    let layout = layouts().join("busybox");
    let formats: [(&str, &[&str]); 3] = [
        ("oci", &[]),
        ("schema2", &["--format", "v2s2"]),
        ("zstd", &["--dest-compress-format", "zstd", "--dest-compress", "--format", "oci"]),
    ];
    let mut tops = Vec::new();
    for (name, options) in formats {
        registry.push(&layout, &format!("{name}:latest"), options);
        let data = tempfile::tempdir().unwrap();
        let engine = Engine::open(data.path());
        engine.must_pull(&registry.name(name)).await;
        tops.push(engine.images.resolve(&registry.name(name), None).unwrap().top);
    }
    assert!(tops.iter().all(|top| *top == tops[0]), "{tops:?}");
    // Plain: an uncompressed layout pushed as it is.
    let plain = tempfile::tempdir().unwrap();
    let (from, to) = (format!("oci:{}:latest", layout.display()), format!("dir:{}", plain.path().display()));
    let unpacked =
        Command::new("skopeo").args(["copy", "--quiet", "--dest-decompress", &from, &to]).status().unwrap();
    assert!(unpacked.success());
    let pushed = Command::new("skopeo")
        .args([
            "copy",
            "--quiet",
            "--dest-tls-verify=false",
            &to,
            &format!("docker://{}", registry.name("plain:1")),
        ])
        .status()
        .unwrap();
    assert!(pushed.success());
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::open(data.path());
    engine.must_pull(&registry.name("plain:1")).await;
    assert_eq!(engine.images.resolve(&registry.name("plain:1"), None).unwrap().top, tops[0]);
}

fn read_json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}
fn put_blob(layout: &Path, bytes: &[u8]) -> String {
    let digest = hull_content::digest_of(bytes);
    fs::write(layout.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
    digest.to_string()
}
fn blob_path(layout: &Path, digest: &serde_json::Value) -> std::path::PathBuf {
    layout.join("blobs/sha256").join(digest.as_str().unwrap().trim_start_matches("sha256:"))
}

// The layout with its one manifest put into an index, under these platforms' names.
fn into_index(layout: &Path, platforms: &[(&str, &str)]) {
    let mut top = read_json(&layout.join("index.json"));
    let manifest = top["manifests"][0].clone();
    let entries: Vec<serde_json::Value> = platforms
        .iter()
        .map(|(os, architecture)| {
            serde_json::json!({"mediaType": manifest["mediaType"], "digest": manifest["digest"],
                "size": manifest["size"], "platform": {"os": os, "architecture": architecture}})
        })
        .collect();
    let index =
        serde_json::json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": entries});
    let bytes = serde_json::to_vec(&index).unwrap();
    top["manifests"][0]["digest"] = put_blob(layout, &bytes).into();
    top["manifests"][0]["size"] = bytes.len().into();
    top["manifests"][0]["mediaType"] = media_type::OCI_INDEX.into();
    fs::write(layout.join("index.json"), serde_json::to_vec(&top).unwrap()).unwrap();
}

#[tokio::test]
async fn an_index_is_read_for_the_platform() {
    let registry = Registry::start(false);
    let layout = copy_layout("busybox");
    into_index(layout.path(), &[("unknown", "unknown"), ("linux", "s390x"), ("linux", "amd64")]);
    registry.push(layout.path(), "multi:1", &["--all"]);
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::open(data.path());
    let name = registry.name("multi:1");
    let (outcome, messages) = engine.pull_as(&name, Some("linux/arm64"), None).await;
    let error = outcome.unwrap_err();
    assert_eq!(
        error.to_string(),
        "no matching manifest for linux/arm64/v8 in the manifest list entries: no match for platform in manifest: not found"
    );
    assert_eq!((error.kind(), messages.len()), (Kind::NotFound, 0));
    engine.pull_as(&name, Some("linux/amd64"), None).await.0.unwrap();
    // The digest shown is the index's, as it can be pulled by anyone on any platform.
    let index = read_json(&layout.path().join("index.json"));
    let digest = index["manifests"][0]["digest"].as_str().unwrap().to_owned();
    assert!(engine.images.inspect(&name, false).unwrap().repo_digests[0].ends_with(&digest));
    let (_, messages) = engine.pull(&name).await;
    assert!(messages.last().unwrap().status.contains("up to date"));
    let other = "linux/arm64".parse().unwrap();
    let error = engine.images.resolve(&name, Some(&other)).unwrap_err();
    assert!(
        matches!(error, ImageError::PlatformMismatch { .. }) && error.kind() == Kind::NotFound,
        "{error}"
    );
}

#[tokio::test]
async fn a_broken_download_goes_on_where_it_broke() {
    let registry = Registry::with(&["busybox"]);
    let proxy = Proxy::start(&registry.address, Fault::CutOnce(300_000)).await;
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::open(data.path());
    let (outcome, messages) = engine.pull(&format!("{}/library/busybox", proxy.address)).await;
    outcome.unwrap();
    assert!(statuses(&messages).contains(&"Retrying in 1 second".to_owned()), "{messages:?}");
    assert!(proxy.asked().contains("range: bytes="), "{}", proxy.asked());
}

#[tokio::test]
async fn a_download_that_gets_on_is_not_given_up() {
    let registry = Registry::with(&["busybox"]);
    let proxy = Proxy::start(&registry.address, Fault::Cut(400_000)).await;
    let data = tempfile::tempdir().unwrap();
    let config = ImagesConfig { max_download_attempts: 2, ..ImagesConfig::default() };
    let engine = Engine::open_with(data.path(), Config::default(), config);
    // It breaks off more often than attempts are allowed, but each brings some of it.
    engine.must_pull(&format!("{}/library/busybox", proxy.address)).await;
    assert!(proxy.asked().matches("range: bytes=").count() > 1, "{}", proxy.asked());
    // One that brings nothing ends the pull.
    let proxy = Proxy::start(&registry.address, Fault::Cut(30_000)).await;
    let data = tempfile::tempdir().unwrap();
    let config = ImagesConfig { max_download_attempts: 2, ..ImagesConfig::default() };
    let engine = Engine::open_with(data.path(), Config::default(), config);
    engine.pull(&format!("{}/library/busybox", proxy.address)).await.0.unwrap_err();
}

#[tokio::test]
async fn a_registry_that_trickles_is_asked_again() {
    let registry = Registry::with(&["busybox"]);
    let proxy = Proxy::start(&registry.address, Fault::TrickleOnce(300_000)).await;
    let data = tempfile::tempdir().unwrap();
    let config = Config { stall: Some(std::time::Duration::from_secs(2)), ..Config::default() };
    let engine = Engine::open_with(data.path(), config, ImagesConfig::default());
    engine.must_pull(&format!("{}/library/busybox", proxy.address)).await;
    assert!(proxy.asked().contains("range: bytes="), "{}", proxy.asked());
}

#[tokio::test]
async fn two_pulls_at_once_share_the_work() {
    let registry = Registry::with(&["busybox"]);
    let proxy = Proxy::start(&registry.address, Fault::None).await;
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::open(data.path());
    let name = format!("{}/library/busybox", proxy.address);
    let (first, second) = tokio::join!(engine.pull(&name), engine.pull(&name));
    assert_eq!(first.0.unwrap(), second.0.unwrap());
    // The configuration and the one layer, each once.
    assert_eq!(proxy.asked().matches("get /v2/library/busybox/blobs/").count(), 2, "{}", proxy.asked());
}

#[tokio::test]
async fn what_is_not_there_is_an_error_before_the_first_message() {
    let registry = Registry::with(&["busybox"]);
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::open(data.path());
    for (rest, text) in [
        (
            "library/busybox:nope",
            "manifest for HOST/library/busybox:nope not found: manifest unknown: manifest unknown",
        ),
        ("nope", "manifest for HOST/nope:latest not found: manifest unknown: manifest unknown"),
    ] {
        let (outcome, messages) = engine.pull(&registry.name(rest)).await;
        let error = outcome.unwrap_err();
        assert_eq!(error.to_string(), text.replace("HOST", &registry.address));
        assert_eq!((error.kind(), messages.len()), (Kind::NotFound, 0));
    }
}

#[tokio::test]
async fn basic_authentication() {
    let registry = Registry::start(true);
    registry.push(&layouts().join("busybox"), "private:1", &[]);
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::open(data.path());
    let name = registry.name("private:1");
    let auth = |password: &str| AuthConfig {
        username: "ann".into(),
        password: password.into(),
        serveraddress: registry.address.clone(),
        ..AuthConfig::default()
    };
    let (outcome, messages) = engine.pull_as(&name, None, Some(AuthConfig::default())).await;
    let error = outcome.unwrap_err();
    assert!(error.to_string().ends_with("no basic auth credentials"), "{error}");
    assert_eq!((error.kind(), messages.len()), (Kind::Internal, 0));
    let (outcome, _) = engine.pull_as(&name, None, Some(auth("guess"))).await;
    assert_eq!(outcome.unwrap_err().kind(), Kind::Unauthorized);
    engine.pull_as(&name, None, Some(auth("secret"))).await.0.unwrap();

    assert_eq!(engine.images.login(&auth("secret")).await.unwrap().status, "Login Succeeded");
    let error = engine.images.login(&auth("guess")).await.unwrap_err();
    assert!(error.to_string().ends_with("/v2/ failed with status: 401 Unauthorized"), "{error}");
}

#[tokio::test]
async fn a_mirror_serves_docker_io() {
    let registry = Registry::with(&["busybox"]);
    let data = tempfile::tempdir().unwrap();
    let config = Config { mirrors: vec![format!("http://{}", registry.address)], ..Config::default() };
    let engine = Engine::open_with(data.path(), config, ImagesConfig::default());
    let (outcome, messages) = engine.pull("busybox").await;
    outcome.unwrap();
    assert_eq!(messages.last().unwrap().status, "Status: Downloaded newer image for busybox:latest");
    assert_eq!(engine.images.inspect("busybox", false).unwrap().repo_tags, ["busybox:latest"]);
}

#[tokio::test]
async fn a_layer_that_is_not_what_the_configuration_says_leaves_nothing() {
    let registry = Registry::start(false);
    let layout = copy_layout("busybox");
    let root = layout.path();
    let mut top = read_json(&root.join("index.json"));
    let mut manifest = read_json(&blob_path(root, &top["manifests"][0]["digest"]));
    let mut config = read_json(&blob_path(root, &manifest["config"]["digest"]));
    config["rootfs"]["diff_ids"][0] = hull_content::digest_of(b"something else").to_string().into();
    let bytes = serde_json::to_vec(&config).unwrap();
    manifest["config"]["digest"] = put_blob(root, &bytes).into();
    manifest["config"]["size"] = bytes.len().into();
    let bytes = serde_json::to_vec(&manifest).unwrap();
    top["manifests"][0]["digest"] = put_blob(root, &bytes).into();
    top["manifests"][0]["size"] = bytes.len().into();
    fs::write(root.join("index.json"), serde_json::to_vec(&top).unwrap()).unwrap();
    // As it is: skopeo would notice when it had to compress.
    registry.push(root, "wrong:1", &["--preserve-digests"]);
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::open(data.path());
    let error = engine.pull(&registry.name("wrong:1")).await.0.unwrap_err();
    assert!(matches!(error, ImageError::Layer { .. }), "{error}");
    assert_eq!((engine.images.count(), engine.snapshotter.layers().len()), (0, 0));
    engine.images.sweep();
    assert_eq!(engine.content.list().unwrap(), []);
}

#[tokio::test]
async fn a_cancelled_pull_leaves_nothing() {
    let registry = Registry::with(&["busybox"]);
    let proxy = Proxy::start(&registry.address, Fault::Stall(300_000)).await;
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::open(data.path());
    let reference = format!("{}/library/busybox", proxy.address).parse().unwrap();
    let (sender, mut receiver) = tokio::sync::mpsc::channel(64);
    let pulling = engine.images.pull(&reference, None, None, sender);
    let wait = async {
        while let Some(message) = receiver.recv().await {
            if message.status == "Downloading" {
                return;
            }
        }
    };
    tokio::select! {
        outcome = pulling => panic!("{outcome:?}"),
        () = wait => {}
    }
    assert_eq!((engine.images.count(), engine.snapshotter.layers().len()), (0, 0));
    engine.must_pull(&registry.name("library/busybox")).await;
}

// Run by the test below in a process of its own; without what that one says it does nothing.
#[tokio::test]
async fn pull_until_killed() {
    let (Ok(root), Ok(name)) = (std::env::var("HULL_TEST_ROOT"), std::env::var("HULL_TEST_NAME")) else {
        return;
    };
    let engine = Engine::open(Path::new(&root));
    let _ = engine.pull(&name).await;
}

#[tokio::test]
async fn killed_in_the_middle() {
    let registry = Registry::with(&["busybox"]);
    let proxy = Proxy::start(&registry.address, Fault::Stall(300_000)).await;
    let data = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "pull_until_killed"])
        .env("HULL_TEST_ROOT", data.path())
        .env("HULL_TEST_NAME", format!("{}/library/busybox", proxy.address))
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let ingest = data.path().join("content/ingest");
    let growing = || {
        let files = fs::read_dir(&ingest).into_iter().flatten();
        files.filter_map(|file| file.ok()?.metadata().ok()).any(|data| data.len() > 100_000)
    };
    while !growing() {
        assert!(child.try_wait().unwrap().is_none(), "the pull ended by itself");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let engine = Engine::open(data.path());
    assert_eq!((engine.images.count(), engine.snapshotter.layers().len()), (0, 0));
    assert_eq!(engine.content.list().unwrap(), []);
    // Half of the layer is there, and the next pull asks for the other half only.
    assert_eq!(fs::read_dir(&ingest).unwrap().count(), 1);
    let proxy = Proxy::start(&registry.address, Fault::None).await;
    engine.must_pull(&format!("{}/library/busybox", proxy.address)).await;
    assert!(proxy.asked().contains("range: bytes="), "{}", proxy.asked());
    assert_eq!(fs::read_dir(&ingest).unwrap().count(), 0);
}

#[tokio::test]
async fn a_wrong_half_is_fetched_anew() {
    let registry = Registry::with(&["busybox"]);
    let data = tempfile::tempdir().unwrap();
    let layout = layouts().join("busybox");
    let manifest =
        read_json(&blob_path(&layout, &read_json(&layout.join("index.json"))["manifests"][0]["digest"]));
    let layer = manifest["layers"][0]["digest"].as_str().unwrap().replace(':', "-");
    let ingest = data.path().join("content/ingest");
    fs::create_dir_all(&ingest).unwrap();
    fs::write(ingest.join(layer), [7; 200_000]).unwrap();
    let engine = Engine::open(data.path());
    engine.must_pull(&registry.name("library/busybox")).await;
    assert_eq!(fs::read_dir(&ingest).unwrap().count(), 0);
}

#[tokio::test]
async fn one_of_two_pulls_can_go() {
    let registry = Registry::with(&["busybox"]);
    let proxy = Proxy::start(&registry.address, Fault::StallOnce(300_000)).await;
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::open(data.path());
    let name = format!("{}/library/busybox", proxy.address);
    let reference = name.parse().unwrap();
    let (sender, mut receiver) = tokio::sync::mpsc::channel(64);
    let images = engine.images.clone();
    let first = tokio::spawn(async move { images.pull(&reference, None, None, sender).await });
    while receiver.recv().await.is_some_and(|message| message.status != "Downloading") {}
    let mut second = Box::pin(engine.pull(&name));
    tokio::select! {
        _ = &mut second => panic!("the second pull did not wait for the first, which stalls"),
        () = tokio::time::sleep(std::time::Duration::from_millis(200)) => {}
    }
    // The client of the first goes; the second takes over where it was.
    first.abort();
    let id = second.await.0.unwrap();
    assert!(engine.images.resolve(id.as_str(), None).is_ok());
    assert!(proxy.asked().contains("range: bytes="), "{}", proxy.asked());
}

#[tokio::test]
async fn hello_ships_inside() {
    let data = tempfile::tempdir().unwrap();
    let config = ImagesConfig { builtin_hello: "/bin/true".into(), ..ImagesConfig::default() };
    let engine = Engine::open_with(&data.path().join("a"), Config::default(), config.clone());
    let (outcome, messages) = engine.pull("hello").await;
    let id = outcome.unwrap();
    assert!(messages[0].status.contains("inside"), "{messages:?}");
    assert_eq!(messages.last().unwrap().status, "Status: Downloaded newer image for hello:latest");
    let image = engine.images.resolve("hello", None).unwrap();
    assert_eq!(image.config.config.cmd.as_deref(), Some(&["/hello".to_owned()][..]));
    let rootfs = engine.snapshotter.view(image.top.as_ref()).unwrap();
    let top = rootfs.lowers[0].path();
    assert_eq!(fs::read(top.join("hello")).unwrap(), fs::read("/bin/true").unwrap());
    let (again, messages) = engine.pull("hello:latest").await;
    assert_eq!(again.unwrap(), id);
    assert_eq!(messages.last().unwrap().status, "Status: Image is up to date for hello:latest");
    // Another engine with the same program has the same image.
    let other = Engine::open_with(&data.path().join("b"), Config::default(), config);
    assert_eq!(other.must_pull("hello").await, id);
    other.images.remove("hello", false, false).unwrap();
    assert_eq!(other.content.list().unwrap(), []);
}
