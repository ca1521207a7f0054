//! The builder's rows of the classes of vulnerabilities, each by its CVE.
#![allow(clippy::unwrap_used)] // helpers of tests

use hull_e2e::{Output, World, eventually};

fn build(world: &World, dockerfile: &str, flags: &[&str]) -> Output {
    let root = world.directory().join("context");
    std::fs::create_dir_all(&root).unwrap();
    std::fs::write(root.join("Dockerfile"), dockerfile).unwrap();
    let mut command = world.client_command(hull_e2e::Client::Hull, &["build", "--progress", "plain"]);
    command.args(flags).arg(&root);
    world.run(command, None)
}

/// Posts an archive that a shell line makes as the context of a classic build.
fn post(world: &World, make: &str) -> String {
    let socket = world.socket();
    world
        .sh(&format!("cd {} && {make} | curl -s --unix-socket {} -X POST -H 'Content-Type: application/x-tar' --data-binary @- http://d/build", world.directory().display(), socket.display()))
        .stdout
}

#[test]
fn contexts_do_not_reach_outside_themselves() {
    let world = World::start();
    std::fs::write(world.directory().join("outside"), "the host's\n").unwrap();
    std::fs::create_dir_all(world.directory().join("c")).unwrap();
    std::fs::write(world.directory().join("c/Dockerfile"), "FROM busybox\nCOPY l /x\n").unwrap();
    let said = post(&world, "tar -C c -c Dockerfile ../outside --absolute-names 2>/dev/null");
    assert!(said.contains("leads outside of it"), "{said}");
    let said = post(&world, "ln -sf /etc/passwd c/l; tar -C c -c Dockerfile l");
    assert!(said.contains("file not found in build context"), "{said}");
    let said = post(&world, "ln -sf ../outside c/l; tar -C c -c Dockerfile l");
    assert!(said.contains("file not found in build context"), "{said}");
    let said = post(&world, "head -c 100000 /dev/urandom");
    assert!(said.contains("message"), "{said}");
    // An archive that ADD takes apart is a context of its own.
    let make = "printf 'FROM busybox\\nADD a.tar /x/\\n' > c/Dockerfile; tar -c -f c/a.tar --absolute-names --transform 's,^,../../,' outside; \
                tar -C c -c Dockerfile a.tar";
    let said = post(&world, make);
    assert!(said.contains("leads outside of it"), "{said}");
    world.stop();
}

#[test]
fn cve_2024_23651_and_9675_a_cache_does_not_lead_out() {
    let world = World::start();
    let marked = world.directory().join("marked");
    std::fs::write(&marked, "the host's\n").unwrap();
    let plant = format!(
        "FROM busybox\nRUN --mount=type=cache,id=p,target=/c ln -s / /c/root; ln -s {} /c/up\n",
        world.directory().display()
    );
    build(&world, &plant, &[]).ok();
    let take = "FROM busybox\nRUN --mount=type=cache,id=p,source=root,target=/m ls -a /m > /seen; ls /m/marked && exit 9; cat /seen\n";
    let said = build(&world, take, &[]).expect_code(0).stderr;
    assert!(said.contains("up"), "the link leads to the cache's own root: {said}");
    let said = build(&world, "FROM busybox\nRUN --mount=type=cache,id=p,source=up,target=/m true\n", &[])
        .expect_code(1)
        .stderr;
    assert!(said.contains("not found"), "{said}");
    build(&world, "FROM busybox\nRUN --mount=type=cache,id=../../../../marked,target=/m touch /m/x\n", &[])
        .ok();
    build(&world, "FROM busybox\nRUN --mount=type=cache,id=q,source=../../..,target=/m touch /m/y\n", &[])
        .ok();
    assert!(!world.directory().join("y").exists() && marked.is_file());
    world.stop();
}

#[test]
fn cve_2024_23652_places_of_mounts_are_taken_away_without_touching_the_host() {
    let world = World::start();
    let victim = world.directory().join("victim");
    std::fs::create_dir_all(victim.join("b")).unwrap();
    let dockerfile = format!(
        "FROM busybox\nRUN --mount=type=tmpfs,target=/a/b umount /a/b; rm -rf /a; ln -s {} /a; true\nRUN ls -ld /a\n",
        victim.display()
    );
    let _ = build(&world, &dockerfile, &[]);
    assert!(victim.join("b").is_dir());
    world.stop();
}

#[test]
fn cve_2024_23653_rights_are_not_given_unasked() {
    let world = World::start();
    let dockerfile = "FROM busybox\nRUN --security=insecure true\n";
    let said = build(&world, dockerfile, &[]).expect_code(1).stderr;
    assert!(said.contains("security.insecure is not allowed"), "{said}");
    build(&world, dockerfile, &["--allow", "security.insecure"]).ok();
    let said = build(&world, "FROM busybox\nRUN --network=host true\n", &[]).expect_code(1).stderr;
    assert!(said.contains("network.host is not allowed"), "{said}");
    world.stop();
}

#[test]
fn cve_2024_24557_the_cache_cannot_be_poisoned() {
    let world = World::start();
    // Steps that differ in what classic builders left out of the key.
    for (index, lines) in ["ENV A=1", "ENV A=2", "USER 5", "WORKDIR /w", "ARG A=3"].iter().enumerate() {
        let dockerfile = format!("FROM busybox\n{lines}\nRUN echo $A; id -u; pwd\nRUN true # {index}\n");
        let said = build(&world, &dockerfile, &[]).expect_code(0).stderr;
        let step = said.lines().filter(|line| line.contains("CACHED")).count();
        assert!(!said.contains("echo $A; id -u; pwd\n#4 CACHED") && step <= 2, "{said}");
    }
    // From scratch: the same layers with another configuration are another image.
    build(&world, "FROM scratch\nCOPY Dockerfile /\nHEALTHCHECK CMD a\n", &["-t", "one"]).ok();
    build(&world, "FROM scratch\nCOPY Dockerfile /\nONBUILD RUN b\n", &["-t", "two"]).ok();
    let of =
        |name: &str| world.docker(&["image", "inspect", "-f", "{{json .Config.Healthcheck}}", name]).ok();
    assert!(of("one").contains("CMD-SHELL") && of("two") == "null", "{} {}", of("one"), of("two"));
    world.stop();
}

#[test]
fn cve_2024_1753_9407_11218_2025_4953_binds_stay_in_their_tree_and_nothing_is_written_back() {
    let world = World::start();
    let dockerfile = "FROM busybox AS s\nRUN ln -s /../../../.. /up && mkdir /d && echo s > /d/f\nFROM busybox\n\
        RUN --mount=from=s,source=/up,target=/m ls /m/d/f\n\
        RUN --mount=from=s,source=../../../..,target=/m ls /m/d/f\n\
        RUN --mount=from=s,source=/d,target=/m ! touch /m/x\n\
        RUN --mount=target=/m,rw echo changed > /m/Dockerfile\n\
        RUN --mount=from=s,source=/d,target=/m,rw echo changed > /m/f\n\
        RUN --mount=from=s,source=/d,target=/m grep -qx s /m/f\n";
    build(&world, dockerfile, &[]).ok();
    let kept = std::fs::read_to_string(world.directory().join("context/Dockerfile")).unwrap();
    assert_eq!(kept, dockerfile);
    let said =
        build(&world, "FROM busybox\nRUN --mount=type=bind,target=/m,bind-propagation=shared true\n", &[]);
    assert!(said.expect_code(1).stderr.contains("unexpected key 'bind-propagation'"));
    world.stop();
}

#[test]
fn cve_2020_10696_copies_stay_in_the_stage() {
    let world = World::start();
    let victim = world.directory().join("victim");
    std::fs::create_dir_all(&victim).unwrap();
    let dockerfile = format!(
        "FROM busybox\nRUN ln -s {0} /out && ln -s ../../../../../..{0} /up\nCOPY Dockerfile /out/\nCOPY Dockerfile /up/\nWORKDIR /out/w\n\
         RUN ls {0}/Dockerfile {0}/w -d\n",
        victim.display()
    );
    build(&world, &dockerfile, &[]).ok();
    assert_eq!(std::fs::read_dir(&victim).unwrap().count(), 0, "something was written on the host");
    world.stop();
}

#[test]
fn cve_2021_3602_the_daemons_environment_stays_its_own() {
    let world = World::start();
    let said = build(&world, "FROM busybox\nRUN env; cat /proc/1/environ | tr '\\0' '\\n'\n", &[])
        .expect_code(0)
        .stderr;
    assert!(said.contains("PATH=") && !said.contains("HULL_"), "{said}");
    world.stop();
}

#[test]
fn cve_2019_13139_git_references_are_no_options() {
    let world = World::start();
    let marker = world.directory().join("marker");
    let reference = format!("git@localhost:x.git#--upload-pack=touch {};", marker.display());
    let said = world.hull(&["build", &reference]).expect_code(1).stderr;
    assert!(said.contains("invalid revision"), "{said}");
    assert!(!marker.exists());
    world.stop();
}

const MUTATE: &str = r#"
import http.client, random, socket, sys
class Unix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(sys.argv[1])
def ask(path, body, kind='application/json'):
    c = Unix("d", timeout=20)
    try:
        c.request('POST', path, body, {'Content-Type': kind})
    except (BrokenPipeError, ConnectionResetError):
        return 0 # refused before it was read
    answer = c.getresponse()
    answer.read()
    return answer.status
whole = b'{"dockerfile":"FROM scratch\\nLABEL a=b\\n","dockerfile_name":"D","args":{"A":"b"},"platforms":["linux/amd64"],"tags":["a:1"],"target":"","outputs":[{"kind":"image","attributes":{"name":"a","annotation.a":"b"}}],"attests":{"provenance":"mode=max","sbom":"true"},"cache_from":[{"kind":"registry","attributes":{"ref":"127.0.0.1:1/a"}}],"contexts":{"c":"docker-image://x"},"secrets":{"s":"aGk="},"entitlements":["x"]}'
random.seed(7)
said = set()
for i in range(250):
    body = bytearray(whole)
    for _ in range(random.randrange(1, 6)):
        at = random.randrange(len(body))
        match random.randrange(3):
            case 0: del body[at:at + random.randrange(1, 12)]
            case 1: body[at:at] = random.choice([b'"', b'{', b'[', b'null', b'-1', b'\\u0000', b'\xff', b'../', b':', b',', b'9' * 30])
            case 2: body[at] = random.randrange(256)
    said.add(ask('/hull/build', bytes(body)))
for body in [b'', b'null', b'[]', b'{}', b'[' * 5000, b'{"platforms":["a/b/c/d/e"]}', b'{"cache_to":[{}]}', b'{"outputs":[{}]}']:
    said.add(ask('/hull/build', body))
for query in ['buildargs=x', 'labels=%5B', 'ulimits=-', 'memory=z', 'platform=%00', 't=%2e%2e', 'networkmode=container:', 'dockerfile=..%2F..%2Fetc%2Fpasswd', 'target=%ff', 'extrahosts=x', 'shmsize=-1', 'cachefrom=%7B']:
    for body in [b'', b'\0' * 1024, b'x' * 5000]:
        said.add(ask('/build?' + query, body, 'application/x-tar'))
for path, body in [('/hull/contexts', b'{}'), ('/hull/contexts', b'{"name":"' + b'a' * 64 + b'","files":[["../x","f",420,1,"zz"]]}'), ('/hull/contexts/nope', b'x'), ('/build/prune?filters=x', b'')]:
    said.add(ask(path, body))
print(sorted(said))
"#;

#[test]
fn cve_2024_23650_malformed_requests_are_answers_and_no_panics() {
    let world = World::start();
    let script = world.directory().join("mutate.py");
    std::fs::write(&script, MUTATE).unwrap();
    let said = world.sh(&format!("python3 {} {}", script.display(), world.socket().display())).ok();
    assert!(said.contains("200") && said.contains("400"), "{said}");
    let log = world.daemon_log();
    assert!(!log.contains("panicked"), "{log}");
    build(&world, "FROM busybox\nRUN true\n", &[]).ok();
    world.stop();
}

#[test]
fn go_2022_1107_repositories_of_the_host_are_not_fetched() {
    let world = World::start();
    let at = world.directory().display();
    let git = "git -c protocol.file.allow=always -c user.name=a -c user.email=a@b -c init.defaultBranch=main";
    world
        .sh(&format!(
            "set -e; cd {at}; export HOME={at}; {git} init -q secret; cd secret; echo the-hosts-own > kept; {git} add kept; {git} commit -qm a; cd ..; \
             {git} init -q served; cd served; printf 'FROM busybox\\nCOPY . /c\\nRUN cat /c/sub/kept\\n' > Dockerfile; {git} submodule --quiet add {at}/secret sub; \
             {git} add .; {git} commit -qm b; cd ..; {git} clone -q --bare served web.git; cd web.git; git update-server-info"
        ))
        .ok();
    let mut server = world.command("python3");
    server.args(["-m", "http.server", "8098", "--bind", "127.0.0.1", "--directory", &at.to_string()]);
    let mut server =
        server.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    eventually("the repository is served", 10, || {
        (world.sh("curl -sf -o /dev/null http://127.0.0.1:8098/web.git/HEAD").code == 0).then_some(())
    });
    let said = world.hull(&["build", "--progress", "plain", "http://127.0.0.1:8098/web.git"]);
    server.kill().unwrap();
    server.wait().unwrap();
    let said = said.expect_code(1).stderr;
    assert!(said.contains("transport 'file' not allowed") && !said.contains("the-hosts-own"), "{said}");
    for reference in [format!("{at}/secret/.git"), format!("file://{at}/secret/.git")] {
        let dockerfile = format!("FROM busybox\nADD {reference} /x\n");
        let said = build(&world, &dockerfile, &[]).expect_code(1).stderr;
        assert!(said.contains("not found"), "{said}");
    }
    world.stop();
}

#[test]
fn cve_2026_33747_no_frontend_is_fetched_or_run() {
    let world = World::start();
    let dockerfile = "# syntax=127.0.0.1:5000/library/debian:latest@../../x\nFROM busybox\nRUN true\n";
    build(&world, dockerfile, &["-t", "kept"]).ok();
    let names = world.docker(&["images", "--format", "{{.Repository}}"]).ok();
    assert!(!names.contains("debian"), "{names}");
    world.stop();
}

#[test]
fn cve_2026_44517_two_hostile_builds_do_not_lead_each_other_out() {
    let world = World::start();
    let marked = world.directory().join("marked");
    std::fs::write(&marked, "the host's\n").unwrap();
    // One exchanges a directory of the cache for a link to the root, the other mounts it.
    let root = world.directory().join("swap");
    std::fs::create_dir_all(&root).unwrap();
    let swaps = format!(
        "FROM busybox\nRUN --mount=type=cache,id=r,target=/c touch /c/on; while [ -e /c/on ]; do rm -rf /c/x; mkdir /c/x; rm -rf /c/x; ln -s {} /c/x; done\n",
        world.directory().display()
    );
    std::fs::write(root.join("Dockerfile"), swaps).unwrap();
    let mut command = world.client_command(hull_e2e::Client::Hull, &["build", "-q"]);
    let mut child = command.arg(&root).stderr(std::process::Stdio::null()).spawn().unwrap();
    let caches = world.data_root().join("build/caches");
    let on = || {
        std::fs::read_dir(&caches).ok()?.flatten().map(|cache| cache.path().join("on")).find(|on| on.exists())
    };
    let on = eventually("the other exchanges", 60, on);
    for round in 0..12 {
        let take = format!(
            "FROM busybox\nRUN --mount=type=cache,id=r,source=x,target=/m ls -a /m; ! cat /m/marked # {round}\n"
        );
        let said = build(&world, &take, &[]);
        // It may be gone before it is opened, or before it is mounted.
        let text = said.stderr.to_lowercase();
        let gone = ["not found", "no such file or directory"].iter().any(|words| text.contains(words));
        assert!(said.code == 0 || gone, "{}", said.stderr);
        assert!(!said.stderr.contains("the host's"), "{}", said.stderr);
    }
    std::fs::remove_file(on).unwrap();
    assert!(child.wait().unwrap().success());
    world.stop();
}

#[test]
fn a_full_disk_is_told_and_nothing_of_the_build_stays() {
    let world = World::bare(&["--registry-mirror", "http://127.0.0.1:5000"]);
    let data = world.data_root().display().to_string();
    world.sh(&format!("mkdir -p {data} && mount -t tmpfs -o size=48m tmpfs {data}")).ok();
    world.start_registry("");
    world.start_daemon();
    build(&world, "FROM busybox\nRUN echo small > /small\n", &["-t", "small"]).ok();
    let used = || {
        world.hull(&["builder", "prune", "-af"]).ok();
        let used = world.sh(&format!("df --output=used {data} | tail -n 1")).ok();
        used.trim().parse::<u64>().unwrap()
    };
    let before = used();
    // The step itself; what it wrote as a layer; what is sent.
    let steps = [
        "FROM busybox\nRUN dd if=/dev/urandom of=/big bs=1M count=100\n",
        "FROM busybox\nRUN head -c 30000000 /dev/urandom > /big\n",
        "FROM busybox\nCOPY large /large\n",
    ];
    let context = world.directory().join("context");
    for (number, dockerfile) in steps.iter().enumerate() {
        if number == 2 {
            world.sh(&format!("head -c 60000000 /dev/urandom > {}/large", context.display())).ok();
        }
        let said = build(&world, dockerfile, &["-t", "large"]).expect_code(1).stderr;
        assert!(said.contains("No space left on device"), "{number}: {said}");
        eventually("the room is there again", 30, || (used() <= before + 512).then_some(()));
    }
    std::fs::remove_file(context.join("large")).unwrap();
    build(&world, "FROM small\nRUN cat /small\n", &[]).ok();
    world.kill_daemon();
    world.stop_registry();
    world.sh(&format!("umount -l {data}")).ok();
}
