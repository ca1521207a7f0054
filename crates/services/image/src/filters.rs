//! The filters of `images` and `image prune`.

use crate::catalogue::{Record, State};
use crate::error::{ImageError, Result};
use crate::resolve;
use hull_api_types::Filters;
use hull_sys::local_time::point;
use hull_types::{Glob, ImageRef, Timestamp};

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
        let glob = Glob::plain(pattern)
            .map_err(|error| ImageError::Filter(format!("invalid filter 'reference={pattern}': {error}")))?;
        if glob.matches(&whole) || glob.matches(&bare) {
            return Ok(true);
        }
    }
    Ok(false)
}
