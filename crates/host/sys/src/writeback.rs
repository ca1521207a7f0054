//! When written files reach the disk.

use std::os::fd::{AsFd, AsRawFd};

/// Asks the kernel to begin writing a part of a file to the disk, without waiting. Only a hint: whatever it answers,
/// a sync makes sure later.
pub fn start(file: impl AsFd, offset: u64, length: u64) {
    let (Ok(offset), Ok(length)) = (i64::try_from(offset), i64::try_from(length)) else { return };
    // SAFETY: no memory is passed, and the descriptor outlives the call.
    unsafe {
        libc::sync_file_range(file.as_fd().as_raw_fd(), offset, length, libc::SYNC_FILE_RANGE_WRITE);
    }
}
