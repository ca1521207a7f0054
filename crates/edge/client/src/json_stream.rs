//! Streams of JSON values, with whatever white space (or record separator) stands between them.

use crate::{Error, Response, Result};
use serde::de::DeserializeOwned;
use std::marker::PhantomData;

/// Values cut out of bytes that arrive in any pieces.
#[derive(Debug)]
pub struct DecodedMessages<T> {
    buffer: Vec<u8>,
    kind: PhantomData<fn() -> T>,
}

impl<T> Default for DecodedMessages<T> {
    fn default() -> Self {
        Self { buffer: Vec::new(), kind: PhantomData }
    }
}

impl<T: DeserializeOwned> DecodedMessages<T> {
    /// More bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }
    /// The next whole value, if there is one.
    pub fn next_value(&mut self) -> serde_json::Result<Option<T>> {
        let skip = self.buffer.iter().take_while(|b| b.is_ascii_whitespace() || **b == 0x1e).count();
        self.buffer.drain(..skip);
        let mut values = serde_json::Deserializer::from_slice(&self.buffer).into_iter::<T>();
        match values.next() {
            Some(Ok(value)) => {
                let used = values.byte_offset();
                self.buffer.drain(..used);
                Ok(Some(value))
            }
            Some(Err(error)) if error.is_eof() => Ok(None),
            Some(Err(error)) => Err(error),
            None => Ok(None),
        }
    }
    /// Whether part of a value is waiting for its rest.
    pub fn is_empty(&self) -> bool {
        self.buffer.iter().all(|b| b.is_ascii_whitespace() || *b == 0x1e)
    }
}

/// The values of an answer's body as they arrive.
#[derive(Debug)]
pub struct JsonStream<T> {
    response: Response,
    decoded: DecodedMessages<T>,
}

impl<T: DeserializeOwned> JsonStream<T> {
    pub(crate) fn new(response: Response) -> Self {
        Self { response, decoded: DecodedMessages::default() }
    }

    /// The next value; `None` at the end. Dropping the future loses nothing that arrived.
    pub async fn next(&mut self) -> Result<Option<T>> {
        loop {
            match self.decoded.next_value() {
                Ok(Some(value)) => return Ok(Some(value)),
                Ok(None) => {}
                Err(source) => return Err(Error::Decode { path: self.response.path().into(), source }),
            }
            match self.response.chunk().await? {
                Some(bytes) => self.decoded.push(&bytes),
                None if self.decoded.is_empty() => return Ok(None),
                None => {
                    let source = std::io::ErrorKind::UnexpectedEof.into();
                    return Err(Error::Stream { act: "reading a stream of messages", source });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_in_any_pieces() {
        let text = "{\"a\":1}\r\n\x1e{\"a\":2}{\"a\":3}\n";
        for size in 1..text.len() {
            let mut decoded = DecodedMessages::<serde_json::Value>::default();
            let mut got = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                decoded.push(piece);
                while let Some(value) = decoded.next_value().unwrap() {
                    got.push(value["a"].as_i64().unwrap());
                }
            }
            assert_eq!(got, [1, 2, 3]);
            assert!(decoded.is_empty());
        }
    }
}
