//! `network connect` and `network disconnect`.

use crate::command::{Action, Arguments, Command, Flag};
use crate::failure::Failure;
use crate::matches::Matches;
use crate::session::Session;
use crate::{check, list};
use hull_api_types::{EndpointIpamConfig, EndpointSettings, NetworkConnectRequest, NetworkDisconnectRequest};
use hull_client::Method;

pub static CONNECT: Command = Command {
    usage: "[OPTIONS] NETWORK CONTAINER",
    about: "Connect a container to a network",
    names: &[],
    flags: &[
        Flag::list("alias", "strings", "Add network-scoped alias for the container"),
        Flag::list("driver-opt", "strings", "driver options for the network"),
        Flag::text(
            "gw-priority",
            "int",
            "Highest gw-priority provides the default gateway. Accepts positive and negative values.",
        )
        .check(check::integer),
        Flag::text("ip", "string", "IPv4 address (e.g., \"172.30.100.104\")"),
        Flag::text("ip6", "string", "IPv6 address (e.g., \"2001:db8::33\")"),
        Flag::list("link", "list", "Add link to another container"),
        Flag::list("link-local-ip", "strings", "Add a link-local address for the container"),
    ],
    arguments: Arguments::Exactly(2),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(connect(session, matches))),
};

fn some(list: Vec<String>) -> Option<Vec<String>> {
    (!list.is_empty()).then_some(list)
}

async fn connect(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let (ip, ip6, local) = (matches.text("ip"), matches.text("ip6"), matches.list("link-local-ip"));
    let ipam =
        EndpointIpamConfig { ipv4_address: ip.into(), ipv6_address: ip6.into(), link_local_ips: local };
    let options = list::pairs(&matches.list("driver-opt"));
    let request = NetworkConnectRequest {
        container: matches.argument(1).to_owned(),
        endpoint_config: Some(EndpointSettings {
            ipam_config: (ipam != EndpointIpamConfig::default()).then_some(ipam),
            links: some(matches.list("link")),
            aliases: some(matches.list("alias")),
            driver_opts: (!options.is_empty()).then_some(options),
            gw_priority: matches.integer("gw-priority"),
            ..EndpointSettings::default()
        }),
    };
    let client = session.client().await?;
    let path = format!("/networks/{}/connect", matches.argument(0));
    Ok(client.request(Method::POST, &path).json(&request).done().await?)
}

pub static DISCONNECT: Command = Command {
    usage: "[OPTIONS] NETWORK CONTAINER",
    about: "Disconnect a container from a network",
    names: &[],
    flags: &[Flag::switch("force", "Force the container to disconnect from a network").short('f')],
    arguments: Arguments::Exactly(2),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(disconnect(session, matches))),
};

async fn disconnect(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let request = NetworkDisconnectRequest {
        container: matches.argument(1).to_owned(),
        force: matches.switch("force"),
    };
    let client = session.client().await?;
    let path = format!("/networks/{}/disconnect", matches.argument(0));
    Ok(client.request(Method::POST, &path).json(&request).done().await?)
}
