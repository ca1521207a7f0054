//! The flags of `run` and `create` as the engine's request.

use super::{devices, names, networks, ports, security, ulimits, variables, volumes};
use crate::amount;
use crate::duration;
use crate::matches::Matches;
use crate::streams::complain;
use hull_api_types::{
    ContainerConfig, ContainerCreateRequest, DeviceRequest, HealthConfig, HostConfig, LogConfig,
    NetworkingConfig, Resources,
};

/// What is to be created.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// For the engine.
    pub request: ContainerCreateRequest,
    /// The container's name; empty for one of the engine's choice.
    pub name: String,
    /// The platform, normalized; empty for the engine's.
    pub platform: String,
}

/// Reads the flags. `proxies` are variables that the configuration gives every container.
pub fn read(matches: &Matches, proxies: &[(String, String)]) -> Result<Plan, String> {
    let (exposed, port_bindings, choices) = ports::parse(&matches.list("publish"), &matches.list("expose"))?;
    let mut config = container_config(matches, proxies)?;
    config.exposed_ports = (!exposed.is_empty()).then_some(exposed);
    let mut host = host_config(matches)?;
    host.port_bindings = port_bindings;
    for (name, ports) in choices {
        ports::note(host.annotations.get_or_insert_default(), &name, &ports);
    }
    let (binds, anonymous) = volumes::parse(&matches.list("volume"))?;
    host.binds = (!binds.is_empty()).then_some(binds);
    config.volumes = Some(anonymous);
    if host.auto_remove && !names::restarts_never(&host.restart_policy) {
        return Err("conflicting options: cannot specify both --restart and --rm".into());
    }
    let networking_config = NetworkingConfig { endpoints_config: networks::endpoints(matches)? };
    let platform = match matches.text("platform") {
        "" => std::env::var("DOCKER_DEFAULT_PLATFORM").unwrap_or_default(),
        text => text.to_owned(),
    };
    Ok(Plan {
        request: ContainerCreateRequest { config, host_config: host, networking_config },
        name: matches.text("name").to_owned(),
        platform: names::platform(&platform)?,
    })
}

fn container_config(matches: &Matches, proxies: &[(String, String)]) -> Result<ContainerConfig, String> {
    let text = |name: &str| matches.text(name).to_owned();
    let attach = matches.list("attach");
    let attached = |stream: &str| attach.iter().any(|given| given.eq_ignore_ascii_case(stream));
    let stdin = matches.switch("interactive");
    let mac = matches.text("mac-address");
    if !mac.is_empty() && networks::mac(mac).is_err() {
        return Err(format!("{mac} is not a valid mac address"));
    }
    let given = variables::environment(&[], &matches.list("env"))?;
    let mut environment = variables::environment(&matches.list("env-file"), &[])?;
    environment.extend(deduplicated(given, proxies));
    let command = matches.arguments().get(1..).unwrap_or_default();
    let entrypoint = matches.changed("entrypoint").then(|| vec![text("entrypoint")]);
    let attach_stdin = stdin || attached("stdin");
    Ok(ContainerConfig {
        hostname: text("hostname"),
        domainname: text("domainname"),
        user: text("user"),
        attach_stdin,
        attach_stdout: attach.is_empty() || attached("stdout"),
        attach_stderr: attach.is_empty() || attached("stderr"),
        tty: matches.switch("tty"),
        open_stdin: stdin,
        stdin_once: stdin && attach_stdin,
        env: (!environment.is_empty()).then_some(environment),
        cmd: (!command.is_empty()).then(|| command.to_vec()),
        healthcheck: health(matches)?,
        image: matches.argument(0).to_owned(),
        working_dir: text("workdir"),
        entrypoint,
        mac_address: mac.to_owned(),
        labels: variables::labels(&matches.list("label-file"), &matches.list("label"))?,
        stop_signal: text("stop-signal"),
        stop_timeout: matches.given_integer("stop-timeout"),
        ..ContainerConfig::default()
    })
}

/// One text for each variable of the flags': the last given; the configuration's proxies where nothing is.
fn deduplicated(given: Vec<String>, proxies: &[(String, String)]) -> Vec<String> {
    let key = |text: &str| text.split('=').next().unwrap_or_default().to_owned();
    let mut out: Vec<String> = Vec::with_capacity(given.len());
    for text in given {
        match out.iter_mut().find(|known| key(known) == key(&text)) {
            Some(known) => *known = text,
            None => out.push(text),
        }
    }
    for (name, value) in proxies {
        if !out.iter().any(|known| key(known) == *name) {
            out.push(format!("{name}={value}"));
        }
    }
    out
}

fn health(matches: &Matches) -> Result<Option<HealthConfig>, String> {
    let time = |name: &str| duration::parse(matches.text(name)).unwrap_or(0);
    let config = HealthConfig {
        test: match matches.text("health-cmd") {
            "" => None,
            command => Some(vec!["CMD-SHELL".into(), command.into()]),
        },
        interval: time("health-interval"),
        timeout: time("health-timeout"),
        start_period: time("health-start-period"),
        start_interval: time("health-start-interval"),
        retries: matches.integer("health-retries"),
    };
    let any = config != HealthConfig::default();
    if matches.switch("no-healthcheck") {
        if any {
            return Err("--no-healthcheck conflicts with --health-* options".into());
        }
        return Ok(Some(HealthConfig { test: Some(vec!["NONE".into()]), ..HealthConfig::default() }));
    }
    for (value, name) in [
        (config.interval, "interval"),
        (config.timeout, "timeout"),
        (config.retries, "retries"),
        (config.start_period, "start-period"),
        (config.start_interval, "start-interval"),
    ] {
        if value < 0 {
            return Err(format!("--health-{name} cannot be negative"));
        }
    }
    Ok(any.then_some(config))
}

fn host_config(matches: &Matches) -> Result<HostConfig, String> {
    let text = |name: &str| matches.text(name).to_owned();
    let list = |name: &str| Some(matches.list(name)).filter(|list| !list.is_empty());
    let hosts =
        matches.list("add-host").iter().map(|host| names::extra_host(host)).collect::<Result<Vec<_>, _>>()?;
    let dns =
        matches.list("dns").iter().map(|server| names::address(server)).collect::<Result<Vec<_>, _>>()?;
    let search =
        matches.list("dns-search").iter().map(|domain| domain.trim_matches(' ').to_owned()).collect();
    names::check_modes(
        matches.text("pid"),
        matches.text("uts"),
        matches.text("userns"),
        matches.text("cgroupns"),
    )?;
    let security = security::parse(&matches.list("security-opt"))?;
    let unconfined = security.system_paths_unconfined.then(Vec::new);
    let mounts = matches
        .list("mount")
        .iter()
        .map(|mount| super::mounts::parse(mount))
        .collect::<Result<Vec<_>, _>>()?;
    if !mounts.is_empty() && !matches.text("volume-driver").is_empty() {
        complain(
            "WARNING: `--volume-driver` is ignored for volumes specified via `--mount`. Use `--mount type=volume,volume-driver=...` instead.",
        );
    }
    let map = |name: &str| Some(crate::list::pairs(&matches.list(name))).filter(|map| !map.is_empty());
    Ok(HostConfig {
        container_id_file: text("cidfile"),
        log_config: logging(matches)?,
        network_mode: networks::mode(&matches.list("network")),
        restart_policy: names::restart(matches.text("restart"))?,
        auto_remove: matches.switch("rm"),
        volume_driver: text("volume-driver"),
        volumes_from: list("volumes-from"),
        annotations: map("annotation"),
        cap_add: list("cap-add").map(names::capabilities),
        cap_drop: list("cap-drop").map(names::capabilities),
        cgroupns_mode: text("cgroupns"),
        dns: Some(dns),
        dns_options: Some(matches.list("dns-option")),
        dns_search: Some(search),
        extra_hosts: (!hosts.is_empty()).then_some(hosts),
        group_add: list("group-add"),
        ipc_mode: text("ipc"),
        links: list("link"),
        oom_score_adj: matches.integer("oom-score-adj"),
        pid_mode: text("pid"),
        privileged: matches.switch("privileged"),
        publish_all_ports: matches.switch("publish-all"),
        readonly_rootfs: matches.switch("read-only"),
        security_opt: (!security.options.is_empty()).then_some(security.options),
        storage_opt: storage(matches)?,
        tmpfs: tmpfs(matches),
        uts_mode: text("uts"),
        userns_mode: text("userns"),
        shm_size: size(matches, "shm-size"),
        sysctls: map("sysctl"),
        runtime: text("runtime"),
        isolation: text("isolation"),
        resources: resources(matches)?,
        mounts: (!mounts.is_empty()).then_some(mounts),
        masked_paths: unconfined.clone(),
        readonly_paths: unconfined,
        init: matches.changed("init").then(|| matches.switch("init")),
        ..HostConfig::default()
    })
}

fn logging(matches: &Matches) -> Result<LogConfig, String> {
    let (driver, options) = (matches.text("log-driver"), matches.list("log-opt"));
    if driver == "none" && !options.is_empty() {
        return Err(format!("invalid logging opts for driver {driver}"));
    }
    Ok(LogConfig { kind: driver.to_owned(), config: crate::list::pairs(&options) })
}

fn storage(matches: &Matches) -> Result<Option<hull_api_types::Map<String>>, String> {
    let list = matches.list("storage-opt");
    if list.iter().any(|text| !text.contains('=')) {
        return Err("invalid storage option".into());
    }
    Ok(Some(crate::list::pairs(&list)).filter(|map| !map.is_empty()))
}

fn tmpfs(matches: &Matches) -> Option<hull_api_types::Map<String>> {
    let list = matches.list("tmpfs");
    let pairs = list.iter().map(|text| text.split_once(':').unwrap_or((text, "")));
    let map: hull_api_types::Map<String> =
        pairs.map(|(path, options)| (path.into(), options.into())).collect();
    Some(map).filter(|map| !map.is_empty())
}

/// A size that the flag's check let pass; -1 is kept.
fn size(matches: &Matches, name: &str) -> i64 {
    match matches.text(name) {
        "-1" => -1,
        text => amount::bytes(text).unwrap_or(0),
    }
}

fn resources(matches: &Matches) -> Result<Resources, String> {
    let swappiness = matches.integer("memory-swappiness");
    if swappiness != -1 && !(0..=100).contains(&swappiness) {
        return Err(format!("invalid value: {swappiness}. Valid memory swappiness range is 0-100"));
    }
    let (mappings, cdi) = devices::parse(&matches.list("device"))?;
    let mut requests = matches
        .list("gpus")
        .iter()
        .map(|text| devices::gpus(text))
        .collect::<Result<Vec<DeviceRequest>, _>>()?;
    if !cdi.is_empty() {
        requests.push(DeviceRequest {
            driver: "cdi".into(),
            device_ids: Some(cdi),
            ..DeviceRequest::default()
        });
    }
    let text = |name: &str| matches.text(name).to_owned();
    let throttle = |name: &str, read: fn(&str) -> Result<_, String>| -> Result<Option<Vec<_>>, String> {
        matches.list(name).iter().map(|text| read(text)).collect::<Result<Vec<_>, _>>().map(Some)
    };
    let weights = matches.list("blkio-weight-device");
    let rules = matches.list("device-cgroup-rule");
    Ok(Resources {
        cpu_shares: matches.integer("cpu-shares"),
        memory: size(matches, "memory"),
        nano_cpus: amount::nano_cpus(matches.text("cpus")).unwrap_or(0),
        cgroup_parent: text("cgroup-parent"),
        blkio_weight: u16::try_from(matches.integer("blkio-weight")).unwrap_or(0),
        blkio_weight_device: Some(
            weights.iter().map(|text| devices::weight(text)).collect::<Result<Vec<_>, _>>()?,
        ),
        blkio_device_read_bps: throttle("device-read-bps", devices::bytes)?,
        blkio_device_write_bps: throttle("device-write-bps", devices::bytes)?,
        blkio_device_read_iops: throttle("device-read-iops", devices::operations)?,
        blkio_device_write_iops: throttle("device-write-iops", devices::operations)?,
        cpu_period: matches.integer("cpu-period"),
        cpu_quota: matches.integer("cpu-quota"),
        cpu_realtime_period: matches.integer("cpu-rt-period"),
        cpu_realtime_runtime: matches.integer("cpu-rt-runtime"),
        cpuset_cpus: text("cpuset-cpus"),
        cpuset_mems: text("cpuset-mems"),
        devices: Some(mappings),
        device_cgroup_rules: (!rules.is_empty()).then_some(rules),
        device_requests: (!requests.is_empty()).then_some(requests),
        kernel_memory: size(matches, "kernel-memory"),
        memory_reservation: size(matches, "memory-reservation"),
        memory_swap: size(matches, "memory-swap"),
        memory_swappiness: Some(swappiness),
        oom_kill_disable: Some(matches.switch("oom-kill-disable")),
        pids_limit: Some(matches.integer("pids-limit")),
        ulimits: Some(ulimits::all(&matches.list("ulimit"))?),
        cpu_count: matches.integer("cpu-count"),
        cpu_percent: matches.integer("cpu-percent"),
        io_maximum_iops: u64::try_from(matches.integer("io-maxiops")).unwrap_or(0),
        io_maximum_bandwidth: u64::try_from(size(matches, "io-maxbandwidth")).unwrap_or(0),
        ..Resources::default()
    })
}
