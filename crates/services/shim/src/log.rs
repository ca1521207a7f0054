//! The container's log, and what happens when it cannot be written.

use hull_logs::{JsonFile, JsonFileOptions, Stream};
use hull_task::protocol::LogTarget;
use hull_types::Timestamp;

/// Where a process's output is kept.
pub(crate) struct Log {
    file: JsonFile,
    // Told once: a full disk must not fill shim.log too.
    complained: bool,
}

impl Log {
    /// `None` when output is not to be kept.
    pub(crate) fn open(target: &LogTarget) -> hull_logs::Result<Option<Self>> {
        let LogTarget::JsonFile(json) = target else { return Ok(None) };
        let options = JsonFileOptions {
            path: json.path.clone(),
            max_size: json.max_size,
            max_file: json.max_file.max(1),
            attrs: json.attrs.clone(),
        };
        Ok(Some(Self { file: JsonFile::open(options)?, complained: false }))
    }

    pub(crate) fn write(&mut self, stream: Stream, bytes: &[u8]) {
        let written = self.file.write(stream, bytes, Timestamp::now());
        self.complain(written);
    }

    pub(crate) fn finish(&mut self) {
        let written = self.file.finish(Timestamp::now());
        self.complain(written);
    }

    // The container goes on: a full disk costs log lines, not the service.
    fn complain(&mut self, written: hull_logs::Result<()>) {
        match written {
            Ok(()) => self.complained = false,
            Err(error) if !self.complained => {
                eprintln!("{error}; what could not be written is lost");
                self.complained = true;
            }
            Err(_) => {}
        }
    }
}
