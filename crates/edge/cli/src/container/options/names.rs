//! Names and addresses: `--add-host`, `--dns`, `--dns-search`, `--link`, `--sysctl`, `--attach`, `--restart`,
//! `--platform` and the namespaces' modes.

use crate::matches::go_quoted;
use hull_api_types::RestartPolicy;
use std::net::IpAddr;

/// Checks a value of `--add-host`.
pub fn check_host(text: &str) -> Result<(), String> {
    extra_host(text).map(drop)
}

/// `name:address` of `name=address` or `name:address`, the address without brackets.
pub fn extra_host(text: &str) -> Result<String, String> {
    let pair = text.split_once('=').or_else(|| text.split_once(':'));
    let (name, address) = pair
        .filter(|(name, _)| !name.is_empty() && !name.contains(':'))
        .ok_or_else(|| format!("bad format for add-host: {}", go_quoted(text)))?;
    if address == "host-gateway" {
        return Ok(format!("{name}:{address}"));
    }
    let bare =
        address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).filter(|bare| !bare.is_empty());
    let address = bare.unwrap_or(address);
    if address.trim().parse::<IpAddr>().is_err() {
        return Err(format!("invalid IP address in add-host: {}", go_quoted(address)));
    }
    Ok(format!("{name}:{address}"))
}

/// Checks a value of `--dns`.
pub fn check_address(text: &str) -> Result<(), String> {
    address(text).map(drop)
}

/// An address in its canonical form.
pub fn address(text: &str) -> Result<String, String> {
    let parsed = text
        .trim()
        .parse::<IpAddr>()
        .map_err(|_| format!("IP address is not correctly formatted: {text}"))?;
    Ok(parsed.to_canonical().to_string())
}

/// Checks a value of `--dns-search`.
pub fn check_domain(text: &str) -> Result<(), String> {
    let trimmed = text.trim_matches(' ');
    if trimmed == "." {
        return Ok(());
    }
    let label = |label: &str| {
        let letters = label.as_bytes();
        matches!(letters.len(), 1..=63)
            && letters.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            && letters[0] != b'-'
            && letters[letters.len() - 1] != b'-'
    };
    let bare = trimmed.strip_suffix('.').unwrap_or(trimmed);
    let has_letter = bare.bytes().any(|b| b.is_ascii_alphabetic());
    if bare.len() < 255 && has_letter && bare.split('.').all(label) {
        return Ok(());
    }
    Err(format!("{trimmed} is not a valid domain"))
}

/// Checks a value of `--link`.
pub fn check_link(text: &str) -> Result<(), String> {
    match text.matches(':').count() {
        _ if text.is_empty() => Err("empty string specified for links".into()),
        0 | 1 => Ok(()),
        _ => Err(format!("bad format for links: {text}")),
    }
}

/// Checks a value of `--sysctl`.
pub fn check_sysctl(text: &str) -> Result<(), String> {
    const SINGLE: [&str; 8] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    let allowed = text.split_once('=').is_some_and(|(name, _)| {
        SINGLE.contains(&name) || name.starts_with("net.") || name.starts_with("fs.mqueue.")
    });
    if allowed { Ok(()) } else { Err(format!("sysctl '{text}' is not allowed")) }
}

/// Checks a value of `--attach`.
pub fn check_stream(text: &str) -> Result<(), String> {
    match text.to_lowercase().as_str() {
        "stdin" | "stdout" | "stderr" => Ok(()),
        _ => Err("valid streams are STDIN, STDOUT and STDERR".into()),
    }
}

/// Capabilities in one spelling, each once, sorted.
pub fn capabilities(list: Vec<String>) -> Vec<String> {
    let spelled = list.iter().map(|name| match name.trim().to_uppercase() {
        name if name == "ALL" || name.starts_with("CAP_") => name,
        name => format!("CAP_{name}"),
    });
    spelled.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

/// Reads `--restart`.
pub fn restart(text: &str) -> Result<RestartPolicy, String> {
    let (name, count) = text.split_once(':').unwrap_or((text, ""));
    if name.is_empty() && text.contains(':') {
        return Err("invalid restart policy format: no policy provided before colon".into());
    }
    let maximum_retry_count = match count {
        "" => 0,
        count => count.parse().map_err(|_| {
            "invalid restart policy format: maximum retry count must be an integer".to_owned()
        })?,
    };
    Ok(RestartPolicy { name: name.into(), maximum_retry_count })
}

/// Whether a policy restarts nothing.
pub fn restarts_never(policy: &RestartPolicy) -> bool {
    matches!(policy.name.as_str(), "" | "no")
}

/// Checks the modes of namespaces that the client knows all values of.
pub fn check_modes(pid: &str, uts: &str, user: &str, cgroup: &str) -> Result<(), String> {
    let container = |mode: &str| mode.strip_prefix("container:").is_some_and(|name| !name.is_empty());
    if !matches!(pid, "" | "host") && !container(pid) {
        return Err("--pid: invalid PID mode".into());
    }
    if !matches!(uts, "" | "host") {
        return Err("--uts: invalid UTS mode".into());
    }
    if !matches!(user, "" | "host") {
        return Err("--userns: invalid USER mode".into());
    }
    if !matches!(cgroup, "" | "host" | "private") {
        return Err("--cgroupns: invalid CGROUP mode".into());
    }
    Ok(())
}

const SYSTEMS: [&str; 16] = [
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "illumos",
    "ios",
    "js",
    "linux",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "wasip1",
    "windows",
    "zos",
];
const ARCHITECTURES: [&str; 26] = [
    "386", "aarch64", "amd64", "amd64p32", "arm", "arm64", "arm64be", "armbe", "armel", "armhf", "i386",
    "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64", "ppc64le", "riscv", "riscv64", "s390x",
    "sparc64", "wasm", "x86-64", "x86_64", "ppc",
];

/// Checks and normalizes `--platform`: `os`, `arch`, `os/arch` or `os/arch/variant`.
pub fn platform(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let fail = |why: &str| Err(format!("error parsing specified platform: {why}: invalid argument"));
    let lower = text.to_lowercase();
    let parts: Vec<_> = lower.split('/').collect();
    let word = |part: &&str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
    };
    if let Some(bad) = parts.iter().find(|part| !word(part)) {
        return fail(&format!(
            "{} is an invalid component of {}: platform specifier component must match",
            go_quoted(bad),
            go_quoted(text)
        ));
    }
    let host = hull_types::Platform::host();
    let architecture = |name: &str, variant: Option<&str>| match (name, variant) {
        ("x86_64" | "x86-64" | "amd64", None | Some("v1")) => "amd64".into(),
        ("x86_64" | "x86-64", Some(v)) => format!("amd64/{v}"),
        ("aarch64" | "arm64", None | Some("8" | "v8")) => "arm64".into(),
        ("i386", _) => "386".into(),
        ("armhf", _) | ("arm", None) => "arm/v7".into(),
        ("armel", _) => "arm/v6".into(),
        (name, Some(v)) => format!("{name}/{v}"),
        (name, None) => name.to_owned(),
    };
    match parts.as_slice() {
        [os] if SYSTEMS.contains(os) => Ok(format!("{os}/{}", host.architecture)),
        [arch] if ARCHITECTURES.contains(arch) => Ok(format!("linux/{}", architecture(arch, None))),
        [_] => fail(&format!("{}: unknown operating system or architecture", go_quoted(text))),
        [os, arch] => Ok(format!("{os}/{}", architecture(arch, None))),
        [os, arch, variant] => Ok(format!("{os}/{}", architecture(arch, Some(variant)))),
        _ => fail(&format!("{}: cannot parse platform specifier", go_quoted(text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_addresses() {
        assert_eq!(extra_host("a:1.2.3.4").unwrap(), "a:1.2.3.4");
        assert_eq!(extra_host("a=[::1]").unwrap(), "a:::1");
        assert_eq!(extra_host("a:::1").unwrap(), "a:::1");
        assert_eq!(extra_host("a:host-gateway").unwrap(), "a:host-gateway");
        assert!(extra_host("foo").is_err() && extra_host("a:x").is_err());
        assert_eq!(address("0:0::1").unwrap(), "::1");
        assert!(
            check_domain("example.com").is_ok() && check_domain(".").is_ok() && check_domain("a b").is_err()
        );
    }

    #[test]
    fn policies_and_platforms() {
        assert_eq!(restart("on-failure:3").unwrap().maximum_retry_count, 3);
        assert!(restart("on-failure:x").is_err() && restart(":3").is_err());
        assert_eq!(platform("linux/x86_64").unwrap(), "linux/amd64");
        assert_eq!(platform("arm64").unwrap(), "linux/arm64");
        let why = "error parsing specified platform: \"foo\": unknown operating system or architecture: invalid argument";
        assert_eq!(platform("foo").unwrap_err(), why);
    }
}
