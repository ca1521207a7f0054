//! Names on user networks: the resolver at 127.0.0.11, with real clients and real programs.

use hull_e2e::{Client, World, eventually, with_each_client};

/// Runs a container that sleeps, and gives the id of its process.
fn sleeper(world: &World, client: Client, name: &str, words: &[&str]) -> String {
    let mut all = vec!["run", "-d", "--name", name];
    all.extend(words);
    all.extend(["busybox", "sleep", "1000"]);
    world.client(client, &all).ok();
    world.client(client, &["inspect", "-f", "{{.State.Pid}}", name]).ok()
}

/// `dig` in the network namespace of a process.
fn dig(world: &World, pid: &str, words: &str) -> String {
    world.sh(&format!("nsenter --net=/proc/{pid}/ns/net dig @127.0.0.11 +time=6 +tries=1 {words}")).ok()
}

fn short(world: &World, pid: &str, words: &str) -> Vec<String> {
    let mut lines: Vec<String> =
        dig(world, pid, &format!("+short {words}")).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn containers_find_each_other_by_name() {
    with_each_client(|world, client| {
        let run = |words: &[&str]| world.client(client, words).ok();
        run(&["network", "create", "front", "--ipv6=false", "--subnet", "10.70.1.0/24"]);
        run(&["network", "create", "back", "--subnet", "10.70.2.0/24", "--subnet", "fd70:2::/64"]);
        let web = sleeper(world, client, "web", &["--network", "front", "--network-alias", "shop"]);
        let other = sleeper(world, client, "other", &["--network", "front", "--network-alias", "shop"]);
        let id = run(&["inspect", "-f", "{{.Id}}", "web"]);
        for name in ["web", "WEB", "web.front", &id[..12], "web."] {
            assert_eq!(short(world, &other, name), ["10.70.1.2"], "{name}");
        }
        assert_eq!(short(world, &other, "shop"), ["10.70.1.2", "10.70.1.3"]);
        assert_eq!(short(world, &web, "+tcp shop"), ["10.70.1.2", "10.70.1.3"]);
        let first = || dig(world, &web, "+short shop").lines().next().unwrap_or_default().to_owned();
        let firsts: std::collections::BTreeSet<String> = (0..4).map(|_| first()).collect();
        assert_eq!(firsts.len(), 2, "they take turns");
        assert_eq!(short(world, &other, "-x 10.70.1.2"), ["web.front."]);
        let answer = dig(world, &other, "web AAAA");
        assert!(answer.contains("status: NOERROR") && answer.contains("ANSWER: 0"), "{answer}");
        let answer = dig(world, &other, "web MX");
        assert!(answer.contains("status: NOERROR") && answer.contains("ANSWER: 0"), "{answer}");
        let answer = dig(world, &other, "+edns=1 +noednsneg web");
        assert!(answer.contains("BADVERS"), "{answer}");
        assert!(dig(world, &other, "web").contains("600\tIN\tA\t10.70.1.2"));
        // The C library's own resolver, which nginx, redis, postgres and mariadb ask by.
        let program =
            "import socket; print(socket.gethostbyname('web'), socket.gethostbyaddr('10.70.1.2')[0])";
        assert_eq!(
            run(&["run", "--rm", "--network", "front", "python", "python3", "-c", program]),
            "10.70.1.2 web.front"
        );
        let resolv = run(&["exec", "web", "cat", "/etc/resolv.conf"]);
        assert!(resolv.contains("\nnameserver 127.0.0.11\n") && resolv.contains("ndots:0"), "{resolv}");

        // Other networks' containers are strangers, until one joins.
        let far = sleeper(world, client, "far", &["--network", "back"]);
        assert_eq!(short(world, &web, "far"), Vec::<String>::new());
        run(&["network", "connect", "--alias", "bridgehead", "back", "web"]);
        assert_eq!(short(world, &web, "far"), ["10.70.2.2"]);
        assert_eq!(short(world, &web, "far AAAA"), ["fd70:2::2"]);
        assert_eq!(short(world, &web, "-x fd70:2::2"), ["far.back."]);
        assert_eq!(short(world, &far, "bridgehead"), ["10.70.2.3"]);
        assert_eq!(short(world, &web, "web.back"), ["10.70.2.3"]);
        run(&["rename", "far", "near"]);
        assert_eq!(short(world, &web, "far"), Vec::<String>::new());
        assert_eq!(short(world, &web, "near"), ["10.70.2.2"]);
        run(&["network", "disconnect", "back", "web"]);
        assert_eq!(short(world, &web, "near"), Vec::<String>::new());
        assert_eq!(short(world, &far, "bridgehead"), Vec::<String>::new());
        run(&["stop", "-t", "0", "other"]);
        assert_eq!(short(world, &web, "shop"), ["10.70.1.2"]);

        // A link gives another name to one container alone.
        let linked = sleeper(world, client, "linked", &["--network", "front", "--link", "web:database"]);
        assert_eq!(short(world, &linked, "database"), ["10.70.1.2"]);
        assert_eq!(short(world, &web, "database"), Vec::<String>::new());
        run(&["rm", "-f", "web", "other", "near", "linked"]);
        run(&["network", "rm", "front", "back"]);
    });
}

#[test]
fn a_container_of_the_default_bridge_gets_names_when_it_joins_a_network() {
    with_each_client(|world, client| {
        let run = |words: &[&str]| world.client(client, words).ok();
        run(&["network", "create", "front", "--subnet", "10.70.1.0/24"]);
        sleeper(world, client, "web", &["--network", "front"]);
        let late = sleeper(world, client, "late", &[]);
        let before = run(&["exec", "late", "cat", "/etc/resolv.conf"]);
        assert!(!before.contains("127.0.0.11"), "{before}");
        run(&["network", "connect", "front", "late"]);
        assert_eq!(short(world, &late, "web"), ["10.70.1.2"]);
        assert!(run(&["exec", "late", "cat", "/etc/resolv.conf"]).contains("nameserver 127.0.0.11"));
        run(&["network", "disconnect", "front", "late"]);
        assert_eq!(run(&["exec", "late", "cat", "/etc/resolv.conf"]), before);
        run(&["rm", "-f", "web", "late"]);
        run(&["network", "rm", "front"]);
    });
}

#[test]
fn names_are_answered_while_no_daemon_is_there() {
    let world = World::start();
    world.hull(&["network", "create", "front", "--subnet", "10.70.1.0/24"]).ok();
    let web = sleeper(&world, Client::Hull, "web", &["--network", "front"]);
    sleeper(&world, Client::Hull, "other", &["--network", "front"]);
    world.kill_daemon();
    assert_eq!(short(&world, &web, "other"), ["10.70.1.3"]);
    world.start_daemon();
    assert_eq!(short(&world, &web, "other"), ["10.70.1.3"]);
    let third = sleeper(&world, Client::Hull, "third", &["--network", "front"]);
    assert_eq!(short(&world, &web, "third"), ["10.70.1.4"]);
    // One that ends while nobody looks is forgotten by the next daemon.
    world.kill_daemon();
    world.sh(&format!("kill -9 {third}")).ok();
    world.start_daemon();
    eventually("the dead container's name is gone", 5, || {
        short(&world, &web, "third").is_empty().then_some(())
    });
    world.stop();
}

#[test]
fn legacy_links_are_hosts_and_variables() {
    with_each_client(|world, client| {
        let run = |words: &[&str]| world.client(client, words).ok();
        run(&[
            "run", "-d", "--name", "web", "--expose", "80", "--expose", "53/udp", "-e", "A=b c", "busybox",
            "sleep", "1000",
        ]);
        run(&[
            "run",
            "-d",
            "--name",
            "user",
            "--link",
            "web:my-db",
            "-e",
            "MY_DB_ENV_A=own",
            "busybox",
            "sleep",
            "1000",
        ]);
        let address = run(&["inspect", "-f", "{{.NetworkSettings.IPAddress}}", "web"]);
        let line = |address: &str| {
            format!("{address}\tmy-db {} web", &run(&["inspect", "-f", "{{.Id}}", "web"])[..12])
        };
        assert!(run(&["exec", "user", "cat", "/etc/hosts"]).contains(&line(&address)));
        let environ = run(&["exec", "user", "cat", "/proc/1/environ"]).replace('\0', "\n");
        for entry in [
            format!("MY_DB_PORT=tcp://{address}:80"),
            format!("MY_DB_PORT_80_TCP=tcp://{address}:80"),
            format!("MY_DB_PORT_53_UDP_ADDR={address}"),
            "MY_DB_PORT_53_UDP_PROTO=udp".into(),
            "MY_DB_NAME=/user/my-db".into(),
            "MY_DB_ENV_A=own".into(),
        ] {
            assert!(environ.lines().any(|line| line == entry), "{entry}: {environ}");
        }
        // It comes back with another address, and is found all the same.
        run(&["stop", "-t", "0", "web"]);
        run(&["run", "-d", "--name", "between", "busybox", "sleep", "1000"]);
        run(&["start", "web"]);
        let moved = run(&["inspect", "-f", "{{.NetworkSettings.IPAddress}}", "web"]);
        assert_ne!(moved, address);
        assert!(run(&["exec", "user", "cat", "/etc/hosts"]).contains(&line(&moved)));
        // The link is a name of it, and outlives its renaming.
        run(&["rename", "web", "moved"]);
        assert_eq!(run(&["inspect", "-f", "{{.Name}}", "user/my-db"]), "/moved");
        assert_eq!(run(&["inspect", "-f", "{{.HostConfig.Links}}", "user"]), "[/moved:/user/my-db]");
        assert_eq!(
            run(&["ps", "--no-trunc", "--filter", "name=moved", "--format", "{{.Names}}"]),
            "moved,user/my-db"
        );
        let refused = |words: &[&str]| world.client(client, words).expect_code(1).stderr;
        let own = refused(&["rm", "--link", "moved"]);
        assert!(own.contains("Conflict, cannot remove the default link name of the container"), "{own}");
        assert!(refused(&["rm", "--link", "user/other"]).contains("No such container: user/other"));
        run(&["rm", "--link", "user/my-db"]);
        assert!(!run(&["exec", "user", "cat", "/etc/hosts"]).contains("my-db"));
        assert_eq!(run(&["inspect", "-f", "{{.HostConfig.Links}} {{.State.Running}}", "user"]), "[] true");
        assert!(refused(&["rm", "--link", "user/my-db"]).contains("No such container: user/my-db"));
        // Without it the other need not run.
        run(&["stop", "-t", "0", "moved"]);
        run(&["restart", "-t", "0", "user"]);
        run(&["create", "--name", "late", "--link", "moved:db", "busybox", "true"]);
        let late = refused(&["start", "late"]);
        assert!(late.contains("Cannot link to a non running container: /moved AS /late/db"), "{late}");
        run(&["network", "create", "other"]);
        run(&["run", "-d", "--name", "away", "--network", "other", "busybox", "sleep", "1000"]);
        run(&["create", "--name", "later", "--link", "away:db", "busybox", "true"]);
        let late = refused(&["start", "later"]);
        assert!(
            late.contains("Cannot link to /away, as it does not belong to the default network"),
            "{late}"
        );
        let none = world.client(client, &["run", "--link", "nobody:db", "busybox", "true"]).expect_code(125);
        assert!(none.stderr.contains("could not get container for nobody: No such container: nobody"));
        run(&["rm", "-f", "moved", "user", "between", "late", "later", "away"]);
        run(&["network", "rm", "other"]);
    });
}

#[test]
fn the_hosts_file_follows_the_networks() {
    with_each_client(|world, client| {
        let run = |words: &[&str]| world.client(client, words).ok();
        for (name, subnet) in [("one", "10.71.1.0/24"), ("two", "10.71.2.0/24")] {
            run(&["network", "create", "--ipv6=false", "--subnet", subnet, name]);
        }
        run(&[
            "run",
            "-d",
            "--name",
            "own",
            "-h",
            "a.example",
            "--network",
            "one",
            "busybox",
            "sleep",
            "1000",
        ]);
        let own = || {
            let hosts = run(&["exec", "own", "cat", "/etc/hosts"]);
            let own = hosts.lines().filter(|line| line.ends_with("\ta.example a") || line.contains("mine"));
            own.map(|line| line.split(['\t', ' ']).next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(own(), ["10.71.1.2"]);
        run(&["exec", "own", "sh", "-c", "echo 9.9.9.9 mine >> /etc/hosts"]);
        run(&["network", "connect", "two", "own"]);
        assert_eq!(own(), ["10.71.1.2", "9.9.9.9", "10.71.2.2"]);
        run(&["network", "disconnect", "one", "own"]);
        assert_eq!(own(), ["9.9.9.9", "10.71.2.2"], "what others wrote stays");
        run(&["rm", "-f", "own"]);
        run(&["network", "rm", "one", "two"]);
    });
}

/// dnsmasq answers `*.outside.test` and gives it away to whom it asks by `owner.test`.
fn dnsmasq(world: &World, netns: Option<&str>, listen: &str, words: &str) -> String {
    let enter = netns.map(|pid| format!("nsenter --net=/proc/{pid}/ns/net ")).unwrap_or_default();
    let folder = world.directory().display();
    let pid = format!("{folder}/dnsmasq-{}.pid", listen.replace(['.', ':'], "-"));
    world
        .sh(&format!(
            "{enter}dnsmasq --conf-file=/dev/null --no-resolv --no-hosts --bind-interfaces --listen-address={listen} \
             --user=root --edns-packet-max=1232 --pid-file={pid} {words} </dev/null >/dev/null 2>&1"
        ))
        .ok();
    pid
}

fn end(world: &World, pid_file: &str) {
    world.sh(&format!("kill $(cat {pid_file})")).ok();
}

#[test]
fn other_names_are_asked_outside_and_on_internal_networks_not_at_all() {
    let world = World::start();
    let big: String = (0..60).map(|n| format!(" --txt-record=big.test,{n}-{}", "x".repeat(60))).collect();
    let served = dnsmasq(
        &world,
        None,
        "127.0.0.1",
        &format!("--address=/outside.test/192.0.2.7 --address=/web/192.0.2.66{big}"),
    );
    // The host's own file, which the daemon follows: the world's mount namespace has one of its own.
    let file = world.directory().join("resolv.conf");
    std::fs::write(&file, "nameserver 127.0.0.1\nsearch lan.test\n").unwrap();
    world.sh(&format!("mount --bind {} $(readlink -f /etc/resolv.conf)", file.display())).ok();
    world.hull(&["network", "create", "front", "--subnet", "10.70.1.0/24"]).ok();
    world.hull(&["network", "create", "--internal", "closed", "--subnet", "10.70.2.0/24"]).ok();
    let web = sleeper(&world, Client::Hull, "web", &["--network", "front"]);
    assert_eq!(short(&world, &web, "a.outside.test"), ["192.0.2.7"]);
    assert_eq!(short(&world, &web, "+tcp a.outside.test"), ["192.0.2.7"]);
    assert_eq!(short(&world, &web, "web"), ["10.70.1.2"], "what is known here is not asked outside");
    let cut = dig(&world, &web, "+noedns +ignore big.test TXT");
    assert!(cut.contains(" tc ") && !cut.contains("ANSWER: 60") && !cut.contains("ANSWER: 0"), "{cut}");
    let whole = dig(&world, &web, "+noedns big.test TXT");
    assert!(whole.contains("ANSWER: 60"), "by TCP: {whole}");
    // The server cuts its answers at 1232 bytes; the resolver has the rest of it by TCP.
    let whole = dig(&world, &web, "+bufsize=8000 +ignore big.test TXT");
    assert!(!whole.contains(" tc ") && whole.contains("ANSWER: 60") && whole.contains("EDNS"), "{whole}");
    let resolv = world.hull(&["exec", "web", "cat", "/etc/resolv.conf"]).ok();
    assert!(
        resolv.contains("search lan.test") && resolv.contains("ExtServers: [host(127.0.0.1)]"),
        "{resolv}"
    );

    // CVE-2024-29018: nothing of an internal network's questions leaves.
    let closed = sleeper(&world, Client::Hull, "closed", &["--network", "closed"]);
    let refused = dig(&world, &closed, "a.outside.test");
    assert!(refused.contains("status: SERVFAIL"), "{refused}");
    assert_eq!(short(&world, &closed, "closed"), ["10.70.2.2"]);
    // A server named for it is asked from where the container is, and from nowhere else.
    let own = dnsmasq(&world, Some(&closed), "10.70.2.2", "--address=/inner.test/192.0.2.9");
    let guest = sleeper(&world, Client::Hull, "guest", &["--network", "closed", "--dns", "10.70.2.2"]);
    assert_eq!(short(&world, &guest, "x.inner.test"), ["192.0.2.9"]);
    let lost = sleeper(&world, Client::Hull, "lost", &["--network", "closed", "--dns", "127.0.0.1"]);
    assert!(
        dig(&world, &lost, "a.outside.test").contains("status: SERVFAIL"),
        "the host's loopback is not its own"
    );
    end(&world, &own);

    // The host's servers change; a dead one does not keep the next waiting.
    end(&world, &served);
    let moved = dnsmasq(&world, None, "127.0.0.3", "--address=/outside.test/192.0.2.8");
    std::fs::write(&file, "nameserver 127.0.0.2\nnameserver 127.0.0.3\n").unwrap();
    eventually("the new servers are asked", 5, || {
        (short(&world, &web, "a.outside.test") == ["192.0.2.8"]).then_some(())
    });
    end(&world, &moved);
    assert!(dig(&world, &web, "a.outside.test").contains("status: SERVFAIL"), "nobody is left");
    world.sh("umount $(readlink -f /etc/resolv.conf)").ok();
    world.stop();
}

#[test]
fn a_name_server_in_a_container_keeps_its_port() {
    let world = World::start();
    world.hull(&["network", "create", "front", "--subnet", "10.70.1.0/24"]).ok();
    let server = "
import socket, threading
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.bind(('0.0.0.0', 53))
tcp = socket.socket(); tcp.bind(('0.0.0.0', 53)); tcp.listen()
print('bound', flush=True)
def serve():
    while True:
        connection, _ = tcp.accept(); connection.sendall(b'own'); connection.close()
threading.Thread(target=serve, daemon=True).start()
while True:
    data, who = udp.recvfrom(512); udp.sendto(b'own', who)
";
    world
        .hull(&["run", "-d", "--name", "server", "--network", "front", "python", "python3", "-c", server])
        .ok();
    eventually("it has its ports", 10, || {
        world.hull(&["logs", "server"]).stdout.contains("bound").then_some(())
    });
    let ask = "
import socket, sys
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.settimeout(5)
udp.sendto(b'x', (sys.argv[1], 53)); print(udp.recv(512).decode())
tcp = socket.create_connection((sys.argv[1], 53), 5); print(tcp.recv(10).decode())
print(socket.gethostbyname('server'))
";
    let asked =
        world.hull(&["run", "--rm", "--network", "front", "python", "python3", "-c", ask, "10.70.1.2"]).ok();
    assert_eq!(asked, "own\nown\n10.70.1.2");
    let pid = world.hull(&["inspect", "-f", "{{.State.Pid}}", "server"]).ok();
    assert_eq!(short(&world, &pid, "server"), ["10.70.1.2"], "and 127.0.0.11 is Hull's in its own eyes too");
    assert_eq!(short(&world, &pid, "+tcp server"), ["10.70.1.2"]);
    // Whoever may flush the rules there flushes all but ours.
    world.sh(&format!("nsenter --net=/proc/{pid}/ns/net nft flush ruleset")).ok();
    assert_eq!(short(&world, &pid, "server"), ["10.70.1.2"]);
    world.stop();
}

/// A server of lies: every answer but the last is wrong in its own way.
const LIAR: &str = "
import socket, struct
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.bind(('127.0.0.1', 53))
print('bound', flush=True)
while True:
    query, who = udp.recvfrom(4096)
    end = 12
    while query[end]: end += 1 + query[end]
    question = query[12:end + 5]
    a = lambda last: b'\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\1\\0\\4\\xc0\\0\\2' + bytes([last])
    head = lambda number, answers: number + b'\\x81\\x80\\0\\1' + struct.pack('>H', answers) + b'\\0\\0\\0\\0'
    wrong_number = bytes([query[0] ^ 1, query[1]])
    udp.sendto(head(wrong_number, 1) + question + a(66), who)
    udp.sendto(head(query[:2], 1) + b'\\4evil\\0\\0\\1\\0\\1' + a(66), who)
    udp.sendto(query, who)
    udp.sendto(b'', who)
    udp.sendto(query[:2] + b'\\x81\\x80\\0\\1\\0\\1\\0\\0\\0\\0\\xc0\\x0c\\0\\1\\0\\1', who)
    other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); other.bind(('127.0.0.2', 53))
    other.sendto(head(query[:2], 1) + question + a(66), who); other.close()
    padding = b'x' * 20000 if b'big' in question else b''
    udp.sendto(head(query[:2], 1) + question + a(5) + padding, who)
";

#[test]
fn a_lying_server_is_not_believed() {
    let world = World::start();
    let script = world.directory().join("liar.py");
    std::fs::write(&script, LIAR).unwrap();
    let pid_file = world.directory().join("liar.pid");
    world
        .sh(&format!(
            "python3 {} </dev/null >{}/liar.log 2>&1 & echo $! > {}",
            script.display(),
            world.directory().display(),
            pid_file.display()
        ))
        .ok();
    let file = world.directory().join("resolv.conf");
    std::fs::write(&file, "nameserver 127.0.0.1\n").unwrap();
    world.sh(&format!("mount --bind {} $(readlink -f /etc/resolv.conf)", file.display())).ok();
    world.hull(&["network", "create", "front"]).ok();
    let web = sleeper(&world, Client::Hull, "web", &["--network", "front"]);
    let log = world.directory().join("liar.log");
    eventually("the liar listens", 10, || {
        std::fs::read_to_string(&log).unwrap_or_default().contains("bound").then_some(())
    });
    for _ in 0..5 {
        assert_eq!(short(&world, &web, "+noedns some.example"), ["192.0.2.5"]);
    }
    let cut = dig(&world, &web, "+noedns +ignore big.example");
    assert!(
        cut.contains("ANSWER: 1") && !cut.contains("SIZE  rcvd: 2"),
        "what is no record is left out: {cut}"
    );
    end(&world, pid_file.to_str().unwrap());
    world.sh("umount $(readlink -f /etc/resolv.conf)").ok();
    world.stop();
}
