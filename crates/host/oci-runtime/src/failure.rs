//! What goes wrong between the fork and the container's program: a text, for it travels to another process.

use std::fmt::Display;
use std::io;

/// A failure inside the new process, told to its parent.
#[derive(Debug)]
pub(crate) struct Failure(pub String);

/// The result of a step in the new process.
pub(crate) type Step<T> = Result<T, Failure>;

/// Says what was being done.
pub(crate) trait During<T> {
    fn during(self, what: impl Display) -> Step<T>;
}

impl<T> During<T> for io::Result<T> {
    fn during(self, what: impl Display) -> Step<T> {
        self.map_err(|error| Failure(format!("{what}: {}", reason(&error))))
    }
}

impl<T> During<T> for hull_sys::rustix::io::Result<T> {
    fn during(self, what: impl Display) -> Step<T> {
        self.map_err(io::Error::from).during(what)
    }
}

impl<T> During<T> for Step<T> {
    fn during(self, what: impl Display) -> Step<T> {
        self.map_err(|failure| Failure(format!("{what}: {}", failure.0)))
    }
}

/// An error as Go, and so every tool around containers, spells it: `no such file or directory`.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let Some(code) = error.raw_os_error() else { return text };
    let text = text.strip_suffix(&format!(" (os error {code})")).unwrap_or(&text);
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_read_as_in_go() {
        assert_eq!(reason(&io::Error::from_raw_os_error(2)), "no such file or directory");
        assert_eq!(reason(&io::Error::other("x: Y")), "x: Y");
        let step: Step<()> = Err(io::Error::from_raw_os_error(13)).during("mount \"/x\"");
        assert_eq!(step.unwrap_err().0, "mount \"/x\": permission denied");
    }
}
