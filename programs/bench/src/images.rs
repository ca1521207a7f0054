//! The table of images (`./bench --images`): a large one pulled, pulled again, pushed, saved, removed and loaded, by Hull, dockerd and
//! podman in turns, and what fetching, inflating and hashing alone would take.

use crate::engines::{Engine, Engines};
use crate::{median, memory};
use anyhow::{Context, Result, bail};
use flate2::read::MultiGzDecoder;
use ring::digest::{Context as Hash, SHA256};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::time::Instant;

const IMAGE: &str = "127.0.0.1:5000/library/bulk";
const CLIENT: &str = "docker";

/// One column of the table.
#[derive(Default)]
struct Times {
    pull: Vec<f64>,
    again: Vec<f64>,
    push: Vec<f64>,
    save: Vec<f64>,
    load: Vec<f64>,
    remove: Vec<f64>,
}

/// Runs the rounds and prints the table.
pub fn table(engines: &Engines, rounds: usize) -> Result<()> {
    let podman = engines.podman();
    let (mut hull, mut dockerd, mut other, mut floor) =
        (Times::default(), Times::default(), Times::default(), Vec::new());
    let (mut extra, mut peak) = (0.0_f64, 0.0_f64);
    for round in 0..rounds {
        eprintln!("round {} of {rounds}", round + 1);
        floor.push(engines.inside(|| timed(fetch_all))??);
        let idle = memory::peak_from_now(engines.hull.daemon_pid())?;
        one(&engines.hull, engines, "hull", round, &mut hull)?;
        peak = memory::peak(engines.hull.daemon_pid())?;
        extra = extra.max(peak - idle);
        one(&engines.dockerd, engines, "dockerd", round, &mut dockerd)?;
        other.pull.push(timed(|| podman.pull(IMAGE))?);
        other.again.push(timed(|| podman.pull(IMAGE))?);
        other.remove.push(timed(|| podman.remove(IMAGE))?);
    }
    let base = median(&mut floor);
    println!("\n{rounds} rounds each, alternating; seconds: median (minimum)\n");
    println!("| what | Hull | dockerd 20.10 | podman | ratio to the faster | goal |");
    println!("|---|---|---|---|---|---|");
    let mut row = |what: &str, goal: &str, of: fn(&mut Times) -> &mut Vec<f64>| {
        let texts: Vec<(f64, String)> =
            [&mut hull, &mut dockerd, &mut other].map(|times| shown(of(times))).into_iter().collect();
        let peer = texts[1].0.min(texts[2].0);
        let cells: Vec<&str> = texts.iter().map(|(_, text)| text.as_str()).collect();
        println!("| {what} | {} | {:.3} | {goal} |", cells.join(" | "), texts[0].0 / peer);
    };
    row("cold pull of `bulk` (1 GB, 308 MB compressed)", "0.1", |times| &mut times.pull);
    row("the same pull again", "0.02 s", |times| &mut times.again);
    row("push into an empty registry", "0.5", |times| &mut times.push);
    row("save of it to a file", "0.5", |times| &mut times.save);
    row("load of that file", "0.5", |times| &mut times.load);
    row("image removal", "0.1", |times| &mut times.remove);
    let pull = median(&mut hull.pull);
    println!(
        "\nfetched, inflated and hashed only: {base:.2} s; the pull takes {:.2}× of it (goal 1.4)",
        pull / base
    );
    println!("the daemon's memory at its peak: {peak:.1} MiB, {extra:.1} MiB above idle (goal 64)");
    Ok(())
}

fn one(engine: &Engine, engines: &Engines, name: &str, round: usize, times: &mut Times) -> Result<()> {
    let client = |words: &[&str]| engine.client(std::path::Path::new(CLIENT), words);
    times.pull.push(timed(|| client(&["pull", "-q", IMAGE]))?);
    times.again.push(timed(|| client(&["pull", "-q", IMAGE]))?);
    let to = format!("127.0.0.1:5001/{name}:{round}");
    let empty = engines.empty_registry(5001)?;
    client(&["tag", IMAGE, &to])?;
    times.push.push(timed(|| client(&["push", "-q", &to]))?);
    client(&["rmi", &to])?;
    drop(empty);
    let archive = engines.directory().join(format!("{name}.tar"));
    let archive = archive.to_str().context("the folder's name")?;
    times.save.push(timed(|| client(&["save", "-o", archive, IMAGE]))?);
    times.remove.push(timed(|| client(&["rmi", IMAGE]))?);
    times.load.push(timed(|| client(&["load", "-q", "-i", archive]))?);
    client(&["rmi", IMAGE])?;
    std::fs::remove_file(archive)?;
    Ok(())
}

fn timed<T>(act: impl FnOnce() -> Result<T>) -> Result<f64> {
    let start = Instant::now();
    act()?;
    Ok(start.elapsed().as_secs_f64())
}

fn shown(values: &mut [f64]) -> (f64, String) {
    if values.is_empty() {
        return (f64::INFINITY, "–".into());
    }
    let middle = median(values);
    (middle, format!("{middle:.2} ({:.2})", values[0]))
}

// Every layer fetched, inflated and hashed twice, on all processors: what no pull can do without.
fn fetch_all() -> Result<()> {
    let mut body = Vec::new();
    get("manifests/latest")?.read_to_end(&mut body)?;
    let manifest: Value = serde_json::from_slice(&body)?;
    let layers = manifest["layers"].as_array().context("no layers")?;
    let mut digests: Vec<(u64, String)> = layers
        .iter()
        .map(|layer| (layer["size"].as_u64().unwrap_or(0), layer["digest"].as_str().unwrap_or("").to_owned()))
        .collect();
    digests.sort();
    let queue = Mutex::new(digests);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..std::thread::available_parallelism()?.get())
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    loop {
                        let next = queue.lock().map_err(|_| anyhow::anyhow!("a worker panicked"))?.pop();
                        let Some((_, digest)) = next else { return Ok(()) };
                        inflate(&digest)?;
                    }
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| anyhow::anyhow!("panicked"))?)
    })
}

fn inflate(digest: &str) -> Result<()> {
    let body = Hashed { inner: get(&format!("blobs/{digest}"))?, hash: Hash::new(&SHA256) };
    let mut plain = MultiGzDecoder::new(body);
    let (mut hash, mut buffer) = (Hash::new(&SHA256), vec![0; 256 << 10]);
    loop {
        match plain.read(&mut buffer)? {
            0 => break,
            length => hash.update(&buffer[..length]),
        }
    }
    let found: String =
        plain.into_inner().hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    if digest != format!("sha256:{found}") {
        bail!("{digest} came as {found}");
    }
    std::hint::black_box(hash.finish());
    Ok(())
}

struct Hashed<R> {
    inner: R,
    hash: Hash,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.hash.update(&buffer[..length]);
        Ok(length)
    }
}

fn get(path: &str) -> Result<BufReader<TcpStream>> {
    let mut stream = TcpStream::connect("127.0.0.1:5000")?;
    let accept = "application/vnd.oci.image.manifest.v1+json";
    write!(
        stream,
        "GET /v2/library/bulk/{path} HTTP/1.0\r\nHost: 127.0.0.1:5000\r\nAccept: {accept}\r\n\r\n"
    )?;
    let mut body = BufReader::with_capacity(256 << 10, stream);
    let mut line = String::new();
    body.read_line(&mut line)?;
    if !line.contains(" 200 ") {
        bail!("{path}: {line}");
    }
    while line != "\r\n" {
        line.clear();
        body.read_line(&mut line)?;
    }
    Ok(body)
}
