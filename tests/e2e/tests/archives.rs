//! Images in and out, with the engines that Hull's are to live beside: dockerd, podman, skopeo, umoci, buildah.
#![allow(clippy::unwrap_used)]

use hull_e2e::{Output, World, eventually, with_each_client};
use serde_json::Value;

/// `docker` on the dockerd beside Hull.
fn dockerd(world: &World, words: &str) -> Output {
    world.sh(&format!("docker -H unix://{} {words}", world.dockerd_socket().display()))
}
/// `hull` by a shell, for pipes.
fn hull(world: &World, words: &str) -> Output {
    let program = world.program(hull_e2e::Client::Hull);
    world.sh(&format!("{} -H unix://{} {words}", program.display(), world.socket().display()))
}
/// podman with stores of its own, in this world's folder.
fn podman(world: &World, words: &str) -> Output {
    let at = world.directory().display();
    world.sh(&format!(
        "podman --root {at}/podman --runroot {at}/podman-run --tmpdir {at}/podman-tmp --storage-driver vfs --cgroup-manager cgroupfs {words}"
    ))
}
fn layout(name: &str) -> String {
    format!("{}/{name}", std::env::var("HULL_TEST_IMAGES").unwrap())
}

#[test]
fn archives_go_to_dockerd_podman_and_skopeo_and_back() {
    let world = World::start();
    world.start_dockerd();
    let at = world.directory().display().to_string();
    hull(&world, "pull -q busybox").ok();
    world.sh(&format!("echo x > {at}/x && tar -C {at} -cf {at}/x.tar x")).ok();
    hull(&world, &format!("import {at}/x.tar mine/flat:1")).ok();
    hull(&world, "tag busybox mine/box:2").ok();
    let id = hull(&world, "inspect -f '{{.Id}}' mine/box:2").ok();
    let layers = hull(&world, "inspect -f '{{.RootFS.Layers}}' mine/box:2").ok();

    // Out of Hull.
    hull(&world, &format!("save mine/box:2 mine/flat:1 -o {at}/hull.tar")).ok();
    hull(&world, &format!("save mine/box:2 -o {at}/one.tar")).ok();
    let told = dockerd(&world, &format!("load -i {at}/hull.tar")).ok();
    assert!(
        told.contains("Loaded image: mine/box:2") && told.contains("Loaded image: mine/flat:1"),
        "{told}"
    );
    assert_eq!(dockerd(&world, "inspect -f '{{.Id}}' mine/box:2").ok(), id);
    let told = podman(&world, &format!("load -i {at}/one.tar")).ok();
    assert!(told.contains("docker.io/mine/box:2"), "{told}");
    let told = podman(&world, &format!("load -i {at}/hull.tar")).ok();
    assert!(told.contains("mine/flat:1"), "{told}");
    let bare = id.strip_prefix("sha256:").unwrap();
    assert_eq!(podman(&world, "inspect -f '{{.Id}}' mine/box:2").ok(), bare);
    for (form, name) in [("docker-archive", "mine/box:2"), ("oci-archive", "docker.io/mine/box:2")] {
        world.sh(&format!("skopeo copy -q {form}:{at}/hull.tar:{name} dir:{at}/{form}")).ok();
        let config = world.sh(&format!("skopeo inspect --raw dir:{at}/{form}")).ok();
        let manifest: Value = serde_json::from_str(&config).unwrap();
        assert_eq!(manifest["config"]["digest"], id.as_str(), "{form}");
    }
    // And into it. `exec`: what dockerd and podman compress as a whole is read too.
    let into = |archive: &str, reference: &str, expected: &str| {
        hull(&world, "rmi -f mine/box:2 busybox").expect_code(0);
        let told = hull(&world, &format!("load -q -i {archive}")).ok();
        assert!(told.contains(reference), "{archive}: {told}");
        let found = hull(&world, &format!("inspect -f '{{{{.RootFS.Layers}}}}' {expected}")).ok();
        assert_eq!(found, layers, "{archive}");
        // podman writes an OCI configuration of its own where the image had Docker's.
        if !archive.contains("podman-oci") {
            assert_eq!(hull(&world, &format!("inspect -f '{{{{.Id}}}}' {expected}")).ok(), id, "{archive}");
        }
        assert_eq!(hull(&world, &format!("run --rm --network none {expected} echo alive")).ok(), "alive");
        hull(&world, "tag mine/box:2 busybox").ok();
    };
    dockerd(&world, &format!("save mine/box:2 -o {at}/dockerd.tar")).ok();
    into(&format!("{at}/dockerd.tar"), "Loaded image: mine/box:2", "mine/box:2");
    world
        .sh(&format!("gzip -1 {at}/dockerd.tar && zstd -q {at}/dockerd.tar.gz -o {at}/dockerd.zst || true"))
        .ok();
    into(&format!("{at}/dockerd.tar.gz"), "Loaded image: mine/box:2", "mine/box:2");
    for form in ["docker-archive", "oci-archive"] {
        podman(&world, &format!("save -q --format {form} -o {at}/podman-{form}.tar docker.io/mine/box:2"))
            .ok();
        into(&format!("{at}/podman-{form}.tar"), "Loaded image: mine/box:2", "mine/box:2");
    }
    for form in ["docker-archive", "oci-archive"] {
        let to = format!("{form}:{at}/skopeo-{form}.tar:docker.io/mine/box:2");
        world.sh(&format!("skopeo copy -q oci:{}:latest {to}", layout("busybox"))).ok();
        into(&format!("{at}/skopeo-{form}.tar"), "Loaded image: mine/box:2", "mine/box:2");
    }
    // A layout packed by hand, through standard input; its tag alone is no name.
    hull(&world, "rmi -f mine/box:2 busybox").ok();
    let told = world
        .sh(&format!(
            "tar -C {} -c . | {} -H unix://{} load",
            layout("busybox"),
            world.program(hull_e2e::Client::Hull).display(),
            world.socket().display()
        ))
        .ok();
    assert_eq!(told, format!("Loaded image ID: {id}"));
    world.sh(&format!("rm -rf {at}/podman")).ok();
    world.stop_dockerd();
    world.stop();
}

#[test]
fn a_container_becomes_an_image_by_either_client() {
    with_each_client(|world, client| {
        let go = |words: &[&str]| world.client(client, words);
        go(&["pull", "-q", "busybox"]).ok();
        let program = "mkdir /new; echo text > /new/file; chmod 4711 /new/file; rm /bin/vi; ln -s file /new/link; sleep 100";
        go(&["run", "-d", "--network", "none", "--name", "box", "-e", "A=1", "busybox", "sh", "-c", program])
            .ok();
        eventually("the files are there", 10, || {
            (go(&["exec", "box", "readlink", "/new/link"]).code == 0).then_some(())
        });
        let id = go(&[
            "commit",
            "-a",
            "Ann",
            "-m",
            "a note",
            "-c",
            "CMD [\"cat\", \"/new/file\"]",
            "-c",
            "ENV B=$A-2",
            "-c",
            "EXPOSE 80",
            "box",
            "made:1",
        ])
        .ok();
        assert!(id.starts_with("sha256:"), "{id}");
        // It runs on: it was paused only.
        assert_eq!(go(&["inspect", "-f", "{{.State.Status}}", "box"]).ok(), "running");
        assert_eq!(go(&["run", "--rm", "--network", "none", "made:1"]).ok(), "text");
        let seen = go(&[
            "run",
            "--rm",
            "--network",
            "none",
            "made:1",
            "sh",
            "-c",
            "stat -c %a /new/file; ls /bin/vi 2>&1; echo $A $B",
        ])
        .ok();
        assert!(
            seen.starts_with("4711\n") && seen.contains("No such file") && seen.ends_with("1 1-2"),
            "{seen}"
        );
        let shown = go(&[
            "inspect",
            "-f",
            "{{.Author}} {{.Comment}} {{len .Config.ExposedPorts}} {{len .RootFS.Layers}}",
            "made:1",
        ])
        .ok();
        assert_eq!(shown, "Ann a note 1 2");
        assert_eq!(go(&["history", "-q", "made:1"]).ok().lines().next().unwrap()[..12], id[7..19]);
        // A commit of nothing has no layer, and a second one upon it stacks.
        go(&["create", "--name", "idle", "made:1"]).ok();
        go(&["commit", "idle", "made:2"]).ok();
        assert_eq!(go(&["inspect", "-f", "{{len .RootFS.Layers}}", "made:2"]).ok(), "2");
        for (words, text) in [
            (&["commit", "-c", "RUN x", "idle"][..], "run is not a valid change command"),
            (&["commit", "nobody"], "No such container: nobody"),
            (
                &[
                    "commit",
                    "idle",
                    "x@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                ],
                "refusing to create a tag with a digest reference",
            ),
        ] {
            let output = go(words).expect_code(1);
            assert!(output.stderr.contains(text), "{}", output.stderr);
        }

        // Exported, imported, and the same again.
        let at = world.directory().join("box.tar");
        let at = at.to_str().unwrap();
        go(&["export", "-o", at, "box"]).ok();
        let id = go(&["import", "-c", "CMD cat /new/file", "-m", "flat", at, "flat:1"]).ok();
        assert!(id.starts_with("sha256:"), "{id}");
        assert_eq!(go(&["run", "--rm", "--network", "none", "flat:1"]).ok(), "text");
        assert_eq!(go(&["inspect", "-f", "{{.Comment}} {{len .RootFS.Layers}}", "flat:1"]).ok(), "flat 1");
        // From an address too.
        let server = world
            .command("python3")
            .args(["-m", "http.server", "-b", "127.0.0.1", "-d"])
            .arg(world.directory())
            .arg("8099")
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn();
        let mut server = server.unwrap();
        eventually("the server answers", 10, || {
            (world.sh("curl -s -o /dev/null http://127.0.0.1:8099/").code == 0).then_some(())
        });
        let told = go(&["import", "http://127.0.0.1:8099/box.tar", "web:1"]);
        let missing = go(&["import", "http://127.0.0.1:8099/nothing"]);
        server.kill().unwrap();
        server.wait().unwrap();
        assert!(told.ok().contains("sha256:"));
        assert_eq!(missing.expect_code(1).code, 1);
        assert_eq!(go(&["run", "--rm", "--network", "none", "web:1", "cat", "/new/file"]).ok(), "text");
    });
}

/// Everything about the files of a tree, as lines; what engines put into a container's root is left out.
const TREE: &str = r#"
import os, stat, sys, hashlib
root = sys.argv[1]
skip = {"/dev", "/proc", "/sys", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/.dockerenv", "/etc/mtab", "/run"}
inodes = {}
def show(path, inside):
    s = os.lstat(path)
    words = [inside, oct(s.st_mode), str(s.st_uid), str(s.st_gid)]
    # Directories that no entry describes have the time of their making.
    if inside not in ("/", "/etc") and not (inside.startswith("/implied") and stat.S_ISDIR(s.st_mode)): words.append(str(s.st_mtime_ns))
    if stat.S_ISREG(s.st_mode): words += [str(s.st_size), hashlib.sha256(open(path, "rb").read()).hexdigest()]
    if stat.S_ISLNK(s.st_mode): words.append("-> " + os.readlink(path))
    if stat.S_ISCHR(s.st_mode) or stat.S_ISBLK(s.st_mode): words.append("%d:%d" % (os.major(s.st_rdev), os.minor(s.st_rdev)))
    if s.st_nlink > 1 and not stat.S_ISDIR(s.st_mode): words.append("with " + inodes.setdefault((s.st_dev, s.st_ino), inside))
    for name in sorted(os.listxattr(path, follow_symlinks=False)):
        words.append(name + "=" + os.getxattr(path, name, follow_symlinks=False).hex())
    print(" ".join(words).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))
    if stat.S_ISDIR(s.st_mode):
        for name in sorted(os.listdir(path)):
            below = inside.rstrip("/") + "/" + name
            if below not in skip: show(path + "/" + name, below)
show(root + "/.", "/")
"#;

/// Layers with an entry of every kind, by GNU tar and Python, put together by umoci.
const KINDS: &str = r#"
set -e
mkdir -p a/bin a/d/sub a/sticky a/gone a/opaque/old a/dir2file a/shared b/d b/opaque b/etc
cp /bin/busybox a/bin/busybox; ln a/bin/busybox a/bin/sh; ln -s busybox a/bin/sleep
echo text > a/d/file; : > a/d/empty; ln -s /nowhere/at/all a/d/dangling; ln -s ../d/file a/d/relative
ln -s $(printf 'x%.0s' $(seq 150)) a/d/longlink
echo suid > a/d/suid; chmod 6755 a/d/suid; chmod 1777 a/sticky; chmod 2750 a/shared
echo one > a/d/first; ln a/d/first a/d/second; ln a/d/first a/sticky/third
mknod a/d/char c 5 1; mknod a/d/block b 8 3; mkfifo -m 640 a/d/fifo
echo owned > a/d/owned; chown 1234:4321 a/d/owned; echo high > a/d/high; chown 3000000:4000000 a/d/high; chown -h 7:8 a/d/dangling
echo attr > a/d/attr; setfattr -n user.note -v value a/d/attr
cp /bin/busybox a/d/capable; python3 -c "import os; os.setxattr('a/d/capable', 'security.capability', bytes.fromhex('0100000200040000000000000000000000000000'))"
long=$(printf 'n%.0s' $(seq 120)); mkdir -p a/$long/$long/$long; echo deep > a/$long/$long/$long/file
echo uni > 'a/d/naïve ☃ name'; printf 'x' > "$(printf 'a/d/back\\slash')"
truncate -s 3M a/d/sparse; printf middle | dd of=a/d/sparse bs=1 seek=1500000 conv=notrunc status=none
echo gone > a/gone/file; echo keep > a/opaque/old/file; echo x > a/dir2file/x; echo f > a/file2dir; echo w > a/whited
touch -d '2001-02-03 04:05:06.789012345' a/d/file; touch -d '1999-12-31' a/d/sub; touch -h -d '2010-01-01' a/d/relative
tar --format=posix --xattrs --xattrs-include='*' --numeric-owner --sort=name -C a -cf one.tar .
python3 - <<'P'
import tarfile, io, time
t = tarfile.open("two.tar", "w", format=tarfile.PAX_FORMAT)
def add(name, kind=tarfile.REGTYPE, data=b"", mode=0o644, link="", **more):
    i = tarfile.TarInfo(name); i.type = kind; i.size = len(data); i.mode = mode; i.linkname = link; i.mtime = 1234567890
    for k, v in more.items(): setattr(i, k, v)
    t.addfile(i, io.BytesIO(data) if data else None)
add("d", tarfile.DIRTYPE, mode=0o711)
add("d/.wh.first"); add(".wh.gone"); add(".wh.whited"); add(".wh.never-was")
add("opaque", tarfile.DIRTYPE, mode=0o755); add("opaque/.wh..wh..opq"); add("opaque/new", data=b"new")
add(".wh.dir2file"); add("dir2file", data=b"now a file"); add("file2dir", tarfile.DIRTYPE, mode=0o700); add("file2dir/x", data=b"x")
add("d/owned", data=b"replaced", mode=0o600, uid=5, gid=6)
add("implied/by/its/name", data=b"no directory entries")
add("etc", tarfile.DIRTYPE, mode=0o755); add("etc/late", data=b"late")
t.close()
P
umoci init --layout all; umoci new --image all:latest
umoci raw add-layer --image all:latest one.tar; umoci raw add-layer --image all:latest two.tar
umoci config --image all:latest --config.cmd sleep --config.cmd 1000 --config.env PATH=/bin --architecture amd64
"#;

#[test]
fn files_of_every_kind_are_what_dockerd_makes_of_them() {
    files_are_dockerds(&[]);
}

#[test]
fn files_of_every_kind_are_what_dockerd_makes_of_them_with_overlay2() {
    files_are_dockerds(&["--storage-driver", "overlay2"]);
}

fn files_are_dockerds(flags: &[&str]) {
    let world = World::bare(&[&["--registry-mirror", "http://127.0.0.1:5000"], flags].concat());
    world.start_daemon();
    world.start_dockerd();
    let at = world.directory().to_str().unwrap().to_owned();
    std::fs::write(world.directory().join("tree.py"), TREE).unwrap();
    world.sh(&format!("cd {at} && {KINDS}")).ok();
    // A registry that can be written to, for images by these tools.
    std::fs::write(
        world.directory().join("own.yml"),
        format!("version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: {{rootdirectory: {at}/own}}}}\nhttp: {{addr: \"127.0.0.1:5001\"}}\n"),
    )
    .unwrap();
    let mut registry = world
        .command("docker-registry")
        .arg("serve")
        .arg(format!("{at}/own.yml"))
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    eventually("the registry answers", 10, || {
        (world.sh("curl -s -o /dev/null http://127.0.0.1:5001/v2/").code == 0).then_some(())
    });
    let push = |from: &str, name: &str| {
        world
            .sh(&format!("skopeo copy -q --dest-tls-verify=false {from} docker://127.0.0.1:5001/{name}"))
            .ok();
    };
    push(&format!("oci:{at}/all:latest"), "umoci:1");
    // One made by buildah; and dockerd's own layer upon umoci's.
    let store = format!("--root {at}/buildah --runroot {at}/buildah-run --storage-driver vfs");
    world.sh(&format!(
        "cd {at} && export TMPDIR={at} && unset DOCKER_CONFIG && c=$(buildah {store} from scratch) && buildah {store} copy $c a/bin /bin && buildah {store} copy --chown 5:6 --chmod 2750 $c a/d/file /srv/with/parents/file && \
         echo built > by-buildah && buildah {store} copy --chown 9:9 $c by-buildah /by-buildah && buildah {store} config --env PATH=/bin $c && buildah {store} commit -q $c oci:{at}/built:latest && buildah {store} rm $c"
    )).ok();
    push(&format!("oci:{at}/built:latest"), "buildah:1");
    dockerd(&world, "pull -q 127.0.0.1:5001/umoci:1").ok();
    dockerd(&world, "run -d --name made --network none 127.0.0.1:5001/umoci:1").ok();
    dockerd(&world, "exec made /bin/busybox sh -c '/bin/busybox rm -r /opaque; /bin/busybox mkdir /opaque; echo again > /opaque/again; /bin/busybox chmod 700 /shared; /bin/busybox ln /d/second /d/fourth'").ok();
    dockerd(&world, "commit made 127.0.0.1:5001/dockerd:1").ok();
    dockerd(&world, "rm -f made").ok();
    dockerd(&world, "push -q 127.0.0.1:5001/dockerd:1").ok();

    for name in ["umoci", "buildah", "dockerd"] {
        let image = format!("127.0.0.1:5001/{name}:1");
        let trees: Vec<Vec<String>> = [true, false]
            .into_iter()
            .map(|ours| {
                let go = |words: &str| if ours { hull(&world, words) } else { dockerd(&world, words) };
                go(&format!("pull -q {image}")).ok();
                go(&format!("run -d --name {name} --network none {image} /bin/busybox sleep 1000")).ok();
                let pid = go(&format!("inspect -f '{{{{.State.Pid}}}}' {name}")).ok();
                let lines = world.sh(&format!("python3 {at}/tree.py /proc/{pid}/root")).ok();
                go(&format!("rm -f {name}")).ok();
                lines.lines().map(str::to_owned).collect()
            })
            .collect();
        let (ours, theirs) = (&trees[0], &trees[1]);
        let missing: Vec<&String> = theirs.iter().filter(|line| !ours.contains(line)).collect();
        let more: Vec<&String> = ours.iter().filter(|line| !theirs.contains(line)).collect();
        assert!(
            missing.is_empty() && more.is_empty(),
            "{name}: dockerd has {missing:#?}\nHull has {more:#?}"
        );
        assert!(ours.len() > 8, "{ours:#?}");
    }
    registry.kill().unwrap();
    registry.wait().unwrap();
    world.sh(&format!("rm -rf {at}/buildah {at}/buildah-run")).ok();
    world.stop_dockerd();
    world.stop();
}

/// Prunes run against everything that makes images, and never take what one of them uses.
#[test]
fn nothing_in_use_or_in_flight_is_pruned() {
    let world = World::start();
    let at = world.directory().display().to_string();
    hull(&world, "pull -q busybox").ok();
    hull(&world, &format!("save busybox -o {at}/box.tar")).ok();
    let program = world.program(hull_e2e::Client::Hull).display().to_string();
    let hull_line = format!("{program} -H unix://{}", world.socket().display());
    let script = format!(
        r#"set -e; cd {at}; H="{hull_line}"
        work() {{ # Each step needs what the one before made.
          for i in 1 2 3 4 5 6; do
            case $1 in
              pull) $H pull -q busybox >/dev/null; $H run --rm --network none busybox true || $H pull -q busybox >/dev/null ;;
              load) $H load -q -i box.tar >/dev/null ;;
              commit) $H run --name c$i --network none busybox sh -c "echo $i > /made" ; $H commit c$i made:$i >/dev/null; $H rm c$i >/dev/null ;;
              import) tar -cf - box.tar | $H import - imported:$i >/dev/null ;;
            esac
          done
        }}
        (while [ ! -e stop ]; do $H image prune -af >/dev/null; done) & prune=$!
        work pull 2>err.pull & a=$!; work load 2>err.load & b=$!; work commit 2>err.commit & c=$!; work import 2>err.import & d=$!
        r=0; for p in $a $b $c $d; do wait $p || r=1; done
        touch stop; wait $prune; cat err.*; exit $r"#
    );
    // An image may be pruned between two commands; never while one of them runs.
    let output = world.sh(&script);
    let told = format!("{}{}", output.stdout, output.stderr);
    for wrong in
        ["content sha256", "layer sha256", "does not exist", "no such file", "internal", "unexpected"]
    {
        assert!(!told.to_lowercase().contains(&wrong.to_lowercase()), "{told}\n{}", world.daemon_log());
    }
    let report = hull(&world, "system check").ok();
    assert!(report.ends_with("0 problems, 0 left"), "{report}");
    world.stop();
}
