//! Which volumes `docker volume ls` and `prune` mean.

use crate::{ANONYMOUS_LABEL, Error, Record, Result};
use hull_api_types::Filters;
use hull_types::Pattern;

#[derive(Debug, Default)]
pub(crate) struct Filter {
    names: Vec<Pattern>,
    drivers: Vec<String>,
    labels: Vec<String>,
    not_labels: Vec<String>,
    dangling: Option<bool>,
    anonymous_only: bool,
}

impl Filter {
    pub fn listing(filters: &Filters) -> Result<Self> {
        let mut filter = Self::default();
        for (key, values) in filters {
            match key.as_str() {
                "name" => filter.names = values.iter().map(|text| Pattern::new(text)).collect(),
                "driver" => filter.drivers.clone_from(values),
                "label" => filter.labels.clone_from(values),
                "dangling" => filter.dangling = boolean(key, values)?,
                _ => return Err(Error::Filter(key.clone())),
            }
        }
        Ok(filter)
    }

    pub fn pruning(filters: &Filters) -> Result<Self> {
        let mut filter = Self { anonymous_only: true, ..Self::default() };
        for (key, values) in filters {
            match key.as_str() {
                "label" => filter.labels.clone_from(values),
                "label!" => filter.not_labels.clone_from(values),
                "all" => filter.anonymous_only = !boolean(key, values)?.unwrap_or(false),
                _ => return Err(Error::Filter(key.clone())),
            }
        }
        Ok(filter)
    }

    pub fn matches(&self, record: &Record, in_use: bool) -> bool {
        (self.names.is_empty() || self.names.iter().any(|pattern| pattern.matches(&record.name)))
            && (self.drivers.is_empty() || self.drivers.iter().any(|driver| driver == "local"))
            && self.labels.iter().all(|label| has_label(record, label))
            && (self.not_labels.is_empty() || !self.not_labels.iter().all(|label| has_label(record, label)))
            && self.dangling.is_none_or(|dangling| dangling != in_use)
            && (!self.anonymous_only || record.labels.contains_key(ANONYMOUS_LABEL))
    }
}

// `key` or `key=value`.
fn has_label(record: &Record, wanted: &str) -> bool {
    match wanted.split_once('=') {
        Some((key, value)) => record.labels.get(key).is_some_and(|own| own == value),
        None => record.labels.contains_key(wanted),
    }
}

fn boolean(key: &str, values: &[String]) -> Result<Option<bool>> {
    let mut found = None;
    for value in values {
        let value = match value.to_ascii_lowercase().as_str() {
            "1" | "true" => true,
            "0" | "false" => false,
            _ => return Err(Error::FilterValue { key: key.into(), value: value.clone() }),
        };
        if found.is_some_and(|found| found != value) {
            return Err(Error::FilterValue { key: key.into(), value: value.to_string() });
        }
        found = Some(value);
    }
    Ok(found)
}
