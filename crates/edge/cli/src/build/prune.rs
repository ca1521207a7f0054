//! `builder prune`.

use crate::command::{Action, Arguments, Command, Flag};
use crate::failure::Failure;
use crate::matches::Matches;
use crate::session::Session;
use crate::streams;
use hull_api_types::Filters;
use hull_client::Method;
use hull_types::size;
use serde_json::Value;

pub static PRUNE: Command = Command {
    usage: "",
    about: "Remove build cache",
    names: &[],
    flags: &[
        Flag::switch("all", "Remove all unused build cache, not just dangling ones").short('a'),
        Flag::list("filter", "filter", "Provide filter values (e.g. \"until=24h\")"),
        Flag::switch("force", "Do not prompt for confirmation").short('f'),
        Flag::text("keep-storage", "bytes", "Amount of disk space to keep for cache"),
    ],
    arguments: Arguments::None,
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(prune(session, matches))),
};

async fn prune(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let all = matches.switch("all");
    let what = if all { "all build cache" } else { "all dangling build cache" };
    let question = format!("WARNING! This will remove {what}. Are you sure you want to continue? [y/N] ");
    if !matches.switch("force") && !streams::confirm(&question) {
        return Ok(());
    }
    let keep = match matches.text("keep-storage") {
        "" => String::new(),
        text => size::parse_binary(text)
            .map(|size| size.to_string())
            .ok_or_else(|| Failure::new(format!("invalid size: '{text}'")))?,
    };
    let filters = crate::check::filters(&matches.list("filter"));
    let (gone, freed) = ask(session, &filters, all, &keep).await?;
    if !gone.is_empty() {
        streams::print_line("Deleted build cache objects:");
        gone.iter().for_each(|id| streams::print_line(id));
        streams::print_line("");
    }
    streams::print_line(&format!("Total reclaimed space: {}", size::decimal(freed as f64)));
    Ok(())
}

/// What `system prune` removes of it: the ids, and the bytes that came free.
pub async fn prune_cache(
    session: &Session,
    filters: &Filters,
    all: bool,
) -> Result<(Vec<String>, u64), Failure> {
    // Images and containers have filters that a cache does not.
    let known = |name: &str| matches!(name, "until" | "label");
    let filters =
        filters.iter().filter(|(name, _)| known(name)).map(|(name, values)| (name.clone(), values.clone()));
    ask(session, &filters.collect(), all, "").await
}

async fn ask(
    session: &Session,
    filters: &Filters,
    all: bool,
    keep: &str,
) -> Result<(Vec<String>, u64), Failure> {
    let client = session.client().await?;
    let call = client.request(Method::POST, "/build/prune").query(|query| {
        query.flag("all", all).text("keep-storage", keep).filters(filters);
    });
    let answer: Value = call.fetch().await?;
    let gone = answer.get("CachesDeleted").and_then(Value::as_array).cloned().unwrap_or_default();
    let gone = gone.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    Ok((gone, answer.get("SpaceReclaimed").and_then(Value::as_u64).unwrap_or(0)))
}
