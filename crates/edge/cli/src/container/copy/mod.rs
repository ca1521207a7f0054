//! `cp`: files between a container and here, as tars.
//!
//! What lands where under which name is decided in [`plan`] from what is there on both sides; [`transfer`] moves
//! the bytes, with members renamed on the way.

mod plan;
mod transfer;

use crate::failure::{Failure, file_error};
use crate::matches::Matches;
use crate::session::Session;
use crate::streams::{Output, complain, is_terminal};
use hull_client::Client;
use hull_types::size;
use plan::{Placing, Side, Thing};

/// `cp`.
pub async fn copy(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let (from, to) = (plan::split(matches.argument(0)), plan::split(matches.argument(1)));
    // Without a terminal nobody watches, so nothing is said.
    let quiet = if matches.changed("quiet") {
        matches.switch("quiet")
    } else {
        !is_terminal(rustix::stdio::stdout())
    };
    let options =
        Options { archive: matches.switch("archive"), follow: matches.switch("follow-link"), quiet };
    match (from, to) {
        (Side::Container { .. }, Side::Container { .. }) => {
            Err("copying between containers is not supported".into())
        }
        (Side::Local(_), Side::Local(_)) => Err("must specify at least one container source".into()),
        (Side::Container { name, path }, Side::Local(local)) => {
            download(session, name, path, local, options).await
        }
        (Side::Local(local), Side::Container { name, path }) => {
            upload(session, local, name, path, options).await
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Options {
    archive: bool,
    follow: bool,
    quiet: bool,
}

fn succeeded(bytes: u64, to: &str) {
    complain(&format!("Successfully copied {} to {to}", size::decimal_with(bytes as f64, 3)));
}

async fn download(
    session: &Session,
    name: &str,
    path: &str,
    local: &str,
    options: Options,
) -> Result<(), Failure> {
    let local = if local == "-" { local.to_owned() } else { plan::absolute_keeping_end(local) };
    if local != "-" {
        super::check_output_place(&local)?;
    }
    let client = session.client().await?;
    let (path, rebase) =
        if options.follow { followed(client, name, path).await } else { (path.to_owned(), String::new()) };
    let (stat, response) = client.container_archive(name, &path).await?;
    if local == "-" {
        return super::hijacked::copy_raw(super::body_reader(response), &mut Output::stdout()).await;
    }
    let source = Thing { path, exists: true, directory: is_directory(stat.mode), rebase };
    let target = plan::destination(&local).map_err(Failure::new)?;
    let placing = plan::place(&source, &target)?;
    let bytes = transfer::receive(response, placing, options.archive).await?;
    if !options.quiet {
        succeeded(bytes, &local);
    }
    Ok(())
}

/// The path of what a link in the container leads to, and the name that the copy has nevertheless.
async fn followed(client: &Client, name: &str, path: &str) -> (String, String) {
    match client.container_stat(name, path).await {
        Ok(stat) if is_link(stat.mode) => plan::rebased(path, &plan::link_target(path, &stat.link_target)),
        _ => (path.to_owned(), String::new()),
    }
}

async fn upload(
    session: &Session,
    local: &str,
    name: &str,
    path: &str,
    options: Options,
) -> Result<(), Failure> {
    let client = session.client().await?;
    let mut target = Thing { path: path.to_owned(), ..Thing::default() };
    let mut found = client.container_stat(name, path).await;
    if let Ok(stat) = &found
        && is_link(stat.mode)
    {
        target.path = plan::link_target(path, &stat.link_target);
        found = client.container_stat(name, &target.path).await;
    }
    match found {
        Ok(stat) => {
            (target.exists, target.directory) = (true, is_directory(stat.mode));
            if is_special(stat.mode) {
                return Err(Failure::new(format!(
                    "destination \"{name}:{path}\" must be a directory or a regular file"
                )));
            }
        }
        // What isn't there is made, if its directory is; a container that isn't there is an error of its own.
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error.into()),
    }
    let (source, placing) = if local == "-" {
        if !target.directory {
            return Err(Failure::new(format!("destination \"{name}:{path}\" must be a directory")));
        }
        (None, Placing { directory: target.path.clone(), rename: None })
    } else {
        let source = plan::source(&plan::absolute_keeping_end(local), options.follow)
            .map_err(|error| Failure::new(file_error("lstat", &error.0, &error.1)))?;
        let placing = plan::place(&source, &target)?;
        (Some(source), placing)
    };
    let bytes = transfer::send(client, name, source, &placing, options.archive).await?;
    if !options.quiet {
        succeeded(bytes, &format!("{name}:{}", target.path));
    }
    Ok(())
}

// Bits of Go's `os.FileMode`, which the engine's answers have.
fn is_directory(mode: u32) -> bool {
    mode & 1 << 31 != 0
}
fn is_link(mode: u32) -> bool {
    mode & 1 << 27 != 0
}
fn is_special(mode: u32) -> bool {
    mode & (1 << 26 | 1 << 21) != 0
}
