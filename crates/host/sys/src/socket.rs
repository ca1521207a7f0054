//! Descriptors that travel over unix sockets, and the peer's credentials.

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A connected pair of sockets that keep message boundaries (`SOCK_SEQPACKET`).
pub fn packet_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// How many descriptors one message can bear (`SCM_MAX_FD`).
pub const MOST_DESCRIPTORS: usize = 253;

// Room on the stack for what one message bears.
const SPACE: usize = rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS));

/// Sends a message and, with it, at most [`MOST_DESCRIPTORS`] descriptors.
pub fn send(socket: impl AsFd, message: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    rustix::net::sendmsg(&socket, &[IoSlice::new(message)], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives a message and what descriptors came with it. An empty message is the end.
pub fn receive(socket: impl AsFd, limit: usize) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut message = vec![0; limit];
    let mut fds = Vec::new();
    let (length, flags) = receive_into(socket, &mut message, &mut fds)?;
    if flags.contains(ReturnFlags::TRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    message.truncate(length);
    Ok((message, fds))
}

/// Reads from a stream, and adds what descriptors came with it to `fds`; fewer than were sent where this process may
/// not have so many. The number of bytes read; none is the end.
pub fn read(socket: impl AsFd, buffer: &mut [u8], fds: &mut Vec<OwnedFd>) -> io::Result<usize> {
    receive_into(socket, buffer, fds).map(|(length, _)| length)
}

fn receive_into(
    socket: impl AsFd,
    buffer: &mut [u8],
    fds: &mut Vec<OwnedFd>,
) -> io::Result<(usize, ReturnFlags)> {
    let mut space = [MaybeUninit::uninit(); SPACE];
    loop {
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(buffer)];
        match rustix::net::recvmsg(&socket, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(result) => {
                let rights = ancillary.drain().filter_map(|part| match part {
                    RecvAncillaryMessage::ScmRights(fds) => Some(fds),
                    _ => None,
                });
                fds.extend(rights.flatten());
                return Ok((result.bytes, result.flags));
            }
        }
    }
}

/// Connects to a unix socket by its path and sends one descriptor with a message, as `--console-socket` wants it.
pub fn send_fd_to(path: &std::path::Path, message: &[u8], fd: BorrowedFd<'_>) -> io::Result<()> {
    let stream = std::os::unix::net::UnixStream::connect(path)?;
    send(&stream, message, &[fd])
}
