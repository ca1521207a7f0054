//! Devices by name: the Container Device Interface. Vendors describe in files (`/etc/cdi/*.json`, `*.yaml`) what a
//! container needs to use a device, and `--device vendor.com/class=name` asks for it.
//!
//! The files are the administrator's, as `/etc/hull` is: what they say is done, hooks on the host among it. They are
//! read whenever a device is asked for, so that a driver that was installed meanwhile is found.

use crate::error::{Error, Result};
use hull_types::oci::runtime as oci;
use rustix::fs::FileType;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The largest file that is read.
const FILE_LIMIT: u64 = 16 << 20;

/// A device that a file describes.
#[derive(Debug, Clone)]
pub struct Device {
    /// `vendor.com/class=name`.
    pub name: String,
    /// The file's notes, and the device's own over them.
    pub annotations: BTreeMap<String, String>,
    edits: ContainerEdits,
    /// Of the whole file: made once, however many of its devices are asked for.
    shared: ContainerEdits,
    file: PathBuf,
}

impl Device {
    /// Where in a container it mounts something.
    pub fn targets(&self) -> impl Iterator<Item = &str> {
        let mounts = self.edits.mounts.iter().chain(&self.shared.mounts);
        mounts.map(|mount| mount.container_path.as_str())
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Document {
    cdi_version: String,
    kind: String,
    #[serde(deserialize_with = "texts")]
    annotations: BTreeMap<String, String>,
    devices: Vec<Described>,
    container_edits: ContainerEdits,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Described {
    name: String,
    #[serde(deserialize_with = "texts")]
    annotations: BTreeMap<String, String>,
    container_edits: ContainerEdits,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerEdits {
    env: Vec<String>,
    device_nodes: Vec<DeviceNode>,
    mounts: Vec<DeviceMount>,
    hooks: Vec<DeviceHook>,
    #[serde(rename = "additionalGids")]
    additional_gids: Vec<u32>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DeviceNode {
    path: String,
    host_path: String,
    #[serde(rename = "type")]
    kind: String,
    major: Option<i64>,
    minor: Option<i64>,
    file_mode: Option<u32>,
    permissions: String,
    uid: Option<u32>,
    gid: Option<u32>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DeviceMount {
    host_path: String,
    container_path: String,
    options: Vec<String>,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DeviceHook {
    hook_name: String,
    path: String,
    args: Vec<String>,
    env: Vec<String>,
    timeout: Option<i64>,
}

/// Values of annotations are texts; YAML's `true` is one, too.
fn texts<'de, D: serde::Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    let values: BTreeMap<String, serde_json::Value> = Deserialize::deserialize(from)?;
    let text = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(values.into_iter().map(|(key, value)| (key, text(value))).collect())
}

/// What the devices of a container change in its configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edits {
    env: Vec<String>,
    nodes: Vec<oci::Device>,
    rules: Vec<oci::DeviceCgroup>,
    mounts: Vec<oci::Mount>,
    hooks: oci::Hooks,
    groups: Vec<u32>,
}

/// All devices that the files in these directories describe, by name. A later directory goes before an earlier one;
/// what two files of one directory describe is nobody's. A file that is wrong is left out and told of in the log.
pub fn devices(directories: &[PathBuf]) -> BTreeMap<String, Device> {
    let mut all: BTreeMap<String, Device> = BTreeMap::new();
    for directory in directories {
        let Ok(entries) = std::fs::read_dir(directory) else { continue };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        let mut here: BTreeMap<String, Option<Device>> = BTreeMap::new();
        for path in paths {
            let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or_default();
            if !matches!(kind, "json" | "yaml" | "yml") {
                continue;
            }
            match read(&path) {
                Ok(found) => {
                    for device in found {
                        let name = device.name.clone();
                        let device = if here.contains_key(&name) { None } else { Some(device) };
                        here.insert(name, device);
                    }
                }
                Err(why) => tracing::warn!(path = %path.display(), why, "a CDI specification is left out"),
            }
        }
        for (name, device) in here {
            match device {
                Some(device) => drop(all.insert(name, device)),
                None => {
                    tracing::warn!(name, directory = %directory.display(), "two CDI specifications describe a device");
                    all.remove(&name);
                }
            }
        }
    }
    all
}

fn read(path: &Path) -> Result<Vec<Device>, String> {
    let text = |error: std::io::Error| error.to_string();
    if std::fs::metadata(path).map_err(text)?.len() > FILE_LIMIT {
        return Err(format!("it has more than {FILE_LIMIT} bytes"));
    }
    let bytes = std::fs::read(path).map_err(text)?;
    let document: Document = match path.extension().is_some_and(|kind| kind == "json") {
        true => serde_json::from_slice(&bytes).map_err(|error| error.to_string())?,
        false => serde_yaml_ng::from_slice(&bytes).map_err(|error| error.to_string())?,
    };
    if !document.cdi_version.starts_with("0.") && !document.cdi_version.starts_with("1.") {
        return Err(format!("its cdiVersion is {:?}: 0.x and 1.x are known", document.cdi_version));
    }
    if !is_kind(&document.kind) {
        return Err(format!("its kind {:?} is not of the form vendor.com/class", document.kind));
    }
    let device = |described: &Described| {
        if !is_word(&described.name, b"_-.:") {
            return Err(format!("{:?} is no name of a device", described.name));
        }
        let mut annotations = document.annotations.clone();
        annotations.extend(described.annotations.clone());
        Ok(Device {
            name: format!("{}={}", document.kind, described.name),
            annotations,
            edits: described.container_edits.clone(),
            shared: document.container_edits.clone(),
            file: path.to_owned(),
        })
    };
    document.devices.iter().map(device).collect()
}

fn is_kind(text: &str) -> bool {
    text.split_once('/').is_some_and(|(vendor, class)| is_word(vendor, b"_-.") && is_word(class, b"_-"))
}

fn is_word(text: &str, marks: &[u8]) -> bool {
    let letters = text.as_bytes();
    letters.first().is_some_and(u8::is_ascii_alphanumeric)
        && letters.last().is_some_and(u8::is_ascii_alphanumeric)
        && letters.iter().all(|b| b.is_ascii_alphanumeric() || marks.contains(b))
}

/// What the devices of these names change.
pub(crate) fn edits(directories: &[PathBuf], names: &[String]) -> Result<Edits> {
    let mut found = Edits::default();
    if names.is_empty() {
        return Ok(found);
    }
    let all = devices(directories);
    let unknown: Vec<&str> =
        names.iter().filter(|name| !all.contains_key(*name)).map(String::as_str).collect();
    if !unknown.is_empty() {
        return Err(Error::invalid(format!(
            "CDI device injection failed: unresolvable CDI devices {}",
            unknown.join(", ")
        )));
    }
    let mut files: Vec<&Path> = Vec::new();
    for device in names.iter().filter_map(|name| all.get(name)) {
        if !files.contains(&device.file.as_path()) {
            files.push(&device.file);
            found.take(&device.shared, &device.name)?;
        }
        found.take(&device.edits, &device.name)?;
    }
    Ok(found)
}

impl Edits {
    fn take(&mut self, edits: &ContainerEdits, name: &str) -> Result<()> {
        self.env.extend(edits.env.iter().cloned());
        self.groups.extend(&edits.additional_gids);
        for node in &edits.device_nodes {
            self.node(node, name)?;
        }
        for mount in &edits.mounts {
            let mut options = mount.options.clone();
            let is_bind = options.iter().any(|option| option == "bind" || option == "rbind");
            if mount.kind.is_empty() && !is_bind {
                options.push("rbind".into());
            }
            let kind = if mount.kind.is_empty() { "bind" } else { &mount.kind };
            self.mounts.push(oci::Mount {
                destination: mount.container_path.clone(),
                source: mount.host_path.clone(),
                kind: kind.into(),
                options,
                ..oci::Mount::default()
            });
        }
        edits.hooks.iter().try_for_each(|hook| self.hook(hook, name))
    }

    fn node(&mut self, node: &DeviceNode, name: &str) -> Result<()> {
        let path = if node.host_path.is_empty() { &node.path } else { &node.host_path };
        let mut device = oci::Device {
            kind: node.kind.clone(),
            path: node.path.clone(),
            major: node.major.unwrap_or(0),
            minor: node.minor.unwrap_or(0),
            file_mode: node.file_mode,
            uid: node.uid,
            gid: node.gid,
        };
        let numbered = node.kind == "p" || (!node.kind.is_empty() && node.major.is_some());
        if !numbered || device.file_mode.is_none() {
            let here = rustix::fs::stat(path.as_str()).map_err(std::io::Error::from);
            let stat = match here {
                Ok(stat) => Some(stat),
                Err(_) if numbered => None,
                Err(error) => {
                    return Err(Error::invalid(format!(
                        "CDI device injection failed: the node {path} of {name}: {error}"
                    )));
                }
            };
            if let Some(stat) = stat {
                let kind = match FileType::from_raw_mode(stat.st_mode) {
                    FileType::CharacterDevice => "c",
                    FileType::BlockDevice => "b",
                    FileType::Fifo => "p",
                    _ => {
                        return Err(Error::invalid(format!(
                            "CDI device injection failed: {path} of {name} is not a device node"
                        )));
                    }
                };
                if !numbered {
                    device.kind = kind.into();
                    device.major = rustix::fs::major(stat.st_rdev).into();
                    device.minor = rustix::fs::minor(stat.st_rdev).into();
                }
                device.file_mode.get_or_insert(stat.st_mode & 0o777);
            }
        }
        if device.kind != "p" {
            let access = if node.permissions.is_empty() { "rwm" } else { &node.permissions };
            self.rules.push(oci::DeviceCgroup {
                allow: true,
                kind: if device.kind == "u" { "c".into() } else { device.kind.clone() },
                major: Some(device.major),
                minor: Some(device.minor),
                access: access.into(),
            });
        }
        self.nodes.push(device);
        Ok(())
    }

    fn hook(&mut self, hook: &DeviceHook, name: &str) -> Result<()> {
        let list = match hook.hook_name.as_str() {
            "prestart" => &mut self.hooks.prestart,
            "createRuntime" => &mut self.hooks.create_runtime,
            "createContainer" => &mut self.hooks.create_container,
            "startContainer" => &mut self.hooks.start_container,
            "poststart" => &mut self.hooks.poststart,
            "poststop" => &mut self.hooks.poststop,
            other => {
                return Err(Error::invalid(format!(
                    "CDI device injection failed: the hook {other:?} of {name} is not known"
                )));
            }
        };
        list.push(oci::Hook {
            path: hook.path.clone(),
            args: hook.args.clone(),
            env: hook.env.clone(),
            timeout: hook.timeout,
        });
        Ok(())
    }

    /// Makes the changes.
    pub fn apply(&self, spec: &mut oci::Spec) {
        if *self == Self::default() {
            return;
        }
        let mut user = 0;
        if let Some(process) = &mut spec.process {
            user = process.user.uid;
            for entry in &self.env {
                let name = entry.split('=').next();
                process.env.retain(|known| known.split('=').next() != name);
                process.env.push(entry.clone());
            }
            // Group 0 is root's: a file that gives it gives too much.
            for group in self.groups.iter().filter(|group| **group != 0) {
                if !process.user.additional_gids.contains(group) {
                    process.user.additional_gids.push(*group);
                }
            }
        }
        if let Some(linux) = &mut spec.linux {
            for node in &self.nodes {
                let mut node = node.clone();
                if user != 0 {
                    // Else only root could use it.
                    node.uid.get_or_insert(user);
                }
                linux.devices.retain(|known| known.path != node.path);
                linux.devices.push(node);
            }
            if let Some(limits) = &mut linux.resources {
                limits.devices.extend(self.rules.iter().cloned());
            }
        }
        for mount in &self.mounts {
            spec.mounts.retain(|known| known.destination != mount.destination);
        }
        let mut mounts = self.mounts.clone();
        mounts.sort_by_key(|mount| mount.destination.matches('/').count());
        spec.mounts.extend(mounts);
        if self.hooks != oci::Hooks::default() {
            spec.hooks = Some(self.hooks.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = "cdiVersion: \"0.6.0\"\nkind: vendor.com/device\nannotations:\n  plain: true\ncontainerEdits:\n  env: [SHARED=1]\n  \
        mounts:\n  - hostPath: /usr/lib/a\n    containerPath: /usr/lib/deep/a\n    options: [ro, nosuid, bind]\n  additionalGids: [0, 44]\ndevices:\n\
        - name: one\n  annotations: { own: x }\n  containerEdits:\n    env: [ONE=1, PATH=/one]\n    deviceNodes:\n    - path: /dev/one\n      hostPath: /dev/null\n      permissions: rw\n\
        - name: two\n  containerEdits:\n    deviceNodes: [{ path: /dev/two, type: c, major: 1, minor: 5, fileMode: 438, uid: 3 }]\n    hooks:\n    - hookName: createContainer\n      path: /bin/true\n      args: [true, x]\n";

    fn written(files: &[(&str, &str)]) -> (tempfile::TempDir, Vec<PathBuf>) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let directories = ["a", "b"].map(|name| root.path().join(name)).to_vec();
        (root, directories)
    }

    fn json(kind: &str, name: &str, value: &str) -> String {
        format!(
            r#"{{"cdiVersion":"1.0.0","kind":"{kind}","devices":[{{"name":"{name}","containerEdits":{{"env":["V={value}"]}}}}]}}"#
        )
    }

    #[test]
    fn edits_are_made() {
        let (_root, directories) = written(&[("a/v.yaml", YAML)]);
        let names = ["vendor.com/device=one".to_owned(), "vendor.com/device=two".to_owned()];
        let edits = edits(&directories, &names).unwrap();
        let mut spec = oci::Spec {
            process: Some(oci::Process {
                env: vec!["PATH=/bin".into()],
                user: oci::User { uid: 7, ..oci::User::default() },
                ..oci::Process::default()
            }),
            linux: Some(oci::Linux { resources: Some(oci::Resources::default()), ..oci::Linux::default() }),
            ..oci::Spec::default()
        };
        edits.apply(&mut spec);
        let process = spec.process.unwrap();
        assert_eq!(process.env, ["SHARED=1", "ONE=1", "PATH=/one"]);
        assert_eq!(process.user.additional_gids, [44]);
        let linux = spec.linux.unwrap();
        let nodes: Vec<_> = linux
            .devices
            .iter()
            .map(|n| (n.path.as_str(), n.kind.as_str(), n.major, n.minor, n.uid))
            .collect();
        assert_eq!(nodes, [("/dev/one", "c", 1, 3, Some(7)), ("/dev/two", "c", 1, 5, Some(3))]);
        let access: Vec<_> =
            linux.resources.unwrap().devices.iter().map(|rule| rule.access.clone()).collect();
        assert_eq!(access, ["rw", "rwm"]);
        assert_eq!(spec.mounts.len(), 1);
        assert_eq!(spec.hooks.unwrap().create_container[0].args, ["true", "x"]);
    }

    #[test]
    fn later_directories_go_before_and_conflicts_are_nobodys() {
        let (_root, directories) = written(&[
            ("a/one.json", &json("v.com/c", "x", "first")),
            ("a/no.json", "{"),
            ("a/note.txt", "x"),
            ("a/bad.json", &json("nokind", "x", "y")),
            ("b/one.json", &json("v.com/c", "x", "second")),
            ("b/two.json", &json("v.com/c", "y", "1")),
            ("b/three.json", &json("v.com/c", "y", "2")),
        ]);
        let all = devices(&directories);
        assert_eq!(all.keys().collect::<Vec<_>>(), ["v.com/c=x"]);
        assert_eq!(all["v.com/c=x"].edits.env, ["V=second"]);
        let error = edits(&directories, &["v.com/c=x".into(), "v.com/c=y".into()]).unwrap_err();
        assert_eq!(error.to_string(), "CDI device injection failed: unresolvable CDI devices v.com/c=y");
    }

    #[test]
    fn notes_of_a_device_go_before_its_files() {
        let (_root, directories) = written(&[("b/v.yml", YAML)]);
        let all = devices(&directories);
        let notes = &all["vendor.com/device=one"].annotations;
        assert_eq!((notes["plain"].as_str(), notes["own"].as_str()), ("true", "x"));
        assert!(!all["vendor.com/device=two"].annotations.contains_key("own"));
    }
}
