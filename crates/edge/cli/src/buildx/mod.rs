//! `buildx`: docker's name for all about builds, here and as docker's plugin (`docker-buildx`).
//!
//! A builder is an engine: docker's contexts are builders, and `create` makes further names for engines, kept by this
//! client ([`store`]). There is nothing to start or stop.

mod builders;
mod disk_usage;
mod history;
pub mod store;

pub use disk_usage::{DISK_USAGE, print_records, print_verbose, records};

use crate::bake::BAKE;
use crate::build::{BUILD, PRUNE};
use crate::command::{Action, Arguments, Command, Entry, Flag, Section};
use crate::failure::Failure;
use crate::manifest::IMAGE_TOOLS;
use crate::matches::Matches;
use crate::session::Session;
use crate::{plugin_role, streams};

pub const COMMANDS: &[Entry] = &[
    Entry::new("bake", &BAKE).section(Section::Common(5)),
    Entry::new("buildx", &BUILDX).section(Section::Management),
];

/// `--builder`, which every command here has.
pub const BUILDER: Flag = Flag::text("builder", "string", "Override the configured builder instance");

static BUILDX: Command = Command {
    usage: "COMMAND",
    about: "Extended build capabilities, served by Hull",
    names: &[],
    flags: &[BUILDER],
    arguments: Arguments::Any,
    interspersed: true,
    action: Action::Group(&[
        Entry::new("bake", &BAKE).aliases(&["f"]),
        Entry::new("build", &BUILD).aliases(&["b"]),
        Entry::new("create", &builders::CREATE),
        Entry::new("debug", &DEBUG),
        Entry::new("dial-stdio", &DIAL),
        Entry::new("du", &DISK_USAGE),
        Entry::new("history", &history::HISTORY),
        Entry::new("imagetools", &IMAGE_TOOLS),
        Entry::new("inspect", &builders::INSPECT),
        Entry::new("install", &INSTALL),
        Entry::new("ls", &builders::LIST),
        Entry::new("prune", &PRUNE),
        Entry::new("rm", &builders::REMOVE),
        Entry::new("stop", &builders::STOP),
        Entry::new("uninstall", &INSTALL),
        Entry::new("use", &builders::USE),
        Entry::new("version", &VERSION),
    ]),
};

static DEBUG: Command = Command {
    usage: "COMMAND",
    about: "Start debugger: build --debug, which opens a shell in what a failed step left",
    names: &[],
    flags: &[BUILDER],
    arguments: Arguments::Any,
    interspersed: true,
    action: Action::Group(&[Entry::new("build", &BUILD)]),
};

static DIAL: Command = Command {
    usage: "",
    about: "Proxy current stdio streams to builder instance",
    names: &[],
    flags: &[BUILDER, Flag::text("platform", "string", "Target platform: this is used for node selection")],
    arguments: Arguments::None,
    interspersed: true,
    action: Action::Run(|_, _| {
        Box::pin(async {
            Err(Failure::new(
                "ERROR: Hull's builder does not speak BuildKit's protocol: `docker system dial-stdio` connects to the \
                 engine, whose API builds",
            ))
        })
    }),
};

static VERSION: Command = Command {
    usage: "",
    about: "Show buildx version information",
    names: &[],
    flags: &[],
    arguments: Arguments::None,
    interspersed: true,
    action: Action::Run(|_, _| {
        Box::pin(async {
            let build = option_env!("HULL_BUILD").unwrap_or("unknown");
            streams::print_line(&format!("hull/buildx {} {build}", plugin_role::VERSION));
            Ok(())
        })
    }),
};

static INSTALL: Command = Command {
    usage: "",
    about: "Say how docker finds this plugin",
    names: &[],
    flags: &[],
    arguments: Arguments::None,
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(install(session, matches))),
};

async fn install(_: &Session, matches: &Matches) -> Result<(), Failure> {
    match matches.path.ends_with("uninstall") {
        true => streams::print_line("rm ~/.docker/cli-plugins/docker-buildx"),
        false => streams::print(&plugin_role::how_to_install()),
    }
    Ok(())
}
