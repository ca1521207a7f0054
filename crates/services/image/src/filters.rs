//! The filters of `images` and `image prune`.

use crate::catalogue::{Record, State};
use crate::error::{ImageError, Result};
use crate::resolve;
use hull_api_types::Filters;
use hull_sys::local_time::point;
use hull_types::{ImageRef, Timestamp};

/// Refuses filters other than `known`.
pub(crate) fn check(filters: &Filters, known: &[&str]) -> Result<()> {
    match filters.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(ImageError::Filter(format!("invalid filter '{key}'"))),
        None => Ok(()),
    }
}

/// A filter that is true, false or not given.
pub(crate) fn boolean(filters: &Filters, name: &str) -> Result<Option<bool>> {
    let values = filters.get(name).map(Vec::as_slice).unwrap_or_default();
    let read = |value: &String| match value.to_ascii_lowercase().as_str() {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(ImageError::Filter(format!("invalid filter '{name}=[{}]'", values.join(" ")))),
    };
    match values {
        [] => Ok(None),
        [one] => read(one).map(Some),
        _ => Err(ImageError::Filter(format!("invalid filter '{name}=[{}]'", values.join(" ")))),
    }
}

/// The bounds that `before`, `since` and `until` put on an image's age.
pub(crate) struct Age {
    before: Option<i128>,
    since: Option<i128>,
    until: Option<i128>,
}

impl Age {
    pub(crate) fn of(filters: &Filters, state: &State) -> Result<Self> {
        let image = |name: &str| match filters.get(name).and_then(|values| values.first()) {
            Some(text) => resolve::find(state, text).map(|found| Some(found.record.created())),
            None => Ok(None),
        };
        Ok(Self { before: image("before")?, since: image("since")?, until: until(filters)? })
    }
    pub(crate) fn admits(&self, record: &Record) -> bool {
        let created = record.created();
        self.before.is_none_or(|bound| created < bound)
            && self.since.is_none_or(|bound| created > bound)
            && self.until.is_none_or(|bound| created <= bound)
    }
}

fn until(filters: &Filters) -> Result<Option<i128>> {
    match filters.get("until").map(Vec::as_slice).unwrap_or_default() {
        [] => Ok(None),
        [text] => match point(text, Timestamp::now()) {
            Some(point) => Ok(Some(point.unix_nanoseconds())),
            None => Err(ImageError::Filter(format!(
                "invalid filter 'until={text}': expected a time or a duration"
            ))),
        },
        _ => Err(ImageError::Filter("more than one until filter specified".into())),
    }
}

/// Whether the image has all the labels asked for (`label`: `key` or `key=value`) and none of those excluded.
pub(crate) fn labels_admit(filters: &Filters, record: &Record) -> bool {
    let labels = &record.config.config.labels;
    let has = |wanted: &String| match wanted.split_once('=') {
        Some((key, value)) => labels.get(key).is_some_and(|known| known == value),
        None => labels.contains_key(wanted),
    };
    let of = |name: &str| filters.get(name).map(Vec::as_slice).unwrap_or_default();
    of("label").iter().all(has) && !of("label!").iter().any(has)
}

/// Whether a name fits one of the patterns of `reference`, whole or without its tag.
pub(crate) fn reference_admits(patterns: &[String], name: &ImageRef) -> Result<bool> {
    let (whole, bare) = (name.familiar(), name.familiar_name());
    for pattern in patterns {
        let bad =
            || ImageError::Filter(format!("invalid filter 'reference={pattern}': syntax error in pattern"));
        if path_match(pattern, &whole).ok_or_else(bad)? || path_match(pattern, &bare).ok_or_else(bad)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Go's `path.Match`: `*` and `?` stop at `/`; `[a-z]`, `[^a]`, `\x`. `None` for a malformed pattern.
pub(crate) fn path_match(pattern: &str, text: &str) -> Option<bool> {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    well_formed(&pattern).then(|| matches(&pattern, &text))
}

// Iterative, with one point to fall back to: patterns come from clients, and backtracking must not explode.
fn matches(pattern: &[char], text: &[char]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, t));
            p += 1;
            continue;
        }
        if t == text.len() {
            return p == pattern.len();
        }
        if let Some(width) = (p < pattern.len()).then(|| one(&pattern[p..], text[t])).flatten() {
            p += width;
            t += 1;
            continue;
        }
        match star {
            Some((at, from)) if text[from] != '/' => {
                star = Some((at, from + 1));
                (p, t) = (at + 1, from + 1);
            }
            _ => return false,
        }
    }
}

// How many characters of the pattern the text's next character uses up.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern[0] {
        '?' => (c != '/').then_some(1),
        '\\' => (pattern.get(1) == Some(&c)).then_some(2),
        '[' => {
            let (ranges, width, negated) = class(pattern)?;
            (ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != negated).then_some(width)
        }
        literal => (literal == c).then_some(1),
    }
}

type Class = (Vec<(char, char)>, usize, bool);

fn class(pattern: &[char]) -> Option<Class> {
    let negated = pattern.get(1) == Some(&'^');
    let mut at = if negated { 2 } else { 1 };
    let mut ranges = Vec::new();
    let take = |at: &mut usize| {
        if pattern.get(*at) == Some(&'\\') {
            *at += 1;
        }
        let c = *pattern.get(*at)?;
        *at += 1;
        Some(c)
    };
    while ranges.is_empty() || *pattern.get(at)? != ']' {
        if matches!(pattern.get(at)?, '-' | ']') {
            return None;
        }
        let low = take(&mut at)?;
        let high = if pattern.get(at) == Some(&'-') {
            at += 1;
            if pattern.get(at) == Some(&']') {
                return None;
            }
            take(&mut at)?
        } else {
            low
        };
        ranges.push((low, high));
    }
    Some((ranges, at + 1, negated))
}

fn well_formed(pattern: &[char]) -> bool {
    let mut at = 0;
    while at < pattern.len() {
        at += match pattern[at] {
            '\\' if at + 1 == pattern.len() => return false,
            '\\' => 2,
            '[' => match class(&pattern[at..]) {
                Some((_, width, _)) => width,
                None => return false,
            },
            _ => 1,
        };
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_gos() {
        for (pattern, text, expected) in [
            ("busy*", "busybox:latest", Some(true)),
            ("*", "a/b", Some(false)),
            ("*/*", "a/b:1", Some(true)),
            ("b?sy[a-c]ox", "busybox", Some(true)),
            ("b[^u]sybox", "busybox", Some(false)),
            ("*box*test", "busybox:latest", Some(true)),
            ("\\*", "*", Some(true)),
            ("[", "a", None),
            ("[]a]", "]", None),
            ("a\\", "a", None),
            ("", "", Some(true)),
            ("a*b*c", "axxbxxd", Some(false)),
        ] {
            assert_eq!(path_match(pattern, text), expected, "{pattern} {text}");
        }
        let long = "a".repeat(10_000);
        assert_eq!(path_match(&"a*".repeat(500), &format!("{long}/")), Some(false));
    }
}
