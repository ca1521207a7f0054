//! `image inspect`.

use crate::command::{Action, Arguments, Command, Flag};
use crate::failure::Failure;
use crate::list;
use crate::matches::Matches;
use crate::session::Session;
use hull_client::Method;

pub static INSPECT: Command = Command {
    usage: "[OPTIONS] IMAGE [IMAGE...]",
    about: "Display detailed information on one or more images",
    names: &[],
    flags: &[
        list::INSPECT_FLAG,
        Flag::text(
            "platform",
            "string",
            "Inspect a specific platform of the multi-platform image.\nIf the image or the server is not multi-platform capable, the command will error out if the platform does not match.\n'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)",
        ),
    ],
    arguments: Arguments::AtLeast(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(inspect(session, matches))),
};

async fn inspect(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let platform = super::transfer::platform(matches)?;
    crate::system::inspect::each(session, matches, async |client, name| {
        let call = client.request(Method::GET, &format!("/images/{name}/json"));
        call.query(|query| _ = query.text("platform", &platform)).fetch().await
    })
    .await
}
