//! `buildx du`: what the build cache holds, in buildx's columns.

use super::BUILDER;
use crate::command::{Action, Arguments, Command, Flag};
use crate::duration;
use crate::failure::Failure;
use crate::matches::Matches;
use crate::session::Session;
use crate::streams;
use hull_client::{Client, Method};
use hull_types::{Timestamp, size};
use serde_json::Value;

pub static DISK_USAGE: Command = Command {
    usage: "",
    about: "Disk usage",
    names: &[],
    flags: &[
        BUILDER,
        Flag::list("filter", "filter", "Provide filter values"),
        Flag::switch("verbose", "Shows more verbose output"),
    ],
    arguments: Arguments::None,
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(run(session, matches))),
};

async fn run(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let filters = filters(&matches.list("filter"))?;
    let mut records = records(session.client().await?).await?;
    records.retain(|record| filters.iter().all(|filter| filter.admits(record)));
    match matches.switch("verbose") {
        true => print_verbose(&records),
        false => print_records(&records),
    }
    streams::print(&totals(&records));
    Ok(())
}

/// The build cache's records, as the engine lists them.
pub async fn records(client: &Client) -> Result<Vec<Value>, Failure> {
    let call = client.request(Method::GET, "/system/df").query(|query| {
        query.add("type", "build-cache");
    });
    let mut answer: Value = call.fetch().await?;
    Ok(answer.get_mut("BuildCache").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default())
}

/// The table of records.
pub fn print_records(records: &[Value]) {
    let mut text = "ID\tRECLAIMABLE\tSIZE\tLAST ACCESSED\n".to_owned();
    for record in records {
        let shared = if flag(record, "Shared") { "*" } else { "" };
        let mutable = if is_mutable(record) { "*" } else { "" };
        let accessed = seconds(record, "LastUsedAt").map(duration::ago).unwrap_or_default();
        let (id, reclaimable) = (word(record, "ID"), !flag(record, "InUse"));
        text.push_str(&format!("{id}{mutable}\t{reclaimable}\t{}{shared}\t{accessed}\n", bytes(record)));
    }
    streams::print(&tabbed(&text));
}

/// The records one after the other, in full.
pub fn print_verbose(records: &[Value]) {
    records.iter().for_each(|record| streams::print(&verbose(record)));
}

fn verbose(record: &Value) -> String {
    let mut lines = vec![("ID:", word(record, "ID").to_owned())];
    if let Some(parents) = record.get("Parents").and_then(Value::as_array).filter(|list| !list.is_empty()) {
        let names: Vec<&str> = parents.iter().filter_map(Value::as_str).collect();
        lines.push(("Parents:", names.join("\n\t\t")));
    }
    let created = word(record, "CreatedAt").parse::<Timestamp>().map(duration::go_timestamp);
    lines.extend([
        ("Created at:", created.unwrap_or_default()),
        ("Mutable:", is_mutable(record).to_string()),
        ("Reclaimable:", (!flag(record, "InUse")).to_string()),
        ("Shared:", flag(record, "Shared").to_string()),
        ("Size:", bytes(record)),
    ]);
    if !word(record, "Description").is_empty() {
        lines.push(("Description:", word(record, "Description").replace('\n', " ")));
    }
    lines.push(("Usage count:", record.get("UsageCount").and_then(Value::as_u64).unwrap_or(0).to_string()));
    if let Some(used) = seconds(record, "LastUsedAt") {
        lines.push(("Last used:", duration::ago(used)));
    }
    lines.push(("Type:", word(record, "Type").to_owned()));
    let text: String = lines.into_iter().map(|(name, value)| format!("{name}\t{value}\n")).collect();
    tabbed(&text) + "\n"
}

fn totals(records: &[Value]) -> String {
    let sum = |of: &dyn Fn(&&Value) -> bool| {
        let sizes = records.iter().filter(of).filter_map(|record| record.get("Size").and_then(Value::as_f64));
        size::decimal(sizes.sum())
    };
    let mut text = String::new();
    if records.iter().any(|record| flag(record, "Shared")) {
        text.push_str(&format!("Shared:\t{}\n", sum(&|record| flag(record, "Shared"))));
        text.push_str(&format!("Private:\t{}\n", sum(&|record| !flag(record, "Shared"))));
    }
    text.push_str(&format!("Reclaimable:\t{}\n", sum(&|record| !flag(record, "InUse"))));
    text.push_str(&format!("Total:\t{}\n", sum(&|_| true)));
    tabbed(&text)
}

fn word<'a>(record: &'a Value, key: &str) -> &'a str {
    record.get(key).and_then(Value::as_str).unwrap_or_default()
}
fn flag(record: &Value, key: &str) -> bool {
    record.get(key).and_then(Value::as_bool).unwrap_or(false)
}
fn seconds(record: &Value, key: &str) -> Option<i64> {
    word(record, key).parse::<Timestamp>().ok().map(|time| time.seconds)
}
fn bytes(record: &Value) -> String {
    size::decimal(record.get("Size").and_then(Value::as_f64).unwrap_or(0.0))
}
/// A cache that steps write to, rather than a step's result.
fn is_mutable(record: &Value) -> bool {
    word(record, "Type") == "exec.cachemount"
}

/// Cells set apart by tab characters, as buildx does: a column is as wide as its widest cell and one more, in
/// eights.
fn tabbed(text: &str) -> String {
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    let columns = lines.iter().map(|cells| cells.len() - 1).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = lines.iter().filter(|cells| cells.len() > column + 1);
        (cells.map(|cells| cells[column].chars().count()).max().unwrap_or(0) + 1).next_multiple_of(8)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::with_capacity(text.len() * 2);
    for cells in &lines {
        for (column, cell) in cells.iter().enumerate() {
            out.push_str(cell);
            if column + 1 < cells.len() {
                let missing = widths[column] - cell.chars().count();
                out.extend(std::iter::repeat_n('\t', missing.div_ceil(8)));
            }
        }
        out.push('\n');
    }
    out
}

/// One `--filter` of `du`.
#[derive(Debug, PartialEq, Eq)]
enum Filter {
    /// A text is, or is not, this.
    Text(&'static str, String, bool),
    /// Something is so, or is not.
    Flag(&'static str, bool),
    /// Nobody used it since this second.
    UnusedSince(i64),
}

impl Filter {
    fn admits(&self, record: &Value) -> bool {
        match self {
            Self::Text(key, wanted, equal) => (word(record, key) == wanted) == *equal,
            Self::Flag("Mutable", wanted) => is_mutable(record) == *wanted,
            Self::Flag(key, wanted) => flag(record, key) == *wanted,
            Self::UnusedSince(then) => seconds(record, "LastUsedAt").is_none_or(|used| used <= *then),
        }
    }
}

fn filters(given: &[String]) -> Result<Vec<Filter>, Failure> {
    given.iter().map(|text| filter(text).map_err(Failure::new)).collect()
}

fn filter(text: &str) -> Result<Filter, String> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let (name, equal) = match name.strip_suffix('!') {
        Some(name) => (name, false),
        None => (name, true),
    };
    let truth = || match value {
        "" | "true" | "1" => Ok(equal),
        "false" | "0" => Ok(!equal),
        other => Err(format!("invalid value {other:?} of the filter {name}: true or false")),
    };
    match name {
        "id" => Ok(Filter::Text("ID", value.into(), equal)),
        "type" => Ok(Filter::Text("Type", value.into(), equal)),
        "description" => Ok(Filter::Text("Description", value.into(), equal)),
        "inuse" => Ok(Filter::Flag("InUse", truth()?)),
        "shared" => Ok(Filter::Flag("Shared", truth()?)),
        "private" => Ok(Filter::Flag("Shared", !truth()?)),
        "mutable" => Ok(Filter::Flag("Mutable", truth()?)),
        "immutable" => Ok(Filter::Flag("Mutable", !truth()?)),
        "until" | "unused-for" => {
            let age = duration::parse(value).map_err(|_| format!("invalid duration {value:?} of {name}"))?;
            Ok(Filter::UnusedSince(Timestamp::now().seconds - age / 1_000_000_000))
        }
        other => Err(format!(
            "unknown filter {other:?}: id, type, description, inuse, shared, private, mutable, immutable, until and \
             unused-for are known"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn cells_are_set_apart_by_tabs() {
        assert_eq!(tabbed("ID\tSIZE\nabcdefgh\t1\n"), "ID\t\tSIZE\nabcdefgh\t1\n");
    }

    #[test]
    fn records_are_shown_in_full() {
        let record = json!({
            "ID": "abc", "Type": "regular", "Description": "RUN x", "Size": 1500, "UsageCount": 2, "InUse": false,
            "CreatedAt": "2026-01-02T03:04:05Z",
        });
        let expected = "ID:\t\tabc\nCreated at:\t2026-01-02 03:04:05 +0000 UTC\nMutable:\tfalse\nReclaimable:\ttrue\n\
                        Shared:\t\tfalse\nSize:\t\t1.5kB\nDescription:\tRUN x\nUsage count:\t2\nType:\t\tregular\n\n";
        assert_eq!(verbose(&record), expected);
        assert_eq!(totals(&[record]), "Reclaimable:\t1.5kB\nTotal:\t\t1.5kB\n");
    }

    #[test]
    fn filters_choose() {
        let record = json!({ "ID": "abc", "Shared": true, "LastUsedAt": "2020-01-01T00:00:00Z" });
        for (text, admits) in [
            ("id=abc", true),
            ("id!=abc", false),
            ("private", false),
            ("shared=true", true),
            ("until=24h", true),
        ] {
            assert_eq!(filter(text).unwrap().admits(&record), admits, "{text}");
        }
        assert!(filter("nope=1").unwrap_err().contains("unknown filter"));
    }
}
