//! `checkpoint`.

use super::{CriuOptions, DESCRIPTORS, NETWORK, bind_mounts, check_terminal, failure, joined_network};
use crate::state::{Directory, Record};
use crate::{Error, Result, config};
use hull_sys::program::Program;
use hull_types::oci::runtime::Spec;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitStatus;

/// Writes a running container's processes to files. Unless it is to run on the processes are gone then; the container
/// is still to be deleted.
pub fn checkpoint(state_root: &Path, id: &str, options: &CriuOptions) -> Result<()> {
    options.check().map_err(Error::InvalidConfig)?;
    let directory = Directory::of(state_root, id)?;
    let record = directory.load(id)?;
    match record.status(&directory) {
        "running" => {}
        "paused" => return Err(Error::Paused),
        _ => return Err(Error::NotRunning),
    }
    let spec = config::load(&record.bundle)?;
    check_terminal(&spec)?;
    let failed = |what| move |source| Error::Prepare { what, source };
    for path in [options.image_path.as_path(), options.work()] {
        fs::create_dir_all(path).map_err(failed("cannot make the image's directory"))?;
    }
    let streams = streams(record.pid).map_err(failed("cannot look at the container's streams"))?;
    let external = external(&spec, &record, &streams).map_err(failed("cannot look at the container"))?;
    let list = serde_json::to_vec(&streams).unwrap_or_default();
    fs::write(options.image_path.join(DESCRIPTORS), list).map_err(failed("cannot write the image"))?;

    let words = options.dump(record.pid, &record.cgroup, &external);
    let run = || -> io::Result<ExitStatus> {
        let mut criu = Program::new(options.program())?;
        for word in &words {
            criu.argument(word)?;
        }
        criu.run()
    };
    let status = match run() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Error::NoCriu(options.program().into()));
        }
        result => result.map_err(failed("cannot run criu"))?,
    };
    if status.success() {
        return Ok(());
    }
    Err(failure("checkpoint", &options.work().join("dump.log"), status.code().unwrap_or(255)))
}

/// CRIU's names for the three streams; empty for one that needs none.
fn streams(pid: i32) -> io::Result<Vec<String>> {
    (0..3).map(|number| stream(pid, number)).collect()
}

fn stream(pid: i32, number: i32) -> io::Result<String> {
    let path = format!("/proc/{pid}/fd/{number}");
    let Ok(target) = fs::read_link(&path) else { return Ok(String::new()) };
    let target = target.display().to_string();
    // "pipe:[7]" is "pipe[7]" there.
    if target.starts_with("pipe:[") || target.starts_with("socket:[") {
        return Ok(target.replacen(':', "", 1));
    }
    let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}"))?;
    let mount = info.lines().find_map(|line| line.strip_prefix("mnt_id:"));
    let mount: u64 = mount.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    let own = fs::read_to_string(format!("/proc/{pid}/mountinfo"))?;
    if own.lines().any(|line| line.split(' ').next().and_then(|word| word.parse().ok()) == Some(mount)) {
        // The container's own file: CRIU finds it by its path.
        return Ok(String::new());
    }
    Ok(format!("file[{mount:x}:{:x}]", fs::metadata(&path)?.ino()))
}

fn external(spec: &Spec, record: &Record, streams: &[String]) -> io::Result<Vec<String>> {
    let mut all: Vec<String> = bind_mounts(spec, &record.bundle)
        .into_iter()
        .map(|(destination, _)| format!("mnt[{destination}]:{destination}"))
        .collect();
    for name in streams.iter().filter(|name| name.starts_with("file[")) {
        // Two streams may be one.
        if !all.contains(name) {
            all.push(name.clone());
        }
    }
    if spec.linux.as_ref().and_then(joined_network).is_some() {
        let inode = fs::metadata(format!("/proc/{}/ns/net", record.pid))?.ino();
        all.push(format!("net[{inode}]:{NETWORK}"));
    }
    Ok(all)
}
