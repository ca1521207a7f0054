//! The two programs.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The docker CLI that Hull's words are held against.
pub const VERSION: &str = "28.2.2";
const ROLE: &str = "HULL_TEST_ROLE";

/// In the child that is to be Hull: runs it.
pub fn be_the_program() -> Option<i32> {
    std::env::var_os(ROLE)?;
    Some(hull_cli::main(std::env::args_os().collect()))
}

pub struct Program {
    path: PathBuf,
    hull: bool,
}

/// What a program said.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    pub code: i32,
    pub output: String,
    pub errors: String,
}

impl Program {
    pub fn hull() -> Self {
        Self { path: std::env::current_exe().expect("this program has a path"), hull: true }
    }
    /// The docker CLI, if it is here in the right version.
    pub fn docker() -> Option<Self> {
        let output = Command::new("docker").arg("--version").output().ok()?;
        let right =
            String::from_utf8_lossy(&output.stdout).starts_with(&format!("Docker version {VERSION},"));
        right.then(|| Self { path: "docker".into(), hull: false })
    }
    pub fn run(&self, host: &str, words: &[&str]) -> Said {
        let config = tempfile::tempdir().expect("a directory for the configuration");
        let mut command = Command::new(&self.path);
        // Under Docker's name Hull speaks of itself as Docker does.
        command.arg0("docker").args(words).stdin(Stdio::null());
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", "/root");
        command
            .env("DOCKER_HOST", host)
            .env("TZ", "UTC")
            .env("HULL_TEST_VARIABLE", "from here")
            .current_dir("/tmp");
        if !words.contains(&"--config") {
            command.env("DOCKER_CONFIG", config.path());
        }
        if self.hull {
            command.env(ROLE, "cli");
        }
        let output = command.output().expect("the program runs");
        let text = |bytes: Vec<u8>| {
            String::from_utf8_lossy(&bytes).replace(&config.path().display().to_string(), "CONFIG")
        };
        Said {
            code: output.status.code().unwrap_or(-1),
            output: text(output.stdout),
            errors: text(output.stderr),
        }
    }
}
