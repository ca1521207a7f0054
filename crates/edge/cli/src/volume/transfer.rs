//! Volumes as a whole: `export`, `import`, `clone`, `rename`. Hull's own.

use crate::command::{Action, Arguments, Command, Flag};
use crate::failure::Failure;
use crate::image::transfer::{keep, pieces};
use crate::matches::Matches;
use crate::session::Session;
use crate::streams;
use hull_api_types::Volume;
use hull_client::Method;

pub static EXPORT: Command = Command {
    usage: "[OPTIONS] VOLUME",
    about: "Export a volume's files as a tar archive",
    names: &[],
    flags: &[
        Flag::text("output", "string", "Write to a file, instead of STDOUT").short('o'),
        Flag::switch("zstd", "Compress the archive by Zstandard"),
    ],
    arguments: Arguments::Exactly(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(export(session, matches))),
};

async fn export(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let output = if matches.text("output") == "-" { "" } else { matches.text("output") };
    if output.is_empty() && streams::is_terminal(rustix::stdio::stdout()) {
        return Err("cowardly refusing to save to a terminal. Use the -o flag or redirect".into());
    }
    let client = session.client().await?;
    let path = format!("/volumes/{}/export", matches.argument(0));
    let call = client.request(Method::GET, &path).query(|query| {
        query.text("compression", if matches.switch("zstd") { "zstd" } else { "" });
    });
    keep(call.send().await?, output).await
}

pub static IMPORT: Command = Command {
    usage: "VOLUME FILE|-",
    about: "Import a tar archive's files into a volume, which is made if it is not there",
    names: &[],
    flags: &[],
    arguments: Arguments::Exactly(2),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(import(session, matches))),
};

async fn import(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let body = pieces(if matches.argument(1) == "-" { "" } else { matches.argument(1) })?;
    let client = session.client().await?;
    let path = format!("/volumes/{}/import", matches.argument(0));
    let call = client.request(Method::POST, &path).stream("application/x-tar", body);
    let volume: Volume = call.fetch().await?;
    streams::print_line(&volume.name);
    Ok(())
}

pub static CLONE: Command = Command {
    usage: "VOLUME NEW",
    about: "Make a volume with the labels and files of another",
    names: &[],
    flags: &[],
    arguments: Arguments::Exactly(2),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(to_new_name(session, matches, "clone"))),
};

pub static RENAME: Command = Command {
    usage: "VOLUME NEW",
    about: "Rename a volume that no container uses",
    names: &[],
    flags: &[],
    arguments: Arguments::Exactly(2),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(to_new_name(session, matches, "rename"))),
};

async fn to_new_name(session: &Session, matches: &Matches, act: &str) -> Result<(), Failure> {
    let client = session.client().await?;
    let path = format!("/volumes/{}/{act}", matches.argument(0));
    let call = client.request(Method::POST, &path).query(|query| {
        query.text("to", matches.argument(1));
    });
    let volume: Volume = call.fetch().await?;
    streams::print_line(&volume.name);
    Ok(())
}
