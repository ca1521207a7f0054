//! `history`.

use crate::command::{Action, Arguments, Command, Flag};
use crate::failure::Failure;
use crate::format::Listing;
use crate::matches::Matches;
use crate::session::Session;
use crate::{duration, list};
use hull_api_types::HistoryItem;
use hull_client::Method;
use hull_sys::local_time::rfc3339;
use hull_types::{Timestamp, short_id, size};
use serde_json::{Value, json};

pub static HISTORY: Command = Command {
    usage: "[OPTIONS] IMAGE",
    about: "Show the history of an image",
    names: &["image history", "history"],
    flags: &[
        list::LIST_FLAG,
        Flag::switch("human", "Print sizes and dates in human readable format").short('H').default("true"),
        Flag::switch("no-trunc", "Don't truncate output"),
        Flag::text(
            "platform",
            "string",
            "Show history for the given platform. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")",
        ),
        Flag::switch("quiet", "Only show image IDs").short('q'),
    ],
    arguments: Arguments::Exactly(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(history(session, matches))),
};

const LISTING: Listing<'static> = Listing {
    headings: &[
        ("Comment", "COMMENT"),
        ("CreatedAt", "CREATED AT"),
        ("CreatedBy", "CREATED BY"),
        ("CreatedSince", "CREATED"),
        ("ID", "IMAGE"),
        ("Size", "SIZE"),
    ],
    columns: &["ID", "CreatedSince", "CreatedBy", "Size", "Comment"],
};
const COLUMNS_FOR_MACHINES: &[&str] = &["ID", "CreatedAt", "CreatedBy", "Size", "Comment"];

async fn history(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let platform = super::transfer::platform(matches)?;
    let client = session.client().await?;
    let call = client.request(Method::GET, &format!("/images/{}/history", matches.argument(0)));
    let items: Vec<HistoryItem> = call.query(|query| _ = query.text("platform", &platform)).fetch().await?;
    let rows: Vec<Value> =
        items.iter().map(|item| row(item, matches.switch("no-trunc"), matches.switch("human"))).collect();
    let columns = if matches.switch("human") { LISTING.columns } else { COLUMNS_FOR_MACHINES };
    list::print(session, matches, "", "ID", Listing { columns, ..LISTING }, &rows)
}

fn row(item: &HistoryItem, whole: bool, human: bool) -> Value {
    let at = rfc3339(Timestamp { seconds: item.created, nanoseconds: 0 });
    let by = item.created_by.replace('\t', " ");
    json!({
        "Comment": item.comment,
        "CreatedAt": if item.created <= 0 { String::new() } else { at.clone() },
        "CreatedBy": if whole { by } else { crate::table::ellipsis(&by, 45) },
        "CreatedSince": if !human { at } else if item.created <= 0 { "N/A".into() } else { duration::ago(item.created) },
        "ID": if whole { &item.id } else { short_id(&item.id) },
        "Size": if human { size::decimal_with(item.size as f64, 3) } else { item.size.to_string() },
    })
}
