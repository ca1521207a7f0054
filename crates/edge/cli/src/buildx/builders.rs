//! `buildx ls`, `inspect`, `use` …: builders, which are docker's contexts.

use super::BUILDER;
use crate::command::{Action, Arguments, Command, Flag};
use crate::context;
use crate::endpoint::{self, DEFAULT_CONTEXT};
use crate::failure::Failure;
use crate::matches::Matches;
use crate::session::Session;
use crate::{streams, table};
use hull_client::Method;
use serde_json::{Value, json};

pub static LIST: Command = Command {
    usage: "",
    about: "List builder instances",
    names: &[],
    flags: &[
        BUILDER,
        Flag::text("format", "string", "Format the output").default("table"),
        Flag::switch("no-trunc", "Don't truncate output"),
    ],
    arguments: Arguments::None,
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(list(session, matches))),
};

pub static INSPECT: Command = Command {
    usage: "[NAME]",
    about: "Inspect current builder instance",
    names: &[],
    flags: &[Flag::switch("bootstrap", "Ensure builder has booted before inspecting"), BUILDER],
    arguments: Arguments::AtMost(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(inspect(session, matches))),
};

pub static USE: Command = Command {
    usage: "[OPTIONS] NAME",
    about: "Set the current builder instance",
    names: &[],
    flags: &[
        BUILDER,
        Flag::switch("default", "Set builder as default for current context"),
        Flag::switch("global", "Builder persists context changes"),
    ],
    arguments: Arguments::Exactly(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(choose(session, matches))),
};

pub static CREATE: Command = Command {
    usage: "[OPTIONS] [CONTEXT|ENDPOINT]",
    about: "Create a new builder instance (an engine is its only builder)",
    names: &[],
    flags: &[
        Flag::switch("append", "Append a node to builder instead of changing it"),
        Flag::switch("bootstrap", "Boot builder after creation"),
        BUILDER,
        Flag::text("buildkitd-config", "string", "BuildKit daemon config file"),
        Flag::text("buildkitd-flags", "string", "BuildKit daemon flags"),
        Flag::text("driver", "string", "Driver to use"),
        Flag::list("driver-opt", "stringArray", "Options for the driver"),
        Flag::switch("leave", "Remove a node from builder instead of changing it"),
        Flag::text("name", "string", "Builder instance name"),
        Flag::text("node", "string", "Create/modify node with given name"),
        Flag::list("platform", "stringArray", "Fixed platforms for current node"),
        Flag::switch("use", "Set the current builder instance"),
    ],
    arguments: Arguments::AtMost(1),
    interspersed: true,
    action: Action::Run(|_, _| {
        Box::pin(async {
            Err(Failure::new(
                "ERROR: an engine is its own and only builder, there is none to create: leave --builder out, or add \
                 another engine with 'docker context create' and name it with --builder",
            ))
        })
    }),
};

pub static REMOVE: Command = Command {
    usage: "[OPTIONS] [NAME...]",
    about: "Remove one or more builder instances",
    names: &[],
    flags: &[
        Flag::switch("all-inactive", "Remove all inactive builders"),
        BUILDER,
        Flag::switch("force", "Do not prompt for confirmation").short('f'),
        Flag::switch("keep-daemon", "Keep the BuildKit daemon running"),
        Flag::switch("keep-state", "Keep BuildKit state"),
        Flag::text("timeout", "duration", "Override the default timeout").hidden(),
    ],
    arguments: Arguments::Any,
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(remove(session, matches))),
};

pub static STOP: Command = Command {
    usage: "[NAME]",
    about: "Stop builder instance",
    names: &[],
    flags: &[BUILDER],
    arguments: Arguments::AtMost(1),
    interspersed: true,
    // An engine does not stop for it; buildx says nothing of its own engines' builders either.
    action: Action::Run(|session, matches| Box::pin(async { known(session, matches.argument(0)).map(drop) })),
};

/// The names of all builders and where they are, the default one first.
fn all(session: &Session) -> Result<Vec<(String, String)>, Failure> {
    let mut found = vec![(DEFAULT_CONTEXT.to_owned(), DEFAULT_CONTEXT.to_owned())];
    let contexts = context::all(&session.config().directory)?;
    found.extend(contexts.into_iter().map(|context| (context.name.clone(), context.name)));
    Ok(found)
}

fn known(session: &Session, name: &str) -> Result<(String, String), Failure> {
    let current = endpoint::context_name(&session.globals, session.config());
    let name = if name.is_empty() { &current } else { name };
    let mut all = all(session)?.into_iter();
    all.find(|(known, _)| known == name).ok_or_else(|| missing(name))
}

fn missing(name: &str) -> Failure {
    Failure::new(format!("ERROR: no builder {name:?} found"))
}

/// What the current engine says of itself: its version, the platforms it builds for.
struct Node {
    version: String,
    platforms: Vec<String>,
}

async fn node(session: &Session) -> Result<Node, Failure> {
    let client = session.client().await?;
    let version: Value = client.request(Method::GET, "/version").fetch().await?;
    let word = |key: &str| version.get(key).and_then(Value::as_str).unwrap_or_default();
    let platforms = vec![format!("{}/{}", word("Os"), word("Arch"))];
    Ok(Node { version: word("Version").to_owned(), platforms })
}

async fn list(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let current = endpoint::context_name(&session.globals, session.config());
    let (format, mut rows) = (matches.text("format"), Vec::new());
    let mut text = "NAME/NODE\tDRIVER/ENDPOINT\tSTATUS\tBUILDKIT\tPLATFORMS\n".to_owned();
    for (name, place) in all(session)? {
        let is_current = name == current;
        let star = if is_current { "*" } else { "" };
        // Others are not connected to: one that is away would hold up the list.
        let found = if is_current { Some(node(session).await) } else { None };
        let (status, version, platforms) = match &found {
            Some(Ok(node)) => ("running", node.version.as_str(), node.platforms.join(", ")),
            Some(Err(_)) => ("error", "", String::new()),
            None => ("", "", String::new()),
        };
        text.push_str(&format!("{name}{star}\tdocker\t\t\t\n"));
        text.push_str(&format!(" \\_ {name}\t \\_ {place}\t{status}\t{version}\t{platforms}\n"));
        rows.push(json!({
            "Name": name, "Driver": "docker", "Current": is_current, "Dynamic": false,
            "Nodes": [{
                "Name": name, "Endpoint": place, "Status": status, "Version": version,
                "Platforms": platforms.split(", ").filter(|text| !text.is_empty()).collect::<Vec<_>>(),
            }],
        }));
    }
    match format {
        "" | "table" => streams::print(&table::layout_with(&text, 10, 3)),
        "json" => rows.iter().for_each(|row| streams::print_line(&row.to_string())),
        template => {
            for row in &rows {
                streams::print_line(&crate::format::one(template, row)?);
            }
        }
    }
    Ok(())
}

async fn inspect(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let (name, place) = known(session, matches.argument(0))?;
    let mut text = format!("Name:\t{name}\nDriver:\tdocker\n\nNodes:\nName:\t{name}\nEndpoint:\t{place}\n");
    if name == endpoint::context_name(&session.globals, session.config()) {
        match node(session).await {
            Ok(node) => {
                let (version, platforms) = (node.version, node.platforms.join(", "));
                text.push_str("Status:\trunning\n");
                text.push_str(&format!("BuildKit version:\t{version}\nPlatforms:\t{platforms}\n"));
            }
            Err(failure) => text.push_str(&format!("Error:\t{}\n", failure.message)),
        }
    }
    streams::print(&table::layout_with(&text, 0, 1));
    Ok(())
}

async fn choose(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let name = matches.argument(0);
    let (name, _) = known(session, name)?;
    match name == endpoint::context_name(&session.globals, session.config()) {
        true => Ok(()),
        false => {
            Err(Failure::new(format!("ERROR: run `docker context use {name}` to switch to context {name:?}")))
        }
    }
}

async fn remove(session: &Session, matches: &Matches) -> Result<(), Failure> {
    if let Some(name) = matches.arguments().first() {
        let (name, _) = known(session, name)?;
        return Err(Failure::new(format!(
            "ERROR: context builder cannot be removed, run `docker context rm {name}` to remove this context"
        )));
    }
    Ok(())
}
