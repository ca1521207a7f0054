//! The engine for real: runtime, snapshots, networks, cgroups, as root in network and mount namespaces of its own.
//!
//! Each test starts this program again by `unshare`; nothing of it is left on the host but what the kernel removes.
#![allow(clippy::unwrap_used)]

mod registry;
mod world;

use hull_api_types::*;
use hull_container::*;
use hull_errors::{HasKind, Kind};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use world::{World, in_namespaces};

fn words(list: &[&str]) -> Option<Vec<String>> {
    Some(list.iter().map(|word| (*word).to_owned()).collect())
}

fn shell(script: &str) -> ContainerCreateRequest {
    let config = ContainerConfig {
        cmd: words(&["sh", "-c", script]),
        image: world::IMAGE.into(),
        ..Default::default()
    };
    ContainerCreateRequest { config, ..Default::default() }
}

#[test]
fn a_container_from_create_to_remove() {
    in_namespaces("a_container_from_create_to_remove", async |world: &World| {
        let c = &world.containers;
        let created = c.create(Some("one"), None, shell("echo out; echo err >&2; exit 3")).await.unwrap();
        assert_eq!(c.list(ListOptions::default()).await.unwrap().len(), 0);
        let everything = ListOptions { all: true, size: true, ..Default::default() };
        assert_eq!(c.list(everything).await.unwrap()[0].status, "Created");
        let conflict = c.create(Some("one"), None, shell("true")).await.unwrap_err();
        assert_eq!(conflict.kind(), Kind::Conflict);
        assert!(
            conflict.to_string().starts_with("Conflict. The container name \"/one\" is already in use by")
        );

        // The client's order: attach, wait, start.
        let options = AttachOptions { stdout: true, stderr: true, stream: true, ..Default::default() };
        let attached = c.attach("one", options).await.unwrap();
        let wait = c.wait("one", WaitCondition::NextExit).await.unwrap();
        c.start("one").await.unwrap();
        let mut output = Vec::new();
        attached.stream.unwrap().read_to_end(&mut output).await.unwrap();
        assert_eq!(wait.finish().await, ContainerWaitResponse { status_code: 3, error: None });
        let mut frames = [&b"\x01\0\0\0\0\0\0\x04out\n"[..], b"\x02\0\0\0\0\0\0\x04err\n"];
        if output.starts_with(b"\x02") {
            frames.reverse();
        }
        assert_eq!(output, frames.concat());

        let all = LogOptions { stdout: true, stderr: true, follow: true, ..Default::default() };
        let mut log = c.logs("one", all).await.unwrap();
        let mut lines = Vec::new();
        while let Some(record) = log.records.recv().await {
            lines.push(record.bytes);
        }
        lines.sort();
        assert_eq!(lines, ["err\n", "out\n"]);

        let inspected = c.inspect(&created.id[..5], true).await.unwrap();
        assert_eq!((inspected.state.status.as_str(), inspected.state.exit_code), ("exited", 3));
        assert_eq!(inspected.path, "sh");
        assert!(matches!(c.stop("one", None, None).await.unwrap_err().kind(), Kind::NotModified));
        c.remove("one", RemoveOptions::default()).await.unwrap();
        assert_eq!(c.inspect("one", false).await.unwrap_err().to_string(), "No such container: one");
        world.nothing_left();
    });
}

#[test]
fn defaults_are_dockers() {
    in_namespaces("defaults_are_dockers", async |world: &World| {
        let script = "id; grep Cap /proc/self/status; hostname; cat /etc/hostname; pwd; echo $HOME $PATH; \
                      ls /proc/self/fd | wc -l; cat /proc/kcore 2>&1 | head -c1; touch /proc/sys/x 2>&1; df /dev/shm | tail -1; \
                      cat /proc/sys/net/ipv4/ip_unprivileged_port_start; ip -o addr show dev eth0 2>&1 | head -2; cat /etc/hosts";
        let output = world.run(shell(script)).await;
        let inspect = output;
        for expected in [
            "uid=0(root) gid=0(root) groups=0(root),10(wheel)\n",
            "CapInh:\t0000000000000000\n",
            "CapAmb:\t0000000000000000\n",
            "CapEff:\t00000000a80425fb\n",
            "/root /usr/local/sbin:",
            "\n0\n",
            "172.17.0.",
        ] {
            assert!(inspect.contains(expected), "{expected:?} in {inspect}");
        }
        let mut request = shell("id; grep Cap /proc/self/status");
        request.config.user = "web".into();
        let output = world.run(request).await;
        assert!(output.contains("uid=33(web) gid=34(www) groups=10(wheel),34(www)"), "{output}");
        assert!(output.contains("CapEff:\t0000000000000000\n"), "{output}");
        assert!(output.contains("CapBnd:\t00000000a80425fb\n"), "{output}");
        let mut request = shell("true");
        request.config.user = "nobodyhere".into();
        let created = world.containers.create(None, None, request).await.unwrap();
        let error = world.containers.start(&created.id).await.unwrap_err();
        assert_eq!(error.to_string(), "unable to find user nobodyhere: no matching entries in passwd file");
        world.remove_all().await;
        world.nothing_left();
    });
}

#[test]
fn bad_commands_have_dockers_codes() {
    in_namespaces("bad_commands_have_dockers_codes", async |world: &World| {
        let c = &world.containers;
        for (command, code, text) in [
            ("nope", 127, "executable file not found in $PATH"),
            ("/nope", 127, "no such file or directory"),
            ("/etc/passwd", 126, "permission denied"),
            ("/etc", 126, "is a directory"),
        ] {
            let mut request = shell("");
            request.config.cmd = words(&[command]);
            let id = c.create(None, None, request).await.unwrap().id;
            let error = c.start(&id).await.unwrap_err();
            assert!(error.to_string().contains(text), "{command}: {error}");
            assert_eq!(error.kind(), Kind::InvalidParameter, "{error}");
            let state = c.inspect(&id, false).await.unwrap().state;
            assert_eq!((state.exit_code, state.status.as_str()), (code, "created"), "{command}");
        }
        world.remove_all().await;
        world.nothing_left();
    });
}

#[test]
fn stopping_pausing_killing() {
    in_namespaces("stopping_pausing_killing", async |world: &World| {
        let c = &world.containers;
        let trap = "trap 'exit 7' TERM; while :; do sleep 0.02; done";
        let id = world.start("xx", shell(trap)).await;
        assert_eq!(c.start("xx").await.unwrap_err().kind(), Kind::NotModified);
        c.pause("xx").await.unwrap();
        assert!(c.list(ListOptions::default()).await.unwrap()[0].status.ends_with("(Paused)"));
        let error = c.remove("xx", RemoveOptions::default()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot remove container \"/xx\": container is paused and must be unpaused first"
        );
        c.unpause("xx").await.unwrap();
        let stats = c.stats("xx", true).await.unwrap();
        assert!(stats.memory_stats.usage > 0 && stats.networks.unwrap().contains_key("eth0"));
        let top = c.top("xx", "").await.unwrap();
        assert!(top.processes.iter().any(|row| row[7].contains("trap")), "{top:?}");
        c.stop("xx", None, Some(5)).await.unwrap();
        assert_eq!(c.inspect("xx", false).await.unwrap().state.exit_code, 7);
        c.restart("xx", None, None).await.unwrap();
        let error = c.remove(&id, RemoveOptions::default()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot remove container \"/xx\": container is running: stop the container before removing or force remove"
        );
        c.rename("xx", "yy").await.unwrap();
        c.kill("yy", None).await.unwrap();
        assert_eq!(c.inspect("yy", false).await.unwrap().state.exit_code, 137);
        let error = c.kill("yy", None).await.unwrap_err();
        assert_eq!(error.to_string(), format!("cannot kill container: yy: container {id} is not running"));
        c.start("yy").await.unwrap();
        c.remove("yy", RemoveOptions { force: true, ..Default::default() }).await.unwrap();
        world.nothing_left();
    });
}

#[test]
fn restart_policies_and_auto_remove() {
    in_namespaces("restart_policies_and_auto_remove", async |world: &World| {
        let c = &world.containers;
        let mut request = shell("exit 4");
        request.host_config.restart_policy =
            RestartPolicy { name: "on-failure".into(), maximum_retry_count: 2 };
        let id = world.start("rr", request).await;
        let answer = c.wait("rr", WaitCondition::NotRunning).await.unwrap().finish().await;
        assert_eq!(answer.status_code, 4);
        let inspected = c.inspect(&id, false).await.unwrap();
        assert_eq!((inspected.restart_count, inspected.state.status.as_str()), (2, "exited"));

        let mut request = shell("exit 5");
        request.host_config.auto_remove = true;
        request.config.volumes = Some(set_of(["/data".to_owned()]));
        c.create(Some("gone"), None, request).await.unwrap();
        assert_eq!(world.volumes.list(&Filters::new()).unwrap().len(), 1);
        let wait = c.wait("gone", WaitCondition::Removed).await.unwrap();
        c.start("gone").await.unwrap();
        assert_eq!(wait.finish().await.status_code, 5);
        assert_eq!(c.inspect("gone", false).await.unwrap_err().kind(), Kind::NotFound);
        assert_eq!(world.volumes.list(&Filters::new()).unwrap().len(), 0);
        world.remove_all().await;
        world.nothing_left();
    });
}

#[test]
fn exec_and_terminals() {
    in_namespaces("exec_and_terminals", async |world: &World| {
        let c = &world.containers;
        world.start("ee", shell("while :; do sleep 0.02; done")).await;
        let request = ExecCreateRequest {
            cmd: words(&["sh", "-c", "cat; echo $X $HOME; id -u; pwd; exit 9"]),
            attach_stdin: true,
            attach_stdout: true,
            attach_stderr: true,
            env: words(&["X=1"]),
            user: "web".into(),
            working_dir: "/tmp".into(),
            ..Default::default()
        };
        let exec = c.exec_create("ee", request).await.unwrap().id;
        let attached = c.exec_attach_start(&exec, ExecStartRequest::default()).await.unwrap().unwrap();
        let mut stream = attached.stream.unwrap();
        stream.write_all(b"in\n").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut output = Vec::new();
        stream.read_to_end(&mut output).await.unwrap();
        let text = String::from_utf8_lossy(&output);
        for expected in ["in\n", "1 /srv\n", "33\n", "/tmp\n"] {
            assert!(text.contains(expected), "{expected:?} in {text:?}");
        }
        let inspected = world.exec_ended(&exec).await;
        assert_eq!((inspected.running, inspected.exit_code), (false, Some(9)));

        let bad = ExecCreateRequest { cmd: words(&["nope"]), attach_stdout: true, ..Default::default() };
        let exec = c.exec_create("ee", bad).await.unwrap().id;
        let error = c.exec_attach_start(&exec, ExecStartRequest::default()).await.unwrap_err();
        assert!(error.to_string().contains("executable file not found in $PATH"), "{error}");
        assert_eq!(c.exec_inspect(&exec).await.unwrap().exit_code, Some(127));

        let mut request = shell("stty size; cat");
        request.config.tty = true;
        request.config.open_stdin = true;
        request.host_config.console_size = [33, 77];
        c.create(Some("tt"), None, request).await.unwrap();
        let options =
            AttachOptions { stdin: true, stdout: true, stderr: true, stream: true, ..Default::default() };
        let attached = c.attach("tt", options).await.unwrap();
        assert!(attached.tty);
        let (mut reader, mut writer) = attached.stream.unwrap().into_split();
        c.start("tt").await.unwrap();
        writer.write_all(b"hello\n\x04").await.unwrap();
        let mut output = Vec::new();
        reader.read_to_end(&mut output).await.unwrap();
        let text = String::from_utf8_lossy(&output);
        assert!(text.contains("33 77\r\n") && text.matches("hello\r\n").count() == 2, "{text:?}");
        world.remove_all().await;
        world.nothing_left();
    });
}

#[test]
fn files_in_and_out() {
    in_namespaces("files_in_and_out", async |world: &World| {
        let c = &world.containers;
        let mut request = shell("echo new > /etc/new; rm /etc/group; while :; do sleep 0.02; done");
        request.host_config.binds = words(&["vol:/tmp/vol"]);
        world.start("ff", request).await;
        for _ in 0..500 {
            if c.archive_stat("ff", "/etc/new").await.is_ok()
                && c.archive_stat("ff", "/etc/group").await.is_err()
            {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let changes = c.changes("ff").await.unwrap();
        let kinds: Vec<(&str, u8)> =
            changes.iter().map(|change| (change.path.as_str(), change.kind)).collect();
        assert!(kinds.contains(&("/etc/new", 1)) && kinds.contains(&("/etc/group", 2)), "{kinds:?}");
        let put = |path: &'static str| {
            let mut archive = tar::Builder::new(Vec::new());
            let mut header = tar::Header::new_ustar();
            header.set_size(2);
            header.set_mode(0o640);
            archive.append_data(&mut header, "up", &b"hi"[..]).unwrap();
            let bytes = archive.into_inner().unwrap();
            c.archive_put("ff", path, false, false, std::io::Cursor::new(bytes))
        };
        put("/tmp").await.unwrap();
        for running in [true, false] {
            if !running {
                c.stop("ff", Some("KILL"), None).await.unwrap();
                // Into the volume, though nothing runs.
                put("/tmp/vol").await.unwrap();
                assert_eq!(
                    std::fs::read(world.volumes.mountpoint("vol").unwrap().join("up")).unwrap(),
                    b"hi"
                );
            }
            let (stat, mut pieces) = c.archive_get("ff", "/tmp/up").await.unwrap();
            assert_eq!((stat.name.as_str(), stat.size, stat.mode), ("up", 2, 0o640));
            let mut bytes = Vec::new();
            while let Some(piece) = pieces.recv().await {
                bytes.extend_from_slice(&piece.unwrap());
            }
            let mut archive = tar::Archive::new(bytes.as_slice());
            let names: Vec<_> =
                archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned()).collect();
            assert_eq!(names, [std::path::Path::new("up")]);
        }
        let error = c.archive_stat("ff", "/nowhere").await.unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
        assert!(error.to_string().starts_with("Could not find the file /nowhere in container"));
        let mut pieces = c.export("ff").await.unwrap();
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.recv().await {
            bytes.extend_from_slice(&piece.unwrap());
        }
        let mut archive = hull_archive::Archive::new(bytes.as_slice());
        let mut names = Vec::new();
        while let Some(entry) = archive.next_entry().unwrap() {
            names.push(String::from_utf8(entry.name).unwrap());
        }
        let holds = |name: &str| names.iter().any(|path| path == name);
        assert!(
            holds("etc/new") && holds("tmp/up") && !holds("etc/group") && !holds("tmp/vol/up"),
            "{names:?}"
        );
        world.remove_all().await;
        world.volumes.remove("vol", false).unwrap();
        world.nothing_left();
    });
}

#[test]
fn volumes_mounts_and_limits() {
    in_namespaces("volumes_mounts_and_limits", async |world: &World| {
        let c = &world.containers;
        let mut request = shell(
            "cat /srv/image; touch /ro/x 2>&1; echo a > /rw/file; mount | grep ' /t '; cat /proc/1/limits | grep 'open files'; pwd",
        );
        let host = world.root.join("host");
        request.config.working_dir = "/not/there".into();
        request.host_config.binds = Some(vec![
            format!("{}/ro:/ro:ro", host.display()),
            format!("{}/rw:/rw", host.display()),
            "named:/srv".into(),
        ]);
        request.host_config.tmpfs = Some([("/t".to_owned(), "size=1m".to_owned())].into());
        request.host_config.resources.memory = 32 << 20;
        request.host_config.resources.pids_limit = Some(50);
        request.host_config.resources.ulimits =
            Some(vec![Ulimit { name: "nofile".into(), soft: 77, hard: 99 }]);
        let output = world.run(request).await;
        for expected in ["from image\n", "Read-only file system", "size=1024k", "77 ", "/not/there\n"] {
            assert!(output.contains(expected), "{expected:?} in {output}");
        }
        assert_eq!(std::fs::read(host.join("rw/file")).unwrap(), b"a\n");
        let mut request = shell("true");
        request.host_config.mounts = Some(vec![Mount {
            kind: "bind".into(),
            source: "/nope/nope".into(),
            target: "/x".into(),
            ..Default::default()
        }]);
        let error = c.create(None, None, request).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid mount config for type \"bind\": bind source path does not exist: /nope/nope"
        );
        world.remove_all().await;
        assert!(world.volumes.users("named").is_empty());
        world.volumes.remove("named", false).unwrap();
        world.nothing_left();
    });
}

#[test]
fn a_new_daemon_adopts() {
    in_namespaces("a_new_daemon_adopts", async |world: &World| {
        let c = &world.containers;
        let id = world.start("stays", shell("trap 'exit 6' TERM; while :; do sleep 0.02; done")).await;
        let mut request = shell("sleep 0.3; exit 8");
        request.host_config.auto_remove = true;
        world.start("leaves", request).await;
        let mut request = shell("sleep 0.3; exit 1");
        request.host_config.restart_policy.name = "always".into();
        world.start("returns", request).await;
        let before = c.inspect("stays", false).await.unwrap();
        c.shutdown().await;
        tokio::time::sleep(Duration::from_millis(700)).await;

        let next = world.reopened().await;
        let after = next.containers.inspect("stays", false).await.unwrap();
        assert_eq!((after.state.pid, after.state.running), (before.state.pid, true));
        assert_eq!(after.network_settings.ip_address, before.network_settings.ip_address);
        for _ in 0..500 {
            let gone = next.containers.inspect("leaves", false).await.is_err();
            if gone && next.containers.inspect("returns", false).await.unwrap().state.pid > 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(next.containers.inspect("leaves", false).await.unwrap_err().kind(), Kind::NotFound);
        assert!(next.containers.inspect("returns", false).await.unwrap().state.running);
        next.containers.stop(&id, None, Some(5)).await.unwrap();
        assert_eq!(next.containers.inspect(&id, false).await.unwrap().state.exit_code, 6);
        next.remove_all().await;
        next.nothing_left();
    });
}

#[test]
fn namespaces_are_shared() {
    in_namespaces("namespaces_are_shared", async |world: &World| {
        let c = &world.containers;
        let mut request = shell("echo shared > /dev/shm/x; while :; do sleep 0.02; done");
        request.host_config.ipc_mode = "shareable".into();
        request.host_config.init = Some(world::runtime_is_static());
        world.start("donor", request).await;
        world.until(async || c.archive_stat("donor", "/dev/shm/x").await.is_ok()).await;
        let address = c.inspect("donor", false).await.unwrap().network_settings.ip_address;
        assert!(address.starts_with("172.17."), "{address:?}");
        let mut request = shell("ip -o addr show dev eth0; ps; cat /dev/shm/x; hostname");
        request.host_config.network_mode = "container:donor".into();
        request.host_config.pid_mode = "container:donor".into();
        request.host_config.ipc_mode = "container:donor".into();
        let output = world.run(request).await;
        let first = if world::runtime_is_static() { "docker-init" } else { "sleep 0.02; done" };
        for expected in [address.as_str(), first, "shared\n"] {
            assert!(output.contains(expected), "{expected:?} in {output}");
        }
        let mut request = shell(
            "grep CapBnd /proc/self/status; ls /dev/null /dev/kmsg; cat /proc/sys/kernel/hostname; ip -o link",
        );
        request.host_config.privileged = true;
        request.host_config.network_mode = "host".into();
        let output = world.run(request).await;
        assert!(output.contains("hull0") && !output.contains("a80425fb"), "{output}");
        c.stop("donor", None, Some(0)).await.unwrap();
        let mut request = shell("true");
        request.host_config.network_mode = "container:donor".into();
        let id = c.create(None, None, request).await.unwrap().id;
        let error = c.start(&id).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict, "{error}");
        world.remove_all().await;
        world.nothing_left();
    });
}

#[test]
fn networks_are_joined_and_left() {
    in_namespaces("networks_are_joined_and_left", async |world: &World| {
        let c = &world.containers;
        let network =
            NetworkCreateRequest { name: "other".into(), driver: "bridge".into(), ..Default::default() };
        world.networks.create(&network).unwrap();
        let join =
            |container: &str| NetworkConnectRequest { container: container.into(), endpoint_config: None };
        let request = shell("while :; do sleep 0.02; done");
        c.create(Some("nn"), None, request).await.unwrap();
        c.network_connect("other", join("nn")).await.unwrap();
        c.start("nn").await.unwrap();
        let networks = c.inspect("nn", false).await.unwrap().network_settings.networks;
        assert!(networks.values().all(|endpoint| !endpoint.ip_address.is_empty()), "{networks:?}");
        assert_eq!(networks.keys().collect::<Vec<_>>(), ["bridge", "other"]);
        let leave = NetworkDisconnectRequest { container: "nn".into(), force: false };
        c.network_disconnect("bridge", leave).await.unwrap();
        let networks = c.inspect("nn", false).await.unwrap().network_settings.networks;
        assert_eq!(networks.keys().collect::<Vec<_>>(), ["other"]);
        c.network_connect("bridge", join("nn")).await.unwrap();
        let filters = Filters::from([("network".to_owned(), vec!["bridge".to_owned()])]);
        let listed = c.list(ListOptions { filters, ..Default::default() }).await.unwrap();
        assert_eq!(listed.len(), 1);
        let filters = Filters::from([("nope".to_owned(), vec![String::new()])]);
        let error = c.list(ListOptions { filters, ..Default::default() }).await.unwrap_err();
        assert_eq!(error.to_string(), "invalid filter 'nope'");
        world.remove_all().await;
        world.networks.remove("other").unwrap();
        world.nothing_left();
    });
}

#[test]
fn a_killed_shim_leaves_nothing() {
    in_namespaces("a_killed_shim_leaves_nothing", async |world: &World| {
        let c = &world.containers;
        world.start("lost", shell("while :; do sleep 0.02; done")).await;
        let pid = c.inspect("lost", false).await.unwrap().state.pid;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let shim = stat.rsplit(')').next().unwrap().split_whitespace().nth(1).unwrap().parse().unwrap();
        let wait = c.wait("lost", WaitCondition::NextExit).await.unwrap();
        hull_sys::process::kill(shim, 9).unwrap();
        let answer = wait.finish().await;
        assert_eq!(answer.status_code, 255);
        assert!(answer.error.unwrap().message.contains("shim was killed"));
        c.start("lost").await.unwrap();
        world.remove_all().await;
        world.nothing_left();
    });
}

#[test]
fn many_at_once() {
    in_namespaces("many_at_once", async |world: &World| {
        let c = &world.containers;
        let runs = (0..40).map(|number| async move {
            let mut request = shell(&format!("exit {number}"));
            request.host_config.auto_remove = true;
            let id = c.create(None, None, request).await.unwrap().id;
            let wait = c.wait(&id, WaitCondition::Removed).await.unwrap();
            c.start(&id).await.unwrap();
            assert_eq!(wait.finish().await.status_code, number);
        });
        futures::future::join_all(runs).await;
        world.nothing_left();
    });
}

#[test]
fn health_is_checked() {
    in_namespaces("health_is_checked", async |world: &World| {
        let c = &world.containers;
        let mut request = shell("while :; do sleep 0.02; done");
        request.config.healthcheck = Some(HealthConfig {
            test: words(&["CMD-SHELL", "echo well; test ! -e /ill"]),
            interval: 50_000_000,
            retries: 2,
            ..Default::default()
        });
        world.start("hh", request).await;
        world.until(async || health(c).await.status == "healthy").await;
        assert_eq!(health(c).await.log.unwrap()[0].output, "well\n");
        let ill = ExecCreateRequest { cmd: words(&["touch", "/ill"]), ..Default::default() };
        let exec = c.exec_create("hh", ill).await.unwrap().id;
        c.exec_attach_start(&exec, ExecStartRequest { detach: true, ..Default::default() }).await.unwrap();
        world.until(async || health(c).await.status == "unhealthy").await;
        assert!(c.list(ListOptions::default()).await.unwrap()[0].status.ends_with("(unhealthy)"));
        world.remove_all().await;
        world.nothing_left();
    });
}

async fn health(containers: &Containers) -> Health {
    containers.inspect("hh", false).await.unwrap().state.health.unwrap()
}

/// Not a test: how long a run takes. `cargo test -p hull-container --test engine speed -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn speed() {
    in_namespaces("speed", async |world: &World| {
        let c = &world.containers;
        for mode in ["bridge", "host"] {
            let mut times = [Duration::ZERO; 4];
            const ROUNDS: u32 = 30;
            for _ in 0..ROUNDS {
                let mut request = shell("");
                request.config.cmd = words(&["true"]);
                request.host_config.network_mode = mode.into();
                let begin = Instant::now();
                let id = c.create(None, None, request).await.unwrap().id;
                let created = Instant::now();
                let wait = c.wait(&id, WaitCondition::NextExit).await.unwrap();
                c.start(&id).await.unwrap();
                let started = Instant::now();
                wait.finish().await;
                let ended = Instant::now();
                c.remove(&id, RemoveOptions::default()).await.unwrap();
                let steps = [created - begin, started - created, ended - started, ended.elapsed()];
                times.iter_mut().zip(steps).for_each(|(sum, step)| *sum += step);
            }
            eprintln!(
                "{mode}: create {:?} start {:?} exit {:?} remove {:?}",
                times[0] / ROUNDS,
                times[1] / ROUNDS,
                times[2] / ROUNDS,
                times[3] / ROUNDS
            );
        }
    });
}
