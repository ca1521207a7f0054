//! Extended headers: records `LENGTH KEY=VALUE\n` (POSIX.1-2017 `pax`, "pax Extended Header").

use crate::entry::Time;
use crate::sparse;
use std::collections::BTreeMap;

/// What extended headers say of the next member, or of all that follow.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pax {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<i64>,
    pub gid: Option<i64>,
    pub mtime: Option<Time>,
    pub atime: Option<Time>,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub sparse: Option<Box<sparse::Records>>,
}

const XATTR: &[u8] = b"SCHILY.xattr.";

impl Pax {
    /// Takes in the records of one extended header. In a global header only what concerns no member's extent or
    /// place is accepted: readers differ on the rest, and where readers differ content can be smuggled.
    pub fn read(&mut self, data: &[u8], global: bool) -> Result<(), String> {
        let mut rest = data;
        while !rest.is_empty() {
            let (key, value, after) = record(rest)?;
            if global && (matches!(key, b"path" | b"linkpath" | b"size") || key.starts_with(sparse::KEY)) {
                return Err(format!("a global header sets {}", crate::error::lossy(key)));
            }
            self.set(key, value)?;
            rest = after;
        }
        Ok(())
    }

    // An empty value takes an earlier one back (POSIX), so that the plain header counts.
    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        let wrong = || format!("extended header: {} has a value that can't be", crate::error::lossy(key));
        let name = |value: &[u8]| match value {
            [] => Ok(None),
            value if value.contains(&0) => Err(wrong()),
            value => Ok(Some(value.to_vec())),
        };
        let number = |value: &[u8]| match value {
            [] => Ok(None),
            value => decimal(value).map(Some).ok_or_else(wrong),
        };
        let time = |value: &[u8]| match value {
            [] => Ok(None),
            value => parse_time(value).map(Some).ok_or_else(wrong),
        };
        match key {
            b"path" => self.path = name(value)?,
            b"linkpath" => self.link = name(value)?,
            b"size" => self.size = number(value)?.map(|size| size as u64),
            b"uid" => self.uid = number(value)?,
            b"gid" => self.gid = number(value)?,
            b"mtime" => self.mtime = time(value)?,
            b"atime" => self.atime = time(value)?,
            key if key.starts_with(sparse::KEY) => {
                let records = self.sparse.get_or_insert_default();
                records.set(&key[sparse::KEY.len()..], value).ok_or_else(wrong)?;
            }
            key => {
                if let Some(xattr) = key.strip_prefix(XATTR) {
                    if xattr.is_empty() || xattr.contains(&0) {
                        return Err(wrong());
                    }
                    self.xattrs.insert(xattr.to_vec(), value.to_vec());
                }
            }
        }
        Ok(())
    }
}

// A key, its value, and what comes after them.
type Record<'a> = (&'a [u8], &'a [u8], &'a [u8]);

// The first record of `data`.
fn record(data: &[u8]) -> Result<Record<'_>, String> {
    let wrong = || "malformed extended header".to_owned();
    // A length of more than 20 digits is none.
    let space = data.iter().take(21).position(|byte| *byte == b' ').ok_or_else(wrong)?;
    let length = decimal(&data[..space]).and_then(|length| usize::try_from(length).ok()).ok_or_else(wrong)?;
    if length > data.len() || length < space + 3 {
        return Err(wrong());
    }
    let (record, rest) = data.split_at(length);
    let body = record[space + 1..].strip_suffix(b"\n").ok_or_else(wrong)?;
    let equals = body.iter().position(|byte| *byte == b'=').ok_or_else(wrong)?;
    let (key, value) = (&body[..equals], &body[equals + 1..]);
    if key.is_empty() || key.contains(&0) {
        return Err(wrong());
    }
    Ok((key, value, rest))
}

pub(crate) fn decimal(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_i64, |value, digit| match digit {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

fn parse_time(text: &[u8]) -> Option<Time> {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut parts = text.splitn(2, |byte| *byte == b'.');
    let seconds = decimal(parts.next()?)?;
    let mut nanoseconds = 0_u32;
    if let Some(fraction) = parts.next() {
        if !fraction.iter().all(u8::is_ascii_digit) {
            return None;
        }
        for index in 0..9 {
            let digit = fraction.get(index).map_or(0, |digit| u32::from(digit - b'0'));
            nanoseconds = nanoseconds * 10 + digit;
        }
    }
    Some(match (negative, nanoseconds) {
        (false, _) => Time { seconds, nanoseconds },
        (true, 0) => Time { seconds: -seconds, nanoseconds },
        (true, _) => Time { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds },
    })
}

/// Appends one record.
pub(crate) fn write_record(to: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    // The length counts its own digits.
    let rest = key.len() + value.len() + 3;
    let mut length = rest + digits(rest);
    if digits(length) != digits(rest) {
        length = rest + digits(length);
    }
    to.extend_from_slice(length.to_string().as_bytes());
    to.push(b' ');
    to.extend_from_slice(key);
    to.push(b'=');
    to.extend_from_slice(value);
    to.push(b'\n');
}

/// Appends the record of an extended attribute.
pub(crate) fn write_xattr(to: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    write_record(to, &[XATTR, name].concat(), value);
}

fn digits(number: usize) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

/// A time as an extended header has it, trailing zeros of the fraction left out.
pub(crate) fn time_text(time: Time) -> String {
    let total = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanoseconds);
    let sign = if total < 0 { "-" } else { "" };
    let (seconds, fraction) = (total.unsigned_abs() / 1_000_000_000, total.unsigned_abs() % 1_000_000_000);
    if fraction == 0 {
        return format!("{sign}{seconds}");
    }
    let fraction = format!("{fraction:09}");
    format!("{sign}{seconds}.{}", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_count_their_own_length() {
        for length in [0, 1, 4, 5, 88, 89, 90, 91, 985, 986, 987, 988] {
            let value = vec![b'x'; length];
            let mut text = Vec::new();
            write_record(&mut text, b"path", &value);
            let (key, read, rest) = record(&text).unwrap();
            assert_eq!((key, read, rest), (&b"path"[..], &value[..], &b""[..]));
        }
    }

    #[test]
    fn malformed_records_are_refused() {
        for bad in [
            &b"8 path=a\n"[..],
            b"11 path=a\n",
            b"10 path=ab",
            b"x path=a\n",
            b"6 =ab\n",
            b"0 a=b\n",
            b"3 \n",
            b"99999999999999999999999 a=b\n",
            b"12 path=a\0b\n\n",
        ] {
            assert!(Pax::default().read(bad, false).is_err(), "{:?}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn times_go_there_and_back() {
        for text in ["0", "1", "-1", "-0.5", "-1.25", "1700000000.000000001", "1.5"] {
            assert_eq!(time_text(parse_time(text.as_bytes()).unwrap()), text);
        }
        for bad in ["", "-", ".5", "1.x", "1e3", "+1"] {
            assert!(parse_time(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
