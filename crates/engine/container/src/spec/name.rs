//! Containers' names: the rule, and random ones.

use crate::error::{Error, Result};

/// Checks a name and gives it without the leading slash.
pub fn check_name(name: &str) -> Result<&str> {
    let bare = name.strip_prefix('/').unwrap_or(name);
    let bytes = bare.as_bytes();
    let fits = bytes.len() >= 2
        && bytes[0].is_ascii_alphanumeric()
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(byte));
    if !fits {
        return Err(Error::invalid(format!(
            "Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        )));
    }
    Ok(bare)
}

const FIRST: [&str; 64] = [
    "amber", "ample", "apt", "arctic", "azure", "balmy", "bold", "brave", "breezy", "brisk", "calm",
    "candid", "careful", "cheery", "clever", "cosy", "crisp", "curious", "dapper", "daring", "deft", "eager",
    "early", "earnest", "fair", "fleet", "fond", "frank", "gentle", "glad", "golden", "grand", "hardy",
    "honest", "humble", "jolly", "keen", "kind", "lively", "lucid", "lucky", "mellow", "merry", "mild",
    "modest", "neat", "nimble", "noble", "patient", "placid", "plucky", "polite", "proud", "quick", "quiet",
    "ready", "sober", "spry", "steady", "sunny", "tidy", "vivid", "warm", "witty",
];

// Parts of ships and people aboard them, and those who thought of how things float.
const SECOND: [&str; 64] = [
    "anchor",
    "archimedes",
    "ballast",
    "barque",
    "beacon",
    "bosun",
    "bowline",
    "bowsprit",
    "brig",
    "bulkhead",
    "buoy",
    "capstan",
    "caravel",
    "cleat",
    "clipper",
    "compass",
    "coracle",
    "cutter",
    "davit",
    "dinghy",
    "dory",
    "fathom",
    "felucca",
    "fender",
    "ferry",
    "frigate",
    "froude",
    "galleon",
    "galley",
    "gaff",
    "gunwale",
    "halyard",
    "harbour",
    "hawser",
    "helm",
    "jib",
    "junk",
    "keel",
    "ketch",
    "lateen",
    "lugger",
    "mast",
    "mizzen",
    "packet",
    "pilot",
    "pinnace",
    "plimsoll",
    "quay",
    "reef",
    "rigger",
    "rudder",
    "schooner",
    "sextant",
    "shroud",
    "skiff",
    "sloop",
    "spar",
    "steward",
    "tender",
    "tiller",
    "trawler",
    "wherry",
    "xebec",
    "yawl",
];

/// A name such as `steady_keel`; from the third attempt on with a digit behind it.
pub fn random_name(random: u64, attempt: u32) -> String {
    let first = FIRST[(random % 64) as usize];
    let second = SECOND[(random >> 8) as usize % 64];
    let suffix = if attempt < 2 { String::new() } else { ((random >> 16) % 1000).to_string() };
    format!("{first}_{second}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule() {
        for good in ["ab", "/web", "a_b.c-d", "0x"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "/", "w", "/w", "-ab", "_ab", "a b", "a/b", "ä0", "//ab"] {
            let error = check_name(bad).unwrap_err().to_string();
            assert_eq!(
                error,
                format!("Invalid container name ({bad}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
            );
        }
        assert!(check_name(&random_name(u64::MAX, 5)).is_ok());
    }
}
