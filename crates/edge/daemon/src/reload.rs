//! Reading the configuration: at the start, and again on SIGHUP.
//!
//! What is wrong with the file then leaves everything as it was. What a running daemon can't change is named in the
//! log and waits for the next start.

use crate::config::{Config, DEFAULT_CONFIG_FILE};
use crate::settings::{self, Settings, SettingsError};
use crate::wiring::Running;
use hull_api_types::{EventMessage, Map, SystemInfo};
use serde_json::Value;
use std::path::PathBuf;

/// What dockerd takes from its file while it runs, and the log's level.
const AT_ONCE: &[&str] = &[
    "allow-nondistributable-artifacts",
    "debug",
    "default-cgroupns-mode",
    "default-ipc-mode",
    "default-runtime",
    "default-shm-size",
    "features",
    "insecure-registries",
    "labels",
    "live-restore",
    "log-level",
    "max-concurrent-downloads",
    "max-concurrent-uploads",
    "max-download-attempts",
    "registry-mirrors",
    "runtimes",
    "shutdown-timeout",
];

/// Where the configuration comes from, and what of it is in force.
#[derive(Debug)]
pub struct Source {
    flags: Settings,
    path: PathBuf,
    /// Whether the file was named, so that it has to be there.
    named: bool,
    settings: Settings,
}

/// What a new reading changes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Changes {
    /// Settings that are in force now.
    taken: Settings,
    /// Keys of those that wait.
    waiting: Vec<String>,
}

/// The configuration of these flags and the file that they, or nobody, name.
pub fn configure(mut flags: Settings) -> Result<(Config, Source), SettingsError> {
    let named = flags.remove("config-file");
    let path = named.as_ref().and_then(Value::as_str).unwrap_or(DEFAULT_CONFIG_FILE).into();
    let mut source = Source { flags, path, named: named.is_some(), settings: Settings::new() };
    source.settings = source.read()?;
    Ok((Config::new(&source.settings)?, source))
}

impl Source {
    fn read(&self) -> Result<Settings, SettingsError> {
        let file = settings::file(&self.path, self.named)?;
        let merged = settings::merge(self.flags.clone(), file, &self.path)?;
        settings::refuse_missing(&merged)?;
        Ok(merged)
    }

    /// Reads the file again; `config` becomes what it says, as far as that can change.
    fn reread(&mut self, config: &mut Config) -> Result<Changes, SettingsError> {
        let new = self.read()?;
        // All of it is checked, also what waits.
        Config::new(&new)?;
        let mut changes = Changes::default();
        let mut settings = self.settings.clone();
        let keys = new.keys().chain(self.settings.keys().filter(|key| !new.contains_key(*key)));
        for key in keys.filter(|key| new.get(*key) != self.settings.get(*key)) {
            if !AT_ONCE.contains(&key.as_str()) {
                changes.waiting.push(key.clone());
                continue;
            }
            let value = new.get(key).cloned().unwrap_or(Value::Null);
            changes.taken.insert(key.clone(), value.clone());
            match value {
                Value::Null => settings.remove(key),
                value => settings.insert(key.clone(), value),
            };
        }
        *config = Config::new(&settings)?;
        self.settings = settings;
        Ok(changes)
    }
}

/// Takes the file's settings as they are now, and tells of it.
pub fn reload(source: &mut Source, config: &mut Config, running: &Running) {
    tracing::info!("Got signal to reload configuration, reloading from: {}", source.path.display());
    let changes = match source.reread(config) {
        Ok(changes) => changes,
        Err(error) => {
            tracing::error!("{error}; the settings are as they were");
            return;
        }
    };
    let info = running.reconfigure(config);
    let taken = Value::Object(changes.taken);
    tracing::info!("Reloaded configuration: {taken}");
    if !changes.waiting.is_empty() {
        tracing::warn!(
            "{} changed: that waits until the daemon is started again",
            changes.waiting.join(", ")
        );
    }
    let attributes = attributes(&source.settings, config, &info);
    running.events().publish(EventMessage::now("daemon", "reload", &info.id, attributes));
}

/// What Docker's event of it says.
fn attributes(settings: &Settings, config: &Config, info: &SystemInfo) -> Map<String> {
    let list = |list: &[String]| Value::from(list).to_string();
    let cgroupns = match (config.default_cgroupns_mode.as_str(), info.cgroup_version.as_str()) {
        ("", "1") => "host",
        ("", _) => "private",
        (mode, _) => mode,
    };
    let runtimes: Vec<String> =
        info.runtimes.iter().map(|(name, runtime)| format!("{name}:{}", runtime.path)).collect();
    let artifacts = settings.get("allow-nondistributable-artifacts");
    let mirrors = info.registry_config.mirrors.as_deref().unwrap_or_default();
    let pairs = [
        ("allow-nondistributable-artifacts", artifacts.map_or("[]".into(), Value::to_string)),
        ("debug", config.debug.to_string()),
        ("default-cgroupns-mode", cgroupns.into()),
        ("default-ipc-mode", config.default_ipc_mode.clone()),
        ("default-runtime", config.default_runtime.clone()),
        ("default-shm-size", config.default_shm_size.to_string()),
        ("features", as_go_prints(settings.get("features"))),
        ("insecure-registries", list(&config.insecure_registries)),
        ("labels", list(&config.labels)),
        ("live-restore", info.live_restore_enabled.to_string()),
        ("max-concurrent-downloads", config.max_concurrent_downloads.to_string()),
        ("max-concurrent-uploads", config.max_concurrent_uploads.to_string()),
        ("max-download-attempts", config.max_download_attempts.to_string()),
        ("name", info.name.clone()),
        ("registry-mirrors", list(mirrors)),
        ("runtimes", runtimes.join(" ")),
        ("shutdown-timeout", config.shutdown_timeout.to_string()),
    ];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// `map[a:true b:false]`.
fn as_go_prints(features: Option<&Value>) -> String {
    let pairs = features.and_then(Value::as_object).into_iter().flatten();
    let mut pairs: Vec<String> = pairs.map(|(name, on)| format!("{name}:{on}")).collect();
    pairs.sort();
    format!("map[{}]", pairs.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn source(text: &str) -> (tempfile::NamedTempFile, Config, Source) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, text).unwrap();
        let flags = json!({ "config-file": file.path(), "mtu": 1400 });
        let (config, source) = configure(flags.as_object().unwrap().clone()).unwrap();
        (file, config, source)
    }

    #[test]
    fn what_can_change_changes_and_the_rest_waits() {
        let (file, mut config, mut source) = source(r#"{"labels": ["a=1"], "bip": "10.0.0.1/8"}"#);
        let again = r#"{"labels": ["a=2"], "debug": true, "bip": "10.1.0.1/16", "icc": false}"#;
        std::fs::write(&file, again).unwrap();
        let changes = source.reread(&mut config).unwrap();
        assert_eq!(Value::Object(changes.taken), json!({ "labels": ["a=2"], "debug": true }));
        assert_eq!(changes.waiting, ["bip", "icc"]);
        assert_eq!((config.debug, config.labels.as_slice()), (true, ["a=2".to_owned()].as_slice()));
        assert_eq!((config.network.mtu, config.network.icc), (1400, true));
        // What is no longer said is as if it never had been; what waited still does.
        std::fs::write(&file, r#"{"bip": "10.1.0.1/16"}"#).unwrap();
        let changes = source.reread(&mut config).unwrap();
        assert_eq!(Value::Object(changes.taken), json!({ "labels": null, "debug": null }));
        assert_eq!(changes.waiting, ["bip"]);
        assert_eq!((config.debug, config.labels.len()), (false, 0));
        std::fs::write(&file, r#"{"bip": "10.0.0.1/8"}"#).unwrap();
        assert_eq!(source.reread(&mut config).unwrap(), Changes::default());
    }

    #[test]
    fn a_broken_file_changes_nothing() {
        let (file, mut config, mut source) = source(r#"{"labels": ["a=1"]}"#);
        for (text, said) in [
            (r#"{"labels": "#, "invalid JSON"),
            (r#"{"labels": ["b"]}"#, "bad attribute format: b"),
            (r#"{"nope": 1}"#, "nope"),
            (r#"{"mtu": 9000}"#, "specified both as a flag and in the configuration file: mtu"),
            (
                r#"{"debug": true, "default-runtime": "nope"}"#,
                "specified default runtime 'nope' does not exist",
            ),
        ] {
            std::fs::write(&file, text).unwrap();
            let error = source.reread(&mut config).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
            assert_eq!((config.debug, config.labels.as_slice()), (false, ["a=1".to_owned()].as_slice()));
        }
        let path = file.path().to_owned();
        drop(file);
        let error = source.reread(&mut config).unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()), "{error}");
    }

    #[test]
    fn features_are_shown_as_docker_does() {
        assert_eq!(as_go_prints(None), "map[]");
        assert_eq!(as_go_prints(Some(&json!({ "b": false, "a": true }))), "map[a:true b:false]");
    }
}
