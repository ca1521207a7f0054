//! Reading logs: the file's entries in the form clients want, until the log ends or the client leaves.

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::options::{LogOptions, LogRecord, LogStream};
use crate::record::Phase;
use crate::supervisor::Handle;
use bytes::Bytes;
use hull_logs::{Driver, Next, ReadOptions, Reader, Record, Records, Stopper, Stream};
use hull_types::Timestamp;
use std::os::fd::OwnedFd;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

pub(crate) fn open(engine: &Engine, handle: &Handle, options: LogOptions) -> Result<LogStream> {
    let published = handle.published();
    let spec = &published.spec;
    let log = &spec.host_config.log_config;
    if hull_logs::parse_options(&log.kind, &log.config).map_err(Error::service)? == Driver::None {
        return Err(Error::service(hull_logs::Error::NotReadable));
    }
    let follow = options.follow && goes_on(published.state.phase);
    let read = ReadOptions {
        stdout: options.stdout,
        stderr: options.stderr,
        since: options.since,
        until: options.until,
        tail: options.tail,
        follow,
    };
    let stopper = Stopper::new().map_err(Error::io("make an event descriptor"))?;
    let reader = Reader::open(engine.log_path(&spec.id)).map_err(Error::service)?;
    let records = reader.read(read, stopper.clone()).map_err(Error::service)?;
    let (sender, receiver) = mpsc::channel(64);
    if follow {
        tokio::spawn(tell_end(handle.clone(), stopper, sender.clone()));
        tokio::spawn(pump_following(records, options, sender));
    } else {
        tokio::task::spawn_blocking(move || pump(records, &options, &sender));
    }
    Ok(LogStream { tty: spec.config.tty, records: receiver })
}

fn goes_on(phase: Phase) -> bool {
    phase.is_live() || phase == Phase::Restarting
}

/// Ends a follower when the container has stopped, or when nobody reads it any more.
async fn tell_end(handle: Handle, stopper: Stopper, sender: mpsc::Sender<LogRecord>) {
    let mut watch = handle.watch();
    tokio::select! {
        _ = watch.wait_for(|now| now.gone || !goes_on(now.state.phase)) => stopper.stopped(),
        () = sender.closed() => stopper.cancel(),
    }
}

fn pump(records: Records, options: &LogOptions, sender: &mpsc::Sender<LogRecord>) {
    for record in records {
        match record {
            Ok(record) => {
                if sender.blocking_send(render(record, options)).is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot read a log on");
                return;
            }
        }
    }
}

/// Followers wait for the file by its descriptor, without a thread each.
// The constructor is deprecated for types that don't keep their descriptor open; this one does.
#[allow(deprecated)]
async fn pump_following(mut records: Records, options: LogOptions, sender: mpsc::Sender<LogRecord>) {
    let Some(Ok(descriptor)) = records.descriptor().map(|fd| fd.try_clone_to_owned()) else { return };
    let Ok(descriptor) = AsyncFd::with_interest(descriptor, Interest::READABLE) else { return };
    loop {
        match records.try_next() {
            Ok(Next::Record(record)) => {
                if sender.send(render(record, &options)).await.is_err() {
                    return;
                }
            }
            Ok(Next::End) => return,
            Ok(Next::Pending) => {
                if !wait_for_more(&mut records, &descriptor, &options, &sender).await {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot follow a log on");
                return;
            }
        }
    }
}

/// Waits until there may be more; whether to go on. What is found on the way is sent.
async fn wait_for_more(
    records: &mut Records,
    descriptor: &AsyncFd<OwnedFd>,
    options: &LogOptions,
    sender: &mpsc::Sender<LogRecord>,
) -> bool {
    let guard = tokio::select! {
        guard = descriptor.readable() => guard,
        () = until(options.until) => return true,
    };
    let Ok(mut guard) = guard else { return false };
    match records.try_next() {
        Ok(Next::Record(record)) => sender.send(render(record, options)).await.is_ok(),
        // Only now: what came before this look is not forgotten.
        Ok(Next::Pending) => {
            guard.clear_ready();
            true
        }
        Ok(Next::End) | Err(_) => false,
    }
}

async fn until(at: Option<Timestamp>) {
    let Some(at) = at else { return std::future::pending().await };
    let left = (at.unix_nanoseconds() - Timestamp::now().unix_nanoseconds()).max(0);
    tokio::time::sleep(Duration::from_nanos(u64::try_from(left).unwrap_or(u64::MAX))).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// Docker's order: time, details, line.
fn render(record: Record, options: &LogOptions) -> LogRecord {
    let mut bytes = Vec::with_capacity(record.line.len() + 40);
    if options.timestamps {
        bytes.extend_from_slice(record.time.with_nine_digits().as_bytes());
        bytes.push(b' ');
    }
    if options.details {
        let pairs: Vec<String> = record.attrs.iter().map(|(key, value)| format!("{key}={value}")).collect();
        bytes.extend_from_slice(pairs.join(",").as_bytes());
        bytes.push(b' ');
    }
    bytes.extend_from_slice(&record.line);
    let stream = match record.stream {
        Stream::Stdout => 1,
        Stream::Stderr => 2,
    };
    LogRecord { stream, bytes: Bytes::from(bytes) }
}

/// The whole log so far, in the form of an attached stream (`attach?logs=1`).
pub(crate) async fn replay(mut stream: LogStream) -> Bytes {
    let mut all = Vec::new();
    while let Some(record) = stream.records.recv().await {
        if !stream.tty {
            all.extend_from_slice(&[record.stream, 0, 0, 0]);
            all.extend_from_slice(&(record.bytes.len() as u32).to_be_bytes());
        }
        all.extend_from_slice(&record.bytes);
    }
    Bytes::from(all)
}
