//! The standard streams: given ones, or a terminal of the container's own.

use crate::failure::{During, Failure, Step};
use crate::options::Stdio;
use hull_sys::rustix;
use hull_sys::{InRoot, Mode, OFlags, process, terminal};
use hull_types::oci::runtime::Process;
use rustix::fs::FileType;
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};

/// A terminal of the container's own `/dev/pts`.
pub(crate) struct Console {
    pub master: OwnedFd,
    pub peer: OwnedFd,
}

/// Makes the given descriptors the standard streams; one that is not given stays the runtime's.
pub(crate) fn give_streams(stdio: &Stdio) -> Step<()> {
    let streams = [&stdio.stdin, &stdio.stdout, &stdio.stderr];
    // A given descriptor may stand on a number that another stream is to get: all go up first.
    let mut above = Vec::new();
    for (number, fd) in streams.into_iter().enumerate() {
        if let Some(fd) = fd {
            let moved = process::move_above(fd.try_clone().during("cannot copy a stream")?, 10);
            above.push((number as i32, moved.during("cannot move a stream")?));
        }
    }
    for (number, fd) in &above {
        process::set_stream(*number, fd).during("cannot set a stream")?;
    }
    Ok(())
}

/// Lets the process's user reopen its streams (`/dev/stdout`), which pipes of root's would refuse.
pub(crate) fn own_streams(uid: u32) {
    for fd in [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()] {
        let Ok(stat) = rustix::fs::fstat(fd) else { continue };
        let null = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
            && (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)) == (1, 3);
        if stat.st_uid != uid && !null {
            // Not every file can be given away (a read-only mount, a foreign id): it is no reason not to start.
            let _ = rustix::fs::fchown(fd, Some(rustix::fs::Uid::from_raw(uid)), None);
        }
    }
}

/// Opens a terminal in the container's devpts and makes it the streams and the session's terminal.
///
/// The path is followed inside the root, what it leads to must be devpts's multiplexer, and the other side comes
/// from the master itself: an exchanged `/dev/pts/N` leads nowhere (CVE-2025-52565).
pub(crate) fn open_console(process: &Process, root: &InRoot) -> Step<Option<Console>> {
    if !process.terminal {
        own_streams(process.user.uid);
        return Ok(None);
    }
    const DEVPTS_MAGIC: u32 = 0x1cd1;
    let what = "cannot open a terminal in /dev/pts";
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let master = root.open_no_symlinks("/dev/pts/ptmx", flags, Mode::empty()).during(what)?;
    let file_system = rustix::fs::fstatfs(&master).during(what)?;
    let device = rustix::fs::fstat(&master).during(what)?.st_rdev;
    let numbers = (rustix::fs::major(device), rustix::fs::minor(device));
    if file_system.f_type as u32 != DEVPTS_MAGIC || numbers != (5, 2) {
        return Err(Failure(format!("{what}: it is no devpts")));
    }
    let peer = terminal::peer(&master).during(what)?;
    if let Some(size) = process.console_size {
        let side = |n: u64| u16::try_from(n).unwrap_or(u16::MAX);
        terminal::resize(&master, side(size.width), side(size.height))
            .during("cannot set the terminal's size")?;
    }
    for number in 0..3 {
        process::set_stream(number, peer.as_fd()).during("cannot set a stream")?;
    }
    terminal::take_control(&peer).during("cannot take control of the terminal")?;
    let owner = rustix::fs::Uid::from_raw(process.user.uid);
    match rustix::fs::fchown(&peer, Some(owner), None) {
        Ok(()) | Err(Errno::INVAL | Errno::PERM | Errno::ROFS) => {}
        Err(error) => return Err(error).during("cannot give the terminal to the user"),
    }
    Ok(Some(Console { master, peer }))
}
