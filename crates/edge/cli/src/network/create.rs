//! `network create`.

use crate::command::{Action, Arguments, Command, Flag};
use crate::failure::Failure;
use crate::matches::Matches;
use crate::session::Session;
use crate::{list, streams};
use hull_api_types::{ConfigReference, Ipam, IpamConfig, NetworkCreateRequest, NetworkCreateResponse};
use hull_client::Method;
use std::net::IpAddr;

pub static CREATE: Command = Command {
    usage: "[OPTIONS] NETWORK",
    about: "Create a network",
    names: &[],
    flags: &[
        Flag::switch("attachable", "Enable manual container attachment"),
        Flag::list("aux-address", "map", "Auxiliary IPv4 or IPv6 addresses used by Network driver")
            .shown("map[]"),
        Flag::text("config-from", "string", "The network from which to copy the configuration"),
        Flag::switch("config-only", "Create a configuration only network"),
        Flag::text("driver", "string", "Driver to manage the Network").short('d').default("bridge"),
        Flag::list("gateway", "strings", "IPv4 or IPv6 Gateway for the master subnet"),
        Flag::switch("ingress", "Create swarm routing-mesh network"),
        Flag::switch("internal", "Restrict external access to the network"),
        Flag::list("ip-range", "strings", "Allocate container ip from a sub-range"),
        Flag::text("ipam-driver", "string", "IP Address Management Driver").default("default"),
        Flag::list("ipam-opt", "map", "Set IPAM driver specific options").shown("map[]"),
        Flag::switch("ipv4", "Enable or disable IPv4 address assignment").default("true"),
        Flag::switch("ipv6", "Enable or disable IPv6 address assignment"),
        Flag::list("label", "list", "Set metadata on a network"),
        Flag::list("opt", "map", "Set driver specific options").short('o').shown("map[]"),
        Flag::text("scope", "string", "Control the network's scope"),
        Flag::list("subnet", "strings", "Subnet in CIDR format that represents a network segment"),
    ],
    arguments: Arguments::Exactly(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(create(session, matches))),
};

async fn create(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let request = request(matches)?;
    let client = session.client().await?;
    let created: NetworkCreateResponse =
        client.request(Method::POST, "/networks/create").json(&request).fetch().await?;
    if !created.warning.is_empty() {
        streams::complain(&format!("WARNING: {}", created.warning));
    }
    streams::print_line(&created.id);
    Ok(())
}

/// What the flags ask for.
fn request(matches: &Matches) -> Result<NetworkCreateRequest, Failure> {
    let config = ipam(
        &split(matches.list("subnet")),
        &split(matches.list("ip-range")),
        &split(matches.list("gateway")),
        &matches.list("aux-address"),
    )?;
    let options = list::pairs(&matches.list("ipam-opt"));
    Ok(NetworkCreateRequest {
        name: matches.argument(0).to_owned(),
        driver: matches.text("driver").to_owned(),
        scope: matches.text("scope").to_owned(),
        enable_ipv4: matches.changed("ipv4").then(|| matches.switch("ipv4")),
        enable_ipv6: matches.changed("ipv6").then(|| matches.switch("ipv6")),
        ipam: Some(Ipam {
            driver: matches.text("ipam-driver").to_owned(),
            options: (!options.is_empty()).then_some(options),
            config,
        }),
        internal: matches.switch("internal"),
        attachable: matches.switch("attachable"),
        ingress: matches.switch("ingress"),
        config_only: matches.switch("config-only"),
        config_from: Some(matches.text("config-from"))
            .filter(|name| !name.is_empty())
            .map(|name| ConfigReference { network: name.to_owned() }),
        options: list::pairs(&matches.list("opt")),
        labels: list::pairs(&matches.list("label")),
        ..NetworkCreateRequest::default()
    })
}

/// Go's string slices take `a,b` for two.
fn split(list: Vec<String>) -> Vec<String> {
    list.iter().flat_map(|text| text.split(',')).map(str::to_owned).collect()
}

/// Ranges, gateways and further addresses go to the subnet that holds them.
fn ipam(
    subnets: &[String],
    ranges: &[String],
    gateways: &[String],
    auxiliary: &[String],
) -> Result<Vec<IpamConfig>, Failure> {
    if subnets.len() < ranges.len() || subnets.len() < gateways.len() {
        return Err("every ip-range or gateway must have a corresponding subnet".into());
    }
    let mut configs: Vec<IpamConfig> = Vec::new();
    for subnet in subnets {
        if parse_subnet(subnet).is_none() {
            return Err(Failure::new(format!("invalid subnet {subnet}: invalid CIDR address: {subnet}")));
        }
        configs.push(IpamConfig { subnet: subnet.clone(), ..IpamConfig::default() });
    }
    let holder = |configs: &[IpamConfig], address: &str| -> Option<usize> {
        let address: IpAddr = address.split('/').next()?.parse().ok()?;
        configs
            .iter()
            .position(|config| parse_subnet(&config.subnet).is_some_and(|subnet| holds(subnet, address)))
    };
    for range in ranges {
        let at = holder(&configs, range)
            .ok_or_else(|| Failure::new(format!("no matching subnet for range {range}")))?;
        configs[at].ip_range = range.clone();
    }
    for gateway in gateways {
        let at = holder(&configs, gateway)
            .ok_or_else(|| Failure::new(format!("no matching subnet for gateway {gateway}")))?;
        configs[at].gateway = gateway.clone();
    }
    for pair in auxiliary {
        let (name, address) = pair.split_once('=').unwrap_or((pair, ""));
        let at = holder(&configs, address)
            .ok_or_else(|| Failure::new(format!("no matching subnet for aux-address {address}")))?;
        configs[at].auxiliary_addresses.insert(name.to_owned(), address.to_owned());
    }
    Ok(configs)
}

fn parse_subnet(text: &str) -> Option<(IpAddr, u32)> {
    let (address, length) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let length: u32 = length.parse().ok()?;
    (length <= if address.is_ipv4() { 32 } else { 128 }).then_some((address, length))
}

fn holds((network, length): (IpAddr, u32), address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(a), IpAddr::V4(b)) => length == 0 || (u32::from(a) ^ u32::from(b)) >> (32 - length) == 0,
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            length == 0 || (u128::from(a) ^ u128::from(b)) >> (128 - length) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_go_to_their_subnet() {
        let list = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        let configs = ipam(
            &list(&["10.0.0.0/16", "fd00::/64"]),
            &list(&["10.0.5.0/24"]),
            &list(&["fd00::1", "10.0.0.9"]),
            &list(&["host=10.0.0.7"]),
        )
        .unwrap();
        assert_eq!((configs[0].gateway.as_str(), configs[0].ip_range.as_str()), ("10.0.0.9", "10.0.5.0/24"));
        assert_eq!(configs[1].gateway, "fd00::1");
        assert_eq!(configs[0].auxiliary_addresses["host"], "10.0.0.7");
        assert!(ipam(&list(&["10.0.0.0/33"]), &[], &[], &[]).is_err());
        assert!(ipam(&list(&["10.0.0.0/24"]), &[], &list(&["10.1.0.1"]), &[]).is_err());
        assert!(ipam(&[], &[], &list(&["10.1.0.1"]), &[]).is_err());
    }
}
