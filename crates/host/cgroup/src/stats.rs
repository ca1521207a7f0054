//! What a cgroup uses.

use std::collections::BTreeMap;
use std::path::Path;

/// Usage of a cgroup. Numbers that the host does not give are zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Memory.
    pub memory: MemoryStats,
    /// Processor time.
    pub cpu: CpuStats,
    /// Processes.
    pub pids: PidsStats,
    /// Block I/O.
    pub blkio: BlkioStats,
    /// Processes killed for want of memory.
    pub oom_kill: u64,
    /// Whether the host is of version 2.
    pub unified: bool,
}

/// Memory, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryStats {
    /// Used now.
    pub usage: u64,
    /// The most ever used.
    pub max_usage: u64,
    /// The limit; `u64::MAX`, or a number near 2⁶³ on version 1, where there is none.
    pub limit: u64,
    /// How often the limit was hit.
    pub failcnt: u64,
    /// The lines of `memory.stat`.
    pub stat: BTreeMap<String, u64>,
}

/// Processor time, in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CpuStats {
    /// All.
    pub total: u64,
    /// Per CPU; version 1 only.
    pub percpu: Vec<u64>,
    /// In user mode.
    pub user: u64,
    /// In the kernel.
    pub system: u64,
    /// Periods of bandwidth control.
    pub periods: u64,
    /// Periods in which it was held back.
    pub throttled_periods: u64,
    /// How long it was held back.
    pub throttled_time: u64,
}

/// Processes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PidsStats {
    /// Now.
    pub current: u64,
    /// The limit; 0 where there is none.
    pub limit: u64,
}

/// A line of a block I/O table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlkioEntry {
    /// The device's major number.
    pub major: u64,
    /// The device's minor number.
    pub minor: u64,
    /// `Read`, `Write`, `Sync`, `Async`, `Total`…; empty in tables without operations.
    pub op: String,
    /// The number.
    pub value: u64,
}

/// Block I/O, table by table as version 1 names them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlkioStats {
    /// Bytes.
    pub service_bytes: Vec<BlkioEntry>,
    /// Operations.
    pub serviced: Vec<BlkioEntry>,
    /// Operations in the queue.
    pub queued: Vec<BlkioEntry>,
    /// Nanoseconds of service.
    pub service_time: Vec<BlkioEntry>,
    /// Nanoseconds of waiting.
    pub wait_time: Vec<BlkioEntry>,
    /// Merged operations.
    pub merged: Vec<BlkioEntry>,
    /// Milliseconds of device time.
    pub time: Vec<BlkioEntry>,
    /// Sectors.
    pub sectors: Vec<BlkioEntry>,
}

pub(crate) fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// A file with one number; `max` is `u64::MAX`.
pub(crate) fn number(path: &Path) -> Option<u64> {
    let text = read(path)?;
    let text = text.trim();
    if text == "max" { Some(u64::MAX) } else { text.parse().ok() }
}

/// A file of `key number` lines.
pub(crate) fn table(path: &Path) -> BTreeMap<String, u64> {
    let text = read(path).unwrap_or_default();
    let mut pairs = BTreeMap::new();
    for (key, value) in text.lines().filter_map(|line| line.split_once(' ')) {
        if let Ok(value) = value.trim().parse() {
            pairs.insert(key.to_owned(), value);
        }
    }
    pairs
}

/// The file of a controller's directory, where it has one.
pub(crate) type Lookup<'a> = dyn Fn(&str) -> Option<&'a Path> + 'a;

pub(crate) fn version_1(directory: &Lookup<'_>) -> Stats {
    let mut stats = Stats::default();
    if let Some(memory) = directory("memory") {
        let file = |name: &str| number(&memory.join(name)).unwrap_or(0);
        stats.memory = MemoryStats {
            usage: file("memory.usage_in_bytes"),
            max_usage: file("memory.max_usage_in_bytes"),
            limit: file("memory.limit_in_bytes"),
            failcnt: file("memory.failcnt"),
            stat: table(&memory.join("memory.stat")),
        };
        stats.oom_kill = oom_kills_v1(memory);
    }
    if let Some(account) = directory("cpuacct") {
        stats.cpu.total = number(&account.join("cpuacct.usage")).unwrap_or(0);
        let percpu = read(&account.join("cpuacct.usage_percpu")).unwrap_or_default();
        stats.cpu.percpu = percpu.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        // usage_user and usage_sys are exact where cpuacct.stat counts ticks.
        stats.cpu.user = number(&account.join("cpuacct.usage_user")).unwrap_or(0);
        stats.cpu.system = number(&account.join("cpuacct.usage_sys")).unwrap_or(0);
    }
    if let Some(cpu) = directory("cpu") {
        let table = table(&cpu.join("cpu.stat"));
        let value = |key: &str| table.get(key).copied().unwrap_or(0);
        stats.cpu.periods = value("nr_periods");
        stats.cpu.throttled_periods = value("nr_throttled");
        stats.cpu.throttled_time = value("throttled_time");
    }
    if let Some(pids) = directory("pids") {
        stats.pids = pids_stats(pids);
    }
    if let Some(blkio) = directory("blkio") {
        stats.blkio = blkio_v1(blkio);
    }
    stats
}

fn pids_stats(directory: &Path) -> PidsStats {
    let limit = number(&directory.join("pids.max")).filter(|limit| *limit != u64::MAX).unwrap_or(0);
    PidsStats { current: number(&directory.join("pids.current")).unwrap_or(0), limit }
}

pub(crate) fn oom_kills_v1(memory: &Path) -> u64 {
    table(&memory.join("memory.oom_control")).get("oom_kill").copied().unwrap_or(0)
}

fn blkio_v1(directory: &Path) -> BlkioStats {
    let entries = |name: &str| parse_blkio(&read(&directory.join(name)).unwrap_or_default());
    // The BFQ scheduler's recursive tables, where it runs; else what throttling counts, which is always there.
    let service_bytes = entries("blkio.bfq.io_service_bytes_recursive");
    if !service_bytes.is_empty() {
        return BlkioStats {
            service_bytes,
            serviced: entries("blkio.bfq.io_serviced_recursive"),
            queued: entries("blkio.bfq.io_queued_recursive"),
            service_time: entries("blkio.bfq.io_service_time_recursive"),
            wait_time: entries("blkio.bfq.io_wait_time_recursive"),
            merged: entries("blkio.bfq.io_merged_recursive"),
            time: entries("blkio.bfq.time_recursive"),
            sectors: entries("blkio.bfq.sectors_recursive"),
        };
    }
    BlkioStats {
        service_bytes: entries("blkio.throttle.io_service_bytes_recursive"),
        serviced: entries("blkio.throttle.io_serviced_recursive"),
        ..BlkioStats::default()
    }
}

/// Lines such as `8:0 Read 4096` or `8:0 77`; the closing `Total` line of the table is left out.
fn parse_blkio(text: &str) -> Vec<BlkioEntry> {
    let parse = |line: &str| {
        let mut words = line.split_whitespace();
        let (major, minor) = words.next()?.split_once(':')?;
        let (major, minor) = (major.parse().ok()?, minor.parse().ok()?);
        let second = words.next()?;
        let (op, value) = match words.next() {
            Some(value) => (second.to_owned(), value),
            None => (String::new(), second),
        };
        Some(BlkioEntry { major, minor, op, value: value.parse().ok()? })
    };
    text.lines().filter_map(parse).collect()
}

pub(crate) fn version_2(directory: &Path) -> Stats {
    let file = |name: &str| number(&directory.join(name)).unwrap_or(0);
    let cpu = table(&directory.join("cpu.stat"));
    let microseconds = |key: &str| cpu.get(key).copied().unwrap_or(0) * 1000;
    let events = table(&directory.join("memory.events"));
    let event = |key: &str| events.get(key).copied().unwrap_or(0);
    Stats {
        memory: MemoryStats {
            usage: file("memory.current"),
            max_usage: file("memory.peak"),
            limit: number(&directory.join("memory.max")).unwrap_or(u64::MAX),
            failcnt: event("max"),
            stat: table(&directory.join("memory.stat")),
        },
        cpu: CpuStats {
            total: microseconds("usage_usec"),
            percpu: Vec::new(),
            user: microseconds("user_usec"),
            system: microseconds("system_usec"),
            periods: cpu.get("nr_periods").copied().unwrap_or(0),
            throttled_periods: cpu.get("nr_throttled").copied().unwrap_or(0),
            throttled_time: microseconds("throttled_usec"),
        },
        pids: pids_stats(directory),
        blkio: blkio_v2(&read(&directory.join("io.stat")).unwrap_or_default()),
        oom_kill: event("oom_kill"),
        unified: true,
    }
}

/// `8:0 rbytes=1 wbytes=2 rios=3 wios=4 …` as version 1's two tables.
fn blkio_v2(text: &str) -> BlkioStats {
    let mut stats = BlkioStats::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let Some((major, minor)) = words.next().and_then(|device| device.split_once(':')) else { continue };
        let (Ok(major), Ok(minor)) = (major.parse(), minor.parse()) else { continue };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let Ok(value) = value.parse() else { continue };
            let (table, op) = match key {
                "rbytes" => (&mut stats.service_bytes, "Read"),
                "wbytes" => (&mut stats.service_bytes, "Write"),
                "rios" => (&mut stats.serviced, "Read"),
                "wios" => (&mut stats.serviced, "Write"),
                _ => continue,
            };
            table.push(BlkioEntry { major, minor, op: op.into(), value });
        }
    }
    stats
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_read() {
        let entries = parse_blkio("8:0 Read 4096\n8:0 Total 4096\nTotal 4096\n8:16 77\n");
        assert_eq!(entries.len(), 3);
        assert_eq!(entries[2], BlkioEntry { major: 8, minor: 16, op: String::new(), value: 77 });
        let stats = blkio_v2("254:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n");
        assert_eq!(stats.service_bytes[1].value, 20);
        assert_eq!(stats.serviced[0].op, "Read");
    }
}
