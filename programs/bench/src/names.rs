//! Look-ups of a neighbour's name that a container gets answered in a second (dnsperf in its network namespace).

use crate::engines::Engine;
use anyhow::{Context, Result};
use std::process::Command;

/// Makes a network with two containers, asks, and removes them.
pub fn per_second(engine: &Engine) -> Result<f64> {
    engine.docker(&["network", "create", "names"])?;
    for name in ["asking", "asked"] {
        engine.docker(&["run", "-d", "--name", name, "--network", "names", "busybox", "sleep", "1000"])?;
    }
    let pid = pid_of(engine)?;
    let folder = tempfile::tempdir()?;
    let queries = folder.path().join("queries");
    std::fs::write(&queries, "asked A\n")?;
    let output = Command::new("nsenter")
        .arg(format!("--net=/proc/{pid}/ns/net"))
        .args(["dnsperf", "-s", "127.0.0.11", "-l", "3", "-c", "4", "-q", "100", "-d"])
        .arg(&queries)
        .output()
        .context("run dnsperf")?;
    engine.docker(&["rm", "-f", "asking", "asked"])?;
    engine.docker(&["network", "rm", "names"])?;
    let text = String::from_utf8_lossy(&output.stdout);
    let number = text.lines().find_map(|line| line.trim().strip_prefix("Queries per second:"));
    number.and_then(|number| number.trim().parse().ok()).with_context(|| format!("dnsperf said: {text}"))
}

fn pid_of(engine: &Engine) -> Result<u32> {
    let output = Command::new("docker")
        .arg("-H")
        .arg(format!("unix://{}", engine.socket.display()))
        .args(["inspect", "-f", "{{.State.Pid}}", "asking"])
        .output()
        .context("run docker inspect")?;
    String::from_utf8_lossy(&output.stdout).trim().parse().context("read the container's process id")
}
