//! How much a stream may still hold.

use std::os::fd::OwnedFd;

use hull_sys::rustix;

// A terminal buffers less than this.
const TERMINAL: usize = 64 << 10;

/// The most bytes that a pipe can hold; a process may have made it larger.
pub(crate) fn capacity(descriptor: Option<&OwnedFd>) -> usize {
    descriptor.and_then(|pipe| rustix::pipe::fcntl_getpipe_size(pipe).ok()).unwrap_or(TERMINAL)
}
