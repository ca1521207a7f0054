//! The protocol's corners, against servers that answer as told.
#![allow(clippy::unwrap_used)]

mod server;

use futures::StreamExt;
use hull_errors::{HasKind, Kind};
use hull_registry_client::{Auth, Config, Proxies, Registry, RegistryError};
use hull_types::oci::image::{Descriptor, media_type};
use hull_types::{Digest, ImageRef};
use server::{Answer, Request, Server};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const MANIFEST: &str = r#"{"schemaVersion":2,"config":{},"layers":[]}"#;

fn digest(bytes: &[u8]) -> Digest {
    let raw = ring::digest::digest(&ring::digest::SHA256, bytes);
    Digest::sha256(raw.as_ref().try_into().unwrap())
}
fn manifest() -> Answer {
    Answer::new(200, MANIFEST)
        .with("content-type", media_type::OCI_MANIFEST)
        .with("docker-content-digest", digest(MANIFEST.as_bytes()).to_string())
}
fn registry() -> Registry {
    Registry::new(Config { user_agent: "hull-test".into(), ..Config::default() })
}
fn ann() -> Option<Auth> {
    Some(Auth { username: "ann".into(), password: "secret".into(), ..Auth::default() })
}
fn name(server: &Server, rest: &str) -> ImageRef {
    format!("{}/{rest}", server.address).parse().unwrap()
}
fn blob(bytes: &[u8]) -> Descriptor {
    serde_json::from_value(serde_json::json!({
        "mediaType": media_type::OCI_LAYER, "digest": digest(bytes), "size": bytes.len()
    }))
    .unwrap()
}
async fn read(stream: hull_registry_client::Blob) -> Result<Vec<u8>, RegistryError> {
    let mut stream = stream.stream;
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await {
        bytes.extend_from_slice(&chunk?);
    }
    Ok(bytes)
}

#[tokio::test]
async fn a_head_is_enough_to_resolve() {
    let server = Server::start(|_| manifest()).await;
    let image = name(&server, "a/b:1");
    let resolved = registry().repository(&image, None).resolve(&image).await.unwrap();
    assert_eq!(resolved.descriptor.digest, digest(MANIFEST.as_bytes()));
    assert_eq!(resolved.descriptor.media_type, media_type::OCI_MANIFEST);
    assert!(resolved.document.is_none());
    let seen = server.requests();
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].method.as_str(), seen[0].target.as_str()), ("HEAD", "/v2/a/b/manifests/1"));
    for kind in [media_type::OCI_INDEX, media_type::DOCKER_INDEX, media_type::DOCKER_MANIFEST] {
        assert!(seen[0].header("accept").contains(kind));
    }
    assert_eq!(seen[0].header("user-agent"), "hull-test");
}

#[tokio::test]
async fn without_the_digest_header_the_document_is_read() {
    let server =
        Server::start(|_| Answer::new(200, MANIFEST).with("content-type", media_type::OCI_MANIFEST)).await;
    let image = name(&server, "a:1");
    let repository = registry().repository(&image, None);
    let resolved = repository.resolve(&image).await.unwrap();
    assert_eq!(resolved.descriptor.digest, digest(MANIFEST.as_bytes()));
    assert_eq!(resolved.document.unwrap(), MANIFEST.as_bytes());
    let wrong = repository.manifest(&digest(b"other")).await.unwrap_err();
    assert!(wrong.to_string().contains("manifest verification failed"), "{wrong}");
}

#[tokio::test]
async fn a_manifest_over_4_mib_is_refused() {
    let server = Server::start(|_| {
        Answer::new(200, vec![b' '; (4 << 20) + 1]).with("content-type", media_type::OCI_MANIFEST)
    })
    .await;
    let image = name(&server, "a:1");
    let error = registry().repository(&image, None).resolve(&image).await.unwrap_err();
    assert!(error.to_string().contains("more than 4194304 bytes"), "{error}");
}

// A registry that wants a bearer token, and the server that gives it.
fn token_answer(request: &Request, registry_token: &str, good: &str) -> Answer {
    if !request.target.starts_with("/token") {
        return Answer::new(404, "");
    }
    if !good.is_empty()
        && request.header("authorization") != good
        && !request.body.contains("refresh_token=R1")
    {
        return Answer::new(401, r#"{"details":"incorrect username or password"}"#);
    }
    Answer::new(200, format!(r#"{{"token":"{registry_token}","expires_in":300,"refresh_token":"R1"}}"#))
}
async fn bearer_registry(realm: String) -> Server {
    Server::start(move |request| {
        if request.header("authorization") == "Bearer T1" {
            return if request.target == "/v2/" { Answer::new(200, "{}") } else { manifest() };
        }
        let challenge = format!(r#"Bearer realm="{realm}",service="reg",scope="repository:a/b:pull""#);
        Answer::new(401, "").with("www-authenticate", challenge)
    })
    .await
}
const BASIC_ANN: &str = "Basic YW5uOnNlY3JldA==";

#[tokio::test]
async fn the_token_flow() {
    let tokens = Server::start(|request| token_answer(request, "T1", "")).await;
    let server = bearer_registry(format!("http://{}/token", tokens.address)).await;
    let image = name(&server, "a/b:1");
    let repository = registry().repository(&image, ann());
    repository.resolve(&image).await.unwrap();
    repository.resolve(&image).await.unwrap();
    let asked = &tokens.requests()[0];
    assert_eq!(asked.method, "GET");
    assert_eq!(asked.target, "/token?service=reg&scope=repository%3Aa%2Fb%3Apull&account=ann");
    assert_eq!(asked.header("authorization"), BASIC_ANN);
    // The password never went to the registry itself.
    assert!(server.requests().iter().all(|request| !request.header("authorization").starts_with("Basic")));
}

#[tokio::test]
async fn tokens_are_kept_while_they_live() {
    let tokens = Server::start(|request| token_answer(request, "T1", "")).await;
    let server = bearer_registry(format!("http://{}/token", tokens.address)).await;
    let image = name(&server, "a/b:1");
    let repository = registry().repository(&image, None);
    repository.resolve(&image).await.unwrap();
    for _ in 0..3 {
        repository.manifest(&digest(MANIFEST.as_bytes())).await.unwrap();
    }
    assert_eq!(tokens.requests().len(), 1);
    assert_eq!(tokens.requests()[0].header("authorization"), "");
}

#[tokio::test]
async fn an_identity_token_is_refreshed_by_a_form() {
    let tokens = Server::start(|request| token_answer(request, "T1", "")).await;
    let server = bearer_registry(format!("http://{}/token", tokens.address)).await;
    let image = name(&server, "a/b:1");
    let auth = Auth { username: "ann".into(), identity_token: "R1".into(), ..Auth::default() };
    registry().repository(&image, Some(auth)).resolve(&image).await.unwrap();
    let asked = &tokens.requests()[0];
    assert_eq!(asked.method, "POST");
    assert!(asked.body.contains("grant_type=refresh_token") && asked.body.contains("refresh_token=R1"));
    assert_eq!(asked.header("authorization"), "");
}

#[tokio::test]
async fn login_tells_good_credentials_from_wrong_ones() {
    let tokens = Server::start(|request| token_answer(request, "T1", BASIC_ANN)).await;
    let server = bearer_registry(format!("http://{}/token", tokens.address)).await;
    let identity = registry().login(&server.address, &ann().unwrap()).await.unwrap();
    assert_eq!(identity.as_deref(), Some("R1"));
    assert!(tokens.requests()[0].target.contains("offline_token=true"));
    let wrong = Auth { username: "ann".into(), password: "guess".into(), ..Auth::default() };
    let error = registry().login(&server.address, &wrong).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized);
    assert!(error.to_string().ends_with("unauthorized: incorrect username or password"), "{error}");

    let basic = Server::start(|request| match request.header("authorization") {
        BASIC_ANN => Answer::new(200, "{}"),
        _ => Answer::new(401, "").with("www-authenticate", r#"Basic realm="x""#),
    })
    .await;
    assert_eq!(
        registry().login(&format!("http://{}/v2/", basic.address), &ann().unwrap()).await.unwrap(),
        None
    );
    let error = registry().login(&basic.address, &wrong).await.unwrap_err();
    let expected =
        format!("login attempt to http://{}/v2/ failed with status: 401 Unauthorized", basic.address);
    assert_eq!((error.to_string(), error.kind()), (expected, Kind::Unauthorized));
}

#[tokio::test]
async fn credentials_do_not_go_to_a_foreign_token_server() {
    let tokens = Server::start_on("127.0.0.2:0", |request| token_answer(request, "T1", "")).await;
    let server = bearer_registry(format!("http://{}/token", tokens.address)).await;
    let image = name(&server, "a/b:1");
    let error = registry().repository(&image, ann()).resolve(&image).await.unwrap_err();
    assert!(matches!(error, RegistryError::Realm { .. }), "{error}");
    assert!(tokens.requests().is_empty());
    // Without credentials there is nothing to lose.
    registry().repository(&image, None).resolve(&image).await.unwrap();
}

#[tokio::test]
async fn credentials_do_not_follow_redirects() {
    let data = b"layer data".to_vec();
    let store = {
        let data = data.clone();
        Server::start(move |_| Answer::new(200, data.clone())).await
    };
    let target = format!("http://{}/data", store.address);
    let server = Server::start(move |request| match request.header("authorization") {
        BASIC_ANN if request.target.contains("/blobs/") => {
            Answer::new(307, "").with("location", target.clone())
        }
        BASIC_ANN => manifest(),
        _ => Answer::new(401, "").with("www-authenticate", r#"Basic realm="x""#),
    })
    .await;
    let image = name(&server, "a:1");
    let repository = registry().repository(&image, ann());
    repository.resolve(&image).await.unwrap();
    let blob = repository.blob(&blob(&data), 0).await.unwrap();
    assert_eq!(read(blob).await.unwrap(), data);
    assert_eq!(store.requests()[0].header("authorization"), "");
}

#[tokio::test]
async fn a_redirect_may_not_go_anywhere() {
    for target in ["file:///etc/passwd", "", "ftp://x/"] {
        let server = Server::start(move |_| Answer::new(302, "").with("location", target)).await;
        let image = name(&server, "a:1");
        let error = registry().repository(&image, None).resolve(&image).await.unwrap_err();
        assert!(matches!(error, RegistryError::Redirect { .. }), "{target}: {error}");
    }
    let circle = Server::start(|request| Answer::new(302, "").with("location", request.target.clone())).await;
    let image = name(&circle, "a:1");
    let error = registry().repository(&image, None).resolve(&image).await.unwrap_err();
    assert!(matches!(error, RegistryError::Redirect { .. }), "{error}");
}

#[tokio::test]
async fn refusals_are_dockers_texts() {
    for (status, body, expected, kind) in [
        (
            404,
            r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#,
            "manifest for HOST/a:1 not found: manifest unknown: manifest unknown",
            Kind::NotFound,
        ),
        (404, "", "manifest for HOST/a:1 not found: manifest unknown: manifest unknown", Kind::NotFound),
        (
            404,
            r#"{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known to registry"}]}"#,
            "repository HOST/a not found: name unknown: repository name not known to registry",
            Kind::NotFound,
        ),
        (
            403,
            r#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#,
            "pull access denied for HOST/a, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
            Kind::NotFound,
        ),
        (
            429,
            r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}"#,
            "toomanyrequests: slow down",
            Kind::Internal,
        ),
    ] {
        let server = Server::start(move |_| Answer::new(status, body).with("retry-after", "7")).await;
        let image = name(&server, "a:1");
        let error = registry().repository(&image, None).resolve(&image).await.unwrap_err();
        assert_eq!(error.to_string(), expected.replace("HOST", &server.address));
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(error.is_temporary(), status == 429);
        if status == 429 {
            assert_eq!(error.retry_after(), Some(std::time::Duration::from_secs(7)));
        }
    }
}

#[tokio::test]
async fn missing_basic_credentials_are_named() {
    let server = Server::start(|_| Answer::new(401, "").with("www-authenticate", r#"Basic realm="x""#)).await;
    let image = name(&server, "a:1");
    let error = registry().repository(&image, None).resolve(&image).await.unwrap_err();
    let expected = format!("Head \"http://{}/v2/a/manifests/1\": no basic auth credentials", server.address);
    assert_eq!((error.to_string(), error.kind()), (expected, Kind::Internal));
    // Wrong ones are tried once, not for ever.
    let error = registry().repository(&image, ann()).resolve(&image).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized, "{error}");
    assert!(server.requests().len() < 8, "{}", server.requests().len());
}

#[tokio::test]
async fn a_blob_goes_on_where_it_broke_off() {
    let data: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
    let served = data.clone();
    let times = Arc::new(AtomicUsize::new(0));
    let server = Server::start(move |request| {
        if !request.target.contains("/blobs/") {
            return manifest();
        }
        if times.fetch_add(1, Ordering::Relaxed) == 0 {
            return Answer { break_after: Some(40_000), ..Answer::new(200, served.clone()) };
        }
        let from: usize =
            request.header("range").trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap();
        Answer::new(206, &served[from..])
            .with("content-range", format!("bytes {from}-{}/{}", served.len() - 1, served.len()))
    })
    .await;
    let image = name(&server, "a:1");
    let repository = registry().repository(&image, None);
    repository.resolve(&image).await.unwrap();
    let wanted = blob(&data);
    let mut got = Vec::new();
    let mut first = repository.blob(&wanted, 0).await.unwrap();
    let error = loop {
        match first.stream.next().await.unwrap() {
            Ok(chunk) => got.extend_from_slice(&chunk),
            Err(error) => break error,
        }
    };
    assert!(error.is_temporary(), "{error}");
    let second = repository.blob(&wanted, got.len() as u64).await.unwrap();
    assert_eq!(second.offset, got.len() as u64);
    got.extend(read(second).await.unwrap());
    assert_eq!(got, data);
}

#[tokio::test]
async fn a_server_that_says_nothing_more_is_given_up() {
    let data = vec![7; 100_000];
    let served = data.clone();
    let server = Server::start(move |request| match request.target.contains("/blobs/") {
        false => manifest(),
        true => Answer { break_after: Some(40_000), stall: true, ..Answer::new(200, served.clone()) },
    })
    .await;
    let stall = Some(std::time::Duration::from_millis(200));
    let config = Config { user_agent: "hull-test".into(), stall, ..Config::default() };
    let image = name(&server, "a:1");
    let repository = Registry::new(config).repository(&image, None);
    repository.resolve(&image).await.unwrap();
    let error = read(repository.blob(&blob(&data), 0).await.unwrap()).await.unwrap_err();
    // So it is tried again, from where it stood still.
    assert!(error.is_temporary(), "{error}");
}

#[tokio::test]
async fn a_server_that_trickles_is_given_up() {
    let data = vec![7; 100_000];
    let served = data.clone();
    let server = Server::start(move |request| match request.target.contains("/blobs/") {
        false => manifest(),
        true => Answer { trickle_after: Some(40_000), ..Answer::new(200, served.clone()) },
    })
    .await;
    let stall = Some(std::time::Duration::from_secs(2));
    let config = Config { user_agent: "hull-test".into(), stall, ..Config::default() };
    let image = name(&server, "a:1");
    let repository = Registry::new(config).repository(&image, None);
    repository.resolve(&image).await.unwrap();
    // It would take days, and no read of it ever stalls.
    let error = read(repository.blob(&blob(&data), 0).await.unwrap()).await.unwrap_err();
    assert!(error.is_temporary(), "{error}");
}

#[tokio::test]
async fn plain_requests_go_through_the_proxy() {
    let proxy = Server::start(|_| manifest()).await;
    let own = Server::start(|_| manifest()).await;
    let behind = |no: &str| {
        let proxies = Proxies::new(&format!("ann:se%20cret@{}", proxy.address), "", no);
        let insecure = vec!["r.invalid:5000".into()];
        Registry::new(Config { proxies, insecure, ..Config::default() })
    };
    let image: ImageRef = "r.invalid:5000/a:1".parse().unwrap();
    behind("other.invalid").repository(&image, None).resolve(&image).await.unwrap();
    let seen = &proxy.requests()[0];
    // The whole address, as proxies are asked, and who asks.
    assert_eq!(seen.target, "http://r.invalid:5000/v2/a/manifests/1");
    assert_eq!(seen.header("proxy-authorization"), "Basic YW5uOnNlIGNyZXQ=");
    // Not what it is not for, nor loopback.
    let error = behind(".invalid:5000").repository(&image, None).resolve(&image).await.unwrap_err();
    assert!(error.to_string().contains("lookup r.invalid"), "{error}");
    let image = name(&own, "a:1");
    behind("").repository(&image, None).resolve(&image).await.unwrap();
    assert_eq!((proxy.requests().len(), own.requests().len()), (1, 1));
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let proxies = Proxies::new("", &address, "");
    let registry = Registry::new(Config { proxies, ..Config::default() });
    let image: ImageRef = "r.invalid/a:1".parse().unwrap();
    let error = registry.repository(&image, None).resolve(&image).await.unwrap_err();
    let expected = format!(
        "Head \"https://r.invalid/v2/a/manifests/1\": proxyconnect tcp: dial tcp {address}: connect: connection refused"
    );
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn a_mirror_is_asked_first_and_without_credentials() {
    let mirror = Server::start(|_| manifest()).await;
    let config = Config { mirrors: vec![format!("http://{}", mirror.address)], ..Config::default() };
    let image: ImageRef = "busybox:1".parse().unwrap();
    Registry::new(config).repository(&image, ann()).resolve(&image).await.unwrap();
    assert_eq!(mirror.requests()[0].target, "/v2/library/busybox/manifests/1");

    let asking = Server::start(|_| Answer::new(401, "").with("www-authenticate", r#"Basic realm="x""#)).await;
    let second = Server::start(|_| manifest()).await;
    let mirrors = vec![format!("http://{}/", asking.address), format!("http://{}", second.address)];
    let registry = Registry::new(Config { mirrors, ..Config::default() });
    registry.repository(&image, ann()).resolve(&image).await.unwrap();
    assert!(asking.requests().iter().all(|request| request.header("authorization").is_empty()));
    assert_eq!(second.requests().len(), 1);
}

#[tokio::test]
async fn https_never_becomes_http_unasked() {
    // A plain server on an address that is not loopback by name; nobody listed it.
    let server = Server::start(|_| manifest()).await;
    let port = server.address.rsplit_once(':').unwrap().1;
    let host = "hull-not-loopback.invalid";
    let image: ImageRef = format!("{host}:{port}/a:1").parse().unwrap();
    let error = registry().repository(&image, None).resolve(&image).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("Head \"https://{host}:{port}/v2/")), "{error}");
    assert_eq!(error.kind(), Kind::Internal);
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn nobody_there_is_said_as_go_says_it() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let image: ImageRef = format!("{address}/a:1").parse().unwrap();
    let error = registry().repository(&image, None).resolve(&image).await.unwrap_err();
    let expected = format!(
        "Head \"http://{address}/v2/a/manifests/1\": dial tcp {address}: connect: connection refused"
    );
    assert_eq!(error.to_string(), expected);
    assert!(error.is_temporary());
}

#[tokio::test]
async fn tags_come_in_pages_of_the_same_server() {
    let server = Server::start(|request| match request.target.as_str() {
        "/v2/a/tags/list?n=1000" => Answer::new(200, r#"{"name":"a","tags":["1","2","bad tag"]}"#)
            .with("link", "</v2/a/tags/list?n=1000&last=2>; rel=\"next\""),
        "/v2/a/tags/list?n=1000&last=2" => Answer::new(200, r#"{"name":"a","tags":["3"]}"#)
            .with("link", "<http://127.0.0.2:1/v2/a/tags/list>; rel=\"next\""),
        "/v2/none/tags/list?n=1000" => Answer::new(200, r#"{"name":"none","tags":null}"#),
        _ => Answer::new(404, ""),
    })
    .await;
    let image = name(&server, "a");
    assert_eq!(registry().repository(&image, None).tags().await.unwrap(), ["1", "2", "3"]);
    let image = name(&server, "none");
    assert!(registry().repository(&image, None).tags().await.unwrap().is_empty());
    let image = name(&server, "gone");
    assert_eq!(registry().repository(&image, None).tags().await.unwrap_err().kind(), Kind::Internal);
}

#[tokio::test]
async fn hosts_toml_names_the_servers() {
    let mirror = Server::start(|_| manifest()).await;
    let broken = Server::start(|_| Answer::new(500, "")).await;
    let certs = tempfile::tempdir().unwrap();
    let folder = certs.path().join("r.example");
    std::fs::create_dir(&folder).unwrap();
    let text = format!(
        "[host.\"http://{}\"]\ncapabilities = [\"pull\"]\n[host.\"http://{}\"]\n[host.\"http://{1}\".header]\nx-team = \"a\"\n",
        broken.address, mirror.address
    );
    std::fs::write(folder.join("hosts.toml"), text).unwrap();
    let registry = Registry::new(Config { certs_dir: Some(certs.path().into()), ..Config::default() });
    let image: ImageRef = "r.example/a/b:1".parse().unwrap();
    let repository = registry.repository(&image, ann());
    repository.resolve(&image).await.unwrap();
    // Tags are not resolved by one that only pulls.
    assert!(broken.requests().is_empty());
    let seen = &mirror.requests()[0];
    assert_eq!((seen.header("x-team"), seen.header("authorization")), ("a", ""));
    let pinned = image.with_digest(digest(MANIFEST.as_bytes()));
    registry.repository(&pinned, ann()).resolve(&pinned).await.unwrap();
    assert!(!broken.requests().is_empty());
}

#[tokio::test]
async fn a_token_serves_until_it_ends_and_only_who_asked_for_it() {
    let server = Server::start(|request| match request.header("authorization") {
        _ if request.target.starts_with("/token") => Answer::new(200, r#"{"token":"t","expires_in":300}"#),
        "Bearer t" => manifest(),
        _ => {
            let challenge = format!(
                "Bearer realm=\"http://{}/token\",service=\"s\",scope=\"repository:a/b:pull\"",
                request.header("host")
            );
            Answer::new(401, "").with("www-authenticate", challenge)
        }
    })
    .await;
    let image = name(&server, "a/b:1");
    let registry = registry();
    let asked = || server.requests().iter().filter(|request| request.target.starts_with("/token")).count();
    for _ in 0..2 {
        registry.repository(&image, ann()).resolve(&image).await.unwrap();
    }
    assert_eq!(asked(), 1);
    registry.repository(&image, None).resolve(&image).await.unwrap();
    assert_eq!(asked(), 2);
}

fn payload(bytes: &'static [u8]) -> hull_registry_client::Payload {
    let piece = bytes::Bytes::from_static(bytes);
    hull_registry_client::Payload {
        length: Some(bytes.len() as u64),
        stream: futures::stream::iter([Ok(piece)]).boxed(),
    }
}

#[tokio::test]
async fn an_upload_goes_on_where_it_broke_off() {
    let server = Server::start(|request| match (request.method.as_str(), request.target.as_str()) {
        ("GET", "/v2/") => Answer::new(200, "{}"),
        ("POST", _) => Answer::new(202, "").with("location", "/v2/a/blobs/uploads/1?state=x"),
        ("PATCH", "/v2/a/blobs/uploads/1?state=x") => Answer::new(500, ""),
        ("GET", "/v2/a/blobs/uploads/1?state=x") => {
            Answer::new(204, "").with("location", "/v2/a/blobs/uploads/2").with("range", "0-2")
        }
        ("PATCH", "/v2/a/blobs/uploads/2") => Answer::new(202, "").with("location", "/v2/a/blobs/uploads/3"),
        ("PUT", target) if target.starts_with("/v2/a/blobs/uploads/3?digest=sha256") => Answer::new(201, ""),
        _ => Answer::new(404, ""),
    })
    .await;
    let repository = registry().pusher(&name(&server, "a"), &[], None);
    repository.connect_to_push().await.unwrap();
    let digest = digest(b"abcdef");
    let Ok(hull_registry_client::Begun::Upload(mut upload)) = repository.begin_upload(None).await else {
        panic!("no upload")
    };
    let sent = Arc::default();
    let broken = upload.send(0, payload(b"abcdef"), Some(&digest), Arc::clone(&sent)).await.unwrap_err();
    assert!(broken.is_temporary());
    assert_eq!(upload.received().await, Some(3));
    upload.send(3, payload(b"def"), Some(&digest), sent).await.unwrap();
    upload.finish(&digest).await.unwrap();
    let patches: Vec<Request> =
        server.requests().into_iter().filter(|request| request.method == "PATCH").collect();
    assert_eq!((patches[1].header("content-range"), patches[1].body.as_str()), ("3-5", "def"));
}

#[tokio::test]
async fn uploads_elsewhere_get_no_credentials() {
    let elsewhere = Server::start(|request| match request.method.as_str() {
        "PATCH" => Answer::new(202, "").with("location", "/up/2"),
        _ => Answer::new(201, ""),
    })
    .await;
    let place = format!("http://{}/up/1", elsewhere.address);
    let server =
        Server::start(move |request| match (request.method.as_str(), request.header("authorization")) {
            (_, "") => Answer::new(401, "").with("www-authenticate", "Basic realm=\"x\""),
            ("POST", _) => Answer::new(202, "").with("location", place.clone()),
            _ => Answer::new(200, ""),
        })
        .await;
    let repository = registry().pusher(&name(&server, "a"), &[], ann());
    repository.connect_to_push().await.unwrap();
    let Ok(hull_registry_client::Begun::Upload(mut upload)) = repository.begin_upload(None).await else {
        panic!("no upload")
    };
    upload.send(0, payload(b"abc"), None, Arc::default()).await.unwrap();
    upload.finish(&digest(b"abc")).await.unwrap();
    let seen = elsewhere.requests();
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|request| request.header("authorization").is_empty()));
}

#[tokio::test]
async fn what_may_not_be_written_is_said_in_dockers_words() {
    let server = Server::start(|request| match request.method.as_str() {
        "GET" => Answer::new(200, ""),
        _ => Answer::new(
            403,
            r#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#,
        ),
    })
    .await;
    let repository = registry().pusher(&name(&server, "a"), &[], ann());
    repository.connect_to_push().await.unwrap();
    let error = repository.begin_upload(None).await.err().unwrap();
    assert_eq!(error.to_string(), "denied: requested access to the resource is denied");
    let error = repository.put_manifest("1", media_type::OCI_MANIFEST, b"{}".to_vec()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Forbidden);
}
