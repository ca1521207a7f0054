//! A real registry (Debian's docker-registry) with images in it, an engine's stores, and a proxy between them.
#![allow(dead_code)]

use hull_api_types::{AuthConfig, JsonMessage};
use hull_content::Content;
use hull_events::EventBus;
use hull_image::{Images, ImagesConfig, Result};
use hull_registry_client::{Config, Registry as Client};
use hull_snapshot::Snapshotter;
use hull_snapshot::erofs::Erofs;
use hull_snapshot::overlay::Overlay;
use hull_store::Store;
use hull_types::{Digest, Platform};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// `ann` with the password `secret`.
const HTPASSWD: &str = "ann:$2b$04$ZfeKTQTxQFZTrliUZ/UQ2Od.OriP/N.W4OhclIJDVTU2bc4HENtey\n";

/// Where the OCI layouts are that `make-images` made.
pub fn layouts() -> PathBuf {
    std::env::var_os("HULL_TEST_IMAGES").map_or_else(|| "/tmp/images".into(), PathBuf::from)
}

pub struct Registry {
    pub address: String,
    pub directory: tempfile::TempDir,
    credentials: bool,
    process: Child,
}

impl Registry {
    /// An empty one; with `credentials` it is for ann alone.
    pub fn start(credentials: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().display().to_string();
        for _ in 0..10 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let address = format!("127.0.0.1:{port}");
            let auth = match credentials {
                true => format!("auth: {{htpasswd: {{realm: hull, path: {root}/htpasswd}}}}\n"),
                false => String::new(),
            };
            let config = format!(
                "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: {{rootdirectory: {root}/data}}}}\n{auth}http: {{addr: \"{address}\"}}\n"
            );
            std::fs::write(directory.path().join("config.yml"), config).unwrap();
            std::fs::write(directory.path().join("htpasswd"), HTPASSWD).unwrap();
            let mut process = Command::new("setpriv")
                .args(["--pdeathsig", "KILL", "docker-registry", "serve"])
                .arg(directory.path().join("config.yml"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            while process.try_wait().unwrap().is_none() {
                if TcpStream::connect(&address).is_ok() {
                    return Self { address, directory, credentials, process };
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            // Somebody else took the port.
        }
        panic!("docker-registry does not start");
    }
    /// One with these images under `library/`.
    pub fn with(names: &[&str]) -> Self {
        let registry = Self::start(false);
        for name in names {
            registry.push(&layouts().join(name), &format!("library/{name}:latest"), &[]);
        }
        registry
    }
    pub fn push(&self, layout: &Path, to: &str, options: &[&str]) {
        let mut command = Command::new("skopeo");
        command.args(["copy", "--quiet", "--dest-tls-verify=false"]).args(options);
        if self.credentials {
            command.args(["--dest-creds", "ann:secret"]);
        }
        command
            .arg(format!("oci:{}:latest", layout.display()))
            .arg(format!("docker://{}/{to}", self.address));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    pub fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An engine's stores and image service.
pub struct Engine {
    pub images: Images,
    pub content: Content,
    pub snapshotter: Arc<dyn Snapshotter>,
    pub events: EventBus,
    pub store: Store,
}

impl Engine {
    pub fn open(root: &Path) -> Self {
        Self::open_with(root, Config::default(), ImagesConfig::default())
    }
    /// With the storage driver of that name.
    pub fn open_on(driver: &str, root: &Path) -> Self {
        let snapshotter: Arc<dyn Snapshotter> = match driver {
            "erofs" => Arc::new(Erofs::open(&root.join(driver)).unwrap()),
            _ => Arc::new(Overlay::open(&root.join(driver)).unwrap()),
        };
        Self::of(root, snapshotter, Config::default(), ImagesConfig::default())
    }
    pub fn open_with(root: &Path, registry: Config, config: ImagesConfig) -> Self {
        let snapshotter = Arc::new(Overlay::open(&root.join("overlay")).unwrap());
        Self::of(root, snapshotter, registry, config)
    }
    fn of(root: &Path, snapshotter: Arc<dyn Snapshotter>, registry: Config, config: ImagesConfig) -> Self {
        let store = Store::open(&root.join("hull.db")).unwrap();
        let content = Content::open(&root.join("content")).unwrap();
        let events = EventBus::new();
        let client = Client::new(registry);
        let images =
            Images::open(config, store.clone(), content.clone(), snapshotter.clone(), client, events.clone())
                .unwrap();
        Self { images, content, snapshotter, events, store }
    }
    pub async fn pull(&self, name: &str) -> (Result<Digest>, Vec<JsonMessage>) {
        self.pull_as(name, None, None).await
    }
    pub async fn pull_as(
        &self,
        name: &str,
        platform: Option<&str>,
        auth: Option<AuthConfig>,
    ) -> (Result<Digest>, Vec<JsonMessage>) {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(64);
        let reference = name.parse().unwrap();
        let platform: Option<Platform> = platform.map(|text| text.parse().unwrap());
        let collect = async {
            let mut messages = Vec::new();
            while let Some(message) = receiver.recv().await {
                messages.push(message);
            }
            messages
        };
        tokio::join!(self.images.pull(&reference, platform, auth, sender), collect)
    }
    pub async fn push(&self, name: &str, auth: Option<AuthConfig>) -> (Result<()>, Vec<JsonMessage>) {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(64);
        let reference = name.parse().unwrap();
        let collect = async {
            let mut messages = Vec::new();
            while let Some(message) = receiver.recv().await {
                messages.push(message);
            }
            messages
        };
        tokio::join!(self.images.push(&reference, None, auth, sender), collect)
    }
    pub async fn must_pull(&self, name: &str) -> Digest {
        self.pull(name).await.0.unwrap()
    }
    pub fn actions(&self) -> Vec<(String, String)> {
        let told = self.events.backlog(None, None);
        told.iter().map(|event| (event.action.clone(), event.actor.attributes["name"].clone())).collect()
    }
}

/// A copy of a layout, to change.
pub fn copy_layout(name: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    let from = format!("{}/.", layouts().join(name).display());
    let copied = Command::new("cp").arg("-a").arg(from).arg(copy.path()).status().unwrap();
    assert!(copied.success());
    copy
}

pub mod proxy {
    //! Between client and registry: counts, cuts, stalls.

    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    #[derive(Clone, Copy, PartialEq)]
    pub enum Fault {
        None,
        /// The first connection that carries so many bytes to the client ends there.
        CutOnce(usize),
        /// Every connection ends after so many bytes.
        Cut(usize),
        /// The first connection that carries so many bytes goes on with a byte now and then.
        TrickleOnce(usize),
        /// The first connection that carries so many bytes says nothing more.
        StallOnce(usize),
        /// Every connection says nothing more after so many bytes.
        Stall(usize),
    }

    pub struct Proxy {
        pub address: String,
        /// Everything that clients sent, heads of requests that is.
        pub asked: Arc<Mutex<Vec<u8>>>,
        pub carried: Arc<AtomicUsize>,
    }

    impl Proxy {
        pub async fn start(to: &str, fault: Fault) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            let (asked, carried): (Arc<Mutex<Vec<u8>>>, Arc<AtomicUsize>) = Default::default();
            let (log, count, to) = (asked.clone(), carried.clone(), to.to_owned());
            let cuts = Arc::new(AtomicUsize::new(0));
            tokio::spawn(async move {
                while let Ok((client, _)) = listener.accept().await {
                    let server = TcpStream::connect(&to).await.unwrap();
                    let (log, count, cuts) = (log.clone(), count.clone(), cuts.clone());
                    tokio::spawn(carry(client, server, fault, log, count, cuts));
                }
            });
            Self { address, asked, carried }
        }
        pub fn asked(&self) -> String {
            String::from_utf8_lossy(&self.asked.lock().unwrap()).to_lowercase()
        }
    }

    async fn carry(
        client: TcpStream,
        server: TcpStream,
        fault: Fault,
        log: Arc<Mutex<Vec<u8>>>,
        count: Arc<AtomicUsize>,
        cuts: Arc<AtomicUsize>,
    ) {
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let up = tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
                log.lock().unwrap().extend_from_slice(&buffer[..read]);
                if to_server.write_all(&buffer[..read]).await.is_err() {
                    break;
                }
            }
        });
        let mut buffer = [0; 16384];
        let mut carried = 0;
        while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
            match fault {
                Fault::CutOnce(limit)
                    if carried + read > limit && cuts.fetch_add(1, Ordering::Relaxed) == 0 =>
                {
                    break;
                }
                Fault::Cut(limit) if carried + read > limit => break,
                Fault::TrickleOnce(limit)
                    if carried + read > limit && cuts.fetch_add(1, Ordering::Relaxed) == 0 =>
                {
                    for byte in &buffer[..read] {
                        if to_client.write_u8(*byte).await.is_err() {
                            break;
                        }
                        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    }
                }
                Fault::StallOnce(limit)
                    if carried + read > limit && cuts.fetch_add(1, Ordering::Relaxed) == 0 =>
                {
                    std::future::pending::<()>().await;
                }
                Fault::Stall(limit) if carried + read > limit => std::future::pending::<()>().await,
                _ => {}
            }
            carried += read;
            count.fetch_add(read, Ordering::Relaxed);
            if to_client.write_all(&buffer[..read]).await.is_err() {
                break;
            }
        }
        drop(to_client);
        up.abort();
    }
}
