//! Where a login is kept: by the helper program that the configuration names, or in the configuration itself.

use crate::config::ConfigFile;
use crate::credentials::{helper_of, run_helper};
use crate::failure::{Failure, file_error};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hull_api_types::AuthConfig;
use serde_json::{Value, json};

/// Keeps the login; true if it is in the file, where anybody who can read that reads it.
pub fn keep(config: &ConfigFile, key: &str, auth: &AuthConfig) -> Result<bool, Failure> {
    let mut changed = config.clone();
    let helper = helper_of(config, key);
    let entry = match &helper {
        Some(helper) => {
            let (user, secret) = match auth.identitytoken.as_str() {
                "" => (auth.username.as_str(), auth.password.as_str()),
                token => ("<token>", token),
            };
            let input = json!({"ServerURL": key, "Username": user, "Secret": secret}).to_string();
            run_helper(helper, "store", input.as_bytes())
                .map_err(|why| Failure::new(format!("Error saving credentials: {why}")))?;
            json!({})
        }
        None => {
            let mut entry = json!({"auth": STANDARD.encode(format!("{}:{}", auth.username, auth.password))});
            if !auth.identitytoken.is_empty() {
                entry["auth"] = STANDARD.encode(format!("{}:", auth.username)).into();
                entry["identitytoken"] = auth.identitytoken.clone().into();
            }
            entry
        }
    };
    if !changed.document.is_object() {
        changed.document = json!({});
    }
    if !changed.document["auths"].is_object() {
        changed.document["auths"] = json!({});
    }
    changed.document["auths"][key] = entry;
    write(&changed)?;
    Ok(helper.is_none())
}

/// Forgets the login; whether there was one.
pub fn forget(config: &ConfigFile, key: &str) -> Result<bool, Failure> {
    let mut changed = config.clone();
    let mut found = false;
    if let Some(helper) = helper_of(config, key) {
        found = run_helper(&helper, "erase", key.as_bytes()).is_ok();
    }
    if let Some(auths) = changed.document.get_mut("auths").and_then(Value::as_object_mut) {
        // `shift_remove` keeps the other entries' order.
        if auths.shift_remove(key).is_some() {
            found = true;
            write(&changed)?;
        }
    }
    Ok(found)
}

fn write(config: &ConfigFile) -> Result<(), Failure> {
    let path = config.directory.join("config.json");
    config.write().map_err(|error| {
        Failure::new(format!("Error saving credentials: {}", file_error("write", path, &error)))
    })
}
