//! Commands of the group `volume`.

mod transfer;

use crate::command::{Action, Arguments, Command, Entry, Flag, Running, Section};
use crate::failure::{Failure, Failures};
use crate::format::Listing;
use crate::list;
use crate::matches::Matches;
use crate::session::Session;
use crate::{check, streams};
use hull_api_types::{Volume, VolumeCreateOptions, VolumeListResponse, VolumesPruneResponse};
use hull_client::Method;
use serde_json::{Value, json};

/// The group's commands, those right under the program's name included.
pub const COMMANDS: &[Entry] = &[Entry::new("volume", &GROUP).section(Section::Management)];

static GROUP: Command = Command {
    usage: "COMMAND",
    about: "Manage volumes",
    names: &[],
    flags: &[],
    arguments: Arguments::Any,
    interspersed: true,
    action: Action::Group(&[
        Entry::new("clone", &transfer::CLONE),
        Entry::new("create", &CREATE),
        Entry::new("export", &transfer::EXPORT),
        Entry::new("import", &transfer::IMPORT),
        Entry::new("inspect", &INSPECT),
        Entry::new("ls", &LIST).aliases(&["list"]),
        Entry::new("prune", &PRUNE),
        Entry::new("rename", &transfer::RENAME),
        Entry::new("rm", &REMOVE).aliases(&["remove"]),
    ]),
};

static CREATE: Command = Command {
    usage: "[OPTIONS] [VOLUME]",
    about: "Create a volume",
    names: &[],
    flags: &[
        Flag::text("driver", "string", "Specify volume driver name").short('d').default("local"),
        Flag::list("label", "list", "Set metadata for a volume"),
        Flag::text("name", "string", "Specify volume name").hidden(),
        Flag::list("opt", "map", "Set driver specific options").short('o').shown("map[]"),
    ],
    arguments: Arguments::AtMost(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(create(session, matches))),
};

async fn create(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let flag = matches.text("name");
    if !flag.is_empty() && !matches.arguments().is_empty() {
        return Err(
            "conflicting options: cannot specify a volume-name through both --name and as a positional arg"
                .into(),
        );
    }
    let request = VolumeCreateOptions {
        name: if flag.is_empty() { matches.argument(0) } else { flag }.to_owned(),
        driver: matches.text("driver").to_owned(),
        driver_opts: list::pairs(&matches.list("opt")),
        labels: list::pairs(&matches.list("label")),
    };
    let client = session.client().await?;
    let volume: Volume = client.request(Method::POST, "/volumes/create").json(&request).fetch().await?;
    streams::print_line(&volume.name);
    Ok(())
}

static INSPECT: Command = Command {
    usage: "[OPTIONS] VOLUME [VOLUME...]",
    about: "Display detailed information on one or more volumes",
    names: &[],
    flags: &[list::INSPECT_FLAG],
    arguments: Arguments::AtLeast(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(inspect(session, matches))),
};

async fn inspect(session: &Session, matches: &Matches) -> Result<(), Failure> {
    crate::system::inspect::each(session, matches, async |client, name| {
        client.request(Method::GET, &format!("/volumes/{name}")).fetch().await
    })
    .await
}

static LIST: Command = Command {
    usage: "[OPTIONS]",
    about: "List volumes",
    names: &["volume ls", "volume list"],
    flags: &[
        Flag::switch("cluster", "Display only cluster volumes, and use cluster volume list formatting"),
        Flag::list("filter", "filter", "Provide filter values (e.g. \"dangling=true\")")
            .short('f')
            .check(check::filter),
        list::LIST_FLAG,
        Flag::switch("quiet", "Only display volume names").short('q'),
    ],
    arguments: Arguments::None,
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(list(session, matches))),
};

const LISTING: Listing<'static> = Listing {
    headings: &[
        ("Name", "VOLUME NAME"),
        ("Driver", "DRIVER"),
        ("Scope", "SCOPE"),
        ("Mountpoint", "MOUNTPOINT"),
        ("Labels", "LABELS"),
        ("Links", "LINKS"),
        ("Size", "SIZE"),
        ("Group", "GROUP"),
        ("Availability", "AVAILABILITY"),
        ("Status", "STATUS"),
    ],
    columns: &["Driver", "Name"],
};

fn row(volume: &Volume) -> Value {
    let usage = volume.usage_data.clone();
    json!({
        "Availability": "N/A",
        "Driver": volume.driver,
        "Group": "N/A",
        "Labels": list::labels(volume.labels.iter().flatten()),
        "Links": usage.as_ref().map_or("N/A".into(), |usage| usage.ref_count.to_string()),
        "Mountpoint": volume.mountpoint,
        "Name": volume.name,
        "Scope": volume.scope,
        "Size": usage.map_or("N/A".into(), |usage| hull_types::size::decimal(usage.size as f64)),
        "Status": "N/A",
    })
}

async fn list(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let client = session.client().await?;
    let filters = check::filters(&matches.list("filter"));
    let call = client.request(Method::GET, "/volumes").query(|query| {
        query.filters(&filters);
    });
    let mut volumes = call.fetch::<VolumeListResponse>().await?.volumes;
    volumes.sort_by(|a, b| crate::order::natural(&a.name, &b.name));
    let rows: Vec<Value> = volumes.iter().map(row).collect();
    crate::list::print(session, matches, "volumesFormat", "Name", LISTING, &rows)
}

static PRUNE: Command = Command {
    usage: "[OPTIONS]",
    about: "Remove unused local volumes",
    names: &[],
    flags: &[
        Flag::switch("all", "Remove all unused volumes, not just anonymous ones").short('a'),
        Flag::list("filter", "filter", "Provide filter values (e.g. \"label=<label>\")").check(check::filter),
        Flag::switch("force", "Do not prompt for confirmation").short('f'),
    ],
    arguments: Arguments::None,
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(prune(session, matches))),
};

async fn prune(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let kind = if matches.switch("all") { "" } else { "anonymous " };
    let warning = format!(
        "WARNING! This will remove {kind}local volumes not used by at least one container.\nAre you sure you want to continue?"
    );
    if !matches.switch("force") && !streams::confirm(&warning) {
        return Err(Failure::new("volume prune has been cancelled"));
    }
    let mut filters = check::filters(&matches.list("filter"));
    if matches.switch("all") {
        filters.insert("all".into(), vec!["true".into()]);
    }
    let (removed, reclaimed) = prune_volumes(session, &filters).await?;
    streams::print(&report("Deleted Volumes:", &removed));
    streams::print_line(&format!("Total reclaimed space: {}", hull_types::size::decimal(reclaimed as f64)));
    Ok(())
}

/// Prunes; the names of what went, and how many bytes.
pub async fn prune_volumes(
    session: &Session,
    filters: &hull_api_types::Filters,
) -> Result<(Vec<String>, u64), Failure> {
    let client = session.client().await?;
    let call = client.request(Method::POST, "/volumes/prune").query(|query| {
        query.filters(filters);
    });
    let pruned: VolumesPruneResponse = call.fetch().await?;
    Ok((pruned.volumes_deleted.unwrap_or_default(), pruned.space_reclaimed))
}

/// A title, a line each and a blank one; nothing for nothing.
pub fn report(title: &str, lines: &[String]) -> String {
    if lines.is_empty() { String::new() } else { format!("{title}\n{}\n\n", lines.join("\n")) }
}

static REMOVE: Command = Command {
    usage: "[OPTIONS] VOLUME [VOLUME...]",
    about: "Remove one or more volumes. You cannot remove a volume that is in use by a container.",
    names: &["volume rm", "volume remove"],
    flags: &[Flag::switch("force", "Force the removal of one or more volumes").short('f')],
    arguments: Arguments::AtLeast(1),
    interspersed: true,
    action: Action::Run(remove),
};

fn remove<'a>(session: &'a Session, matches: &'a Matches) -> Running<'a> {
    Box::pin(async move {
        let client = session.client().await?;
        let force = matches.switch("force");
        let mut failures = Failures::new();
        for name in matches.arguments() {
            let call = client.request(Method::DELETE, &format!("/volumes/{name}")).query(|query| {
                query.flag("force", force);
            });
            match call.done().await {
                Ok(()) => streams::print_line(name),
                Err(error) => failures.push(error),
            }
        }
        failures.into_result()
    })
}
