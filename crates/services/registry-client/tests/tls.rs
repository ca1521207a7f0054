//! TLS: whom to trust, and that nothing else is a way in.
#![allow(dead_code, clippy::unwrap_used)]

mod server;

use futures::StreamExt;
use hull_errors::{HasKind, Kind};
use hull_registry_client::{Auth, Config, Proxies, Registry, RegistryError};
use hull_types::ImageRef;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

// An address of this machine that is not loopback; nothing is sent to find it.
fn address() -> Option<std::net::IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").or_else(|_| socket.connect("10.255.255.255:9")).ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|address| !address.is_loopback())
}

fn openssl(directory: &Path, arguments: &str) {
    let mut command = Command::new("openssl");
    let output = command.current_dir(directory).args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

// A certificate authority, and certificates of its for the server and for a client.
fn certificates(directory: &Path, subject: &str) {
    let new_key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(directory, &format!("req -x509 {new_key} -keyout ca.key -out ca.crt -days 2 -subj /CN=test-ca"));
    std::fs::write(directory.join("server.ext"), format!("subjectAltName={subject}")).unwrap();
    std::fs::write(directory.join("client.ext"), "extendedKeyUsage=clientAuth").unwrap();
    for name in ["server", "client"] {
        openssl(directory, &format!("req {new_key} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
        openssl(
            directory,
            &format!(
                "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile {name}.ext -out {name}.cert"
            ),
        );
    }
}

async fn serve(directory: &Path, address: &str, want_client: bool) -> String {
    serve_with(directory, address, want_client, Arc::default(), "404 Not Found", "").await
}

// A server that gives this one answer, and notes the heads of what it is asked.
async fn serve_with(
    directory: &Path,
    address: &str,
    want_client: bool,
    log: Arc<Mutex<Vec<String>>>,
    status: &'static str,
    body: &'static str,
) -> String {
    hull_registry_client::install_crypto();
    let read = |name: &str| CertificateDer::from_pem_file(directory.join(name)).unwrap();
    let key = PrivateKeyDer::from_pem_file(directory.join("server.key")).unwrap();
    let builder = rustls::ServerConfig::builder();
    let builder = match want_client {
        true => {
            let mut roots = RootCertStore::empty();
            roots.add(read("ca.crt")).unwrap();
            builder.with_client_cert_verifier(WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap())
        }
        false => builder.with_no_client_auth(),
    };
    let config = builder.with_single_cert(vec![read("server.cert")], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((address, 0)).await.unwrap();
    let bound = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = [0; 4096];
            let read = stream.read(&mut head).await.unwrap_or(0);
            log.lock().unwrap().push(String::from_utf8_lossy(&head[..read]).into_owned());
            let length = body.len();
            let answer =
                format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    bound
}

async fn ask(config: Config, server: &str) -> RegistryError {
    let image: ImageRef = format!("{server}/a:1").parse().unwrap();
    Registry::new(config).repository(&image, None).resolve(&image).await.unwrap_err()
}

#[tokio::test]
async fn trust_is_what_the_administrator_gave() {
    let Some(address) = address().map(|address| address.to_string()) else { return };
    let directory = tempfile::tempdir().unwrap();
    certificates(directory.path(), &format!("IP:{address}"));
    let server = serve(directory.path(), &address, false).await;

    let error = ask(Config::default(), &server).await;
    assert!(error.to_string().contains("x509: certificate signed by unknown authority"), "{error}");
    assert!(error.to_string().starts_with("Head \"https://") && !error.is_temporary(), "{error}");

    // Answers count as trust: the manifest is "not found" by the registry's own word.
    let listed = Config { insecure: vec![server.clone()], ..Config::default() };
    assert_eq!(ask(listed, &server).await.kind(), Kind::NotFound);
    let certs = directory.path().join("certs.d");
    std::fs::create_dir_all(certs.join(&server)).unwrap();
    std::fs::copy(directory.path().join("ca.crt"), certs.join(&server).join("ca.crt")).unwrap();
    let with_certs = || Config { certs_dir: Some(certs.clone()), ..Config::default() };
    assert_eq!(ask(with_certs(), &server).await.kind(), Kind::NotFound);

    // A server that wants to know who asks.
    let private = serve(directory.path(), &address, true).await;
    let own = certs.join(&private);
    std::fs::create_dir_all(&own).unwrap();
    std::fs::copy(directory.path().join("ca.crt"), own.join("ca.crt")).unwrap();
    assert!(matches!(ask(with_certs(), &private).await, RegistryError::Transport { .. }));
    std::fs::copy(directory.path().join("client.cert"), own.join("client.cert")).unwrap();
    assert!(matches!(ask(with_certs(), &private).await, RegistryError::Certificates { .. }));
    std::fs::copy(directory.path().join("client.key"), own.join("client.key")).unwrap();
    assert_eq!(ask(with_certs(), &private).await.kind(), Kind::NotFound);
}

// A proxy that leads every tunnel to `to`, and the requests for tunnels that it got; those without a password are refused.
async fn tunnels(to: String) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (bound, asked) = (listener.local_addr().unwrap().to_string(), Arc::<Mutex<Vec<String>>>::default());
    let log = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else { break };
                head.push(byte);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let known = head.to_lowercase().contains("\r\nproxy-authorization: basic yw5uonb3\r\n");
            log.lock().unwrap().push(head);
            if !known {
                let _ = stream.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
                continue;
            }
            let mut server = tokio::net::TcpStream::connect(&to).await.unwrap();
            let _ = stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await;
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut stream, &mut server).await });
        }
    });
    (bound, asked)
}

#[tokio::test]
async fn a_registry_behind_a_proxy_is_trusted_as_any() {
    let directory = tempfile::tempdir().unwrap();
    certificates(directory.path(), "DNS:r.invalid");
    let server = serve(directory.path(), "127.0.0.1", false).await;
    let (proxy, asked) = tunnels(server).await;
    let certs = directory.path().join("certs.d");
    let behind = |user: &str| {
        let proxies = Proxies::new("", &format!("http://{user}{proxy}"), "");
        Config { certs_dir: Some(certs.clone()), proxies, ..Config::default() }
    };
    let error = ask(behind("ann:pw@"), "r.invalid").await;
    assert!(error.to_string().contains("x509: certificate signed by unknown authority"), "{error}");
    std::fs::create_dir_all(certs.join("r.invalid")).unwrap();
    std::fs::copy(directory.path().join("ca.crt"), certs.join("r.invalid/ca.crt")).unwrap();
    // The manifest is "not found" by the registry's own word, which came through the tunnel.
    assert_eq!(ask(behind("ann:pw@"), "r.invalid").await.kind(), Kind::NotFound);
    let error = ask(behind(""), "r.invalid").await.to_string();
    assert!(error.ends_with("proxyconnect tcp: Proxy Authentication Required"), "{error}");
    let asked = asked.lock().unwrap();
    assert!(asked.iter().all(|head| head.starts_with("CONNECT r.invalid:443 HTTP/1.1\r\n")), "{asked:?}");
}

// An image may say where else its layers are: whoever is there gets to know nobody.
#[tokio::test]
async fn cve_2020_15157_foreign_layers_are_fetched_without_credentials() {
    let Some(address) = address().map(|address| address.to_string()) else { return };
    let directory = tempfile::tempdir().unwrap();
    certificates(directory.path(), &format!("IP:{address}"));
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let elsewhere = serve_with(directory.path(), &address, false, asked.clone(), "200 OK", "layer").await;
    let certs = directory.path().join("certs.d");
    std::fs::create_dir_all(certs.join(&elsewhere)).unwrap();
    std::fs::copy(directory.path().join("ca.crt"), certs.join(&elsewhere).join("ca.crt")).unwrap();
    // A registry that knows ann, and has the manifest alone.
    let registry = server::Server::start(|request| match request.header("authorization") {
        "" => server::Answer::new(401, "").with("www-authenticate", r#"Basic realm="x""#),
        _ if request.target.contains("/blobs/") => server::Answer::new(404, ""),
        _ => server::Answer::new(200, r#"{"schemaVersion":2,"config":{},"layers":[]}"#)
            .with("content-type", "application/vnd.oci.image.manifest.v1+json"),
    })
    .await;
    let plain = server::Server::start(|_| server::Answer::new(200, "layer")).await;
    let image: ImageRef = format!("{}/a:1", registry.address).parse().unwrap();
    let auth = Auth { username: "ann".into(), password: "secret".into(), ..Auth::default() };
    let config = Config { certs_dir: Some(certs), ..Config::default() };
    let repository = Registry::new(config).repository(&image, Some(auth));
    repository.resolve(&image).await.unwrap();
    let wanted = serde_json::from_value(serde_json::json!({
        "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar", "size": 5,
        "digest": format!("sha256:{}", "0".repeat(64)),
        "urls": [format!("http://{}/layer", plain.address), format!("https://{elsewhere}/layer")]
    }))
    .unwrap();
    let mut blob = repository.blob(&wanted, 0).await.unwrap();
    assert_eq!(&blob.stream.next().await.unwrap().unwrap()[..], b"layer");
    let asked = asked.lock().unwrap();
    assert!(
        asked[0].starts_with("GET /layer ") && !asked[0].to_lowercase().contains("authorization"),
        "{asked:?}"
    );
    assert!(plain.requests().is_empty(), "layers come over https only");
}

#[tokio::test]
async fn a_plain_server_is_not_spoken_to_unless_listed() {
    let Some(address) = address() else { return };
    let listener = TcpListener::bind((address, 0)).await.unwrap();
    let server = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let read = stream.read(&mut head).await.unwrap_or(0);
            // To a TLS greeting, what Go's servers say to one.
            let status = if head[..read].starts_with(b"HEAD") || head[..read].starts_with(b"GET") {
                "404"
            } else {
                "400"
            };
            let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let error = ask(Config::default(), &server).await;
    let expected = format!(
        "Head \"https://{server}/v2/a/manifests/1\": http: server gave HTTP response to HTTPS client"
    );
    assert_eq!(error.to_string(), expected);
    let listed = Config { insecure: vec![server.clone()], ..Config::default() };
    assert_eq!(ask(listed, &server).await.kind(), Kind::NotFound);
    let network = Config { insecure: vec![format!("{address}/32")], ..Config::default() };
    assert_eq!(ask(network, &server).await.kind(), Kind::NotFound);
}
