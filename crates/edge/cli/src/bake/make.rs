//! The targets of a plan, built.

use super::words;
use crate::build::{self, Extra, Form, KEPT, Show};
use crate::failure::{Failure, file_error};
use crate::matches::{Matches, Stop, read};
use crate::session::Session;
use futures::future::{LocalBoxFuture, try_join_all};
use hull_bake::{Plan, Target};
use hull_client::Method;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use tokio::sync::{OnceCell, Semaphore};

/// Builds all targets of a plan; the first that fails ends the others.
pub async fn all(session: &Session, matches: &Matches, plan: &Plan) -> Result<(), Failure> {
    let show = Show::new(Form::of(matches.text("progress"), false)?);
    let processors = std::thread::available_parallelism().map_or(2, |count| count.get());
    // What is looked at and not built is printed, one target after the other.
    let looks =
        plan.targets.values().any(|target| target.call.as_deref().is_some_and(|call| call != "build"));
    let places = if looks { 1 } else { processors.max(2) };
    let cells = plan.targets.keys().map(|name| (name.clone(), OnceCell::new())).collect();
    let bake = Bake { session, plan, show: &show, cells, places: Semaphore::new(places) };
    let result = show.during(try_join_all(plan.wanted.iter().map(|name| bake.target(name)))).await;
    bake.forget().await;
    let documents = result?;
    match matches.text("metadata-file") {
        "" => Ok(()),
        path => {
            let document: Map<String, Value> = plan.wanted.iter().cloned().zip(documents).collect();
            std::fs::write(path, format!("{:#}\n", Value::Object(document)))
                .map_err(|error| Failure::new(file_error("open", path, &error)))
        }
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
