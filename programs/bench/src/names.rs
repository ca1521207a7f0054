//! Look-ups of a neighbour's name: how many a container gets answered in a second (dnsperf in its network namespace),
//! and how long one takes at most.

use crate::engines::Engine;
use anyhow::{Context, Result};
use std::collections::HashMap;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::process::Command;
use std::time::{Duration, Instant};

// So long each measurement lasts.
const SECONDS: u64 = 3;
// Questions under way at once where the time of one is measured.
const IN_FLIGHT: u16 = 4;

/// What was measured.
pub struct Answers {
    /// With 400 under way.
    pub per_second: f64,
    /// The longest time of 99 of 100, with four under way, in milliseconds.
    pub p99: f64,
}

/// Makes a network with two containers, asks, and removes them.
pub fn answers(engine: &Engine) -> Result<Answers> {
    engine.docker(&["network", "create", "names"])?;
    for name in ["asking", "asked"] {
        engine.docker(&["run", "-d", "--name", name, "--network", "names", "busybox", "sleep", "1000"])?;
    }
    let pid = pid_of(engine, "asking")?;
    let answers = Answers { per_second: per_second(pid)?, p99: p99(pid)? };
    engine.docker(&["rm", "-f", "asking", "asked"])?;
    engine.docker(&["network", "rm", "names"])?;
    Ok(answers)
}

fn per_second(pid: u32) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let queries = folder.path().join("queries");
    std::fs::write(&queries, "asked A\n")?;
    let output = Command::new("nsenter")
        .arg(format!("--net=/proc/{pid}/ns/net"))
        .args(["dnsperf", "-s", "127.0.0.11", "-l", &SECONDS.to_string(), "-c", "4", "-q", "100", "-d"])
        .arg(&queries)
        .output()
        .context("run dnsperf")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let number = text.lines().find_map(|line| line.trim().strip_prefix("Queries per second:"));
    number.and_then(|number| number.trim().parse().ok()).with_context(|| format!("dnsperf said: {text}"))
}

fn p99(pid: u32) -> Result<f64> {
    let namespace = hull_sys::netns::of_process(i32::try_from(pid)?)?;
    let mut times = hull_sys::netns::within(namespace.as_fd(), ask)?;
    times.sort_unstable();
    let time = times.get(times.len() * 99 / 100).context("nothing was answered")?;
    Ok(time.as_secs_f64() * 1000.0)
}

/// Asks one question for each that is answered.
fn ask() -> std::io::Result<Vec<Duration>> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect("127.0.0.11:53")?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    let (mut under_way, mut times, mut buffer) = (HashMap::new(), Vec::new(), [0; 512]);
    let end = Instant::now() + Duration::from_secs(SECONDS);
    let mut number = 0_u16;
    while Instant::now() < end {
        while under_way.len() < usize::from(IN_FLIGHT) {
            number = number.wrapping_add(1);
            let mut query = number.to_be_bytes().to_vec();
            query.extend(b"\x01\0\0\x01\0\0\0\0\0\0\x05asked\0\0\x01\0\x01");
            under_way.insert(number, Instant::now());
            socket.send(&query)?;
        }
        let length = socket.recv(&mut buffer)?;
        if length >= 2
            && let Some(sent) = under_way.remove(&u16::from_be_bytes([buffer[0], buffer[1]]))
        {
            times.push(sent.elapsed());
        }
    }
    Ok(times)
}

/// A container's first process.
pub fn pid_of(engine: &Engine, container: &str) -> Result<u32> {
    let output = Command::new("docker")
        .arg("-H")
        .arg(format!("unix://{}", engine.socket.display()))
        .args(["inspect", "-f", "{{.State.Pid}}", container])
        .output()
        .context("run docker inspect")?;
    String::from_utf8_lossy(&output.stdout).trim().parse().context("read the container's process id")
}
