//! Limits: whether the numbers make sense on this host. Texts are Docker's.

use super::Host;
use crate::error::{Error, Result};
use hull_api_types::Resources;

const MINIMUM_MEMORY: i64 = 6 << 20;

/// Checks limits, and clears those that mean "none"; what it gives are warnings.
pub fn check_resources(resources: &mut Resources, host: &Host) -> Result<Vec<String>> {
    check_memory(resources)?;
    check_cpu(resources, host)?;
    check_cpusets(resources, host)?;
    check_block_io(resources)?;
    check_ulimits(resources)?;
    // What says "no limit" or "the kernel's" is kept as nothing said, as Docker shows it.
    resources.pids_limit = resources.pids_limit.filter(|limit| *limit > 0);
    resources.memory_swappiness = resources.memory_swappiness.filter(|value| *value != -1);
    let mut warnings = Vec::new();
    if resources.kernel_memory != 0 || resources.kernel_memory_tcp != 0 {
        warnings.push(
            "Specifying a kernel memory limit is deprecated and will be removed in a future release.".into(),
        );
    }
    if host.cgroup_v2 && resources.memory_swappiness.is_some_and(|value| value != -1) {
        warnings.push(
            "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. \
             Memory swappiness discarded."
                .into(),
        );
        resources.memory_swappiness = None;
    }
    Ok(warnings)
}

fn refuse(condition: bool, text: impl Into<String>) -> Result<()> {
    if condition { Err(Error::invalid(text)) } else { Ok(()) }
}

fn check_memory(r: &Resources) -> Result<()> {
    let (memory, swap, reservation) = (r.memory, r.memory_swap, r.memory_reservation);
    refuse(memory < 0 || (memory != 0 && memory < MINIMUM_MEMORY), "Minimum memory limit allowed is 6MB")?;
    refuse(
        memory > 0 && swap > 0 && swap < memory,
        "Minimum memoryswap limit should be larger than memory limit, see usage",
    )?;
    refuse(
        memory == 0 && swap > 0,
        "You should always set the Memory limit when using Memoryswap limit, see usage",
    )?;
    if let Some(swappiness) = r.memory_swappiness {
        refuse(
            !(-1..=100).contains(&swappiness),
            format!("Invalid value: {swappiness}, valid memory swappiness range is 0-100"),
        )?;
    }
    refuse(
        reservation < 0 || (reservation > 0 && reservation < MINIMUM_MEMORY),
        "Minimum memory reservation allowed is 6MB",
    )?;
    refuse(
        memory > 0 && reservation > 0 && memory < reservation,
        "Minimum memory limit can not be less than memory reservation limit, see usage",
    )
}

fn check_cpu(r: &Resources, host: &Host) -> Result<()> {
    let cpus = i64::from(host.cpus);
    refuse(
        r.nano_cpus > 0 && r.cpu_period > 0,
        "Conflicting options: Nano CPUs and CPU Period cannot both be set.",
    )?;
    refuse(
        r.nano_cpus > 0 && r.cpu_quota > 0,
        "Conflicting options: Nano CPUs and CPU Quota cannot both be set.",
    )?;
    refuse(
        r.nano_cpus < 0 || r.nano_cpus > cpus * 1_000_000_000,
        format!("range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"),
    )?;
    refuse(
        r.cpu_shares < 0,
        format!("invalid CPU shares ({}): value must be a positive integer", r.cpu_shares),
    )?;
    refuse(
        r.cpu_period != 0 && !(1000..=1_000_000).contains(&r.cpu_period),
        "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
    )?;
    refuse(r.cpu_quota > 0 && r.cpu_quota < 1000, "CPU cfs quota can not be less than 1ms (i.e. 1000)")?;
    refuse(
        r.cpu_realtime_period != 0 && r.cpu_realtime_runtime > r.cpu_realtime_period,
        "cpu real-time runtime cannot be higher than cpu real-time period",
    )
}

fn check_cpusets(r: &Resources, host: &Host) -> Result<()> {
    for (wanted, there, what, unavailable) in [
        (&r.cpuset_cpus, &host.cpuset_cpus, "cpuset cpus", "Requested CPUs"),
        (&r.cpuset_mems, &host.cpuset_mems, "cpuset mems", "Requested memory nodes"),
    ] {
        if wanted.is_empty() {
            continue;
        }
        let Some(set) = parse_set(wanted) else {
            return Err(Error::invalid(format!("Invalid value {wanted} for {what}")));
        };
        let available = parse_set(there).unwrap_or_default();
        refuse(
            !there.is_empty() && !set.iter().all(|range| covered(*range, &available)),
            format!("{unavailable} are not available - requested {wanted}, available: {there}"),
        )?;
    }
    Ok(())
}

/// `0-3,7` as ranges; never more work than the text is long (CVE-2018-20699).
fn parse_set(text: &str) -> Option<Vec<(u32, u32)>> {
    let number = |text: &str| {
        let digits = (1..=7).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u32>().ok()).flatten()
    };
    let range = |part: &str| match part.split_once('-') {
        None => number(part).map(|one| (one, one)),
        Some((low, high)) => Some((number(low)?, number(high)?)).filter(|(low, high)| low <= high),
    };
    if text.len() > 4096 {
        return None;
    }
    text.trim().split(',').map(range).collect()
}

fn covered((low, high): (u32, u32), available: &[(u32, u32)]) -> bool {
    available.iter().any(|(first, last)| *first <= low && high <= *last)
}

fn check_block_io(r: &Resources) -> Result<()> {
    let range = "Range of blkio weight is from 10 to 1000";
    refuse(r.blkio_weight > 0 && !(10..=1000).contains(&r.blkio_weight), range)?;
    for device in r.blkio_weight_device.iter().flatten() {
        refuse(device.weight > 0 && !(10..=1000).contains(&device.weight), range)?;
    }
    Ok(())
}

/// The names that `--ulimit` takes, with the runtime specification's.
pub const ULIMITS: [(&str, &str); 16] = [
    ("as", "RLIMIT_AS"),
    ("core", "RLIMIT_CORE"),
    ("cpu", "RLIMIT_CPU"),
    ("data", "RLIMIT_DATA"),
    ("fsize", "RLIMIT_FSIZE"),
    ("locks", "RLIMIT_LOCKS"),
    ("memlock", "RLIMIT_MEMLOCK"),
    ("msgqueue", "RLIMIT_MSGQUEUE"),
    ("nice", "RLIMIT_NICE"),
    ("nofile", "RLIMIT_NOFILE"),
    ("nproc", "RLIMIT_NPROC"),
    ("rss", "RLIMIT_RSS"),
    ("rtprio", "RLIMIT_RTPRIO"),
    ("rttime", "RLIMIT_RTTIME"),
    ("sigpending", "RLIMIT_SIGPENDING"),
    ("stack", "RLIMIT_STACK"),
];

fn check_ulimits(r: &Resources) -> Result<()> {
    for limit in r.ulimits.iter().flatten() {
        refuse(
            !ULIMITS.iter().any(|(name, _)| *name == limit.name),
            format!("invalid ulimit type: {}", limit.name),
        )?;
        refuse(
            limit.hard != -1 && (limit.soft == -1 || limit.soft > limit.hard),
            format!(
                "ulimit soft limit must be less than or equal to hard limit: {} > {}",
                limit.soft, limit.hard
            ),
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Host {
        Host {
            cpus: 2,
            cpuset_cpus: "0-1".into(),
            cpuset_mems: "0".into(),
            cgroup_v2: false,
            hostname: "h".into(),
        }
    }
    fn check(change: impl FnOnce(&mut Resources)) -> String {
        let mut resources = Resources::default();
        change(&mut resources);
        check_resources(&mut resources, &host()).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn dockers_words() {
        assert_eq!(check(|_| ()), "");
        assert_eq!(check(|r| r.memory = 4 << 20), "Minimum memory limit allowed is 6MB");
        assert_eq!(
            check(|r| r.nano_cpus = 3_000_000_000),
            "range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available"
        );
        assert_eq!(
            check(|r| r.cpuset_cpus = "5".into()),
            "Requested CPUs are not available - requested 5, available: 0-1"
        );
        assert_eq!(check(|r| r.cpuset_cpus = "0-a".into()), "Invalid value 0-a for cpuset cpus");
        assert!(!check(|r| r.cpuset_cpus = "0-9999999,".repeat(400)).is_empty());
        assert_eq!(check(|r| r.blkio_weight = 5), "Range of blkio weight is from 10 to 1000");
    }
}
