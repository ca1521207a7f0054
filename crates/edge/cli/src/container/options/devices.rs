//! `--device`, `--gpus` and the limits of single devices.

use super::csv;
use hull_api_types::{DeviceMapping, DeviceRequest, Map, ThrottleDevice, WeightDevice};
use hull_types::size;

/// The devices to pass on by path, and the names of those that the engine finds by the Container Device Interface.
pub fn parse(values: &[String]) -> Result<(Vec<DeviceMapping>, Vec<String>), String> {
    let (mut mappings, mut names) = (Vec::new(), Vec::new());
    for text in values {
        if is_cdi_name(text) {
            names.push(text.clone());
        } else {
            mappings.push(mapping(text)?);
        }
    }
    Ok((mappings, names))
}

fn mapping(text: &str) -> Result<DeviceMapping, String> {
    let parts: Vec<_> = text.split(':').collect();
    let malformed = || format!("bad format for path: {text}");
    if parts.len() > 3 || parts[0].is_empty() {
        return Err(malformed());
    }
    let (inside, permissions) = match parts.as_slice() {
        [path] => (*path, "rwm"),
        [path, mode] if is_mode(mode) => (*path, *mode),
        [_, inside] => (*inside, "rwm"),
        [_, inside, mode] if is_mode(mode) => (*inside, *mode),
        [_, _, mode] => return Err(format!("bad mode specified: {mode}")),
        _ => return Err(malformed()),
    };
    if !inside.starts_with('/') {
        return Err(format!("{inside} is not an absolute path"));
    }
    let source = if parts.len() == 1 || is_mode(parts[1]) && parts.len() == 2 {
        clean(parts[0])
    } else {
        parts[0].into()
    };
    let inside = if parts.len() == 3 { inside.to_owned() } else { clean(inside) };
    Ok(DeviceMapping {
        path_on_host: source,
        path_in_container: inside,
        cgroup_permissions: permissions.into(),
    })
}

fn is_mode(text: &str) -> bool {
    let once = |letter: char| text.matches(letter).count() <= 1;
    !text.is_empty() && text.chars().all(|letter| "rwm".contains(letter) && once(letter))
}

/// Go's `path.Clean`.
pub fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            other => parts.push(other),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".into(),
        (false, false) => joined,
    }
}

/// `vendor.com/class=name`.
fn is_cdi_name(text: &str) -> bool {
    let Some((kind, name)) = text.split_once('=') else { return false };
    let Some((vendor, class)) = kind.split_once('/') else { return false };
    let word = |text: &str, marks: &str| {
        let letters = text.as_bytes();
        letters.first().is_some_and(u8::is_ascii_alphabetic)
            && letters.last().is_some_and(u8::is_ascii_alphanumeric)
            && letters.iter().all(|b| b.is_ascii_alphanumeric() || marks.as_bytes().contains(b))
    };
    let letters = name.as_bytes();
    word(vendor, "_-.")
        && word(class, "_-")
        && letters.first().is_some_and(u8::is_ascii_alphanumeric)
        && letters.last().is_some_and(u8::is_ascii_alphanumeric)
        && letters.iter().all(|b| b.is_ascii_alphanumeric() || b"_-.:".contains(b))
}

/// Checks a value of `--device-cgroup-rule`.
pub fn check_rule(text: &str) -> Result<(), String> {
    let number = |part: &str| part == "*" || (!part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    let fits = match text.split(' ').collect::<Vec<_>>().as_slice() {
        [kind, numbers, access] => {
            matches!(*kind, "a" | "c" | "b")
                && numbers.split_once(':').is_some_and(|(major, minor)| number(major) && number(minor))
                && matches!(access.len(), 1..=3)
                && access.chars().all(|letter| "rwm".contains(letter))
        }
        _ => false,
    };
    if fits { Ok(()) } else { Err(format!("invalid device cgroup format '{text}'")) }
}

/// Checks a value of `--blkio-weight-device`.
pub fn check_weight(text: &str) -> Result<(), String> {
    weight(text).map(drop)
}

/// Reads a value of `--blkio-weight-device`.
pub fn weight(text: &str) -> Result<WeightDevice, String> {
    let (path, value) = limited(text)?;
    let wrong = || format!("invalid weight for device: {text}");
    let weight: u16 = value.parse().map_err(|_| wrong())?;
    if weight > 0 && !(10..=1000).contains(&weight) {
        return Err(wrong());
    }
    Ok(WeightDevice { path: path.into(), weight })
}

/// Checks a value of `--device-read-bps` or `--device-write-bps`.
pub fn check_bytes(text: &str) -> Result<(), String> {
    bytes(text).map(drop)
}

/// Reads a value of `--device-read-bps` or `--device-write-bps`.
pub fn bytes(text: &str) -> Result<ThrottleDevice, String> {
    let (path, value) = limited(text)?;
    let rate = size::parse_binary(value).and_then(|rate| u64::try_from(rate).ok());
    let rate = rate.ok_or_else(|| {
        format!(
            "invalid rate for device: {text}. The correct format is <device-path>:<number>[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb"
        )
    })?;
    Ok(ThrottleDevice { path: path.into(), rate })
}

/// Checks a value of `--device-read-iops` or `--device-write-iops`.
pub fn check_operations(text: &str) -> Result<(), String> {
    operations(text).map(drop)
}

/// Reads a value of `--device-read-iops` or `--device-write-iops`.
pub fn operations(text: &str) -> Result<ThrottleDevice, String> {
    let (path, value) = limited(text)?;
    let rate = value.parse().map_err(|_| {
        format!(
            "invalid rate for device: {text}. The correct format is <device-path>:<number>. Number must be a positive integer"
        )
    })?;
    Ok(ThrottleDevice { path: path.into(), rate })
}

fn limited(text: &str) -> Result<(&str, &str), String> {
    let (path, value) = text
        .split_once(':')
        .filter(|(path, _)| !path.is_empty())
        .ok_or_else(|| format!("bad format: {text}"))?;
    if !path.starts_with("/dev/") {
        return Err(format!("bad format for device path: {text}"));
    }
    Ok((path, value))
}

/// Checks a value of `--gpus`.
pub fn check_gpus(text: &str) -> Result<(), String> {
    gpus(text).map(drop)
}

/// Reads a value of `--gpus`.
pub fn gpus(text: &str) -> Result<DeviceRequest, String> {
    let mut request = DeviceRequest::default();
    let mut seen: Vec<String> = Vec::new();
    for field in csv::record(text)? {
        let pair = field.split_once('=');
        let key = pair.map_or(field.as_str(), |(key, _)| key);
        if seen.iter().any(|known| known == key) {
            return Err(format!("gpu request key '{key}' can be specified only once"));
        }
        seen.push(key.to_owned());
        let Some((key, value)) = pair else {
            seen.push("count".into());
            request.count = count(key)?;
            continue;
        };
        let list = || value.split(',').map(str::to_owned);
        match key {
            "driver" => request.driver = value.into(),
            "count" => request.count = count(value)?,
            "device" => request.device_ids = Some(list().collect()),
            "capabilities" => request.capabilities = Some(vec![list().chain(["gpu".into()]).collect()]),
            "options" => request.options = Some(options(value)?),
            _ => return Err(format!("unexpected key '{key}' in '{field}'")),
        }
    }
    if !seen.iter().any(|key| key == "count") && request.device_ids.is_none() {
        request.count = 1;
    }
    request.options.get_or_insert_default();
    request.capabilities.get_or_insert_with(|| vec![vec!["gpu".into()]]);
    Ok(request)
}

fn options(text: &str) -> Result<Map<String>, String> {
    let pair = |field: String| match field.split_once('=') {
        Some((key, value)) => (key.to_owned(), value.to_owned()),
        None => (field, String::new()),
    };
    Ok(csv::record(text)?.into_iter().map(pair).collect())
}

fn count(text: &str) -> Result<i64, String> {
    if text == "all" {
        return Ok(-1);
    }
    text.parse().map_err(|_| {
        format!("invalid count ({text}): value must be either \"all\" or an integer: invalid syntax")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_read() {
        let shown = |text: &str| match mapping(text) {
            Ok(m) => format!("{} {} {}", m.path_on_host, m.path_in_container, m.cgroup_permissions),
            Err(why) => why,
        };
        for (text, result) in [
            ("/dev/null", "/dev/null /dev/null rwm"),
            ("/dev/null:rw", "/dev/null /dev/null rw"),
            ("/dev/a:/dev/b", "/dev/a /dev/b rwm"),
            ("/dev/a:/dev/b:r", "/dev/a /dev/b r"),
            ("/dev/a:/dev/b:rr", "bad mode specified: rr"),
            ("/dev/a:b", "b is not an absolute path"),
            (":/dev/b", "bad format for path: :/dev/b"),
            ("a:b:c:d", "bad format for path: a:b:c:d"),
        ] {
            assert_eq!(shown(text), result, "{text}");
        }
        assert!(is_cdi_name("nvidia.com/gpu=0") && !is_cdi_name("/dev/x=y"));
    }

    #[test]
    fn limits_and_rules_read() {
        assert_eq!(weight("/dev/sda:200").unwrap().weight, 200);
        assert!(weight("/dev/sda:5").is_err() && weight("sda:20").is_err() && weight("foo").is_err());
        assert_eq!(bytes("/dev/sda:1mb").unwrap().rate, 1 << 20);
        assert_eq!(operations("/dev/sda:7").unwrap().rate, 7);
        assert!(
            check_rule("c 1:3 mr").is_ok()
                && check_rule("a *:* rwm").is_ok()
                && check_rule("x 1:3 r").is_err()
        );
    }

    #[test]
    fn gpus_read() {
        assert_eq!(gpus("all").unwrap().count, -1);
        assert_eq!(gpus("2").unwrap().count, 2);
        let request = gpus("\"device=0,1\",capabilities=utility").unwrap();
        assert_eq!(request.device_ids.unwrap(), ["0", "1"]);
        assert_eq!(request.capabilities.unwrap(), [["utility", "gpu"]]);
        assert_eq!(gpus("foo=bar").unwrap_err(), "unexpected key 'foo' in 'foo=bar'");
    }
}
