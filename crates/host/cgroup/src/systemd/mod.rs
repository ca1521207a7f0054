//! The systemd driver: a container's group is a scope of systemd's, which makes it and knows its limits.
//!
//! ```text
//!   "slice:prefix:name" ─▶ Unit ─ StartTransientUnit(PIDs, limits) ─▶ <slices>/<prefix>-<name>.scope
//!                            └ SetUnitProperties (update) · StopUnit (delete)
//! ```
//!
//! systemd would undo on its next reload what it was not told. So limits are told to it and written too: by the same
//! plan as without it, since it does not know all of them. `Delegate` leaves what is below the scope to the container.

mod bus;
mod message;
mod properties;

use crate::{Error, Result};
use bus::Bus;
use hull_types::oci::runtime::Resources;
use message::{Body, Property, Value};
use std::io;

/// A unit of systemd's that is, or is to be, a container's group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    slice: String,
    name: String,
    path: String,
}

impl Unit {
    /// Of a `cgroupsPath` of this driver: `slice:prefix:name`. No slice is `system.slice`.
    pub fn parse(text: &str) -> Result<Self> {
        let invalid = || Error::UnitPath(text.into());
        let [slice, prefix, name] = text.split(':').collect::<Vec<_>>()[..] else { return Err(invalid()) };
        let plain = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b));
        if name.is_empty() || !plain(name) || !plain(prefix) {
            return Err(invalid());
        }
        let slice = if slice.is_empty() { "system.slice" } else { slice };
        let above = expand(slice).ok_or_else(invalid)?;
        let name = match (name.ends_with(".slice"), prefix) {
            (true, _) => name.to_owned(),
            (false, "") => format!("{name}.scope"),
            (false, prefix) => format!("{prefix}-{name}.scope"),
        };
        Ok(Self { path: format!("{above}/{name}"), slice: slice.into(), name })
    }

    /// The unit of a name that [`name`](Self::name) gave, for what needs no more.
    pub fn named(name: &str) -> Self {
        Self { slice: String::new(), name: name.into(), path: String::new() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its group's path below each hierarchy's mount point.
    pub fn path(&self) -> &str {
        &self.path
    }

    fn failed(&self) -> impl Fn(io::Error) -> Error {
        let unit = self.name.clone();
        move |source| Error::Systemd { unit: unit.clone(), source }
    }

    /// Makes it with limits and a first process, and waits until systemd has.
    pub fn start(&self, pid: i32, resources: &Resources, is_version_2: bool) -> Result<()> {
        let mut all: Vec<Property> = vec![
            ("Description", Value::Text(format!("hull container {}", self.name))),
            ("Slice", Value::Text(self.slice.clone())),
            ("DefaultDependencies", Value::Flag(false)),
        ];
        if !self.name.ends_with(".slice") {
            all.push(("Delegate", Value::Flag(true)));
            all.push(("PIDs", Value::Numbers(vec![pid.unsigned_abs()])));
        }
        all.extend(
            ["MemoryAccounting", "CPUAccounting", "TasksAccounting"].map(|name| (name, Value::Flag(true))),
        );
        let io = if is_version_2 { "IOAccounting" } else { "BlockIOAccounting" };
        all.push((io, Value::Flag(true)));
        all.extend(properties::of(resources, is_version_2));
        all.extend(properties::devices(&resources.devices));
        let body = Body::default().text(&self.name).text("replace").properties(&all).no_units();
        let mut bus = self.connect()?;
        bus.job("StartTransientUnit", &body).map_err(self.failed())
    }

    /// Tells systemd of other limits.
    pub fn update(&self, resources: &Resources, is_version_2: bool) -> Result<()> {
        let all = properties::of(resources, is_version_2);
        let body = Body::default().text(&self.name).flag(true).properties(&all);
        self.connect()?.manage("SetUnitProperties", &body).map(drop).map_err(self.failed())
    }

    /// Lets systemd forget it. One that is not there any more is as good.
    pub fn stop(&self) -> Result<()> {
        let mut bus = self.connect()?;
        let _ = bus.job("StopUnit", &Body::default().text(&self.name).text("replace"));
        let _ = bus.manage("ResetFailedUnit", &Body::default().text(&self.name));
        Ok(())
    }

    fn connect(&self) -> Result<Bus> {
        let path = bus::address();
        Bus::connect(&path).map_err(|error| {
            let text = format!("cannot reach systemd over {}: {error}", path.display());
            self.failed()(io::Error::new(error.kind(), text))
        })
    }
}

/// `a-b.slice` is in `a.slice`; `-.slice` is the root.
fn expand(slice: &str) -> Option<String> {
    let stem = slice.strip_suffix(".slice")?;
    if stem == "-" {
        return Some(String::new());
    }
    let mut path = String::new();
    let mut prefix = String::new();
    for part in stem.split('-') {
        if part.is_empty() || part.contains('/') || part == ".." {
            return None;
        }
        prefix = if prefix.is_empty() { part.to_owned() } else { format!("{prefix}-{part}") };
        path.push_str(&format!("/{prefix}.slice"));
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_follow_from_names() {
        let unit = |text: &str| Unit::parse(text).map(|unit| (unit.name, unit.path));
        let pair = |name: &str, path: &str| (name.to_owned(), path.to_owned());
        assert_eq!(
            unit("a-b.slice:docker:1f").unwrap(),
            pair("docker-1f.scope", "/a.slice/a-b.slice/docker-1f.scope")
        );
        assert_eq!(unit(":hull:c").unwrap(), pair("hull-c.scope", "/system.slice/hull-c.scope"));
        assert_eq!(unit("-.slice::c").unwrap(), pair("c.scope", "/c.scope"));
        assert_eq!(unit("m.slice:x:pod.slice").unwrap(), pair("pod.slice", "/m.slice/pod.slice"));
        for bad in
            ["", "/a", "a:b", "a.slice:b:", "a:b:c", "a--b.slice:b:c", "a.slice:b:../c", "a/b.slice:b:c"]
        {
            assert!(unit(bad).is_err(), "{bad}");
        }
    }
}
