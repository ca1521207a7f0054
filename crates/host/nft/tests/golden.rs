//! Batches to bytes. The expected bytes are written out by attribute, after `linux/netfilter/nf_tables.h`.
#![allow(clippy::unwrap_used)]

use std::net::Ipv4Addr;

use hull_nft::{Batch, Change, Datatype, Element, Family, RuleBuilder, Set, Value};

/// A message: length, type, flags, sequence, port, and `nfgenmsg` of family inet, with the body.
fn message(kind: u8, flags: u16, sequence: u8, body: &[u8]) -> Vec<u8> {
    let [low, high] = flags.to_le_bytes();
    let length = (20 + body.len()) as u16;
    let [l0, l1] = length.to_le_bytes();
    let mut bytes = vec![l0, l1, 0, 0, kind, 10, low, high, sequence, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];
    bytes.extend_from_slice(body);
    bytes
}

fn attribute(kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = ((payload.len() + 4) as u16).to_le_bytes().to_vec();
    bytes.extend(kind.to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn nested(kind: u16, parts: &[Vec<u8>]) -> Vec<u8> {
    attribute(kind | 0x8000, &parts.concat())
}

fn number(kind: u16, value: u32) -> Vec<u8> {
    attribute(kind, &value.to_be_bytes())
}

fn framed(sequence: u8, messages: &[Vec<u8>]) -> Vec<u8> {
    let frame =
        |kind: u8, sequence: u8| vec![20, 0, 0, 0, kind, 0, 1, 0, sequence, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10];
    let end = frame(0x11, sequence + 1 + messages.len() as u8);
    [frame(0x10, sequence), messages.concat(), end].concat()
}

#[test]
#[cfg(target_endian = "little")]
fn a_map_element() {
    let map = Set::map("m", &[Datatype::Protocol, Datatype::Port], &[Datatype::Ipv4Address, Datatype::Port]);
    let key = Value::new().protocol(6).port(8080);
    let element = Element::with_value(&map, key, Value::new().ipv4(Ipv4Addr::new(10, 0, 0, 2)).port(80));
    let mut batch = Batch::new(Family::Inet, "t");
    batch.push(Change::AddElements(map, vec![element]));
    let key = nested(1, &[attribute(1, &[6, 0, 0, 0, 0x1f, 0x90, 0, 0])]);
    let data = nested(2, &[attribute(1, &[10, 0, 0, 2, 0, 80, 0, 0])]);
    let list = nested(3, &[nested(1, &[key, data])]);
    let body = [attribute(1, b"t\0"), attribute(2, b"m\0"), list].concat();
    // REQUEST, ACK (it is the last change) and CREATE.
    assert_eq!(batch.encode(7), framed(7, &[message(12, 0x405, 8, &body)]));
}

#[test]
#[cfg(target_endian = "little")]
fn a_rule() {
    let mut batch = Batch::new(Family::Inet, "t");
    batch.push(Change::AddTable);
    batch.push(RuleBuilder::new("c").destination(Ipv4Addr::new(127, 0, 0, 0).into(), 8).comment("x").drop());
    let expression =
        |name: &[u8], attributes: &[Vec<u8>]| nested(1, &[attribute(1, name), nested(2, attributes)]);
    let value = |kind, bytes: &[u8]| nested(kind, &[attribute(1, bytes)]);
    let expressions = [
        expression(b"payload\0", &[number(1, 8), number(2, 1), number(3, 16), number(4, 4)]),
        expression(
            b"bitwise\0",
            &[number(1, 8), number(2, 8), number(3, 4), value(4, &[255, 0, 0, 0]), value(5, &[0; 4])],
        ),
        expression(b"cmp\0", &[number(1, 8), number(2, 0), value(3, &[127, 0, 0, 0])]),
        expression(b"immediate\0", &[number(1, 0), nested(2, &[nested(2, &[number(1, 0)])])]),
    ];
    let body =
        [attribute(1, b"t\0"), attribute(2, b"c\0"), nested(4, &expressions), attribute(7, &[0, 2, b'x', 0])];
    let table = message(0, 0x401, 2, &attribute(1, b"t\0"));
    assert_eq!(batch.encode(1), framed(1, &[table, message(6, 0xc05, 3, &body.concat())]));
}
