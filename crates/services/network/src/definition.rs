//! From a request to create a network to its row: names checked, subnets and addresses chosen.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str::FromStr;

use hull_api_types::{IpamConfig, NetworkCreateRequest};
use hull_netlink::{RouteSocket, link};
use hull_types::short_id;

use crate::address_pool::choose_subnet;
use crate::model::{
    BRIDGE, BYPASS, Bridge, GatewayMode, HOST_FIREWALL, IPVLAN, MACVLAN, Medium, NULL, NetworkRow, OBEY,
    Parent, Pool,
};
use crate::records::random_hex;
use crate::{Error, NetworksConfig, Result, Subnet, bridge, predefined, sub_interface};

const OPTION: &str = "com.docker.network.";

/// What is there already.
pub(crate) struct Surroundings<'a> {
    pub config: &'a NetworksConfig,
    pub networks: &'a BTreeMap<String, NetworkRow>,
    pub route: &'a mut RouteSocket,
}

/// The row of a network that is asked for.
pub(crate) fn define(request: &NetworkCreateRequest, around: &mut Surroundings<'_>) -> Result<NetworkRow> {
    check_name(&request.name)?;
    if around.networks.values().any(|row| row.name == request.name) {
        return Err(Error::Exists(request.name.clone()));
    }
    check_supported(request)?;
    let request = &configured(request, around.networks)?;
    let mut row = NetworkRow::new(random_hex::<32>()?, &request.name, driver(request));
    row.internal = request.internal;
    row.attachable = request.attachable;
    row.scope.clone_from(&request.scope);
    row.options.clone_from(&request.options);
    row.labels.clone_from(&request.labels);
    row.ipam_options = request.ipam.as_ref().and_then(|ipam| ipam.options.clone());
    row.config_from = request.config_from.clone().unwrap_or_default().network;
    (row.enable_ipv4, row.enable_ipv6) = families(request, &row)?;
    if request.config_only {
        row.driver = NULL.to_owned();
        row.configuration = Some(request.clone());
        return Ok(row);
    }
    let medium = match row.driver.as_str() {
        BRIDGE => Medium::Bridge(define_bridge(request, &row, around)?),
        _ => Medium::Parent(define_parent(request, &row, around)?),
    };
    row.pools = pools(request, &row, &medium, around)?;
    row.medium = Some(medium);
    Ok(row)
}

fn driver(request: &NetworkCreateRequest) -> &str {
    if matches!(request.driver.as_str(), "" | "default") { BRIDGE } else { &request.driver }
}

fn check_name(name: &str) -> Result<()> {
    if matches!(name, "bridge" | "host" | "none" | "default") {
        return Err(Error::Forbidden(format!("operation is not permitted on predefined {name} network ")));
    }
    let mut bytes = name.bytes();
    let good_start = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if !good_start || !bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)) {
        return Err(Error::Invalid(format!(
            "invalid network name {name:?}: only [a-zA-Z0-9][a-zA-Z0-9_.-]* are allowed"
        )));
    }
    Ok(())
}

fn check_supported(request: &NetworkCreateRequest) -> Result<()> {
    match driver(request) {
        BRIDGE | MACVLAN | IPVLAN => {}
        "host" | "null" => {
            return Err(Error::Forbidden(format!(
                "only one instance of \"{}\" network is allowed",
                request.driver
            )));
        }
        "overlay" => {
            return Err(Error::NotImplemented("the network driver overlay is not built yet".into()));
        }
        other => return Err(Error::DriverNotFound(other.to_owned())),
    }
    let missing = [
        (request.ingress, "ingress networks"),
        (!matches!(request.scope.as_str(), "" | "local"), "networks beyond one host"),
    ];
    if let Some((_, what)) = missing.into_iter().find(|(asked, _)| *asked) {
        return Err(Error::NotImplemented(format!("{what}: not built yet")));
    }
    match &request.ipam {
        Some(ipam) if !matches!(ipam.driver.as_str(), "" | "default") => {
            Err(Error::NotImplemented(format!("the address management driver {} is not built", ipam.driver)))
        }
        _ => Ok(()),
    }
}

/// The request with what the configuration network that it names says (`--config-from`).
fn configured(
    request: &NetworkCreateRequest,
    networks: &BTreeMap<String, NetworkRow>,
) -> Result<NetworkCreateRequest> {
    let name = request.config_from.as_ref().map_or("", |reference| &reference.network);
    if name.is_empty() {
        return Ok(request.clone());
    }
    if request.config_only {
        return Err(Error::Forbidden(
            "a configuration network cannot depend on another configuration network".into(),
        ));
    }
    let has_addresses =
        request.ipam.as_ref().is_some_and(|ipam| !ipam.config.is_empty() || ipam.options.is_some());
    if has_addresses
        || !request.options.is_empty()
        || !request.labels.is_empty()
        || request.enable_ipv6.is_some()
    {
        return Err(Error::Forbidden(
            "user supplied configurations are not supported if the network depends on a configuration network".into(),
        ));
    }
    let other = networks.values().find(|row| row.name == name || row.id == name);
    let Some(configuration) = other.and_then(|row| row.configuration.as_ref()) else {
        return Err(Error::NotFoundConfiguration(name.to_owned()));
    };
    Ok(NetworkCreateRequest {
        ipam: configuration.ipam.clone(),
        options: configuration.options.clone(),
        labels: configuration.labels.clone(),
        enable_ipv4: request.enable_ipv4.or(configuration.enable_ipv4),
        enable_ipv6: configuration.enable_ipv6,
        ..request.clone()
    })
}

/// Whether the network has IPv4, and IPv6: a bridge has both where the kernel has both, unless it is told otherwise.
/// What is plugged into a physical network has IPv6 where its addresses are named.
fn families(request: &NetworkCreateRequest, row: &NetworkRow) -> Result<(bool, bool)> {
    let ipv4 = request.enable_ipv4.unwrap_or(true);
    let names_ipv6 = || configs(request).any(|config| config.subnet.contains(':'));
    let ipv6 = request.enable_ipv6.unwrap_or_else(|| {
        !request.config_only && (row.driver == BRIDGE || names_ipv6()) && bridge::has_ipv6()
    });
    if !ipv4 && !ipv6 {
        return Err(Error::Invalid("IPv4 or IPv6 must be enabled".into()));
    }
    if ipv6 && !request.config_only && !bridge::has_ipv6() {
        return Err(Error::Invalid(format!(
            "network {} cannot have IPv6: this host has none (/proc/sys/net/ipv6 is missing, or disable_ipv6 is set)",
            row.name
        )));
    }
    Ok((ipv4, ipv6))
}

fn define_bridge(
    request: &NetworkCreateRequest,
    row: &NetworkRow,
    around: &Surroundings<'_>,
) -> Result<Bridge> {
    let interface =
        option(request, "bridge.name").map_or_else(|| format!("br-{}", short_id(&row.id)), str::to_owned);
    if interface.is_empty() || interface.len() > link::NAME_MAX || interface.contains(['/', ' ']) {
        return Err(Error::Invalid(format!(
            "invalid bridge name {interface:?}: at most {} letters",
            link::NAME_MAX
        )));
    }
    let uses = |row: &&NetworkRow| row.bridge().is_some_and(|bridge| bridge.interface == interface);
    if let Some(other) = around.networks.values().find(uses) {
        return Err(Error::Conflict(format!("network {} already uses the bridge {interface}", other.name)));
    }
    let flag = |name, default| option(request, name).map_or(Ok(default), |text| parse_flag(name, text));
    let binding = option(request, "bridge.host_binding_ipv4").or(option(request, "bridge.host_binding_ipv6"));
    let mode = |name| option(request, name).map_or(Ok(GatewayMode::Nat), |text| parse(name, text));
    let made = Bridge {
        interface,
        managed: true,
        mtu: option(request, "driver.mtu").map_or(Ok(1500), |text| parse("driver.mtu", text))?,
        icc: flag("bridge.enable_icc", true)?,
        masquerade: flag("bridge.enable_ip_masquerade", true)?,
        host_binding: binding
            .map_or(Ok(around.config.default_host_address), |text| parse("bridge.host_binding", text))?,
        ipv4_mode: mode("bridge.gateway_mode_ipv4")?,
        ipv6_mode: mode("bridge.gateway_mode_ipv6")?,
        inhibit_ipv4: flag("bridge.inhibit_ipv4", false)?,
    };
    match request.options.get(HOST_FIREWALL).map(String::as_str) {
        None | Some(BYPASS) => {}
        Some(OBEY) if [made.ipv4_mode, made.ipv6_mode].contains(&GatewayMode::Routed) => {
            return Err(Error::Invalid(format!(
                "{HOST_FIREWALL}={OBEY} does not go with gateway mode 'routed': what is routed never comes to the host's \
                 input rules"
            )));
        }
        Some(OBEY) => {}
        Some(other) => {
            return Err(Error::Invalid(format!(
                "invalid value {other:?} for {HOST_FIREWALL}: {OBEY} or {BYPASS}"
            )));
        }
    }
    if !row.internal && [made.ipv4_mode, made.ipv6_mode].contains(&GatewayMode::Isolated) {
        return Err(Error::Invalid(
            "gateway mode 'isolated' can only be used for an internal network".into(),
        ));
    }
    Ok(made)
}

fn define_parent(
    request: &NetworkCreateRequest,
    row: &NetworkRow,
    around: &mut Surroundings<'_>,
) -> Result<Parent> {
    let text = |name: &str| request.options.get(name).cloned().unwrap_or_default();
    let (mode, flag) = (text(&format!("{}_mode", row.driver)), text("ipvlan_flag"));
    sub_interface::kind(&row.driver, &mode, &flag)?;
    let (interface, made) = sub_interface::parent(around.route, &row.id, &row.name, &text("parent"))?;
    let used_by = |row: &&NetworkRow| match &row.medium {
        Some(Medium::Parent(parent)) => parent.interface == interface,
        _ => false,
    };
    // One parent can carry the sub-interfaces of one driver, and of passthru a single one.
    if let Some(other) = around.networks.values().find(used_by) {
        let passthru = |mode: &str| mode == "passthru";
        let others = match &other.medium {
            Some(Medium::Parent(parent)) => passthru(&parent.mode),
            _ => false,
        };
        if other.driver != row.driver || passthru(&mode) || others {
            return Err(Error::Forbidden(format!(
                "network {} is already using parent interface {interface}",
                other.name
            )));
        }
    }
    let mode = match mode.as_str() {
        "" if row.driver == IPVLAN => "l2".to_owned(),
        "" => "bridge".to_owned(),
        _ => mode,
    };
    let mtu = option(request, "driver.mtu").map_or(Ok(0), |text| parse("driver.mtu", text))?;
    let parent = Parent { interface, mode, flag, made, mtu };
    sub_interface::probe(around.route, row, &parent)?;
    Ok(parent)
}

fn configs(request: &NetworkCreateRequest) -> impl Iterator<Item = &IpamConfig> {
    request.ipam.iter().flat_map(|ipam| &ipam.config)
}

/// The network's subnets: those asked for, and one of each family for which none was.
fn pools(
    request: &NetworkCreateRequest,
    row: &NetworkRow,
    medium: &Medium,
    around: &mut Surroundings<'_>,
) -> Result<Vec<Pool>> {
    let interface = match medium {
        Medium::Bridge(bridge) => &bridge.interface,
        Medium::Parent(parent) => &parent.interface,
    };
    let networks = around.networks.values();
    let taken = predefined::taken(around.config, networks, around.route, interface)?;
    let seed = predefined::seed(around.networks.values());
    let mut pools = Vec::new();
    for ipv6 in [false, true] {
        let is_on = if ipv6 { row.enable_ipv6 } else { row.enable_ipv4 };
        let asked: Vec<&IpamConfig> = configs(request).filter(|c| is_ipv6(c) == Some(ipv6)).collect();
        if !is_on {
            continue;
        }
        if row.driver == BRIDGE && asked.len() > 1 {
            return Err(Error::Forbidden("bridge driver doesn't support multiple subnets".into()));
        }
        let before = pools.len();
        for config in asked {
            let subnet = given_subnet(&row.name, &config.subnet, &taken, medium)?;
            let clash = pools.iter().find(|pool: &&Pool| pool.subnet.overlaps(&subnet));
            if let Some(other) = clash {
                return Err(Error::Invalid(format!("subnets {} and {subnet} overlap", other.subnet)));
            }
            pools.push(pool(config, subnet)?);
        }
        if pools.len() == before {
            let no_pool = |clashes: Vec<String>| {
                let taken = clashes.into_iter().take(40).collect::<Vec<_>>().join("; ");
                Error::NoPool { network: row.name.clone(), taken }
            };
            let subnet = choose_subnet(&predefined::pools(around.config, ipv6, &seed), &taken);
            pools.push(pool(&IpamConfig::default(), subnet.map_err(no_pool)?)?);
        }
        let isolated = matches!(medium, Medium::Bridge(bridge) if bridge.mode(ipv6) == GatewayMode::Isolated);
        if isolated {
            pools[before..].iter_mut().for_each(|pool| pool.gateway = None);
        }
    }
    match configs(request).find(|config| is_ipv6(config).is_none()) {
        None => Ok(pools),
        Some(config) if config.subnet.is_empty() => {
            let empty = *config == IpamConfig::default();
            let wrong = "invalid network config: a gateway, range or auxiliary address needs a subnet";
            if empty { Ok(pools) } else { Err(Error::Invalid(wrong.into())) }
        }
        Some(config) => Err(wrong_subnet(&config.subnet)),
    }
}

/// The family of what is asked for; `None` where no subnet says.
fn is_ipv6(config: &IpamConfig) -> Option<bool> {
    config.subnet.parse::<Subnet>().ok().map(|subnet| !subnet.is_ipv4())
}

fn wrong_subnet(text: &str) -> Error {
    Error::Invalid(format!("invalid subnet {text}: a subnet such as 10.1.0.0/24 or fd00:1::/64 is needed"))
}

fn pool(asked: &IpamConfig, subnet: Subnet) -> Result<Pool> {
    let within = |text: &str| -> Result<IpAddr> {
        let address: IpAddr = parse("address", text)?;
        if subnet.contains(address) {
            return Ok(address);
        }
        Err(Error::Invalid(format!(
            "invalid network config: no matching subnet for address {text} ({subnet})"
        )))
    };
    let ip_range: Option<Subnet> =
        if asked.ip_range.is_empty() { None } else { Some(parse("ip-range", &asked.ip_range)?) };
    if let Some(range) = ip_range.filter(|range| !subnet.covers(range)) {
        return Err(Error::Invalid(format!("invalid network config: no matching subnet for range {range}")));
    }
    let auxiliary = asked.auxiliary_addresses.iter().map(|(name, text)| Ok((name.clone(), within(text)?)));
    let auxiliary = auxiliary.collect::<Result<BTreeMap<_, _>>>()?;
    let gateway = if asked.gateway.is_empty() {
        // The first that is nobody's: what is auxiliary is another host's.
        let first = |address: &IpAddr| !auxiliary.values().any(|other| other == address);
        let (first_host, _) = subnet.hosts();
        let candidates = (0..16).map(|n| subnet.at(crate::subnet::number(first_host) + n));
        candidates.into_iter().find(first).unwrap_or(first_host)
    } else {
        within(&asked.gateway)?
    };
    Ok(Pool { gateway: Some(gateway), ip_range, auxiliary, ..Pool::new(subnet) })
}

/// A subnet that was asked for has to be free among Hull's networks. A route of the host's may be wider (a VPN of
/// 10.0.0.0/8 leaves room for a network in it); one as narrow or narrower would lose its traffic to the network.
/// A physical network's subnet is the host's as well, as a rule: only another network of Hull's is in its way.
fn given_subnet(network: &str, text: &str, taken: &[(Subnet, String)], medium: &Medium) -> Result<Subnet> {
    let subnet: Subnet = text.parse().map_err(|_| wrong_subnet(text))?;
    let longest = if subnet.is_ipv4() { 30 } else { 126 };
    if subnet.prefix() > longest || subnet.prefix() == 0 {
        return Err(Error::Invalid(format!(
            "invalid subnet {text}: no room for a gateway and a container, or too wide"
        )));
    }
    let clash = taken.iter().find(|(other, what)| {
        if what.starts_with("network ") {
            return other.overlaps(&subnet);
        }
        matches!(medium, Medium::Bridge(_)) && subnet.covers(other)
    });
    match clash {
        None => Ok(subnet),
        Some((_, what)) => Err(Error::Overlap {
            subnet: subnet.to_string(),
            network: network.to_owned(),
            taken: what.clone(),
        }),
    }
}

fn option<'a>(request: &'a NetworkCreateRequest, name: &str) -> Option<&'a str> {
    request.options.get(&format!("{OPTION}{name}")).map(String::as_str)
}

fn parse<T: FromStr>(name: &str, text: &str) -> Result<T> {
    text.parse().map_err(|_| Error::Invalid(format!("invalid value {text:?} for {name}")))
}

/// As Go reads one.
fn parse_flag(name: &str, text: &str) -> Result<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Error::Invalid(format!("invalid value {text:?} for {name}"))),
    }
}
