//! User notification: the listener gets the descriptor and the state, for `create` and for `exec`.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use std::os::unix::net::UnixListener;
use support::Bundle;

/// Answers notifications of `sethostname`, `sendmsg` and `wait4` until nobody is left: the first with an error number
/// of its own, the others by letting them go on.
const AGENT: &str = r#"
import array, ctypes, json, socket, struct, sys, fcntl
server = socket.socket(fileno=int(sys.argv[1]))
connection, _ = server.accept()
data, fds = b"", array.array("i")
message, ancillary, _, _ = connection.recvmsg(65536, socket.CMSG_SPACE(32))
for level, kind, content in ancillary:
    fds.frombytes(content[:len(content) - len(content) % 4])
print(message.decode(), len(fds), flush=True)
RECEIVE, SEND = 0xc0502100, 0xc0182101
while True:
    buffer = bytearray(80)
    try:
        fcntl.ioctl(fds[0], RECEIVE, buffer)
    except OSError:
        break
    identity, pid, flags, number = struct.unpack_from("=QIIi", buffer)
    error, flag = (-77, 0) if number == 170 else (0, 1)
    try:
        fcntl.ioctl(fds[0], SEND, bytearray(struct.pack("=QqiI", identity, 0, error, flag)))
    except OSError:
        pass
"#;

fn agent(listener: &UnixListener) -> std::process::Child {
    use std::process::{Command, Stdio};
    let copy = listener.try_clone().unwrap();
    Command::new("python3")
        .args(["-c", AGENT, "0"])
        .stdin(std::os::fd::OwnedFd::from(copy))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn bundle(script: &str, listener: &std::path::Path) -> Bundle {
    let mut bundle = Bundle::new(script);
    bundle.set_capabilities(&["SYS_ADMIN"]);
    bundle.spec["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": listener,
        "listenerMetadata": "some \"metadata\"",
        // What the runtime itself would need to hand the descriptor over is asked about, too.
        "syscalls": [{"names": ["sethostname", "sendmsg", "close", "waitid", "exit_group"], "action": "SCMP_ACT_NOTIFY"}],
    });
    bundle
}

fn check_state(line: &str, bundle: &Bundle, status: &str, pid: i64) {
    let (state, fds) = line.trim().rsplit_once(' ').unwrap();
    assert_eq!(fds, "1");
    let state: Value = serde_json::from_str(state).unwrap();
    assert_eq!(state["fds"], json!(["seccompFd"]));
    assert_eq!(state["metadata"], "some \"metadata\"");
    assert_eq!(state["state"]["id"], bundle.id.as_str());
    assert_eq!(state["state"]["status"], status);
    assert_eq!(state["pid"], pid);
}

#[test]
fn the_listener_of_create_and_of_exec() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("listener");
    let listener = UnixListener::bind(&path).unwrap();
    for no_new_privileges in [false, true] {
        let mut bundle = bundle("hostname changed; echo $?; sleep 1000", &path);
        bundle.spec["process"]["noNewPrivileges"] = json!(no_new_privileges);
        let first = agent(&listener);
        bundle.start();
        let said = |mut child: std::process::Child, bundle: &Bundle, status: &str, pid: i64| {
            use std::io::BufRead;
            let mut line = String::new();
            std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
            check_state(&line, bundle, status, pid);
            child
        };
        let pid = bundle.state()["pid"].as_i64().unwrap();
        let mut first = said(first, &bundle, "creating", pid);
        let errors = bundle.directory.path().join("stderr");
        for _ in 0..500 {
            if std::fs::read_to_string(&errors).unwrap().contains("not changed") {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
            if std::fs::read_to_string(bundle.directory.path().join("stdout")).unwrap().contains('1') {
                break;
            }
        }
        let text = std::fs::read_to_string(&errors).unwrap();
        // 77 is "File descriptor in bad state": nobody but the agent says so.
        assert!(text.contains("bad state"), "{text}");

        let second = agent(&listener);
        let pid_file = directory.path().join("pid");
        let output = bundle.call(&[
            "exec",
            "--pid-file",
            pid_file.to_str().unwrap(),
            "ID",
            "sh",
            "-c",
            "hostname again",
        ]);
        assert!(String::from_utf8_lossy(&output.stderr).contains("bad state"), "{output:?}");
        let pid: i64 = std::fs::read_to_string(&pid_file).unwrap().parse().unwrap();
        let mut second = said(second, &bundle, "running", pid);
        bundle.ok(&["kill", "ID", "KILL"]);
        bundle.wait_for("stopped");
        assert!(first.wait().unwrap().success());
        assert!(second.wait().unwrap().success());
    }
}

#[test]
fn a_notification_without_a_listener_is_refused() {
    let mut bundle = bundle("true", std::path::Path::new("/nowhere/listener"));
    assert!(bundle.failure().contains("/nowhere/listener"));
    bundle.spec["linux"]["seccomp"]["listenerPath"] = json!("");
    assert!(bundle.failure().contains("SCMP_ACT_NOTIFY needs a listenerPath"));
    bundle.spec["linux"]["seccomp"]["listenerPath"] = json!("/x");
    bundle.spec["linux"]["seccomp"]["syscalls"][0]["names"] = json!(["write"]);
    assert!(bundle.failure().contains("write"));
}
