//! What the runtime specification requires on Linux: one test for each requirement, named by its section
//! (config-linux.md, runtime-linux.md).
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use support::Bundle;

fn running(script: &str, change: impl FnOnce(&mut Value)) -> Bundle {
    let mut bundle = Bundle::new(script);
    change(&mut bundle.spec);
    bundle
}

#[track_caller]
fn gives(script: &str, wanted: &str, change: impl FnOnce(&mut Value)) {
    assert_eq!(running(script, change).output(), wanted);
}

#[track_caller]
fn is_refused(words: &str, change: impl FnOnce(&mut Value)) {
    let said = running("true", change).failure();
    assert!(said.contains(words), "{said}");
}

#[test]
fn spec_linux_default_file_systems_are_there() {
    let script = "while read -r i p d r at o dash kind rest; do case $at in /proc|/sys|/dev/pts|/dev/shm) echo $at $kind; esac; done </proc/self/mountinfo";
    gives(script, "/proc proc\n/dev/pts devpts\n/dev/shm tmpfs\n/sys sysfs\n", |_| {});
}

#[test]
fn spec_linux_default_devices_are_there_and_work() {
    let script = "for d in null zero full random urandom tty ptmx; do stat -L -c '%n %F %a %t,%T' /dev/$d; done; \
        echo x >/dev/null; head -c 3 /dev/zero | wc -c; echo x 2>/dev/null >/dev/full || echo full; head -c 2 /dev/random | wc -c; head -c 2 /dev/urandom | wc -c";
    let nodes = [
        ("null", "1,3"),
        ("zero", "1,5"),
        ("full", "1,7"),
        ("random", "1,8"),
        ("urandom", "1,9"),
        ("tty", "5,0"),
        ("ptmx", "5,2"),
    ];
    let wanted: String =
        nodes.map(|(name, number)| format!("/dev/{name} character special file 666 {number}\n")).concat();
    // Not what this configuration says, but every one: it lists none.
    gives(script, &(wanted + "3\nfull\n2\n2\n"), |spec| spec["linux"]["devices"] = json!([]));
}

#[test]
fn spec_runtime_linux_symbolic_links_of_dev() {
    gives(
        "for l in fd stdin stdout stderr ptmx; do readlink /dev/$l; done; echo through >/dev/stdout",
        "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx\nthrough\n",
        |_| {},
    );
}

#[test]
fn spec_linux_devices_have_type_number_mode_and_owner() {
    gives(
        "stat -c '%F %a %u %g %t,%T' /dev/a/b; stat -c '%F %a' /pipe; stat -c '%F %a' /dev/u",
        "character special file 640 5 6 a,e5\nfifo 600\ncharacter special file 666\n",
        |spec| {
            spec["linux"]["devices"] = json!([
            {"path": "/dev/a/b", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640, "uid": 5, "gid": 6},
            {"path": "/pipe", "type": "p", "fileMode": 0o600}, {"path": "/dev/u", "type": "u", "major": 1, "minor": 3}]);
        },
    );
    is_refused("/dev/x", |spec| {
        spec["linux"]["devices"] = json!([{"path": "/dev/x", "type": "nope", "major": 1, "minor": 3}])
    });
    // A file that is there already and is no such device.
    let bundle = running("true", |spec| {
        spec["linux"]["devices"] = json!([{"path": "/etc/passwd", "type": "c", "major": 1, "minor": 3}])
    });
    assert!(bundle.failure().contains("/etc/passwd"));
}

#[test]
fn spec_linux_namespaces_are_new_joined_or_the_runtimes() {
    let kinds = [
        ("pid", "pid"),
        ("network", "net"),
        ("mount", "mnt"),
        ("ipc", "ipc"),
        ("uts", "uts"),
        ("cgroup", "cgroup"),
    ];
    let host = |file: &str| fs::read_link(format!("/proc/self/ns/{file}")).unwrap().display().to_string();
    let links = "for n in pid net mnt ipc uts cgroup; do readlink /proc/self/ns/$n; done";
    // New.
    let mut first = Bundle::new(&format!("{links}; sleep 1000"));
    first.start();
    let pid = first.state()["pid"].to_string();
    let of_first =
        |file: &str| fs::read_link(format!("/proc/{pid}/ns/{file}")).unwrap().display().to_string();
    for (_, file) in kinds {
        assert_ne!(of_first(file), host(file), "{file}");
    }
    // The runtime's, where it is not listed; a mount namespace has to be.
    for (kind, file) in kinds.iter().filter(|(kind, _)| *kind != "mount") {
        let bundle = running(&format!("readlink /proc/self/ns/{file}"), |spec| {
            spec["hostname"] = json!("");
            spec["linux"]["namespaces"].as_array_mut().unwrap().retain(|n| n["type"] != *kind);
        });
        assert_eq!(bundle.output().trim(), host(file), "{kind}");
    }
    // Joined by its path.
    for (kind, file) in kinds.iter().filter(|(kind, _)| *kind != "mount") {
        let path = format!("/proc/{pid}/ns/{file}");
        let bundle = running(&format!("readlink /proc/self/ns/{file}"), |spec| {
            spec["hostname"] = json!("");
            let all = spec["linux"]["namespaces"].as_array_mut().unwrap();
            all.iter_mut().filter(|n| n["type"] == *kind).for_each(|n| n["path"] = json!(path));
        });
        let wanted = of_first(file);
        assert_eq!(bundle.output().trim(), wanted, "{kind}");
    }
    first.spec["hostname"] = json!("");
    // A path that is a namespace of another type, or none.
    for path in [format!("/proc/{pid}/ns/ipc"), "/etc/hostname".into(), "/nowhere".into()] {
        is_refused("network", |spec| {
            spec["linux"]["namespaces"] =
                json!([{"type": "mount"}, {"type": "uts"}, {"type": "network", "path": path}])
        });
    }
    is_refused("duplicate", |spec| {
        spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "pid"}))
    });
    is_refused("unknown", |spec| {
        spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "nope"}))
    });
}

#[test]
fn spec_linux_user_namespace_mappings_are_as_given() {
    let mut bundle = Bundle::new(
        "while read -r a b c; do echo $a $b $c; done </proc/self/uid_map; while read -r a b c; do echo $a $b $c; done </proc/self/gid_map; id -u",
    );
    bundle.add_namespace(json!({"type": "user"}));
    bundle.spec["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": 1000, "size": 10}, {"containerID": 10, "hostID": 5000, "size": 20}]);
    bundle.spec["linux"]["gidMappings"] = json!([{"containerID": 0, "hostID": 2000, "size": 5}]);
    // Its streams and its devices' group are not mapped, and its root has to be its own.
    for mount in bundle.spec["mounts"].as_array_mut().unwrap() {
        if let Some(options) = mount["options"].as_array_mut() {
            options.retain(|option| option != "gid=5");
        }
    }
    fs::set_permissions(bundle.directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    for path in [bundle.root(), bundle.root().join("dev")] {
        std::os::unix::fs::chown(path, Some(1000), Some(2000)).unwrap();
    }
    assert_eq!(bundle.output(), "0 1000 10\n10 5000 20\n0 2000 5\n0\n");
    // Without mappings, with none that the kernel takes, with mappings and no namespace.
    is_refused("Mappings", |spec| {
        spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}))
    });
    is_refused("maps", |spec| {
        spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
        spec["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": 1000, "size": 10}, {"containerID": 5, "hostID": 5000, "size": 20}]);
        spec["linux"]["gidMappings"] = json!([{"containerID": 0, "hostID": 1000, "size": 10}]);
    });
}

#[test]
fn spec_linux_time_offsets_move_the_clocks() {
    let now = fs::read_to_string("/proc/uptime").unwrap().split('.').next().unwrap().parse::<u64>().unwrap();
    let bundle = running("sed 's/[.].*//' /proc/uptime", |spec| {
        spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "time"}));
        spec["linux"]["timeOffsets"] =
            json!({"boottime": {"secs": 1_000_000}, "monotonic": {"secs": 5, "nanosecs": 6}});
    });
    let inside: u64 = bundle.output().trim().parse().unwrap();
    assert!((now + 1_000_000..now + 1_000_600).contains(&inside), "{inside}");
    is_refused("time", |spec| spec["linux"]["timeOffsets"] = json!({"boottime": {"secs": 1}}));
}

#[test]
fn spec_linux_cgroups_path_is_absolute_or_relative_or_the_id() {
    let memory = Path::new("/sys/fs/cgroup/memory");
    let memory = if memory.exists() { memory } else { Path::new("/sys/fs/cgroup") };
    for (path, wanted) in [
        ("", "ID"),
        ("/hull-spec-absolute/ID", "hull-spec-absolute/ID"),
        ("hull-spec-relative/ID", "hull-spec-relative/ID"),
    ] {
        let mut bundle = Bundle::new("sleep 1000");
        bundle.spec["linux"]["cgroupsPath"] = json!(path.replace("ID", &bundle.id));
        bundle.start();
        let group = memory.join(wanted.replace("ID", &bundle.id));
        let pids = fs::read_to_string(group.join("cgroup.procs"))
            .unwrap_or_else(|error| panic!("{group:?}: {error}"));
        assert_eq!(pids.trim(), bundle.state()["pid"].to_string());
        bundle.ok(&["delete", "-f", "ID"]);
        assert!(!group.exists(), "the group goes with the container");
        if path.contains('/') {
            for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
                let _ = fs::remove_dir(hierarchy.path().join(wanted.split('/').next().unwrap()));
            }
        }
    }
}

#[test]
fn spec_linux_resources_are_in_force() {
    let mut bundle = Bundle::new("sleep 1000");
    bundle.spec["linux"]["resources"] = json!({"memory": {"limit": 32 << 20}, "cpu": {"shares": 512, "quota": 20_000, "period": 50_000, "cpus": "0"}, "pids": {"limit": 9}});
    bundle.start();
    let stats: Value = serde_json::from_str(&bundle.ok(&["events", "--stats", "ID"])).unwrap();
    assert_eq!(stats["data"]["memory"]["usage"]["limit"], 32 << 20);
    assert_eq!(stats["data"]["pids"]["limit"], 9);
    let cpuset = bundle.ok(&["exec", "ID", "sed", "-n", "s/^Cpus_allowed_list:.//p", "/proc/self/status"]);
    assert_eq!(cpuset, "0\n");
    // What cannot be is an error that names it.
    for (resources, said) in [
        (json!({"memory": {"limit": 1 << 20, "swap": 1 << 10}}), "mem"),
        (json!({"cpu": {"period": 1}}), "cpu"),
        (json!({"cpu": {"mems": "77"}}), "cpuset.mems"),
    ] {
        is_refused(said, |spec| spec["linux"]["resources"] = resources);
    }
}

#[test]
fn spec_linux_sysctl_is_set_inside_only() {
    let before = fs::read_to_string("/proc/sys/kernel/shmmax").unwrap();
    gives("cat /proc/sys/kernel/shmmax /proc/sys/net/ipv4/ip_default_ttl", "1048576\n33\n", |spec| {
        spec["linux"]["sysctl"] = json!({"kernel.shmmax": "1048576", "net.ipv4.ip_default_ttl": "33"});
    });
    assert_eq!(fs::read_to_string("/proc/sys/kernel/shmmax").unwrap(), before);
}

#[test]
fn spec_linux_seccomp_acts_as_it_says() {
    let filter = |action: &str, errno: Option<u32>| {
        let mut rule = json!({"names": ["mkdir", "mkdirat", "no_such_call"], "action": action});
        if let Some(errno) = errno {
            rule["errnoRet"] = json!(errno);
        }
        json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"], "syscalls": [rule]})
    };
    for (action, errno, said) in [
        ("SCMP_ACT_ERRNO", None, "Operation not permitted"),
        ("SCMP_ACT_ERRNO", Some(28), "No space left"),
        ("SCMP_ACT_KILL_PROCESS", None, "Bad system call"),
        ("SCMP_ACT_KILL_THREAD", None, "Bad system call"),
        ("SCMP_ACT_KILL", None, "Bad system call"),
        ("SCMP_ACT_TRAP", None, "Bad system call"),
        ("SCMP_ACT_TRACE", None, "not implemented"),
    ] {
        let output = running("mkdir /x; echo $?; test -d /x && echo made; true", |spec| {
            spec["linux"]["seccomp"] = filter(action, errno)
        })
        .run();
        assert!(!String::from_utf8_lossy(&output.stdout).contains("made"), "{action}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(said), "{action}: {output:?}");
    }
    gives("mkdir /x && echo made", "made\n", |spec| spec["linux"]["seccomp"] = filter("SCMP_ACT_LOG", None));
    gives("mkdir /x && echo made", "made\n", |spec| {
        spec["linux"]["seccomp"] = filter("SCMP_ACT_ALLOW", None)
    });
    is_refused("SCMP_ACT_NOPE", |spec| spec["linux"]["seccomp"] = filter("SCMP_ACT_NOPE", None));
    is_refused("invalid action", |spec| spec["linux"]["seccomp"] = json!({"defaultAction": ""}));
}

#[test]
fn spec_linux_rootfs_propagation_is_the_roots() {
    let script =
        "while read -r i p d r at o tag rest; do case $at in /) echo $tag;; esac; done </proc/self/mountinfo";
    for (word, wanted) in [
        ("shared", "shared:"),
        ("slave", "-"),
        ("private", "-"),
        ("unbindable", "unbindable"),
        ("rshared", "shared:"),
        ("rslave", "-"),
        ("rprivate", "-"),
    ] {
        let said = running(script, |spec| spec["linux"]["rootfsPropagation"] = json!(word)).output();
        assert!(said.starts_with(wanted), "{word}: {said}");
    }
    is_refused("rootfsPropagation", |spec| spec["linux"]["rootfsPropagation"] = json!("nope"));
}

#[test]
fn spec_linux_masked_and_readonly_paths_are_so() {
    let mut bundle = Bundle::new(
        "cat /etc/secret; ls -A /etc/dir; echo x >/etc/secret; touch /etc/dir/x; echo x >/ro/file; cat /ro/file; echo end",
    );
    fs::write(bundle.root().join("etc/secret"), "secret").unwrap();
    for name in ["etc/dir", "ro"] {
        fs::create_dir(bundle.root().join(name)).unwrap();
        fs::write(bundle.root().join(name).join("file"), "readable\n").unwrap();
    }
    // What is not there is no fault.
    bundle.spec["linux"]["maskedPaths"] = json!(["/etc/secret", "/etc/dir", "/not/there"]);
    bundle.spec["linux"]["readonlyPaths"] = json!(["/ro", "/not/there/either"]);
    let output = bundle.run();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "readable\nend\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr).matches("Read-only file system").count(), 2);
    assert_eq!(fs::read_to_string(bundle.root().join("etc/secret")).unwrap(), "secret");
}

#[test]
fn spec_linux_personality_is_set() {
    if cfg!(target_arch = "x86_64") {
        let bundle = running("cat /proc/self/personality", |spec| {
            spec["linux"]["personality"] = json!({"domain": "LINUX32"})
        });
        assert!(bundle.output().trim().ends_with('8'));
    }
    is_refused("personality", |spec| spec["linux"]["personality"] = json!({"domain": "NOPE"}));
}

#[test]
fn spec_runtime_linux_file_descriptors_are_three() {
    // And the directory itself, which ls has open.
    gives("ls /proc/self/fd | wc -l", "4\n", |_| {});
}
