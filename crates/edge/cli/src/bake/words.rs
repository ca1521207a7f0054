//! A target as the command line of its build.

use super::files::{HERE, is_remote};
use hull_bake::{Entry, Target};
use std::collections::BTreeMap;
use std::path::Path;

/// Whether a place is a directory of this machine.
fn is_local(place: &str) -> bool {
    !is_remote(place) && !place.starts_with("target:") && place != "-"
}

/// `cwd://path` as a path.
fn here(place: &str) -> &str {
    match place.strip_prefix(HERE) {
        Some("") => ".",
        Some(path) => path,
        None => place,
    }
}

/// The words after `build`. `built` has what the targets came to that this one starts from, by their names;
/// what only others start from (`!wanted`) goes nowhere.
pub fn of(target: &Target, built: &BTreeMap<String, String>, wanted: bool) -> Result<Vec<String>, String> {
    let mut words = Words::default();
    let context = target.context.as_deref().unwrap_or(".");
    let context = here(context);
    if let Some(name) = context.strip_prefix("target:") {
        return Err(format!(
            "the context target:{name} is available in contexts only: contexts = {{ {name} = \"target:{name}\" }}"
        ));
    }
    if target.dockerfile_inline.is_none()
        && let Some(file) = &target.dockerfile
    {
        let file = match file.strip_prefix("cwd://") {
            Some(file) => file.to_owned(),
            None if is_local(context) => Path::new(context).join(file).display().to_string(),
            None => file.clone(),
        };
        words.add("file", file);
    }
    for (name, place) in &target.contexts {
        let place = match place.strip_prefix("target:") {
            Some(other) => built.get(other).ok_or_else(|| format!("target {other} was not built"))?,
            None => here(place),
        };
        words.add("build-context", format!("{name}={place}"));
    }
    words.pairs("build-arg", &target.args, '=');
    words.pairs("label", &target.labels, '=');
    words.pairs("add-host", &target.extra_hosts, ':');
    words.entries("secret", &target.secret);
    target.ssh.iter().for_each(|entry| words.add("ssh", ssh(entry)));
    words.all("no-cache-filter", &target.no_cache_filter);
    words.all("ulimit", &target.ulimits);
    words.all("allow", &target.entitlements);
    words.text("target", target.target.as_ref());
    words.text("network", target.network.as_ref());
    words.text("shm-size", target.shm_size.as_ref());
    words.text("call", target.call.as_ref());
    words.switch("no-cache", target.no_cache);
    words.switch("pull", target.pull);
    words.entries("cache-from", &target.cache_from);
    if !target.platforms.is_empty() {
        words.add("platform", target.platforms.join(","));
    }
    if wanted {
        words.all("tag", &target.tags);
        words.all("annotation", &target.annotations);
        words.entries("cache-to", &target.cache_to);
        words.entries("attest", &target.attest);
        target.output.iter().for_each(|output| words.output(output));
    }
    words.0.push("--".into());
    words.0.push(context.to_owned());
    Ok(words.0)
}

/// `default`, `ID`, `ID=PATH,PATH`.
fn ssh(entry: &Entry) -> String {
    let field = |key| entry.get(key).unwrap_or_default();
    match (field("id"), field("paths")) {
        (id, "") => id.to_owned(),
        (id, paths) => format!("{id}={paths}"),
    }
}

#[derive(Default)]
struct Words(Vec<String>);

impl Words {
    fn add(&mut self, flag: &str, value: impl std::fmt::Display) {
        self.0.push(format!("--{flag}={value}"));
    }
    fn all(&mut self, flag: &str, values: &[String]) {
        values.iter().for_each(|value| self.add(flag, value));
    }
    fn entries(&mut self, flag: &str, values: &[Entry]) {
        values.iter().for_each(|value| self.add(flag, value));
    }
    fn pairs(&mut self, flag: &str, values: &BTreeMap<String, String>, between: char) {
        values.iter().for_each(|(name, value)| self.add(flag, format!("{name}{between}{value}")));
    }
    fn text(&mut self, flag: &str, value: Option<&String>) {
        value.into_iter().for_each(|value| self.add(flag, value));
    }
    fn switch(&mut self, flag: &str, value: Option<bool>) {
        value.into_iter().for_each(|value| self.add(flag, value));
    }
    /// A push that says nothing more is the flag of that name.
    fn output(&mut self, output: &Entry) {
        let plain = output.0.iter().all(|(key, _)| matches!(key.as_str(), "type" | "push"));
        match (output.get("type"), output.get("push")) {
            (Some("registry"), _) | (Some("image"), Some("true")) if plain => self.0.push("--push".into()),
            (Some("docker"), None) if plain => self.0.push("--load".into()),
            _ => self.add("output", output),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_command_line() {
        let target = Target {
            context: Some("app".into()),
            dockerfile: Some("Dockerfile.web".into()),
            contexts: [("base".to_owned(), "target:base".to_owned()), ("files".to_owned(), "./f".to_owned())]
                .into(),
            args: [("A".to_owned(), "1 2".to_owned())].into(),
            tags: vec!["a:1".into(), "a:2".into()],
            platforms: vec!["linux/amd64".into(), "linux/arm64".into()],
            output: vec![
                Entry::parse("type=image,push=true", "dest"),
                Entry::parse("type=local,dest=out", "dest"),
            ],
            no_cache: Some(true),
            ..Target::default()
        };
        let built = BTreeMap::from([("base".to_owned(), "hull-build://1".to_owned())]);
        let expected = [
            "--file=app/Dockerfile.web",
            "--build-context=base=hull-build://1",
            "--build-context=files=./f",
            "--build-arg=A=1 2",
            "--no-cache=true",
            "--platform=linux/amd64,linux/arm64",
            "--tag=a:1",
            "--tag=a:2",
            "--push",
            "--output=type=local,dest=out",
            "--",
            "app",
        ];
        assert_eq!(of(&target, &built, true).unwrap(), expected);
        let words = of(&target, &built, false).unwrap();
        assert!(
            !words.iter().any(|word| word.starts_with("--tag") || word.starts_with("--push")),
            "{words:?}"
        );
        assert!(of(&target, &BTreeMap::new(), true).is_err());
    }
}
