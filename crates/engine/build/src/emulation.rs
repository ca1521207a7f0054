//! Whether this machine runs programs of a platform.

use crate::error::{Error, Result};
use hull_types::Platform;
use std::path::Path;

const HANDLERS: &str = "/proc/sys/fs/binfmt_misc";

/// An error that says what is missing, where this machine cannot run a step for `platform`.
pub(crate) fn check(platform: &Platform) -> Result<()> {
    let host = Platform::host();
    if host.matches(platform) || native(&host.architecture, &platform.architecture) {
        return Ok(());
    }
    match handler(Path::new(HANDLERS), &platform.architecture) {
        true => Ok(()),
        false => Err(Error::Invalid(format!(
            "RUN for {platform} cannot run on this machine, which is {host}: no handler for {} programs is enabled in \
             {HANDLERS} (mount binfmt_misc and register qemu-user-static with the flag F); or do the step in a stage \
             FROM --platform=$BUILDPLATFORM and copy from it",
            platform.architecture
        ))),
    }
}

/// What processors run beside their own.
fn native(host: &str, wanted: &str) -> bool {
    matches!((host, wanted), ("amd64", "386") | ("arm64", "arm"))
}

/// Whether an enabled handler is registered under the name that qemu's packages give it.
fn handler(directory: &Path, architecture: &str) -> bool {
    let name = match architecture {
        "amd64" => "x86_64",
        "386" => "i386",
        "arm64" => "aarch64",
        "mips64le" => "mips64el",
        other => other,
    };
    let text = std::fs::read_to_string(directory.join(format!("qemu-{name}"))).unwrap_or_default();
    let mut lines = text.lines();
    // Opened when it was registered: no container has the interpreter's path.
    let fixed = |line: &str| line.strip_prefix("flags:").is_some_and(|flags| flags.contains('F'));
    lines.next() == Some("enabled") && lines.any(fixed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handlers_must_be_enabled_and_fixed() {
        let directory = tempfile::tempdir().unwrap();
        let write = |text: &str| std::fs::write(directory.path().join("qemu-aarch64"), text).unwrap();
        assert!(!handler(directory.path(), "arm64"));
        write("enabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: OCF\noffset 0\n");
        assert!(handler(directory.path(), "arm64"));
        write("enabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: OC\n");
        assert!(!handler(directory.path(), "arm64"));
        write("disabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: F\n");
        assert!(!handler(directory.path(), "arm64"));
    }
}
