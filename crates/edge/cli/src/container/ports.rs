//! Ports as `ps` and `port` show them.

use crate::failure::Failure;
use crate::matches::Matches;
use crate::session::Session;
use crate::streams::print_line;
use hull_api_types::{ContainerInspect, Port, PortBinding};

/// One line for a container's ports. Neighbours that are published under their own numbers are one range.
pub fn displayed(ports: &[Port]) -> String {
    let mut ports: Vec<&Port> = ports.iter().collect();
    ports.sort_by(|a, b| {
        (a.private_port, &a.ip, a.public_port, &a.kind).cmp(&(b.private_port, &b.ip, b.public_port, &b.kind))
    });
    // Address and protocol → the range being gathered, in the order of their first ports.
    let mut open: Vec<(&str, &str, u16, u16)> = Vec::new();
    let (mut out, mut mapped) = (Vec::new(), Vec::new());
    for port in ports {
        let number = port.private_port;
        if !port.ip.is_empty() && port.public_port != number {
            mapped.push(format!(
                "{}->{number}/{}",
                joined(&port.ip, &port.public_port.to_string()),
                port.kind
            ));
            continue;
        }
        match open.iter_mut().find(|(ip, kind, ..)| *ip == port.ip && *kind == port.kind) {
            None => open.push((&port.ip, &port.kind, number, number)),
            Some((.., last)) if number == *last || u32::from(number) == u32::from(*last) + 1 => {
                *last = number
            }
            Some((ip, kind, first, last)) => {
                out.push(range(ip, kind, *first, *last));
                (*first, *last) = (number, number);
            }
        }
    }
    out.extend(open.into_iter().map(|(ip, kind, first, last)| range(ip, kind, first, last)));
    out.extend(mapped);
    out.join(", ")
}

fn range(ip: &str, kind: &str, first: u16, last: u16) -> String {
    let numbers = if first == last { first.to_string() } else { format!("{first}-{last}") };
    if ip.is_empty() {
        format!("{numbers}/{kind}")
    } else {
        format!("{}->{numbers}/{kind}", joined(ip, &numbers))
    }
}

/// Go's `net.JoinHostPort`.
fn joined(ip: &str, port: &str) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

/// `port`.
pub async fn port(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let name = matches.argument(0);
    let wanted = matches.argument(1);
    let client = session.client().await?;
    let container: ContainerInspect = client.container_inspect(name, false).await?;
    let shown = |binding: &PortBinding| joined(&binding.host_ip, &binding.host_port);
    if !wanted.is_empty() {
        let (number, protocol) = wanted.split_once('/').unwrap_or((wanted, "tcp"));
        crate::check::uint16(number)
            .map_err(|why| Failure::new(format!("Error: invalid port ({wanted}): {why}")))?;
        let key = format!("{number}/{protocol}");
        let bindings = container.network_settings.ports.get(&key).and_then(Option::as_ref);
        let Some(bindings) = bindings.filter(|list| !list.is_empty()) else {
            return Err(Failure::new(format!("Error: No public port '{wanted}' published for {name}")));
        };
        bindings.iter().for_each(|binding| print_line(&shown(binding)));
        return Ok(());
    }
    let mut lines: Vec<(u32, String)> = Vec::new();
    for (port, bindings) in &container.network_settings.ports {
        let number = port.split('/').next().and_then(|text| text.parse().ok()).unwrap_or(0);
        let each = bindings.iter().flatten().map(|binding| (number, format!("{port} -> {}", shown(binding))));
        lines.extend(each);
    }
    lines.sort();
    lines.iter().for_each(|(_, line)| print_line(line));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(ip: &str, private: u16, public: u16, kind: &str) -> Port {
        Port {
            ip: ip.into(),
            private_port: private,
            public_port: public,
            kind: kind.into(),
            ..Port::default()
        }
    }

    #[test]
    fn ranges_are_gathered() {
        for (list, text) in [
            (vec![], ""),
            (vec![port("", 80, 0, "tcp")], "80/tcp"),
            (
                vec![port("", 81, 0, "tcp"), port("", 80, 0, "tcp"), port("", 85, 0, "udp")],
                "80-81/tcp, 85/udp",
            ),
            (
                vec![port("0.0.0.0", 80, 80, "tcp"), port("0.0.0.0", 81, 81, "tcp")],
                "0.0.0.0:80-81->80-81/tcp",
            ),
            (
                vec![port("0.0.0.0", 80, 8080, "tcp"), port("::", 80, 8080, "tcp")],
                "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp",
            ),
            (vec![port("", 1, 0, "tcp"), port("", 3, 0, "tcp")], "1/tcp, 3/tcp"),
        ] {
            assert_eq!(displayed(&list), text);
        }
    }
}
