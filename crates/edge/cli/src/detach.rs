//! The keys that leave a container's terminal without ending it.

/// Looks for the keys in what is typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetachKeys {
    keys: Vec<u8>,
    matched: usize,
}

/// Ctrl-p, ctrl-q.
const DEFAULT: [u8; 2] = [16, 17];

impl DetachKeys {
    /// Of Docker's notation: letters and `ctrl-X`, with commas between. The usual ones where it is empty.
    pub fn parse(text: &str) -> Result<Self, String> {
        let keys = match text {
            "" => DEFAULT.to_vec(),
            text => text.split(',').map(key).collect::<Result<_, _>>()?,
        };
        Ok(Self { keys, matched: 0 })
    }

    /// What of `typed` goes to the container, and whether the keys were all typed. Keys that may be the begin of
    /// the sequence are held back until it is clear that they aren't.
    pub fn filter(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut out = Vec::with_capacity(typed.len() + self.matched);
        for byte in typed {
            if *byte == self.keys[self.matched] {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    self.matched = 0;
                    return (out, true);
                }
                continue;
            }
            out.extend_from_slice(&self.keys[..self.matched]);
            self.matched = 0;
            if *byte == self.keys[0] && self.keys.len() > 1 {
                self.matched = 1;
            } else {
                out.push(*byte);
            }
        }
        (out, false)
    }
}

fn key(name: &str) -> Result<u8, String> {
    let letters = name.as_bytes();
    if let [letter] = letters {
        return Ok(*letter);
    }
    let control = name.to_ascii_lowercase();
    match control.strip_prefix("ctrl-").map(str::as_bytes) {
        Some([letter @ b'a'..=b'z']) => Ok(letter - b'a' + 1),
        Some(b"@") => Ok(0),
        Some(b"[") => Ok(27),
        Some(b"\\") => Ok(28),
        Some(b"]") => Ok(29),
        Some(b"^") => Ok(30),
        Some(b"_") => Ok(31),
        _ => Err(format!("unknown character: '{name}'")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_found_across_pieces_and_nothing_else_is_lost() {
        let mut keys = DetachKeys::parse("").unwrap();
        assert_eq!(keys.filter(b"ab\x10"), (b"ab".to_vec(), false));
        assert_eq!(keys.filter(b"c"), (b"\x10c".to_vec(), false));
        assert_eq!(keys.filter(b"\x10\x10\x11rest"), (b"\x10".to_vec(), true));
        let mut own = DetachKeys::parse("ctrl-],q").unwrap();
        assert_eq!(own.filter(b"x\x1dqy"), (b"x".to_vec(), true));
        let mut single = DetachKeys::parse("a").unwrap();
        assert_eq!(single.filter(b"bab"), (b"b".to_vec(), true));
        assert!(DetachKeys::parse("foo").is_err());
    }
}
