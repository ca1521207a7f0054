//! Bundles of a busybox, in a folder of their own, and tasks in them.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use hull_sys::LayerMounts;
use hull_task::protocol::{CreateOptions, JsonLog, LogTarget, RuntimeKind};
use hull_task::{AttachOptions, SpawnOptions, Task};
use hull_types::{Lower, Rootfs};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

/// A container to be; removed with all that it made when dropped.
pub struct World {
    pub folder: tempfile::TempDir,
    pub id: String,
    pub spec: Value,
    pub create: CreateOptions,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

pub fn shim_binary() -> PathBuf {
    // `HULL_RUNTIME` names another build of it, such as the released one.
    std::env::var_os("HULL_RUNTIME").unwrap_or_else(|| env!("CARGO_BIN_EXE_hull-shim").into()).into()
}

/// The runtimes that the tests run with: those of `HULL_TEST_RUNTIMES`, or all.
pub fn runtimes() -> Vec<String> {
    let named = std::env::var("HULL_TEST_RUNTIMES").unwrap_or_else(|_| "hull,runc".into());
    named.split(',').map(Into::into).collect()
}

impl World {
    /// A container that runs a shell script.
    pub fn new(runtime: &str, script: &str) -> Self {
        // A tmpfs, as the run directory is.
        let folder = tempfile::tempdir_in("/run").unwrap();
        let id = format!("hull-shim-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst));
        let (bundle, lower) = (folder.path().join("bundle"), folder.path().join("lower"));
        for name in [
            "bundle/rootfs",
            "upper",
            "work",
            "state",
            "lower/bin",
            "lower/proc",
            "lower/dev",
            "lower/sys",
            "lower/tmp",
        ] {
            std::fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        std::fs::copy("/bin/busybox", lower.join("bin/busybox")).unwrap();
        for applet in
            ["sh", "cat", "echo", "sleep", "seq", "stty", "kill", "ps", "head", "yes", "printf", "true", "id"]
        {
            symlink("busybox", lower.join("bin").join(applet)).unwrap();
        }
        let rootfs = Rootfs {
            lowers: vec![Lower::Directory(lower)],
            upper: Some(folder.path().join("upper")),
            work: Some(folder.path().join("work")),
        };
        let state = folder.path().join("state");
        let kind = match runtime {
            "hull" => RuntimeKind::Hull,
            name => RuntimeKind::Command { path: name.into(), options: vec![], root: state.clone() },
        };
        let create = CreateOptions {
            sources: Vec::new(),
            id: id.clone(),
            bundle,
            state_root: state,
            rootfs: Some(rootfs),
            mounted: Vec::new(),
            log: LogTarget::JsonFile(JsonLog {
                path: folder.path().join("log"),
                max_size: None,
                max_file: 1,
                attrs: BTreeMap::new(),
            }),
            runtime: kind,
            terminal: false,
            console_size: None,
            stdin_open: false,
            stdin_once: false,
            own_pid_namespace: true,
            resolver: None,
            no_pivot: false,
        };
        Self { spec: spec(&id, script), folder, id, create }
    }

    pub fn bundle(&self) -> &Path {
        &self.create.bundle
    }

    pub fn with_stdin(mut self, once: bool) -> Self {
        (self.create.stdin_open, self.create.stdin_once) = (true, once);
        self
    }

    pub fn with_terminal(mut self) -> Self {
        self.create.terminal = true;
        self.create.stdin_open = true;
        self.spec["process"]["terminal"] = json!(true);
        self
    }

    pub fn with_host_pids(mut self) -> Self {
        self.create.own_pid_namespace = false;
        self.spec["linux"]["namespaces"]
            .as_array_mut()
            .unwrap()
            .retain(|namespace| namespace["type"] != "pid");
        self
    }

    pub fn without_log(mut self) -> Self {
        self.create.log = LogTarget::None;
        self
    }

    pub async fn try_spawn(&self) -> hull_task::Result<Task> {
        std::fs::write(self.bundle().join("config.json"), self.spec.to_string()).unwrap();
        Task::spawn(SpawnOptions {
            runtime_binary: shim_binary(),
            create: self.create.clone(),
            layers: LayerMounts::default(),
        })
        .await
    }

    pub async fn spawn(&self) -> Task {
        let task = self.try_spawn().await;
        let log = std::fs::read_to_string(self.bundle().join("shim.log")).unwrap_or_default();
        task.unwrap_or_else(|error| panic!("{error}; shim.log: {log}"))
    }

    /// The log's entries: stream and text.
    pub fn log(&self) -> Vec<(String, String)> {
        let text = std::fs::read_to_string(self.folder.path().join("log")).unwrap();
        text.lines()
            .map(|line| {
                let entry: Value = serde_json::from_str(line).unwrap();
                (entry["stream"].as_str().unwrap().into(), entry["log"].as_str().unwrap().into())
            })
            .collect()
    }

    /// Nothing is left: no state, no cgroup, and the shim ended.
    pub async fn assert_clean(&self, task: &Task) {
        task.deleted().await;
        let complaints = std::fs::read_to_string(self.bundle().join("shim.log")).unwrap();
        assert_eq!(complaints, "");
        assert!(!self.folder.path().join("state").join(&self.id).exists(), "state is left");
        for controller in ["memory", "pids", "unified"] {
            let path = Path::new("/sys/fs/cgroup").join(controller).join(&self.id);
            assert!(!path.exists(), "{} is left", path.display());
        }
        // The connection closes when the shim ends.
        while task.state().await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}

impl World {
    // The shim, and the processes in the container's cgroup.
    fn processes(&self) -> Vec<i32> {
        let belongs = |process: &Path| {
            let command = std::fs::read(process.join("cmdline")).unwrap_or_default();
            let groups = std::fs::read_to_string(process.join("cgroup")).unwrap_or_default();
            String::from_utf8_lossy(&command).contains(&format!("--id\0{}\0", self.id))
                || groups.lines().any(|line| line.ends_with(&format!("/{}", self.id)))
        };
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        all.filter_map(|process| {
            let pid = process.file_name().to_string_lossy().parse().ok()?;
            belongs(&process.path()).then_some(pid)
        })
        .collect()
    }
}

// A shim that is cleaning up is left to it; a test that failed in the middle leaves nothing either.
impl Drop for World {
    fn drop(&mut self) {
        for round in 0..400 {
            let left = self.processes();
            if left.is_empty() {
                break;
            }
            if round >= 200 {
                left.iter().for_each(|pid| drop(hull_sys::process::kill(*pid, 9)));
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        for hierarchy in std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
            let _ = std::fs::remove_dir(hierarchy.path().join(&self.id));
        }
    }
}

pub fn all() -> AttachOptions {
    AttachOptions { exec_id: None, stdin: true, stdout: true, stderr: true }
}

pub fn exec(exec_id: &str) -> AttachOptions {
    AttachOptions { exec_id: Some(exec_id.into()), ..all() }
}

/// All frames of a stream, put together by kind.
pub async fn read_frames(stream: &mut tokio::net::UnixStream) -> (String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut header = [0; 8];
    while stream.read_exact(&mut header).await.is_ok() {
        let length = u32::from_be_bytes(header[4..].try_into().unwrap()) as usize;
        let mut bytes = vec![0; length];
        stream.read_exact(&mut bytes).await.unwrap();
        if header[0] == 1 { &mut out } else { &mut err }.extend(bytes);
    }
    (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

/// The process of an exec.
pub fn process(script: &str) -> hull_types::oci::runtime::Process {
    hull_types::document::from_json(spec("", script)["process"].to_string().as_bytes()).unwrap()
}

fn spec(id: &str, script: &str) -> Value {
    let namespaces: Vec<_> =
        ["pid", "mount", "ipc", "uts", "network"].iter().map(|kind| json!({ "type": kind })).collect();
    let capabilities = ["CAP_KILL", "CAP_CHOWN"];
    json!({
        "ociVersion": "1.0.2",
        "root": { "path": "rootfs" },
        "hostname": "world",
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "args": ["/bin/sh", "-c", script],
            "env": ["PATH=/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": { "bounding": capabilities, "effective": capabilities, "permitted": capabilities },
        },
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"] },
            { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
              "options": ["newinstance", "ptmxmode=0666", "mode=0620"] },
        ],
        "linux": {
            "namespaces": namespaces,
            "cgroupsPath": format!("/{id}"),
            "resources": { "memory": { "limit": 67_108_864 } },
        },
    })
}
