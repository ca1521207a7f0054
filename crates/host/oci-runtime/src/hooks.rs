//! Hooks: programs that run at points of a container's life, with its state on standard input.

use hull_sys::program::{Program, Started};
use hull_sys::rustix;
use hull_types::oci::runtime::{Hook, State};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::process::ExitStatus;
use std::time::Instant;

/// Why a hook failed, and which.
pub(crate) struct HookFailure {
    pub index: usize,
    pub reason: String,
}

/// Runs hooks one after the other, until one fails.
pub(crate) fn run(hooks: &[Hook], state: &State) -> Result<(), HookFailure> {
    if hooks.is_empty() {
        return Ok(());
    }
    let json = serde_json::to_vec(state).unwrap_or_default();
    for (index, hook) in hooks.iter().enumerate() {
        run_one(hook, &json).map_err(|reason| HookFailure { index, reason })?;
    }
    Ok(())
}

/// Runs all hooks, whatever becomes of one; gives what to warn of.
pub(crate) fn run_all(point: &str, hooks: &[Hook], state: &State) -> Vec<String> {
    if hooks.is_empty() {
        return Vec::new();
    }
    let json = serde_json::to_vec(state).unwrap_or_default();
    let failed = |(index, hook)| {
        let reason = run_one(hook, &json).err()?;
        Some(format!("error running {point} hook #{index}: {reason}"))
    };
    hooks.iter().enumerate().filter_map(failed).collect()
}

fn run_one(hook: &Hook, state: &[u8]) -> Result<(), String> {
    let failed = |error: io::Error| format!("{}: {}", hook.path, crate::failure::reason(&error));
    let (started, mut stdin, said) = start(hook).map_err(failed)?;
    // A hook need not read its input.
    let _ = stdin.write_all(state);
    drop(stdin);
    let status = wait(started, hook.timeout).map_err(|reason| format!("{}: {reason}", hook.path))?;
    if status.success() { Ok(()) } else { Err(format!("{}: {status}{}", hook.path, last_words(&said))) }
}

/// The hook, its standard input, and what it writes: that is for the one who reads its failure, for the streams here are
/// the container's already.
fn start(hook: &Hook) -> io::Result<(Started, File, File)> {
    let mut program = Program::new(&hook.path)?;
    if let Some((name, arguments)) = hook.args.split_first() {
        program.name(name)?;
        for argument in arguments {
            program.argument(argument)?;
        }
    }
    program.without_environment();
    for pair in hook.env.iter().filter(|pair| pair.contains('=')) {
        program.variable(pair)?;
    }
    let (stdin, ours) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    program.stream(0, stdin);
    let said = program.record(1)?;
    program.stream(2, OwnedFd::from(said.try_clone()?));
    Ok((program.start()?, ours.into(), said))
}

/// What a failed hook wrote, as far as it is short.
fn last_words(said: &File) -> String {
    let mut buffer = [0_u8; 1024];
    let length = std::os::unix::fs::FileExt::read_at(said, &mut buffer, 0).unwrap_or(0);
    match String::from_utf8_lossy(&buffer[..length]).trim() {
        "" => String::new(),
        text => format!(", output: {text}"),
    }
}

fn wait(started: Started, seconds: Option<i64>) -> Result<ExitStatus, String> {
    let begun = Instant::now();
    // None, and what is no time, is no limit.
    let limit = seconds.filter(|seconds| *seconds >= 0).map(|seconds| seconds.saturating_mul(1000));
    if let Some(limit) = limit
        && !started.ends_within(limit)
    {
        started.kill();
        return Err(format!("timed out after {}s", begun.elapsed().as_secs()));
    }
    started.wait().map_err(|error| crate::failure::reason(&error))
}
