//! The filters of `GET /networks` and `POST /networks/prune`.

use hull_api_types::Filters;
use hull_sys::local_time::point;
use hull_types::Timestamp;

use crate::model::NetworkRow;
use crate::{Error, Result};

const LIST: [&str; 7] = ["dangling", "driver", "id", "label", "name", "scope", "type"];
const PRUNE: [&str; 3] = ["label", "label!", "until"];

/// The networks of which every filter key matches by one of its values; of labels, all.
pub(crate) fn select<'a>(
    rows: impl Iterator<Item = &'a NetworkRow>,
    filters: &Filters,
    in_use: impl Fn(&NetworkRow) -> bool,
) -> Result<Vec<&'a NetworkRow>> {
    known(filters, &LIST)?;
    let dangling =
        filters.get("dangling").and_then(|values| values.first()).map(|text| boolean(text)).transpose()?;
    if let Some(wrong) =
        filters.get("type").into_iter().flatten().find(|v| !matches!(v.as_str(), "custom" | "builtin"))
    {
        return Err(Error::Invalid(format!("invalid filter: 'type'='{wrong}'")));
    }
    let any = |key: &str, matches: &dyn Fn(&str) -> bool| {
        filters.get(key).is_none_or(|values| values.is_empty() || values.iter().any(|value| matches(value)))
    };
    let matches = |row: &&NetworkRow| {
        any("driver", &|value| row.driver == value)
            && any("id", &|value| row.id.starts_with(value))
            && any("name", &|value| row.name.contains(value))
            && any("scope", &|value| value == "local")
            && any("type", &|value| (value == "builtin") == row.is_predefined())
            && filters.get("label").is_none_or(|values| values.iter().all(|value| has_label(row, value)))
            && dangling.is_none_or(|wanted| wanted == (!row.is_predefined() && !in_use(row)))
    };
    Ok(rows.filter(matches).collect())
}

/// The user-defined networks that may be pruned.
pub(crate) fn select_prunable<'a>(
    rows: impl Iterator<Item = &'a NetworkRow>,
    filters: &Filters,
) -> Result<Vec<&'a NetworkRow>> {
    known(filters, &PRUNE)?;
    let until = filters.get("until").and_then(|values| values.first()).map(|text| until(text)).transpose()?;
    let matches = |row: &&NetworkRow| {
        !row.is_predefined()
            && until.is_none_or(|until| row.created < until)
            && filters.get("label").is_none_or(|values| values.iter().all(|value| has_label(row, value)))
            && !filters.get("label!").is_some_and(|values| values.iter().any(|value| has_label(row, value)))
    };
    Ok(rows.filter(matches).collect())
}

fn known(filters: &Filters, keys: &[&str]) -> Result<()> {
    match filters.keys().find(|key| !keys.contains(&key.as_str())) {
        Some(key) => Err(Error::Invalid(format!("invalid filter '{key}'"))),
        None => Ok(()),
    }
}

fn has_label(row: &NetworkRow, wanted: &str) -> bool {
    match wanted.split_once('=') {
        Some((key, value)) => row.labels.get(key).is_some_and(|own| own == value),
        None => row.labels.contains_key(wanted),
    }
}

fn boolean(text: &str) -> Result<bool> {
    match text {
        "1" | "true" | "True" | "TRUE" | "t" | "T" => Ok(true),
        "0" | "false" | "False" | "FALSE" | "f" | "F" => Ok(false),
        _ => Err(Error::Invalid(format!("invalid filter 'dangling={text}'"))),
    }
}

fn until(text: &str) -> Result<Timestamp> {
    point(text, Timestamp::now()).ok_or_else(|| Error::Invalid(format!("invalid filter 'until={text}'")))
}
