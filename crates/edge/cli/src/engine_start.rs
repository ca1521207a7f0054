//! Starting this machine's engine when a command finds none: `hull daemon` in the background, waited for by its
//! socket.

use crate::endpoint::DEFAULT_SOCKET;
use crate::failure::{Failure, file_error};
use crate::streams::complain;
use hull_client::{Client, Options};
use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(10);
/// Set to anything, no engine is started.
const OFF: &str = "HULL_NO_AUTOSTART";

/// Whether this person may start the engine.
pub fn may_start() -> bool {
    rustix::process::geteuid().is_root() && std::env::var_os(OFF).is_none_or(|value| value.is_empty())
}

/// Starts the engine and returns when its socket answers.
pub async fn start(program: &str, options: &Options) -> Result<(), Failure> {
    let directory = Path::new(DEFAULT_SOCKET).parent().unwrap_or(Path::new("/run/hull"));
    let failed = |why: String| Failure::new(format!("cannot start the engine: {why}"));
    DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(directory)
        .map_err(|error| failed(file_error("mkdir", directory, &error)))?;
    let log = directory.join("hulld.log");
    let mut child = spawn(&log).map_err(failed)?;
    let pid = child.id();
    wait_for_socket(&mut child, options, &log).await.map_err(failed)?;
    complain(&format!(
        "{program}: started the engine (pid {pid}, socket {DEFAULT_SOCKET}; log {})",
        log.display()
    ));
    Ok(())
}

fn spawn(log: &Path) -> Result<Child, String> {
    let open = |options: &OpenOptions, path: &Path| -> Result<File, String> {
        options.open(path).map_err(|error| file_error("open", path, &error))
    };
    let output = open(OpenOptions::new().create(true).append(true).mode(0o640), log)?;
    let errors = output.try_clone().map_err(|error| file_error("dup", log, &error))?;
    let executable = own_executable()?;
    let mut command = Command::new(&executable);
    command.arg("daemon").current_dir("/").stdin(Stdio::null()).stdout(output).stderr(errors);
    hull_sys::detached::new_session(&mut command);
    command.spawn().map_err(|error| file_error("exec", &executable, &error))
}

/// The program that runs now, even if its file was replaced meanwhile.
fn own_executable() -> Result<PathBuf, String> {
    let link = Path::new("/proc/self/exe");
    match std::fs::read_link(link) {
        Ok(path) if path.exists() => Ok(path),
        Ok(_) => Ok(link.into()),
        Err(error) => Err(file_error("readlink", link, &error)),
    }
}

/// Tries the socket as often as the engine can have come nearer to it; a start takes some milliseconds, so the
/// steps are of one.
async fn wait_for_socket(child: &mut Child, options: &Options, log: &Path) -> Result<(), String> {
    let begin = Instant::now();
    loop {
        if Client::dial(options).await.is_ok() {
            return Ok(());
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("it ended at once ({status}); see {}", log.display()));
        }
        if begin.elapsed() > PATIENCE {
            return Err(format!(
                "its socket {DEFAULT_SOCKET} did not answer in {PATIENCE:?}; see {}",
                log.display()
            ));
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
