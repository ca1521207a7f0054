//! The storage drivers, end to end: what is theirs alone, and that the one that is not the default does all work too.
#![allow(clippy::unwrap_used)]

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

/// Bytes that the file system has given to what is under the data root, as `du` says.
fn used(world: &World, options: &str) -> i64 {
    let line = format!("du -s -B1 {options} {}", world.data_root().display());
    world.sh(&line).ok().split_whitespace().next().unwrap().parse().unwrap()
}

/// Bytes that `system df` tells of.
fn told(world: &World) -> i64 {
    let ask = format!("curl -s --unix-socket {} http://x/v1.43/system/df", world.socket().display());
    let all: serde_json::Value = serde_json::from_str(&world.sh(&ask).ok()).unwrap();
    let list = |name: &str| all[name].as_array().cloned().unwrap_or_default();
    let written = list("Containers").iter().filter_map(|one| one["SizeRw"].as_i64()).sum::<i64>();
    let kept = list("Volumes").iter().filter_map(|one| one["UsageData"]["Size"].as_i64()).sum::<i64>();
    // Cached steps are layers.
    all["LayersSize"].as_i64().unwrap() + written + kept
}

#[test]
fn killed_while_images_come_and_go_it_keeps_a_sound_store_with_erofs() {
    killed_while_images_come_and_go("erofs");
}

#[test]
fn killed_while_images_come_and_go_it_keeps_a_sound_store_with_overlay2() {
    killed_while_images_come_and_go("overlay2");
}

fn killed_while_images_come_and_go(driver: &str) {
    let [flag, mirror] = MIRROR;
    let world = World::with_flags(&[flag, mirror, "--storage-driver", driver]);
    let at = world.directory().display().to_string();
    let hull = |words: &str| world.hull(&words.split(' ').collect::<Vec<_>>());
    hull("pull -q busybox").ok();
    hull(&format!("save -o {at}/box.tar busybox")).ok();
    hull("run --name box --network none busybox touch /made").ok();
    std::fs::create_dir(world.directory().join("context")).unwrap();
    let load = format!("load -q -i {at}/box.tar");
    for round in 0..6_u64 {
        let steps = format!("FROM busybox\nRUN echo {round} > /a\nRUN echo {round} > /b\n");
        std::fs::write(world.directory().join("context/Dockerfile"), steps).unwrap();
        let tag = format!("tag busybox again:{round}");
        let commit = format!("commit box made:{round}");
        let gone = format!("rmi -f made:{}", round.saturating_sub(1));
        let import = format!("import {at}/box.tar imported");
        let build = format!("build -q -t built {at}/context");
        let acts = [
            "pull -q debian",
            &load,
            &commit,
            &tag,
            &gone,
            "image prune -f",
            &import,
            &build,
            "builder prune -f",
        ];
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
        std::thread::sleep(std::time::Duration::from_millis(10 + 45 * round));
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
    hull(&format!("build -q -t built {at}/context")).ok();
    // A log, a layer's files and a volume's are all counted.
    let write = "dd if=/dev/zero of=/large bs=1M count=4; dd if=/dev/zero of=/v/large bs=1M count=4; \
                 yes line of a log | head -n 40000";
    world
        .hull(&["run", "--name", "logs", "--network", "none", "-v", "kept:/v", "busybox", "sh", "-c", write])
        .ok();
    let now = || (used(&world, "--exclude=hull.db*"), told(&world));
    let mut last = now();
    // What was removed before goes in the background.
    while last.0.abs_diff(last.1) > 1 << 20 {
        std::thread::sleep(std::time::Duration::from_secs(2));
        let again = now();
        assert_ne!(again, last, "what du says, what df says");
        last = again;
    }
    assert!(last.1 > 12 << 20, "{last:?}");
    hull("system prune -af --volumes").ok();
    hull("volume prune -af").ok();
    assert_eq!(hull("images -aq").ok(), "");
    let own = world.data_root().join(if driver == "overlay2" { "overlay" } else { driver });
    let content = world.data_root().join("content");
    for folder in [content.join("blobs"), content.join("ingest"), own.join("layers"), own.join("chains")] {
        let left = || world.sh(&format!("find {} -type f", folder.display())).stdout;
        hull_e2e::eventually("nothing is left", 20, || left().is_empty().then_some(()));
    }
    hull_e2e::eventually("a mebibyte is left at most", 20, || (used(&world, "") <= 1 << 20).then_some(()));
    world.stop();
}

#[test]
fn an_image_removed_under_its_container_goes_with_it() {
    let world = World::start();
    let hull = |words: &str| world.hull(&words.split(' ').collect::<Vec<_>>());
    hull("run --name box --network none busybox touch /made").ok();
    let image = hull("inspect -f {{.Image}} box").ok();
    hull("tag busybox second:1").ok();
    // As dockerd: it is gone for everybody.
    let said = hull("rmi -f second:1").ok();
    assert!(!said.contains("Deleted"), "{said}");
    let said = hull("rmi -f busybox").ok();
    assert_eq!(
        said.lines().filter(|line| line.starts_with("Deleted: ")).collect::<Vec<_>>(),
        [format!("Deleted: {image}")]
    );
    assert_eq!(hull("images -aq").ok(), "");
    assert!(hull(&format!("image inspect {image}")).expect_code(1).stderr.contains("No such image"));
    // dockerd refuses to commit now; here the container has all it needs until it goes itself.
    for round in 0..2 {
        assert_eq!(hull("start -a box").code, 0);
        assert_eq!(hull("inspect -f {{.Image}} box").ok(), image);
        assert!(hull("ps -as --format {{.Size}}").ok().contains("virtual"));
        hull("commit box made").ok();
        assert_eq!(hull("run --rm --network none made ls /made").ok(), "/made");
        hull("rmi made").ok();
        hull("image prune -af").ok();
        if round == 0 {
            world.kill_daemon();
            world.start_daemon();
        }
    }
    assert!(hull("system check").ok().ends_with("0 problems, 0 left"));
    let left = |folder: &str| std::fs::read_dir(world.data_root().join(folder)).unwrap().count();
    assert!(left("content/blobs/sha256") > 0 && told(&world) > 1 << 20);
    hull("rm box").ok();
    for folder in ["content/blobs/sha256", "erofs/layers/sha256", "erofs/chains/sha256"] {
        assert_eq!(left(folder), 0, "{folder}");
    }
    // Pulled again it is an image as any other, and stays when the container goes.
    hull("run --name box --network none busybox true").ok();
    hull("rmi -f busybox").ok();
    hull("pull -q busybox").ok();
    hull("rm box").ok();
    assert_eq!(hull("run --rm --network none busybox echo there").ok(), "there");
    world.stop();
}

#[test]
fn an_image_removed_under_its_container_is_gone_as_with_dockerd() {
    let world = World::start();
    world.start_dockerd_with(&["--iptables=false", "--bridge=none"]);
    let socket = format!("unix://{}", world.dockerd_socket().display());
    let own = format!("unix://{}", world.socket().display());
    let both = |words: &str| {
        [&own, &socket].map(|host| {
            let mut command = world.command("docker");
            command.args(["-H", host]).args(words.split(' '));
            let output = world.run(command, None);
            (output.code, output.stdout)
        })
    };
    let same = |words: &str| {
        let [hull, docker] = both(words);
        assert_eq!(hull, docker, "{words}");
    };
    both("pull -q busybox");
    both("run --name stopped --network none busybox touch /made");
    both("run -d --name runs --network none busybox sleep 600");
    // While one runs its image loses no more than its name.
    same("rmi -f busybox");
    same("images -a --format {{.Repository}}:{{.Tag}}");
    let [(hull, _), (docker, _)] = both("commit runs made");
    assert_eq!((hull, docker), (0, 0));
    both("rmi made");
    both("rm -f runs");
    let image = world.hull(&["inspect", "-f", "{{.Image}}", "stopped"]).ok();
    same(&format!("rmi -f {image}"));
    same("images -aq");
    same("ps -a --format {{.Names}}/{{.Image}}");
    same("start -a stopped");
    same("diff stopped");
    same("inspect -f {{.Image}} stopped");
    both("rm stopped");
    world.stop_dockerd();
    world.stop();
}
