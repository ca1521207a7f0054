//! The faults of container runtimes since 2014, tried on the built program: nothing of them may work here.
//!
//! docs/SECURITY.md has the table from each fault to its tests. Images that mean harm are in `hostile.rs`, faults that
//! need an attacker who is quick in `races.rs`; here is what a process inside can do, and what numbers and names can.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use support::{Bundle, Canary, RUNTIME, installed};

/// What Docker gives.
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

/// A process of the runtime's that is in the container already, but not yet its program, shows nothing: no
/// descriptor, no environment, no memory. The waiting init has the container's capabilities then, so that nothing but
/// its being undumpable keeps the container's other processes out.
#[test]
fn cve_2016_9962_a_waiting_init_shows_nothing() {
    let mut bundle = Bundle::new("sleep 1000");
    bundle.set_capabilities(&DOCKERS);
    bundle.save();
    bundle.create();
    // The numbers of its descriptors may be seen, but not what they are.
    let script = "for d in cwd root fd/0 fd/1 fd/3 fd/4 fd/5 fd/6 fd/7; do cd /proc/1/$d && echo entered $d; readlink /proc/1/$d; done; \
        for f in environ maps mem auxv exe stack; do cat /proc/1/$f >/dev/null && echo read $f; done; \
        readlink /proc/1/exe; ls /proc/1/map_files; echo end";
    let output = bundle.call(&["exec", "ID", "sh", "-c", script]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "end\n");
    assert!(String::from_utf8_lossy(&output.stderr).contains("Permission denied"));
    // Once it is the container's program, it is as any other.
    bundle.ok(&["start", "ID"]);
    bundle.wait_for("running");
    for _ in 0..100 {
        if bundle.call(&["exec", "ID", "readlink", "/proc/1/exe"]).stdout == b"/bin/busybox\n" {
            return;
        }
    }
    panic!("the started program shows nothing either");
}

/// The same for processes of `exec`: one inside looks at every process it sees, as fast as it can.
#[test]
fn cve_2016_9962_joining_processes_show_nothing() {
    let mut bundle = Bundle::new("sleep 1000");
    bundle.set_capabilities(&DOCKERS);
    bundle.start();
    // A shell's own words only, so that it is quick. What it finds: directories and variables of the host.
    let script = "echo ready; while [ ! -e /stop ]; do for p in /proc/[2-9] /proc/[1-9][0-9]*; do \
        [ $p = /proc/$$ ] && continue; \
        if cd $p/fd 2>/dev/null; then for f in *; do [ $f -gt 2 ] 2>/dev/null && cd $f 2>/dev/null && { echo fd: $PWD; ls; cd $p/fd; }; done; fi; \
        { while read -r v; do case $v in *HULL_CANARY*) echo environment: $v;; esac; done <$p/environ; } 2>/dev/null; done; done";
    let mut attacker = bundle
        .command(&["exec", "ID", "sh", "-c", script])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..60 {
        let status = bundle.command(&["exec", "ID", "true"]).env("HULL_CANARY", "host").status().unwrap();
        assert!(status.success());
    }
    fs::write(bundle.root().join("stop"), "").unwrap();
    let mut said = String::new();
    std::io::Read::read_to_string(attacker.stdout.as_mut().unwrap(), &mut said).unwrap();
    attacker.wait().unwrap();
    assert_eq!(said, "ready\n");
}

/// The container runs the runtime's own program through `/proc/self/exe`, keeps a descriptor of it, and writes to it
/// once it runs no more. A copy is attacked: where the protection fails, it would be written.
#[test]
fn cve_2019_5736_the_runtimes_program_is_on_a_read_only_mount() {
    let mut bundle = Bundle::new("sleep 1000");
    bundle.set_capabilities(&DOCKERS);
    // Where the runtime is no static program, it runs inside by these.
    bundle.add_host_libraries();
    bundle.start();
    let program = bundle.directory.path().join("runtime");
    fs::copy(RUNTIME, &program).unwrap();
    fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let before = fs::read(&program).unwrap();
    let state_root = bundle.state_root();
    let mut victim = Command::new(&program)
        .arg("--root")
        .arg(&state_root)
        .args([
            "exec",
            &bundle.id,
            "/proc/self/exe",
            "init",
            "--",
            "sh",
            "-c",
            "echo $$ >/victim; n=0; while [ ! -e /held ] && [ $n -lt 500 ]; do sleep 0.02; n=$((n+1)); done",
        ])
        .spawn()
        .unwrap();
    let script = "n=0; while [ ! -s /victim ] && [ $n -lt 500 ]; do sleep 0.02; n=$((n+1)); done; read p </victim; p=$(sed -n 's/^PPid:.//p' /proc/$p/status); \
        { echo held; : >/held; while [ -e /proc/$p ]; do sleep 0.02; done; echo evil >/proc/self/fd/8 && echo WRITTEN; } 8</proc/$p/exe";
    let output = bundle.call(&["exec", "ID", "sh", "-c", script]);
    victim.wait().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "held\n");
    assert!(String::from_utf8_lossy(&output.stderr).contains("Read-only file system"), "{:?}", output.stderr);
    assert_eq!(fs::read(&program).unwrap(), before);
}

/// Neither a descriptor of the host nor its environment reaches `exec`ed processes (CVE-2024-21626, CVE-2016-9962).
#[test]
fn cve_2024_21626_exec_gets_no_descriptor_of_the_host() {
    let bundle = Bundle::new("sleep 1000");
    bundle.start();
    let words = format!(
        "exec 7</ 8</sys/fs/cgroup 9</etc/hostname; exec {RUNTIME} --root {} exec {} sh -c 'ls /proc/self/fd | wc -l; env'",
        bundle.state_root().display(),
        bundle.id
    );
    let output = Command::new("sh").args(["-c", &words]).env("HOST_SECRET", "canary").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    // Three streams, and the directory that ls reads.
    assert!(output.status.success() && said.starts_with("4\n") && !said.contains("SECRET"), "{said}");
    assert!(!said.contains("SEALED"), "{said}");
}

/// GO-2022-0396: a list of devices that begins with no "deny all" is one nevertheless.
#[test]
fn go_2022_0396_devices_are_denied_unless_allowed() {
    let mut bundle = Bundle::new(
        "mknod /m c 1 1; mknod /z c 1 5; mknod /k c 10 229; for d in m k; do head -c 1 /$d && echo $d; done; head -c 1 /z | wc -c",
    );
    bundle.set_capabilities(&DOCKERS);
    for rules in [
        json!([]),
        json!([{"allow": true, "type": "c", "major": 1, "minor": 5, "access": "rwm"}]),
        json!([{"allow": true, "type": "b", "access": "rwm"}]),
    ] {
        bundle.spec["linux"]["resources"] = json!({"devices": rules});
        let output = bundle.run();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "1\n", "{rules}");
        assert_eq!(String::from_utf8_lossy(&output.stderr).matches("Operation not permitted").count(), 2);
        for name in ["m", "z", "k"] {
            fs::remove_file(bundle.root().join(name)).unwrap();
        }
    }
}

/// Lengths of what the runtime's two processes tell each other do not wrap: there is no message with a length field,
/// as they share what was read before the fork. What is longer than 16 bits of length comes through or is refused.
#[test]
fn cve_2021_43784_lengths_do_not_wrap() {
    let mut bundle = Bundle::new("");
    let long = "x".repeat(100_000);
    bundle.spec["process"]["args"] = json!(["sh", "-c", "echo ${#LONG} ${#1}", "sh", long]);
    bundle.spec["process"]["env"].as_array_mut().unwrap().push(json!(format!("LONG={long}")));
    assert_eq!(bundle.output(), "100000 100000\n");

    // Its first 65536 characters are one path, what remains another.
    let path = format!("{}proc/self/ns/net", "/".repeat(65_536));
    let mut bundle = Bundle::new("true");
    bundle.remove_namespace("network");
    bundle.add_namespace(json!({"type": "network", "path": path}));
    assert!(bundle.failure().contains("File name too long") || bundle.failure().contains("name too long"));

    let mut bundle = Bundle::new("true");
    let maps: Vec<Value> =
        (0..20_000).map(|n| json!({"containerID": n, "hostID": 100_000 + n, "size": 1})).collect();
    bundle.add_namespace(json!({"type": "user"}));
    bundle.spec["linux"]["uidMappings"] = json!(maps);
    bundle.spec["linux"]["gidMappings"] = json!(maps);
    assert!(bundle.failure().contains("user namespace's maps"));

    let mut bundle = Bundle::new("true");
    bundle.spec["linux"]["cgroupsPath"] = json!(format!("/{long}"));
    assert!(bundle.failure().contains("name too long"));
}

/// No program can be named that the kernel would run outside of the container when a group is empty.
#[test]
fn cve_2022_0492_release_agents_are_out_of_reach() {
    let names: Vec<String> = DOCKERS.iter().map(|name| format!("CAP_{name}")).collect();
    let profile = hull_seccomp::docker_profile_to_oci(hull_seccomp::DEFAULT_PROFILE, &names).unwrap();
    let script = "find / -name release_agent 2>/dev/null; echo evil >/sys/fs/cgroup/memory/release_agent; \
        mount -t cgroup -o pids none /tmp && echo mounted; \
        unshare -Urm sh -c 'mount -t cgroup -o pids none /tmp && ls /tmp/release_agent'; echo end";
    let mut bundle = Bundle::new(script);
    bundle.set_capabilities(&DOCKERS);
    bundle.spec["linux"]["seccomp"] = serde_json::to_value(profile).unwrap();
    assert_eq!(bundle.output(), "end\n");
    // Where a profile lets it make a user namespace, the agent is still not its to write.
    bundle.spec["linux"]["seccomp"] = Value::Null;
    let write = "unshare -Urm sh -c 'mount -t cgroup -o pids none /tmp && echo evil >/tmp/release_agent && echo WRITTEN'; echo end";
    bundle.spec["process"]["args"] = json!(["sh", "-c", write]);
    assert_eq!(bundle.output(), "end\n");
}

/// CVE-2022-24769, CVE-2022-29162, CVE-2022-27650, CVE-2025-27612, CVE-2016-8867: no process has capabilities that it
/// can give to a program it starts, and a user's has none at all; `exec` has no more than was asked for.
#[test]
fn cve_2022_29162_exec_has_no_inheritable_capabilities() {
    let mut bundle = Bundle::new("grep ^Cap /proc/self/status; sleep 1000");
    bundle.set_capabilities(&DOCKERS);
    bundle.start();
    let (zero, all) = ("0000000000000000", "00000000a80425fb");
    let more = "00000000a80c25fb";
    let cases: [(&[&str], [&str; 5]); 4] = [
        (&[], [zero, all, all, all, zero]),
        (&["--user", "1000:1000"], [zero, zero, zero, all, zero]),
        (&["--cap", "CAP_SYS_PTRACE"], [zero, more, more, more, zero]),
        (&["--user", "1000", "--cap", "CAP_SYS_PTRACE"], [zero, zero, zero, more, zero]),
    ];
    for (options, wanted) in cases {
        let words = [&["exec"], options, &["ID", "grep", "^Cap", "/proc/self/status"]].concat();
        let said = bundle.ok(&words);
        let found: Vec<&str> = said.lines().map(|line| line.rsplit('\t').next().unwrap()).collect();
        assert_eq!(found, wanted, "{options:?}");
    }
}

/// Supplementary groups are the configuration's, no more and no less (CVE-2022-36109, CVE-2023-25173).
#[test]
fn cve_2022_36109_groups_are_the_configurations() {
    let mut bundle = Bundle::new("");
    bundle.spec["process"]["user"] = json!({"uid": 1000, "gid": 7, "additionalGids": [7, 2_147_483_647]});
    let wanted = "Uid:\t1000\t1000\t1000\t1000\nGid:\t7\t7\t7\t7\nGroups:\t7 2147483647 \n";
    bundle.spec["process"]["args"] = json!(["grep", "-E", "^(Uid|Gid|Groups):", "/proc/self/status"]);
    assert_eq!(bundle.output(), wanted);
    bundle.spec["process"]["args"] = json!(["sleep", "1000"]);
    bundle.start();
    let status = |words: &[&str]| {
        bundle.ok(&[&["exec"], words, &["ID", "sed", "-n", "s/^Groups:.//p", "/proc/self/status"]].concat())
    };
    assert_eq!(status(&[]), "7 2147483647 \n");
    assert_eq!(status(&["-u", "5:6", "-g", "9"]), "7 9 2147483647 \n");
}

/// Numbers that another type would read as root: one of them is the kernel's "leave it as it is" (CVE-2024-40635,
/// CVE-2026-46680).
#[test]
fn cve_2024_40635_numbers_of_users_do_not_overflow() {
    for user in [
        json!({"uid": u32::MAX, "gid": 0}),
        json!({"uid": 1u32 << 31, "gid": 0}),
        json!({"uid": 1000, "gid": u32::MAX}),
        json!({"uid": 1000, "gid": 1000, "additionalGids": [u32::MAX]}),
        json!({"uid": 1u64 << 32, "gid": 0}),
        json!({"uid": -1, "gid": 0}),
        json!({"uid": "0", "gid": 0}),
        json!({"uid": 1.0e10, "gid": 0}),
    ] {
        let mut bundle = Bundle::new("id");
        bundle.spec["process"]["user"] = user.clone();
        let said = bundle.failure();
        assert!(said.contains("range 0-2147483647") || said.contains("config.json"), "{user}: {said}");
    }
    let bundle = Bundle::new("sleep 1000");
    bundle.start();
    for uid in [u64::from(u32::MAX), 1 << 31, 1 << 32] {
        let process =
            json!({"user": {"uid": uid, "gid": 0}, "args": ["id"], "cwd": "/", "env": ["PATH=/bin"]});
        fs::write(bundle.directory.path().join("process.json"), process.to_string()).unwrap();
        bundle.fails(&["exec", "--process", "process.json", "ID"]);
    }
}

/// What `exec -u` takes, against runc: what both take is the same user, and where only runc takes it, it is one of
/// those (crun's CVE-2026-30892 took "1" for root).
#[test]
fn cve_2026_30892_users_of_exec_are_read_as_runc_reads_them() {
    // Go's Atoi takes signs, and runc cuts what has more than 32 bits: the last of these is its root. An empty
    // option is none to it.
    const ONLY_RUNC: [&str; 7] = ["", "+1", "-0", "+0:+0", "1:+5", "1:4294967296", "4294967296"];
    let mut only_runc = Vec::new();
    let bundle = Bundle::new("sleep 1000");
    bundle.start();
    let theirs = installed("runc").then(|| {
        let mut theirs = Bundle::new("sleep 1000");
        theirs.spec["ociVersion"] = json!("1.0.2");
        theirs.save();
        let words =
            ["--root", theirs.state_root().to_str().unwrap(), "run", "-d", &theirs.id].map(str::to_owned);
        let status = Command::new("runc")
            .args(words)
            .current_dir(theirs.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(status.unwrap().success());
        theirs
    });
    for given in [
        "0",
        "1",
        "01",
        "007",
        "10",
        "1000",
        "1:1",
        "1000:0",
        "0:1000",
        "65534:65534",
        "2147483647",
        "1:2147483647",
        "2147483648",
        "4294967295",
        "4294967296",
        "18446744073709551616",
        "1:4294967296",
        "",
        " ",
        "1 ",
        " 1",
        "1 :1",
        "+1",
        "-1",
        "-0",
        "+0:+0",
        "1:+5",
        "1:-1",
        "0x1",
        "0b1",
        "0o1",
        "1e3",
        "1_000",
        "1.0",
        "1:",
        ":1",
        ":",
        "1:2:3",
        "root",
        "root:root",
        "u",
        "1\n",
        "1\t",
        "\u{661}",
        "\u{ff11}",
        "01x",
    ] {
        let mine = bundle.call(&["exec", "-u", given, "ID", "sh", "-c", "id -u; id -g"]);
        let Some(theirs) = &theirs else { continue };
        let output = Command::new("runc")
            .args([
                "--root",
                theirs.state_root().to_str().unwrap(),
                "exec",
                "-u",
                given,
                &theirs.id,
                "sh",
                "-c",
                "id -u; id -g",
            ])
            .output()
            .unwrap();
        if mine.status.success() {
            assert_eq!(mine.stdout, output.stdout, "{given:?}: {output:?}");
        } else if output.status.success() {
            only_runc.push(given);
        }
    }
    only_runc.sort_unstable();
    let mut explained = ONLY_RUNC;
    explained.sort_unstable();
    assert!(theirs.is_none() || only_runc == explained, "runc alone takes {only_runc:?}");
    if let Some(theirs) = &theirs {
        let root = theirs.state_root();
        Command::new("runc")
            .args(["--root", root.to_str().unwrap(), "delete", "-f", &theirs.id])
            .status()
            .unwrap();
        fs::remove_dir_all(root).unwrap();
    }
}

/// In a user namespace without a cgroup namespace, and with the groups given to its root, its own groups are still
/// read-only where that is asked for.
#[test]
fn cve_2023_25809_groups_are_read_only_in_a_user_namespace() {
    for own_cgroups in [false, true] {
        let mut bundle = Bundle::new(
            "grep -c ' /sys/fs/cgroup' /proc/self/mountinfo; grep ' /sys/fs/cgroup' /proc/self/mountinfo | grep -vc ' ro,'; \
             for d in /sys/fs/cgroup /sys/fs/cgroup/*/; do mkdir $d/x && echo made; done; echo end",
        );
        if !own_cgroups {
            bundle.remove_namespace("cgroup");
        }
        map_users(&mut bundle);
        bundle.save();
        bundle.create();
        for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
            let group = hierarchy.path().join(&bundle.id);
            if group.exists() {
                std::os::unix::fs::chown(group, Some(100_000), Some(100_000)).unwrap();
            }
        }
        bundle.ok(&["start", "ID"]);
        bundle.wait_for("stopped");
        let said = fs::read_to_string(bundle.directory.path().join("stdout")).unwrap();
        let lines: Vec<&str> = said.lines().collect();
        assert_ne!(lines[0], "0");
        assert_eq!(lines[1..], ["0", "end"], "{said}");
        let errors = fs::read_to_string(bundle.directory.path().join("stderr")).unwrap();
        assert!(errors.contains("Read-only file system"), "{errors}");
        // CVE-2025-47291: and the group is the container's own, not its maker's.
        bundle.ok(&["delete", "ID"]);
    }
}

fn map_users(bundle: &mut Bundle) {
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    bundle.add_namespace(json!({"type": "user"}));
    bundle.spec["linux"]["uidMappings"] = map.clone();
    bundle.spec["linux"]["gidMappings"] = map;
    fs::set_permissions(bundle.directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    for path in [bundle.root(), bundle.root().join("dev")] {
        std::os::unix::fs::chown(path, Some(100_000), Some(100_000)).unwrap();
    }
}

#[test]
fn cve_2025_47291_a_user_namespaces_group_is_the_containers() {
    let mut bundle = Bundle::new("sleep 1000");
    map_users(&mut bundle);
    bundle.start();
    let pid = bundle.state()["pid"].to_string();
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let wanted = format!("/{}", bundle.id);
    // On a hybrid host the hierarchies that are mounted nowhere are nobody's.
    assert!(groups.lines().filter(|line| line.ends_with(&wanted)).count() >= 1, "{groups}");
    assert!(groups.lines().all(|line| line.ends_with(&wanted) || line.ends_with(":/")), "{groups}");
    let memory = groups.lines().find(|line| line.contains(":memory:") || line.starts_with("0::")).unwrap();
    assert!(memory.ends_with(&wanted), "{groups}");
}

/// What a container may not read is empty, and what it may not write it can't, with the lists of `spec` (CVE-2015-3630,
/// CVE-2018-10892, GHSA-6fw5-f8r9-fgfm).
#[test]
fn cve_2018_10892_masked_paths_are_complete() {
    let bundle = Bundle::new(
        "for p in /proc/acpi /proc/asound /proc/scsi /sys/firmware; do [ -d $p ] && ls -A $p; done; \
         for p in /proc/kcore /proc/keys /proc/latency_stats /proc/timer_list /proc/timer_stats /proc/sched_debug; do \
         [ -e $p ] && head -c 1 $p; done; \
         for p in /proc/bus /proc/fs /proc/irq /proc/sys; do [ -d $p ] && mkdir $p/x && echo made; done; echo end",
    );
    assert_eq!(bundle.output(), "end\n");
    let lists = &bundle.spec["linux"];
    for (list, paths) in [
        (
            "maskedPaths",
            &[
                "/proc/acpi",
                "/proc/asound",
                "/proc/kcore",
                "/proc/keys",
                "/proc/latency_stats",
                "/proc/timer_list",
                "/proc/timer_stats",
                "/proc/sched_debug",
                "/proc/scsi",
                "/sys/firmware",
            ][..],
        ),
        ("readonlyPaths", &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]),
    ] {
        for path in paths {
            assert!(lists[list].as_array().unwrap().contains(&json!(path)), "{list} lacks {path}");
        }
    }
}

/// Sets of CPUs that would be huge, and files without end, cost nothing (CVE-2018-20699, CVE-2026-47262).
#[test]
fn cve_2018_20699_nothing_makes_the_runtime_grow() {
    let limited = |bundle: &Bundle, words: &str| {
        let line =
            format!("ulimit -v 300000; exec {RUNTIME} --root {} {words}", bundle.state_root().display());
        Command::new("sh")
            .args(["-c", &line])
            .current_dir(bundle.directory.path())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    let mut bundle = Bundle::new("echo $HOME");
    bundle.save();
    for name in ["passwd", "group"] {
        let file = fs::File::options().write(true).open(bundle.root().join("etc").join(name));
        let file = file.or_else(|_| fs::File::create(bundle.root().join("etc").join(name))).unwrap();
        file.set_len(4 << 30).unwrap();
    }
    let output = limited(&bundle, &format!("run {}", bundle.id));
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "/\n",
        "{:?}",
        String::from_utf8_lossy(&output.stderr)
    );

    bundle.spec["process"]["args"] = json!(["sleep", "1000"]);
    bundle.start();
    for cpus in ["0-4294967295", "0-99999999999999999999", &"0,".repeat(60_000)] {
        let output = limited(&bundle, &format!("update --cpuset-cpus {cpus} {}", bundle.id));
        assert!(!output.status.success(), "{cpus}");
    }
    let mut affine = Bundle::new("true");
    for cpus in ["0-4294967295", "1000000", "5-", "a"] {
        affine.spec["process"]["execCPUAffinity"] = json!({"initial": cpus});
        affine.save();
        limited(&affine, &format!("run {}", affine.id));
        affine.assert_nothing_left();
    }
}

/// Kernel parameters: names that lead elsewhere, and values that hold more than one (CVE-2022-0811).
#[test]
fn cve_2022_0811_parameters_are_the_containers_own() {
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    for name in [
        "kernel.core_pattern",
        "kernel/core_pattern",
        "net/../kernel/core_pattern",
        "net.ipv4/../../kernel/core_pattern",
        "net./../kernel/core_pattern",
        "net.ipv4.ip_forward+kernel.core_pattern",
        "../kernel.core_pattern",
        "net/./ipv4",
        "kernel.shmmax\n",
        "",
        ".",
        "/",
        "net",
        "net.",
        "fs.mqueue./x",
        "vm.overcommit_memory",
        "kernel.hostname.x",
    ] {
        let mut bundle = Bundle::new("true");
        bundle.spec["linux"]["sysctl"] = json!({name: "|/bin/evil"});
        bundle.failure();
    }
    assert_eq!(fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap(), pattern);
    // One's own namespace has to be there.
    for (name, namespace) in
        [("net.ipv4.ip_forward", "network"), ("kernel.shmmax", "ipc"), ("fs.mqueue.msg_max", "ipc")]
    {
        let mut bundle = Bundle::new("true");
        bundle.remove_namespace(namespace);
        bundle.spec["linux"]["sysctl"] = json!({name: "1"});
        assert!(bundle.failure().contains("namespace"));
    }
}

/// A security label that cannot be set is no reason to go without (CVE-2019-16884, CVE-2021-43816).
#[test]
fn cve_2019_16884_a_label_that_cannot_be_set_ends_it() {
    let available = |file: &str| fs::File::options().write(true).open(file).is_ok();
    if available("/proc/self/attr/exec") || available("/proc/self/attr/apparmor/exec") {
        return;
    }
    let bundle = Bundle::new("sleep 1000");
    bundle.start();
    assert!(bundle.fails(&["exec", "--apparmor", "profile", "ID", "true"]).contains("security label"));
    assert!(bundle.fails(&["exec", "--process-label", "a:b:c:d", "ID", "true"]).contains("security label"));
    for key in ["apparmorProfile", "selinuxLabel"] {
        let mut bundle = Bundle::new("true");
        bundle.spec["process"][key] = json!("label");
        assert!(bundle.failure().contains("security label"), "{key}");
    }
}

/// Annotations are for others: none of those that other runtimes obey does anything here (CVE-2026-53488, crun's
/// CVE-2025-24965, CVE-2024-3154).
#[test]
fn cve_2025_24965_annotations_change_nothing() {
    let mut bundle = Bundle::new("id -u; ls /");
    let canary = Canary::new(bundle.directory.path());
    let before = bundle.output();
    let file = canary.path().join("written");
    bundle.spec["annotations"] = json!({
        "run.oci.handler": "krun", "run.oci.hooks.stderr": file, "run.oci.hooks.stdout": file, "run.oci.seccomp_fail_unknown_syscall": "1",
        "run.oci.keep_original_groups": "1", "run.oci.pidfd_receiver": file, "run.oci.systemd.subgroup": "../../x",
        "run.oci.delegate-cgroup": "../x", "org.criu.config": file, "org.systemd.property.ExecStart": "'/bin/evil'",
        "io.katacontainers.config.hypervisor.path": "/bin/evil", "run.oci.mount_context_type": "rootcontext",
    });
    bundle.spec["hooks"] = json!({"createRuntime": [{"path": "/bin/echo", "args": ["echo", "x"]}]});
    // Not even what a hook writes is the container's.
    assert_eq!(bundle.output(), before);
    canary.assert_alive();
}

/// State that someone else wrote is read as data: a foreign or broken record ends in an error.
#[test]
fn state_that_is_broken_is_no_harm() {
    let bundle = Bundle::new("sleep 1000");
    bundle.start();
    let path = bundle.state_root().join(&bundle.id).join("state.json");
    let good = fs::read(&path).unwrap();
    for bad in ["", "{", "[]", "null", r#"{"pid":"x"}"#, &"[".repeat(100_000)] {
        fs::write(&path, bad).unwrap();
        let said = bundle.fails(&["state", "ID"]);
        assert!(said.contains("state"), "{bad:.20}: {said}");
        bundle.fails(&["exec", "ID", "true"]);
    }
    // A record that names another's process has no right to it.
    let mut record: Value = serde_json::from_slice(&good).unwrap();
    record["pid"] = json!(std::process::id());
    fs::write(&path, record.to_string()).unwrap();
    assert_eq!(bundle.state()["status"], "stopped");
    bundle.fails(&["kill", "ID", "KILL"]);
    let mut file = fs::File::create(&path).unwrap();
    file.write_all(&good).unwrap();
    assert_eq!(bundle.state()["status"], "running");
}
