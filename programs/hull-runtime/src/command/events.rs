//! `events`.

use super::{Global, Outcome, text};
use crate::arguments::{Arguments, switch, value};
use hull_cgroup::{BlkioEntry, Stats};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::time::Duration;

pub(super) fn events(global: &Global, given: Vec<OsString>) -> Outcome {
    let arguments = Arguments::parse(given, &[value("interval"), switch("stats")], false)?;
    let id = arguments.id()?;
    let interval = interval(arguments.get("interval").unwrap_or("5s"))?;
    let running = || hull_oci_runtime::state(&global.root, id).map(|state| state.status != "stopped");
    if !running().map_err(text)? {
        return Err(format!("container with id {id} is not running"));
    }
    let cgroup = hull_oci_runtime::cgroup(&global.root, id).map_err(text)?;
    let mut killed = cgroup.oom_kills();
    loop {
        let stats = cgroup.stats().map_err(text)?;
        if stats.oom_kill > killed {
            println!("{}", json!({"type": "oom", "id": id}));
            killed = stats.oom_kill;
        }
        println!("{}", json!({"type": "stats", "id": id, "data": as_json(&stats)}));
        if arguments.is_set("stats") {
            return Ok(0);
        }
        std::thread::sleep(interval);
        if !running().unwrap_or(false) {
            return Ok(0);
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

fn as_json(stats: &Stats) -> Value {
    let table = |entries: &[BlkioEntry]| -> Value {
        let row = |e: &BlkioEntry| json!({"major": e.major, "minor": e.minor, "op": e.op, "value": e.value});
        entries.iter().map(row).collect()
    };
    let (cpu, memory, blkio) = (&stats.cpu, &stats.memory, &stats.blkio);
    json!({
        "cpu": {
            "usage": {"total": cpu.total, "percpu": cpu.percpu, "kernel": cpu.system, "user": cpu.user},
            "throttling": {
                "periods": cpu.periods, "throttledPeriods": cpu.throttled_periods,
                "throttledTime": cpu.throttled_time,
            },
        },
        "memory": {
            "usage": {
                "limit": memory.limit, "usage": memory.usage, "max": memory.max_usage, "failcnt": memory.failcnt,
            },
            "raw": memory.stat,
        },
        "pids": {"current": stats.pids.current, "limit": stats.pids.limit},
        "blkio": {
            "ioServiceBytesRecursive": table(&blkio.service_bytes),
            "ioServicedRecursive": table(&blkio.serviced),
        },
    })
}
