//! `builder prune`.

use crate::command::{Action, Arguments, Command, Flag};
use crate::failure::Failure;
use crate::matches::Matches;
use crate::session::Session;
use crate::streams;
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
    let client = session.client().await?;
    let call = client.request(Method::POST, "/build/prune").query(|query| {
        query.flag("all", all).text("keep-storage", &keep).filters(&filters);
    });
    let answer: Value = call.fetch().await?;
    let gone = answer.get("CachesDeleted").and_then(Value::as_array).cloned().unwrap_or_default();
    if !gone.is_empty() {
        streams::print_line("Deleted build cache objects:");
        gone.iter().filter_map(Value::as_str).for_each(streams::print_line);
        streams::print_line("");
    }
    let freed = answer.get("SpaceReclaimed").and_then(Value::as_u64).unwrap_or(0);
    streams::print_line(&format!("Total reclaimed space: {}", size::decimal(freed as f64)));
    Ok(())
}
