//! Commands that show something of one container: `inspect`, `top`, `diff`, `export`, `commit`.

use super::logs::body_reader;
use crate::failure::{Failure, Failures, file_error};
use crate::format;
use crate::matches::Matches;
use crate::session::Session;
use crate::streams::{Output, complain, is_terminal, print, print_line};
use crate::table;
use hull_client::{CommitQuery, Response};
use hull_types::ImageRef;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use tokio::io::AsyncWriteExt as _;

/// `container inspect`.
pub async fn inspect(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let text = matches.text("format");
    if !matches!(text, "" | "json") {
        format::parse_documents(text)?;
    }
    let (mut found, mut failures) = (Vec::new(), Failures::new());
    let client = session.client().await;
    for name in matches.arguments() {
        let document = match &client {
            Ok(client) => client.container_inspect(name, matches.switch("size")).await.map_err(Failure::from),
            Err(failure) => Err(failure.clone()),
        };
        match document {
            Ok(document) => found.push(document),
            Err(failure) => failures.push(failure),
        }
    }
    print(&format::documents(text, &found)?);
    failures.into_result()
}

/// `top`.
pub async fn top(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let arguments = matches.arguments()[1..].join(" ");
    let list = session.client().await?.container_top(matches.argument(0), &arguments).await?;
    let mut text = list.titles.join("\t");
    for process in &list.processes {
        text.push('\n');
        text.push_str(&process.join("\t"));
    }
    text.push('\n');
    print(&table::layout_with(&text, 20, 3));
    Ok(())
}

/// `diff`.
pub async fn diff(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let name = matches.argument(0);
    if name.is_empty() {
        return Err("Container name cannot be empty".into());
    }
    for change in session.client().await?.container_changes(name).await? {
        let letter = match change.kind {
            0 => 'C',
            1 => 'A',
            _ => 'D',
        };
        print_line(&format!("{letter} {}", change.path));
    }
    Ok(())
}

/// `export`.
pub async fn export(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let output = matches.text("output");
    if output.is_empty() && is_terminal(rustix::stdio::stdout()) {
        return Err("cowardly refusing to save to a terminal. Use the -o flag or redirect".into());
    }
    check_output(output).map_err(|failure| failure.context("failed to export container"))?;
    let response = session.client().await?.container_export(matches.argument(0)).await?;
    save(response, output).await
}

/// Whether a file can stand there: its directory is, and there is nothing but a file yet.
pub fn check_output(path: &str) -> Result<(), Failure> {
    if path.is_empty() {
        return Ok(());
    }
    let at = Path::new(path);
    let directory = at.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Err(error) = std::fs::metadata(directory) {
        return Err(Failure::new(format!("invalid output path: {}", file_error("stat", directory, &error))));
    }
    let Ok(kind) = std::fs::metadata(at).map(|found| found.file_type()) else { return Ok(()) };
    let what = match () {
        () if kind.is_dir() => "a directory",
        () if kind.is_char_device() => "a character device file",
        () if kind.is_block_device() => "a block device file",
        () if kind.is_fifo() => "a named pipe (FIFO)",
        () if kind.is_socket() => "a socket",
        () => return Ok(()),
    };
    Err(Failure::new(format!("cannot write to {what}")))
}

/// Whether a copy can be put there: its directory is, and there is no device.
pub fn check_output_place(path: &str) -> Result<(), Failure> {
    let at = Path::new(path);
    let directory = at.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("/"));
    if !directory.exists() {
        let directory = directory.display().to_string();
        return Err(Failure::new(format!("invalid output path: directory {directory:?} does not exist")));
    }
    match std::fs::metadata(at).map(|found| found.file_type()) {
        Ok(kind) if kind.is_char_device() || kind.is_block_device() => Err(Failure::new(format!(
            "invalid output path: {path:?} must be a directory or a regular file: got a device"
        ))),
        _ => Ok(()),
    }
}

/// Writes an answer's body to a file, which appears whole or not at all, or to standard output.
pub async fn save(response: Response, path: &str) -> Result<(), Failure> {
    let mut reader = body_reader(response);
    if path.is_empty() {
        return super::hijacked::copy_raw(&mut reader, &mut Output::stdout()).await;
    }
    let target = PathBuf::from(path);
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(format!(".hull-{}", std::process::id()));
    let temporary = target.with_file_name(name);
    let fail = |act: &str, at: &Path, error: &std::io::Error| Failure::new(file_error(act, at, error));
    let copied = async {
        let mut file = tokio::fs::File::create(&temporary).await?;
        tokio::io::copy_buf(&mut tokio::io::BufReader::with_capacity(256 * 1024, &mut reader), &mut file)
            .await?;
        file.flush().await
    };
    if let Err(error) = copied.await {
        let _ = std::fs::remove_file(&temporary);
        return Err(fail("write", &target, &error));
    }
    std::fs::rename(&temporary, &target).map_err(|error| fail("rename", &target, &error))
}

/// `commit`.
pub async fn commit(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let reference = match matches.argument(1) {
        "" => None,
        text => Some(text.parse::<ImageRef>().map_err(|error| Failure::new(error.to_string()))?),
    };
    if reference.as_ref().is_some_and(|reference| reference.digest().is_some()) {
        return Err("refusing to create a tag with a digest reference".into());
    }
    let tagged = reference.map(ImageRef::or_latest);
    let query = CommitQuery {
        repository: tagged.as_ref().map(ImageRef::repository).unwrap_or_default(),
        tag: tagged.as_ref().and_then(ImageRef::tag).unwrap_or_default().to_owned(),
        author: matches.text("author").to_owned(),
        comment: matches.text("message").to_owned(),
        changes: matches.list("change"),
        no_pause: !matches.switch("pause"),
    };
    let created = session.client().await?.container_commit(matches.argument(0), &query).await?;
    print_line(&created.id);
    Ok(())
}

/// `update`.
pub async fn update(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let request = super::update::request(matches)?;
    let client = session.client().await?;
    let (mut warnings, mut failures) = (Vec::new(), Failures::new());
    for name in matches.arguments() {
        match client.container_update(name, &request).await {
            Ok(answer) => {
                print_line(name);
                warnings.extend(answer.warnings);
            }
            Err(error) => failures.push(error),
        }
    }
    if !warnings.is_empty() {
        complain(&warnings.join("\n"));
    }
    failures.into_result()
}
