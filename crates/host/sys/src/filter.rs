//! System call filters: classic BPF programs and their loading (`seccomp(2)`).

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// A classic BPF instruction (`struct sock_filter`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SockFilter {
    /// Operation.
    pub code: u16,
    /// How many instructions are skipped if the test holds.
    pub jt: u8,
    /// How many are skipped if it does not.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

#[repr(C)]
struct Program {
    length: libc::c_ushort,
    instructions: *const SockFilter,
}

/// The listener flag: the loading call returns a notification descriptor.
pub const NEW_LISTENER: u32 = 1 << 3;

/// Loads a filter for the calling process. With [`NEW_LISTENER`] the notification descriptor is returned.
///
/// Needs `CAP_SYS_ADMIN` or no-new-privileges.
pub fn load(instructions: &[SockFilter], flags: u32) -> io::Result<Option<OwnedFd>> {
    const SET_MODE_FILTER: libc::c_long = 1;
    let length = u16::try_from(instructions.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = Program { length, instructions: instructions.as_ptr() };
    // SAFETY: program points to `length` instructions; both outlive the call, which copies them.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, libc::c_ulong::from(flags), &raw const program)
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: with this flag the result is a new descriptor that nobody else owns.
    Ok((flags & NEW_LISTENER != 0).then(|| unsafe { OwnedFd::from_raw_fd(result as i32) }))
}

/// Whether a descriptor number of this process stands for a filter's notifications.
pub fn is_listener(number: RawFd) -> bool {
    /// `SECCOMP_IOCTL_NOTIF_ID_VALID`.
    const ID_VALID: libc::c_ulong = 0x4008_2102;
    let id = 0_u64;
    // SAFETY: the request reads one u64, which outlives the call; on any other descriptor it is refused.
    let result = unsafe { libc::ioctl(number, ID_VALID as _, &raw const id) };
    // No notification has the number 0.
    result < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::ENOENT)
}

/// Whether the kernel knows all of these filter flags.
pub fn knows_flags(flags: u32) -> bool {
    const SET_MODE_FILTER: libc::c_long = 1;
    // SAFETY: a null program with known flags is EFAULT, with unknown ones EINVAL: nothing is loaded.
    unsafe {
        libc::syscall(SYS_SECCOMP, SET_MODE_FILTER, libc::c_ulong::from(flags), std::ptr::null::<Program>())
    };
    io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT)
}

const SYS_SECCOMP: libc::c_long = libc::SYS_seccomp;
