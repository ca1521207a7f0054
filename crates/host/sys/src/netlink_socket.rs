//! Netlink sockets: opening them with the options Hull's protocols need, whole datagrams in and out.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, sockopt};

/// Which part of the kernel a netlink socket talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetlinkProtocol {
    /// Links, addresses, routes (`NETLINK_ROUTE`).
    Route,
    /// nftables and connection tracking (`NETLINK_NETFILTER`).
    Netfilter,
}

/// A netlink socket. It belongs to the network namespace that the opening thread was in, for good.
#[derive(Debug)]
pub struct NetlinkSocket {
    fd: OwnedFd,
    send_buffer: usize,
}

impl NetlinkSocket {
    /// Opens a socket in the calling thread's network namespace. Errors come with the kernel's explanation
    /// (`NETLINK_EXT_ACK`) and without a copy of the request (`NETLINK_CAP_ACK`).
    pub fn open(protocol: NetlinkProtocol) -> io::Result<Self> {
        let number = match protocol {
            NetlinkProtocol::Route => None,
            NetlinkProtocol::Netfilter => Some(netlink::NETFILTER),
        };
        let flags = SocketFlags::CLOEXEC;
        let fd = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, number)?;
        enable(fd.as_fd(), libc::NETLINK_EXT_ACK)?;
        enable(fd.as_fd(), libc::NETLINK_CAP_ACK)?;
        let send_buffer = sockopt::socket_send_buffer_size(&fd)?;
        Ok(Self { fd, send_buffer })
    }

    /// Asks the kernel to honour filters in dump requests and to refuse malformed ones (since Linux 4.20).
    pub fn check_strictly(&self) -> io::Result<()> {
        enable(self.fd.as_fd(), libc::NETLINK_GET_STRICT_CHK)
    }

    /// The address by which the kernel tells this socket from others.
    pub fn port(&self) -> io::Result<u32> {
        let address = rustix::net::getsockname(&self.fd)?;
        let address = netlink::SocketAddrNetlink::try_from(address)?;
        Ok(address.pid())
    }

    /// Joins a multicast group, to be told of changes.
    pub fn join(&self, group: u32) -> io::Result<()> {
        // A socket without a number is passed over: the kernel takes it for the one that made the change.
        rustix::net::bind(&self.fd, &netlink::SocketAddrNetlink::new(0, 0))?;
        set_option(self.fd.as_fd(), libc::NETLINK_ADD_MEMBERSHIP, group)
    }

    /// Sends one datagram to the kernel. It is worked off, and its answers are queued, when this returns.
    pub fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        // The kernel refuses a datagram that doesn't fit the send buffer, and counts each with an overhead.
        let needed = datagram.len() * 2 + 4096;
        if needed > self.send_buffer {
            sockopt::set_socket_send_buffer_size_force(&self.fd, needed)?;
            self.send_buffer = needed;
        }
        let sent = rustix::io::retry_on_intr(|| rustix::net::send(&self.fd, datagram, SendFlags::empty()))?;
        if sent == datagram.len() { Ok(()) } else { Err(io::Error::from(io::ErrorKind::WriteZero)) }
    }

    /// Receives one datagram into `buffer`; its length. One that does not fit is an error.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive_with(buffer, RecvFlags::TRUNC)
    }

    /// As [`Self::receive`], and `None` when nothing is queued.
    pub fn try_receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.receive_with(buffer, RecvFlags::TRUNC | RecvFlags::DONTWAIT) {
            Ok(length) => Ok(Some(length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn receive_with(&self, buffer: &mut [u8], flags: RecvFlags) -> io::Result<usize> {
        let received = rustix::io::retry_on_intr(|| rustix::net::recv(&self.fd, &mut *buffer, flags))?;
        // With MSG_TRUNC the second value is the datagram's real length.
        let (_, length) = received;
        if length > buffer.len() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "netlink datagram longer than the buffer",
            ));
        }
        Ok(length)
    }
}

impl AsFd for NetlinkSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn enable(fd: BorrowedFd<'_>, option: libc::c_int) -> io::Result<()> {
    set_option(fd, option, 1)
}

fn set_option(fd: BorrowedFd<'_>, option: libc::c_int, value: u32) -> io::Result<()> {
    let size = size_of::<u32>() as libc::socklen_t;
    // SAFETY: the pointer is to a live u32 of the length given, which the kernel only reads.
    let result = unsafe {
        libc::setsockopt(fd.as_raw_fd(), libc::SOL_NETLINK, option, (&raw const value).cast(), size)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
