//! What a socket's peer has not read yet.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// How much memory the kernel holds of what was written to this socket: 0 once the peer of a unix socket has read it
/// all (for TCP: once the peer's kernel has it).
pub fn unread_by_peer(socket: impl AsFd) -> io::Result<usize> {
    let mut held: libc::c_int = 0;
    // SAFETY: the descriptor is open as long as it is borrowed, and TIOCOUTQ (which is SIOCOUTQ) writes one int.
    let result = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut held) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(usize::try_from(held).unwrap_or(0)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn what_the_peer_reads_is_gone() {
        let (mut here, mut there) = std::os::unix::net::UnixStream::pair().unwrap();
        assert_eq!(unread_by_peer(&here).unwrap(), 0);
        here.write_all(b"abc").unwrap();
        assert!(unread_by_peer(&here).unwrap() > 0);
        there.read_exact(&mut [0; 3]).unwrap();
        assert_eq!(unread_by_peer(&here).unwrap(), 0);
    }
}
