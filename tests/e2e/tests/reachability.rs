//! Who reaches whom, by which address, and under which address the server sees them: the same networks and containers on
//! Hull and on Debian's dockerd, asked from the host, a host outside, and each container's network namespace.
#![allow(clippy::unwrap_used)]

use hull_e2e::{Output, World, eventually};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Stdio};

/// Where Hull's answer differs from dockerd's on purpose: client, target, Hull's answer, dockerd's, the reason.
const EXPLAINED: &[(&str, &str, &str, &str, &str)] = &[
    ("outside", "server's own address", "no", "as 10.98.0.2", DIRECT),
    ("outside", "of a network without icc, its own address", "no", "as 10.98.0.2", DIRECT),
    ("outside", "of another network, its own address", "no", "as 10.98.0.2", DIRECT),
];
const DIRECT: &str =
    "what is not published is not reached by routing to the container's address; Docker does so since 28.0";

/// Name, subnet's beginning, further flags.
const NETWORKS: [(&str, &str, &[&str]); 4] = [
    ("one", "172.31.1", &[]),
    ("two", "172.31.2", &[]),
    ("apart", "172.31.3", &["--opt", "com.docker.network.bridge.enable_icc=false"]),
    ("shut", "172.31.4", &["--internal"]),
];

/// Name, network, address, published ports.
const CONTAINERS: [(&str, &str, &str, &[&str]); 7] = [
    ("server", "one", "172.31.1.10", &["8080:80", "127.0.0.1:8081:80", "10.98.0.1:8082:80"]),
    ("neighbour", "one", "172.31.1.11", &[]),
    ("other", "two", "172.31.2.10", &[]),
    ("apart-1", "apart", "172.31.3.10", &[]),
    ("apart-2", "apart", "172.31.3.11", &["8083:80"]),
    ("shut-1", "shut", "172.31.4.10", &[]),
    ("shut-2", "shut", "172.31.4.11", &[]),
];

/// What is asked for by everybody.
const TARGETS: [(&str, &str); 12] = [
    ("server's own address", "172.31.1.10:80"),
    ("published everywhere, by the host's address", "10.98.0.1:8080"),
    ("published everywhere, by the network's gateway", "172.31.1.1:8080"),
    ("published everywhere, by another network's gateway", "172.31.2.1:8080"),
    ("published on 127.0.0.1, by the host's address", "10.98.0.1:8081"),
    ("published on one address, by it", "10.98.0.1:8082"),
    ("published on one address, by another", "172.31.1.1:8082"),
    ("of a network without icc, published", "10.98.0.1:8083"),
    ("of a network without icc, its own address", "172.31.3.11:80"),
    ("of an internal network, its own address", "172.31.4.11:80"),
    ("of another network, its own address", "172.31.2.10:80"),
    ("a host outside", "10.98.0.2:80"),
];

/// Answers with the client's address.
const SERVER: &str = "mkdir -p /w/cgi-bin; printf '#!/bin/sh\\necho; echo $REMOTE_ADDR' > /w/cgi-bin/who; \
                      chmod +x /w/cgi-bin/who; exec httpd -f -h /w -p 80";

type Table = BTreeMap<(String, String), String>;

struct Asked<'a> {
    world: &'a World,
    socket: PathBuf,
}

impl Asked<'_> {
    fn docker(&self, words: &[&str]) -> Output {
        let mut command = self.world.command("docker");
        command.arg("-H").arg(format!("unix://{}", self.socket.display())).args(words);
        self.world.run(command, None)
    }

    fn table(&self, outside: u32) -> Table {
        self.docker(&["pull", "-q", "busybox"]).ok();
        for (name, prefix, flags) in NETWORKS {
            let subnet = format!("{prefix}.0/24");
            self.docker(&[&["network", "create", "--subnet", &subnet], flags, &[name]].concat()).ok();
        }
        let mut clients = vec![("host".to_owned(), None), ("outside".to_owned(), Some(outside))];
        for (name, network, address, ports) in CONTAINERS {
            let mut words = vec!["run", "-d", "--name", name, "--network", network, "--ip", address];
            ports.iter().for_each(|port| words.extend(["-p", port]));
            words.extend(["busybox", "sh", "-c", SERVER]);
            self.docker(&words).ok();
            let pid = self.docker(&["inspect", "-f", "{{.State.Pid}}", name]).ok().parse().unwrap();
            eventually("the server answers in its container", 10, || {
                (self.ask(Some(pid), "127.0.0.1:80").wait().unwrap().success()).then_some(())
            });
            clients.push((name.to_owned(), Some(pid)));
        }
        let loopback = [
            ("published everywhere, by 127.0.0.1", "127.0.0.1:8080"),
            ("published on 127.0.0.1", "127.0.0.1:8081"),
        ];
        let all = clients.iter().flat_map(|client| TARGETS.map(|target| (client, target)));
        let all = all.chain(loopback.map(|target| (&clients[0], target)));
        // All at once: most of the time goes by in waiting for what is dropped.
        let asking: Vec<_> =
            all.map(|((client, pid), (what, target))| (client, what, self.ask(*pid, target))).collect();
        let answers = asking.into_iter().map(|(client, what, child)| {
            let output = child.wait_with_output().unwrap();
            let text =
                String::from_utf8_lossy(&output.stdout).trim().replace("[::ffff:", "").replace(']', "");
            let answer = if output.status.success() { format!("as {text}") } else { "no".to_owned() };
            ((client.clone(), what.to_owned()), answer)
        });
        let table = answers.collect();
        for (name, ..) in CONTAINERS {
            self.docker(&["rm", "-f", name]).ok();
        }
        for (name, ..) in NETWORKS {
            self.docker(&["network", "rm", name]).ok();
        }
        table
    }

    /// Asks from the host or the network namespace of a process.
    fn ask(&self, pid: Option<u32>, target: &str) -> Child {
        let url = format!("http://{target}/cgi-bin/who");
        let mut command = self.world.command("nsenter");
        if let Some(pid) = pid {
            command.arg(format!("--net=/proc/{pid}/ns/net"));
        }
        command.args(["curl", "-sf", "--noproxy", "*", "--max-time", "4", &url]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    }
}

/// A host behind the engines' host, which is its default route, with a server.
fn start_outside(world: &World) -> Child {
    let script = "exec unshare --net -- setpriv --pdeathsig KILL python3 -c '\
        import http.server as s,time,os\n\
        class H(s.BaseHTTPRequestHandler):\n\
        \x20def do_GET(self):\n\
        \x20\x20self.send_response(200); self.end_headers(); self.wfile.write(self.client_address[0].encode())\n\
        \x20def log_message(self,*a): pass\n\
        s.ThreadingHTTPServer((\"0.0.0.0\",80),H).serve_forever()'";
    let mut command = world.command("setsid");
    command.args(["sh", "-c", script]).stdin(Stdio::null());
    let child = command.spawn().unwrap();
    let pid = child.id();
    let own = std::fs::read_link(format!("/proc/{}/ns/net", world.daemon_pid())).unwrap();
    eventually("the outside host has its namespace", 10, || {
        let there = std::fs::read_link(format!("/proc/{pid}/ns/net")).ok()?;
        let outer = std::fs::read_link("/proc/self/ns/net").ok()?;
        (there != own && there != outer).then_some(())
    });
    world
        .sh(&format!(
            "ip link add up0 type veth peer name eth0 netns {pid} && ip addr add 10.98.0.1/24 dev up0 && ip link set up0 up \
             && nsenter --net=/proc/{pid}/ns/net sh -c 'ip addr add 10.98.0.2/24 dev eth0 && ip link set eth0 up && \
             ip link set lo up && ip route add default via 10.98.0.1'"
        ))
        .ok();
    child
}

#[test]
fn the_same_reach_the_same_as_with_dockerd() {
    let world = World::start();
    let mut process = start_outside(&world);
    let outside = process.id();
    let hull = Asked { world: &world, socket: world.socket() }.table(outside);
    world.start_dockerd();
    let dockerd = Asked { world: &world, socket: world.dockerd_socket() }.table(outside);
    world.stop_dockerd();
    process.kill().unwrap();
    process.wait().unwrap();
    assert_eq!(hull.len(), dockerd.len());
    let mut found = Vec::new();
    for ((client, target), ours) in &hull {
        let theirs = &dockerd[&(client.clone(), target.clone())];
        let row = (client.as_str(), target.as_str(), ours.as_str(), theirs.as_str());
        let is_explained = EXPLAINED.iter().any(|(a, b, c, d, _)| (*a, *b, *c, *d) == row);
        if ours != theirs && !is_explained {
            found.push(format!("{client} → {target}: {ours} on Hull, {theirs} on dockerd"));
        }
    }
    assert!(found.is_empty(), "{}\n{hull:#?}", found.join("\n"));
    // The table is one of a network that works.
    let of = |client: &str, target: &str| hull[&(client.to_owned(), target.to_owned())].as_str();
    assert_eq!(of("outside", TARGETS[1].0), "as 10.98.0.2");
    assert_eq!(of("outside", TARGETS[0].0), "no");
    assert_eq!(of("neighbour", TARGETS[0].0), "as 172.31.1.11");
    assert_eq!(of("other", TARGETS[11].0), "as 10.98.0.1");
    assert_eq!(of("shut-1", TARGETS[9].0), "as 172.31.4.10");
    world.stop();
}

/// Which ports obey the host's own input rules, said in each client's words: by port, and by network.
#[test]
fn ports_obey_the_host_where_somebody_says_so() {
    let world = World::start();
    let mut process = start_outside(&world);
    let outside = process.id();
    world
        .sh("nft add table inet host && nft add chain inet host input '{ type filter hook input priority 0; policy drop; }' \
             && nft add rule inet host input ct state established,related accept && nft add rule inet host input iifname lo accept")
        .ok();
    let asked = Asked { world: &world, socket: world.socket() };
    let docker = |words: &[&str]| asked.docker(words).ok();
    docker(&["pull", "-q", "busybox"]);
    docker(&["network", "create", "--opt", "hull.host-firewall=obey", "strict"]);
    let long = "published=9001,target=80,host-firewall=obey";
    let server = ["busybox", "sh", "-c", SERVER];
    world
        .hull(&[&["run", "-d", "--name", "by-hull", "-p", "9000:80", "-p", long], &server[..]].concat())
        .ok();
    let annotation = ["run", "-d", "--name", "by-docker", "--annotation", "hull.host-firewall.obey=80"];
    docker(&[&annotation[..], &["-p", "9002:80", "-p", "9003:81"], &server[..]].concat());
    let by_network = ["run", "-d", "--name", "by-network", "--network", "strict", "-p", "9004:80"];
    docker(&[&by_network[..], &server[..]].concat());
    let published = [9000, 9001, 9002, 9004];
    let through = |pid| {
        // All at once: most of the time goes by in waiting for what is dropped.
        let asking = published.map(|port| asked.ask(pid, &format!("10.98.0.1:{port}")));
        asking.map(|child| child.wait_with_output().unwrap().status.success())
    };
    eventually("the servers answer their host", 30, || (through(None) == [true; 4]).then_some(()));
    // Of one container port all host ports are the same.
    assert_eq!(through(Some(outside)), [false; 4]);
    let listed = world.hull(&["ports", "--format", "{{.Host}} {{.Reach}}"]).ok();
    for port in published {
        assert!(listed.contains(&format!("0.0.0.0:{port} by the host's input rules")), "{listed}");
    }
    assert!(listed.contains("0.0.0.0:9003 world"), "{listed}");
    world.sh("nft add rule inet host input tcp dport '{ 9001, 9002, 9004 }' accept").ok();
    assert_eq!(through(Some(outside)), [false, true, true, true]);
    let wrong = world.hull(&["create", "-p", "published=1,target=80,host-firewall=perhaps", "busybox"]);
    assert!(wrong.expect_code(125).stderr.contains("invalid host-firewall 'perhaps': it is obey or bypass"));
    let wrong =
        asked.docker(&["create", "-p", "80", "--annotation", "hull.host-firewall.obey=8080", "busybox"]);
    assert!(
        wrong.expect_code(1).stderr.contains("8080/tcp, which is none of the container's published ports")
    );
    docker(&["rm", "-f", "by-hull", "by-docker", "by-network"]);
    process.kill().unwrap();
    process.wait().unwrap();
    world.stop();
}

/// A container reaches every address of its host; so the engine's API must be at none of them, whatever is published.
#[test]
fn cve_2025_9074_the_engine_listens_at_no_address() {
    let world = World::start();
    world.hull(&["network", "create", "net"]).ok();
    world
        .hull(&[
            "run",
            "-d",
            "--name",
            "web",
            "--network",
            "net",
            "-p",
            "8080:80",
            "busybox",
            "sleep",
            "1000",
        ])
        .ok();
    let pid = world.daemon_pid();
    let own: Vec<String> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    // Of each line: the local address, then the state (0A listens), last but some the socket's number.
    let tables =
        ["tcp", "tcp6"].map(|name| std::fs::read_to_string(format!("/proc/{pid}/net/{name}")).unwrap());
    let sockets = |state: &str| -> Vec<String> {
        let words = tables
            .iter()
            .flat_map(|table| table.lines().skip(1))
            .map(|line| line.split_whitespace().collect());
        let of_state = words.filter(|words: &Vec<&str>| words[3] == state);
        of_state.map(|words| words[9].to_owned()).collect()
    };
    assert!(!sockets("0A").is_empty(), "the registry listens: the tables are those of the world");
    assert!(sockets("0A").iter().all(|socket| !own.contains(socket)), "{tables:?}");
    world.hull(&["rm", "-f", "web"]).ok();
    world.hull(&["network", "rm", "net"]).ok();
    world.stop();
}
