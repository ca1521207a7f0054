//! `buildx history`: the records of builds that the engine keeps.

use super::{BUILDER, store};
use crate::build::{Form, Show};
use crate::command::{Action, Arguments, Command, Entry, Flag};
use crate::failure::{Failure, Failures};
use crate::format::{self, Listing};
use crate::list::LIST_FLAG;
use crate::matches::Matches;
use crate::session::Session;
use crate::{duration, streams, table};
use hull_api_types::Map;
use hull_api_types::build::{BuildLogLine, BuildMessage, BuildRecord};
use hull_client::Method;
use hull_types::Timestamp;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

pub static HISTORY: Command = Command {
    usage: "COMMAND",
    about: "Commands to work on build records",
    names: &[],
    flags: &[BUILDER],
    arguments: Arguments::Any,
    interspersed: true,
    action: Action::Group(&[
        Entry::new("export", &ELSEWHERE),
        Entry::new("import", &ELSEWHERE),
        Entry::new("inspect", &INSPECT),
        Entry::new("logs", &LOGS),
        Entry::new("ls", &LIST),
        Entry::new("open", &ELSEWHERE),
        Entry::new("rm", &REMOVE),
        Entry::new("trace", &ELSEWHERE),
    ]),
};

static LIST: Command = Command {
    usage: "[OPTIONS]",
    about: "List build records",
    names: &[],
    flags: &[
        BUILDER,
        Flag::list("filter", "stringArray", "Provide filter values (e.g., \"status=error\")"),
        LIST_FLAG,
        Flag::switch("no-trunc", "Don't truncate output"),
    ],
    arguments: Arguments::None,
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(list(session, matches))),
};

static INSPECT: Command = Command {
    usage: "[OPTIONS] [REF]",
    about: "Inspect a build record",
    names: &[],
    flags: &[BUILDER, Flag::text("format", "string", "Format the output").default("pretty")],
    arguments: Arguments::AtMost(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(inspect(session, matches))),
};

static LOGS: Command = Command {
    usage: "[OPTIONS] [REF]",
    about: "Print the logs of a build record",
    names: &[],
    flags: &[
        BUILDER,
        Flag::text("progress", "string", "Set type of progress output (plain, rawjson, tty)")
            .default("plain"),
    ],
    arguments: Arguments::AtMost(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(logs(session, matches))),
};

static REMOVE: Command = Command {
    usage: "[OPTIONS] [REF...]",
    about: "Remove build records",
    names: &[],
    flags: &[Flag::switch("all", "Remove all build records"), BUILDER],
    arguments: Arguments::Any,
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(remove(session, matches))),
};

static ELSEWHERE: Command = Command {
    usage: "[OPTIONS] [REF...]",
    about: "Take build records to other programs: not available",
    names: &[],
    flags: &[BUILDER],
    arguments: Arguments::Any,
    interspersed: true,
    action: Action::Run(|_, matches| {
        Box::pin(async move {
            Err(Failure::new(format!(
                "ERROR: {} is not available: records are for Docker Desktop and Jaeger there; `history inspect \
                 --format json` and `history logs --progress rawjson` give what Hull keeps",
                matches.path
            )))
        })
    }),
};

const LISTING: Listing<'static> = Listing {
    headings: &[
        ("Ref", "BUILD ID"),
        ("Name", "NAME"),
        ("Status", "STATUS"),
        ("CreatedAt", "CREATED AT"),
        ("Duration", "DURATION"),
    ],
    columns: &["Ref", "Name", "Status", "CreatedAt", "Duration"],
};

async fn records(session: &Session) -> Result<Vec<BuildRecord>, Failure> {
    Ok(session.client().await?.request(Method::GET, "/hull/history").fetch().await?)
}

/// The record that a text means: the newest where it is empty, `^2` for two before it, a reference, the beginning
/// of one, `builder/node/reference`.
fn find<'a>(records: &'a [BuildRecord], text: &str) -> Result<&'a BuildRecord, Failure> {
    let missing = || {
        let why = match text {
            "" => "no records found".to_owned(),
            text => format!("no record found for ref {text:?}"),
        };
        Failure::new(format!("ERROR: {why}"))
    };
    if let Some(back) = text.strip_prefix('^') {
        let back = if back.is_empty() { Some(0) } else { back.parse::<usize>().ok() };
        return back.and_then(|back| records.get(back)).ok_or_else(missing);
    }
    if text.is_empty() {
        return records.first().ok_or_else(missing);
    }
    let reference = text.rsplit('/').next().unwrap_or(text);
    let mut fitting =
        records.iter().filter(|record| !reference.is_empty() && record.reference.starts_with(reference));
    match (fitting.next(), fitting.next()) {
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => Err(Failure::new(format!("ERROR: several records begin with {text:?}"))),
        _ => Err(missing()),
    }
}

/// What a build is called by people: its directory, its Dockerfile where that has another name, its target.
fn name(record: &BuildRecord) -> String {
    let place = record.context.split(['#', '?']).next().unwrap_or_default().trim_end_matches('/');
    let place = place.strip_suffix(".git").unwrap_or(place);
    let mut name = place.rsplit('/').next().unwrap_or_default().to_owned();
    if name.is_empty() {
        name = record.tags.first().cloned().unwrap_or_default();
    }
    if name.is_empty() || record.dockerfile != "Dockerfile" {
        let slash = if name.is_empty() { "" } else { "/" };
        name.push_str(&format!("{slash}{}", record.dockerfile));
    }
    match record.target.as_str() {
        "" => name,
        target => format!("{name} ({target})"),
    }
}

fn status(record: &BuildRecord) -> &'static str {
    match (&record.completed, record.cancelled, record.error.is_empty()) {
        (None, ..) => "Running",
        (Some(_), true, _) => "Canceled",
        (Some(_), _, false) => "Error",
        _ => "Completed",
    }
}

/// `1m 5s`, `3.2s`.
fn lasted(record: &BuildRecord, now: Timestamp) -> String {
    let end = record.completed.unwrap_or(now).unix_nanoseconds();
    let seconds = (end - record.created.unix_nanoseconds()).max(0) as f64 / 1e9;
    let more = if record.completed.is_none() { "+" } else { "" };
    if seconds < 60.0 {
        return format!("{seconds:.1}s{more}");
    }
    let (minutes, rest) = (seconds as u64 / 60, seconds as u64 % 60);
    let hours = if minutes < 60 { String::new() } else { format!("{}h ", minutes / 60) };
    format!("{hours}{}m {rest}s{more}", minutes % 60)
}

async fn list(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let now = Timestamp::now();
    let mut all = records(session).await?;
    for filter in matches.list("filter") {
        let (key, value) = filter
            .split_once('=')
            .ok_or_else(|| Failure::new(format!("ERROR: invalid filter {filter:?}: expected key=value")))?;
        match key {
            "status" => all.retain(|record| status(record).eq_ignore_ascii_case(value)),
            "ref" => all.retain(|record| record.reference == value),
            other => {
                return Err(Failure::new(format!(
                    "ERROR: unknown filter {other:?}: status and ref are known"
                )));
            }
        }
    }
    let builder = store::named(session)?;
    let whole = matches.switch("no-trunc") || matches.changed("format");
    let row = |record: &BuildRecord| {
        let called = name(record);
        let called = if whole { called } else { ending(&called, 36) };
        let reference = &record.reference;
        json!({
            "Ref": reference, "Name": called, "Status": status(record), "CreatedAt": duration::ago(record.created.seconds),
            "Duration": lasted(record, now),
            "ref": format!("{0}/{0}/{reference}", builder.name), "name": called, "status": status(record),
            "created_at": record.created.to_string(), "completed_at": record.completed.map(|time| time.to_string()),
            "total_steps": record.steps, "completed_steps": record.done, "cached_steps": record.cached,
        })
    };
    let rows: Vec<Value> = all.iter().map(row).collect();
    let format = matches.text("format");
    if matches!(format, "json" | "{{json .}}") {
        for mut row in rows {
            if let Some(members) = row.as_object_mut() {
                members.retain(|key, value| {
                    key.starts_with(|c: char| c.is_ascii_lowercase()) && !value.is_null()
                });
            }
            streams::print_line(&row.to_string());
        }
        return Ok(());
    }
    streams::print(&format::rows(format, LISTING, &rows)?);
    Ok(())
}

/// The end of a long name.
fn ending(text: &str, most: usize) -> String {
    let count = text.chars().count();
    match count > most {
        true => format!("..{}", text.chars().skip(count - most + 2).collect::<String>()),
        false => text.to_owned(),
    }
}

async fn inspect(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let all = records(session).await?;
    let record = find(&all, matches.argument(0))?;
    match matches.text("format") {
        "pretty" | "" => streams::print(&pretty(record, matches.argument(0).is_empty())),
        "json" => streams::print_line(&format!("{:#}", document(record))),
        template => streams::print(&format::one(template, &document(record))?),
    }
    Ok(())
}

fn document(record: &BuildRecord) -> Value {
    let pairs = |map: &Map<String>| -> Vec<Value> {
        map.iter().map(|(name, value)| json!({ "Name": name, "Value": value })).collect()
    };
    let nanoseconds = |time: Timestamp| time.unix_nanoseconds();
    let lasted = record.completed.map(|end| nanoseconds(end) - nanoseconds(record.created));
    let mut document = json!({
        "Name": name(record), "Ref": record.reference, "Context": record.context, "Dockerfile": record.dockerfile,
        "Target": record.target, "Platform": record.platforms, "StartedAt": record.created.to_string(),
        "CompletedAt": record.completed.map(|time| time.to_string()),
        "Duration": lasted.map(|lasted| lasted as u64), "Status": word(record),
        "NumCompletedSteps": record.done, "NumTotalSteps": record.steps, "NumCachedSteps": record.cached,
        "BuildArgs": pairs(&record.args), "Labels": pairs(&record.labels), "Tags": record.tags, "Image": record.image,
        "Config": { "Network": record.network, "NoCache": record.no_cache },
    });
    if !record.error.is_empty() {
        document["Error"] = json!({ "Message": record.error });
    }
    if let Some(members) = document.as_object_mut() {
        let is_empty = |value: &Value| match value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            _ => false,
        };
        members.retain(|_, value| !is_empty(value));
    }
    document
}

fn word(record: &BuildRecord) -> &'static str {
    match status(record) {
        "Running" => "running",
        "Canceled" => "canceled",
        "Error" => "failed",
        _ => "completed",
    }
}

fn pretty(record: &BuildRecord, with_reference: bool) -> String {
    let mut text = format!("Name:\t{}\n", name(record));
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            text.push_str(&format!("{name}:\t{value}\n"));
        }
    };
    line("Ref", if with_reference { &record.reference } else { "" });
    line("Context", &record.context);
    line("Dockerfile", &record.dockerfile);
    line("Target", &record.target);
    line("Platforms", &record.platforms.join(", "));
    let head = table::layout_with(&text, 0, 1);
    let mut text = String::new();
    let started = record.created.to_string().replacen('T', " ", 1);
    text.push_str(&format!("Started:\t{}\n", started.get(..19).unwrap_or(&started)));
    let running = if record.completed.is_none() { " (running)" } else { "" };
    text.push_str(&format!("Duration:\t{}{running}\n", lasted(record, Timestamp::now())));
    match status(record) {
        "Error" => text.push_str(&format!("Error:\t{}\n", record.error)),
        "Canceled" => text.push_str("Status:\tCanceled\n"),
        _ => {}
    }
    let cached = f64::from(record.cached) / f64::from(record.steps.max(1)) * 100.0;
    text.push_str(&format!("Build Steps:\t{}/{} ({cached:.0}% cached)\n", record.done, record.steps));
    let mut out = format!("{head}\n{}", table::layout_with(&text, 0, 1));
    let mut more = String::new();
    if !record.network.is_empty() {
        more.push_str(&format!("Network:\t{}\n", record.network));
    }
    if record.no_cache {
        more.push_str("No Cache:\ttrue\n");
    }
    if !record.image.is_empty() {
        more.push_str(&format!("Image:\t{}\n", record.image));
    }
    if !more.is_empty() {
        out.push_str(&format!("\n{}", table::layout_with(&more, 0, 1)));
    }
    for (title, map) in [("BUILD ARG", &record.args), ("LABEL", &record.labels)] {
        if !map.is_empty() {
            let rows: String = map.iter().map(|(name, value)| format!("{name}\t{value}\n")).collect();
            out.push_str(&format!("\n{}", table::layout_with(&format!("{title}\tVALUE\n{rows}"), 0, 3)));
        }
    }
    out
}

async fn logs(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let all = records(session).await?;
    let record = find(&all, matches.argument(0))?;
    let form = Form::of(matches.text("progress"), false)?;
    let path = format!("/hull/history/{}/log", record.reference);
    let response = session.client().await?.request(Method::GET, &path).send().await?;
    let mut lines = response.messages::<BuildLogLine>();
    let (began, started) = (Instant::now(), record.created.unix_nanoseconds());
    let mut show = Show::new(form);
    while let Some(BuildLogLine { at, message }) = lines.next().await? {
        let time = Timestamp::from_unix_nanoseconds(started + i128::from(at));
        show.set_clock(began + Duration::from_nanos(at), time);
        show.message(&message);
        if let BuildMessage::Error(error) = &message {
            streams::complain(&show.failure(error).message);
        }
    }
    show.findings();
    Ok(())
}

async fn remove(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let mut all = records(session).await?;
    let wanted: Vec<&BuildRecord> = match (matches.switch("all"), matches.arguments()) {
        (true, []) => {
            all.retain(|record| record.completed.is_some());
            all.iter().collect()
        }
        (true, _) => return Err("ERROR: cannot specify refs when using --all".into()),
        (false, []) => return Err("ERROR: no records specified: name a ref, or use --all".into()),
        (false, refs) => refs.iter().map(|text| find(&all, text)).collect::<Result<_, _>>()?,
    };
    let client = session.client().await?;
    let mut failures = Failures::new();
    for record in wanted {
        let path = format!("/hull/history/{}", record.reference);
        match client.request(Method::DELETE, &path).done().await {
            Ok(()) => {}
            Err(error) => failures.push(Failure::from(error).context("ERROR")),
        }
    }
    failures.into_result()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(reference: &str, context: &str) -> BuildRecord {
        BuildRecord {
            reference: reference.into(),
            context: context.into(),
            dockerfile: "Dockerfile".into(),
            created: Timestamp { seconds: 0, nanoseconds: 0 },
            completed: Some(Timestamp { seconds: 65, nanoseconds: 0 }),
            steps: 4,
            done: 4,
            cached: 1,
            ..BuildRecord::default()
        }
    }

    #[test]
    fn records_are_found() {
        let all = [record("abc1", "/a"), record("abd2", "/b")];
        let found = |text: &str| {
            find(&all, text).map(|record| record.reference.clone()).map_err(|error| error.message)
        };
        assert_eq!(found("").unwrap(), "abc1");
        assert_eq!(found("^1").unwrap(), "abd2");
        assert_eq!(found("default/default/abd").unwrap(), "abd2");
        assert_eq!(found("^2").unwrap_err(), "ERROR: no record found for ref \"^2\"");
        assert!(found("ab").unwrap_err().contains("several") && found("x").is_err() && found("x/").is_err());
        assert_eq!(find(&[], "").unwrap_err().message, "ERROR: no records found");
    }

    #[test]
    fn records_are_shown() {
        let mut one = record("r", "https://example.com/team/app.git#main:sub");
        assert_eq!(name(&one), "app");
        (one.context, one.target, one.dockerfile) = ("/src/app".into(), "web".into(), "ci.Dockerfile".into());
        assert_eq!(name(&one), "app/ci.Dockerfile (web)");
        assert_eq!(lasted(&one, Timestamp::now()), "1m 5s");
        one.args.insert("A".into(), "b".into());
        let wanted = "Name:       app/ci.Dockerfile (web)\nRef:        r\nContext:    /src/app\nDockerfile: ci.Dockerfile\n\
                      Target:     web\n\nStarted:     1970-01-01 00:00:00\nDuration:    1m 5s\n\
                      Build Steps: 4/4 (25% cached)\n\nBUILD ARG   VALUE\nA           b\n";
        assert_eq!(pretty(&one, true), wanted);
        assert_eq!(document(&one)["Status"], "completed");
        one.error = "no".into();
        assert_eq!((status(&one), document(&one)["Error"]["Message"].as_str()), ("Error", Some("no")));
    }
}
