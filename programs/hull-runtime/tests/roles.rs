//! The other roles: the init in a container, and hello.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use serde_json::json;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use support::{Bundle, RUNTIME};

#[test]
fn init_ends_as_its_program_does() {
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143), ("kill -KILL $$", 137)] {
        let status = Command::new(RUNTIME).args(["init", "--", "sh", "-c", script]).status().unwrap();
        assert_eq!(status.code(), Some(code), "{script}");
    }
    for (program, code) in [("no-such-program", 127), ("/etc/passwd", 126)] {
        let output = Command::new(RUNTIME).arg0("docker-init").args(["--", program]).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{program}");
    }
}

#[test]
fn init_forwards_signals_and_reaps() {
    let script = "trap 'echo asked; exit 5' TERM; (sleep 0.1 &) ; echo ready; while :; do sleep 0.05; done";
    let mut child = Command::new(RUNTIME)
        .args(["init", "-s", "--", "sh", "-c", script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut said = String::new();
    let mut byte = [0];
    while !said.contains("ready\n") {
        assert_eq!(std::io::Read::read(&mut out, &mut byte).unwrap(), 1);
        said.push(byte[0] as char);
    }
    hull_sys::process::kill(child.id() as i32, 15).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(5));
    std::io::Read::read_to_string(&mut out, &mut said).unwrap();
    assert!(said.contains("asked"), "{said}");
}

#[test]
fn init_reaps_what_its_program_leaves() {
    let mut bundle = Bundle::new("");
    fs::copy(RUNTIME, bundle.root().join("bin/docker-init")).unwrap();
    // The program's program is static only where this one is; elsewhere it cannot run in this root.
    let script = "(sh -c 'sleep 0.2 & exit 0'); sleep 0.6; ps | grep -c '[[]sleep'; exit 0";
    bundle.spec["process"]["args"] = json!(["docker-init", "--", "sh", "-c", script]);
    for directory in ["lib", "lib64", "usr/lib"] {
        let host = std::path::Path::new("/").join(directory);
        if host.exists() {
            bundle.add_mount(json!({"destination": format!("/{directory}"), "type": "bind",
                "source": fs::canonicalize(host).unwrap(), "options": ["rbind", "ro"]}));
        }
    }
    let output = bundle.run();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "0\n", "no zombie is left");
}

#[test]
fn hello_tells_what_it_sees() {
    let output = Command::new(RUNTIME).arg0("/hello").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && said.contains("Hello from Hull!") && said.contains("capabilities"),
        "{said}"
    );
}

#[test]
fn features_and_help_are_printed() {
    let features = Command::new(RUNTIME).arg("features").output().unwrap();
    let features: serde_json::Value = serde_json::from_slice(&features.stdout).unwrap();
    assert_eq!(features["linux"]["seccomp"]["enabled"], true);
    let help = Command::new(RUNTIME).arg("--help").output().unwrap();
    assert!(String::from_utf8(help.stdout).unwrap().contains("create"));
    assert_eq!(Command::new(RUNTIME).arg("nope").output().unwrap().status.code(), Some(3));
}
