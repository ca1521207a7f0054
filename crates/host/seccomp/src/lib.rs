//! System call filters: an OCI or Docker profile becomes one classic BPF program.
//!
//! ```text
//!   Docker's profile (data/default.json) ── docker ──▶ oci::Seccomp ── rules ──▶ per architecture: number → outcome
//!                                                                                     │ merge into runs
//!                                                                                program: a balanced tree of compares
//! ```
//!
//! Why a compiler of our own: the kernel walks the filter for every system call number when it is loaded, to
//! learn which ones are always allowed. Runs of numbers with the same outcome, searched as a balanced tree, keep
//! that (and each call) short, and need no C library.
//!
//! Invariants: what the profile does not name gets its default action; calls newer than every named one get
//! `ENOSYS`, so that C libraries fall back; an architecture that the profile does not list, and x32 numbers under
//! x86-64, never pass. Only loads, compares, masks and returns are emitted, which the kernel can cache.
//! Must not know: containers, files, processes.

mod docker;
mod error;
mod program;
mod rules;
mod table;

pub use docker::{DEFAULT_PROFILE, docker_profile_to_oci};
pub use error::{Error, Result};
pub use hull_sys::filter::SockFilter;

use hull_types::oci::runtime::Seccomp;

/// An architecture that filters can be made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Architecture {
    X86_64 = 0,
    I386 = 1,
    Aarch64 = 2,
    Arm = 3,
}

impl Architecture {
    const NATIVE: Architecture =
        if cfg!(target_arch = "aarch64") { Architecture::Aarch64 } else { Architecture::X86_64 };

    /// The kernel's `AUDIT_ARCH_…` number.
    fn audit(self) -> u32 {
        match self {
            Architecture::X86_64 => 0xc000_003e,
            Architecture::I386 => 0x4000_0003,
            Architecture::Aarch64 => 0xc000_00b7,
            Architecture::Arm => 0x4000_0028,
        }
    }

    fn named(name: &str) -> Option<Self> {
        match name {
            "SCMP_ARCH_X86_64" => Some(Architecture::X86_64),
            "SCMP_ARCH_X86" => Some(Architecture::I386),
            "SCMP_ARCH_AARCH64" => Some(Architecture::Aarch64),
            "SCMP_ARCH_ARM" => Some(Architecture::Arm),
            _ => None,
        }
    }

    /// The one whose 32-bit programs a machine of this one runs too.
    fn runs_too(self) -> Option<Self> {
        match self {
            Architecture::X86_64 => Some(Architecture::I386),
            Architecture::Aarch64 => Some(Architecture::Arm),
            Architecture::I386 | Architecture::Arm => None,
        }
    }
}

/// The profile as a program for the machine that this runs on.
///
/// The native architecture is always covered; listed architectures that this machine does not run, or whose
/// table Hull does not have (x32), are left out, which denies their calls.
pub fn compile(seccomp: &Seccomp) -> Result<Vec<SockFilter>> {
    compile_for(seccomp, &covered(seccomp, Architecture::NATIVE)?)
}

fn covered(seccomp: &Seccomp, native: Architecture) -> Result<Vec<Architecture>> {
    let mut architectures = vec![native];
    for name in &seccomp.architectures {
        if !name.starts_with("SCMP_ARCH_") {
            return Err(Error::UnknownArchitecture(name.clone()));
        }
        let listed = Architecture::named(name);
        if listed.is_some() && listed == native.runs_too() {
            architectures.extend(listed);
        }
    }
    architectures.dedup();
    Ok(architectures)
}

fn compile_for(seccomp: &Seccomp, architectures: &[Architecture]) -> Result<Vec<SockFilter>> {
    let rules = rules::Rules::of(seccomp)?;
    let mut program = program::Builder::new();
    for architecture in architectures.iter().rev() {
        let outcomes = rules.for_architecture(*architecture);
        program.add_architecture(*architecture, &outcomes);
    }
    program.finish()
}

/// The loading flags of a profile (`seccomp(2)`, `SECCOMP_SET_MODE_FILTER`); a notify rule adds the listener's.
pub fn flags(seccomp: &Seccomp) -> Result<u32> {
    let mut flags = 0;
    for name in &seccomp.flags {
        flags |= match name.as_str() {
            // Thread synchronisation is for processes of several threads: here there is one.
            "SECCOMP_FILTER_FLAG_TSYNC" => 0,
            "SECCOMP_FILTER_FLAG_LOG" => 1 << 1,
            "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => 1 << 2,
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" => 1 << 5,
            _ => return Err(Error::UnknownFlag(name.clone())),
        };
    }
    if seccomp.syscalls.iter().any(|rule| rule.action == "SCMP_ACT_NOTIFY") {
        flags |= hull_sys::filter::NEW_LISTENER;
    }
    Ok(flags)
}

#[cfg(test)]
mod tests;
