//! `--debug`: a shell in the files that a failed step left.

use crate::command::Action;
use crate::dispatch::{self, Plan};
use crate::failure::Failure;
use crate::session::Session;
use crate::streams;
use hull_client::Method;

/// Says why the build failed and runs a shell on this image, which is removed then.
pub async fn look(session: &Session, image: &str, failure: Failure) -> Result<(), Failure> {
    streams::complain(&failure.message);
    streams::complain("\nA shell in the files that the step left, without its mounts; exit ends it.");
    let looked = shell(session, image).await;
    let client = session.client().await?;
    let path = format!("/images/{image}");
    let removed = client.request(Method::DELETE, &path).query(|query| {
        query.flag("force", true);
    });
    if let Err(error) = removed.done().await {
        streams::complain(&format!("{image} is still there: {error}"));
    }
    // The shell's own exit code says nothing of the build.
    match looked {
        Err(why) if !why.message.is_empty() => streams::complain(&why.message),
        _ => {}
    }
    Err(Failure::silent(failure.code))
}

async fn shell(session: &Session, image: &str) -> Result<(), Failure> {
    let on_terminal = streams::is_terminal(rustix::stdio::stdin());
    let interactive = if on_terminal { "-it" } else { "-i" };
    let words =
        ["run", "--rm", interactive, "--pull=never", "--entrypoint=/bin/sh", image].map(str::to_owned);
    let Plan::Run(plan) = dispatch::plan(session.program, &words)? else { return Ok(()) };
    let matches = plan.1;
    match matches.command().action {
        Action::Run(run) => run(session, &matches).await,
        Action::Group(_) => Ok(()),
    }
}
