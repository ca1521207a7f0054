//! Commands of the group `system`, and those about the engine as a whole: `version`, `info`, `events`, `inspect`.

mod check;
mod df;
mod dial;
mod events;
mod info;
pub mod inspect;
mod prune;
mod version;

use crate::command::{Action, Arguments, Command, Entry, Section};

/// The group's commands, those right under the program's name included.
pub const COMMANDS: &[Entry] = &[
    Entry::new("version", &version::VERSION).section(Section::Common(10)),
    Entry::new("info", &info::INFO).section(Section::Common(11)),
    Entry::new("system", &GROUP).section(Section::Management),
    Entry::new("events", &events::EVENTS),
    Entry::new("inspect", &inspect::INSPECT),
];

static GROUP: Command = Command {
    usage: "COMMAND",
    about: "Manage Docker",
    names: &[],
    flags: &[],
    arguments: Arguments::Any,
    interspersed: true,
    action: Action::Group(&[
        Entry::new("check", &check::CHECK),
        Entry::new("df", &df::DISK_USAGE),
        Entry::new("dial-stdio", &dial::DIAL).section(Section::Hidden),
        Entry::new("events", &events::EVENTS),
        Entry::new("info", &info::INFO),
        Entry::new("prune", &prune::PRUNE),
    ]),
};
