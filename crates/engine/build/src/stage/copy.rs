//! COPY, ADD and the directory of WORKDIR: layers that are written, not run.

use super::State;
use super::steps::Done;
use super::text;
use crate::build::{Build, Cached, blocking};
use crate::error::{Error, Result};
use crate::files::{Context, Facts, Files};
use crate::key::Key;
use crate::source;
use crate::transfer::{Found, Layer, Placement, Selection, place, select};
use hull_archive::EntryKind;
use hull_dockerfile::{Expander, Ignore, Mode, Transfer};
use std::sync::Arc;

type Expand<'a> = &'a (dyn Fn(&str) -> Result<String> + Sync);

/// A source with what is special about it.
struct From {
    files: Arc<dyn Files>,
    path: String,
    /// For ADD: an archive's contents in place of the archive.
    extracted: bool,
}

pub(super) async fn copy(
    build: &Arc<Build>,
    index: usize,
    state: &State,
    written: &Transfer,
    expand: Expand<'_>,
    step: usize,
) -> Result<(String, Done)> {
    let transfer = expanded(build, state, written, expand)?;
    let text = text::transfer("COPY", &transfer);
    let Some(from) = &transfer.from else {
        let context: Arc<dyn Files> = Arc::new(build.request.context.clone());
        return Ok((text, by_content(build, index, state, transfer, context).await?));
    };
    let source = build.files_of(index, from, step).await?;
    let Some(identity) = source.identity else {
        return Ok((text, by_content(build, index, state, transfer, source.files).await?));
    };
    // What the layers are is known: nothing has to be read to see that nothing changed.
    let mut key = Key::new("copy-from");
    key.add(state.top.as_ref().map_or("", |top| top.0.as_str()));
    key.add(&identity);
    key.add(format!("{transfer:?}"));
    key.add(&state.config.config.working_dir);
    key.add(state.epoch.to_string());
    let key = key.finish();
    let turn = match build.cached(index, &key, state.top.as_ref()).await {
        Cached::Here(done) => return Ok((text, done)),
        Cached::Missing(turn) => turn,
    };
    let (own, state, named) = (Arc::clone(build), state.clone(), text.clone());
    let done = blocking(move || {
        let froms = all_from(&transfer, &source.files);
        let layer = layer_of(&own, &state, &transfer, froms)?;
        own.commit_layer(&state, layer, &key, &named)
    })
    .await?;
    drop(turn);
    Ok((text, done))
}

fn all_from(transfer: &Transfer, files: &Arc<dyn Files>) -> Vec<From> {
    let from = |path: &String| From { files: Arc::clone(files), path: path.clone(), extracted: false };
    transfer.sources.iter().map(from).collect()
}

async fn by_content(
    build: &Arc<Build>,
    index: usize,
    state: &State,
    transfer: Transfer,
    files: Arc<dyn Files>,
) -> Result<Done> {
    let froms = all_from(&transfer, &files);
    written(build, index, state, transfer, froms, "COPY").await
}

async fn written(
    build: &Arc<Build>,
    index: usize,
    state: &State,
    transfer: Transfer,
    froms: Vec<From>,
    word: &'static str,
) -> Result<Done> {
    let text = text::transfer(word, &transfer);
    let (own, now) = (Arc::clone(build), state.clone());
    let layer = blocking(move || layer_of(&own, &now, &transfer, froms)).await?;
    build.written(index, state, layer, text).await
}

pub(super) async fn add(
    build: &Arc<Build>,
    index: usize,
    state: &State,
    written_as: &Transfer,
    expand: Expand<'_>,
    step: usize,
) -> Result<(String, Done)> {
    let transfer = expanded(build, state, written_as, expand)?;
    let text = text::transfer("ADD", &transfer);
    let mut froms = Vec::new();
    if transfer.checksum.is_some() && transfer.sources.len() != 1 {
        return Err(Error::invalid("checksum can't be specified for multiple sources"));
    }
    for path in &transfer.sources {
        if source::is_git(path) {
            let options = source::Checkout {
                keep_git_dir: transfer.keep_git_dir,
                checksum: transfer.checksum.clone(),
                agent: build.request.ssh.get("default").cloned(),
            };
            let files = source::git(&build.builder.root, path, options).await?;
            build.note_material(path.clone(), None);
            froms.push(From { files: Arc::new(files), path: ".".into(), extracted: true });
        } else if source::is_url(path) {
            let file = source::download(build, step, path, transfer.checksum.as_deref()).await?;
            build.note_material(path.clone(), Some(hull_content::digest_of(&file.bytes)));
            let files = Context::of([(file.name.clone(), file.bytes)]);
            let own = Arc::new(files.with_mode(0o600));
            let from = From { files: own, path: file.name, extracted: false };
            froms.push(if transfer.unpack == Some(true) { unpacked(build, from).await? } else { from });
        } else if transfer.checksum.is_some() {
            return Err(Error::invalid("checksum requires HTTP(S) or Git sources"));
        } else {
            let context: Arc<dyn Files> = Arc::new(build.request.context.clone());
            froms.extend(local(build, &transfer, context, path).await?);
        }
    }
    let done = written(build, index, state, transfer, froms, "ADD").await?;
    Ok((text, done))
}

/// A file of the context; an archive is taken apart.
async fn local(
    build: &Arc<Build>,
    transfer: &Transfer,
    files: Arc<dyn Files>,
    path: &str,
) -> Result<Vec<From>> {
    let plain = From { files: Arc::clone(&files), path: path.to_owned(), extracted: false };
    if transfer.unpack == Some(false) {
        return Ok(vec![plain]);
    }
    let none = Ignore::default();
    let names: Vec<(Vec<u8>, Facts)> = {
        let (files, path) = (Arc::clone(&files), path.to_owned());
        blocking(move || {
            let found = select(&Selection { files, source: &path, exclude: &none, parents: false })?;
            Ok(found.into_iter().map(|one| (one.name, one.facts)).collect())
        })
        .await?
    };
    let mut froms = Vec::new();
    for (name, facts) in names {
        let path = String::from_utf8_lossy(&name).into_owned();
        let from = From { files: Arc::clone(&files), path, extracted: false };
        froms.push(if facts.kind == EntryKind::File { unpacked(build, from).await? } else { from });
    }
    // The destination's rules see the source as it is written.
    if froms.iter().all(|from| !from.extracted) { Ok(vec![plain]) } else { Ok(froms) }
}

/// The contents of an archive; a file that is none stays what it is.
async fn unpacked(build: &Arc<Build>, from: From) -> Result<From> {
    let own = Arc::clone(build);
    blocking(move || {
        let open = || from.files.open(from.path.as_bytes()).map_err(Error::io(format!("read {}", from.path)));
        if !source::is_archive(open()?) {
            return Ok(from);
        }
        let files = Context::from_archive(source::decompressed(open()?)?, own.spool()?)?;
        Ok(From { files: Arc::new(files), path: ".".into(), extracted: true })
    })
    .await
}

/// All words of it expanded.
fn expanded(build: &Build, state: &State, written: &Transfer, expand: Expand<'_>) -> Result<Transfer> {
    let all = |list: &[String]| list.iter().map(|text| expand(text)).collect::<Result<Vec<_>>>();
    let one = |text: &Option<String>| text.as_deref().map(expand).transpose();
    let mut transfer = written.clone();
    transfer.sources = all(&written.sources)?;
    transfer.destination = expand(&written.destination)?;
    transfer.exclude = all(&written.exclude)?;
    transfer.from = one(&written.from)?;
    transfer.chown = one(&written.chown)?.filter(|text| !text.is_empty());
    transfer.chmod = one(&written.chmod)?.filter(|text| !text.is_empty());
    transfer.checksum = one(&written.checksum)?;
    let expander = Expander::heredoc(build.file.directives.escape);
    for document in &mut transfer.inline {
        let text = document.text();
        document.content = match document.expand {
            true => expander.expand(&text, &|name| state.scope.get(name)).map_err(Error::Invalid)?.text,
            false => text,
        };
        document.chomp = false;
    }
    Ok(transfer)
}

fn layer_of(build: &Build, state: &State, transfer: &Transfer, froms: Vec<From>) -> Result<Layer> {
    let tree = build.tree(state.top.as_ref())?;
    let exclude = Ignore::new(transfer.exclude.iter().map(String::as_str)).map_err(Error::Invalid)?;
    let count = froms.len() + transfer.inline.len();
    let mut found: Vec<(Arc<dyn Files>, Vec<Found>, bool)> = Vec::new();
    for from in froms {
        let selection = Selection {
            files: Arc::clone(&from.files),
            source: &from.path,
            exclude: &exclude,
            parents: transfer.parents,
        };
        found.push((from.files.clone(), select(&selection)?, from.extracted));
    }
    for document in &transfer.inline {
        let files = Context::of([(document.name.clone(), document.content.clone().into_bytes())]);
        let files: Arc<dyn Files> = Arc::new(files);
        let none = Ignore::default();
        let source = document.name.as_str();
        let selection = Selection { files: Arc::clone(&files), source, exclude: &none, parents: false };
        found.push((files, select(&selection)?, false));
    }
    let several = count > 1 || found.iter().map(|(_, found, _)| found.len()).sum::<usize>() > 1;
    let destination = absolute(state, &transfer.destination);
    if several
        && !destination.ends_with('/')
        && !transfer.parents
        && !transfer.inline.is_empty() | (count > 1)
    {
        return Err(Error::invalid(
            "When using COPY with more than one source file, the destination must be a directory and end with a /",
        ));
    }
    let mut layer = Layer::default();
    for (files, found, extracted) in found {
        let placement = Placement {
            tree: (!transfer.link).then(|| Arc::clone(&tree)),
            destination: destination.clone(),
            into_directory: several || extracted,
            owner: owner(build, state, transfer.chown.as_deref())?,
            mode: transfer.chmod.as_deref().map(Mode::parse).transpose().map_err(Error::Invalid)?,
            epoch: state.epoch,
        };
        place(&placement, &files, found, &mut layer)?;
    }
    Ok(layer)
}

fn absolute(state: &State, destination: &str) -> String {
    if destination.starts_with('/') {
        return destination.to_owned();
    }
    let now = state.config.config.working_dir.trim_end_matches('/');
    let slash = if matches!(destination, "." | "./" | "") { "/" } else { "" };
    format!("{now}/{}{slash}", destination.trim_start_matches("./"))
}

/// `user[:group]` by the stage's own accounts; a number alone is the group too.
fn owner(build: &Build, state: &State, text: Option<&str>) -> Result<Option<(u32, u32)>> {
    let Some(text) = text else { return Ok(None) };
    let accounts = build.accounts(state.top.as_ref())?;
    let user = hull_container::user::resolve(&accounts, text, &[])?;
    let number_alone = !text.contains(':') && text.bytes().all(|byte| byte.is_ascii_digit());
    Ok(Some((user.uid, if number_alone { user.uid } else { user.gid })))
}

/// Makes sure of a directory, which is the stage's user's where it is new.
pub(super) async fn directory(build: &Arc<Build>, index: usize, state: &State, path: &str) -> Result<Done> {
    let (own, now, wanted) = (Arc::clone(build), state.clone(), path.to_owned());
    let layer = blocking(move || {
        let (state, path) = (now, wanted);
        let tree = own.tree(state.top.as_ref())?;
        let name = crate::files::resolve(tree.as_ref(), path.as_bytes(), true)
            .map_err(Error::io(format!("look at {path}")))?
            .unwrap_or_default();
        let there = tree.facts(&name).map_err(Error::io(format!("look at {path}")))?;
        if name.is_empty() || there.is_some_and(|facts| facts.is_directory()) {
            return Ok(None);
        }
        let user = Some(state.config.config.user.as_str()).filter(|user| !user.is_empty());
        let placement = Placement {
            tree: Some(tree),
            destination: path.clone(),
            into_directory: true,
            owner: owner(&own, &state, user)?,
            mode: None,
            epoch: state.epoch,
        };
        let mut layer = Layer::default();
        placement.directory(path.as_bytes(), None, &mut layer)?;
        Ok(Some(layer))
    });
    match layer.await? {
        Some(layer) => build.written(index, state, layer, format!("WORKDIR {path}")).await,
        None => Ok(Done { made: None, cached: true }),
    }
}
