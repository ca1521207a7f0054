//! What ADD and contexts get from elsewhere: files of the web, git repositories, archives.

use crate::build::{Build, blocking};
use crate::error::{Error, Result};
use crate::files::Context;
use crate::progress::Event;
use hull_api_types::{JsonMessage, JsonProgress};
use hull_archive::{Archive, Decompressor};
use hull_content::digest_of;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

/// The most that a downloaded file may have: it is held in memory.
const DOWNLOAD_LIMIT: u64 = 1 << 30;

/// Whether a source is a file of the web.
pub(crate) fn is_url(source: &str) -> bool {
    source.starts_with("http://") || source.starts_with("https://")
}

/// Whether a source is a git repository.
pub fn is_git(source: &str) -> bool {
    let without = source.split('#').next().unwrap_or(source);
    let without = without.split('?').next().unwrap_or(without);
    source.starts_with("git://")
        || source.starts_with("git@")
        || source.starts_with("ssh://")
        || (is_url(source) && without.ends_with(".git"))
        || (source.starts_with("github.com/"))
}

/// A downloaded file.
pub(crate) struct Downloaded {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

/// Downloads a file, verified where its checksum is known.
pub(crate) async fn download(
    build: &Build,
    step: usize,
    url: &str,
    checksum: Option<&str>,
) -> Result<Downloaded> {
    let mut fetched = build.builder.registry.fetch(url).await.map_err(Error::service)?;
    let total = fetched.length();
    if total.is_some_and(|total| total > DOWNLOAD_LIMIT) {
        return Err(Error::Invalid(format!("{url} is larger than {DOWNLOAD_LIMIT} bytes")));
    }
    let mut bytes = Vec::new();
    while let Some(piece) = fetched.next().await.map_err(Error::service)? {
        bytes.extend_from_slice(&piece);
        if bytes.len() as u64 > DOWNLOAD_LIMIT {
            return Err(Error::Invalid(format!("{url} is larger than {DOWNLOAD_LIMIT} bytes")));
        }
        let detail = JsonProgress {
            current: bytes.len() as i64,
            total: total.unwrap_or(0) as i64,
            ..JsonProgress::default()
        };
        let message = JsonMessage {
            status: "Downloading".into(),
            progress_detail: Some(detail),
            ..JsonMessage::default()
        };
        build.progress.tell(Event::Status { step, message }).await;
    }
    if let Some(wanted) = checksum {
        let found = digest_of(&bytes);
        if found.as_str() != wanted {
            return Err(Error::Invalid(format!("digest mismatch for {url}: got {found}, expected {wanted}")));
        }
    }
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    let name = path.split_once('/').map_or("", |(_, path)| path).rsplit('/').next().unwrap_or("");
    if name.is_empty() || name == "." || name == ".." {
        return Err(Error::Invalid(format!("cannot determine filename from url: {url}")));
    }
    Ok(Downloaded { name: name.to_owned(), bytes })
}

/// Whether a stream is a tar, compressed or not.
pub(crate) fn is_archive(reader: impl Read + Send + 'static) -> bool {
    let Ok(plain) = decompressed(reader) else { return false };
    matches!(Archive::new(plain).next_entry(), Ok(Some(_)))
}

/// The archive in a stream, whatever compresses it.
pub(crate) fn decompressed(reader: impl Read + Send + 'static) -> Result<Box<dyn Read>> {
    Ok(Box::new(Decompressor::detect(reader).map_err(Error::io("read an archive"))?))
}

/// How a repository is checked out.
#[derive(Debug, Clone, Default)]
pub struct Checkout {
    /// `.git` stays.
    pub keep_git_dir: bool,
    /// The commit that it has to be, or how it begins.
    pub checksum: Option<String>,
    /// The ssh agent that servers are asked with.
    pub agent: Option<PathBuf>,
}

/// What a git reference says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reference {
    remote: String,
    revision: String,
    directory: String,
}

/// `remote#revision:directory`, or `remote?ref=…&subdir=…`. What git would take for an option is refused
/// (CVE-2019-13139), and so is a directory that leads out of the repository (CVE-2026-33748).
fn parse(source: &str) -> Result<Reference> {
    let source = match source.strip_prefix("github.com/") {
        Some(rest) => format!("https://github.com/{rest}"),
        None => source.to_owned(),
    };
    let (before, fragment) = source.split_once('#').unwrap_or((&source, ""));
    let (remote, query) = before.split_once('?').unwrap_or((before, ""));
    let (mut revision, mut directory) = fragment.split_once(':').unwrap_or((fragment, ""));
    for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        match key {
            "ref" | "tag" | "branch" | "commit" => revision = value,
            "subdir" => directory = value,
            _ => {
                return Err(Error::Invalid(format!(
                    "unexpected query {key:?} of the git reference {source}"
                )));
            }
        }
    }
    let bad =
        |what: &str, text: &str| Err(Error::Invalid(format!("invalid {what} {text:?} of a git reference")));
    let plain =
        |text: &str| !text.starts_with('-') && !text.chars().any(|c| c.is_control() || c.is_whitespace());
    if !plain(remote) || remote.is_empty() {
        return bad("remote", remote);
    }
    if !plain(revision) || revision.contains("..") || revision.contains(':') {
        return bad("revision", revision);
    }
    if directory.split('/').any(|part| part == "..") || directory.contains('\0') {
        return bad("directory", directory);
    }
    Ok(Reference { remote: remote.into(), revision: revision.into(), directory: directory.into() })
}

/// Checks a repository out, by git's own program.
pub async fn git(root: &Path, source: &str, options: Checkout) -> Result<Context> {
    let reference = parse(source)?;
    let place = Scratch::new(root)?;
    let repository = place.0.join("repository");
    let agent = options.agent.as_deref();
    run(&place.0, agent, &["init", "--quiet", "--", "repository"]).await?;
    let git = |arguments: &'static [&'static str]| run(&repository, agent, arguments);
    // Submodules may be named relative to it.
    run(&repository, agent, &["remote", "add", "origin", &reference.remote]).await?;
    let revision = if reference.revision.is_empty() { "HEAD" } else { &reference.revision };
    let shallow = ["fetch", "--quiet", "--depth=1", "--no-tags", "--", "origin", revision];
    let whole = ["fetch", "--quiet", "--no-tags", "--", "origin", revision];
    // A server of plain files knows no depth; one that gives single commits to nobody gives everything.
    let fetched = match run(&repository, agent, &shallow).await {
        Err(_) => run(&repository, agent, &whole).await,
        fetched => fetched,
    };
    if fetched.is_ok() {
        git(&["checkout", "--quiet", "--detach", "FETCH_HEAD", "--"]).await?;
    } else {
        git(&["fetch", "--quiet", "--", "origin", "+refs/*:refs/remotes/origin/*"]).await?;
        let checkout = ["checkout", "--quiet", "--detach", revision, "--"];
        run(&repository, agent, &checkout).await.map_err(|_| {
            Error::NotFound(format!("repository {} does not contain ref {revision}", reference.remote))
        })?;
    }
    if let Some(wanted) = &options.checksum {
        let commit = git(&["rev-parse", "HEAD"]).await?;
        if !commit.trim().starts_with(wanted.as_str()) {
            return Err(Error::Invalid(format!(
                "expected checksum to match {wanted}, got {}",
                commit.trim()
            )));
        }
    }
    if repository.join(".gitmodules").is_file() {
        let shallow = git(&["submodule", "--quiet", "update", "--init", "--recursive", "--depth=1"]).await;
        if shallow.is_err() {
            git(&["submodule", "--quiet", "update", "--init", "--recursive"]).await?;
        }
    }
    let spool = crate::build::spool(root)?;
    let context = blocking(move || {
        // The tree is a stranger's: it is read by descriptor, links are kept as links.
        let tree =
            hull_sys::in_root::InRoot::open_dir(&repository).map_err(Error::io("read a repository"))?;
        let keep = options.keep_git_dir;
        let context = Context::from_tree(&crate::files::Tree::new(tree), spool, &|name| {
            keep || !(name == b".git" || name.starts_with(b".git/"))
        });
        drop(place);
        context
    })
    .await?;
    context.below(&reference.directory)
}

// No prompt, no program of the user's or of the repository's, no protocol that runs one.
async fn run(directory: &Path, agent: Option<&Path>, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("git");
    command
        .args([
            "-c",
            "protocol.ext.allow=never",
            "-c",
            "protocol.file.allow=never",
            "-c",
            "core.hooksPath=/dev/null",
        ])
        .args(["-c", "core.symlinks=true", "-c", "core.fsmonitor=false"])
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", "/nonexistent")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
        .envs(agent.map(|socket| ("SSH_AUTH_SOCK", socket)))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = command.output().await.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Error::NotFound("git references need the program git, which is not installed here".into())
        }
        _ => Error::io("run git")(error),
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Error::Invalid(format!("git {}: {}", arguments[0], said.trim())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A directory of its own that goes when it is dropped.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(root: &Path) -> Result<Self> {
        let path = root.join("tmp").join(crate::build::new_id()?);
        std::fs::create_dir_all(&path).map_err(Error::io(format!("make {}", path.display())))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_taken_apart() {
        let parsed = parse("https://example.com/a.git#v1:sub/dir").unwrap();
        assert_eq!((parsed.remote.as_str(), parsed.revision.as_str()), ("https://example.com/a.git", "v1"));
        assert_eq!(parsed.directory, "sub/dir");
        assert_eq!(parse("https://e/a.git?ref=x&subdir=y").unwrap().directory, "y");
        assert!(
            is_git("git@example.com:a/b.git") && is_git("https://e/a.git#x") && !is_git("https://e/a.tar")
        );
    }

    #[test]
    fn cve_2019_13139_options_are_no_references() {
        for bad in [
            "git@e:a#--upload-pack=touch /tmp/x",
            "git@e:a#-x",
            "git://--upload-pack=x y/a.git",
            "https://e/a.git?ref=--x",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn cve_2026_33748_directories_stay_in_the_repository() {
        for bad in
            ["https://e/a.git#main:../../etc", "https://e/a.git#:a/../../b", "https://e/a.git?subdir=.."]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
