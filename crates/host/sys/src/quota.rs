//! Project quotas: a limit on all that lies in a directory, where the file system keeps such accounts (XFS mounted with
//! `prjquota`; ext4 with the features `quota` and `project`, mounted the same way).

use crate::capability;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// What a file system has in a project's account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Account {
    /// Bytes that its files take.
    pub used: u64,
    /// Bytes that they may take; 0 is no limit.
    pub limit: u64,
    /// Files and directories.
    pub files: u64,
}

impl Account {
    /// Whether nobody uses the project.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

const PROJECT: libc::c_int = 2;
const GET: libc::c_int = x_command(3);
const SET: libc::c_int = x_command(4);
const STATE: libc::c_int = x_command(5);
const BLOCK: u64 = 512;

// `XQM_CMD` within `QCMD`.
const fn x_command(number: libc::c_int) -> libc::c_int {
    (((b'X' as libc::c_int) << 8) + number) << 8 | PROJECT
}

/// `struct fs_disk_quota`.
#[repr(C)]
#[derive(Default)]
struct DiskQuota {
    version: i8,
    flags: i8,
    field_mask: u16,
    id: u32,
    block_hard_limit: u64,
    block_soft_limit: u64,
    inode_hard_limit: u64,
    inode_soft_limit: u64,
    block_count: u64,
    inode_count: u64,
    inode_timer: i32,
    block_timer: i32,
    inode_warnings: u16,
    block_warnings: u16,
    timers_high: [i8; 4],
    realtime_hard_limit: u64,
    realtime_soft_limit: u64,
    realtime_count: u64,
    realtime_timer: i32,
    realtime_warnings: u16,
    padding: [u8; 10],
}

/// The beginning of `struct fs_quota_stat`, with room for the rest.
#[repr(C, align(8))]
struct QuotaState {
    version: i8,
    flags: u16,
    rest: [u8; 124],
}

/// `struct fsxattr`.
#[repr(C)]
#[derive(Default)]
struct FileAttributes {
    flags: u32,
    extent_size: u32,
    extents: u32,
    project: u32,
    cow_extent_size: u32,
    padding: [u8; 8],
}

const GET_ATTRIBUTES: libc::c_ulong = 0x801c_581f;
const SET_ATTRIBUTES: libc::c_ulong = 0x401c_5820;
const INHERIT: u32 = 0x200;

/// Whether the file system of a directory counts projects and keeps them to their limits (Linux 5.14 and newer).
pub fn is_enforced(directory: impl AsFd) -> bool {
    const COUNTED_AND_ENFORCED: u16 = 1 << 4 | 1 << 5;
    let mut state = QuotaState { version: 1, flags: 0, rest: [0; 124] };
    call(directory, STATE, 0, &mut state).is_ok()
        && state.flags & COUNTED_AND_ENFORCED == COUNTED_AND_ENFORCED
}

/// A project's account.
pub fn account(directory: impl AsFd, project: u32) -> io::Result<Account> {
    let mut quota = DiskQuota { version: 1, ..DiskQuota::default() };
    match call(directory, GET, project, &mut quota) {
        Ok(()) => Ok(Account {
            used: quota.block_count.saturating_mul(BLOCK),
            limit: quota.block_hard_limit.saturating_mul(BLOCK),
            files: quota.inode_count,
        }),
        // XFS has none of a project that nobody used yet.
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(Account::default()),
        Err(error) => Err(error),
    }
}

/// Limits what a project's files take; 0 takes the limit away.
pub fn set_limit(directory: impl AsFd, project: u32, bytes: u64) -> io::Result<()> {
    const PROJECT_FLAG: i8 = 2;
    const BLOCK_LIMITS: u16 = 1 << 2 | 1 << 3;
    let mut quota = DiskQuota {
        version: 1,
        flags: PROJECT_FLAG,
        field_mask: BLOCK_LIMITS,
        id: project,
        block_hard_limit: bytes.div_ceil(BLOCK),
        block_soft_limit: bytes.div_ceil(BLOCK),
        ..DiskQuota::default()
    };
    call(directory, SET, project, &mut quota)
}

fn call<T>(directory: impl AsFd, command: libc::c_int, id: u32, data: &mut T) -> io::Result<()> {
    let directory = directory.as_fd().as_raw_fd();
    // SAFETY: each command reads or writes the one structure that its caller above gives, which outlives the call.
    let result =
        unsafe { libc::syscall(libc::SYS_quotactl_fd, directory, command, id, std::ptr::from_mut(data)) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The project that a directory counts for; 0 is none.
pub fn project(directory: impl AsFd) -> io::Result<u32> {
    attributes(&directory).map(|attributes| attributes.project)
}

/// Lets a directory count for a project, and all that is made in it from now on.
pub fn set_project(directory: impl AsFd, project: u32) -> io::Result<()> {
    let mut attributes = attributes(&directory)?;
    if attributes.project == project && attributes.flags & INHERIT != 0 {
        return Ok(());
    }
    attributes.project = project;
    attributes.flags |= INHERIT;
    // SAFETY: the request reads one `fsxattr`, which outlives the call.
    let result = unsafe {
        libc::ioctl(directory.as_fd().as_raw_fd(), SET_ATTRIBUTES as _, std::ptr::from_ref(&attributes))
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn attributes(directory: &impl AsFd) -> io::Result<FileAttributes> {
    let mut attributes = FileAttributes::default();
    // SAFETY: the request writes one `fsxattr`, which outlives the call.
    let result = unsafe {
        libc::ioctl(directory.as_fd().as_raw_fd(), GET_ATTRIBUTES as _, std::ptr::from_mut(&mut attributes))
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(attributes) }
}

/// Runs `act` as one for whom limits hold: to whoever has `CAP_SYS_RESOURCE`, ext4 gives more.
pub fn within_limits<T>(act: impl FnOnce() -> T) -> io::Result<T> {
    const SYS_RESOURCE: u32 = 24;
    struct Back(capability::Sets);
    impl Drop for Back {
        fn drop(&mut self) {
            // What is permitted can be made effective at any time.
            let _ = capability::set(self.0);
        }
    }
    let sets = capability::get()?;
    let mut less = sets;
    less.effective.0 &= !(1 << SYS_RESOURCE);
    let back = Back(sets);
    capability::set(less)?;
    let result = act();
    drop(back);
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn the_kernels_structures_have_their_sizes() {
        assert_eq!((size_of::<DiskQuota>(), size_of::<FileAttributes>()), (112, 28));
        assert_eq!(std::mem::offset_of!(QuotaState, flags), 2);
        assert_eq!(std::mem::offset_of!(DiskQuota, realtime_hard_limit), 72);
    }

    #[test]
    fn a_file_system_without_quotas_says_so() {
        // The kernel's own file systems have none on any machine.
        let directory = File::open("/proc").unwrap();
        assert!(!is_enforced(&directory));
        assert!(account(&directory, 7).is_err());
        assert!(set_limit(&directory, 7, 1 << 20).is_err());
        assert!(set_project(&directory, 7).is_err());
    }

    #[test]
    fn limits_hold_for_a_while() {
        let before = capability::get().unwrap();
        let inside = within_limits(|| capability::get().unwrap()).unwrap();
        assert!(!inside.effective.holds(24));
        assert_eq!((inside.permitted, capability::get().unwrap()), (before.permitted, before));
    }
}
