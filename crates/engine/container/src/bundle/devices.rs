//! Which devices a container may use.

use hull_types::oci::runtime::DeviceCgroup;

fn rule(allow: bool, kind: &str, major: Option<i64>, minor: Option<i64>, access: &str) -> DeviceCgroup {
    DeviceCgroup { allow, kind: kind.into(), major, minor, access: access.into() }
}

/// The devices of every container: nothing but the harmless ones; nodes of any may be made, not opened.
pub fn default_rules() -> Vec<DeviceCgroup> {
    let mut rules = vec![
        rule(false, "", None, None, "rwm"),
        rule(true, "c", None, None, "m"),
        rule(true, "b", None, None, "m"),
    ];
    // null, zero, full, random, urandom; tty, console, ptmx
    let devices = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)];
    rules.extend(devices.map(|(major, minor)| rule(true, "c", Some(major), Some(minor), "rwm")));
    // terminals of devpts
    rules.push(rule(true, "c", Some(136), None, "rwm"));
    rules
}

/// `c 42:* rmw`, as `--device-cgroup-rule` has it.
pub fn parse_rule(text: &str) -> Option<DeviceCgroup> {
    let mut words = text.split(' ');
    let (kind, numbers, access) = (words.next()?, words.next()?, words.next()?);
    let number = |text: &str| match text {
        "*" => Some(None),
        digits if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().ok().map(Some)
        }
        _ => None,
    };
    let (major, minor) = numbers.split_once(':')?;
    let fits = words.next().is_none()
        && matches!(kind, "a" | "b" | "c")
        && (1..=3).contains(&access.len())
        && access.bytes().all(|byte| b"rwm".contains(&byte));
    fits.then_some(())?;
    Some(rule(true, kind, number(major)?, number(minor)?, access))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_parse() {
        assert_eq!(parse_rule("c 42:* rm").unwrap(), rule(true, "c", Some(42), None, "rm"));
        for bad in ["", "c", "c 1:2", "d 1:2 r", "c 1 r", "c 1:2 x", "c -1:2 r", "c 1:2 r x", "c 1:2 rwmr"] {
            assert!(parse_rule(bad).is_none(), "{bad}");
        }
    }
}
