//! What a process gets beside its program: memory policy, labels, scheduling.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use serde_json::json;
use support::Bundle;

#[test]
fn a_memory_policy_holds_for_the_container() {
    let mut bundle = Bundle::new("cat /proc/self/numa_maps");
    bundle.spec["linux"]["memoryPolicy"] =
        json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]});
    let said = bundle.output();
    assert!(said.lines().all(|line| line.contains("bind=static:0") || line.contains(" default ")), "{said}");
    assert!(said.contains("bind=static:0"), "{said}");
    bundle.spec["linux"]["memoryPolicy"] = json!({"mode": "MPOL_BIND", "nodes": "999"});
    assert!(bundle.failure().contains("memory policy MPOL_BIND \"999\""));
    bundle.spec["linux"]["memoryPolicy"] = json!({"mode": "MPOL_NOPE"});
    assert!(bundle.failure().contains("linux.memoryPolicy.mode"));
}

#[test]
fn labels_that_the_kernel_has_not_are_refused() {
    let mut bundle = Bundle::new("true");
    bundle.spec["process"]["apparmorProfile"] = json!("some-profile");
    if !std::path::Path::new("/sys/module/apparmor").exists() {
        assert!(bundle.failure().contains("some-profile"));
    }
    bundle.spec["process"]["apparmorProfile"] = json!("");
    if !std::path::Path::new("/sys/fs/selinux/enforce").exists() {
        bundle.spec["linux"]["mountLabel"] = json!("system_u:object_r:container_file_t:s0");
        assert!(bundle.failure().contains("linux.mountLabel"));
        bundle.spec["linux"].as_object_mut().unwrap().remove("mountLabel");
        bundle.spec["process"]["selinuxLabel"] = json!("system_u:system_r:container_t:s0");
        assert!(bundle.failure().contains("container_t"));
    }
}

#[test]
fn classes_of_service_need_resctrl() {
    let mut bundle = Bundle::new("true");
    bundle.spec["linux"]["intelRdt"] = json!({"closID": "gold"});
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    if !mounts.contains(" - resctrl ") {
        assert!(bundle.failure().contains("resctrl"));
    }
    bundle.spec["linux"]["intelRdt"] = json!({"closID": ".."});
    assert!(bundle.failure().contains("linux.intelRdt.closID"));
}

#[test]
fn scheduling_and_affinity_are_the_process_own() {
    let mut bundle = Bundle::new("sleep 100");
    bundle.spec["process"]["scheduler"] = json!({"policy": "SCHED_BATCH", "nice": 7});
    bundle.spec["process"]["ioPriority"] = json!({"class": "IOPRIO_CLASS_IDLE", "priority": 0});
    bundle.spec["process"]["execCPUAffinity"] = json!({"initial": "0", "final": "0"});
    bundle.start();
    let pid = bundle.state()["pid"].to_string();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    assert_eq!((fields[16], fields[38]), ("7", "3"), "nice and SCHED_BATCH: {stat}");
    let ionice = std::process::Command::new("ionice").args(["-p", &pid]).output().unwrap();
    assert!(String::from_utf8_lossy(&ionice.stdout).contains("idle"), "{ionice:?}");
    let status = bundle.ok(&["exec", "ID", "cat", "/proc/self/status"]);
    assert!(status.contains("Cpus_allowed_list:\t0\n"), "{status}");
}

#[test]
fn the_state_says_what_runc_says() {
    let mut bundle = Bundle::new("sleep 100");
    bundle.spec["annotations"] = json!({"k": "v"});
    bundle.start();
    let state = bundle.state();
    let keys: Vec<&String> = state.as_object().unwrap().keys().collect();
    for key in ["ociVersion", "id", "pid", "status", "bundle", "rootfs", "created", "annotations", "owner"] {
        assert!(keys.iter().any(|known| *known == key), "{key}: {state}");
    }
    assert_eq!(state["rootfs"], bundle.root().to_str().unwrap());
    let listed: serde_json::Value = serde_json::from_str(&bundle.ok(&["list", "-f", "json"])).unwrap();
    assert_eq!(listed[0], state);
}

#[test]
fn features_are_json_and_name_what_is_there() {
    let output = std::process::Command::new(support::RUNTIME).arg("features").output().unwrap();
    let features: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(features["ociVersionMax"], "1.3.0");
    assert_eq!(features["linux"]["netDevices"]["enabled"], true);
    assert_eq!(features["linux"]["memoryPolicy"]["modes"][2], "MPOL_BIND");
    assert_eq!(features["hooks"].as_array().unwrap().len(), 6);
    assert!(features["mountOptions"].as_array().unwrap().contains(&json!("tmpcopyup")));
}

#[test]
fn log_formats_are_two() {
    let bundle = Bundle::new("true");
    let log = bundle.directory.path().join("log");
    let fails = |format: &str| {
        let output = std::process::Command::new(support::RUNTIME)
            .args(["--log-format", format, "--log", log.to_str().unwrap(), "state", "nobody"])
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(fails("xml").contains("invalid log-format"));
    assert!(!log.exists());
    fails("json");
    let line: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&log).unwrap()).unwrap();
    assert_eq!(line["level"], "error");
    assert!(line["msg"].as_str().unwrap().contains("does not exist") && line["time"].is_string());
    fails("text");
    assert!(std::fs::read_to_string(&log).unwrap().contains("level=error msg=\"container"));
}
