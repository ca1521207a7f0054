//! A bundle with a busybox root, and the runtime's command line upon it.
#![allow(dead_code, clippy::unwrap_used)]

use serde_json::{Value, json};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

pub const RUNTIME: Program = Program;

/// The runtime that is tried: what `./test` built to be shipped, or the one that cargo built along with these tests.
#[derive(Clone, Copy)]
pub struct Program;

impl AsRef<OsStr> for Program {
    fn as_ref(&self) -> &OsStr {
        static PATH: OnceLock<OsString> = OnceLock::new();
        PATH.get_or_init(|| {
            std::env::var_os("HULL_RUNTIME").unwrap_or_else(|| env!("CARGO_BIN_EXE_hull-runtime").into())
        })
    }
}

impl AsRef<Path> for Program {
    fn as_ref(&self) -> &Path {
        Path::new(AsRef::<OsStr>::as_ref(self))
    }
}

impl std::fmt::Display for Program {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", AsRef::<Path>::as_ref(self).display())
    }
}

const APPLETS: [&str; 36] = [
    "sh", "ls", "cat", "id", "mount", "ps", "echo", "sleep", "true", "false", "env", "stat", "mknod", "dd",
    "touch", "grep", "head", "readlink", "hostname", "tty", "kill", "mkdir", "chmod", "wc", "pwd", "stty",
    "umount", "trap", "chroot", "unshare", "find", "sort", "tr", "ln", "sed", "nproc",
];

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A bundle, and the container of it, which goes when this is dropped.
pub struct Bundle {
    pub directory: tempfile::TempDir,
    pub spec: Value,
    pub id: String,
}

impl Bundle {
    /// A bundle that runs a shell script.
    pub fn new(script: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("rootfs");
        for name in ["bin", "etc", "proc", "sys", "dev", "tmp"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
        for name in APPLETS {
            symlink("busybox", root.join("bin").join(name)).unwrap();
        }
        fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\nu:x:1000:1000::/home/u:/bin/sh\n")
            .unwrap();
        let output = Command::new(RUNTIME).arg("spec").current_dir(directory.path()).output().unwrap();
        assert!(output.status.success());
        let text = fs::read(directory.path().join("config.json")).unwrap();
        let mut spec: Value = serde_json::from_slice(&text).unwrap();
        spec["process"]["terminal"] = json!(false);
        spec["process"]["args"] = json!(["sh", "-c", script]);
        spec["root"]["readonly"] = json!(false);
        let id = format!("hull-test-{}-{}", std::process::id(), unique());
        Self { directory, spec, id }
    }

    pub fn root(&self) -> PathBuf {
        self.directory.path().join("rootfs")
    }

    pub fn state_root(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    pub fn add_mount(&mut self, mount: Value) {
        self.spec["mounts"].as_array_mut().unwrap().push(mount);
    }

    /// The host's shared libraries, for a program of the host's that is not static.
    pub fn add_host_libraries(&mut self) {
        for directory in ["lib", "lib64", "usr/lib"] {
            if let Ok(host) = fs::canonicalize(Path::new("/").join(directory)) {
                self.add_mount(
                    json!({"destination": format!("/{directory}"), "type": "bind", "source": host,
                    "options": ["rbind", "ro"]}),
                );
            }
        }
    }

    pub fn add_namespace(&mut self, namespace: Value) {
        self.spec["linux"]["namespaces"].as_array_mut().unwrap().push(namespace);
    }

    pub fn remove_namespace(&mut self, kind: &str) {
        self.spec["linux"]["namespaces"].as_array_mut().unwrap().retain(|n| n["type"] != kind);
    }

    pub fn set_capabilities(&mut self, names: &[&str]) {
        let names: Vec<String> = names.iter().map(|name| format!("CAP_{name}")).collect();
        self.spec["process"]["capabilities"] =
            json!({"bounding": names, "effective": names, "permitted": names});
    }

    pub fn save(&self) {
        fs::write(self.directory.path().join("config.json"), self.spec.to_string()).unwrap();
    }

    /// The runtime with these words; `ID` stands for the container's id.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(RUNTIME);
        command.arg("--root").arg(self.state_root()).current_dir(self.directory.path());
        command.args(words.iter().map(|word| if *word == "ID" { self.id.as_str() } else { word }));
        command.stdin(Stdio::null());
        command
    }

    pub fn call(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Runs the container to its end.
    pub fn run(&self) -> Output {
        self.save();
        self.call(&["run", "ID"])
    }

    /// Runs it, wants success, and gives what it wrote.
    pub fn output(&self) -> String {
        let output = self.run();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs it, wants a failure of the runtime's, and gives what it said. Nothing may be left.
    pub fn failure(&self) -> String {
        let output = self.run();
        assert!(!output.status.success(), "{output:?}");
        self.assert_nothing_left();
        String::from_utf8(output.stderr).unwrap()
    }

    /// Creates and starts it in the background, with its output in files.
    pub fn start(&self) {
        self.save();
        self.create();
        self.ok(&["start", "ID"]);
    }

    pub fn create(&self) {
        let file = |name: &str| fs::File::create(self.directory.path().join(name)).unwrap();
        let status =
            self.command(&["create", "ID"]).stdout(file("stdout")).stderr(file("stderr")).status().unwrap();
        assert!(status.success(), "{}", fs::read_to_string(self.directory.path().join("stderr")).unwrap());
    }

    pub fn ok(&self, words: &[&str]) -> String {
        let output = self.call(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn fails(&self, words: &[&str]) -> String {
        let output = self.call(words);
        assert!(!output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    pub fn state(&self) -> Value {
        serde_json::from_str(&self.ok(&["state", "ID"])).unwrap()
    }

    pub fn wait_for(&self, status: &str) {
        for _ in 0..500 {
            if self.state()["status"] == status {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("never became {status}: {}", self.state());
    }

    /// Waits until the container's first process executes `program`: `start` returns before it does.
    pub fn wait_for_program(&self, program: &str) -> u64 {
        let pid = self.state()["pid"].as_u64().unwrap();
        let first = format!("{program}\0");
        for _ in 0..500 {
            if fs::read(format!("/proc/{pid}/cmdline")).unwrap().starts_with(first.as_bytes()) {
                return pid;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("{pid} never executed {program}");
    }

    pub fn assert_nothing_left(&self) {
        assert!(!self.state_root().join(&self.id).exists());
        for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
            assert!(!hierarchy.path().join(&self.id).exists(), "{hierarchy:?}");
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(&self.directory.path().display().to_string()), "{mounts}");
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = self.call(&["delete", "--force", "ID"]);
        if !std::thread::panicking() {
            self.assert_nothing_left();
        }
    }
}

pub fn unique() -> String {
    COUNT.fetch_add(1, Ordering::Relaxed).to_string()
}

/// A file of the host that no container may change.
pub struct Canary(PathBuf);

impl Canary {
    pub fn new(directory: &Path) -> Self {
        let path = directory.join("canary");
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("file"), "host").unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn assert_alive(&self) {
        assert_eq!(fs::read_to_string(self.0.join("file")).unwrap(), "host");
        assert_eq!(fs::read_dir(&self.0).unwrap().count(), 1, "something was made on the host");
    }
}

/// Whether a runtime to compare with is installed.
pub fn installed(name: &str) -> bool {
    Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success())
}
