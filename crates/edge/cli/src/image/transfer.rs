//! Images out and in: `push`, `save`, `load`, `import`.

use crate::command::{Action, Arguments, Command, Flag};
use crate::failure::{Failure, file_error};
use crate::matches::Matches;
use crate::progress::{self, Target};
use crate::session::Session;
use crate::{credentials, streams};
use bytes::Bytes;
use hull_api_types::JsonMessage;
use hull_client::{Client, Method};
use hull_types::{ImageRef, Platform};
use std::io::{self, Read, Write};
use tokio::sync::mpsc;

pub static PUSH: Command = Command {
    usage: "[OPTIONS] NAME[:TAG]",
    about: "Upload an image to a registry",
    names: &["image push", "push"],
    flags: &[
        Flag::switch("all-tags", "Push all tags of an image to the repository").short('a'),
        Flag::switch("disable-content-trust", "Skip image signing").default("true"),
        Flag::text(
            "platform",
            "string",
            "Push a platform-specific manifest as a single-platform image to the registry.\nImage index won't be pushed, meaning that other manifests, including attestations won't be preserved.\n'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)",
        ),
        Flag::switch("quiet", "Suppress verbose output").short('q'),
    ],
    arguments: Arguments::Exactly(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(push(session, matches))),
};

async fn push(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let given: ImageRef = matches.argument(0).parse().map_err(|error| Failure::new(format!("{error}")))?;
    let (all, quiet) = (matches.switch("all-tags"), matches.switch("quiet"));
    if all && (given.tag().is_some() || given.digest().is_some()) {
        return Err("tag can't be used with --all-tags/-a".into());
    }
    if !all && given.tag().is_none() && !quiet {
        streams::print_line("Using default tag: latest");
    }
    let platform = match matches.text("platform") {
        "" => String::new(),
        text => {
            let platform: Platform = text.parse().map_err(|error| Failure::new(format!("{error}")))?;
            serde_json::to_string(&platform).map_err(|error| Failure::new(error.to_string()))?
        }
    };
    let name = if all { given } else { given.or_latest() };
    let auth = credentials::find(session.config(), name.domain())?;
    let client = session.client().await?;
    let call =
        client.request(Method::POST, &format!("/images/{}/push", name.familiar_name())).query(|query| {
            query.text("tag", name.tag().unwrap_or_default()).text("platform", &platform);
        });
    let call = call.header("x-registry-auth", &Client::registry_auth(auth.as_ref()));
    let mut stream = call.send().await?.messages::<JsonMessage>();
    progress::show(&mut stream, if quiet { Target::Nowhere } else { Target::Output }, |_| {}).await?;
    if quiet {
        streams::print_line(&name.to_string());
    }
    Ok(())
}

pub static SAVE: Command = Command {
    usage: "[OPTIONS] IMAGE [IMAGE...]",
    about: "Save one or more images to a tar archive (streamed to STDOUT by default)",
    names: &["image save", "save"],
    flags: &[
        Flag::text("output", "string", "Write to a file, instead of STDOUT").short('o'),
        Flag::text(
            "platform",
            "string",
            "Save only the given platform variant. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")",
        ),
    ],
    arguments: Arguments::AtLeast(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(save(session, matches))),
};

async fn save(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let output = matches.text("output");
    if output.is_empty() && streams::is_terminal(rustix::stdio::stdout()) {
        return Err("cowardly refusing to save to a terminal. Use the -o flag or redirect".into());
    }
    let platform = platform(matches)?;
    let client = session.client().await?;
    let call = client.request(Method::GET, "/images/get").query(|query| {
        for name in matches.arguments() {
            query.add("names", name);
        }
        query.text("platform", &platform);
    });
    keep(call.send().await?, output).await
}

/// Writes an answer's body to a file, or to standard output where no file is named.
pub async fn keep(mut response: hull_client::Response, output: &str) -> Result<(), Failure> {
    if output.is_empty() {
        while let Some(piece) = response.chunk().await? {
            streams::print_bytes(&piece);
        }
        return Ok(());
    }
    // The file takes its name when it is whole.
    let temporary = format!("{output}.{}.part", std::process::id());
    let failed = |error: io::Error| Failure::new(file_error("write", output, &error));
    let mut file = std::fs::File::create(&temporary).map_err(failed)?;
    let written: Result<(), Failure> = async {
        while let Some(piece) = response.chunk().await? {
            file.write_all(&piece).map_err(failed)?;
        }
        std::fs::rename(&temporary, output).map_err(failed)
    }
    .await;
    written.inspect_err(|_| {
        let _ = std::fs::remove_file(&temporary);
    })
}

pub static LOAD: Command = Command {
    usage: "[OPTIONS]",
    about: "Load an image from a tar archive or STDIN",
    names: &["image load", "load"],
    flags: &[
        Flag::text("input", "string", "Read from tar archive file, instead of STDIN").short('i'),
        Flag::text(
            "platform",
            "string",
            "Load only the given platform variant. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")",
        ),
        Flag::switch("quiet", "Suppress the load output").short('q'),
    ],
    arguments: Arguments::None,
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(load(session, matches))),
};

async fn load(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let input = matches.text("input");
    if input.is_empty() && streams::is_terminal(rustix::stdio::stdin()) {
        return Err("requested load from stdin, but stdin is empty".into());
    }
    let quiet = matches.switch("quiet") || !streams::is_terminal(rustix::stdio::stdout());
    let (platform, body) = (platform(matches)?, pieces(input)?);
    let client = session.client().await?;
    let call = client.request(Method::POST, "/images/load").query(|query| {
        query.add("quiet", if quiet { "1" } else { "0" }).text("platform", &platform);
    });
    let mut stream = call.stream("application/x-tar", body).send().await?.messages::<JsonMessage>();
    progress::show(&mut stream, Target::Output, |_| {}).await
}

pub static IMPORT: Command = Command {
    usage: "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
    about: "Import the contents from a tarball to create a filesystem image",
    names: &["image import", "import"],
    flags: &[
        Flag::list("change", "list", "Apply Dockerfile instruction to the created image").short('c'),
        Flag::text("message", "string", "Set commit message for imported image").short('m'),
        Flag::text("platform", "string", "Set platform if server is multi-platform capable"),
    ],
    arguments: Arguments::Between(1, 2),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(import(session, matches))),
};

async fn import(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let (source, name) = (matches.argument(0), matches.argument(1));
    let remote = source.starts_with("http://") || source.starts_with("https://");
    let client = session.client().await?;
    let call = client.request(Method::POST, "/images/create").query(|query| {
        query
            .add("fromSrc", if remote { source } else { "-" })
            .text("repo", name)
            .text("message", matches.text("message"));
        query.text("platform", matches.text("platform"));
        for change in matches.list("change") {
            query.add("changes", &change);
        }
    });
    let call = match remote {
        true => call,
        false => call.stream("application/x-tar", pieces(if source == "-" { "" } else { source })?),
    };
    let mut stream = call.send().await?.messages::<JsonMessage>();
    progress::show(&mut stream, Target::Output, |_| {}).await
}

/// The platform asked for, as the engine wants it; empty for none.
pub fn platform(matches: &Matches) -> Result<String, Failure> {
    let text = matches.text("platform");
    if text.is_empty() {
        return Ok(String::new());
    }
    let platform: Platform =
        text.parse().map_err(|error| Failure::new(format!("invalid platform: {error}")))?;
    serde_json::to_string(&platform).map_err(|error| Failure::new(error.to_string()))
}

/// A file, or standard input where the name is empty, as a request's body; read by a thread of its own.
pub fn pieces(path: &str) -> Result<mpsc::Receiver<io::Result<Bytes>>, Failure> {
    let mut source: Box<dyn Read + Send> = match path {
        "" => Box::new(io::stdin()),
        path => Box::new(
            std::fs::File::open(path).map_err(|error| Failure::new(file_error("open", path, &error)))?,
        ),
    };
    let (sender, receiver) = mpsc::channel(4);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let piece = match source.read(&mut buffer) {
                Ok(0) => return,
                Ok(length) => Ok(Bytes::copy_from_slice(&buffer[..length])),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let failed = piece.is_err();
            if sender.blocking_send(piece).is_err() || failed {
                return;
            }
        }
    });
    Ok(receiver)
}
