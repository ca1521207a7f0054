//! The runtime under other engines: Debian's dockerd, containerd and podman run their containers on it.
//!
//! Each of them calls it in its own way (`create --console-socket`, `exec --process … --detach`, `ps --format json`,
//! `update --resources -`, `delete --force` of what is gone); here that is tried through what a person types.
#![allow(clippy::unwrap_used)]

use hull_e2e::{Output, Terminal, World, eventually};
use std::process::Command;

/// An engine that is not ours, on our runtime.
struct Engine<'a> {
    world: &'a World,
    /// The client's words before the command's.
    client: Vec<String>,
}

impl Engine<'_> {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.world.command(&self.client[0]);
        command.args(&self.client[1..]).args(words);
        command
    }

    fn call(&self, line: &str) -> Output {
        self.world.run(self.command(&split(line)), None)
    }

    /// Runs a command and wants this output and code.
    #[track_caller]
    fn says(&self, line: &str, code: i32, wanted: &str) {
        let said = self.call(line).expect_code(code);
        assert_eq!(said.stdout.trim_end().replace('\r', ""), wanted, "{line}: {}", said.stderr);
    }

    #[track_caller]
    fn ok(&self, line: &str) -> String {
        self.call(line).ok()
    }

    #[track_caller]
    fn fails(&self, line: &str, code: i32, wanted: &str) {
        let said = self.call(line).expect_code(code);
        assert!(said.stderr.contains(wanted), "{line}: {}", said.stderr);
    }
}

/// Words; what is between single quotes is one.
fn split(line: &str) -> Vec<&str> {
    let parts = line.split('\'').enumerate();
    parts
        .flat_map(|(index, part)| match index % 2 {
            0 => part.split_whitespace().collect::<Vec<_>>(),
            _ => vec![part],
        })
        .collect()
}

fn runtime() -> String {
    std::env::var("HULL_RUNTIME").expect("HULL_RUNTIME is not set: run the tests by ./test")
}

/// Directories below the hierarchies' groups of this world that name a container.
fn groups(world: &World) -> Vec<String> {
    let line =
        format!("find /sys/fs/cgroup/*{} -mindepth 1 -type d 2>/dev/null || true", world.cgroup_parent());
    let found = world.sh(&line).ok();
    found.lines().filter(|path| !path.contains("conmon")).map(str::to_owned).collect()
}

fn assert_nothing_left(world: &World) {
    eventually("the containers' groups are gone", 10, || groups(world).is_empty().then_some(()));
}

/// A world in which what engines keep at fixed places of the machine is its own.
fn world() -> World {
    let world = World::bare(&[]);
    world.sh("mkdir -p /run/containerd && mount -t tmpfs tmpfs /run/containerd && mount -t tmpfs tmpfs /dev/shm").ok();
    world.start_registry("");
    world
}

#[test]
fn dockerd_runs_containers_on_it() {
    let world = world();
    let runtime = format!("hull={}", runtime());
    let parent = world.cgroup_parent();
    world.start_dockerd_with(&[
        "--add-runtime",
        &runtime,
        "--default-runtime",
        "hull",
        "--cgroup-parent",
        &parent,
    ]);
    let socket = format!("unix://{}", world.dockerd_socket().display());
    let docker = Engine { world: &world, client: ["docker", "-H", &socket].map(str::to_owned).to_vec() };
    eventually("dockerd is ready", 20, || (docker.call("info").code == 0).then_some(()));
    assert!(docker.ok("info").contains("Default Runtime: hull"));
    docker.ok("pull -q busybox");
    one_shot_containers(&docker);
    a_life_under_dockerd(&docker);
    failures_under_dockerd(&docker);
    a_person_at_a_terminal(&docker);
    assert_nothing_left(&world);
    world.stop_dockerd();
}

fn one_shot_containers(docker: &Engine<'_>) {
    let status = "CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2";
    for (line, code, wanted) in [
        ("run --rm busybox echo hi", 0, "hi"),
        ("run --rm -t busybox tty", 0, "/dev/pts/0"),
        ("run --rm busybox sh -c 'exit 9'", 9, ""),
        ("run --rm --user 1000:8 --group-add 9 busybox id", 0, "uid=1000 gid=8 groups=8,9"),
        ("run --rm --init busybox sh -c 'readlink /proc/1/exe'", 0, "/sbin/docker-init"),
        ("run --rm --read-only --tmpfs /t busybox sh -c 'touch /t/x && echo t; touch /x'", 1, "t"),
        (
            "run --rm --cap-drop ALL --security-opt no-new-privileges busybox grep -E '^(CapPrm|CapEff|NoNew|Seccomp:)' /proc/self/status",
            0,
            status,
        ),
        (
            "run --rm --security-opt seccomp=unconfined busybox grep Seccomp: /proc/self/status",
            0,
            "Seccomp:\t0",
        ),
        ("run --rm --ulimit nofile=100:200 busybox sh -c 'ulimit -n; ulimit -Hn'", 0, "100\n200"),
        ("run --rm --sysctl net.ipv4.ip_forward=0 busybox cat /proc/sys/net/ipv4/ip_forward", 0, "0"),
        ("run --rm --oom-score-adj 300 busybox cat /proc/self/oom_score_adj", 0, "300"),
        ("run --rm -w /made/here busybox pwd", 0, "/made/here"),
        ("run --rm --shm-size 1m busybox sh -c 'df /dev/shm | grep -c 1024'", 0, "1"),
        (
            "run --rm --device /dev/fuse:/dev/own busybox stat -c '%F %t %T' /dev/own",
            0,
            "character special file a e5",
        ),
        (
            "run --rm --hostname h --domainname d busybox sh -c 'hostname; cat /proc/sys/kernel/domainname'",
            0,
            "h\nd",
        ),
        (
            "run --rm --memory 16m --memory-swap 16m busybox cat /sys/fs/cgroup/memory/memory.limit_in_bytes",
            0,
            "16777216",
        ),
        // A privileged container gets all of the host's nodes, and still its own terminals.
        ("run --rm --privileged -t busybox sh -c 'readlink /dev/ptmx; tty'", 0, "pts/ptmx\n/dev/pts/0"),
        (
            "run --rm --privileged busybox sh -c 'mount -t tmpfs x /tmp && mknod /tmp/n c 1 3 && echo x >/tmp/n && echo ok'",
            0,
            "ok",
        ),
        (
            "run --rm -v vol:/v -v /etc/hostname:/f:ro busybox sh -c 'touch /v/x && ls /v; touch /f 2>&1'",
            1,
            "x\ntouch: /f: Read-only file system",
        ),
    ] {
        docker.says(line, code, wanted);
    }
    docker.ok("volume rm vol");
    let shared = docker.ok("run --rm --net host --pid host --ipc host --uts host busybox sh -c 'for n in net pid ipc uts; do readlink /proc/self/ns/$n; done'");
    let own = docker.world.sh("for n in net pid ipc uts; do readlink /proc/self/ns/$n; done").ok();
    assert_eq!(shared, own);
    let input =
        docker.world.run(docker.command(&["run", "--rm", "-i", "busybox", "wc", "-c"]), Some("12345"));
    assert_eq!(input.ok(), "5");
}

fn a_life_under_dockerd(docker: &Engine<'_>) {
    let script = "'trap \"exit 3\" TERM; while :; do sleep 0.1; done'";
    docker.ok(&format!("run -d --name c1 --memory 64m --cpus 0.5 busybox sh -c {script}"));
    docker.says("exec c1 sh -c 'id -u; exit 7'", 7, "0");
    docker.says("exec -t c1 tty", 0, "/dev/pts/0");
    docker.says("exec -u 1000:7 -w /tmp -e A=b c1 sh -c 'id -u; id -g; pwd; echo $A'", 0, "1000\n7\n/tmp\nb");
    // A machine may lack one of them (CAP_SYS_RESOURCE), and what it lacks it cannot give.
    docker.says("exec --privileged c1 grep -cE 'CapEff.*f[ef]ffffff' /proc/self/status", 0, "1");
    let input = docker.world.run(docker.command(&["exec", "-i", "c1", "wc", "-c"]), Some("123"));
    assert_eq!(input.ok(), "3");
    docker.ok("exec -d c1 touch /flag");
    eventually("the detached process has run", 10, || {
        (docker.call("exec c1 ls /flag").code == 0).then_some(())
    });

    let stats = docker.ok("stats --no-stream --format '{{.PIDs}} {{.MemUsage}}' c1");
    assert!(!stats.starts_with("0 ") && stats.ends_with("64MiB"), "{stats}");
    docker.ok("pause c1");
    assert_eq!(docker.ok("inspect -f {{.State.Status}} c1"), "paused");
    docker.ok("unpause c1");
    docker.ok("update --memory 32m --memory-swap 64m --cpus 0.25 --pids-limit 20 --cpuset-cpus 0 c1");
    let files = "memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us pids/pids.max cpuset/cpuset.cpus";
    docker.says(&format!("exec -w /sys/fs/cgroup c1 cat {files}"), 0, "33554432\n25000\n20\n0");
    let top = docker.ok("top c1 -o pid,args");
    assert!(top.contains("trap"), "{top}");
    assert!(docker.ok("cp c1:/etc/hostname -").contains("hostname"));

    docker.ok("restart -t 5 c1");
    docker.says("exec c1 echo again", 0, "again");
    docker.ok("stop -t 5 c1");
    assert_eq!(docker.ok("inspect -f {{.State.ExitCode}} c1"), "3", "it was asked to end, and could answer");
    docker.ok("start c1");
    docker.ok("kill c1");
    assert_eq!(docker.ok("wait c1"), "137");
    docker.ok("rm c1");
    docker.ok("run -d --name c2 busybox sleep 1000");
    docker.ok("rm -f c2");
    docker.call("run --name c3 --restart on-failure:1 busybox false");
    eventually("it was started again", 10, || {
        (docker.ok("inspect -f '{{.RestartCount}} {{.State.Status}}' c3") == "1 exited").then_some(())
    });
    docker.ok("rm c3");
}

fn failures_under_dockerd(docker: &Engine<'_>) {
    docker.fails("run --rm busybox nope", 127, "exec: \"nope\": executable file not found in $PATH");
    docker.fails("run --rm busybox /etc/passwd", 126, "permission denied");
    docker.fails("run --rm -v /etc:/proc busybox true", 125, "");
    docker.fails("run --rm --sysctl net.ipv4.nope=1 busybox true", 127, "nope");
    let hog = "'x=$(head -c 100000000 /dev/zero | tr \"\\0\" x); echo $x'";
    let said = docker.call(&format!("run --name oom --memory 16m --memory-swap 16m busybox sh -c {hog}"));
    assert_eq!(said.code, 137, "{}", said.stderr);
    eventually("the daemon has heard of it", 10, || {
        (docker.ok("inspect -f {{.State.OOMKilled}} oom") == "true").then_some(())
    });
    docker.ok("rm oom");
}

fn a_person_at_a_terminal(docker: &Engine<'_>) {
    let mut terminal = Terminal::run(&docker.command(&["run", "--rm", "-it", "busybox", "sh"]), 31, 91);
    terminal.expect("/ #");
    terminal.send("stty size\r");
    terminal.expect("31 91");
    terminal.resize(40, 100);
    // The new size goes through the daemon: it is asked for until it is there.
    eventually("the size has come", 10, || {
        terminal.send("stty size\r");
        terminal.screen().contains("40 100").then_some(())
    });
    terminal.send("exit 6\r");
    assert_eq!(terminal.wait(), 6);
}

#[test]
fn containerd_runs_containers_on_it() {
    let world = world();
    let folder = world.directory().display().to_string();
    let config = format!(
        "version = 2\nroot = \"{folder}/root\"\nstate = \"{folder}/state\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
         [grpc]\naddress = \"{folder}/containerd.sock\"\n"
    );
    std::fs::write(world.directory().join("containerd.toml"), config).unwrap();
    let log = std::fs::File::create(world.directory().join("containerd.log")).unwrap();
    let mut command = world.command("containerd");
    command
        .args(["--config", &format!("{folder}/containerd.toml")])
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    let mut containerd = command.spawn().unwrap();
    let ctr = Engine {
        world: &world,
        client: ["ctr", "-a", &format!("{folder}/containerd.sock")].map(str::to_owned).to_vec(),
    };
    eventually("containerd answers", 30, || (ctr.call("version").code == 0).then_some(()));
    let image = "127.0.0.1:5000/library/busybox:latest";
    ctr.ok(&format!("image pull --plain-http {image}"));
    let group = world.cgroup_parent();
    let run = format!("run --runc-binary {} --runc-root {folder}/runtime --cgroup {group}/x1", runtime());

    ctr.says(&format!("{run} --rm {image} x1 echo hi"), 0, "hi");
    ctr.says(
        &format!("{run} --rm --read-only --cwd /tmp {image} x1 sh -c 'pwd; touch /x; exit 3'"),
        3,
        "/tmp",
    );
    ctr.says(&format!("{run} --rm --memory-limit 16777216 --mount type=bind,src=/sys/fs/cgroup/memory,dst=/m,options=rbind:ro {image} x1 cat /m{group}/x1/memory.limit_in_bytes"), 0, "16777216");
    let mut terminal = Terminal::run(
        &ctr.command(&split(&format!("{run} --rm -t {image} x1 sh -c 'tty; stty size'"))),
        30,
        90,
    );
    assert_eq!(terminal.wait(), 0);
    terminal.expect("/dev/pts/0");
    ctr.fails(&format!("{run} --rm {image} x1 nope"), 1, "executable file not found");
    ctr.call("container rm x1");

    ctr.ok(&format!("{run} -d {image} x2 sleep 1000"));
    ctr.says("task exec --exec-id e1 x2 sh -c 'id -u; exit 4'", 4, "0");
    assert!(ctr.ok("task ps x2").lines().count() == 2);
    assert!(ctr.ok("task metrics x2").contains("memory.usage_in_bytes"));
    ctr.ok("task pause x2");
    assert!(ctr.ok("task ls").contains("PAUSED"));
    ctr.ok("task resume x2");
    ctr.ok("task kill -s KILL x2");
    eventually("it has stopped", 10, || ctr.ok("task ls").contains("STOPPED").then_some(()));
    assert!(ctr.call("task delete x2").stderr.contains("137"));
    ctr.ok("container rm x2");

    assert_nothing_left(&world);
    let pid = rustix::process::Pid::from_raw(containerd.id() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    containerd.wait().unwrap();
}

#[test]
fn podman_runs_containers_on_it() {
    let world = world();
    let folder = world.directory().display().to_string();
    // podman asks for more open files than this machine gives; the rest keeps it off the machine's own places.
    let config = "[containers]\ndefault_ulimits = [\"nofile=4096:4096\", \"nproc=4096:4096\"]\ncgroups = \"enabled\"\n[engine]\nlock_type = \"file\"\n";
    std::fs::write(world.directory().join("containers.conf"), config).unwrap();
    let program = format!(
        "env -u DOCKER_CONFIG CONTAINERS_CONF={folder}/containers.conf podman --root {folder}/root --runroot {folder}/run --tmpdir {folder}/tmp \
         --storage-driver vfs --cgroup-manager cgroupfs --events-backend none --runtime {} --conmon /usr/bin/conmon",
        runtime()
    );
    let podman = Engine { world: &world, client: program.split_whitespace().map(str::to_owned).collect() };
    podman.ok("pull -q --tls-verify=false 127.0.0.1:5000/library/busybox");
    podman.ok("tag 127.0.0.1:5000/library/busybox localhost/b");
    let run = format!("run --network none --cgroup-parent {}", world.cgroup_parent());
    for (line, code, wanted) in [
        ("--rm b echo hi", 0, "hi"),
        ("--rm -t b tty", 0, "/dev/pts/0"),
        ("--rm b sh -c 'exit 9'", 9, ""),
        ("--rm --user 1000:8 --read-only b sh -c 'id -u; touch /x'", 1, "1000"),
        (
            "--rm --uidmap 0:100000:1000 b sh -c 'echo $(cat /proc/self/uid_map); touch /made && echo ok'",
            0,
            "0 100000 1000\nok",
        ),
        ("--rm --privileged b readlink /dev/ptmx", 0, "pts/ptmx"),
        (
            "--rm --memory 16m --memory-swap 16m b cat /sys/fs/cgroup/memory/memory.limit_in_bytes",
            0,
            "16777216",
        ),
        (
            "--rm --systemd always b sh -c 'touch /run/x && mkdir /sys/fs/cgroup/systemd/below && rmdir /sys/fs/cgroup/systemd/below && echo ok'",
            0,
            "ok",
        ),
    ] {
        podman.says(&format!("{run} {line}"), code, wanted);
    }
    podman.fails(&format!("{run} --rm b nope"), 127, "executable file not found in $PATH");
    podman.fails(&format!("{run} --rm b /etc/passwd"), 126, "permission denied");

    podman.ok(&format!(
        "{run} -d --name p1 --memory 64m b sh -c 'trap \"exit 3\" TERM; while :; do sleep 0.1; done'"
    ));
    podman.says("exec p1 sh -c 'id -u; exit 5'", 5, "0");
    podman.says("exec -t p1 tty", 0, "/dev/pts/0");
    podman.fails("exec p1 nope", 127, "executable file not found");
    assert!(podman.ok("top p1").contains("trap"));
    let stats = podman.ok("stats --no-stream --format '{{.MemUsage}}' p1");
    assert!(stats.ends_with("67.11MB"), "{stats}");
    podman.ok("pause p1");
    assert_eq!(podman.ok("inspect -f {{.State.Status}} p1"), "paused");
    podman.ok("unpause p1");
    podman.ok("update --cpus 0.5 p1");
    podman.says("exec p1 cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us", 0, "50000");
    podman.ok("restart -t 5 p1");
    podman.ok("stop -t 5 p1");
    assert_eq!(podman.ok("inspect -f {{.State.ExitCode}} p1"), "3");
    podman.ok("start p1");
    podman.ok("kill p1");
    assert_eq!(podman.ok("wait p1"), "137");
    podman.ok("rm p1");
    podman.ok(&format!("{run} -d --name p2 b sleep 1000"));
    podman.ok("rm -f -t 0 p2");
    assert_nothing_left(&world);
}
