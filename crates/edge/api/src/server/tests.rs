use super::*;
use crate::response::empty;
use crate::router::{Headers, Router};
use crate::version::ApiVersion;
use hyper::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

type Ends = mpsc::Sender<UnixStream>;

// Answers with an attachment whose other end the test gets; `GET /refused` fails, `GET /_ping` is plain.
fn router(ends: Ends, tty: bool) -> Arc<Router> {
    let mut router = Router::new(Headers::new("1", false));
    router.add("GET /_ping", &(), |(), _| async { empty(StatusCode::OK) });
    router.add_hijack("POST /attach", &ends, move |ends: Ends, mut call| async move {
        call.bytes(1 << 20).await?;
        if call.query.flag("refuse") {
            return Err(crate::status::Failure::invalid("refused"));
        }
        let (ours, theirs) = UnixStream::pair().unwrap();
        ends.send(theirs).await.unwrap();
        let (output, input) = ours.into_split();
        let streams = (Box::new(output) as _, Box::new(input) as _);
        let content_type = hijack::content_type(tty, call.version);
        let (replay, keys) = (Bytes::from_static(b"old "), tty.then(Default::default));
        Ok(Hijack::of(call.wants_upgrade(), content_type, replay, Some(streams), keys, true).reply())
    });
    Arc::new(router)
}

fn start(tty: bool) -> (DuplexStream, mpsc::Receiver<UnixStream>) {
    let (ends, receiver) = mpsc::channel(1);
    let (client, server) = tokio::io::duplex(4096);
    let (_keep, shutdown) = watch::channel(false);
    // The sender is kept: a daemon that is gone is no shutdown.
    std::mem::forget(_keep);
    tokio::spawn(serve(server, Hangup::new(None), router(ends, tty), shutdown));
    (client, receiver)
}

async fn read_until(client: &mut DuplexStream, end: &str) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end.as_bytes()) {
        let Ok(byte) = client.read_u8().await else {
            panic!("ended after {}", String::from_utf8_lossy(&bytes))
        };
        bytes.push(byte);
    }
    String::from_utf8(bytes).unwrap()
}

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: tcp\r\n";

async fn talk(mut client: DuplexStream, mut ends: mpsc::Receiver<UnixStream>) {
    let mut container = ends.recv().await.unwrap();
    assert_eq!(read_until(&mut client, "old ").await, "old ");
    container.write_all(b"new ").await.unwrap();
    assert_eq!(read_until(&mut client, "new ").await, "new ");
    client.write_all(b" more").await.unwrap();
    client.shutdown().await.unwrap();
    let mut input = String::new();
    container.read_to_string(&mut input).await.unwrap();
    assert_eq!(input, "early more");
    // The client's end of input is not the end of the output.
    container.write_all(b"bye").await.unwrap();
    drop(container);
    let mut rest = String::new();
    client.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "bye");
}

#[tokio::test]
async fn an_upgrade_is_answered_in_dockers_words() {
    let (mut client, ends) = start(false);
    client
        .write_all(format!("POST /attach HTTP/1.1\r\nHost: x\r\n{UPGRADE}\r\nearly").as_bytes())
        .await
        .unwrap();
    assert_eq!(
        read_until(&mut client, "\r\n\r\n").await,
        "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
    );
    talk(client, ends).await;
}

#[tokio::test]
async fn without_an_upgrade_the_stream_follows_a_bare_200_at_any_place_of_a_connection() {
    let (mut client, ends) = start(false);
    for _ in 0..3 {
        client.write_all(b"GET /v1.41/_ping HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        assert!(read_until(&mut client, "\r\n\r\n").await.starts_with("HTTP/1.1 200 OK\r\n"));
    }
    client.write_all(b"POST /attach HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}early").await.unwrap();
    assert_eq!(
        read_until(&mut client, "\r\n\r\n").await,
        "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n"
    );
    talk(client, ends).await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let (mut client, ends) = start(false);
    let ping = "GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n";
    client
        .write_all(format!("{ping}{ping}POST /attach HTTP/1.1\r\nHost: x\r\n\r\nearly").as_bytes())
        .await
        .unwrap();
    for _ in 0..2 {
        assert!(read_until(&mut client, "\r\n\r\n").await.contains("Docker-Experimental: false\r\n"));
    }
    assert!(read_until(&mut client, "\r\n\r\n").await.contains("raw-stream"));
    talk(client, ends).await;
}

#[tokio::test]
async fn a_chunked_body_and_an_early_end_of_input_are_understood() {
    let (mut client, mut ends) = start(false);
    let request =
        "POST /v1.41/attach HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\nin";
    client.write_all(request.as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    let mut container = ends.recv().await.unwrap();
    let mut input = String::new();
    container.read_to_string(&mut input).await.unwrap();
    assert_eq!(input, "in");
    container.write_all(b"out").await.unwrap();
    drop(container);
    let mut all = String::new();
    client.read_to_string(&mut all).await.unwrap();
    assert!(all.ends_with("\r\n\r\nold out"), "{all}");
}

#[tokio::test]
async fn a_body_cut_short_ends_the_connection() {
    let (mut client, _ends) = start(false);
    client.write_all(b"POST /attach HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{}").await.unwrap();
    client.shutdown().await.unwrap();
    let mut all = String::new();
    client.read_to_string(&mut all).await.unwrap();
    assert!(all.is_empty() || all.starts_with("HTTP/1.1 400"), "{all}");
}

#[tokio::test]
async fn a_refused_hijack_leaves_the_connection_usable() {
    let (mut client, _ends) = start(false);
    for _ in 0..2 {
        client.write_all(b"POST /attach?refuse=1 HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        assert!(read_until(&mut client, "\r\n\r\n").await.starts_with("HTTP/1.1 400"));
        assert_eq!(read_until(&mut client, "\n").await, "{\"message\":\"refused\"}\n");
    }
}

#[tokio::test]
async fn detach_keys_close_a_terminals_connection() {
    let (mut client, mut ends) = start(true);
    client.write_all(format!("POST /attach HTTP/1.1\r\nHost: x\r\n{UPGRADE}\r\n").as_bytes()).await.unwrap();
    let mut container = ends.recv().await.unwrap();
    assert!(read_until(&mut client, "old ").await.contains("vnd.docker.raw-stream"));
    client.write_all(b"ls\x10\x11never").await.unwrap();
    let mut all = String::new();
    client.read_to_string(&mut all).await.unwrap();
    let mut input = String::new();
    container.read_to_string(&mut input).await.unwrap();
    assert_eq!((all.as_str(), input.as_str()), ("", "ls"));
}

#[tokio::test]
async fn quotes_in_a_query_are_no_error() {
    let (mut client, _ends) = start(false);
    let request = "GET /_ping?filters={\"status\":[\"exited\"]} HTTP/1.1\r\nHost: \"x\"\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    assert!(read_until(&mut client, "\r\n\r\n").await.starts_with("HTTP/1.1 200 OK\r\n"));
    let plain: &[u8] = b"POST /a?b=%22 HTTP/1.1\r\nX: \"?\"\r\n\r\n\"?\"";
    assert_eq!(with_quotes_encoded(plain), plain);
    assert_eq!(with_quotes_encoded(b"GET /\"?a=\"b\""), b"GET /\"?a=%22b%22");
}

#[tokio::test]
async fn unknown_paths_and_versions() {
    let (mut client, _ends) = start(false);
    client.write_all(b"GET /nope HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let head = read_until(&mut client, "\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 404") && !head.contains("Api-Version"), "{head}");
    assert_eq!(read_until(&mut client, "\n").await, "{\"message\":\"page not found\"}\n");
    client.write_all(b"GET /v1.99/_ping HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let head = read_until(&mut client, "\r\n\r\n").await;
    assert!(
        head.starts_with("HTTP/1.1 400")
            && head.contains("Api-Version: 1.51")
            && head.contains("Ostype: linux")
    );
    assert!(read_until(&mut client, "\n").await.contains("too new"));
    client.write_all(b"GET /v1.12/_ping HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(read_until(&mut client, "\r\n\r\n").await.contains("Content-Type: text/plain"));
    assert!(read_until(&mut client, "\n").await.starts_with("client version 1.12 is too old"));
    assert_eq!(ApiVersion::NEWEST, ApiVersion::v1(51));
}
