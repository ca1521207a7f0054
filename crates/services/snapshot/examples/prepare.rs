//! `prepare DIRECTORY`: how long it takes to make, describe and remove snapshots there, in microseconds.

use hull_snapshot::Snapshotter;
use hull_snapshot::overlay::Overlay;
use std::time::{Duration, Instant};

#[allow(clippy::print_stdout)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args_os().nth(1).ok_or("usage: prepare DIRECTORY")?;
    let overlay = Overlay::open(directory.as_ref())?;
    let mut times: [Vec<u128>; 3] = Default::default();
    for number in 0..50 {
        let key = format!("key-{number}");
        // The rhythm of containers being started, so that spares are there.
        std::thread::sleep(Duration::from_millis(20));
        for (step, times) in times.iter_mut().enumerate() {
            let begin = Instant::now();
            match step {
                0 => overlay.prepare(&key, None)?,
                1 => drop(overlay.rootfs(&key)?),
                _ => overlay.remove(&key)?,
            }
            times.push(begin.elapsed().as_micros());
        }
    }
    for (name, times) in ["prepare", "rootfs", "remove"].iter().zip(&mut times) {
        times.sort_unstable();
        println!("{name}: min {} p50 {} max {}", times[0], times[times.len() / 2], times[times.len() - 1]);
    }
    Ok(())
}
