//! The client's configuration: `config.json` in `$DOCKER_CONFIG` or `~/.docker`, shared with Docker's own tools.

use crate::failure::file_error;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// The configuration as it stands in the file; what Hull doesn't know is kept.
#[derive(Debug, Clone, Default)]
pub struct ConfigFile {
    /// The directory it is in.
    pub directory: PathBuf,
    /// The document.
    pub document: Value,
}

impl ConfigFile {
    /// `--config`, `$HULL_CONFIG`, `$DOCKER_CONFIG` or `~/.docker`.
    pub fn directory(given: &str) -> PathBuf {
        if !given.is_empty() {
            return given.into();
        }
        let variable =
            ["HULL_CONFIG", "DOCKER_CONFIG"].into_iter().filter_map(std::env::var_os).find(|v| !v.is_empty());
        variable.map(PathBuf::from).unwrap_or_else(|| home().join(".docker"))
    }
    /// Reads it; an absent one is empty.
    pub fn read(directory: PathBuf) -> Result<Self, String> {
        let path = directory.join("config.json");
        let document = match std::fs::read(&path) {
            Ok(bytes) if bytes.iter().all(u8::is_ascii_whitespace) => Value::Object(Default::default()),
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                format!("WARNING: Error loading config file: {}: {error}", path.display())
            })?,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Value::Object(Default::default())
            }
            Err(error) => {
                return Err(format!(
                    "WARNING: Error loading config file: {}",
                    file_error("open", &path, &error)
                ));
            }
        };
        Ok(Self { directory, document })
    }
    /// Writes it, readable by its owner alone, in one step.
    pub fn write(&self) -> io::Result<()> {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        std::fs::create_dir_all(&self.directory)?;
        let path = self.directory.join("config.json");
        let temporary = self.directory.join(format!("config.json.{}", std::process::id()));
        let mut text = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        serde::Serialize::serialize(
            &self.document,
            &mut serde_json::Serializer::with_formatter(&mut text, formatter),
        )?;
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(&text)?;
        drop(file);
        // A link in the file's place stays: what it points to is replaced.
        let target = std::fs::canonicalize(&path).unwrap_or(path);
        std::fs::rename(&temporary, &target).inspect_err(|_| {
            let _ = std::fs::remove_file(&temporary);
        })
    }
    /// A text at the top level; empty where there is none.
    pub fn text(&self, key: &str) -> &str {
        self.document.get(key).and_then(Value::as_str).unwrap_or_default()
    }
    /// A map of texts at the top level.
    pub fn texts(&self, key: &str) -> BTreeMap<String, String> {
        let map = self.document.get(key).and_then(Value::as_object);
        let pairs = map.into_iter().flatten();
        pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
    }
    /// The proxy variables that containers get, for the engine at `host` (`proxies` in the file).
    pub fn proxy_variables(&self, host: &str) -> Vec<(String, String)> {
        let proxies = self.document.get("proxies");
        let chosen = proxies.and_then(|all| all.get(host).or_else(|| all.get("default")));
        let Some(chosen) = chosen else { return Vec::new() };
        let mut out = Vec::new();
        for (key, name) in [
            ("httpProxy", "HTTP_PROXY"),
            ("httpsProxy", "HTTPS_PROXY"),
            ("noProxy", "NO_PROXY"),
            ("ftpProxy", "FTP_PROXY"),
            ("allProxy", "ALL_PROXY"),
        ] {
            let Some(value) = chosen.get(key).and_then(Value::as_str).filter(|value| !value.is_empty())
            else {
                continue;
            };
            out.push((name.to_owned(), value.to_owned()));
            out.push((name.to_lowercase(), value.to_owned()));
        }
        out
    }
}

/// The person's home directory.
pub fn home() -> PathBuf {
    std::env::var_os("HOME")
        .filter(|home| !home.is_empty())
        .map_or_else(|| Path::new("/root").into(), PathBuf::from)
}
