//! Query parameters, as Docker's server reads them.

use crate::status::Failure;
use hull_api_types::{Empty, Filters, Map};
use hull_types::Timestamp;
use serde::Deserialize;
use std::borrow::Cow;

/// A decoded query string; a name may come more than once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// From the text after `?`.
    pub fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name, true).into_owned(), decode(value, true).into_owned())
        });
        Self(pairs.collect())
    }
    /// The first value of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
    /// The first value of that name, if it isn't empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }
    /// Every value of that name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }
    /// Replaces the values of that name by one.
    pub fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.0.push((name.into(), value.into()));
    }
    /// Removes the values of that name.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(key, _)| key != name);
    }
    /// False for what is missing, empty, `0`, `no`, `false` or `none`; true for anything else.
    pub fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(is_true)
    }
    /// Like [`Query::flag`], with a default for what is missing.
    pub fn flag_or(&self, name: &str, default: bool) -> bool {
        self.get(name).map_or(default, is_true)
    }
    /// A whole number; `None` where it is missing or empty.
    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Failure> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let text = text.trim();
        text.parse().map(Some).map_err(|_| {
            Failure::invalid(format!(
                "invalid value of {name}: strconv.Atoi: parsing {text:?}: invalid syntax"
            ))
        })
    }
    /// A point in time; `None` where it is missing or empty.
    pub fn time(&self, name: &str) -> Result<Option<Timestamp>, Failure> {
        let Some(text) = self.text(name) else { return Ok(None) };
        parse_time(text).map(Some).ok_or_else(|| {
            Failure::invalid(format!("invalid value of {name}: failed to parse value {text:?} as a time"))
        })
    }
    /// The filters, of which only those named in `known` may be there.
    pub fn filters(&self, known: &[&str]) -> Result<Filters, Failure> {
        let filters = match self.text("filters") {
            Some(text) => parse_filters(text)?,
            None => return Ok(Filters::new()),
        };
        match filters.keys().find(|key| !known.contains(&key.as_str())) {
            Some(unknown) => Err(Failure::invalid(format!("invalid filter '{unknown}'"))),
            None => Ok(filters),
        }
    }
}

fn is_true(text: &str) -> bool {
    let text = text.trim();
    !["", "0", "no", "false", "none"].iter().any(|no| text.eq_ignore_ascii_case(no))
}

/// Seconds since the epoch with an optional fraction, or RFC 3339.
fn parse_time(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if let Ok(seconds) = whole.parse::<i64>() {
        if !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let nanoseconds =
            if fraction.is_empty() { 0 } else { format!("{fraction:0<9}").get(..9)?.parse().ok()? };
        return Some(Timestamp { seconds, nanoseconds });
    }
    text.parse().ok()
}

/// Both forms: `{"label":["a=b"]}` and `{"label":{"a=b":true}}`.
fn parse_filters(text: &str) -> Result<Filters, Failure> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Values {
        List(Vec<String>),
        Set(Map<bool>),
        Empties(Map<Empty>),
    }
    let bad = |error: serde_json::Error| Failure::invalid(format!("invalid filters {text:?}: {error}"));
    let Some(map) = serde_json::from_str::<Option<Map<Option<Values>>>>(text).map_err(bad)? else {
        return Ok(Filters::new());
    };
    let values = |values| match values {
        None => Vec::new(),
        Some(Values::List(list)) => list,
        // Docker's client never sends false; Docker's server takes the key as set all the same.
        Some(Values::Set(set)) => set.into_keys().collect(),
        Some(Values::Empties(set)) => set.into_keys().collect(),
    };
    Ok(map
        .into_iter()
        .map(|(key, found)| (key, values(found)))
        .filter(|(_, found)| !found.is_empty())
        .collect())
}

/// Percent-decoding; `plus` where `+` means a space. What isn't UTF-8 afterwards gets replacement characters.
pub fn decode(text: &str, plus: bool) -> Cow<'_, str> {
    let plain = |c| c != '%' && !(plus && c == '+');
    if text.chars().all(plain) {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        let hex = bytes.get(index + 1..index + 3).and_then(|pair| {
            let digit = |b: u8| (b as char).to_digit(16);
            Some((digit(pair[0])? * 16 + digit(pair[1])?) as u8)
        });
        match (bytes[index], hex) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                index += 2;
            }
            (b'+', _) if plus => decoded.push(b' '),
            (byte, _) => decoded.push(byte),
        }
        index += 1;
    }
    Cow::Owned(
        String::from_utf8(decoded).unwrap_or_else(|bad| String::from_utf8_lossy(bad.as_bytes()).into_owned()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_are_dockers() {
        for no in ["a=", "a", "a=0", "a=False", "a=none", "a=+no+", "b=1"] {
            assert!(!Query::parse(no).flag("a"), "{no}");
        }
        for yes in ["a=1", "a=True", "a=yes", "a=2", "a=x"] {
            assert!(Query::parse(yes).flag("a"), "{yes}");
        }
        assert!(Query::parse("").flag_or("stream", true));
        assert!(!Query::parse("stream=0").flag_or("stream", true));
    }

    #[test]
    fn numbers_and_times() {
        let query = Query::parse("limit=-1&t=&bad=1x&since=1700000000.5&until=2026-11-20T00:00:00Z&zero=0");
        assert_eq!(query.number::<i64>("limit").unwrap(), Some(-1));
        assert_eq!(query.number::<i64>("t").unwrap(), None);
        assert!(query.number::<i64>("bad").is_err());
        assert_eq!(
            query.time("since").unwrap(),
            Some(Timestamp { seconds: 1_700_000_000, nanoseconds: 500_000_000 })
        );
        assert!(query.time("until").unwrap().is_some() && query.time("zero").unwrap().is_some());
        assert!(query.time("bad").is_err());
    }

    #[test]
    fn filters_come_in_both_forms() {
        let query = |text: &str| Query(vec![("filters".into(), text.into())]).filters(&["label", "dangling"]);
        let expected: Filters = [("label".to_owned(), vec!["a=b".to_owned()])].into();
        assert_eq!(query(r#"{"label":{"a=b":true}}"#).unwrap(), expected);
        assert_eq!(query(r#"{"label":["a=b"]}"#).unwrap(), expected);
        assert_eq!(query(r#"{"label":["a=b"],"dangling":[]}"#).unwrap(), expected);
        assert!(
            query("").unwrap().is_empty()
                && query("null").unwrap().is_empty()
                && query("{}").unwrap().is_empty()
        );
        assert_eq!(query(r#"{"nope":["1"]}"#).unwrap_err().message, "invalid filter 'nope'");
        assert!(query("{").is_err() && query(r#"{"label":1}"#).is_err());
    }

    #[test]
    fn decoding() {
        let query = Query::parse("a=b%2Fc+d&a=%zz&%61=%e4");
        assert_eq!(query.all("a").collect::<Vec<_>>(), ["b/c d", "%zz", "\u{fffd}"]);
        assert_eq!(decode("a+b%3a", false), "a+b:");
    }
}
