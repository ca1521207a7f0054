//! `--network` in both forms, with the flags that speak of its first network.

use super::csv;
use crate::matches::{Matches, go_quoted};
use hull_api_types::{EndpointIpamConfig, EndpointSettings, Map};

/// One network to be in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Attachment {
    name: String,
    aliases: Vec<String>,
    links: Vec<String>,
    driver_options: Map<String>,
    ipv4: String,
    ipv6: String,
    link_local: Vec<String>,
    mac: String,
    gateway_priority: i64,
}

/// Checks one value.
pub fn check(text: &str) -> Result<(), String> {
    read(text).map(drop)
}

/// The network mode: the first network's name.
pub fn mode(values: &[String]) -> String {
    let first = values.first().and_then(|text| read(text).ok());
    first.map_or_else(|| "default".into(), |network| network.name)
}

/// Each network's settings.
pub fn endpoints(matches: &Matches) -> Result<Map<EndpointSettings>, String> {
    let mut networks =
        matches.list("network").iter().map(|text| read(text)).collect::<Result<Vec<_>, _>>()?;
    if networks.is_empty() {
        networks.push(Attachment { name: "default".into(), ..Attachment::default() });
    }
    let user_defined = networks.iter().filter(|network| is_user_defined(&network.name)).count();
    let (all, given) = (networks.len(), matches.changed("network"));
    let mut endpoints = Map::new();
    for (index, mut network) in networks.into_iter().enumerate() {
        if index == 0 {
            apply_flags(&mut network, matches)?;
        }
        let name = network.name.clone();
        if endpoints.insert(name.clone(), settings(network)?).is_some() {
            return Err(format!("network {} is specified multiple times", go_quoted(&name)));
        }
    }
    if user_defined > 0 && user_defined < all {
        return Err(
            "conflicting options: cannot attach both user-defined and non-user-defined network-modes".into(),
        );
    }
    // A mode alone says it all; settings are sent where there are some.
    let plain = |(name, settings): (&String, &EndpointSettings)| {
        !is_user_defined(name) && *settings == EndpointSettings::default()
    };
    if given && endpoints.len() == 1 && endpoints.iter().all(plain) {
        endpoints.clear();
    }
    Ok(endpoints)
}

/// Whether a mode names a network that someone made.
pub fn is_user_defined(mode: &str) -> bool {
    !matches!(mode, "default" | "bridge" | "host" | "none") && !mode.starts_with("container:")
}

fn read(text: &str) -> Result<Attachment, String> {
    if !has_pairs(text) {
        return Ok(Attachment { name: text.to_owned(), ..Attachment::default() });
    }
    let mut network = Attachment::default();
    for field in csv::record(text)? {
        let lower = field.to_lowercase();
        let (key, value) = lower
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| format!("invalid field {field}"))?;
        set(&mut network, key.trim(), value.trim())?;
    }
    if network.name.is_empty() {
        return Err("network name/id is not specified".into());
    }
    Ok(network)
}

/// Whether there is a `word=word` in it, as the long form has.
fn has_pairs(text: &str) -> bool {
    let word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut before = '\0';
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '=' && word(before) && letters.peek().copied().is_some_and(word) {
            return true;
        }
        before = letter;
    }
    false
}

fn set(network: &mut Attachment, key: &str, value: &str) -> Result<(), String> {
    match key {
        "name" => network.name = value.into(),
        "alias" => network.aliases.push(value.into()),
        "ip" => network.ipv4 = value.into(),
        "ip6" => network.ipv6 = value.into(),
        "mac-address" => network.mac = value.into(),
        "link-local-ip" => network.link_local.push(value.into()),
        "driver-opt" => {
            let pair = value.split_once('=').filter(|(key, _)| !key.trim().is_empty());
            let (key, value) = pair.ok_or("invalid key value pair format in driver options")?;
            network.driver_options.insert(key.trim().into(), value.trim().into());
        }
        "gw-priority" => {
            network.gateway_priority =
                value.parse().map_err(|_| format!("invalid gw-priority ({value}): invalid syntax"))?;
        }
        _ => return Err(format!("invalid field key {key}")),
    }
    Ok(())
}

/// Checks a hardware address in one of the forms that Go takes.
pub fn mac(text: &str) -> Result<(), String> {
    let wrong = || format!("address {text}: invalid MAC address");
    let hex = |part: &str, length: usize| part.len() == length && part.bytes().all(|b| b.is_ascii_hexdigit());
    let fits = |separator: char, length: usize, counts: &[usize]| {
        let parts: Vec<_> = text.split(separator).collect();
        counts.contains(&parts.len()) && parts.iter().all(|part| hex(part, length))
    };
    if fits(':', 2, &[6, 8, 20]) || fits('-', 2, &[6, 8, 20]) || fits('.', 4, &[3, 4, 10]) {
        return Ok(());
    }
    Err(wrong())
}

/// The flags without a network's name are about the first one.
fn apply_flags(network: &mut Attachment, matches: &Matches) -> Result<(), String> {
    let conflict = |what: &str| Err(format!("conflicting options: cannot specify both {what}"));
    let (aliases, links) = (matches.list("network-alias"), matches.list("link"));
    let local = matches.list("link-local-ip");
    if !network.aliases.is_empty() && !aliases.is_empty() {
        return conflict("--network-alias and per-network alias");
    }
    if !network.ipv4.is_empty() && !matches.text("ip").is_empty() {
        return conflict("--ip and per-network IPv4 address");
    }
    if !network.ipv6.is_empty() && !matches.text("ip6").is_empty() {
        return conflict("--ip6 and per-network IPv6 address");
    }
    if !network.mac.is_empty() && !matches.text("mac-address").is_empty() {
        return conflict("--mac-address and per-network MAC address");
    }
    if !network.link_local.is_empty() && !local.is_empty() {
        return conflict("--link-local-ip and per-network link-local IP addresses");
    }
    let set = |slot: &mut Vec<String>, values: Vec<String>| {
        if !values.is_empty() {
            *slot = values;
        }
    };
    set(&mut network.aliases, aliases);
    set(&mut network.link_local, local);
    // On the default bridge, links are the container's own.
    if network.name != "default" && network.name != "bridge" {
        set(&mut network.links, links);
    }
    for (slot, flag) in
        [(&mut network.ipv4, "ip"), (&mut network.ipv6, "ip6"), (&mut network.mac, "mac-address")]
    {
        if !matches.text(flag).is_empty() {
            *slot = matches.text(flag).to_owned();
        }
    }
    Ok(())
}

fn settings(network: Attachment) -> Result<EndpointSettings, String> {
    if network.name.trim().is_empty() {
        return Err("no name set for network".into());
    }
    if !is_user_defined(&network.name) {
        if !network.aliases.is_empty() {
            return Err("network-scoped aliases are only supported for user-defined networks".into());
        }
        if !network.links.is_empty() {
            return Err("links are only supported for user-defined networks".into());
        }
    }
    if !network.mac.is_empty() && mac(&network.mac).is_err() {
        return Err(format!("{} is not a valid mac address", network.mac));
    }
    let addressed = !(network.ipv4.is_empty() && network.ipv6.is_empty() && network.link_local.is_empty());
    let some = |list: Vec<String>| (!list.is_empty()).then_some(list);
    Ok(EndpointSettings {
        ipam_config: addressed.then_some(EndpointIpamConfig {
            ipv4_address: network.ipv4,
            ipv6_address: network.ipv6,
            link_local_ips: network.link_local,
        }),
        links: some(network.links),
        aliases: some(network.aliases),
        mac_address: network.mac,
        driver_opts: (!network.driver_options.is_empty()).then_some(network.driver_options),
        gw_priority: network.gateway_priority,
        ..EndpointSettings::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_read() {
        assert_eq!(read("web").unwrap().name, "web");
        let long = read("name=Net,alias=A,alias=b,ip=10.0.0.2,driver-opt=x=y,gw-priority=3").unwrap();
        assert_eq!(
            (long.name.as_str(), long.aliases.as_slice()),
            ("net", ["a".to_owned(), "b".into()].as_slice())
        );
        assert_eq!((long.driver_options["x"].as_str(), long.gateway_priority), ("y", 3));
        assert_eq!(read("foo,alias=b").unwrap_err(), "invalid field foo");
        assert_eq!(read("alias=b").unwrap_err(), "network name/id is not specified");
        assert_eq!(read("name=a,foo=b").unwrap_err(), "invalid field key foo");
        assert!(mac("92:d0:c6:0a:29:33").is_ok() && mac("zz").is_err());
    }
}
