//! `spec`: a configuration to start from.

use super::{Global, Outcome, text};
use crate::arguments::{Arguments, short, switch, value};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;

pub(super) fn spec(_: &Global, given: Vec<OsString>) -> Outcome {
    let arguments = Arguments::parse(given, &[short("b", value("bundle")), switch("rootless")], false)?;
    let path = Path::new(arguments.get("bundle").unwrap_or(".")).join("config.json");
    let mut file = match std::fs::OpenOptions::new().write(true).create_new(true).open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(format!("File {} exists. Remove it first", path.display()));
        }
        result => result.map_err(|error| format!("cannot create {}: {error}", path.display()))?,
    };
    let mut spec = default_spec();
    if arguments.is_set("rootless") {
        make_rootless(&mut spec);
    }
    let content = serde_json::to_string_pretty(&spec).map_err(text)?;
    writeln!(file, "{content}").map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(0)
}

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Value {
    if options.is_empty() {
        return json!({"destination": destination, "type": kind, "source": source});
    }
    json!({"destination": destination, "type": kind, "source": source, "options": options})
}

fn default_spec() -> Value {
    let capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
    let namespaces: Vec<Value> =
        ["pid", "network", "ipc", "uts", "mount", "cgroup"].iter().map(|kind| json!({"type": kind})).collect();
    json!({
        "ociVersion": hull_types::oci::runtime::VERSION,
        "process": {
            "terminal": true,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": true,
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "hull",
        "mounts": [
            mount("/proc", "proc", "proc", &[]),
            mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", "devpts",
                &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
            mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
            mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
            mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
            mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
        ],
        "linux": {
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": namespaces,
            "maskedPaths": ["/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}

/// Without privilege: a user namespace for the caller, and no mount of what it may not mount.
fn make_rootless(spec: &mut Value) {
    let id = |inside: u32, outside: u32| json!([{"containerID": inside, "hostID": outside, "size": 1}]);
    let linux = &mut spec["linux"];
    linux["uidMappings"] = id(0, hull_sys::rustix::process::geteuid().as_raw());
    linux["gidMappings"] = id(0, hull_sys::rustix::process::getegid().as_raw());
    linux["resources"] = json!({});
    if let Some(namespaces) = linux["namespaces"].as_array_mut() {
        namespaces.retain(|namespace| namespace["type"] != "network");
        namespaces.push(json!({"type": "user"}));
    }
    if let Some(mounts) = spec["mounts"].as_array_mut() {
        mounts.retain(|mount| mount["destination"] != "/sys/fs/cgroup");
        for mount in mounts.iter_mut() {
            if mount["destination"] == "/sys" {
                *mount = json!({"destination": "/sys", "type": "none", "source": "/sys",
                    "options": ["rbind", "nosuid", "noexec", "nodev", "ro"]});
            }
            if let Some(options) = mount["options"].as_array_mut() {
                options.retain(|option| option != "gid=5");
            }
        }
    }
}
