//! Questions that are asked outside.
//!
//! The servers are asked in order, each a moment after the one before unless that has failed; the first good answer
//! wins. The server that won is the first next time. An answer that was cut to fit a datagram is asked for again by TCP:
//! the client may take more than that, and gets what fits of the whole.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use hull_sys::rustix::event::PollFlags;

use crate::LIMITS;
use crate::directory::Upstreams;
use crate::message::{self, Query, SERVER_FAILURE};
use crate::upstream::{Progress, Upstream, connect};

/// How long a server has before the next one is asked too.
const STAGGER: Duration = Duration::from_millis(250);
/// When all are asked once more: datagrams get lost.
const AGAIN: Duration = Duration::from_millis(1800);
/// When the client is told that nobody knows: before its own patience ends, which is five seconds.
const GIVE_UP: Duration = Duration::from_millis(4500);
/// How long a server has to give the whole of what it has cut.
const BY_TCP: Duration = Duration::from_millis(1500);
const PORT: u16 = 53;

/// Who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    /// By a datagram from there; the longest answer it takes.
    Udp(SocketAddr, usize),
    /// On a connection: its place and serial number.
    Tcp(usize, u64),
}

#[derive(Debug)]
struct Pending {
    client: Client,
    number: [u8; 2],
    query: Vec<u8>,
    servers: Vec<IpAddr>,
    inside: bool,
    /// How many were asked so far, in all rounds.
    asked: usize,
    next_at: Instant,
    gives_up_at: Instant,
    asks: Vec<Upstream>,
    /// What was cut, and what was no success: better than nothing.
    partial: Option<Vec<u8>>,
    failure: Option<Vec<u8>>,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Forwarder {
    pending: Vec<Option<Pending>>,
    /// The server that answered last.
    preferred: Option<IpAddr>,
    #[cfg(test)]
    pub(crate) port: Option<u16>,
}

/// Makes a socket in the container's network namespace (`true`) or the host's.
pub(crate) type Connect<'a> = dyn Fn(bool, &dyn Fn() -> io::Result<OwnedFd>) -> io::Result<OwnedFd> + 'a;

impl Forwarder {
    /// Begins; an answer at once when it can't be begun.
    pub(crate) fn begin(
        &mut self,
        query: &Query<'_>,
        client: Client,
        upstreams: Upstreams<'_>,
        open: &Connect<'_>,
    ) -> Option<Vec<u8>> {
        let number = [query.bytes()[0], query.bytes()[1]];
        if self.is_known(client, number) {
            // The client asks once more: it gets the answer that is on its way.
            return None;
        }
        let (Some(place), Ok(own_number)) = (self.free_place(), hull_sys::random::bytes::<2>()) else {
            return Some(query.reply(SERVER_FAILURE));
        };
        let mut bytes = query.bytes().to_vec();
        bytes[..2].copy_from_slice(&own_number);
        let mut servers = upstreams.servers.to_vec();
        if let Some(place) = servers.iter().position(|server| Some(*server) == self.preferred) {
            servers[..=place].rotate_right(1);
        }
        let now = Instant::now();
        self.pending[place] = Some(Pending {
            client,
            number,
            query: bytes,
            servers,
            inside: upstreams.inside,
            asked: 0,
            next_at: now,
            gives_up_at: now + GIVE_UP,
            asks: Vec::new(),
            partial: None,
            failure: None,
        });
        self.advance(place, now, open).map(|(_, reply)| reply)
    }

    #[cfg(not(test))]
    fn port(&self) -> u16 {
        PORT
    }

    #[cfg(test)]
    fn port(&self) -> u16 {
        self.port.unwrap_or(PORT)
    }

    fn is_known(&self, client: Client, number: [u8; 2]) -> bool {
        self.pending.iter().flatten().any(|pending| pending.client == client && pending.number == number)
    }

    fn free_place(&mut self) -> Option<usize> {
        if let Some(place) = self.pending.iter().position(Option::is_none) {
            return Some(place);
        }
        if self.pending.len() >= LIMITS.in_flight {
            return None;
        }
        self.pending.push(None);
        Some(self.pending.len() - 1)
    }

    /// Every socket that an answer may come by: its question's place, its place among that one's.
    pub(crate) fn interests<'a>(&'a self, mut add: impl FnMut(BorrowedFd<'a>, PollFlags, (usize, usize))) {
        for (place, pending) in self.pending.iter().enumerate() {
            for (index, ask) in pending.iter().flat_map(|pending| &pending.asks).enumerate() {
                let (socket, flags) = ask.interest();
                add(socket, flags, (place, index));
            }
        }
    }

    /// When [`Self::tick`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.pending.iter().flatten().map(|pending| pending.next_at.min(pending.gives_up_at)).min()
    }

    /// Something came by a socket. The answer for the client, when there is one now.
    pub(crate) fn handle(
        &mut self,
        (place, index): (usize, usize),
        buffer: &mut [u8],
        open: &Connect<'_>,
    ) -> Option<(Client, Vec<u8>)> {
        let port = self.port();
        let pending = self.pending.get_mut(place)?.as_mut()?;
        let ask = pending.asks.get_mut(index)?;
        match ask.proceed(&pending.query, buffer) {
            Progress::Waiting => return None,
            Progress::Answer(reply) if ask.is_by_udp() && message::is_truncated(&reply) => {
                pending.partial = Some(reply);
                let server = ask.server;
                let now = Instant::now();
                pending.gives_up_at = pending.gives_up_at.min(now + BY_TCP);
                if let Ok(whole) = pending.ask(server, true, port, open) {
                    pending.asks[index] = whole;
                    return None;
                }
            }
            Progress::Answer(reply)
                if matches!(message::code(&reply), message::NO_ERROR | message::NAME_ERROR) =>
            {
                self.preferred = pending.servers.get(ask.server).copied();
                return self.finish(place, Some(reply));
            }
            Progress::Answer(reply) => pending.failure = Some(reply),
            Progress::Failed => {}
        }
        pending.asks.remove(index);
        // The next one need not wait.
        if pending.asked < pending.servers.len() {
            pending.next_at = Instant::now();
        }
        self.advance(place, Instant::now(), open)
    }

    /// What time has brought.
    pub(crate) fn tick(&mut self, now: Instant, open: &Connect<'_>) -> Vec<(Client, Vec<u8>)> {
        (0..self.pending.len()).filter_map(|place| self.advance(place, now, open)).collect()
    }

    /// Asks whom it is time to ask; gives up when there is nobody left.
    fn advance(&mut self, place: usize, now: Instant, open: &Connect<'_>) -> Option<(Client, Vec<u8>)> {
        let port = self.port();
        let pending = self.pending.get_mut(place)?.as_mut()?;
        while pending.asked < pending.attempts() && now >= pending.next_at {
            let server = pending.asked % pending.servers.len();
            let by_tcp = matches!(pending.client, Client::Tcp(..));
            let asked = pending.ask(server, by_tcp, port, open);
            pending.asked += 1;
            if let Ok(ask) = asked {
                pending.asks.push(ask);
                pending.next_at = now + if pending.asked == pending.servers.len() { AGAIN } else { STAGGER };
            } else if pending.asked == pending.servers.len() && !pending.asks.is_empty() {
                pending.next_at = now + AGAIN;
            }
        }
        let nobody_left = pending.asks.is_empty() && (pending.asked >= pending.servers.len());
        if pending.asked >= pending.attempts() {
            pending.next_at = pending.gives_up_at;
        }
        (nobody_left || now >= pending.gives_up_at).then(|| self.finish(place, None)).flatten()
    }

    fn finish(&mut self, place: usize, reply: Option<Vec<u8>>) -> Option<(Client, Vec<u8>)> {
        let pending = self.pending[place].take()?;
        while self.pending.last().is_some_and(Option::is_none) {
            self.pending.pop();
        }
        let mut reply = reply
            .or(pending.partial)
            .or(pending.failure)
            .or_else(|| Some(Query::parse(&pending.query).ok()?.reply(SERVER_FAILURE)))?;
        reply[..2].copy_from_slice(&pending.number);
        if let Client::Udp(_, limit) = pending.client
            && reply.len() > limit
        {
            reply = message::truncated(&reply, limit);
        }
        Some((pending.client, reply))
    }
}

impl Pending {
    fn ask(&self, server: usize, by_tcp: bool, port: u16, open: &Connect<'_>) -> io::Result<Upstream> {
        let address = self.servers[server];
        let socket = open(self.inside, &|| connect(address, port, by_tcp))?;
        Upstream::ask(socket, server, &self.query, by_tcp)
    }

    /// By TCP nothing gets lost: once each.
    fn attempts(&self) -> usize {
        let rounds = if matches!(self.client, Client::Tcp(..)) { 1 } else { 2 };
        self.servers.len() * rounds
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpListener, UdpSocket};
    use std::thread;

    use hull_sys::rustix::event::{PollFd, poll};

    const NAME: &[u8] = b"\x03big\x04test\0\0\x01\0\x01";

    fn question(edns: Option<u16>) -> Vec<u8> {
        let mut bytes = [b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0".as_slice(), NAME].concat();
        if let Some(size) = edns {
            bytes[11] = 1;
            bytes.extend([0, 0, 41]);
            bytes.extend(size.to_be_bytes());
            bytes.extend([0; 6]);
        }
        bytes
    }

    /// So many addresses, the first ones of 100.
    fn answer_of(query: &[u8], count: u8, cut: bool) -> Vec<u8> {
        let mut reply =
            [&query[..2], &[0x81 | (u8::from(cut) << 1), 0x80, 0, 1, 0, count, 0, 0, 0, 0], NAME].concat();
        for number in 0..count {
            reply.extend(b"\xc0\x0c\0\x01\0\x01\0\0\0\x09\0\x04");
            reply.extend([192, 0, 2, number]);
        }
        reply
    }

    /// What a client by UDP hears of a server that has 100 addresses, 20 of which it sends by UDP, and all by TCP if
    /// it takes connections.
    fn heard(edns: Option<u16>, by_tcp: bool) -> Vec<u8> {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = udp.local_addr().unwrap().port();
        let listener = by_tcp.then(|| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap());
        let served = thread::spawn(move || {
            let mut buffer = [0; 512];
            let (length, from) = udp.recv_from(&mut buffer).unwrap();
            udp.send_to(&answer_of(&buffer[..length], 20, true), from).unwrap();
            let Some(listener) = listener else { return };
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 2];
            stream.read_exact(&mut head).unwrap();
            let mut query = vec![0; usize::from(u16::from_be_bytes(head))];
            stream.read_exact(&mut query).unwrap();
            let reply = answer_of(&query, 100, false);
            let length = (reply.len() as u16).to_be_bytes();
            // It comes in pieces.
            for piece in [&length[..1], &length[1..], &reply[..700], &reply[700..]] {
                stream.write_all(piece).unwrap();
            }
        });
        let mut forwarder = Forwarder { port: Some(port), ..Forwarder::default() };
        let bytes = question(edns);
        let query = Query::parse(&bytes).unwrap();
        let servers = [IpAddr::from(Ipv4Addr::LOCALHOST)];
        let client = Client::Udp(SocketAddr::from((Ipv4Addr::LOCALHOST, 9)), query.limit());
        let upstreams = Upstreams { servers: &servers, inside: false };
        let open: &Connect<'_> = &|_, make| make();
        assert!(forwarder.begin(&query, client, upstreams, open).is_none());
        let mut buffer = vec![0; 64 << 10];
        let reply = loop {
            let ready = {
                let mut fds = Vec::new();
                let mut places = Vec::new();
                forwarder.interests(|socket, flags, place| {
                    fds.push(PollFd::from_borrowed_fd(socket, flags));
                    places.push(place);
                });
                poll(&mut fds, None).unwrap();
                let ready = fds.iter().position(|fd| !fd.revents().is_empty()).unwrap();
                places[ready]
            };
            if let Some((_, reply)) = forwarder.handle(ready, &mut buffer, open) {
                break reply;
            }
        };
        assert!(forwarder.pending.is_empty());
        served.join().unwrap();
        assert_eq!(reply[..2], bytes[..2]);
        reply
    }

    #[test]
    fn what_a_server_cuts_is_asked_for_by_tcp() {
        let whole = heard(Some(4096), true);
        assert_eq!((whole[7], message::is_truncated(&whole)), (100, false), "all that the client takes");
        let some = heard(Some(1000), true);
        assert_eq!((some[7], message::is_truncated(&some)), (60, true), "as much as it takes");
        let plain = heard(None, true);
        assert_eq!((plain[7], message::is_truncated(&plain)), (30, true));
        let alone = heard(Some(4096), false);
        assert_eq!((alone[7], message::is_truncated(&alone)), (20, true), "what came where there is no TCP");
    }
}
