//! A netlink socket as a conversation: numbered requests, their acknowledgements, dumps.

use std::io;

use hull_sys::netlink_socket::{NetlinkProtocol, NetlinkSocket};

use crate::message::{Message, MessageBuilder, Messages, NLMSG_DONE, NLMSG_ERROR, flags};
use crate::{Attributes, Error, Result};

/// Acknowledgements are short (the request is not copied back), their explanation a line.
const ACK_BUFFER: usize = 8 << 10;
/// The kernel fills dump datagrams up to 32 KiB when it sees that the reader takes them.
const DUMP_BUFFER: usize = 32 << 10;
/// An attribute of an acknowledgement: the kernel's explanation (`NLMSGERR_ATTR_MSG`).
const EXPLANATION: u16 = 1;
const INTERRUPTED: i32 = 4;

/// One thing to ask of the kernel, with the words for when it fails.
#[derive(Debug, Clone)]
pub struct Request {
    pub(crate) act: String,
    pub(crate) message: MessageBuilder,
}

impl Request {
    /// A request; `act` completes the sentence "cannot …".
    pub fn new(act: impl Into<String>, message: MessageBuilder) -> Self {
        Self { act: act.into(), message }
    }

    /// The request as it is sent.
    pub fn bytes(&self, sequence: u32) -> Vec<u8> {
        self.message.clone().finish(sequence)
    }
}

/// An acknowledgement.
#[derive(Debug)]
pub struct Answer {
    /// The number of the request it is for.
    pub sequence: u32,
    /// 0, or the errno.
    pub errno: i32,
    /// The kernel's own words, where it gave any.
    pub explanation: Option<String>,
}

/// A socket that requests are numbered on.
#[derive(Debug)]
pub struct Socket {
    socket: NetlinkSocket,
    sequence: u32,
}

impl Socket {
    /// Opens a socket in the calling thread's network namespace.
    pub fn open(protocol: NetlinkProtocol) -> Result<Self> {
        let failed = |source| Error::Socket { act: format!("open a netlink socket ({protocol:?})"), source };
        let socket = NetlinkSocket::open(protocol).map_err(failed)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Reserves `count` sequence numbers; the first of them.
    pub fn reserve(&mut self, count: u32) -> u32 {
        // 0 is left out: the kernel's notifications have it.
        let first = if self.sequence > u32::MAX - count - 1 { 1 } else { self.sequence + 1 };
        self.sequence = first + count - 1;
        first
    }

    /// The number by which notifications tell whose change they are of. Known once something was sent.
    pub fn port(&self) -> Result<u32> {
        let failed = |source| Error::Socket { act: "ask for a netlink socket's number".into(), source };
        self.socket.port().map_err(failed)
    }

    /// Sends a datagram of messages. The kernel has worked them off when this returns.
    pub fn send(&mut self, act: &str, datagram: &[u8]) -> Result<()> {
        self.socket.send(datagram).map_err(|source| Error::Socket { act: act.to_owned(), source })
    }

    /// All acknowledgements that are queued now, in the order of their coming.
    pub fn queued_answers(&mut self, act: &str) -> Result<Vec<Answer>> {
        let failed = |source| Error::Socket { act: act.to_owned(), source };
        let mut buffer = [0; ACK_BUFFER];
        let mut answers = Vec::new();
        while let Some(length) = self.socket.try_receive(&mut buffer).map_err(failed)? {
            for message in Messages::new(&buffer[..length]) {
                let message = message.ok_or_else(|| Error::Malformed { act: act.to_owned() })?;
                if message.kind == NLMSG_ERROR {
                    answers.push(answer(&message).ok_or_else(|| Error::Malformed { act: act.to_owned() })?);
                }
            }
        }
        Ok(answers)
    }

    /// Sends `request` and gives each message of the answer to `visit` until the dump is done.
    pub fn dump(&mut self, request: &Request, mut visit: impl FnMut(u16, &[u8])) -> Result<()> {
        let sequence = self.reserve(1);
        self.send(&request.act, &request.bytes(sequence))?;
        let failed = |source| Error::Socket { act: request.act.clone(), source };
        let malformed = || Error::Malformed { act: request.act.clone() };
        let mut buffer = vec![0; DUMP_BUFFER];
        let mut interrupted = false;
        loop {
            let length = self.socket.receive(&mut buffer).map_err(failed)?;
            for message in Messages::new(&buffer[..length]) {
                let message = message.ok_or_else(malformed)?;
                interrupted |= message.flags & flags::DUMP_INTERRUPTED != 0;
                match message.kind {
                    // What an earlier, abandoned exchange left.
                    _ if message.sequence != sequence => {}
                    NLMSG_DONE if interrupted => {
                        return Err(failed(io::Error::from_raw_os_error(INTERRUPTED)));
                    }
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => return refused(&request.act, answer(&message).ok_or_else(malformed)?),
                    kind => visit(kind, message.body),
                }
            }
        }
    }
}

fn answer(message: &Message<'_>) -> Option<Answer> {
    let errno = -i32::from_ne_bytes(message.body.get(..4)?.try_into().ok()?);
    // After the errno comes the request's header, and then, as its payload is left out, attributes.
    let explanation = message.body.get(20..).and_then(|rest| {
        let attribute = Attributes::new(rest).find_kind(EXPLANATION)?;
        attribute.text().map(str::to_owned)
    });
    Some(Answer { sequence: message.sequence, errno, explanation })
}

fn refused(act: &str, answer: Answer) -> Result<()> {
    if answer.errno == 0 {
        return Ok(());
    }
    let source = io::Error::from_raw_os_error(answer.errno);
    Err(Error::Refused { act: act.to_owned(), source, explanation: answer.explanation })
}

/// A `NETLINK_ROUTE` socket.
#[derive(Debug)]
pub struct RouteSocket {
    socket: Socket,
}

impl RouteSocket {
    /// Opens a socket in the calling thread's network namespace.
    pub fn open() -> Result<Self> {
        Ok(Self { socket: Socket::open(NetlinkProtocol::Route)? })
    }

    /// Carries out the requests in their order, sent at once. The error is that of the first that failed; the
    /// kernel tries the later ones too, so a caller who cares undoes them all.
    pub fn execute(&mut self, requests: &[Request]) -> Result<()> {
        let first = self.socket.reserve(u32::try_from(requests.len()).unwrap_or(u32::MAX));
        let mut datagram = Vec::with_capacity(256 * requests.len());
        for (sequence, request) in (first..).zip(requests) {
            datagram.extend(request.bytes(sequence));
        }
        let Some(request) = requests.first() else { return Ok(()) };
        self.socket.send(&request.act, &datagram)?;
        let answers = self.socket.queued_answers(&request.act)?;
        for (sequence, request) in (first..).zip(requests) {
            let mine = answers.iter().find(|answer| answer.sequence == sequence);
            let malformed = || Error::Malformed { act: request.act.clone() };
            let mine = mine.ok_or_else(malformed)?;
            refused(
                &request.act,
                Answer { sequence, errno: mine.errno, explanation: mine.explanation.clone() },
            )?;
        }
        Ok(())
    }

    /// As [`Self::execute`], for one request.
    pub fn run(&mut self, request: Request) -> Result<()> {
        self.execute(std::slice::from_ref(&request))
    }

    /// A dump whose messages `parse` turns into values. One that was torn by a change meanwhile is repeated.
    pub(crate) fn list<T>(
        &mut self,
        request: &Request,
        parse: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Vec<T>> {
        loop {
            let mut values = Vec::new();
            let dumped = self.socket.dump(request, |_, body| values.extend(parse(body)));
            match dumped {
                Err(error) if error.errno() == Some(INTERRUPTED) => {}
                other => return other.map(|()| values),
            }
        }
    }

    /// The single message that answers `request`; `None` when the kernel says that there is no such thing.
    pub(crate) fn get<T>(
        &mut self,
        request: &Request,
        parse: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Option<T>> {
        let mut value = None;
        // An answer to a GET has no DONE after it; the acknowledgement ends it as an error of 0.
        match self.socket.dump(request, |_, body| value = parse(body)) {
            Err(error) if error.is_missing() => Ok(None),
            other => other.map(|()| value),
        }
    }
}

pub(crate) fn request(act: String, kind: u16, flags: u16, header: &[u8]) -> Request {
    let mut message = MessageBuilder::new(kind, flags | flags::ACK);
    message.header(header);
    Request { act, message }
}
