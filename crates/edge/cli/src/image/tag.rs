//! `tag`.

use crate::command::{Action, Arguments, Command};
use crate::failure::Failure;
use crate::matches::Matches;
use crate::session::Session;
use hull_client::Method;
use hull_types::ImageRef;

pub static TAG: Command = Command {
    usage: "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    about: "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
    names: &["image tag", "tag"],
    flags: &[],
    arguments: Arguments::Exactly(2),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(tag(session, matches))),
};

async fn tag(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let (source, target) = (matches.argument(0), matches.argument(1));
    let name: ImageRef = target.parse().map_err(|error| {
        Failure::new(format!("Error parsing reference: {target:?} is not a valid repository/tag: {error}"))
    })?;
    if name.digest().is_some() {
        return Err("refusing to create a tag with a digest reference".into());
    }
    let client = session.client().await?;
    let call = client.request(Method::POST, &format!("/images/{source}/tag")).query(|query| {
        query.add("repo", &name.familiar_name()).add("tag", name.tag().unwrap_or("latest"));
    });
    Ok(call.done().await?)
}
