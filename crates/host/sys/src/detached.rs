//! Children that outlive their parent's terminal.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// Makes the command's process the leader of a session of its own: no terminal's signals reach it.
pub fn new_session(command: &mut Command) {
    let detach = || rustix::process::setsid().map(drop).map_err(std::io::Error::from);
    // SAFETY: between fork and exec only setsid(2) runs, one system call without allocation or locks.
    unsafe {
        command.pre_exec(detach);
    }
}
