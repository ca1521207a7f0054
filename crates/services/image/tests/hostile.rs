//! Pulling from registries that break off, lie, or say no.
#![allow(clippy::unwrap_used)]

mod registry;
#[allow(dead_code)]
#[path = "../../registry-client/tests/server/mod.rs"]
mod server;

use hull_content::digest_of;
use hull_errors::{HasKind, Kind};
use hull_image::ImageError;
use hull_types::Digest;
use hull_types::oci::image::media_type;
use registry::Engine;
use server::{Answer, Request, Server};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An image of one plain layer, in memory.
struct Image {
    manifest: Vec<u8>,
    config: Vec<u8>,
    layer: Vec<u8>,
}

impl Image {
    fn new(size: usize) -> Self {
        let mut archive = tar(size);
        archive.extend([0; 1024]);
        let id = digest_of(&archive);
        let config = serde_json::json!({"architecture": "amd64", "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": [id.as_str()]}});
        let config = serde_json::to_vec(&config).unwrap();
        let manifest = serde_json::json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
            "config": {"mediaType": media_type::OCI_CONFIG, "digest": digest_of(&config).as_str(), "size": config.len()},
            "layers": [{"mediaType": media_type::OCI_LAYER, "digest": id.as_str(), "size": archive.len()}]});
        Self { manifest: serde_json::to_vec(&manifest).unwrap(), config, layer: archive }
    }
    fn layer_digest(&self) -> Digest {
        digest_of(&self.layer)
    }
    fn asks_for_layer(&self, request: &Request) -> bool {
        request.target.ends_with(self.layer_digest().as_str())
    }
    // What an honest registry answers.
    fn answer(&self, request: &Request) -> Answer {
        let digest = digest_of(&self.manifest).to_string();
        if request.target.contains("/manifests/") {
            return Answer::new(200, self.manifest.clone())
                .with("content-type", media_type::OCI_MANIFEST)
                .with("docker-content-digest", digest);
        }
        if self.asks_for_layer(request) {
            return part(&self.layer, request.header("range"));
        }
        if request.target.ends_with(digest_of(&self.config).as_str()) {
            return Answer::new(200, self.config.clone());
        }
        Answer::new(404, "")
    }
}

// One file of pseudo-random bytes.
fn tar(size: usize) -> Vec<u8> {
    let mut header = [0_u8; 512];
    header[..5].copy_from_slice(b"bytes");
    header[100..107].copy_from_slice(b"0000644");
    header[108..115].copy_from_slice(b"0000000");
    header[116..123].copy_from_slice(b"0000000");
    header[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    header[136..147].copy_from_slice(b"00000000000");
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    let mut archive = header.to_vec();
    let mut state = 1_u64;
    archive.extend((0..size).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    }));
    archive.resize(archive.len().next_multiple_of(512), 0);
    archive
}

fn part(bytes: &[u8], range: &str) -> Answer {
    let Some((from, to)) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Answer::new(200, bytes);
    };
    let from: usize = from.parse().unwrap();
    let to = to.parse().map_or(bytes.len() - 1, |to: usize| to.min(bytes.len() - 1));
    Answer::new(206, &bytes[from..=to]).with("content-range", format!("bytes {from}-{to}/{}", bytes.len()))
}

fn engine() -> (tempfile::TempDir, Engine) {
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::open(data.path());
    (data, engine)
}

#[tokio::test]
async fn a_large_layer_comes_in_pieces() {
    let image = Arc::new(Image::new(70 << 20));
    let served = image.clone();
    let server = Server::start(move |request| served.answer(request)).await;
    let (_data, engine) = engine();
    engine.must_pull(&format!("{}/large:1", server.address)).await;
    let ranges =
        server.requests().iter().filter(|request| request.header("range").starts_with("bytes=")).count();
    assert!(ranges >= 4, "{ranges} ranges");
    assert_eq!(engine.content.size(&image.layer_digest()).unwrap(), image.layer.len() as u64);
}

#[tokio::test]
async fn one_that_breaks_off_and_does_no_ranges_is_read_again() {
    let image = Arc::new(Image::new(3 << 20));
    let (served, asked) = (image.clone(), AtomicUsize::new(0));
    let server = Server::start(move |request| {
        let mut answer = Answer { body: served.layer.clone(), ..Answer::new(200, "") };
        if !served.asks_for_layer(request) {
            return served.answer(request);
        }
        answer.break_after = (asked.fetch_add(1, Ordering::Relaxed) < 2).then_some(1 << 20);
        answer
    })
    .await;
    let (_data, engine) = engine();
    engine.must_pull(&format!("{}/broken:1", server.address)).await;
    assert!(server.requests().iter().any(|request| request.header("range").starts_with("bytes=")));
}

#[tokio::test]
async fn one_that_is_busy_is_asked_again_when_it_says() {
    let image = Image::new(100_000);
    let asked = AtomicUsize::new(0);
    let server = Server::start(move |request| {
        match image.asks_for_layer(request) && asked.fetch_add(1, Ordering::Relaxed) == 0 {
            true => Answer::new(429, "").with("retry-after", "1"),
            false => image.answer(request),
        }
    })
    .await;
    let (_data, engine) = engine();
    let (done, messages) = engine.pull(&format!("{}/busy:1", server.address)).await;
    done.unwrap();
    assert!(messages.iter().any(|message| message.status == "Retrying in 1 second"), "{messages:?}");
}

#[tokio::test]
async fn wrong_bytes_leave_nothing() {
    let image = Arc::new(Image::new(1 << 20));
    // One byte is another; one byte more comes; one fewer, always.
    for wrong in 0..3 {
        let served = image.clone();
        let server = Server::start(move |request| {
            if !served.asks_for_layer(request) {
                return served.answer(request);
            }
            let mut bytes = served.layer.clone();
            match wrong {
                0 => bytes[600_000] ^= 1,
                1 => bytes.push(0),
                _ => drop(bytes.pop()),
            }
            Answer::new(200, bytes)
        })
        .await;
        let data = tempfile::tempdir().unwrap();
        let config = hull_image::ImagesConfig { max_download_attempts: 1, ..Default::default() };
        let engine = Engine::open_with(data.path(), Default::default(), config);
        let error = engine.pull(&format!("{}/wrong:1", server.address)).await.0.unwrap_err();
        assert!(matches!(error, ImageError::Layer { .. }), "{wrong}: {error}");
        assert_eq!((engine.images.count(), engine.snapshotter.layers().len()), (0, 0));
        engine.images.sweep();
        assert_eq!(engine.content.list().unwrap(), []);
    }
}

#[tokio::test]
async fn a_manifest_without_end_is_not_read_to_its_end() {
    let server = Server::start(|request| match request.method.as_str() {
        "HEAD" => Answer::new(200, "").with("content-type", media_type::OCI_MANIFEST),
        _ => Answer::new(200, vec![b' '; 9 << 20]).with("content-type", media_type::OCI_MANIFEST),
    })
    .await;
    let (_data, engine) = engine();
    let error = engine.pull(&format!("{}/endless:1", server.address)).await.0.unwrap_err();
    assert_eq!(error.kind(), Kind::Internal);
    assert!(error.to_string().contains("more than 4194304 bytes"), "{error}");
}
