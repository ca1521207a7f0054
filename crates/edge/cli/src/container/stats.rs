//! `stats`: a table that is drawn anew as samples come.

use crate::failure::Failure;
use crate::format::{self, Listing};
use crate::matches::Matches;
use crate::session::Session;
use crate::streams::{is_terminal, print};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use hull_api_types::{BlkioEntry, ContainerStats, EventMessage, Filters, MemoryStats};
use hull_client::{Client, ListQuery, Method};
use hull_types::{short_id, size};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::time::Duration;

const HEADINGS: &[(&str, &str)] = &[
    ("BlockIO", "BLOCK I/O"),
    ("CPUPerc", "CPU %"),
    ("Container", "CONTAINER"),
    ("ID", "CONTAINER ID"),
    ("MemPerc", "MEM %"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("Name", "NAME"),
    ("NetIO", "NET I/O"),
    ("PIDs", "PIDS"),
];
const COLUMNS: &[&str] = &["ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"];
const REFRESH: Duration = Duration::from_millis(500);
/// Home, and at the end of each line and of the table: erase what an earlier drawing left.
const HOME: &str = "\x1b[H";
const ERASE_LINE: &str = "\x1b[K";
const ERASE_BELOW: &str = "\x1b[J";

/// What is known of one container.
#[derive(Debug, Clone, Default)]
struct Line {
    /// What it was asked for by.
    asked: String,
    sample: Option<Sample>,
    failed: bool,
}

/// What is shown of one sample.
#[derive(Debug, Clone, Default, PartialEq)]
struct Sample {
    id: String,
    name: String,
    cpu: f64,
    memory: f64,
    limit: f64,
    received: f64,
    sent: f64,
    read: f64,
    written: f64,
    processes: u64,
}

/// `stats`.
pub async fn stats(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let client = session.client().await?;
    let once = matches.switch("no-stream");
    let follow_all = matches.arguments().is_empty();
    let template = match matches.text("format") {
        "" => session.config().text("statsFormat").to_owned(),
        text => text.to_owned(),
    };
    format::verify(&template)?;
    let names = match follow_all {
        false => matches.arguments().to_vec(),
        true => {
            let query = ListQuery { all: matches.switch("all"), ..ListQuery::default() };
            client.containers(&query).await?.into_iter().map(|container| container.id).collect()
        }
    };
    let view = View { template, short: !matches.switch("no-trunc"), once };
    let lines = RefCell::new(Vec::new());
    let mut sampling = FuturesUnordered::new();
    for name in names {
        lines.borrow_mut().push(Line { asked: name.clone(), ..Line::default() });
        sampling.push(sample(client, name, !once, &lines));
    }
    if once {
        let mut first_failure = None;
        while let Some(result) = sampling.next().await {
            first_failure = first_failure.or(result.err());
        }
        print(&view.draw(&lines.borrow())?);
        return first_failure.map_or(Ok(()), Err);
    }
    let started = started_containers(client, follow_all);
    tokio::pin!(started);
    let mut timer = tokio::time::interval(REFRESH);
    let mut shown_once = false;
    let mut last_failure = None;
    loop {
        tokio::select! {
            Some(result) = sampling.next() => last_failure = result.err().or(last_failure),
            Some(id) = started.next() => {
                if !lines.borrow().iter().any(|line| line.asked == id) {
                    lines.borrow_mut().push(Line { asked: id.clone(), ..Line::default() });
                    sampling.push(sample(client, id, true, &lines));
                }
            }
            _ = timer.tick() => {
                // The first table waits for its first samples, so that it isn't all dashes.
                let ready = lines.borrow().iter().any(|line| line.sample.is_some() || line.failed) || lines.borrow().is_empty();
                if shown_once || ready {
                    lines.borrow_mut().retain(|line| !line.failed);
                    print(&view.draw(&lines.borrow())?);
                    shown_once = true;
                }
            }
        }
        if !follow_all && lines.borrow().is_empty() {
            return last_failure.map_or(Ok(()), Err);
        }
    }
}

/// Samples one container until it is gone.
async fn sample(
    client: &Client,
    name: String,
    stream: bool,
    lines: &RefCell<Vec<Line>>,
) -> Result<(), Failure> {
    let set = |change: &dyn Fn(&mut Line)| {
        if let Some(line) = lines.borrow_mut().iter_mut().find(|line| line.asked == name) {
            change(line);
        }
    };
    let sampled = async {
        let mut samples = client.container_stats(&name, stream).await?;
        while let Some(stats) = samples.next().await? {
            let sample = Sample::of(&stats);
            set(&|line| line.sample = Some(sample.clone()));
        }
        Ok(())
    };
    let result: Result<(), Failure> = sampled.await;
    if stream || result.is_err() {
        set(&|line| line.failed = true);
    }
    result
}

/// The ids of containers as they start.
fn started_containers(client: &Client, wanted: bool) -> impl futures::Stream<Item = String> {
    let events = async move {
        if !wanted {
            return None;
        }
        let filters = Filters::from([
            ("event".into(), vec!["start".into()]),
            ("type".into(), vec!["container".into()]),
        ]);
        let call = client.request(Method::GET, "/events").query(|query| {
            query.filters(&filters);
        });
        Some(call.send().await.ok()?.messages::<EventMessage>())
    };
    futures::stream::once(events).filter_map(std::future::ready).flat_map(|events| {
        futures::stream::unfold(events, |mut events| async move {
            let event = events.next().await.ok().flatten()?;
            Some((event.actor.id, events))
        })
    })
}

struct View {
    template: String,
    short: bool,
    once: bool,
}

impl View {
    fn draw(&self, lines: &[Line]) -> Result<String, Failure> {
        let rows: Vec<_> =
            lines.iter().filter(|line| !line.failed).map(|line| row(line, self.short)).collect();
        let text = format::rows(&self.template, Listing { headings: HEADINGS, columns: COLUMNS }, &rows)?;
        if self.once || !is_terminal(rustix::stdio::stdout()) {
            return Ok(text);
        }
        Ok(format!("{HOME}{}{ERASE_BELOW}", text.replace('\n', &format!("{ERASE_LINE}\n"))))
    }
}

fn row(line: &Line, short: bool) -> Value {
    let Some(sample) = &line.sample else {
        return json!({
            "BlockIO": "-- / --", "CPUPerc": "--", "Container": line.asked, "ID": "--", "MemPerc": "--",
            "MemUsage": "-- / --", "Name": "--", "NetIO": "-- / --", "PIDs": "--",
        });
    };
    let pair = |a: f64, b: f64| format!("{} / {}", size::decimal_with(a, 3), size::decimal_with(b, 3));
    let percent = if sample.limit > 0.0 { sample.memory / sample.limit * 100.0 } else { 0.0 };
    json!({
        "BlockIO": pair(sample.read, sample.written),
        "CPUPerc": format!("{:.2}%", sample.cpu),
        "Container": line.asked,
        "ID": if short { short_id(&sample.id) } else { &sample.id },
        "MemPerc": format!("{percent:.2}%"),
        "MemUsage": format!("{} / {}", size::binary(sample.memory), size::binary(sample.limit)),
        "Name": sample.name,
        "NetIO": pair(sample.received, sample.sent),
        "PIDs": sample.processes.to_string(),
    })
}

impl Sample {
    fn of(stats: &ContainerStats) -> Self {
        let networks = stats.networks.iter().flat_map(|map| map.values());
        let (received, sent) = networks.fold((0.0, 0.0), |(rx, tx), network| {
            (rx + network.rx_bytes as f64, tx + network.tx_bytes as f64)
        });
        let io = stats.blkio_stats.io_service_bytes_recursive.as_deref().unwrap_or_default();
        let moved = |operation: char| -> f64 {
            let starts = |entry: &&BlkioEntry| entry.op.to_lowercase().starts_with(operation);
            io.iter().filter(starts).map(|entry| entry.value as f64).sum()
        };
        Self {
            id: stats.id.clone(),
            name: stats.name.trim_start_matches('/').to_owned(),
            cpu: processor_share(stats),
            memory: memory_used(&stats.memory_stats),
            limit: stats.memory_stats.limit as f64,
            received,
            sent,
            read: moved('r'),
            written: moved('w'),
            processes: stats.pids_stats.current,
        }
    }
}

/// The share of one processor that was used between the two samples, in percent.
fn processor_share(stats: &ContainerStats) -> f64 {
    let (now, before) = (&stats.cpu_stats, &stats.precpu_stats);
    let used = now.cpu_usage.total_usage as f64 - before.cpu_usage.total_usage as f64;
    let system = now.system_cpu_usage as f64 - before.system_cpu_usage as f64;
    let processors = match now.online_cpus {
        0 => now.cpu_usage.percpu_usage.as_ref().map_or(0, Vec::len) as f64,
        number => f64::from(number),
    };
    if used > 0.0 && system > 0.0 { used / system * processors * 100.0 } else { 0.0 }
}

/// What is used without what the kernel would give back at once.
fn memory_used(memory: &MemoryStats) -> f64 {
    let cached = ["total_inactive_file", "inactive_file"].into_iter().find_map(|key| memory.stats.get(key));
    match cached {
        Some(cached) if *cached < memory.usage => (memory.usage - cached) as f64,
        _ => memory.usage as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn samples_are_computed_as_dockers() {
        let stats: ContainerStats = serde_json::from_value(json!({
            "id": "0123456789abcdef", "name": "/web",
            "cpu_stats": {"cpu_usage": {"total_usage": 300}, "system_cpu_usage": 2000, "online_cpus": 2},
            "precpu_stats": {"cpu_usage": {"total_usage": 100}, "system_cpu_usage": 1000},
            "memory_stats": {"usage": 3 << 20, "limit": 1 << 30, "stats": {"inactive_file": 1 << 20}},
            "networks": {"eth0": {"rx_bytes": 1000, "tx_bytes": 2000}},
            "blkio_stats": {"io_service_bytes_recursive": [{"op": "Read", "value": 5}, {"op": "write", "value": 7}]},
            "pids_stats": {"current": 4}
        }))
        .unwrap();
        let line = Line { asked: "web".into(), sample: Some(Sample::of(&stats)), failed: false };
        let row = row(&line, true);
        for (field, text) in [
            ("CPUPerc", "40.00%"),
            ("MemUsage", "2MiB / 1GiB"),
            ("MemPerc", "0.20%"),
            ("NetIO", "1kB / 2kB"),
            ("BlockIO", "5B / 7B"),
            ("ID", "0123456789ab"),
            ("Name", "web"),
            ("PIDs", "4"),
        ] {
            assert_eq!(row[field], text, "{field}");
        }
        let headings: BTreeSet<String> = HEADINGS.iter().map(|(field, _)| (*field).to_owned()).collect();
        let fields: BTreeSet<String> = row.as_object().unwrap().keys().cloned().collect();
        assert_eq!(fields, headings);
    }
}
