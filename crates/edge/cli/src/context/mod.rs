//! Commands of the group `context`: named engines, kept in the configuration's directory in Docker's own form.

mod edit;
mod list;
mod store;
mod transfer;

pub use store::all;

use crate::command::{Action, Arguments, Command, Entry, Section};

/// The group's commands, those right under the program's name included.
pub const COMMANDS: &[Entry] = &[Entry::new("context", &GROUP).section(Section::Management)];

static GROUP: Command = Command {
    usage: "COMMAND",
    about: "Manage contexts",
    names: &[],
    flags: &[],
    arguments: Arguments::Any,
    interspersed: true,
    action: Action::Group(&[
        Entry::new("create", &edit::CREATE),
        Entry::new("export", &transfer::EXPORT),
        Entry::new("import", &transfer::IMPORT),
        Entry::new("inspect", &list::INSPECT),
        Entry::new("ls", &list::LIST).aliases(&["list"]),
        Entry::new("rm", &edit::REMOVE).aliases(&["remove"]),
        Entry::new("show", &list::SHOW),
        Entry::new("update", &edit::UPDATE),
        Entry::new("use", &edit::USE),
    ]),
};
