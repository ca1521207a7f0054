//! `events`.

use crate::command::{Action, Arguments, Command, Flag};
use crate::failure::Failure;
use crate::matches::Matches;
use crate::session::Session;
use crate::{check, duration, format, list, streams};
use hull_api_types::EventMessage;
use hull_client::Method;
use hull_sys::local_time::Zone;
use hull_types::Timestamp;
use serde_json::Value;

pub static EVENTS: Command = Command {
    usage: "[OPTIONS]",
    about: "Get real time events from the server",
    names: &["system events", "events"],
    flags: &[
        Flag::list("filter", "filter", "Filter output based on conditions provided")
            .short('f')
            .check(check::filter),
        Flag::text("format", "string", list::INSPECT_FLAG.help),
        Flag::text("since", "string", "Show all events created since timestamp"),
        Flag::text("until", "string", "Stream events until this timestamp"),
    ],
    arguments: Arguments::None,
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(events(session, matches))),
};

const GO_NAMES: [(&str, &str); 6] = [
    ("status", "Status"),
    ("id", "ID"),
    ("from", "From"),
    ("scope", "Scope"),
    ("timeNano", "TimeNano"),
    ("time", "Time"),
];

async fn events(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let now = Timestamp::now();
    let since = duration::timestamp(matches.text("since"), now)?;
    let until = duration::timestamp(matches.text("until"), now)?;
    let template = match matches.text("format") {
        "" => None,
        "json" => Some(String::from("json")),
        text => {
            format::parse_documents(text)?;
            Some(text.to_owned())
        }
    };
    let client = session.client().await?;
    let filters = check::filters(&matches.list("filter"));
    let call = client.request(Method::GET, "/events").query(|query| {
        query.filters(&filters).text("since", &since).text("until", &until);
    });
    let mut stream = call.send().await?.messages::<Value>();
    while let Some(mut document) = stream.next().await? {
        let text = match template.as_deref() {
            Some("json") => format!("{}\n", document),
            Some(template) => {
                list::with_go_names(&mut document, template, &GO_NAMES);
                format::one(template, &document)?
            }
            None => shown(&document)?,
        };
        streams::print(&text);
    }
    Ok(())
}

/// `2026-11-20T22:00:00.000000000+01:00 container start <id> (image=busybox, name=x)`.
fn shown(document: &Value) -> Result<String, Failure> {
    let event: EventMessage = serde_json::from_value(document.clone())
        .map_err(|error| Failure::new(format!("an event: {error}")))?;
    let at = match event.time_nano {
        0 => Timestamp { seconds: event.time, nanoseconds: 0 },
        nano => Timestamp::from_unix_nanoseconds(nano.into()),
    };
    let attributes: Vec<String> =
        event.actor.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let tail = if attributes.is_empty() { String::new() } else { format!(" ({})", attributes.join(", ")) };
    let zone = Zone::at(at.seconds);
    let at = zone.mark(&zone.clock(at).with_nine_digits());
    Ok(format!("{at} {} {} {}{tail}\n", event.kind, event.action, event.actor.id))
}
