//! What the tests have in common that compare Hull with Debian's dockerd (20.10, API 1.41).

use crate::{Output, World};
use serde_json::Value;

/// Who is asked.
#[derive(Debug, Clone, Copy)]
pub enum Engine {
    /// Ours.
    Hull,
    /// Debian's dockerd.
    Dockerd,
}

/// Runs the stock docker CLI against one of them, by the version of the API that both have.
pub fn docker(world: &World, engine: Engine, words: &[&str]) -> Output {
    let mut command = world.command("docker");
    let socket = match engine {
        Engine::Hull => world.socket(),
        Engine::Dockerd => world.dockerd_socket(),
    };
    command
        .env("DOCKER_API_VERSION", "1.41")
        .arg("-H")
        .arg(format!("unix://{}", socket.display()))
        .args(words);
    world.run(command, None)
}

/// Ids, times, addresses, sizes of the machine and paths of this test, blotted out.
pub fn blot(world: &World, text: &str) -> String {
    let text = text.replace(world.directory().to_str().unwrap(), "<dir>");
    let mut result = String::new();
    for line in text.lines() {
        let words: Vec<String> = line.split(' ').map(blot_word).collect();
        result.push_str(words.join(" ").trim_end());
        result.push('\n');
    }
    for unit in ["second", "seconds", "minute", "minutes", "hours", "weeks", "months", "days"] {
        result = result.replace(&format!("<n> {unit}"), "<while>");
    }
    // Runs of spaces follow the width of ids and times.
    result
        .replace("Less than a <while>", "<while>")
        .replace("About a minute", "<while>")
        .split("  ")
        .filter(|p| !p.trim().is_empty())
        .map(str::trim_start)
        .collect::<Vec<_>>()
        .join("  ")
}

fn blot_word(word: &str) -> String {
    let core = word.trim_matches(|c: char| "\"',[]{}()".contains(c));
    let core = core.strip_prefix("HOSTNAME=").unwrap_or(core);
    let hex = core.strip_prefix("sha256:").unwrap_or(core);
    let is_hex = hex.len() >= 12 && hex.bytes().all(|b| b.is_ascii_hexdigit());
    let is_time = core.len() > 18 && core.as_bytes()[4] == b'-' && core.contains('T');
    let is_address = core.starts_with("172.") || core.starts_with("02:42:");
    let is_number = !core.is_empty() && core.bytes().all(|b| b.is_ascii_digit());
    match () {
        () if is_hex => word.replace(hex, "<id>"),
        () if is_time => word.replace(core, "<time>"),
        () if is_address => word.replace(core, "<address>"),
        () if is_number => word.replace(core, "<n>"),
        () => word.to_owned(),
    }
}

/// The paths at which two documents differ in shape, or in values that are no ids, times or addresses.
pub fn differences(world: &World, path: &str, hull: &Value, dockerd: &Value, found: &mut Vec<String>) {
    match (hull, dockerd) {
        (Value::Object(a), Value::Object(b)) => {
            let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                // Ids as keys are all alike.
                let shown = if key.len() == 64 { "<id>" } else { key };
                let below = format!("{path}.{shown}");
                match (a.get(key), b.get(key)) {
                    (Some(x), Some(y)) => differences(world, &below, x, y, found),
                    (Some(x), None) => found.push(format!("{below}: only Hull has it: {x}")),
                    (None, Some(y)) => found.push(format!("{below}: only dockerd has it: {y}")),
                    (None, None) => {}
                }
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            // dockerd lists mounts in the order of a Go map, which is none.
            let by_destination = |list: &[Value]| {
                let mut sorted = list.to_vec();
                sorted.sort_by_key(|item| item["Destination"].as_str().unwrap_or_default().to_owned());
                sorted
            };
            for (x, y) in by_destination(a).iter().zip(&by_destination(b)) {
                differences(world, &format!("{path}[]"), x, y, found);
            }
        }
        (Value::String(a), Value::String(b)) => {
            if blot(world, a) != blot(world, b) {
                found.push(format!("{path}: {a:?} on Hull, {b:?} on dockerd"));
            }
        }
        (a, b) if a == b => {}
        (a, b) => found.push(format!("{path}: {a} on Hull, {b} on dockerd")),
    }
}
