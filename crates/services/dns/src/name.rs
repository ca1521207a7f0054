//! Domain names, read from messages within their bounds.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const LONGEST: usize = 255;
const LONGEST_LABEL: u8 = 63;

/// Reads an uncompressed name at `offset`: lower case, dots between the labels, none at the end; and where it ends.
/// A label with anything but printable characters, or with a dot, makes the text `None`: nobody here has such a name.
///
/// Questions are never compressed: there is nothing before them to point at.
pub(crate) fn read_plain(message: &[u8], offset: usize) -> Option<(Option<String>, usize)> {
    let (mut at, mut text, mut speakable) = (offset, String::new(), true);
    loop {
        let length = *message.get(at)?;
        if length > LONGEST_LABEL {
            return None;
        }
        let label = message.get(at + 1..at + 1 + usize::from(length))?;
        at += 1 + label.len();
        if at - offset > LONGEST {
            return None;
        }
        if length == 0 {
            return Some((speakable.then_some(text), at));
        }
        if !text.is_empty() {
            text.push('.');
        }
        speakable &= label.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'.');
        text.extend(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
    }
}

/// Where a name ends that may be compressed; a pointer ends it, so that there is nothing to follow.
pub(crate) fn skip(message: &[u8], offset: usize) -> Option<usize> {
    let mut at = offset;
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length @ 1..=LONGEST_LABEL => at += 1 + usize::from(length),
            0xc0.. => return message.get(at + 1).map(|_| at + 2),
            _ => return None,
        }
        if at - offset > LONGEST {
            return None;
        }
    }
}

/// Appends a name as labels. `false`, and nothing appended, when it is none.
pub(crate) fn write(name: &str, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    for label in name.trim_end_matches('.').split('.') {
        if label.is_empty() || label.len() > usize::from(LONGEST_LABEL) {
            out.truncate(start);
            return false;
        }
        out.push(label.len() as u8);
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    if out.len() - start > LONGEST {
        out.truncate(start);
        return false;
    }
    true
}

/// The address that `d.c.b.a.in-addr.arpa` or a name below `ip6.arpa` stands for.
pub(crate) fn reverse(name: &str) -> Option<IpAddr> {
    if let Some(digits) = name.strip_suffix(".in-addr.arpa") {
        let mut octets = [0; 4];
        let mut parts = digits.split('.');
        for octet in octets.iter_mut().rev() {
            *octet = parts.next()?.parse().ok()?;
        }
        return parts.next().is_none().then(|| Ipv4Addr::from(octets).into());
    }
    let digits = name.strip_suffix(".ip6.arpa")?;
    let mut bits = 0u128;
    let mut count = 0;
    for (place, digit) in digits.split('.').enumerate() {
        let value = (digit.len() == 1).then(|| u128::from_str_radix(digit, 16).ok())??;
        bits |= value.checked_shl(4 * place as u32)?;
        count = place + 1;
    }
    (count == 32).then(|| Ipv6Addr::from(bits).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_lower_case() {
        let message = b"\x03wEb\x03Net\0rest";
        assert_eq!(read_plain(message, 0), Some((Some("web.net".into()), 9)));
        assert_eq!(read_plain(b"\0", 0), Some((Some(String::new()), 1)));
        assert_eq!(read_plain(b"\x03a.b\0", 0), Some((None, 5)));
        for torn in [&b"\x05web"[..], b"\x03web", b"", b"\xc0\x00", b"\x40x"] {
            assert_eq!(read_plain(torn, 0), None, "{torn:?}");
        }
        let long: Vec<u8> = b"\x01a".repeat(200);
        assert_eq!(read_plain(&long, 0), None);
    }

    #[test]
    fn names_are_written_as_they_are_read() {
        let mut bytes = Vec::new();
        assert!(write("web.net.", &mut bytes));
        assert_eq!(bytes, b"\x03web\x03net\0");
        for bad in ["", ".", "a..b", &"x".repeat(64), &"ab.".repeat(100)] {
            assert!(!write(bad, &mut bytes), "{bad}");
        }
        assert_eq!(bytes.len(), 9);
    }

    #[test]
    fn compressed_names_are_skipped_and_never_followed() {
        assert_eq!(skip(b"\x03web\xc0\x00x", 0), Some(6));
        assert_eq!(skip(b"\xc0\x00", 0), Some(2));
        assert_eq!(skip(b"\xc0", 0), None);
        assert_eq!(skip(b"\x80", 0), None);
    }

    #[test]
    fn addresses_are_read_backwards() {
        assert_eq!(reverse("2.0.18.172.in-addr.arpa"), Some(IpAddr::from([172, 18, 0, 2])));
        let name = format!("1.0{}.d.f.ip6.arpa", ".0".repeat(28));
        assert_eq!(reverse(&name), Some("fd00::1".parse().unwrap()));
        for bad in [
            "in-addr.arpa",
            "1.2.3.in-addr.arpa",
            "1.2.3.4.5.in-addr.arpa",
            "300.1.1.1.in-addr.arpa",
            "1.ip6.arpa",
        ] {
            assert_eq!(reverse(bad), None, "{bad}");
        }
    }
}
