//! `builder prune`, `buildx prune`.

use crate::buildx;
use crate::check;
use crate::command::{Action, Arguments, Command, Flag, FlagKind};
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
        buildx::BUILDER,
        Flag::list("filter", "filter", "Provide filter values (e.g. \"until=24h\")"),
        Flag::switch("force", "Do not prompt for confirmation").short('f'),
        Flag::alias("keep-storage", "reserved-space", FlagKind::Text),
        Flag::text("max-used-space", "bytes", "Maximum amount of disk space allowed to keep for cache")
            .check(check::bytes),
        Flag::text("min-free-space", "bytes", "Target amount of free disk space after pruning")
            .check(check::bytes),
        Flag::text("reserved-space", "bytes", "Amount of disk space always allowed to keep for cache")
            .check(check::bytes),
        Flag::switch("verbose", "Provide a more verbose output"),
    ],
    arguments: Arguments::None,
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(prune(session, matches))),
};

async fn prune(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let all = matches.switch("all");
    let what = if all { "all build cache" } else { "all dangling build cache" };
    let question = format!("WARNING! This will remove {what}. Are you sure you want to continue?");
    if !matches.switch("force") && !streams::confirm(&question) {
        return Ok(());
    }
    let filters = check::filters(&matches.list("filter"));
    let is_buildx = matches.path.starts_with("buildx");
    // The engine tells the names of what went; what that was is asked before.
    let before = if is_buildx { buildx::records(session.client().await?).await? } else { Vec::new() };
    let sizes = ["reserved-space", "max-used-space", "min-free-space"].map(|name| {
        let bytes = size::parse_binary(matches.text(name)).map_or_else(String::new, |size| size.to_string());
        (name, bytes)
    });
    let (gone, freed) = ask(session, &filters, all, &sizes).await?;
    let freed = size::decimal(freed as f64);
    if is_buildx {
        let is_gone =
            |record: &Value| record["ID"].as_str().is_some_and(|id| gone.iter().any(|one| one == id));
        let went: Vec<Value> = before.into_iter().filter(is_gone).collect();
        if !went.is_empty() {
            match matches.switch("verbose") {
                true => buildx::print_verbose(&went),
                false => buildx::print_records(&went),
            }
        }
        streams::print_line(&format!("Total:\t{freed}"));
        return Ok(());
    }
    if !gone.is_empty() {
        streams::print_line("Deleted build cache objects:");
        gone.iter().for_each(|id| streams::print_line(id));
        streams::print_line("");
    }
    streams::print_line(&format!("Total reclaimed space: {freed}"));
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
    ask(session, &filters.collect(), all, &[]).await
}

async fn ask(
    session: &Session,
    filters: &Filters,
    all: bool,
    sizes: &[(&str, String)],
) -> Result<(Vec<String>, u64), Failure> {
    let client = session.client().await?;
    let call = client.request(Method::POST, "/build/prune").query(|query| {
        query.flag("all", all).filters(filters);
        for (name, bytes) in sizes {
            query.text(name, bytes);
        }
    });
    let answer: Value = call.fetch().await?;
    let gone = answer.get("CachesDeleted").and_then(Value::as_array).cloned().unwrap_or_default();
    let gone = gone.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    Ok((gone, answer.get("SpaceReclaimed").and_then(Value::as_u64).unwrap_or(0)))
}
