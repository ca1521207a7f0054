//! How a command fails: what is said on standard error, and the exit code.

use std::fmt;

/// A command's failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What to say; nothing where it is empty.
    pub message: String,
    /// The exit code.
    pub code: i32,
}

impl Failure {
    /// With code 1.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1 }
    }
    /// Nothing to say but the code: a container's own, or what was said already.
    pub fn silent(code: i32) -> Self {
        Self { message: String::new(), code }
    }
    /// With another code.
    pub fn with_code(mut self, code: i32) -> Self {
        self.code = code;
        self
    }
    /// With words before the message.
    pub fn context(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
impl std::error::Error for Failure {}

impl From<hull_client::Error> for Failure {
    fn from(error: hull_client::Error) -> Self {
        Self::new(error.to_string())
    }
}
impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}
impl From<&str> for Failure {
    fn from(message: &str) -> Self {
        Self::new(message)
    }
}

/// An error of the operating system's as Go words it: `open /x: no such file or directory`.
pub fn file_error(act: &str, path: impl AsRef<std::path::Path>, error: &std::io::Error) -> String {
    format!("{act} {}: {}", path.as_ref().display(), errno_text(error))
}

/// The text of an error number, in lower case and without Rust's `(os error 2)`.
pub fn errno_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

/// The failures of a command that goes on with its other arguments: all are said, the command ends with 1.
#[derive(Debug, Default)]
pub struct Failures(Vec<String>);

impl Failures {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }
    /// One more.
    pub fn push(&mut self, failure: impl Into<Failure>) {
        self.0.push(failure.into().message);
    }
    /// All as one.
    pub fn into_result(self) -> Result<(), Failure> {
        if self.0.is_empty() { Ok(()) } else { Err(Failure::new(self.0.join("\n"))) }
    }
}
