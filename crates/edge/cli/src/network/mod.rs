//! Commands of the group `network`.

mod create;
mod endpoint;
mod ports;

use crate::command::{Action, Arguments, Command, Entry, Flag, Section};
use crate::failure::{Failure, Failures};
use crate::format::Listing;
use crate::list;
use crate::matches::Matches;
use crate::session::Session;
use crate::{check, streams};
use hull_api_types::{Network, NetworksPruneResponse};
use hull_client::Method;
use serde_json::{Value, json};

/// The group's commands, those right under the program's name included.
pub const COMMANDS: &[Entry] =
    &[Entry::new("network", &GROUP).section(Section::Management), Entry::new("ports", &ports::PORTS)];

static GROUP: Command = Command {
    usage: "COMMAND",
    about: "Manage networks",
    names: &[],
    flags: &[],
    arguments: Arguments::Any,
    interspersed: true,
    action: Action::Group(&[
        Entry::new("connect", &endpoint::CONNECT),
        Entry::new("create", &create::CREATE),
        Entry::new("disconnect", &endpoint::DISCONNECT),
        Entry::new("inspect", &INSPECT),
        Entry::new("ls", &LIST).aliases(&["list"]),
        Entry::new("prune", &PRUNE),
        Entry::new("rm", &REMOVE).aliases(&["remove"]),
    ]),
};

static INSPECT: Command = Command {
    usage: "[OPTIONS] NETWORK [NETWORK...]",
    about: "Display detailed information on one or more networks",
    names: &[],
    flags: &[list::INSPECT_FLAG, Flag::switch("verbose", "Verbose output for diagnostics").short('v')],
    arguments: Arguments::AtLeast(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(inspect(session, matches))),
};

async fn inspect(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let verbose = matches.switch("verbose");
    crate::system::inspect::each(session, matches, async |client, name| {
        let call = client.request(Method::GET, &format!("/networks/{name}"));
        call.query(|query| {
            query.flag("verbose", verbose);
        })
        .fetch()
        .await
    })
    .await
}

static LIST: Command = Command {
    usage: "[OPTIONS]",
    about: "List networks",
    names: &["network ls", "network list"],
    flags: &[
        Flag::list("filter", "filter", "Provide filter values (e.g. \"driver=bridge\")")
            .short('f')
            .check(check::filter),
        list::LIST_FLAG,
        Flag::switch("no-trunc", "Do not truncate the output"),
        Flag::switch("quiet", "Only display network IDs").short('q'),
    ],
    arguments: Arguments::None,
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(list(session, matches))),
};

const LISTING: Listing<'static> = Listing {
    headings: &[
        ("CreatedAt", "CREATED AT"),
        ("Driver", "DRIVER"),
        ("ID", "NETWORK ID"),
        ("IPv4", "IPV4"),
        ("IPv6", "IPV6"),
        ("Internal", "INTERNAL"),
        ("Labels", "LABELS"),
        ("Name", "NAME"),
        ("Scope", "SCOPE"),
    ],
    columns: &["ID", "Name", "Driver", "Scope"],
};

async fn list(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let client = session.client().await?;
    let filters = check::filters(&matches.list("filter"));
    let call = client.request(Method::GET, "/networks").query(|query| {
        query.filters(&filters);
    });
    let mut networks: Vec<Network> = call.fetch().await?;
    networks.sort_by(|a, b| crate::order::natural(&a.name, &b.name));
    let whole = matches.switch("no-trunc");
    let row = |network: &Network| -> Value {
        json!({
            "CreatedAt": crate::duration::go_timestamp(network.created),
            "Driver": network.driver,
            "ID": if whole { &network.id } else { hull_types::short_id(&network.id) },
            "IPv4": network.enable_ipv4.to_string(),
            "IPv6": network.enable_ipv6.to_string(),
            "Internal": network.internal.to_string(),
            "Labels": list::labels(&network.labels),
            "Name": network.name,
            "Scope": network.scope,
        })
    };
    let rows: Vec<Value> = networks.iter().map(row).collect();
    crate::list::print(session, matches, "networksFormat", "ID", LISTING, &rows)
}

static PRUNE: Command = Command {
    usage: "[OPTIONS]",
    about: "Remove all unused networks",
    names: &[],
    flags: &[
        Flag::list("filter", "filter", "Provide filter values (e.g. \"until=<timestamp>\")")
            .check(check::filter),
        Flag::switch("force", "Do not prompt for confirmation").short('f'),
    ],
    arguments: Arguments::None,
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(prune(session, matches))),
};

async fn prune(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let warning = "WARNING! This will remove all custom networks not used by at least one container.\nAre you sure you want to continue?";
    if !matches.switch("force") && !streams::confirm(warning) {
        return Err(Failure::new("network prune has been cancelled"));
    }
    let removed = prune_networks(session, &check::filters(&matches.list("filter"))).await?;
    streams::print(&crate::volume::report("Deleted Networks:", &removed));
    Ok(())
}

/// Prunes; the names of what went.
pub async fn prune_networks(
    session: &Session,
    filters: &hull_api_types::Filters,
) -> Result<Vec<String>, Failure> {
    let client = session.client().await?;
    let call = client.request(Method::POST, "/networks/prune").query(|query| {
        query.filters(filters);
    });
    Ok(call.fetch::<NetworksPruneResponse>().await?.networks_deleted.unwrap_or_default())
}

static REMOVE: Command = Command {
    usage: "NETWORK [NETWORK...]",
    about: "Remove one or more networks",
    names: &["network rm", "network remove"],
    flags: &[Flag::switch("force", "Do not error if the network does not exist").short('f')],
    arguments: Arguments::AtLeast(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(remove(session, matches))),
};

async fn remove(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let client = session.client().await?;
    let mut failures = Failures::new();
    for name in matches.arguments() {
        match client.request(Method::DELETE, &format!("/networks/{name}")).done().await {
            Ok(()) => streams::print_line(name),
            Err(error) if matches.switch("force") && error.is_not_found() => {}
            Err(error) => failures.push(error),
        }
    }
    failures.into_result()
}
