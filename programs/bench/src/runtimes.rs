//! The OCI runtimes side by side on one bundle: Hull's, crun and runc by turns, and the kernel's own floor beneath.
//!
//! crun 1.8 refuses a host whose version 2 hierarchy is beside version 1's: all run where it is not mounted, in a mount
//! namespace of their own.

use crate::floor;
use crate::{median, timed};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Starts this program again where the runtimes can be compared.
pub fn compare(rounds: usize, runtime: &Path) -> Result<()> {
    let script = "umount /sys/fs/cgroup/unified 2>/dev/null; exec \"$0\" runtimes \"$@\"";
    let status = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "--", "sh", "-c", script])
        .arg(std::env::current_exe()?)
        .arg(rounds.to_string())
        .arg(runtime)
        .status()?;
    if status.success() { Ok(()) } else { bail!("the comparison of runtimes failed: {status}") }
}

struct Runtime {
    name: &'static str,
    program: PathBuf,
    state: PathBuf,
    bundle: PathBuf,
}

impl Runtime {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(&self.state).args(words).current_dir(&self.bundle);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    fn call(&self, words: &[&str]) -> Result<()> {
        let status = self.command(words).status()?;
        if status.success() { Ok(()) } else { bail!("{} {words:?}: {status}", self.name) }
    }

    fn run(&self) -> Result<()> {
        self.call(&["run", &format!("bench-{}", self.name)])
    }

    fn life(&self) -> Result<()> {
        let id = format!("bench-{}", self.name);
        self.call(&["create", &id])?;
        self.call(&["start", &id])?;
        // It has to end first: that is waited for, not counted in calls that fail.
        let mut last = Ok(());
        for _ in 0..1000 {
            last = match self.command(&["delete", &id]).stderr(Stdio::null()).status()? {
                status if status.success() => return Ok(()),
                status => Err(anyhow::anyhow!("{} delete: {status}", self.name)),
            };
            std::thread::sleep(Duration::from_millis(1));
        }
        last
    }

    fn exec(&self) -> Result<()> {
        self.call(&["exec", &format!("still-{}", self.name), "/bin/true"])
    }

    /// The most memory that one call of `run` had, in KiB. busybox is small enough to start it: what a process is
    /// started from counts until its own program is there. Its `time` multiplies by the page size.
    fn peak(&self) -> Result<u64> {
        let mut command = Command::new("busybox");
        command.args(["time", "-f", "%M"]).arg(&self.program).arg("--root").arg(&self.state);
        command.args(["run", &format!("bench-{}", self.name)]).current_dir(&self.bundle).stdin(Stdio::null());
        let output = command.output().context("busybox time")?;
        let said = String::from_utf8_lossy(&output.stderr);
        let number: u64 =
            said.split_whitespace().last().and_then(|word| word.parse().ok()).context("peak")?;
        Ok(number / (rustix::param::page_size() as u64 / 1024))
    }
}

/// The comparison itself, inside.
pub fn main(words: &[String]) -> Result<()> {
    let [rounds, runtime] = words else { bail!("runtimes ROUNDS HULL-RUNTIME") };
    let rounds: usize = rounds.parse()?;
    let directory = tempfile::Builder::new().prefix("hull-bench-").tempdir()?;
    let bundle =
        |name: &str, argument: &str| bundle(&directory.path().join(name), Path::new(runtime), argument);
    let short = bundle("true", "/bin/true")?;
    let long = bundle("sleep", "/bin/sleep 1000")?;
    let peers = [("hull", runtime.as_str()), ("crun", "crun"), ("runc", "runc")];
    let runtimes = peers.map(|(name, program)| Runtime {
        name,
        program: program.into(),
        state: directory.path().join(name),
        bundle: short.clone(),
    });
    println!(
        "\n| OCI runtime, one bundle, {rounds} rounds | hull-runtime | crun | runc | to crun | to runc | goals |"
    );
    println!("|---|---|---|---|---|---|---|");
    row("`run` of `true`", rounds, &runtimes, Runtime::run)?;
    row("create + start + delete", rounds, &runtimes, Runtime::life)?;
    for runtime in &runtimes {
        let id = format!("still-{}", runtime.name);
        let status =
            runtime.command(&["run", "-d", &id]).current_dir(&long).stderr(Stdio::null()).status()?;
        if !status.success() {
            bail!("{}: {status}", runtime.name);
        }
    }
    let executed = row("`exec` of `true`", rounds, &runtimes, Runtime::exec);
    for runtime in &runtimes {
        runtime.call(&["delete", "--force", &format!("still-{}", runtime.name)])?;
    }
    executed?;
    let peaks = runtimes.iter().map(Runtime::peak).collect::<Result<Vec<_>>>()?;
    let [hull, crun, runc] = peaks[..] else { bail!("three peaks") };
    let ratio = |peer: u64| hull as f64 / peer as f64;
    println!(
        "| peak memory of `run`, KiB | {hull} | {crun} | {runc} | {:.2} | {:.2} | 1 |",
        ratio(crun),
        ratio(runc)
    );
    let size = std::fs::metadata(runtime)?.len();
    println!("| the program, bytes | {size} | | | | | 1000000 |");
    floor::row(rounds, &short.join("rootfs"), || runtimes[0].run())
}

/// Times all by turns and prints a row.
fn row(
    what: &str,
    rounds: usize,
    runtimes: &[Runtime; 3],
    act: impl Fn(&Runtime) -> Result<()>,
) -> Result<()> {
    let mut times = [const { Vec::new() }; 3];
    for round in 0..rounds + 2 {
        for (runtime, times) in runtimes.iter().zip(&mut times) {
            let time = timed(&mut || act(runtime))?;
            // Two rounds warm the caches.
            if round >= 2 {
                times.push(time);
            }
        }
    }
    let [hull, crun, runc] = times.each_mut().map(|times| median(times));
    let [a, b, c] = times.each_ref().map(|times| times[0]);
    println!(
        "| {what} | {hull:.1} ({a:.1}) | {crun:.1} ({b:.1}) | {runc:.1} ({c:.1}) | {:.2} | {:.2} | 0.85, 0.4 |",
        hull / crun,
        hull / runc
    );
    Ok(())
}

/// A bundle that all three take: busybox, and the configuration that `spec` writes, of an older version.
fn bundle(path: &Path, runtime: &Path, line: &str) -> Result<PathBuf> {
    let root = path.join("rootfs");
    for name in ["bin", "proc", "sys", "dev", "tmp", "etc"] {
        std::fs::create_dir_all(root.join(name))?;
    }
    std::fs::copy("/bin/busybox", root.join("bin/busybox")).context("busybox-static is not installed")?;
    for name in ["sh", "true", "sleep"] {
        symlink("busybox", root.join("bin").join(name))?;
    }
    if !Command::new(runtime).arg("spec").current_dir(path).status()?.success() {
        bail!("{} spec failed", runtime.display());
    }
    let mut spec: Value = serde_json::from_slice(&std::fs::read(path.join("config.json"))?)?;
    spec["ociVersion"] = json!("1.0.2");
    spec["process"]["terminal"] = json!(false);
    spec["process"]["args"] = line.split(' ').collect();
    std::fs::write(path.join("config.json"), spec.to_string())?;
    Ok(path.to_owned())
}
