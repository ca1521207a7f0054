//! Commands about registries: `login`, `logout`, `search`.

mod login;
mod logout;
mod search;
mod store;

use crate::command::{Entry, Section};

/// The group's commands, all right under the program's name.
pub const COMMANDS: &[Entry] = &[
    Entry::new("login", &login::LOGIN).section(Section::Common(8)),
    Entry::new("logout", &logout::LOGOUT).section(Section::Common(9)),
    Entry::new("search", &search::SEARCH).section(Section::Common(9)),
];
