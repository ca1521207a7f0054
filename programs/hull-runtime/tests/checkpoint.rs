//! `checkpoint` and `restore` by CRIU. Where none works (`HULL_CRIU`, or `criu` in the path) only the refusals are seen.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod support;

use serde_json::json;
use std::process::Command;
use std::time::Duration;
use support::Bundle;

/// A CRIU that works on this kernel. Debian 12's does not on newer ones.
fn criu() -> Option<String> {
    let program = std::env::var("HULL_CRIU").unwrap_or_else(|_| "criu".into());
    let works = Command::new(&program).args(["check"]).output().is_ok_and(|output| output.status.success());
    if !works {
        println!("no working criu here: checkpoints are not tried");
    }
    works.then_some(program)
}

fn counting() -> Bundle {
    let mut bundle =
        Bundle::new("i=0; while true; do i=$((i+1)); echo $i >/tmp/count; echo $i; sleep 0.02; done");
    let source = bundle.directory.path().join("source");
    std::fs::create_dir(&source).unwrap();
    bundle.add_mount(
        json!({"destination": "/bound", "type": "bind", "source": source, "options": ["rbind", "ro"]}),
    );
    bundle
}

fn count(bundle: &Bundle) -> u64 {
    let path = bundle.root().join("tmp/count");
    for _ in 0..500 {
        // It may be empty while it is written.
        if let Ok(number) = std::fs::read_to_string(&path).unwrap_or_default().trim().parse() {
            return number;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("the container does not count");
}

fn wait_beyond(bundle: &Bundle, least: u64) {
    for _ in 0..1000 {
        if count(bundle) > least {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the container does not count on");
}

#[test]
fn a_container_goes_on_where_it_was() {
    let Some(criu) = criu() else { return };
    let mut bundle = counting();
    bundle.start();
    wait_beyond(&bundle, 5);
    let images: [&str; 4] = ["--image-path", "image", "--work-path", "work"];
    let call = |words: &[&'static str]| -> Vec<&str> { [&["--criu", criu.as_str()], words].concat() };
    // Twice: left running, then ended.
    bundle.ok(&call(&[&["checkpoint", "--leave-running"], images.as_slice(), &["ID"]].concat()));
    let before = count(&bundle);
    wait_beyond(&bundle, before);
    bundle.ok(&call(&[&["checkpoint"], images.as_slice(), &["ID"]].concat()));
    bundle.assert_nothing_left();
    let before = count(&bundle);
    std::fs::remove_file(bundle.root().join("tmp/count")).unwrap();

    // It may come back under another name, in another group, with other streams.
    let first = bundle.id.clone();
    bundle.id = format!("{first}-again");
    // criu wants files as long as they were.
    let append = |name: &str| {
        std::fs::OpenOptions::new().append(true).open(bundle.directory.path().join(name)).unwrap()
    };
    let words = call(&[&["restore", "-d", "--pid-file", "pid"], images.as_slice(), &["ID"]].concat());
    let status = bundle.command(&words).stdout(append("stdout")).stderr(append("stderr")).status().unwrap();
    let said = std::fs::read_to_string(bundle.directory.path().join("stderr")).unwrap();
    assert!(status.success() && said.is_empty(), "{said}");
    wait_beyond(&bundle, before);
    assert!(count(&bundle) < before + 10_000);
    let state = bundle.state();
    assert_eq!(state["status"], "running");
    let pid = std::fs::read_to_string(bundle.directory.path().join("pid")).unwrap();
    assert_eq!(state["pid"].to_string(), pid);
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert!(groups.lines().all(|line| line.ends_with(&format!("/{}", bundle.id))), "{groups}");
    // It is a container as any other.
    assert!(bundle.ok(&["exec", "ID", "cat", "/proc/1/cmdline"]).contains("while"));
    bundle.ok(&["pause", "ID"]);
    assert!(bundle.fails(&call(&["checkpoint", "ID"])).contains("paused"));
    bundle.ok(&["resume", "ID"]);
    bundle.ok(&["kill", "ID", "KILL"]);
    bundle.wait_for("stopped");
    bundle.ok(&["delete", "ID"]);
    bundle.assert_nothing_left();
}

#[test]
fn a_failed_restore_leaves_nothing() {
    let Some(criu) = criu() else { return };
    let bundle = counting();
    bundle.save();
    std::fs::create_dir(bundle.directory.path().join("image")).unwrap();
    let call = |words: &[&str]| {
        bundle.fails(&[&["--criu", criu.as_str(), "restore", "--image-path", "image"], words].concat())
    };
    assert!(call(&["ID"]).contains("descriptors.json"));
    std::fs::write(bundle.directory.path().join("image/descriptors.json"), "[]").unwrap();
    let said = call(&["ID"]);
    assert!(said.contains("criu failed to restore") && said.contains("restore.log"), "{said}");
    bundle.assert_nothing_left();
}

#[test]
fn what_cannot_be_kept_is_refused() {
    let mut bundle = Bundle::new("sleep 100");
    bundle.start();
    let without = |words: &[&str]| bundle.fails(&[&["--criu", "/nowhere/criu"], words].concat());
    let said = without(&["checkpoint", "--image-path", "image", "ID"]);
    assert!(said.contains("CRIU") && said.contains("/nowhere/criu"), "{said}");
    assert_eq!(bundle.state()["status"], "running");
    assert!(without(&["restore", "other"]).contains("/nowhere/criu"));
    assert!(without(&["checkpoint", "--manage-cgroups-mode", "hard", "ID"]).contains("hard"));
    assert!(without(&["checkpoint", "--empty-ns", "mount", "ID"]).contains("mount"));
    bundle.ok(&["kill", "ID", "KILL"]);
    bundle.wait_for("stopped");
    assert!(without(&["checkpoint", "ID"]).contains("not running"));
    bundle.ok(&["delete", "ID"]);
    bundle.spec["process"]["terminal"] = json!(true);
    bundle.save();
    assert!(bundle.fails(&["--criu", "/bin/true", "restore", "ID"]).contains("terminal"));
}
