//! `POST /build` as docker's classic builder answers it.

use super::super::blocking;
use super::hull::{self, keeps_git};
use super::{history, parameters};
use crate::request::Call;
use crate::response::{self, AbortOnDrop, Outcome, empty};
use crate::status::{Failure, text_of};
use bytes::Bytes;
use hull_api_types::build::BuildMessage;
use hull_api_types::{AuthConfig, JsonError, JsonMessage};
use hull_archive::Decompressor;
use hull_build::{
    BuildRequest, Builder, Built, Checkout, Context, Error, Event, Progress, Recorder, StepInfo,
};
use hull_dockerfile::Ignore;
use hull_types::short_id;
use hyper::StatusCode;
use serde_json::json;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Read, Seek, Write};
use tokio::sync::mpsc;

/// The largest Dockerfile and .dockerignore that are read.
pub(super) const TEXT_LIMIT: u64 = 4 << 20;

/// The largest archive that is a context from elsewhere.
const REMOTE_LIMIT: u64 = 16 << 30;

pub async fn build(builder: Builder, mut call: Call) -> Outcome {
    let registries = registries(&call);
    let mut request = parameters::request(&call.query, registries)?;
    let modern = call.query.get("version") == Some("2");
    let remote = call.query.text("remote").unwrap_or_default().to_owned();
    let (quiet, keep) = (call.query.flag("q"), !call.query.flag_or("rm", true));
    request.context = match remote.as_str() {
        "" => sent(&builder, &mut call).await?,
        remote => {
            let checkout = Checkout { keep_git_dir: keeps_git(&request.args), ..Checkout::default() };
            fetched(&builder, remote, checkout).await?
        }
    };
    let request = blocking(move || with_dockerfile(request)).await?;
    // What can be told to be wrong before anything is sent is told by the status.
    builder.check(&request).map_err(|error| parse_failure(&error))?;
    let recorder = history::begin(&builder, &request, &remote, Vec::new());
    let (sender, pieces) = mpsc::channel(64);
    let task = tokio::spawn(run(builder, request, recorder, Stream { sender, quiet, keep, modern }));
    let guard = AbortOnDrop(task.abort_handle());
    response::stream("application/json", pieces, Some(guard))
}

fn parse_failure(error: &Error) -> Failure {
    Failure::invalid(error.to_string())
}

/// A build ends with its connection; one that is asked to end by its name has none here.
pub async fn cancel(_: Builder, _: Call) -> Outcome {
    empty(StatusCode::NO_CONTENT)
}

/// `X-Registry-Config`: credentials by registry.
fn registries(call: &Call) -> BTreeMap<String, AuthConfig> {
    let Some(header) = call.headers.get("x-registry-config") else { return BTreeMap::new() };
    crate::request::decode_json(header.as_bytes()).unwrap_or_default()
}

/// The context that comes as an archive.
pub(super) async fn sent(builder: &Builder, call: &mut Call) -> Result<Context, Failure> {
    let body = call.reader();
    let spool = builder.spool()?;
    blocking(move || read_context(body, spool)).await
}

fn read_context(reader: impl Read, spool: std::fs::File) -> Result<Context, Error> {
    let bad = |error: io::Error| Error::Invalid(format!("read the build context: {error}"));
    Context::from_tar(Decompressor::detect(reader).map_err(bad)?, spool)
}

/// `remote=`: a repository, an archive, or a Dockerfile alone.
pub(super) async fn fetched(builder: &Builder, remote: &str, checkout: Checkout) -> Result<Context, Failure> {
    if hull_build::is_git(remote) {
        return Ok(hull_build::git(builder.root(), remote, checkout).await?);
    }
    if !remote.starts_with("http://") && !remote.starts_with("https://") {
        return Err(Failure::invalid(format!(
            "invalid remote {remote:?}: neither a URL nor a git reference"
        )));
    }
    if remote.contains('#') {
        return Err(Failure::invalid(format!(
            "{remote}: only a git reference can name a directory or a revision"
        )));
    }
    let mut source = builder.registry().fetch(remote).await?;
    let (mut file, spool) = (builder.spool()?, builder.spool()?);
    let failed = |error: io::Error| Failure::internal(format!("keep what {remote} gives: {error}"));
    let mut size = 0;
    while let Some(piece) = source.next().await? {
        size += piece.len() as u64;
        if size > REMOTE_LIMIT {
            return Err(Failure::invalid(format!("{remote} is larger than {REMOTE_LIMIT} bytes")));
        }
        file.write_all(&piece).map_err(failed)?;
    }
    file.rewind().map_err(failed)?;
    let remote = remote.to_owned();
    blocking(move || {
        let failed = |source| Error::Io { action: "read a download".into(), source };
        let again = file.try_clone().map_err(failed)?;
        match read_context(file, spool) {
            Ok(context) if !context.is_empty() => Ok(context),
            _ if size > TEXT_LIMIT => {
                Err(Error::Invalid(format!("{remote} is neither an archive nor a Dockerfile")))
            }
            _ => {
                let (mut again, mut bytes) = (again, Vec::new());
                let read = again.rewind().and_then(|()| again.read_to_end(&mut bytes));
                read.map_err(failed)?;
                Ok(Context::of([("Dockerfile".to_owned(), bytes)]))
            }
        }
    })
    .await
}

/// Takes the Dockerfile out of the context, and out of the context what is to be ignored.
pub(super) fn with_dockerfile(mut request: BuildRequest) -> Result<BuildRequest, Error> {
    let name = request.dockerfile_name.clone();
    let text = request.context.text(&name, TEXT_LIMIT)?;
    request.dockerfile =
        text.ok_or_else(|| Error::Invalid(format!("Cannot locate specified Dockerfile: {name}")))?;
    let own = request.context.text(&format!("{name}.dockerignore"), TEXT_LIMIT)?;
    let ignore = match own {
        Some(text) => Some(text),
        None => request.context.text(".dockerignore", TEXT_LIMIT)?,
    };
    if let Some(text) = ignore {
        let ignore = Ignore::parse(&text)
            .map_err(|error| Error::Invalid(format!("error reading .dockerignore: {error}")))?;
        request.context = request.context.without(&ignore);
        request.ignore = ignore;
    }
    Ok(request)
}

struct Stream {
    sender: mpsc::Sender<io::Result<Bytes>>,
    quiet: bool,
    keep: bool,
    /// Whether the client knows BuildKit's stream, where the image's id is told another way.
    modern: bool,
}

async fn run(builder: Builder, request: BuildRequest, mut recorder: Option<Recorder>, stream: Stream) {
    let source = request.dockerfile.clone();
    let tags: Vec<String> = request.tags.iter().map(hull_types::ImageRef::familiar).collect();
    let (sender, events) = mpsc::channel(64);
    let telling = tell(&stream, events, recorder.as_mut());
    let (built, ()) = tokio::join!(builder.build(request, Progress::new(sender)), telling);
    if let Some(recorder) = &mut recorder {
        recorder.note(&match &built {
            Ok(built) => BuildMessage::Done {
                image: built.image.as_ref().map(ToString::to_string).unwrap_or_default(),
                top: String::new(),
                result: Box::default(),
            },
            Err(error) => BuildMessage::Error(hull::failure(error, &source)),
        });
    }
    match built {
        Ok(built) => stream.done(&built, &tags).await,
        Err(error) => stream.failed(&error).await,
    }
}

async fn tell(stream: &Stream, mut events: mpsc::Receiver<Event>, mut recorder: Option<&mut Recorder>) {
    let mut running: HashMap<usize, String> = HashMap::new();
    let mut instructions = HashSet::new();
    while let Some(event) = events.recv().await {
        if let Some(recorder) = &mut recorder {
            hull::messages(event.clone()).iter().for_each(|message| recorder.note(message));
        }
        match event {
            // What the builder does besides the Dockerfile's steps: it reads caches.
            Event::Begin(StepInfo { number: (0, _), text, .. }) => stream.text(&format!("{text}\n")).await,
            Event::Begin(StepInfo { id, number: (number, of), text, .. }) => {
                instructions.insert(id);
                stream.text(&format!("Step {number}/{of} : {text}")).await;
                stream.text("\n").await;
            }
            Event::Running { step, id } => {
                stream.text(&format!(" ---> Running in {}\n", short_id(&id))).await;
                running.insert(step, id);
            }
            Event::Output { stderr, bytes, .. } => {
                let text = String::from_utf8_lossy(&bytes);
                match stderr {
                    // As dockerd marks it.
                    true => stream.text(&format!("\u{1b}[91m{text}\u{1b}[0m")).await,
                    false => stream.text(&text).await,
                }
            }
            Event::Status { message, .. } if !stream.quiet => stream.send(&message).await,
            Event::End { step, .. } if !instructions.contains(&step) => {}
            Event::End { step, cached, id } => {
                match running.remove(&step) {
                    Some(container) if !stream.keep => {
                        let text = format!(" ---> Removed intermediate container {}\n", short_id(&container));
                        stream.text(&text).await;
                    }
                    None if cached && step > 0 => stream.text(" ---> Using cache\n").await,
                    _ => {}
                }
                stream.text(&format!(" ---> {}\n", short_id(&id))).await;
            }
            Event::Failed { step, .. } => {
                if let Some(container) = running.remove(&step) {
                    let text = format!(" ---> Removed intermediate container {}\n", short_id(&container));
                    stream.text(&text).await;
                }
            }
            Event::Status { .. } | Event::Findings(_) | Event::Kept(_) => {}
        }
    }
}

impl Stream {
    async fn send(&self, message: &JsonMessage) {
        let mut bytes = serde_json::to_vec(message).unwrap_or_default();
        bytes.extend_from_slice(b"\r\n");
        let _ = self.sender.send(Ok(bytes.into())).await;
    }

    async fn text(&self, text: &str) {
        if !self.quiet {
            self.send(&JsonMessage { stream: text.to_owned(), ..JsonMessage::default() }).await;
        }
    }

    async fn done(&self, built: &Built, tags: &[String]) {
        let id = built.image.as_ref().map(ToString::to_string).unwrap_or_default();
        if self.quiet {
            self.send(&JsonMessage { stream: format!("{id}\n"), ..JsonMessage::default() }).await;
            return;
        }
        let kind = if self.modern { "moby.image.id" } else { "" };
        let aux = Some(json!({ "ID": id }));
        self.send(&JsonMessage { id: kind.to_owned(), aux, ..JsonMessage::default() }).await;
        self.text(&format!("Successfully built {}\n", short_id(&id))).await;
        for tag in tags {
            self.text(&format!("Successfully tagged {tag}\n")).await;
        }
    }

    async fn failed(&self, error: &Error) {
        let mut cause = error;
        while let Error::Step { source, .. } = cause {
            cause = source;
        }
        let code = match cause {
            Error::Command { code, .. } => *code,
            _ => 0,
        };
        let message = text_of(cause);
        let detail = JsonError { code, message: message.clone() };
        let message = JsonMessage { error_detail: Some(detail), error: message, ..JsonMessage::default() };
        self.send(&message).await;
    }
}
