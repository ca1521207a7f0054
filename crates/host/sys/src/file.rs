//! What of files' data rustix does not give.

use std::fs::File;
use std::os::fd::AsRawFd;

/// Has the disk begin with these bytes of a file, so that less is left to wait for when it is synced
/// (sync_file_range(2)). A hint: nothing is lost where it fails.
pub fn start_writing(file: &File, from: u64, length: u64) {
    let (Ok(from), Ok(length)) = (i64::try_from(from), i64::try_from(length)) else { return };
    // SAFETY: the descriptor is open for as long as the borrow lasts; no memory is passed.
    unsafe { libc::sync_file_range(file.as_raw_fd(), from, length, libc::SYNC_FILE_RANGE_WRITE) };
}
