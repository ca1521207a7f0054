//! Commands of the group `image`.

mod history;
mod inspect;
mod list;
pub mod prune;
mod pull;
mod remove;
mod tag;
pub(crate) mod transfer;
mod tree;

use crate::command::{Action, Arguments, Command, Entry, Section};

/// The group's commands, those right under the program's name included.
pub const COMMANDS: &[Entry] = &[
    Entry::new("pull", &pull::PULL).section(Section::Common(5)),
    Entry::new("push", &transfer::PUSH).section(Section::Common(6)),
    Entry::new("images", &list::LIST).section(Section::Common(7)),
    Entry::new("image", &GROUP).section(Section::Management),
    Entry::new("history", &history::HISTORY),
    Entry::new("import", &transfer::IMPORT),
    Entry::new("load", &transfer::LOAD),
    Entry::new("rmi", &remove::REMOVE),
    Entry::new("save", &transfer::SAVE),
    Entry::new("tag", &tag::TAG),
];

static GROUP: Command = Command {
    usage: "COMMAND",
    about: "Manage images",
    names: &[],
    flags: &[],
    arguments: Arguments::Any,
    interspersed: true,
    action: Action::Group(&[
        Entry::new("build", &crate::build::BUILD),
        Entry::new("history", &history::HISTORY),
        Entry::new("import", &transfer::IMPORT),
        Entry::new("inspect", &inspect::INSPECT),
        Entry::new("load", &transfer::LOAD),
        Entry::new("ls", &list::LIST).aliases(&["list"]),
        Entry::new("prune", &prune::PRUNE),
        Entry::new("pull", &pull::PULL),
        Entry::new("push", &transfer::PUSH),
        Entry::new("rm", &remove::REMOVE).aliases(&["remove"]),
        Entry::new("run", &crate::container::RUN),
        Entry::new("save", &transfer::SAVE),
        Entry::new("tag", &tag::TAG),
    ]),
};
