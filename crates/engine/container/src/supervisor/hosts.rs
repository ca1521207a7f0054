//! A running container's hosts file, line by line: what others wrote into it stays.

use crate::engine::Engine;
use hull_api_types::EndpointSettings;

/// An endpoint's addresses, IPv4 first.
pub(super) fn addresses(endpoint: &EndpointSettings) -> Vec<String> {
    let both = [&endpoint.ip_address, &endpoint.global_ipv6_address];
    both.into_iter().filter(|address| !address.is_empty()).cloned().collect()
}

/// A line for each address.
pub(super) fn lines(addresses: &[String], names: &str) -> Vec<String> {
    addresses.iter().map(|address| format!("{address}\t{names}")).collect()
}

/// Puts `new` lines in the place of those whose address and names `goes` says yes to, or at the end.
pub(super) fn change(engine: &Engine, id: &str, goes: impl Fn(&str, &str) -> bool, new: &[String]) {
    let path = engine.bundle(id).join("hosts");
    let Ok(before) = std::fs::read_to_string(&path) else { return };
    let after = changed(&before, goes, new);
    // In place: the container has this very file.
    if after != before
        && let Err(error) = std::fs::write(&path, after)
    {
        tracing::warn!(container = id, %error, "cannot update the hosts file");
    }
}

fn changed(before: &str, goes: impl Fn(&str, &str) -> bool, new: &[String]) -> String {
    let is_gone = |line: &&str| line.split_once('\t').is_some_and(|(address, names)| goes(address, names));
    let mut lines: Vec<&str> = before.lines().collect();
    let place = lines.iter().position(&is_gone).unwrap_or(lines.len());
    let behind = lines.split_off(place);
    let new = new.iter().map(String::as_str);
    let lines = lines.into_iter().chain(new).chain(behind.into_iter().filter(|line| !is_gone(line)));
    lines.map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_and_go() {
        let hosts =
            "127.0.0.1\tlocalhost\n172.17.0.2\tdb web\nfd00::2\tdb web\n9.9.9.9 mine\n172.17.0.3\town\n";
        let moved = lines(&["172.17.0.9".into()], "db web");
        assert_eq!(
            changed(hosts, |_, names| names == "db web", &moved),
            "127.0.0.1\tlocalhost\n172.17.0.9\tdb web\n9.9.9.9 mine\n172.17.0.3\town\n"
        );
        let own = lines(&["10.0.0.2".into(), "fd01::2".into()], "own");
        let more = changed(hosts, |_, _| false, &own);
        assert_eq!(more, format!("{hosts}10.0.0.2\town\nfd01::2\town\n"));
        let goes = |address: &str, names: &str| names == "own" && ["10.0.0.2", "fd01::2"].contains(&address);
        assert_eq!(changed(&more, goes, &[]), hosts);
    }
}
