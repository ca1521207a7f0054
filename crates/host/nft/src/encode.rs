//! A batch as netlink messages (`linux/netfilter/nf_tables.h`). All numbers are in network byte order.

use hull_netlink::{MessageBuilder, flags};

use crate::batch::{BaseChain, Batch, Chain, ChainKind, Change, Family, Hook, Policy, Rule};
use crate::expression::{
    CompareOperator, CtKey, Expression, FibResult, MetaKey, NatKind, PayloadBase, Register, Verdict,
};
use crate::set::{Datatype, Element, ElementData, Set, SetData};

const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const SUBSYSTEM: u16 = 10;

const NEWTABLE: u16 = 0;
const DELTABLE: u16 = 2;
const NEWCHAIN: u16 = 3;
const DELCHAIN: u16 = 5;
const NEWRULE: u16 = 6;
const DELRULE: u16 = 8;
const NEWSET: u16 = 9;
const DELSET: u16 = 11;
const NEWSETELEM: u16 = 12;
const DELSETELEM: u16 = 14;

/// So many elements fit one message: its list's length is told in 16 bits, and an element takes up to 120 bytes.
const ELEMENTS_PER_MESSAGE: usize = 500;

const TABLE_OWNER: u32 = 0x2;
const SET_HAS_INTERVALS: u32 = 0x4;
const SET_IS_MAP: u32 = 0x8;
const SET_IS_CONCATENATED: u32 = 0x80;
const ENDS_INTERVAL: u32 = 0x1;
const VERDICT_TYPE: u32 = 0xffff_ff00;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;

/// A message of a batch, and which change it is of.
pub(crate) struct Encoded {
    pub bytes: Vec<u8>,
    pub change: Option<usize>,
}

impl Batch {
    /// The batch as one datagram. Its messages are numbered from `sequence` on.
    pub fn encode(&self, sequence: u32) -> Vec<u8> {
        self.messages(sequence).into_iter().flat_map(|message| message.bytes).collect()
    }

    /// How many messages it takes.
    pub(crate) fn message_count(&self) -> usize {
        2 + self.changes.iter().map(messages_of).sum::<usize>()
    }

    pub(crate) fn messages(&self, sequence: u32) -> Vec<Encoded> {
        let mut builders = vec![(frame(BATCH_BEGIN), None)];
        for (number, change) in self.changes.iter().enumerate() {
            let before = builders.len();
            self.encode_change(number as u32, change, &mut |message| builders.push((message, Some(number))));
            debug_assert_eq!(builders.len() - before, messages_of(change));
        }
        // Errors are told anyway. One acknowledgement tells success from silence; one for every message would
        // overflow the receive buffer.
        if let Some((last, Some(_))) = builders.last_mut() {
            last.add_flags(flags::ACK);
        }
        builders.push((frame(BATCH_END), None));
        let number = |((message, change), sequence): ((MessageBuilder, _), u32)| Encoded {
            bytes: message.finish(sequence),
            change,
        };
        builders.into_iter().zip(sequence..).map(number).collect()
    }

    fn encode_change(&self, number: u32, change: &Change, push: &mut dyn FnMut(MessageBuilder)) {
        match change {
            Change::AddTable => push(self.named(NEWTABLE, flags::CREATE, 1, &self.table)),
            Change::AddOwnedTable => {
                let mut message = self.named(NEWTABLE, flags::CREATE, 1, &self.table);
                message.be32(2, TABLE_OWNER);
                push(message);
            }
            Change::DeleteTable => push(self.named(DELTABLE, 0, 1, &self.table)),
            Change::AddChain(value) => push(self.chain(value)),
            Change::AddIngressChain { name, interface } => push(self.ingress_chain(name, interface)),
            Change::FlushChain(name) => push(self.in_table(DELRULE, 0, 2, name)),
            Change::DeleteChain(name) => push(self.in_table(DELCHAIN, 0, 3, name)),
            Change::AddRule(value) => push(self.rule(value)),
            Change::AddSet(set) => push(self.set(set, number)),
            Change::DeleteSet(name) => push(self.in_table(DELSET, 0, 2, name)),
            Change::AddElements(set, elements) => {
                elements.chunks(ELEMENTS_PER_MESSAGE).for_each(|some| {
                    push(self.elements(NEWSETELEM, flags::CREATE, set, some));
                });
            }
            Change::DeleteElements(set, elements) => {
                elements
                    .chunks(ELEMENTS_PER_MESSAGE)
                    .for_each(|some| push(self.elements(DELSETELEM, 0, set, some)));
            }
            Change::FlushSet(name) => push(self.in_table(DELSETELEM, 0, 2, name)),
        }
    }

    fn message(&self, kind: u16, flags: u16) -> MessageBuilder {
        let family = match self.family {
            Family::Inet => 1,
            Family::Ipv4 => 2,
            Family::Ipv6 => 10,
            Family::Netdev => 5,
        };
        let mut message = MessageBuilder::new(SUBSYSTEM << 8 | kind, flags);
        message.header(&[family, 0, 0, 0]);
        message
    }

    fn named(&self, kind: u16, flags: u16, attribute: u16, name: &str) -> MessageBuilder {
        let mut message = self.message(kind, flags);
        message.text(attribute, name);
        message
    }

    /// In rules, chains, sets and element lists, attribute 1 is the table.
    fn in_table(&self, kind: u16, flags: u16, attribute: u16, name: &str) -> MessageBuilder {
        let mut message = self.named(kind, flags, 1, &self.table);
        message.text(attribute, name);
        message
    }

    fn chain(&self, chain: &Chain) -> MessageBuilder {
        let mut message = self.in_table(NEWCHAIN, flags::CREATE, 3, &chain.name);
        if let Some(BaseChain { kind, hook, priority, policy }) = chain.base {
            message.nest(4, |nested| {
                nested.be32(1, hook_number(hook)).be32(2, priority as u32);
            });
            message.be32(5, if policy == Policy::Accept { 1 } else { 0 });
            message.text(7, if kind == ChainKind::Filter { "filter" } else { "nat" });
        }
        message
    }

    fn ingress_chain(&self, name: &str, interface: &str) -> MessageBuilder {
        let mut message = self.in_table(NEWCHAIN, flags::CREATE, 3, name);
        message.nest(4, |nested| {
            nested.be32(1, 0).be32(2, 0).text(3, interface);
        });
        message.text(7, "filter");
        message
    }

    fn rule(&self, rule: &Rule) -> MessageBuilder {
        let mut message = self.in_table(NEWRULE, flags::CREATE | flags::APPEND, 2, &rule.chain);
        message.nest(4, |list| {
            for expression in &rule.expressions {
                list.nest(1, |element| encode_expression(element, expression));
            }
        });
        if !rule.comment.is_empty() {
            message.bytes(7, &comment(&rule.comment));
        }
        message
    }

    fn set(&self, set: &Set, id: u32) -> MessageBuilder {
        let mut message = self.in_table(NEWSET, flags::CREATE, 2, &set.name);
        let parted = set.intervals && set.key.len() > 1;
        let flags = [
            (set.intervals, SET_HAS_INTERVALS),
            (set.data.is_some(), SET_IS_MAP),
            (parted, SET_IS_CONCATENATED),
        ];
        message.be32(3, flags.into_iter().filter(|(is, _)| *is).map(|(_, flag)| flag).sum());
        message.be32(4, type_number(&set.key)).be32(5, value_length(&set.key));
        match &set.data {
            Some(SetData::Values(parts)) => {
                message.be32(6, type_number(parts)).be32(7, value_length(parts));
            }
            Some(SetData::Verdicts) => {
                message.be32(6, VERDICT_TYPE);
            }
            None => {}
        }
        if parted {
            // The description has the length of each part.
            message.nest(9, |description| {
                description.nest(2, |parts| {
                    for part in &set.key {
                        parts.nest(1, |field| {
                            field.be32(1, part.length());
                        });
                    }
                });
            });
        }
        message.be32(10, id + 1);
        message.bytes(13, &byte_orders(set));
        message
    }

    fn elements(&self, kind: u16, flags: u16, set: &Set, elements: &[Element]) -> MessageBuilder {
        let mut message = self.in_table(kind, flags, 2, &set.name);
        message.nest(3, |list| {
            for element in elements {
                let several = set.key.len() > 1;
                list.nest(1, |item| {
                    encode_key(item, 1, &element.key);
                    if let Some(last) = element.last.as_ref().filter(|_| several) {
                        encode_key(item, 10, last);
                    }
                    encode_data(item, element.data.as_ref());
                });
                // A lone part's range ends by an element of its own: the first key behind it, if there is one.
                if let Some(behind) = element.last.as_deref().filter(|_| !several).and_then(next_key) {
                    list.nest(1, |item| {
                        encode_key(item, 1, &behind);
                        item.be32(3, ENDS_INTERVAL);
                    });
                }
            }
        });
        message
    }
}

fn messages_of(change: &Change) -> usize {
    match change {
        Change::AddElements(_, elements) | Change::DeleteElements(_, elements) => {
            elements.len().div_ceil(ELEMENTS_PER_MESSAGE)
        }
        _ => 1,
    }
}

fn frame(kind: u16) -> MessageBuilder {
    let mut message = MessageBuilder::new(kind, 0);
    let [high, low] = SUBSYSTEM.to_be_bytes();
    message.header(&[0, 0, high, low]);
    message
}

fn hook_number(hook: Hook) -> u32 {
    match hook {
        Hook::Prerouting => 0,
        Hook::Input => 1,
        Hook::Forward => 2,
        Hook::Output => 3,
        Hook::Postrouting => 4,
    }
}

/// `nft` tells concatenations by six bits a part.
fn type_number(parts: &[Datatype]) -> u32 {
    parts.iter().fold(0, |number, part| number << 6 | part.number())
}

fn value_length(parts: &[Datatype]) -> u32 {
    match parts {
        [only] => only.length(),
        several => several.iter().map(|part| part.length().next_multiple_of(4)).sum(),
    }
}

/// User data that `nft list` reads to print keys and data: type, length, 1 for the host's order and 2 for the
/// network's.
fn byte_orders(set: &Set) -> Vec<u8> {
    let order = |parts: &[Datatype]| match parts {
        [only] if only.is_host_order() => 1u32,
        [_] => 2,
        _ => 0,
    };
    let mut bytes = vec![0, 4];
    bytes.extend(order(&set.key).to_ne_bytes());
    if let Some(SetData::Values(parts)) = &set.data {
        bytes.extend([1, 4]);
        bytes.extend(order(parts).to_ne_bytes());
    }
    bytes
}

/// User data of a rule: type 0, length, NUL-terminated text.
fn comment(text: &str) -> Vec<u8> {
    let text = &text.as_bytes()[..text.len().min(120)];
    let mut bytes = vec![0, text.len() as u8 + 1];
    bytes.extend_from_slice(text);
    bytes.push(0);
    bytes
}

fn encode_key(item: &mut MessageBuilder, attribute: u16, key: &[u8]) {
    item.nest(attribute, |value| {
        value.bytes(DATA_VALUE, key);
    });
}

/// The key that follows, as a number of the network's byte order.
fn next_key(key: &[u8]) -> Option<Vec<u8>> {
    let place = key.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut next = key.to_vec();
    next[place] += 1;
    next[place + 1..].fill(0);
    Some(next)
}

fn encode_data(item: &mut MessageBuilder, data: Option<&ElementData>) {
    match data {
        None => {}
        Some(ElementData::Value(bytes)) => {
            item.nest(2, |data| {
                data.bytes(DATA_VALUE, bytes);
            });
        }
        Some(ElementData::Verdict(verdict)) => {
            item.nest(2, |data| encode_verdict(data, verdict));
        }
    }
}

fn encode_verdict(data: &mut MessageBuilder, verdict: &Verdict) {
    let (code, chain) = match verdict {
        Verdict::Drop => (0, None),
        Verdict::Accept => (1, None),
        Verdict::Jump(chain) => (-3, Some(chain)),
        Verdict::Goto(chain) => (-4, Some(chain)),
        Verdict::Return => (-5, None),
    };
    data.nest(DATA_VERDICT, |nested| {
        nested.be32(1, code as u32);
        if let Some(chain) = chain {
            nested.text(2, chain);
        }
    });
}

/// `NFT_REG32_00` is 8; 0 is the verdict.
fn register(register: Register) -> u32 {
    8 + u32::from(register.0)
}

fn constant(message: &mut MessageBuilder, attribute: u16, value: &[u8]) {
    message.nest(attribute, |data| {
        data.bytes(DATA_VALUE, value);
    });
}

/// An expression is its name (1) and its attributes (2).
fn encode_expression(element: &mut MessageBuilder, expression: &Expression) {
    let name = match expression {
        Expression::Meta { .. } | Expression::StoreMeta { .. } => "meta",
        Expression::Payload { .. } | Expression::StorePayload { .. } => "payload",
        Expression::Ct { .. } => "ct",
        Expression::Fib { .. } => "fib",
        Expression::Compare { .. } => "cmp",
        Expression::Mask { .. } => "bitwise",
        Expression::Lookup { .. } | Expression::VerdictMap { .. } => "lookup",
        Expression::Immediate { .. } | Expression::Verdict(_) => "immediate",
        Expression::Nat { .. } => "nat",
        Expression::Masquerade => "masq",
        Expression::Duplicate { .. } => "dup",
        Expression::Forward { .. } => "fwd",
        Expression::Counter => "counter",
    };
    element.text(1, name).nest(2, |data| encode_attributes(data, expression));
}

fn encode_attributes(data: &mut MessageBuilder, expression: &Expression) {
    match expression {
        Expression::Meta { key, to } => data.be32(1, register(*to)).be32(2, meta_number(*key)),
        Expression::StoreMeta { key, from } => data.be32(2, meta_number(*key)).be32(3, register(*from)),
        Expression::Payload { base, offset, length, to } => {
            data.be32(1, register(*to)).be32(2, base_number(*base)).be32(3, *offset).be32(4, *length)
        }
        Expression::StorePayload { base, offset, length, from, checksum } => {
            data.be32(2, base_number(*base)).be32(3, *offset).be32(4, *length).be32(5, register(*from));
            match checksum {
                Some(checksum) => data.be32(6, 1).be32(7, *checksum),
                None => data,
            }
        }
        Expression::Ct { key, to } => {
            let key = match key {
                CtKey::State => 0,
                CtKey::Direction => 1,
                CtKey::Status => 2,
            };
            data.be32(1, register(*to)).be32(2, key)
        }
        Expression::Fib { result: FibResult::DestinationAddressType, to } => {
            // Result 3 is the address's type, flag 2 the destination address.
            data.be32(1, register(*to)).be32(2, 3).be32(3, 2)
        }
        Expression::Compare { operator, from, value } => {
            data.be32(1, register(*from)).be32(2, if *operator == CompareOperator::Equal { 0 } else { 1 });
            constant(data, 3, value);
            data
        }
        Expression::Mask { from, to, mask } => {
            data.be32(1, register(*from)).be32(2, register(*to)).be32(3, mask.len() as u32);
            constant(data, 4, mask);
            constant(data, 5, &vec![0; mask.len()]);
            data
        }
        Expression::Lookup { set, from, to, inverted } => {
            data.text(1, set).be32(2, register(*from));
            if let Some(to) = to {
                data.be32(3, register(*to));
            }
            if *inverted { data.be32(5, 1) } else { data }
        }
        Expression::VerdictMap { set, from } => data.text(1, set).be32(2, register(*from)).be32(3, 0),
        Expression::Immediate { to, value } => {
            data.be32(1, register(*to));
            constant(data, 2, value);
            data
        }
        Expression::Verdict(verdict) => data.be32(1, 0).nest(2, |nested| encode_verdict(nested, verdict)),
        Expression::Nat { kind, ipv6, address, port } => {
            data.be32(1, if *kind == NatKind::Source { 0 } else { 1 });
            data.be32(2, if *ipv6 { 10 } else { 2 }).be32(3, register(*address));
            if let Some(port) = port { data.be32(5, register(*port)) } else { data }
        }
        Expression::Masquerade => data,
        Expression::Duplicate { to, interface } => data.be32(1, register(*to)).be32(2, register(*interface)),
        Expression::Forward { interface } => data.be32(1, register(*interface)),
        Expression::Counter => data.bytes(1, &[0; 8]).bytes(2, &[0; 8]),
    };
}

fn base_number(base: PayloadBase) -> u32 {
    match base {
        PayloadBase::Link => 0,
        PayloadBase::Network => 1,
        PayloadBase::Transport => 2,
    }
}

fn meta_number(key: MetaKey) -> u32 {
    match key {
        MetaKey::Protocol => 1,
        MetaKey::PacketType => 19,
        MetaKey::Mark => 3,
        MetaKey::InInterfaceName => 6,
        MetaKey::OutInterfaceName => 7,
        MetaKey::NfProtocol => 15,
        MetaKey::L4Protocol => 16,
        MetaKey::InInterfaceKind => 26,
        MetaKey::OutInterfaceKind => 27,
    }
}
