//! The daemon's own ways: TLS, several daemons side by side, foreign runtimes, contexts, what is refused.
#![allow(clippy::unwrap_used)]

use hull_e2e::{Client, World, eventually};

/// A certificate authority with a server's and a client's certificate, in the world's folder.
fn certificates(world: &World) {
    let folder = world.directory().display();
    world
        .sh(&format!(
            "cd {folder} && mkdir client-certs &&
             openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=ca 2>/dev/null &&
             for name in server client; do
               openssl req -newkey rsa:2048 -nodes -keyout $name.key -out $name.csr -subj /CN=$name 2>/dev/null &&
               printf 'subjectAltName=IP:127.0.0.1\\nextendedKeyUsage=serverAuth,clientAuth' >extensions &&
               openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out $name.pem -days 2 \
                 -extfile extensions 2>/dev/null || exit 1
             done &&
             cp ca.pem client-certs/ca.pem && cp client.pem client-certs/cert.pem && cp client.key client-certs/key.pem"
        ))
        .ok();
}

#[test]
fn tls_lets_in_only_those_with_a_certificate() {
    let world = World::bare(&[]);
    certificates(&world);
    let file = |name: &str| world.directory().join(name).display().to_string();
    let flags = [
        "-H".to_owned(),
        "tcp://127.0.0.1:2376".to_owned(),
        "--tlsverify".to_owned(),
        format!("--tlscacert={}", file("ca.pem")),
        format!("--tlscert={}", file("server.pem")),
        format!("--tlskey={}", file("server.key")),
        "--registry-mirror=http://127.0.0.1:5000".to_owned(),
    ];
    world.start_registry("");
    world.start_daemon_with(&flags);
    let over_tls = |client: Client, certificates: bool, words: &[&str]| {
        let mut command = world.command(world.program(client));
        command.args(["-H", "tcp://127.0.0.1:2376"]);
        if certificates {
            command.arg("--tlsverify").env("DOCKER_CERT_PATH", world.directory().join("client-certs"));
        } else {
            command.arg("--tls");
        }
        command.args(words);
        world.run(command, None)
    };
    for client in [Client::Hull, Client::Docker] {
        assert_eq!(over_tls(client, true, &["run", "--rm", "busybox", "echo", "sealed"]).ok(), "sealed");
        assert_ne!(over_tls(client, false, &["ps"]).code, 0, "without a certificate");
    }
    let plain = world.sh("curl -s --max-time 2 http://127.0.0.1:2376/_ping");
    assert!(!plain.stdout.contains("OK"), "{}", plain.stdout);
    world.stop();
}

#[test]
fn a_foreign_runtime_serves_as_well() {
    let world = World::with_flags(&[
        "--registry-mirror",
        "http://127.0.0.1:5000",
        "--add-runtime",
        "runc=/usr/sbin/runc",
    ]);
    for client in [Client::Hull, Client::Docker] {
        let go = |words: &[&str]| world.client(client, words);
        assert_eq!(go(&["run", "--rm", "--runtime", "runc", "busybox", "echo", "by runc"]).ok(), "by runc");
        go(&["run", "-d", "--name", "foreign", "--runtime", "runc", "-p", "8080:80", "nginx"]).ok();
        eventually("nginx answers", 10, || {
            world.sh("curl -s http://127.0.0.1:8080/").stdout.contains("Welcome to nginx").then_some(())
        });
        assert_eq!(go(&["exec", "foreign", "echo", "inside"]).ok(), "inside");
        go(&["pause", "foreign"]).ok();
        go(&["unpause", "foreign"]).ok();
        world.kill_daemon();
        world.start_daemon();
        assert_eq!(
            go(&["inspect", "-f", "{{.State.Status}} {{.HostConfig.Runtime}}", "foreign"]).ok(),
            "running runc"
        );
        go(&["stop", "-t", "2", "foreign"]).ok();
        go(&["rm", "foreign"]).ok();
        go(&["run", "--rm", "--runtime", "runc", "busybox", "nope"]).expect_code(127);
    }
    world.stop();
}

#[test]
fn two_daemons_stand_side_by_side() {
    let world = World::start();
    let other = world.directory().join("other");
    std::fs::create_dir(&other).unwrap();
    let socket = format!("unix://{}/hull.sock", other.display());
    let mut command = world.command(world.program(Client::Hull));
    command.arg("daemon").args(["--data-root", &format!("{}/data", other.display())]);
    command.args(["--exec-root", &format!("{}/exec", other.display()), "-H", &socket]);
    command.args(["--pidfile", &format!("{}/pid", other.display()), "--bip", "172.31.0.1/16"]);
    command.args(["--config-file", world.directory().join("daemon.json").to_str().unwrap()]);
    command.args(["--registry-mirror", "http://127.0.0.1:5000"]);
    command.stderr(std::process::Stdio::null());
    let mut second = command.spawn().unwrap();
    let on_second = |words: &[&str]| {
        let mut command = world.command(world.program(Client::Hull));
        command.args(["-H", &socket]).args(words);
        world.run(command, None)
    };
    eventually("the second daemon answers", 10, || (on_second(&["ps"]).code == 0).then_some(()));
    world.hull(&["run", "-d", "--name", "web", "-p", "8081:80", "nginx"]).ok();
    on_second(&["run", "-d", "--name", "web", "-p", "8082:80", "nginx"]).ok();
    for port in [8081, 8082] {
        eventually("each serves its own", 10, || {
            world.sh(&format!("curl -s http://127.0.0.1:{port}/")).stdout.contains("Welcome").then_some(())
        });
    }
    assert_eq!(world.hull(&["ps", "-q"]).ok().lines().count(), 1);
    on_second(&["rm", "-f", "web"]).ok();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(second.id() as i32).unwrap(),
        rustix::process::Signal::TERM,
    )
    .unwrap();
    assert!(second.wait().unwrap().success());
    assert!(world.sh("curl -s http://127.0.0.1:8081/").stdout.contains("Welcome"), "the first goes on");
    world.stop();
}

#[test]
fn what_a_daemon_cannot_do_is_said() {
    let world = World::bare(&[]);
    std::fs::write(world.directory().join("daemon.json"), r#"{"nope": 1, "debug": true}"#).unwrap();
    let daemon = |words: &[&str]| {
        let mut command = world.command(world.program(Client::Hull));
        let folder = world.directory().display();
        command.arg("daemon").args([
            "--data-root",
            &format!("{folder}/d"),
            "--exec-root",
            &format!("{folder}/e"),
        ]);
        command.args(["--pidfile", &format!("{folder}/p"), "-H", &format!("unix://{folder}/s")]).args(words);
        world.run(command, None)
    };
    let config = world.directory().join("daemon.json").display().to_string();
    for (words, text) in [
        (vec!["--config-file", config.as_str()], "nope"),
        (vec!["--no-such-flag"], "unknown flag: --no-such-flag"),
        (vec!["--bridge", "x", "--bip", "10.0.0.1/8"], "mutually exclusive"),
        (vec!["--config-file", "/no/such/file"], "/no/such/file"),
        (vec!["--storage-driver", "nope"], "nope"),
        (vec!["--default-runtime", "nope"], "nope"),
    ] {
        let output = daemon(&words);
        assert_ne!(output.code, 0, "{words:?}");
        assert!(output.stderr.contains(text), "{words:?}: {}", output.stderr);
    }
    assert!(!world.directory().join("s").exists(), "no socket is left");
}

#[test]
fn a_context_names_an_engine() {
    let world = World::start();
    let mut command = world.command(world.program(Client::Hull));
    command.args([
        "context",
        "create",
        "sea",
        "--docker",
        &format!("host=unix://{}", world.socket().display()),
    ]);
    world.run(command, None).ok();
    for client in [Client::Hull, Client::Docker] {
        let mut command = world.command(world.program(client));
        command.args(["--context", "sea", "run", "--rm", "busybox", "echo", "by context"]);
        assert_eq!(world.run(command, None).ok(), "by context");
    }
    world.stop();
}

#[test]
fn routes_that_are_not_built_say_so() {
    let world = World::start();
    let ask = |method: &str, path: &str| {
        let socket = world.socket();
        let line = format!(
            "curl -s -X {method} -w ' %{{http_code}}' --unix-socket {} http://x/v1.41{path}",
            socket.display()
        );
        world.sh(&line).ok()
    };
    for (method, path) in [("POST", "/swarm/init"), ("POST", "/session"), ("POST", "/plugins/pull?remote=x")]
    {
        let answer = ask(method, path);
        assert!(answer.ends_with(" 501") && answer.contains("message"), "{method} {path}: {answer}");
    }
    assert!(ask("GET", "/nope").ends_with(" 404"));
    assert!(ask("GET", "/services").ends_with(" 503"));
    // Checkpoints are one of Docker's experiments.
    let answer = ask("POST", "/containers/x/checkpoints");
    assert!(answer.contains("experimental feature is disabled") && answer.ends_with(" 501"), "{answer}");
    let answer = ask("POST", "/containers/x/start?checkpoint=c");
    assert!(answer.contains("only supported in experimental mode") && answer.ends_with(" 400"), "{answer}");
    let refused = world.docker(&["checkpoint", "ls", "x"]);
    assert!(
        refused.stderr.contains("is only supported on a Docker daemon with experimental features enabled")
    );
    world.stop();
}

#[test]
fn with_no_engine_the_client_starts_one() {
    let world = World::bare(&[]);
    // The usual places, empty and of this world alone.
    world
        .sh("mount -t tmpfs tmpfs /run && mkdir -p /var/lib/hull && mount -t tmpfs tmpfs /var/lib/hull")
        .ok();
    let hull = |words: &[&str]| {
        let mut command = world.command(world.program(Client::Hull));
        command.args(words);
        world.run(command, None)
    };
    let first = hull(&["run", "--rm", "hello"]).expect_code(0);
    assert!(first.stderr.contains("started the engine"), "{}", first.stderr);
    assert!(first.stdout.contains("Hello from Hull"), "{}", first.stdout);
    let second = hull(&["run", "--rm", "hello"]).expect_code(0);
    assert_eq!(second.stderr, "", "it is said once");
    assert_eq!(world.sh("stat -c %a /run/hull/hull.sock").ok(), "660");
    let stock = world.sh("docker -H unix:///run/hull/hull.sock ps -aq");
    assert_eq!(stock.ok(), "");
    let pid = world.sh("cat /run/hull/hulld.pid").ok();
    world.sh(&format!("kill {pid}")).ok();
    eventually("the engine left", 10, || {
        (world.sh(&format!("test -e /proc/{}", pid.trim())).code != 0).then_some(())
    });
    let refused = {
        let mut command = world.command(world.program(Client::Hull));
        command.env("HULL_NO_AUTOSTART", "1").arg("ps");
        world.run(command, None)
    };
    assert!(refused.stderr.contains("Cannot connect to the Docker daemon"), "{}", refused.stderr);
    world.sh("umount /var/lib/hull && rmdir --ignore-fail-on-non-empty /var/lib/hull").ok();
}

#[test]
fn killed_under_load_it_leaves_nothing_behind() {
    let world = World::start();
    world.hull(&["pull", "-q", "busybox"]).ok();
    for round in 0..6 {
        let clients: Vec<_> = (0..6)
            .map(|number| {
                let words: &[&str] = match number % 2 {
                    0 => &["run", "-d", "-p", "80", "busybox", "sleep", "1000"],
                    _ => &["run", "--rm", "busybox", "true"],
                };
                let mut command = world.client_command(Client::Hull, words);
                command
                    .stdout(std::process::Stdio::null())
                    .stderr(std::process::Stdio::null())
                    .spawn()
                    .unwrap()
            })
            .collect();
        // At another moment of their way each time.
        std::thread::sleep(std::time::Duration::from_millis(5 + 11 * round));
        world.kill_daemon();
        for mut client in clients {
            // With its engine gone a client fails, or had what it wanted; it does not hang.
            eventually("the client ends", 10, || client.try_wait().unwrap());
        }
        world.start_daemon();
    }
    // What is listed is what is there: every running one answers, and all go.
    for id in world.hull(&["ps", "-q"]).ok().lines() {
        assert_eq!(world.hull(&["exec", id, "echo", "alive"]).ok(), "alive");
    }
    let all = world.hull(&["ps", "-aq"]).ok();
    assert!(!all.is_empty());
    let mut words = vec!["rm", "-f"];
    words.extend(all.lines());
    world.hull(&words).ok();
    for folder in ["exec/containers", "exec/runtime", "data/containers"] {
        let left = std::fs::read_dir(world.directory().join(folder)).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{folder}");
    }
    world.stop();
}

/// What the kernel shows of a process: the bytes of the program's code that it has in memory.
fn resident_code(pid: u32) -> u64 {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
    let program = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap();
    let mut counts = false;
    let mut total = 0;
    for line in maps.lines() {
        if let Some(size) = line.strip_prefix("Rss:").filter(|_| counts) {
            total += size.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10;
        } else if line.contains('-') && line.split(' ').nth(1).is_some_and(|flags| flags.len() == 4) {
            counts = line.contains(" r-xp ") && line.ends_with(program.to_str().unwrap());
        }
    }
    total
}

#[test]
fn an_idle_daemon_gives_memory_back() {
    let world = World::start();
    world.hull(&["run", "-d", "--name", "still", "busybox", "sleep", "1000"]).ok();
    let busy = resident_code(world.daemon_pid());
    assert!(busy > 1 << 20, "{busy}");
    eventually("the daemon gives its program's pages back", 60, || {
        (resident_code(world.daemon_pid()) < busy / 2).then_some(())
    });
    assert_eq!(world.hull(&["exec", "still", "echo", "awake"]).ok(), "awake");
    world.hull(&["rm", "-f", "still"]).ok();
    world.stop();
}

#[test]
fn the_daemon_may_open_many_files_and_containers_what_it_was_given() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let hard = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(700), maximum: hard }).unwrap();
    let world = World::start();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", world.daemon_pid())).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let soft: u64 = line.split_whitespace().next().unwrap().parse().unwrap();
    assert!(soft >= hard.unwrap_or(1 << 20), "{line}");
    let given = format!("700\n{}", hard.map_or("unlimited".into(), |hard| hard.to_string()));
    let shown = ["sh", "-c", "ulimit -Sn; ulimit -Hn"];
    let run = [&["run", "--rm", "busybox"], shown.as_slice()].concat();
    assert_eq!(world.hull(&run).ok(), given);
    world.hull(&["run", "-d", "--name", "still", "busybox", "sleep", "1000"]).ok();
    assert_eq!(world.hull(&[&["exec", "still"], shown.as_slice()].concat()).ok(), given);
    let asked = [&["run", "--rm", "--ulimit", "nofile=600:650", "busybox"], shown.as_slice()].concat();
    assert_eq!(world.hull(&asked).ok(), "600\n650");
    world.hull(&["rm", "-f", "still"]).ok();
    world.stop();
}

#[test]
fn settings_are_read_again_on_a_hangup() {
    let world = World::start();
    let file = world.directory().join("daemon.json");
    let again = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let pid = rustix::process::Pid::from_raw(world.daemon_pid() as i32).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    };
    let info = || -> serde_json::Value {
        serde_json::from_str(&world.docker(&["info", "-f", "{{json .}}"]).ok()).unwrap()
    };
    let run = |name: &str| world.hull(&["run", "--rm", "--runtime", name, "busybox", "echo", "ran"]);
    assert_ne!(run("late").code, 0);
    again(
        r#"{"labels": ["tide=high"], "debug": true, "runtimes": {"late": {"path": "/usr/sbin/runc"}}, "bip": "10.9.0.1/24",
            "max-concurrent-downloads": 7, "features": {"x": true}, "insecure-registries": ["1.2.3.4:5"], "default-shm-size": "32M"}"#,
    );
    eventually("the labels are new", 30, || (info()["Labels"][0] == "tide=high").then_some(()));
    let now = info();
    assert_eq!((&now["Debug"], &now["Runtimes"]["late"]["path"]), (&true.into(), &"/usr/sbin/runc".into()));
    assert_eq!(now["RegistryConfig"]["IndexConfigs"]["1.2.3.4:5"]["Secure"], false);
    assert_eq!(run("late").ok(), "ran");
    let size = world.hull(&["run", "--rm", "busybox", "df", "-k", "/dev/shm"]).ok();
    assert!(size.contains(" 32768 "), "{size}");
    let line = "Reloaded configuration: {\"labels\":[\"tide=high\"],\"debug\":true,\"runtimes\":";
    assert!(world.daemon_log().contains(line), "{}", world.daemon_log());
    assert!(world.daemon_log().contains("bip changed: that waits until the daemon is started again"));

    // What is wrong leaves everything as it is.
    again(r#"{"labels": ["tide=low"], "#);
    eventually("the fault is in the log", 30, || world.daemon_log().contains("invalid JSON").then_some(()));
    assert_eq!((&info()["Labels"][0], run("late").code), (&"tide=high".into(), 0));

    // What is no longer said goes back.
    again("{}");
    eventually("the labels are gone", 30, || info()["Labels"].as_array().unwrap().is_empty().then_some(()));
    assert_eq!((&info()["Debug"], run("late").code == 0), (&false.into(), false));
    let now = world.sh("date +%s.%N").ok();
    let words =
        ["events", "--since", "1h", "--until", &now, "--filter", "event=reload", "--format", "{{json .}}"];
    let events = world.docker(&words).ok();
    let events: Vec<serde_json::Value> =
        events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 2, "{events:?}");
    assert_eq!((&events[0]["Type"], &events[0]["Actor"]["ID"]), (&"daemon".into(), &info()["ID"]));
    let mut attributes = events[0]["Actor"]["Attributes"].as_object().unwrap().clone();
    assert_eq!(attributes.remove("name"), Some(info()["Name"].clone()));
    let runtimes = attributes.remove("runtimes").unwrap();
    assert!(runtimes.as_str().unwrap().contains("late:/usr/sbin/runc"), "{runtimes}");
    let cgroups = attributes.remove("default-cgroupns-mode").unwrap();
    assert!(cgroups == "host" || cgroups == "private");
    let expected = serde_json::json!({
        "allow-nondistributable-artifacts": "[]", "debug": "true", "default-ipc-mode": "private",
        "default-runtime": "hull", "default-shm-size": "33554432", "features": "map[x:true]",
        "insecure-registries": "[\"1.2.3.4:5\"]", "labels": "[\"tide=high\"]", "live-restore": "true",
        "max-concurrent-downloads": "7", "max-concurrent-uploads": "5", "max-download-attempts": "5",
        "registry-mirrors": "[\"http://127.0.0.1:5000/\"]", "shutdown-timeout": "15"
    });
    assert_eq!(serde_json::Value::Object(attributes), expected);
    world.stop();
}

#[test]
fn times_are_in_the_clients_zone() {
    let world = World::start();
    world.hull(&["run", "--name", "still", "busybox", "echo", "said"]).ok();
    let on = |client: Client, words: &[&str]| {
        let mut command = world.client_command(client, words);
        command.env("TZ", "America/New_York");
        world.run(command, None).ok()
    };
    // In New York it is some hours earlier: what is said without zone is a time there.
    let mut command = world.command("date");
    command.env("TZ", "America/New_York").args(["-d", "1 hour ago", "+%Y-%m-%dT%H:%M:%S"]);
    let before = world.run(command, None).ok();
    let mut command = world.command("date");
    command.env("TZ", "America/New_York").args(["-d", "1 hour", "+%Y-%m-%dT%H:%M:%S"]);
    let after = world.run(command, None).ok();
    let now = world.sh("date +%s.%N").ok();
    for words in [
        vec!["ps", "-a", "--format", "{{.CreatedAt}}"],
        vec!["images", "--format", "{{.CreatedAt}}"],
        vec!["history", "--human=false", "busybox"],
        vec!["history", "--format", "{{.CreatedAt}}", "busybox"],
        vec!["events", "--since", &before, "--until", &now],
        vec!["logs", "--since", &before, "still"],
        vec!["logs", "--since", &after, "still"],
        vec!["logs", "-t", "--until", &before, "still"],
    ] {
        assert_eq!(on(Client::Hull, &words), on(Client::Docker, &words), "{words:?}");
    }
    assert_eq!(on(Client::Hull, &["logs", "--since", &before, "still"]), "said");
    assert_eq!(on(Client::Hull, &["logs", "--since", &after, "still"]), "");
    world.hull(&["rm", "still"]).ok();
    world.stop();
}
