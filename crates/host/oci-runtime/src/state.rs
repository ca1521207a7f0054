//! What is known of a container between two calls: the record on disk, and what its process says.

use crate::{Error, Result};
use hull_cgroup::{Cgroup, Host};
use hull_sys::{namespace, process};
use hull_types::document;
use hull_types::document::from_json;
use hull_types::oci::runtime::{Hook, State};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The record of a container: `state.json`.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Record {
    pub oci_version: String,
    pub id: String,
    pub bundle: PathBuf,
    pub rootfs: PathBuf,
    pub created: String,
    pub pid: i32,
    /// What tells its process from a later one of the same number.
    pub identity: u64,
    pub cgroup: String,
    /// Its unit, where systemd made the cgroup.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// `CLONE_NEW…` of the namespaces it does not share with the host.
    pub namespaces: u64,
    /// Its cgroup is only where its maker may have one.
    pub rootless: bool,
    pub has_filter: bool,
    pub filter_flags: u32,
    /// The filter's listener, for `exec`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub listener_path: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub listener_metadata: String,
    /// Directories of resctrl that are the container's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<PathBuf>,
    pub personality: Option<u32>,
    pub keyring: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub poststart: Vec<Hook>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub poststop: Vec<Hook>,
}

document!(Record {
    "oci_version" => oci_version,
    "id" => id,
    "bundle" => bundle,
    "rootfs" => rootfs,
    "created" => created,
    "pid" => pid,
    "identity" => identity,
    "cgroup" => cgroup,
    "unit" => unit,
    "namespaces" => namespaces,
    "rootless" => rootless,
    "has_filter" => has_filter,
    "filter_flags" => filter_flags,
    "listener_path" => listener_path,
    "listener_metadata" => listener_metadata,
    "classes" => classes,
    "personality" => personality,
    "keyring" => keyring,
    "annotations" => annotations,
    "poststart" => poststart,
    "poststop" => poststop,
});

/// Where a container's state is.
#[derive(Debug, Clone)]
pub(crate) struct Directory(pub PathBuf);

impl Directory {
    pub(crate) fn of(state_root: &Path, id: &str) -> Result<Self> {
        check_id(id)?;
        Ok(Self(state_root.join(id)))
    }

    pub(crate) fn record_path(&self) -> PathBuf {
        self.0.join("state.json")
    }

    pub(crate) fn fifo_path(&self) -> PathBuf {
        self.0.join("exec.fifo")
    }

    pub(crate) fn filter_path(&self) -> PathBuf {
        self.0.join("seccomp.bpf")
    }

    /// Makes it; the state root too. Only root looks in.
    pub(crate) fn make(&self, id: &str) -> Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        let mut builder = fs::DirBuilder::new();
        builder.mode(0o700);
        let made = match builder.create(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let parent = self.0.parent().unwrap_or(Path::new("/"));
                builder.recursive(true).create(parent).and_then(|()| builder.recursive(false).create(&self.0))
            }
            result => result,
        };
        match made {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(Error::AlreadyExists(id.into()))
            }
            Err(source) => Err(Error::State { path: self.0.clone(), source }),
        }
    }

    pub(crate) fn save(&self, record: &Record) -> Result<()> {
        let path = self.record_path();
        let new = self.0.join("state.json.new");
        // A path that is no text has no form in JSON.
        let text = serde_json::to_vec(record).map_err(io::Error::from);
        text.and_then(|text| fs::write(&new, text))
            .and_then(|()| fs::rename(&new, &path))
            .map_err(|source| Error::State { path, source })
    }

    pub(crate) fn load(&self, id: &str) -> Result<Record> {
        let path = self.record_path();
        match fs::read(&path) {
            Ok(text) => match from_json::<Record>(&text) {
                Ok(record) if record.id == id => Ok(record),
                Ok(_) => {
                    let source =
                        io::Error::new(io::ErrorKind::InvalidData, "it is no record of this container");
                    Err(Error::State { path, source })
                }
                Err(source) => Err(Error::ParseState { path, source }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::NotFound(id.into())),
            Err(source) => Err(Error::State { path, source }),
        }
    }

    pub(crate) fn remove(&self) -> Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(Error::State { path: self.0.clone(), source })
            }
            _ => Ok(()),
        }
    }
}

/// An id names a directory and a cgroup: the characters that runc takes.
pub(crate) fn check_id(id: &str) -> Result<()> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_+-.".contains(&b);
    if id.is_empty() || id.len() > 1024 || id == "." || id == ".." || !id.bytes().all(plain) {
        return Err(Error::InvalidId(id.into()));
    }
    Ok(())
}

/// What tells a process from a later one of the same number: pidfs's inode, or else its start time.
pub(crate) fn identity(pid: i32, pidfd: &OwnedFd) -> u64 {
    process::pidfd_identity(pidfd).or_else(|| start_time(pid)).unwrap_or(0)
}

fn start_time(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything; the start time is the 22nd field.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

impl Record {
    /// Its process, if that lives.
    pub(crate) fn process(&self) -> Option<OwnedFd> {
        let pidfd = process::pidfd_open(self.pid).ok()?;
        (identity(self.pid, &pidfd) == self.identity && !process::has_exited(&pidfd)).then_some(pidfd)
    }

    pub(crate) fn cgroup(&self) -> Result<Cgroup> {
        if self.rootless {
            return Ok(Cgroup::on(&Host::detect()?.having(&self.cgroup), &self.cgroup)?);
        }
        Ok(Cgroup::load(&self.cgroup)?)
    }

    /// Whether its pid namespace can be joined out of its user namespace only.
    pub(crate) fn opens_from_inside(&self) -> bool {
        let both = namespace::USER | namespace::PID;
        self.rootless && self.namespaces & both == both
    }

    pub(crate) fn status(&self, directory: &Directory) -> &'static str {
        if self.process().is_none() {
            return "stopped";
        }
        if directory.fifo_path().exists() {
            return "created";
        }
        match self.cgroup().and_then(|cgroup| Ok(cgroup.is_frozen()?)) {
            Ok(true) => "paused",
            _ => "running",
        }
    }

    pub(crate) fn state(&self, status: &str) -> State {
        State {
            oci_version: self.oci_version.clone(),
            id: self.id.clone(),
            status: status.into(),
            pid: if status == "stopped" { 0 } else { self.pid },
            bundle: self.bundle.display().to_string(),
            annotations: self.annotations.clone(),
        }
    }
}

/// The state of a container.
pub fn state(state_root: &Path, id: &str) -> Result<State> {
    let directory = Directory::of(state_root, id)?;
    let record = directory.load(id)?;
    let status = record.status(&directory);
    Ok(record.state(status))
}

/// The cgroup of a container.
pub fn cgroup(state_root: &Path, id: &str) -> Result<Cgroup> {
    Directory::of(state_root, id)?.load(id)?.cgroup()
}

/// The configured process of a container: what `exec` takes its user, environment and capabilities from.
pub fn process_of(state_root: &Path, id: &str) -> Result<hull_types::oci::runtime::Process> {
    let record = Directory::of(state_root, id)?.load(id)?;
    Ok(crate::config::load(&record.bundle)?.process.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_plain() {
        for good in ["a", "A.b-c_d+1", "0123"] {
            check_id(good).unwrap();
        }
        for bad in ["", ".", "..", "a/b", "a b", "ä", "a\0"] {
            assert!(check_id(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn every_field_of_the_record_is_read_again() {
        let some = |text: &str| text.to_owned();
        let record = Record {
            oci_version: some("1"),
            id: some("i"),
            bundle: "/b".into(),
            rootfs: "/r".into(),
            created: some("c"),
            pid: 2,
            identity: u64::MAX,
            cgroup: some("g"),
            unit: some("u"),
            namespaces: 3,
            rootless: true,
            has_filter: true,
            filter_flags: 4,
            listener_path: some("l"),
            listener_metadata: some("m"),
            classes: vec!["/x".into()],
            personality: Some(5),
            keyring: true,
            annotations: BTreeMap::from([(some("k"), some("v"))]),
            poststart: vec![Hook { path: some("/h"), ..Hook::default() }],
            poststop: vec![Hook { path: some("/i"), ..Hook::default() }],
        };
        let text = serde_json::to_vec(&record).unwrap();
        let again: Record = from_json(&text).unwrap();
        assert_eq!(serde_json::to_vec(&again).unwrap(), text);
    }

    #[test]
    fn a_process_is_told_from_others() {
        let own = std::process::id() as i32;
        let pidfd = process::pidfd_open(own).unwrap();
        let record = Record { pid: own, identity: identity(own, &pidfd), ..Record::default() };
        assert!(record.process().is_some());
        assert!(Record { identity: record.identity + 1, ..record }.process().is_none());
        assert!(start_time(own).is_some());
    }
}
