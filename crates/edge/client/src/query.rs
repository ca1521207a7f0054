//! Query strings.

use hull_api_types::Filters;
use std::collections::BTreeMap;

/// A query string being written, keys in the order given.
#[derive(Debug, Clone, Default)]
pub struct Query(String);

impl Query {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }
    /// Adds `key=value`.
    pub fn add(&mut self, key: &str, value: &str) -> &mut Self {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        escape(key, &mut self.0);
        self.0.push('=');
        escape(value, &mut self.0);
        self
    }
    /// Adds `key=1` if `on`.
    pub fn flag(&mut self, key: &str, on: bool) -> &mut Self {
        if on {
            self.add(key, "1");
        }
        self
    }
    /// Adds `key=value` unless the value is empty.
    pub fn text(&mut self, key: &str, value: &str) -> &mut Self {
        if !value.is_empty() {
            self.add(key, value);
        }
        self
    }
    /// Adds `filters=…` unless there are none.
    pub fn filters(&mut self, filters: &Filters) -> &mut Self {
        if !filters.is_empty() {
            self.add("filters", &encode_filters(filters));
        }
        self
    }
    /// The text, without a question mark.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Filters as the API carries them since 1.22: `{"label":{"a=b":true}}`.
pub fn encode_filters(filters: &Filters) -> String {
    let sets: BTreeMap<&str, BTreeMap<&str, bool>> = filters
        .iter()
        .map(|(key, values)| (key.as_str(), values.iter().map(|value| (value.as_str(), true)).collect()))
        .collect();
    serde_json::to_string(&sets).unwrap_or_default()
}

// Go's url.QueryEscape: unreserved characters stay, a space is a plus.
fn escape(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte as char),
            b' ' => out.push('+'),
            _ => push_hex(byte, out),
        }
    }
}

/// Escapes what may not stand in one segment of a path; slashes and colons stay, as names of images have them.
pub(crate) fn escape_path(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => out.push(byte as char),
            b'-' | b'_' | b'.' | b'~' | b'/' | b':' | b'@' | b'$' | b'&' | b'+' | b',' | b';' | b'=' => {
                out.push(byte as char)
            }
            _ => push_hex(byte, &mut out),
        }
    }
    out
}

fn push_hex(byte: u8, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    out.push(DIGITS[usize::from(byte >> 4)] as char);
    out.push(DIGITS[usize::from(byte & 15)] as char);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_escaped_as_go_does() {
        let mut query = Query::new();
        query.add("path", "/tmp/a b").flag("x", false).flag("y", true).text("z", "");
        query.filters(&Filters::from([("label".into(), vec!["a=b".into()])]));
        assert_eq!(
            query.as_str(),
            "path=%2Ftmp%2Fa+b&y=1&filters=%7B%22label%22%3A%7B%22a%3Db%22%3Atrue%7D%7D"
        );
        assert_eq!(escape_path("/images/localhost:5000/a?b/json"), "/images/localhost:5000/a%3Fb/json");
    }
}
