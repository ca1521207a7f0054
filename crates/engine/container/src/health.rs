//! Health checks: a command run in the container now and then, and what its exits add up to.

use crate::bundle;
use crate::engine::Engine;
use crate::exec::user_of;
use crate::machine::new_id;
use crate::record::ContainerSpec;
use crate::supervisor::{Request, hostname_of};
use hull_api_types::{ExecCreateRequest, Health, HealthcheckResult};
use hull_task::{AttachOptions, ExecOptions, Task};
use hull_types::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How much of a check's output is kept.
const OUTPUT_LIMIT: usize = 4096;
/// How many results are kept.
const LOG_LENGTH: usize = 5;

/// A health check with its defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Check {
    pub command: Vec<String>,
    pub interval: Duration,
    pub timeout: Duration,
    pub start_period: Duration,
    pub start_interval: Duration,
    pub retries: i64,
}

/// The container's health check, if it has one.
pub(crate) fn check_of(spec: &ContainerSpec) -> Option<Check> {
    let config = spec.config.healthcheck.as_ref()?;
    let test = config.test.as_ref()?;
    let command = match test.first().map(String::as_str)? {
        "CMD" => test[1..].to_vec(),
        "CMD-SHELL" => {
            let shell = spec.config.shell.clone().filter(|shell| !shell.is_empty());
            let mut words = shell.unwrap_or_else(|| vec!["/bin/sh".into(), "-c".into()]);
            words.push(test.get(1)?.clone());
            words
        }
        _ => return None,
    };
    let or = |value: i64, seconds: u64| match u64::try_from(value) {
        Ok(nanoseconds @ 1..) => Duration::from_nanos(nanoseconds),
        _ => Duration::from_secs(seconds),
    };
    (!command.is_empty()).then(|| Check {
        command,
        interval: or(config.interval, 30),
        timeout: or(config.timeout, 30),
        start_period: or(config.start_period, 0),
        start_interval: or(config.start_interval, 5),
        retries: if config.retries > 0 { config.retries } else { 3 },
    })
}

/// What a result makes of what was known: pure.
pub(crate) fn judge(
    mut known: Health,
    result: HealthcheckResult,
    check: &Check,
    starting_up: bool,
) -> Health {
    if result.exit_code == 0 {
        known.failing_streak = 0;
        known.status = "healthy".into();
    } else if !(starting_up && known.status == "starting") {
        known.failing_streak += 1;
        if known.failing_streak >= check.retries {
            known.status = "unhealthy".into();
        }
    }
    let log = known.log.get_or_insert_default();
    log.push(result);
    if log.len() > LOG_LENGTH {
        log.remove(0);
    }
    known
}

/// Checks a container until it is aborted, or nobody listens any more.
pub(crate) async fn monitor(
    engine: Arc<Engine>,
    spec: Arc<ContainerSpec>,
    check: Check,
    task: Task,
    supervisor: mpsc::WeakSender<Request>,
) {
    let begun = Instant::now();
    let mut health = Health { status: "starting".into(), failing_streak: 0, log: Some(Vec::new()) };
    loop {
        let starting_up = begun.elapsed() < check.start_period;
        let fast = starting_up && health.status == "starting";
        tokio::time::sleep(if fast { check.start_interval } else { check.interval }).await;
        let result = probe(&engine, &spec, &check, &task).await;
        let starting_up = begun.elapsed() < check.start_period;
        health = judge(health, result, &check, starting_up);
        let Some(sender) = supervisor.upgrade() else { return };
        if sender.send(Request::Health { of: task.pid(), health: health.clone() }).await.is_err() {
            return;
        }
    }
}

async fn probe(
    engine: &Arc<Engine>,
    spec: &Arc<ContainerSpec>,
    check: &Check,
    task: &Task,
) -> HealthcheckResult {
    let start = Timestamp::now();
    let id = match new_id() {
        Ok(id) => id,
        Err(error) => {
            return HealthcheckResult { start, end: start, exit_code: -1, output: error.to_string() };
        }
    };
    let run = tokio::time::timeout(check.timeout, run(engine, spec, check, task, &id)).await;
    let (exit_code, output) = match run {
        Ok(Ok((code, output))) => (code, output),
        Ok(Err(text)) => (-1, text),
        Err(_) => {
            let _ = task.exec_kill(&id, rustix::process::Signal::KILL.as_raw()).await;
            (-1, format!("Health check exceeded timeout ({})", go_duration(check.timeout)))
        }
    };
    let _ = task.exec_delete(&id).await;
    HealthcheckResult { start, end: Timestamp::now(), exit_code, output }
}

async fn run(
    engine: &Arc<Engine>,
    spec: &Arc<ContainerSpec>,
    check: &Check,
    task: &Task,
    id: &str,
) -> Result<(i64, String), String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let published = engine.published(&spec.id).map_err(|error| text(&error))?;
    let user = user_of(&published, task, "").await.map_err(|error| text(&error))?;
    let request = ExecCreateRequest { cmd: Some(check.command.clone()), ..ExecCreateRequest::default() };
    let config = engine.config();
    let defaults = (config.default_ulimits.as_slice(), config.no_new_privileges);
    let hostname = hostname_of(engine, spec);
    let process = bundle::exec_process(spec, &request, &user, &hostname, &engine.machine.grantable, defaults);
    let options = ExecOptions { exec_id: id.to_owned(), process, stdin: false, detach: false };
    task.exec_create(options).await.map_err(|error| text(&error))?;
    let attach = AttachOptions { exec_id: Some(id.to_owned()), stdin: false, stdout: true, stderr: true };
    let mut stream = task.attach(attach).await.map_err(|error| text(&error))?;
    task.exec_start(id).await.map_err(|error| text(&error))?;
    let output = read_frames(&mut stream).await;
    let exit = task.exec_wait(id).await.map_err(|error| text(&error))?;
    Ok((exit.code.into(), output))
}

/// Both outputs in the order in which they came; what is over the limit is read and dropped.
async fn read_frames(stream: &mut tokio::net::UnixStream) -> String {
    let mut kept: Vec<u8> = Vec::new();
    let mut header = [0; 8];
    while stream.read_exact(&mut header).await.is_ok() {
        let [_, _, _, _, length @ ..] = header;
        let mut piece = vec![0; (u32::from_be_bytes(length) as usize).min(1 << 20)];
        if stream.read_exact(&mut piece).await.is_err() {
            break;
        }
        let room = OUTPUT_LIMIT.saturating_sub(kept.len()).min(piece.len());
        kept.extend_from_slice(&piece[..room]);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// `30s`, `1m30s`, `500ms`, as Go writes them.
fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds == 0 {
        return format!("{}ms", duration.as_millis());
    }
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s}s"),
        (h, m, s) => format!("{h}h{m}m{s}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check() -> Check {
        Check {
            command: vec!["true".into()],
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(30),
            start_period: Duration::ZERO,
            start_interval: Duration::from_secs(5),
            retries: 2,
        }
    }

    fn result(exit_code: i64) -> HealthcheckResult {
        HealthcheckResult { exit_code, ..Default::default() }
    }

    #[test]
    fn results_add_up() {
        let starting = Health { status: "starting".into(), ..Default::default() };
        let in_period = judge(starting.clone(), result(1), &check(), true);
        assert_eq!((in_period.status.as_str(), in_period.failing_streak), ("starting", 0));
        let once = judge(starting, result(1), &check(), false);
        assert_eq!((once.status.as_str(), once.failing_streak), ("starting", 1));
        let twice = judge(once, result(1), &check(), false);
        assert_eq!(twice.status, "unhealthy");
        let well = judge(twice, result(0), &check(), false);
        assert_eq!((well.status.as_str(), well.failing_streak), ("healthy", 0));
        let many = (0..9).fold(well, |health, _| judge(health, result(0), &check(), false));
        assert_eq!(many.log.unwrap().len(), LOG_LENGTH);
    }

    #[test]
    fn durations_read_as_gos() {
        assert_eq!(go_duration(Duration::from_secs(90)), "1m30s");
        assert_eq!(go_duration(Duration::from_millis(500)), "500ms");
    }
}
