//! The one place that names all services and puts them together.

use crate::config::Config;
use crate::facts;
use crate::storage;
use anyhow::{Context, Result};
use hull_api::{Facts, Services};
use hull_api_types::SystemInfo;
use hull_build::{Builder, BuilderConfig, Cache};
use hull_container::{Containers, ContainersConfig};
use hull_content::Content;
use hull_events::EventBus;
use hull_image::{Images, ImagesConfig};
use hull_network::{Networks, NetworksConfig};
use hull_registry_client::Registry;
use hull_store::Store;
use hull_volume::Volumes;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use tokio::sync::watch;

/// The parts that a configuration reaches while the daemon runs.
pub struct Running {
    containers: Containers,
    images: Images,
    registry: Registry,
    events: EventBus,
    facts: watch::Sender<Facts>,
    runtime_binary: PathBuf,
}

impl Running {
    /// Gives them what can be changed of it; what `/info` says since then.
    pub fn reconfigure(&self, config: &Config) -> SystemInfo {
        let downloads = (config.max_concurrent_downloads, config.max_download_attempts);
        self.containers.reconfigure(containers_config(config, self.runtime_binary.clone()));
        self.images.set_limits(downloads.0, config.max_concurrent_uploads, downloads.1);
        self.registry.reconfigure(registry_config(config));
        self.facts.send_modify(|facts| facts::configure(&mut facts.info, config, &self.runtime_binary));
        self.facts.borrow().info.clone()
    }

    /// Where events are published.
    pub fn events(&self) -> &EventBus {
        &self.events
    }
}

/// Opens every service, the lowest first, and hands them to the API.
pub async fn open(config: &Config) -> Result<(Services, Running)> {
    let runtime_binary = runtime_binary(config)?;
    let store = Store::open(&config.data_root.join("hull.db"))?;
    let events = EventBus::new();
    let content = Content::open(&config.data_root.join("content"))?;
    let snapshotter = storage::open(&config.data_root, config.storage_driver)?;
    let registry = Registry::new(registry_config(config));
    let cache = Cache::open(store.clone(), config.build_cache_limit)?;
    let images = Images::open(
        ImagesConfig { cached: cache.cached(), ..images_config(config, &runtime_binary) },
        store.clone(),
        content,
        snapshotter.clone(),
        registry.clone(),
        events.clone(),
    )?;
    let networks = Networks::open(networks_config(config), &store, events.clone())?;
    let volumes = Volumes::open(&config.data_root.join("volumes"), store.clone(), events.clone())?;
    let facts = facts::gather(config, engine_id(&config.data_root)?, snapshotter.name(), &runtime_binary);
    let (sender, facts) = watch::channel(facts);
    let containers = Containers::open(
        containers_config(config, runtime_binary.clone()),
        store,
        images.clone(),
        snapshotter.clone(),
        networks.clone(),
        volumes.clone(),
        events.clone(),
    )
    .await?;
    let places = BuilderConfig { root: config.data_root.join("build"), exec_root: config.exec_root.clone() };
    let builder =
        Builder::open(places, cache, images.clone(), containers.clone(), snapshotter, registry.clone())?;
    let running = Running {
        containers: containers.clone(),
        images: images.clone(),
        registry: registry.clone(),
        events: events.clone(),
        facts: sender,
        runtime_binary,
    };
    Ok((Services { builder, containers, images, networks, volumes, events, registry, facts }, running))
}

fn registry_config(config: &Config) -> hull_registry_client::Config {
    // Docker's directory is read where Hull has none: an administrator's certificates then go for both.
    let own = Path::new("/etc/hull/certs.d");
    let certificates = if own.exists() { own } else { Path::new("/etc/docker/certs.d") };
    hull_registry_client::Config {
        mirrors: config.registry_mirrors.clone(),
        insecure: config.insecure_registries.clone(),
        certs_dir: Some(certificates.into()),
        user_agent: format!(
            "hull/{} os/linux arch/{}",
            facts::VERSION,
            hull_types::Platform::host().architecture
        ),
        stall: None,
        // What the configuration says of them is in the environment by now.
        proxies: hull_registry_client::Proxies::from_environment(),
    }
}

fn images_config(config: &Config, runtime_binary: &Path) -> ImagesConfig {
    ImagesConfig {
        max_concurrent_downloads: config.max_concurrent_downloads,
        max_concurrent_uploads: config.max_concurrent_uploads,
        max_download_attempts: config.max_download_attempts,
        builtin_hello: runtime_binary.into(),
        ..ImagesConfig::default()
    }
}

fn networks_config(config: &Config) -> NetworksConfig {
    let options = &config.network;
    let bridge = options.bridge.clone().unwrap_or_else(|| config.default_bridge());
    NetworksConfig {
        bridge_is_given: options.bridge.is_some(),
        ipv4_addresses: options.ipv4_addresses.clone(),
        ipv6: options.ipv6,
        ipv6_addresses: options.ipv6_addresses.clone(),
        mtu: options.mtu,
        icc: options.icc,
        ip_forward: options.ip_forward,
        ip_forward_no_drop: options.ip_forward_no_drop,
        ip_masquerade: options.ip_masquerade,
        packet_filter: options.packet_filter,
        obey_host_rules: options.obey_host_firewall,
        default_host_address: options.publish_address.unwrap_or(Ipv4Addr::UNSPECIFIED.into()),
        host_gateway: options.host_gateway.clone(),
        default_address_pools: options.pools.clone(),
        dns: options.dns.clone(),
        dns_search: options.dns_search.clone(),
        dns_options: options.dns_options.clone(),
        ..NetworksConfig::new(config.exec_root.clone(), &config.instance(), &bridge)
    }
}

fn containers_config(config: &Config, runtime_binary: PathBuf) -> ContainersConfig {
    ContainersConfig {
        data_root: config.data_root.clone(),
        exec_root: config.exec_root.clone(),
        runtime_binary,
        runtimes: config.runtimes.clone(),
        default_runtime: config.default_runtime.clone(),
        cgroup_parent: config.cgroup_parent.clone(),
        default_shm_size: config.default_shm_size,
        default_ulimits: config.default_ulimits.clone(),
        log_driver: config.log_driver.clone(),
        log_opts: config.log_opts.clone(),
        init: config.init,
        default_ipc_mode: config.default_ipc_mode.clone(),
        default_cgroupns_mode: config.default_cgroupns_mode.clone(),
        no_new_privileges: config.no_new_privileges,
        seccomp_profile: config.seccomp_profile.clone(),
        cdi_spec_dirs: config.cdi_spec_dirs.clone(),
        ..ContainersConfig::default()
    }
}

/// `hull-runtime`: as given, or beside this program, or in `../libexec`, or on the PATH.
fn runtime_binary(config: &Config) -> Result<PathBuf> {
    const NAME: &str = "hull-runtime";
    if let Some(given) = &config.runtime_binary {
        let path = std::path::absolute(given).with_context(|| format!("find {}", given.display()))?;
        anyhow::ensure!(
            path.is_file(),
            "{} is not there: give --runtime-binary the path of {NAME}",
            path.display()
        );
        return Ok(path);
    }
    let program = std::env::current_exe().context("find this program's own file")?;
    let directory = program.parent().unwrap_or(Path::new("/"));
    let beside = [
        directory.join(NAME),
        directory.join("../libexec").join(NAME),
        directory.join("../libexec/hull").join(NAME),
    ];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|directory| directory.join(NAME));
    let found = beside.into_iter().chain(on_path).find(|candidate| candidate.is_file());
    let found = found.with_context(|| {
        format!(
            "{NAME} is neither beside {} nor in ../libexec nor on the PATH: install it there",
            program.display()
        )
    })?;
    found.canonicalize().with_context(|| format!("find {}", found.display()))
}

/// This engine's id, the same as long as its data lasts.
fn engine_id(data_root: &Path) -> Result<String> {
    let path = data_root.join("engine-id");
    if let Ok(id) = std::fs::read_to_string(&path)
        && !id.trim().is_empty()
    {
        return Ok(id.trim().to_owned());
    }
    let mut random = hull_sys::random::bytes::<16>().context("get random bytes")?;
    // RFC 9562, version 4.
    random[6] = random[6] & 0x0f | 0x40;
    random[8] = random[8] & 0x3f | 0x80;
    let hex: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let id = format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
    std::fs::write(&path, &id).with_context(|| format!("write {}", path.display()))?;
    Ok(id)
}
