//! `events`.

use super::{Global, Outcome, text};
use crate::arguments::{Arguments, switch, value};
use hull_cgroup::{BlkioEntry, Stats};
use hull_oci_runtime::{Event, Watch};
use std::ffi::OsString;
use std::time::{Duration, Instant};

pub(super) fn events(global: &Global, given: Vec<OsString>) -> Outcome {
    let arguments = Arguments::parse(given, &[value("interval"), switch("stats")], false)?;
    let id = arguments.id()?;
    let interval = interval(arguments.get("interval").unwrap_or("5s"))?;
    let mut watch = match hull_oci_runtime::watch(&global.root, id) {
        Err(hull_oci_runtime::Error::NotRunning) => {
            return Err(format!("container with id {id} is not running"));
        }
        result => result.map_err(text)?,
    };
    let tell = |watch: &Watch| -> Result<(), String> {
        let stats = watch.stats().map_err(text)?;
        say!("{{\"type\":\"stats\",\"id\":\"{id}\",\"data\":{}}}", as_json(&stats));
        Ok(())
    };
    if arguments.is_set("stats") {
        tell(&watch)?;
        return Ok(0);
    }
    let mut next = Instant::now() + interval;
    loop {
        match watch.next(next).map_err(text)? {
            Event::Ended => return Ok(0),
            Event::OutOfMemory => say!("{{\"type\":\"oom\",\"id\":\"{id}\"}}"),
            Event::Nothing => {
                tell(&watch)?;
                next += interval;
            }
        }
    }
}

/// `5s`, `500ms`, `1m`.
fn interval(text: &str) -> Result<Duration, String> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let milliseconds = match &text[number.len()..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    match number.parse::<u64>() {
        Ok(number) if number * milliseconds > 0 => Ok(Duration::from_millis(number * milliseconds)),
        _ => Err(format!("invalid interval {text:?}: it must be greater than 0")),
    }
}

/// The statistics as runc prints them.
fn as_json(stats: &Stats) -> String {
    let (cpu, memory, blkio) = (&stats.cpu, &stats.memory, &stats.blkio);
    let percpu: Vec<String> = cpu.percpu.iter().map(u64::to_string).collect();
    let raw: Vec<String> = memory.stat.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
    let usage = object(
        &[("total", cpu.total), ("kernel", cpu.system), ("user", cpu.user)],
        &[("percpu", array(&percpu))],
    );
    let throttling = object(
        &[
            ("periods", cpu.periods),
            ("throttledPeriods", cpu.throttled_periods),
            ("throttledTime", cpu.throttled_time),
        ],
        &[],
    );
    let used = object(
        &[
            ("limit", memory.limit),
            ("usage", memory.usage),
            ("max", memory.max_usage),
            ("failcnt", memory.failcnt),
        ],
        &[],
    );
    object(
        &[],
        &[
            ("cpu", object(&[], &[("usage", usage), ("throttling", throttling)])),
            ("memory", object(&[], &[("usage", used), ("raw", format!("{{{}}}", raw.join(",")))])),
            ("pids", object(&[("current", stats.pids.current), ("limit", stats.pids.limit)], &[])),
            (
                "blkio",
                object(
                    &[],
                    &[
                        ("ioServiceBytesRecursive", table(&blkio.service_bytes)),
                        ("ioServicedRecursive", table(&blkio.serviced)),
                    ],
                ),
            ),
        ],
    )
}

fn object(numbers: &[(&str, u64)], others: &[(&str, String)]) -> String {
    let numbers = numbers.iter().map(|(key, value)| format!("\"{key}\":{value}"));
    let others = others.iter().map(|(key, value)| format!("\"{key}\":{value}"));
    format!("{{{}}}", numbers.chain(others).collect::<Vec<_>>().join(","))
}

fn array(items: &[String]) -> String {
    format!("[{}]", items.join(","))
}

fn table(entries: &[BlkioEntry]) -> String {
    let row = |entry: &BlkioEntry| {
        let numbers = [("major", entry.major), ("minor", entry.minor), ("value", entry.value)];
        object(&numbers, &[("op", format!("\"{}\"", entry.op))])
    };
    array(&entries.iter().map(row).collect::<Vec<_>>())
}
