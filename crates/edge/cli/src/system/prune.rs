//! `system prune`.

use crate::command::{Action, Arguments, Command, Flag};
use crate::failure::Failure;
use crate::matches::Matches;
use crate::session::Session;
use crate::volume::report;
use crate::{build, check, image, network, streams, volume};

pub static PRUNE: Command = Command {
    usage: "[OPTIONS]",
    about: "Remove unused data",
    names: &[],
    flags: &[
        Flag::switch("all", "Remove all unused images not just dangling ones").short('a'),
        Flag::list("filter", "filter", "Provide filter values (e.g. \"label=<key>=<value>\")")
            .check(check::filter),
        Flag::switch("force", "Do not prompt for confirmation").short('f'),
        Flag::switch("volumes", "Prune anonymous volumes"),
    ],
    arguments: Arguments::None,
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(prune(session, matches))),
};

fn warning(all: bool, volumes: bool) -> String {
    let mut lines = vec!["  - all stopped containers", "  - all networks not used by at least one container"];
    if volumes {
        lines.push("  - all anonymous volumes not used by at least one container");
    }
    lines.push(if all {
        "  - all images without at least one container associated to them"
    } else {
        "  - all dangling images"
    });
    lines.push("  - unused build cache");
    format!("WARNING! This will remove:\n{}\n\nAre you sure you want to continue?", lines.join("\n"))
}

async fn prune(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let (all, volumes) = (matches.switch("all"), matches.switch("volumes"));
    let filters = check::filters(&matches.list("filter"));
    if volumes && filters.contains_key("until") {
        return Err("ERROR: The \"until\" filter is not supported with \"--volumes\"".into());
    }
    if !matches.switch("force") && !streams::confirm(&warning(all, volumes)) {
        return Err(Failure::new("system prune has been cancelled"));
    }
    let client = session.client().await?;
    let containers = client.containers_prune(&filters).await?;
    streams::print(&report("Deleted Containers:", &containers.containers_deleted.unwrap_or_default()));
    let mut reclaimed = containers.space_reclaimed;
    streams::print(&report("Deleted Networks:", &network::prune_networks(session, &filters).await?));
    if volumes {
        let (removed, bytes) = volume::prune_volumes(session, &filters).await?;
        streams::print(&report("Deleted Volumes:", &removed));
        reclaimed += bytes;
    }
    let (removed, bytes) = image::prune::prune_images(session, &filters, all).await?;
    streams::print(&report("Deleted Images:", &removed));
    reclaimed += bytes;
    let (removed, bytes) = build::prune_cache(session, &filters, all).await?;
    streams::print(&report("Deleted build cache objects:", &removed));
    reclaimed += bytes;
    streams::print_line(&format!("Total reclaimed space: {}", hull_types::size::decimal(reclaimed as f64)));
    Ok(())
}
