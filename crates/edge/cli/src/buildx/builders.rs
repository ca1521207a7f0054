//! `buildx ls`, `inspect`, `create`, `use` …: builders, which are names for engines.

use super::BUILDER;
use super::store::{self, Builder, Builders};
use crate::build::fields;
use crate::command::{Action, Arguments, Command, Flag, FlagKind};
use crate::context;
use crate::endpoint::{self, DEFAULT_CONTEXT};
use crate::failure::{Failure, Failures};
use crate::matches::Matches;
use crate::session::{Globals, Session};
use crate::{streams, table};
use hull_client::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;

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
    about: "Create a new builder instance: a name for an engine, which builds itself",
    names: &[],
    flags: &[
        Flag::switch("append", "Append a node to builder instead of changing it"),
        Flag::switch("bootstrap", "Boot builder after creation"),
        BUILDER,
        Flag::text("buildkitd-config", "string", "BuildKit daemon config file"),
        Flag::text("buildkitd-flags", "string", "BuildKit daemon flags"),
        Flag::alias("config", "buildkitd-config", FlagKind::Text),
        Flag::text("driver", "string", "Driver to use (available: \"docker\", \"docker-container\")"),
        Flag::list("driver-opt", "stringArray", "Options for the driver"),
        Flag::switch("leave", "Remove a node from builder instead of changing it"),
        Flag::text("name", "string", "Builder instance name"),
        Flag::text("node", "string", "Create/modify node with given name"),
        Flag::list("platform", "stringArray", "Fixed platforms for current node"),
        Flag::switch("use", "Set the current builder instance"),
    ],
    arguments: Arguments::AtMost(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(create(session, matches))),
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
    action: Action::Run(|session, matches| Box::pin(async { meant(session, matches).map(drop) })),
};

/// What `inspect` and `ls` call the driver of a builder that was created.
const DRIVER: &str = "hull";
/// Drivers that may be asked for: the engine does what they do.
const DRIVERS: [&str; 3] = ["docker", "docker-container", DRIVER];

/// All builders: those created, then the contexts.
fn all(session: &Session) -> Result<Vec<Builder>, Failure> {
    let config = &session.config().directory;
    let mut found: Vec<Builder> = Builders::read(config)?.builders.into_values().collect();
    found.push(store::of_context(DEFAULT_CONTEXT));
    let contexts = context::all(config)?;
    for context in contexts.iter().filter(|context| context.name != DEFAULT_CONTEXT) {
        if !found.iter().any(|known| known.name == context.name) {
            found.push(store::of_context(&context.name));
        }
    }
    Ok(found)
}

fn is_created(session: &Session, builder: &Builder) -> Result<bool, Failure> {
    Ok(Builders::read(&session.config().directory)?.builders.contains_key(&builder.name))
}

/// The builder of the first argument, of `--builder`, or the current one.
fn meant(session: &Session, matches: &Matches) -> Result<Builder, Failure> {
    let named = match matches.argument(0) {
        "" => session.globals.builder.as_deref().unwrap_or_default(),
        name => name,
    };
    store::meant(&session.globals, session.config(), named)
}

/// What an engine says of itself: its version, the platforms it builds for.
struct Node {
    version: String,
    platforms: Vec<String>,
}

async fn node(session: &Session, builder: &Builder) -> Result<Node, Failure> {
    let globals = Globals { builder: None, ..store::globals_for(&session.globals, builder) };
    let session = Session::new(session.program, globals);
    let client = session.client().await?;
    let version: Value = client.request(Method::GET, "/version").fetch().await?;
    let word = |key: &str| version.get(key).and_then(Value::as_str).unwrap_or_default();
    let platforms = vec![format!("{}/{}", word("Os"), word("Arch"))];
    Ok(Node { version: word("Version").to_owned(), platforms })
}

/// The platforms that were named for a builder, marked, before those that its engine has.
fn platforms(builder: &Builder, node: &Node) -> Vec<String> {
    let named = builder.platforms.iter().map(|name| format!("{name}*"));
    named.chain(node.platforms.iter().filter(|name| !builder.platforms.contains(name)).cloned()).collect()
}

/// A node's name: an engine is a builder's only node.
fn node_name(builder: &Builder, created: bool) -> String {
    if created { format!("{}0", builder.name) } else { builder.name.clone() }
}

async fn list(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let current = store::meant(&session.globals, session.config(), "")?;
    let (format, mut rows, mut failures) = (matches.text("format"), Vec::new(), Vec::new());
    let mut text = "NAME/NODE\tDRIVER/ENDPOINT\tSTATUS\tBUILDKIT\tPLATFORMS\n".to_owned();
    for builder in all(session)? {
        let (name, place) = (&builder.name, &builder.endpoint);
        let created = is_created(session, &builder)?;
        let is_current = *name == current.name;
        let star = if is_current { "*" } else { "" };
        // Others are not connected to: one that is away would hold up the list.
        let near = is_current || *place == current.endpoint || place.starts_with("unix://");
        let found = if near { Some(node(session, &builder).await) } else { None };
        let (status, version, platforms) = match &found {
            Some(Ok(node)) => ("running", node.version.as_str(), platforms(&builder, node)),
            Some(Err(failure)) => {
                failures.push(format!("Cannot load builder {name}: {}", failure.message));
                ("error", "", Vec::new())
            }
            None => ("", "", Vec::new()),
        };
        let driver = if created { DRIVER } else { &builder.driver };
        let node = node_name(&builder, created);
        text.push_str(&format!("{name}{star}\t{driver}\t\t\t\n"));
        text.push_str(&format!(" \\_ {node}\t \\_ {place}\t{status}\t{version}\t{}\n", platforms.join(", ")));
        rows.push(json!({
            "Name": name, "Driver": driver, "Current": is_current, "Dynamic": false,
            "Nodes": [{
                "Name": node, "Endpoint": place, "Status": status, "Version": version, "Platforms": platforms,
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
    failures.iter().for_each(|failure| streams::complain(failure));
    Ok(())
}

async fn inspect(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let builder = meant(session, matches)?;
    let created = is_created(session, &builder)?;
    let driver = if created { DRIVER } else { &builder.driver };
    let (name, place, node_name) = (&builder.name, &builder.endpoint, node_name(&builder, created));
    let mut text =
        format!("Name:\t{name}\nDriver:\t{driver}\n\nNodes:\nName:\t{node_name}\nEndpoint:\t{place}\n");
    if !builder.options.is_empty() {
        let options = builder.options.iter().map(|(key, value)| format!("{key}={value:?}"));
        text.push_str(&format!("Driver Options:\t{}\n", options.collect::<Vec<_>>().join(" ")));
    }
    let found = node(session, &builder).await;
    match &found {
        Ok(node) => {
            text.push_str("Status:\trunning\n");
            if !builder.flags.is_empty() {
                text.push_str(&format!("BuildKit daemon flags:\t{}\n", builder.flags));
            }
            let platforms = platforms(&builder, node).join(", ");
            text.push_str(&format!("BuildKit version:\t{}\nPlatforms:\t{platforms}\n", node.version));
        }
        Err(failure) => text.push_str(&format!("Error:\t{}\n", failure.message)),
    }
    streams::print(&table::layout_with(&text, 0, 1));
    match found {
        Err(failure) if matches.switch("bootstrap") => Err(failure.context("ERROR: builder is not running")),
        _ => Ok(()),
    }
}

async fn create(session: &Session, matches: &Matches) -> Result<(), Failure> {
    for name in ["append", "leave", "node"] {
        if matches.changed(name) {
            return Err(Failure::new(format!(
                "ERROR: --{name} is not available: an engine is its builder's only node, create a builder for each engine"
            )));
        }
    }
    let driver = matches.text("driver");
    if !driver.is_empty() && !DRIVERS.contains(&driver) {
        return Err(Failure::new(format!(
            "ERROR: the driver {driver:?} is not available: Hull's engine builds itself, docker and docker-container stand \
             for that"
        )));
    }
    let config = session.config();
    let mut all = Builders::read(&config.directory)?;
    let name = match matches.text("name") {
        "" => generated_name(),
        name => name.to_owned(),
    };
    check_name(&name)?;
    if all.builders.contains_key(&name) {
        return Err(Failure::new(format!(
            "ERROR: existing instance for {name:?} but no append mode, specify the node name to make changes for existing \
             instances"
        )));
    }
    let engine = store::engine(&session.globals, config);
    let endpoint = match matches.argument(0) {
        "" => engine.clone(),
        DEFAULT_CONTEXT => DEFAULT_CONTEXT.to_owned(),
        address if address.contains("://") => address.to_owned(),
        name if context::all(&config.directory)?.iter().any(|context| context.name == name) => {
            name.to_owned()
        }
        other => {
            let text = format!(
                "ERROR: {other:?} is neither a context nor an engine's address (unix://, tcp://, ssh://)"
            );
            return Err(Failure::new(text));
        }
    };
    let options = options(&matches.list("driver-opt"))?;
    let meaningless =
        options.keys().filter(|key| key.as_str() != "default-load").map(|key| format!("driver option {key}"));
    let flags = ["buildkitd-flags", "buildkitd-config"].into_iter().filter(|flag| matches.changed(flag));
    for what in meaningless.chain(flags.map(|flag| format!("--{flag}"))) {
        streams::complain(&format!(
            "WARNING: {what} is noted, but has no meaning: no BuildKit daemon is started"
        ));
    }
    let platforms =
        matches.list("platform").iter().flat_map(|list| list.split(',')).map(str::to_owned).collect();
    let builder = Builder {
        name: name.clone(),
        endpoint,
        driver: driver.to_owned(),
        options,
        flags: matches.text("buildkitd-flags").to_owned(),
        platforms,
    };
    if matches.switch("bootstrap") {
        node(session, &builder).await.map_err(|failure| failure.context("ERROR: builder is not running"))?;
    }
    all.builders.insert(name.clone(), builder);
    if matches.switch("use") {
        all.choose(&engine, false, Some(&name));
    }
    all.write(&config.directory)?;
    streams::print_line(&name);
    Ok(())
}

fn generated_name() -> String {
    use ring::rand::SecureRandom;
    let mut bytes = [0; 4];
    // Without chance the name is one that may be taken, which is told of.
    let _ = ring::rand::SystemRandom::new().fill(&mut bytes);
    format!("builder-{:08x}", u32::from_le_bytes(bytes))
}

/// `key=value,…`.
fn options(list: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let mut options = BTreeMap::new();
    for text in list {
        for field in fields(text) {
            let (key, value) = field
                .split_once('=')
                .ok_or_else(|| Failure::new(format!("ERROR: invalid value {field:?}, expecting k=v")))?;
            options.insert(key.to_owned(), value.to_owned());
        }
    }
    Ok(options)
}

fn check_name(name: &str) -> Result<(), Failure> {
    if name == DEFAULT_CONTEXT {
        let text = "ERROR: default is a reserved name and cannot be used to identify builder instance";
        return Err(Failure::new(text));
    }
    let rest = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if name.as_bytes().first().is_some_and(u8::is_ascii_alphabetic) && name.bytes().all(rest) {
        return Ok(());
    }
    Err(Failure::new(format!(
        "ERROR: invalid builder instance name {name:?}, a name needs to start with a letter and may not contain symbols, except ._-"
    )))
}

async fn choose(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let config = session.config();
    let mut all = Builders::read(&config.directory)?;
    let (engine, name) = (store::engine(&session.globals, config), matches.argument(0));
    let current = endpoint::context_name(&session.globals, config);
    if all.builders.contains_key(name) {
        all.choose(&engine, matches.switch("global"), Some(name));
    } else if name == DEFAULT_CONTEXT || name == current {
        if name != current {
            return Err(Failure::new(
                "ERROR: run `docker context use default` to switch to default context".to_owned(),
            ));
        }
        all.choose(&engine, false, None);
    } else {
        // One that is not there is told of as such.
        store::meant(&session.globals, config, name)?;
        let text = format!("ERROR: run `docker context use {name}` to switch to context {name:?}");
        return Err(Failure::new(text));
    }
    all.write(&config.directory)
}

async fn remove(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let config = session.config();
    let mut all = Builders::read(&config.directory)?;
    let mut names = matches.arguments().to_vec();
    if matches.switch("all-inactive") {
        let question = "WARNING! This will remove all builders that are not in running state. Are you sure you want to continue?";
        if !matches.switch("force") && !streams::confirm(question) {
            return Ok(());
        }
        for builder in all.builders.values() {
            if node(session, builder).await.is_err() {
                names.push(builder.name.clone());
            }
        }
    } else if names.is_empty() {
        names.push(meant(session, matches)?.name);
    }
    let mut failures = Failures::new();
    for name in names {
        if all.remove(&name) {
            streams::print_line(&format!("{name} removed"));
            continue;
        }
        failures.push(match store::meant(&session.globals, config, &name) {
            Ok(_) => Failure::new(format!(
                "ERROR: context builder cannot be removed, run `docker context rm {name}` to remove this context"
            )),
            Err(missing) => missing,
        });
    }
    all.write(&config.directory)?;
    failures.into_result()
}
