//! The table of builds (`./bench --builds`): twenty RUN steps and a COPY of 20,000 small files, cold and from the cache,
//! by Hull, dockerd's classic builder and buildah in turns.

use crate::engines::{Engine, Engines};
use crate::median;
use anyhow::Result;
use std::fmt::Write;
use std::path::Path;
use std::time::Instant;

const FILES: usize = 20_000;

/// Seconds of one column.
#[derive(Default)]
struct Times {
    steps: Vec<f64>,
    steps_again: Vec<f64>,
    copy: Vec<f64>,
    copy_again: Vec<f64>,
}

/// Runs the rounds and prints the table.
pub fn table(engines: &Engines, rounds: usize) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (steps, copy) = (directory.path().join("steps"), directory.path().join("copy"));
    projects(&steps, &copy)?;
    for engine in engines.both() {
        engine.docker(&["pull", "-q", "debian"])?;
    }
    let buildah = engines.buildah();
    let (mut hull, mut dockerd, mut other) = (Times::default(), Times::default(), Times::default());
    for round in 0..rounds {
        eprintln!("round {} of {rounds}", round + 1);
        one(&mut hull, &steps, &copy, round, |root, flags| ours(&engines.hull, root, flags))?;
        one(&mut dockerd, &steps, &copy, round, |root, flags| classic(&engines.dockerd, root, flags))?;
        one(&mut other, &steps, &copy, round, |root, flags| buildah.build(root, flags))?;
    }
    println!("\n{rounds} rounds each, alternating; seconds: median (minimum)\n");
    println!("| what | Hull | dockerd 20.10, classic | buildah | goal |");
    println!("|---|---|---|---|---|");
    let mut row = |what: &str, goal: &str, of: fn(&mut Times) -> &mut Vec<f64>| {
        let mut cells = String::new();
        for times in [&mut hull, &mut dockerd, &mut other] {
            let middle = median(of(times));
            let _ = write!(cells, " {middle:.2} ({:.2}) |", of(times)[0]);
        }
        println!("| {what} |{cells} {goal} |");
    };
    row("20 RUN steps, cold", "0.3 of the faster", |times| &mut times.steps);
    row("the same, all cached", "0.06 s", |times| &mut times.steps_again);
    row("COPY of 20,000 small files, cold", "0.15 of dockerd", |times| &mut times.copy);
    row("the same, nothing changed", "0.3 s", |times| &mut times.copy_again);
    Ok(())
}

fn projects(steps: &Path, copy: &Path) -> Result<()> {
    std::fs::create_dir_all(steps)?;
    let lines: String = (0..20).map(|number| format!("RUN echo {number} > /f{number}\n")).collect();
    std::fs::write(steps.join("Dockerfile"), format!("FROM debian\n{lines}"))?;
    for number in 0..FILES {
        let place = copy.join(format!("src/d{}", number / 200));
        if number % 200 == 0 {
            std::fs::create_dir_all(&place)?;
        }
        std::fs::write(place.join(format!("f{number}")), format!("file {number}\n").repeat(20))?;
    }
    std::fs::write(copy.join("Dockerfile"), "FROM debian\nCOPY src /src\n")?;
    Ok(())
}

fn one(
    times: &mut Times,
    steps: &Path,
    copy: &Path,
    round: usize,
    build: impl Fn(&Path, &[&str]) -> Result<()>,
) -> Result<()> {
    // Another content each time: what is cold has never been seen.
    std::fs::write(copy.join("src/round"), format!("{round} {:?}", Instant::now()))?;
    times.steps.push(timed(|| build(steps, &["--no-cache"]))?);
    build(steps, &[])?;
    times.steps_again.push(timed(|| build(steps, &[]))?);
    times.copy.push(timed(|| build(copy, &["--no-cache"]))?);
    build(copy, &[])?;
    times.copy_again.push(timed(|| build(copy, &[]))?);
    Ok(())
}

fn timed(act: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    act()?;
    Ok(start.elapsed().as_secs_f64())
}

fn ours(engine: &Engine, root: &Path, flags: &[&str]) -> Result<()> {
    let root = root.to_string_lossy();
    let words: Vec<&str> = ["build", "-q"].iter().chain(flags).copied().chain([root.as_ref()]).collect();
    engine.hull(&words)
}

fn classic(engine: &Engine, root: &Path, flags: &[&str]) -> Result<()> {
    let root = root.to_string_lossy();
    let words: Vec<&str> = ["build", "-q"].iter().chain(flags).copied().chain([root.as_ref()]).collect();
    engine.docker(&words)
}
