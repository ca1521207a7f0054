//! The bundle's configuration: read, and refused where it cannot be.

use crate::{Error, Result};
use hull_sys::namespace;
use hull_types::oci::runtime::{Linux, Seccomp, Spec};
use std::path::Path;

/// Reads and checks `<bundle>/config.json`.
pub(crate) fn load(bundle: &Path) -> Result<Spec> {
    let path = bundle.join("config.json");
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(source) => return Err(Error::ReadConfig { path, source }),
    };
    let spec =
        hull_types::document::from_json(&text).map_err(|source| Error::ParseConfig { path, source })?;
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
    check_hooks(spec)?;
    check_linux(linux, &namespaces)
}

fn check_hooks(spec: &Spec) -> Result<()> {
    let Some(hooks) = &spec.hooks else { return Ok(()) };
    let all = [
        ("prestart", &hooks.prestart),
        ("createRuntime", &hooks.create_runtime),
        ("createContainer", &hooks.create_container),
        ("startContainer", &hooks.start_container),
        ("poststart", &hooks.poststart),
        ("poststop", &hooks.poststop),
    ];
    for (point, hooks) in all {
        for (index, hook) in hooks.iter().enumerate() {
            let invalid = |text: &str| Err(Error::InvalidConfig(format!("hooks.{point}[{index}].{text}")));
            if !hook.path.starts_with('/') {
                return invalid("path must be absolute");
            }
            if hook.timeout.is_some_and(|seconds| seconds <= 0) {
                return invalid("timeout must be greater than zero");
            }
        }
    }
    Ok(())
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
    for (index, limit) in process.rlimits.iter().enumerate() {
        if process.rlimits[..index].iter().any(|earlier| earlier.kind == limit.kind) {
            return Err(Error::InvalidConfig(format!("process.rlimits has {} twice", limit.kind)));
        }
    }
    // The kernel reads the last number as "leave it as it is", which is root; what lies between has no use.
    let user = &process.user;
    if [user.uid, user.gid].iter().chain(&user.additional_gids).any(|id| i32::try_from(*id).is_err()) {
        return invalid("process.user: uids and gids must be in range 0-2147483647");
    }
    if process.args.iter().chain(&process.env).any(|text| text.contains('\0')) {
        return invalid("process.args and process.env must not contain NUL");
    }
    if !process.selinux_label.is_empty() && !has_selinux() {
        let label = &process.selinux_label;
        return invalid(&format!(
            "process.selinuxLabel is {label:?}, but SELinux is not in use on this host"
        ));
    }
    if !matches!(process.apparmor_profile.as_str(), "" | "unconfined") && !has_apparmor() {
        let profile = &process.apparmor_profile;
        let text = "but AppArmor is not in use on this host";
        return invalid(&format!("process.apparmorProfile is {profile:?}, {text}"));
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

/// What only works together with something else, and what is not spelt as the kernel wants it.
fn check_linux(linux: &Linux, namespaces: &Namespaces) -> Result<()> {
    let invalid = |text: String| Err(Error::InvalidConfig(text));
    if let Some(Err(text)) = linux.intel_rdt.as_ref().map(crate::intel_rdt::check) {
        return invalid(text.into());
    }
    if let Some(Err(text)) = linux.memory_policy.as_ref().map(crate::process::parse_memory_policy) {
        return invalid(text);
    }
    if !linux.net_devices.is_empty() && !namespaces.has(namespace::NETWORK) {
        return invalid("linux.netDevices need a network namespace of the container's own".into());
    }
    for (name, device) in &linux.net_devices {
        let new = if device.name.is_empty() { name } else { &device.name };
        if !crate::net_devices::is_name(name) || !crate::net_devices::is_name(new) {
            return invalid(format!("linux.netDevices: invalid name {name:?} or {new:?}"));
        }
    }
    if !linux.mount_label.is_empty() && !has_selinux() {
        return invalid("linux.mountLabel is set, but SELinux is not in use on this host".into());
    }
    linux.seccomp.as_ref().map_or(Ok(()), check_seccomp)
}

/// Whether the kernel has SELinux and a policy is loaded.
fn has_selinux() -> bool {
    Path::new("/sys/fs/selinux/enforce").exists()
}

fn has_apparmor() -> bool {
    std::fs::read("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with(b"Y"))
}

fn check_seccomp(seccomp: &Seccomp) -> Result<()> {
    const NOTIFY: &str = "SCMP_ACT_NOTIFY";
    let invalid = |text: &str| Err(Error::InvalidConfig(format!("linux.seccomp: {text}")));
    if seccomp.default_action == NOTIFY {
        return invalid("SCMP_ACT_NOTIFY cannot be used as default action");
    }
    let mut notified = seccomp.syscalls.iter().filter(|rule| rule.action == NOTIFY).peekable();
    if notified.peek().is_none() && !seccomp.listener_metadata.is_empty() && seccomp.listener_path.is_empty()
    {
        return invalid("listenerMetadata is set, but no listenerPath");
    }
    if notified.peek().is_some() && seccomp.listener_path.is_empty() {
        return invalid("SCMP_ACT_NOTIFY needs a listenerPath");
    }
    // runc's rule: what a listener sees first must be the container's, not the runtime's.
    if notified.any(|rule| rule.names.iter().any(|name| name == "write")) {
        return invalid("SCMP_ACT_NOTIFY cannot be used for the write syscall");
    }
    Ok(())
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
        check(&hull_types::document::from_json(value.to_string().as_bytes()).unwrap())
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
            r#"{"process":{"user":{"uid":4294967295}}}"#,
            r#"{"process":{"user":{"gid":2147483648}}}"#,
            r#"{"process":{"user":{"additionalGids":[1,4294967295]}}}"#,
            r#"{"ociVersion":"2.0.0"}"#,
            r#"{"hostname":"x"}"#,
            r#"{"linux":{"namespaces":[]}}"#,
            r#"{"linux":{"namespaces":[{"type":"mount"},{"type":"mount"}]}}"#,
            r#"{"linux":{"namespaces":[{"type":"mount"},{"type":"nope"}]}}"#,
            r#"{"linux":{"sysctl":{"kernel.core_pattern":"|/x"}}}"#,
            r#"{"linux":{"sysctl":{"kernel.shmmax":"1"}}}"#,
            r#"{"linux":{"sysctl":{"net..x":"1"}}}"#,
            r#"{"linux":{"netDevices":{"a/b":{}}}}"#,
            r#"{"linux":{"netDevices":{"eth0":{"name":"0123456789abcdef"}}}}"#,
            r#"{"linux":{"memoryPolicy":{"mode":"MPOL_NOPE"}}}"#,
            r#"{"linux":{"intelRdt":{"closID":"../x"}}}"#,
            r#"{"linux":{"seccomp":{"defaultAction":"SCMP_ACT_NOTIFY"}}}"#,
            r#"{"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["x"],"action":"SCMP_ACT_NOTIFY"}]}}}"#,
            r#"{"hooks":{"poststop":[{"path":"true"}]}}"#,
            r#"{"hooks":{"prestart":[{"path":"/bin/true","timeout":0}]}}"#,
        ] {
            assert!(matches!(spec(bad), Err(Error::InvalidConfig(_))), "{bad}");
        }
    }
}
