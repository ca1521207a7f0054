//! `context ls`, `inspect` and `show`.

use super::store::{self, Context};
use crate::command::{Action, Arguments, Command, Flag};
use crate::endpoint::{DEFAULT_CONTEXT, DEFAULT_SOCKET, context_id, context_name, host_variable};
use crate::failure::Failure;
use crate::format::{self, Listing};
use crate::matches::Matches;
use crate::session::Session;
use crate::{list, streams};
use serde_json::{Value, json};

pub static LIST: Command = Command {
    usage: "[OPTIONS]",
    about: "List contexts",
    names: &["context ls", "context list"],
    flags: &[list::LIST_FLAG, Flag::switch("quiet", "Only show context names").short('q')],
    arguments: Arguments::None,
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(contexts(session, matches))),
};

const LISTING: Listing<'static> = Listing {
    headings: &[
        ("Current", ""),
        ("Description", "DESCRIPTION"),
        ("DockerEndpoint", "DOCKER ENDPOINT"),
        ("Error", "ERROR"),
        ("Name", "NAME"),
        ("Marked", "NAME"),
    ],
    columns: &["Marked", "Description", "DockerEndpoint", "Error"],
};

/// The context that stands for flags and environment.
pub(super) fn default_context(session: &Session) -> Context {
    let mut context = Context::new(DEFAULT_CONTEXT);
    let given = session.globals.hosts.first().cloned().or_else(host_variable);
    context.document["Metadata"]["Description"] = "Current DOCKER_HOST based configuration".into();
    context.document["Endpoints"]["docker"]["Host"] =
        given.unwrap_or_else(|| format!("unix://{DEFAULT_SOCKET}")).into();
    context
}

async fn contexts(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let config = session.config();
    let current = context_name(&session.globals, config);
    let mut all = vec![default_context(session)];
    all.extend(store::all(&config.directory)?);
    let mut missing = !all.iter().any(|context| context.name == current);
    let mut rows = Vec::new();
    for context in &all {
        rows.push(row(&context.name, context.description(), context.host(), "", context.name == current));
    }
    if std::mem::take(&mut missing) {
        rows.push(row(&current, "", "", "context not found", true));
    }
    list::print(session, matches, "", "Name", LISTING, &rows)
}

fn row(name: &str, description: &str, host: &str, error: &str, current: bool) -> Value {
    json!({
        "Current": current,
        "Description": description,
        "DockerEndpoint": host,
        "Error": error,
        "Marked": if current { format!("{name} *") } else { name.to_owned() },
        "Name": name,
    })
}

pub static INSPECT: Command = Command {
    usage: "[OPTIONS] [CONTEXT] [CONTEXT...]",
    about: "Display detailed information on one or more contexts",
    names: &[],
    flags: &[list::INSPECT_FLAG],
    arguments: Arguments::Any,
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(inspect(session, matches))),
};

async fn inspect(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let config = session.config();
    let current = context_name(&session.globals, config);
    let names = match matches.arguments() {
        [] => vec![current],
        given => given.to_vec(),
    };
    let (mut documents, mut failure) = (Vec::new(), Ok(()));
    for name in &names {
        match document(session, name) {
            Ok(document) => documents.push(document),
            Err(error) => {
                failure = Err(error);
                break;
            }
        }
    }
    streams::print(&format::documents(matches.text("format"), &documents)?);
    failure
}

fn document(session: &Session, name: &str) -> Result<Value, Failure> {
    let config = &session.config().directory;
    if name == DEFAULT_CONTEXT {
        let mut document = default_context(session).document;
        document["Metadata"] = json!({});
        document["TLSMaterial"] = json!({});
        document["Storage"] = json!({"MetadataPath": "<IN MEMORY>", "TLSPath": "<IN MEMORY>"});
        return Ok(document);
    }
    let mut document = store::read(config, name)?.document;
    let tls = store::tls_directory(config, name);
    let files = |directory: std::path::PathBuf| -> Vec<String> {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    };
    let material = files(tls.join("docker"));
    document["TLSMaterial"] = if material.is_empty() { json!({}) } else { json!({"docker": material}) };
    let meta = config.join("contexts/meta").join(context_id(name));
    document["Storage"] = json!({"MetadataPath": meta, "TLSPath": tls});
    Ok(document)
}

pub static SHOW: Command = Command {
    usage: "",
    about: "Print the name of the current context",
    names: &[],
    flags: &[],
    arguments: Arguments::None,
    interspersed: true,
    action: Action::Run(|session, _| {
        Box::pin(async move {
            streams::print_line(&context_name(&session.globals, session.config()));
            Ok(())
        })
    }),
};
