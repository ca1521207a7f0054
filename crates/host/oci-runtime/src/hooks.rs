//! Hooks: programs that run at points of a container's life, with its state on standard input.

use hull_sys::rustix;
use hull_types::oci::runtime::{Hook, State};
use std::fs::File;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

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
    let mut command = Command::new(&hook.path);
    if let Some((name, arguments)) = hook.args.split_first() {
        std::os::unix::process::CommandExt::arg0(&mut command, name).args(arguments);
    }
    command.env_clear().envs(hook.env.iter().filter_map(|pair| pair.split_once('=')));
    // What it writes is for the one who reads its failure: the streams here are the container's already.
    let failed = |error: std::io::Error| format!("{}: {}", hook.path, crate::failure::reason(&error));
    let said = rustix::fs::memfd_create(c"hook", rustix::fs::MemfdFlags::CLOEXEC).map(File::from);
    let said = said.map_err(|error| failed(error.into()))?;
    let copy = || said.try_clone().map_err(failed);
    command.stdin(Stdio::piped()).stdout(copy()?).stderr(copy()?);
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A hook need not read its input.
        let _ = stdin.write_all(state);
    }
    let limit = hook.timeout.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
    let status = wait(&mut child, limit).map_err(|reason| format!("{}: {reason}", hook.path))?;
    if status.success() { Ok(()) } else { Err(format!("{}: {status}{}", hook.path, last_words(&said))) }
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

fn wait(child: &mut Child, limit: Option<Duration>) -> Result<std::process::ExitStatus, String> {
    let text = |error: std::io::Error| crate::failure::reason(&error);
    let Some(limit) = limit else { return child.wait().map_err(text) };
    let start = Instant::now();
    let pidfd = hull_sys::process::pidfd_open(child.id() as i32).map_err(text)?;
    let milliseconds = i64::try_from(limit.as_millis()).unwrap_or(i64::MAX);
    if !hull_sys::process::wait_exited(&pidfd, milliseconds) {
        let _ = child.kill();
        let _ = child.wait();
        return Err(format!("timed out after {}s", start.elapsed().as_secs()));
    }
    child.wait().map_err(text)
}
