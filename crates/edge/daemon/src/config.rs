//! What the daemon is told to be: the settings with types, and everything that follows from them.

use crate::hosts::Host;
use crate::settings::{Settings, SettingsError};
use hull_api_types::{Map, Ulimit};
use hull_container::{BUILT_IN_RUNTIME, DEFAULT_RUNTIME_ALIAS, RuntimeSpec};
use hull_network::{AddressPool, BridgeAddresses, Subnet};
use hull_types::size;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

/// Where persistent state is by default.
pub const DEFAULT_DATA_ROOT: &str = "/var/lib/hull";
/// Where state of this boot is by default.
pub const DEFAULT_EXEC_ROOT: &str = "/run/hull";
/// The configuration file by default.
pub const DEFAULT_CONFIG_FILE: &str = "/etc/hull/daemon.json";

/// TLS for TCP listeners.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Authorities whose clients are let in; `None`: any client is.
    pub authorities: Option<PathBuf>,
    /// The certificate chain.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// The default bridge network and what goes for all networks.
#[derive(Debug, Clone, Default)]
pub struct NetworkOptions {
    pub bridge: Option<String>,
    pub ipv4_addresses: BridgeAddresses,
    pub ipv6: bool,
    pub ipv6_addresses: BridgeAddresses,
    pub host_gateway: Vec<IpAddr>,
    pub publish_address: Option<IpAddr>,
    pub mtu: u32,
    pub icc: bool,
    pub ip_forward: bool,
    pub ip_forward_no_drop: bool,
    pub ip_masquerade: bool,
    pub packet_filter: bool,
    pub obey_host_firewall: bool,
    pub pools: Vec<AddressPool>,
    pub dns: Vec<String>,
    pub dns_options: Vec<String>,
    pub dns_search: Vec<String>,
}

/// The daemon's configuration.
#[derive(Debug, Clone)]
pub struct Config {
    pub data_root: PathBuf,
    /// How layers are kept, if it is said: else what the data root has, or the best that works.
    pub storage_driver: Option<StorageDriver>,
    pub exec_root: PathBuf,
    pub hosts: Vec<Host>,
    pub pidfile: PathBuf,
    pub group: Option<String>,
    pub tls: Option<TlsFiles>,
    pub debug: bool,
    pub log_level: String,
    pub log_json: bool,
    pub labels: Vec<String>,
    pub experimental: bool,
    pub shutdown_timeout: i64,
    pub registry_mirrors: Vec<String>,
    pub insecure_registries: Vec<String>,
    pub max_concurrent_downloads: usize,
    pub max_concurrent_uploads: usize,
    pub max_download_attempts: u32,
    pub http_proxy: Option<String>,
    pub https_proxy: Option<String>,
    pub no_proxy: Option<String>,
    pub network: NetworkOptions,
    pub cgroup_parent: String,
    pub runtimes: BTreeMap<String, RuntimeSpec>,
    pub default_runtime: String,
    pub runtime_binary: Option<PathBuf>,
    pub default_shm_size: i64,
    pub default_ulimits: Vec<Ulimit>,
    pub default_ipc_mode: String,
    pub default_cgroupns_mode: String,
    pub log_driver: String,
    pub log_opts: Map<String>,
    pub init: bool,
    pub no_new_privileges: bool,
    pub seccomp_profile: Option<PathBuf>,
    /// Where devices are described that are asked for by name.
    pub cdi_spec_dirs: Vec<PathBuf>,
    /// The most bytes that the build cache may take.
    pub build_cache_limit: u64,
}

/// How layers are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageDriver {
    /// As tars with an EROFS image each.
    Erofs,
    /// Unpacked into directories.
    Overlay,
}

impl StorageDriver {
    /// The name that `info` shows and the data root records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Erofs => "erofs",
            Self::Overlay => "overlay2",
        }
    }

    /// The driver of that name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "erofs" => Some(Self::Erofs),
            "overlay" | "overlay2" => Some(Self::Overlay),
            _ => None,
        }
    }
}

fn storage_driver(name: Option<String>) -> Result<Option<StorageDriver>, SettingsError> {
    let unknown = |name| {
        invalid(format!("storage driver {name:?} is not available in Hull: it has erofs and overlay2"))
    };
    name.map(|name| StorageDriver::named(&name).ok_or_else(|| unknown(name))).transpose()
}

impl Config {
    /// From the settings, checked.
    pub fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let read = Reader { settings };
        let exec_root = read.path("exec-root", DEFAULT_EXEC_ROOT)?;
        let data_root = read.path("data-root", &read.text("graph", DEFAULT_DATA_ROOT)?)?;
        let tls = tls(&read)?;
        let named = read.list("hosts")?;
        let default_socket = format!("unix://{}", exec_root.join("hull.sock").display());
        let hosts = if named.is_empty() { vec![default_socket.clone()] } else { named };
        let hosts = hosts
            .iter()
            .map(|host| Host::parse(host, tls.is_some(), &default_socket))
            .collect::<Result<_, _>>()?;
        let config = Self {
            pidfile: read.path("pidfile", &exec_root.join("hulld.pid").to_string_lossy())?,
            group: read.optional("group")?,
            debug: read.flag("debug", false)?,
            log_level: read.text("log-level", "info")?,
            log_json: read.one_of("log-format", &["text", "json"], "text")? == "json",
            labels: labels(read.list("labels")?)?,
            experimental: read.flag("experimental", false)?,
            shutdown_timeout: read.number("shutdown-timeout", 15)?,
            registry_mirrors: mirrors(read.list("registry-mirrors")?)?,
            insecure_registries: read.list("insecure-registries")?,
            max_concurrent_downloads: read.positive("max-concurrent-downloads", 3)?,
            max_concurrent_uploads: read.positive("max-concurrent-uploads", 5)?,
            max_download_attempts: read.positive("max-download-attempts", 5)?,
            http_proxy: read.proxy("http-proxy")?,
            https_proxy: read.proxy("https-proxy")?,
            no_proxy: read.proxy("no-proxy")?,
            network: network(&read)?,
            cgroup_parent: cgroup_parent(&read, &exec_root)?,
            runtimes: runtimes(&read)?,
            default_runtime: read.text("default-runtime", BUILT_IN_RUNTIME)?,
            runtime_binary: read.optional("runtime-binary")?.map(PathBuf::from),
            default_shm_size: shm_size(&read)?,
            default_ulimits: ulimits(&read)?,
            default_ipc_mode: read.one_of(
                "default-ipc-mode",
                &["private", "shareable", "host"],
                "private",
            )?,
            default_cgroupns_mode: read.one_of("default-cgroupns-mode", &["", "host", "private"], "")?,
            log_driver: read.text("log-driver", "json-file")?,
            log_opts: read.pairs("log-opts")?,
            init: read.flag("init", false)?,
            no_new_privileges: read.flag("no-new-privileges", false)?,
            seccomp_profile: read
                .optional("seccomp-profile")?
                .filter(|name| name != "builtin")
                .map(PathBuf::from),
            cdi_spec_dirs: cdi_spec_dirs(read.list("cdi-spec-dirs")?),
            build_cache_limit: build_cache_limit(&read)?,
            storage_driver: storage_driver(read.optional("storage-driver")?)?,
            data_root,
            exec_root,
            hosts,
            tls,
        };
        config.check(&read)?;
        Ok(config)
    }

    fn check(&self, read: &Reader<'_>) -> Result<(), SettingsError> {
        if !["debug", "info", "warn", "warning", "error", "fatal", "panic", "trace"]
            .contains(&self.log_level.as_str())
        {
            return Err(invalid(format!("invalid logging level: {}", self.log_level)));
        }
        let runtime = self.default_runtime.as_str();
        if ![BUILT_IN_RUNTIME, DEFAULT_RUNTIME_ALIAS].contains(&runtime)
            && !self.runtimes.contains_key(runtime)
        {
            return Err(invalid(format!("specified default runtime '{runtime}' does not exist")));
        }
        if self.shutdown_timeout < -1 {
            return Err(invalid(format!("invalid shutdown timeout: {}", self.shutdown_timeout)));
        }
        for option in read.list("exec-opts")? {
            match option.split_once('=') {
                Some(("native.cgroupdriver", "cgroupfs")) => {}
                Some(("native.cgroupdriver", other)) => {
                    return Err(invalid(format!(
                        "native.cgroupdriver option {other} is not available in Hull: it has cgroupfs"
                    )));
                }
                _ => return Err(invalid(format!("invalid exec option: {option}"))),
            }
        }
        Ok(())
    }

    /// What this daemon's nftables table, and with a suffix its bridge, is called: `hull`, or something that no other
    /// daemon of this machine has.
    pub fn instance(&self) -> String {
        instance(&self.exec_root)
    }

    /// The default bridge's interface where none is given; at most 15 characters.
    pub fn default_bridge(&self) -> String {
        match self.instance().strip_prefix("hull-") {
            Some(hash) => format!("hull-{}", &hash[..8]),
            None => "hull0".into(),
        }
    }
}

fn instance(exec_root: &std::path::Path) -> String {
    if exec_root == std::path::Path::new(DEFAULT_EXEC_ROOT) {
        return "hull".into();
    }
    // FNV-1a: short, and the same in every version of Hull.
    let hash =
        exec_root.as_os_str().as_encoded_bytes().iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
    format!("hull-{:08x}", hash as u32)
}

fn invalid(text: impl Into<String>) -> SettingsError {
    SettingsError::Value(text.into())
}

fn cgroup_parent(read: &Reader<'_>, exec_root: &std::path::Path) -> Result<String, SettingsError> {
    let parent = read.text("cgroup-parent", &format!("/{}", instance(exec_root)))?;
    if parent.split('/').any(|part| part == "..") {
        return Err(invalid(format!("invalid cgroup parent {parent:?}: it leads outside")));
    }
    Ok(if parent.starts_with('/') { parent } else { format!("/{parent}") })
}

fn tls(read: &Reader<'_>) -> Result<Option<TlsFiles>, SettingsError> {
    let verify = read.flag("tlsverify", false)?;
    if !verify && !read.flag("tls", false)? {
        return Ok(None);
    }
    let authorities = read.path("tlscacert", "/etc/hull/ca.pem")?;
    Ok(Some(TlsFiles {
        authorities: verify.then_some(authorities),
        certificate: read.path("tlscert", "/etc/hull/cert.pem")?,
        key: read.path("tlskey", "/etc/hull/key.pem")?,
    }))
}

fn cdi_spec_dirs(given: Vec<String>) -> Vec<PathBuf> {
    match given.is_empty() {
        true => ["/etc/cdi", "/var/run/cdi"].map(PathBuf::from).to_vec(),
        false => given.into_iter().map(PathBuf::from).collect(),
    }
}

fn labels(labels: Vec<String>) -> Result<Vec<String>, SettingsError> {
    let mut seen = BTreeMap::new();
    for label in &labels {
        let Some((key, value)) = label.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err(invalid(format!("bad attribute format: {label}")));
        };
        if seen.insert(key, value).is_some_and(|other| other != value) {
            return Err(invalid(format!("conflict labels for {key}={value} and {key}={}", seen[key])));
        }
    }
    Ok(labels)
}

fn mirrors(mirrors: Vec<String>) -> Result<Vec<String>, SettingsError> {
    for mirror in &mirrors {
        let rest = mirror.strip_prefix("http://").or_else(|| mirror.strip_prefix("https://"));
        let Some(rest) = rest else {
            return Err(invalid(format!(
                "invalid mirror: no scheme specified for {mirror:?}: must use either 'https://' or 'http://'"
            )));
        };
        if rest.trim_end_matches('/').is_empty() || rest.contains(['?', '#', '@']) {
            return Err(invalid(format!("invalid mirror: {mirror:?} is not a URL of a host")));
        }
    }
    Ok(mirrors)
}

fn runtimes(read: &Reader<'_>) -> Result<BTreeMap<String, RuntimeSpec>, SettingsError> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Runtime {
        Path(PathBuf),
        Full {
            #[serde(default)]
            path: PathBuf,
            #[serde(rename = "runtimeArgs", default)]
            args: Option<Vec<String>>,
        },
    }
    let named: BTreeMap<String, Runtime> = read.value("runtimes")?.unwrap_or_default();
    let mut runtimes = BTreeMap::new();
    for (name, runtime) in named {
        if [BUILT_IN_RUNTIME, DEFAULT_RUNTIME_ALIAS].contains(&name.as_str()) {
            return Err(invalid(format!("runtime name '{name}' is reserved")));
        }
        let (path, args) = match runtime {
            Runtime::Path(path) => (path, Vec::new()),
            Runtime::Full { path, args } => (path, args.unwrap_or_default()),
        };
        if path.as_os_str().is_empty() {
            return Err(invalid(format!("invalid runtime {name:?}: it has no path")));
        }
        runtimes.insert(name, RuntimeSpec { path, args });
    }
    Ok(runtimes)
}

/// `"builder": {"gc": {"defaultKeepStorage": "20GB"}}`, as dockerd has it.
fn build_cache_limit(read: &Reader<'_>) -> Result<u64, SettingsError> {
    const DEFAULT: u64 = 20_000_000_000;
    let gc = read.settings.get("builder").and_then(|builder| builder.get("gc"));
    match gc.and_then(|gc| gc.get("defaultKeepStorage")) {
        None => Ok(DEFAULT),
        Some(Value::Number(number)) => Ok(number.as_u64().unwrap_or(DEFAULT)),
        Some(value) => {
            let text = value.as_str().unwrap_or_default();
            let size = size::parse_binary(text).and_then(|size| u64::try_from(size).ok());
            size.ok_or_else(|| invalid(format!("invalid builder.gc.defaultKeepStorage: {text:?}")))
        }
    }
}

fn shm_size(read: &Reader<'_>) -> Result<i64, SettingsError> {
    match read.settings.get("default-shm-size") {
        None => Ok(64 << 20),
        Some(Value::Number(number)) => Ok(number.as_i64().unwrap_or(64 << 20)),
        Some(value) => {
            let text = value.as_str().unwrap_or_default();
            size::parse_binary(text)
                .filter(|size| *size > 0)
                .ok_or_else(|| invalid(format!("invalid default-shm-size: {text:?}")))
        }
    }
}

// `nofile=1024:2048` from flags, `{"nofile": {"Name": …, "Hard": …, "Soft": …}}` from the file.
fn ulimits(read: &Reader<'_>) -> Result<Vec<Ulimit>, SettingsError> {
    let named: BTreeMap<String, Value> = read.value("default-ulimits")?.unwrap_or_default();
    let mut limits = Vec::new();
    for (name, value) in named {
        let limit = match &value {
            Value::String(text) => {
                let (soft, hard) = text.split_once(':').unwrap_or((text, text));
                soft.parse().ok().zip(hard.parse().ok()).map(|(soft, hard)| Ulimit {
                    name: name.clone(),
                    hard,
                    soft,
                })
            }
            other => serde_json::from_value::<Ulimit>(other.clone())
                .ok()
                .map(|limit| Ulimit { name: name.clone(), ..limit }),
        };
        let limit = limit.filter(|limit| limit.hard == -1 || (limit.soft <= limit.hard && limit.soft != -1));
        limits.push(limit.ok_or_else(|| invalid(format!("invalid default ulimit {name}: {value}")))?);
    }
    Ok(limits)
}

fn network(read: &Reader<'_>) -> Result<NetworkOptions, SettingsError> {
    let bridge = read.optional("bridge")?;
    let bip = read.optional("bip")?;
    if bridge.is_some() && bip.is_some() {
        return Err(invalid("you specified -b & --bip, mutually exclusive options: please specify only one"));
    }
    if bridge.as_ref().is_some_and(|name| name.len() > 15 || name.contains(['/', ' '])) {
        return Err(invalid("invalid bridge: the name of an interface has at most 15 characters"));
    }
    let (icc, packet_filter) = (read.flag("icc", true)?, read.flag("iptables", true)?);
    if !packet_filter && !icc {
        return Err(invalid(
            "you specified --iptables=false with --icc=false. ICC=false uses iptables to function. Please set --icc or --iptables to true",
        ));
    }
    Ok(NetworkOptions {
        bridge,
        ipv4_addresses: BridgeAddresses {
            address: bip,
            fixed_cidr: read.optional("fixed-cidr")?,
            default_gateway: read.address("default-gateway")?,
        },
        ipv6: read.flag("ipv6", false)?,
        ipv6_addresses: BridgeAddresses {
            address: read.optional("bip6")?,
            fixed_cidr: read.optional("fixed-cidr-v6")?,
            default_gateway: read.address("default-gateway-v6")?,
        },
        icc,
        packet_filter,
        obey_host_firewall: read.flag("obey-host-firewall", false)?,
        host_gateway: host_gateways(read)?,
        publish_address: read.address("ip")?,
        mtu: u32::try_from(read.number("mtu", 0)?)
            .map_err(|_| invalid("invalid default MTU: it is negative"))?,
        ip_forward: read.flag("ip-forward", true)?,
        ip_forward_no_drop: read.flag("ip-forward-no-drop", false)?,
        ip_masquerade: read.flag("ip-masq", true)?,
        pools: pools(read)?,
        dns: read.list("dns")?,
        dns_options: read.list("dns-opts")?,
        dns_search: read.list("dns-search")?,
    })
}

/// One address, or one of each family.
fn host_gateways(read: &Reader<'_>) -> Result<Vec<IpAddr>, SettingsError> {
    let texts = if read.settings.contains_key("host-gateway-ips") {
        read.list("host-gateway-ips")?
    } else {
        read.list("host-gateway-ip")?
    };
    let parse = |text: &str| {
        text.trim().parse().map_err(|_| invalid(format!("invalid host-gateway-ip: {text:?} is no address")))
    };
    texts.iter().flat_map(|text| text.split(',')).map(parse).collect()
}

// `base=10.0.0.0/8,size=24` from flags, `{"base": …, "size": …}` from the file.
fn pools(read: &Reader<'_>) -> Result<Vec<AddressPool>, SettingsError> {
    let values: Vec<Value> = read.value("default-address-pools")?.unwrap_or_default();
    let pool = |value: &Value| -> Option<AddressPool> {
        let (base, size) = match value {
            Value::String(text) => {
                let mut parts = text.split(',').filter_map(|part| part.split_once('='));
                let get =
                    |key| parts.clone().find(|(name, _)| *name == key).map(|(_, value)| value.to_owned());
                let pair = (get("base")?, get("size")?.parse::<u8>().ok()?);
                parts.all(|(name, _)| ["base", "size"].contains(&name)).then_some(pair)?
            }
            other => {
                (other.get("base")?.as_str()?.to_owned(), u8::try_from(other.get("size")?.as_u64()?).ok()?)
            }
        };
        let base: Subnet = base.parse().ok()?;
        let longest = if base.is_ipv4() { 30 } else { 126 };
        (size >= base.prefix() && size <= longest).then_some(AddressPool { base, size })
    };
    values
        .iter()
        .map(|value| pool(value).ok_or_else(|| invalid(format!("invalid default address pool: {value}"))))
        .collect()
}

struct Reader<'a> {
    settings: &'a Settings,
}

impl Reader<'_> {
    fn value<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, SettingsError> {
        let Some(value) = self.settings.get(key) else { return Ok(None) };
        serde_json::from_value(value.clone())
            .map(Some)
            .map_err(|error| invalid(format!("invalid value for {key}: {error}")))
    }
    fn optional(&self, key: &str) -> Result<Option<String>, SettingsError> {
        Ok(self.value::<String>(key)?.filter(|text| !text.is_empty()))
    }
    fn text(&self, key: &str, default: &str) -> Result<String, SettingsError> {
        Ok(self.optional(key)?.unwrap_or_else(|| default.to_owned()))
    }
    fn one_of(&self, key: &str, known: &[&str], default: &str) -> Result<String, SettingsError> {
        let text = self.text(key, default)?;
        if known.contains(&text.as_str()) {
            Ok(text)
        } else {
            Err(invalid(format!("invalid {key}: {text:?}")))
        }
    }
    fn path(&self, key: &str, default: &str) -> Result<PathBuf, SettingsError> {
        let path = PathBuf::from(self.text(key, default)?);
        std::path::absolute(&path)
            .map_err(|error| invalid(format!("invalid {key} {}: {error}", path.display())))
    }
    fn flag(&self, key: &str, default: bool) -> Result<bool, SettingsError> {
        Ok(self.value(key)?.unwrap_or(default))
    }
    fn number(&self, key: &str, default: i64) -> Result<i64, SettingsError> {
        Ok(self.value(key)?.unwrap_or(default))
    }
    fn positive<T: TryFrom<i64>>(&self, key: &str, default: i64) -> Result<T, SettingsError> {
        let number = self.number(key, default)?;
        let number = if number == 0 { default } else { number };
        T::try_from(number).map_err(|_| invalid(format!("invalid {key}: {number}")))
    }
    fn list(&self, key: &str) -> Result<Vec<String>, SettingsError> {
        if let Some(Value::String(text)) = self.settings.get(key) {
            return Ok(vec![text.clone()]);
        }
        Ok(self.value(key)?.unwrap_or_default())
    }
    fn pairs(&self, key: &str) -> Result<Map<String>, SettingsError> {
        Ok(self.value(key)?.unwrap_or_default())
    }
    fn address(&self, key: &str) -> Result<Option<IpAddr>, SettingsError> {
        let parse = |text: String| {
            text.parse().map_err(|_| invalid(format!("invalid {key}: {text:?} is no IP address")))
        };
        self.optional(key)?.map(parse).transpose()
    }
    fn proxy(&self, key: &str) -> Result<Option<String>, SettingsError> {
        let file: Map<String> = self.value("proxies")?.unwrap_or_default();
        Ok(self.optional(key)?.or_else(|| file.get(key).cloned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config(settings: Value) -> Result<Config, String> {
        Config::new(settings.as_object().unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults() {
        let config = config(json!({})).unwrap();
        assert_eq!(config.hosts, [Host::Unix("/run/hull/hull.sock".into())]);
        assert_eq!((config.cgroup_parent.as_str(), config.instance().as_str()), ("/hull", "hull"));
        assert_eq!(config.default_bridge(), "hull0");
        assert_eq!((config.default_shm_size, config.max_concurrent_downloads), (64 << 20, 3));
        assert!(config.network.icc && config.network.packet_filter && config.tls.is_none());
    }

    #[test]
    fn everything_follows_from_the_exec_root() {
        let one = config(json!({ "exec-root": "/tmp/a" })).unwrap();
        let two = config(json!({ "exec-root": "/tmp/b" })).unwrap();
        assert_eq!(one.hosts, [Host::Unix("/tmp/a/hull.sock".into())]);
        assert_ne!(one.instance(), two.instance());
        assert_ne!(one.cgroup_parent, two.cgroup_parent);
        assert!(one.default_bridge() != two.default_bridge() && one.default_bridge().len() <= 15);
    }

    #[test]
    fn shapes_of_flags_and_of_the_file_mean_the_same() {
        let flags = config(json!({
            "runtimes": { "crun": "/usr/bin/crun" }, "default-ulimits": { "nofile": "1:2" },
            "default-address-pools": ["base=10.0.0.0/8,size=24"], "default-shm-size": "1m", "default-runtime": "crun"
        }))
        .unwrap();
        let file = config(json!({
            "runtimes": { "crun": { "path": "/usr/bin/crun", "runtimeArgs": null } },
            "default-ulimits": { "nofile": { "Name": "nofile", "Soft": 1, "Hard": 2 } },
            "default-address-pools": [{ "base": "10.0.0.0/8", "size": 24 }], "default-shm-size": 1_048_576
        }))
        .unwrap();
        assert_eq!(flags.runtimes, file.runtimes);
        assert_eq!(flags.default_ulimits, file.default_ulimits);
        assert_eq!(flags.network.pools, file.network.pools);
        assert_eq!(flags.default_shm_size, file.default_shm_size);
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        for (settings, text) in [
            (json!({ "log-level": "loud" }), "invalid logging level: loud"),
            (json!({ "storage-driver": "zfs" }), "storage driver \"zfs\""),
            (json!({ "default-runtime": "x" }), "specified default runtime 'x' does not exist"),
            (json!({ "registry-mirrors": ["x"] }), "invalid mirror"),
            (json!({ "labels": ["x"] }), "bad attribute format: x"),
            (json!({ "labels": ["a=1", "a=2"] }), "conflict labels for a"),
            (json!({ "bridge": "b", "bip": "1.2.3.4/5" }), "you specified -b & --bip"),
            (json!({ "default-ulimits": { "nofile": "2:1" } }), "invalid default ulimit nofile"),
            (
                json!({ "default-address-pools": ["base=10.0.0.0/24,size=16"] }),
                "invalid default address pool",
            ),
            (json!({ "exec-opts": ["native.cgroupdriver=systemd"] }), "native.cgroupdriver option systemd"),
            (json!({ "cgroup-parent": "/a/../b" }), "invalid cgroup parent"),
            (json!({ "ip": "x" }), "invalid ip"),
        ] {
            let error = config(settings).unwrap_err();
            assert!(error.starts_with(text), "{error}");
        }
    }
}
