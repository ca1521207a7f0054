//! `manifest create`.

use super::registry::find_image;
use super::store::Lists;
use super::{full, name};
use crate::command::{Action, Arguments, Command, Flag};
use crate::failure::Failure;
use crate::matches::Matches;
use crate::session::Session;
use crate::streams;

pub static CREATE: Command = Command {
    usage: "MANIFEST_LIST MANIFEST [MANIFEST...]",
    about: "Create a local manifest list for annotating and pushing to a registry",
    names: &[],
    flags: &[
        Flag::switch("amend", "Amend an existing manifest list").short('a'),
        Flag::switch("insecure", "Allow communication with an insecure registry"),
    ],
    arguments: Arguments::AtLeast(2),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(create(session, matches))),
};

async fn create(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let list = name(matches.argument(0)).map_err(|error| {
        Failure::new(format!(
            "error parsing name for manifest list {}: {}",
            matches.argument(0),
            error.message
        ))
    })?;
    let lists = Lists::of(session.config());
    if lists.list(&list)?.is_some() && !matches.switch("amend") {
        return Err("refusing to amend an existing manifest list with no --amend flag".into());
    }
    for text in matches.arguments().iter().skip(1) {
        let image = name(text)?;
        let found = match lists.get(&list, &image)? {
            Some(known) => known,
            None => find_image(session, &image, matches.switch("insecure")).await?,
        };
        lists.keep(&list, &image, &found)?;
    }
    streams::print_line(&format!("Created manifest list {}", full(&list)));
    Ok(())
}
