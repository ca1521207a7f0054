//! The targets of a plan, built.

use super::words;
use crate::build::{self, ANSWER, Call, Extra, Form, KEPT, Show};
use crate::failure::{Failure, file_error};
use crate::matches::{Matches, Stop, read};
use crate::session::Session;
use crate::streams;
use futures::future::{LocalBoxFuture, try_join_all};
use hull_bake::{Plan, Target};
use hull_client::Method;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use tokio::sync::{OnceCell, Semaphore};

/// Builds all targets of a plan; the first that fails ends the others.
pub async fn all(session: &Session, matches: &Matches, plan: &Plan) -> Result<(), Failure> {
    let show = Show::new(Form::of(matches.text("progress"), false)?);
    let processors = std::thread::available_parallelism().map_or(2, |count| count.get());
    let cells = plan.targets.keys().map(|name| (name.clone(), OnceCell::new())).collect();
    let bake = Bake { session, plan, show: &show, cells, places: Semaphore::new(processors.max(2)) };
    let result = show.during(try_join_all(plan.wanted.iter().map(|name| bake.target(name)))).await;
    bake.forget().await;
    let documents: Map<String, Value> = plan.wanted.iter().cloned().zip(result?).collect();
    match matches.text("metadata-file") {
        "" => {}
        path => std::fs::write(path, format!("{:#}\n", json!(documents)))
            .map_err(|error| Failure::new(file_error("open", path, &error)))?,
    }
    say_answers(plan, &documents, Call::of(matches)?.is_some_and(|call| call.json))
}

/// Says what the targets answered that were asked and not built, one after the other in the order of their names.
fn say_answers(plan: &Plan, documents: &Map<String, Value>, as_json: bool) -> Result<(), Failure> {
    let mut asked = Vec::new();
    for (name, target) in &plan.targets {
        let call = Call::parse(target.call.as_deref().unwrap_or_default())?;
        let answer = documents.get(name).and_then(|document| document.get(ANSWER));
        asked.extend(call.zip(answer).map(|(call, answer)| (name, target, call, answer)));
    }
    if as_json {
        let mut document = plan.to_json();
        for (name, definition) in document["target"].as_object_mut().into_iter().flatten() {
            let mut parts = json!({ "build": definition.take() });
            for (_, _, call, answer) in asked.iter().filter(|(asked, ..)| *asked == name) {
                parts[call.name.as_str()] = (*answer).clone();
            }
            *definition = parts;
        }
        streams::print_line(&format!("{document:#}"));
    } else {
        for (place, (name, target, call, answer)) in asked.iter().enumerate() {
            let description = target.description.as_ref().map(|text| format!("{text}\n")).unwrap_or_default();
            let blank = if place > 0 { "\n" } else { "" };
            streams::print(&format!("{blank}{name}\n{description}\n{}", call.text(answer)?));
        }
    }
    match asked.iter().map(|(_, _, call, answer)| call.code(answer)).max() {
        None | Some(0) => Ok(()),
        Some(code) => Err(Failure::silent(code)),
    }
}

struct Bake<'a> {
    session: &'a Session,
    plan: &'a Plan,
    show: &'a Show,
    /// What each target came to, made by the first who needs it.
    cells: BTreeMap<String, OnceCell<Value>>,
    places: Semaphore,
}

impl Bake<'_> {
    fn target<'b>(&'b self, name: &'b str) -> LocalBoxFuture<'b, Result<Value, Failure>> {
        Box::pin(async move {
            let missing = || Failure::new(format!("ERROR: failed to find target {name}"));
            let cell = self.cells.get(name).ok_or_else(missing)?;
            let target = self.plan.targets.get(name).ok_or_else(missing)?;
            let mut document = cell.get_or_try_init(|| self.make(name, target)).await?.clone();
            if let Some(object) = document.as_object_mut() {
                object.remove(KEPT);
            }
            Ok(document)
        })
    }

    async fn make(&self, name: &str, target: &Target) -> Result<Value, Failure> {
        let needed: Vec<&str> =
            target.contexts.values().filter_map(|place| place.strip_prefix("target:")).collect();
        try_join_all(needed.iter().map(|other| self.target(other))).await?;
        let built = needed.iter().filter_map(|other| {
            let kept = self.cells.get(*other)?.get()?.get(KEPT)?.as_str()?;
            Some(((*other).to_owned(), format!("hull-build://{kept}")))
        });
        let is_wanted = self.plan.wanted.iter().any(|wanted| wanted == name);
        let said = |text: String| Failure::new(format!("ERROR: target {name}: {text}"));
        let words = words::of(target, &built.collect(), is_wanted).map_err(said)?;
        let read = read(build::BUILD.flags, true, &words).map_err(|stop| match stop {
            Stop::Flag(why) => said(why),
            Stop::Help { .. } => said("help is no option of a target".into()),
        })?;
        let matches = Matches::new("bake", &build::BUILD, read);
        let keep =
            self.plan.targets.values().any(|other| {
                other.contexts.values().any(|place| place.strip_prefix("target:") == Some(name))
            });
        let extra = Extra { dockerfile: target.dockerfile_inline.clone(), keep, layers_only: !is_wanted };
        let _place = self.places.acquire().await;
        let label = if self.plan.targets.len() > 1 { name } else { "" };
        let mut show = self.show.beside(label);
        build::one(self.session, &matches, &mut show, &extra).await.map_err(|failure| match label {
            "" => failure,
            label => Failure {
                message: failure.message.replacen("ERROR: ", &format!("ERROR: target {label}: "), 1),
                ..failure
            },
        })
    }

    /// Lets the engine forget what it kept for targets that start from others.
    async fn forget(&self) {
        let Ok(client) = self.session.client().await else { return };
        let kept = self.cells.values().filter_map(|cell| cell.get()?.get(KEPT)?.as_str());
        for id in kept {
            // It would forget by itself after a while.
            let _ = client.request(Method::DELETE, &format!("/hull/builds/{id}")).done().await;
        }
    }
}
