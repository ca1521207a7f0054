//! Every command of the issue's list, by both clients: what it prints, and how it ends.

use hull_e2e::{Client, World, eventually, with_each_client};
use serde_json::Value;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn version_info_and_ping() {
    with_each_client(|world, client| {
        let version =
            world.client(client, &["version", "--format", "{{.Server.APIVersion}} {{.Server.Os}}"]).ok();
        assert!(version.ends_with(" linux") && version.starts_with("1."), "{version}");
        let info = json(&world.client(client, &["info", "--format", "{{json .}}"]).ok());
        assert_eq!(info["OSType"], "linux");
        assert!(info["NCPU"].as_i64().unwrap() > 0 && info["MemTotal"].as_i64().unwrap() > 0);
        assert_eq!(info["DockerRootDir"].as_str().unwrap(), world.data_root().to_str().unwrap());
        let ping =
            world.sh(&format!("curl -s -i --unix-socket {} http://x/_ping", world.socket().display())).ok();
        assert!(ping.contains("Api-Version: ") || ping.contains("api-version: "), "{ping}");
        assert!(ping.ends_with("OK"), "{ping}");
    });
}

#[test]
fn images_come_are_named_and_go() {
    with_each_client(|world, client| {
        let pulled = world.client(client, &["pull", "busybox"]).ok();
        assert!(pulled.contains("Status: Downloaded newer image for busybox:latest"), "{pulled}");
        assert!(pulled.ends_with("docker.io/library/busybox:latest"), "{pulled}");
        let again = world.client(client, &["pull", "busybox"]).ok();
        assert!(again.contains("Status: Image is up to date for busybox:latest"), "{again}");
        world.client(client, &["pull", "-q", "127.0.0.1:5000/library/busybox:schema2"]).ok();
        world.client(client, &["pull", "-q", "nginx:zstd"]).ok();
        let missing = world.client(client, &["pull", "nope"]).expect_code(1);
        assert!(missing.stderr.contains("nope"), "{}", missing.stderr);
        let table = world.client(client, &["images"]).ok();
        assert!(table.lines().next().unwrap().starts_with("REPOSITORY"), "{table}");
        assert_eq!(table.lines().count(), 4, "{table}");
        let id = world.client(client, &["images", "-q", "busybox"]).ok();
        assert_eq!(id.len(), 12);
        world.client(client, &["tag", "busybox", "mine/box:1.0"]).ok();
        let inspected = json(&world.client(client, &["image", "inspect", &id[..4]]).ok());
        assert_eq!(inspected[0]["RepoTags"].as_array().unwrap().len(), 3, "{inspected}");
        assert_eq!(inspected[0]["Config"]["Cmd"][0], "sh");
        let history = world.client(client, &["history", "-q", "busybox"]).ok();
        assert!(!history.is_empty());
        assert!(world.client(client, &["rmi", "mine/box:1.0"]).ok().contains("Untagged: mine/box:1.0"));
        world.client(client, &["create", "--name", "user", "busybox"]).ok();
        // With a second name left, one may go; the last is held by the container.
        world.client(client, &["rmi", "127.0.0.1:5000/library/busybox:schema2"]).ok();
        let conflict = world.client(client, &["rmi", "busybox"]).expect_code(1);
        assert!(conflict.stderr.contains("conflict: unable to"), "{}", conflict.stderr);
        world.client(client, &["rm", "user"]).ok();
        let ids = world.client(client, &["images", "-q", "--no-trunc"]).ok();
        let mut words = vec!["rmi", "-f"];
        words.extend(ids.lines());
        assert!(world.client(client, &words).ok().contains("Deleted: sha256:"));
        assert_eq!(world.client(client, &["images", "-q"]).ok(), "");
        assert!(world.client(client, &["image", "prune", "-f"]).ok().contains("Total reclaimed space"));
    });
}

#[test]
fn options_of_run_reach_the_container() {
    with_each_client(|world, client| {
        world.client(client, &["pull", "-q", "busybox"]).ok();
        let run = |words: &[&str]| {
            let mut all = vec!["run", "--rm"];
            all.extend(words);
            world.client(client, &all)
        };
        assert_eq!(run(&["-e", "A=1", "-e", "B", "busybox", "sh", "-c", "echo $A$B"]).ok(), "1");
        let file = world.directory().join("env");
        std::fs::write(&file, "# note\nC=3\n").unwrap();
        assert_eq!(run(&["--env-file", file.to_str().unwrap(), "busybox", "sh", "-c", "echo $C"]).ok(), "3");
        assert_eq!(run(&["-w", "/tmp/deep", "busybox", "pwd"]).ok(), "/tmp/deep");
        assert_eq!(run(&["-u", "nobody", "busybox", "id", "-u"]).ok(), "65534");
        assert_eq!(run(&["-u", "12:34", "busybox", "sh", "-c", "id -u; id -g"]).ok(), "12\n34");
        assert_eq!(run(&["--entrypoint", "echo", "busybox", "hi"]).ok(), "hi");
        assert_eq!(run(&["-h", "ahoy", "busybox", "hostname"]).ok(), "ahoy");
        assert_eq!(
            run(&["--read-only", "busybox", "sh", "-c", "touch /x 2>/dev/null || echo no"]).ok(),
            "no"
        );
        assert!(run(&["--tmpfs", "/t:size=1m", "busybox", "df", "/t"]).ok().contains("1024"));
        // Whatever form the driver keeps layers in.
        let image = "type=image,source=busybox,target=/image";
        let tried = "/image/bin/busybox echo from the image; touch /image/x 2>/dev/null || echo read-only";
        assert_eq!(run(&["--mount", image, "busybox", "sh", "-c", tried]).ok(), "from the image\nread-only");
        let bind = world.directory().join("shared");
        std::fs::create_dir(&bind).unwrap();
        std::fs::write(bind.join("note"), "from the host").unwrap();
        let volume = format!("{}:/in:ro", bind.display());
        assert_eq!(
            run(&["-v", &volume, "busybox", "sh", "-c", "cat /in/note; touch /in/x 2>/dev/null; :"]).ok(),
            "from the host"
        );
        assert!(!bind.join("x").exists());
        assert_eq!(run(&["--network", "none", "busybox", "sh", "-c", "ls /sys/class/net"]).ok(), "lo");
        assert!(run(&["--network", "host", "busybox", "ls", "/sys/class/net"]).ok().contains("host0"));
        assert!(run(&["--init", "busybox", "cat", "/proc/1/comm"]).ok().contains("init"));
        assert_eq!(
            run(&["--ulimit", "nofile=100:200", "busybox", "sh", "-c", "ulimit -n; ulimit -Hn"]).ok(),
            "100\n200"
        );
        assert_eq!(
            run(&["--cap-drop", "ALL", "busybox", "grep", "CapEff", "/proc/self/status"]).ok(),
            "CapEff:\t0000000000000000"
        );
        let both = run(&["--cap-add", "SYS_TIME", "busybox", "grep", "CapEff", "/proc/self/status"]).ok();
        assert_eq!(both, "CapEff:\t00000000aa0425fb");
        assert_eq!(
            run(&["busybox", "grep", "CapEff", "/proc/self/status"]).ok(),
            "CapEff:\t00000000a80425fb"
        );
        assert!(run(&["--privileged", "busybox", "ls", "/dev"]).ok().contains("kmsg"));
        assert!(run(&["--device", "/dev/fuse:/dev/mine", "busybox", "ls", "/dev"]).ok().contains("mine"));
        let memory =
            run(&["--memory", "64m", "busybox", "cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]);
        if memory.code == 0 {
            assert_eq!(memory.ok(), "67108864");
        }
        let labels = world
            .client(
                client,
                &[
                    "create",
                    "-l",
                    "a=b",
                    "--stop-signal",
                    "USR1",
                    "--stop-timeout",
                    "3",
                    "--restart",
                    "on-failure:2",
                    "--cpus",
                    "0.5",
                    "--pids-limit",
                    "50",
                    "busybox",
                ],
            )
            .ok();
        let seen = json(&world.client(client, &["inspect", &labels[..4]]).ok());
        assert_eq!(seen[0]["Config"]["Labels"]["a"], "b");
        assert_eq!(seen[0]["Config"]["StopSignal"], "USR1");
        assert_eq!(seen[0]["HostConfig"]["NanoCpus"], 500_000_000);
        assert_eq!(seen[0]["HostConfig"]["PidsLimit"], 50);
        assert_eq!(seen[0]["HostConfig"]["RestartPolicy"]["MaximumRetryCount"], 2);
        let cid = world.directory().join("cid");
        run(&["--cidfile", cid.to_str().unwrap(), "busybox", "true"]).ok();
        assert_eq!(std::fs::read_to_string(&cid).unwrap().trim().len(), 64);
        if client == Client::Hull {
            assert_eq!(world.hull(&["image", "run", "--rm", "busybox", "echo", "alias"]).ok(), "alias");
        }
    });
}

#[test]
fn a_container_lives_through_its_verbs() {
    with_each_client(|world, client| {
        let go = |words: &[&str]| world.client(client, words);
        go(&["pull", "-q", "busybox"]).ok();
        go(&[
            "run",
            "-d",
            "--name",
            "one",
            "busybox",
            "sh",
            "-c",
            "trap 'exit 3' TERM; while :; do usleep 50000; done",
        ])
        .ok();
        let state = |name: &str| go(&["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name]).ok();
        assert_eq!(state("one"), "running 0");
        go(&["pause", "one"]).ok();
        assert_eq!(state("one"), "paused 0");
        assert!(go(&["ps", "--format", "{{.Status}}"]).ok().ends_with("(Paused)"));
        go(&["unpause", "one"]).ok();
        go(&["rename", "one", "two"]).ok();
        assert_eq!(go(&["stop", "two"]).ok(), "two");
        assert_eq!(state("two"), "exited 3");
        assert_eq!(go(&["start", "two"]).ok(), "two");
        assert_eq!(go(&["restart", "-t", "1", "two"]).ok(), "two");
        assert_eq!(state("two"), "running 0");
        assert_eq!(go(&["kill", "two"]).ok(), "two");
        assert_eq!(go(&["wait", "two"]).ok(), "137");
        assert_eq!(state("two"), "exited 137");
        let refused = go(&["exec", "two", "true"]).expect_code(1);
        assert!(refused.stderr.contains("is not running"), "{}", refused.stderr);
        assert_eq!(go(&["rm", "two"]).ok(), "two");
        let gone = go(&["inspect", "two"]).expect_code(1);
        assert!(gone.stderr.to_lowercase().contains("no such object: two"), "{}", gone.stderr);
        go(&["create", "--name", "left", "busybox"]).ok();
        let pruned = go(&["container", "prune", "-f"]).ok();
        assert!(pruned.contains("Deleted Containers:"), "{pruned}");
    });
}

#[test]
fn exec_cp_diff_top_and_stats_look_inside() {
    with_each_client(|world, client| {
        let go = |words: &[&str]| world.client(client, words);
        go(&["pull", "-q", "busybox"]).ok();
        go(&["run", "-d", "--name", "box", "-e", "OUTER=1", "busybox", "sleep", "1000"]).ok();
        assert_eq!(go(&["exec", "box", "sh", "-c", "echo $OUTER; exit 0"]).ok(), "1");
        go(&["exec", "box", "sh", "-c", "exit 17"]).expect_code(17);
        assert_eq!(
            go(&[
                "exec",
                "-e",
                "IN=2",
                "-w",
                "/tmp",
                "-u",
                "nobody",
                "box",
                "sh",
                "-c",
                "echo $IN $(pwd) $(id -u)"
            ])
            .ok(),
            "2 /tmp 65534"
        );
        assert_eq!(world.client_with_input(client, &["exec", "-i", "box", "cat"], "through").ok(), "through");
        go(&["exec", "-d", "box", "sh", "-c", "echo made >/tmp/made"]).ok();
        eventually("the detached exec ran", 5, || {
            (go(&["exec", "box", "cat", "/tmp/made"]).stdout.trim() == "made").then_some(())
        });
        go(&["exec", "box", "nope"]).expect_code(127);
        let changes = go(&["diff", "box"]).ok();
        assert_eq!(changes, "C /tmp\nA /tmp/made");
        let file = world.directory().join("sent");
        std::fs::write(&file, "cargo").unwrap();
        go(&["cp", file.to_str().unwrap(), "box:/tmp/got"]).ok();
        assert_eq!(go(&["exec", "box", "cat", "/tmp/got"]).ok(), "cargo");
        let back = world.directory().join("back");
        go(&["cp", "box:/tmp", back.to_str().unwrap()]).ok();
        assert_eq!(std::fs::read_to_string(back.join("got")).unwrap(), "cargo");
        let top = go(&["top", "box"]).ok();
        assert!(top.lines().next().unwrap().starts_with("UID") && top.contains("sleep 1000"), "{top}");
        let stats = json(&go(&["stats", "--no-stream", "--format", "{{json .}}", "box"]).ok());
        assert_eq!(stats["Name"], "box");
        assert_eq!(stats["PIDs"], "1");
        go(&["stop", "-t", "0", "box"]).ok();
        go(&["cp", "box:/tmp/got", back.to_str().unwrap()]).ok();
        go(&["cp", file.to_str().unwrap(), "box:/root/"]).ok();
        assert!(go(&["diff", "box"]).ok().contains("A /root/sent"));
    });
}

#[test]
fn lists_filter_and_ids_abbreviate() {
    with_each_client(|world, client| {
        let go = |words: &[&str]| world.client(client, words);
        go(&["pull", "-q", "busybox"]).ok();
        let first = go(&["create", "--name", "first", "-l", "k=v", "busybox"]).ok();
        let second = go(&["run", "-d", "--name", "second", "busybox", "sleep", "1000"]).ok();
        assert_eq!(go(&["ps", "-q", "--no-trunc"]).ok(), second);
        assert_eq!(go(&["ps", "-aq", "--no-trunc", "-f", "label=k=v"]).ok(), first);
        assert_eq!(go(&["ps", "-aq", "--no-trunc", "-f", "status=created"]).ok(), first);
        assert_eq!(go(&["ps", "-aq", "-f", "ancestor=busybox"]).ok().lines().count(), 2);
        assert_eq!(go(&["ps", "-lq", "--no-trunc"]).ok(), second);
        let header = go(&["ps", "-s"]).ok();
        assert_eq!(header.lines().next().unwrap().split_whitespace().next_back(), Some("SIZE"));
        assert_eq!(go(&["inspect", "-f", "{{.Id}}", &first[..4]]).ok(), first);
        let bad = go(&["ps", "-f", "nope=1"]).expect_code(1);
        assert!(bad.stderr.contains("nvalid filter 'nope'"), "{}", bad.stderr);
        // More containers than there are first digits: some one-digit prefix is ambiguous.
        for _ in 0..17 {
            go(&["create", "busybox"]).ok();
        }
        let ids = go(&["ps", "-aq"]).ok();
        let twice = ids
            .lines()
            .map(|id| &id[..1])
            .find(|digit| ids.lines().filter(|id| id.starts_with(digit)).count() > 1);
        let ambiguous = go(&["inspect", "--type", "container", twice.unwrap()]);
        assert_ne!(ambiguous.code, 0);
        assert!(ambiguous.stderr.to_lowercase().contains("multiple ids found"), "{}", ambiguous.stderr);
    });
}

#[test]
fn events_volumes_and_networks() {
    with_each_client(|world, client| {
        let go = |words: &[&str]| world.client(client, words);
        go(&["pull", "-q", "busybox"]).ok();
        assert_eq!(go(&["volume", "create", "vol"]).ok(), "vol");
        go(&["run", "--rm", "-v", "vol:/v", "busybox", "sh", "-c", "echo kept >/v/f"]).ok();
        assert_eq!(go(&["run", "--rm", "-v", "vol:/v", "busybox", "cat", "/v/f"]).ok(), "kept");
        assert_eq!(go(&["volume", "ls", "-q"]).ok(), "vol");
        assert_eq!(json(&go(&["volume", "inspect", "vol"]).ok())[0]["Driver"], "local");
        go(&["create", "--name", "holder", "-v", "vol:/v", "busybox"]).ok();
        let used = go(&["volume", "rm", "vol"]).expect_code(1);
        assert!(used.stderr.contains("volume is in use"), "{}", used.stderr);
        go(&["rm", "holder"]).ok();
        assert_eq!(go(&["volume", "rm", "vol"]).ok(), "vol");
        assert!(go(&["volume", "prune", "-f"]).ok().contains("Total reclaimed space"));
        let networks = go(&["network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Scope}}"]).ok();
        assert_eq!(networks, "bridge bridge local\nhost host local\nnone null local");
        let bridge = json(&go(&["network", "inspect", "bridge"]).ok());
        assert!(bridge[0]["IPAM"]["Config"][0]["Subnet"].is_string(), "{bridge}");
        let since = world.sh("date +%s").ok();
        go(&["run", "--rm", "--name", "seen", "busybox", "true"]).ok();
        let until = (since.parse::<i64>().unwrap() + 3).to_string();
        let events = go(&[
            "events",
            "--since",
            &since,
            "--until",
            &until,
            "--filter",
            "container=seen",
            "--format",
            "{{.Action}}",
        ])
        .ok();
        let expected = ["create", "attach", "start", "die", "destroy"];
        let seen: Vec<&str> = events.lines().filter(|action| expected.contains(action)).collect();
        assert_eq!(seen, expected, "{events}");
    });
}

#[test]
fn bad_input_is_named_and_leaves_nothing() {
    with_each_client(|world, client| {
        let go = |words: &[&str]| world.client(client, words);
        go(&["pull", "-q", "busybox"]).ok();
        for (words, code, text) in [
            (&["run", "--rm", "busybox", "nope"][..], 127, "executable file not found in $PATH"),
            (&["run", "--rm", "busybox", "/etc"], 126, "exec: \"/etc\": "),
            (&["run", "--rm", "busybox", "/no/such"], 127, "no such file or directory"),
            (&["run", "--rm", "-u", "nosuch", "busybox", "true"], 125, "unable to find user nosuch"),
            (&["run", "--rm", "--memory", "1k", "busybox", "true"], 125, "inimum memory limit"),
            (&["run", "--rm", "--network", "nosuch", "busybox", "true"], 125, "network nosuch not found"),
            (&["run", "--rm", "--name", "!", "busybox", "true"], 125, "Invalid container name"),
            (&["run", "--rm", "-p", "99999:80", "busybox", "true"], 125, "99999"),
            (
                &["run", "--rm", "--mount", "type=bind,src=/no/such,dst=/x", "busybox", "true"],
                125,
                "/no/such",
            ),
            (&["run", "--rm", "-v", "/a:relative", "busybox", "true"], 125, "relative"),
            (&["run", "--rm", "--cap-add", "NOPE", "busybox", "true"], 125, "NOPE"),
            (&["run", "--rm", "--runtime", "nope", "busybox", "true"], 125, "nope"),
            (&["run", "--rm", "--log-driver", "nope", "busybox", "true"], 125, "nope"),
            (&["run", "--rm", "--device", "/dev/nope", "busybox", "true"], 125, "/dev/nope"),
            (&["run", "--rm", "--pull", "never", "absent", "true"], 125, "absent"),
            (&["run", "--rm", "--platform", "linux/s390x", "busybox", "true"], 125, "platform"),
            (&["run", "--rm", "busybox", "sh", "-c", "exit 200"], 200, ""),
            // A first process is spared its own signals, so an init stands before it.
            (&["run", "--rm", "--init", "busybox", "sh", "-c", "kill -9 $$"], 137, ""),
            (&["run", "--nope", "busybox"], 125, "unknown flag: --nope"),
            (&["start", "absent"], 1, "No such container: absent"),
            (&["nope"], 1, "nope"),
        ] {
            let output = go(words);
            assert_eq!(output.code, code, "{words:?}: {} {}", output.stdout, output.stderr);
            assert!(output.stderr.contains(text), "{words:?}: {}", output.stderr);
        }
        assert_eq!(go(&["ps", "-aq"]).ok(), "", "a failed create or start leaves no container");
        let left = std::fs::read_dir(world.directory().join("exec/containers")).map_or(0, Iterator::count);
        assert_eq!(left, 0, "a failed start leaves no bundle");
        go(&["run", "-d", "--name", "taken", "-p", "8080:80", "busybox", "sleep", "1000"]).ok();
        let twice = go(&["create", "--name", "taken", "busybox"]).expect_code(1);
        assert!(twice.stderr.contains("is already in use by container"), "{}", twice.stderr);
        let port = go(&["run", "--rm", "-p", "8080:80", "busybox", "true"]).expect_code(125);
        assert!(port.stderr.contains("port is already allocated"), "{}", port.stderr);
    });
}

#[test]
fn restart_policies_bring_containers_back() {
    with_each_client(|world, client| {
        let go = |words: &[&str]| world.client(client, words);
        go(&["pull", "-q", "busybox"]).ok();
        go(&[
            "run",
            "-d",
            "--name",
            "thrice",
            "--restart",
            "on-failure:2",
            "busybox",
            "sh",
            "-c",
            "echo try; exit 1",
        ])
        .ok();
        eventually("it was tried three times", 10, || {
            (go(&["inspect", "-f", "{{.RestartCount}} {{.State.Status}}", "thrice"]).ok() == "2 exited")
                .then_some(())
        });
        assert_eq!(go(&["logs", "thrice"]).ok(), "try\ntry\ntry");
        go(&["run", "-d", "--name", "always", "--restart", "always", "busybox", "sleep", "1000"]).ok();
        let pid = go(&["inspect", "-f", "{{.State.Pid}}", "always"]).ok();
        world.sh(&format!("kill -9 {pid}")).ok();
        eventually("it is back", 10, || {
            let now = go(&["inspect", "-f", "{{.State.Running}} {{.State.Pid}}", "always"]).ok();
            (now.starts_with("true ") && now != format!("true {pid}")).then_some(())
        });
    });
}

#[test]
fn login_is_checked_by_the_registry() {
    for client in [Client::Hull, Client::Docker] {
        let world = World::bare(&[]);
        let passwords = world.directory().join("htpasswd");
        let hash = world.sh(r#"perl -e 'print crypt("deep", "\$2b\$05\$abcdefghijklmnopqrstuu")'"#).ok();
        std::fs::write(&passwords, format!("captain:{hash}\n")).unwrap();
        world.start_registry(&format!("auth: {{htpasswd: {{realm: sea, path: {}}}}}", passwords.display()));
        world.start_daemon();
        let image = "127.0.0.1:5000/library/busybox";
        let refused = world.client(client, &["pull", image]).expect_code(1);
        assert!(
            refused.stderr.contains("no basic auth credentials")
                || refused.stderr.contains("denied")
                || refused.stderr.contains("unauthorized"),
            "{}",
            refused.stderr
        );
        let login = |password: &str| {
            world.client_with_input(
                client,
                &["login", "-u", "captain", "--password-stdin", "127.0.0.1:5000"],
                password,
            )
        };
        assert_ne!(login("wrong").code, 0);
        assert!(login("deep").ok().contains("Login Succeeded"));
        world.client(client, &["pull", "-q", image]).ok();
        assert!(
            world.client(client, &["logout", "127.0.0.1:5000"]).ok().contains("Removing login credentials")
        );
        world.client(client, &["rmi", image]).ok();
        world.client(client, &["pull", image]).expect_code(1);
        world.stop();
    }
}
