//! An attacker that exchanges names while the runtime works, as a container that shares a volume can.
#![allow(dead_code, clippy::unwrap_used)]

use hull_sys::rustix::fs::{CWD, RenameFlags, renameat_with};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a race goes on: a moment, or what `HULL_RACE_SECONDS` says.
pub fn duration() -> Duration {
    let seconds = std::env::var("HULL_RACE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1.5);
    Duration::from_secs_f64(seconds)
}

/// Does something again and again for the time of a race; gives how often.
pub fn again_and_again(mut action: impl FnMut()) -> u32 {
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < duration() || count == 0 {
        action();
        count += 1;
    }
    count
}

/// A thread that exchanges pairs of names until this is dropped.
pub struct Swapper {
    stop: Arc<AtomicBool>,
    swaps: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Swapper {
    pub fn start(pairs: &[(&Path, &Path)]) -> Self {
        let pairs: Vec<(PathBuf, PathBuf)> =
            pairs.iter().map(|(a, b)| (a.to_path_buf(), b.to_path_buf())).collect();
        let (stop, swaps) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (until, count) = (stop.clone(), swaps.clone());
        let thread = std::thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                for (a, b) in &pairs {
                    // What the runtime has mounted upon cannot be moved for a moment.
                    if renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE).is_ok() {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        });
        Self { stop, swaps, thread: Some(thread) }
    }

    /// How often names were exchanged so far.
    pub fn swaps(&self) -> u64 {
        self.swaps.load(Ordering::Relaxed)
    }
}

impl Drop for Swapper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}
