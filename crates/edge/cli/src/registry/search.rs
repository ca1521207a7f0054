//! `search`.

use crate::command::{Action, Arguments, Command, Flag};
use crate::failure::Failure;
use crate::format::Listing;
use crate::matches::Matches;
use crate::session::Session;
use crate::{check, credentials, list, table};
use hull_client::{Client, Method};
use serde_json::{Value, json};

pub static SEARCH: Command = Command {
    usage: "[OPTIONS] TERM",
    about: "Search Docker Hub for images",
    names: &[],
    flags: &[
        Flag::list("filter", "filter", "Filter output based on conditions provided")
            .short('f')
            .check(check::filter),
        Flag::text("format", "string", "Pretty-print search using a Go template"),
        Flag::text("limit", "int", "Max number of search results").check(check::integer),
        Flag::switch("no-trunc", "Don't truncate output"),
    ],
    arguments: Arguments::Exactly(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(search(session, matches))),
};

const LISTING: Listing<'static> = Listing {
    headings: &[
        ("Description", "DESCRIPTION"),
        ("IsOfficial", "OFFICIAL"),
        ("Name", "NAME"),
        ("StarCount", "STARS"),
    ],
    columns: &["Name", "Description", "StarCount", "IsOfficial"],
};

async fn search(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let auth = credentials::find(session.config(), "docker.io")?;
    let client = session.client().await?;
    let filters = check::filters(&matches.list("filter"));
    let call = client.request(Method::GET, "/images/search").query(|query| {
        query.add("term", matches.argument(0)).text("limit", matches.text("limit")).filters(&filters);
    });
    let found: Vec<Value> =
        call.header("x-registry-auth", &Client::registry_auth(auth.as_ref())).fetch().await?;
    let row = |item: &Value| {
        let text = item["description"].as_str().unwrap_or_default().replace('\n', " ");
        json!({
            "Description": if matches.switch("no-trunc") { text } else { table::ellipsis(&text, 45) },
            "IsOfficial": if item["is_official"] == true { "[OK]" } else { "" },
            "Name": item["name"],
            "StarCount": item["star_count"].to_string(),
        })
    };
    let rows: Vec<Value> = found.iter().map(row).collect();
    list::print(session, matches, "", "Name", LISTING, &rows)
}
