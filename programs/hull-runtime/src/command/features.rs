//! `features`: what this runtime knows (runtime specification, "Features").

use super::{Global, Outcome, text};
use serde_json::json;
use std::ffi::OsString;

pub(super) fn features(_: &Global, _: Vec<OsString>) -> Outcome {
    let action = |name: &str| format!("SCMP_ACT_{name}");
    let actions: Vec<String> =
        ["ALLOW", "ERRNO", "KILL", "KILL_PROCESS", "KILL_THREAD", "LOG", "NOTIFY", "TRACE", "TRAP"]
            .map(action)
            .into();
    let operators = ["EQ", "GE", "GT", "LE", "LT", "MASKED_EQ", "NE"].map(|name| format!("SCMP_CMP_{name}"));
    let flags: Vec<String> =
        ["TSYNC", "SPEC_ALLOW", "LOG", "WAIT_KILLABLE_RECV"].map(|name| format!("SECCOMP_FILTER_FLAG_{name}")).into();
    let architectures =
        if cfg!(target_arch = "aarch64") { vec!["SCMP_ARCH_AARCH64"] } else { vec!["SCMP_ARCH_X86", "SCMP_ARCH_X86_64"] };
    let capabilities: Vec<String> = hull_sys::capability::names().collect();
    let features = json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": hull_types::oci::runtime::VERSION,
        "hooks": ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
        "mountOptions": hull_oci_runtime::known_options(),
        "linux": {
            "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
            "capabilities": capabilities,
            "cgroup": {"v1": true, "v2": true, "systemd": false, "systemdUser": false, "rdma": true},
            "seccomp": {
                "enabled": true, "actions": actions, "operators": operators, "archs": architectures,
                "knownFlags": flags, "supportedFlags": flags,
            },
            "apparmor": {"enabled": true},
            "selinux": {"enabled": true},
            "intelRdt": {"enabled": false},
            "mountExtensions": {"idmap": {"enabled": true}},
            "netDevices": {"enabled": false},
        },
    });
    println!("{}", serde_json::to_string_pretty(&features).map_err(text)?);
    Ok(0)
}
