//! The messages of a pull, in the words and shapes that Docker's clients draw.

use crate::error::{ImageError, Result};
use hull_api_types::{JsonMessage, JsonProgress};
use hull_types::size;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

/// How often a layer's progress is told at most.
const INTERVAL: Duration = Duration::from_millis(100);

/// A line of its own.
pub(crate) fn line(id: &str, status: impl Into<String>) -> JsonMessage {
    JsonMessage { id: id.into(), status: status.into(), ..JsonMessage::default() }
}

/// A layer's new state. Clients tell it from a line by the empty progress.
pub(crate) fn state(id: &str, status: &str) -> JsonMessage {
    JsonMessage { progress_detail: Some(JsonProgress::default()), ..line(id, status) }
}

/// A value for programs.
pub(crate) fn aux(value: serde_json::Value) -> JsonMessage {
    JsonMessage { progress_detail: Some(JsonProgress::default()), aux: Some(value), ..JsonMessage::default() }
}

fn advance(id: &str, status: &str, current: u64, total: u64) -> JsonMessage {
    let detail = JsonProgress { current: current as i64, total: total as i64, ..JsonProgress::default() };
    JsonMessage { progress_detail: Some(detail), progress: bar(current, total), ..line(id, status) }
}

// What clients before API 1.48 print as it is: half a character a percent.
fn bar(current: u64, total: u64) -> String {
    let now = size::decimal(current as f64);
    if total == 0 {
        return format!("{now:>8}");
    }
    let filled = ((current as f64 / total as f64 * 100.0) as usize / 2).min(50);
    let numbers = match current > total {
        true => format!("{now:>8}"),
        false => format!("{now:>8}/{}", size::decimal(total as f64)),
    };
    format!("[{}>{}] {numbers}", "=".repeat(filled), " ".repeat(50 - filled))
}

/// Sends, unless nobody listens any more, which ends a pull.
pub(crate) async fn send(to: &Sender<JsonMessage>, message: JsonMessage) -> Result<()> {
    to.send(message).await.map_err(|_| ImageError::Cancelled)
}

/// One layer's line.
pub(crate) struct LayerProgress {
    id: String,
    total: u64,
    to: Sender<JsonMessage>,
    last: Mutex<Option<Instant>>,
    // A layer is unpacked while it comes in; that is told only once it is here, as one line has room for one of them.
    here: AtomicBool,
    unpacked: AtomicU64,
}

impl LayerProgress {
    pub(crate) fn new(id: &str, total: u64, to: Sender<JsonMessage>) -> Self {
        let (last, here, unpacked) = (Mutex::default(), AtomicBool::default(), AtomicU64::default());
        Self { id: id.into(), total, to, last, here, unpacked }
    }
    pub(crate) async fn state(&self, status: &str) -> Result<()> {
        send(&self.to, state(&self.id, status)).await
    }
    /// The whole of it is here.
    pub(crate) async fn downloaded(&self) -> Result<()> {
        self.state("Download complete").await?;
        self.here.store(true, Ordering::Relaxed);
        match self.unpacked.load(Ordering::Relaxed) {
            0 => Ok(()),
            so_far => send(&self.to, advance(&self.id, "Extracting", so_far, self.total)).await,
        }
    }
    /// Tells how much of it has been unpacked, in bytes of the blob.
    pub(crate) fn extracting(&self, current: u64) -> Result<()> {
        self.unpacked.store(current, Ordering::Relaxed);
        match self.here.load(Ordering::Relaxed) {
            true => self.advance("Extracting", current),
            false if self.to.is_closed() => Err(ImageError::Cancelled),
            false => Ok(()),
        }
    }
    /// Tells how far it is, ten times a second at most; a reader that is behind misses some. An error says that
    /// nobody listens any more.
    pub(crate) fn advance(&self, status: &str, current: u64) -> Result<()> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let due = current >= self.total || last.is_none_or(|last| last.elapsed() >= INTERVAL);
        if self.to.is_closed() {
            return Err(ImageError::Cancelled);
        }
        if !due {
            return Ok(());
        }
        *last = Some(Instant::now());
        match self.to.try_send(advance(&self.id, status, current, self.total)) {
            Err(TrySendError::Closed(_)) => Err(ImageError::Cancelled),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_dockers() {
        let text = |message: &JsonMessage| serde_json::to_string(message).unwrap();
        assert_eq!(
            text(&line("latest", "Pulling from library/busybox")),
            r#"{"status":"Pulling from library/busybox","id":"latest"}"#
        );
        assert_eq!(
            text(&state("0123456789ab", "Pulling fs layer")),
            r#"{"status":"Pulling fs layer","progressDetail":{},"id":"0123456789ab"}"#
        );
        let half = advance("0123456789ab", "Downloading", 1000, 2000);
        assert_eq!(half.progress, format!("[{}>{}]      1kB/2kB", "=".repeat(25), " ".repeat(25)));
        assert_eq!(half.progress_detail.unwrap().total, 2000);
        assert_eq!(bar(3000, 2000), format!("[{}>]      3kB", "=".repeat(50)));
        assert_eq!(bar(0, 0), "      0B");
    }
}
