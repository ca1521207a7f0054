//! Docker's form of a profile: rules with conditions on capabilities, architectures and the kernel.

use crate::{Architecture, Error, Result};
use hull_types::oci::runtime::{Seccomp, Syscall, SyscallArg};
use serde::Deserialize;

/// moby's default profile.
pub const DEFAULT_PROFILE: &str = include_str!("../data/default.json");

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: String,
    #[serde(default)]
    default_errno_ret: Option<u32>,
    #[serde(default)]
    architectures: Option<Vec<String>>,
    #[serde(default)]
    arch_map: Option<Vec<SubArchitectures>>,
    #[serde(default)]
    flags: Option<Vec<String>>,
    #[serde(default)]
    listener_path: Option<String>,
    #[serde(default)]
    listener_metadata: Option<String>,
    #[serde(default)]
    syscalls: Option<Vec<Rule>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SubArchitectures {
    architecture: String,
    #[serde(default)]
    sub_architectures: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    names: Option<Vec<String>>,
    action: String,
    #[serde(default)]
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Option<Vec<SyscallArg>>,
    #[serde(default)]
    includes: Option<Circumstances>,
    #[serde(default)]
    excludes: Option<Circumstances>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Circumstances {
    #[serde(default)]
    caps: Option<Vec<String>>,
    #[serde(default)]
    arches: Option<Vec<String>>,
    #[serde(default)]
    min_kernel: Option<String>,
}

/// Docker's profile as the runtime specification's, for a process with these capabilities on this machine.
pub fn docker_profile_to_oci(profile_json: &str, capabilities: &[String]) -> Result<Seccomp> {
    let profile: Profile = serde_json::from_str(profile_json).map_err(Error::Decode)?;
    let architectures = architectures(&profile)?;
    let host = Host { architecture: go_name(Architecture::NATIVE), capabilities, kernel: kernel_version() };
    let mut syscalls = Vec::new();
    for rule in profile.syscalls.unwrap_or_default() {
        if !host.applies(&rule) {
            continue;
        }
        let names = match (rule.name, rule.names) {
            (Some(name), None) => vec![name],
            (Some(name), Some(names)) if names.is_empty() => vec![name],
            (Some(name), Some(_)) if !name.is_empty() => return Err(Error::NamesTwice),
            (_, names) => names.unwrap_or_default(),
        };
        let args = rule.args.unwrap_or_default();
        syscalls.push(Syscall { names, action: rule.action, errno_ret: rule.errno_ret, args });
    }
    Ok(Seccomp {
        default_action: profile.default_action,
        default_errno_ret: profile.default_errno_ret,
        architectures,
        flags: profile.flags.unwrap_or_default(),
        listener_path: profile.listener_path.unwrap_or_default(),
        listener_metadata: profile.listener_metadata.unwrap_or_default(),
        syscalls,
    })
}

fn architectures(profile: &Profile) -> Result<Vec<String>> {
    let listed = profile.architectures.clone().unwrap_or_default();
    let Some(map) = profile.arch_map.as_ref().filter(|map| !map.is_empty()) else { return Ok(listed) };
    if !listed.is_empty() {
        return Err(Error::ArchitecturesTwice);
    }
    let native = match Architecture::NATIVE {
        Architecture::Aarch64 => "SCMP_ARCH_AARCH64",
        _ => "SCMP_ARCH_X86_64",
    };
    let mut names = Vec::new();
    if let Some(entry) = map.iter().find(|entry| entry.architecture == native) {
        names.push(entry.architecture.clone());
        names.extend(entry.sub_architectures.iter().flatten().cloned());
    }
    Ok(names)
}

struct Host<'a> {
    architecture: &'static str,
    capabilities: &'a [String],
    kernel: (u32, u32),
}

impl Host<'_> {
    /// Excluded by any circumstance of `excludes` that holds; included only if those of `includes` all do.
    fn applies(&self, rule: &Rule) -> bool {
        if let Some(excludes) = &rule.excludes {
            let caps = excludes.caps.iter().flatten().any(|name| self.capabilities.contains(name));
            let arches = excludes.arches.iter().flatten().any(|name| name == self.architecture);
            let kernel = excludes.min_kernel.as_deref().is_some_and(|text| self.kernel >= version(text));
            if caps || arches || kernel {
                return false;
            }
        }
        let Some(includes) = &rule.includes else { return true };
        let arches = includes.arches.as_deref().unwrap_or_default();
        includes.caps.iter().flatten().all(|name| self.capabilities.contains(name))
            && (arches.is_empty() || arches.iter().any(|name| name == self.architecture))
            && includes.min_kernel.as_deref().is_none_or(|text| self.kernel >= version(text))
    }
}

fn go_name(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X86_64 => "amd64",
        Architecture::I386 => "x86",
        Architecture::Aarch64 => "arm64",
    }
}

fn kernel_version() -> (u32, u32) {
    version(&hull_sys::rustix::system::uname().release().to_string_lossy())
}

/// `6.18.1-x` → (6, 18).
fn version(text: &str) -> (u32, u32) {
    let mut parts = text.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}
