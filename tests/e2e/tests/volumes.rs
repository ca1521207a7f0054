//! Volumes and mounts through both clients, or through Hull's where the stock one has no word for it.

use hull_e2e::{Client, World, eventually, with_each_client};

#[test]
fn volumes_are_shared_and_in_parts() {
    with_each_client(|world, client| {
        let run = |words: &[&str]| world.client(client, words).ok();
        // A file system in memory that two containers have at once.
        run(&["volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m,uid=7", "mem"]);
        run(&["run", "-d", "--name", "one", "-v", "mem:/m", "busybox", "sleep", "1000"]);
        run(&["run", "-d", "--name", "two", "-v", "mem:/m:ro", "busybox", "sleep", "1000"]);
        run(&["exec", "one", "sh", "-c", "mkdir /m/part; echo seen >/m/part/file"]);
        assert_eq!(run(&["exec", "two", "cat", "/m/part/file"]), "seen");
        assert_ne!(world.client(client, &["exec", "two", "touch", "/m/new"]).code, 0, "read-only");
        assert_eq!(run(&["exec", "two", "stat", "-c", "%u", "/m"]), "7");
        let part = [
            "run",
            "--rm",
            "--mount",
            "type=volume,src=mem,dst=/p,volume-subpath=part",
            "busybox",
            "cat",
            "/p/file",
        ];
        assert_eq!(run(&part), "seen");
        run(&["rm", "-f", "one", "two"]);
        assert_eq!(
            run(&["run", "--rm", "-v", "mem:/m", "busybox", "ls", "/m"]),
            "",
            "gone with the last of them"
        );
        // What can't be mounted is told in Docker's words.
        run(&["volume", "create", "-o", "type=none", "-o", "device=/does/not/exist", "-o", "o=bind", "bad"]);
        let refused = world.client(client, &["run", "--rm", "-v", "bad:/m", "busybox", "true"]);
        assert!(
            refused.stderr.contains("error while mounting volume")
                && refused.stderr.contains("failed to mount local volume: mount /does/not/exist"),
            "{}",
            refused.stderr
        );
        run(&["volume", "rm", "mem", "bad"]);
        // An image's files, read-only, whole and in part.
        let image = |options: &str, path: &str| {
            let mount = format!("type=image,src=python,dst=/i{options}");
            world.client(
                client,
                &[
                    "run",
                    "--rm",
                    "--mount",
                    &mount,
                    "busybox",
                    "sh",
                    "-c",
                    &format!("ls {path} && ! touch /i/x"),
                ],
            )
        };
        run(&["pull", "-q", "python"]);
        assert!(image("", "/i/usr").ok().contains("lib"));
        assert!(image(",image-subpath=usr", "/i").ok().contains("lib"));
    });
}

#[test]
fn mounts_below_a_read_only_one_are_read_only_unless_asked() {
    with_each_client(|world, client| {
        let folder = world.directory().join("host");
        std::fs::create_dir_all(folder.join("below")).unwrap();
        let folder = folder.display();
        world.sh(&format!("mountpoint -q {folder}/below || mount -t tmpfs none {folder}/below")).ok();
        let writes = |mount: &str| {
            let words = [
                "run",
                "--rm",
                "--mount",
                mount,
                "busybox",
                "sh",
                "-c",
                "touch /d/x; touch /d/below/x; ls /d/below",
            ];
            let output = world.client(client, &words);
            world.sh(&format!("rm -f {folder}/x {folder}/below/x")).ok();
            (output.stderr.matches("Read-only").count(), output.stdout.trim().to_owned())
        };
        assert_eq!(writes(&format!("type=bind,src={folder},dst=/d,readonly")), (2, String::new()));
        assert_eq!(
            writes(&format!(
                "type=bind,src={folder},dst=/d,readonly,bind-recursive=readonly,bind-propagation=rprivate"
            )),
            (2, String::new())
        );
        assert_eq!(
            writes(&format!("type=bind,src={folder},dst=/d,readonly,bind-recursive=writable")),
            (1, "x".into())
        );
        let hidden = world.client(
            client,
            &[
                "run",
                "--rm",
                "--mount",
                &format!("type=bind,src={folder},dst=/d,bind-recursive=disabled"),
                "busybox",
                "sh",
                "-c",
                "stat -f -c %T /d/below",
            ],
        );
        assert_ne!(hidden.ok(), "tmpfs");
        world.sh(&format!("umount {folder}/below")).ok();
    });
}

#[test]
fn a_containers_user_writes_into_a_persons_directory() {
    let world = World::start();
    let home = world.directory().join("home");
    std::fs::create_dir(&home).unwrap();
    std::fs::write(home.join("mine"), "x").unwrap();
    world.sh(&format!("chown -R 4711:4712 {}", home.display())).ok();
    let owners = |user: &str, map: &str| {
        let mount = format!("type=bind,src={},dst=/h,{map}", home.display());
        let line = "stat -c %u:%g /h /h/mine && echo y >/h/made && cat /h/mine";
        let output =
            world.hull(&["run", "--rm", "-u", user, "--mount", &mount, "busybox", "sh", "-c", line]).ok();
        let made = world.sh(&format!("stat -c %u:%g {0}/made; rm {0}/made", home.display())).ok();
        (output.lines().take(2).map(str::to_owned).collect::<Vec<_>>().join(" "), made)
    };
    assert_eq!(owners("33:34", "idmap"), ("33:34 33:34".into(), "4711:4712".into()));
    assert_eq!(owners("0:0", "idmap=uids=4711-0-1;gids=4712-0-1"), ("0:0 0:0".into(), "4711:4712".into()));
    world.sh(&format!("chgrp -R 4711 {}", home.display())).ok();
    assert_eq!(owners("0:0", "idmap=4711:0"), ("0:0 0:0".into(), "4711:4711".into()));
    let refused = world.hull(&[
        "run",
        "--rm",
        "--mount",
        &format!("type=bind,src={},dst=/h,idmap=x", home.display()),
        "busybox",
        "true",
    ]);
    assert!(refused.code == 125 && refused.stderr.contains("invalid idmap"), "{}", refused.stderr);
    world.stop();
}

#[test]
fn volumes_are_exported_imported_cloned_and_renamed() {
    let world = World::start();
    let hull = |words: &[&str]| world.hull(words).ok();
    // A running container's volume, filled by the image: owner and mode travel too.
    hull(&["run", "-d", "--name", "db", "-v", "store:/data", "redis"]);
    hull(&["exec", "db", "sh", "-c", "echo kept >/data/file"]);
    let file = world.directory().join("store.tar.zst");
    hull(&["volume", "export", "--zstd", "-o", file.to_str().unwrap(), "store"]);
    assert!(std::fs::read(&file).unwrap().starts_with(&[0x28, 0xb5, 0x2f, 0xfd]), "zstd");
    assert_eq!(hull(&["volume", "import", "copy", file.to_str().unwrap()]), "copy");
    let look = |volume: &str| {
        hull(&[
            "run",
            "--rm",
            "-v",
            &format!("{volume}:/d"),
            "busybox",
            "sh",
            "-c",
            "stat -c %u:%g:%a /d; cat /d/file",
        ])
    };
    let expected = look("store");
    assert!(expected.ends_with("kept") && !expected.starts_with("0:0"), "{expected}");
    assert_eq!(look("copy"), expected);
    assert_eq!(hull(&["volume", "clone", "store", "twin"]), "twin");
    assert_eq!(look("twin"), expected);
    let busy = world.hull(&["volume", "rename", "store", "other"]);
    assert!(busy.code == 1 && busy.stderr.contains("volume is in use"), "{}", busy.stderr);
    hull(&["rm", "-f", "db"]);
    assert_eq!(hull(&["volume", "rename", "store", "other"]), "other");
    assert_eq!(look("other"), expected);
    assert_eq!(hull(&["volume", "ls", "-q"]), "copy\nother\ntwin");
    let program = world.program(Client::Hull);
    let line = format!(
        "{0} -H unix://{1} volume export other | {0} -H unix://{1} volume import piped -",
        program.display(),
        world.socket().display()
    );
    assert_eq!(world.sh(&line).ok(), "piped");
    assert_eq!(look("piped"), expected);
    // The stock client's update of a cluster volume has Docker's answer.
    let update = world.sh(&format!(
        "curl -s -X PUT --unix-socket {} 'http://x/v1.47/volumes/other?version=1' -H 'Content-Type: application/json' -d '{{}}'",
        world.socket().display()
    ));
    assert!(update.stdout.contains("volume update only valid for cluster volumes, but swarm is unavailable"));
    world.stop();
}

/// A database that writes before it answers: its volume survives kills of it and of the daemon, is exported while it is
/// written, and starts elsewhere.
#[test]
fn a_database_survives_with_its_volume() {
    let world = World::start();
    let hull = |words: &[&str]| world.hull(words).ok();
    let start = |name: &str, volume: &str| {
        let volume = format!("{volume}:/data");
        hull(&[
            "run",
            "-d",
            "--name",
            name,
            "-v",
            &volume,
            "redis",
            "redis-server",
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
            "--dir",
            "/data",
        ]);
    };
    let ask = |name: &str, words: &[&str]| world.hull(&[&["exec", name, "redis-cli"], words].concat());
    let answers = |name: &str| {
        eventually("redis answers", 60, || (ask(name, &["ping"]).stdout == "PONG\n").then_some(()));
    };
    start("db", "store");
    answers("db");
    assert_eq!(ask("db", &["set", "first", "1"]).ok(), "OK");
    hull(&["kill", "-s", "KILL", "db"]);
    hull(&["start", "db"]);
    answers("db");
    assert_eq!(ask("db", &["get", "first"]).ok(), "1");
    world.kill_daemon();
    world.start_daemon();
    assert_eq!(ask("db", &["set", "second", "2"]).ok(), "OK");
    // It goes on writing while its files are read.
    hull(&["exec", "-d", "db", "sh", "-c", "while redis-cli incr number; do :; done"]);
    eventually("it is written", 60, || (ask("db", &["get", "number"]).stdout.trim() != "").then_some(()));
    let file = world.directory().join("store.tar");
    hull(&["volume", "export", "-o", file.to_str().unwrap(), "store"]);
    hull(&["volume", "import", "elsewhere", file.to_str().unwrap()]);
    start("other", "elsewhere");
    answers("other");
    assert_eq!(ask("other", &["mget", "first", "second"]).ok(), "1\n2");
    world.stop();
}

/// Another runtime takes a path where Hull's own takes a descriptor: what is bound must be what was resolved, though
/// whoever has the volume too exchanges it with a link to the host meanwhile.
#[test]
fn race_cve_2021_25741_a_part_of_a_volume_for_another_runtime() {
    let world = World::with_flags(&[
        "--registry-mirror",
        "http://127.0.0.1:5000",
        "--add-runtime",
        "runc=/usr/sbin/runc",
    ]);
    let canary = world.directory().join("canary");
    std::fs::create_dir(&canary).unwrap();
    std::fs::write(canary.join("file"), "of the host").unwrap();
    world
        .hull(&["run", "--rm", "-v", "vol:/v", "busybox", "sh", "-c", "mkdir /v/part; echo in >/v/part/file"])
        .ok();
    let volume = world.data_root().join("volumes/vol/_data");
    let run = |mount: &str, line: &str| {
        world.hull(&["run", "--rm", "--runtime", "runc", "--mount", mount, "busybox", "sh", "-c", line])
    };
    let part = "type=volume,src=vol,dst=/m,volume-subpath=part";
    assert_eq!(run(part, "cat /m/file").ok(), "in");
    // A file, too, and an image and a part of it.
    assert_eq!(run("type=volume,src=vol,dst=/m/file,volume-subpath=part/file", "cat /m/file").ok(), "in");
    world.hull(&["pull", "-q", "python"]).ok();
    run("type=image,src=python,dst=/m", "test -d /m/usr/lib && ! touch /m/x").ok();
    run("type=image,src=python,dst=/m,image-subpath=usr", "test -d /m/lib && ! touch /m/x").ok();
    std::os::unix::fs::symlink(&canary, volume.join("link")).unwrap();
    let ended = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                let [part, link] = ["part", "link"].map(|name| volume.join(name));
                let exchange = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(rustix::fs::CWD, part, rustix::fs::CWD, link, exchange).unwrap();
            }
        });
        let results: Vec<_> = (0..6).map(|_| run(part, "cat /m/file")).collect();
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
        for output in results {
            // Within the volume the link leads nowhere.
            assert!(output.code != 0 || output.stdout == "in\n", "{output:?}");
        }
    });
    world.stop();
}

#[test]
fn an_anonymous_volume_goes_with_the_last_that_has_it() {
    with_each_client(|world, client| {
        let run = |words: &[&str]| world.client(client, words).ok();
        let anonymous = || run(&["volume", "ls", "-q"]);
        for _ in 0..3 {
            run(&["create", "--name", "first", "-v", "/data", "-v", "kept:/kept", "busybox"]);
            run(&["create", "--name", "second", "--volumes-from", "first", "busybox"]);
            run(&["create", "--name", "third", "--volumes-from", "second:ro", "busybox"]);
            let removals = ["first", "second", "third"].map(|name| {
                world.client_command(client, &["rm", "-v", name]).spawn().expect("the client starts")
            });
            for mut removal in removals {
                assert!(removal.wait().unwrap().success());
            }
            assert_eq!(anonymous(), "kept");
        }
        // Without -v it stays, as does what somebody named.
        run(&["create", "--name", "first", "-v", "/data", "busybox"]);
        run(&["create", "--name", "second", "--volumes-from", "first", "busybox"]);
        run(&["rm", "-v", "first"]);
        run(&["rm", "second"]);
        assert_eq!(anonymous().lines().count(), 2);
        run(&["volume", "prune", "-f"]);
        assert_eq!(anonymous(), "kept");
    });
}

/// Subpaths were followed out of volumes (CVE-2021-25741 and its kind): links inside lead nowhere but inside.
#[test]
fn cve_2018_15664_subpaths_stay_in_the_volume() {
    let world = World::start();
    world.hull(&["run", "--rm", "-v", "vol:/v", "busybox", "sh", "-c", "ln -s / /v/root; ln -s /etc /v/etc; ln -s ../../.. /v/up; mkdir /v/real; ln -s real /v/alias; echo in >/v/real/file"]).ok();
    let subpath = |path: &str, line: &str| {
        let mount = format!("type=volume,src=vol,dst=/m,volume-subpath={path}");
        world.hull(&["run", "--rm", "--mount", &mount, "busybox", "sh", "-c", line])
    };
    assert_eq!(subpath("alias", "cat /m/file").ok(), "in");
    for path in ["root", "up"] {
        assert_eq!(
            subpath(path, "ls /m").ok(),
            "alias\netc\nreal\nroot\nup",
            "{path}: the volume's own root"
        );
    }
    let refused = subpath("etc", "true");
    assert!(refused.code != 0 && refused.stderr.contains("subpath"), "{}", refused.stderr);
    for path in ["../x", "/etc"] {
        assert!(
            subpath(path, "true").stderr.contains("subpath must be a relative path within the volume"),
            "{path}"
        );
    }
    // CVE-2014-9356, CVE-2022-23648: nor do an image's volumes, whose content is copied.
    world.stop();
}
