//! `./bench`: Hull and Debian's dockerd side by side in one session, alternating, medians and ratios.
//!
//! Both daemons run in one network and mount namespace made for it, with their directories in a temporary folder that
//! is removed at the end. Every measure takes its rounds by turns (Hull, dockerd, Hull, …), so that what else the machine
//! does falls on both alike.
#![allow(clippy::print_stdout)]

mod api;
mod build;
mod engines;
mod floor;
mod images;
mod memory;
mod names;
mod networks;
mod runtimes;

use anyhow::{Context, Result, bail};
use engines::{Engine, Engines};
use std::time::{Duration, Instant};

struct Settings {
    rounds: Option<usize>,
    // The table of images instead of that of containers.
    of_images: bool,
    // The table of networks.
    of_networks: bool,
    // The table of builds.
    of_builds: bool,
    images: std::path::PathBuf,
    hull: std::path::PathBuf,
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some(("runtimes", rest)) = words.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return runtimes::main(rest);
    }
    let settings = settings()?;
    let engines = Engines::start(&settings.hull, &settings.images)?;
    if settings.of_images {
        images::table(&engines, settings.rounds.unwrap_or(3))?;
        return engines.stop();
    }
    if settings.of_networks {
        networks::table(&engines, settings.rounds.unwrap_or(10))?;
        return engines.stop();
    }
    if settings.of_builds {
        build::table(&engines, settings.rounds.unwrap_or(3))?;
        return engines.stop();
    }
    let rounds = settings.rounds.unwrap_or(40);
    for engine in engines.both() {
        engine.docker(&["pull", "-q", "busybox"])?;
    }
    println!("{rounds} rounds each, alternating; times in milliseconds: median (minimum)\n");
    println!("| what | Hull | dockerd 20.10 | ratio | goal |");
    println!("|---|---|---|---|---|");
    let (hull, dockerd) = (&engines.hull, &engines.dockerd);
    row("API: create → start → wait → remove", "0.12", rounds, || api::life(hull), || api::life(dockerd))?;
    row(
        "`hull run --rm` against `docker run --rm` on dockerd",
        "0.15",
        rounds,
        || hull.hull(&["run", "--rm", "busybox", "true"]),
        || dockerd.docker(&["run", "--rm", "busybox", "true"]),
    )?;
    row(
        "the same with `--network none`",
        "",
        rounds,
        || hull.hull(&["run", "--rm", "--network", "none", "busybox", "true"]),
        || dockerd.docker(&["run", "--rm", "--network", "none", "busybox", "true"]),
    )?;
    row(
        "the stock docker CLI's `run --rm` on each",
        "0.25",
        rounds,
        || hull.docker(&["run", "--rm", "busybox", "true"]),
        || dockerd.docker(&["run", "--rm", "busybox", "true"]),
    )?;
    hull.docker(&["run", "-d", "--name", "still", "busybox", "sleep", "1000"])?;
    dockerd.docker(&["run", "-d", "--name", "still", "busybox", "sleep", "1000"])?;
    row(
        "`exec` of `true`, own client on each",
        "",
        rounds,
        || hull.hull(&["exec", "still", "true"]),
        || dockerd.docker(&["exec", "still", "true"]),
    )?;
    row("`ps`, own client on each", "", rounds, || hull.hull(&["ps"]), || dockerd.docker(&["ps"]))?;
    println!("\n| memory, PSS in MiB | Hull | dockerd 20.10 | goal |\n|---|---|---|---|");
    // Hull counts as idle, and gives memory back, after five quiet seconds.
    std::thread::sleep(Duration::from_secs(8));
    println!(
        "| the idle daemon(s) | {:.2} | {:.2} | 15 |",
        memory::pss_of(&engines.hull.daemons())?,
        memory::pss_of(&engines.dockerd.daemons())?
    );
    println!(
        "| beside each container | {:.2} | {:.2} | 0.5 |",
        memory::pss_of(&engines.shims("hull-runtime shim")?)?,
        memory::pss_of(&engines.shims("containerd-shim")?)?
    );
    hull.docker(&["rm", "-f", "still"])?;
    dockerd.docker(&["rm", "-f", "still"])?;
    println!("\n| names | Hull | dockerd 20.10 | ratio | goal |\n|---|---|---|---|---|");
    let (own, peers) = (names::answers(hull)?, names::answers(dockerd)?);
    let ratio = own.per_second / peers.per_second;
    println!("| look-ups a second | {:.0} | {:.0} | {ratio:.1} | 3 |", own.per_second, peers.per_second);
    println!("| 99 of 100 take at most, ms | {:.2} | {:.2} | | 2 ms |", own.p99, peers.p99);
    engines.stop()?;
    runtimes::compare(rounds, &settings.hull.with_file_name("hull-runtime"))
}

fn settings() -> Result<Settings> {
    let (mut rounds, mut of_images, mut of_networks, mut of_builds) = (None, false, false, false);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--rounds" => {
                rounds = Some(words.next().context("--rounds wants a number")?.parse().context("--rounds")?)
            }
            "--images" => of_images = true,
            "--networks" => of_networks = true,
            "--builds" => of_builds = true,
            other => bail!("unknown word {other}: ./bench [--images|--networks|--builds] [--rounds N]"),
        }
    }
    let path = |name: &str| std::env::var_os(name).with_context(|| format!("{name} is not set: run ./bench"));
    Ok(Settings {
        rounds,
        of_images,
        of_networks,
        of_builds,
        images: path("HULL_TEST_IMAGES")?.into(),
        hull: path("HULL_BIN")?.into(),
    })
}

/// Times two acts by turns and prints a row of the table.
fn row(
    what: &str,
    goal: &str,
    rounds: usize,
    mut ours: impl FnMut() -> Result<()>,
    mut theirs: impl FnMut() -> Result<()>,
) -> Result<()> {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for round in 0..rounds + 2 {
        let (a, b) = (timed(&mut ours)?, timed(&mut theirs)?);
        // Two rounds warm the caches.
        if round >= 2 {
            first.push(a);
            second.push(b);
        }
    }
    let (a, b) = (median(&mut first), median(&mut second));
    println!("| {what} | {a:.1} ({:.1}) | {b:.1} ({:.1}) | {:.3} | {goal} |", first[0], second[0], a / b);
    Ok(())
}

fn timed(act: &mut impl FnMut() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    act()?;
    Ok(start.elapsed().as_secs_f64() * 1000.0)
}

/// Sorts, and gives the middle.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

impl Engine {
    fn hull(&self, words: &[&str]) -> Result<()> {
        self.client(&self.hull_binary, words)
    }
    fn docker(&self, words: &[&str]) -> Result<()> {
        self.client(std::path::Path::new("docker"), words)
    }
}
