//! Limits as properties of a unit (systemd.resource-control(5)). Pure, but for the names of device groups.

use super::message::{Property, Value};
use hull_types::oci::runtime::{Cpu, DeviceCgroup, Memory, Resources};

/// `infinity`.
const UNLIMITED: u64 = u64::MAX;

fn number(name: &'static str, value: Option<u64>) -> Option<Property> {
    value.map(|value| (name, Value::Number(value)))
}

fn bytes(value: Option<i64>) -> Option<u64> {
    value.filter(|value| *value != 0).map(|value| u64::try_from(value).unwrap_or(UNLIMITED))
}

/// The limits that systemd knows.
pub(super) fn of(resources: &Resources, is_version_2: bool) -> Vec<Property> {
    let mut all = Vec::new();
    if let Some(memory) = &resources.memory {
        all.extend(of_memory(memory, is_version_2));
    }
    if let Some(cpu) = &resources.cpu {
        all.extend(of_cpu(cpu, is_version_2));
    }
    if let Some(pids) = resources.pids {
        let limit = u64::try_from(pids.limit).ok().filter(|limit| *limit > 0).unwrap_or(UNLIMITED);
        all.push(("TasksMax", Value::Number(limit)));
    }
    let weight =
        resources.block_io.as_ref().and_then(|block_io| block_io.weight).filter(|weight| *weight != 0);
    let name = if is_version_2 { "IOWeight" } else { "BlockIOWeight" };
    all.extend(number(name, weight.map(u64::from)));
    all
}

fn of_memory(memory: &Memory, is_version_2: bool) -> Vec<Property> {
    if !is_version_2 {
        return number("MemoryLimit", bytes(memory.limit)).into_iter().collect();
    }
    let limit = bytes(memory.limit);
    // Version 2 counts swap alone.
    let swap = match (bytes(memory.swap), limit) {
        (Some(UNLIMITED), _) => Some(UNLIMITED),
        (Some(swap), Some(limit)) => Some(swap.saturating_sub(limit)),
        _ => None,
    };
    [
        number("MemoryMax", limit),
        number("MemoryLow", bytes(memory.reservation)),
        number("MemorySwapMax", swap),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn of_cpu(cpu: &Cpu, is_version_2: bool) -> Vec<Property> {
    let mut all = Vec::new();
    if let Some(shares) = cpu.shares.filter(|shares| *shares != 0) {
        all.push(match is_version_2 {
            true => ("CPUWeight", Value::Number(crate::plan::weight(shares))),
            false => ("CPUShares", Value::Number(shares)),
        });
    }
    let period = cpu.period.filter(|period| *period != 0);
    all.extend(number("CPUQuotaPeriodUSec", period));
    if let Some(quota) = cpu.quota.filter(|quota| *quota != 0) {
        let per_second = match u64::try_from(quota) {
            // systemd rounds to whole percents, 10 ms of a second: upwards, so that nobody gets less.
            Ok(quota) => (quota * 1_000_000 / period.unwrap_or(100_000)).next_multiple_of(10_000),
            Err(_) => UNLIMITED,
        };
        all.push(("CPUQuotaPerSecUSec", Value::Number(per_second)));
    }
    if is_version_2 {
        all.extend(mask(&cpu.cpus).map(|mask| ("AllowedCPUs", Value::Bytes(mask))));
        all.extend(mask(&cpu.mems).map(|mask| ("AllowedMemoryNodes", Value::Bytes(mask))));
    }
    all
}

/// `0-3,9` as bits, byte by byte from the lowest.
fn mask(list: &str) -> Option<Vec<u8>> {
    let mut mask = Vec::new();
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        for bit in first..=last.min(8191) {
            mask.resize(mask.len().max(bit / 8 + 1), 0_u8);
            mask[bit / 8] |= 1 << (bit % 8);
        }
    }
    (!mask.is_empty()).then_some(mask)
}

/// The device list as systemd has it: nothing but what is allowed. Without a rule for all it is told to deny the rest,
/// so that a reload does not open what the runtime closed.
pub(super) fn devices(rules: &[DeviceCgroup]) -> Vec<Property> {
    let is_all = |rule: &DeviceCgroup| {
        rule.major.is_none_or(|n| n < 0)
            && rule.minor.is_none_or(|n| n < 0)
            && matches!(rule.kind.as_str(), "" | "a")
    };
    if rules.is_empty() || rules.iter().any(|rule| rule.allow && is_all(rule)) {
        return Vec::new();
    }
    let groups = std::fs::read_to_string("/proc/devices").unwrap_or_default();
    let allowed = rules.iter().filter(|rule| rule.allow).filter_map(|rule| device(rule, &groups)).collect();
    vec![("DevicePolicy", Value::Text("strict".into())), ("DeviceAllow", Value::Pairs(allowed))]
}

fn device(rule: &DeviceCgroup, groups: &str) -> Option<(String, String)> {
    let kind = if rule.kind == "b" { "block" } else { "char" };
    let set = |n: Option<i64>| n.filter(|n| *n >= 0);
    let name = match (set(rule.major), set(rule.minor)) {
        (Some(major), Some(minor)) => format!("/dev/{kind}/{major}:{minor}"),
        (Some(major), None) => format!("{kind}-{}", group(groups, kind, major)?),
        (None, None) => format!("{kind}-*"),
        // systemd has no words for it; the runtime's own rules do.
        (None, Some(_)) => return None,
    };
    let access = if rule.access.is_empty() { "rwm".into() } else { rule.access.clone() };
    Some((name, access))
}

/// A major number's name in `/proc/devices`.
fn group<'a>(groups: &'a str, kind: &str, major: i64) -> Option<&'a str> {
    let title = if kind == "block" { "Block devices:" } else { "Character devices:" };
    let mut lines =
        groups.lines().skip_while(|line| *line != title).skip(1).take_while(|line| !line.is_empty());
    lines.find_map(|line| {
        let (number, name) = line.trim().split_once(' ')?;
        (number.parse() == Ok(major)).then_some(name.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resources(json: &str) -> Resources {
        hull_types::document::from_json(json.as_bytes()).unwrap()
    }

    const ALL: &str = r#"{"memory":{"limit":536870912,"swap":1073741824,"reservation":1000000},
        "cpu":{"shares":512,"quota":50000,"period":100000,"cpus":"0-1,9","mems":"0"},"pids":{"limit":99},
        "blockIO":{"weight":500}}"#;

    fn golden(json: &str, is_version_2: bool) -> String {
        of(&resources(json), is_version_2).iter().map(|(name, value)| format!("{name}={value:?}\n")).collect()
    }

    #[test]
    fn version_2() {
        assert_eq!(
            golden(ALL, true),
            "MemoryMax=Number(536870912)\nMemoryLow=Number(1000000)\nMemorySwapMax=Number(536870912)\n\
             CPUWeight=Number(20)\nCPUQuotaPeriodUSec=Number(100000)\nCPUQuotaPerSecUSec=Number(500000)\n\
             AllowedCPUs=Bytes([3, 2])\nAllowedMemoryNodes=Bytes([1])\nTasksMax=Number(99)\nIOWeight=Number(500)\n"
        );
        assert_eq!(
            golden(r#"{"memory":{"limit":-1},"pids":{"limit":-1},"cpu":{"quota":-1}}"#, true)
                .matches("18446744073709551615")
                .count(),
            3
        );
    }

    #[test]
    fn version_1() {
        assert_eq!(
            golden(ALL, false),
            "MemoryLimit=Number(536870912)\nCPUShares=Number(512)\nCPUQuotaPeriodUSec=Number(100000)\n\
             CPUQuotaPerSecUSec=Number(500000)\nTasksMax=Number(99)\nBlockIOWeight=Number(500)\n"
        );
        assert_eq!(golden("{}", false), "");
    }

    #[test]
    fn devices_are_what_is_allowed() {
        let rules = resources(
            r#"{"devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":1,"minor":3,"access":"rwm"},
            {"allow":true,"type":"b","access":"m"}]}"#,
        );
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            devices(&rules.devices),
            [
                ("DevicePolicy", Value::Text("strict".into())),
                ("DeviceAllow", Value::Pairs(vec![pair("/dev/char/1:3", "rwm"), pair("block-*", "m")]))
            ]
        );
        assert!(devices(&resources(r#"{"devices":[{"allow":true,"access":"rwm"}]}"#).devices).is_empty());
        let text = "Character devices:\n  1 mem\n136 pts\n\nBlock devices:\n  1 ramdisk\n";
        assert_eq!(
            (group(text, "char", 136), group(text, "block", 1), group(text, "block", 9)),
            (Some("pts"), Some("ramdisk"), None)
        );
    }
}
