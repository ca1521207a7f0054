//! `start` and `attach`.

use super::hijacked::{self, DETACHED, Ended, Sized, Wiring, check_terminal, with_signals, with_window};
use super::run::finish;
use crate::failure::Failure;
use crate::matches::Matches;
use crate::session::Session;
use crate::signals::Caught;
use crate::streams::{complain, print_line};
use hull_api_types::ContainerInspect;
use hull_client::{AttachQuery, Client};

/// `start`.
pub async fn start(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let (attach, interactive) = (matches.switch("attach"), matches.switch("interactive"));
    let checkpoint = matches.text("checkpoint");
    let names = matches.arguments();
    if attach || interactive {
        if names.len() > 1 {
            return Err("you cannot start and attach multiple containers at once".into());
        }
        return start_attached(session, matches, interactive).await;
    }
    if !checkpoint.is_empty() && names.len() > 1 {
        return Err("you cannot restore multiple containers at once".into());
    }
    let client = session.client().await;
    let mut failed = Vec::new();
    for name in names {
        let started = match &client {
            Ok(client) => client
                .container_start(name, checkpoint, matches.text("checkpoint-dir"))
                .await
                .map_err(Failure::from),
            Err(failure) => Err(failure.clone()),
        };
        match started {
            Ok(()) => print_line(name),
            Err(failure) => {
                complain(&failure.message);
                failed.push(name.as_str());
            }
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("Error: failed to start containers: {}", failed.join(", "))))
}

async fn start_attached(session: &Session, matches: &Matches, interactive: bool) -> Result<(), Failure> {
    let client = session.client().await?;
    let container: ContainerInspect = client.container_inspect(matches.argument(0), false).await?;
    let (id, config) = (container.id.as_str(), &container.config);
    let keys = match matches.text("detach-keys") {
        "" => session.detach_keys(""),
        keys => keys,
    };
    let stdin = interactive && config.open_stdin;
    check_terminal(stdin, config.tty)?;
    // On a terminal, keys that make signals travel as bytes.
    let caught = (!config.tty).then(Caught::forwarded);
    let proxied = caught.is_some();
    let query = AttachQuery { stdin, stdout: true, stderr: true, logs: false, detach_keys: keys.to_owned() };
    let remove = container.host_config.auto_remove;
    let condition = if remove { "removed" } else { "next-exit" };
    let (connection, waiting) =
        tokio::join!(client.container_attach(id, &query), client.container_wait(id, condition));
    let connection = connection?;
    let work = async {
        if let Err(error) =
            client.container_start(id, matches.text("checkpoint"), matches.text("checkpoint-dir")).await
        {
            if let (true, Ok(waiting)) = (remove, waiting) {
                let _ = waiting.finish().await;
            }
            return Err(error.into());
        }
        let wiring = Wiring { tty: config.tty, stdin, detach_keys: keys, proxied };
        let window = config.tty.then_some(Sized::Container(id));
        match with_window(client, window, hijacked::stream(connection, wiring)).await? {
            Ended::Detached => Ok(()),
            Ended::Closed => finish(waiting).await,
        }
    };
    with_signals(client, id, caught, work).await
}

/// `attach`.
pub async fn attach(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let client = session.client().await?;
    let container = running(client, matches.argument(0)).await?;
    let (id, config) = (container.id.as_str(), &container.config);
    let stdin = !matches.switch("no-stdin") && config.open_stdin;
    check_terminal(!matches.switch("no-stdin"), config.tty)?;
    let keys = session.detach_keys(matches.text("detach-keys"));
    let query = AttachQuery { stdin, stdout: true, stderr: true, logs: false, detach_keys: keys.to_owned() };
    let caught = (matches.switch("sig-proxy") && !config.tty).then(Caught::forwarded);
    let proxied = caught.is_some();
    let (connection, waiting) =
        tokio::join!(client.container_attach(id, &query), client.container_wait(id, ""));
    let connection = connection?;
    let work = async {
        let wiring = Wiring { tty: config.tty, stdin, detach_keys: keys, proxied };
        let window = config.tty.then_some(Sized::Container(id));
        match with_window(client, window, hijacked::stream(connection, wiring)).await? {
            Ended::Detached => Err(DETACHED.into()),
            Ended::Closed => finish(waiting).await,
        }
    };
    with_signals(client, id, caught, work).await
}

/// The container, which must be running for one to attach to it.
async fn running(client: &Client, name: &str) -> Result<ContainerInspect, Failure> {
    let container: ContainerInspect = client.container_inspect(name, false).await?;
    let state = &container.state;
    if !state.running {
        return Err("cannot attach to a stopped container, start it first".into());
    }
    if state.paused {
        return Err("cannot attach to a paused container, unpause it first".into());
    }
    if state.restarting {
        return Err("cannot attach to a restarting container, wait until it is running".into());
    }
    Ok(container)
}
