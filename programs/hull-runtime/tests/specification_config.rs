//! What the runtime specification requires of `config.json`: one test for each requirement, named by its section
//! (config.md). Linux's own part is in `specification_linux.rs`, operations and life in `specification_runtime.rs`.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use std::fs;
use support::Bundle;

/// A bundle whose process runs this.
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
fn spec_config_version_is_required_and_must_be_known() {
    for version in
        [json!("2.0.0"), json!("0.9.0"), json!(""), json!("x"), json!("11.0.0"), Value::Null, json!(1)]
    {
        let said = running("true", |spec| spec["ociVersion"] = version.clone()).failure();
        assert!(said.contains("ociVersion") || said.contains("config.json"), "{version}: {said}");
    }
    for version in ["1.0.0", "1.0.2-dev", "1.1.0", "1.3.0"] {
        gives("echo ok", "ok\n", |spec| spec["ociVersion"] = json!(version));
    }
}

#[test]
fn spec_config_unknown_properties_are_ignored() {
    gives("echo ok", "ok\n", |spec| {
        spec["unknown"] = json!({"a": [1]});
        spec["process"]["unknown"] = json!(true);
        spec["linux"]["unknown"] = json!("x");
        spec["windows"] = json!({"layerFolders": []});
        spec["vm"] = json!({"kernel": {"path": "/x"}});
    });
}

#[test]
fn spec_config_invalid_documents_are_refused_by_name() {
    for text in ["", "{", "[]", "null", "\"x\"", "{\"ociVersion\": 1}"] {
        let bundle = Bundle::new("true");
        bundle.save();
        fs::write(bundle.directory.path().join("config.json"), text).unwrap();
        assert!(bundle.fails(&["create", "ID"]).contains("config"), "{text}");
        bundle.assert_nothing_left();
    }
    let bundle = Bundle::new("true");
    bundle.save();
    fs::remove_file(bundle.directory.path().join("config.json")).unwrap();
    assert!(bundle.fails(&["create", "ID"]).contains("config.json"));
}

#[test]
fn spec_config_root_is_a_directory_absolute_or_in_the_bundle() {
    is_refused("root", |spec| spec["root"] = Value::Null);
    is_refused("root.path", |spec| spec["root"] = json!({}));
    is_refused("nowhere", |spec| spec["root"]["path"] = json!("nowhere"));
    is_refused("not a directory", |spec| spec["root"]["path"] = json!("/etc/hostname"));
    let mut bundle = Bundle::new("echo ok");
    for path in [
        bundle.root().display().to_string(),
        "./rootfs".into(),
        "rootfs/".into(),
        "../".to_owned() + bundle.directory.path().file_name().unwrap().to_str().unwrap() + "/rootfs",
    ] {
        bundle.spec["root"]["path"] = json!(path);
        assert_eq!(bundle.output(), "ok\n", "{path}");
    }
}

#[test]
fn spec_config_root_readonly_is_false_unless_said() {
    gives("touch /x && echo made", "made\n", |spec| {
        spec["root"].as_object_mut().unwrap().remove("readonly");
    });
    gives("touch /x 2>/dev/null || echo refused", "refused\n", |spec| spec["root"]["readonly"] = json!(true));
}

#[test]
fn spec_config_mounts_are_made_in_the_listed_order() {
    let mut bundle = Bundle::new("ls /m; ls /m/below");
    let place = |name: &str| {
        let source = bundle.directory.path().join(name);
        fs::create_dir_all(source.join("below")).unwrap();
        fs::write(source.join(name), "").unwrap();
        source
    };
    let (first, second, third) = (place("first"), place("second"), place("third"));
    for (source, destination) in [(first, "/m"), (second, "/m"), (third, "/m/below")] {
        bundle.add_mount(
            json!({"destination": destination, "type": "bind", "source": source, "options": ["rbind"]}),
        );
    }
    assert_eq!(bundle.output(), "below\nsecond\nbelow\nthird\n");
}

#[test]
fn spec_config_mounts_sources_are_relative_to_the_bundle() {
    let mut bundle = Bundle::new("cat /f; ls /d");
    fs::create_dir(bundle.directory.path().join("d")).unwrap();
    fs::write(bundle.directory.path().join("d/f"), "content\n").unwrap();
    bundle.add_mount(json!({"destination": "/f", "type": "bind", "source": "d/f", "options": ["bind"]}));
    // "bind" or "rbind" among the options is enough, whatever the type.
    bundle.add_mount(json!({"destination": "/d", "type": "none", "source": "./d", "options": ["rbind"]}));
    // A destination that is not absolute is taken from the root.
    bundle.add_mount(json!({"destination": "relative", "type": "tmpfs"}));
    assert_eq!(bundle.output(), "content\nf\n");
    is_refused("destination", |spec| spec["mounts"] = json!([{"type": "tmpfs"}]));
    is_refused("no-such-type", |spec| {
        spec["mounts"] = json!([{"destination": "/x", "type": "no-such-type"}])
    });
    is_refused("nosuchoption", |spec| {
        spec["mounts"] = json!([{"destination": "/x", "type": "tmpfs", "options": ["nosuchoption"]}])
    });
}

/// The table of options that a runtime must know (config.md, "Linux mount options").
#[test]
fn spec_config_mounts_know_the_table_of_options() {
    // Of each option what the kernel says of a mount that has it, and of one that has its opposite after it.
    for (option, shown, opposite) in [
        ("ro", "ro", "rw"),
        ("nosuid", "nosuid", "suid"),
        ("nodev", "nodev", "dev"),
        ("noexec", "noexec", "exec"),
        ("noatime", "noatime", "relatime"),
        ("nodiratime", "nodiratime", "diratime"),
        ("nosymfollow", "nosymfollow", "symfollow"),
    ] {
        let script =
            "while read -r i p d r at o rest; do case $at in /m) echo $o;; esac; done </proc/self/mountinfo";
        let on = |options: Value| {
            let bundle = running(script, |spec| {
                spec["mounts"]
                    .as_array_mut()
                    .unwrap()
                    .push(json!({"destination": "/m", "type": "tmpfs", "source": "x", "options": options}))
            });
            bundle.output().trim().split(',').map(str::to_owned).collect::<Vec<_>>()
        };
        assert!(on(json!([option])).contains(&shown.to_owned()), "{option}");
        assert!(!on(json!([option, opposite])).contains(&shown.to_owned()), "{opposite}");
    }
    for (option, tag) in [
        ("shared", "shared:"),
        ("rshared", "shared:"),
        ("private", "-"),
        ("rprivate", "-"),
        ("slave", "-"),
        ("rslave", "-"),
        ("unbindable", "unbindable"),
        ("runbindable", "unbindable"),
    ] {
        let script = "while read -r i p d r at o tag rest; do case $at in /m) echo $tag;; esac; done </proc/self/mountinfo";
        let bundle = running(script, |spec| {
            spec["mounts"]
                .as_array_mut()
                .unwrap()
                .push(json!({"destination": "/m", "type": "tmpfs", "source": "x", "options": [option]}))
        });
        let said = bundle.output();
        assert!(said.starts_with(tag), "{option}: {said}");
    }
    // Those of a file system, and those that say nothing on Linux.
    for option in [
        "sync",
        "async",
        "dirsync",
        "lazytime",
        "nolazytime",
        "loud",
        "silent",
        "defaults",
        "strictatime",
        "nostrictatime",
        "norelatime",
        "iversion",
        "noiversion",
        "mand",
        "nomand",
        "remount",
    ] {
        let bundle = running("echo ok", |spec| {
            spec["mounts"].as_array_mut().unwrap().push(
                json!({"destination": "/m", "type": "tmpfs", "source": "x", "options": [option, "size=1m"]}),
            )
        });
        assert_eq!(bundle.output(), "ok\n", "{option}");
    }
}

#[test]
fn spec_config_process_is_required_to_start() {
    is_refused("process", |spec| spec["process"] = Value::Null);
    is_refused("process.args", |spec| spec["process"]["args"] = json!([]));
    is_refused("process.cwd", |spec| spec["process"]["cwd"] = json!("relative"));
    is_refused("process.cwd", |spec| spec["process"]["cwd"] = json!(""));
}

#[test]
fn spec_config_process_arguments_and_environment_are_as_given() {
    let mut bundle = Bundle::new("");
    bundle.spec["process"]["args"] = json!([
        "sh",
        "-c",
        "for a in \"$@\"; do echo \"[$a]\"; done; env",
        "name",
        "",
        " a  b ",
        "$HOME",
        "ü\n*"
    ]);
    bundle.spec["process"]["env"] = json!(["PATH=/bin", "EMPTY=", "WITH=a=b", "HOME=/h", "SPACE= x "]);
    let said = bundle.output();
    assert!(said.starts_with("[]\n[ a  b ]\n[$HOME]\n[ü\n*]\n"), "{said}");
    for line in ["PATH=/bin", "EMPTY=", "WITH=a=b", "HOME=/h", "SPACE= x "] {
        assert!(said.lines().any(|found| found == line), "{line}: {said}");
    }
}

#[test]
fn spec_config_process_cwd_terminal_and_console_size() {
    gives("pwd", "/tmp\n", |spec| spec["process"]["cwd"] = json!("/tmp"));
    let bundle = running(
        "test -t 0 && test -t 1 && test -t 2 && stty size && test -c /dev/console && echo console",
        |spec| {
            spec["process"]["terminal"] = json!(true);
            spec["process"]["consoleSize"] = json!({"height": 21, "width": 43});
        },
    );
    assert_eq!(bundle.output().replace('\r', ""), "21 43\nconsole\n");
    // Without a terminal its size says nothing, and streams are what they were.
    gives("test -t 1 || echo none", "none\n", |spec| {
        spec["process"]["terminal"] = json!(false);
        spec["process"]["consoleSize"] = json!({"height": 21, "width": 43});
    });
}

#[test]
fn spec_config_process_user_ids_groups_and_umask() {
    gives("id -u; id -g; id -G; umask", "5\n6\n6 7 8\n0007\n", |spec| {
        spec["process"]["user"] = json!({"uid": 5, "gid": 6, "additionalGids": [7, 8], "umask": 7});
    });
    // Whoever has no umask has the usual one.
    gives("umask", "0022\n", |_| {});
    // The program is looked for as the user, who may not go everywhere.
    let bundle = running("true", |spec| {
        spec["process"]["user"] = json!({"uid": 5, "gid": 6});
        spec["process"]["args"] = json!(["/private/program"]);
    });
    fs::create_dir(bundle.root().join("private")).unwrap();
    fs::copy("/bin/busybox", bundle.root().join("private/program")).unwrap();
    fs::set_permissions(bundle.root().join("private"), std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .unwrap();
    assert!(bundle.failure().contains("ermission denied"));
}

#[test]
fn spec_config_process_capabilities_are_five_sets() {
    let bundle = running("grep ^Cap /proc/self/status | while read k v; do echo $k $v; done", |spec| {
        spec["process"]["user"] = json!({"uid": 5, "gid": 5});
        spec["process"]["capabilities"] = json!({
            "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID"], "permitted": ["CAP_CHOWN", "CAP_KILL"], "effective": ["CAP_CHOWN"],
            "inheritable": ["CAP_CHOWN", "CAP_KILL"], "ambient": ["CAP_KILL"]});
    });
    // A program without file capabilities has of its user's what is ambient.
    assert_eq!(
        bundle.output(),
        "CapInh: 0000000000000021\nCapPrm: 0000000000000020\nCapEff: 0000000000000020\nCapBnd: 00000000000000a1\nCapAmb: 0000000000000020\n"
    );
    // None at all where there is no such property.
    gives("grep -c ^Cap.*0000000000000000 /proc/self/status", "5\n", |spec| {
        spec["process"]["capabilities"] = json!({})
    });
    // What cannot be mapped to the kernel is warned of.
    let output =
        running("true", |spec| spec["process"]["capabilities"]["bounding"] = json!(["CAP_NO_SUCH", "chown"]))
            .run();
    assert!(
        output.status.success() && String::from_utf8_lossy(&output.stderr).contains("CAP_NO_SUCH"),
        "{output:?}"
    );
}

#[test]
fn spec_config_process_rlimits_by_every_name() {
    let names = [
        "AS",
        "CORE",
        "CPU",
        "DATA",
        "FSIZE",
        "LOCKS",
        "MEMLOCK",
        "MSGQUEUE",
        "NICE",
        "NOFILE",
        "NPROC",
        "RSS",
        "RTPRIO",
        "RTTIME",
        "SIGPENDING",
        "STACK",
    ];
    for name in names {
        gives("echo ok", "ok\n", |spec| {
            // Values that leave a shell room, below every hard limit of a host.
            let value = match name {
                "NICE" | "RTPRIO" | "CORE" | "RTTIME" | "LOCKS" | "MSGQUEUE" | "MEMLOCK" => 0,
                "NOFILE" | "NPROC" | "SIGPENDING" | "CPU" => 500,
                _ => 1_u64 << 30,
            };
            spec["process"]["rlimits"] =
                json!([{"type": format!("RLIMIT_{name}"), "soft": value, "hard": value}]);
        });
    }
    gives("ulimit -n; ulimit -Hn; ulimit -c", "11\n12\n0\n", |spec| {
        spec["process"]["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 11, "hard": 12}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]);
    });
    is_refused("RLIMIT_NO_SUCH", |spec| {
        spec["process"]["rlimits"] = json!([{"type": "RLIMIT_NO_SUCH", "soft": 1, "hard": 1}])
    });
    is_refused("RLIMIT_NOFILE", |spec| {
        spec["process"]["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 2, "hard": 1}])
    });
}

#[test]
fn spec_config_process_rlimits_must_not_be_there_twice() {
    is_refused("RLIMIT_NOFILE", |spec| {
        spec["process"]["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 10, "hard": 10}, {"type": "RLIMIT_NOFILE", "soft": 9, "hard": 9}]);
    });
}

#[test]
fn spec_config_process_scores_priorities_and_schedulers() {
    gives("cat /proc/self/oom_score_adj", "100\n", |spec| spec["process"]["oomScoreAdj"] = json!(100));
    // Where it is not said, it is the runtime's.
    let own = fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    gives("cat /proc/self/oom_score_adj", &own, |_| {});
    is_refused("oom_score_adj", |spec| spec["process"]["oomScoreAdj"] = json!(1001));
    let policy = "read -r s </proc/self/stat; s=${s##*) }; set -- $s; echo ${17} ${39}";
    gives(policy, "5 3\n", |spec| spec["process"]["scheduler"] = json!({"policy": "SCHED_BATCH", "nice": 5}));
    gives(policy, "0 5\n", |spec| spec["process"]["scheduler"] = json!({"policy": "SCHED_IDLE"}));
    is_refused("SCHED_NOPE", |spec| spec["process"]["scheduler"] = json!({"policy": "SCHED_NOPE"}));
    is_refused("ioPriority", |spec| {
        spec["process"]["ioPriority"] = json!({"class": "IOPRIO_CLASS_NOPE", "priority": 1})
    });
    is_refused("ioPriority", |spec| {
        spec["process"]["ioPriority"] = json!({"class": "IOPRIO_CLASS_BE", "priority": 8})
    });
    gives("echo ok", "ok\n", |spec| {
        spec["process"]["ioPriority"] = json!({"class": "IOPRIO_CLASS_IDLE", "priority": 0})
    });
}

#[test]
fn spec_config_process_no_new_privileges() {
    for (asked, wanted) in [(json!(true), "1"), (json!(false), "0"), (Value::Null, "0")] {
        gives("sed -n 's/^NoNewPrivs:.//p' /proc/self/status", &format!("{wanted}\n"), |spec| {
            spec["process"].as_object_mut().unwrap().remove("noNewPrivileges");
            if !asked.is_null() {
                spec["process"]["noNewPrivileges"] = asked.clone();
            }
        });
    }
}

#[test]
fn spec_config_hostname_and_domainname_are_the_containers() {
    let before = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    gives("hostname; cat /proc/sys/kernel/domainname", "here.x\nthere\n", |spec| {
        spec["hostname"] = json!("here.x");
        spec["domainname"] = json!("there");
    });
    assert_eq!(fs::read_to_string("/proc/sys/kernel/hostname").unwrap(), before);
    is_refused("sethostname", |spec| spec["hostname"] = json!("x".repeat(65)));
    is_refused("UTS", |spec| {
        spec["linux"]["namespaces"].as_array_mut().unwrap().retain(|n| n["type"] != "uts")
    });
}

#[test]
fn spec_config_hooks_need_absolute_paths_and_a_timeout_above_zero() {
    for hook in [
        json!({"path": "relative"}),
        json!({"path": ""}),
        json!({"path": "/bin/true", "timeout": 0}),
        json!({"path": "/bin/true", "timeout": -1}),
    ] {
        for point in
            ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]
        {
            is_refused("hook", |spec| spec["hooks"][point] = json!([hook]));
        }
    }
}

#[test]
fn spec_config_annotations_are_in_the_state() {
    let mut bundle = Bundle::new("sleep 1000");
    bundle.spec["annotations"] = json!({"com.example.key": "välue", "empty": ""});
    bundle.start();
    assert_eq!(bundle.state()["annotations"], bundle.spec["annotations"]);
    is_refused("config.json", |spec| spec["annotations"] = json!({"number": 1}));
}
