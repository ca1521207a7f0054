//! Builders that were created: names for engines, in `hull/builders.json` of the configuration's directory.

use crate::config::ConfigFile;
use crate::context;
use crate::endpoint::{self, DEFAULT_CONTEXT};
use crate::failure::{Failure, file_error};
use crate::session::{Globals, Session};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// What `use --global` chooses a builder for: all engines.
const EVERYWHERE: &str = "";

/// All that were created, and which are in use.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Builders {
    /// By name.
    pub builders: BTreeMap<String, Builder>,
    /// The builder in use, by the engine that was the current one when it was chosen.
    pub current: BTreeMap<String, String>,
}

/// A builder: an engine by another name, with what its creator wished.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Builder {
    /// The name.
    #[serde(skip)]
    pub name: String,
    /// A context, or an engine's address.
    pub endpoint: String,
    /// The driver that was asked for.
    pub driver: String,
    /// Its options.
    pub options: BTreeMap<String, String>,
    /// Flags for BuildKit's daemon.
    pub flags: String,
    /// Platforms that were named.
    pub platforms: Vec<String>,
}

fn path(config: &Path) -> PathBuf {
    config.join("hull/builders.json")
}

impl Builders {
    /// Reads them; where there is no file there are none.
    pub fn read(config: &Path) -> Result<Self, Failure> {
        let path = path(config);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(Self::default());
            }
            Err(error) => return Err(Failure::new(format!("ERROR: {}", file_error("open", &path, &error)))),
        };
        let mut all: Self = serde_json::from_slice(&text).map_err(|error| {
            Failure::new(format!("ERROR: {}: {error}: remove it to begin without builders", path.display()))
        })?;
        all.builders.iter_mut().for_each(|(name, builder)| builder.name.clone_from(name));
        Ok(all)
    }

    /// Writes them in one step.
    pub fn write(&self, config: &Path) -> Result<(), Failure> {
        let path = path(config);
        let failed =
            |error: std::io::Error| Failure::new(format!("ERROR: {}", file_error("write", &path, &error)));
        let directory = path.parent().unwrap_or(config);
        std::fs::create_dir_all(directory).map_err(failed)?;
        let temporary = path.with_extension(std::process::id().to_string());
        let text = serde_json::to_vec_pretty(self).map_err(|error| failed(error.into()))?;
        std::fs::write(&temporary, text).and_then(|()| std::fs::rename(&temporary, &path)).map_err(failed)
    }

    /// The builder in use where this engine is the current one.
    pub fn current(&self, engine: &str) -> Option<&Builder> {
        let name = self.current.get(engine).or_else(|| self.current.get(EVERYWHERE))?;
        self.builders.get(name)
    }

    /// Chooses a builder for an engine, or for all; `None` for the engine itself.
    pub fn choose(&mut self, engine: &str, everywhere: bool, name: Option<&str>) {
        let key = if everywhere { EVERYWHERE } else { engine };
        match name {
            Some(name) => drop(self.current.insert(key.to_owned(), name.to_owned())),
            None => {
                self.current.remove(engine);
                self.current.remove(EVERYWHERE);
            }
        }
    }

    /// Removes a builder; whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        self.current.retain(|_, current| current != name);
        self.builders.remove(name).is_some()
    }
}

/// The current engine: a context's name, or an address.
pub fn engine(globals: &Globals, config: &ConfigFile) -> String {
    let name = endpoint::context_name(globals, config);
    let address = || globals.hosts.first().cloned().or_else(endpoint::host_variable);
    if name == DEFAULT_CONTEXT { address().unwrap_or(name) } else { name }
}

/// The builder that is meant: the one named, the environment's, the one in use, or the engine itself.
pub fn meant(globals: &Globals, config: &ConfigFile, named: &str) -> Result<Builder, Failure> {
    let all = Builders::read(&config.directory)?;
    let variable = std::env::var("BUILDX_BUILDER").unwrap_or_default();
    let name = if named.is_empty() { variable.as_str() } else { named };
    if let Some(builder) = all.builders.get(name) {
        return Ok(builder.clone());
    }
    let own = endpoint::context_name(globals, config);
    match name {
        "" => Ok(all.current(&engine(globals, config)).cloned().unwrap_or_else(|| of_context(&own))),
        name if name == own || name == DEFAULT_CONTEXT => Ok(of_context(name)),
        name if context::all(&config.directory)?.iter().any(|context| context.name == name) => {
            Ok(of_context(name))
        }
        name => Err(Failure::new(format!("ERROR: no builder {name:?} found"))),
    }
}

/// The builder that a session's command is for.
pub fn named(session: &Session) -> Result<Builder, Failure> {
    let name = session.globals.builder.as_deref().unwrap_or_default();
    meant(&session.globals, session.config(), name)
}

/// A context as a builder.
pub fn of_context(name: &str) -> Builder {
    Builder {
        name: name.to_owned(),
        endpoint: name.to_owned(),
        driver: "docker".into(),
        ..Builder::default()
    }
}

/// The global flags with which a builder's engine is reached.
pub fn globals_for(globals: &Globals, builder: &Builder) -> Globals {
    let mut globals = globals.clone();
    match builder.endpoint.as_str() {
        DEFAULT_CONTEXT => globals.context.clear(),
        address if address.contains("://") => {
            globals.hosts = vec![address.to_owned()];
            globals.context.clear();
        }
        context => {
            globals.hosts.clear();
            globals.context = context.to_owned();
        }
    }
    globals
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builders_are_kept_and_chosen_by_engine() {
        let directory = tempfile::tempdir().unwrap();
        let mut all = Builders::read(directory.path()).unwrap();
        let made =
            Builder { endpoint: "unix:///e".into(), driver: "docker-container".into(), ..Builder::default() };
        all.builders.insert("ci".into(), made);
        all.choose("unix:///e", false, Some("ci"));
        all.write(directory.path()).unwrap();
        let mut all = Builders::read(directory.path()).unwrap();
        assert_eq!(all.current("unix:///e").unwrap().name, "ci");
        assert!(all.current("other").is_none());
        all.choose("other", true, Some("ci"));
        assert!(all.current("other").is_some());
        assert!(all.remove("ci") && !all.remove("ci"));
        assert!(all.current("unix:///e").is_none());
        std::fs::write(path(directory.path()), "{").unwrap();
        assert!(Builders::read(directory.path()).unwrap_err().message.contains("builders.json"));
    }

    #[test]
    fn a_builder_goes_before_the_host() {
        let config = ConfigFile { directory: "/nonexistent".into(), ..ConfigFile::default() };
        let globals = Globals { hosts: vec!["unix:///a".into()], ..Globals::default() };
        assert_eq!(engine(&globals, &config), "unix:///a");
        let elsewhere = Builder { endpoint: "unix:///b".into(), ..Builder::default() };
        assert_eq!(globals_for(&globals, &elsewhere).hosts, ["unix:///b"]);
        let context = globals_for(&globals, &of_context("c"));
        assert_eq!((context.hosts.len(), context.context.as_str()), (0, "c"));
        assert_eq!(globals_for(&globals, &of_context(DEFAULT_CONTEXT)).hosts, ["unix:///a"]);
    }
}
