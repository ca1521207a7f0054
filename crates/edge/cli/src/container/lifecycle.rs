//! Commands that do one thing to each of several containers: `stop`, `kill`, `rm`…

use crate::check;
use crate::failure::{Failure, Failures};
use crate::matches::Matches;
use crate::session::Session;
use crate::streams::{complain, confirm, print, print_line};
use futures::StreamExt as _;
use hull_client::{Client, Result as Called};
use hull_types::size;

/// As many at a time as Docker has it.
const SIDE_BY_SIDE: usize = 50;

/// Does `act` to each; says each name as it succeeds, goes on after failures and tells of them at the end.
async fn each<'a, A, F>(session: &'a Session, names: &'a [String], act: A) -> Result<(), Failure>
where
    A: Fn(&'a Client, &'a str) -> F,
    F: Future<Output = Called<()>>,
{
    let client = reach(session, names).await?;
    let act = &act;
    let results = names.iter().map(|name| async move { (name, act(client, name).await) });
    let mut results = futures::stream::iter(results).buffered(SIDE_BY_SIDE);
    let mut failures = Failures::new();
    while let Some((name, result)) = results.next().await {
        match result {
            Ok(()) => print_line(name),
            Err(error) => failures.push(error),
        }
    }
    failures.into_result()
}

/// The engine; without one, each name has failed.
async fn reach<'a>(session: &'a Session, names: &[String]) -> Result<&'a Client, Failure> {
    session.client().await.map_err(|failure| {
        let mut failures = Failures::new();
        names.iter().for_each(|_| failures.push(failure.clone()));
        failures.into_result().err().unwrap_or(failure)
    })
}

/// `stop`.
pub async fn stop(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let (signal, timeout) = (matches.text("signal"), matches.given_integer("timeout"));
    each(session, matches.arguments(), |client, name| client.container_stop(name, signal, timeout)).await
}

/// `restart`.
pub async fn restart(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let (signal, timeout) = (matches.text("signal"), matches.given_integer("timeout"));
    each(session, matches.arguments(), |client, name| client.container_restart(name, signal, timeout)).await
}

/// `kill`.
pub async fn kill(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let signal = matches.text("signal");
    each(session, matches.arguments(), |client, name| client.container_kill(name, signal)).await
}

/// `pause`.
pub async fn pause(session: &Session, matches: &Matches) -> Result<(), Failure> {
    each(session, matches.arguments(), Client::container_pause).await
}

/// `unpause`.
pub async fn unpause(session: &Session, matches: &Matches) -> Result<(), Failure> {
    each(session, matches.arguments(), Client::container_unpause).await
}

/// `rm`.
pub async fn remove(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let (force, link, volumes) = (matches.switch("force"), matches.switch("link"), matches.switch("volumes"));
    if matches.arguments().iter().any(|name| name.trim_matches('/').is_empty()) {
        return Err("container name cannot be empty".into());
    }
    let client = reach(session, matches.arguments()).await?;
    let results = matches.arguments().iter().map(|name| async move {
        (name, client.container_remove(name.trim_matches('/'), volumes, link, force).await)
    });
    let mut results = futures::stream::iter(results).buffered(SIDE_BY_SIDE);
    let mut failures = Failures::new();
    while let Some((name, result)) = results.next().await {
        match result {
            Ok(()) => print_line(name),
            // By force, what isn't there is as good as removed.
            Err(error) if force && error.is_not_found() => complain(&error.to_string()),
            Err(error) => failures.push(error),
        }
    }
    failures.into_result()
}

/// `wait`.
pub async fn wait(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let client = reach(session, matches.arguments()).await?;
    let mut failures = Failures::new();
    for name in matches.arguments() {
        let ended = async { client.container_wait(name, "").await?.finish().await };
        match ended.await {
            Ok(answer) => match answer.error {
                Some(error) => failures.push(error.message),
                None => print_line(&answer.status_code.to_string()),
            },
            Err(error) => failures.push(error),
        }
    }
    failures.into_result()
}

/// `rename`.
pub async fn rename(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let (old, new) = (matches.argument(0).trim(), matches.argument(1).trim());
    if old.is_empty() || new.is_empty() {
        return Err("Error: Neither old nor new names may be empty".into());
    }
    let renamed = async { Ok::<_, Failure>(session.client().await?.container_rename(old, new).await?) };
    if let Err(failure) = renamed.await {
        complain(&failure.message);
        return Err(Failure::new(format!("Error: failed to rename container named {old}")));
    }
    Ok(())
}

/// `container prune`.
pub async fn prune(session: &Session, matches: &Matches) -> Result<(), Failure> {
    const QUESTION: &str =
        "WARNING! This will remove all stopped containers.\nAre you sure you want to continue?";
    if !matches.switch("force") && !confirm(QUESTION) {
        return Err("container prune has been cancelled".into());
    }
    let client = session.client().await?;
    let pruned = client.containers_prune(&check::filters(&matches.list("filter"))).await?;
    let deleted = pruned.containers_deleted.unwrap_or_default();
    if !deleted.is_empty() {
        print(&format!("Deleted Containers:\n{}\n\n", deleted.join("\n")));
    }
    print_line(&format!("Total reclaimed space: {}", size::decimal(pruned.space_reclaimed as f64)));
    Ok(())
}
