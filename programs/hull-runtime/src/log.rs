//! Where errors and warnings go: standard error, and the file that `--log` names, in the form that its readers know.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

/// The log that a command line asked for.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub path: Option<PathBuf>,
    pub json: bool,
}

impl Log {
    pub(crate) fn warning(&self, message: &str) {
        self.write("warning", message);
    }

    pub(crate) fn error(&self, message: &str) {
        if self.path.is_some() {
            self.write("error", message);
        }
        // The file is for the caller's program, this for a person.
        eprintln!("{message}");
    }

    fn write(&self, level: &str, message: &str) {
        let time = hull_types::Timestamp::now();
        let line = if self.json {
            let message = serde_json::to_string(message).unwrap_or_default();
            format!("{{\"level\":\"{level}\",\"msg\":{message},\"time\":\"{time}\"}}\n")
        } else {
            format!("time=\"{time}\" level={level} msg={message:?}\n")
        };
        let Some(path) = &self.path else {
            eprint!("{line}");
            return;
        };
        let file = OpenOptions::new().create(true).append(true).open(path);
        // A log that cannot be written is no reason not to do what was asked.
        let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
    }
}
