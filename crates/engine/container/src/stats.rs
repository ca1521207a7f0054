//! One sample of what a container uses.

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::record::Phase;
use crate::supervisor::Published;
use hull_api_types::{
    BlkioEntry, BlkioStats, ContainerStats, CpuStats, CpuUsage, InterfaceStats, Map, MemoryStats, PidsStats,
    ThrottlingData,
};
use hull_cgroup::Cgroup;
use hull_types::Timestamp;

/// Nanoseconds of one unit of `/proc/stat` (USER_HZ is 100 on every architecture that Linux has today).
const TICK: u64 = 10_000_000;

pub(crate) fn sample(engine: &Engine, published: &Published) -> Result<ContainerStats> {
    let spec = &published.spec;
    let mut stats = ContainerStats {
        name: format!("/{}", spec.name),
        id: spec.id.clone(),
        read: Timestamp::ZERO,
        preread: Timestamp::ZERO,
        ..ContainerStats::default()
    };
    if !published.state.phase.is_live() || published.state.phase == Phase::Restarting {
        return Ok(stats);
    }
    let cgroup = Cgroup::load(&engine.cgroup(spec)).and_then(|cgroup| cgroup.stats());
    let usage = match cgroup {
        Ok(usage) => usage,
        // It ended just now.
        Err(_) if published.task.as_ref().is_some_and(|task| task.exit().is_some()) => return Ok(stats),
        Err(error) => {
            let action = format!("read the usage of container {}", spec.id);
            return Err(Error::io(action)(std::io::Error::other(error)));
        }
    };
    stats.read = Timestamp::now();
    stats.pids_stats = PidsStats { current: usage.pids.current, limit: usage.pids.limit };
    stats.cpu_stats = cpu(engine, &usage);
    stats.memory_stats = memory(&usage);
    stats.blkio_stats = block_io(&usage);
    stats.networks = match spec.has_own_network() {
        true => {
            let text = std::fs::read_to_string(format!("/proc/{}/net/dev", published.state.pid));
            text.ok().map(|text| interfaces(&text))
        }
        false => None,
    };
    Ok(stats)
}

fn cpu(engine: &Engine, usage: &hull_cgroup::Stats) -> CpuStats {
    CpuStats {
        cpu_usage: CpuUsage {
            total_usage: usage.cpu.total,
            percpu_usage: (!usage.unified).then(|| usage.cpu.percpu.clone()),
            usage_in_kernelmode: usage.cpu.system,
            usage_in_usermode: usage.cpu.user,
        },
        system_cpu_usage: system_usage(&std::fs::read_to_string("/proc/stat").unwrap_or_default()),
        online_cpus: engine.machine.host.cpus,
        throttling_data: ThrottlingData {
            periods: usage.cpu.periods,
            throttled_periods: usage.cpu.throttled_periods,
            throttled_time: usage.cpu.throttled_time,
        },
    }
}

/// The sum of user, nice, system, idle, iowait, irq and softirq, in nanoseconds.
fn system_usage(stat: &str) -> u64 {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu ")).unwrap_or_default();
    let fields = line.split_ascii_whitespace().take(7).filter_map(|field| field.parse::<u64>().ok());
    fields.sum::<u64>().saturating_mul(TICK)
}

fn memory(usage: &hull_cgroup::Stats) -> MemoryStats {
    let total = total_memory(&std::fs::read_to_string("/proc/meminfo").unwrap_or_default());
    MemoryStats {
        usage: usage.memory.usage,
        max_usage: if usage.unified { 0 } else { usage.memory.max_usage },
        stats: usage.memory.stat.clone(),
        failcnt: if usage.unified { 0 } else { usage.memory.failcnt },
        // No limit is the machine's.
        limit: if total > 0 { usage.memory.limit.min(total) } else { usage.memory.limit },
    }
}

fn total_memory(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let number = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    number.unwrap_or_default() * 1024
}

fn block_io(usage: &hull_cgroup::Stats) -> BlkioStats {
    let table = |entries: &[hull_cgroup::BlkioEntry]| {
        let rows = entries.iter().map(|entry| BlkioEntry {
            major: entry.major,
            minor: entry.minor,
            op: entry.op.clone(),
            value: entry.value,
        });
        Some(rows.collect())
    };
    let blkio = &usage.blkio;
    if usage.unified {
        return BlkioStats {
            io_service_bytes_recursive: table(&blkio.service_bytes),
            ..BlkioStats::default()
        };
    }
    BlkioStats {
        io_service_bytes_recursive: table(&blkio.service_bytes),
        io_serviced_recursive: table(&blkio.serviced),
        io_queue_recursive: table(&blkio.queued),
        io_service_time_recursive: table(&blkio.service_time),
        io_wait_time_recursive: table(&blkio.wait_time),
        io_merged_recursive: table(&blkio.merged),
        io_time_recursive: table(&blkio.time),
        sectors_recursive: table(&blkio.sectors),
    }
}

/// The interfaces of a `/proc/<pid>/net/dev` but the loopback.
fn interfaces(text: &str) -> Map<InterfaceStats> {
    let parse = |line: &str| {
        let (name, numbers) = line.split_once(':')?;
        let n: Vec<u64> = numbers.split_ascii_whitespace().filter_map(|number| number.parse().ok()).collect();
        let [
            rx_bytes,
            rx_packets,
            rx_errors,
            rx_dropped,
            _,
            _,
            _,
            _,
            tx_bytes,
            tx_packets,
            tx_errors,
            tx_dropped,
            ..,
        ] = n[..]
        else {
            return None;
        };
        let stats = InterfaceStats {
            rx_bytes,
            rx_packets,
            rx_errors,
            rx_dropped,
            tx_bytes,
            tx_packets,
            tx_errors,
            tx_dropped,
        };
        Some((name.trim().to_owned(), stats))
    };
    text.lines().filter_map(parse).filter(|(name, _)| name != "lo").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_texts() {
        assert_eq!(system_usage("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1\n"), 28 * TICK);
        assert_eq!(total_memory("MemTotal:       1000 kB\n"), 1_024_000);
        let text = "Inter-|   Receive\n face |bytes\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n  eth0: 10 2 3 4 0 0 0 0 50 6 7 8 0 0 0 0\n";
        let all = interfaces(text);
        assert_eq!(all.len(), 1);
        assert_eq!((all["eth0"].rx_bytes, all["eth0"].tx_dropped), (10, 8));
    }
}
