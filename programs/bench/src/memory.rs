//! Memory of processes: the proportional set size, in which shared pages count by share.

use anyhow::{Context, Result};

/// The mean PSS of these processes' sum, in MiB: of several daemons that work together the sum counts.
pub fn pss_of(pids: &[u32]) -> Result<f64> {
    let mut total = 0.0;
    for pid in pids {
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
            .with_context(|| format!("memory of {pid}"))?;
        let line = text.lines().find(|line| line.starts_with("Pss:")).context("no Pss")?;
        total += line.split_whitespace().nth(1).context("no number")?.parse::<f64>()? / 1024.0;
    }
    Ok(total)
}

/// What a process has in memory now, in MiB; its peak is counted from here on (proc(5), `clear_refs`).
pub fn peak_from_now(pid: u32) -> Result<f64> {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").context("reset the peak")?;
    field(pid, "VmRSS:")
}

/// The most that a process has had in memory, in MiB.
pub fn peak(pid: u32) -> Result<f64> {
    field(pid, "VmHWM:")
}

fn field(pid: u32, name: &str) -> Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find(|line| line.starts_with(name)).context("no such field")?;
    Ok(line.split_whitespace().nth(1).context("no number")?.parse::<f64>()? / 1024.0)
}
