//! Images and configurations that mean harm.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;
use support::{Bundle, Canary};

/// CVE-2024-21626: a directory of the host behind some descriptor.
#[test]
fn cve_2024_21626_the_working_directory_is_inside() {
    for number in 3..20 {
        let mut bundle = Bundle::new("pwd; ls");
        bundle.spec["process"]["cwd"] = json!(format!("/proc/self/fd/{number}"));
        bundle.failure();
    }
    let mut bundle = Bundle::new("pwd");
    symlink("/proc/self/fd/7", bundle.root().join("link")).unwrap();
    bundle.spec["process"]["cwd"] = json!("/link");
    bundle.failure();
    bundle.spec["process"]["cwd"] = json!("/../../../tmp");
    assert_eq!(bundle.output(), "/tmp\n");
}

#[test]
fn cve_2024_21626_exec_stays_inside_too() {
    let bundle = Bundle::new("sleep 1000");
    bundle.start();
    for number in 3..20 {
        bundle.fails(&["exec", "--cwd", &format!("/proc/self/fd/{number}"), "ID", "ls"]);
    }
}

/// CVE-2019-19921, CVE-2023-27561: `/proc` somewhere else.
#[test]
fn cve_2019_19921_proc_is_an_ordinary_directory() {
    for target in ["/x", "/tmp", "/sys"] {
        let bundle = Bundle::new("true");
        fs::create_dir(bundle.root().join("x")).unwrap();
        fs::remove_dir(bundle.root().join("proc")).unwrap();
        symlink(target, bundle.root().join("proc")).unwrap();
        let said = bundle.failure();
        assert!(said.contains("must be mounted on ordinary directory"), "{said}");
    }
    let bundle = Bundle::new("true");
    fs::remove_dir(bundle.root().join("sys")).unwrap();
    symlink("/tmp", bundle.root().join("sys")).unwrap();
    assert!(bundle.failure().contains("must be mounted on ordinary directory"));
}

/// CVE-2019-16884: what is mounted over `/proc` swallows what is written there.
#[test]
fn cve_2019_16884_nothing_is_mounted_into_proc() {
    for destination in ["/proc", "/proc/self", "/proc/sys", "/proc/self/attr", "/p", "/tmp/../proc/1"] {
        let mut bundle = Bundle::new("true");
        symlink("/proc/sys", bundle.root().join("p")).unwrap();
        let source = bundle.directory.path().join("source");
        fs::create_dir(&source).unwrap();
        bundle.add_mount(
            json!({"destination": destination, "type": "bind", "source": source, "options": ["bind"]}),
        );
        let said = bundle.failure();
        assert!(said.contains("inside /proc"), "{destination}: {said}");
        bundle.spec["mounts"].as_array_mut().unwrap().pop();
        bundle.add_mount(json!({"destination": destination, "type": "tmpfs", "source": "tmpfs"}));
        assert!(bundle.failure().contains("inside /proc"), "{destination}");
    }
    // A configuration without a procfs of its own, as engines write it for `-v X:/proc`.
    for destination in ["/proc", "/../../proc", "/proc/self"] {
        let mut bundle = Bundle::new("true");
        bundle.spec["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != "/proc");
        bundle.add_mount(
            json!({"destination": destination, "type": "bind", "source": "/etc", "options": ["rbind"]}),
        );
        assert!(bundle.failure().contains("inside /proc"), "{destination}");
    }
    let mut bundle = Bundle::new("cat /proc/uptime");
    let file = bundle.directory.path().join("uptime");
    fs::write(&file, "own\n").unwrap();
    bundle.add_mount(
        json!({"destination": "/proc/uptime", "type": "bind", "source": file, "options": ["bind", "ro"]}),
    );
    assert_eq!(bundle.output(), "own\n");
}

/// CVE-2026-41579, CVE-2015-3629 and their like: what the runtime makes lands in the root, whatever the links say.
#[test]
fn cve_2026_41579_links_of_the_image_do_not_lead_to_the_host() {
    let mut bundle = Bundle::new("test -c /dev/null && echo ok");
    let canary = Canary::new(bundle.directory.path());
    let outside = canary.path().to_str().unwrap().to_owned();
    let relative = "../../../../../../../../../../../..".to_owned() + &outside;
    let root = bundle.root();
    fs::remove_dir(root.join("dev")).unwrap();
    symlink(&relative, root.join("dev")).unwrap();
    for (index, target) in [&outside, &relative].into_iter().enumerate() {
        let name = format!("link{index}");
        symlink(target, root.join(&name)).unwrap();
        symlink(format!("{target}/file"), root.join(format!("file{index}"))).unwrap();
        let source = bundle.directory.path().join("source");
        fs::create_dir_all(&source).unwrap();
        fs::write(source.join("f"), "").unwrap();
        for destination in [format!("/{name}"), format!("/{name}/deeper/still")] {
            bundle.add_mount(
                json!({"destination": destination, "type": "bind", "source": source, "options": ["bind"]}),
            );
        }
        let destination = format!("/file{index}");
        bundle.add_mount(json!({"destination": destination, "type": "bind", "source": source.join("f"), "options": ["bind"]}));
    }
    bundle.spec["process"]["cwd"] = json!("/link0/made");
    bundle.spec["linux"]["devices"] = json!([{"path": "/link1/node", "type": "c", "major": 1, "minor": 3}]);
    bundle.spec["linux"]["maskedPaths"].as_array_mut().unwrap().push(json!("/file0"));
    bundle.spec["linux"]["readonlyPaths"].as_array_mut().unwrap().push(json!("/link0"));
    let output = bundle.run();
    canary.assert_alive();
    // It may be refused or work inside; here it works, with directories of the same names inside the root.
    assert!(output.status.success() || !output.stderr.is_empty(), "{output:?}");
}

/// CVE-2025-31133: a masked path under something writable that only stands where `/dev/null` should.
#[test]
fn cve_2025_31133_the_null_device_is_one() {
    let mut bundle = Bundle::new("true");
    let canary = Canary::new(bundle.directory.path());
    // The image's /dev, with no tmpfs over it.
    bundle.spec["mounts"]
        .as_array_mut()
        .unwrap()
        .retain(|m| !m["destination"].as_str().unwrap().starts_with("/dev"));
    symlink(canary.path().join("file"), bundle.root().join("dev/null")).unwrap();
    let said = bundle.failure();
    assert!(said.contains("/dev/null"), "{said}");
    canary.assert_alive();
    fs::remove_file(bundle.root().join("dev/null")).unwrap();
    fs::write(bundle.root().join("dev/null"), "").unwrap();
    assert!(bundle.failure().contains("/dev/null"));
}

/// CVE-2025-52565: a terminal's path that leads elsewhere.
#[test]
fn cve_2025_52565_a_terminal_comes_from_devpts_only() {
    let mut bundle = Bundle::new("true");
    let canary = Canary::new(bundle.directory.path());
    bundle.spec["process"]["terminal"] = json!(true);
    bundle.spec["mounts"]
        .as_array_mut()
        .unwrap()
        .retain(|m| m["destination"] != "/dev/pts" && m["destination"] != "/dev");
    fs::create_dir(bundle.root().join("dev/pts")).unwrap();
    symlink(canary.path().join("file"), bundle.root().join("dev/pts/ptmx")).unwrap();
    bundle.failure();
    fs::remove_file(bundle.root().join("dev/pts/ptmx")).unwrap();
    fs::write(bundle.root().join("dev/pts/ptmx"), "").unwrap();
    assert!(bundle.failure().contains("devpts"));
    canary.assert_alive();
}

/// CVE-2019-5736: the runtime's own program, through the `/proc` of a process of its.
#[test]
fn cve_2019_5736_the_runtimes_program_cannot_be_written() {
    let before = fs::read(support::RUNTIME).unwrap();
    let mut bundle = Bundle::new("");
    let script = "#!/proc/self/exe\n";
    fs::write(bundle.root().join("bin/trap-shell"), script).unwrap();
    fs::set_permissions(
        bundle.root().join("bin/trap-shell"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    bundle.set_capabilities(&["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETUID", "SETGID", "SYS_PTRACE"]);
    // One process runs the runtime as its interpreter; others try to write to what it runs.
    bundle.spec["process"]["args"] = json!(["sh", "-c", "sleep 1000"]);
    bundle.start();
    let attack =
        "for i in 1 2 3 4 5 6 7 8 9; do for p in /proc/[0-9]*; do echo x 2>/dev/null >> $p/exe; done; done";
    let mut attacker = bundle
        .command(&["exec", "ID", "sh", "-c", attack])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..10 {
        let _ = bundle.call(&["exec", "ID", "trap-shell"]);
        let _ = bundle.call(&["exec", "ID", "/proc/self/exe", "--version"]);
    }
    attacker.wait().unwrap();
    assert_eq!(fs::read(support::RUNTIME).unwrap(), before);
}

#[test]
fn exec_never_goes_without_the_containers_filter() {
    let mut bundle = Bundle::new("sleep 1000");
    bundle.spec["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []});
    bundle.start();
    fs::remove_file(bundle.state_root().join(&bundle.id).join("seccomp.bpf")).unwrap();
    bundle.fails(&["exec", "ID", "true"]);
}

#[test]
fn cve_2021_41103_state_is_for_root_only() {
    let bundle = Bundle::new("sleep 1000");
    bundle.start();
    for path in [bundle.state_root(), bundle.state_root().join(&bundle.id)] {
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o700, "{path:?}");
    }
}
