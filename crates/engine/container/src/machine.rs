//! What this machine is: processors, capabilities, devices. The only place that looks.

use crate::cdi;
use crate::error::{Error, Result};
use crate::spec::{CAPABILITIES, Host};
use hull_api_types::{DeviceMapping, HostConfig};
use hull_types::oci::runtime as oci;
use rustix::fs::{FileType, Stat};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const CGROUP2_MAGIC: i64 = 0x6367_7270;
/// How deep `--device /dev/dir` and `--privileged` look.
const DEVICE_DEPTH: usize = 6;

/// Facts that hold as long as the daemon runs.
pub(crate) struct Machine {
    pub host: Host,
    /// Capabilities of the daemon's own bounding set.
    pub grantable: Vec<String>,
    /// Paths to mask that depend on the processor.
    pub masked: Vec<String>,
    /// The kernel copies mounts that are in no namespace (6.15).
    pub binds_detached: bool,
}

impl Machine {
    pub(crate) fn detect() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let online = read("/sys/devices/system/cpu/online");
        let cgroup_v2 = rustix::fs::statfs("/sys/fs/cgroup").is_ok_and(|stat| stat.f_type == CGROUP2_MAGIC);
        let host = Host {
            cpus: std::thread::available_parallelism().map_or(1, |n| n.get() as u32),
            cpuset_cpus: online,
            cpuset_mems: read("/sys/devices/system/node/online"),
            cgroup_v2,
            hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        };
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
        let binds_detached = (numbers.next(), numbers.next()) >= (Some(6), Some(15));
        Self {
            binds_detached,
            host,
            grantable: grantable(&read("/proc/self/status")),
            masked: thermal_throttle(),
        }
    }
}

/// The names of the capabilities in the bounding set of a `/proc/<pid>/status`.
fn grantable(status: &str) -> Vec<String> {
    let mask = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    let mask = mask.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or_default();
    let held = CAPABILITIES.iter().enumerate().filter(|(number, _)| mask & (1 << number) != 0);
    held.map(|(_, name)| (*name).to_owned()).collect()
}

/// Counters that tell one guest what another does (GHSA-6fw5-f8r9-fgfm).
fn thermal_throttle() -> Vec<String> {
    let Ok(entries) = fs::read_dir("/sys/devices/system/cpu") else { return Vec::new() };
    let mut paths: Vec<String> = entries
        .flatten()
        .map(|entry| entry.path().join("thermal_throttle"))
        .filter(|path| path.exists())
        .map(|path| path.to_string_lossy().into_owned())
        .collect();
    paths.sort();
    paths
}

/// Device nodes and the rules that let them be used.
#[derive(Default)]
pub(crate) struct Devices {
    pub nodes: Vec<oci::Device>,
    pub rules: Vec<oci::DeviceCgroup>,
    /// What those asked for by name change.
    pub edits: cdi::Edits,
}

/// The devices that a container asks for.
pub(crate) fn devices(host: &HostConfig, cdi_spec_dirs: &[PathBuf]) -> Result<Devices> {
    let mut found = Devices::default();
    if host.privileged {
        // Rules are not needed: a privileged container may use all.
        for (path, stat) in walk(Path::new("/dev"), 0) {
            let name = path.to_string_lossy().into_owned();
            found.nodes.extend(node(&name, &stat));
        }
    }
    for mapping in host.resources.devices.iter().flatten() {
        add_mapping(&mut found, mapping)?;
    }
    let requests = || host.resources.device_requests.iter().flatten();
    if let Some(request) = requests().find(|request| request.driver != "cdi") {
        return Err(Error::invalid(format!(
            "could not select device driver {:?} with capabilities: {:?}",
            request.driver,
            request.capabilities.clone().unwrap_or_default()
        )));
    }
    let names: Vec<String> =
        requests().flat_map(|request| request.device_ids.iter().flatten()).cloned().collect();
    found.edits = cdi::edits(cdi_spec_dirs, &names)?;
    for text in host.resources.device_cgroup_rules.iter().flatten() {
        found.rules.extend(crate::bundle::parse_device_rule(text));
    }
    Ok(found)
}

fn add_mapping(found: &mut Devices, mapping: &DeviceMapping) -> Result<()> {
    let path = Path::new(&mapping.path_on_host);
    let failed = |source: std::io::Error| {
        Error::invalid(format!(
            "error gathering device information while adding custom device {:?}: {source}",
            mapping.path_on_host
        ))
    };
    let inside =
        if mapping.path_in_container.is_empty() { &mapping.path_on_host } else { &mapping.path_in_container };
    let access = if mapping.cgroup_permissions.is_empty() { "rwm" } else { &mapping.cgroup_permissions };
    let stat = rustix::fs::stat(path).map_err(|error| failed(error.into()))?;
    let list = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => walk(path, 0),
        FileType::CharacterDevice | FileType::BlockDevice => vec![(path.to_path_buf(), stat)],
        _ => return Err(failed(std::io::Error::other("not a device node"))),
    };
    for (source, stat) in list {
        let rest = source.strip_prefix(path).unwrap_or(Path::new(""));
        let name = Path::new(inside).join(rest).to_string_lossy().trim_end_matches('/').to_owned();
        let Some(node) = node(&name, &stat) else { continue };
        found.rules.push(oci::DeviceCgroup {
            allow: true,
            kind: node.kind.clone(),
            major: Some(node.major),
            minor: Some(node.minor),
            access: access.to_owned(),
        });
        // A request for a device at the place of one that is there already replaces it.
        found.nodes.retain(|known| known.path != node.path);
        found.nodes.push(node);
    }
    Ok(())
}

fn node(path: &str, stat: &Stat) -> Option<oci::Device> {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::CharacterDevice => "c",
        FileType::BlockDevice => "b",
        _ => return None,
    };
    Some(oci::Device {
        kind: kind.into(),
        path: path.into(),
        major: rustix::fs::major(stat.st_rdev).into(),
        minor: rustix::fs::minor(stat.st_rdev).into(),
        file_mode: Some(stat.st_mode & 0o777),
        uid: Some(stat.st_uid),
        gid: Some(stat.st_gid),
    })
}

/// Whether the runtime makes this one in every container.
fn is_own(path: &Path) -> bool {
    const OWN: [&str; 8] = ["console", "full", "null", "ptmx", "random", "tty", "urandom", "zero"];
    path.strip_prefix("/dev").is_ok_and(|name| OWN.iter().any(|own| name == Path::new(own)))
}

/// Every device node below a directory, without those that a container has its own of.
fn walk(directory: &Path, depth: usize) -> Vec<(PathBuf, Stat)> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(directory) else { return found };
    for entry in entries.flatten() {
        let path = entry.path();
        let Ok(stat) = rustix::fs::lstat(&path) else { continue };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let own = ["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"];
                if depth < DEVICE_DEPTH && !own.iter().any(|name| entry.file_name() == *name) {
                    found.extend(walk(&path, depth + 1));
                }
            }
            FileType::CharacterDevice | FileType::BlockDevice if !is_own(&path) => {
                found.push((path, stat));
            }
            _ => {}
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// The numbers of the block devices that a container's limits name.
pub(crate) fn block_devices(host: &HostConfig) -> Result<BTreeMap<String, (i64, i64)>> {
    let r = &host.resources;
    let throttled = [
        &r.blkio_device_read_bps,
        &r.blkio_device_write_bps,
        &r.blkio_device_read_iops,
        &r.blkio_device_write_iops,
    ];
    let paths = throttled.into_iter().flatten().flatten().map(|device| &device.path);
    let weighted = r.blkio_weight_device.iter().flatten().map(|device| &device.path);
    let mut numbers = BTreeMap::new();
    for path in paths.chain(weighted) {
        let stat = rustix::fs::stat(path.as_str())
            .map_err(|error| Error::invalid(format!("stat {path}: {}", std::io::Error::from(error))))?;
        let number = (rustix::fs::major(stat.st_rdev).into(), rustix::fs::minor(stat.st_rdev).into());
        numbers.insert(path.clone(), number);
    }
    Ok(numbers)
}

/// Random bytes of the kernel's.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    hull_sys::random::bytes().map_err(Error::io("get random bytes"))
}

/// A new id: 64 hexadecimal digits, that are not all decimal in the short form (it must not read as a number).
pub(crate) fn new_id() -> Result<String> {
    loop {
        let id = hull_sys::random::hex::<32>().map_err(Error::io("get random bytes"))?;
        if !id[..12].bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_read() {
        assert_eq!(grantable("CapBnd:\t0000000000000003\n"), ["CAP_CHOWN", "CAP_DAC_OVERRIDE"]);
    }

    #[test]
    fn missing_devices_have_dockers_words() {
        let mut host = HostConfig::default();
        host.resources.devices =
            Some(vec![DeviceMapping { path_on_host: "/dev/nope".into(), ..Default::default() }]);
        let text = devices(&host, &[]).err().unwrap().to_string();
        assert!(
            text.starts_with("error gathering device information while adding custom device \"/dev/nope\"")
        );
    }
}
