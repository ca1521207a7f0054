//! What a container sees and may do.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::json;
use std::fs;
use std::process::Command;
use support::{Bundle, RUNTIME, installed};

const DOCKERS: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

#[test]
fn a_user_has_what_the_configuration_says() {
    let mut bundle = Bundle::new("id -u; id -g; id -G; umask; pwd; echo $HOME; grep ^Cap /proc/self/status");
    bundle.set_capabilities(&DOCKERS);
    bundle.spec["process"]["user"] =
        json!({"uid": 1000, "gid": 100, "additionalGids": [7, 8], "umask": 0o27});
    bundle.spec["process"]["cwd"] = json!("/made/for/it");
    let said = bundle.output();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[..6], ["1000", "100", "100 7 8", "0027", "/made/for/it", "/home/u"]);
    for (line, value) in lines[6..].iter().zip(["0", "0", "0", "00000000a80425fb", "0"]) {
        let found = line.rsplit('\t').next().unwrap();
        assert_eq!(u64::from_str_radix(found, 16), u64::from_str_radix(value, 16), "{line}");
    }
}

#[test]
fn roots_capabilities_are_the_bounding_set_and_unknown_ones_are_ignored() {
    let mut bundle = Bundle::new("grep ^Cap /proc/self/status");
    bundle.set_capabilities(&["CHOWN", "KILL", "NO_SUCH_THING"]);
    let output = bundle.run();
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("ignoring unknown capability CAP_NO_SUCH_THING")
    );
    let said = String::from_utf8(output.stdout).unwrap();
    let values: Vec<&str> = said.lines().map(|line| line.rsplit('\t').next().unwrap()).collect();
    assert_eq!(
        values,
        ["0000000000000000", "0000000000000021", "0000000000000021", "0000000000000021", "0000000000000000"]
    );
}

#[test]
fn ambient_capabilities_reach_a_user() {
    let mut bundle = Bundle::new("grep -E '^Cap(Eff|Amb)' /proc/self/status");
    let names = json!(["CAP_NET_BIND_SERVICE"]);
    bundle.spec["process"]["capabilities"] = json!({"bounding": names, "effective": names, "permitted": names,
        "inheritable": names, "ambient": names});
    bundle.spec["process"]["user"] = json!({"uid": 1000, "gid": 1000});
    assert_eq!(bundle.output(), "CapEff:\t0000000000000400\nCapAmb:\t0000000000000400\n");
}

/// Everything that a process can read of itself, as another runtime makes it from the same bundle.
#[test]
fn it_looks_as_runc_makes_it() {
    if !installed("runc") {
        return;
    }
    let script = "grep -E '^(Cap|NoNew|Seccomp:|Groups|Umask)' /proc/self/status; cat /proc/self/limits; \
        ls /dev; ls -l /dev/null /dev/fd /dev/ptmx; cat /proc/self/cgroup; env; hostname; \
        for p in /proc/keys /proc/timer_list /sys/firmware /proc/acpi; do ls -A $p; wc -c < $p; done 2>/dev/null; \
        for p in /proc/sys /proc/irq /proc/bus; do touch $p/x 2>&1; done; \
        while read a b c d at o rest; do echo $at $o; done < /proc/self/mountinfo";
    let mut bundle = Bundle::new(script);
    bundle.set_capabilities(&DOCKERS);
    bundle.spec["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}]});
    // What the spec is newer in.
    bundle.spec["ociVersion"] = json!("1.0.2");
    let ours = bundle.output();
    let output = Command::new("runc")
        .args([
            "--root",
            bundle.directory.path().join("runc").to_str().unwrap(),
            "run",
            &format!("{}-runc", bundle.id),
        ])
        .current_dir(bundle.directory.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let theirs = String::from_utf8(output.stdout).unwrap();
    let lines = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(strip).collect();
        lines.sort();
        lines.dedup();
        lines
    };
    // With a cgroup namespace runc leaves the tmpfs of the hierarchies writable. It links /dev/core to /proc/kcore, which is masked; and shows its mounts of masked files with other options.
    fn strip(line: &str) -> String {
        let line = line.replace("relatime,", "").replace(",relatime", "").replace("relatime", "");
        let words: Vec<&str> = line.split_whitespace().collect();
        // Times of files differ.
        if words.len() > 8 && words[0].len() == 10 {
            return format!("{} {}", words[0], words[words.len() - 1]);
        }
        words.join(" ")
    }
    let (ours, theirs) = (lines(&ours), lines(&theirs));
    let ignored = |line: &&String| {
        !(line.as_str() == "core"
            || line.starts_with("/proc/")
            || line.starts_with("/sys/fs/cgroup ")
            || line.starts_with("/sys/firmware"))
    };
    let missing: Vec<_> = theirs.iter().filter(|line| !ours.contains(line)).filter(ignored).collect();
    let extra: Vec<_> = ours.iter().filter(|line| !theirs.contains(line)).filter(ignored).collect();
    assert!(missing.is_empty() && extra.is_empty(), "missing {missing:#?} extra {extra:#?}");
}

#[test]
fn masked_paths_are_empty_and_read_only_ones_hold() {
    let mut bundle = Bundle::new(
        "cat /proc/keys /proc/timer_list; ls -A /sys/firmware /proc/acpi; \
         echo x > /proc/sys/kernel/domainname; touch /proc/acpi/x; echo end",
    );
    bundle.set_capabilities(&DOCKERS);
    let output = bundle.run();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said.replace("/sys/firmware:\n", "").replace("/proc/acpi:\n", "").trim(), "end");
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(errors.matches("Read-only file system").count(), 2, "{errors}");
}

#[test]
fn no_descriptor_of_the_host_leaks() {
    let bundle = Bundle::new("ls -l /proc/self/fd; cat /proc/1/environ | head -c 1000");
    bundle.save();
    let runtime = format!(
        "exec 9</etc/hostname 8</; exec {RUNTIME} --root {} run {}",
        bundle.state_root().display(),
        bundle.id
    );
    let output = Command::new("/bin/sh")
        .args(["-c", &runtime])
        .env("HOST_SECRET", "canary")
        .current_dir(bundle.directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(!said.contains("hostname") && !said.contains(" 9 ->") && !said.contains(" 8 ->"), "{said}");
    assert!(!said.contains("HOST_SECRET") && !said.contains("SEALED"), "{said}");
}

#[test]
fn preserved_descriptors_are_inherited() {
    let bundle = Bundle::new("cat <&3");
    bundle.save();
    let file = bundle.directory.path().join("given");
    fs::write(&file, "given").unwrap();
    let script = format!(
        "exec 3<{}; exec {RUNTIME} --root {} run --preserve-fds 1 {}",
        file.display(),
        bundle.state_root().display(),
        bundle.id
    );
    let output =
        Command::new("/bin/sh").args(["-c", &script]).current_dir(bundle.directory.path()).output().unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "given",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn devices_are_denied_by_default() {
    let mut bundle = Bundle::new(
        "mknod /tmp/mem c 1 1 && head -c 1 /tmp/mem; mknod /tmp/null c 1 3 && echo x > /tmp/null && echo null works; \
         head -c 4 /dev/urandom | wc -c; mknod /tmp/loop b 7 0 && head -c 1 /tmp/loop; echo end",
    );
    bundle.set_capabilities(&DOCKERS);
    // Without a list at all it is still deny.
    bundle.spec["linux"]["resources"] = json!({});
    let output = bundle.run();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "null works\n4\nend\n");
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(errors.matches("Operation not permitted").count(), 2, "{errors}");

    bundle.spec["linux"]["resources"] = json!({"devices": [{"allow": false, "access": "rwm"},
        {"allow": true, "type": "b", "major": 7, "minor": 0, "access": "r"}]});
    bundle.spec["linux"]["devices"] = json!([{"path": "/dev/own/disk", "type": "b", "major": 7, "minor": 0, "fileMode": 384, "uid": 5, "gid": 6}]);
    bundle.spec["process"]["args"] =
        json!(["sh", "-c", "stat -c '%a %u %g %t %T' /dev/own/disk; head -c 1 /dev/own/disk && echo opened"]);
    assert_eq!(bundle.output(), "600 5 6 7 0\nopened\n");
}

#[test]
fn the_number_of_processes_is_limited() {
    let mut bundle = Bundle::new("for i in 1 2 3 4 5 6 7 8 9; do sleep 3 & done; wait");
    bundle.spec["linux"]["resources"] = json!({"pids": {"limit": 5}});
    let output = bundle.run();
    assert!(String::from_utf8_lossy(&output.stderr).contains("can't fork"), "{output:?}");
}

#[test]
fn memory_ends_and_is_counted() {
    let mut bundle =
        Bundle::new("sh -c 'head -c 100000000 /dev/zero | cat > /dev/shm/x'; echo status $?; sleep 1000");
    bundle.spec["linux"]["resources"] = json!({"memory": {"limit": 16 << 20, "swap": 16 << 20}});
    let shm =
        bundle.spec["mounts"].as_array_mut().unwrap().iter_mut().find(|m| m["destination"] == "/dev/shm");
    shm.unwrap()["options"] = json!(["mode=1777", "size=500m"]);
    bundle.start();
    let cgroup = || hull_cgroup::Cgroup::load(&format!("/{}", bundle.id)).unwrap();
    for _ in 0..1000 {
        if cgroup().oom_kills() > 0 {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("nothing was killed: {:?}", cgroup().stats());
}

#[test]
fn kernel_parameters_are_the_containers() {
    let mut bundle = Bundle::new("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmax");
    bundle.spec["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1", "kernel.shmmax": "4194304"});
    assert_eq!(bundle.output(), "1\n4194304\n");
    bundle.spec["linux"]["sysctl"] = json!({"net.ipv4.no_such_thing": "1"});
    assert!(bundle.failure().contains("net.ipv4.no_such_thing"));
    bundle.spec["linux"]["sysctl"] = json!({"kernel.core_pattern": "|/bin/sh"});
    assert!(bundle.failure().contains("not in a separate kernel namespace"));
}

#[test]
fn a_limit_that_cannot_be_raised_is_named() {
    let (_, hard) = hard_limit();
    let mut bundle = Bundle::new("ulimit -n; ulimit -Hn");
    bundle.spec["process"]["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]);
    assert_eq!(bundle.output(), "100\n200\n");
    if hard < 1 << 20 && !can_raise() {
        bundle.spec["process"]["rlimits"] =
            json!([{"type": "RLIMIT_NOFILE", "soft": 1 << 20, "hard": 1 << 20}]);
        let said = bundle.failure();
        assert!(
            said.contains("error setting rlimit RLIMIT_NOFILE") && said.contains("CAP_SYS_RESOURCE"),
            "{said}"
        );
        bundle.spec["process"]["rlimits"] = json!([]);
        bundle.spec["process"]["oomScoreAdj"] = json!(-500);
        assert!(bundle.failure().contains("cannot set oom_score_adj to -500"));
    }
    bundle.spec["process"]["rlimits"] = json!([]);
    bundle.spec["process"]["oomScoreAdj"] = json!(500);
    bundle.spec["process"]["args"] = json!(["cat", "/proc/self/oom_score_adj"]);
    assert_eq!(bundle.output(), "500\n");
}

fn hard_limit() -> (u64, u64) {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let mut numbers = line.split_whitespace().filter_map(|word| word.parse().ok());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

fn can_raise() -> bool {
    hull_sys::capability::get().unwrap().effective.holds(24)
}

#[test]
fn mounts_have_their_options() {
    let mut bundle = Bundle::new(
        "touch /ro/x; touch /rw/x && echo written; ls /rw; cat /file; stat -c %a /new/tmp; \
         grep -E ' /(ro|rw|file|new/tmp) ' /proc/self/mountinfo | while read a b c d at o rest; do echo $at $o; done",
    );
    let source = bundle.directory.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("f"), "content\n").unwrap();
    let bind = |destination: &str, source: &std::path::Path, options: &[&str]| json!({"destination": destination, "type": "bind", "source": source, "options": options});
    bundle.add_mount(bind("/ro", &source, &["rbind", "ro", "rprivate"]));
    bundle.add_mount(bind("/rw", &source, &["rbind", "nosuid", "nodev"]));
    bundle.add_mount(bind("/file", &source.join("f"), &["bind", "ro"]));
    bundle.add_mount(json!({"destination": "/new/tmp", "type": "tmpfs", "source": "tmpfs",
        "options": ["noexec", "size=1m", "mode=1770"]}));
    let output = bundle.run();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("written\nf\nx\ncontent\n1770\n"), "{said}");
    assert!(said.contains("/ro ro,relatime") && said.contains("/file ro,relatime"), "{said}");
    assert!(
        said.contains("/rw rw,nosuid,nodev,relatime") && said.contains("/new/tmp rw,noexec,relatime"),
        "{said}"
    );
    assert!(String::from_utf8_lossy(&output.stderr).contains("Read-only file system"));
    bundle.add_mount(bind("/missing", std::path::Path::new("/nowhere/at/all"), &["rbind"]));
    let said = bundle.failure();
    assert!(
        said.contains("error mounting \"/nowhere/at/all\" to rootfs at \"/missing\"")
            && said.contains("no such file"),
        "{said}"
    );
}

#[test]
fn a_read_only_root_is_that() {
    let mut bundle = Bundle::new("touch /x; touch /dev/x; touch /tmp/x && echo tmp");
    bundle.spec["root"]["readonly"] = json!(true);
    bundle.add_mount(json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}));
    for mount in bundle.spec["mounts"].as_array_mut().unwrap() {
        if mount["destination"] == "/dev" {
            mount["options"].as_array_mut().unwrap().push(json!("ro"));
        }
    }
    let output = bundle.run();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "tmp\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr).matches("Read-only").count(), 2);
}

#[test]
fn a_user_namespace_maps_its_root() {
    let mut bundle =
        Bundle::new("id -u; cat /proc/self/uid_map; echo x > /shared/x; head -c 2 /dev/zero | wc -c");
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    bundle.add_namespace(json!({"type": "user"}));
    bundle.spec["linux"]["uidMappings"] = map.clone();
    bundle.spec["linux"]["gidMappings"] = map;
    let shared = bundle.directory.path().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(bundle.directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    bundle.add_mount(
        json!({"destination": "/shared", "type": "bind", "source": shared, "options": ["rbind", "idmap"]}),
    );
    // The root is the mapped root's: it makes its mount points.
    for path in [bundle.root(), bundle.root().join("dev")] {
        std::os::unix::fs::chown(path, Some(100_000), Some(100_000)).unwrap();
    }
    let said = bundle.output();
    let words: Vec<&str> = said.split_whitespace().collect();
    assert_eq!(words, ["0", "0", "100000", "65536", "2"]);
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(shared.join("x")).unwrap());
    assert_eq!(owner, 0, "the mapped mount gives what is made there to the host's root");
}

#[test]
fn clocks_are_the_containers() {
    let mut bundle = Bundle::new("head -c 20 /proc/uptime");
    bundle.add_namespace(json!({"type": "time"}));
    bundle.spec["linux"]["timeOffsets"] = json!({"boottime": {"secs": 1_000_000_000}});
    assert!(bundle.output().starts_with("10000"), "a billion seconds up");
}

#[test]
fn namespaces_of_others_are_joined() {
    let mut first = Bundle::new("sleep 1000");
    first.start();
    let pid = first.state()["pid"].to_string();
    let mut second =
        Bundle::new("readlink /proc/self/ns/net; readlink /proc/self/ns/ipc; ps | grep -c 'sleep 100[0]'");
    for (kind, file) in [("network", "net"), ("ipc", "ipc"), ("pid", "pid")] {
        second.remove_namespace(kind);
        second.add_namespace(json!({"type": kind, "path": format!("/proc/{pid}/ns/{file}")}));
    }
    let said = second.output();
    let lines: Vec<&str> = said.lines().collect();
    for (line, file) in lines.iter().zip(["net", "ipc"]) {
        let theirs = fs::read_link(format!("/proc/{pid}/ns/{file}")).unwrap();
        assert_eq!(**line, *theirs.to_str().unwrap());
    }
    assert_eq!(lines[2], "1", "it sees the first one's process");
    first.spec["hostname"] = json!("");
}

#[test]
fn a_snapshots_root_needs_no_pivot_of_the_hosts() {
    let mut bundle = Bundle::new("touch /x && echo pivotless");
    bundle.save();
    assert_eq!(bundle.ok(&["run", "--no-pivot", "ID"]), "pivotless\n");
    bundle.spec["linux"]["rootfsPropagation"] = json!("shared");
    assert_eq!(bundle.output(), "pivotless\n");
}

#[test]
fn thirty_two_bit_programs_meet_the_filter() {
    let mut bundle = Bundle::new("grep ^Seccomp: /proc/self/status");
    bundle.spec["process"]["noNewPrivileges"] = json!(false);
    bundle.set_capabilities(&DOCKERS);
    let names: Vec<String> = DOCKERS.iter().map(|name| format!("CAP_{name}")).collect();
    let profile = hull_seccomp::docker_profile_to_oci(hull_seccomp::DEFAULT_PROFILE, &names).unwrap();
    bundle.spec["linux"]["seccomp"] = serde_json::to_value(profile).unwrap();
    assert_eq!(bundle.output(), "Seccomp:\t2\n");
    bundle.spec["process"]["args"] = json!(["unshare", "-u", "true"]);
    assert!(String::from_utf8_lossy(&bundle.run().stderr).contains("Operation not permitted"));
}
