//! The daemon about itself: ping, version, info, disk usage, logins to registries.

use super::blocking;
use crate::request::Call;
use crate::response::{self, Body, Outcome, Reply, empty, with_header};
use crate::router::Router;
use crate::status::Failure;
use hull_api_types::{
    AuthConfig, DiskUsage, Filters, ImageListOptions, SystemInfo, SystemProblem, SystemVersion, Volume,
    VolumeUsage,
};
use hull_build::Builder;
use hull_container::{Containers, ListOptions};
use hull_events::EventBus;
use hull_image::{ImageError, Images};
use hull_network::Networks;
use hull_types::Timestamp;
use hull_volume::Volumes;
use hyper::StatusCode;
use tokio::sync::watch;

/// What the daemon knows about itself and its machine. Counts and clocks are filled in by `/info`.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The answer of `/info`, without what changes.
    pub info: SystemInfo,
    /// The answer of `/version`.
    pub version: SystemVersion,
}

type State = (Containers, Images, Volumes, EventBus, Builder);

pub fn register(
    router: &mut Router,
    containers: &Containers,
    images: &Images,
    volumes: &Volumes,
    events: &EventBus,
    facts: &watch::Receiver<Facts>,
    builder: &Builder,
) {
    let state = (containers.clone(), images.clone(), volumes.clone(), events.clone(), builder.clone());
    router.add("GET /_ping", &(), |(), _| async { ping("OK") });
    router.add("HEAD /_ping", &(), |(), _| async { ping("") });
    router.add("GET /version", facts, version);
    router.add("GET /system/df", &state, disk_usage);
    router.add("GET /system/check", &state, check);
    router.add("POST /system/check", &state, check);
    router.add("POST /auth", images, auth);
}

/// What `/info` looks at.
type Counted = (Containers, Images, Networks, EventBus, watch::Receiver<Facts>);

pub fn register_info(
    router: &mut Router,
    containers: &Containers,
    images: &Images,
    networks: &Networks,
    events: &EventBus,
    facts: &watch::Receiver<Facts>,
) {
    let state = (containers.clone(), images.clone(), networks.clone(), events.clone(), facts.clone());
    router.add("GET /info", &state, info);
}

fn ping(text: &'static str) -> Outcome {
    let response =
        response::respond(StatusCode::OK, "text/plain; charset=utf-8", Body::Full(Some(text.into())));
    let headers = [
        ("cache-control", "no-cache, no-store, must-revalidate"),
        ("pragma", "no-cache"),
        // The classic builder: clients then do not look for BuildKit behind /session.
        ("builder-version", "1"),
        ("swarm", "inactive"),
    ];
    headers
        .into_iter()
        .try_fold(Reply::Response(response), |reply, (name, value)| with_header(reply, name, value))
}

async fn version(facts: watch::Receiver<Facts>, call: Call) -> Outcome {
    call.shape().json(&facts.borrow().version)
}

async fn info((containers, images, networks, events, facts): Counted, call: Call) -> Outcome {
    let counts = containers.counts();
    let descriptors = std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count());
    let threads = std::fs::read_dir("/proc/self/task").map_or(0, |entries| entries.count());
    let known = facts.borrow().info.clone();
    let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let info = SystemInfo {
        containers: number(counts.running + counts.paused + counts.stopped),
        containers_running: number(counts.running),
        containers_paused: number(counts.paused),
        containers_stopped: number(counts.stopped),
        images: number(images.count()),
        n_fd: number(descriptors),
        n_goroutines: number(threads),
        n_events_listener: number(events.subscribers()),
        system_time: hull_sys::local_time::rfc3339(Timestamp::now()),
        firewall_backend: Some(blocking(move || Ok::<_, hull_network::Error>(networks.firewall())).await?),
        ..known
    };
    call.shape().json(&info)
}

async fn disk_usage((containers, images, volumes, _, builder): State, call: Call) -> Outcome {
    let known = ["container", "image", "volume", "build-cache"];
    let types: Vec<&str> = call.query.all("type").collect();
    if let Some(unknown) = types.iter().find(|kind| !known.contains(kind)) {
        return Err(Failure::invalid(format!("unknown object type: {unknown}")));
    }
    let wants = |kind: &str| types.is_empty() || types.contains(&kind);
    let mut usage = DiskUsage::default();
    if wants("container") {
        let all = ListOptions { all: true, size: true, ..ListOptions::default() };
        usage.containers = containers.list(all).await?;
        // Its log is what a container takes most of, often.
        for container in &mut usage.containers {
            let logs = i64::try_from(containers.log_size(&container.id)).unwrap_or(i64::MAX);
            container.size_rw = Some(container.size_rw.unwrap_or(0).saturating_add(logs));
        }
    }
    if wants("image") {
        let (list, size) = blocking(move || {
            let options = ImageListOptions { shared_size: true, ..ImageListOptions::default() };
            Ok::<_, ImageError>((images.list(&options)?, images.disk_usage()?))
        })
        .await?;
        usage.images = list;
        usage.layers_size = i64::try_from(size).unwrap_or(i64::MAX);
    }
    if wants("volume") {
        usage.volumes = blocking(move || measured(&volumes)).await?;
    }
    if wants("build-cache") {
        usage.build_cache = super::build::records(&builder);
    }
    call.shape().json(&usage)
}

/// Hull's own. Only a POST repairs.
async fn check((containers, images, ..): State, call: Call) -> Outcome {
    let repair = call.route.starts_with("POST") && call.query.flag("repair");
    let mut report = images.check(repair).await?;
    let rows = containers.damaged().into_iter().map(|(id, error)| SystemProblem {
        kind: "container".into(),
        id,
        error: format!("{error}; its data is kept"),
        ..SystemProblem::default()
    });
    report.problems.extend(rows);
    call.shape().json(&report)
}

fn measured(volumes: &Volumes) -> Result<Vec<Volume>, hull_volume::Error> {
    let mut list = volumes.list(&Filters::new())?;
    for volume in &mut list {
        volume.usage_data = Some(VolumeUsage {
            size: i64::try_from(volumes.size(&volume.name)).unwrap_or(i64::MAX),
            ref_count: i64::try_from(volumes.users(&volume.name).len()).unwrap_or(i64::MAX),
        });
    }
    Ok(list)
}

async fn auth(images: Images, mut call: Call) -> Outcome {
    let auth: AuthConfig = call.json().await?;
    let answer = images.login(&auth).await?;
    if answer.status.is_empty() {
        return empty(StatusCode::NO_CONTENT);
    }
    call.shape().json(&answer)
}
