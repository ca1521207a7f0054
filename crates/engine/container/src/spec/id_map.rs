//! Ids of a bind mount's files as the container sees them: so that a container's user writes into a person's
//! directory, and the files are the person's.

use crate::error::{Error, Result};
use hull_types::oci::runtime::IdMapping;
use serde::{Deserialize, Serialize};

// The kernel takes no more lines.
const MOST: usize = 340;

/// `idmap` of a bind mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdMap {
    /// The owner and group of the source are the container's user and group.
    Auto,
    /// These.
    Ranges {
        /// Users: first on the disk, first in the container, how many.
        uids: Vec<(u32, u32, u32)>,
        /// Groups.
        gids: Vec<(u32, u32, u32)>,
    },
}

impl IdMap {
    /// Reads nothing or `auto`, `1000:0`, or crun's and podman's `uids=1000-0-1#…;gids=1000-0-1`.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            Error::invalid(format!(
                "invalid idmap {text:?}: it is 'auto', HOST:CONTAINER (such as 1000:0), or \
                 uids=HOST-CONTAINER-COUNT[#…];gids=HOST-CONTAINER-COUNT[#…]"
            ))
        };
        if matches!(text, "" | "auto") {
            return Ok(Self::Auto);
        }
        if let Some((host, container)) = text.split_once(':') {
            let range = vec![(number(host).ok_or_else(wrong)?, number(container).ok_or_else(wrong)?, 1)];
            return Ok(Self::Ranges { uids: range.clone(), gids: range });
        }
        let (mut uids, mut gids) = (Vec::new(), Vec::new());
        for part in text.split(';') {
            match part.split_once('=') {
                Some(("uids", list)) if uids.is_empty() => uids = ranges(list).ok_or_else(wrong)?,
                Some(("gids", list)) if gids.is_empty() => gids = ranges(list).ok_or_else(wrong)?,
                _ => return Err(wrong()),
            }
        }
        if uids.is_empty() || gids.is_empty() {
            return Err(wrong());
        }
        Ok(Self::Ranges { uids, gids })
    }

    /// The maps of users and groups. `owner` has the source, `user` runs in the container.
    pub fn mappings(&self, owner: (u32, u32), user: (u32, u32)) -> (Vec<IdMapping>, Vec<IdMapping>) {
        // What the namespace of such a mount calls inside is what is on the disk.
        let map = |list: &[(u32, u32, u32)]| {
            let mapping =
                |&(disk, seen, size): &(u32, u32, u32)| IdMapping { container_id: disk, host_id: seen, size };
            list.iter().map(mapping).collect()
        };
        match self {
            Self::Auto => (map(&[(owner.0, user.0, 1)]), map(&[(owner.1, user.1, 1)])),
            Self::Ranges { uids, gids } => (map(uids), map(gids)),
        }
    }
}

fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number| *number != u32::MAX)
}

fn ranges(text: &str) -> Option<Vec<(u32, u32, u32)>> {
    let range = |text: &str| {
        let mut parts = text.split('-').map(number);
        let (disk, seen, size) = (parts.next()??, parts.next()??, parts.next()??);
        let fits = size > 0 && disk.checked_add(size).is_some() && seen.checked_add(size).is_some();
        (parts.next().is_none() && fits).then_some((disk, seen, size))
    };
    let list: Option<Vec<_>> = text.split('#').map(range).collect();
    list.filter(|list| list.len() <= MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_read() {
        let one = |disk, seen| IdMap::Ranges { uids: vec![(disk, seen, 1)], gids: vec![(disk, seen, 1)] };
        assert_eq!(IdMap::parse("").unwrap(), IdMap::Auto);
        assert_eq!(IdMap::parse("1000:0").unwrap(), one(1000, 0));
        assert_eq!(
            IdMap::parse("uids=0-1-10#10-11-10;gids=0-100-10").unwrap(),
            IdMap::Ranges { uids: vec![(0, 1, 10), (10, 11, 10)], gids: vec![(0, 100, 10)] }
        );
        for bad in [
            "x",
            "1:",
            "1:2:3",
            "uids=1-2-3",
            "uids=1-2-0;gids=1-2-1",
            "uids=1-2-1;gids=1-2",
            "4294967295:0",
            "uids=1-4294967290-9;gids=1-2-1",
        ] {
            assert!(IdMap::parse(bad).is_err(), "{bad}");
        }
        let (uids, gids) = IdMap::Auto.mappings((1000, 100), (0, 5));
        assert_eq!(
            (uids[0].container_id, uids[0].host_id, gids[0].container_id, gids[0].host_id),
            (1000, 0, 100, 5)
        );
    }
}
