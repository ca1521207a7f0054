//! Clients that are neither `hull` nor the docker CLI: docker-py 5.0 and docker-compose 1.29, both Debian's, and what a
//! browser does to attach.
#![allow(clippy::unwrap_used)]

use hull_e2e::{World, eventually};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

#[test]
fn docker_py_finds_what_it_expects() {
    let world = World::start();
    // Debian's Python, which has Debian's docker-py.
    let mut command = world.command("/usr/bin/python3");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/docker_py.py")).arg(world.socket());
    assert_eq!(world.run(command, None).ok(), "done");
    world.stop();
}

#[test]
fn compose_brings_a_project_up_and_down() {
    let world = World::start();
    let file = world.directory().join("docker-compose.yml");
    let project = r#"
version: "3"
services:
  web: {image: nginx, ports: ["8090:80"], volumes: ["data:/srv"]}
  job: {image: busybox, command: "sh -c 'echo job done'", depends_on: [web]}
volumes: {data: {}}
"#;
    std::fs::write(&file, project).expect("the project's file");
    let compose = |words: &[&str]| {
        let mut command = world.command("/usr/bin/docker-compose");
        command.env("DOCKER_HOST", format!("unix://{}", world.socket().display()));
        command.args(["-p", "sea", "-f"]).arg(&file).args(words);
        world.run(command, None)
    };
    compose(&["up", "-d"]).ok();
    eventually("the web service answers", 10, || {
        world.sh("curl -s http://127.0.0.1:8090/").stdout.contains("Welcome to nginx").then_some(())
    });
    eventually("the job is done", 10, || compose(&["logs", "job"]).ok().contains("job done").then_some(()));
    assert!(compose(&["ps"]).ok().contains("0.0.0.0:8090->80/tcp"));
    assert_eq!(compose(&["exec", "-T", "web", "echo", "inside"]).ok(), "inside");
    compose(&["up", "-d", "--scale", "job=2"]).ok();
    compose(&["restart", "-t", "1", "web"]).ok();
    compose(&["down", "-v", "-t", "1"]).ok();
    assert_eq!(world.hull(&["ps", "-aq"]).ok(), "");
    assert_eq!(world.hull(&["volume", "ls", "-q"]).ok(), "");
    assert_eq!(world.hull(&["network", "ls", "-q"]).ok().lines().count(), 3);
    world.stop();
}

/// A WebSocket's client end (RFC 6455).
struct Browser(UnixStream);

impl Browser {
    /// Connects and shakes hands; the answer's head.
    fn connect(world: &World, path: &str) -> (Self, String) {
        let mut socket = UnixStream::connect(world.socket()).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nOrigin: http://x\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        (Self(socket), String::from_utf8(head).unwrap())
    }

    /// Sends a frame, masked as a client must.
    fn send(&mut self, first: u8, payload: &[u8]) {
        let mask = [17, 0, 255, 3];
        let mut frame = vec![first, 0x80 | u8::try_from(payload.len()).unwrap()];
        frame.extend(mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.0.write_all(&frame).unwrap();
    }

    /// The next frame's first byte and payload; `None`: the connection ended.
    fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).ok()?;
        assert!(head[1] < 127, "neither masked nor long: {head:?}");
        let mut length = usize::from(head[1]);
        if length == 126 {
            let mut long = [0; 2];
            self.0.read_exact(&mut long).unwrap();
            length = usize::from(u16::from_be_bytes(long));
        }
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).unwrap();
        Some((head[0], payload))
    }

    /// All frames to the end: the bytes of those of that kind, and the others.
    fn rest(&mut self, kind: u8) -> (String, Vec<(u8, Vec<u8>)>) {
        let (mut text, mut others) = (String::new(), Vec::new());
        while let Some((first, payload)) = self.frame() {
            if first == kind {
                text.push_str(&String::from_utf8(payload).unwrap());
            } else {
                others.push((first, payload));
            }
        }
        (text, others)
    }

    /// Frames with output until they end with `text`.
    fn until(&mut self, text: &str) {
        let mut all = String::new();
        while !all.ends_with(text) {
            let (first, payload) = self.frame().unwrap_or_else(|| panic!("ended after {all:?}"));
            assert_eq!(first, 0x82);
            all.push_str(&String::from_utf8(payload).unwrap());
        }
    }
}

const CLOSED_NORMALLY: (u8, [u8; 2]) = (0x88, [3, 232]);

#[test]
fn a_browser_attaches_over_a_websocket() {
    let world = World::start();
    let all = "stream=1&stdin=1&stdout=1&stderr=1";
    world.hull(&["create", "-i", "--name", "cat", "busybox", "sh", "-c", "cat; echo end >&2"]).ok();
    let (mut browser, head) = Browser::connect(&world, &format!("/v1.51/containers/cat/attach/ws?{all}"));
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    assert!(head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{head}");
    world.hull(&["start", "cat"]).ok();
    // A message in parts, with a ping between them.
    browser.send(0x02, b"frag");
    browser.send(0x89, b"there?");
    assert_eq!(browser.frame(), Some((0x8a, b"there?".to_vec())));
    browser.send(0x80, b"ments\n");
    browser.until("fragments\n");
    browser.send(0x81, b"a line of text\n");
    browser.until("a line of text\n");
    // The client's half is over: standard input ends, and the connection stays for what is still said.
    browser.0.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(browser.rest(0x82), ("end\n".into(), vec![(CLOSED_NORMALLY.0, CLOSED_NORMALLY.1.to_vec())]));

    // What was said before, in text for clients that are so old, and without a stream the end after it.
    let (mut browser, _) = Browser::connect(&world, "/v1.27/containers/cat/attach/ws?logs=1");
    let said = "fragments\na line of text\nend\n";
    assert_eq!(browser.rest(0x81), (said.into(), vec![(CLOSED_NORMALLY.0, CLOSED_NORMALLY.1.to_vec())]));
    let (mut browser, _) = Browser::connect(&world, "/v1.51/containers/cat/attach/ws?logs=1&stderr=1");
    assert_eq!(browser.rest(0x82).0, "end\n");

    // A close is answered with the same, and ends what only this client fed.
    world.hull(&["create", "-i", "--name", "wc", "busybox", "wc", "-c"]).ok();
    let (mut browser, _) = Browser::connect(&world, &format!("/containers/wc/attach/ws?{all}"));
    world.hull(&["start", "wc"]).ok();
    browser.send(0x82, b"12345");
    browser.send(0x88, &[15, 160]);
    assert_eq!(browser.rest(0x82), (String::new(), vec![(0x88, vec![15, 160])]));
    assert_eq!(world.hull(&["wait", "wc"]).ok(), "0");
    assert_eq!(world.hull(&["logs", "wc"]).ok(), "5");

    // A terminal has no framing, but keys to leave it; a frame without mask ends the connection.
    world.hull(&["run", "-dit", "--name", "term", "busybox", "cat"]).ok();
    let (mut browser, _) = Browser::connect(&world, &format!("/containers/term/attach/ws?{all}"));
    browser.send(0x82, b"hi\n");
    browser.until("hi\r\nhi\r\n");
    browser.send(0x82, b"\x10\x11");
    assert_eq!(browser.rest(0x82), (String::new(), vec![(CLOSED_NORMALLY.0, CLOSED_NORMALLY.1.to_vec())]));
    let (mut browser, _) = Browser::connect(&world, &format!("/containers/term/attach/ws?{all}"));
    browser.0.write_all(&[0x82, 1, b'x']).unwrap();
    assert_eq!(browser.rest(0x82).1, [(0x88, vec![3, 234])]);
    assert_eq!(world.hull(&["inspect", "-f", "{{.State.Status}}", "term"]).ok(), "running");

    let (_, head) = Browser::connect(&world, "/containers/none/attach/ws?stream=1");
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
    let line = format!(
        "curl -s -w ' %{{http_code}}' --unix-socket {} http://x/containers/term/attach/ws",
        world.socket().display()
    );
    assert_eq!(world.sh(&line).ok(), "{\"message\":\"not websocket protocol\"}\n 400");
    world.hull(&["rm", "-f", "cat", "wc", "term"]).ok();
    world.stop();
}
