//! Everything of a request that is no limit, port or mount. Texts are Docker's.

use super::{mode, security};
use crate::config::ContainersConfig;
use crate::error::{Error, Result};
use hull_api_types::{ContainerConfig, HealthConfig, HostConfig, RestartPolicy};

fn refuse(condition: bool, text: impl Into<String>) -> Result<()> {
    if condition { Err(Error::invalid(text)) } else { Ok(()) }
}

/// Checks the part that is not about this host.
pub fn check_config(config: &ContainerConfig) -> Result<()> {
    refuse(
        !config.working_dir.is_empty() && !config.working_dir.starts_with('/'),
        format!("the working directory '{}' is invalid, it needs to be an absolute path", config.working_dir),
    )?;
    refuse(
        !config.stop_signal.is_empty() && hull_types::signal::parse(&config.stop_signal).is_none(),
        format!("invalid signal: {}", config.stop_signal),
    )?;
    for entry in config.env.iter().flatten() {
        refuse(entry.is_empty() || entry.starts_with('='), format!("invalid environment variable: {entry}"))?;
        refuse(entry.contains('\0'), "invalid environment variable: it contains a NUL byte")?;
    }
    let words = config.entrypoint.iter().flatten().chain(config.cmd.iter().flatten());
    for word in words {
        refuse(word.contains('\0'), "invalid argument: the command contains a NUL byte")?;
    }
    check_hostname(&config.hostname)?;
    refuse(
        config.domainname.len() > 255 || config.domainname.contains(char::is_control),
        format!("invalid domainname format: {}", config.domainname),
    )?;
    if !config.mac_address.is_empty() {
        check_mac(&config.mac_address)?;
    }
    config.healthcheck.as_ref().map_or(Ok(()), check_health)
}

fn check_hostname(name: &str) -> Result<()> {
    let fits = name.len() <= 63
        && !name.starts_with('-')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    refuse(!fits, format!("invalid hostname format: {name}"))
}

fn check_mac(text: &str) -> Result<()> {
    let bytes: Vec<&str> = text.split([':', '-']).collect();
    let hex = |part: &&str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    refuse(bytes.len() != 6 || !bytes.iter().all(hex), format!("invalid MAC address: {text}"))
}

fn check_health(health: &HealthConfig) -> Result<()> {
    for (name, value) in [
        ("Interval", health.interval),
        ("Timeout", health.timeout),
        ("StartPeriod", health.start_period),
        ("StartInterval", health.start_interval),
    ] {
        refuse(
            value != 0 && value < 1_000_000,
            format!("{name} in Healthcheck cannot be less than one millisecond"),
        )?;
    }
    refuse(health.retries < 0, "Retries in Healthcheck cannot be negative")?;
    let kind = health.test.as_ref().and_then(|test| test.first());
    match kind.map(String::as_str) {
        None | Some("NONE" | "CMD" | "CMD-SHELL" | "") => Ok(()),
        Some(other) => Err(Error::invalid(format!("Unknown healthcheck type {other:?} (expected 'CMD')"))),
    }
}

/// Checks a restart policy.
pub fn check_restart_policy(policy: &RestartPolicy) -> Result<()> {
    let count = policy.maximum_retry_count;
    match policy.name.as_str() {
        "" | "no" | "always" | "unless-stopped" => {
            let mut text =
                "invalid restart policy: maximum retry count can only be used with 'on-failure'".to_owned();
            if count < 0 {
                text.push_str(" and cannot be negative");
            }
            refuse(count != 0, text)
        }
        "on-failure" => refuse(count < 0, "invalid restart policy: maximum retry count cannot be negative"),
        other => Err(Error::invalid(format!(
            "invalid restart policy: unknown policy '{other}'; use one of 'no', 'always', 'on-failure', or \
             'unless-stopped'"
        ))),
    }
}

/// Checks the part that is about this host; what it gives are warnings.
pub fn check_host_config(
    host: &HostConfig,
    config: &ContainerConfig,
    daemon: &ContainersConfig,
) -> Result<Vec<String>> {
    check_restart_policy(&host.restart_policy)?;
    refuse(
        host.auto_remove && host.restart_policy.name != "no",
        "can't create 'AutoRemove' container with restart policy",
    )?;
    check_extra_hosts(host)?;
    security::check_capabilities("CapAdd", host.cap_add.as_ref())?;
    security::check_capabilities("CapDrop", host.cap_drop.as_ref())?;
    security::parse_security_options(host)?;
    mode::check(host, config)?;
    refuse(
        !(-1000..=1000).contains(&host.oom_score_adj),
        format!("Invalid value {}, range for oom score adj is [-1000, 1000]", host.oom_score_adj),
    )?;
    refuse(host.shm_size < 0, "SHM size can not be less than 0")?;
    hull_logs::parse_options(&host.log_config.kind, &host.log_config.config).map_err(Error::service)?;
    super::runtime_of(&host.runtime, daemon)?;
    check_devices(host)?;
    check_sysctls(host)?;
    refuse(
        host.storage_opt.as_ref().is_some_and(|options| !options.is_empty()),
        "--storage-opt is supported only for overlay over xfs with 'pquota' mount option",
    )?;
    check_cgroup_parent(&host.resources.cgroup_parent)?;
    let mut warnings = Vec::new();
    if host.network_mode == "host" && !host.port_bindings.is_empty() {
        warnings.push("Published ports are discarded when using host network mode".to_owned());
    }
    Ok(warnings)
}

fn check_extra_hosts(host: &HostConfig) -> Result<()> {
    for entry in host.extra_hosts.iter().flatten() {
        let split = entry.split_once('=').or_else(|| entry.split_once(':'));
        let Some((name, address)) = split.filter(|(name, _)| !name.is_empty()) else {
            return Err(Error::invalid(format!("bad format for add-host: {entry:?}")));
        };
        refuse(
            name.contains(|c: char| c.is_whitespace() || c.is_control()),
            format!("bad format for add-host: {entry:?}"),
        )?;
        let bare = address.trim_start_matches('[').trim_end_matches(']');
        refuse(
            address != "host-gateway" && bare.parse::<std::net::IpAddr>().is_err(),
            format!("invalid IP address in add-host: {address:?}"),
        )?;
    }
    Ok(())
}

fn check_devices(host: &HostConfig) -> Result<()> {
    for device in host.resources.devices.iter().flatten() {
        let permissions = &device.cgroup_permissions;
        refuse(
            !permissions.bytes().all(|byte| b"rwm".contains(&byte)) || permissions.len() > 3,
            format!("invalid device mode: {permissions}"),
        )?;
        refuse(
            !device.path_in_container.is_empty() && !device.path_in_container.starts_with('/'),
            format!("{} is not an absolute path", device.path_in_container),
        )?;
    }
    for rule in host.resources.device_cgroup_rules.iter().flatten() {
        refuse(
            crate::bundle::parse_device_rule(rule).is_none(),
            format!("invalid device cgroup rule format: '{rule}'"),
        )?;
    }
    Ok(())
}

/// Only what a namespace of the container's own holds (CVE-2022-0811: a name or value can smuggle others in).
fn check_sysctls(host: &HostConfig) -> Result<()> {
    for (name, value) in host.sysctls.iter().flatten() {
        let plain = !name.is_empty()
            && !name.split(['.', '/']).any(|part| part.is_empty())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/@:".contains(&byte));
        refuse(!plain || value.contains(['\n', '\0']), format!("invalid sysctl {name}={value}"))?;
        let network = name.starts_with("net.") || name.starts_with("net/");
        let ipc = ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|prefix| name.starts_with(prefix))
            || name == "kernel.sem";
        if network {
            refuse(
                host.network_mode == "host",
                format!("sysctl {name:?} not allowed in host network namespace"),
            )?;
        } else if ipc {
            refuse(host.ipc_mode == "host", format!("sysctl {name:?} not allowed in host ipc namespace"))?;
        } else if name != "kernel.domainname" {
            return Err(Error::invalid(format!("sysctl {name:?} is not in a separate kernel namespace")));
        }
    }
    Ok(())
}

fn check_cgroup_parent(parent: &str) -> Result<()> {
    refuse(
        parent.split('/').any(|part| part == "..") || parent.contains(['\n', '\0']),
        format!("invalid cgroup parent: {parent}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(name: &str, maximum_retry_count: i64) -> String {
        let policy = RestartPolicy { name: name.into(), maximum_retry_count };
        check_restart_policy(&policy).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn restart_policies() {
        assert_eq!(policy("always", 0), "");
        assert_eq!(policy("on-failure", 3), "");
        assert_eq!(
            policy("always", 1),
            "invalid restart policy: maximum retry count can only be used with 'on-failure'"
        );
        assert!(policy("sometimes", 0).starts_with("invalid restart policy: unknown policy 'sometimes'"));
    }

    #[test]
    fn sysctls_stay_in_their_namespace() {
        let check = |name: &str, value: &str| {
            let sysctls = Some([(name.to_owned(), value.to_owned())].into());
            check_sysctls(&HostConfig { sysctls, ..Default::default() }).is_ok()
        };
        assert!(check("net.ipv4.ip_forward", "1"));
        assert!(check("kernel.shmmax", "1"));
        assert!(!check("kernel.core_pattern", "|/bin/x"));
        assert!(!check("net.ipv4.ip_forward", "1\n+kernel.core_pattern"));
        assert!(!check("net..x", "1"));
        assert!(!check("net.ipv4/../../kernel/core_pattern", "1"));
    }
}
