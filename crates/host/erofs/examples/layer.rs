//! `layer TAR WHERE`: how long the image of a layer's tar takes to make and to read, against the same files unpacked.
//!
//! In WHERE, on a file system on a disk: makes the image, unpacks the tar beside it, and reads every file of both,
//! from memory and, after the caches were dropped, from the disk. Run it as root on a machine that does nothing else.

use hull_erofs::Builder;
use hull_sys::mount::{Attributes, FileSystem};
use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Instant;

fn read_all(directory: &Path, buffer: &mut [u8]) -> std::io::Result<(u64, u64)> {
    let (mut files, mut bytes) = (0, 0);
    let mut entries = std::fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
    // Both in one order.
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let kind = entry.file_type()?;
        if kind.is_dir() {
            let below = read_all(&entry.path(), buffer)?;
            (files, bytes) = (files + below.0, bytes + below.1);
        } else if kind.is_file() {
            let mut file = File::open(entry.path())?;
            files += 1;
            loop {
                match file.read(buffer)? {
                    0 => break,
                    read => bytes += read as u64,
                }
            }
        }
    }
    Ok((files, bytes))
}

fn mount(image: &Path, tar: &Path, options: &[&str]) -> std::io::Result<OwnedFd> {
    let erofs = FileSystem::open("erofs")?;
    erofs.set("source", image)?;
    erofs.set("device", tar)?;
    options.iter().try_for_each(|option| erofs.set_flag(option))?;
    erofs.mount(Attributes::MOUNT_ATTR_RDONLY)
}

fn drop_caches() -> std::io::Result<()> {
    hull_sys::rustix::fs::sync();
    std::fs::write("/proc/sys/vm/drop_caches", "3")
}

#[allow(clippy::print_stdout)]
fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(tar), Some(place)) = (arguments.next(), arguments.next()) else {
        return Err("usage: layer TAR WHERE".into());
    };
    std::fs::create_dir_all(&place)?;
    let (image, unpacked) = (place.join("image"), place.join("unpacked"));
    for _ in 0..3 {
        let begin = Instant::now();
        let mut out = BufWriter::new(File::create(&image)?);
        let summary = hull_erofs::index(File::open(&tar)?, &mut out, Builder::default())?;
        println!(
            "image: {} entries in {:.1?}, {} bytes",
            summary.entries,
            begin.elapsed(),
            image.metadata()?.len()
        );
    }
    if !unpacked.exists() {
        std::fs::create_dir(&unpacked)?;
        let begin = Instant::now();
        hull_archive::apply(File::open(&tar)?, &unpacked, &hull_archive::ApplyOptions::default())?;
        println!("unpacked in {:.1?}", begin.elapsed());
    }
    let begin = Instant::now();
    for _ in 0..100 {
        drop(mount(&image, &tar, &[])?);
    }
    println!("a mount and unmount: {:.1?}", begin.elapsed() / 100);
    let mut buffer = vec![0; 128 << 10];
    for round in 0..3 {
        for (name, options) in
            [("unpacked", None), ("buffered", Some(&[][..])), ("directio", Some(&["directio"][..]))]
        {
            drop_caches()?;
            let held = options.map(|options| mount(&image, &tar, options)).transpose()?;
            let root = match &held {
                None => unpacked.clone(),
                Some(mount) => PathBuf::from(format!("/proc/self/fd/{}", mount.as_raw_fd())),
            };
            let mut times = Vec::new();
            let mut read = (0, 0);
            for _ in 0..4 {
                let begin = Instant::now();
                read = read_all(&root, &mut buffer)?;
                times.push(begin.elapsed());
            }
            println!(
                "{round} {name}: {} files, {} MB, cold {:.0?}, warm {:.0?}",
                read.0,
                read.1 >> 20,
                times[0],
                times[1..].iter().min().copied().unwrap_or_default()
            );
        }
    }
    Ok(())
}
