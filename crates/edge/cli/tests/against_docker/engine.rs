//! An engine that answers from a table and remembers what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};

/// What was asked.
#[derive(Debug, Clone)]
pub struct Call {
    pub method: String,
    /// Without version and query.
    pub path: String,
    /// Sorted.
    pub query: Vec<String>,
    pub body: String,
}

/// The engine; its socket goes with it.
pub struct Engine {
    directory: tempfile::TempDir,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Engine {
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory for the socket");
        let listener = UnixListener::bind(directory.path().join("engine.sock")).expect("a socket");
        let calls: Arc<Mutex<Vec<Call>>> = Arc::default();
        let seen = calls.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = seen.clone();
                std::thread::spawn(move || serve(stream, &seen));
            }
        });
        Self { directory, calls }
    }
    pub fn address(&self) -> String {
        format!("unix://{}/engine.sock", self.directory.path().display())
    }
    /// The body that was sent to this path since this was last asked.
    pub fn sent_to(&self, path: &str) -> Option<String> {
        let calls = std::mem::take(&mut *self.calls.lock().expect("no one panicked"));
        calls.into_iter().find(|call| call.path == path).map(|call| call.body)
    }
    /// The calls since this was last asked, without those that only find out about the engine.
    pub fn calls(&self) -> Vec<Call> {
        let calls = std::mem::take(&mut *self.calls.lock().expect("no one panicked"));
        calls.into_iter().filter(|call| call.path != "/_ping").collect()
    }
}

fn serve(stream: UnixStream, calls: &Mutex<Vec<Call>>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut writer = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let (mut length, mut upgrade) = (0, false);
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header).unwrap_or(0) == 0 || header.trim().is_empty() {
                break;
            }
            let header = header.to_lowercase();
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            upgrade |= header.starts_with("upgrade:");
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let mut words = line.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (bare, query) = path.split_once('?').unwrap_or((path, ""));
        let mut query: Vec<String> = query.split('&').map(str::to_owned).collect();
        query.sort();
        let bare = bare.split_once("/v1.50").map_or(bare, |(_, rest)| rest).to_owned();
        let body = String::from_utf8_lossy(&body).into_owned();
        let call = Call { method: method.into(), path: bare, query, body };
        calls.lock().expect("no one panicked").push(call);
        if upgrade {
            hijack(&mut writer, path);
            return;
        }
        let (status, answer) = answer(method, path);
        let head = format!(
            "HTTP/1.1 {status} X\r\nApi-Version: 1.50\r\nOstype: linux\r\nDocker-Experimental: false\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n",
            if answer.starts_with(b"\x01") {
                "application/vnd.docker.multiplexed-stream"
            } else {
                "application/json"
            },
            answer.len()
        );
        let sent = writer.write_all(head.as_bytes());
        if sent.and_then(|()| if method == "HEAD" { Ok(()) } else { writer.write_all(&answer) }).is_err() {
            return;
        }
    }
}

fn frame(kind: u8, text: &str) -> Vec<u8> {
    let mut out = vec![kind, 0, 0, 0];
    out.extend((text.len() as u32).to_be_bytes());
    out.extend(text.as_bytes());
    out
}

fn hijack(writer: &mut UnixStream, path: &str) {
    let head = "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
    let text = if path.contains("/exec/") { "executed\n" } else { "attached\n" };
    let out = [head.as_bytes(), &frame(1, text), &frame(2, "to stderr\n")].concat();
    let _ = writer.write_all(&out);
    let _ = writer.shutdown(std::net::Shutdown::Write);
}

pub const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// What is answered; names ask for special treatment (`gone`, `broken`).
fn answer(method: &str, path: &str) -> (u16, Vec<u8>) {
    let text = |status: u16, text: &str| (status, text.as_bytes().to_vec());
    let path = path.split_once("/v1.50").map_or(path, |(_, rest)| rest);
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    if path.contains("gone") {
        return text(404, "{\"message\":\"No such container: gone\"}\n");
    }
    if path.contains("broken") || query.contains("broken") {
        return text(500, "{\"message\":\"it is broken\"}\n");
    }
    match (method, path) {
        (_, "/_ping") => text(200, "OK"),
        (_, "/containers/create") if query.contains("taken") => {
            text(409, "{\"message\":\"Conflict. The name is taken\"}\n")
        }
        (_, "/containers/create") => {
            (201, format!("{{\"Id\":\"{ID}\",\"Warnings\":[\"mind this\"]}}\n").into_bytes())
        }
        ("GET", "/containers/json") => (200, LIST.replace("ID", ID).into_bytes()),
        ("POST", "/containers/prune") => {
            (200, format!("{{\"ContainersDeleted\":[\"{ID}\"],\"SpaceReclaimed\":2048}}").into_bytes())
        }
        ("GET", path) if path.ends_with("/top") => text(
            200,
            r#"{"Titles":["UID","PID","CMD"],"Processes":[["root","1","sleep 100"],["nobody","22","x"]]}"#,
        ),
        ("GET", path) if path.ends_with("/changes") => {
            text(200, r#"[{"Path":"/a","Kind":0},{"Path":"/a/b","Kind":1},{"Path":"/c","Kind":2}]"#)
        }
        ("GET", path) if path.ends_with("/logs") => {
            (200, [frame(1, "out 1\n"), frame(2, "err 1\n"), frame(1, "out 2\n")].concat())
        }
        ("GET", path) if path.ends_with("/export") => text(200, "not really a tar"),
        ("GET", path) if path.ends_with("/stats") => text(200, STATS),
        ("GET", path) if path.starts_with("/exec/") => {
            text(200, r#"{"ID":"e1","Running":false,"ExitCode":3,"Pid":5}"#)
        }
        ("POST", path) if path.ends_with("/exec") => text(201, r#"{"Id":"e1"}"#),
        ("POST", path) if path.ends_with("/wait") => text(200, "{\"StatusCode\":7}\n"),
        ("POST", path) if path.ends_with("/update") => text(200, "{\"Warnings\":null}"),
        ("POST", "/commit") => text(201, "{\"Id\":\"sha256:abc\"}"),
        ("GET", path) if path.starts_with("/containers/") && path.ends_with("/json") => {
            (200, INSPECT.replace("ID", ID).into_bytes())
        }
        (_, path) if path.starts_with("/containers/") || path.starts_with("/exec/") => text(204, ""),
        _ => text(404, "{\"message\":\"page not found\"}\n"),
    }
}

const LIST: &str = r#"[{"Id":"ID","Names":["/web","/other/web"],"Image":"nginx:1","ImageID":"sha256:aaaa","Command":"/docker-entrypoint.sh nginx -g 'daemon off;'","Created":1500000000,
"Ports":[{"IP":"0.0.0.0","PrivatePort":80,"PublicPort":8080,"Type":"tcp"},{"IP":"::","PrivatePort":80,"PublicPort":8080,"Type":"tcp"},{"PrivatePort":443,"Type":"tcp"},{"IP":"0.0.0.0","PrivatePort":90,"PublicPort":90,"Type":"tcp"},{"IP":"0.0.0.0","PrivatePort":91,"PublicPort":91,"Type":"tcp"}],
"Labels":{"com.example.some-label":"x y"},"State":"running","Status":"Up 2 hours","SizeRw":1234,"SizeRootFs":12345678,"HostConfig":{"NetworkMode":"default"},
"NetworkSettings":{"Networks":{"bridge":{"NetworkID":"n"}}},"Mounts":[{"Type":"volume","Name":"averyveryverylongname","Source":"","Destination":"/d","Driver":"local","Mode":"z","RW":true,"Propagation":""}]},
{"Id":"fID","Names":["/b"],"Image":"sha256:aaaa","ImageID":"sha256:aaaa","Command":"sh","Created":1600000000,"Ports":[],"Labels":{},"State":"exited","Status":"Exited (0) 3 days ago","HostConfig":{},"NetworkSettings":{"Networks":{}},"Mounts":[]}]"#;

const INSPECT: &str = r#"{"Id":"ID","Created":"2024-01-02T03:04:05.6Z","Name":"/web","State":{"Status":"running","Running":true,"Paused":false,"Pid":5,"StartedAt":"2024-01-02T03:04:05Z","FinishedAt":"0001-01-01T00:00:00Z"},
"Config":{"Tty":false,"OpenStdin":true,"Image":"nginx:1","Labels":{"a.b":"<c>"}},"HostConfig":{"AutoRemove":false,"NetworkMode":"default"},
"NetworkSettings":{"Ports":{"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"8080"},{"HostIp":"::","HostPort":"8080"}],"443/tcp":null,"9/udp":[{"HostIp":"127.0.0.1","HostPort":"1009"}]},"Networks":{}},"Mounts":[],"Args":[],"Empty":{}}"#;

const STATS: &str = r#"{"name":"/web","id":"0123456789abcdef","read":"2024-01-02T03:04:05Z","preread":"2024-01-02T03:04:04Z","pids_stats":{"current":4},"blkio_stats":{"io_service_bytes_recursive":[{"op":"read","value":5000},{"op":"write","value":70}]},
"cpu_stats":{"cpu_usage":{"total_usage":300},"system_cpu_usage":2000,"online_cpus":2},"precpu_stats":{"cpu_usage":{"total_usage":100},"system_cpu_usage":1000},
"memory_stats":{"usage":3145728,"limit":1073741824,"stats":{"inactive_file":1048576}},"networks":{"eth0":{"rx_bytes":1000,"tx_bytes":2000}}}"#;
