//! `hull`: every role that a person or a service manager starts, by the name it is started under or its first word.
//!
//! `hulld …`, `dockerd …`, `hull daemon …` are the daemon; anything else is the client.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words: Vec<OsString> = std::env::args_os().collect();
    let name =
        words.first().and_then(|name| Path::new(name).file_name().map(OsString::from)).unwrap_or_default();
    let code = if name == "hulld" || name == "dockerd" {
        hull_daemon::main(words.split_off(1))
    } else if words.get(1).is_some_and(|word| word == "daemon") {
        hull_daemon::main(words.split_off(2))
    } else {
        hull_cli::main(words)
    };
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
