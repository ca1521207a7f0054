//! The same commands of the stock docker CLI on Hull and on Debian's dockerd (20.10, API 1.41): codes, outputs and
//! inspected documents must be the same once ids, times and addresses are blotted out. What differs on purpose is in
//! `EXPLAINED`, and in docs/COMPARISON.md with its reason.
#![allow(clippy::unwrap_used)]

use hull_e2e::World;
use hull_e2e::comparison::{Engine, blot, differences, docker};
use serde_json::Value;

/// Differences that stay, by the path in the document or the command's label; each is a heading of docs/COMPARISON.md.
const EXPLAINED: &[&str] = &include!("explained.in");

fn explained(line: &str) -> bool {
    EXPLAINED.iter().any(|key| line.starts_with(key))
}

#[test]
fn the_same_commands_say_the_same_on_dockerd() {
    let world = World::start();
    world.start_dockerd();
    let bind = world.directory().join("bind");
    std::fs::create_dir(&bind).unwrap();
    let bind = format!("{}:/bind", bind.display());
    let commands: Vec<Vec<&str>> = vec![
        vec!["pull", "-q", "busybox"],
        vec!["pull", "busybox"],
        vec!["pull", "nope"],
        vec!["images"],
        vec!["images", "--digests"],
        vec!["history", "busybox"],
        vec!["tag", "busybox", "box:1"],
        vec!["tag", "nope", "box:1"],
        vec!["run", "--name", "aa", "busybox", "echo", "hi"],
        vec!["run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 3"],
        vec!["run", "--rm", "busybox", "nope"],
        vec!["run", "--rm", "busybox", "/etc"],
        vec!["run", "--rm", "-u", "nosuch", "busybox", "true"],
        vec!["run", "--rm", "-w", "relative", "busybox", "true"],
        vec!["run", "--rm", "--memory", "1k", "busybox", "true"],
        vec!["run", "--rm", "--cpus", "1000", "busybox", "true"],
        vec!["run", "--rm", "--restart", "always", "busybox", "true"],
        vec!["run", "--rm", "--network", "nosuch", "busybox", "true"],
        vec!["run", "--rm", "--cap-add", "NOPE", "busybox", "true"],
        vec!["run", "--rm", "-v", "x:relative", "busybox", "true"],
        vec!["run", "--rm", "--mount", "type=bind,src=/no/such,dst=/x", "busybox", "true"],
        vec!["run", "--rm", "busybox", "id"],
        vec!["run", "--rm", "busybox", "cat", "/proc/self/limits"],
        vec![
            "run",
            "--rm",
            "busybox",
            "sh",
            "-c",
            "grep -E 'Cap|Seccomp|NoNew|Groups|Uid' /proc/self/status",
        ],
        vec![
            "run",
            "--rm",
            "busybox",
            "sh",
            "-c",
            "awk '{print $5, $6}' /proc/self/mountinfo | grep -v ^/etc | sed 's/,relatime//' | sort",
        ],
        vec!["run", "--rm", "busybox", "sh", "-c", "ls -l /dev | awk '{print $1,$5,$6,$NF}'"],
        vec!["run", "--rm", "busybox", "env"],
        vec!["run", "--rm", "busybox", "sh", "-c", "ls -la / | awk '{print $1,$3,$4,$NF}'"],
        vec![
            "run",
            "--rm",
            "busybox",
            "sh",
            "-c",
            "ls /proc/self/fd | wc -l; umask; pwd; cat /proc/sys/net/ipv4/ip_unprivileged_port_start",
        ],
        vec![
            "run",
            "--rm",
            "busybox",
            "sh",
            "-c",
            "cat /etc/resolv.conf | grep -c nameserver; cat /etc/hosts | cut -f2 | sort",
        ],
        vec![
            "run",
            "--rm",
            "--privileged",
            "busybox",
            "sh",
            "-c",
            "grep Cap /proc/self/status; ls /dev | wc -l",
        ],
        vec!["run", "--rm", "-t", "busybox", "tty"],
        vec!["ps", "-a"],
        vec![
            "ps",
            "-a",
            "--format",
            "{{.Names}} {{.Image}} {{.Command}} {{.State}} {{.Ports}} {{.Networks}} {{.Mounts}}",
        ],
        vec!["logs", "aa"],
        vec!["diff", "aa"],
        vec!["start", "-a", "aa"],
        vec!["create", "--name", "aa", "busybox"],
        vec!["rename", "aa", "bb"],
        vec!["rm", "aa"],
        vec!["rm", "bb"],
        vec![
            "run",
            "-d",
            "--name",
            "cc",
            "-p",
            "8081:80",
            "-p",
            "9000-9001:90-91/udp",
            "-v",
            "vol:/data",
            "-v",
            &bind,
            "--tmpfs",
            "/t",
            "-e",
            "X=1",
            "-l",
            "k=v",
            "--memory",
            "64m",
            "--cpus",
            "0.5",
            "busybox",
            "sleep",
            "1000",
        ],
        vec!["port", "cc"],
        vec!["ps", "--no-trunc", "--format", "table {{.Names}}\t{{.Ports}}"],
        vec!["exec", "cc", "sh", "-c", "echo $X; exit 4"],
        vec!["exec", "cc", "nope"],
        vec!["exec", "nope", "true"],
        vec!["exec", "cc", "sh", "-c", "echo 1 >/new; mkdir /dir; rm /etc/passwd; touch /etc/group"],
        vec!["diff", "cc"],
        vec!["top", "cc"],
        vec!["pause", "cc"],
        vec!["exec", "cc", "true"],
        vec!["pause", "cc"],
        vec!["unpause", "cc"],
        vec!["unpause", "cc"],
        vec!["cp", "cc:/nope", "-"],
        vec!["rm", "cc"],
        vec!["rmi", "busybox"],
        vec!["volume", "ls"],
        vec!["volume", "rm", "vol"],
        vec!["volume", "rm", "nope"],
        vec!["network", "ls"],
        vec!["network", "inspect", "nope"],
        vec!["network", "rm", "bridge"],
        vec![
            "network",
            "create",
            "--subnet",
            "10.88.0.0/24",
            "--gateway",
            "10.88.0.9",
            "--label",
            "a=b",
            "nn",
        ],
        vec!["network", "create", "nn"],
        vec!["network", "create", "--subnet", "10.88.0.0/33", "mm"],
        vec!["network", "create", "--subnet", "10.88.0.128/25", "mm"],
        vec!["network", "create", "--subnet", "10.89.0.0/24", "--gateway", "10.90.0.1", "mm"],
        vec!["network", "create", "-d", "host", "mm"],
        vec!["network", "create", "-d", "nope", "mm"],
        vec!["network", "create", "bridge"],
        vec!["network", "create", "-d", "macvlan", "-o", "parent=nope0", "mm"],
        vec!["network", "create", "-d", "macvlan", "-o", "macvlan_mode=loud", "mm"],
        vec![
            "network",
            "create",
            "--internal",
            "--ip-range",
            "10.91.1.0/24",
            "--subnet",
            "10.91.0.0/16",
            "ii",
        ],
        vec!["network", "connect", "--ip", "10.88.0.77", "--alias", "sea", "nn", "cc"],
        vec!["network", "connect", "nn", "cc"],
        vec!["network", "connect", "nope", "cc"],
        vec!["network", "connect", "nn", "nope"],
        vec!["network", "connect", "host", "cc"],
        vec!["network", "rm", "nope"],
        vec![
            "network",
            "ls",
            "--filter",
            "driver=bridge",
            "--format",
            "{{.Name}} {{.Driver}} {{.Internal}} {{.Labels}}",
        ],
        vec!["exec", "cc", "ip", "route"],
        vec!["kill", "-s", "NOPE", "cc"],
        vec!["stop", "-t", "0", "cc"],
        vec!["kill", "cc"],
        vec!["wait", "cc"],
        vec!["restart", "-t", "0", "cc"],
        vec!["update", "--memory", "32m", "--memory-swap", "64m", "cc"],
        vec!["wait", "nope"],
        vec!["logs", "nope"],
        vec!["inspect", "nope"],
        vec!["ps", "--filter", "nope=1"],
        vec!["images", "--filter", "nope=1"],
    ];
    let mut found = Vec::new();
    for words in &commands {
        let [hull, dockerd] = [Engine::Hull, Engine::Dockerd].map(|engine| {
            // One published port can't belong to both: dockerd's containers take the next ones.
            let moved: Vec<String> = words
                .iter()
                .map(|word| match engine {
                    Engine::Dockerd => word.replace("8081:", "8082:").replace("9000-9001:", "9002-9003:"),
                    Engine::Hull => (*word).to_owned(),
                })
                .collect();
            let output = docker(&world, engine, &moved.iter().map(String::as_str).collect::<Vec<_>>());
            let text = format!("code {}\n{}--- stderr\n{}", output.code, output.stdout, output.stderr);
            blot(&world, &text.replace("8082", "8081").replace("9002", "9000").replace("9003", "9001"))
        });
        if hull != dockerd {
            let label = words.join(" ").replace(world.directory().to_str().unwrap(), "<dir>");
            found.push(format!("docker {label}:\n  on Hull: {hull}\n  on dockerd: {dockerd}"));
        }
    }
    for (label, words) in [
        ("container", vec!["container", "inspect", "cc"]),
        ("image", vec!["image", "inspect", "busybox"]),
        ("volume", vec!["volume", "inspect", "vol"]),
        ("network", vec!["network", "inspect", "bridge"]),
        ("user network", vec!["network", "inspect", "nn"]),
        ("internal network", vec!["network", "inspect", "ii"]),
        ("info", vec!["info", "--format", "[{{json .}}]"]),
        ("version", vec!["version", "--format", "[{{json .Server}}]"]),
    ] {
        let [hull, dockerd] = [Engine::Hull, Engine::Dockerd].map(|engine| {
            let output = docker(&world, engine, &words);
            let text = output.stdout.replace("8082", "8081").replace("9002", "9000").replace("9003", "9001");
            serde_json::from_str::<Value>(&text).unwrap_or_else(|_| output.stderr.into())
        });
        differences(&world, label, &hull[0], &dockerd[0], &mut found);
    }
    for engine in [Engine::Hull, Engine::Dockerd] {
        docker(&world, engine, &["rm", "-f", "-v", "cc"]);
        docker(&world, engine, &["network", "rm", "nn", "ii"]);
    }
    world.stop_dockerd();
    let unexplained: Vec<&String> = found.iter().filter(|line| !explained(line)).collect();
    let document = include_str!("../../../docs/COMPARISON.md");
    for key in EXPLAINED {
        assert!(document.contains(key), "docs/COMPARISON.md does not explain {key:?}");
    }
    assert!(
        unexplained.is_empty(),
        "{} differences that docs/COMPARISON.md does not explain:\n{}",
        unexplained.len(),
        unexplained.iter().map(|s| s.as_str()).collect::<Vec<_>>().join("\n")
    );
}
