//! Entries as Docker writes them.
//!
//! Docker's escapes are those of Go's `encoding/json` with HTML escaping, except that control characters other
//! than newline and carriage return are always `\u00xx` (the tab too). Bytes that are no UTF-8 become U+FFFD, one
//! for each byte.

use crate::Stream;

/// Appends one entry. `line` has no newline; `complete` says that one followed. `attrs` is a JSON object or empty.
pub(crate) fn entry(
    out: &mut Vec<u8>,
    line: [&[u8]; 2],
    complete: bool,
    stream: Stream,
    attrs: &[u8],
    time: &str,
) {
    out.extend_from_slice(b"{\"log\":\"");
    match line {
        // A character may be cut in two by the end of what was read at once.
        [head, tail] if !head.is_empty() && !tail.is_empty() => text(out, &[head, tail].concat()),
        [head, tail] => {
            text(out, head);
            text(out, tail);
        }
    }
    if complete {
        out.extend_from_slice(b"\\n");
    }
    out.extend_from_slice(b"\",\"stream\":\"");
    out.extend_from_slice(stream.name().as_bytes());
    if !attrs.is_empty() {
        out.extend_from_slice(b"\",\"attrs\":");
        out.extend_from_slice(attrs);
        out.extend_from_slice(b",\"time\":\"");
    } else {
        out.extend_from_slice(b"\",\"time\":\"");
    }
    out.extend_from_slice(time.as_bytes());
    out.extend_from_slice(b"\"}\n");
}

fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        valid(out, chunk.valid().as_bytes());
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
}

fn valid(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut start = 0;
    for (index, &byte) in bytes.iter().enumerate() {
        let plain = !matches!(byte, 0..0x20 | b'\\' | b'"' | b'<' | b'>' | b'&' | 0xe2);
        if plain {
            continue;
        }
        // U+2028 and U+2029 end a line in JavaScript, which JSON meant to be a part of.
        let separator = byte == 0xe2 && matches!(bytes.get(index + 1..index + 3), Some([0x80, 0xa8 | 0xa9]));
        if byte == 0xe2 && !separator {
            continue;
        }
        out.extend_from_slice(&bytes[start..index]);
        start = index + 1;
        match byte {
            b'\\' | b'"' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0xe2 => {
                out.extend_from_slice(if bytes[index + 2] == 0xa8 { b"\\u2028" } else { b"\\u2029" });
                start = index + 3;
            }
            _ => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
            }
        }
    }
    out.extend_from_slice(&bytes[start..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        text(&mut out, bytes);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn escapes_are_dockers() {
        assert_eq!(encoded(b"plain"), "plain");
        assert_eq!(encoded(b"a\tb\rc\x1b[0m"), "a\\u0009b\\rc\\u001b[0m");
        assert_eq!(encoded(b"\"\\ <&>"), "\\\"\\\\ \\u003c\\u0026\\u003e");
        assert_eq!(encoded("é€😀\u{2028}\u{2029}x".as_bytes()), "é€😀\\u2028\\u2029x");
        assert_eq!(encoded(b"\xff\xc3(\xe2\x82"), "\\ufffd\\ufffd(\\ufffd\\ufffd");
        assert_eq!(encoded(b"\x7f\0"), "\u{7f}\\u0000");
    }

    #[test]
    fn entries_are_dockers() {
        let mut out = Vec::new();
        entry(&mut out, [b"", b"hello"], true, Stream::Stdout, b"", "2026-11-20T08:00:00.1Z");
        entry(
            &mut out,
            ["é".as_bytes().split_at(1).0, &"é".as_bytes()[1..]],
            false,
            Stream::Stderr,
            b"{\"a\":\"b\"}",
            "T",
        );
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"log\":\"hello\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-20T08:00:00.1Z\"}\n\
             {\"log\":\"é\",\"stream\":\"stderr\",\"attrs\":{\"a\":\"b\"},\"time\":\"T\"}\n"
        );
    }
}
