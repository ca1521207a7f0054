//! `RUN --device=NAME[,required]`: the devices of the Container Device Interface that a step gets.

use crate::error::{Error, Result};
use hull_container::cdi::Device;
use std::collections::BTreeMap;

/// The class that a device says it is of.
const CLASS: &str = "org.mobyproject.buildkit.device.class";
/// Whether builds get a device without asking for the right to.
const ALLOWED: &str = "org.mobyproject.buildkit.device.autoallow";

/// The devices that a step asks for. `entitlements` are what the build allows.
pub(super) fn find(
    asked: &[String],
    entitlements: &[String],
    known: impl FnOnce() -> BTreeMap<String, Device>,
) -> Result<Vec<Device>> {
    let mut devices: Vec<Device> = Vec::new();
    if asked.is_empty() {
        return Ok(devices);
    }
    let known = known();
    for text in asked {
        let (pattern, required) = parse(text)?;
        let found = matching(pattern, &known);
        if found.is_empty() && required {
            let names = known.keys().map(String::as_str);
            let hint = hull_dockerfile::nearest(pattern, names);
            let hint = hint.map(|name| format!(" (did you mean {name}?)")).unwrap_or_default();
            return Err(Error::NotFound(format!(
                "required device {pattern:?} is not registered: no CDI specification describes it{hint}"
            )));
        }
        for device in found {
            let allowed = device.annotations.get(ALLOWED).is_some_and(|text| text == "true")
                || entitlements.iter().any(|right| {
                    right == "device" || right.strip_prefix("device=").is_some_and(|only| only == device.name)
                });
            if !allowed {
                return Err(Error::Invalid(format!(
                    "granting entitlement device is not allowed by build options: --allow device={}",
                    device.name
                )));
            }
            if !devices.iter().any(|known| known.name == device.name) {
                devices.push(device.clone());
            }
        }
    }
    Ok(devices)
}

fn parse(text: &str) -> Result<(&str, bool)> {
    let (mut name, mut required) = ("", false);
    for field in text.split(',') {
        match field.split_once('=') {
            None if field == "required" => required = true,
            Some(("required", "true" | "1")) => required = true,
            Some(("required", "false" | "0")) => required = false,
            Some(("required", other)) => {
                return Err(Error::Invalid(format!(
                    "invalid value {other:?} for required of --device={text}"
                )));
            }
            Some(("name", value)) if name.is_empty() => name = value,
            _ if name.is_empty() && !field.is_empty() => name = field,
            _ => return Err(Error::Invalid(format!("unexpected {field:?} in --device={text}"))),
        }
    }
    match name {
        "" => Err(Error::Invalid(format!("--device={text} names no device"))),
        name => Ok((name, required)),
    }
}

/// `vendor.com/class=name`, `=*` for all of a kind, the kind alone for its first, or what devices say they are.
fn matching<'a>(pattern: &str, known: &'a BTreeMap<String, Device>) -> Vec<&'a Device> {
    let of_kind = |kind: &str| {
        let start = format!("{kind}=");
        known.values().filter(move |device| device.name.starts_with(&start))
    };
    match pattern.split_once('=') {
        Some((kind, "*")) => of_kind(kind).collect(),
        Some(_) => known.get(pattern).into_iter().collect(),
        None if pattern.contains('/') => of_kind(pattern).take(1).collect(),
        None => known
            .values()
            .filter(|device| device.annotations.get(CLASS).is_some_and(|c| c == pattern))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> BTreeMap<String, Device> {
        let root = tempfile::tempdir().unwrap();
        let text = format!(
            "cdiVersion: 0.6.0\nkind: v.com/d\nannotations: {{ {ALLOWED}: true }}\ndevices:\n- name: a\n- name: b\n  annotations: {{ {CLASS}: fast }}\n\
             - name: c\n  annotations: {{ {CLASS}: fast, {ALLOWED}: false }}\n"
        );
        std::fs::write(root.path().join("v.yaml"), text).unwrap();
        hull_container::cdi::devices(&[root.path().to_owned()])
    }

    #[test]
    fn devices_are_found_by_name_kind_and_class() {
        let found = |text: &str, rights: &[&str]| {
            let rights: Vec<String> = rights.iter().map(ToString::to_string).collect();
            let found = find(&[text.to_owned()], &rights, known)?;
            Ok::<_, Error>(found.into_iter().map(|device| device.name).collect::<Vec<_>>())
        };
        assert_eq!(found("v.com/d=b", &[]).unwrap(), ["v.com/d=b"]);
        assert_eq!(found("v.com/d,required", &[]).unwrap(), ["v.com/d=a"]);
        assert_eq!(found("v.com/d=*", &["device"]).unwrap().len(), 3);
        assert_eq!(found("fast", &["device=v.com/d=c"]).unwrap(), ["v.com/d=b", "v.com/d=c"]);
        let said = found("fast", &[]).unwrap_err().to_string();
        assert!(said.contains("--allow device=v.com/d=c"), "{said}");
        // One that is not there is left out, unless it has to be there.
        assert!(found("v.com/e=x", &[]).unwrap().is_empty());
        let said = found("v.com/d=bb,required", &[]).unwrap_err().to_string();
        assert!(said.contains("is not registered") && said.contains("did you mean v.com/d="), "{said}");
        for wrong in ["", ",required", "a,b", "a,required=maybe"] {
            assert!(found(wrong, &[]).is_err(), "{wrong}");
        }
    }
}
