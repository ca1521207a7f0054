//! `apply LAYER DIRECTORY`: applies a layer blob (gzip, zstd or plain) and says how long it took.

use hull_archive::{ApplyOptions, Decompressor, apply};
use std::fs::File;
use std::time::Instant;

#[allow(clippy::print_stdout)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(layer), Some(directory)) = (arguments.next(), arguments.next()) else {
        return Err("usage: apply LAYER DIRECTORY".into());
    };
    let begin = Instant::now();
    let reader = Decompressor::detect(File::open(layer)?)?;
    let applied = apply(reader, directory.as_ref(), &ApplyOptions::default())?;
    println!("{} entries, {} bytes in {:?}", applied.entries, applied.size, begin.elapsed());
    Ok(())
}
