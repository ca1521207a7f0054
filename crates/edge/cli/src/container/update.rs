//! `update`'s flags as the engine's request.

use super::options::names;
use crate::amount;
use crate::failure::Failure;
use crate::matches::Matches;
use hull_api_types::{ContainerUpdateRequest, Resources};

/// Reads the flags.
pub fn request(matches: &Matches) -> Result<ContainerUpdateRequest, Failure> {
    if !matches.command().flags.iter().any(|flag| matches.changed(flag.name)) {
        return Err("you must provide one or more flags when using this command".into());
    }
    let restart_policy = match matches.text("restart") {
        "" => Default::default(),
        text => names::restart(text)?,
    };
    let size = |name: &str| match matches.text(name) {
        "-1" => -1,
        text => amount::bytes(text).unwrap_or(0),
    };
    let text = |name: &str| matches.text(name).to_owned();
    let resources = Resources {
        cpu_shares: matches.integer("cpu-shares"),
        memory: size("memory"),
        nano_cpus: amount::nano_cpus(matches.text("cpus")).unwrap_or(0),
        blkio_weight: u16::try_from(matches.integer("blkio-weight")).unwrap_or(0),
        cpu_period: matches.integer("cpu-period"),
        cpu_quota: matches.integer("cpu-quota"),
        cpu_realtime_period: matches.integer("cpu-rt-period"),
        cpu_realtime_runtime: matches.integer("cpu-rt-runtime"),
        cpuset_cpus: text("cpuset-cpus"),
        cpuset_mems: text("cpuset-mems"),
        memory_reservation: size("memory-reservation"),
        memory_swap: size("memory-swap"),
        kernel_memory: size("kernel-memory"),
        // Zero would mean "no limit" to the engine, where nothing was said.
        pids_limit: matches.given_integer("pids-limit"),
        ..Resources::default()
    };
    Ok(ContainerUpdateRequest { resources, restart_policy: Some(restart_policy) })
}
