//! Contexts on disk: `contexts/meta/<sha256 of the name>/meta.json`, TLS files in `contexts/tls/<same>/docker/`.

use crate::endpoint::{DEFAULT_CONTEXT, context_id, context_path};
use crate::failure::{Failure, file_error};
use serde_json::{Value, json};
use std::io;
use std::path::{Path, PathBuf};

/// A context's document.
#[derive(Debug, Clone)]
pub struct Context {
    /// Its name.
    pub name: String,
    /// `meta.json`, whole.
    pub document: Value,
}

impl Context {
    /// A new one.
    pub fn new(name: &str) -> Self {
        let document =
            json!({"Name": name, "Metadata": {}, "Endpoints": {"docker": {"SkipTLSVerify": false}}});
        Self { name: name.to_owned(), document }
    }
    /// Its description.
    pub fn description(&self) -> &str {
        self.document["Metadata"]["Description"].as_str().unwrap_or_default()
    }
    /// Its engine's address.
    pub fn host(&self) -> &str {
        self.document["Endpoints"]["docker"]["Host"].as_str().unwrap_or_default()
    }
}

/// Docker's rule for names.
pub fn check_name(name: &str) -> Result<(), Failure> {
    if name.is_empty() {
        return Err("context name cannot be empty".into());
    }
    if name == DEFAULT_CONTEXT {
        return Err(Failure::new(format!("{DEFAULT_CONTEXT:?} is a reserved context name")));
    }
    let rest = |b: u8| b.is_ascii_alphanumeric() || b"_.+-".contains(&b);
    if name.len() >= 2 && name.as_bytes()[0].is_ascii_alphanumeric() && name.bytes().all(rest) {
        return Ok(());
    }
    Err(Failure::new(format!(
        "context name {name:?} is invalid, names are validated against regexp \"^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$\""
    )))
}

/// The directory of a context's TLS files.
pub fn tls_directory(config: &Path, name: &str) -> PathBuf {
    config.join("contexts/tls").join(context_id(name))
}

/// The TLS files that a context may have.
pub const TLS_FILES: [&str; 3] = ["ca.pem", "cert.pem", "key.pem"];

/// Writes one of a context's TLS files, for its owner alone.
pub fn write_tls(config: &Path, name: &str, file: &str, bytes: &[u8]) -> Result<(), Failure> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let directory = tls_directory(config, name).join("docker");
    let path = directory.join(file);
    let written = std::fs::create_dir_all(&directory)
        .and_then(|()| {
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)
        })
        .and_then(|mut open| open.write_all(bytes));
    written.map_err(|error| Failure::new(file_error("write", &path, &error)))
}

/// Reads one.
pub fn read(config: &Path, name: &str) -> Result<Context, Failure> {
    let path = context_path(config, name);
    let lost = |why: String| Failure::new(format!("context {name:?}: context not found: {why}"));
    let text = std::fs::read(&path).map_err(|error| lost(file_error("open", &path, &error)))?;
    let document =
        serde_json::from_slice(&text).map_err(|error| lost(format!("{}: {error}", path.display())))?;
    Ok(Context { name: name.to_owned(), document })
}

/// Whether there is one of this name.
pub fn exists(config: &Path, name: &str) -> bool {
    context_path(config, name).exists()
}

/// All, by name. One that can't be read is told of, and the others are listed.
pub fn all(config: &Path) -> Result<Vec<Context>, Failure> {
    let root = config.join("contexts/meta");
    let entries = match std::fs::read_dir(&root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::new(file_error("open", &root, &error))),
    };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path().join("meta.json");
        let document = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
        match document {
            Some(document) => {
                let name = document["Name"].as_str().unwrap_or_default().to_owned();
                found.push(Context { name, document });
            }
            None => crate::streams::complain(&format!("WARNING: {} can't be read", path.display())),
        }
    }
    found.sort_by(|a, b| crate::order::natural(&a.name, &b.name));
    Ok(found)
}

/// Writes one, in one step.
pub fn write(config: &Path, context: &Context) -> Result<(), Failure> {
    let path = context_path(config, &context.name);
    let failed = |error: io::Error| Failure::new(file_error("write", &path, &error));
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(failed)?;
    }
    let temporary = path.with_extension(format!("{}", std::process::id()));
    std::fs::write(&temporary, context.document.to_string()).map_err(failed)?;
    std::fs::rename(&temporary, &path).map_err(failed)
}

/// Removes one with its TLS files.
pub fn remove(config: &Path, name: &str) -> Result<(), Failure> {
    let meta = context_path(config, name);
    for directory in
        [meta.parent().map(Path::to_owned), Some(tls_directory(config, name))].into_iter().flatten()
    {
        match std::fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Failure::new(file_error("remove", &directory, &error)));
            }
            _ => {}
        }
    }
    Ok(())
}
