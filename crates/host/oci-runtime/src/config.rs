//! The bundle's configuration: read, and refused where it cannot be.

use crate::{Error, Result};
use hull_sys::namespace;
use hull_types::oci::runtime::{Linux, Spec};
use std::path::Path;

/// Reads and checks `<bundle>/config.json`.
pub(crate) fn load(bundle: &Path) -> Result<Spec> {
    let path = bundle.join("config.json");
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(source) => return Err(Error::ReadConfig { path, source }),
    };
    let spec = serde_json::from_slice(&text).map_err(|source| Error::ParseConfig { path, source })?;
    check(&spec)?;
    Ok(spec)
}

/// The namespaces that a configuration asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Namespaces {
    /// `CLONE_NEW…` of those that are made.
    pub made: u64,
    /// Type, flag and path of those that are joined.
    pub joined: Vec<(String, u64, String)>,
}

impl Namespaces {
    pub(crate) fn of(linux: &Linux) -> Result<Self> {
        let mut all = Self::default();
        for namespace in &linux.namespaces {
            let invalid =
                |what: &str| Error::InvalidConfig(format!("{what} namespace type {:?}", namespace.kind));
            let flag = namespace::flag(&namespace.kind).ok_or_else(|| invalid("unknown"))?;
            if all.has(flag) {
                return Err(invalid("duplicate"));
            }
            if namespace.path.is_empty() {
                all.made |= flag;
            } else {
                all.joined.push((namespace.kind.clone(), flag, namespace.path.clone()));
            }
        }
        Ok(all)
    }

    /// Whether the container has its own, made or joined.
    pub(crate) fn has(&self, flag: u64) -> bool {
        self.made & flag != 0 || self.joined.iter().any(|(_, joined, _)| *joined == flag)
    }

    /// Whether a new one is made.
    pub(crate) fn makes(&self, flag: u64) -> bool {
        self.made & flag != 0
    }

    /// The flags of all, made or joined.
    pub(crate) fn all(&self) -> u64 {
        self.joined.iter().fold(self.made, |all, (_, flag, _)| all | flag)
    }
}

fn check(spec: &Spec) -> Result<()> {
    let invalid = |text: String| Err(Error::InvalidConfig(text));
    if !spec.oci_version.starts_with("1.") {
        return invalid(format!("unsupported ociVersion {:?}: this runtime knows 1.x", spec.oci_version));
    }
    let Some(process) = &spec.process else { return invalid("process must be set".into()) };
    check_process(process)?;
    if spec.root.as_ref().is_none_or(|root| root.path.is_empty()) {
        return invalid("root.path must be set".into());
    }
    let Some(linux) = &spec.linux else { return invalid("linux must be set".into()) };
    let namespaces = Namespaces::of(linux)?;
    if !namespaces.has(namespace::MOUNT) {
        return invalid("a mount namespace is needed: the root file system is mounted in it".into());
    }
    let uts = namespaces.has(namespace::UTS);
    if !uts && (!spec.hostname.is_empty() || !spec.domainname.is_empty()) {
        return invalid("unable to set hostname without a private UTS namespace".into());
    }
    if namespaces.makes(namespace::USER) && (linux.uid_mappings.is_empty() || linux.gid_mappings.is_empty()) {
        return invalid("a user namespace needs uidMappings and gidMappings".into());
    }
    if !linux.time_offsets.is_empty() && !namespaces.makes(namespace::TIME) {
        return invalid("timeOffsets need a new time namespace".into());
    }
    for mount in &spec.mounts {
        if mount.destination.is_empty() || mount.destination.contains('\0') {
            return invalid("a mount needs a destination".into());
        }
    }
    check_sysctls(linux, &namespaces)?;
    check_unsupported(linux)
}

/// Checks what runs; also for `exec`.
pub(crate) fn check_process(process: &hull_types::oci::runtime::Process) -> Result<()> {
    let invalid = |text: &str| Err(Error::InvalidConfig(text.into()));
    if process.args.is_empty() {
        return invalid("process.args must not be empty");
    }
    if !process.cwd.starts_with('/') {
        return invalid("process.cwd must be an absolute path");
    }
    if process.args.iter().chain(&process.env).any(|text| text.contains('\0')) {
        return invalid("process.args and process.env must not contain NUL");
    }
    Ok(())
}

/// Kernel parameters that are not of a namespace the container has would change the host.
fn check_sysctls(linux: &Linux, namespaces: &Namespaces) -> Result<()> {
    const IPC: [&str; 8] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    for key in linux.sysctl.keys() {
        let dotted = key.replace('/', ".");
        let (flag, name) = if IPC.contains(&dotted.as_str()) || dotted.starts_with("fs.mqueue.") {
            (namespace::IPC, "ipc")
        } else if dotted.starts_with("net.") {
            (namespace::NETWORK, "network")
        } else if matches!(dotted.as_str(), "kernel.domainname" | "kernel.hostname") {
            (namespace::UTS, "UTS")
        } else {
            let text = format!("sysctl {key:?} is not in a separate kernel namespace");
            return Err(Error::InvalidConfig(text));
        };
        if !namespaces.has(flag) {
            let text = format!("sysctl {key:?} is not allowed in the hosts {name} namespace");
            return Err(Error::InvalidConfig(text));
        }
        if dotted.split('.').any(str::is_empty) {
            return Err(Error::InvalidConfig(format!("invalid sysctl {key:?}")));
        }
    }
    Ok(())
}

fn check_unsupported(linux: &Linux) -> Result<()> {
    let asked = [
        (linux.intel_rdt.is_some(), "linux.intelRdt"),
        (linux.memory_policy.is_some(), "linux.memoryPolicy"),
        (!linux.net_devices.is_empty(), "linux.netDevices"),
    ];
    match asked.iter().find(|(asked, _)| *asked) {
        Some((_, name)) => Err(Error::InvalidConfig(format!("{name} is not supported"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(change: &str) -> Result<()> {
        let mut value: serde_json::Value = serde_json::from_str(
            r#"{"ociVersion":"1.2.0","process":{"user":{"uid":0,"gid":0},"args":["sh"],"cwd":"/"},"root":{"path":"r"},
               "linux":{"namespaces":[{"type":"mount"},{"type":"network","path":"/x"}]}}"#,
        )
        .unwrap();
        let change: serde_json::Value = serde_json::from_str(change).unwrap();
        merge(&mut value, change);
        check(&serde_json::from_value(value).unwrap())
    }

    fn merge(into: &mut serde_json::Value, from: serde_json::Value) {
        match (into, from) {
            (serde_json::Value::Object(into), serde_json::Value::Object(from)) => {
                for (key, value) in from {
                    merge(into.entry(key).or_insert(serde_json::Value::Null), value);
                }
            }
            (into, from) => *into = from,
        }
    }

    #[test]
    fn what_would_touch_the_host_is_refused() {
        spec("{}").unwrap();
        spec(r#"{"linux":{"sysctl":{"net.ipv4.ip_forward":"1"}}}"#).unwrap();
        for bad in [
            r#"{"process":null}"#,
            r#"{"process":{"args":[]}}"#,
            r#"{"process":{"cwd":"x"}}"#,
            r#"{"ociVersion":"2.0.0"}"#,
            r#"{"hostname":"x"}"#,
            r#"{"linux":{"namespaces":[]}}"#,
            r#"{"linux":{"namespaces":[{"type":"mount"},{"type":"mount"}]}}"#,
            r#"{"linux":{"namespaces":[{"type":"mount"},{"type":"nope"}]}}"#,
            r#"{"linux":{"sysctl":{"kernel.core_pattern":"|/x"}}}"#,
            r#"{"linux":{"sysctl":{"kernel.shmmax":"1"}}}"#,
            r#"{"linux":{"sysctl":{"net..x":"1"}}}"#,
        ] {
            assert!(matches!(spec(bad), Err(Error::InvalidConfig(_))), "{bad}");
        }
    }
}
