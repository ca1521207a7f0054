//! `inspect` of anything, and what the groups' own `inspect`s share.

use crate::command::{Action, Arguments, Command, Flag};
use crate::failure::Failure;
use crate::matches::Matches;
use crate::session::Session;
use crate::{format, list, streams};
use hull_client::{Client, Error, Method};
use serde_json::Value;

/// The command.
pub static INSPECT: Command = Command {
    usage: "[OPTIONS] NAME|ID [NAME|ID...]",
    about: "Return low-level information on Docker objects",
    names: &[],
    flags: &[
        list::INSPECT_FLAG,
        Flag::switch("size", "Display total file sizes if the type is container").short('s'),
        Flag::text("type", "string", "Only inspect objects of the given type"),
    ],
    arguments: Arguments::AtLeast(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(inspect(session, matches))),
};

/// The kinds of object that a name may be of, in the order they are tried.
const KINDS: [(&str, &str, &str); 9] = [
    ("container", "/containers/", "/json"),
    ("image", "/images/", "/json"),
    ("network", "/networks/", ""),
    ("volume", "/volumes/", ""),
    ("service", "/services/", ""),
    ("task", "/tasks/", ""),
    ("node", "/nodes/", ""),
    ("plugin", "/plugins/", "/json"),
    ("secret", "/secrets/", ""),
];

/// Inspects every argument by `find` and prints what was found, then what wasn't.
pub async fn each(
    session: &Session,
    matches: &Matches,
    find: impl AsyncFn(&Client, &str) -> Result<Value, Error>,
) -> Result<(), Failure> {
    let format = matches.text("format");
    check(format)?;
    let client = session.client().await?;
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for name in matches.arguments() {
        match find(client, name).await {
            Ok(document) => found.push(document),
            Err(error) => failures.push(error.to_string()),
        }
    }
    finish(format, &found, failures)
}

/// A template that is none is told of before the engine is asked.
fn check(format: &str) -> Result<(), Failure> {
    match format {
        "" | "json" => Ok(()),
        text => format::parse_documents(text).map(drop),
    }
}

fn finish(format: &str, found: &[Value], failures: Vec<String>) -> Result<(), Failure> {
    // A template's failure comes first, as the documents were there to be shown.
    streams::print(&format::documents(format, found)?);
    if failures.is_empty() { Ok(()) } else { Err(Failure::new(failures.join("\n"))) }
}

async fn inspect(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let (format, kind, size) = (matches.text("format"), matches.text("type"), matches.switch("size"));
    check(format)?;
    if matches.changed("type") && !KINDS.iter().any(|(name, ..)| *name == kind) {
        return Err(match kind {
            "" => Failure::new(
                "type is empty: must be one of \"config\", \"container\", \"image\", \"network\", \"node\", \"plugin\", \"secret\", \"service\", \"task\", \"volume\"",
            ),
            _ => Failure::new(format!(
                "unknown type: {kind:?}: must be one of \"config\", \"container\", \"image\", \"network\", \"node\", \"plugin\", \"secret\", \"service\", \"task\", \"volume\""
            )),
        });
    }
    let client = session.client().await?;
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for name in matches.arguments() {
        match lookup(client, kind, name, size).await {
            Ok(Some(document)) => found.push(document),
            Ok(None) => failures.push(format!("error: no such object: {name}")),
            Err(error) => failures.push(error.to_string()),
        }
    }
    finish(format, &found, failures)
}

/// The first kind that has the name; with a kind given, only that one's answer counts.
async fn lookup(client: &Client, wanted: &str, name: &str, size: bool) -> Result<Option<Value>, Error> {
    for (kind, before, after) in KINDS {
        if !wanted.is_empty() && kind != wanted {
            continue;
        }
        let call = client.request(Method::GET, &format!("{before}{name}{after}")).query(|query| {
            query.flag("size", size && kind == "container");
        });
        match call.fetch().await {
            Ok(document) => return Ok(Some(document)),
            Err(error) if wanted.is_empty() && absent(&error, kind) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Whether the answer means that no object of this kind has the name: not found, or an engine without such objects.
fn absent(error: &Error, kind: &str) -> bool {
    let foreign = matches!(kind, "service" | "task" | "node" | "plugin" | "secret");
    error.is_not_found()
        || (foreign && error.status().is_some_and(|status| matches!(status, 400 | 406 | 500..)))
}
