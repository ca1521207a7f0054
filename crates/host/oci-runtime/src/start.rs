//! `start`: the waiting init gets its byte, and becomes the container's program.

use crate::state::Directory;
use crate::{Error, Result, hooks};
use hull_sys::rustix;
use rustix::fs::{Mode, OFlags};
use std::path::Path;

/// Starts a created container.
///
/// Returns when the init has been told; what its `execve` says is on the container's standard error. That the
/// program is there and may be executed was seen by `create` already.
pub fn start(state_root: &Path, id: &str) -> Result<()> {
    let directory = Directory::of(state_root, id)?;
    let record = directory.load(id)?;
    let path = directory.fifo_path();
    let failed = |source: rustix::io::Errno| Error::State { path: path.clone(), source: source.into() };
    // Opening fails with ENXIO where no init holds the other end.
    let fifo =
        match rustix::fs::open(&path, OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()) {
            Ok(fifo) => fifo,
            Err(rustix::io::Errno::NXIO) => return Err(Error::StartStopped),
            Err(rustix::io::Errno::NOENT) => {
                return Err(if record.process().is_some() {
                    Error::StartRunning
                } else {
                    Error::StartStopped
                });
            }
            Err(error) => return Err(failed(error)),
        };
    // The fifo's absence is what "started" means, so it goes first: of two starts one wins.
    match rustix::fs::unlink(&path) {
        Ok(()) => {}
        Err(rustix::io::Errno::NOENT) => return Err(Error::StartRunning),
        Err(error) => return Err(failed(error)),
    }
    rustix::io::write(&fifo, b"0").map_err(failed)?;
    // Until then one who is not root may not look into it, and so run nothing more in it.
    if !record.poststart.is_empty() || record.rootless {
        await_program(&fifo).map_err(failed)?;
    }
    if let Err(failure) = hooks::run(&record.poststart, &record.state("running")) {
        // The specification, "Lifecycle": the container is stopped, and its life goes on from there.
        if let Some(pidfd) = record.process() {
            let _ = hull_sys::process::pidfd_send_signal(&pidfd, 9);
        }
        return Err(Error::Hook { point: "poststart", index: failure.index, reason: failure.reason });
    }
    Ok(())
}

/// Waits until the init has become its program, or has ended: its end of the fifo goes with that. `poststart` comes
/// after the program has begun, and after the hooks that the init runs before.
fn await_program(fifo: &std::os::fd::OwnedFd) -> rustix::io::Result<()> {
    loop {
        // What is waited for, an error condition, needs not be asked for.
        let mut fds = [rustix::event::PollFd::new(fifo, rustix::event::PollFlags::empty())];
        match rustix::event::poll(&mut fds, None) {
            Err(rustix::io::Errno::INTR) => {}
            result => return result.map(drop),
        }
    }
}
