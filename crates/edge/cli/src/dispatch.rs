//! From words to a command: global flags, the way through the groups, what to say of mistakes.

use crate::command::{Action, Command, Entry, Flag, FlagKind};
use crate::config::ConfigFile;
use crate::failure::Failure;
use crate::matches::{Matches, Stop, Words, count_error, parse_bool, read};
use crate::session::Globals;
use crate::{help, root};
use hull_dockerfile::nearest;

/// What a command line asks for.
#[derive(Debug)]
pub enum Plan {
    /// To say this, and end well.
    Print(String),
    /// To say this on standard error, and end well.
    Complain(String),
    /// To run this.
    Run(Box<(Globals, Matches)>),
    /// To hand over to another program of this name, with these words.
    Plugin(Box<(Globals, String, Vec<String>)>),
}

const FLAG_ERROR: i32 = 125;

/// The flags before the command.
pub const GLOBAL_FLAGS: &[Flag] = &[
    Flag::text("config", "string", "Location of client config files").shown("{config}"),
    Flag::text(
        "context",
        "string",
        "Name of the context to use to connect to the daemon (overrides DOCKER_HOST env var and default context set with \"docker context use\")",
    )
    .short('c'),
    Flag::switch("debug", "Enable debug mode").short('D'),
    Flag::list("host", "list", "Daemon socket to connect to").short('H'),
    Flag::text("log-level", "string", "Set the logging level (\"debug\", \"info\", \"warn\", \"error\", \"fatal\")")
        .short('l')
        .default("info"),
    Flag::switch("tls", "Use TLS; implied by --tlsverify"),
    Flag::text("tlscacert", "string", "Trust certs signed only by this CA").shown("{config}/ca.pem"),
    Flag::text("tlscert", "string", "Path to TLS certificate file").shown("{config}/cert.pem"),
    Flag::text("tlskey", "string", "Path to TLS key file").shown("{config}/key.pem"),
    Flag::switch("tlsverify", "Use TLS and verify the remote"),
    Flag::switch("version", "Print version information and quit").short('v'),
];

/// Reads `words`, those after the program's name.
pub fn plan(program: &str, words: &[String]) -> Result<Plan, Failure> {
    let (found, wants_help) = match read(GLOBAL_FLAGS, false, words) {
        Ok(found) => (found, false),
        Err(Stop::Help { short }) => {
            if short {
                crate::streams::complain("Flag shorthand -h has been deprecated, use --help");
            }
            let rest: Vec<_> =
                words.iter().filter(|word| !matches!(word.as_str(), "--help" | "-h")).cloned().collect();
            (read(GLOBAL_FLAGS, false, &rest).map_err(|stop| root_error(program, stop))?, true)
        }
        Err(stop) => return Err(root_error(program, stop)),
    };
    let globals = globals_of(&found);
    let (Some(first), rest) = (found.arguments.first(), found.arguments.get(1..).unwrap_or_default()) else {
        let version = found.given.iter().any(|(at, _)| GLOBAL_FLAGS[*at].name == "version");
        if wants_help || version {
            let text = if wants_help { root_help(program, &globals) } else { version_line(program) };
            return Ok(Plan::Print(text));
        }
        return Ok(Plan::Complain(root_help(program, &globals)));
    };
    if wants_help || first == "help" {
        let path = if wants_help { &found.arguments[..] } else { rest };
        return help_for(program, &globals, path).map(Plan::Print);
    }
    check_level(&found)?;
    let Some(entry) = root::entries().find(|entry| entry.answers_to(first)) else {
        if crate::plugin::find(&globals, first).is_some() {
            return Ok(Plan::Plugin(Box::new((globals, first.clone(), words.to_vec()))));
        }
        if let Some(what) = crate::absent::needs(first) {
            let text =
                format!("{program}: '{program} {first}' is not available yet: Hull has no {what} so far");
            return Err(Failure::new(text));
        }
        let text = format!(
            "{program}: unknown command: {program} {first}\n\nRun '{program} --help' for more information"
        );
        return Err(Failure::new(text));
    };
    descend(program, globals, &format!("{program} {}", entry.name), entry.command, rest)
}

fn descend(
    program: &str,
    mut globals: Globals,
    path: &str,
    command: &'static Command,
    words: &[String],
) -> Result<Plan, Failure> {
    if let Action::Group(entries) = command.action {
        let found = match read(command.flags, false, words) {
            Ok(found) => found,
            Err(stop) => return stopped(path, command, stop),
        };
        choose_builder(&mut globals, command.flags, &found);
        let Some(first) = found.arguments.first() else {
            // Nothing was asked for: the help is a complaint.
            return Ok(Plan::Complain(help::command(path, command)));
        };
        let Some(entry) = entries.iter().find(|entry| entry.answers_to(first)) else {
            let text = format!(
                "{program}: unknown command: {path} {first}\n\nUsage:  {path}\n\nRun '{path} --help' for more information"
            );
            return Err(Failure::new(text));
        };
        return descend(
            program,
            globals,
            &format!("{path} {}", entry.name),
            entry.command,
            &found.arguments[1..],
        );
    }
    let found = match read(command.flags, command.interspersed, words) {
        Ok(found) => found,
        Err(stop) => return stopped(path, command, stop),
    };
    choose_builder(&mut globals, command.flags, &found);
    for note in &found.notes {
        crate::streams::print_line(note);
    }
    if let Some((why, see)) = count_error(command.arguments, found.arguments.len()) {
        let usage = help::usage_line(path, command);
        let text = format!(
            "{program}: '{path}' {why}\n\nUsage:  {usage}\n\n{see} '{path} --help' for more information"
        );
        return Err(Failure::new(text));
    }
    let name = path.split_once(' ').map_or("", |(_, rest)| rest);
    Ok(Plan::Run(Box::new((globals, Matches::new(name, command, found)))))
}

/// Notes which builder a command is for, if it is for one.
fn choose_builder(globals: &mut Globals, flags: &[Flag], found: &Words) {
    if flags.iter().any(|flag| flag.name == "builder") {
        let given = found.given.iter().rfind(|(at, _)| flags[*at].name == "builder");
        let name = given.map(|(_, name)| name.clone());
        globals.builder = name.or(globals.builder.take()).or(Some(String::new()));
    }
}

fn stopped(path: &str, command: &Command, stop: Stop) -> Result<Plan, Failure> {
    match stop {
        Stop::Help { short } => {
            if short {
                crate::streams::print_line("Flag shorthand -h has been deprecated, use --help");
            }
            Ok(Plan::Print(help::command(path, command)))
        }
        Stop::Flag(why) => {
            let usage = help::usage_line(path, command);
            let why = format!("{why}{}", near_flag(command, &why));
            let text = format!("{why}\n\nUsage:  {usage}\n\nRun '{path} --help' for more information");
            Err(Failure::new(text).with_code(FLAG_ERROR))
        }
    }
}

/// For the commands that build: the flag that an unknown one is nearly. Docker's own commands say no more than Docker.
fn near_flag(command: &Command, why: &str) -> String {
    let builds = command.flags.iter().any(|flag| flag.name == "builder");
    let Some(name) = why.strip_prefix("unknown flag: --").filter(|_| builds) else { return String::new() };
    let known = command.flags.iter().filter(|flag| !flag.hidden).map(|flag| flag.name);
    nearest(name, known).map(|near| format!(" (did you mean --{near}?)")).unwrap_or_default()
}

fn root_error(program: &str, stop: Stop) -> Failure {
    let Stop::Flag(why) = stop else { return Failure::silent(0) };
    let text = format!(
        "{why}\n\nUsage:  {program} [OPTIONS] COMMAND [ARG...]\n\nRun '{program} --help' for more information"
    );
    Failure::new(text).with_code(FLAG_ERROR)
}

fn help_for(program: &str, globals: &Globals, words: &[String]) -> Result<String, Failure> {
    let names: Vec<_> = words.iter().take_while(|word| !word.starts_with('-')).collect();
    if names.is_empty() {
        return Ok(root_help(program, globals));
    }
    let unknown = || Failure::new(format!("unknown help topic: {}", words.join(" ")));
    let mut path = program.to_owned();
    let mut found: Option<&'static Command> = None;
    for name in names {
        let entry: &Entry = match found.map(|command| &command.action) {
            None => root::entries().find(|entry| entry.answers_to(name)).ok_or_else(unknown)?,
            Some(Action::Group(entries)) => {
                entries.iter().find(|entry| entry.answers_to(name)).ok_or_else(unknown)?
            }
            Some(Action::Run(_)) => return Err(Failure::new(format!("unknown help topic: {name}"))),
        };
        path = format!("{path} {}", entry.name);
        found = Some(entry.command);
    }
    found.map(|command| help::command(&path, command)).ok_or_else(unknown)
}

fn root_help(program: &str, globals: &Globals) -> String {
    let config = ConfigFile::directory(&globals.config).display().to_string();
    help::root(program, root::entries(), GLOBAL_FLAGS, &config)
}

fn version_line(program: &str) -> String {
    let name = if program == "docker" { "Docker (Hull)" } else { "Hull" };
    format!(
        "{name} version {}, build {}\n",
        env!("CARGO_PKG_VERSION"),
        option_env!("HULL_BUILD").unwrap_or("unknown")
    )
}

fn check_level(found: &Words) -> Result<(), Failure> {
    let level = found.given.iter().rfind(|(at, _)| GLOBAL_FLAGS[*at].name == "log-level");
    match level {
        Some((_, level))
            if !matches!(
                level.as_str(),
                "trace" | "debug" | "info" | "warn" | "warning" | "error" | "fatal" | "panic"
            ) =>
        {
            Err(Failure::new(format!("Unable to parse logging level: {level}")))
        }
        _ => Ok(()),
    }
}

fn globals_of(found: &Words) -> Globals {
    let mut globals = Globals::default();
    for (at, value) in &found.given {
        debug_assert!(GLOBAL_FLAGS[*at].kind != FlagKind::Switch || parse_bool(value).is_some());
        let on = parse_bool(value).unwrap_or(false);
        match GLOBAL_FLAGS[*at].name {
            "config" => globals.config = value.clone(),
            "context" => globals.context = value.clone(),
            "debug" => globals.debug = on,
            "host" => globals.hosts.push(value.clone()),
            "tls" => globals.tls = on,
            "tlscacert" => globals.tls_ca = value.clone(),
            "tlscert" => globals.tls_certificate = value.clone(),
            "tlskey" => globals.tls_key = value.clone(),
            "tlsverify" => globals.tls_verify = Some(on),
            _ => {}
        }
    }
    globals
}
