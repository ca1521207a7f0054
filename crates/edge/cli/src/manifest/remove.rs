//! `manifest rm`.

use super::store::Lists;
use super::{full, name};
use crate::command::{Action, Arguments, Command};
use crate::failure::Failure;
use crate::matches::Matches;
use crate::session::Session;

pub static REMOVE: Command = Command {
    usage: "MANIFEST_LIST [MANIFEST_LIST...]",
    about: "Delete one or more manifest lists from local storage",
    names: &[],
    flags: &[],
    arguments: Arguments::AtLeast(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(remove(session, matches))),
};

async fn remove(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let lists = Lists::of(session.config());
    let mut wrong = Vec::new();
    for text in matches.arguments() {
        let removed = name(text).and_then(|list| match lists.remove(&list)? {
            true => Ok(()),
            false => Err(Failure::new(format!("No such manifest: {}", full(&list)))),
        });
        wrong.extend(removed.err().map(|failure| failure.message));
    }
    if wrong.is_empty() { Ok(()) } else { Err(Failure::new(wrong.join("\n"))) }
}
