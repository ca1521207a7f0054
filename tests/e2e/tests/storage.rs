//! The storage drivers, end to end: what is theirs alone, and that the one that is not the default does all work too.

use hull_e2e::{Client, World};

const MIRROR: [&str; 2] = ["--registry-mirror", "http://127.0.0.1:5000"];

fn pid(world: &World, name: &str) -> String {
    world.hull(&["inspect", "-f", "{{.State.Pid}}", name]).ok()
}

/// The number of detached mounts that a process holds: their roots have no other name.
fn mounts_held(world: &World, process: &str) -> usize {
    let links = world.sh(&format!("for fd in /proc/{process}/fd/*; do readlink $fd; done")).stdout;
    assert!(!links.is_empty(), "process {process} has no descriptors");
    links.lines().filter(|link| *link == "/").count()
}

#[test]
fn containers_of_an_image_share_what_is_cached_of_it() {
    let world = World::start();
    assert_eq!(world.hull(&["info", "-f", "{{.Driver}}"]).ok(), "erofs");
    let make = "dd if=/dev/urandom of=/large bs=1M count=16";
    world.hull(&["run", "--name", "maker", "busybox", "sh", "-c", make]).ok();
    world.hull(&["commit", "maker", "large"]).ok();
    for name in ["reader", "other"] {
        world.hull(&["run", "-d", "--name", name, "large", "sleep", "600"]).ok();
    }
    let cached = |name: &str| {
        let path = format!("/proc/{}/root/large", pid(&world, name));
        world.sh(&format!("fincore -b -n -o RES {path}")).ok().trim().parse::<u64>().unwrap()
    };
    assert_eq!(cached("other"), 0);
    world.hull(&["exec", "reader", "md5sum", "/large"]).ok();
    assert_eq!((cached("reader"), cached("other")), (16 << 20, 16 << 20));
    // A mount of the image has them too.
    let mount = "type=image,src=large,dst=/mnt";
    world.hull(&["run", "-d", "--name", "mounts", "--mount", mount, "busybox", "sleep", "600"]).ok();
    let path = format!("/proc/{}/root/mnt/large", pid(&world, "mounts"));
    assert_eq!(world.sh(&format!("fincore -b -n -o RES {path}")).ok().trim(), (16 << 20).to_string());
    // The mounts are the daemon's alone: neither container nor shim keeps one.
    for name in ["reader", "mounts"] {
        let pid = pid(&world, name);
        assert_eq!(world.sh(&format!("ls /proc/{pid}/fd")).ok().lines().count(), 3, "of {name}");
        let shim = world.sh(&format!("ps -o ppid= -p {pid}")).ok();
        assert_eq!(mounts_held(&world, shim.trim()), 0, "of {name}'s shim");
    }
    world.hull(&["rm", "-f", "maker", "reader", "other", "mounts"]).ok();
    world.stop();
}

#[test]
fn the_daemon_holds_one_mount_for_each_layer_however_many_run() {
    let world = World::start();
    let daemon = world.daemon_pid().to_string();
    world.hull(&["pull", "busybox"]).ok();
    assert_eq!(mounts_held(&world, &daemon), 0, "nothing is mounted before it is used");
    let image = &["image", "inspect", "-f", "{{len .RootFS.Layers}}", "busybox"];
    let layers: usize = world.hull(image).ok().parse().unwrap();
    for _ in 0..10 {
        world.hull(&["run", "--rm", "-w", "/made", "busybox", "true"]).ok();
        assert_eq!(mounts_held(&world, &daemon), layers);
    }
    // A later daemon makes its own; who runs keeps what it has.
    world.hull(&["run", "-d", "--name", "stays", "busybox", "sleep", "600"]).ok();
    world.kill_daemon();
    world.start_daemon();
    assert_eq!(world.hull(&["exec", "stays", "cat", "/etc/hostname"]).ok().len(), 12);
    world.hull(&["run", "--rm", "busybox", "true"]).ok();
    world.hull(&["rm", "-f", "stays"]).ok();
    let daemon = world.daemon_pid().to_string();
    assert_eq!(mounts_held(&world, &daemon), layers);
    world.hull(&["rmi", "busybox"]).ok();
    assert_eq!(mounts_held(&world, &daemon), 0);
    world.stop();
}

#[test]
fn overlay2_does_all_that_the_default_does() {
    let [flag, mirror] = MIRROR;
    let world = World::with_flags(&[flag, mirror, "--storage-driver", "overlay2"]);
    let (hull, docker) = (Client::Hull, Client::Docker);
    let say = |client: Client, words: &[&str]| world.client(client, words).ok();
    assert_eq!(say(docker, &["info", "-f", "{{.Driver}}"]), "overlay2");
    say(hull, &["pull", "busybox"]);
    let script = "echo new > /made && rm /bin/ls && mkdir /tmp/d && echo x > /tmp/d/f && chown 3:4 /tmp/d/f";
    say(hull, &["run", "--name", "one", "busybox", "sh", "-c", script]);
    let changes = say(docker, &["diff", "one"]);
    let mut changes: Vec<&str> = changes.lines().collect();
    changes.sort_unstable();
    assert_eq!(changes, ["A /made", "A /tmp/d", "A /tmp/d/f", "C /bin", "C /tmp", "D /bin/ls"]);
    let at = world.directory().join("copied").display().to_string();
    say(hull, &["cp", "one:/made", &at]);
    assert_eq!(std::fs::read_to_string(&at).unwrap(), "new\n");
    say(docker, &["cp", &at, "one:/tmp/d/back"]);
    say(hull, &["commit", "one", "made:1"]);
    let look = "cat /made /tmp/d/back; stat -c %u:%g /tmp/d/f; test -e /bin/ls || echo gone";
    assert_eq!(say(docker, &["run", "--rm", "made:1", "sh", "-c", look]), "new\nnew\n3:4\ngone");
    let archive = world.directory().join("made.tar").display().to_string();
    say(hull, &["save", "-o", &archive, "made:1"]);
    say(hull, &["rm", "one"]);
    say(hull, &["rmi", "made:1"]);
    say(docker, &["load", "-i", &archive]);
    assert_eq!(say(hull, &["run", "--rm", "made:1", "cat", "/made"]), "new");
    let exported = format!("{} export $({} create made:1) | tar -t", prefix(&world), prefix(&world));
    let names = world.sh(&exported).ok();
    assert!(names.lines().any(|name| name == "made") && !names.lines().any(|name| name == "bin/ls"));
    let mount = "type=image,src=made:1,dst=/mnt";
    assert_eq!(say(hull, &["run", "--rm", "--mount", mount, "busybox", "cat", "/mnt/made"]), "new");
    // The data root is this driver's from now on.
    world.kill_daemon();
    assert!(world.data_root().join("overlay").is_dir() && !world.data_root().join("erofs").exists());
    world.start_daemon();
    assert_eq!(say(hull, &["run", "--rm", "made:1", "cat", "/made"]), "new");
    world.stop();
}

/// The client as words of a shell.
fn prefix(world: &World) -> String {
    format!("{} -H unix://{}", world.program(Client::Hull).display(), world.socket().display())
}

#[test]
fn killed_while_images_come_and_go_it_keeps_a_sound_store() {
    let world = World::start();
    let at = world.directory().display().to_string();
    let hull = |words: &str| world.hull(&words.split(' ').collect::<Vec<_>>());
    hull("pull -q busybox").ok();
    hull(&format!("save -o {at}/box.tar busybox")).ok();
    hull("run --name box --network none busybox touch /made").ok();
    let load = format!("load -q -i {at}/box.tar");
    for round in 0..8_u64 {
        let tag = format!("tag busybox again:{round}");
        let commit = format!("commit box made:{round}");
        let gone = format!("rmi -f made:{}", round.saturating_sub(1));
        let import = format!("import {at}/box.tar imported");
        let acts = ["pull -q debian", &load, &commit, &tag, &gone, "image prune -f", &import];
        let clients: Vec<_> = acts
            .iter()
            .map(|words| {
                let words: Vec<&str> = words.split(' ').collect();
                let mut command = world.client_command(Client::Hull, &words);
                command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
                command.spawn().unwrap()
            })
            .collect();
        // At another moment of their way each time.
        std::thread::sleep(std::time::Duration::from_millis(10 + 35 * round));
        world.kill_daemon();
        for mut client in clients {
            hull_e2e::eventually("the client ends", 10, || client.try_wait().unwrap());
        }
        world.start_daemon();
        let report = hull("system check").ok();
        assert!(report.ends_with("0 problems, 0 left"), "round {round}: {report}");
    }
    // What is listed can be used, and all goes.
    for image in hull("images -q --no-trunc").ok().lines() {
        hull(&format!("inspect {image}")).ok();
        hull(&format!("save -o {at}/saved.tar {image}")).ok();
    }
    hull("run --rm --network none busybox true").ok();
    hull("rm -f box").ok();
    hull("system prune -af --volumes").ok();
    assert_eq!(hull("images -aq").ok(), "");
    for folder in ["content/blobs/sha256", "content/ingest", "erofs/layers/sha256", "overlay/layers/sha256"] {
        let left = || std::fs::read_dir(world.data_root().join(folder)).map_or(0, Iterator::count);
        hull_e2e::eventually("nothing is left", 5, || (left() == 0).then_some(()));
    }
    world.stop();
}
