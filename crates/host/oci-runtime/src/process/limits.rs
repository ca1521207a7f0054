//! Resource limits, scheduling, and how ready the kernel is to kill.

use crate::failure::{During, Failure, Step};
use hull_sys::process::{self, Scheduling};
use hull_types::oci::runtime::{IoPriority, Process, Rlimit, Scheduler};
use std::fs;

/// What is written into the host's `/proc`.
pub(crate) fn before_root_changes(process: &Process) -> Step<()> {
    let Some(wanted) = process.oom_score_adj else { return Ok(()) };
    let path = "/proc/self/oom_score_adj";
    let wanted = wanted.to_string();
    let Err(error) = fs::write(path, &wanted) else { return Ok(()) };
    // Without CAP_SYS_RESOURCE it cannot be lowered; what it is already needs no writing.
    if fs::read_to_string(path).is_ok_and(|now| now.trim() == wanted) {
        return Ok(());
    }
    Err(error).during(format_args!("cannot set oom_score_adj to {wanted}"))
}

/// The CPUs of an exec process until it runs.
pub(crate) fn set_initial_affinity(process: &Process) -> Step<()> {
    process.exec_cpu_affinity.as_ref().map_or(Ok(()), |affinity| set_affinity(&affinity.initial))
}

/// All but `oom_score_adj`.
pub(crate) fn set(process: &Process) -> Step<()> {
    for limit in &process.rlimits {
        set_rlimit(limit)?;
    }
    if let Some(scheduler) = &process.scheduler {
        set_scheduler(scheduler)?;
    }
    if let Some(priority) = &process.io_priority {
        set_io_priority(priority)?;
    }
    process.exec_cpu_affinity.as_ref().map_or(Ok(()), |affinity| set_affinity(&affinity.r#final))
}

fn set_rlimit(limit: &Rlimit) -> Step<()> {
    let Some(number) = process::rlimit_number(&limit.kind) else {
        return Err(Failure(format!("invalid rlimit type {:?}", limit.kind)));
    };
    let result = process::set_rlimit(number, limit.soft, limit.hard);
    let hint = match &result {
        Err(error) if error.raw_os_error() == Some(1) => {
            " (raising a hard limit needs CAP_SYS_RESOURCE, which this host does not give)"
        }
        _ => "",
    };
    let what = format!("error setting rlimit {} to {}:{}{hint}", limit.kind, limit.soft, limit.hard);
    result.during(what)
}

fn set_scheduler(scheduler: &Scheduler) -> Step<()> {
    const POLICIES: [&str; 7] =
        ["SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH", "SCHED_ISO", "SCHED_IDLE", "SCHED_DEADLINE"];
    const FLAGS: [&str; 7] = [
        "SCHED_FLAG_RESET_ON_FORK",
        "SCHED_FLAG_RECLAIM",
        "SCHED_FLAG_DL_OVERRUN",
        "SCHED_FLAG_KEEP_POLICY",
        "SCHED_FLAG_KEEP_PARAMS",
        "SCHED_FLAG_UTIL_CLAMP_MIN",
        "SCHED_FLAG_UTIL_CLAMP_MAX",
    ];
    let find = |all: &[&str], name: &str| all.iter().position(|known| *known == name);
    let unknown = |name: &str| Failure(format!("invalid scheduler setting {name:?}"));
    let policy = find(&POLICIES, &scheduler.policy).ok_or_else(|| unknown(&scheduler.policy))?;
    let mut flags = 0;
    for name in &scheduler.flags {
        flags |= 1_u64 << find(&FLAGS, name).ok_or_else(|| unknown(name))?;
    }
    let scheduling = Scheduling {
        policy: policy as u32,
        flags,
        nice: scheduler.nice.unwrap_or(0),
        priority: scheduler.priority.unwrap_or(0).unsigned_abs(),
        runtime: scheduler.runtime.unwrap_or(0),
        deadline: scheduler.deadline.unwrap_or(0),
        period: scheduler.period.unwrap_or(0),
        ..Scheduling::default()
    };
    process::set_scheduling(scheduling).during(format_args!("cannot set the scheduler {}", scheduler.policy))
}

fn set_io_priority(priority: &IoPriority) -> Step<()> {
    let class = match priority.class.as_str() {
        "IOPRIO_CLASS_RT" => 1,
        "IOPRIO_CLASS_BE" => 2,
        "IOPRIO_CLASS_IDLE" => 3,
        other => return Err(Failure(format!("invalid ioPriority.class {other:?}"))),
    };
    if !(0..=7).contains(&priority.priority) {
        return Err(Failure(format!("invalid ioPriority.priority {}", priority.priority)));
    }
    process::set_io_priority(class, priority.priority.unsigned_abs()).during("cannot set the I/O priority")
}

fn set_affinity(list: &str) -> Step<()> {
    use hull_sys::rustix::thread::{CpuSet, sched_setaffinity};
    if list.trim().is_empty() {
        return Ok(());
    }
    let mut set = CpuSet::new();
    let Some(ranges) = ranges(list, CpuSet::MAX_CPU) else {
        return Err(Failure(format!("invalid CPU list {list:?}")));
    };
    ranges.into_iter().flatten().for_each(|cpu| set.set(cpu));
    sched_setaffinity(None, &set).during(format_args!("cannot use the CPUs {list:?}"))
}

/// A list such as `0-3,7` of numbers below a limit; `None` if it is none.
pub(super) fn ranges(list: &str, limit: usize) -> Option<Vec<std::ops::RangeInclusive<usize>>> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<usize>().ok().filter(|n| *n < limit);
        let (first, last) = (number(first)?, number(last)?);
        (first <= last).then_some(first..=last)
    };
    list.split(',').map(str::trim).filter(|part| !part.is_empty()).map(range).collect()
}
