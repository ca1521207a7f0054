//! `spec`: a configuration to start from.

use super::{Global, Outcome, text};
use crate::arguments::{Arguments, short, switch, value};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;

pub(super) fn spec(_: &Global, given: Vec<OsString>) -> Outcome {
    let arguments = Arguments::parse(given, &[short("b", value("bundle")), switch("rootless")], false)?;
    let path = Path::new(arguments.get("bundle").unwrap_or(".")).join("config.json");
    let mut file = match std::fs::OpenOptions::new().write(true).create_new(true).open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(format!("File {} exists. Remove it first", path.display()));
        }
        result => result.map_err(|error| format!("cannot create {}: {error}", path.display()))?,
    };
    let mut content = include_str!("spec.json").replace("@VERSION@", hull_types::oci::runtime::VERSION);
    if arguments.is_set("rootless") {
        let mut spec = serde_json::from_slice(content.as_bytes()).map_err(text)?;
        make_rootless(&mut spec);
        content = format!("{spec:#}\n");
    }
    file.write_all(content.as_bytes())
        .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(0)
}

/// Without privilege: a user namespace for the caller, and no mount of what it may not mount.
fn make_rootless(spec: &mut Value) {
    let id = |inside: u32, outside: u32| json!([{"containerID": inside, "hostID": outside, "size": 1}]);
    let linux = &mut spec["linux"];
    linux["uidMappings"] = id(0, hull_sys::rustix::process::geteuid().as_raw());
    linux["gidMappings"] = id(0, hull_sys::rustix::process::getegid().as_raw());
    linux["resources"] = json!({});
    if let Some(namespaces) = linux["namespaces"].as_array_mut() {
        namespaces.retain(|namespace| namespace["type"] != "network");
        namespaces.push(json!({"type": "user"}));
    }
    if let Some(mounts) = spec["mounts"].as_array_mut() {
        for mount in mounts.iter_mut() {
            if mount["destination"] == "/sys" {
                *mount = json!({"destination": "/sys", "type": "none", "source": "/sys",
                    "options": ["rbind", "nosuid", "noexec", "nodev", "ro"]});
            }
            if let Some(options) = mount["options"].as_array_mut() {
                options.retain(|option| option != "gid=5");
            }
        }
    }
}
