//! `--publish` and `--expose`: `[ip:][host[-range]:]container[-range][/protocol]`.

use hull_api_types::{BYPASS_HOST_FIREWALL, Empty, Map, OBEY_HOST_FIREWALL, PortBinding, PortMap, Set};

/// The ports to expose, where they are published, and the annotations that say which obey the host's input rules.
pub type Ports = (Set, PortMap, Map<String>);

/// Reads both flags' values.
pub fn parse(publish: &[String], expose: &[String]) -> Result<Ports, String> {
    let mut exposed = Set::new();
    let mut bindings = PortMap::new();
    let mut annotations = Map::new();
    for text in publish {
        let (text, annotation) = standard(text)?;
        for (port, binding) in publication(&text)? {
            exposed.insert(port.clone(), Empty {});
            if let Some(name) = annotation {
                note(&mut annotations, name, &port);
            }
            bindings.entry(port).or_default().get_or_insert_default().push(binding);
        }
    }
    for text in expose {
        for port in exposure(text)? {
            exposed.insert(port, Empty {});
        }
    }
    Ok((exposed, bindings, annotations))
}

/// Adds to the list that an annotation is.
pub fn note(annotations: &mut Map<String>, name: &str, ports: &str) {
    let list = annotations.entry(name.to_owned()).or_default();
    if !list.is_empty() {
        list.push(',');
    }
    list.push_str(ports);
}

/// The long form, `published=8080,target=80,protocol=tcp`, as the short one. Of Hull's is `host-firewall=obey` or
/// `bypass`, which an annotation tells the engine.
fn standard(text: &str) -> Result<(String, Option<&'static str>), String> {
    if !text.contains('=') {
        return Ok((text.to_owned(), None));
    }
    let mut annotation = None;
    let (mut published, mut target, mut protocol) = ("", "", "tcp");
    for parameter in text.split(',') {
        match parameter.split_once('=') {
            Some(("published", value)) => published = value,
            Some(("target", value)) => target = value,
            Some(("protocol", value)) => protocol = value,
            Some(("host-firewall", "obey")) => annotation = Some(OBEY_HOST_FIREWALL),
            Some(("host-firewall", "bypass")) => annotation = Some(BYPASS_HOST_FIREWALL),
            Some(("host-firewall", value)) => {
                return Err(format!("invalid host-firewall '{value}': it is obey or bypass"));
            }
            Some((name, _)) if !name.is_empty() => {}
            _ => {
                return Err(format!(
                    "invalid publish opts format (should be name=value but got '{parameter}')"
                ));
            }
        }
    }
    Ok((format!("{published}:{target}/{protocol}"), annotation))
}

/// One publication: each port with its binding.
fn publication(text: &str) -> Result<Vec<(String, PortBinding)>, String> {
    let (address, host, container) = split(text);
    let (protocol, container) = split_protocol(container)?;
    let address = match address.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').ok_or_else(|| {
            format!("invalid IP address {address}: address {address}:: missing ']' in address")
        })?,
        None => address,
    };
    if !address.is_empty() && address.parse::<std::net::IpAddr>().is_err() {
        return Err(format!("invalid IP address: {address}"));
    }
    if container.is_empty() {
        return Err(format!("no port specified: {text}<empty>"));
    }
    let (first, last) = range(container).map_err(|_| format!("invalid containerPort: {container}"))?;
    let hosts = match host {
        "" => None,
        _ => Some(range(host).map_err(|_| format!("invalid hostPort: {host}"))?),
    };
    if let Some((from, to)) = hosts
        && to - from != last - first
        && first != last
    {
        return Err(format!("invalid ranges specified for container and host Ports: {container} and {host}"));
    }
    let ports = (first..=last).map(|number| {
        let host_port = match hosts {
            None => String::new(),
            // One port with a choice of host ports: the engine takes a free one.
            Some((from, to)) if first == last && from != to => format!("{from}-{to}"),
            Some((from, _)) => (from + (number - first)).to_string(),
        };
        (format!("{number}/{protocol}"), binding(address, host_port))
    });
    Ok(ports.collect())
}

fn binding(address: &str, host_port: String) -> PortBinding {
    PortBinding { host_ip: address.to_owned(), host_port, ..PortBinding::default() }
}

fn exposure(text: &str) -> Result<Vec<String>, String> {
    if text.contains(':') {
        return Err(format!("invalid port format for --expose: {text}"));
    }
    // The engine is left to judge the protocol here.
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (first, last) =
        range(ports).map_err(|why| format!("invalid range format for --expose: {text}, error: {why}"))?;
    Ok((first..=last).map(|number| format!("{number}/{protocol}")).collect())
}

/// Address, host port and container port: the last two colons part them, the address may have more.
fn split(text: &str) -> (&str, &str, &str) {
    let Some((rest, container)) = text.rsplit_once(':') else { return ("", "", text) };
    match rest.rsplit_once(':') {
        Some((address, host)) => (address, host, container),
        None => ("", rest, container),
    }
}

fn split_protocol(text: &str) -> Result<(String, &str), String> {
    let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = if protocol.is_empty() { "tcp".to_owned() } else { protocol.to_lowercase() };
    if port.is_empty() {
        return Ok((protocol, ""));
    }
    match protocol.as_str() {
        "tcp" | "udp" | "sctp" => Ok((protocol, port)),
        _ => Err(format!("invalid proto: {protocol}")),
    }
}

fn range(text: &str) -> Result<(u32, u32), String> {
    if text.is_empty() {
        return Err("empty string specified for ports".into());
    }
    let number = |part: &str| {
        crate::check::uint16(part)?;
        part.parse::<u32>().map_err(|_| format!("strconv.ParseUint: parsing {part:?}: invalid syntax"))
    };
    let Some((first, last)) = text.split_once('-') else {
        let port = number(text)?;
        return Ok((port, port));
    };
    let (first, last) = (number(first)?, number(last)?);
    if last < first {
        return Err(format!("invalid range specified for port: {text}"));
    }
    Ok((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match parse(&[text.to_owned()], &[]) {
            Err(why) => why,
            Ok((_, map, _)) => {
                let each = map.iter().flat_map(|(port, list)| {
                    list.iter().flatten().map(move |b| format!("{}:{}>{port}", b.host_ip, b.host_port))
                });
                each.collect::<Vec<_>>().join(" ")
            }
        }
    }

    #[test]
    fn publications_read() {
        for (text, result) in [
            ("80", ":>80/tcp"),
            ("8080:80", ":8080>80/tcp"),
            ("127.0.0.1:8080:80/udp", "127.0.0.1:8080>80/udp"),
            ("127.0.0.1::80", "127.0.0.1:>80/tcp"),
            ("[::1]:8080:80", "::1:8080>80/tcp"),
            ("8000-8001:80-81", ":8000>80/tcp :8001>81/tcp"),
            ("8000-8010:80", ":8000-8010>80/tcp"),
            ("published=8080,target=80,protocol=udp", ":8080>80/udp"),
            ("80:xx", "invalid containerPort: xx"),
            ("99999", "invalid containerPort: 99999"),
            ("x:80", "invalid hostPort: x"),
            ("1.2.3:80:80", "invalid IP address: 1.2.3"),
            ("80/foo", "invalid proto: foo"),
            ("80:", "no port specified: 80:<empty>"),
            ("1-2:80-85", "invalid ranges specified for container and host Ports: 80-85 and 1-2"),
            ("published=8080,target=80,host-firewall=x", "invalid host-firewall 'x': it is obey or bypass"),
            ("a=b,c", "invalid publish opts format (should be name=value but got 'c')"),
        ] {
            assert_eq!(shown(text), result, "{text}");
        }
    }

    #[test]
    fn ports_that_obey_the_host_are_annotated() {
        let publish = [
            "published=8080-8081,target=80-81,host-firewall=obey",
            "target=53,protocol=udp,host-firewall=obey",
            "target=82,host-firewall=bypass",
            "83",
        ]
        .map(str::to_owned);
        let (_, _, annotations) = parse(&publish, &[]).unwrap();
        let expected = [(BYPASS_HOST_FIREWALL, "82/tcp"), (OBEY_HOST_FIREWALL, "80/tcp,81/tcp,53/udp")];
        assert_eq!(annotations, expected.map(|(name, list)| (name.to_owned(), list.to_owned())).into());
    }

    #[test]
    fn exposures_read() {
        let (exposed, ..) = parse(&[], &["80-82/udp".into(), "9".into()]).unwrap();
        assert_eq!(exposed.keys().collect::<Vec<_>>(), ["80/udp", "81/udp", "82/udp", "9/tcp"]);
        assert!(parse(&[], &["1:2".into()]).is_err());
    }
}
