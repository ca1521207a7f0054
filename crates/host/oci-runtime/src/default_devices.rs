//! The devices that every container has (runtime specification, "Default Devices"), and the rules for them.

use hull_types::oci::runtime::{DeviceCgroup, Resources};

/// Name, major and minor number of the nodes that every container gets.
pub(crate) const NODES: [(&str, i64, i64); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// What is asked for, with the device list complete: all denied first, the defaults allowed last.
pub(crate) fn with_rules(resources: Option<&Resources>) -> Resources {
    let mut resources = resources.cloned().unwrap_or_default();
    let mut rules = vec![DeviceCgroup { access: "rwm".into(), ..DeviceCgroup::default() }];
    let asked = std::mem::take(&mut resources.devices);
    if asked.last().is_some_and(allows_all) {
        resources.devices = vec![asked.last().cloned().unwrap_or_default()];
        return resources;
    }
    // A leading "deny all" is there already.
    rules.extend(asked.into_iter().filter(|rule| *rule != rules_head()));
    let allow = |kind: &str, major: Option<i64>, minor: Option<i64>, access: &str| DeviceCgroup {
        allow: true,
        kind: kind.into(),
        major,
        minor,
        access: access.into(),
    };
    rules.push(allow("c", None, None, "m"));
    rules.push(allow("b", None, None, "m"));
    for (_, major, minor) in NODES {
        rules.push(allow("c", Some(major), Some(minor), "rwm"));
    }
    // /dev/console, /dev/pts/*, /dev/ptmx, and /dev/net/tun, which is of use only to who may set up interfaces.
    for (major, minor) in [(5, Some(1)), (136, None), (5, Some(2)), (10, Some(200))] {
        rules.push(allow("c", Some(major), minor, "rwm"));
    }
    // A rule that is there twice is one write too many.
    let mut unique: Vec<DeviceCgroup> = Vec::with_capacity(rules.len());
    for rule in rules {
        if !(rule.allow && unique.contains(&rule)) {
            unique.push(rule);
        }
    }
    resources.devices = unique;
    resources
}

fn rules_head() -> DeviceCgroup {
    DeviceCgroup { access: "rwm".into(), ..DeviceCgroup::default() }
}

fn allows_all(rule: &DeviceCgroup) -> bool {
    let any = |n: Option<i64>| n.is_none_or(|n| n < 0);
    rule.allow
        && matches!(rule.kind.as_str(), "" | "a")
        && any(rule.major)
        && any(rule.minor)
        && matches!(rule.access.as_str(), "" | "rwm")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_to_deny() {
        let rules = with_rules(None).devices;
        assert!(!rules[0].allow);
        assert_eq!(rules.len(), 1 + 2 + 6 + 4);
        let all = DeviceCgroup { allow: true, ..DeviceCgroup::default() };
        let resources = Resources { devices: vec![rules_head(), all.clone()], ..Resources::default() };
        assert_eq!(with_rules(Some(&resources)).devices, [all]);
    }
}
