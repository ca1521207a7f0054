//! Both engines in one namespace, with a registry that holds the images.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// One running engine.
pub struct Engine {
    /// Its API socket.
    pub socket: PathBuf,
    /// The `hull` client.
    pub hull_binary: PathBuf,
    daemon: Child,
}

/// The two engines and what they need.
pub struct Engines {
    /// Ours.
    pub hull: Engine,
    /// The peer.
    pub dockerd: Engine,
    registry: Child,
    holder: Child,
    directory: tempfile::TempDir,
}

impl Engines {
    /// Starts everything and waits until it answers.
    pub fn start(hull: &Path, images: &Path) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("hull-bench-").tempdir()?;
        let at = directory.path();
        let holder = Command::new("unshare")
            .args([
                "--net",
                "--mount",
                "--propagation",
                "private",
                "--",
                "setpriv",
                "--pdeathsig",
                "KILL",
                "sleep",
                "infinity",
            ])
            .spawn()?;
        std::thread::sleep(Duration::from_millis(300));
        let pid = holder.id();
        let namespaces = vec![format!("--net=/proc/{pid}/ns/net"), format!("--mount=/proc/{pid}/ns/mnt")];
        let inside = |program: &Path| {
            let mut command = Command::new("nsenter");
            command.args(&namespaces).arg(program).stdin(Stdio::null());
            command
        };
        let status = inside(Path::new("ip")).args(["link", "set", "lo", "up"]).status()?;
        if !status.success() {
            bail!("ip link set lo up: {status}");
        }
        let config = at.join("registry.yml");
        std::fs::write(
            &config,
            format!(
                "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: {{rootdirectory: {}}}, \
                 maintenance: {{readonly: {{enabled: true}}}}}}\nhttp: {{addr: \"127.0.0.1:5000\"}}\n",
                images.join("registry").display()
            ),
        )?;
        let quiet = |mut command: Command, log: &str| -> Result<Child> {
            let log = std::fs::File::create(at.join(log))?;
            Ok(command.stdout(log.try_clone()?).stderr(log).spawn()?)
        };
        let mut command = inside(Path::new("docker-registry"));
        command.arg("serve").arg(&config);
        let registry = quiet(command, "registry.log")?;
        let daemon = |name: &str, program: &Path, first: &[&str], more: &[&str]| -> Result<Engine> {
            let root = at.join(name);
            std::fs::create_dir(&root)?;
            let socket = root.join("engine.sock");
            // A session of its own, as every daemon has it: the scheduler shares the processors among sessions.
            let mut command = inside(Path::new("setsid"));
            command
                .arg(program)
                .args(first)
                .arg("--data-root")
                .arg(root.join("data"))
                .arg("--exec-root")
                .arg(root.join("exec"));
            command
                .arg("--pidfile")
                .arg(root.join("pid"))
                .arg("-H")
                .arg(format!("unix://{}", socket.display()));
            command.args(["--registry-mirror", "http://127.0.0.1:5000"]).args(more);
            let daemon = quiet(command, &format!("{name}.log"))?;
            Ok(Engine { socket, hull_binary: hull.to_owned(), daemon })
        };
        let hull = daemon("hull", hull, &["daemon"], &["--bip", "172.30.0.1/16"])?;
        let dockerd = daemon("dockerd", Path::new("dockerd"), &[], &["--insecure-registry", "127.0.0.0/8"])?;
        let engines = Self { hull, dockerd, registry, holder, directory };
        engines.wait_until_ready()?;
        Ok(engines)
    }

    fn wait_until_ready(&self) -> Result<()> {
        for (engine, log) in [(&self.hull, "hull.log"), (&self.dockerd, "dockerd.log")] {
            let deadline = Instant::now() + Duration::from_secs(30);
            while std::os::unix::net::UnixStream::connect(&engine.socket).is_err() {
                if Instant::now() > deadline {
                    let said = std::fs::read_to_string(self.directory.path().join(log)).unwrap_or_default();
                    bail!("{} does not answer; it said:\n{said}", engine.socket.display());
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        Ok(())
    }

    /// The temporary folder.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Both, ours first.
    pub fn both(&self) -> [&Engine; 2] {
        [&self.hull, &self.dockerd]
    }

    /// podman, with directories of its own.
    pub fn podman(&self) -> Podman<'_> {
        Podman { engines: self }
    }

    /// buildah, with directories of its own.
    pub fn buildah(&self) -> Buildah<'_> {
        Buildah { engines: self }
    }

    /// A registry on this port of the namespace that has nothing in it.
    pub fn empty_registry(&self, port: u16) -> Result<EmptyRegistry> {
        let directory = tempfile::tempdir_in(self.directory.path())?;
        let config = directory.path().join("registry.yml");
        std::fs::write(
            &config,
            format!(
                "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"127.0.0.1:{port}\"}}\n",
                directory.path().join("data").display()
            ),
        )?;
        let mut command = self.command("docker-registry");
        command.arg("serve").arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn()?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.inside(|| std::net::TcpStream::connect(("127.0.0.1", port)).is_err())? {
            if Instant::now() > deadline {
                bail!("docker-registry does not answer on port {port}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(EmptyRegistry { process, _directory: directory })
    }

    /// The process whose namespaces both engines are in.
    pub fn holder(&self) -> u32 {
        self.holder.id()
    }

    /// A program inside the namespaces.
    pub fn command(&self, program: &str) -> Command {
        let pid = self.holder.id();
        let mut command = Command::new("nsenter");
        command.args([format!("--net=/proc/{pid}/ns/net"), format!("--mount=/proc/{pid}/ns/mnt")]);
        command.arg(program).stdin(Stdio::null());
        command
    }

    /// Does something in the network namespace, on a thread that ends with it; threads begun there are in it too.
    pub fn inside<T: Send>(&self, act: impl FnOnce() -> T + Send) -> Result<T> {
        let namespace = std::fs::File::open(format!("/proc/{}/ns/net", self.holder.id()))?;
        std::thread::scope(|scope| {
            let worker = scope.spawn(move || {
                use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
                use std::os::fd::AsFd;
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
                Ok(act())
            });
            worker.join().map_err(|_| anyhow::anyhow!("a worker panicked"))?
        })
    }

    /// The processes beside containers whose command line has `name`, of these engines alone.
    pub fn shims(&self, name: &str) -> Result<Vec<u32>> {
        let namespace = std::fs::read_link(format!("/proc/{}/ns/net", self.holder.id()))?;
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc")?.flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            if line.contains(name)
                && std::fs::read_link(entry.path().join("ns/net")).is_ok_and(|n| n == namespace)
            {
                found.push(pid);
            }
        }
        Ok(found)
    }

    /// Ends both engines.
    pub fn stop(mut self) -> Result<()> {
        for engine in [&mut self.hull, &mut self.dockerd] {
            let pid = rustix::process::Pid::from_raw(engine.daemon.id() as i32).context("pid")?;
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
            engine.daemon.wait()?;
        }
        Ok(())
    }
}

impl Drop for Engines {
    fn drop(&mut self) {
        for child in [&mut self.hull.daemon, &mut self.dockerd.daemon, &mut self.registry, &mut self.holder] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Ends with its value.
pub struct EmptyRegistry {
    process: Child,
    _directory: tempfile::TempDir,
}

impl Drop for EmptyRegistry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// podman: no daemon, a process a command.
pub struct Podman<'a> {
    engines: &'a Engines,
}

impl Podman<'_> {
    /// Pulls by plain http.
    pub fn pull(&self, image: &str) -> Result<()> {
        self.run(&["pull", "-q", "--tls-verify=false", image])
    }
    /// Removes the image.
    pub fn remove(&self, image: &str) -> Result<()> {
        self.run(&["rmi", image])
    }
    fn run(&self, words: &[&str]) -> Result<()> {
        let at = self.engines.directory.path().join("podman");
        let mut command = self.engines.command("podman");
        command.arg("--root").arg(at.join("data")).arg("--runroot").arg(at.join("run"));
        command.args(["--storage-driver", "overlay"]).args(words);
        let output = command.stdout(Stdio::null()).stderr(Stdio::piped()).output()?;
        if !output.status.success() {
            bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }
}

/// buildah: no daemon, a process a build.
pub struct Buildah<'a> {
    engines: &'a Engines,
}

impl Buildah<'_> {
    /// Builds with layers, so that there is a cache; `docker.io` is the registry here.
    pub fn build(&self, root: &Path, flags: &[&str]) -> Result<()> {
        let at = self.engines.directory.path().join("buildah");
        std::fs::create_dir_all(&at)?;
        let mirrors = at.join("registries.conf");
        let text = "unqualified-search-registries = [\"docker.io\"]\n[[registry]]\nlocation = \"docker.io\"\n\
                    [[registry.mirror]]\nlocation = \"127.0.0.1:5000\"\ninsecure = true\n";
        std::fs::write(&mirrors, text)?;
        let mut command = self.engines.command("buildah");
        command.arg("--root").arg(at.join("data")).arg("--runroot").arg(at.join("run"));
        command.args(["--storage-driver", "overlay", "--registries-conf"]).arg(&mirrors);
        command
            .args(["bud", "-q", "--layers", "--isolation", "chroot", "--network", "host"])
            .args(flags)
            .arg(root);
        let output = command.stdout(Stdio::null()).stderr(Stdio::piped()).output()?;
        if !output.status.success() {
            bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }
}

impl Engine {
    /// The daemon's process.
    pub fn daemon_pid(&self) -> u32 {
        self.daemon.id()
    }

    /// Runs a client on this engine; its failure is an error.
    pub fn client(&self, program: &Path, words: &[&str]) -> Result<()> {
        let mut command = Command::new(program);
        command.arg("-H").arg(format!("unix://{}", self.socket.display())).args(words);
        command.env_remove("DOCKER_HOST").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = command.output()?;
        if !output.status.success() {
            bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// The daemon and what it keeps running beside no container.
    pub fn daemons(&self) -> Vec<u32> {
        // nsenter execs the daemon, so the child is the daemon itself.
        let mut all = vec![self.daemon.id()];
        let children = format!("/proc/{0}/task/{0}/children", self.daemon.id());
        for child in std::fs::read_to_string(children).unwrap_or_default().split_whitespace() {
            let Ok(pid) = child.parse() else { continue };
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            if name.trim() == "containerd" {
                all.push(pid);
            }
        }
        all
    }
}
