//! D-Bus messages as bytes (D-Bus specification, "Message Format"), as far as systemd's manager needs them.

/// A property of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// `s`
    Text(String),
    /// `b`
    Flag(bool),
    /// `t`
    Number(u64),
    /// `au`
    Numbers(Vec<u32>),
    /// `ay`
    Bytes(Vec<u8>),
    /// `a(ss)`
    Pairs(Vec<(String, String)>),
}

/// A name and its value.
pub(crate) type Property = (&'static str, Value);

/// What is being written: little-endian, every value aligned to its size.
#[derive(Default)]
pub(crate) struct Body {
    pub bytes: Vec<u8>,
    pub signature: String,
}

impl Body {
    fn align(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }

    fn put_u32(&mut self, value: u32) {
        self.align(4);
        self.bytes.extend(value.to_le_bytes());
    }

    fn put_text(&mut self, text: &str) {
        self.put_u32(text.len() as u32);
        self.bytes.extend(text.as_bytes());
        self.bytes.push(0);
    }

    fn put_signature(&mut self, text: &str) {
        self.bytes.push(text.len() as u8);
        self.bytes.extend(text.as_bytes());
        self.bytes.push(0);
    }

    /// An array: its length counts from its first element, which is aligned.
    fn put_array(&mut self, element: usize, fill: impl FnOnce(&mut Self)) {
        self.put_u32(0);
        let length = self.bytes.len() - 4;
        self.align(element);
        let start = self.bytes.len();
        fill(self);
        let size = (self.bytes.len() - start) as u32;
        self.bytes[length..length + 4].copy_from_slice(&size.to_le_bytes());
    }

    fn put_value(&mut self, value: &Value) {
        match value {
            Value::Text(text) => {
                self.put_signature("s");
                self.put_text(text);
            }
            Value::Flag(flag) => {
                self.put_signature("b");
                self.put_u32(u32::from(*flag));
            }
            Value::Number(number) => {
                self.put_signature("t");
                self.align(8);
                self.bytes.extend(number.to_le_bytes());
            }
            Value::Numbers(numbers) => {
                self.put_signature("au");
                self.put_array(4, |body| numbers.iter().for_each(|number| body.put_u32(*number)));
            }
            Value::Bytes(bytes) => {
                self.put_signature("ay");
                self.put_array(1, |body| body.bytes.extend(bytes));
            }
            Value::Pairs(pairs) => {
                self.put_signature("a(ss)");
                self.put_array(8, |body| {
                    for (first, second) in pairs {
                        body.align(8);
                        body.put_text(first);
                        body.put_text(second);
                    }
                });
            }
        }
    }

    /// An argument `s`.
    pub(crate) fn text(mut self, text: &str) -> Self {
        self.signature.push('s');
        self.put_text(text);
        self
    }

    /// An argument `b`.
    pub(crate) fn flag(mut self, flag: bool) -> Self {
        self.signature.push('b');
        self.put_u32(u32::from(flag));
        self
    }

    /// An argument `a(sv)`.
    pub(crate) fn properties(mut self, properties: &[Property]) -> Self {
        self.signature.push_str("a(sv)");
        self.put_array(8, |body| {
            for (name, value) in properties {
                body.align(8);
                body.put_text(name);
                body.put_value(value);
            }
        });
        self
    }

    /// An empty argument `a(sa(sv))`.
    pub(crate) fn no_units(mut self) -> Self {
        self.signature.push_str("a(sa(sv))");
        self.put_array(8, |_| {});
        self
    }
}

/// A call's bytes.
pub(crate) fn call(serial: u32, to: &str, path: &str, interface: &str, member: &str, body: &Body) -> Vec<u8> {
    let mut message = Body { bytes: vec![b'l', 1, 0, 1], ..Body::default() };
    message.put_u32(body.bytes.len() as u32);
    message.put_u32(serial);
    message.put_array(8, |header| {
        for (code, kind, text) in [(1, "o", path), (2, "s", interface), (3, "s", member), (6, "s", to)] {
            header.align(8);
            header.bytes.push(code);
            header.put_signature(kind);
            header.put_text(text);
        }
        if !body.signature.is_empty() {
            header.align(8);
            header.bytes.push(8);
            header.put_signature("g");
            header.put_signature(&body.signature);
        }
    });
    message.align(8);
    message.bytes.extend(&body.bytes);
    message.bytes
}

/// A received message, as far as it is looked at.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Received {
    /// 2 an answer, 3 an error, 4 a signal.
    pub kind: u8,
    /// Which call it answers.
    pub answers: u32,
    /// A signal's name.
    pub member: String,
    /// An error's name.
    pub error: String,
    pub body: Vec<u8>,
}

/// How long the message that begins so is; `None` if it is none that can be read.
pub(crate) fn length(head: &[u8; 16]) -> Option<usize> {
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize;
    let (body, fields) = (word(4), word(12));
    // The specification's limit of a message is 128 MiB; what systemd says is far below.
    let is_sane = head[0] == b'l' && body < 1 << 20 && fields < 1 << 20;
    is_sane.then(|| 16 + fields.next_multiple_of(8) + body)
}

/// Reads a whole message.
pub(crate) fn parse(bytes: &[u8]) -> Option<Received> {
    let mut received = Received { kind: *bytes.get(1)?, ..Received::default() };
    let mut reader = Reader { bytes, at: 12 };
    let end = reader.u32()? as usize + 16;
    while reader.at < end {
        reader.align(8);
        let code = reader.u8()?;
        let signature = reader.signature()?;
        match (code, signature.as_str()) {
            (3, "s") => received.member = reader.text()?,
            (4, "s") => received.error = reader.text()?,
            (_, "s" | "o") => drop(reader.text()?),
            (5, "u") => received.answers = reader.u32()?,
            (_, "u") => drop(reader.u32()?),
            (_, "g") => drop(reader.signature()?),
            _ => return None,
        }
    }
    reader.align(8);
    received.body = bytes.get(reader.at..)?.to_vec();
    Some(received)
}

/// Values of a body, in their order.
pub(crate) struct Reader<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
}

impl Reader<'_> {
    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn u8(&mut self) -> Option<u8> {
        self.at += 1;
        self.bytes.get(self.at - 1).copied()
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.align(4);
        let bytes = self.bytes.get(self.at..self.at + 4)?;
        self.at += 4;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    }

    fn words(&mut self, length: usize) -> Option<String> {
        let bytes = self.bytes.get(self.at..self.at.checked_add(length)?)?;
        self.at += length + 1;
        String::from_utf8(bytes.to_vec()).ok()
    }

    fn signature(&mut self) -> Option<String> {
        let length = self.u8()?;
        self.words(length.into())
    }

    pub(crate) fn text(&mut self) -> Option<String> {
        let length = self.u32()?;
        self.words(length as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that libdbus writes for `Hello`.
    #[test]
    fn a_call_is_as_the_specification_has_it() {
        let call = call(1, "o.f.D", "/o", "o.f.D", "Hello", &Body::default());
        let fields = b"\x01\x01o\0\x02\0\0\0/o\0\0\0\0\0\0\x02\x01s\0\x05\0\0\0o.f.D\0\0\0\x03\x01s\0\x05\0\0\0Hello\0\0\0\x06\x01s\0\x05\0\0\0o.f.D\0";
        let mut wanted = b"l\x01\0\x01\0\0\0\0\x01\0\0\0".to_vec();
        wanted.extend((fields.len() as u32).to_le_bytes());
        wanted.extend(fields);
        wanted.resize(wanted.len().next_multiple_of(8), 0);
        assert_eq!(call, wanted);
        assert_eq!(length(call[..16].try_into().unwrap()), Some(call.len()));
        assert_eq!(parse(&call).unwrap().member, "Hello");
    }

    #[test]
    fn values_are_aligned() {
        let body = Body::default().text("a").properties(&[
            ("N", Value::Number(7)),
            ("F", Value::Flag(true)),
            ("P", Value::Numbers(vec![9])),
        ]);
        assert_eq!(body.signature, "sa(sv)");
        let wanted = b"\x01\0\0\0a\0\0\0\x3c\0\0\0\0\0\0\0\
            \x01\0\0\0N\0\x01t\0\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\
            \x01\0\0\0F\0\x01b\0\0\0\0\x01\0\0\0\
            \x01\0\0\0P\0\x02au\0\0\0\x04\0\0\0\x09\0\0\0";
        assert_eq!(body.bytes, wanted);
    }

    #[test]
    fn torn_messages_are_none() {
        let call = call(1, "a.b", "/", "a.b", "C", &Body::default().text("x"));
        for end in 0..call.len() - 6 {
            let _ = parse(&call[..end]);
        }
        assert_eq!(length(&[0; 16]), None);
    }
}
