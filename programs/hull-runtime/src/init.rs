//! The first process of a container that asked for one (`--init`): starts the real program, forwards signals to it,
//! reaps what it leaves behind, and ends as it ends. It behaves as tini does, whose place it takes.

use hull_sys::fork::{Side, fork};
use hull_sys::process;
use hull_sys::program::Program;
use hull_sys::rustix;
use hull_sys::rustix::event::{PollFd, PollFlags, poll};
use hull_sys::signal::{self, SignalSet};
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::process::ExitCode;

const SIGCHLD: i32 = 17;
/// Faults of this process's own, and stops of its background writes to a terminal.
const NOT_FORWARDED: [i32; 9] = [4, 5, 6, 7, 8, 11, 31, 21, 22];

/// What was asked for beside the program.
#[derive(Default)]
struct Options {
    subreaper: bool,
    group: bool,
    death_signal: i32,
    /// Statuses that count as success.
    forgiven: Vec<i32>,
}

/// Runs `[options] [--] program arguments`.
pub(crate) fn run(given: &[OsString]) -> ExitCode {
    let mut options = Options::default();
    let program = match parse(given, &mut options) {
        Ok(Some(program)) => program,
        Ok(None) => {
            say!("hull-runtime init version {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("init: {error}");
            return ExitCode::FAILURE;
        }
    };
    match supervise(program, &options) {
        Ok(status) if options.forgiven.contains(&status) => ExitCode::SUCCESS,
        Ok(status) => ExitCode::from(status as u8),
        Err(error) => {
            eprintln!("init: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse<'a>(given: &'a [OsString], options: &mut Options) -> Result<Option<&'a [OsString]>, String> {
    let mut at = 0;
    while let Some(word) = given.get(at).and_then(|word| word.to_str()) {
        let mut value = || {
            at += 1;
            given.get(at).and_then(|word| word.to_str()).ok_or(format!("{word} needs a value"))
        };
        match word {
            "--" => {
                at += 1;
                break;
            }
            "-s" => options.subreaper = true,
            "-g" => options.group = true,
            "-v" | "-vv" | "-vvv" | "-w" => {}
            "-p" => {
                let name = value()?;
                options.death_signal =
                    hull_types::signal::parse(name).ok_or(format!("unknown signal {name}"))?;
            }
            "-e" => {
                let code = value()?.parse().map_err(|_| "-e needs an exit code".to_owned())?;
                options.forgiven.push(code);
            }
            "--version" => return Ok(None),
            _ if word.starts_with('-') => return Err(format!("unknown option {word}")),
            _ => break,
        }
        at += 1;
    }
    match given.get(at..) {
        Some(program) if !program.is_empty() => Ok(Some(program)),
        _ => Err("no program to run".into()),
    }
}

fn supervise(program: &[OsString], options: &Options) -> std::io::Result<i32> {
    if options.subreaper {
        process::set_child_subreaper()?;
    }
    if options.death_signal != 0 {
        process::set_parent_death_signal(options.death_signal)?;
    }
    let mask = SignalSet::all().without(&NOT_FORWARDED);
    mask.block()?;
    let signals = mask.descriptor()?;
    // Putting the child in the foreground would stop a background group that writes to the terminal.
    signal::ignore(21);
    signal::ignore(22);
    match fork()? {
        Side::Child => become_program(program),
        Side::Parent(pid) => forward_until_end(&signals, pid, options),
    }
}

/// The child: a process group of its own, in the foreground of the terminal if there is one.
fn become_program(program: &[OsString]) -> ! {
    let _ = rustix::process::setpgid(None, None);
    let _ = rustix::termios::tcsetpgrp(rustix::stdio::stdin(), rustix::process::getpid());
    signal::restore_default(21);
    signal::restore_default(22);
    signal::reset_all();
    let error = replaced_by(program);
    eprintln!("init: exec {} failed: {error}", program[0].display());
    process::exit(if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 })
}

/// Why this process's program cannot become that one.
fn replaced_by(words: &[OsString]) -> std::io::Error {
    let program = Program::new(&words[0]).and_then(|mut program| {
        words[1..].iter().try_for_each(|word| program.argument(word))?;
        Ok(program)
    });
    program.map_or_else(|error| error, Program::replace_this)
}

fn forward_until_end(signals: &OwnedFd, pid: i32, options: &Options) -> std::io::Result<i32> {
    loop {
        let mut fds = [PollFd::new(signals, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        while let Some(received) = signal::read(signals)? {
            if received.signal != SIGCHLD {
                let target = if options.group { -pid } else { pid };
                let _ = process::kill(target, received.signal);
                continue;
            }
            let mut ended = None;
            while let Ok(Some((child, status))) = process::reap_any() {
                if child == pid {
                    ended = Some(status);
                }
            }
            if let Some(status) = ended {
                return Ok(status);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn the_program_follows_the_options() {
        for (line, program) in [("-- sh -c x", "sh -c x"), ("-s -g -e 143 sh", "sh"), ("sh -s", "sh -s")] {
            let given = words(line);
            let mut options = Options::default();
            assert_eq!(parse(&given, &mut options).unwrap().unwrap(), words(program));
        }
        for bad in ["", "--", "-x sh", "-p", "-p NOPE sh"] {
            assert!(parse(&words(bad), &mut Options::default()).is_err(), "{bad}");
        }
    }
}
