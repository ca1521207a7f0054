//! One build, from its flags to its result.

use super::call::Call;
use super::output;
use super::show::{Form, Show};
use super::{classic, context, input, options, places, send, verify};
use crate::buildx;
use crate::failure::{Failure, file_error};
use crate::matches::Matches;
use crate::session::Session;
use crate::streams;
use hull_api_types::build::{BuildMessage, BuildOptions, BuildResult, ContextAnswer};
use hull_client::{Client, JsonStream, Method};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Where a context comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Directory(PathBuf),
    /// A URL or git reference: the daemon gets it.
    Remote(String),
    /// Standard input: a tar, or a Dockerfile alone.
    Input,
    /// No files.
    Nothing,
}

impl Source {
    pub fn of(text: &str) -> Self {
        let remote = text.contains("://") || text.starts_with("git@") || text.starts_with("github.com/");
        match text {
            "-" => Self::Input,
            text if remote && !Path::new(text).exists() => Self::Remote(text.to_owned()),
            text => Self::Directory(text.into()),
        }
    }
}

/// A build's context and its Dockerfile.
pub struct Wanted {
    pub source: Source,
    pub dockerfile: Option<String>,
    pub dockerfile_name: String,
    pub dockerfile_path: Option<PathBuf>,
    /// What was read of an archive on standard input to know it for one.
    pub head: Vec<u8>,
}

/// How it ended.
pub struct Finished {
    pub image: String,
    pub top: String,
    pub result: BuildResult,
    /// What the engine answered where no build was asked for.
    pub answer: Option<Value>,
    /// The build's connection: the engine has the result ready for as long as it is there.
    _connection: JsonStream<BuildMessage>,
}

impl Finished {
    /// The image's id, or what an image that is not here is called by.
    fn id(&self) -> String {
        let first = self.result.outputs.first();
        let root = || first?.descriptor.as_ref().map(|root| root.digest.to_string());
        if self.image.is_empty() { root().unwrap_or_default() } else { self.image.clone() }
    }

    /// What buildx's `--metadata-file` says.
    fn metadata(&self, options: &BuildOptions) -> serde_json::Value {
        let with_root = self.result.outputs.iter().find(|output| output.descriptor.is_some());
        let output = with_root.or(self.result.outputs.first());
        let config = output.map(|output| output.config.clone()).filter(|config| !config.is_empty());
        let config = config.unwrap_or_else(|| self.image.clone());
        let names = output.map(|output| output.names.clone()).unwrap_or_else(|| options.tags.clone());
        let mut document = serde_json::json!({
            "containerimage.config.digest": config,
            "containerimage.digest": self.image,
            "image.name": names.join(","),
        });
        if let Some(root) = output.and_then(|output| output.descriptor.as_ref()) {
            document["containerimage.digest"] = root.digest.to_string().into();
            document["containerimage.descriptor"] = serde_json::to_value(root).unwrap_or_default();
        }
        document
    }
}

/// What a build is given besides its flags, by who makes several.
#[derive(Debug, Clone, Default)]
pub struct Extra {
    /// The Dockerfile itself.
    pub dockerfile: Option<String>,
    /// Whether the engine is to keep the result for other builds: `hull.kept` in the document is its id.
    pub keep: bool,
    /// Whether nothing else is wanted of it.
    pub layers_only: bool,
}

pub async fn build(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let show = Show::new(Form::of(matches.text("progress"), matches.switch("quiet"))?);
    let mut own = show.beside("");
    let result = show.during(one(session, matches, &mut own, &Extra::default())).await;
    if let (Ok(document), Some(call)) = (&result, Call::of(matches)?) {
        return call.say(&document[ANSWER]);
    }
    let Some(image) = own.left_image() else { return result.map(drop) };
    let Err(failure) = result else { return Ok(()) };
    super::debug::look(session, &image, failure).await
}

/// `--debug`, and all of `buildx debug build`.
fn is_debugged(matches: &Matches) -> bool {
    matches.switch("debug") || matches.path.contains("debug ")
}

/// One build; what it came to as `--metadata-file` says it.
pub async fn one(
    session: &Session,
    matches: &Matches,
    show: &mut Show,
    extra: &Extra,
) -> Result<Value, Failure> {
    let form = show.form();
    let mut options = options::read(session, matches)?;
    let outputs = output::read(matches, &mut options)?;
    options.keep = extra.keep;
    options.debug = is_debugged(matches);
    options.without_image |= extra.layers_only;
    places::add_credentials(session, &mut options);
    let wanted = wanted(matches, extra)?;
    options.origin = match &wanted.source {
        Source::Directory(root) => root.canonicalize().unwrap_or_else(|_| root.clone()).display().to_string(),
        Source::Remote(remote) => remote.clone(),
        Source::Input | Source::Nothing => String::new(),
    };
    let client = session.client().await?;
    let Some(finished) = hull(client, matches, &wanted, &mut options, show).await? else {
        classic::build(session, matches, &wanted, &options, form).await?;
        return Ok(Value::Null);
    };
    if let Some(answer) = finished.answer {
        let document = serde_json::json!({ ANSWER: answer });
        write_metadata(matches, &document)?;
        return Ok(document);
    }
    show.findings();
    for output in &outputs {
        output.write(client, &finished).await?;
    }
    output::write_caches(client, &finished, &options).await?;
    if matches.switch("verify") {
        verify::verify(client, matches, &wanted, &options, &finished).await?;
    }
    let document = note(session, matches, &finished, &options)?;
    let id = finished.id();
    if form == Form::Quiet && !id.is_empty() {
        streams::print_line(&id);
    }
    Ok(with_kept(document, show))
}

/// Notes what only this program is told of.
fn with_kept(mut document: Value, show: &Show) -> Value {
    if let (Some(id), Some(object)) = (show.kept(), document.as_object_mut()) {
        object.insert(KEPT.into(), id.into());
    }
    document
}

/// Where a build's document says by which id the engine keeps the result.
pub const KEPT: &str = "hull.kept";

/// Where the document has the answer to a `--call`.
pub const ANSWER: &str = "result.json";

/// `--iidfile`, `--metadata-file`.
fn note(
    session: &Session,
    matches: &Matches,
    finished: &Finished,
    options: &BuildOptions,
) -> Result<Value, Failure> {
    match matches.text("iidfile") {
        "" => {}
        path => write(path, finished.id())?,
    }
    let mut document = finished.metadata(options);
    if !finished.result.reference.is_empty() {
        let builder = buildx::store::named(session)?.name;
        document["buildx.build.ref"] = format!("{builder}/{builder}/{}", finished.result.reference).into();
    }
    write_metadata(matches, &document)?;
    Ok(document)
}

fn write_metadata(matches: &Matches, document: &Value) -> Result<(), Failure> {
    match matches.text("metadata-file") {
        "" => Ok(()),
        path => write(path, format!("{document:#}\n")),
    }
}

fn write(path: &str, text: String) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| Failure::new(file_error("open", path, &error)))
}

fn wanted(matches: &Matches, extra: &Extra) -> Result<Wanted, Failure> {
    let source = Source::of(matches.argument(0));
    let file = matches.text("file");
    let without_file = |source, dockerfile| Wanted {
        source,
        dockerfile,
        dockerfile_name: "Dockerfile".into(),
        dockerfile_path: None,
        head: Vec::new(),
    };
    if extra.dockerfile.is_some() {
        return Ok(without_file(source, extra.dockerfile.clone()));
    }
    if file == "-" {
        if source == Source::Input {
            return Err("invalid argument: can't use stdin for both build context and dockerfile".into());
        }
        return Ok(without_file(source, Some(input::text(Vec::new())?)));
    }
    if source == Source::Input {
        let head = input::head()?;
        if !input::is_archive(&head) {
            if !file.is_empty() {
                return Err(
                    "ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles".into()
                );
            }
            return Ok(without_file(Source::Nothing, Some(input::text(head)?)));
        }
        if matches.switch("verify") {
            return Err("--verify reads the context twice, which standard input cannot give".into());
        }
        let name = if file.is_empty() { "Dockerfile" } else { file };
        return Ok(Wanted { dockerfile_name: name.into(), head, ..without_file(source, None) });
    }
    let Source::Directory(root) = &source else {
        let name = if file.is_empty() { "Dockerfile" } else { file };
        return Ok(Wanted { dockerfile_name: name.into(), ..without_file(source, None) });
    };
    if !root.is_dir() {
        let text =
            format!("ERROR: unable to prepare context: path {:?} not found", root.display().to_string());
        return Err(Failure::new(text));
    }
    let path = match file {
        // Older projects have it in lower case.
        "" => [root.join("Dockerfile"), root.join("dockerfile")].into_iter().find(|path| path.exists()),
        file => Some(PathBuf::from(file)),
    };
    let path = path.unwrap_or_else(|| root.join("Dockerfile"));
    let text = std::fs::read_to_string(&path).map_err(|error| {
        Failure::new(format!("ERROR: failed to read dockerfile: {}", file_error("open", &path, &error)))
    })?;
    let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
    Ok(Wanted { dockerfile_name: name, dockerfile_path: Some(path), ..without_file(source, Some(text)) })
}

/// Builds by Hull's routes; `None` where the engine has none.
pub async fn hull(
    client: &Client,
    matches: &Matches,
    wanted: &Wanted,
    options: &mut BuildOptions,
    show: &mut Show,
) -> Result<Option<Finished>, Failure> {
    options.dockerfile_name.clone_from(&wanted.dockerfile_name);
    options.dockerfile = wanted.dockerfile.clone().unwrap_or_default();
    show.internal(
        &format!("load build definition from {}", wanted.dockerfile_name),
        &format!("transferring dockerfile: {}B", options.dockerfile.len()),
        Instant::now(),
    );
    match &wanted.source {
        Source::Remote(remote) => options.remote.clone_from(remote),
        Source::Nothing => {}
        Source::Input => {
            // Asked before any of it is read: it comes once.
            match client.request(Method::GET, "/hull/history").done().await {
                Err(error) if error.is_not_found() => return Ok(None),
                answer => answer?,
            }
            let began = Instant::now();
            let call = client.request(Method::POST, "/hull/archives");
            let sent = call.stream("application/x-tar", input::stream(wanted.head.clone()));
            options.context = sent.fetch::<ContextAnswer>().await?.id;
            show.internal("load build context from standard input", "", began);
        }
        Source::Directory(root) => {
            let dockerfile = wanted.dockerfile_path.as_deref();
            options.ignore = context::ignore_text(root, dockerfile)?.1;
            // Who only asks need not send anything.
            if options.call.is_empty() {
                let Some(id) = directory(client, root, dockerfile, "build context", show).await? else {
                    return Ok(None);
                };
                options.context = id;
            }
        }
    }
    for text in matches.list("build-context") {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| Failure::new(format!("invalid build context {text}: expected name=path")))?;
        let value = match Source::of(value) {
            Source::Directory(root) => {
                let root = root.as_path();
                let sent = directory(client, root, None, &format!("context {name}"), show).await?;
                let Some(id) = sent else { return Ok(None) };
                id
            }
            _ => value.to_owned(),
        };
        options.contexts.insert(name.to_owned(), value);
    }
    let mut here = Vec::new();
    for mut place in std::mem::take(&mut options.cache_from) {
        if let Some(path) = place.attributes.get("src").filter(|_| place.kind == "local").cloned() {
            let root = Path::new(&path);
            if !root.join("index.json").is_file() {
                streams::complain(&format!("WARNING: no cache in {path}: there is no index.json"));
                continue;
            }
            let walked = context::walk(root, &hull_dockerfile::Ignore::default())?;
            let (id, _) = send::context(client, walked).await?;
            place.attributes.insert("context".into(), id);
        }
        here.push(place);
    }
    options.cache_from = here;
    solve(client, options, show).await
}

async fn directory(
    client: &Client,
    root: &Path,
    dockerfile: Option<&Path>,
    name: &str,
    show: &mut Show,
) -> Result<Option<String>, Failure> {
    let began = Instant::now();
    let ignore = context::ignore(root, dockerfile)?;
    let walked = context::walk(root, &ignore)?;
    match send::context(client, walked).await {
        Ok((id, sent)) => {
            let detail = format!(
                "transferring {} files: {}",
                sent.files,
                hull_types::size::decimal(sent.bytes as f64)
            );
            show.internal(&format!("load {name}"), &detail, began);
            Ok(Some(id))
        }
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn solve(
    client: &Client,
    options: &BuildOptions,
    show: &mut Show,
) -> Result<Option<Finished>, Failure> {
    let sent = client.request(Method::POST, "/hull/build").json(options).send().await;
    let mut messages = match sent {
        Ok(response) => response.messages::<BuildMessage>(),
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut answer = None;
    while let Some(message) = messages.next().await? {
        show.message(&message);
        match message {
            BuildMessage::Called(value) => answer = Some(value),
            BuildMessage::Done { image, top, result } => {
                return Ok(Some(Finished { image, top, result: *result, answer, _connection: messages }));
            }
            BuildMessage::Error(error) => return Err(show.failure(&error)),
            _ => {}
        }
    }
    Err("the engine ended the build without a word: see its log".into())
}
