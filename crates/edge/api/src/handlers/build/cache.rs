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

/// What a pruning is to leave, in bytes; 0 for what was not said.
#[derive(Debug, Default, PartialEq, Eq)]
struct Room {
    reserved: u64,
    most: u64,
    free: u64,
}

impl Room {
    /// How much of a cache of this size may stay on a disk with so much free.
    fn keep(&self, size: u64, free: u64) -> u64 {
        let by_size = if self.most == 0 { size } else { self.most };
        let by_disk = match self.free {
            // To keep a certain amount is the whole wish, where no other limit is named.
            0 if self.most == 0 => self.reserved,
            wanted => size.saturating_sub(wanted.saturating_sub(free)),
        };
        by_size.min(by_disk).max(self.reserved).max(1)
    }
}

pub async fn prune(builder: Builder, call: Call) -> Outcome {
    let filters = call.query.filters(&FILTERS)?;
    let ids: Vec<String> = filters.get("id").map(|values| values.to_vec()).unwrap_or_default();
    let mut until = None;
    for name in ["until", "unused-for"] {
        for text in filters.get(name).into_iter().flatten() {
            let age = hull_types::duration::parse(text).map_err(|_| {
                Failure::invalid(format!("'{name}' filter expects a duration (e.g., '24h'): {text}"))
            })?;
            until = Some(i128::from(age));
        }
    }
    let number = |name: &str| call.query.number::<u64>(name).map(Option::unwrap_or_default);
    let reserved = number("keep-storage")?.max(number("reserved-space")?);
    let room = Room { reserved, most: number("max-used-space")?, free: number("min-free-space")? };
    let keep = match room == Room::default() {
        true => 0,
        false => room.keep(builder.cache().size(), builder.free_space()?),
    };
    // What has no record of its own goes only where nothing is to stay.
    let all = call.query.flag("all") && keep == 0;
    let now = Timestamp::now().unix_nanoseconds();
    let may_go = move |record: &CacheRecord| {
        (ids.is_empty() || ids.contains(&record.id))
            && until.is_none_or(|age| now - record.used.unix_nanoseconds() > age)
    };
    let (gone, freed) = builder.prune(keep, all, may_go).await?;
    let ids: Vec<&str> = gone.iter().map(|record| record.id.as_str()).collect();
    call.shape().json(&json!({ "CachesDeleted": ids, "SpaceReclaimed": freed }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_follows_from_three_wishes() {
        let room = |reserved, most, free| Room { reserved, most, free };
        assert_eq!(room(0, 40, 0).keep(100, 10), 40);
        assert_eq!(room(30, 0, 0).keep(100, 10), 30);
        assert_eq!(room(0, 0, 60).keep(100, 10), 50);
        assert_eq!(room(70, 0, 60).keep(100, 10), 70);
        assert_eq!(room(0, 0, 5).keep(100, 10), 100);
        assert_eq!(room(0, 40, 5).keep(100, 10), 40);
    }
}
