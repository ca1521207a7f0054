//! Signal masks, dispositions and signals as descriptors.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// A set of signals.
#[derive(Clone, Copy)]
pub struct SignalSet(libc::sigset_t);

impl SignalSet {
    /// All signals.
    pub fn all() -> Self {
        // SAFETY: an all-zero sigset_t is a valid value, which sigfillset then fills.
        let mut set = unsafe { std::mem::zeroed() };
        // SAFETY: set is a valid place.
        unsafe { libc::sigfillset(&raw mut set) };
        Self(set)
    }

    /// These signals.
    pub fn of(signals: &[i32]) -> Self {
        // SAFETY: an all-zero sigset_t is a valid value.
        let mut set = unsafe { std::mem::zeroed() };
        // SAFETY: set is a valid place.
        unsafe { libc::sigemptyset(&raw mut set) };
        for signal in signals {
            // SAFETY: set is a valid place; an invalid number is refused.
            unsafe { libc::sigaddset(&raw mut set, *signal) };
        }
        Self(set)
    }

    /// The set without these signals.
    pub fn without(mut self, signals: &[i32]) -> Self {
        for signal in signals {
            // SAFETY: set is a valid place; an invalid number is refused.
            unsafe { libc::sigdelset(&raw mut self.0, *signal) };
        }
        self
    }

    /// Makes this set the calling thread's mask, and returns the old one.
    pub fn block(&self) -> io::Result<SignalSet> {
        let mut old = Self::of(&[]);
        // SAFETY: both are valid sets.
        let error = unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, &raw mut old.0) };
        if error != 0 { Err(io::Error::from_raw_os_error(error)) } else { Ok(old) }
    }

    /// A non-blocking descriptor from which these signals, which must be blocked, are read.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        // SAFETY: the set is valid.
        let fd = unsafe { libc::signalfd(-1, &raw const self.0, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a new descriptor that nobody else owns.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

impl std::fmt::Debug for SignalSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SignalSet")
    }
}

/// A signal read from a [`SignalSet::descriptor`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Its number.
    pub signal: i32,
    /// The sender's process id, where there is one.
    pub pid: i32,
}

/// The next signal; `None` if there is none now.
pub fn read(descriptor: impl AsFd) -> io::Result<Option<Received>> {
    // SAFETY: an all-zero signalfd_siginfo is a valid value.
    let mut info: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
    let size = size_of::<libc::signalfd_siginfo>();
    // SAFETY: info is a valid place of that size.
    let length = unsafe { libc::read(descriptor.as_fd().as_raw_fd(), (&raw mut info).cast(), size) };
    if length == size as isize {
        return Ok(Some(Received { signal: info.ssi_signo as i32, pid: info.ssi_pid as i32 }));
    }
    let error = io::Error::last_os_error();
    if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) }
}

/// Gives every signal its default disposition and an empty mask: what a new program expects.
///
/// Rust ignores SIGPIPE at start-up, and ignored signals survive execve.
pub fn reset_all() {
    // What the kernel calls a `sigaction`, all zero: the default, no flags, nothing blocked.
    let default = [0_usize; 4];
    for signal in 1..=64 {
        // The raw call: a libc keeps 32 and 33 for itself, and its posix_spawn leaves them ignored.
        // SAFETY: the structure is at least as long as the kernel reads; numbers that cannot be set are refused.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                std::ptr::null::<usize>(),
                8_usize,
            )
        };
    }
    let _ = SignalSet::of(&[]).block();
}

/// Ignores a signal.
pub fn ignore(signal: i32) {
    // SAFETY: SIG_IGN is a valid disposition.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// Gives a signal its default disposition.
pub fn restore_default(signal: i32) {
    // SAFETY: SIG_DFL is a valid disposition.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}
