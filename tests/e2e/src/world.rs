//! A host of its own for one test.

use crate::eventually;
use std::cell::RefCell;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Which client drives the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// `hull`.
    Hull,
    /// The stock docker CLI.
    Docker,
}

/// What a command said and how it ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// The command line, for messages.
    pub command: String,
    /// The exit code; 128+n where a signal ended it.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Output {
    /// The same, after checking the exit code.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\nstdout: {}\nstderr: {}", self.command, self.stdout, self.stderr);
        self
    }
    /// The trimmed standard output of a command that succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        self.expect_code(0).stdout.trim_end().to_owned()
    }
}

/// A network and mount namespace, a registry on 127.0.0.1:5000 and a daemon.
pub struct World {
    directory: tempfile::TempDir,
    holder: Child,
    registry: RefCell<Option<Child>>,
    daemon: RefCell<Option<Child>>,
    dockerd: RefCell<Option<Child>>,
    /// Further flags of the daemon.
    flags: Vec<String>,
}

fn environment(name: &str) -> PathBuf {
    std::env::var_os(name).unwrap_or_else(|| panic!("{name} is not set: run the tests by ./test")).into()
}

impl World {
    /// A world with a registry and a running daemon, `docker.io` mirrored to the registry.
    pub fn start() -> Self {
        Self::with_flags(&["--registry-mirror", "http://127.0.0.1:5000"])
    }

    /// The same with these flags for the daemon.
    pub fn with_flags(flags: &[&str]) -> Self {
        let world = Self::bare(flags);
        world.start_registry("");
        world.start_daemon();
        world
    }

    /// Namespaces and directories only.
    pub fn bare(flags: &[&str]) -> Self {
        let directory = tempfile::Builder::new().prefix("hull-e2e-").tempdir().unwrap();
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
            .spawn()
            .expect("unshare");
        let world = Self {
            directory,
            holder,
            registry: RefCell::new(None),
            daemon: RefCell::new(None),
            dockerd: RefCell::new(None),
            flags: flags.iter().map(|f| (*f).to_owned()).collect(),
        };
        let pid = world.holder.id();
        eventually("the namespaces are made", 5, || {
            let own = std::fs::read_link("/proc/self/ns/net").unwrap();
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            let theirs = std::fs::read_link(format!("/proc/{pid}/ns/net")).unwrap_or_default();
            (theirs != own && name.trim() == "sleep").then_some(())
        });
        world.sh("ip link set lo up && ip link add host0 type veth peer name outside0 && ip addr add 10.99.0.1/24 dev host0 && ip link set host0 up && ip link set outside0 up").ok();
        world
    }

    /// The temporary folder.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
    /// The daemon's socket.
    pub fn socket(&self) -> PathBuf {
        self.directory().join("hull.sock")
    }
    /// The daemon's data root.
    pub fn data_root(&self) -> PathBuf {
        self.directory().join("data")
    }
    /// The daemon's process id.
    pub fn daemon_pid(&self) -> u32 {
        self.daemon.borrow().as_ref().expect("a daemon runs").id()
    }

    /// A command inside the namespaces.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        let pid = self.holder.id();
        command.arg(format!("--net=/proc/{pid}/ns/net")).arg(format!("--mount=/proc/{pid}/ns/mnt"));
        command.arg(program);
        command.env_remove("DOCKER_HOST").env_remove("HULL_HOST").env_remove("DOCKER_CONTEXT");
        command.env("DOCKER_CONFIG", self.directory().join("client"));
        command.env("HOME", self.directory());
        command
    }

    /// Serves the images on 127.0.0.1:5000; `extra` is further configuration (an `auth:` part).
    pub fn start_registry(&self, extra: &str) {
        let storage = environment("HULL_TEST_IMAGES").join("registry");
        let config = self.directory().join("registry.yml");
        std::fs::write(
            &config,
            format!(
                "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
                 storage: {{filesystem: {{rootdirectory: {}}}, maintenance: {{readonly: {{enabled: true}}}}}}\n\
                 http: {{addr: \"127.0.0.1:5000\"}}\n{extra}\n",
                storage.display()
            ),
        )
        .unwrap();
        let log = std::fs::File::create(self.directory().join("registry.log")).unwrap();
        let child = self
            .command("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        *self.registry.borrow_mut() = Some(child);
        eventually("the registry answers", 10, || {
            (self.sh("curl -s -o /dev/null http://127.0.0.1:5000/v2/").code == 0).then_some(())
        });
    }

    /// Whether the registry has an image that is made only when it is named (`tests/images DIR NAME`); says so where not.
    pub fn serves(&self, image: &str) -> bool {
        let there =
            self.sh(&format!("curl -sf http://127.0.0.1:5000/v2/library/{image}/tags/list")).code == 0;
        if !there {
            eprintln!("NOT ASKED: the registry has no image {image}");
        }
        there
    }

    /// Ends the registry.
    pub fn stop_registry(&self) {
        if let Some(mut child) = self.registry.borrow_mut().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts the daemon and waits until it answers.
    pub fn start_daemon(&self) {
        self.start_daemon_with(&[]);
    }

    /// The same with these flags besides the world's.
    pub fn start_daemon_with(&self, flags: &[String]) {
        // A file of its own, so that the machine's is not read.
        std::fs::write(self.directory().join("daemon.json"), "{}").unwrap();
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.directory().join("hulld.log"))
            .unwrap();
        let child = self
            .command(environment("HULL_BIN"))
            .arg("daemon")
            .arg("--data-root")
            .arg(self.data_root())
            .arg("--exec-root")
            .arg(self.directory().join("exec"))
            .arg("--pidfile")
            .arg(self.directory().join("hull.pid"))
            .arg("--config-file")
            .arg(self.directory().join("daemon.json"))
            .arg("--cgroup-parent")
            .arg(self.cgroup_parent())
            .arg("-H")
            .arg(format!("unix://{}", self.socket().display()))
            .args(&self.flags)
            .args(flags)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        *self.daemon.borrow_mut() = Some(child);
        eventually("the daemon answers", 15, || {
            let mut daemon = self.daemon.borrow_mut();
            if let Ok(Some(status)) = daemon.as_mut().unwrap().try_wait() {
                panic!("the daemon ended: {status}\n{}", self.daemon_log());
            }
            std::os::unix::net::UnixStream::connect(self.socket()).ok().map(drop)
        });
    }

    /// The socket of the dockerd beside Hull.
    pub fn dockerd_socket(&self) -> PathBuf {
        self.directory().join("dockerd.sock")
    }

    /// Starts Debian's dockerd in the same namespaces, as the reference.
    pub fn start_dockerd(&self) {
        self.start_dockerd_with(&[]);
    }

    /// The same with these flags besides.
    pub fn start_dockerd_with(&self, flags: &[&str]) {
        let log = std::fs::File::create(self.directory().join("dockerd.log")).unwrap();
        let child = self
            .command("dockerd")
            .arg("--data-root")
            .arg(self.directory().join("dockerd"))
            .arg("--exec-root")
            .arg(self.directory().join("dockerd-exec"))
            .arg("--pidfile")
            .arg(self.directory().join("dockerd.pid"))
            .arg("-H")
            .arg(format!("unix://{}", self.dockerd_socket().display()))
            .arg("--registry-mirror")
            .arg("http://127.0.0.1:5000")
            .args(flags)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        *self.dockerd.borrow_mut() = Some(child);
        eventually("dockerd answers", 30, || {
            std::os::unix::net::UnixStream::connect(self.dockerd_socket()).ok().map(drop)
        });
    }

    /// Ends dockerd, whose containers the caller has removed.
    pub fn stop_dockerd(&self) {
        if let Some(mut child) = self.dockerd.borrow_mut().take() {
            let pid = rustix::process::Pid::from_raw(child.id() as i32).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            let _ = child.wait();
        }
    }

    /// What the daemon wrote.
    pub fn daemon_log(&self) -> String {
        std::fs::read_to_string(self.directory().join("hulld.log")).unwrap_or_default()
    }

    /// The cgroup that this world's containers are in, below each hierarchy.
    pub fn cgroup_parent(&self) -> String {
        format!("/hull-e2e-{}", self.holder.id())
    }

    /// `kill -9` of the daemon.
    pub fn kill_daemon(&self) {
        if let Some(mut child) = self.daemon.borrow_mut().take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Runs a client with these words.
    pub fn client(&self, client: Client, words: &[&str]) -> Output {
        self.run(self.client_command(client, words), None)
    }
    /// The same with this on its standard input.
    pub fn client_with_input(&self, client: Client, words: &[&str], input: &str) -> Output {
        self.run(self.client_command(client, words), Some(input))
    }
    /// The client's program.
    pub fn program(&self, client: Client) -> PathBuf {
        match client {
            Client::Hull => environment("HULL_BIN"),
            Client::Docker => "docker".into(),
        }
    }
    /// The command itself, for those who hold its ends.
    pub fn client_command(&self, client: Client, words: &[&str]) -> Command {
        let mut command = self.command(self.program(client));
        command.arg("-H").arg(format!("unix://{}", self.socket().display())).args(words);
        command
    }
    /// `hull` with these words.
    pub fn hull(&self, words: &[&str]) -> Output {
        self.client(Client::Hull, words)
    }
    /// The docker CLI with these words.
    pub fn docker(&self, words: &[&str]) -> Output {
        self.client(Client::Docker, words)
    }
    /// A shell line inside the namespaces.
    pub fn sh(&self, line: &str) -> Output {
        let mut command = self.command("sh");
        command.arg("-c").arg(line);
        self.run(command, None)
    }

    /// Runs a command to its end.
    pub fn run(&self, mut command: Command, input: Option<&str>) -> Output {
        let shown = format!("{command:?}");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
        let mut child = command.spawn().expect("the command starts");
        if let Some(input) = input {
            // A program that ends without reading its input is no fault.
            let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        }
        let output = child.wait_with_output().unwrap();
        use std::os::unix::process::ExitStatusExt;
        Output {
            command: shown,
            code: output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0)),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Processes in this world's network namespace, or whose command line names its folder.
    fn own_processes(&self) -> Vec<(i32, String)> {
        let folder = self.directory().to_str().unwrap().to_owned();
        let namespace = std::fs::read_link(format!("/proc/{}/ns/net", self.holder.id())).unwrap_or_default();
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
            if pid as u32 == std::process::id() || pid as u32 == self.holder.id() {
                continue;
            }
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            let inside = std::fs::read_link(entry.path().join("ns/net")).is_ok_and(|own| own == namespace);
            if inside || line.contains(&folder) {
                found.push((pid, line));
            }
        }
        found
    }

    /// Removes every container, ends the daemon and checks that nothing of it is left on the machine.
    pub fn stop(self) {
        let left = self.hull(&["ps", "-aq", "--no-trunc"]).ok();
        if !left.is_empty() {
            let mut words = vec!["rm", "-f", "-v"];
            words.extend(left.lines());
            self.hull(&words).ok();
        }
        let mounts = self.sh("cat /proc/self/mountinfo").ok();
        let folder = self.directory().to_str().unwrap().to_owned();
        let stray: Vec<&str> = mounts.lines().filter(|line| line.contains(&folder)).collect();
        assert!(stray.is_empty(), "mounts are left: {stray:#?}");
        eventually("all veth pairs are gone", 5, || {
            let links = self.sh("ip -o link show type veth").ok();
            links.lines().all(|l| l.contains("host0") || l.contains("outside0")).then_some(())
        });
        if let Some(mut child) = self.daemon.borrow_mut().take() {
            rustix::process::kill_process(
                rustix::process::Pid::from_raw(child.id() as i32).unwrap(),
                rustix::process::Signal::TERM,
            )
            .unwrap();
            let status = child.wait().unwrap();
            assert!(status.success(), "the daemon ended with {status}\n{}", self.daemon_log());
        }
        self.stop_registry();
        eventually("no process of this world is left", 5, || {
            let left = self.own_processes();
            if !left.is_empty() {
                eprintln!("still there: {left:?}");
            }
            left.is_empty().then_some(())
        });
        for hierarchy in std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
            let group = hierarchy.path().join(&self.cgroup_parent()[1..]);
            assert!(!group.exists(), "the cgroup {} is left", group.display());
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.daemon_log();
            let from = log.len().saturating_sub(6000);
            eprintln!("--- the daemon's log\n{}", log.get(from..).unwrap_or(&log));
        }
        self.kill_daemon();
        self.stop_dockerd();
        self.stop_registry();
        // After a failure containers may still run: their shims and what is in this world's cgroups go with it.
        for (pid, _) in self.own_processes() {
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        for hierarchy in std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
            remove_group(&hierarchy.path().join(&self.cgroup_parent()[1..]));
        }
    }
}

/// Kills what is in a cgroup and removes it with all below it.
fn remove_group(group: &Path) {
    let Ok(entries) = std::fs::read_dir(group) else { return };
    for entry in entries.flatten().filter(|e| e.path().is_dir()) {
        remove_group(&entry.path());
    }
    for _ in 0..100 {
        for pid in std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default().lines() {
            if let Some(pid) = pid.parse().ok().and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        if std::fs::remove_dir(group).is_ok() || !group.exists() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}
