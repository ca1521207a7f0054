//! Hull's own build routes: see `hull_api_types::build`.

use super::super::blocking;
use super::classic::with_dockerfile;
use super::history;
use super::outputs;
use crate::request::Call;
use crate::response::{self, AbortOnDrop, Outcome, empty};
use crate::status::{Failure, text_of};
use base64::Engine;
use bytes::Bytes;
use hull_api_types::build::{
    BuildChecked, BuildError, BuildFiles, BuildFinding, BuildLocation, BuildMessage, BuildOptions,
    BuildSource, BuildStep, BuildWarning, ContextAnswer, ContextManifest,
};
use hull_build::{BuildRequest, Builder, Checkout, Context, Error, Event, NamedContext, Progress, Recorder};
use hull_dockerfile::{Dockerfile, Ignore, excerpt, lint::Finding};
use hull_types::{ChainId, Digest, ImageRef, Platform};
use hyper::StatusCode;
use serde_json::json;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// The largest manifest.
const MANIFEST_LIMIT: usize = 512 << 20;

pub async fn offer(builder: Builder, mut call: Call) -> Outcome {
    let bytes = call.bytes(MANIFEST_LIMIT).await?;
    let shape = call.shape();
    let answer = blocking(move || {
        let manifest: ContextManifest = serde_json::from_slice(&bytes)
            .map_err(|error| Error::Invalid(format!("invalid context manifest: {error}")))?;
        builder.contexts().offer(manifest)
    });
    shape.json(&answer.await?)
}

pub async fn fill(builder: Builder, mut call: Call) -> Outcome {
    let (id, body) = (call.param("id").to_owned(), call.reader());
    blocking(move || builder.contexts().fill(&id, body)).await?;
    empty(StatusCode::NO_CONTENT)
}

/// Takes a context that comes as an archive.
pub async fn archive(builder: Builder, mut call: Call) -> Outcome {
    let context = super::classic::sent(&builder, &mut call).await?;
    let id = builder.contexts().keep(context)?;
    call.shape().json(&ContextAnswer { id, missing: Vec::new() })
}

/// Reads files of a place elsewhere.
pub async fn files(builder: Builder, mut call: Call) -> Outcome {
    let asked: BuildFiles = serde_json::from_slice(&call.bytes(1 << 20).await?)
        .map_err(|error| Failure::invalid(format!("invalid list of files: {error}")))?;
    let context = super::classic::fetched(&builder, &asked.remote, Checkout::default()).await?;
    let texts = blocking(move || {
        let mut texts = BTreeMap::new();
        for name in asked.names {
            if let Some(text) = context.text(&name, super::classic::TEXT_LIMIT)? {
                texts.insert(name, text);
            }
        }
        Ok::<_, Error>(texts)
    });
    call.shape().json(&texts.await?)
}

/// Forgets what a build came to.
pub async fn forget(builder: Builder, call: Call) -> Outcome {
    builder.links().forget(call.param("id"));
    empty(StatusCode::NO_CONTENT)
}

/// The files of a build that made no image.
pub async fn tree(builder: Builder, call: Call) -> Outcome {
    let top = call.query.text("top").map(str::parse::<Digest>).transpose();
    let top = top.map_err(|error| Failure::invalid(error.to_string()))?.map(ChainId);
    response::written("application/x-tar", move |writer| builder.export(top.as_ref(), writer))
}

pub async fn build(builder: Builder, mut call: Call) -> Outcome {
    let bytes = call.bytes(64 << 20).await?;
    let options: BuildOptions = serde_json::from_slice(&bytes)
        .map_err(|error| Failure::invalid(format!("invalid build options: {error}")))?;
    let asked_for = options.call.clone();
    let (sender, pieces) = mpsc::channel(64);
    let told = Told { sender, recorder: Mutex::default() };
    let origin = options.origin.clone();
    let task = tokio::spawn(async move {
        let ways = outputs::Ways::read(&builder, &options).await;
        let asked = match ways {
            Ok(ways) => request(&builder, options).await.map(|request| (ways.apply(request), ways)),
            Err(failure) => Err(failure),
        };
        match asked {
            Err(failure) => told.send(&BuildMessage::Error(plain(&failure.message))).await,
            Ok((request, _)) if !asked_for.is_empty() => answer(&builder, &request, &asked_for, &told).await,
            Ok((request, ways)) => {
                let mut platforms: Vec<String> = ways.platforms.iter().map(ToString::to_string).collect();
                platforms.extend(
                    request.platform.as_ref().filter(|_| ways.platforms.is_empty()).map(ToString::to_string),
                );
                told.record(history::begin(&builder, &request, &origin, platforms));
                run(&builder, request, ways, &told).await;
            }
        }
    });
    let guard = AbortOnDrop(task.abort_handle());
    response::stream("application/json", pieces, Some(guard))
}

fn plain(message: &str) -> BuildError {
    BuildError { message: message.to_owned(), ..BuildError::default() }
}

/// Answers what is asked of the Dockerfile in place of a build.
async fn answer(builder: &Builder, request: &BuildRequest, call: &str, told: &Told) {
    let answer = match call {
        "check" => builder.check(request).map(|(file, findings)| json!(checked(&file, &findings))),
        "outline" => builder.outline(request).map(|outline| json!(outline)),
        "targets" => builder.targets(request).map(|targets| json!(targets)),
        other => Err(Error::Invalid(format!(
            "the call {other:?} is not available: build, check, outline and targets are"
        ))),
    };
    match answer {
        Ok(value) => {
            told.send(&BuildMessage::Called(value)).await;
            let (image, top) = Default::default();
            told.send(&BuildMessage::Done { image, top, result: Box::default() }).await;
        }
        Err(error) => told.send(&BuildMessage::Error(failure(&error, &request.dockerfile))).await,
    }
}

fn checked(file: &Dockerfile, findings: &[Finding]) -> BuildChecked {
    let warning = |finding: &Finding| BuildWarning {
        rule_name: finding.rule.name().into(),
        description: finding.rule.description().into(),
        url: finding.rule.url(),
        detail: finding.message.clone(),
        fix: finding.fix.clone(),
        location: BuildLocation::lines(finding.span.start.line, finding.span.end_line),
    };
    let source = BuildSource {
        filename: file.name.clone(),
        language: "Dockerfile".into(),
        data: base64::engine::general_purpose::STANDARD.encode(&file.source),
    };
    BuildChecked { warnings: findings.iter().map(warning).collect(), sources: vec![source] }
}

async fn run(builder: &Builder, request: BuildRequest, ways: outputs::Ways, told: &Told) {
    let source = request.dockerfile.clone();
    let (sender, mut events) = mpsc::channel(64);
    let telling = async {
        while let Some(event) = events.recv().await {
            told.event(event).await;
        }
    };
    let building = builder.produce(request, ways.platforms, ways.outputs, Progress::new(sender));
    let (built, ()) = tokio::join!(building, telling);
    let kept = built.and_then(|product| {
        let (awaited, done) = (product.is_awaited(), outputs::done(&product));
        Ok((awaited, done, builder.keep(product)?))
    });
    match kept {
        Err(error) => told.send(&BuildMessage::Error(failure(&error, &source))).await,
        Ok((awaited, (image, top, mut result), kept)) => {
            result.id.clone_from(&kept.id);
            result.reference = told.reference();
            told.send(&BuildMessage::Done { image, top, result: Box::new(result) }).await;
            if awaited {
                // Until the client has what it wants, and goes.
                told.record(None);
                told.sender.closed().await;
            }
        }
    }
}

pub(super) fn failure(error: &Error, source: &str) -> BuildError {
    match error {
        Error::Parse { error, excerpt } => BuildError {
            message: error.to_string(),
            file: error.file.clone(),
            line: error.position.line,
            end_line: error.position.line,
            excerpt: excerpt.clone(),
            ..BuildError::default()
        },
        Error::Step { file, span, text, source: cause } => {
            let mut inner = failure(cause, source);
            let lines = span.lines();
            inner.file.clone_from(file);
            (inner.line, inner.end_line) = (*lines.start(), *lines.end());
            inner.excerpt =
                format!("{file}:{}\n{}", lines.start(), excerpt(source, *lines.start(), *lines.end(), None));
            inner.step.clone_from(text);
            inner
        }
        Error::Command { command, code, image } => BuildError {
            message: format!("process \"{command}\" did not complete successfully: exit code: {code}"),
            code: *code,
            image: image.as_ref().map(ToString::to_string).unwrap_or_default(),
            ..BuildError::default()
        },
        other => plain(&text_of(other)),
    }
}

async fn request(builder: &Builder, options: BuildOptions) -> Result<BuildRequest, Failure> {
    let invalid = |text: String| Failure::invalid(text);
    let checkout = Checkout {
        keep_git_dir: keeps_git(&options.args),
        agent: options.ssh.get("default").map(Into::into),
        ..Checkout::default()
    };
    let context = source(builder, &options.context, &options.remote, checkout.clone()).await?;
    let mut contexts = BTreeMap::new();
    for (name, text) in &options.contexts {
        let named = match hull_build::named_image(text) {
            Some(named) => named,
            None if text.starts_with("hull-build://") => {
                NamedContext::Link(builder.links().get(text.trim_start_matches("hull-build://"))?)
            }
            None if hull_types::is_full_id(text) => {
                NamedContext::Files(source(builder, text, "", Checkout::default()).await?)
            }
            None => NamedContext::Files(source(builder, "", text, checkout.clone()).await?),
        };
        contexts.insert(name.clone(), named);
    }
    let secret = |text: &String| base64::engine::general_purpose::STANDARD.decode(text);
    let mut secrets = BTreeMap::new();
    for (id, text) in &options.secrets {
        let bytes = secret(text).map_err(|error| invalid(format!("secret {id}: {error}")))?;
        secrets.insert(id.clone(), bytes.into());
    }
    let platform = Some(options.platform.as_str()).filter(|text| !text.is_empty());
    let platform =
        platform.map(str::parse::<Platform>).transpose().map_err(|error| invalid(error.to_string()))?;
    let tag = |text: &String| text.parse::<ImageRef>().map(ImageRef::or_latest);
    let tags = options.tags.iter().map(tag).collect::<Result<_, _>>();
    let mut request = BuildRequest {
        dockerfile_name: options.dockerfile_name,
        dockerfile: options.dockerfile,
        context,
        contexts,
        target: options.target,
        args: options.args,
        labels: options.labels,
        tags: tags.map_err(|error| invalid(format!("invalid tag: {error}")))?,
        no_cache: options.no_cache,
        no_cache_filter: options.no_cache_filter,
        pull: options.pull,
        platform,
        network: options.network,
        host_config: options.host_config,
        secrets,
        ssh: options.ssh.into_iter().map(|(id, path)| (id, path.into())).collect(),
        entitlements: options.entitlements,
        ignore: Ignore::parse(&options.ignore).map_err(|error| invalid(format!(".dockerignore: {error}")))?,
        auth: options.auth,
        without_image: options.without_image,
        keep: options.keep,
        debug: options.debug,
        ..BuildRequest::default()
    };
    if request.dockerfile_name.is_empty() {
        request.dockerfile_name = "Dockerfile".into();
    }
    if request.dockerfile.is_empty() {
        request = blocking(move || with_dockerfile(request)).await?;
    }
    Ok(request)
}

/// The files of a context that was sent, or of a place that is named.
pub(super) async fn source(
    builder: &Builder,
    id: &str,
    remote: &str,
    checkout: Checkout,
) -> Result<Context, Failure> {
    if !id.is_empty() {
        let (builder, id) = (builder.clone(), id.to_owned());
        return blocking(move || builder.contexts().take(&id)).await;
    }
    if remote.is_empty() {
        return Ok(Context::default());
    }
    super::classic::fetched(builder, remote, checkout).await
}

/// Whether a build's arguments want `.git` to stay in contexts.
pub(super) fn keeps_git(args: &BTreeMap<String, String>) -> bool {
    let word = args.get("BUILDKIT_CONTEXT_KEEP_GIT_DIR").map(|text| text.to_lowercase());
    word.is_some_and(|word| matches!(word.as_str(), "1" | "t" | "true"))
}

/// Whom a build tells what happens: its client, and its record.
struct Told {
    sender: mpsc::Sender<io::Result<Bytes>>,
    recorder: Mutex<Option<Recorder>>,
}

impl Told {
    fn recorder(&self) -> MutexGuard<'_, Option<Recorder>> {
        self.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a record; the one before ends.
    fn record(&self, recorder: Option<Recorder>) {
        *self.recorder() = recorder;
    }

    fn reference(&self) -> String {
        self.recorder().as_ref().map(|recorder| recorder.reference().to_owned()).unwrap_or_default()
    }

    async fn send(&self, message: &BuildMessage) {
        if let Some(recorder) = self.recorder().as_mut() {
            recorder.note(message);
        }
        let mut bytes = serde_json::to_vec(message).unwrap_or_default();
        bytes.push(b'\n');
        let _ = self.sender.send(Ok(bytes.into())).await;
    }

    async fn event(&self, event: Event) {
        for message in messages(event) {
            self.send(&message).await;
        }
    }
}

/// What an event is to clients.
pub(super) fn messages(event: Event) -> Vec<BuildMessage> {
    vec![match event {
        Event::Findings(findings) => return findings.iter().map(finding).collect(),
        Event::Begin(step) => BuildMessage::Begin(BuildStep {
            id: step.id,
            name: step.name,
            text: step.text,
            line: step.span.start.line,
            end_line: step.span.end_line,
        }),
        Event::Running { .. } => return Vec::new(),
        Event::Kept(id) => BuildMessage::Kept(id),
        Event::Output { step, stderr, bytes } => {
            BuildMessage::Output { step, stderr, text: String::from_utf8_lossy(&bytes).into_owned() }
        }
        Event::Status { step, message } => BuildMessage::Status { step, message },
        Event::End { step, cached, .. } => BuildMessage::End { step, cached },
        Event::Failed { step, error } => BuildMessage::Failed { step, error },
    }]
}

fn finding(finding: &Finding) -> BuildMessage {
    BuildMessage::Finding(BuildFinding {
        rule: finding.rule.name().into(),
        description: finding.rule.description().into(),
        url: finding.rule.url(),
        message: finding.message.clone(),
        fix: finding.fix.clone(),
        line: finding.span.start.line,
        end_line: finding.span.end_line,
    })
}
