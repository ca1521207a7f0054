//! Which engine a command is for: flags, environment, contexts.

use crate::config::ConfigFile;
use crate::failure::{Failure, file_error};
use crate::session::Globals;
use hull_client::{Host, Options, TlsFiles};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The socket of this machine's engine.
pub const DEFAULT_SOCKET: &str = "/run/hull/hull.sock";
/// The context that stands for flags, environment and defaults.
pub const DEFAULT_CONTEXT: &str = "default";

/// An engine's address and what it came from.
#[derive(Debug)]
pub struct Endpoint {
    /// How to reach it.
    pub options: Options,
    /// Whether nobody named an engine: then Hull may start its own.
    pub is_default: bool,
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The engine's address in the environment; `HULL_HOST` goes first, so that both names can be set.
pub fn host_variable() -> Option<String> {
    variable("HULL_HOST").or_else(|| variable("DOCKER_HOST"))
}

/// The name of the context in use.
pub fn context_name(globals: &Globals, config: &ConfigFile) -> String {
    if !globals.context.is_empty() {
        return globals.context.clone();
    }
    if !globals.hosts.is_empty() || host_variable().is_some() {
        return DEFAULT_CONTEXT.into();
    }
    if let Some(name) = variable("DOCKER_CONTEXT") {
        return name;
    }
    match config.text("currentContext") {
        "" => DEFAULT_CONTEXT.into(),
        name => name.into(),
    }
}

/// Finds the engine.
pub fn resolve(globals: &Globals, config: &ConfigFile) -> Result<Endpoint, Failure> {
    if !globals.context.is_empty() && !globals.hosts.is_empty() {
        return Err("conflicting options: cannot specify both --host and --context".into());
    }
    if globals.hosts.len() > 1 {
        return Err("Specify only one -H".into());
    }
    let name = context_name(globals, config);
    let (address, tls, is_default) = match name.as_str() {
        DEFAULT_CONTEXT => {
            let given = globals.hosts.first().cloned().or_else(host_variable);
            let is_default = given.is_none();
            let address = given.unwrap_or_else(|| format!("unix://{DEFAULT_SOCKET}"));
            (address, tls_of_flags(globals, config), is_default)
        }
        _ => {
            let (address, tls) = read_context(&config.directory, &name)?;
            (address, tls, false)
        }
    };
    let host = Host::parse(address.trim(), tls.is_some()).map_err(|error| {
        Failure::new(format!("Failed to initialize: unable to resolve docker endpoint: {error}"))
    })?;
    let mut options = Options::new(host);
    options.tls = tls;
    options.api_version = variable("DOCKER_API_VERSION");
    options.headers = config.texts("HttpHeaders").into_iter().collect();
    Ok(Endpoint { options, is_default })
}

fn tls_of_flags(globals: &Globals, config: &ConfigFile) -> Option<TlsFiles> {
    let verify = globals.tls_verify.unwrap_or_else(|| variable("DOCKER_TLS_VERIFY").is_some());
    if !(verify || globals.tls || globals.tls_verify.is_some() || variable("DOCKER_TLS").is_some()) {
        return None;
    }
    let directory = variable("DOCKER_CERT_PATH").map_or_else(|| config.directory.clone(), PathBuf::from);
    // A file that was named must be there; the usual ones are used if they are.
    let file = |given: &str, name: &str| match given {
        "" => Some(directory.join(name)).filter(|path| path.exists()),
        path => Some(unquoted(path).into()),
    };
    Some(TlsFiles {
        ca: file(&globals.tls_ca, "ca.pem"),
        certificate: file(&globals.tls_certificate, "cert.pem"),
        key: file(&globals.tls_key, "key.pem"),
        verify,
    })
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text)
}

/// The directory name that stands for a context: the SHA-256 of its name.
pub fn context_id(name: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, name.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A context's file.
pub fn context_path(config: &Path, name: &str) -> PathBuf {
    config.join("contexts/meta").join(context_id(name)).join("meta.json")
}

/// The address and TLS files of a stored context.
pub fn read_context(config: &Path, name: &str) -> Result<(String, Option<TlsFiles>), Failure> {
    let path = context_path(config, name);
    let lost = |why: String| {
        Failure::new(format!(
            "Failed to initialize: unable to resolve docker endpoint: context {name:?}: context not found: {why}"
        ))
    };
    let text = std::fs::read(&path).map_err(|error| lost(file_error("open", &path, &error)))?;
    let document: Value =
        serde_json::from_slice(&text).map_err(|error| lost(format!("{}: {error}", path.display())))?;
    let endpoint = &document["Endpoints"]["docker"];
    let address = endpoint["Host"].as_str().unwrap_or_default();
    let address = if address.is_empty() { format!("unix://{DEFAULT_SOCKET}") } else { address.to_owned() };
    let directory = config.join("contexts/tls").join(context_id(name)).join("docker");
    let file = |name: &str| Some(directory.join(name)).filter(|path| path.exists());
    let skip = endpoint["SkipTLSVerify"].as_bool().unwrap_or(false);
    let tls = (skip || directory.is_dir()).then(|| TlsFiles {
        ca: file("ca.pem"),
        certificate: file("cert.pem"),
        key: file("key.pem"),
        verify: !skip,
    });
    Ok((address, tls))
}
