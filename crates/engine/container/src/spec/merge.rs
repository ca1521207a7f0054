//! An image's configuration under a container's: what the container leaves open, the image says.

use crate::error::{Error, Result};
use hull_api_types::{ContainerConfig, HealthConfig, Set, StrSlice};
use hull_types::oci::image::Execution;
use std::collections::BTreeMap;

/// Merges `image` into `config`.
pub fn image_into(config: &mut ContainerConfig, image: &Execution) -> Result<()> {
    if config.user.is_empty() {
        config.user = image.user.clone();
    }
    union(&mut config.exposed_ports, &image.exposed_ports);
    union(&mut config.volumes, &image.volumes);
    merge_env(config.env.get_or_insert_default(), &image.env);
    for (name, value) in &image.labels {
        config.labels.entry(name.clone()).or_insert_with(|| value.clone());
    }
    merge_command(config, image);
    merge_health(&mut config.healthcheck, image);
    if config.working_dir.is_empty() {
        config.working_dir = image.working_dir.clone();
    }
    if config.stop_signal.is_empty() {
        config.stop_signal = image.stop_signal.clone();
    }
    if config.shell.is_none() {
        config.shell = image.shell.clone();
    }
    if config.on_build.is_none() {
        config.on_build = image.on_build.clone().filter(|list| !list.is_empty());
    }
    let empty = |words: &StrSlice| words.as_ref().is_none_or(Vec::is_empty);
    if config.entrypoint.as_ref().is_some_and(|words| words.len() == 1 && words[0].is_empty()) {
        // `--entrypoint ""` asks for none at all.
        config.entrypoint = None;
    }
    if empty(&config.entrypoint) && empty(&config.cmd) {
        return Err(Error::invalid("no command specified"));
    }
    Ok(())
}

fn union(wanted: &mut Option<Set>, image: &BTreeMap<String, serde_json::Value>) {
    if image.is_empty() {
        // Clients send an empty set where they mean none, and read null there.
        *wanted = wanted.take().filter(|set| !set.is_empty());
        return;
    }
    let set = wanted.get_or_insert_default();
    for name in image.keys() {
        set.entry(name.clone()).or_default();
    }
}

/// The image's variables that the container doesn't set come after the container's.
fn merge_env(wanted: &mut Vec<String>, image: &[String]) {
    let name = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let set: Vec<String> = wanted.iter().map(|entry| name(entry)).collect();
    wanted.extend(image.iter().filter(|entry| !set.contains(&name(entry))).cloned());
}

/// An entrypoint of the container's own makes the image's command meaningless.
fn merge_command(config: &mut ContainerConfig, image: &Execution) {
    if config.entrypoint.as_ref().is_some_and(|words| !words.is_empty()) {
        return;
    }
    if config.cmd.as_ref().is_none_or(Vec::is_empty) {
        config.cmd = image.cmd.clone();
        config.args_escaped = image.args_escaped;
    }
    if config.entrypoint.is_none() {
        config.entrypoint = image.entrypoint.clone();
    }
}

fn merge_health(wanted: &mut Option<HealthConfig>, image: &Execution) {
    let image = image.healthcheck.as_ref();
    let Some(image) = image.and_then(HealthConfig::deserialize_lenient) else { return };
    let Some(wanted) = wanted else {
        *wanted = Some(image);
        return;
    };
    if wanted.test.as_ref().is_none_or(Vec::is_empty) {
        wanted.test = image.test;
    }
    for (mine, theirs) in [
        (&mut wanted.interval, image.interval),
        (&mut wanted.timeout, image.timeout),
        (&mut wanted.start_period, image.start_period),
        (&mut wanted.start_interval, image.start_interval),
        (&mut wanted.retries, image.retries),
    ] {
        if *mine == 0 {
            *mine = theirs;
        }
    }
}

/// An image's health check is the image author's text: one that doesn't parse is none.
trait Lenient: Sized {
    fn deserialize_lenient(value: &serde_json::Value) -> Option<Self>;
}

impl Lenient for HealthConfig {
    fn deserialize_lenient(value: &serde_json::Value) -> Option<Self> {
        serde_json::from_value(value.clone()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(list: &[&str]) -> Option<Vec<String>> {
        Some(list.iter().map(|word| (*word).to_owned()).collect())
    }

    #[test]
    fn commands_merge_as_docker_does() {
        let image = Execution { entrypoint: words(&["/e"]), cmd: words(&["c"]), ..Default::default() };
        for (entrypoint, cmd, expected) in [
            (None, None, vec!["/e", "c"]),
            (None, words(&["x"]), vec!["/e", "x"]),
            (words(&["/f"]), None, vec!["/f"]),
            (words(&["/f"]), words(&["x"]), vec!["/f", "x"]),
            (words(&[""]), words(&["x"]), vec!["x"]),
            (words(&[]), words(&["x"]), vec!["x"]),
        ] {
            let mut config = ContainerConfig { entrypoint, cmd, ..Default::default() };
            image_into(&mut config, &image).unwrap();
            let all: Vec<String> =
                config.entrypoint.into_iter().flatten().chain(config.cmd.into_iter().flatten()).collect();
            assert_eq!(all, expected);
        }
        let mut config = ContainerConfig { entrypoint: words(&[""]), ..Default::default() };
        assert_eq!(image_into(&mut config, &image).unwrap_err().to_string(), "no command specified");
    }

    #[test]
    fn the_containers_variables_win_and_come_first() {
        let mut wanted = vec!["A=1".to_owned(), "B".to_owned()];
        merge_env(&mut wanted, &["A=2".into(), "B=3".into(), "C=4".into()]);
        assert_eq!(wanted, ["A=1", "B", "C=4"]);
    }
}
