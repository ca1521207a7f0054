//! `exec`.

use super::hijacked::{self, DETACHED, Ended, Sized, Wiring, check_terminal, with_window};
use super::options::variables;
use crate::failure::Failure;
use crate::matches::Matches;
use crate::session::Session;
use crate::terminal;
use hull_api_types::{ExecCreateRequest, ExecStartRequest};
use hull_client::Client;

/// `exec`.
pub async fn exec(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let request = request(session, matches)?;
    let detach = matches.switch("detach");
    if !detach {
        check_terminal(request.attach_stdin, request.tty)?;
    }
    let client = session.client().await?;
    let created = client.exec_create(matches.argument(0), &request).await?;
    if created.id.is_empty() {
        return Err("exec ID empty".into());
    }
    if detach {
        let start = ExecStartRequest { detach: true, tty: request.tty, console_size: request.console_size };
        return Ok(client.exec_start(&created.id, &start).await?);
    }
    interact(client, &created.id, &request).await
}

/// The flags as the engine's request.
pub fn request(session: &Session, matches: &Matches) -> Result<ExecCreateRequest, Failure> {
    let environment = variables::environment(&matches.list("env-file"), &matches.list("env"))?;
    let (detach, tty) = (matches.switch("detach"), matches.switch("tty"));
    let size = if tty { terminal::size() } else { None };
    Ok(ExecCreateRequest {
        user: matches.text("user").to_owned(),
        privileged: matches.switch("privileged"),
        tty,
        console_size: size.map(|(height, width)| [height.into(), width.into()]),
        attach_stdin: !detach && matches.switch("interactive"),
        attach_stdout: !detach,
        attach_stderr: !detach,
        detach,
        detach_keys: session.detach_keys(matches.text("detach-keys")).to_owned(),
        env: (!environment.is_empty()).then_some(environment),
        working_dir: matches.text("workdir").to_owned(),
        cmd: Some(matches.arguments()[1..].to_vec()),
    })
}

async fn interact(client: &Client, id: &str, request: &ExecCreateRequest) -> Result<(), Failure> {
    let start = ExecStartRequest { detach: false, tty: request.tty, console_size: request.console_size };
    let connection = client.exec_attach(id, &start).await?;
    let wiring = Wiring {
        tty: request.tty,
        stdin: request.attach_stdin,
        detach_keys: &request.detach_keys,
        proxied: false,
    };
    let window = request.tty.then_some(Sized::Exec(id));
    if with_window(client, window, hijacked::stream(connection, wiring)).await? == Ended::Detached {
        return Err(DETACHED.into());
    }
    let exit = client.exec_inspect(id).await?.exit_code.unwrap_or(0);
    match i32::try_from(exit).unwrap_or(1) {
        0 => Ok(()),
        code => Err(Failure::silent(code)),
    }
}
