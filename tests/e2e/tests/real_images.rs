//! The "Real input": real images, driven once with `hull` and once with the docker CLI.

use hull_e2e::{Client, Terminal, World, eventually, with_each_client};
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

#[test]
fn nginx_serves_its_page_through_a_published_port() {
    with_each_client(|world, client| {
        let id = world.client(client, &["run", "-d", "--name", "web", "-p", "8080:80", "nginx"]).ok();
        assert_eq!(id.len(), 64, "{id}");
        let fetch = |address: &str| world.sh(&format!("curl -s --max-time 3 http://{address}:8080/")).stdout;
        eventually("nginx answers", 10, || fetch("127.0.0.1").contains("Welcome to nginx").then_some(()));
        assert!(fetch("10.99.0.1").contains("Welcome to nginx"), "by the host's address");
        // From another container, by the host's address on the bridge.
        let gateway = world
            .client(
                client,
                &["inspect", "-f", "{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}", "web"],
            )
            .ok();
        let url = format!("http://{gateway}:8080/");
        // Debian's static busybox crashes in its resolver, so this is Python's work.
        let program =
            format!("import urllib.request as r; print(r.urlopen('{url}', timeout=3).read().decode())");
        let page = world.client(client, &["run", "--rm", "python", "python3", "-c", &program]).ok();
        assert!(page.contains("Welcome to nginx"), "{page}");
        let ports = world.client(client, &["port", "web"]).ok();
        assert!(ports.contains("80/tcp -> 0.0.0.0:8080"), "{ports}");
        let listed = world.client(client, &["ps", "--format", "{{.Names}} {{.Ports}}"]).ok();
        assert!(listed.starts_with("web 0.0.0.0:8080->80/tcp"), "{listed}");
        world.client(client, &["stop", "web"]).ok();
        assert_ne!(
            world.sh("curl -s --max-time 1 http://127.0.0.1:8080/").code,
            0,
            "the port closes with the container"
        );
    });
}

#[test]
fn redis_keeps_what_a_second_container_sets() {
    with_each_client(|world, client| {
        world.client(client, &["run", "-d", "--name", "db", "-v", "store:/data", "redis"]).ok();
        let address = world
            .client(
                client,
                &["inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", "db"],
            )
            .ok();
        let cli = |words: &[&str]| {
            let mut all = vec!["run", "--rm", "redis", "redis-cli", "-h", &address];
            all.extend(words);
            world.client(client, &all)
        };
        eventually("redis answers", 10, || (cli(&["ping"]).stdout.trim() == "PONG").then_some(()));
        assert_eq!(cli(&["set", "whale", "watertight"]).ok(), "OK");
        assert_eq!(cli(&["get", "whale"]).ok(), "watertight");
        assert_eq!(cli(&["save"]).ok(), "OK");
        world.client(client, &["rm", "-f", "db"]).ok();
        world.client(client, &["run", "-d", "--name", "db", "-v", "store:/data", "redis"]).ok();
        let address = world
            .client(
                client,
                &["inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", "db"],
            )
            .ok();
        eventually("the volume kept it", 10, || {
            let words = ["run", "--rm", "redis", "redis-cli", "-h", &address, "get", "whale"];
            (world.client(client, &words).stdout.trim() == "watertight").then_some(())
        });
    });
}

#[test]
fn python_reads_a_program_from_standard_input() {
    with_each_client(|world, client| {
        let program =
            "import os, sys\nprint(sum(range(10)), os.getpid())\nsys.stderr.write('aside\\n')\nsys.exit(7)\n";
        let output =
            world.client_with_input(client, &["run", "-i", "--rm", "python", "python3", "-"], program);
        let output = output.expect_code(7);
        assert_eq!(output.stdout, "45 1\n");
        assert!(output.stderr.ends_with("aside\n"), "{}", output.stderr);
        // A large input arrives whole, and its end is seen.
        let text = "x".repeat(3_000_000);
        let count = world.client_with_input(client, &["run", "-i", "--rm", "python", "wc", "-c"], &text).ok();
        assert_eq!(count, "3000000");
    });
}

#[test]
fn a_terminal_session_has_a_pty_that_follows_the_window() {
    with_each_client(|world, client| {
        world.client(client, &["pull", "-q", "busybox"]).ok();
        let command =
            world.client_command(client, &["run", "-it", "--rm", "--name", "shell", "busybox", "sh"]);
        let mut terminal = Terminal::run(&command, 31, 97);
        terminal.expect("/ # ");
        terminal.send("stty size; tty; echo $TERM\n");
        terminal.expect("31 97");
        terminal.expect("/dev/pts/0");
        terminal.expect("xterm");
        terminal.resize(40, 120);
        eventually("the container's terminal follows", 5, || {
            terminal.send("stty size\n");
            std::thread::sleep(std::time::Duration::from_millis(200));
            terminal.screen().contains("40 120").then_some(())
        });
        terminal.send("exit 3\n");
        assert_eq!(terminal.wait(), 3);
    });
}

#[test]
fn detaching_by_keys_leaves_the_container_running() {
    with_each_client(|world, client| {
        world.client(client, &["pull", "-q", "busybox"]).ok();
        let command = world.client_command(client, &["run", "-it", "--name", "shell", "busybox", "sh"]);
        let mut terminal = Terminal::run(&command, 24, 80);
        terminal.expect("/ # ");
        terminal.send("\x10\x11");
        assert_eq!(terminal.wait(), 0, "{}", terminal.screen());
        assert_eq!(world.client(client, &["inspect", "-f", "{{.State.Running}}", "shell"]).ok(), "true");
        let again = world.client_command(client, &["attach", "shell"]);
        let mut terminal = Terminal::run(&again, 24, 80);
        terminal.send("echo still-$((40+2))\n");
        terminal.expect("still-42");
        terminal.send("exit 5\n");
        assert_eq!(terminal.wait(), 5);
    });
}

#[test]
fn a_killed_daemon_costs_a_running_container_nothing() {
    with_each_client(|world, client| {
        world.client(client, &["run", "-d", "--name", "web", "-p", "8080:80", "nginx"]).ok();
        let script = "i=0; while [ $i -lt 400 ]; do echo line $i; i=$((i+1)); usleep 10000; done; exit 42";
        world.client(client, &["run", "-d", "--name", "talker", "busybox", "sh", "-c", script]).ok();
        let short = "usleep 300000; echo done; exit 9";
        let fetch =
            || world.sh("curl -s --max-time 2 http://127.0.0.1:8080/").stdout.contains("Welcome to nginx");
        eventually("nginx answers", 10, || fetch().then_some(()));
        // This one ends while no daemon is there.
        world.client(client, &["run", "-d", "--name", "brief", "busybox", "sh", "-c", short]).ok();
        let pid = world.client(client, &["inspect", "-f", "{{.State.Pid}}", "web"]).ok();
        world.kill_daemon();
        assert!(fetch(), "the port is served without a daemon");
        std::thread::sleep(std::time::Duration::from_millis(800));
        world.start_daemon();
        assert_eq!(
            world.client(client, &["inspect", "-f", "{{.State.Running}} {{.State.Pid}}", "web"]).ok(),
            format!("true {pid}")
        );
        assert!(fetch(), "the port is served after the restart");
        let listed =
            world.client(client, &["ps", "--format", "{{.Names}} {{.Ports}}", "-f", "name=web"]).ok();
        assert!(listed.starts_with("web 0.0.0.0:8080->80/tcp"), "{listed}");
        let brief =
            world.client(client, &["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "brief"]).ok();
        assert_eq!(brief, "exited 9");
        assert_eq!(world.client(client, &["logs", "brief"]).ok(), "done");
        assert_eq!(world.client(client, &["wait", "talker"]).ok(), "42");
        let expected: Vec<String> = (0..400).map(|i| format!("line {i}")).collect();
        assert_eq!(
            world.client(client, &["logs", "talker"]).ok(),
            expected.join("\n"),
            "the log is complete"
        );
        // The adopted container still takes commands.
        assert_eq!(world.client(client, &["exec", "web", "echo", "well"]).ok(), "well");
        world.client(client, &["restart", "-t", "3", "web"]).ok();
        eventually("nginx answers after a restart", 10, || fetch().then_some(()));
    });
}

#[test]
fn logs_follow_a_running_container_to_its_end() {
    with_each_client(|world, client| {
        world.client(client, &["pull", "-q", "busybox"]).ok();
        let script = "echo first; usleep 400000; echo second >&2; usleep 400000; echo third";
        world.client(client, &["run", "-d", "--name", "talker", "busybox", "sh", "-c", script]).ok();
        let mut follow = world.client_command(client, &["logs", "-f", "talker"]);
        let mut child = follow.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines: Vec<String> =
            BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap).collect();
        assert_eq!(lines, ["first", "third"]);
        assert!(child.wait().unwrap().success());
        assert_eq!(world.client(client, &["logs", "--tail", "1", "talker"]).ok(), "third");
        let stamped = world.client(client, &["logs", "-t", "--tail", "1", "talker"]).ok();
        assert!(stamped.starts_with("20") && stamped.ends_with("Z third"), "{stamped}");
        let since = world.client(client, &["logs", "--since", "2100-01-01T00:00:00Z", "talker"]).ok();
        assert_eq!(since, "");
    });
}

#[test]
fn start_attaches_both_ways() {
    with_each_client(|world, client| {
        world.client(client, &["pull", "-q", "busybox"]).ok();
        world.client(client, &["create", "-i", "--name", "echo", "busybox", "cat"]).ok();
        let mut start = world.client_command(client, &["start", "-a", "-i", "echo"]);
        let mut child = start.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        for word in ["one", "two", "three"] {
            writeln!(input, "{word}").unwrap();
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            assert_eq!(line.trim(), word);
        }
        drop(input);
        assert!(child.wait().unwrap().success());
    });
}

#[test]
fn the_first_command_prints_what_happened() {
    let world = World::bare(&[]);
    world.start_daemon();
    let said = world.client(Client::Hull, &["run", "--rm", "hello"]).ok();
    assert!(said.to_lowercase().contains("hull"), "{said}");
    world.stop();
}

#[test]
fn exec_has_a_terminal_of_its_own() {
    with_each_client(|world, client| {
        world.client(client, &["run", "-d", "--name", "box", "busybox", "sleep", "1000"]).ok();
        let command = world.client_command(client, &["exec", "-it", "-e", "PS1=ready> ", "box", "sh"]);
        let mut terminal = Terminal::run(&command, 33, 99);
        terminal.expect("ready> ");
        eventually("the size arrives", 5, || {
            terminal.send("stty size\n");
            std::thread::sleep(std::time::Duration::from_millis(200));
            terminal.screen().contains("33 99").then_some(())
        });
        terminal.resize(20, 70);
        eventually("the terminal follows", 5, || {
            terminal.send("stty size\n");
            std::thread::sleep(std::time::Duration::from_millis(200));
            terminal.screen().contains("20 70").then_some(())
        });
        // An interrupt goes to what runs there, not to the client.
        terminal.send("sleep 100\n");
        std::thread::sleep(std::time::Duration::from_millis(300));
        terminal.send("\x03");
        terminal.send("echo after-$((1+1))\n");
        terminal.expect("after-2");
        terminal.send("exit 6\n");
        assert_eq!(terminal.wait(), 6);
        assert_eq!(world.client(client, &["inspect", "-f", "{{.State.Running}}", "box"]).ok(), "true");
    });
}

#[test]
fn signals_of_the_client_reach_the_container() {
    with_each_client(|world, client| {
        world.client(client, &["pull", "-q", "busybox"]).ok();
        let script = "trap 'echo caught; exit 21' TERM; echo armed; while :; do usleep 50000; done";
        let mut command = world.client_command(client, &["run", "--rm", "busybox", "sh", "-c", script]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "armed\n");
        // nsenter execs the client, so the child is the client.
        rustix::process::kill_process(
            rustix::process::Pid::from_raw(child.id() as i32).unwrap(),
            rustix::process::Signal::TERM,
        )
        .unwrap();
        line.clear();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "caught\n");
        assert_eq!(child.wait().unwrap().code(), Some(21));
    });
}

#[test]
fn logs_rotate_and_stay_readable() {
    with_each_client(|world, client| {
        let go = |words: &[&str]| world.client(client, words);
        let script = "i=0; while [ $i -lt 2000 ]; do echo line-$i; i=$((i+1)); done";
        go(&[
            "run",
            "--name",
            "talker",
            "--log-opt",
            "max-size=20k",
            "--log-opt",
            "max-file=3",
            "busybox",
            "sh",
            "-c",
            script,
        ])
        .ok();
        let shown = go(&["logs", "talker"]).ok();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.last(), Some(&"line-1999"));
        assert!(lines.len() < 2000 && lines.len() > 200, "{} lines", lines.len());
        // What is left has no gap.
        let first: usize = lines[0].trim_start_matches("line-").parse().unwrap();
        assert_eq!(first + lines.len(), 2000);
        assert_eq!(go(&["logs", "--tail", "300", "talker"]).ok().lines().count(), 300);
        let refused = go(&["run", "--rm", "--log-opt", "nope=1", "busybox", "true"]).expect_code(125);
        assert!(refused.stderr.contains("nope"), "{}", refused.stderr);
        go(&["run", "--name", "silent", "--log-driver", "none", "busybox", "echo", "x"]).ok();
        let none = go(&["logs", "silent"]).expect_code(1);
        assert!(none.stderr.contains("does not support reading"), "{}", none.stderr);
    });
}
