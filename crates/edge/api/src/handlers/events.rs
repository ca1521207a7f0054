//! `GET /events`.

use crate::request::Call;
use crate::response::{self, AbortOnDrop, Outcome};
use crate::router::Router;
use crate::status::Failure;
use bytes::Bytes;
use hull_api_types::{EventMessage, Filters};
use hull_events::{EventBus, Subscription};
use hull_types::Timestamp;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

const FILTERS: [&str; 14] = [
    "config",
    "container",
    "daemon",
    "event",
    "image",
    "label",
    "network",
    "node",
    "plugin",
    "scope",
    "secret",
    "service",
    "type",
    "volume",
];
// Actions that have more behind a colon; a filter names what is before it.
const OPEN_ACTIONS: [&str; 3] = ["exec_create", "exec_start", "health_status"];

pub fn register(router: &mut Router, events: &EventBus) {
    router.add("GET /events", events, events_since);
}

async fn events_since(events: EventBus, call: Call) -> Outcome {
    let (since, until) = (call.query.time("since")?, call.query.time("until")?);
    let filters = call.query.filters(&FILTERS)?;
    if let (Some(since), Some(until)) = (since, until)
        && until < since
    {
        return Err(Failure::invalid("`since` time cannot be after `until` time"));
    }
    // Without `since` the past is not told.
    let (backlog, subscription) = match (since, until) {
        (None, None) => (Vec::new(), events.subscribe()),
        (None, Some(_)) => (Vec::new(), events.subscribe()),
        _ => events.subscribe_since(since, until),
    };
    let (sender, pieces) = mpsc::channel(16);
    let task = tokio::spawn(send(backlog, subscription, until, filters, sender));
    response::stream("application/json", pieces, Some(AbortOnDrop(task.abort_handle())))
}

async fn send(
    backlog: Vec<Arc<EventMessage>>,
    mut subscription: Subscription,
    until: Option<Timestamp>,
    filters: Filters,
    sender: mpsc::Sender<io::Result<Bytes>>,
) {
    for event in backlog.iter().filter(|event| wanted(&filters, event)) {
        if sender.send(Ok(line(event))).await.is_err() {
            return;
        }
    }
    let mut end = Box::pin(end(until));
    loop {
        let event = tokio::select! {
            biased;
            () = &mut end => return,
            event = subscription.next() => event,
        };
        let Some(event) = event else { return };
        if wanted(&filters, &event) && sender.send(Ok(line(&event))).await.is_err() {
            return;
        }
    }
}

async fn end(until: Option<Timestamp>) {
    let Some(until) = until else { return std::future::pending().await };
    let left = until.unix_nanoseconds() - Timestamp::now().unix_nanoseconds();
    if let Ok(left) = u64::try_from(left) {
        tokio::time::sleep(Duration::from_nanos(left)).await;
    }
}

fn line(event: &EventMessage) -> Bytes {
    let mut bytes = serde_json::to_vec(event).unwrap_or_default();
    bytes.push(b'\n');
    bytes.into()
}

/// Whether the event passes: one of the values of every filter.
fn wanted(filters: &Filters, event: &EventMessage) -> bool {
    filters.iter().all(|(key, values)| match key.as_str() {
        "type" => values.contains(&event.kind),
        "event" => values.iter().any(|value| is_action(value, &event.action)),
        "scope" => values.contains(&event.scope),
        "label" => values.iter().all(|value| has_label(event, value)),
        "image" => values.iter().any(|value| is_image(event, value)),
        kind => event.kind == kind && values.iter().any(|value| is_object(event, value)),
    })
}

fn is_action(wanted: &str, action: &str) -> bool {
    let word = action.split(':').next().unwrap_or(action);
    wanted == action || (OPEN_ACTIONS.contains(&word) && action.starts_with(wanted))
}

fn has_label(event: &EventMessage, label: &str) -> bool {
    match label.split_once('=') {
        Some((key, value)) => event.actor.attributes.get(key).is_some_and(|has| has == value),
        None => event.actor.attributes.contains_key(label),
    }
}

// Ids and names by their beginnings, as Docker does.
fn is_object(event: &EventMessage, wanted: &str) -> bool {
    event.actor.id.starts_with(wanted)
        || event.actor.attributes.get("name").is_some_and(|name| name.starts_with(wanted))
}

fn is_image(event: &EventMessage, wanted: &str) -> bool {
    let attribute = match event.kind.as_str() {
        "image" => "name",
        _ => "image",
    };
    let name = event.actor.attributes.get(attribute).map_or("", String::as_str);
    let id = event.actor.id.as_str();
    [id, name, without_tag(id), without_tag(name)].iter().any(|text| !text.is_empty() && *text == wanted)
}

fn without_tag(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> EventMessage {
        let attributes = [("image", "bb:1"), ("name", "web"), ("tier", "front")];
        let attributes = attributes.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        EventMessage::now("container", "exec_create: sh", "abcdef", attributes)
    }

    fn passes(filters: &[(&str, &str)]) -> bool {
        let mut map = Filters::new();
        for (key, value) in filters {
            map.entry((*key).into()).or_default().push((*value).into());
        }
        wanted(&map, &event())
    }

    #[test]
    fn filters_choose_events() {
        for yes in [
            &[][..],
            &[("type", "container")],
            &[("type", "image"), ("type", "container")],
            &[("container", "web")],
            &[("container", "abc")],
            &[("image", "bb")],
            &[("image", "bb:1")],
            &[("event", "exec_create")],
            &[("label", "tier=front")],
            &[("label", "tier")],
            &[("scope", "local")],
        ] {
            assert!(passes(yes), "{yes:?}");
        }
        for no in [
            &[("type", "image")][..],
            &[("container", "x")],
            &[("volume", "web")],
            &[("event", "start")],
            &[("label", "tier=back")],
            &[("label", "tier"), ("label", "x")],
            &[("image", "b")],
            &[("type", "container"), ("container", "x")],
        ] {
            assert!(!passes(no), "{no:?}");
        }
    }

    #[test]
    fn lines_have_the_old_fields() {
        let text = String::from_utf8(line(&event()).to_vec()).unwrap();
        assert!(
            text.ends_with("}\n")
                && text.contains(r#""status":"exec_create: sh","id":"abcdef","from":"bb:1""#)
        );
    }

    #[tokio::test]
    async fn an_end_in_the_past_is_now() {
        end(Some(Timestamp { seconds: 1, nanoseconds: 0 })).await;
    }
}
