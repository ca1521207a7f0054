//! `spec`: a configuration to start from.

use super::{Global, Outcome};
use crate::arguments::{Arguments, short, switch, value};
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;

const TEMPLATE: &str = include_str!("spec.json");

pub(super) fn spec(_: &Global, given: Vec<OsString>) -> Outcome {
    let arguments = Arguments::parse(given, &[short("b", value("bundle")), switch("rootless")], false)?;
    let path = Path::new(arguments.get("bundle").unwrap_or(".")).join("config.json");
    let mut file = match std::fs::OpenOptions::new().write(true).create_new(true).open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(format!("File {} exists. Remove it first", path.display()));
        }
        result => result.map_err(|error| format!("cannot create {}: {error}", path.display()))?,
    };
    let mut content = TEMPLATE.replace("@VERSION@", hull_types::oci::runtime::VERSION);
    if arguments.is_set("rootless") {
        let (uid, gid) = (hull_sys::rustix::process::geteuid(), hull_sys::rustix::process::getegid());
        content = rootless(&content, uid.as_raw(), gid.as_raw());
    }
    file.write_all(content.as_bytes())
        .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(0)
}

/// Without privilege: a user namespace for the caller, and no mount of what it may not mount.
fn rootless(spec: &str, uid: u32, gid: u32) -> String {
    let id = |name: &str, outside: u32| {
        format!(
            "\"{name}\": [\n      {{\n        \"containerID\": 0,\n        \"hostID\": {outside},\n        \"size\": 1\n      }}\n    ],\n    "
        )
    };
    let mappings = format!("{}{}\"resources\": {{}},", id("uidMappings", uid), id("gidMappings", gid));
    let device_rules = "\"resources\": {\n      \"devices\": [\n        {\n          \"allow\": false,\n          \"access\": \"rwm\"\n        }\n      ]\n    },";
    let sysfs = "\"type\": \"sysfs\",\n      \"source\": \"sysfs\",\n      \"options\": [";
    let host_sys =
        "\"type\": \"none\",\n      \"source\": \"/sys\",\n      \"options\": [\n        \"rbind\",";
    spec.replace(device_rules, &mappings)
        .replace("\"type\": \"network\"", "\"type\": \"user\"")
        .replace(sysfs, host_sys)
        .replace(",\n        \"gid=5\"", "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_rootless_configuration_differs_in_what_it_may_not_have() {
        let spec: Value = serde_json::from_str(&rootless(TEMPLATE, 1000, 100)).unwrap();
        let mut expected: Value = serde_json::from_str(TEMPLATE).unwrap();
        let linux = &mut expected["linux"];
        linux["uidMappings"] = json!([{"containerID": 0, "hostID": 1000, "size": 1}]);
        linux["gidMappings"] = json!([{"containerID": 0, "hostID": 100, "size": 1}]);
        linux["resources"] = json!({});
        linux["namespaces"][1] = json!({"type": "user"});
        expected["mounts"][2]["options"].as_array_mut().unwrap().retain(|option| option != "gid=5");
        expected["mounts"][5] = json!({"destination": "/sys", "type": "none", "source": "/sys",
            "options": ["rbind", "nosuid", "noexec", "nodev", "ro"]});
        assert_eq!(spec, expected);
    }
}
