//! An engine with everything below it, in namespaces of its own.

use hull_api_types::*;
use hull_container::*;
use hull_content::Content;
use hull_events::EventBus;
use hull_image::{Images, ImagesConfig};
use hull_network::{Networks, NetworksConfig};
use hull_registry_client::{Config, Registry};
use hull_snapshot::{Snapshotter, overlay::Overlay};
use hull_store::Store;
use hull_volume::Volumes;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;

pub const IMAGE: &str = "busybox";
const INSIDE: &str = "HULL_TEST_INSIDE";

pub struct World {
    pub root: PathBuf,
    pub containers: Containers,
    pub volumes: Volumes,
    pub snapshotter: Arc<dyn Snapshotter>,
    pub networks: Networks,
    services: (Store, Images, EventBus),
}

/// `HULL_RUNTIME`, or what `cargo build -p hull-runtime` made beside this test.
fn runtime_binary() -> PathBuf {
    if let Some(given) = std::env::var_os("HULL_RUNTIME") {
        return given.into();
    }
    // The test's own program is target/<profile>/deps/engine-…
    let own = std::env::current_exe().unwrap();
    let built = own.ancestors().nth(2).unwrap().join("hull-runtime");
    assert!(built.exists(), "{} is missing: cargo build -p hull-runtime", built.display());
    built
}

/// Whether the runtime can run inside an image without the host's libraries, as the init that it stands in for.
pub fn runtime_is_static() -> bool {
    let program = std::fs::read(runtime_binary()).unwrap();
    !program.windows(10).any(|window| window == b"/ld-linux-")
}

/// Runs the test `name` again in new network and mount namespaces, and there `test`. Whatever becomes of it, its
/// processes, cgroups and files are removed from here.
pub fn in_namespaces(name: &str, test: impl AsyncFn(&World)) {
    if std::env::var_os(INSIDE).is_none() {
        let own = std::env::current_exe().unwrap();
        let root = tempfile::tempdir_in("/var/tmp").unwrap();
        let status = Command::new("unshare")
            .args(["--mount", "--net", "--propagation", "private"])
            .arg(own)
            .args(["--exact", name, "--include-ignored", "--nocapture", "--test-threads", "1"])
            .env(INSIDE, root.path())
            .status()
            .unwrap();
        remove_cgroups(&cgroup_parent(root.path()));
        assert!(status.success(), "{name} failed in its namespaces");
        return;
    }
    hull_sys::process::loopback_up().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let world = World::open().await;
        test(&world).await;
        world.networks.teardown().unwrap();
    });
}

fn cgroup_parent(root: &Path) -> String {
    format!("/hull-test-{}", root.file_name().unwrap().to_string_lossy().trim_start_matches('.'))
}

/// Kills what a failed test left running, and removes its groups in every hierarchy.
fn remove_cgroups(parent: &str) {
    for hierarchy in std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
        let parent = hierarchy.path().join(&parent[1..]);
        for group in directories(&parent) {
            for pid in std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default().lines() {
                let _ = hull_sys::process::kill(pid.parse().unwrap(), 9);
            }
            for _ in 0..100 {
                if std::fs::remove_dir(&group).is_ok() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        let _ = std::fs::remove_dir(parent);
    }
}

impl World {
    async fn open() -> Self {
        let root = PathBuf::from(std::env::var_os(INSIDE).unwrap());
        let exec = root.join("exec");
        std::fs::create_dir_all(&exec).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "exec"]).arg(&exec).status().unwrap();
        assert!(mounted.success());
        let data = root.join("data");
        std::fs::create_dir_all(&data).unwrap();
        let store = Store::open(&data.join("hull.db")).unwrap();
        let events = EventBus::new();
        let snapshotter: Arc<dyn Snapshotter> = Arc::new(Overlay::open(&data.join("overlay")).unwrap());
        let images = Images::open(
            ImagesConfig::default(),
            store.clone(),
            Content::open(&data.join("content")).unwrap(),
            Arc::clone(&snapshotter),
            Registry::new(Config { user_agent: "test".into(), ..Config::default() }),
            events.clone(),
        )
        .unwrap();
        let address = crate::registry::serve(&root);
        let (progress, mut said) = tokio::sync::mpsc::channel(64);
        tokio::spawn(async move { while said.recv().await.is_some() {} });
        let name = format!("{address}/library/busybox:latest");
        images.pull(&name.parse().unwrap(), None, None, progress).await.unwrap();
        images.tag(&name, IMAGE, "latest").unwrap();
        Self::with(root, store, images, snapshotter, events).await
    }

    async fn with(
        root: PathBuf,
        store: Store,
        images: Images,
        snapshotter: Arc<dyn Snapshotter>,
        events: EventBus,
    ) -> Self {
        let (data, exec) = (root.join("data"), root.join("exec"));
        let config = NetworksConfig::new(exec.clone(), "hull-test", "hull0");
        let networks = Networks::open(config, &store, events.clone()).unwrap();
        let volumes = Volumes::open(&data.join("volumes"), store.clone(), events.clone()).unwrap();
        let config = ContainersConfig {
            data_root: data,
            exec_root: exec,
            runtime_binary: runtime_binary(),
            cgroup_parent: cgroup_parent(&root),
            ..ContainersConfig::default()
        };
        let containers = Containers::open(
            config,
            store.clone(),
            images.clone(),
            Arc::clone(&snapshotter),
            networks.clone(),
            volumes.clone(),
            events.clone(),
        )
        .await
        .unwrap();
        Self { root, containers, volumes, snapshotter, networks, services: (store, images, events) }
    }

    /// Another daemon upon the same state; this one's supervisors have ended.
    pub async fn reopened(&self) -> Self {
        let (store, images, events) = self.services.clone();
        Self::with(self.root.clone(), store, images, Arc::clone(&self.snapshotter), events).await
    }

    /// Creates and starts.
    pub async fn start(&self, name: &str, request: ContainerCreateRequest) -> String {
        let id = self.containers.create(Some(name), None, request).await.unwrap().id;
        self.containers.start(&id).await.unwrap();
        id
    }

    /// Runs a container to its end and gives what it wrote.
    pub async fn run(&self, request: ContainerCreateRequest) -> String {
        let c = &self.containers;
        let id = c.create(None, None, request).await.unwrap().id;
        let options = AttachOptions { stdout: true, stderr: true, stream: true, ..Default::default() };
        let mut stream = c.attach(&id, options).await.unwrap().stream.unwrap();
        c.start(&id).await.unwrap();
        let mut text = Vec::new();
        let mut header = [0; 8];
        while stream.read_exact(&mut header).await.is_ok() {
            let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
            let mut piece = vec![0; length as usize];
            stream.read_exact(&mut piece).await.unwrap();
            text.extend_from_slice(&piece);
        }
        c.wait(&id, WaitCondition::NotRunning).await.unwrap().finish().await;
        c.remove(&id, RemoveOptions { volumes: true, ..Default::default() }).await.unwrap();
        String::from_utf8_lossy(&text).into_owned()
    }

    pub async fn exec_ended(&self, exec: &str) -> ExecInspect {
        self.until(async || self.containers.exec_inspect(exec).await.unwrap().exit_code.is_some()).await;
        self.containers.exec_inspect(exec).await.unwrap()
    }

    /// Waits until it holds, ten seconds at most.
    pub async fn until(&self, holds: impl AsyncFn() -> bool) {
        for _ in 0..1000 {
            if holds().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("what was waited for did not come");
    }

    pub async fn remove_all(&self) {
        for one in self.containers.list(ListOptions { all: true, ..Default::default() }).await.unwrap() {
            let options = RemoveOptions { force: true, volumes: true, link: false };
            self.containers.remove(&one.id, options).await.unwrap();
        }
    }

    /// No container has left a file, mount, cgroup or endpoint.
    pub fn nothing_left(&self) {
        let empty = |path: PathBuf| {
            let left: Vec<_> =
                std::fs::read_dir(&path).into_iter().flatten().flatten().map(|e| e.path()).collect();
            assert!(left.is_empty(), "{left:?}");
        };
        empty(self.root.join("exec/containers"));
        empty(self.root.join("exec/runtime"));
        empty(self.root.join("data/containers"));
        empty(self.root.join("exec/network/endpoints"));
        assert!(self.snapshotter.keys().is_empty());
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let left = mounts.lines().filter(|line| line.contains("/exec/") || line.contains("overlay")).count();
        assert_eq!(left, 0, "{mounts}");
        for hierarchy in std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
            let parent = hierarchy.path().join(&cgroup_parent(&self.root)[1..]);
            let groups: Vec<_> = directories(&parent);
            assert!(groups.is_empty(), "{groups:?}");
        }
    }
}

fn directories(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}
