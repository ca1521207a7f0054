//! `ports`: what containers expose, and to whom. A command of Hull's own; it works with any engine.

use crate::command::{Action, Arguments, Command, Flag};
use crate::failure::Failure;
use crate::format::Listing;
use crate::list;
use crate::matches::Matches;
use crate::session::Session;
use crate::streams;
use hull_api_types::{ContainerSummary, Port, SystemInfo};
use hull_client::Method;
use serde_json::{Value, json};
use std::net::IpAddr;

pub static PORTS: Command = Command {
    usage: "[OPTIONS]",
    about: "List what running containers expose, and to whom",
    names: &[],
    flags: &[
        Flag::switch("all", "Show ports that only other containers reach, too").short('a'),
        list::LIST_FLAG,
        Flag::switch("quiet", "Only display host addresses").short('q'),
    ],
    arguments: Arguments::None,
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(ports(session, matches))),
};

const LISTING: Listing<'static> = Listing {
    headings: &[("Container", "CONTAINER"), ("Host", "HOST"), ("Port", "PORT"), ("Reach", "REACH")],
    columns: &["Host", "Container", "Port", "Reach"],
};

async fn ports(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let client = session.client().await?;
    let containers: Vec<ContainerSummary> = client.request(Method::GET, "/containers/json").fetch().await?;
    let info: SystemInfo = client.request(Method::GET, "/info").fetch().await?;
    let all = matches.switch("all");
    let mut rows: Vec<Row> = containers.iter().flat_map(rows_of).collect();
    rows.retain(|row| all || row.reach != Reach::Networks);
    rows.sort();
    let rows: Vec<Value> = rows.iter().map(Row::to_json).collect();
    list::print(session, matches, "portsFormat", "Host", LISTING, &rows)?;
    for chain in droppers(&info) {
        streams::complain(&format!(
            "WARNING: the {chain} drops what is forwarded unless a rule there accepts it: it may keep everybody but this \
             host from published ports, and containers from the outside"
        ));
    }
    Ok(())
}

/// The chains of others that bar what is forwarded, as the engine tells them; Docker's says nothing of this.
fn droppers(info: &SystemInfo) -> impl Iterator<Item = &String> {
    let pairs = info.firewall_backend.iter().flat_map(|firewall| &firewall.info);
    pairs.filter(|[name, _]| name == "ForwardDroppedBy").map(|[_, chain]| chain)
}

/// Who gets through; the widest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    /// Whoever reaches the host at that address.
    World,
    /// Whom the host's own input rules let in.
    Allowed,
    /// Programs of the host.
    Host,
    /// Containers of the same networks.
    Networks,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    reach: Reach,
    host_port: u16,
    host: String,
    container: String,
    port: String,
}

impl Row {
    fn to_json(&self) -> Value {
        let reach = match self.reach {
            Reach::World => "world",
            Reach::Allowed => "by the host's input rules",
            Reach::Host => "this host",
            Reach::Networks => "its networks",
        };
        json!({ "Host": self.host, "Container": self.container, "Port": self.port, "Reach": reach })
    }
}

fn rows_of(container: &ContainerSummary) -> Vec<Row> {
    let name = container.names.first().map(|name| name.trim_start_matches('/')).unwrap_or_default();
    let mut rows: Vec<Row> = container.ports.iter().map(|port| row(name, port)).collect();
    if container.host_config.network_mode == "host" {
        // Whatever its programs listen on.
        let (host, port) = ("*".to_owned(), "*".to_owned());
        rows = vec![Row { reach: Reach::Allowed, host_port: 0, host, container: name.to_owned(), port }];
    }
    rows
}

fn row(container: &str, port: &Port) -> Row {
    let reach = match port.ip.parse::<IpAddr>() {
        _ if port.public_port == 0 => Reach::Networks,
        Ok(address) if address.is_loopback() => Reach::Host,
        _ if port.obeys_host_firewall => Reach::Allowed,
        _ => Reach::World,
    };
    let host = match port.public_port {
        0 => String::new(),
        number if port.ip.contains(':') => format!("[{}]:{number}", port.ip),
        number => format!("{}:{number}", port.ip),
    };
    Row {
        reach,
        host_port: port.public_port,
        host,
        container: container.to_owned(),
        port: format!("{}/{}", port.private_port, port.kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_told_with_who_gets_through() {
        let port = |ip: &str, public_port| {
            let (ip, kind) = (ip.into(), "tcp".into());
            Port { ip, private_port: 80, public_port, kind, ..Port::default() }
        };
        let mut container = ContainerSummary {
            names: vec!["/web".into()],
            ports: vec![
                port("0.0.0.0", 8080),
                port("::", 8080),
                port("127.0.0.1", 81),
                port("::1", 82),
                port("", 0),
            ],
            ..ContainerSummary::default()
        };
        let shown = |container: &ContainerSummary| -> Vec<String> {
            let text = |row: Row| {
                let value = row.to_json();
                format!("{} {} {}", value["Host"], value["Port"], value["Reach"]).replace('"', "")
            };
            rows_of(container).into_iter().map(text).collect()
        };
        assert_eq!(
            shown(&container),
            [
                "0.0.0.0:8080 80/tcp world",
                "[::]:8080 80/tcp world",
                "127.0.0.1:81 80/tcp this host",
                "[::1]:82 80/tcp this host",
                " 80/tcp its networks"
            ]
        );
        container.ports[0].obeys_host_firewall = true;
        container.ports[2].obeys_host_firewall = true;
        assert_eq!(shown(&container)[0], "0.0.0.0:8080 80/tcp by the host's input rules");
        assert_eq!(shown(&container)[1], "[::]:8080 80/tcp world", "chosen by port");
        assert_eq!(shown(&container)[2], "127.0.0.1:81 80/tcp this host");
        container.host_config.network_mode = "host".into();
        assert_eq!(shown(&container), ["* * by the host's input rules"]);
    }
}
