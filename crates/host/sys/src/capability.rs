//! The capability sets of the calling process.

use crate::process::prctl;
use std::io;

const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];
/// `CAP_SETPCAP`.
pub const SETPCAP: u32 = 8;
/// `CAP_SYS_ADMIN`.
pub const SYS_ADMIN: u32 = 21;

/// All names, with their `CAP_`, in the order of their numbers.
pub fn names() -> impl Iterator<Item = String> {
    NAMES.iter().map(|name| format!("CAP_{name}"))
}

/// The number of `CAP_CHOWN`.
pub fn number(name: &str) -> Option<u32> {
    let name = name.strip_prefix("CAP_")?;
    NAMES.iter().position(|known| *known == name).map(|index| index as u32)
}

/// A set of capabilities: bit n is capability n.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Set(pub u64);

impl Set {
    /// The set of these names, and those that are unknown.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a String>) -> (Self, Vec<&'a str>) {
        let mut set = 0;
        let mut unknown = Vec::new();
        for name in names {
            match number(name) {
                Some(number) => set |= 1 << number,
                None => unknown.push(name.as_str()),
            }
        }
        (Self(set), unknown)
    }

    /// Whether it holds a capability.
    pub fn holds(self, number: u32) -> bool {
        self.0 & (1 << number) != 0
    }

    /// The set with one more.
    pub fn with(self, number: u32) -> Self {
        Self(self.0 | (1 << number))
    }
}

/// What `capset` sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sets {
    /// What is checked.
    pub effective: Set,
    /// What may become effective.
    pub permitted: Set,
    /// What survives execve through a file's inheritable set.
    pub inheritable: Set,
}

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Default, Clone, Copy)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

const VERSION_3: u32 = 0x2008_0522;

/// The calling process's sets.
pub fn get() -> io::Result<Sets> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let mut data = [Data::default(); 2];
    // SAFETY: version 3 reads a header and writes two data elements, which are here.
    if unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    let join = |low: u32, high: u32| Set(u64::from(low) | (u64::from(high) << 32));
    Ok(Sets {
        effective: join(data[0].effective, data[1].effective),
        permitted: join(data[0].permitted, data[1].permitted),
        inheritable: join(data[0].inheritable, data[1].inheritable),
    })
}

/// Sets the calling process's sets.
pub fn set(sets: Sets) -> io::Result<()> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let half = |shift: u32| Data {
        effective: (sets.effective.0 >> shift) as u32,
        permitted: (sets.permitted.0 >> shift) as u32,
        inheritable: (sets.inheritable.0 >> shift) as u32,
    };
    let data = [half(0), half(32)];
    // SAFETY: version 3 reads a header and two data elements, which are here.
    if unsafe { libc::syscall(libc::SYS_capset, &raw mut header, data.as_ptr()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Whether a capability is in the bounding set; `None` if the kernel does not know it.
pub fn in_bounding(number: u32) -> Option<bool> {
    prctl(libc::PR_CAPBSET_READ, u64::from(number), 0, 0).ok().map(|held| held == 1)
}

/// Takes every capability out of the bounding set that is not in `keep`.
pub fn limit_bounding(keep: Set) -> io::Result<()> {
    for number in 0..64 {
        if keep.holds(number) {
            continue;
        }
        match prctl(libc::PR_CAPBSET_DROP, u64::from(number), 0, 0) {
            Ok(_) => {}
            // Past the last one that this kernel knows.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Keeps the permitted set when the user changes away from root.
pub fn keep_over_user_change(keep: bool) -> io::Result<()> {
    prctl(libc::PR_SET_KEEPCAPS, u64::from(keep), 0, 0).map(drop)
}

/// Makes the ambient set exactly this. What is not permitted and inheritable cannot be raised, and is skipped.
pub fn set_ambient(ambient: Set) -> io::Result<()> {
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as u64, 0, 0)?;
    for number in (0..64).filter(|number| ambient.holds(*number)) {
        let raise = libc::PR_CAP_AMBIENT_RAISE as u64;
        match prctl(libc::PR_CAP_AMBIENT, raise, u64::from(number), 0) {
            Err(error) if !matches!(error.raw_os_error(), Some(libc::EPERM | libc::EINVAL)) => {
                return Err(error);
            }
            _ => {}
        }
    }
    Ok(())
}
