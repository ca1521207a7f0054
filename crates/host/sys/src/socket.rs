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

/// Sends a message and, with it, at most eight descriptors.
pub fn send(socket: impl AsFd, message: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
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
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let received = loop {
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let result = rustix::net::recvmsg(
            &socket,
            &mut [IoSliceMut::new(&mut message)],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        );
        match result {
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(result) => {
                let fds: Vec<OwnedFd> = ancillary
                    .drain()
                    .filter_map(|part| match part {
                        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
                        _ => None,
                    })
                    .flatten()
                    .collect();
                if result.flags.contains(ReturnFlags::TRUNC) {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                break (result.bytes, fds);
            }
        }
    };
    message.truncate(received.0);
    Ok((message, received.1))
}

/// Connects to a unix socket by its path and sends one descriptor with a message, as `--console-socket` wants it.
pub fn send_fd_to(path: &std::path::Path, message: &[u8], fd: BorrowedFd<'_>) -> io::Result<()> {
    let stream = std::os::unix::net::UnixStream::connect(path)?;
    send(&stream, message, &[fd])
}
