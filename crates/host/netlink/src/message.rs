//! Netlink messages (`struct nlmsghdr`): building them and walking a datagram of them.

/// `nlmsg_flags`.
pub mod flags {
    /// A request to the kernel.
    pub const REQUEST: u16 = 0x1;
    /// Answer with an acknowledgement.
    pub const ACK: u16 = 0x4;
    /// Tell the requester what came of it, as a notification.
    pub const ECHO: u16 = 0x8;
    /// Of an answer: the table changed while it was listed.
    pub const DUMP_INTERRUPTED: u16 = 0x10;
    /// The whole table.
    pub const DUMP: u16 = 0x300;
    /// Replace what is there.
    pub const REPLACE: u16 = 0x100;
    /// Fail where it is there.
    pub const EXCL: u16 = 0x200;
    /// Make it where it is not there.
    pub const CREATE: u16 = 0x400;
    /// At the end of the list.
    pub const APPEND: u16 = 0x800;
}

/// `nlmsg_type`s that every protocol has.
pub(crate) const NLMSG_ERROR: u16 = 2;
pub(crate) const NLMSG_DONE: u16 = 3;

const HEADER: usize = 16;
pub(crate) const NESTED: u16 = 0x8000;

/// A message under construction.
#[derive(Debug, Clone)]
pub struct MessageBuilder {
    bytes: Vec<u8>,
}

impl MessageBuilder {
    /// A message of that type; `REQUEST` is among the flags always.
    pub fn new(kind: u16, flags: u16) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(flags | flags::REQUEST).to_ne_bytes());
        Self { bytes }
    }

    /// Sets further flags.
    pub fn add_flags(&mut self, flags: u16) -> &mut Self {
        let present = u16::from_ne_bytes([self.bytes[6], self.bytes[7]]);
        self.bytes[6..8].copy_from_slice(&(present | flags).to_ne_bytes());
        self
    }

    /// Appends the protocol's fixed header.
    pub fn header(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self.pad()
    }

    /// An attribute.
    pub fn bytes(&mut self, kind: u16, payload: &[u8]) -> &mut Self {
        let length = u16::try_from(payload.len() + 4).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&payload[..usize::from(length) - 4]);
        self.pad()
    }

    /// An attribute that is a NUL-terminated text.
    pub fn text(&mut self, kind: u16, text: &str) -> &mut Self {
        let mut payload = Vec::with_capacity(text.len() + 1);
        payload.extend_from_slice(text.as_bytes());
        payload.push(0);
        self.bytes(kind, &payload)
    }

    /// An attribute in the host's byte order.
    pub fn u32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// An attribute in network byte order, as netfilter's are.
    pub fn be32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// An attribute of one byte.
    pub fn u8(&mut self, kind: u16, value: u8) -> &mut Self {
        self.bytes(kind, &[value])
    }

    /// An attribute that holds the attributes `fill` adds.
    pub fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.bytes.len();
        self.bytes(kind | NESTED, &[]);
        fill(self);
        // A nest beyond 64 KiB can't be told in the header: callers split long lists well before that.
        debug_assert!(self.bytes.len() - start <= usize::from(u16::MAX));
        let length = u16::try_from(self.bytes.len() - start).unwrap_or(u16::MAX);
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self
    }

    /// How long the message is so far.
    pub fn length(&self) -> usize {
        self.bytes.len()
    }

    /// The message's bytes under that sequence number.
    pub fn finish(mut self, sequence: u32) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.bytes
    }

    fn pad(&mut self) -> &mut Self {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }
}

/// One received message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its type.
    pub kind: u16,
    /// `nlmsg_flags`.
    pub flags: u16,
    /// The number of the request it answers.
    pub sequence: u32,
    /// The netlink socket whose request it answers or tells of; 0 is the kernel.
    pub port: u32,
    /// What follows its header.
    pub body: &'a [u8],
}

/// The messages of a datagram. `None` inside says that the rest is torn.
#[derive(Debug, Clone)]
pub struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Messages<'a> {
    /// Of this datagram.
    pub fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram }
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Option<Message<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let message = parse(self.rest);
        self.rest = match message {
            Some((_, length)) => self.rest.get(length.next_multiple_of(4)..).unwrap_or(&[]),
            None => &[],
        };
        Some(message.map(|(message, _)| message))
    }
}

fn parse(bytes: &[u8]) -> Option<(Message<'_>, usize)> {
    let word = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let length = word(0)? as usize;
    let body = bytes.get(HEADER..length)?;
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    let flags = u16::from_ne_bytes(bytes.get(6..8)?.try_into().ok()?);
    Some((Message { kind, flags, sequence: word(8)?, port: word(12)?, body }, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_the_layout_of_nlmsghdr() {
        let mut message = MessageBuilder::new(16, flags::ACK);
        message.header(&[9]).u8(1, 7);
        let bytes = message.finish(5);
        #[rustfmt::skip]
        let expected = [
            28, 0, 0, 0,  16, 0,  5, 0,  5, 0, 0, 0,  0, 0, 0, 0,
            9, 0, 0, 0,
            5, 0, 1, 0,  7, 0, 0, 0,
        ];
        assert_eq!(bytes, expected);
        let read = Messages::new(&bytes).next().unwrap().unwrap();
        assert_eq!((read.kind, read.sequence, read.body.len()), (16, 5, 12));
    }

    #[test]
    fn torn_datagrams_are_seen() {
        let whole = MessageBuilder::new(16, 0).finish(1);
        for end in 1..whole.len() {
            assert_eq!(Messages::new(&whole[..end]).next(), Some(None), "{end}");
        }
        let mut lying = whole.clone();
        lying[0] = 3;
        assert_eq!(Messages::new(&lying).collect::<Vec<_>>(), [None]);
        let two = [whole.clone(), whole].concat();
        assert_eq!(Messages::new(&two).flatten().count(), 2);
    }
}
