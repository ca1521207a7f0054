//! `image prune`.

use crate::command::{Action, Arguments, Command, Flag};
use crate::failure::Failure;
use crate::matches::Matches;
use crate::session::Session;
use crate::{check, streams, volume};
use hull_api_types::{Filters, ImageDeleteItem, ImagesPruneResponse};
use hull_client::Method;

/// The command.
pub static PRUNE: Command = Command {
    usage: "[OPTIONS]",
    about: "Remove unused images",
    names: &[],
    flags: &[
        Flag::switch("all", "Remove all unused images, not just dangling ones").short('a'),
        Flag::list("filter", "filter", "Provide filter values (e.g. \"until=<timestamp>\")")
            .check(check::filter),
        Flag::switch("force", "Do not prompt for confirmation").short('f'),
    ],
    arguments: Arguments::None,
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(prune(session, matches))),
};

async fn prune(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let all = matches.switch("all");
    let what = match all {
        true => "all images without at least one container associated to them",
        false => "all dangling images",
    };
    let warning = format!("WARNING! This will remove {what}.\nAre you sure you want to continue?");
    if !matches.switch("force") && !streams::confirm(&warning) {
        return Err(Failure::new("image prune has been cancelled"));
    }
    let (removed, reclaimed) = prune_images(session, &check::filters(&matches.list("filter")), all).await?;
    streams::print(&volume::report("Deleted Images:", &removed));
    streams::print_line(&format!("Total reclaimed space: {}", hull_types::size::decimal(reclaimed as f64)));
    Ok(())
}

/// Prunes; a line for each thing that went, and how many bytes.
pub async fn prune_images(
    session: &Session,
    filters: &Filters,
    all: bool,
) -> Result<(Vec<String>, u64), Failure> {
    let mut filters = filters.clone();
    filters.insert("dangling".into(), vec![(!all).to_string()]);
    let client = session.client().await?;
    let call = client.request(Method::POST, "/images/prune").query(|query| {
        query.filters(&filters);
    });
    let pruned: ImagesPruneResponse = call.fetch().await?;
    let lines = pruned
        .images_deleted
        .unwrap_or_default()
        .iter()
        .map(|item| line(item, "untagged", "deleted"))
        .collect();
    Ok((lines, pruned.space_reclaimed))
}

/// `Untagged: x` or `Deleted: sha256:…`, in these words.
pub fn line(item: &ImageDeleteItem, untagged: &str, deleted: &str) -> String {
    match item.deleted.as_str() {
        "" => format!("{untagged}: {}", item.untagged),
        id => format!("{deleted}: {id}"),
    }
}
