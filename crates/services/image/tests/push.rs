//! Pushing to a real registry.
#![allow(clippy::unwrap_used)]

mod registry;

use hull_api_types::{AuthConfig, JsonMessage};
use hull_errors::{HasKind, Kind};
use hull_image::ImportOptions;
use hull_types::oci::image::media_type;
use registry::{Engine, Registry, layouts};
use serde_json::Value;
use std::process::Command;

fn told(messages: &[JsonMessage], what: &str) -> usize {
    messages.iter().filter(|message| message.status.starts_with(what)).count()
}

fn raw(name: &str) -> Vec<u8> {
    let output = Command::new("skopeo")
        .args(["inspect", "--raw", "--tls-verify=false", &format!("docker://{name}")])
        .output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[tokio::test]
async fn what_was_pulled_goes_back_byte_for_byte() {
    let (first, second) = (Registry::with(&["nginx"]), Registry::start(false));
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::open(data.path());
    let name = first.name("library/nginx:latest");
    engine.must_pull(&name).await;

    // Into another repository of the same registry nothing is sent.
    let other = first.name("team/web:1");
    engine.images.tag(&name, &first.name("team/web"), "1").unwrap();
    let (done, messages) = engine.push(&other, None).await;
    done.unwrap();
    assert_eq!(told(&messages, "Mounted from library/nginx"), 2, "{messages:?}");
    assert_eq!(raw(&other), raw(&name));
    let last = messages.last().unwrap();
    let aux = last.aux.as_ref().unwrap();
    let digest = hull_content::digest_of(&raw(&name)).to_string();
    assert_eq!((aux["Tag"].as_str(), aux["Digest"].as_str()), (Some("1"), Some(digest.as_str())));
    assert_eq!(aux["Size"], raw(&name).len());
    let text = serde_json::to_string(last).unwrap();
    assert!(text.starts_with(r#"{"progressDetail":{},"aux":{"Tag":"1","Digest":"sha256:"#), "{text}");
    let line = &messages[messages.len() - 2].status;
    assert_eq!(*line, format!("1: digest: {digest} size: {}", raw(&name).len()));
    assert_eq!(messages[0].status, format!("The push refers to repository [{}]", first.name("team/web")));

    // Into another registry all is, once.
    let elsewhere = second.name("web:1");
    engine.images.tag(&name, &second.name("web"), "1").unwrap();
    let (done, messages) = engine.push(&elsewhere, None).await;
    done.unwrap();
    assert_eq!((told(&messages, "Preparing"), told(&messages, "Pushed")), (2, 2));
    assert_eq!(raw(&elsewhere), raw(&name));
    let (done, messages) = engine.push(&elsewhere, None).await;
    done.unwrap();
    assert_eq!(told(&messages, "Layer already exists"), 2);
    assert!(engine.actions().contains(&("push".into(), second.name("web"))));
    // It is known by what it was pushed as.
    engine.images.resolve(&format!("{}@{digest}", second.name("web")), None).unwrap();
}

#[tokio::test]
async fn a_layer_made_here_is_compressed_once() {
    let registry = Registry::start(false);
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::open(data.path());
    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("words"), b"some words, ".repeat(500_000)).unwrap();
    let tar = files.path().join("x.tar");
    let made = Command::new("tar").arg("-cf").arg(&tar).arg("-C").arg(files.path()).arg("words").status();
    assert!(made.unwrap().success());
    let name = registry.name("made:1");
    let options = ImportOptions { name: Some(name.parse().unwrap()), ..ImportOptions::default() };
    let id = engine.images.import(std::fs::File::open(&tar).unwrap(), &options).unwrap();
    let (done, messages) = engine.push(&name, None).await;
    done.unwrap();
    assert_eq!(told(&messages, "Pushed"), 1, "{messages:?}");
    let manifest: Value = serde_json::from_slice(&raw(&name)).unwrap();
    assert_eq!(manifest["layers"][0]["mediaType"], media_type::OCI_LAYER_GZIP);
    assert!(manifest["layers"][0]["size"].as_u64().unwrap() < 100_000);

    // Again, and under another name: nothing is compressed or sent.
    engine.images.tag(&name, &registry.name("other"), "2").unwrap();
    for (again, word) in
        [(name.clone(), "Layer already exists"), (registry.name("other:2"), "Mounted from made")]
    {
        let (done, messages) = engine.push(&again, None).await;
        done.unwrap();
        assert_eq!(told(&messages, word), 1, "{messages:?}");
        assert_eq!(raw(&again), raw(&name));
    }
    // Another engine gets the same image; and this one after it forgot all.
    let other = tempfile::tempdir().unwrap();
    assert_eq!(Engine::open(other.path()).must_pull(&name).await, id);
    engine.images.remove(id.as_str(), true, false).unwrap();
    assert_eq!(engine.content.list().unwrap(), []);
    assert_eq!(engine.must_pull(&name).await, id);
}

#[tokio::test]
async fn a_plain_layer_that_came_plain_goes_plain() {
    let registry = Registry::start(false);
    let plain = tempfile::tempdir().unwrap();
    let (from, to) = (
        format!("oci:{}:latest", layouts().join("busybox").display()),
        format!("dir:{}", plain.path().display()),
    );
    for words in [
        vec!["copy", "--quiet", "--dest-decompress", &from, &to],
        vec![
            "copy",
            "--quiet",
            "--dest-tls-verify=false",
            &to,
            &format!("docker://{}", registry.name("plain:1")),
        ],
    ] {
        assert!(Command::new("skopeo").args(words).status().unwrap().success());
    }
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::open(data.path());
    engine.must_pull(&registry.name("plain:1")).await;
    engine.images.tag(&registry.name("plain:1"), &registry.name("copy"), "1").unwrap();
    engine.push(&registry.name("copy:1"), None).await.0.unwrap();
    assert_eq!(raw(&registry.name("copy:1")), raw(&registry.name("plain:1")));
}

#[tokio::test]
async fn all_tags_go_and_come() {
    let registry = Registry::with(&["busybox"]);
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::open(data.path());
    let name = registry.name("library/busybox:latest");
    engine.must_pull(&name).await;
    for tag in ["1", "2"] {
        engine.images.tag(&name, &registry.name("many"), tag).unwrap();
    }
    let (done, messages) = engine.push(&registry.name("many"), None).await;
    done.unwrap();
    assert_eq!(messages.iter().filter(|message| message.aux.is_some()).count(), 2);
    let error = engine.push(&registry.name("many:3"), None).await.0.unwrap_err();
    assert_eq!(error.to_string(), format!("tag does not exist: {}", registry.name("many:3")));
    let (none, messages) = engine.push(&registry.name("none"), None).await;
    let error = none.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("An image does not exist locally with the tag: {}", registry.name("none"))
    );
    assert_eq!(messages.len(), 1);

    let other = tempfile::tempdir().unwrap();
    let other = Engine::open(other.path());
    let (sender, mut receiver) = tokio::sync::mpsc::channel(64);
    let repository = registry.name("many").parse().unwrap();
    let collect = async {
        let mut last = JsonMessage::default();
        while let Some(message) = receiver.recv().await {
            last = message;
        }
        last
    };
    let (done, last) = tokio::join!(other.images.pull_all(&repository, None, None, sender), collect);
    done.unwrap();
    assert_eq!(last.status, format!("Status: Downloaded newer image for {}", registry.name("many")));
    for tag in ["1", "2"] {
        other.images.resolve(&registry.name(&format!("many:{tag}")), None).unwrap();
    }
}

#[tokio::test]
async fn only_those_who_may_push() {
    let registry = Registry::start(true);
    registry.push(&layouts().join("busybox"), "private:1", &[]);
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::open(data.path());
    let name = registry.name("private:1");
    let auth = |password: &str| {
        Some(AuthConfig { username: "ann".into(), password: password.into(), ..AuthConfig::default() })
    };
    engine.pull_as(&name, None, auth("secret")).await.0.unwrap();
    engine.images.tag(&name, &registry.name("private"), "2").unwrap();
    let error = engine.push(&registry.name("private:2"), None).await.0.unwrap_err();
    assert!(error.to_string().ends_with("no basic auth credentials"), "{error}");
    let error = engine.push(&registry.name("private:2"), auth("guess")).await.0.unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized, "{error}");
    engine.push(&registry.name("private:2"), auth("secret")).await.0.unwrap();
}
