//! Paths of bake files that come from elsewhere: they are in the place that the files are from.

use super::files::{HERE, is_remote};
use crate::failure::Failure;
use hull_bake::Plan;

/// Puts the contexts of all targets into a place elsewhere, but those that are this machine's (`cwd://`).
pub fn within(plan: &mut Plan, root: &str) -> Result<(), Failure> {
    for target in plan.targets.values_mut() {
        let contexts = target.contexts.values_mut();
        for context in target.context.iter_mut().chain(contexts) {
            let other =
                is_remote(context) || ["target:", HERE].iter().any(|prefix| context.starts_with(prefix));
            if !other && context != "-" {
                *context = inside(root, context)?;
            }
        }
    }
    Ok(())
}

/// A directory of a place: `url#revision:directory`, or the place itself.
fn inside(root: &str, path: &str) -> Result<String, Failure> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    if parts.is_empty() {
        return Ok(root.to_owned());
    }
    if root.contains('?') {
        return Err(Failure::new(format!(
            "ERROR: {root}: write URL#ref:dir where targets have directories of their own"
        )));
    }
    let (url, fragment) = root.split_once('#').unwrap_or((root, ""));
    let (revision, directory) = fragment.split_once(':').unwrap_or((fragment, ""));
    let slash = if directory.is_empty() { "" } else { "/" };
    Ok(format!("{url}#{revision}:{}{slash}{}", directory.trim_end_matches('/'), parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hull_bake::Target;

    #[test]
    fn paths_are_in_the_place_of_the_files() {
        for (root, path, wanted) in [
            ("https://e/a.git", ".", "https://e/a.git"),
            ("https://e/a.git", "./web", "https://e/a.git#:web"),
            ("https://e/a.git#v1", "web/../api", "https://e/a.git#v1:api"),
            ("https://e/a.git#v1:sub", "../../x", "https://e/a.git#v1:sub/x"),
        ] {
            assert_eq!(inside(root, path).unwrap(), wanted);
        }
        assert!(inside("https://e/a.git?ref=v1", "x").is_err());
        let contexts = [("a", "docs"), ("b", "target:t"), ("c", "cwd://x"), ("d", "docker-image://y")];
        let target = Target {
            context: Some(".".into()),
            contexts: contexts.map(|(name, place)| (name.to_owned(), place.to_owned())).into(),
            ..Target::default()
        };
        let mut plan = Plan { targets: [("t".to_owned(), target)].into(), ..Plan::default() };
        within(&mut plan, "https://e/a.git#v1").unwrap();
        let target = &plan.targets["t"];
        assert_eq!(target.context.as_deref(), Some("https://e/a.git#v1"));
        let places: Vec<&str> = target.contexts.values().map(String::as_str).collect();
        assert_eq!(places, ["https://e/a.git#v1:docs", "target:t", "cwd://x", "docker-image://y"]);
    }
}
