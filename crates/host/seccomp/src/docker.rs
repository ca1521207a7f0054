//! Docker's form of a profile: rules with conditions on capabilities, architectures and the kernel.

use crate::{Architecture, Error, Result};
use hull_types::document;
use hull_types::document::from_json;
use hull_types::oci::runtime::{Seccomp, Syscall, SyscallArg};

/// moby's default profile.
pub const DEFAULT_PROFILE: &str = include_str!("../data/default.json");

#[derive(Default)]
struct Profile {
    default_action: String,
    default_errno_ret: Option<u32>,
    architectures: Vec<String>,
    arch_map: Vec<SubArchitectures>,
    flags: Vec<String>,
    listener_path: String,
    listener_metadata: String,
    syscalls: Vec<Rule>,
}

#[derive(Default)]
struct SubArchitectures {
    architecture: String,
    sub_architectures: Vec<String>,
}

#[derive(Default)]
struct Rule {
    name: String,
    names: Vec<String>,
    action: String,
    errno_ret: Option<u32>,
    args: Vec<SyscallArg>,
    includes: Circumstances,
    excludes: Circumstances,
}

#[derive(Default)]
struct Circumstances {
    caps: Vec<String>,
    arches: Vec<String>,
    min_kernel: Option<String>,
}

document!(Profile {
    "defaultAction" => default_action,
    "defaultErrnoRet" => default_errno_ret,
    "architectures" => architectures,
    "archMap" => arch_map,
    "flags" => flags,
    "listenerPath" => listener_path,
    "listenerMetadata" => listener_metadata,
    "syscalls" => syscalls,
});

document!(SubArchitectures {
    "architecture" => architecture,
    "subArchitectures" => sub_architectures,
});

document!(Rule {
    "name" => name,
    "names" => names,
    "action" => action,
    "errnoRet" => errno_ret,
    "args" => args,
    "includes" => includes,
    "excludes" => excludes,
});

document!(Circumstances {
    "caps" => caps,
    "arches" => arches,
    "minKernel" => min_kernel,
});

/// Docker's profile as the runtime specification's, for a process with these capabilities on this machine.
pub fn docker_profile_to_oci(profile_json: &str, capabilities: &[String]) -> Result<Seccomp> {
    translate(profile_json, capabilities, Architecture::NATIVE)
}

/// As [`docker_profile_to_oci`], on a machine of that architecture.
pub(crate) fn translate(
    profile_json: &str,
    capabilities: &[String],
    native: Architecture,
) -> Result<Seccomp> {
    let profile: Profile = from_json(profile_json.as_bytes()).map_err(Error::Decode)?;
    if profile.default_action.is_empty() {
        return Err(Error::Missing("defaultAction"));
    }
    let architectures = architectures(&profile, native)?;
    let host = Host { architecture: go_name(native), capabilities, kernel: kernel_version() };
    let mut syscalls = Vec::new();
    for rule in profile.syscalls {
        if rule.action.is_empty() {
            return Err(Error::Missing("action"));
        }
        if !host.applies(&rule) {
            continue;
        }
        let names = match (rule.name, rule.names) {
            (name, names) if name.is_empty() => names,
            (name, names) if names.is_empty() => vec![name],
            _ => return Err(Error::NamesTwice),
        };
        syscalls.push(Syscall { names, action: rule.action, errno_ret: rule.errno_ret, args: rule.args });
    }
    Ok(Seccomp {
        default_action: profile.default_action,
        default_errno_ret: profile.default_errno_ret,
        architectures,
        flags: profile.flags,
        listener_path: profile.listener_path,
        listener_metadata: profile.listener_metadata,
        syscalls,
    })
}

fn architectures(profile: &Profile, native: Architecture) -> Result<Vec<String>> {
    if profile.arch_map.is_empty() {
        return Ok(profile.architectures.clone());
    }
    if !profile.architectures.is_empty() {
        return Err(Error::ArchitecturesTwice);
    }
    let native = match native {
        Architecture::Aarch64 => "SCMP_ARCH_AARCH64",
        _ => "SCMP_ARCH_X86_64",
    };
    let mut names = Vec::new();
    if let Some(entry) = profile.arch_map.iter().find(|entry| entry.architecture == native) {
        names.push(entry.architecture.clone());
        names.extend(entry.sub_architectures.iter().cloned());
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
        let Rule { includes, excludes, .. } = rule;
        let caps = excludes.caps.iter().any(|name| self.capabilities.contains(name));
        let arches = excludes.arches.iter().any(|name| name == self.architecture);
        let kernel = excludes.min_kernel.as_deref().is_some_and(|text| self.kernel >= version(text));
        !(caps || arches || kernel)
            && includes.caps.iter().all(|name| self.capabilities.contains(name))
            && (includes.arches.is_empty() || includes.arches.iter().any(|name| name == self.architecture))
            && includes.min_kernel.as_deref().is_none_or(|text| self.kernel >= version(text))
    }
}

fn go_name(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X86_64 => "amd64",
        Architecture::I386 => "x86",
        Architecture::Aarch64 => "arm64",
        Architecture::Arm => "arm",
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
