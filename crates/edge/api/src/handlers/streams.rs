//! A container's output and figures: logs, attach, stats, export.

use crate::compat::ATTACH_WEBSOCKET;
use crate::hijack::{self, Hijack, detach::DetachKeys, websocket::Websocket};
use crate::request::Call;
use crate::response::{self, AbortOnDrop, Outcome, Shape};
use crate::router::Router;
use crate::status::Failure;
use bytes::{Bytes, BytesMut};
use hull_api_types::{ContainerStats, CpuStats};
use hull_container::{AttachOptions, Containers, LogOptions, LogStream};
use std::io;
use std::time::Duration;
use tokio::sync::mpsc;

// Small records are sent together, up to so many bytes.
const BATCH: usize = 32 << 10;
const STATS_PERIOD: Duration = Duration::from_secs(1);

pub fn register(router: &mut Router, containers: &Containers) {
    router.add("GET /containers/{name:.*}/logs", containers, logs);
    router.add("GET /containers/{name:.*}/stats", containers, stats);
    router.add("GET /containers/{name:.*}/export", containers, export);
    router.add_hijack("POST /containers/{name:.*}/attach", containers, attach);
    router.add_hijack(ATTACH_WEBSOCKET, containers, attach_websocket);
}

async fn logs(containers: Containers, call: Call) -> Outcome {
    let options = LogOptions {
        follow: call.query.flag("follow"),
        stdout: call.query.flag("stdout"),
        stderr: call.query.flag("stderr"),
        since: call.query.time("since")?.filter(|at| at.unix_nanoseconds() != 0),
        until: call.query.time("until")?.filter(|at| at.unix_nanoseconds() != 0),
        timestamps: call.query.flag("timestamps"),
        // `all`, and what is no number, means all, as with Docker.
        tail: call.query.text("tail").and_then(|text| text.parse().ok()),
        details: call.query.flag("details"),
    };
    if !options.stdout && !options.stderr {
        return Err(Failure::invalid("Bad parameters: you must choose at least one stream"));
    }
    let log = containers.logs(call.name(), options).await?;
    let content_type = hijack::content_type(log.tty, call.version);
    let (sender, pieces) = mpsc::channel(4);
    let task = tokio::spawn(send_records(log, sender));
    response::stream(content_type, pieces, Some(AbortOnDrop(task.abort_handle())))
}

async fn send_records(mut log: LogStream, sender: mpsc::Sender<io::Result<Bytes>>) {
    while let Some(first) = log.records.recv().await {
        let mut batch = BytesMut::new();
        let mut next = Some(first);
        while let Some(record) = next {
            if log.tty {
                batch.extend_from_slice(&record.bytes);
            } else {
                batch.extend_from_slice(&hijack::frame(record.stream, &record.bytes));
            }
            next = if batch.len() < BATCH { log.records.try_recv().ok() } else { None };
        }
        if sender.send(Ok(batch.freeze())).await.is_err() {
            return;
        }
    }
}

async fn attach(containers: Containers, mut call: Call) -> Outcome {
    let keys = detach_keys(call.query.text("detachKeys"))?;
    // Whatever came as a body belongs to the request, not to standard input.
    call.bytes(crate::request::JSON_LIMIT).await?;
    let attachment = containers.attach(call.name(), attach_options(&call)).await?;
    Ok(Hijack::new(call.wants_upgrade(), call.version, attachment, keys).reply())
}

async fn attach_websocket(containers: Containers, call: Call) -> Outcome {
    let keys = detach_keys(call.query.text("detachKeys"))?;
    let websocket = Websocket::new(&call.headers, call.version)?;
    let attachment = containers.attach(call.name(), attach_options(&call)).await?;
    Ok(Hijack::over(websocket, attachment, keys).reply())
}

fn attach_options(call: &Call) -> AttachOptions {
    AttachOptions {
        stdin: call.query.flag("stdin"),
        stdout: call.query.flag("stdout"),
        stderr: call.query.flag("stderr"),
        logs: call.query.flag("logs"),
        stream: call.query.flag("stream"),
        detach_keys: call.query.text("detachKeys").map(str::to_owned),
    }
}

/// The keys asked for, or the default ones.
pub fn detach_keys(text: Option<&str>) -> Result<DetachKeys, Failure> {
    let Some(text) = text else { return Ok(DetachKeys::default()) };
    text.parse().map_err(|error: hijack::detach::KeysError| Failure::invalid(error.to_string()))
}

async fn export(containers: Containers, call: Call) -> Outcome {
    response::stream("application/octet-stream", containers.export(call.name()).await?, None)
}

async fn stats(containers: Containers, call: Call) -> Outcome {
    let stream = call.query.flag_or("stream", true);
    let one_shot = call.query.flag("one-shot");
    if stream && one_shot {
        return Err(Failure::invalid("cannot have stream=true and one-shot=true"));
    }
    let first = containers.stats(call.name(), one_shot).await?;
    // Names may be given away meanwhile.
    let id = if first.id.is_empty() { call.name().to_owned() } else { first.id.clone() };
    let shape = call.shape();
    if stream {
        let (sender, pieces) = mpsc::channel(1);
        let task = tokio::spawn(sample(containers, id, first, shape, sender));
        return response::stream("application/json", pieces, Some(AbortOnDrop(task.abort_handle())));
    }
    if one_shot || first.cpu_stats == CpuStats::default() {
        return shape.json(&first);
    }
    tokio::time::sleep(STATS_PERIOD).await;
    let second = containers.stats(&id, false).await?;
    shape.json(&after(&first, second))
}

/// A sample together with the processor times of the one before.
fn after(before: &ContainerStats, mut sample: ContainerStats) -> ContainerStats {
    sample.preread = before.read;
    sample.precpu_stats = before.cpu_stats.clone();
    sample
}

async fn sample(
    containers: Containers,
    id: String,
    first: ContainerStats,
    shape: Shape,
    sender: mpsc::Sender<io::Result<Bytes>>,
) {
    let mut ticks = tokio::time::interval(STATS_PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await;
    let mut last = first.clone();
    let mut next = first;
    loop {
        let Ok(bytes) = shape.bytes(&next) else { return };
        if sender.send(Ok(bytes)).await.is_err() {
            return;
        }
        ticks.tick().await;
        // It ends with the container.
        let Ok(sample) = containers.stats(&id, false).await else { return };
        next = after(&last, sample);
        last = next.clone();
    }
}
