//! The verbs, from create to delete.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use serde_json::json;
use std::fs;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use support::Bundle;

#[test]
fn a_container_lives_and_leaves_nothing() {
    let bundle = Bundle::new("echo started; sleep 1000");
    bundle.save();
    bundle.create();
    assert_eq!(bundle.state()["status"], "created");
    assert_eq!(fs::read_to_string(bundle.directory.path().join("stdout")).unwrap(), "", "it waits for start");
    assert!(bundle.fails(&["create", "ID"]).contains("already exists"));
    bundle.ok(&["start", "ID"]);
    assert_eq!(bundle.state()["status"], "running");
    assert!(bundle.fails(&["start", "ID"]).contains("already running"));
    assert!(bundle.fails(&["delete", "ID"]).contains("not stopped: running"));

    let rows: serde_json::Value = serde_json::from_str(&bundle.ok(&["list", "-f", "json"])).unwrap();
    assert_eq!(rows[0]["id"], bundle.id.as_str());
    assert_eq!(bundle.ok(&["list", "-q"]).trim(), bundle.id);
    let pids: Vec<i64> = serde_json::from_str(&bundle.ok(&["ps", "-f", "json", "ID"])).unwrap();
    assert!(pids.contains(&bundle.state()["pid"].as_i64().unwrap()));

    bundle.ok(&["pause", "ID"]);
    assert_eq!(bundle.state()["status"], "paused");
    assert!(bundle.fails(&["exec", "ID", "true"]).contains("paused"));
    bundle.ok(&["resume", "ID"]);

    bundle.ok(&["kill", "ID", "KILL"]);
    bundle.wait_for("stopped");
    assert_eq!(bundle.state()["pid"], 0);
    assert!(bundle.fails(&["kill", "ID", "TERM"]).contains("not running"));
    assert!(bundle.fails(&["exec", "ID", "true"]).contains("not running"));
    bundle.ok(&["delete", "ID"]);
    assert!(bundle.fails(&["state", "ID"]).contains("does not exist"));
    bundle.ok(&["delete", "--force", "ID"]);
    bundle.assert_nothing_left();
}

#[test]
fn the_exit_status_comes_out() {
    for (script, code) in
        [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$; sleep 5", 143), ("kill -KILL $$", 137)]
    {
        // A pid namespace's first process gets no signal without a handler: the shell is not it here.
        let bundle = Bundle::new(&format!("sh -c '{script}'; exit $?"));
        assert_eq!(bundle.run().status.code(), Some(code), "{script}");
    }
}

#[test]
fn a_bad_command_is_known_before_start() {
    for (program, text) in [
        ("nope", r#"exec: "nope": executable file not found in $PATH"#),
        ("/nope", r#"exec: "/nope": stat /nope: no such file or directory"#),
        ("/etc", r#"exec: "/etc": is a directory"#),
        ("/etc/passwd", r#"exec: "/etc/passwd": permission denied"#),
    ] {
        let mut bundle = Bundle::new("");
        bundle.spec["process"]["args"] = json!([program]);
        let said = bundle.failure();
        let whole = format!("unable to start container process: error during container init: {text}");
        assert!(said.contains(&whole), "{said}");
    }
}

#[test]
fn a_program_of_another_format_says_so_on_its_stderr() {
    let mut bundle = Bundle::new("");
    let path = bundle.root().join("bin/text");
    fs::write(&path, "no program").unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    bundle.spec["process"]["args"] = json!(["text"]);
    let output = bundle.run();
    assert_eq!(output.status.code(), Some(255));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "exec /bin/text: exec format error\n");
}

#[test]
fn exec_joins_the_container() {
    let mut bundle = Bundle::new("sleep 1000");
    bundle.spec["process"]["noNewPrivileges"] = json!(false);
    bundle.start();
    let said = bundle.ok(&[
        "exec",
        "ID",
        "sh",
        "-c",
        "hostname; readlink /proc/1/ns/net; readlink /proc/self/ns/net; id -u",
    ]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!((lines[0], lines[3]), ("hull", "0"));
    assert_eq!(lines[1], lines[2]);
    let view = bundle.ok(&["exec", "ID", "cat", "/proc/self/cgroup"]);
    assert!(view.lines().all(|line| line.ends_with(":/")), "{view}");
    assert_eq!(bundle.call(&["exec", "ID", "sh", "-c", "exit 9"]).status.code(), Some(9));
    let said = bundle.fails(&["exec", "ID", "nope"]);
    let text =
        "exec failed: unable to start container process: exec: \"nope\": executable file not found in $PATH";
    assert!(said.contains(text), "{said}");
    assert_eq!(bundle.call(&["exec", "ID", "nope"]).status.code(), Some(255));
    assert_eq!(
        bundle.ok(&[
            "exec",
            "-u",
            "1000:7",
            "-e",
            "A=b",
            "--cwd",
            "/tmp",
            "ID",
            "sh",
            "-c",
            "id -u; id -g; echo $A; pwd; echo $HOME"
        ]),
        "1000\n7\nb\n/tmp\n/home/u\n"
    );
    for bad in ["root", "+1", "1:", "4294967296"] {
        assert!(bundle.fails(&["exec", "-u", bad, "ID", "true"]).contains("invalid user"));
    }
}

#[test]
fn exec_gets_the_containers_filter_and_no_descriptor() {
    let mut bundle = Bundle::new("sleep 1000");
    bundle.spec["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 30}]});
    for no_new_privileges in [true, false] {
        bundle.spec["process"]["noNewPrivileges"] = json!(no_new_privileges);
        bundle.start();
        let output = bundle.call(&["exec", "ID", "mkdir", "/tmp/x"]);
        assert!(String::from_utf8_lossy(&output.stderr).contains("Read-only file system"), "{output:?}");
        let status = bundle.ok(&["exec", "ID", "grep", "-E", "^(Seccomp|NoNewPrivs):", "/proc/self/status"]);
        assert_eq!(status, format!("NoNewPrivs:\t{}\nSeccomp:\t2\n", u8::from(no_new_privileges)));
        // Three streams, and the one that ls itself has open.
        assert_eq!(bundle.ok(&["exec", "ID", "ls", "/proc/self/fd"]).lines().count(), 4);
        bundle.ok(&["delete", "-f", "ID"]);
    }
}

#[test]
fn a_terminal_is_handed_out() {
    let mut bundle = Bundle::new("tty; stty size; ls /dev/pts; read line; echo got $line");
    bundle.spec["process"]["terminal"] = json!(true);
    bundle.spec["process"]["consoleSize"] = json!({"height": 33, "width": 77});
    bundle.save();
    assert!(bundle.fails(&["create", "ID"]).contains("console socket"));
    let path = bundle.directory.path().join("console.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let pid_file = bundle.directory.path().join("pid");
    bundle.ok(&[
        "create",
        "--console-socket",
        path.to_str().unwrap(),
        "--pid-file",
        pid_file.to_str().unwrap(),
        "ID",
    ]);
    let (stream, _) = listener.accept().unwrap();
    let (message, mut fds) = hull_sys::socket::receive(stream.as_fd(), 100).unwrap();
    assert_eq!(message, b"/dev/ptmx");
    assert_eq!(fs::read_to_string(pid_file).unwrap(), bundle.state()["pid"].to_string());
    bundle.ok(&["start", "ID"]);
    let mut terminal = fs::File::from(fds.pop().unwrap());
    std::io::Write::write_all(&mut terminal, b"hello\n").unwrap();
    let mut said = Vec::new();
    // Reading ends with EIO when the container has closed its side.
    let _ = terminal.read_to_end(&mut said);
    let said = String::from_utf8(said).unwrap();
    for expected in ["/dev/pts/0", "33 77", "ptmx", "got hello"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

#[test]
fn exec_with_a_terminal() {
    let bundle = Bundle::new("sleep 1000");
    bundle.start();
    assert!(
        bundle
            .ok(&["exec", "-t", "ID", "sh", "-c", "tty; test -c /dev/tty && echo yes >/dev/tty"])
            .contains("/dev/pts/0\r\nyes")
    );
}

#[test]
fn hooks_run_in_their_places() {
    let mut bundle = Bundle::new("cat /made-before-pivot; cat /hook-in");
    let directory = bundle.directory.path().to_owned();
    let record = |name: &str| {
        json!([{"path": "/bin/sh", "args": ["sh", "-c", format!("cat > {}", directory.join(name).display())],
            "env": ["PATH=/bin:/usr/bin"], "timeout": 20}])
    };
    let inside = bundle.root().join("made-before-pivot");
    bundle.spec["hooks"] = json!({
        "prestart": record("prestart"),
        "createRuntime": record("createRuntime"),
        "createContainer": [{"path": "/bin/sh", "args": ["sh", "-c", format!("echo before > {}", inside.display())]}],
        "startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "grep -o createdq* > /hook-in; cat > /hook-in; echo ran >> /hook-in"],
            "env": ["PATH=/bin"]}],
        "poststart": record("poststart"),
        "poststop": record("poststop"),
    });
    assert_eq!(bundle.output(), "before\nran\n");
    for (name, status) in [
        ("prestart", "creating"),
        ("createRuntime", "creating"),
        ("poststart", "running"),
        ("poststop", "stopped"),
    ] {
        let state: serde_json::Value =
            serde_json::from_slice(&fs::read(directory.join(name)).unwrap()).unwrap();
        assert_eq!(state["status"], status, "{name}");
        assert_eq!(state["id"], bundle.id.as_str());
    }
    bundle.spec["hooks"] = json!({"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", "exit 3"]}]});
    assert!(bundle.failure().contains("error running createRuntime hook #0"));
    bundle.spec["hooks"] =
        json!({"prestart": [{"path": "/bin/sleep", "args": ["sleep", "100"], "timeout": 1}]});
    assert!(bundle.failure().contains("timed out"));
}

#[test]
fn the_log_has_what_its_readers_look_for() {
    let mut bundle = Bundle::new("");
    bundle.spec["process"]["args"] = json!(["nope"]);
    bundle.save();
    bundle.fails(&["--log", "log.json", "--log-format", "json", "run", "ID"]);
    let line = fs::read_to_string(bundle.directory.path().join("log.json")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line.trim()).unwrap();
    assert_eq!(line["level"], "error");
    assert!(line["msg"].as_str().unwrap().contains("executable file not found"));
}

#[test]
fn limits_are_changed() {
    let bundle = Bundle::new("sleep 1000");
    bundle.start();
    bundle.ok(&["update", "--memory", "67108864", "--memory-swap", "134217728", "--pids-limit", "44", "ID"]);
    let stats: serde_json::Value = serde_json::from_str(&bundle.ok(&["events", "--stats", "ID"])).unwrap();
    assert_eq!(stats["data"]["memory"]["usage"]["limit"], 67_108_864);
    assert_eq!(stats["data"]["pids"]["limit"], 44);
}

#[test]
fn bad_configurations_leave_nothing() {
    let changes: [(&str, serde_json::Value, &str); 6] = [
        ("/linux/resources", json!({"cpu": {"cpus": "9999"}}), "cpuset.cpus"),
        ("/linux/seccomp", json!({"defaultAction": "NOPE"}), "invalid action"),
        ("/process/rlimits", json!([{"type": "RLIMIT_NOPE", "soft": 1, "hard": 1}]), "RLIMIT_NOPE"),
        ("/root/path", json!("nowhere"), "nowhere"),
        ("/linux/cgroupsPath", json!("/../x"), "invalid path"),
        (
            "/linux/namespaces",
            json!([{"type": "mount"}, {"type": "network", "path": "/nowhere"}]),
            "/nowhere",
        ),
    ];
    for (pointer, value, said) in changes {
        let mut bundle = Bundle::new("true");
        if pointer == "/linux/namespaces" {
            bundle.spec["hostname"] = json!("");
        }
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        bundle.spec.pointer_mut(parent).unwrap()[key] = value;
        let text = bundle.failure();
        assert!(text.contains(said), "{pointer}: {text}");
    }
}

#[test]
fn one_who_stops_reading_is_no_fault() {
    use std::process::{Command, Stdio};
    for words in [&["features"][..], &["--help"], &["--version"]] {
        let mut child = Command::new(support::RUNTIME)
            .args(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        assert_eq!(output.stderr, b"", "{words:?}");
    }
}
