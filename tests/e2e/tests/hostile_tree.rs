//! One hostile root file system, through every way in which the engine touches a container's paths; and the host's own
//! files beside it, which nothing of that may read or change.
#![allow(clippy::unwrap_used)] // helpers of tests

use hull_e2e::{Client, Output, World};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SECRET: &str = "the-hosts-own-secret";

/// How much of something there is to be: a little in CI, more where the environment says so.
fn number(variable: &str, otherwise: usize) -> usize {
    std::env::var(variable).ok().map_or(otherwise, |text| text.parse().expect(variable))
}

fn hull(world: &World, words: &str) -> Output {
    world.hull(&words.split(' ').collect::<Vec<_>>())
}

/// The host's files: what is in them, their modes, owners and times.
fn canary(world: &World) -> String {
    world.sh(&format!("cd {}/canary && find . -printf '%p %y %m %U:%G %n %s %T@ %l\\n' | sort && cat secret passwd group", world.directory().display())).ok()
}

/// An image whose paths lead out wherever one would follow them from the host: absolute links, long climbs, links of
/// procfs, links in place of what engines make and read.
fn image(world: &World) -> String {
    let at = world.directory().display().to_string();
    let busybox = hull(world, "create --network none busybox").ok();
    let up = "../".repeat(40);
    let script = format!(
        "set -e; cd {at}; mkdir -p canary/in tree; echo {SECRET} > canary/secret; echo 'evil:x:0:0::/:/bin/sh' > canary/passwd
        cp canary/passwd canary/group; chmod 600 canary/secret; chmod 751 canary; touch -d @1000000000 canary/* canary
        {program} -H unix://{at}/hull.sock cp {busybox}:/bin tree/bin; cd tree
        ln -s {at}/canary etc; ln -s {up}{at}/canary up; ln -s /proc/1/root{at}/canary home; ln -s /proc/self/cwd here
        ln -s {at}/canary vol; ln -s {at}/canary work; ln -s {at}/canary/secret leaf; ln -s vol chain; mkdir -p run var dir
        ln -s /run var/run; ln -s {at}/canary dir/sub; ln -s loop loop; mkfifo pipe; ln -s /proc/self/fd/3 fd
        mkdir usr usr/bin; for name in xz unpigz gzip bzip2 zstd tar; do printf '#!/bin/sh\\ntouch {at}/canary/run\\n' > usr/bin/$name; done
        chmod 755 usr/bin/*; tar -cf ../tree.tar .",
        program = world.program(Client::Hull).display(),
    );
    world.sh(&script).ok();
    hull(world, &format!("rm {busybox}")).ok();
    let changes =
        ["import", "-c", "WORKDIR /work", "-c", "VOLUME /vol", "-c", "ENV PATH=/bin", "-c", "CMD sleep 1000"];
    let mut words = changes.to_vec();
    let archive = format!("{at}/tree.tar");
    words.extend([archive.as_str(), "hostile"]);
    world.hull(&words).ok();
    at
}

const PATHS: [&str; 13] = [
    "/etc", "/up", "/home", "/here", "/vol", "/work", "/leaf", "/chain", "/dir/sub", "/loop", "/pipe", "/fd",
    "/var/run",
];

fn every_way(flags: &[&str]) {
    let world = World::with_flags(&[&["--registry-mirror", "http://127.0.0.1:5000"][..], flags].concat());
    hull(&world, "pull -q busybox").ok();
    let at = image(&world);
    let before = canary(&world);
    let mut said = String::new();
    let mut tell = |output: Output| said += &format!("{}{}\n", output.stdout, output.stderr);
    hull(&world, "run -d --name live --network none -w / --tmpfs /tmpfs hostile").ok();
    hull(&world, "create --name dead --network none -v named:/dir/sub/named hostile").ok();
    std::fs::write(world.directory().join("given"), "given\n").unwrap();
    world
        .sh(&format!("cd {at} && tar -cf in.tar given && gzip -k in.tar && xz -k in.tar && bzip2 -k in.tar"))
        .ok();
    let api = |method: &str, path: &str, more: &str| {
        world.sh(&format!("curl -s -m 20 -X {method} {more} --unix-socket {at}/hull.sock 'http://x/{path}'"))
    };
    for name in ["live", "dead"] {
        for path in PATHS {
            for (at, under) in ["", "/", "/.", "/secret", "/in", "/../etc/passwd"].iter().enumerate() {
                let asked = format!("containers/{name}/archive?path={path}{under}");
                tell(api("GET", &asked, "-o - | tar -xO 2>&1"));
                if at < 4 {
                    tell(api("HEAD", &asked, "-I"));
                    tell(api("PUT", &asked, &format!("-T {}/in.tar.xz", world.directory().display())));
                }
            }
        }
        tell(world.sh(&format!(
            "{} -H unix://{at}/hull.sock export {name} | tar -xO 2>&1 | strings | grep -a {SECRET}",
            world.program(Client::Hull).display()
        )));
        for words in ["diff", "logs", "inspect", "inspect -s", "top", "stats --no-stream", "port"] {
            let mut words: Vec<&str> = words.split(' ').collect();
            words.insert(1, name);
            tell(world.hull(&words));
        }
        tell(hull(&world, &format!("commit {name} made-{name}")));
        tell(hull(
            &world,
            &format!("run --rm --network none -w / made-{name} cat /etc/secret /leaf /work/secret"),
        ));
    }
    for words in [
        "exec live cat /etc/secret",
        "exec -u evil live id",
        "exec -u 0:evil live id",
        "exec -w /work live cat secret",
        "exec -w /home live cat secret",
        "exec -w /here/canary live ls",
        "exec -w /fd live ls -a",
        "run --rm --network none -u evil hostile id",
        "run --rm --network none -w /etc/new hostile cat ../secret",
        "run --rm --network none -w /home hostile cat secret",
        "run --rm --network none -v named:/etc/sub hostile ls /etc/sub /etc",
        "run --rm --network none --tmpfs /up/in hostile ls /up",
        "run --rm --network none --init --env-file /dev/null hostile cat /vol/secret",
        "run --rm --network none -h name --dns 1.1.1.1 --add-host a:1.1.1.1 hostile cat /etc/hosts /etc/resolv.conf",
        "run --rm --network none --read-only hostile cat /leaf",
        "run --rm --network none --volumes-from live hostile cat /vol/secret",
        "start dead",
        "restart -t 0 live",
        "update --cpu-shares 100 live",
        "rename live live2",
        "system df -v",
        "system check",
        "container prune -f",
    ] {
        tell(hull(&world, words));
    }
    assert!(
        !said.contains(SECRET),
        "{}",
        said.lines().filter(|line| line.contains(SECRET)).collect::<String>()
    );
    assert!(said.contains("given") || said.lines().count() > 300, "{said}");
    assert_eq!(canary(&world), before, "the host's files are another");
    world.stop();
    assert!(!Path::new(&at).exists());
}

#[test]
fn a_hostile_tree_leads_nowhere() {
    every_way(&[]);
}

#[test]
fn a_hostile_tree_leads_nowhere_with_the_other_driver() {
    every_way(&["--storage-driver", "overlay2"]);
}

/// The daemon's system calls while something is done.
struct Traced(Child, std::path::PathBuf);

impl Traced {
    fn begin(world: &World, calls: &str) -> Self {
        let log = world.directory().join("trace");
        let child = Command::new("strace")
            .args(["-f", "-q", "-y", "-s", "300", "-e", calls, "-e", "signal=none", "-o"])
            .arg(&log)
            .args(["-p", &world.daemon_pid().to_string()])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let status = format!("/proc/{}/status", world.daemon_pid());
        hull_e2e::eventually("the daemon is traced", 10, || {
            let text = std::fs::read_to_string(&status).unwrap();
            text.lines().any(|line| line == format!("TracerPid:\t{}", child.id())).then_some(())
        });
        Self(child, log)
    }
    fn end(mut self) -> String {
        let pid = rustix::process::Pid::from_raw(self.0.id() as i32).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        self.0.wait().unwrap();
        std::fs::read_to_string(&self.1).unwrap()
    }
}

#[test]
fn cve_2014_9357_2019_14271_2026_41567_no_program_and_no_library_is_loaded_for_an_archive() {
    let world = World::start();
    hull(&world, "pull -q busybox").ok();
    let at = image(&world);
    hull(&world, "run -d --name live --network none -w / -e PATH=/usr/bin:/bin hostile /bin/sleep 1000").ok();
    hull(&world, "create --name dead --network none hostile").ok();
    world.sh(&format!("cd {at} && echo x > given && tar -cf in.tar given && gzip -k in.tar && xz -k in.tar && bzip2 -k in.tar && zstd -q in.tar")).ok();
    hull(&world, &format!("save -o {at}/saved.tar hostile")).ok();
    world.sh(&format!("cd {at} && xz -k saved.tar && gzip -k saved.tar && bzip2 -k saved.tar")).ok();
    let traced = Traced::begin(&world, "trace=execve,execveat,open,openat,openat2");
    let put = |name: &str, form: &str| {
        let asked = format!("http://x/containers/{name}/archive?path=/dir");
        let put = format!(
            "curl -s -o /dev/null -w '%{{http_code}}' -T {at}/in.tar{form} --unix-socket {at}/hull.sock '{asked}'"
        );
        assert_eq!(world.sh(&put).ok(), "200", "{name} {form}");
    };
    for form in ["", ".gz", ".xz", ".bz2", ".zst"] {
        put("live", form);
        put("dead", form);
    }
    hull(&world, "rmi hostile").expect_code(1);
    hull(&world, "pull -q debian").ok();
    for form in ["", ".gz", ".xz", ".bz2"] {
        hull(&world, &format!("load -q -i {at}/saved.tar{form}")).ok();
        hull(&world, &format!("import {at}/in.tar{form} imported")).ok();
    }
    for name in ["live", "dead"] {
        hull(&world, &format!("cp {name}:/dir/given {at}/back")).ok();
        hull(&world, &format!("export -o {at}/export.tar {name}")).ok();
        hull(&world, &format!("diff {name}")).ok();
    }
    let calls = traced.end();
    assert!(
        calls.lines().filter(|line| line.contains("openat")).count() > 50,
        "it was not traced: {calls:.2000}"
    );
    let started: Vec<&str> = calls.lines().filter(|line| line.contains("execve")).collect();
    assert!(started.is_empty(), "{started:#?}");
    let loaded = |line: &&str| {
        line.contains("nsswitch")
            || line.contains("libnss")
            || line.contains(".so\"")
            || line.contains(".so.")
    };
    let loaded: Vec<&str> = calls.lines().filter(loaded).collect();
    assert!(loaded.is_empty(), "{loaded:#?}");
    world.stop();
}

#[test]
fn cve_2018_15664_2026_41568_names_are_exchanged_during_copies() {
    let world = World::start();
    hull(&world, "pull -q busybox").ok();
    let at = image(&world);
    let before = canary(&world);
    let swap = format!(
        "while :; do /bin/busybox rm -rf /s; /bin/busybox ln -s {at}/canary /s; /bin/busybox rm -f /s; /bin/busybox mkdir -p /s/in; done"
    );
    world
        .hull(&[
            "run",
            "-d",
            "--name",
            "live",
            "--network",
            "none",
            "-w",
            "/",
            "hostile",
            "/bin/sh",
            "-c",
            &swap,
        ])
        .ok();
    world.sh(&format!("cd {at} && mkdir secret && echo evil > secret/x && tar -cf in.tar secret")).ok();
    // One client, so that a copy costs as little as it can.
    let mut urls = String::new();
    for round in 0..300 {
        let path = ["/s", "/s/in", "/s/secret"][round % 3];
        let url = format!("http://x/containers/live/archive?path={path}");
        urls += &format!("url = \"{url}\"\noutput = \"{at}/out\"\n");
        if round % 2 == 0 {
            urls += &format!("upload-file = \"{at}/in.tar\"\n");
        }
        urls += "next\nsilent\n";
        urls += &format!("unix-socket = \"{at}/hull.sock\"\n");
    }
    let config = world.directory().join("copies");
    std::fs::write(
        &config,
        format!("silent\nunix-socket = \"{at}/hull.sock\"\n{urls}url = \"http://x/_ping\"\n"),
    )
    .unwrap();
    let race = Duration::from_secs(number("HULL_RACE_SECONDS", 0) as u64);
    let begun = Instant::now();
    loop {
        world.sh(&format!("curl -K {}", config.display())).ok();
        if begun.elapsed() >= race {
            break;
        }
    }
    for _ in 0..20 {
        let out = world.sh(&format!(
            "{} -H unix://{at}/hull.sock cp live:/s/secret - | tar -xO 2>&1",
            world.program(Client::Hull).display()
        ));
        assert!(!out.stdout.contains(SECRET), "{}", out.stdout);
    }
    assert_eq!(canary(&world), before);
    // What is a link of the image's own goes on being followed, also on the way to a mount.
    hull(&world, "create --name linked --network none -v kept:/var/run/v hostile cat /run/v/given").ok();
    std::fs::write(world.directory().join("given"), "given\n").unwrap();
    hull(&world, &format!("cp {at}/given linked:/var/run/v/given")).ok();
    assert_eq!(hull(&world, "start -a linked").ok(), "given");
    world.stop();
}

fn peak(world: &World) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", world.daemon_pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn cve_2017_14992_2026_47262_large_files_are_not_held_in_memory() {
    let world = World::start();
    hull(&world, "pull -q busybox").ok();
    let at = world.directory().display().to_string();
    hull(&world, "run -d --name live --network none busybox sleep 1000").ok();
    let before = peak(&world);
    hull(&world, "exec live dd if=/dev/zero of=/etc/group bs=1M count=0 seek=1024").ok();
    hull(&world, "exec live dd if=/dev/zero of=/etc/passwd bs=1M count=0 seek=1024").ok();
    for words in
        ["exec -u nobody live true", "exec -u 0:nogroup live true", "exec live true", "restart -t 0 live"]
    {
        // Whether it finds somebody there or not.
        hull(&world, words);
    }
    // Zeros that are a thousand times smaller on the way, as a layer, an upload and an archive of images.
    let size = number("HULL_LARGE_MIB", 300);
    world
        .sh(&format!("cd {at} && truncate -s {size}M zeros && tar -cf - zeros | gzip -1 > zeros.tar.gz"))
        .ok();
    hull(&world, &format!("import {at}/zeros.tar.gz zeros")).ok();
    hull(&world, &format!("load -i {at}/zeros.tar.gz")).expect_code(1);
    world.sh(&format!("curl -s -T {at}/zeros.tar.gz --unix-socket {at}/hull.sock 'http://x/containers/live/archive?path=/'")).ok();
    let after = peak(&world);
    assert!(after < before + (64 << 10), "the daemon's peak was {before} KiB and is {after} KiB");
    world.stop();
}
