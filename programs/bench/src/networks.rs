//! What attaching a container to a network costs, and what goes through (iperf3 in the namespaces of containers, of the
//! engines' host, and of a host outside).

use crate::engines::{Engine, Engines};
use crate::{median, names, row};
use anyhow::{Context, Result, bail};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const NETWORK: &str = "bench";
const OUTSIDE: &str = "10.99.0.2/24";
const HOST: &str = "10.99.0.1";
/// iperf3's own port in the container.
const SERVED: u16 = 5201;
const SECONDS: &str = "2";

/// One engine's part: its network's addresses begin with the prefix, and its server is published on the port.
struct Part<'a> {
    engines: &'a Engines,
    engine: &'a Engine,
    prefix: &'static str,
    port: u16,
}

/// Prints the rows, by turns.
pub fn table(engines: &Engines, rounds: usize) -> Result<()> {
    let part = |engine, prefix, port| Part { engines, engine, prefix, port };
    let (hull, dockerd) = (part(&engines.hull, "172.28.1", 5301), part(&engines.dockerd, "172.28.2", 5302));
    for part in [&hull, &dockerd] {
        part.engine.docker(&["pull", "-q", "busybox"])?;
        let subnet = format!("{}.0/24", part.prefix);
        part.engine.docker(&["network", "create", "--subnet", &subnet, NETWORK])?;
    }
    // What dockerd sets where it was first to have the host forward; it would bar Hull's packets.
    run(engines.command("iptables").args(["-P", "FORWARD", "ACCEPT"]))?;
    println!("{rounds} rounds each, alternating\n");
    println!("| what | Hull, ms | dockerd 20.10, ms | ratio | goal |\n|---|---|---|---|---|");
    row(
        "`docker run -d --network` until a server answers at the container's address, and its removal",
        "0.3",
        rounds,
        || hull.attach(&["--network", NETWORK], true),
        || dockerd.attach(&["--network", NETWORK], true),
    )?;
    row(
        "the same with `--network none`, without a connection",
        "",
        rounds,
        || hull.attach(&["--network", "none"], false),
        || dockerd.attach(&["--network", "none"], false),
    )?;
    let outside = Outside::start(engines)?;
    for part in [&hull, &dockerd] {
        part.start_servers()?;
    }
    println!("\n| throughput, Gbit/s | Hull | dockerd 20.10 | ratio | goal |\n|---|---|---|---|---|");
    let rounds = rounds.div_ceil(3);
    let (neighbour, published, loopback) = (
        by_turns(rounds, || hull.by_neighbour(), || dockerd.by_neighbour())?,
        by_turns(rounds, || hull.by_outside(&outside), || dockerd.by_outside(&outside))?,
        by_turns(rounds, || hull.by_loopback(), || dockerd.by_loopback())?,
    );
    print("from container to container", neighbour, "1");
    print("from an outside host to a published port", published, "1");
    print("from the host by 127.0.0.1 to a published port", loopback, "1");
    let (by_loopback, direct) = by_turns(rounds, || hull.by_loopback(), || hull.direct())?;
    println!("\n| throughput, Gbit/s | by 127.0.0.1 | direct | ratio | goal |\n|---|---|---|---|---|");
    print("from the host to a container of Hull's", (by_loopback, direct), "0.9");
    for part in [&hull, &dockerd] {
        part.engine.docker(&["rm", "-f", "server", "client"])?;
        part.engine.docker(&["network", "rm", NETWORK])?;
    }
    Ok(())
}

fn print(what: &str, (ours, other): (f64, f64), goal: &str) {
    println!("| {what} | {ours:.1} | {other:.1} | {:.2} | {goal} |", ours / other);
}

/// The medians of two measures.
fn by_turns(
    rounds: usize,
    mut first: impl FnMut() -> Result<f64>,
    mut second: impl FnMut() -> Result<f64>,
) -> Result<(f64, f64)> {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        a.push(first()?);
        b.push(second()?);
    }
    Ok((median(&mut a), median(&mut b)))
}

impl Part<'_> {
    fn attach(&self, network: &[&str], connects: bool) -> Result<()> {
        let address = format!("{}.10", self.prefix);
        let mut words = vec!["run", "-d", "--name", "attached"];
        words.extend(network);
        if connects {
            words.extend(["--ip", &address]);
        }
        words.extend(["busybox", "httpd", "-f", "-p", "80"]);
        self.engine.docker(&words)?;
        if connects {
            let server: SocketAddr = format!("{address}:80").parse()?;
            self.engines.inside(|| wait_for(server))??;
        }
        self.engine.docker(&["rm", "-f", "attached"])
    }

    /// A server, published, and a neighbour, in which iperf3 is started from here.
    fn start_servers(&self) -> Result<()> {
        let publish = format!("{}:{SERVED}", self.port);
        let address = format!("{}.20", self.prefix);
        let common = ["run", "-d", "--network", NETWORK, "--name"];
        let sleep = ["busybox", "sleep", "10000"];
        let server = [&common[..], &["server", "--ip", &address, "-p", &publish], &sleep].concat();
        self.engine.docker(&server)?;
        self.engine.docker(&[&common[..], &["client"], &sleep].concat())
    }

    fn by_neighbour(&self) -> Result<f64> {
        self.measure(names::pid_of(self.engine, "client")?, &format!("{}.20", self.prefix), SERVED)
    }

    fn by_outside(&self, outside: &Outside) -> Result<f64> {
        self.measure(outside.process.id(), HOST, self.port)
    }

    fn by_loopback(&self) -> Result<f64> {
        self.measure(self.engines.holder(), "127.0.0.1", self.port)
    }

    fn direct(&self) -> Result<f64> {
        self.measure(self.engines.holder(), &format!("{}.20", self.prefix), SERVED)
    }

    /// Gigabits in a second that arrive at the server from a client in the network namespace of a process.
    fn measure(&self, client: u32, address: &str, port: u16) -> Result<f64> {
        let server = names::pid_of(self.engine, "server")?;
        let mut serving = in_network(server).args(["iperf3", "-s", "-1"]).stdout(Stdio::null()).spawn()?;
        // It takes one test, so that it can't be asked whether it is there: the client tries until it is.
        let deadline = Instant::now() + Duration::from_secs(5);
        let rate = loop {
            let port = port.to_string();
            let words = ["iperf3", "--json", "-t", SECONDS, "-c", address, "-p", &port];
            let output = in_network(client).args(words).output().context("run iperf3")?;
            // With --json it ends well when it could not connect.
            let told: Option<serde_json::Value> = serde_json::from_slice(&output.stdout).ok();
            let rate = told.and_then(|told| told["end"]["sum_received"]["bits_per_second"].as_f64());
            if let Some(rate) = rate {
                break rate;
            }
            if Instant::now() > deadline {
                let _ = serving.kill();
                let _ = serving.wait();
                bail!("iperf3 -c {address}: {}", String::from_utf8_lossy(&output.stdout));
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        serving.wait()?;
        Ok(rate / 1e9)
    }
}

fn wait_for(server: SocketAddr) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Err(error) = TcpStream::connect_timeout(&server, Duration::from_secs(1)) {
        if Instant::now() > deadline {
            bail!("{server}: {error}");
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    Ok(())
}

fn in_network(process: u32) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/proc/{process}/ns/net")).stdin(Stdio::null());
    command
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// A host beside that of the engines; it ends with its value.
struct Outside {
    process: Child,
}

impl Outside {
    fn start(engines: &Engines) -> Result<Self> {
        let words = ["--net", "--", "setpriv", "--pdeathsig", "KILL", "sleep", "infinity"];
        let outside = Self { process: Command::new("unshare").args(words).stdin(Stdio::null()).spawn()? };
        let pid = outside.process.id();
        let own = std::fs::read_link("/proc/self/ns/net")?;
        while std::fs::read_link(format!("/proc/{pid}/ns/net"))? == own {
            std::thread::sleep(Duration::from_millis(5));
        }
        let peer = format!("link add up0 type veth peer name eth0 netns {pid}");
        for words in [&peer, &format!("addr add {HOST}/24 dev up0"), "link set up0 up"] {
            run(engines.command("ip").args(words.split(' ')))?;
        }
        for words in [&format!("addr add {OUTSIDE} dev eth0"), "link set eth0 up"] {
            run(in_network(pid).arg("ip").args(words.split(' ')))?;
        }
        Ok(outside)
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
