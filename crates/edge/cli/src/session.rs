//! What a command works with: the global flags, the configuration, the engine. All of it is made when first asked
//! for, as many commands need little.

use crate::buildx::store;
use crate::config::ConfigFile;
use crate::endpoint::{self, Endpoint};
use crate::engine_start;
use crate::failure::Failure;
use hull_client::Client;
use std::cell::OnceCell;

/// The flags before the command.
#[derive(Debug, Clone, Default)]
pub struct Globals {
    /// `--config`.
    pub config: String,
    /// `--context`.
    pub context: String,
    /// `--debug`.
    pub debug: bool,
    /// `--host`.
    pub hosts: Vec<String>,
    /// `--tls`.
    pub tls: bool,
    /// `--tlsverify`, where given.
    pub tls_verify: Option<bool>,
    /// `--tlscacert`.
    pub tls_ca: String,
    /// `--tlscert`.
    pub tls_certificate: String,
    /// `--tlskey`.
    pub tls_key: String,
    /// `--builder`, empty where it is not given; `None` for commands that have nothing to do with builders.
    pub builder: Option<String>,
}

/// One run of the program.
#[derive(Default)]
pub struct Session {
    /// The name that the program goes by in what it says.
    pub program: &'static str,
    /// The flags before the command.
    pub globals: Globals,
    config: OnceCell<ConfigFile>,
    client: OnceCell<Client>,
}

impl Session {
    /// Of a program's name and its global flags.
    pub fn new(program: &'static str, globals: Globals) -> Self {
        Self { program, globals, ..Self::default() }
    }
    /// The configuration. One that can't be read is told of once and counts as empty, as with Docker.
    pub fn config(&self) -> &ConfigFile {
        self.config.get_or_init(|| {
            let directory = ConfigFile::directory(&self.globals.config);
            ConfigFile::read(directory.clone()).unwrap_or_else(|warning| {
                crate::streams::complain(&warning);
                ConfigFile { directory, document: serde_json::Value::Object(Default::default()) }
            })
        })
    }
    /// Where the engine is.
    pub fn endpoint(&self) -> Result<Endpoint, Failure> {
        let Some(name) = &self.globals.builder else {
            return endpoint::resolve(&self.globals, self.config());
        };
        let builder = store::meant(&self.globals, self.config(), name)?;
        endpoint::resolve(&store::globals_for(&self.globals, &builder), self.config())
    }
    /// The engine, connected to. With nobody having named one and none running, root starts it.
    pub async fn client(&self) -> Result<&Client, Failure> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let Endpoint { options, is_default } = self.endpoint()?;
        let client = match Client::connect(options.clone()).await {
            Err(error) if is_default && error.is_unreachable() && engine_start::may_start() => {
                engine_start::start(self.program, &options).await?;
                Client::connect(options).await?
            }
            result => result?,
        };
        Ok(self.client.get_or_init(|| client))
    }
    /// The keys that detach: the flag's, or the configuration's; empty for the default.
    pub fn detach_keys<'a>(&'a self, flag: &'a str) -> &'a str {
        if flag.is_empty() { self.config().text("detachKeys") } else { flag }
    }
}
