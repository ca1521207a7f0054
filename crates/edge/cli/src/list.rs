//! What the commands that list and inspect share: their flags, and how rows come out.

use crate::command::Flag;
use crate::failure::Failure;
use crate::format::{self, Listing};
use crate::matches::Matches;
use crate::session::Session;
use crate::streams;
use serde_json::Value;
use std::collections::BTreeMap;

/// `--format` of a list.
pub const LIST_FLAG: Flag = Flag::text(
    "format",
    "string",
    "Format output using a custom template:\n'table':            Print output in table format with column headers (default)\n'table TEMPLATE':   Print output in table format using the given Go template\n'json':             Print in JSON format\n'TEMPLATE':         Print output using the given Go template.\nRefer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates",
);

/// `--format` of an `inspect`.
pub const INSPECT_FLAG: Flag = Flag::text(
    "format",
    "string",
    "Format output using a custom template:\n'json':             Print in JSON format\n'TEMPLATE':         Print output using the given Go template.\nRefer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates",
)
.short('f');

/// Prints rows as `--quiet`, `--format` and the configuration's `key` ask; `quiet` is the field that `-q` shows.
pub fn print(
    session: &Session,
    matches: &Matches,
    key: &str,
    quiet: &str,
    listing: Listing<'_>,
    rows: &[Value],
) -> Result<(), Failure> {
    let chosen = match matches.text("format") {
        "" if !matches.switch("quiet") => session.config().text(key),
        given => given,
    };
    if matches.switch("quiet") && matches!(chosen, "" | "table") {
        for row in rows {
            streams::print_line(row[quiet].as_str().unwrap_or_default());
        }
        return Ok(());
    }
    streams::print(&format::rows(chosen, listing, rows)?);
    Ok(())
}

/// Labels in one text: `a=1,b=2`.
pub fn labels<'a>(map: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
    map.into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// `key=value` texts as a map; a key alone has an empty value.
pub fn pairs(list: &[String]) -> BTreeMap<String, String> {
    let pair = |text: &String| {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        (key.to_owned(), value.to_owned())
    };
    list.iter().map(pair).collect()
}

/// Adds, for each pair, the field `pair.1` with the value of `pair.0`: Docker's templates go by the names of Go's fields,
/// its JSON has others. Only for a template that speaks of such a name, so that `{{json .}}` stays as it is.
pub fn with_go_names(document: &mut Value, template: &str, names: &[(&str, &str)]) {
    for (from, to) in names.iter().filter(|(_, to)| template.contains(&format!(".{to}"))) {
        if let Some(value) = document.get(from).cloned() {
            document[*to] = value;
        }
    }
}
