//! `linux.memoryPolicy`: from which nodes the container's memory comes.

use crate::failure::{During, Failure, Step};
use hull_types::oci::runtime::MemoryPolicy;

/// In the order of the kernel's numbers.
pub(crate) const MODES: [&str; 7] = [
    "MPOL_DEFAULT",
    "MPOL_PREFERRED",
    "MPOL_BIND",
    "MPOL_INTERLEAVE",
    "MPOL_LOCAL",
    "MPOL_PREFERRED_MANY",
    "MPOL_WEIGHTED_INTERLEAVE",
];
/// Flags and their bits.
pub(crate) const FLAGS: [(&str, u32); 3] = [
    ("MPOL_F_NUMA_BALANCING", 1 << 13),
    ("MPOL_F_RELATIVE_NODES", 1 << 14),
    ("MPOL_F_STATIC_NODES", 1 << 15),
];
/// More nodes no kernel has.
const MOST_NODES: usize = 1024;

/// What the kernel is told: the mode with its flags, and the nodes.
pub(crate) fn parse(policy: &MemoryPolicy) -> Result<(u32, Vec<u64>), String> {
    let Some(mode) = MODES.iter().position(|known| *known == policy.mode) else {
        return Err(format!("linux.memoryPolicy.mode {:?} is not known", policy.mode));
    };
    let mut number = mode as u32;
    for name in &policy.flags {
        match FLAGS.iter().find(|(known, _)| known == name) {
            Some((_, bit)) => number |= bit,
            None => return Err(format!("linux.memoryPolicy.flags {name:?} is not known")),
        }
    }
    let takes_nodes = !matches!(policy.mode.as_str(), "MPOL_DEFAULT" | "MPOL_LOCAL");
    if !takes_nodes && !policy.nodes.is_empty() {
        return Err(format!("linux.memoryPolicy.nodes: {} takes none", policy.mode));
    }
    let mut nodes = Vec::new();
    let ranges = super::limits::ranges(&policy.nodes, MOST_NODES);
    let ranges = ranges.ok_or_else(|| format!("linux.memoryPolicy.nodes {:?} is no list", policy.nodes))?;
    for node in ranges.into_iter().flatten() {
        nodes.resize(nodes.len().max(node / 64 + 1), 0_u64);
        nodes[node / 64] |= 1 << (node % 64);
    }
    Ok((number, nodes))
}

/// Sets it for the calling process and all that come from it.
pub(crate) fn set(policy: Option<&MemoryPolicy>) -> Step<()> {
    let Some(policy) = policy else { return Ok(()) };
    let (mode, nodes) = parse(policy).map_err(Failure)?;
    hull_sys::memory_policy::set_memory_policy(mode, &nodes)
        .during(format_args!("cannot set the memory policy {} {:?}", policy.mode, policy.nodes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(mode: &str, nodes: &str, flags: &[&str]) -> Result<(u32, Vec<u64>), String> {
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        parse(&MemoryPolicy { mode: mode.into(), nodes: nodes.into(), flags })
    }

    #[test]
    fn words_are_the_kernels_numbers() {
        assert_eq!(policy("MPOL_DEFAULT", "", &[]), Ok((0, vec![])));
        assert_eq!(policy("MPOL_BIND", "0-1,3", &["MPOL_F_STATIC_NODES"]), Ok((2 | 1 << 15, vec![0b1011])));
        assert_eq!(policy("MPOL_INTERLEAVE", "0,64", &[]), Ok((3, vec![1, 1])));
        for (mode, nodes, flags) in [
            ("MPOL_NOPE", "", [].as_slice()),
            ("MPOL_BIND", "x", &[]),
            ("MPOL_BIND", "0-9999", &[]),
            ("MPOL_LOCAL", "0", &[]),
            ("MPOL_BIND", "0", &["MPOL_F_NOPE"]),
        ] {
            policy(mode, nodes, flags).unwrap_err();
        }
    }
}
