//! Credentials for registries: from the configuration's `auths`, or from the programs that it names
//! (`credHelpers`, `credsStore`: `docker-credential-NAME get`).

use crate::config::ConfigFile;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hull_api_types::AuthConfig;
use serde::Deserialize;
use serde_json::Value;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// The key of Docker Hub's credentials, by which it has always gone.
pub const HUB: &str = "https://index.docker.io/v1/";
/// What a helper gives for the user where it holds a token.
const TOKEN_USER: &str = "<token>";
/// What a helper says that works and holds nothing for the registry.
const NONE: &str = "credentials not found";

/// The key of a registry's credentials.
pub fn key_of(domain: &str) -> &str {
    if matches!(domain, "docker.io" | "index.docker.io") { HUB } else { domain }
}

/// The name of the program that keeps this registry's credentials; `None` where the file does.
pub fn helper_of(config: &ConfigFile, key: &str) -> Option<String> {
    let own = config.document.get("credHelpers").and_then(|helpers| helpers.get(key)).and_then(Value::as_str);
    own.or_else(|| config.document.get("credsStore").and_then(Value::as_str))
        .filter(|name| !name.is_empty())
        .map(Into::into)
}

/// The credentials for the registry with this domain. A helper that does not work is an error: neither what the file has
/// nor no credentials at all stand in for what it would have given (CVE-2021-41092).
pub fn find(config: &ConfigFile, domain: &str) -> Result<Option<AuthConfig>, String> {
    let key = key_of(domain);
    let found = match helper_of(config, key) {
        Some(helper) => from_helper(&helper, key)
            .map_err(|cause| format!("error getting credentials for {key} - err: {cause}"))?,
        None => from_file(config, key),
    };
    Ok(found.map(|mut auth| {
        auth.serveraddress = key.to_owned();
        auth
    }))
}

fn from_file(config: &ConfigFile, key: &str) -> Option<AuthConfig> {
    let auths = config.document.get("auths")?.as_object()?;
    let bare = |text: &str| {
        let text = text.trim_start_matches("https://").trim_start_matches("http://");
        text.split('/').next().unwrap_or_default().to_owned()
    };
    let entry =
        auths.get(key).or_else(|| auths.iter().find(|(name, _)| bare(name) == bare(key)).map(|(_, v)| v))?;
    let mut auth: AuthConfig = serde_json::from_value(entry.clone()).ok()?;
    if !auth.auth.is_empty() {
        let decoded = STANDARD.decode(&auth.auth).ok()?;
        let text = String::from_utf8(decoded).ok()?;
        let (user, password) = text.split_once(':')?;
        auth.username = user.to_owned();
        auth.password = password.trim_matches('\0').to_owned();
        auth.auth = String::new();
    }
    Some(auth)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

fn from_helper(helper: &str, key: &str) -> Result<Option<AuthConfig>, String> {
    let output = match run_helper(helper, "get", key.as_bytes()) {
        Err(said) if said.starts_with(NONE) => return Ok(None),
        output => output?,
    };
    let answer: Answer = serde_json::from_slice(&output)
        .map_err(|error| format!("docker-credential-{helper} did not answer as helpers do: {error}"))?;
    Ok(Some(match answer.username.as_str() {
        TOKEN_USER => AuthConfig { identitytoken: answer.secret, ..AuthConfig::default() },
        _ => AuthConfig { username: answer.username, password: answer.secret, ..AuthConfig::default() },
    }))
}

/// Runs `docker-credential-HELPER ACTION` with this input; its output, or what it said.
pub fn run_helper(helper: &str, action: &str, input: &[u8]) -> Result<Vec<u8>, String> {
    let program = format!("docker-credential-{helper}");
    let failed = |error: std::io::Error| format!("{program}: {error}");
    let mut child = Command::new(&program)
        .arg(action)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that doesn't read its input says what it wants by its output.
        let _ = stdin.write_all(input);
    }
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    match String::from_utf8_lossy(&output.stdout).trim() {
        "" => Err(format!("{program}: {}", output.status)),
        said => Err(said.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn credentials_are_found_under_every_spelling() {
        let auth = STANDARD.encode("me:se:cret");
        let document = json!({"auths": {"https://r.example/v2/": {"auth": auth}, HUB: {"auth": auth}}});
        let config = ConfigFile { directory: "/".into(), document };
        let found = find(&config, "r.example").unwrap().unwrap();
        assert_eq!((found.username.as_str(), found.password.as_str()), ("me", "se:cret"));
        assert_eq!(find(&config, "docker.io").unwrap().unwrap().serveraddress, HUB);
        assert!(find(&config, "other.example").unwrap().is_none());
    }

    #[test]
    fn nothing_stands_in_for_a_helper_that_does_not_work() {
        let auth = STANDARD.encode("me:secret");
        let document = json!({
            "auths": {"r.example": {"auth": auth}, HUB: {"auth": auth}},
            "credHelpers": {"r.example": "hull-test-is-not-there"},
        });
        let config = ConfigFile { directory: "/".into(), document };
        let error = find(&config, "r.example").unwrap_err();
        assert!(error.contains("docker-credential-hull-test-is-not-there"), "{error}");
        // Others' are their own.
        assert!(find(&config, "docker.io").unwrap().is_some());
        assert!(find(&config, "other.example").unwrap().is_none());
    }
}
