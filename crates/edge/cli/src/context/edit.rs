//! `context create`, `update`, `use` and `rm`.

use super::store::{self, Context};
use crate::command::{Action, Arguments, Command, Flag};
use crate::endpoint::{DEFAULT_CONTEXT, context_name, host_variable};
use crate::failure::{Failure, Failures, file_error};
use crate::matches::Matches;
use crate::session::Session;
use crate::streams;
use serde_json::Value;
use std::path::Path;

const DESCRIPTION: Flag = Flag::text("description", "string", "Description of the context");
const DOCKER: Flag = Flag::list("docker", "stringToString", "set the docker endpoint").shown("[]");

pub static CREATE: Command = Command {
    usage: "[OPTIONS] CONTEXT",
    about: "Create a context\n\nDocker endpoint config:\n\nNAME                DESCRIPTION\nfrom                Copy named context's Docker endpoint configuration\nhost                Docker endpoint on which to connect\nca                  Trust certs signed only by this CA\ncert                Path to TLS certificate file\nkey                 Path to TLS key file\nskip-tls-verify     Skip TLS certificate validation\n\nExample:\n\n$ docker context create my-context --description \"some description\" --docker \"host=tcp://myserver:2376,ca=~/ca-file,cert=~/cert-file,key=~/key-file\"",
    names: &[],
    flags: &[DESCRIPTION, DOCKER, Flag::text("from", "string", "create context from a named context")],
    arguments: Arguments::Exactly(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(create(session, matches))),
};

async fn create(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let name = matches.argument(0);
    store::check_name(name)?;
    let config = &session.config().directory;
    if store::exists(config, name) {
        return Err(Failure::new(format!("context {name:?} already exists")));
    }
    let mut context = match matches.text("from") {
        // With nothing said, what flags and environment say now.
        "" if !matches.changed("docker") => {
            Context { name: name.into(), ..super::list::default_context(session) }
        }
        "" => Context::new(name),
        from => {
            let mut context = store::read(config, from)?;
            context.name = name.to_owned();
            context
        }
    };
    context.document["Name"] = name.into();
    apply(config, &mut context, matches)?;
    store::write(config, &context)?;
    streams::print_line(name);
    streams::complain(&format!("Successfully created context {name:?}"));
    Ok(())
}

pub static UPDATE: Command = Command {
    usage: "[OPTIONS] CONTEXT",
    about: "Update a context\n\nDocker endpoint config:\n\nNAME                DESCRIPTION\nfrom                Copy named context's Docker endpoint configuration\nhost                Docker endpoint on which to connect\nca                  Trust certs signed only by this CA\ncert                Path to TLS certificate file\nkey                 Path to TLS key file\nskip-tls-verify     Skip TLS certificate validation\n\nExample:\n\n$ docker context update my-context --description \"some description\" --docker \"host=tcp://myserver:2376,ca=~/ca-file,cert=~/cert-file,key=~/key-file\"",
    names: &[],
    flags: &[DESCRIPTION, DOCKER],
    arguments: Arguments::Exactly(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(update(session, matches))),
};

async fn update(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let name = matches.argument(0);
    store::check_name(name)?;
    let config = &session.config().directory;
    let mut context = store::read(config, name)?;
    apply(config, &mut context, matches)?;
    store::write(config, &context)?;
    streams::print_line(name);
    streams::complain(&format!("Successfully updated context {name:?}"));
    Ok(())
}

/// Takes `--description` and `--docker host=…,ca=…,cert=…,key=…,skip-tls-verify=…,from=…` over.
fn apply(config: &Path, context: &mut Context, matches: &Matches) -> Result<(), Failure> {
    if matches.changed("description") {
        context.document["Metadata"]["Description"] = matches.text("description").into();
    }
    for text in matches.list("docker") {
        for pair in text.split(',') {
            let Some((key, value)) = pair.split_once('=') else {
                return Err(Failure::new(format!(
                    "invalid argument {text:?} for \"--docker\" flag: {pair} must be formatted as key=value"
                )));
            };
            option(config, context, key, value)?;
        }
    }
    Ok(())
}

fn option(config: &Path, context: &mut Context, key: &str, value: &str) -> Result<(), Failure> {
    let name = context.name.clone();
    let endpoint = &mut context.document["Endpoints"]["docker"];
    match key {
        "host" => {
            hull_client::Host::parse(value, false)
                .map_err(|error| Failure::new(format!("unable to create docker endpoint config: {error}")))?;
            endpoint["Host"] = value.into();
        }
        "skip-tls-verify" => {
            let skip = crate::matches::parse_bool(value).ok_or_else(|| {
                Failure::new(format!(
                    "unable to create docker endpoint config: skip-tls-verify: {value:?} is no boolean"
                ))
            })?;
            endpoint["SkipTLSVerify"] = Value::Bool(skip);
        }
        "ca" | "cert" | "key" => {
            let bytes =
                std::fs::read(value).map_err(|error| Failure::new(file_error("open", value, &error)))?;
            store::write_tls(config, &name, &format!("{key}.pem"), &bytes)?;
        }
        "from" if value == DEFAULT_CONTEXT => {
            if let Some(host) = host_variable() {
                endpoint["Host"] = host.into();
            }
        }
        "from" => {
            let other = store::read(config, value)?;
            *endpoint = other.document["Endpoints"]["docker"].clone();
        }
        other => return Err(Failure::new(format!("unrecognized config key: {other}"))),
    }
    Ok(())
}

pub static USE: Command = Command {
    usage: "CONTEXT",
    about: "Set the current docker context",
    names: &[],
    flags: &[],
    arguments: Arguments::Exactly(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(choose(session, matches))),
};

async fn choose(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let name = matches.argument(0);
    let mut config = session.config().clone();
    if name != DEFAULT_CONTEXT {
        store::check_name(name)?;
        store::read(&config.directory, name)?;
    }
    if !config.document.is_object() {
        config.document = serde_json::json!({});
    }
    config.document["currentContext"] = if name == DEFAULT_CONTEXT { "" } else { name }.into();
    config
        .write()
        .map_err(|error| Failure::new(file_error("write", config.directory.join("config.json"), &error)))?;
    streams::print_line(name);
    streams::complain(&format!("Current context is now {name:?}"));
    if name != DEFAULT_CONTEXT
        && let Some(host) = host_variable()
    {
        streams::complain(&format!(
            "Warning: DOCKER_HOST environment variable overrides the active context. To use {name:?}, either set the global --context flag, or unset DOCKER_HOST environment variable ({host})."
        ));
    }
    Ok(())
}

pub static REMOVE: Command = Command {
    usage: "CONTEXT [CONTEXT...]",
    about: "Remove one or more contexts",
    names: &["context rm", "context remove"],
    flags: &[Flag::switch("force", "Force the removal of a context in use").short('f')],
    arguments: Arguments::AtLeast(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(remove(session, matches))),
};

async fn remove(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let config = session.config();
    let current = context_name(&session.globals, config);
    let force = matches.switch("force");
    let mut failures = Failures::new();
    for name in matches.arguments() {
        if name == DEFAULT_CONTEXT {
            failures.push(format!("context {DEFAULT_CONTEXT:?} cannot be removed"));
        } else if !store::exists(&config.directory, name) && !force {
            failures.push(format!("context {name:?} does not exist"));
        } else if *name == current && !force {
            failures.push(format!("context {name:?} is in use, set -f flag to force remove"));
        } else {
            match store::remove(&config.directory, name) {
                Ok(()) => streams::print_line(name),
                Err(failure) => failures.push(failure),
            }
        }
    }
    failures.into_result()
}
