//! Capabilities and `--security-opt`.

use crate::error::{Error, Result};
use hull_api_types::HostConfig;

/// Every capability that Linux has, in the order of their numbers.
pub const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// `net_admin` → `CAP_NET_ADMIN`; `all` → `ALL`.
pub fn capability_name(text: &str) -> String {
    let upper = text.trim().to_ascii_uppercase();
    match upper.as_str() {
        "ALL" | "CAP_ALL" => "ALL".into(),
        name if name.starts_with("CAP_") => upper,
        name => format!("CAP_{name}"),
    }
}

/// Checks the names of a normalized list.
pub fn check_capabilities(field: &str, list: Option<&Vec<String>>) -> Result<()> {
    for name in list.into_iter().flatten() {
        if name != "ALL" && !CAPABILITIES.contains(&name.as_str()) {
            return Err(Error::invalid(format!("invalid {field}: unknown capability: {name:?}")));
        }
    }
    Ok(())
}

/// Which seccomp filter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SeccompChoice {
    /// The daemon's default, which is the built-in one unless the operator chose another.
    #[default]
    Default,
    /// The built-in one.
    BuiltIn,
    /// None.
    Unconfined,
    /// This profile's text.
    Profile(String),
}

/// What `--security-opt` says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecurityOptions {
    /// The filter.
    pub seccomp: SeccompChoice,
    /// Whether set-user-id programs gain nothing.
    pub no_new_privileges: Option<bool>,
    /// An AppArmor profile's name.
    pub apparmor: Option<String>,
    /// An SELinux label's parts; kept, as there is no SELinux to give them to.
    pub labels: Vec<String>,
    /// Whether `/sys/fs/cgroup` may be written.
    pub writable_cgroups: bool,
}

/// Parses `HostConfig.SecurityOpt`.
pub fn parse_security_options(host: &HostConfig) -> Result<SecurityOptions> {
    let mut options = SecurityOptions::default();
    for text in host.security_opt.iter().flatten() {
        if text == "no-new-privileges" {
            options.no_new_privileges = Some(true);
            continue;
        }
        // `name=value`; the colon is Docker's older form.
        let split = text.split_once('=').or_else(|| text.split_once(':'));
        let Some((name, value)) = split else {
            if text == "disable" || text == "label" {
                options.labels.push(text.clone());
                continue;
            }
            return Err(Error::invalid(format!("invalid --security-opt 1: {text:?}")));
        };
        apply(&mut options, text, name, value)?;
    }
    Ok(options)
}

fn apply(options: &mut SecurityOptions, text: &str, name: &str, value: &str) -> Result<()> {
    let boolean = |value: &str| match value {
        "true" | "1" | "t" | "T" | "TRUE" | "True" => Ok(true),
        "false" | "0" | "f" | "F" | "FALSE" | "False" => Ok(false),
        _ => Err(Error::invalid(format!("invalid --security-opt 2: {text:?}"))),
    };
    match name {
        "seccomp" => {
            options.seccomp = match value {
                "unconfined" => SeccompChoice::Unconfined,
                "builtin" => SeccompChoice::BuiltIn,
                profile => SeccompChoice::Profile(profile.to_owned()),
            }
        }
        "apparmor" => options.apparmor = Some(value.to_owned()),
        "label" => options.labels.push(value.to_owned()),
        "no-new-privileges" => options.no_new_privileges = Some(boolean(value)?),
        "writable-cgroups" => options.writable_cgroups = boolean(value)?,
        _ => return Err(Error::invalid(format!("invalid --security-opt 2: {text:?}"))),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalized_and_checked() {
        assert_eq!(capability_name("net_admin"), "CAP_NET_ADMIN");
        assert_eq!(capability_name("cap_all"), "ALL");
        let bad = vec!["CAP_NOPE".to_owned()];
        assert_eq!(
            check_capabilities("CapAdd", Some(&bad)).unwrap_err().to_string(),
            "invalid CapAdd: unknown capability: \"CAP_NOPE\""
        );
    }

    #[test]
    fn options_parse() {
        let parse = |list: &[&str]| {
            let security_opt = Some(list.iter().map(|text| (*text).to_owned()).collect());
            parse_security_options(&HostConfig { security_opt, ..Default::default() })
        };
        let options = parse(&["no-new-privileges:true", "seccomp=unconfined", "label=disable"]).unwrap();
        assert_eq!(options.no_new_privileges, Some(true));
        assert_eq!(options.seccomp, SeccompChoice::Unconfined);
        assert_eq!(parse(&["nope"]).unwrap_err().to_string(), "invalid --security-opt 1: \"nope\"");
        assert_eq!(parse(&["a=b"]).unwrap_err().to_string(), "invalid --security-opt 2: \"a=b\"");
    }
}
