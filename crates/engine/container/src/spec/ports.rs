//! Ports as containers name them: `80/tcp`, `8000-8010/udp`.

use crate::error::{Error, Result};
use hull_api_types::{PortMap, Set};

/// `80` → `80/tcp`.
pub fn with_protocol(port: &str) -> String {
    if port.contains('/') { port.to_owned() } else { format!("{port}/tcp") }
}

/// Checks bindings and exposed ports.
pub fn check(bindings: &PortMap, exposed: Option<&Set>) -> Result<()> {
    for (port, hosts) in bindings {
        check_container_port(port)?;
        for host in hosts.iter().flatten() {
            let range = host.host_port.trim();
            if !range.is_empty() && parse_range(range).is_none() {
                return Err(invalid(&host.host_port));
            }
            let address = host.host_ip.trim_start_matches('[').trim_end_matches(']');
            if !address.is_empty() && address.parse::<std::net::IpAddr>().is_err() {
                return Err(Error::invalid(format!("invalid IP address: {}", host.host_ip)));
            }
        }
    }
    exposed.into_iter().flat_map(Set::keys).try_for_each(|port| check_container_port(port))
}

fn check_container_port(port: &str) -> Result<()> {
    let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
    match parse_range(number) {
        Some(_) if matches!(protocol.to_ascii_lowercase().as_str(), "tcp" | "udp" | "sctp") => Ok(()),
        _ => Err(invalid(port)),
    }
}

/// `80` or `80-90`.
pub fn parse_range(text: &str) -> Option<(u16, u16)> {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u16>().ok()).flatten()
    };
    match text.split_once('-') {
        None => number(text).map(|port| (port, port)),
        Some((low, high)) => {
            let (low, high) = (number(low)?, number(high)?);
            (low <= high).then_some((low, high))
        }
    }
}

fn invalid(port: &str) -> Error {
    Error::invalid(format!("invalid port specification: {port:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports() {
        for good in ["80", "80/tcp", "1-65535/udp", "9/sctp"] {
            assert!(check_container_port(good).is_ok(), "{good}");
        }
        for bad in ["", "a", "80/icmp", "65536", "9-8", "+80", "80/tcp/udp"] {
            let text = check_container_port(bad).unwrap_err().to_string();
            assert_eq!(text, format!("invalid port specification: {bad:?}"));
        }
    }
}
