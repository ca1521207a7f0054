//! Containers of a user who is not root.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use support::RUNTIME;

const USER: u32 = 54_321;

/// A bundle that belongs to a user of this machine who is nobody else's.
struct Home {
    directory: tempfile::TempDir,
}

impl Home {
    fn new(script: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let home = Self { directory };
        let root = home.path("rootfs/bin");
        std::fs::create_dir_all(&root).unwrap();
        std::fs::copy("/bin/busybox", root.join("busybox")).unwrap();
        for applet in ["sh", "id", "cat", "sleep", "true", "grep"] {
            std::os::unix::fs::symlink("busybox", root.join(applet)).unwrap();
        }
        std::fs::copy(AsRef::<Path>::as_ref(&RUNTIME), home.path("runtime")).unwrap();
        for path in ["", "rootfs", "rootfs/bin", "rootfs/bin/busybox"] {
            chown(home.path(path), Some(USER), Some(USER)).unwrap();
        }
        assert!(home.command(&["spec", "--rootless"]).status.success());
        let mut spec: Value =
            serde_json::from_slice(&std::fs::read(home.path("config.json")).unwrap()).unwrap();
        spec["process"]["terminal"] = json!(false);
        spec["process"]["args"] = json!(["sh", "-c", script]);
        std::fs::write(home.path("config.json"), spec.to_string()).unwrap();
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &USER.to_string(), "--regid", &USER.to_string(), "--clear-groups", "--"]);
        command.arg(self.path("runtime")).args(arguments);
        // State is kept where the user may write, without a word about it.
        command.env("XDG_RUNTIME_DIR", self.directory.path()).current_dir(self.directory.path());
        command.stdin(Stdio::null()).output().unwrap()
    }

    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        for entry in std::fs::read_dir(self.path("hull-runtime")).into_iter().flatten().flatten() {
            self.command(&["delete", "--force", &entry.file_name().to_string_lossy()]);
        }
    }
}

#[test]
fn a_user_runs_a_container() {
    let home =
        Home::new("id -u; cat /proc/self/uid_map; grep Groups /proc/self/status; : > /dev/null; exit 7");
    let output = home.command(&["run", "one"]);
    assert_eq!(output.status.code(), Some(7), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let words: Vec<&str> = text.split_whitespace().collect();
    assert_eq!(words[..4], ["0", "0", "54321", "1"], "{text}");
    assert!(!home.path("hull-runtime/one").exists());
}

#[test]
fn a_user_looks_into_a_container_and_ends_it() {
    let home = Home::new("trap 'exit 3' TERM; while :; do sleep 0.05; done");
    let create = Command::new("setpriv")
        .args(["--reuid", &USER.to_string(), "--regid", &USER.to_string(), "--clear-groups", "--"])
        .arg(home.path("runtime"))
        .args(["create", "two"])
        .env("XDG_RUNTIME_DIR", home.directory.path())
        .current_dir(home.directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(create.success());
    home.ok(&["start", "two"]);
    assert_eq!(
        home.ok(&["exec", "two", "sh", "-c", "id -u; echo $$ > /tmp; cat /proc/1/comm"]).trim(),
        "0\nsh"
    );
    assert_eq!(home.command(&["exec", "two", "sh", "-c", "exit 9"]).status.code(), Some(9));
    // What there is no cgroup for can't be done, and is said.
    let paused = home.command(&["pause", "two"]);
    assert!(!paused.status.success() && String::from_utf8_lossy(&paused.stderr).contains("cgroup"));
    home.ok(&["delete", "--force", "two"]);
    assert!(!home.path("hull-runtime/two").exists());
}

#[test]
fn a_limit_without_a_cgroup_is_refused() {
    let home = Home::new("true");
    let mut spec: Value = serde_json::from_slice(&std::fs::read(home.path("config.json")).unwrap()).unwrap();
    spec["linux"]["resources"] = json!({ "memory": { "limit": 10_000_000 } });
    std::fs::write(home.path("config.json"), spec.to_string()).unwrap();
    let output = home.command(&["run", "three"]);
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("cgroup"), "{text}");
    assert!(!home.path("hull-runtime/three").exists());
}
