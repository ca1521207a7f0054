//! What is mounted: what every container has, and what this one asked for over it.

use super::Resolved;
use crate::record::ContainerSpec;
use hull_types::oci::runtime::{IdMapping, Mount};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Where a mount's content comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A path of the host.
    Bind(PathBuf),
    /// A file system of its own.
    FileSystem {
        /// Its type.
        kind: String,
        /// Its device.
        device: String,
        /// Its options.
        options: Vec<String>,
    },
}

/// A mount whose source is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedMount {
    /// Where in the container.
    pub destination: String,
    /// From where.
    pub source: Source,
    /// Not to be written.
    pub read_only: bool,
    /// With the mounts below it.
    pub recursive: bool,
    /// Not to be written, the mounts below it neither.
    pub read_only_below: bool,
    /// Of a bind mount; empty is `rprivate`.
    pub propagation: String,
    /// Users and groups of an id-mapped mount.
    pub id_maps: (Vec<IdMapping>, Vec<IdMapping>),
}

/// Where `/dev/shm` comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ShmSource {
    /// There is none.
    None,
    /// A tmpfs of its own.
    #[default]
    Own,
    /// A directory of the host's: the host's own, or one that containers share.
    Shared(PathBuf),
}

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.into(),
        kind: kind.into(),
        source: source.into(),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        ..Mount::default()
    }
}

fn bind(destination: &str, source: &Path, options: &[&str]) -> Mount {
    mount(destination, "bind", &source.to_string_lossy(), options)
}

/// All mounts in order.
pub fn mounts(spec: &ContainerSpec, resolved: &Resolved) -> Vec<Mount> {
    let own: BTreeSet<&str> = resolved.mounts.iter().map(|mount| mount.destination.as_str()).collect();
    let replaced = |destination: &str| {
        own.contains(destination) || (own.contains("/dev") && destination.starts_with("/dev/"))
    };
    let mut all: Vec<Mount> =
        system_mounts(spec, resolved).into_iter().filter(|m| !replaced(&m.destination)).collect();
    let mut asked: Vec<Mount> = resolved.mounts.iter().map(asked_mount).collect();
    for (path, destination) in
        resolved.network_files.iter().zip(["/etc/resolv.conf", "/etc/hostname", "/etc/hosts"])
    {
        if !path.as_os_str().is_empty() && !own.contains(destination) {
            let options: &[&str] = if spec.host_config.readonly_rootfs {
                &["rbind", "rprivate", "ro"]
            } else {
                &["rbind", "rprivate"]
            };
            asked.push(bind(destination, path, options));
        }
    }
    if let Some(init) = &resolved.init {
        asked.push(bind("/sbin/docker-init", init, &["bind", "ro", "nosuid"]));
    }
    // Parents first; a stable order keeps what was asked for in sequence.
    asked.sort_by_key(|mount| mount.destination.matches('/').count());
    all.extend(asked);
    all
}

fn system_mounts(spec: &ContainerSpec, resolved: &Resolved) -> Vec<Mount> {
    let host = &spec.host_config;
    let writable_cgroups = host.privileged || resolved.security.writable_cgroups;
    let mut sys = vec!["nosuid", "noexec", "nodev"];
    let mut cgroup = vec!["nosuid", "noexec", "nodev"];
    if !host.privileged {
        sys.push("ro");
    }
    if !writable_cgroups {
        cgroup.push("ro");
    }
    let mut list = vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/sys", "sysfs", "sysfs", &sys),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &cgroup),
    ];
    // It shows the queues of the IPC namespace it is mounted in, so it serves the host's as well: a bind of the host's
    // own would need one to be there.
    list.push(mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]));
    match &resolved.shm {
        ShmSource::None => {}
        ShmSource::Own => {
            let size = format!("size={}", host.shm_size);
            list.push(mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", &size]));
        }
        ShmSource::Shared(path) => list.push(bind("/dev/shm", path, &["rbind", "rprivate"])),
    }
    list
}

fn asked_mount(asked: &ResolvedMount) -> Mount {
    match &asked.source {
        Source::Bind(path) => {
            let propagation = if asked.propagation.is_empty() { "rprivate" } else { &asked.propagation };
            let mut options = vec![if asked.recursive { "rbind" } else { "bind" }];
            if asked.read_only {
                options.push("ro");
            }
            if asked.read_only_below {
                options.push("rro");
            }
            options.push(propagation);
            let (uid_mappings, gid_mappings) = asked.id_maps.clone();
            Mount { uid_mappings, gid_mappings, ..bind(&asked.destination, path, &options) }
        }
        Source::FileSystem { kind, device, options } => {
            let mut options = options.clone();
            if asked.read_only && !options.iter().any(|option| option == "ro") {
                options.push("ro".into());
            }
            Mount {
                destination: asked.destination.clone(),
                kind: kind.clone(),
                source: device.clone(),
                options,
                ..Mount::default()
            }
        }
    }
}

/// The root's propagation must let through what a mount of `-v …:shared` or `:slave` is to receive.
pub fn root_propagation(mounts: &[ResolvedMount]) -> &'static str {
    let any = |word: &str| mounts.iter().any(|mount| mount.propagation.trim_start_matches('r') == word);
    if any("shared") {
        "rshared"
    } else if any("slave") {
        "rslave"
    } else {
        ""
    }
}

/// The options of a tmpfs: Docker's, then the request's, which undo them where they contradict.
pub fn tmpfs_options(asked: &[String]) -> Vec<String> {
    let opposite = |option: &str| match option {
        "exec" => Some("noexec"),
        "suid" => Some("nosuid"),
        "dev" => Some("nodev"),
        _ => None,
    };
    let undone: Vec<&str> = asked.iter().filter_map(|option| opposite(option)).collect();
    let defaults = ["noexec", "nosuid", "nodev"].into_iter().filter(|option| !undone.contains(option));
    let mut options: Vec<String> = defaults.map(str::to_owned).collect();
    for option in asked {
        if !options.contains(option) {
            options.push(option.clone());
        }
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_undo_defaults() {
        let asked = ["exec".to_owned(), "size=1m".to_owned()];
        assert_eq!(tmpfs_options(&asked), ["nosuid", "nodev", "exec", "size=1m"]);
    }
}
