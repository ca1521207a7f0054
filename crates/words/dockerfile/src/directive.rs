//! Parser directives: the comments at a file's very top that mean something.

/// What the directives say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directives {
    /// `# syntax=`: the language's implementation; this one serves them all.
    pub syntax: Option<String>,
    /// `# escape=`: the escape character.
    pub escape: char,
    /// `# check=`: what the lint rules are to do.
    pub check: Option<Check>,
}

/// `# check=skip=A,B;error=true`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Check {
    /// Rules that are not applied.
    pub skip: Vec<String>,
    /// Whether no rule is.
    pub skip_all: bool,
    /// Whether a finding fails the build.
    pub error: bool,
    /// Rules on trial that are applied all the same.
    pub experimental: Vec<String>,
}

impl Default for Directives {
    fn default() -> Self {
        Self { syntax: None, escape: '\\', check: None }
    }
}

/// Reads directives until something else comes.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    seen: Vec<String>,
    ended: bool,
}

impl Reader {
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// Takes a comment line, trimmed at its beginning.
    pub(crate) fn comment(&mut self, line: &str, directives: &mut Directives) -> Result<(), String> {
        if self.ended {
            return Ok(());
        }
        let Some((key, value)) = split(line) else {
            self.ended = true;
            return Ok(());
        };
        if !matches!(key.as_str(), "escape" | "syntax" | "check") {
            self.ended = true;
            return Ok(());
        }
        if self.seen.contains(&key) {
            return Err(format!("only one {key} parser directive can be used"));
        }
        match key.as_str() {
            "escape" => match value {
                "\\" => directives.escape = '\\',
                "`" => directives.escape = '`',
                _ => return Err(format!("invalid escape token '{value}' does not match ` or \\")),
            },
            "syntax" => directives.syntax = Some(value.to_owned()),
            _ => directives.check = Some(Check::parse(value)?),
        }
        self.seen.push(key);
        Ok(())
    }
}

fn split(line: &str) -> Option<(String, &str)> {
    let (key, value) = line.strip_prefix('#')?.split_once('=')?;
    let (key, value) = (key.trim(), value.trim());
    let named =
        key.starts_with(|c: char| c.is_ascii_alphabetic()) && key.chars().all(|c| c.is_ascii_alphanumeric());
    (named && !value.is_empty()).then(|| (key.to_lowercase(), value))
}

impl Check {
    /// Reads the value of `# check=` or of the build argument `BUILDKIT_DOCKERFILE_CHECK`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut check = Self::default();
        for part in text.split(';') {
            let (key, value) =
                part.split_once('=').ok_or_else(|| format!("invalid check option {part:?}"))?;
            let words = || value.split(',').map(|word| word.trim().to_owned());
            match key.trim() {
                "skip" => {
                    check.skip = words().collect();
                    check.skip_all = check.skip.iter().any(|word| word.eq_ignore_ascii_case("all"));
                }
                "experimental" => check.experimental = words().collect(),
                "error" => {
                    check.error = match value.trim() {
                        "true" | "1" => true,
                        "false" | "0" => false,
                        _ => {
                            return Err(format!(
                                "failed to parse check option {key:?}: {value:?} is no boolean"
                            ));
                        }
                    }
                }
                other => return Err(format!("invalid check option {other:?}")),
            }
        }
        Ok(check)
    }
}
