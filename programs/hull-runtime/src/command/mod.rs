//! The OCI runtime's command line, as runc's callers use it.

mod checkpoint;
mod control;
mod create;
mod events;
mod exec;
mod features;
mod list;
mod spec;
mod update;

use crate::arguments::{Arguments, Flag, short, switch, value};
use crate::log::Log;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// What holds for every command.
pub(crate) struct Global {
    pub root: PathBuf,
    pub log: Log,
    pub systemd_cgroup: bool,
    pub rootless: bool,
    pub criu: Option<PathBuf>,
}

/// A command's exit code, or what to say instead.
pub(crate) type Outcome = Result<u8, String>;

type Run = fn(&Global, Vec<OsString>) -> Outcome;

const COMMANDS: [(&str, Run, &str); 17] = [
    ("checkpoint", checkpoint::checkpoint, "write a running container's processes to files"),
    ("create", create::create, "create a container"),
    ("delete", control::delete, "delete any resources held by the container"),
    ("events", events::events, "display container events such as OOM notifications and statistics"),
    ("exec", exec::exec, "execute new process inside the container"),
    ("features", features::features, "show the enabled features"),
    ("kill", control::kill, "send a signal (default: SIGTERM) to the container's init process"),
    ("list", list::list, "list the containers of this root"),
    ("pause", control::pause, "suspend all processes inside the container"),
    ("ps", list::ps, "display the processes running inside a container"),
    ("restore", checkpoint::restore, "make a container of what checkpoint wrote"),
    ("resume", control::resume, "resume all processes that have been paused"),
    ("run", create::run, "create and run a container"),
    ("spec", spec::spec, "create a new specification file"),
    ("start", control::start, "execute the user defined process in a created container"),
    ("state", list::state, "output the state of a container"),
    ("update", update::update, "update container resource constraints"),
];

const GLOBAL: [Flag; 10] = [
    switch("debug"),
    value("log"),
    value("log-format"),
    value("root"),
    value("criu"),
    switch("systemd-cgroup"),
    value("rootless"),
    short("h", switch("help")),
    short("v", switch("version")),
    value("cgroup-manager"),
];

/// Runs a command line without the program's name.
pub(crate) fn run(given: Vec<OsString>) -> ExitCode {
    let parsed = match Arguments::parse(given.clone(), &GLOBAL, true) {
        Ok(parsed) => parsed,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    if parsed.is_set("version") {
        say!("hull-runtime version {}", env!("CARGO_PKG_VERSION"));
        say!("spec: {}", hull_types::oci::runtime::VERSION);
        return ExitCode::SUCCESS;
    }
    let Some((name, run)) = parsed.words.first().and_then(|word| find(word)) else {
        return help(parsed.words.first().filter(|word| *word != "help"));
    };
    let rest = given.len() - (parsed.words.len() - 1);
    if let Some(format) = parsed.get("log-format").filter(|format| !matches!(*format, "text" | "json")) {
        eprintln!("invalid log-format: {format}");
        return ExitCode::FAILURE;
    }
    let rootless = match parsed.get("rootless") {
        None | Some("auto") => hull_oci_runtime::is_rootless(),
        Some(given @ ("true" | "false")) => given == "true",
        Some(other) => {
            eprintln!("invalid rootless: {other}: auto, true and false are known");
            return ExitCode::FAILURE;
        }
    };
    let global = Global {
        root: parsed.get("root").map_or_else(|| default_root(rootless), PathBuf::from),
        log: Log {
            path: parsed.get("log").map(PathBuf::from),
            json: parsed.get("log-format") == Some("json"),
        },
        systemd_cgroup: parsed.is_set("systemd-cgroup"),
        rootless,
        criu: parsed.get("criu").map(PathBuf::from),
    };
    if matches!(name, "create" | "run" | "exec" | "restore") {
        crate::seal::run_sealed();
    }
    let outcome = run(&global, given.into_iter().skip(rest).collect());
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(message) => {
            global.log.error(&message);
            // exec's own failures are told from its program's.
            if name == "exec" { ExitCode::from(255) } else { ExitCode::FAILURE }
        }
    }
}

/// Where state is kept when nobody says it.
fn default_root(rootless: bool) -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR").filter(|directory| rootless && !directory.is_empty()) {
        Some(directory) => PathBuf::from(directory).join("hull-runtime"),
        None => PathBuf::from("/run/hull/runtime"),
    }
}

fn find(word: &str) -> Option<(&'static str, Run)> {
    COMMANDS.iter().find(|(name, ..)| *name == word).map(|(name, run, _)| (*name, *run))
}

fn help(unknown: Option<&String>) -> ExitCode {
    if let Some(word) = unknown {
        eprintln!("No help topic for '{word}'");
        return ExitCode::from(3);
    }
    say!("Usage: hull-runtime [global options] command [command options] [arguments]\n\nCommands:");
    for (name, _, about) in COMMANDS {
        say!("  {name:<10}{about}");
    }
    say!("  {:<10}stand beside a container (started by the engine)", "shim");
    say!("  {:<10}be the first process of a container: reap, and forward signals", "init");
    say!("\nGlobal options:\n  --root DIR           where state is kept (default \"/run/hull/runtime\")");
    say!("  --log FILE           where errors are logged, beside standard error");
    say!("  --log-format FORMAT  text or json\n  --debug, --systemd-cgroup, --version");
    ExitCode::SUCCESS
}

/// Any error as what a person reads.
pub(crate) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
