//! Messages (RFC 1035, 6891): questions are read, answers are made. Whatever bytes come, nothing panics.

use std::net::IpAddr;

use crate::{LIMITS, name};

pub(crate) const HEADER: usize = 12;
/// Seconds that an answer may be kept: Docker's.
const TTL: u32 = 600;
/// Without EDNS no answer by UDP is longer.
const PLAIN_LIMIT: usize = 512;
const OPT: u16 = 41;
const OPT_LENGTH: usize = 11;
/// What is told of the longest query taken.
const OWN_LIMIT: u16 = LIMITS.query as u16;
const CLASS_IN: u16 = 1;

const QR: u16 = 1 << 15;
const TC: u16 = 1 << 9;
const RD: u16 = 1 << 8;
const RA: u16 = 1 << 7;
const CD: u16 = 1 << 4;

pub(crate) const NO_ERROR: u8 = 0;
pub(crate) const FORMAT_ERROR: u8 = 1;
pub(crate) const SERVER_FAILURE: u8 = 2;
pub(crate) const NAME_ERROR: u8 = 3;
pub(crate) const NOT_IMPLEMENTED: u8 = 4;
const BAD_VERSION: u8 = 1;

/// What a question asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// The name of an address.
    Ptr,
    /// All there is.
    Any,
    /// Something else, by its number.
    Other(u16),
}

/// What is wrong with a message that came in place of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Malformed {
    /// It deserves no answer.
    Silent,
    /// It gets this one.
    Answered(Vec<u8>),
}

/// A query that holds together.
#[derive(Debug)]
pub struct Query<'a> {
    bytes: &'a [u8],
    flags: u16,
    question_end: usize,
    /// In lower case without a dot at the end; `None` for one that nobody here can have.
    pub name: Option<String>,
    /// What it asks for.
    pub kind: Kind,
    /// Whether it is about the Internet's names.
    pub internet: bool,
    edns: Option<Edns>,
}

#[derive(Debug, Clone, Copy)]
struct Edns {
    size: u16,
    version: u8,
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

impl<'a> Query<'a> {
    /// Reads a query.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if bytes.len() < HEADER || be16(bytes, 2).is_none_or(|flags| flags & QR != 0) {
            return Err(Malformed::Silent);
        }
        if bytes.len() > LIMITS.query {
            return Err(refusal(bytes, FORMAT_ERROR));
        }
        if be16(bytes, 2).is_some_and(|flags| flags >> 11 & 15 != 0) {
            return Err(refusal(bytes, NOT_IMPLEMENTED));
        }
        Self::read(bytes).ok_or_else(|| refusal(bytes, FORMAT_ERROR))
    }

    fn read(bytes: &'a [u8]) -> Option<Self> {
        let flags = be16(bytes, 2)?;
        if be16(bytes, 4)? != 1 {
            return None;
        }
        let (name, at) = name::read_plain(bytes, HEADER)?;
        let kind = match be16(bytes, at)? {
            1 => Kind::A,
            28 => Kind::Aaaa,
            12 => Kind::Ptr,
            255 => Kind::Any,
            other => Kind::Other(other),
        };
        let internet = be16(bytes, at + 2)? == CLASS_IN;
        let question_end = at + 4;
        let edns = read_edns(bytes, question_end)?;
        Some(Self { bytes, flags, question_end, name, kind, internet, edns })
    }

    /// The message.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The longest answer that the asker takes by UDP.
    pub fn limit(&self) -> usize {
        self.edns.map_or(PLAIN_LIMIT, |edns| usize::from(edns.size).max(PLAIN_LIMIT))
    }

    /// Whether it speaks a version of EDNS that is none yet.
    pub(crate) fn is_of_unknown_edns(&self) -> bool {
        self.edns.is_some_and(|edns| edns.version != 0)
    }

    /// An answer without records.
    pub fn reply(&self, code: u8) -> Vec<u8> {
        self.begin(code).finish()
    }

    pub(crate) fn bad_version(&self) -> Vec<u8> {
        let mut reply = self.begin(NO_ERROR);
        reply.extended_code = BAD_VERSION;
        reply.finish()
    }

    /// An answer with addresses, as many of them as fit.
    pub(crate) fn addresses<'b>(&self, addresses: impl Iterator<Item = &'b IpAddr>, limit: usize) -> Vec<u8> {
        let mut reply = self.begin(NO_ERROR);
        for address in addresses {
            let fits = match address {
                IpAddr::V4(address) => reply.record(1, &address.octets(), limit),
                IpAddr::V6(address) => reply.record(28, &address.octets(), limit),
            };
            if !fits {
                reply.flags |= TC;
                break;
            }
        }
        reply.finish()
    }

    /// An answer with a name.
    pub(crate) fn pointer(&self, name: &str) -> Vec<u8> {
        let mut reply = self.begin(NO_ERROR);
        let mut data = Vec::new();
        if name::write(name, &mut data) {
            reply.record(12, &data, usize::MAX);
        }
        reply.finish()
    }

    fn begin(&self, code: u8) -> Reply {
        let mut bytes = self.bytes[..self.question_end].to_vec();
        bytes[6..HEADER].fill(0);
        let flags = QR | RA | self.flags & (RD | CD) | u16::from(code);
        Reply { bytes, flags, records: 0, edns: self.edns.is_some(), extended_code: 0 }
    }
}

/// Walks the records behind the question; `None` when they don't hold together.
fn read_edns(bytes: &[u8], question_end: usize) -> Option<Option<Edns>> {
    let counts = [be16(bytes, 6)?, be16(bytes, 8)?, be16(bytes, 10)?];
    let total: usize = counts.iter().map(|count| usize::from(*count)).sum();
    if total > LIMITS.records {
        return None;
    }
    let (mut at, mut edns) = (question_end, None);
    for _ in 0..total {
        let fixed = name::skip(bytes, at)?;
        let length = usize::from(be16(bytes, fixed + 8)?);
        if be16(bytes, fixed)? == OPT {
            if edns.is_some() {
                return None;
            }
            edns = Some(Edns { size: be16(bytes, fixed + 2)?, version: *bytes.get(fixed + 5)? });
        }
        at = fixed + 10 + length;
        if at > bytes.len() {
            return None;
        }
    }
    Some(edns)
}

struct Reply {
    bytes: Vec<u8>,
    flags: u16,
    records: u16,
    edns: bool,
    extended_code: u8,
}

impl Reply {
    /// Appends a record of the name asked for; `false` when it would not fit.
    fn record(&mut self, kind: u16, data: &[u8], limit: usize) -> bool {
        let rest = if self.edns { OPT_LENGTH } else { 0 };
        if self.bytes.len() + 12 + data.len() + rest > limit {
            return false;
        }
        // The name is the question's.
        self.bytes.extend([0xc0, HEADER as u8]);
        self.bytes.extend(kind.to_be_bytes());
        self.bytes.extend(CLASS_IN.to_be_bytes());
        self.bytes.extend(TTL.to_be_bytes());
        self.bytes.extend((data.len() as u16).to_be_bytes());
        self.bytes.extend_from_slice(data);
        self.records += 1;
        true
    }

    fn finish(mut self) -> Vec<u8> {
        self.bytes[2..4].copy_from_slice(&self.flags.to_be_bytes());
        self.bytes[6..8].copy_from_slice(&self.records.to_be_bytes());
        if self.edns {
            self.bytes[10..12].copy_from_slice(&1u16.to_be_bytes());
            self.bytes.push(0);
            self.bytes.extend(OPT.to_be_bytes());
            self.bytes.extend(OWN_LIMIT.to_be_bytes());
            self.bytes.extend([self.extended_code, 0, 0, 0, 0, 0]);
        }
        self.bytes
    }
}

/// An answer to what could not be read: the header alone.
fn refusal(bytes: &[u8], code: u8) -> Malformed {
    let mut reply = bytes[..HEADER].to_vec();
    let flags = be16(bytes, 2).unwrap_or_default();
    let flags = QR | RA | flags & (RD | 0x7800) | u16::from(code);
    reply[2..4].copy_from_slice(&flags.to_be_bytes());
    reply[4..].fill(0);
    Malformed::Answered(reply)
}

/// What of an answer that is too long for its asker fits: its first records, and word that there are more.
pub fn truncated(reply: &[u8], limit: usize) -> Vec<u8> {
    if reply.len() < HEADER {
        return reply.to_vec();
    }
    let end = question_end(reply).unwrap_or(HEADER);
    let fitting = Fitting::of(reply, end, limit).unwrap_or_default();
    let mut short = reply[..fitting.end.max(end)].to_vec();
    short.extend_from_slice(&reply[fitting.edns]);
    if let Some(flags) = be16(&short, 2) {
        let flags = if fitting.whole { flags & !TC } else { flags | TC };
        short[2..4].copy_from_slice(&flags.to_be_bytes());
        short[4..6].copy_from_slice(&u16::from(end > HEADER).to_be_bytes());
        for (section, count) in fitting.counts.into_iter().enumerate() {
            short[6 + 2 * section..8 + 2 * section].copy_from_slice(&count.to_be_bytes());
        }
    }
    short
}

/// The first records of an answer, as many as a limit allows, and its EDNS record, for which there is room first.
#[derive(Default)]
struct Fitting {
    end: usize,
    counts: [u16; 3],
    edns: std::ops::Range<usize>,
    /// Whether all that was asked for is in it: what is only helpful besides may be missing.
    whole: bool,
}

impl Fitting {
    /// `None` when the records don't hold together.
    fn of(reply: &[u8], question_end: usize, limit: usize) -> Option<Self> {
        let mut records = Vec::new();
        let (mut at, mut edns) = (question_end, 0..0);
        for section in 0..3 {
            for _ in 0..be16(reply, 6 + 2 * section)? {
                let fixed = name::skip(reply, at)?;
                let next = fixed + 10 + usize::from(be16(reply, fixed + 8)?);
                if next > reply.len() {
                    return None;
                }
                if be16(reply, fixed)? == OPT {
                    edns = at..next;
                } else {
                    records.push((section, at, next));
                }
                at = next;
            }
        }
        let mut fitting = Self { end: question_end, edns, ..Self::default() };
        let room = limit.checked_sub(fitting.edns.len()).filter(|room| *room >= question_end)?;
        // Names point backwards only, and nothing is left out between: what is kept stays readable.
        let fits = |&(_, start, next): &(usize, usize, usize), end| start == end && next <= room;
        for record in &records {
            if !fits(record, fitting.end) {
                fitting.whole = record.0 == 2;
                break;
            }
            (fitting.end, fitting.whole) = (record.2, true);
            fitting.counts[record.0] += 1;
        }
        fitting.counts[2] += u16::from(!fitting.edns.is_empty());
        Some(fitting)
    }
}

/// Whether an answer says that it is not all.
pub(crate) fn is_truncated(reply: &[u8]) -> bool {
    be16(reply, 2).is_some_and(|flags| flags & TC != 0)
}

fn question_end(message: &[u8]) -> Option<usize> {
    let (_, at) = name::read_plain(message, HEADER)?;
    (at + 4 <= message.len()).then_some(at + 4)
}

/// Whether `reply` answers `query`: a response, with its number and its question. Servers may change the case of
/// letters.
pub(crate) fn answers(reply: &[u8], query: &[u8]) -> bool {
    let Some(end) = question_end(query) else { return false };
    reply.len() >= end
        && reply[..2] == query[..2]
        && be16(reply, 2).is_some_and(|flags| flags & QR != 0 && flags & 0x7800 == 0)
        && be16(reply, 4) == Some(1)
        && reply[HEADER..end].eq_ignore_ascii_case(&query[HEADER..end])
}

/// The low four bits of an answer's code.
pub(crate) fn code(reply: &[u8]) -> u8 {
    reply.get(3).map_or(SERVER_FAILURE, |byte| byte & 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `dig +noedns web A`, by the bytes.
    const PLAIN: &[u8] = b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\0\x03WEB\0\0\x01\0\x01";

    fn with_edns(size: u16, version: u8) -> Vec<u8> {
        let mut bytes = PLAIN.to_vec();
        bytes[11] = 1;
        bytes.extend([0, 0, 41]);
        bytes.extend(size.to_be_bytes());
        bytes.extend([0, version, 0x80, 0, 0, 0]);
        bytes
    }

    #[test]
    fn a_plain_question_and_its_answer() {
        let query = Query::parse(PLAIN).unwrap();
        assert_eq!((query.name.as_deref(), query.kind, query.limit()), (Some("web"), Kind::A, 512));
        let reply = query.addresses([IpAddr::from([172, 18, 0, 2])].iter(), 512);
        assert_eq!(
            reply,
            b"\x12\x34\x81\x80\0\x01\0\x01\0\0\0\0\x03WEB\0\0\x01\0\x01\xc0\x0c\0\x01\0\x01\0\0\x02\x58\0\x04\xac\x12\0\x02"
        );
        assert!(answers(&reply, PLAIN));
    }

    #[test]
    fn edns_is_answered_in_kind() {
        let bytes = with_edns(1232, 0);
        let query = Query::parse(&bytes).unwrap();
        assert_eq!(query.limit(), 1232);
        assert!(query.reply(NAME_ERROR).ends_with(b"\0\0\x29\x10\0\0\0\0\0\0\0"));
        let newer = with_edns(1232, 1);
        let query = Query::parse(&newer).unwrap();
        assert!(query.is_of_unknown_edns());
        assert!(query.bad_version().ends_with(b"\0\0\x29\x10\0\x01\0\0\0\0\0"));
    }

    #[test]
    fn an_answer_takes_no_more_than_it_may() {
        let query = Query::parse(PLAIN).unwrap();
        let many: Vec<IpAddr> = (0..200).map(|last| IpAddr::from([10, 0, 0, last])).collect();
        let reply = query.addresses(many.iter(), query.limit());
        assert!(reply.len() <= 512 && reply.len() > 490, "{}", reply.len());
        assert_ne!(reply[2] & 2, 0, "TC");
        assert_eq!(usize::from(reply[7]), (reply.len() - PLAIN.len()) / 16);
        let short = truncated(&reply, PLAIN.len() + 40);
        assert_eq!((short.len(), short[7], short[2] & 2), (PLAIN.len() + 32, 2, 2));
        assert_eq!(truncated(&reply[..reply.len() - 1], 100)[7], 0, "torn: the question alone");
    }

    #[test]
    fn what_fits_of_an_answer_is_kept_with_its_edns() {
        let bytes = with_edns(1232, 0);
        let query = Query::parse(&bytes).unwrap();
        let many: Vec<IpAddr> = (0..9).map(|last| IpAddr::from([10, 0, 0, last])).collect();
        // The last of the answer's records count as authority, or as only helpful.
        let reply = |authority: u8, helpful: u8| {
            let mut reply = query.addresses(many.iter(), 1232);
            (reply[7], reply[9], reply[11]) = (9 - authority - helpful, authority, helpful + 1);
            reply
        };
        let cut = |reply: &[u8], limit| {
            let short = truncated(reply, limit);
            assert!(
                short.len() <= limit.max(PLAIN.len()) && short.ends_with(&reply[reply.len() - OPT_LENGTH..])
            );
            (short[7], short[9], short[11], is_truncated(&short))
        };
        let room = |records: usize| PLAIN.len() + 16 * records + OPT_LENGTH;
        assert_eq!(cut(&reply(0, 0), room(4) + 15), (4, 0, 1, true));
        assert_eq!(cut(&reply(0, 0), room(9)), (9, 0, 1, false));
        assert_eq!(cut(&reply(2, 0), room(8)), (7, 1, 1, true));
        assert_eq!(cut(&reply(0, 3), room(7)), (6, 0, 2, false), "nothing that was asked for is missing");
    }

    #[test]
    fn what_is_no_query_is_refused() {
        assert_eq!(Query::parse(&PLAIN[..11]).unwrap_err(), Malformed::Silent);
        let mut response = PLAIN.to_vec();
        response[2] |= 0x80;
        assert_eq!(Query::parse(&response).unwrap_err(), Malformed::Silent);
        let code = |bytes: &[u8]| match Query::parse(bytes) {
            Err(Malformed::Answered(reply)) => reply[3] & 15,
            other => panic!("{other:?}"),
        };
        let mut notify = PLAIN.to_vec();
        notify[2] |= 4 << 3;
        assert_eq!(code(&notify), NOT_IMPLEMENTED);
        let mut two = PLAIN.to_vec();
        two[5] = 2;
        assert_eq!(code(&two), FORMAT_ERROR);
        // A name that points at itself.
        let looping = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\xc0\x0c\0\x01\0\x01";
        assert_eq!(code(looping), FORMAT_ERROR);
        let mut many = PLAIN.to_vec();
        many[10] = 0xff;
        assert_eq!(code(&many), FORMAT_ERROR);
        assert_eq!(code(&with_edns(512, 0)[..30]), FORMAT_ERROR);
        let long = [PLAIN, &[0; 5000]].concat();
        assert_eq!(code(&long), FORMAT_ERROR);
    }

    #[test]
    fn answers_of_others_are_told_apart() {
        let mut reply = PLAIN.to_vec();
        reply[2] |= 0x80;
        assert!(answers(&reply, PLAIN));
        reply[13] = b'w';
        assert!(answers(&reply, PLAIN), "the case is no difference");
        for (place, value) in [(0, 0), (2, 1), (5, 2), (13, b'x'), (18, 28)] {
            let mut wrong = reply.clone();
            wrong[place] = value;
            assert!(!answers(&wrong, PLAIN), "{place}");
        }
        assert!(!answers(&reply[..15], PLAIN));
        assert!(!answers(b"", PLAIN));
    }
}
