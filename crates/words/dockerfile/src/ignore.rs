//! `.dockerignore`: what of a context is left out.

use hull_types::glob::{Glob, is_pattern};

/// The rules of one file, in order; the last that applies to a path or to a directory above it decides.
#[derive(Debug, Clone, Default)]
pub struct Ignore {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    exception: bool,
    glob: Glob,
    text: String,
}

impl Ignore {
    /// Reads a `.dockerignore`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().filter(|line| !line.starts_with('#')).map(str::trim);
        Self::new(lines.filter(|line| !line.is_empty()))
    }

    /// The rules of these patterns, as `--exclude` gives them too.
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut rules = Vec::new();
        for pattern in patterns {
            let (exception, rest) = match pattern.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, pattern.trim()),
            };
            if exception && rest.is_empty() {
                return Err("illegal exclusion pattern: \"!\"".into());
            }
            let text = clean(rest);
            let glob = Glob::new(&text).map_err(|error| format!("{error}: {pattern:?}"))?;
            rules.push(Rule { exception, glob, text });
        }
        Ok(Self { rules })
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether the path (relative, `/` between its parts, clean) is left out.
    pub fn ignores(&self, path: &str) -> bool {
        self.verdict(path).is_some_and(|rule| !rule.exception)
    }

    /// Whether a directory that is left out need not be looked into: no exception can apply beneath it.
    pub fn skips_directory(&self, path: &str) -> bool {
        self.ignores(path) && !self.rules.iter().any(|rule| rule.exception && rule.reaches_below(path))
    }

    fn verdict(&self, path: &str) -> Option<&Rule> {
        let mut decided: Option<&Rule> = None;
        for rule in &self.rules {
            // A rule that says what holds already need not be asked.
            if rule.exception == decided.is_some_and(|decided| !decided.exception) && rule.applies(path) {
                decided = Some(rule);
            }
        }
        decided
    }
}

impl Rule {
    fn applies(&self, path: &str) -> bool {
        let parents = path.match_indices('/').map(|(index, _)| &path[..index]);
        self.glob.matches(path) || parents.into_iter().any(|parent| self.glob.matches(parent))
    }

    fn reaches_below(&self, directory: &str) -> bool {
        let mut mine = self.text.split('/');
        for part in directory.split('/') {
            match mine.next() {
                None => return true,
                Some("**") => return true,
                Some(text) if is_pattern(text) => {
                    if text.contains("**") || Glob::new(text).is_ok_and(|glob| glob.matches(part)) {
                        continue;
                    }
                    return false;
                }
                Some(text) if text != part => return false,
                Some(_) => {}
            }
        }
        true
    }
}

/// Go's `filepath.Clean`, then without a slash at the beginning.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if path.starts_with('/') => {}
            other => parts.push(other),
        }
    }
    if parts.is_empty() { ".".into() } else { parts.join("/") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_rule_that_applies_decides() {
        let ignore = Ignore::parse(
            "\u{feff}# a comment\n\n*.log\n!keep.log\n/target/\n./x/../y\n**/node_modules\n!a/node_modules/b\nd\n!d/e/*.txt\n",
        )
        .unwrap();
        for (path, expected) in [
            ("a.log", true),
            ("b/a.log", false),
            ("keep.log", false),
            ("target", true),
            ("target/debug/x", true),
            ("y", true),
            ("x", false),
            ("node_modules", true),
            ("q/node_modules/z", true),
            ("a/node_modules/b", false),
            ("a/node_modules/b/c", false),
            ("a/node_modules/c", true),
            ("d/x", true),
            ("d/e/x.txt", false),
            ("d/e/f/x.txt", true),
        ] {
            assert_eq!(ignore.ignores(path), expected, "{path}");
        }
        assert!(ignore.skips_directory("target"));
        assert!(!ignore.skips_directory("d") && ignore.skips_directory("d/f"));
        assert!(!ignore.skips_directory("a/node_modules") && ignore.skips_directory("b/node_modules"));
    }

    #[test]
    fn everything_but() {
        let ignore = Ignore::parse("*\n!src\n").unwrap();
        assert!(ignore.ignores("a") && !ignore.ignores("src/main.rs") && ignore.ignores("b/src"));
        assert!(Ignore::parse("!\n").is_err() && Ignore::parse("[\n").is_err());
    }
}
