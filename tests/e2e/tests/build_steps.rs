//! What a RUN step gets beside its image: caches, binds, devices by name, other processors; and builds beside builds.
#![allow(clippy::unwrap_used)] // helpers of tests

use hull_e2e::{Client, Output, World, eventually};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

fn project(world: &World, name: &str, dockerfile: &str) -> PathBuf {
    let root = world.directory().join(name);
    std::fs::create_dir_all(&root).unwrap();
    std::fs::write(root.join("Dockerfile"), dockerfile).unwrap();
    root
}

fn command(world: &World, root: &Path, flags: &[&str]) -> Command {
    let mut command = world.client_command(Client::Hull, &["build", "--progress", "plain"]);
    command.args(flags).arg(root);
    command
}

fn build(world: &World, dockerfile: &str, flags: &[&str]) -> Output {
    let root = project(world, "context", dockerfile);
    world.run(command(world, &root, flags), None)
}

fn begin(world: &World, name: &str, dockerfile: &str, flags: &[&str]) -> Child {
    let root = project(world, name, dockerfile);
    command(world, &root, flags).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

#[track_caller]
fn end(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

/// A file that steps of a build wait for, in every cache.
fn put_into_caches(world: &World, name: &str) {
    for cache in std::fs::read_dir(world.data_root().join("build/caches")).unwrap() {
        std::fs::write(cache.unwrap().path().join(name), "").unwrap();
    }
}

fn in_caches(world: &World, name: &str) -> bool {
    let caches = std::fs::read_dir(world.data_root().join("build/caches")).unwrap();
    caches.flatten().any(|cache| cache.path().join(name).exists())
}

/// A shell line that waits for a file for a minute at most.
fn wait_for(file: &str) -> String {
    format!("n=0; until [ -e {file} ] || [ $n = 600 ]; do sleep 0.1; n=$((n+1)); done; [ -e {file} ]")
}

#[test]
fn caches_and_binds_begin_as_they_are_asked_to() {
    let world = World::start();
    let seed = "FROM busybox AS seed\nRUN mkdir -p /d/sub && echo seeded > /d/sub/f && ln /d/sub/f /d/sub/g && ln -s f /d/sub/l && chown 5:6 /d/sub && chmod 750 /d/sub\nFROM busybox\n";
    let steps = "RUN --mount=type=cache,id=s,from=seed,source=/d/sub,target=/c test \"$(stat -c '%a %u:%g' /c)\" = '750 5:6' && grep -qx seeded /c/l && test /c/f -ef /c/g && echo more > /c/new\n\
        RUN --mount=type=cache,id=s,from=seed,source=/d/sub,target=/c grep -qx more /c/new\n\
        RUN --mount=type=cache,id=s,target=/c ! test -e /c/f\n\
        RUN --mount=type=cache,id=s,from=seed,target=/c grep -qx seeded /c/d/sub/f && test -d /c/bin\n\
        RUN --mount=type=cache,target=/m,mode=0711,uid=7,gid=8 test \"$(stat -c '%a %u:%g' /m)\" = '711 7:8'\n\
        RUN --mount=type=cache,target=/m,uid=9 test \"$(stat -c '%a %u:%g' /m)\" = '755 9:0'\n\
        RUN --mount=type=cache,id=p,target=/c mkdir -p /c/in/it\n\
        RUN --mount=type=cache,id=p,source=in,target=/c test -d /c/it\n\
        RUN --mount=type=cache,id=ro,target=/r,ro ! touch /r/x\n\
        RUN --mount=type=bind,from=seed,source=/d,target=/b grep -qx seeded /b/sub/f && ! touch /b/x\n\
        RUN --mount=type=bind,from=seed,source=/d,target=/b,rw touch /b/x && test -e /b/x\n\
        RUN --mount=type=bind,from=seed,source=/d,target=/b ! test -e /b/x\n\
        RUN --mount=from=debian,target=/i,rw test -e /i/etc/debian_version && rm /i/etc/debian_version\n\
        RUN --mount=from=debian,target=/i test -e /i/etc/debian_version\n\
        RUN ! test -e /b && ! test -e /c && ! test -e /m && ! test -e /i\n";
    build(&world, &format!("{seed}{steps}"), &[]).ok();
    // Another name space of caches has none of these.
    let own = "FROM busybox\nRUN --mount=type=cache,id=p,target=/c ! test -e /c/in\n";
    build(&world, own, &["--build-arg", "BUILDKIT_CACHE_MOUNT_NS=mine"]).ok();
    // What it is to begin with is not there: the step fails, and no half of a cache stays.
    let count = || std::fs::read_dir(world.data_root().join("build/caches")).unwrap().count();
    let before = count();
    let missing = "RUN --mount=type=cache,id=z,from=seed,source=/nope,target=/c true\n";
    let said = build(&world, &format!("{seed}{missing}"), &[]).expect_code(1).stderr;
    assert!(said.contains("nope"), "{said}");
    assert_eq!(count(), before);
    world.hull(&["builder", "prune", "-af"]).ok();
    assert_eq!(count(), 0);
    assert_eq!(std::fs::read_dir(world.data_root().join("build/tmp")).unwrap().count(), 0);
    world.stop();
}

#[test]
fn caches_are_shared_as_they_say_and_not_pruned_from_under_a_step() {
    let world = World::start();
    // Both steps are there at once (the shared cache shows it), each alone in the private one.
    let dockerfile = |who: &str| {
        format!(
            "FROM busybox\nRUN --mount=type=cache,id=all,target=/s --mount=type=cache,id=own,sharing=private,target=/p \\\n  \
             touch /s/{who} /p/{who}; {} && {} && test $(ls /p | wc -l) = 1\n",
            wait_for("/s/one"),
            wait_for("/s/two"),
        )
    };
    let both = ["one", "two"].map(|who| begin(&world, who, &dockerfile(who), &[]));
    both.into_iter().for_each(|child| drop(end(child)));
    // Of the locked ones, the second begins when the first has ended; in whatever order they are named.
    let locked = |who: &str, first: &str, second: &str| {
        format!(
            "FROM busybox\nRUN --mount=type=cache,id={first},sharing=locked,target=/{first} --mount=type=cache,id={second},sharing=locked,target=/{second} \\\n  \
             test ! -e /a/in && touch /a/in && sleep 0.5 && rm /a/in # {who}\n"
        )
    };
    let both = [("three", "a", "b"), ("four", "b", "a")]
        .map(|(who, first, second)| begin(&world, who, &locked(who, first, second), &[]));
    both.into_iter().for_each(|child| drop(end(child)));
    // The same one twice is no lock that waits for itself.
    let twice = "FROM busybox\nRUN --mount=type=cache,id=t,sharing=locked,target=/a --mount=type=cache,id=t,sharing=locked,target=/b touch /a/x && test -e /b/x\n";
    build(&world, twice, &[]).ok();

    let waits = format!(
        "FROM busybox\nRUN --mount=type=cache,id=held,target=/c touch /c/here; {} && test -e /c/here\n",
        wait_for("/c/go")
    );
    let child = begin(&world, "held", &waits, &[]);
    eventually("the step has its cache", 60, || in_caches(&world, "here").then_some(()));
    world.hull(&["builder", "prune", "-af"]).ok();
    assert!(in_caches(&world, "here") && !in_caches(&world, "two"));
    put_into_caches(&world, "go");
    end(child);
    world.hull(&["builder", "prune", "-af"]).ok();
    assert!(!in_caches(&world, "here"));
    world.stop();
}

#[test]
fn devices_come_by_name() {
    let world = World::bare(&["--registry-mirror", "http://127.0.0.1:5000"]);
    let at = world.directory().display().to_string();
    std::fs::create_dir_all(format!("{at}/cdi")).unwrap();
    std::fs::create_dir_all(format!("{at}/lib")).unwrap();
    std::fs::write(format!("{at}/lib/f"), "of the host\n").unwrap();
    let yaml = format!(
        "cdiVersion: \"0.6.0\"\nkind: vendor.com/device\nannotations:\n  org.mobyproject.buildkit.device.autoallow: true\ndevices:\n\
         - name: one\n  containerEdits:\n    env: [FOO=injected]\n    deviceNodes:\n    - path: /dev/one\n      hostPath: /dev/null\n      permissions: rw\n    \
         mounts:\n    - hostPath: {at}/lib\n      containerPath: /opt/lib\n      options: [ro, nosuid, bind]\n"
    );
    std::fs::write(format!("{at}/cdi/vendor.yaml"), yaml).unwrap();
    // A device that no container may open (it is fuse's), and a hook on the host.
    let json = format!(
        r#"{{"cdiVersion":"1.0.0","kind":"other.com/disk","devices":[{{"name":"k","containerEdits":{{"additionalGids":[77],
        "deviceNodes":[{{"path":"/dev/disk0","type":"c","major":10,"minor":229,"fileMode":438}}],
        "hooks":[{{"hookName":"createRuntime","path":"/bin/sh","args":["sh","-c","cat > {at}/hooked"]}}]}}}}]}}"#
    );
    std::fs::write(format!("{at}/cdi/other.json"), json).unwrap();
    world.start_registry("");
    world.start_daemon_with(&["--cdi-spec-dir".to_owned(), format!("{at}/cdi")]);

    let uses = "test \"$FOO\" = injected && echo x > /dev/one && cat /opt/lib/f && ! touch /opt/lib/g";
    let steps = format!(
        "FROM busybox\nRUN --device=vendor.com/device=one,required {uses}\nRUN ! test -e /opt && test -z \"$FOO\"\nRUN --device=vendor.com/device {uses}\n\
         RUN --device=vendor.com/device=none test -z \"$FOO\"\n"
    );
    let said = build(&world, &steps, &["-t", "devices"]).expect_code(0).stderr;
    assert!(said.contains("of the host"), "{said}");
    let said = build(&world, "FROM busybox\nRUN --device=vendor.com/device=won,required true\n", &[]);
    let said = said.expect_code(1).stderr;
    assert!(
        said.contains("vendor.com/device=won") && said.contains("did you mean vendor.com/device=one?"),
        "{said}"
    );
    let reads = "FROM busybox\nRUN --device=other.com/disk=k exec 3<>/dev/disk0 && id -G | grep -qw 77\n";
    let said = build(&world, reads, &[]).expect_code(1).stderr;
    assert!(said.contains("--allow device=other.com/disk=k"), "{said}");
    build(&world, reads, &["--allow", "device=other.com/disk=k"]).ok();
    let hooked: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(format!("{at}/hooked")).unwrap()).unwrap();
    assert_eq!(hooked["status"], "creating");

    for client in [Client::Hull, Client::Docker] {
        let run = |device: &str, line: &str| {
            world.client(
                client,
                &["run", "--rm", "--network", "none", "--device", device, "busybox", "sh", "-c", line],
            )
        };
        assert_eq!(run("vendor.com/device=one", uses).ok(), "of the host");
        run("other.com/disk=k", "exec 3<>/dev/disk0 && id -G | grep -qw 77").ok();
        let said = run("vendor.com/device=two", "true").expect_code(125).stderr;
        assert!(
            said.contains("CDI device injection failed: unresolvable CDI devices vendor.com/device=two"),
            "{said}"
        );
    }
    let listed = world.docker(&["info", "-f", "{{json .CDISpecDirs}}"]).ok();
    assert_eq!(listed, format!("[\"{at}/cdi\"]"));
    world.stop();
}

#[test]
fn platforms_are_built_side_by_side_and_what_they_share_once() {
    let world = World::start();
    let at = world.directory().display();
    // Each platform's step waits for the other's; the tool is made for both at once, by one of them.
    let dockerfile = format!(
        "FROM --platform=$BUILDPLATFORM busybox AS tool\nRUN cat /proc/sys/kernel/random/uuid > /once\n\
         FROM tool AS meet\nARG TARGETARCH\nRUN --mount=type=cache,id=meet,target=/m touch /m/$TARGETARCH; {} && {}; echo $TARGETARCH > /arch\n\
         FROM scratch\nCOPY --from=meet /once /arch /\n",
        wait_for("/m/amd64"),
        wait_for("/m/arm64"),
    );
    let out = format!("type=local,dest={at}/out");
    build(&world, &dockerfile, &["--platform", "linux/amd64,linux/arm64", "-o", &out]).ok();
    let read = |path: &str| std::fs::read_to_string(format!("{at}/out/{path}")).unwrap();
    assert_eq!(read("linux_amd64/once"), read("linux_arm64/once"));
    assert_eq!(
        (read("linux_amd64/arch").as_str(), read("linux_arm64/arch").as_str()),
        ("amd64\n", "arm64\n")
    );
    // So do two builds of the same step.
    let once = "FROM busybox\nRUN cat /proc/sys/kernel/random/uuid > /u; sleep 1\n";
    let both = ["left", "right"].map(|name| begin(&world, name, once, &["-t", name]));
    both.into_iter().for_each(|child| drop(end(child)));
    let ids = ["left", "right"].map(|name| world.docker(&["image", "inspect", "-f", "{{.Id}}", name]).ok());
    assert_eq!(ids[0], ids[1]);
    world.stop();
}

/// A handler of arm64's programs for the time of a test. It is of the whole machine, but only seen in the world.
struct Handler<'a>(&'a World, bool);

const HANDLERS: &str = "/proc/sys/fs/binfmt_misc";

impl<'a> Handler<'a> {
    fn register(world: &'a World) -> Self {
        world.sh(&format!("mountpoint -q {HANDLERS} || mount -t binfmt_misc binfmt_misc {HANDLERS}")).ok();
        let there = world.sh(&format!("test -e {HANDLERS}/qemu-aarch64")).code == 0;
        if !there {
            let program = PathBuf::from(std::env::var_os("HULL_TEST_IMAGES").unwrap()).join("qemu-aarch64");
            let magic = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00";
            let mask = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff";
            let line = format!(":qemu-aarch64:M::{magic}:{mask}:{}:F", program.display());
            world.sh(&format!("printf %s '{line}' > {HANDLERS}/register")).ok();
        }
        Self(world, !there)
    }
}

impl Drop for Handler<'_> {
    fn drop(&mut self) {
        if self.1 {
            self.0.sh(&format!("echo -1 > {HANDLERS}/qemu-aarch64"));
        }
        self.0.sh(&format!("umount {HANDLERS}"));
    }
}

#[test]
fn another_processors_steps_run_where_the_host_has_a_handler() {
    let world = World::start();
    if world.serves("arm64") {
        let at = world.directory().display();
        let out = format!("type=local,dest={at}/out");
        let dockerfile = "FROM --platform=$BUILDPLATFORM busybox AS here\nRUN uname -m > /here\nFROM arm64\nRUN uname -m > /there\nCOPY --from=here /here /\nUSER 5\nRUN [\"sh\", \"-c\", \"test $(uname -m) = aarch64 && ! echo x > /there\"]\n";
        let flags = ["--platform", "linux/arm64", "-o", &out];
        let said = build(&world, dockerfile, &flags).expect_code(1).stderr;
        assert!(said.contains("binfmt_misc"), "{said}");
        let handler = Handler::register(&world);
        build(&world, dockerfile, &flags).ok();
        let read = |name: &str| std::fs::read_to_string(format!("{at}/out/{name}")).unwrap();
        assert_eq!((read("here").as_str(), read("there").as_str()), ("x86_64\n", "aarch64\n"));
        drop(handler);
    }
    world.stop();
}

#[test]
fn builds_and_prunes_do_not_disturb_each_other() {
    let world = World::start();
    build(&world, "FROM busybox\n", &[]).ok();
    let stop = world.directory().join("stop");
    let hull = format!("{} -H unix://{}", world.program(Client::Hull).display(), world.socket().display());
    let line = format!(
        "while ! test -e {}; do {hull} builder prune -af; {hull} image prune -f; done >/dev/null",
        stop.display()
    );
    let mut pruning = world.command("sh");
    let mut pruning = pruning.arg("-c").arg(line).spawn().unwrap();
    for round in 0..6 {
        let dockerfile = format!(
            "FROM busybox AS other\nRUN echo {round} > /made && head -c 300000 /dev/urandom > /big\nFROM busybox\nRUN echo {round} > /one\nCOPY Dockerfile /two\n\
             COPY --from=other /big /made /\nWORKDIR /three\nRUN --mount=from=other,target=/o cmp /o/big /big && cat /one /two /made > /three/all\n"
        );
        let name = format!("kept:{round}");
        build(&world, &dockerfile, &["-t", &name]).ok();
        let said = world.docker(&["run", "--rm", "--network", "none", &name, "cat", "/one", "/made"]).ok();
        assert_eq!(said, format!("{round}\n{round}"));
    }
    std::fs::write(&stop, "").unwrap();
    pruning.wait().unwrap();
    let said = world.sh(&format!("{hull} system check")).ok();
    assert!(!said.contains("missing"), "{said}");
    world.stop();
}
