//! The same bundles on runc, crun and this runtime: what a process sees of itself must be the same, or the difference
//! is in `EXPLAINED`. A difference that is listed there and no longer occurs is a fault, too.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::{Bundle, RUNTIME, installed};

const PROBE: &str = include_str!("support/probe.sh");

/// A difference from another runtime that stays: whose it is, in which bundle (`*` for any), the section and what the
/// line holds (`-` they have it alone, `+` we have it alone), and why.
struct Explained {
    peer: &'static str,
    bundle: &'static str,
    line: &'static str,
    #[allow(dead_code, reason = "for those who read the table")]
    why: &'static str,
}

const EXPLAINED: &[Explained] = &include!("support/explained.in");

type Change = fn(&mut Bundle);

const BUNDLES: [(&str, Change); 19] = [
    ("default", |_| {}),
    ("exec", |_| {}),
    ("terminal", |b| b.spec["process"]["terminal"] = json!(true)),
    ("userns", map_users),
    ("readonly", |b| b.spec["root"]["readonly"] = json!(true)),
    ("tmpfs", |b| {
        fs::set_permissions(b.root().join("etc"), std::os::unix::fs::PermissionsExt::from_mode(0o750))
            .unwrap();
        b.add_mount(json!({"destination": "/etc", "type": "tmpfs", "source": "tmpfs"}));
        for (place, options) in [
            ("/tmp", json!(["size=64k", "mode=1777", "noexec"])),
            ("/run", json!(["ro", "nosuid", "nodev", "uid=5"])),
            ("/t", json!(["rw", "strictatime", "nr_inodes=99"])),
        ] {
            b.add_mount(
                json!({"destination": place, "type": "tmpfs", "source": "tmpfs", "options": options}),
            );
        }
    }),
    ("binds", |b| {
        let source = b.directory.path().join("source");
        fs::create_dir(&source).unwrap();
        for (index, options) in [
            json!(["rbind", "ro"]),
            json!(["bind", "nosuid", "nodev", "noexec"]),
            json!(["rbind", "rshared"]),
            json!(["rbind", "slave", "noatime"]),
        ]
        .into_iter()
        .enumerate()
        {
            b.add_mount(json!({"destination": format!("/bind{index}"), "type": "bind", "source": source, "options": options}));
        }
    }),
    ("devices", |b| {
        b.spec["linux"]["devices"] = json!([
            {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o660, "uid": 3, "gid": 4},
            {"path": "/dev/d/disk", "type": "b", "major": 7, "minor": 1}, {"path": "/dev/pipe", "type": "p"}]);
        b.spec["linux"]["resources"]["devices"] = json!([{"allow": false, "access": "rwm"},
            {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"}, {"allow": true, "type": "b", "major": 7, "access": "r"}]);
    }),
    ("no_capabilities", |b| b.spec["process"]["capabilities"] = json!({})),
    ("all_capabilities", |b| {
        let all: Vec<String> = hull_sys::capability::names().collect();
        let held: Vec<&str> = all
            .iter()
            .map(|name| name.trim_start_matches("CAP_"))
            .filter(|name| *name != "SYS_RESOURCE")
            .collect();
        b.set_capabilities(&held);
        b.spec["process"]["noNewPrivileges"] = json!(false);
    }),
    (
        "rlimits",
        |b| b.spec["process"]["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}, {"type": "RLIMIT_NPROC", "soft": 50, "hard": 60}]),
    ),
    (
        "limits",
        |b| b.spec["linux"]["resources"] = json!({"memory": {"limit": 64 << 20, "swap": 128 << 20, "reservation": 32 << 20}, "cpu": {"shares": 512, "quota": 50_000, "period": 100_000, "cpus": "0"}, "pids": {"limit": 77}}),
    ),
    ("host_namespaces", |b| {
        ["network", "ipc", "uts", "pid", "cgroup"].iter().for_each(|kind| b.remove_namespace(kind));
        b.spec["hostname"] = json!("");
    }),
    ("rootless", |b| {
        let folder = b.directory.path().join("rootless");
        fs::create_dir(&folder).unwrap();
        assert!(
            Command::new(RUNTIME)
                .args(["spec", "--rootless"])
                .current_dir(&folder)
                .status()
                .unwrap()
                .success()
        );
        let spec: Value = serde_json::from_slice(&fs::read(folder.join("config.json")).unwrap()).unwrap();
        for key in ["linux", "mounts"] {
            b.spec[key] = spec[key].clone();
        }
    }),
    ("seccomp", |b| {
        let profile = hull_seccomp::docker_profile_to_oci(hull_seccomp::DEFAULT_PROFILE, &[]).unwrap();
        b.spec["linux"]["seccomp"] = serde_json::to_value(profile).unwrap();
        b.spec["process"]["noNewPrivileges"] = json!(false);
    }),
    ("user", |b| {
        b.spec["process"]["user"] =
            json!({"uid": 1000, "gid": 100, "additionalGids": [7, 8, 100], "umask": 0o27});
        b.spec["process"]["cwd"] = json!("/made/for/it");
        b.spec["process"]["env"] = json!(["PATH=/bin", "A=1", "A=2", "EMPTY="]);
    }),
    ("parameters", |b| {
        b.spec["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1", "kernel.shmmax": "4194304", "fs.mqueue.msg_max": "20", "net.ipv4.ping_group_range": "0 5"});
        b.spec["process"]["oomScoreAdj"] = json!(300);
    }),
    ("unmasked", |b| {
        b.spec["linux"]["maskedPaths"] = json!([]);
        b.spec["linux"]["readonlyPaths"] = json!([]);
    }),
    ("shared_root", |b| b.spec["linux"]["rootfsPropagation"] = json!("shared")),
];

fn map_users(bundle: &mut Bundle) {
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    bundle.add_namespace(json!({"type": "user"}));
    bundle.spec["linux"]["uidMappings"] = map.clone();
    bundle.spec["linux"]["gidMappings"] = map;
    fs::set_permissions(bundle.directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    for path in [bundle.root(), bundle.root().join("dev")] {
        std::os::unix::fs::chown(path, Some(100_000), Some(100_000)).unwrap();
    }
}

/// A runtime on a bundle of its own.
struct Run {
    peer: &'static str,
    bundle: Bundle,
}

impl Run {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = match self.peer {
            "hull" => Command::new(RUNTIME),
            "runc" => Command::new("runc"),
            // It knows no hybrid hierarchies: it gets a mount namespace without the unified one.
            _ => {
                let mut command = Command::new("unshare");
                command.args([
                    "--mount",
                    "sh",
                    "-c",
                    "umount /sys/fs/cgroup/unified 2>/dev/null; exec crun \"$@\"",
                    "crun",
                ]);
                command
            }
        };
        command.arg("--root").arg(self.bundle.state_root()).args(words);
        // crun gives its streams' files to the container's user, also where they are the host's /dev/null.
        command.current_dir(self.bundle.directory.path()).stdin(Stdio::piped());
        command
    }

    fn call(&self, words: &[&str]) -> String {
        let output = self.command(words).output().unwrap();
        assert!(output.status.success(), "{} {words:?}: {output:?}", self.peer);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Whether a command succeeds whose process stays, with files for its streams.
    fn detached(&self, words: &[&str]) -> bool {
        let file = |name: &str| fs::File::create(self.bundle.directory.path().join(name)).unwrap();
        self.command(words).stdout(file("stdout")).stderr(file("stderr")).status().unwrap().success()
    }

    /// What the probe says in the bundle.
    fn probe(&self, name: &str) -> String {
        let id = self.bundle.id.as_str();
        let said = match name {
            "exec" => {
                self.bundle.save();
                let words: &[&str] = &["run", "--detach", id];
                assert!(self.detached(words));
                self.call(&["exec", id, "sh", "/probe.sh"])
            }
            "terminal" => self.probe_on_terminal(),
            _ => {
                self.bundle.save();
                self.call(&["run", id])
            }
        };
        let _ = self.command(&["delete", "--force", id]).output();
        said
    }

    fn probe_on_terminal(&self) -> String {
        self.bundle.save();
        let path = self.bundle.directory.path().join("console.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let words = ["create", "--console-socket", path.to_str().unwrap(), &self.bundle.id];
        assert!(self.detached(&words), "{}", self.peer);
        let (stream, _) = listener.accept().unwrap();
        let (_, mut fds) = hull_sys::socket::receive(stream.as_fd(), 4096).unwrap();
        let mut terminal = fs::File::from(fds.pop().unwrap());
        self.call(&["start", &self.bundle.id]);
        let mut said = Vec::new();
        // Reading ends with EIO when the container has closed its side.
        let _ = terminal.read_to_end(&mut said);
        String::from_utf8_lossy(&said).replace('\r', "")
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.command(&["delete", "--force", &self.bundle.id]).output();
        let _ = fs::remove_dir_all(self.bundle.state_root());
    }
}

/// Sections and their lines, without what is never the same.
fn sections(run: &Run, said: &str) -> BTreeMap<String, BTreeSet<String>> {
    let folder = run.bundle.directory.path().display().to_string();
    let own_groups = fs::read_to_string("/proc/self/cgroup").unwrap();
    let own_groups: Vec<&str> = own_groups
        .lines()
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .filter(|group| *group != "/")
        .collect();
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut current = String::new();
    for line in said.lines() {
        if let Some(name) = line.strip_prefix("== ") {
            current = name.to_owned();
            continue;
        }
        let mut line = line.replace(&run.bundle.id, "<id>").replace(&folder, "<bundle>");
        if matches!(current.as_str(), "cgroup" | "mounts") {
            // Some runtimes put a group below their caller's.
            own_groups.iter().for_each(|group| line = line.replace(&format!("{group}/<id>"), "/<id>"));
            while line.contains("/../..") {
                line = line.replace("/../..", "/..");
            }
        }
        // Keys of all of a user's containers are there.
        if current == "keyring" && !line.contains("<id>") {
            continue;
        }
        if current == "keyring" {
            line = line.rsplit(' ').nth(1).unwrap_or_default().to_owned();
        }
        if current == "namespaces" {
            line = own_or_host(&line);
        }
        if current == "mounts" {
            // Numbers of peer groups.
            let words = line.split(' ').map(|word| {
                word.split_once(':')
                    .filter(|(key, _)| matches!(*key, "shared" | "master"))
                    .map_or(word, |(key, _)| key)
            });
            line = words.collect::<Vec<_>>().join(" ");
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        all.entry(current.clone()).or_default().insert(words.join(" "));
    }
    all
}

fn own_or_host(line: &str) -> String {
    let Some((kind, id)) = line.split_once(' ') else { return line.into() };
    let host = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
    format!("{kind} {}", if host == Path::new(id) { "the host's" } else { "its own" })
}

fn sections_of(peer: &'static str, name: &str, change: Change) -> BTreeMap<String, BTreeSet<String>> {
    let mut bundle = Bundle::new("exec sh /probe.sh");
    fs::write(bundle.root().join("probe.sh"), PROBE).unwrap();
    // What the others know.
    bundle.spec["ociVersion"] = json!("1.0.2");
    bundle.spec["hostname"] = json!("probed");
    if name == "exec" {
        bundle.spec["process"]["args"] = json!(["sleep", "1000"]);
    }
    change(&mut bundle);
    let run = Run { peer, bundle };
    let said = run.probe(name);
    sections(&run, &said)
}

fn differences(peer: &'static str) -> Vec<String> {
    let mut found = Vec::new();
    for (name, change) in BUNDLES {
        let (ours, theirs) = (sections_of("hull", name, change), sections_of(peer, name, change));
        assert!(ours.len() > 15, "{name}: {ours:?}");
        let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
        let empty = BTreeSet::new();
        for section in names {
            let (mine, other) = (ours.get(section).unwrap_or(&empty), theirs.get(section).unwrap_or(&empty));
            found.extend(other.difference(mine).map(|line| format!("{name}: {section}: -{line}")));
            found.extend(mine.difference(other).map(|line| format!("{name}: {section}: +{line}")));
        }
    }
    found
}

fn agrees_with(peer: &'static str) {
    if !installed(peer) {
        return;
    }
    let start = Instant::now();
    let found = differences(peer);
    assert!(start.elapsed() < Duration::from_secs(250));
    let applies = |explained: &Explained, line: &str| {
        explained.peer == peer
            && (explained.bundle == "*" || line.starts_with(&format!("{}: ", explained.bundle)))
            && line.split_once(": ").is_some_and(|(_, rest)| rest.starts_with(explained.line))
    };
    let unexplained: Vec<&String> =
        found.iter().filter(|line| !EXPLAINED.iter().any(|e| applies(e, line))).collect();
    let gone: Vec<&str> = EXPLAINED
        .iter()
        .filter(|e| e.peer == peer && !found.iter().any(|line| applies(e, line)))
        .map(|e| e.line)
        .collect();
    assert!(
        unexplained.is_empty() && gone.is_empty(),
        "unexplained: {unexplained:#?}\nno longer so: {gone:#?}"
    );
}

#[test]
fn it_is_as_under_runc() {
    agrees_with("runc");
}

#[test]
fn it_is_as_under_crun() {
    agrees_with("crun");
}
