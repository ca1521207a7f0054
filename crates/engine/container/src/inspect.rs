//! All about one container.

use crate::engine::Engine;
use crate::record::{ContainerSpec, Phase, State};
use crate::spec::{MountKind, MountSpec};
use crate::supervisor::{Published, links};
use hull_api_types::{
    ContainerInspect, ContainerState, DriverData, EndpointSettings, Map, MountPoint, NetworkSettings,
};
use hull_types::Rootfs;
use std::path::Path;

pub(crate) fn inspect(engine: &Engine, one: &Published, size: bool) -> ContainerInspect {
    let (spec, state) = (&one.spec, &one.state);
    let bundle = engine.bundle(&spec.id);
    let file = |name: &str| bundle.join(name).to_string_lossy().into_owned();
    let execs = engine.execs.running(&spec.id);
    let sizes = size.then(|| sizes(engine, spec));
    ContainerInspect {
        id: spec.id.clone(),
        created: spec.created,
        path: spec.path().to_owned(),
        args: spec.args(),
        state: container_state(state),
        image: spec.image.to_string(),
        resolv_conf_path: file("resolv.conf"),
        hostname_path: file("hostname"),
        hosts_path: file("hosts"),
        log_path: match spec.host_config.log_config.kind.as_str() {
            "json-file" => engine.log_path(&spec.id).to_string_lossy().into_owned(),
            _ => String::new(),
        },
        name: format!("/{}", spec.name),
        restart_count: state.restart_count,
        driver: engine.snapshotter.name().into(),
        platform: "linux".into(),
        exec_ids: (!execs.is_empty()).then_some(execs),
        host_config: links::shown(engine, spec),
        graph_driver: graph_driver(engine, spec),
        size_rw: sizes.map(|(own, _)| own),
        size_root_fs: sizes.map(|(_, all)| all),
        mounts: mount_points(engine, spec),
        config: spec.config.clone(),
        network_settings: network_settings(engine, one),
        ..ContainerInspect::default()
    }
}

fn container_state(state: &State) -> ContainerState {
    ContainerState {
        status: state.phase.word().into(),
        // A container between two runs counts as running, for clients that ask whether it is still at work.
        running: state.phase.is_live() || state.phase == Phase::Restarting,
        paused: state.phase == Phase::Paused,
        restarting: state.phase == Phase::Restarting,
        oom_killed: state.oom_killed,
        dead: state.phase == Phase::Dead,
        pid: state.pid.into(),
        exit_code: state.exit_code,
        error: state.error.clone(),
        started_at: state.started_at,
        finished_at: state.finished_at,
        health: state.health.clone(),
    }
}

/// Size of the container's own files, and with its image's.
pub(crate) fn sizes(engine: &Engine, spec: &ContainerSpec) -> (i64, i64) {
    let own = engine.snapshotter.usage(&spec.id).map(|usage| usage.size).unwrap_or_default();
    let image = engine.images.of_container(&spec.image).map(|image| image.size).unwrap_or_default();
    (own as i64, (own + image) as i64)
}

fn graph_driver(engine: &Engine, spec: &ContainerSpec) -> DriverData {
    let data = engine.snapshotter.rootfs(&spec.id).ok().map(|rootfs| directories(&rootfs));
    DriverData { name: engine.snapshotter.name().into(), data }
}

fn directories(rootfs: &Rootfs) -> Map<String> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let lowers = rootfs.lowers.iter().map(|lower| text(lower.path()));
    let mut data = Map::from([("LowerDir".to_owned(), lowers.collect::<Vec<_>>().join(":"))]);
    for (key, path) in [("UpperDir", &rootfs.upper), ("WorkDir", &rootfs.work)] {
        if let Some(path) = path {
            data.insert(key.to_owned(), text(path));
        }
    }
    data
}

/// The container's mounts as the API shows them.
pub(crate) fn mount_points(engine: &Engine, spec: &ContainerSpec) -> Vec<MountPoint> {
    spec.mounts.iter().filter(|mount| !mount.hidden).map(|mount| mount_point(engine, mount)).collect()
}

fn mount_point(engine: &Engine, mount: &MountSpec) -> MountPoint {
    let common = MountPoint {
        destination: mount.destination.clone(),
        mode: mount.mode.clone(),
        rw: !mount.read_only,
        propagation: mount.propagation.clone(),
        ..MountPoint::default()
    };
    match mount.kind {
        MountKind::Bind => MountPoint { kind: "bind".into(), source: mount.source.clone(), ..common },
        MountKind::Tmpfs => MountPoint { kind: "tmpfs".into(), ..common },
        MountKind::Image => MountPoint { kind: "image".into(), source: mount.source.clone(), ..common },
        MountKind::Volume => MountPoint {
            kind: "volume".into(),
            name: mount.source.clone(),
            source: engine
                .volumes
                .mountpoint(&mount.source)
                .map(|path| path.to_string_lossy().into_owned())
                .unwrap_or_default(),
            driver: "local".into(),
            ..common
        },
    }
}

/// The networks that it is in, or will be in.
pub(crate) fn network_names(engine: &Engine, one: &Published) -> Map<EndpointSettings> {
    let mut networks: Map<EndpointSettings> = one.spec.networks.clone();
    let mode = &one.spec.host_config.network_mode;
    if networks.is_empty() && (mode == "host" || mode == "none") {
        let network_id = engine.networks.inspect(mode).map(|network| network.id).unwrap_or_default();
        networks.insert(mode.clone(), EndpointSettings { network_id, ..EndpointSettings::default() });
    }
    for (name, endpoint) in &one.state.network.endpoints {
        networks.insert(name.clone(), endpoint.clone());
    }
    networks
}

fn network_settings(engine: &Engine, one: &Published) -> NetworkSettings {
    let network = &one.state.network;
    let networks = network_names(engine, one);
    // The old fields tell of the default network only.
    let bridge = networks.get("bridge").cloned().unwrap_or_default();
    let sandbox_key = match network.sandbox_id.as_str() {
        "" => String::new(),
        _ => format!("/proc/{}/ns/net", one.state.pid),
    };
    NetworkSettings {
        sandbox_id: network.sandbox_id.clone(),
        sandbox_key,
        ports: network.ports.clone(),
        endpoint_id: bridge.endpoint_id,
        gateway: bridge.gateway,
        global_ipv6_address: bridge.global_ipv6_address,
        global_ipv6_prefix_len: bridge.global_ipv6_prefix_len,
        ip_address: bridge.ip_address,
        ip_prefix_len: bridge.ip_prefix_len,
        ipv6_gateway: bridge.ipv6_gateway,
        mac_address: bridge.mac_address,
        networks,
        ..NetworkSettings::default()
    }
}
