//! `pull`.

use crate::command::{Action, Arguments, Command, Flag};
use crate::failure::Failure;
use crate::matches::Matches;
use crate::progress::{self, Target};
use crate::session::Session;
use crate::{credentials, streams};
use hull_client::PullQuery;
use hull_types::ImageRef;

pub static PULL: Command = Command {
    usage: "[OPTIONS] NAME[:TAG|@DIGEST]",
    about: "Download an image from a registry",
    names: &["image pull", "pull"],
    flags: &[
        Flag::switch("all-tags", "Download all tagged images in the repository").short('a'),
        Flag::switch("disable-content-trust", "Skip image verification").default("true"),
        Flag::text("platform", "string", "Set platform if server is multi-platform capable"),
        Flag::switch("quiet", "Suppress verbose output").short('q'),
    ],
    arguments: Arguments::Exactly(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(pull(session, matches))),
};

async fn pull(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let given: ImageRef = matches.argument(0).parse().map_err(|error| Failure::new(format!("{error}")))?;
    let (all, quiet) = (matches.switch("all-tags"), matches.switch("quiet"));
    if all && (given.tag().is_some() || given.digest().is_some()) {
        return Err("tag can't be used with --all-tags/-a".into());
    }
    if !all && given.tag().is_none() && given.digest().is_none() && !quiet {
        streams::print_line("Using default tag: latest");
    }
    let name = if all { given } else { given.or_latest() };
    let platform = match matches.text("platform") {
        "" => std::env::var("DOCKER_DEFAULT_PLATFORM").unwrap_or_default(),
        text => text.to_owned(),
    };
    let tag = match (name.digest(), name.tag()) {
        (Some(digest), _) => digest.to_string(),
        (None, tag) => tag.unwrap_or_default().to_owned(),
    };
    let query = PullQuery {
        repository: name.familiar_name(),
        tag,
        platform,
        auth: credentials::find(session.config(), name.domain())?,
    };
    let mut stream = session.client().await?.image_pull(&query).await?;
    let target = if quiet { Target::Nowhere } else { Target::Output };
    progress::show(&mut stream, target, |_| {}).await?;
    streams::print_line(&name.to_string());
    Ok(())
}
