//! What the build cache holds, and its pruning.

use crate::request::Call;
use crate::response::Outcome;
use crate::status::Failure;
use hull_build::{Builder, CacheRecord};
use hull_types::Timestamp;
use serde_json::{Value, json};

const FILTERS: [&str; 10] =
    ["until", "id", "parent", "type", "description", "inuse", "shared", "private", "unused-for", "label"];

/// `BuildCache` of `GET /system/df`.
pub fn records(builder: &Builder) -> Vec<Value> {
    builder.cache().list().iter().map(record).collect()
}

fn record(record: &CacheRecord) -> Value {
    json!({
        "ID": record.id,
        "Type": "regular",
        "Description": record.text,
        "InUse": false,
        "Shared": false,
        "Size": record.size,
        "CreatedAt": record.created.to_string(),
        "LastUsedAt": record.used.to_string(),
        "UsageCount": record.uses,
    })
}

pub async fn prune(builder: Builder, call: Call) -> Outcome {
    let filters = call.query.filters(&FILTERS)?;
    let ids: Vec<String> = filters.get("id").map(|values| values.to_vec()).unwrap_or_default();
    let mut until = None;
    for name in ["until", "unused-for"] {
        for text in filters.get(name).into_iter().flatten() {
            let age = hull_dockerfile::duration::parse(text).map_err(|_| {
                Failure::invalid(format!("'{name}' filter expects a duration (e.g., '24h'): {text}"))
            })?;
            until = Some(i128::from(age));
        }
    }
    let keep = ["keep-storage", "reserved-space", "max-used-space"]
        .into_iter()
        .find_map(|name| call.query.number::<u64>(name).transpose())
        .transpose()?
        .unwrap_or(0);
    let all = call.query.flag("all");
    let now = Timestamp::now().unix_nanoseconds();
    let may_go = move |record: &CacheRecord| {
        (ids.is_empty() || ids.contains(&record.id))
            && until.is_none_or(|age| now - record.used.unix_nanoseconds() > age)
    };
    let (gone, freed) = builder.prune(keep, all, may_go).await?;
    let ids: Vec<&str> = gone.iter().map(|record| record.id.as_str()).collect();
    call.shape().json(&json!({ "CachesDeleted": ids, "SpaceReclaimed": freed }))
}
