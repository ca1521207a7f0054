//! `run`: create → attach ∥ wait → start → streams → exit code.

use super::create::{self, NOT_RUN, create_container, explain};
use super::hijacked::{self, Ended, Sized, Wiring, check_terminal, with_signals, with_window};
use super::options::Plan;
use crate::failure::Failure;
use crate::matches::Matches;
use crate::session::Session;
use crate::signals::Caught;
use crate::streams::{complain, is_terminal, print_line};
use crate::terminal;
use hull_client::{AttachQuery, Client, Waiting};

/// `run`.
pub async fn run(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let mut plan = create::plan(session, matches)?;
    let detach = matches.switch("detach");
    let config = &mut plan.request.config;
    if detach {
        if matches.changed("attach") {
            return Err("conflicting options: cannot specify both --attach and --detach".into());
        }
        config.attach_stdin = false;
        config.attach_stdout = false;
        config.attach_stderr = false;
        config.stdin_once = false;
    } else {
        check_terminal(config.attach_stdin, config.tty)?;
    }
    if let Some((height, width)) = terminal::size() {
        plan.request.host_config.console_size = [height.into(), width.into()];
    }
    let id = create_container(session, matches, &plan)
        .await
        .map_err(|failure| explain(session, matches, failure))?;
    // Now that there is a container, signals are its own.
    let caught = (matches.switch("sig-proxy") && !detach).then(Caught::forwarded);
    let client = session.client().await?;
    match attached(&plan) {
        true => run_attached(session, matches, client, &plan, &id, caught).await,
        false => {
            start(client, &id).await.map_err(|failure| explain(session, matches, failure))?;
            print_line(&id);
            Ok(())
        }
    }
}

fn attached(plan: &Plan) -> bool {
    let config = &plan.request.config;
    config.attach_stdin || config.attach_stdout || config.attach_stderr
}

async fn start(client: &Client, id: &str) -> Result<(), Failure> {
    Ok(client.container_start(id, "", "").await?)
}

async fn run_attached(
    session: &Session,
    matches: &Matches,
    client: &Client,
    plan: &Plan,
    id: &str,
    caught: Option<Caught>,
) -> Result<(), Failure> {
    let (config, remove) = (&plan.request.config, plan.request.host_config.auto_remove);
    let keys = session.detach_keys(matches.text("detach-keys"));
    let query = AttachQuery {
        stdin: config.attach_stdin,
        stdout: config.attach_stdout,
        stderr: config.attach_stderr,
        logs: false,
        detach_keys: keys.to_owned(),
    };
    let condition = if remove { "removed" } else { "next-exit" };
    let proxied = caught.is_some();
    // Both must be taken up before the start, neither needs the other.
    let (connection, waiting) =
        tokio::join!(client.container_attach(id, &query), client.container_wait(id, condition));
    let connection =
        connection.map_err(Failure::from).map_err(|failure| explain(session, matches, failure))?;
    let window = (config.tty && is_terminal(rustix::stdio::stdout())).then_some(Sized::Container(id));
    let wiring = Wiring { tty: config.tty, stdin: config.attach_stdin, detach_keys: keys, proxied };
    let work = async {
        if let Err(failure) = start(client, id).await {
            if let (true, Ok(waiting)) = (remove, waiting) {
                // The engine removes what could not start; its name is free again after that.
                let _ = waiting.finish().await;
            }
            return Err(explain(session, matches, failure));
        }
        let ended = with_window(client, window, hijacked::stream(connection, wiring)).await?;
        match ended {
            Ended::Detached => Ok(()),
            Ended::Closed => finish(waiting).await,
        }
    };
    with_signals(client, id, caught, work).await
}

/// The container's exit code as the program's own.
pub async fn finish(waiting: hull_client::Result<Waiting>) -> Result<(), Failure> {
    let answer = async { waiting?.finish().await };
    let status = match answer.await {
        Ok(answer) => match answer.error {
            Some(error) => {
                complain(&format!("Error waiting for container: {}", error.message));
                i64::from(NOT_RUN)
            }
            None => answer.status_code,
        },
        Err(error) => {
            complain(&format!("error waiting for container: {error}"));
            i64::from(NOT_RUN)
        }
    };
    match i32::try_from(status).unwrap_or(NOT_RUN) {
        0 => Ok(()),
        code => Err(Failure::silent(code)),
    }
}
