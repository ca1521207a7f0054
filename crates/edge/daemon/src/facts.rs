//! What the daemon tells about itself and its machine: `/info` and `/version`.

use crate::config::Config;
use hull_api::Facts;
use hull_api_types::{
    API_VERSION, AddressPool, Commit, ComponentVersion, IndexInfo, MIN_API_VERSION, Map, PlatformName,
    PluginsInfo, RegistryConfig, RuntimeInfo, SwarmInfo, SystemInfo, SystemVersion,
};
use hull_container::BUILT_IN_RUNTIME;
use hull_sys::rustix;
use hull_types::Platform;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Hull's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that this program was built from, where the build knew.
pub fn commit() -> &'static str {
    option_env!("HULL_GIT_COMMIT").unwrap_or("")
}

fn build_time() -> &'static str {
    option_env!("HULL_BUILD_TIME").unwrap_or("")
}

/// Gathers them. `id` is this engine's, `driver` the snapshot driver's name.
pub fn gather(config: &Config, id: String, driver: &str, runtime_binary: &Path) -> Facts {
    let host = Host::read();
    let mut info = info(config, id, driver, &host);
    configure(&mut info, config, runtime_binary);
    Facts { info, version: version(config, &host) }
}

/// Says what a configuration can change while the daemon runs.
pub fn configure(info: &mut SystemInfo, config: &Config, runtime_binary: &Path) {
    info.debug = config.debug;
    info.labels = config.labels.clone();
    info.registry_config = registry_config(config);
    info.runtimes = runtimes(config, runtime_binary);
    info.default_runtime = config.default_runtime.clone();
}

/// The machine.
struct Host {
    name: String,
    kernel: String,
    machine: String,
    os_name: String,
    os_version: String,
    processors: i64,
    memory: i64,
    cgroups: Cgroups,
}

impl Host {
    fn read() -> Self {
        let uname = rustix::system::uname();
        let text = |field: &std::ffi::CStr| field.to_string_lossy().into_owned();
        let release =
            fs::read_to_string("/etc/os-release").or_else(|_| fs::read_to_string("/usr/lib/os-release"));
        let release = release.unwrap_or_default();
        Self {
            name: text(uname.nodename()),
            kernel: text(uname.release()),
            machine: text(uname.machine()),
            os_name: release_field(&release, "PRETTY_NAME").unwrap_or_else(|| "Linux".into()),
            os_version: release_field(&release, "VERSION_ID").unwrap_or_default(),
            processors: std::thread::available_parallelism().map_or(1, |count| count.get() as i64),
            memory: memory(&fs::read_to_string("/proc/meminfo").unwrap_or_default()),
            cgroups: Cgroups::read(),
        }
    }
}

fn release_field(release: &str, key: &str) -> Option<String> {
    let value = release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
    Some(value.trim().trim_matches(['"', '\'']).to_owned())
}

fn memory(meminfo: &str) -> i64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<i64>().ok()).unwrap_or(0) * 1024
}

/// Which cgroup controllers there are, by whichever version serves them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Cgroups {
    unified: bool,
    controllers: BTreeSet<String>,
    swap: bool,
    oom_kill_disable: bool,
}

impl Cgroups {
    fn read() -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let (mut cgroups, memory) = Self::parse(&mounts, |path| fs::read_to_string(path).unwrap_or_default());
        if let Some(memory) = memory {
            let has = |file: &str| Path::new(&memory).join(file).exists();
            cgroups.swap = has("memory.memsw.limit_in_bytes");
            cgroups.oom_kill_disable = has("memory.oom_control");
        } else if cgroups.unified {
            cgroups.swap = Path::new("/proc/swaps").exists();
        }
        cgroups
    }

    /// From /proc/self/mountinfo; also where v1's memory controller is mounted.
    fn parse(mounts: &str, read: impl Fn(&str) -> String) -> (Self, Option<String>) {
        let (mut controllers, mut memory, mut v1) = (BTreeSet::new(), None, false);
        for line in mounts.lines() {
            let Some((before, after)) = line.split_once(" - ") else { continue };
            let point = before.split(' ').nth(4).unwrap_or_default();
            let mut fields = after.split(' ');
            match fields.next() {
                Some("cgroup2") => {
                    let list = read(&format!("{point}/cgroup.controllers"));
                    controllers.extend(list.split_whitespace().map(str::to_owned));
                }
                Some("cgroup") => {
                    let options: Vec<&str> = fields.next_back().unwrap_or_default().split(',').collect();
                    v1 |= options.contains(&"memory") || options.contains(&"cpu");
                    if options.contains(&"memory") {
                        memory = Some(point.to_owned());
                    }
                    controllers.extend(options.into_iter().map(str::to_owned));
                }
                _ => {}
            }
        }
        (Self { unified: !v1, controllers, ..Self::default() }, memory)
    }

    fn has(&self, controller: &str) -> bool {
        self.controllers.contains(controller)
    }
}

fn info(config: &Config, id: String, driver: &str, host: &Host) -> SystemInfo {
    let cgroups = &host.cgroups;
    let cpu = cgroups.has("cpu");
    let forwarding = fs::read_to_string("/proc/sys/net/ipv4/ip_forward").is_ok_and(|text| text.trim() == "1");
    let version = Commit { id: VERSION.into(), ..Commit::default() };
    SystemInfo {
        id,
        driver: driver.into(),
        driver_status: driver_status(&config.data_root),
        plugins: PluginsInfo {
            volume: vec!["local".into()],
            network: vec!["bridge".into(), "host".into(), "null".into()],
            authorization: None,
            log: vec!["json-file".into()],
        },
        memory_limit: cgroups.has("memory"),
        swap_limit: cgroups.swap,
        cpu_cfs_period: cpu,
        cpu_cfs_quota: cpu,
        cpu_shares: cpu,
        cpu_set: cgroups.has("cpuset"),
        pids_limit: cgroups.has("pids"),
        ipv4_forwarding: forwarding,
        oom_kill_disable: cgroups.oom_kill_disable,
        logging_driver: config.log_driver.clone(),
        cgroup_driver: "cgroupfs".into(),
        cgroup_version: if cgroups.unified { "2" } else { "1" }.into(),
        kernel_version: host.kernel.clone(),
        operating_system: host.os_name.clone(),
        os_version: host.os_version.clone(),
        os_type: "linux".into(),
        architecture: host.machine.clone(),
        index_server_address: "https://index.docker.io/v1/".into(),
        ncpu: host.processors,
        mem_total: host.memory,
        docker_root_dir: config.data_root.display().to_string(),
        http_proxy: masked(&proxy(&config.http_proxy, "HTTP_PROXY")),
        https_proxy: masked(&proxy(&config.https_proxy, "HTTPS_PROXY")),
        no_proxy: proxy(&config.no_proxy, "NO_PROXY"),
        name: host.name.clone(),
        experimental_build: config.experimental,
        server_version: VERSION.into(),
        swarm: SwarmInfo { local_node_state: "inactive".into(), ..SwarmInfo::default() },
        live_restore_enabled: true,
        init_binary: "docker-init".into(),
        runc_commit: version.clone(),
        init_commit: version,
        security_options: security_options(config),
        default_address_pools: pools(config),
        cdi_spec_dirs: Some(
            config.cdi_spec_dirs.iter().map(|directory| directory.display().to_string()).collect(),
        ),
        warnings: Some(warnings(config, cgroups, forwarding)),
        ..SystemInfo::default()
    }
}

fn driver_status(data_root: &Path) -> Vec<[String; 2]> {
    // The magic numbers of statfs(2).
    let kind = rustix::fs::statfs(data_root).map_or("unknown", |fs| match fs.f_type as u32 {
        0xef53 => "extfs",
        0x5846_5342 => "xfs",
        0x9123_683e => "btrfs",
        0x0102_1994 => "tmpfs",
        0x2fc1_2fc1 => "zfs",
        0x794c_7630 => "overlayfs",
        _ => "unknown",
    });
    let row = |key: &str, value: &str| [key.to_owned(), value.to_owned()];
    vec![
        row("Backing Filesystem", kind),
        row("Supports d_type", "true"),
        row("Using metacopy", "false"),
        row("Native Overlay Diff", "true"),
        row("userxattr", "false"),
    ]
}

fn registry_config(config: &Config) -> RegistryConfig {
    let index = |name: &str, secure: bool, official: bool, mirrors: Vec<String>| IndexInfo {
        name: name.into(),
        mirrors,
        secure,
        official,
    };
    let mut configs = Map::new();
    // With a slash at the end, as Docker shows them.
    let mirrors: Vec<String> =
        config.registry_mirrors.iter().map(|mirror| format!("{}/", mirror.trim_end_matches('/'))).collect();
    configs.insert("docker.io".to_owned(), index("docker.io", true, true, mirrors.clone()));
    let (networks, names): (Vec<&String>, Vec<&String>) =
        config.insecure_registries.iter().partition(|registry| registry.contains('/'));
    for name in names {
        configs.insert(name.clone(), index(name, false, false, Vec::new()));
    }
    let mut networks: Vec<String> = networks.into_iter().cloned().collect();
    networks.extend(["::1/128".to_owned(), "127.0.0.0/8".to_owned()]);
    RegistryConfig { insecure_registry_cidrs: networks, index_configs: configs, mirrors: Some(mirrors) }
}

fn runtimes(config: &Config, runtime_binary: &Path) -> Map<RuntimeInfo> {
    let own = RuntimeInfo { path: runtime_binary.display().to_string(), runtime_args: None };
    let others = config.runtimes.iter().map(|(name, runtime)| {
        let arguments = Some(runtime.args.clone()).filter(|arguments| !arguments.is_empty());
        (name.clone(), RuntimeInfo { path: runtime.path.display().to_string(), runtime_args: arguments })
    });
    std::iter::once((BUILT_IN_RUNTIME.to_owned(), own)).chain(others).collect()
}

fn security_options(config: &Config) -> Vec<String> {
    let profile = match &config.seccomp_profile {
        None => "builtin".to_owned(),
        Some(path) => path.display().to_string(),
    };
    let mut options = Vec::new();
    if profile != "unconfined" {
        options.push(format!("name=seccomp,profile={profile}"));
    }
    if Path::new("/proc/self/ns/cgroup").exists() {
        options.push("name=cgroupns".into());
    }
    if config.no_new_privileges {
        options.push("name=no-new-privileges".into());
    }
    options
}

fn pools(config: &Config) -> Option<Vec<AddressPool>> {
    let pool = |pool: &hull_network::AddressPool| AddressPool {
        base: pool.base.to_string(),
        size: pool.size.into(),
    };
    let pools: Vec<_> = config.network.pools.iter().map(pool).collect();
    (!pools.is_empty()).then_some(pools)
}

/// What is set of proxies, or as it is in the environment, where small letters serve as well.
fn proxy(set: &Option<String>, variable: &str) -> String {
    let own = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let found = set.clone().or_else(|| own(variable)).or_else(|| own(&variable.to_ascii_lowercase()));
    found.unwrap_or_default()
}

/// A proxy's address without user and password.
fn masked(proxy: &str) -> String {
    let after_scheme = proxy.find("://").map_or(0, |at| at + 3);
    match proxy[after_scheme..].rfind('@') {
        Some(at) => format!("{}xxxxx:xxxxx{}", &proxy[..after_scheme], &proxy[after_scheme + at..]),
        None => proxy.to_owned(),
    }
}

fn warnings(config: &Config, cgroups: &Cgroups, forwarding: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    for host in &config.hosts {
        let crate::hosts::Host::Tcp(address) = host else { continue };
        let authorities = config.tls.as_ref().map(|tls| tls.authorities.is_some());
        let what = match authorities {
            Some(true) => continue,
            Some(false) => format!(
                "[DEPRECATION NOTICE]: API is accessible on https://{address} without TLS client verification."
            ),
            None => {
                format!("[DEPRECATION NOTICE]: API is accessible on http://{address} without encryption.")
            }
        };
        warnings.push(format!("{what}\n         Access to the remote API is equivalent to root access on the host. Refer\n         to the 'Docker daemon attack surface' section in the documentation for\n         more information: https://docs.docker.com/go/attack-surface/"));
    }
    let missing = [
        (cgroups.has("memory"), "WARNING: No memory limit support"),
        (cgroups.swap, "WARNING: No swap limit support"),
        (cgroups.has("cpu"), "WARNING: No cpu shares support"),
        (cgroups.has("cpuset"), "WARNING: No cpuset support"),
        (forwarding || config.network.ip_forward, "WARNING: IPv4 forwarding is disabled"),
    ];
    warnings.extend(missing.into_iter().filter(|(there, _)| !there).map(|(_, text)| text.to_owned()));
    warnings
}

fn version(config: &Config, host: &Host) -> SystemVersion {
    let architecture = Platform::host().architecture;
    let details = [
        ("ApiVersion", API_VERSION),
        ("Arch", &architecture),
        ("BuildTime", build_time()),
        ("Experimental", if config.experimental { "true" } else { "false" }),
        ("GitCommit", commit()),
        ("GoVersion", "none: Rust"),
        ("KernelVersion", &host.kernel),
        ("MinAPIVersion", MIN_API_VERSION),
        ("Os", "linux"),
    ];
    let engine = ComponentVersion {
        name: "Engine".into(),
        version: VERSION.into(),
        details: details.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
    };
    let runtime = ComponentVersion {
        name: "hull-runtime".into(),
        version: VERSION.into(),
        details: [("GitCommit".to_owned(), commit().to_owned())].into(),
    };
    SystemVersion {
        platform: PlatformName { name: "Hull".into() },
        components: vec![engine, runtime],
        version: VERSION.into(),
        api_version: API_VERSION.into(),
        min_api_version: MIN_API_VERSION.into(),
        git_commit: commit().into(),
        go_version: "none: Rust".into(),
        os: "linux".into(),
        arch: architecture,
        kernel_version: host.kernel.clone(),
        experimental: config.experimental,
        build_time: build_time().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroups_of_all_kinds_of_hosts() {
        let v1 = "30 24 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n31 24 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n";
        let v2 = "35 24 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let (cgroups, memory) = Cgroups::parse(&format!("{v1}{v2}"), |path| {
            assert_eq!(path, "/sys/fs/cgroup/unified/cgroup.controllers");
            "hugetlb\n".into()
        });
        assert!(
            !cgroups.unified && cgroups.has("memory") && cgroups.has("cpuacct") && cgroups.has("hugetlb")
        );
        assert_eq!(memory.as_deref(), Some("/sys/fs/cgroup/memory"));
        let (cgroups, memory) = Cgroups::parse(v2, |_| "cpu memory pids".into());
        assert!(cgroups.unified && cgroups.has("pids") && memory.is_none());
    }

    #[test]
    fn the_machine_is_read() {
        assert_eq!(memory("MemTotal:       24683412 kB\nMemFree: 1 kB\n"), 24_683_412 * 1024);
        assert_eq!(
            release_field("NAME=\"x\"\nPRETTY_NAME=\"Debian 12\"\n", "PRETTY_NAME").as_deref(),
            Some("Debian 12")
        );
        let host = Host::read();
        assert!(host.memory > 0 && host.processors > 0 && !host.kernel.is_empty());
        for (address, shown) in [
            ("http://u:p@h:1", "http://xxxxx:xxxxx@h:1"),
            ("u:p@h:1", "xxxxx:xxxxx@h:1"),
            ("http://h:1/", "http://h:1/"),
            ("", ""),
        ] {
            assert_eq!(masked(address), shown);
        }
    }
}
