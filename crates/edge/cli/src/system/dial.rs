//! `system dial-stdio`: standard input and output as a connection to the engine, for clients that come over ssh.

use crate::command::{Action, Arguments, Command};
use crate::failure::Failure;
use crate::matches::Matches;
use crate::session::Session;
use hull_client::Client;
use tokio::io::AsyncWriteExt;

pub static DIAL: Command = Command {
    usage: "",
    about: "Proxy the stdio stream to the daemon connection. Should not be invoked manually.",
    names: &[],
    flags: &[],
    arguments: Arguments::None,
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(dial(session, matches))),
};

async fn dial(session: &Session, _matches: &Matches) -> Result<(), Failure> {
    let endpoint = session.endpoint()?;
    let connection = Client::dial(&endpoint.options).await?;
    let (mut from, mut to) = tokio::io::split(connection);
    let (mut input, mut output) = (tokio::io::stdin(), tokio::io::stdout());
    let up = async {
        tokio::io::copy(&mut input, &mut to).await?;
        to.shutdown().await
    };
    let down = async {
        tokio::io::copy(&mut from, &mut output).await?;
        output.flush().await
    };
    tokio::pin!(up, down);
    // The engine's end ends it; the end of input alone does not.
    let result = tokio::select! {
        result = &mut down => result,
        result = &mut up => match result {
            Ok(()) => down.await,
            Err(error) => Err(error),
        },
    };
    result.map_err(|error| Failure::new(format!("the connection to the engine broke: {error}")))
}
