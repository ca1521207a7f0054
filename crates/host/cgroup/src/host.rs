//! Where a host's hierarchies are mounted.

use crate::{Error, Result};
use hull_sys::rustix::fs::{Access, access};
use std::path::{Path, PathBuf};

/// A version 1 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Its controllers, such as `cpu` and `cpuacct`; a named one has `name=systemd`.
    pub controllers: Vec<String>,
    /// Where it is mounted.
    pub mount_point: PathBuf,
}

/// The hierarchies of a host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Host {
    /// Those of version 1.
    pub hierarchies: Vec<Hierarchy>,
    /// Where version 2 is mounted: beside others it is the hybrid one.
    pub unified: Option<PathBuf>,
}

/// Option words of a cgroup mount's super block that are no controllers.
const NO_CONTROLLERS: [&str; 8] =
    ["rw", "ro", "xattr", "none", "noprefix", "clone_children", "cpuset_v2_mode", "favordynmods"];

impl Host {
    /// Reads the calling process's mounts.
    pub fn detect() -> Result<Self> {
        let text = std::fs::read_to_string("/proc/self/mountinfo").map_err(Error::Mounts)?;
        let host = Self::parse(&text);
        if host.hierarchies.is_empty() && host.unified.is_none() {
            return Err(Error::NotMounted);
        }
        Ok(host)
    }

    /// Whether version 2 rules alone.
    pub fn is_unified(&self) -> bool {
        self.hierarchies.is_empty()
    }

    /// The part of it where the calling user may make the group `path`: of one who is not root, what was delegated.
    pub fn permitted(self, path: &str) -> Self {
        self.retain(path, |group| {
            let mut above = group.ancestors().skip(1).filter(|directory| directory.exists());
            above
                .next()
                .is_some_and(|directory| access(directory, Access::WRITE_OK | Access::EXEC_OK).is_ok())
        })
    }

    /// The part of it where the group `path` is.
    pub fn having(self, path: &str) -> Self {
        self.retain(path, Path::exists)
    }

    fn retain(mut self, path: &str, keep: impl Fn(&Path) -> bool) -> Self {
        let keep = |mount_point: &Path| keep(&mount_point.join(path.trim_start_matches('/')));
        self.hierarchies.retain(|hierarchy| keep(&hierarchy.mount_point));
        self.unified = self.unified.filter(|mount_point| keep(mount_point));
        self
    }

    /// From the text of `/proc/<pid>/mountinfo`.
    pub fn parse(mountinfo: &str) -> Self {
        let mut host = Self::default();
        for line in mountinfo.lines() {
            let Some((left, right)) = line.split_once(" - ") else { continue };
            let mut right = right.split(' ');
            let kind = right.next().unwrap_or_default();
            if kind != "cgroup" && kind != "cgroup2" {
                continue;
            }
            let Some(mount_point) = left.split(' ').nth(4) else { continue };
            let mount_point = PathBuf::from(unescape(mount_point));
            if kind == "cgroup2" {
                host.unified.get_or_insert(mount_point);
                continue;
            }
            let options = right.nth(1).unwrap_or_default();
            let controllers: Vec<String> = options
                .split(',')
                .filter(|word| !NO_CONTROLLERS.contains(word) && !word.starts_with("release_agent="))
                .map(str::to_owned)
                .collect();
            // A hierarchy may be mounted more than once: the first place is as good as any.
            if !host.hierarchies.iter().any(|known| known.controllers == controllers) {
                host.hierarchies.push(Hierarchy { controllers, mount_point });
            }
        }
        host
    }
}

/// Octal escapes of `mountinfo` (`\040` is a space).
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 4).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                out.push(char::from(code));
                rest = &rest[at + 4..];
            }
            None => {
                out.push('\\');
                rest = &rest[at + 1..];
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hybrid_host_is_read() {
        let text = "\
22 1 0:21 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw
30 22 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct
31 22 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/lib/x,name=systemd
32 22 0:29 / /sys/fs/cgroup/a\\040b rw - cgroup2 cgroup2 rw,nsdelegate
33 22 0:27 / /mnt/again rw - cgroup cgroup rw,cpu,cpuacct
";
        let host = Host::parse(text);
        assert_eq!(host.unified, Some(PathBuf::from("/sys/fs/cgroup/a b")));
        assert_eq!(host.hierarchies.len(), 2);
        assert_eq!(host.hierarchies[0].controllers, ["cpu", "cpuacct"]);
        assert_eq!(host.hierarchies[1].controllers, ["name=systemd"]);
        assert!(!host.is_unified());
    }
}
