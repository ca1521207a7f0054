//! Messages as bytes.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest message, in bytes.
pub const MESSAGE_LIMIT: usize = 4 << 20;

const PREFIX: usize = 4;

/// Appends a message to `out`.
///
/// # Errors
/// When it has no JSON form (a path that is no UTF-8) or is longer than [`MESSAGE_LIMIT`]; `out` is as before then.
pub fn encode<T: Serialize>(message: &T, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX]);
    let written = serde_json::to_writer(&mut *out, message);
    let length = out.len() - start - PREFIX;
    if let Err(source) = written {
        out.truncate(start);
        return Err(EncodeError::Json(source));
    }
    if length > MESSAGE_LIMIT {
        out.truncate(start);
        return Err(EncodeError::TooLong(length));
    }
    out[start..start + PREFIX].copy_from_slice(&(length as u32).to_le_bytes());
    Ok(())
}

/// Why a message cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// No JSON form.
    #[error("cannot write a message as JSON: {0}")]
    Json(#[source] serde_json::Error),
    /// Longer than allowed.
    #[error("a message of {0} bytes is too long: {MESSAGE_LIMIT} are allowed")]
    TooLong(usize),
}

/// Why what was received is no message; the connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The length is over the limit.
    #[error("a message of {0} bytes was announced: {MESSAGE_LIMIT} are allowed")]
    TooLong(usize),
    /// The text is no message.
    #[error("malformed message: {0}")]
    Json(#[source] serde_json::Error),
}

/// Gathers bytes as they come and gives out messages.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    taken: usize,
}

impl Decoder {
    /// Adds received bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next message, `None` when it is not whole yet.
    pub fn decode<T: DeserializeOwned>(&mut self) -> Result<Option<T>, DecodeError> {
        let rest = &self.bytes[self.taken..];
        let Some((prefix, rest)) = rest.split_first_chunk::<PREFIX>() else {
            self.release();
            return Ok(None);
        };
        let length = u32::from_le_bytes(*prefix) as usize;
        if length > MESSAGE_LIMIT {
            return Err(DecodeError::TooLong(length));
        }
        let Some(text) = rest.get(..length) else { return Ok(None) };
        let message = serde_json::from_slice(text).map_err(DecodeError::Json)?;
        self.taken += PREFIX + length;
        Ok(Some(message))
    }

    /// What came after the last message given out: on an attached connection the stream's first bytes.
    pub fn into_rest(mut self) -> Vec<u8> {
        self.bytes.split_off(self.taken)
    }

    // An idle connection holds no buffer.
    fn release(&mut self) {
        if self.taken == self.bytes.len() {
            self.bytes = Vec::new();
            self.taken = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Call, Request};

    fn kill(id: u64) -> Call {
        Call { id, request: Request::Kill { signal: 9, all: false, exec_id: None } }
    }

    #[test]
    fn messages_come_through_in_any_pieces() {
        let mut bytes = Vec::new();
        for id in 0..20 {
            encode(&kill(id), &mut bytes).unwrap();
        }
        bytes.extend_from_slice(b"\x05\0");
        for size in [1, 2, 3, 7, 50, 4096] {
            let mut decoder = Decoder::default();
            let mut seen = 0;
            for piece in bytes.chunks(size) {
                decoder.push(piece);
                while let Some(call) = decoder.decode::<Call>().unwrap() {
                    assert_eq!(call.id, seen);
                    seen += 1;
                }
            }
            assert_eq!(seen, 20);
            assert_eq!(decoder.into_rest(), b"\x05\0");
        }
    }

    #[test]
    fn bad_messages_are_refused() {
        let mut decoder = Decoder::default();
        decoder.push(&(MESSAGE_LIMIT as u32 + 1).to_le_bytes());
        assert!(matches!(decoder.decode::<Call>(), Err(DecodeError::TooLong(_))));
        let mut decoder = Decoder::default();
        decoder.push(b"\x04\0\0\0null");
        assert!(matches!(decoder.decode::<Call>(), Err(DecodeError::Json(_))));
        let mut out = b"kept".to_vec();
        assert!(encode(&"x".repeat(MESSAGE_LIMIT), &mut out).is_err());
        assert_eq!(out, b"kept");
    }

    #[test]
    fn the_wire_form_is_stable() {
        let mut bytes = Vec::new();
        encode(&kill(7), &mut bytes).unwrap();
        assert_eq!(&bytes[4..], br#"{"id":7,"request":{"kill":{"signal":9,"all":false}}}"#);
        bytes.clear();
        encode(&Call { id: 1, request: Request::Start }, &mut bytes).unwrap();
        assert_eq!(&bytes[4..], br#"{"id":1,"request":"start"}"#);
    }
}
