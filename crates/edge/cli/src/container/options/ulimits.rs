//! `--ulimit`: `name=soft[:hard]`.

use hull_api_types::Ulimit;

const NAMES: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Checks one value.
pub fn check(text: &str) -> Result<(), String> {
    parse(text).map(drop)
}

/// Reads one value.
pub fn parse(text: &str) -> Result<Ulimit, String> {
    let (name, limits) = text.split_once('=').ok_or_else(|| format!("invalid ulimit argument: {text}"))?;
    if !NAMES.contains(&name) {
        return Err(format!("invalid ulimit type: {name}"));
    }
    let parts: Vec<_> = limits.split(':').collect();
    let number = |part: &str| {
        let value = part.parse::<i64>();
        value.map_err(|_| format!("strconv.ParseInt: parsing {part:?}: invalid syntax"))
    };
    let (soft, hard) = match parts.as_slice() {
        [both] => (number(both)?, number(both)?),
        [soft, hard] => (number(soft)?, number(hard)?),
        _ => {
            return Err(format!(
                "too many limit value arguments - {limits}, can only have up to two, `soft[:hard]`"
            ));
        }
    };
    if hard != -1 {
        if soft == -1 {
            return Err(format!(
                "ulimit soft limit must be less than or equal to hard limit: soft: -1 (unlimited), hard: {hard}"
            ));
        }
        if soft > hard {
            return Err(format!(
                "ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
            ));
        }
    }
    Ok(Ulimit { name: name.into(), hard, soft })
}

/// All values; the last one for a name counts.
pub fn all(values: &[String]) -> Result<Vec<Ulimit>, String> {
    let mut list: Vec<Ulimit> = Vec::new();
    for text in values {
        let limit = parse(text)?;
        list.retain(|known| known.name != limit.name);
        list.push(limit);
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_read() {
        let limit = parse("nofile=10:20").unwrap();
        assert_eq!((limit.soft, limit.hard), (10, 20));
        assert_eq!(parse("nproc=5").unwrap().hard, 5);
        assert_eq!(parse("memlock=-1").unwrap().hard, -1);
        for bad in ["foo", "foo=1", "nofile=2:1", "nofile=x", "nofile=1:2:3", "nofile=-1:5"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(all(&["nofile=1".into(), "nofile=2".into()]).unwrap()[0].soft, 2);
    }
}
