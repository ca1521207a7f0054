//! Processes: clone3, pidfd, exec, and what a process says about itself.

use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions};
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Who one is after [`clone3`].
#[derive(Debug)]
pub enum Forked {
    /// The new process.
    Child,
    /// The caller.
    Parent {
        /// The new process's id.
        pid: i32,
        /// A descriptor of it.
        pidfd: OwnedFd,
    },
}

/// `struct clone_args` of `clone3(2)`.
#[repr(C, align(8))]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// For [`clone3`]: both processes have the same table of descriptors (`CLONE_FILES`).
pub const SHARE_DESCRIPTORS: u64 = libc::CLONE_FILES as u64;

/// For [`clone3`]: the new process is not the caller's child but its parent's (`CLONE_PARENT`).
pub const SIBLING: u64 = libc::CLONE_PARENT as u64;

/// Copies the calling process, as `fork` does, into new namespaces (`CLONE_NEW…`) and into a cgroup (v2).
///
/// The calling process must have one thread only: another thread's locks would stay locked in the copy for ever.
/// The callers are the runtime and the shim, which never start a thread.
pub fn clone3(namespaces: u64, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Forked> {
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    let mut pidfd: RawFd = -1;
    let mut args = CloneArgs {
        flags: namespaces | libc::CLONE_PIDFD as u64,
        pidfd: (&raw mut pidfd) as u64,
        // A sibling's end is signalled as the caller's own will be.
        exit_signal: if namespaces & SIBLING == 0 { libc::SIGCHLD as u64 } else { 0 },
        ..CloneArgs::default()
    };
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: args is a valid clone_args of the size given; without CLONE_VM and a stack the child runs on a copy
    // of this stack, as after fork; the caller has one thread (see above), so the copy is consistent.
    let result = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<CloneArgs>()) };
    match result {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        // SAFETY: with CLONE_PIDFD the kernel put a new descriptor into pidfd, which nobody else owns.
        pid => Ok(Forked::Parent { pid: pid as i32, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } }),
    }
}

/// Ends the calling process at once, without destructors or exit handlers: for forked children.
pub fn exit(code: i32) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(code) }
}

/// A descriptor of a process.
pub fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
}

/// Sends a signal, a real-time one or 0 (a test) too.
pub fn pidfd_send_signal(pidfd: impl AsFd, signal: i32) -> io::Result<()> {
    // SAFETY: no memory is passed: siginfo is null.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_fd().as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sends a signal by process id; a negative id means a process group, -1 all.
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: kill takes no memory.
    if unsafe { libc::kill(pid, signal) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Whether the process of a pidfd has ended (a zombie has).
pub fn has_exited(pidfd: impl AsFd) -> bool {
    let fd = pidfd.as_fd();
    let mut fds = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(rustix::event::poll(&mut fds, Some(&now)), Ok(1))
}

/// Waits until the process of a pidfd has ended, at most so many milliseconds. Whether it has.
pub fn wait_exited(pidfd: impl AsFd, milliseconds: i64) -> bool {
    let fd = pidfd.as_fd();
    let mut fds = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
    let limit =
        rustix::event::Timespec { tv_sec: milliseconds / 1000, tv_nsec: (milliseconds % 1000) * 1_000_000 };
    matches!(rustix::event::poll(&mut fds, Some(&limit)), Ok(1))
}

/// Waits for a child by its pidfd and takes its exit status as a shell shows it: the code, or 128 + the signal.
pub fn reap(pidfd: impl AsFd) -> io::Result<i32> {
    loop {
        match rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED) {
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(Some(status)) => {
                let code = status.exit_status();
                return Ok(code.or(status.terminating_signal().map(|s| 128 + s)).unwrap_or(255));
            }
            Ok(None) => return Ok(255),
        }
    }
}

/// Takes any ended child: its process id and its status as in [`reap`]. `None` if none has ended now.
pub fn reap_any() -> io::Result<Option<(i32, i32)>> {
    let mut status: libc::c_int = 0;
    // SAFETY: status is a valid place for an int.
    match unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        pid if libc::WIFEXITED(status) => Ok(Some((pid, libc::WEXITSTATUS(status)))),
        pid => Ok(Some((pid, 128 + libc::WTERMSIG(status)))),
    }
}

/// A number that tells this process from every other one of this boot, if the kernel gives one (pidfs, 6.9).
pub fn pidfd_identity(pidfd: impl AsFd) -> Option<u64> {
    const PIDFS_MAGIC: u32 = 0x5049_4446;
    let file_system = rustix::fs::fstatfs(&pidfd).ok()?;
    (file_system.f_type as u32 == PIDFS_MAGIC).then(|| rustix::fs::fstat(&pidfd).ok().map(|s| s.st_ino))?
}

/// Marks every descriptor from `first` on close-on-exec.
pub fn close_on_exec_from(first: u32) -> io::Result<()> {
    close_range(first, libc::CLOSE_RANGE_CLOEXEC)
}

/// Closes every descriptor from `first` on. Nobody may own one of them any more.
pub fn close_from(first: u32) -> io::Result<()> {
    close_range(first, 0)
}

fn close_range(first: u32, flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: takes no memory. With flags 0 (close_from) the caller guarantees that no owner is left.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, flags) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Takes ownership of an inherited descriptor number, as a command line or the environment names one.
///
/// It must be open and no other owner may exist in this process.
pub fn adopt_fd(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_GETFD takes no memory and is harmless on any number.
    if number < 0 || unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open (just asked), and the caller promises that it is its only owner.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Puts a copy of a descriptor at a number of the three standard streams, inherited by exec.
pub fn set_stream(number: RawFd, fd: impl AsFd) -> io::Result<()> {
    let old = fd.as_fd().as_raw_fd();
    // SAFETY: dup2 and fcntl take no memory; the standard streams have no Rust owner.
    let result = unsafe {
        if old == number { libc::fcntl(number, libc::F_SETFD, 0) } else { libc::dup2(old, number) }
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Lets a descriptor be inherited by exec, or not.
pub fn set_inherited(fd: impl AsFd, inherited: bool) -> io::Result<()> {
    let flags = if inherited { rustix::io::FdFlags::empty() } else { rustix::io::FdFlags::CLOEXEC };
    Ok(rustix::io::fcntl_setfd(fd, flags)?)
}

/// Replaces the process's program. Returns only when that fails.
pub fn execve(path: &CStr, arguments: &[CString], environment: &[CString]) -> io::Error {
    let arguments = pointers(arguments);
    let environment = pointers(environment);
    // SAFETY: all are C strings, the arrays end with null, and all outlive the call.
    unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

/// As [`execve`], of a program by its descriptor.
pub fn fexecve(program: impl AsFd, arguments: &[CString], environment: &[CString]) -> io::Error {
    let arguments = pointers(arguments);
    let environment = pointers(environment);
    // SAFETY: all are C strings, the arrays end with null, and all outlive the call.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_fd().as_raw_fd(),
            c"".as_ptr(),
            arguments.as_ptr(),
            environment.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    io::Error::last_os_error()
}

pub(crate) fn pointers(texts: &[CString]) -> Vec<*const libc::c_char> {
    texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
}

/// The calling program as a descriptor that cannot be used to write to its file, nor lead to one that can.
///
/// It stands for a detached read-only mount. A process whose program was started through it shows a
/// `/proc/<pid>/exe` that nobody can open for writing, so a container cannot overwrite the runtime
/// (CVE-2019-5736). `None` if the program already runs so.
pub fn sealed_executable() -> io::Result<Option<OwnedFd>> {
    let exe = rustix::fs::open(
        c"/proc/self/exe",
        rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )?;
    if rustix::fs::fstatvfs(&exe)?.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
        return Ok(None);
    }
    seal(exe).map(Some)
}

/// As [`sealed_executable`], for the program at a path.
pub fn seal_program(path: impl AsRef<std::path::Path>) -> io::Result<OwnedFd> {
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
    seal(rustix::fs::open(path.as_ref(), flags, rustix::fs::Mode::empty())?)
}

fn seal(program: OwnedFd) -> io::Result<OwnedFd> {
    use crate::mount::{Attributes, Change};
    let mount = crate::mount::clone_tree_at(program, false)?;
    let change = Change { set: Attributes::MOUNT_ATTR_RDONLY, ..Change::default() };
    crate::mount::change(&mount, change, false)?;
    Ok(mount)
}

/// Makes the process's memory and descriptors unreachable for others (`PR_SET_DUMPABLE`).
pub fn set_dumpable(dumpable: bool) -> io::Result<()> {
    prctl(libc::PR_SET_DUMPABLE, u64::from(dumpable), 0, 0).map(drop)
}

/// Orphaned descendants become children of this process.
pub fn set_child_subreaper() -> io::Result<()> {
    prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0).map(drop)
}

/// A signal that the process gets when its parent ends; 0 for none.
pub fn set_parent_death_signal(signal: i32) -> io::Result<()> {
    prctl(libc::PR_SET_PDEATHSIG, signal as u64, 0, 0).map(drop)
}

/// `PR_SET_NO_NEW_PRIVS`.
pub fn set_no_new_privileges() -> io::Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0).map(drop)
}

/// The process's name as `ps` shows it.
pub fn set_name(name: &CStr) -> io::Result<()> {
    Ok(rustix::thread::set_name(name)?)
}

pub(crate) fn prctl(option: libc::c_int, a: u64, b: u64, c: u64) -> io::Result<i32> {
    // SAFETY: every option used in this crate takes numbers only.
    let result = unsafe { libc::prctl(option, a, b, c, 0_u64) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Joins a new session keyring of that name.
pub fn new_session_keyring(name: &CStr) -> io::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;
    // SAFETY: name is a C string that outlives the call.
    let result =
        unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr(), 0, 0, 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sets the execution domain (`personality(2)`).
pub fn set_personality(domain: u32) -> io::Result<()> {
    // SAFETY: takes a number only.
    if unsafe { libc::personality(libc::c_ulong::from(domain)) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Sets the calling process's I/O priority: class 1 real-time, 2 best effort, 3 idle; level 0 to 7.
pub fn set_io_priority(class: u32, level: u32) -> io::Result<()> {
    const WHO_PROCESS: libc::c_int = 1;
    // SAFETY: takes numbers only.
    let result = unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, (class << 13) | level) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// `struct sched_attr` of `sched_setattr(2)`, its first version.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Scheduling {
    /// Set by [`set_scheduling`].
    pub size: u32,
    /// `SCHED_OTHER` 0, `FIFO` 1, `RR` 2, `BATCH` 3, `ISO` 4, `IDLE` 5, `DEADLINE` 6.
    pub policy: u32,
    /// `SCHED_FLAG_…`.
    pub flags: u64,
    /// Nice value.
    pub nice: i32,
    /// Static priority.
    pub priority: u32,
    /// Nanoseconds.
    pub runtime: u64,
    /// Nanoseconds.
    pub deadline: u64,
    /// Nanoseconds.
    pub period: u64,
}

/// Sets the calling process's scheduling.
pub fn set_scheduling(mut scheduling: Scheduling) -> io::Result<()> {
    scheduling.size = size_of::<Scheduling>() as u32;
    // SAFETY: a valid sched_attr whose size field says its size.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const scheduling, 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The number of a limit such as `RLIMIT_NOFILE`.
pub fn rlimit_number(name: &str) -> Option<u32> {
    const NAMES: [&str; 16] = [
        "CPU",
        "FSIZE",
        "DATA",
        "STACK",
        "CORE",
        "RSS",
        "NPROC",
        "NOFILE",
        "MEMLOCK",
        "AS",
        "LOCKS",
        "SIGPENDING",
        "MSGQUEUE",
        "NICE",
        "RTPRIO",
        "RTTIME",
    ];
    let name = name.strip_prefix("RLIMIT_")?;
    NAMES.iter().position(|known| *known == name).map(|index| index as u32)
}

/// Sets a limit of the calling process; `u64::MAX` is no limit.
pub fn set_rlimit(number: u32, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    // SAFETY: limit is a valid rlimit64; the old value is not asked for.
    let result = unsafe {
        libc::syscall(libc::SYS_prlimit64, 0, number, &raw const limit, std::ptr::null::<libc::rlimit64>())
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Brings the loopback interface of the calling process's network namespace up.
pub fn loopback_up() -> io::Result<()> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: an all-zero ifreq is a valid value of it.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads one ifreq, which outlives the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sets the calling process's user ids (real, effective, saved).
pub fn set_user(uid: u32) -> io::Result<()> {
    // SAFETY: takes numbers only. The raw call: the process has one thread.
    if unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Sets the calling process's group ids (real, effective, saved).
pub fn set_group(gid: u32) -> io::Result<()> {
    // SAFETY: takes numbers only. The raw call: the process has one thread.
    if unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Sets the calling process's supplementary groups.
pub fn set_groups(groups: &[u32]) -> io::Result<()> {
    // SAFETY: the array is as long as said and outlives the call.
    if unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Closes every descriptor from 3 on but these. For a forked child that never returns to its owners' frames:
/// nobody may drop a descriptor that is closed here.
pub fn close_all_except(keep: &[RawFd]) -> io::Result<()> {
    let mut first = 3_u32;
    // Few: the next one is looked for each time.
    while let Some(fd) = keep.iter().filter_map(|fd| u32::try_from(*fd).ok()).filter(|fd| *fd >= first).min()
    {
        if fd > first {
            // SAFETY: takes no memory; the caller guarantees that no owner of these is left.
            let result = unsafe { libc::syscall(libc::SYS_close_range, first, fd - 1, 0) };
            if result < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        first = fd + 1;
    }
    close_from(first)
}

/// A descriptor moved to the lowest free number from `least` on.
pub fn move_above(fd: OwnedFd, least: RawFd) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(&fd, least)?)
}
