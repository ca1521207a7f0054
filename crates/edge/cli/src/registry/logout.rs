//! `logout`.

use super::login::server_key;
use crate::command::{Action, Arguments, Command};
use crate::failure::Failure;
use crate::matches::Matches;
use crate::session::Session;
use crate::streams;

pub static LOGOUT: Command = Command {
    usage: "[SERVER]",
    about: "Log out from a registry.\nIf no server is specified, the default is defined by the daemon.",
    names: &[],
    flags: &[],
    arguments: Arguments::AtMost(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(logout(session, matches))),
};

async fn logout(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let key = server_key(matches.argument(0));
    streams::print_line(&format!("Removing login credentials for {key}"));
    if !super::store::forget(session.config(), &key)? {
        streams::complain(&format!("Not logged in to {key}"));
    }
    Ok(())
}
