//! Reading netlink attributes (`struct nlattr`) without trusting their lengths.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The bits of an attribute's type that are flags: nested, and network byte order.
const TYPE_MASK: u16 = 0x3fff;
const HEADER: usize = 4;

/// One attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Its type, without the flag bits.
    pub kind: u16,
    /// Its payload.
    pub payload: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// The payload as the host's `u32`.
    pub fn u32(&self) -> Option<u32> {
        Some(u32::from_ne_bytes(self.payload.try_into().ok()?))
    }

    /// The payload as the host's `u8`.
    pub fn u8(&self) -> Option<u8> {
        self.payload.first().copied()
    }

    /// The payload as text, up to its NUL.
    pub fn text(&self) -> Option<&'a str> {
        let end = self.payload.iter().position(|byte| *byte == 0).unwrap_or(self.payload.len());
        std::str::from_utf8(&self.payload[..end]).ok()
    }

    /// The payload as an IPv4 or IPv6 address, by its length.
    pub fn address(&self) -> Option<IpAddr> {
        if let Ok(bytes) = <[u8; 4]>::try_from(self.payload) {
            return Some(Ipv4Addr::from(bytes).into());
        }
        <[u8; 16]>::try_from(self.payload).ok().map(|bytes| Ipv6Addr::from(bytes).into())
    }

    /// The attributes nested in it.
    pub fn nested(&self) -> Attributes<'a> {
        Attributes::new(self.payload)
    }
}

/// The attributes in a stretch of bytes. Ends at the first that claims more than there is.
#[derive(Debug, Clone)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    /// Of these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The first attribute of that type.
    pub fn find_kind(&self, kind: u16) -> Option<Attribute<'a>> {
        self.clone().find(|attribute| attribute.kind == kind)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        let header = self.rest.first_chunk::<HEADER>()?;
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & TYPE_MASK;
        let Some(payload) = self.rest.get(HEADER..length) else {
            self.rest = &[];
            return None;
        };
        self.rest = self.rest.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some(Attribute { kind, payload })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MessageBuilder;

    #[test]
    fn what_is_built_is_read_back() {
        let mut message = MessageBuilder::new(1, 0);
        message.text(3, "eth0").u32(4, 1500).nest(18, |nested| {
            nested.text(1, "bridge").bytes(2, &[1, 2, 3]);
        });
        let bytes = message.finish(0);
        let attributes = Attributes::new(&bytes[16..]);
        assert_eq!(attributes.find_kind(3).unwrap().text(), Some("eth0"));
        assert_eq!(attributes.find_kind(4).unwrap().u32(), Some(1500));
        let nested = attributes.find_kind(18).unwrap().nested();
        assert_eq!(nested.find_kind(2).unwrap().payload, [1, 2, 3]);
        assert_eq!(attributes.count(), 3);
    }

    #[test]
    fn lying_lengths_end_the_iteration() {
        let torn: [&[u8]; 6] = [
            &[],
            &[8, 0, 1],
            &[0, 0, 1, 0],             // length smaller than its own header
            &[3, 0, 1, 0, 9, 9, 9, 9], // the same
            &[9, 0, 1, 0, 9, 9, 9, 9], // one byte more than there is
            &[255, 255, 1, 0, 9],
        ];
        for bytes in torn {
            assert_eq!(Attributes::new(bytes).count(), 0, "{bytes:?}");
        }
        // A last attribute may lack its padding.
        assert_eq!(Attributes::new(&[5, 0, 1, 0, 7]).next().unwrap().payload, [7]);
    }
}
