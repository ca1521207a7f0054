//! The keys that detach a client from a terminal, `ctrl-p,ctrl-q` by default.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::str::FromStr;

/// What detaches where nothing else is asked for.
pub const DEFAULT_DETACH_KEYS: &str = "ctrl-p,ctrl-q";

/// A key sequence: single characters, `ctrl-` with a letter or one of `@[\]^_`, or `DEL`, separated by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetachKeys(Vec<u8>);

/// Why a text is no key sequence, in Docker's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Invalid detach keys ({keys}) provided: Unknown character: '{key}'")]
pub struct KeysError {
    keys: String,
    key: String,
}

impl Default for DetachKeys {
    fn default() -> Self {
        Self(vec![16, 17])
    }
}

impl FromStr for DetachKeys {
    type Err = KeysError;

    fn from_str(text: &str) -> Result<Self, KeysError> {
        let byte = |key: &str| byte_of(key).ok_or_else(|| KeysError { keys: text.into(), key: key.into() });
        text.split(',').map(byte).collect::<Result<_, _>>().map(Self)
    }
}

fn byte_of(key: &str) -> Option<u8> {
    match (key.as_bytes(), key.strip_prefix("ctrl-").map(str::as_bytes)) {
        ([single], _) => Some(*single),
        (b"DEL", _) => Some(127),
        (_, Some([letter @ (b'a'..=b'z')])) => Some(letter - b'a' + 1),
        (_, Some(b"@")) => Some(0),
        (_, Some([sign @ (b'[' | b'\\' | b']' | b'^' | b'_')])) => Some(sign - b'@'),
        _ => None,
    }
}

/// Whether the sequence was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Go on.
    Nothing,
    /// The client wants to leave; what came after the keys is dropped.
    Detach,
}

/// Looks for the sequence in a stream, holding back what may be its beginning.
#[derive(Debug)]
pub struct Interpreter {
    keys: Vec<u8>,
    held: VecDeque<u8>,
}

impl Interpreter {
    /// For a stream that nothing was read of.
    pub fn new(keys: DetachKeys) -> Self {
        Self { keys: keys.0, held: VecDeque::new() }
    }

    /// Takes the next bytes; gives those that are for the process.
    pub fn feed<'a>(&mut self, bytes: &'a [u8]) -> (Found, Cow<'a, [u8]>) {
        if self.keys.is_empty() || (self.held.is_empty() && !bytes.contains(&self.keys[0])) {
            return (Found::Nothing, Cow::Borrowed(bytes));
        }
        let mut passed = Vec::with_capacity(bytes.len() + self.held.len());
        for byte in bytes {
            self.held.push_back(*byte);
            // The longest end of what came that begins the sequence stays held.
            while !self.keys.iter().zip(&self.held).all(|(key, held)| key == held) {
                passed.extend(self.held.pop_front());
            }
            if self.held.len() == self.keys.len() {
                self.held.clear();
                return (Found::Detach, Cow::Owned(passed));
            }
        }
        (Found::Nothing, Cow::Owned(passed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_names() {
        for (text, keys) in [
            ("ctrl-p,ctrl-q", vec![16, 17]),
            ("a", vec![97]),
            ("ctrl-@,x,DEL,ctrl-_", vec![0, 120, 127, 31]),
            ("ctrl-[,ctrl-\\,ctrl-],ctrl-^", vec![27, 28, 29, 30]),
        ] {
            assert_eq!(text.parse::<DetachKeys>().unwrap().0, keys);
        }
        assert_eq!(DEFAULT_DETACH_KEYS.parse::<DetachKeys>().unwrap(), DetachKeys::default());
        assert_eq!(
            "ctrl-p,shift-x".parse::<DetachKeys>().unwrap_err().to_string(),
            "Invalid detach keys (ctrl-p,shift-x) provided: Unknown character: 'shift-x'"
        );
        for bad in ["", "a,", "ctrl-A", "ctrl-ab", "é"] {
            assert!(bad.parse::<DetachKeys>().is_err(), "{bad}");
        }
    }

    fn interpret(keys: &str, pieces: &[&str]) -> (Found, String) {
        let mut interpreter = Interpreter::new(keys.parse().unwrap());
        let mut all = String::new();
        for piece in pieces {
            let (found, passed) = interpreter.feed(piece.as_bytes());
            all.push_str(std::str::from_utf8(&passed).unwrap());
            if found == Found::Detach {
                return (found, all);
            }
        }
        (Found::Nothing, all)
    }

    #[test]
    fn sequences_are_found_across_pieces() {
        assert_eq!(interpret("p,q", &["abpqx"]), (Found::Detach, "ab".into()));
        assert_eq!(interpret("p,q", &["ab", "p", "q"]), (Found::Detach, "ab".into()));
        assert_eq!(interpret("x", &["abx"]), (Found::Detach, "ab".into()));
        assert_eq!(interpret("p,p,q", &["pp", "pq"]), (Found::Detach, "p".into()));
    }

    #[test]
    fn other_bytes_pass() {
        assert_eq!(interpret("p,q", &["ab", "cd"]), (Found::Nothing, "abcd".into()));
        assert_eq!(interpret("p,q", &["ap", "xq", "p"]), (Found::Nothing, "apxq".into()));
        assert_eq!(interpret("p,q,r", &["ppqx"]), (Found::Nothing, "ppqx".into()));
    }
}
