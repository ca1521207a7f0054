//! What stands beside each container: one small static program with four roles, chosen by its own name or its
//! first word.
//!
//! ```text
//!   hull-runtime create|start|…   the OCI runtime, with runc's command line
//!   hull-runtime shim …           the shim: keeps a container's streams, log and exit status
//!   hull-runtime init -- …        also as `docker-init`: the first process in a container that reaps and forwards
//!   hello                         the program of the built-in image: says what just happened
//! ```
//!
//! It never starts a thread: `clone3` without `exec` asks for that.

/// Writes a line to standard output. One who stops reading (`| head`) has what was wanted: that is no failure.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

mod arguments;
mod command;
mod foreground;
mod hello;
mod init;
mod log;
mod seal;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let program = arguments.next().unwrap_or_default();
    let name = Path::new(&program).file_name().unwrap_or_default().to_os_string();
    let rest: Vec<OsString> = arguments.collect();
    if name == "hello" {
        return hello::run();
    }
    if name == "docker-init" || name == "tini" {
        return init::run(&rest);
    }
    match rest.first().and_then(|word| word.to_str()) {
        Some("init") => init::run(&rest[1..]),
        Some("hello") => hello::run(),
        Some("shim") => {
            seal::run_sealed();
            hull_shim::run(rest.into_iter().skip(1))
        }
        _ => command::run(rest),
    }
}
