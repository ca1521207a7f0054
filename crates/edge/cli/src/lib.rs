//! The command line of Docker, for any engine that speaks its API.
//!
//! ```text
//!   words ── dispatch ── table of commands (root, command) ── matches ── a command's function(session, matches)
//!              │ help                                                       │ session: config, endpoint → client
//!              └ failure: message and exit code                             └ streams, terminal, format, table, progress
//! ```
//!
//! A group of commands is a module with a list `COMMANDS` of [`command::Entry`]s, named in [`root`]; a command is a
//! static [`command::Command`] and a function. Tables are constants and everything else is made when first asked
//! for, so that a run costs a millisecond besides the engine's answers.
//!
//! Invariants: the text of help and of mistakes is Docker's with the program's own name, its exit codes too (125
//! for wrong flags, 1 for wrong arguments, a container's own from `run`). Must not know: how the engine works; what
//! isn't in the API isn't here.

pub mod absent;
pub mod amount;
mod bake;
mod build;
mod buildx;
pub mod check;
pub mod command;
pub mod config;
pub mod container;
pub mod context;
pub mod credentials;
pub mod detach;
pub mod dispatch;
pub mod duration;
pub mod endpoint;
pub mod engine_start;
pub mod failure;
pub mod format;
pub mod help;
pub mod image;
pub mod list;
mod manifest;
pub mod matches;
pub mod network;
pub mod order;
pub mod plugin;
mod plugin_role;
pub mod progress;
pub mod registry;
pub mod root;
pub mod session;
pub mod signals;
pub mod streams;
pub mod system;
pub mod table;
pub mod terminal;
pub mod volume;

use command::Action;
use dispatch::Plan;
use failure::Failure;
use session::Session;
use std::ffi::OsString;

/// Runs the program; `args` begins with its name. Returns the exit code.
pub fn main(args: Vec<OsString>) -> i32 {
    let mut words = args.iter().map(|word| word.to_string_lossy().into_owned());
    let name = words.next().unwrap_or_default();
    // Under Docker's name it speaks as Docker: scripts match on that.
    let docker = matches!(name.rsplit('/').next(), Some("docker" | "docker-buildx"));
    let program = if docker { "docker" } else { "hull" };
    let mut words: Vec<_> = words.collect();
    let is_plugin = plugin_role::is_name(&name);
    if is_plugin {
        if let Some(answer) = plugin_role::answer(&words) {
            streams::print(&answer);
            return 0;
        }
        words = plugin_role::words(words);
    }
    let result = match dispatch::plan(program, &words) {
        Ok(Plan::Print(text)) => {
            streams::print(&text);
            Ok(())
        }
        Ok(Plan::Complain(text)) => {
            streams::complain(text.trim_end_matches('\n'));
            Ok(())
        }
        Ok(Plan::Plugin(plan)) => {
            let (globals, name, words) = *plan;
            Err(plugin::become_plugin(&Session::new(program, globals), &name, &words))
        }
        Ok(Plan::Run(plan)) => {
            let (mut globals, matches) = *plan;
            if is_plugin {
                plugin_role::complete_globals(&mut globals);
            }
            run(&Session::new(program, globals), &matches)
        }
        Err(failure) => Err(failure),
    };
    let Err(failure) = result else { return 0 };
    if !failure.message.is_empty() {
        streams::complain(&failure.message);
    }
    failure.code
}

fn run(session: &Session, matches: &matches::Matches) -> Result<(), Failure> {
    let Action::Run(run) = matches.command().action else { return Ok(()) };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start the runtime: {error}")))?;
    let result = runtime.block_on(async {
        tokio::select! {
            result = run(session, matches) => result,
            failure = plugin_role::called_off() => Err(failure),
        }
    });
    // A thread may still be waiting for standard input; nobody waits for it.
    runtime.shutdown_background();
    result
}
