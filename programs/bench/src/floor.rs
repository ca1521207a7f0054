//! The kernel's own floor: what a container's start costs when the system calls are all there is.
//!
//! The same namespaces, groups, mounts and devices as the bundle's `run`, in one process that knows beforehand what it
//! will do: no document is read, nothing is checked, no state is kept, no program of a runtime's is started.

use crate::{median, timed};
use anyhow::{Context, Result, bail};
use hull_sys::mount::{self, Attributes, FileSystem, Propagation};
use hull_sys::process::{self, Forked};
use hull_sys::{namespace, rustix};
use rustix::fs::{FileType, Mode, OFlags, mkdirat, mknodat, openat};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

const DEVICES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// Times the floor and a runtime's `run` by turns and prints them.
pub fn row(rounds: usize, root: &Path, mut run: impl FnMut() -> Result<()>) -> Result<()> {
    let (mut floor, mut ours) = (Vec::new(), Vec::new());
    let mut once = || start(root);
    for round in 0..rounds + 2 {
        let (a, b) = (timed(&mut once)?, timed(&mut run)?);
        if round >= 2 {
            floor.push(a);
            ours.push(b);
        }
    }
    let (a, b) = (median(&mut floor), median(&mut ours));
    println!("\n| the kernel's floor | ms |\n|---|---|");
    println!("| the same system calls without a runtime | {a:.1} ({:.1}) |", floor[0]);
    println!(
        "| hull-runtime's `run` in the same rounds | {b:.1} ({:.1}), {:.2} times the floor |",
        ours[0],
        b / a
    );
    Ok(())
}

/// The directories of a group in every hierarchy.
fn groups() -> Result<Vec<PathBuf>> {
    let host = hull_cgroup::Host::detect().map_err(|error| anyhow::anyhow!("{error}"))?;
    let roots = host.hierarchies.into_iter().map(|hierarchy| hierarchy.mount_point).chain(host.unified);
    Ok(roots.map(|root| root.join("hull-bench-floor")).collect())
}

fn start(root: &Path) -> Result<()> {
    let groups = groups()?;
    for group in &groups {
        std::fs::create_dir(group).with_context(|| group.display().to_string())?;
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if let Some(above) = group.parent().map(|above| above.join(file)).filter(|above| above.exists()) {
                std::fs::write(group.join(file), std::fs::read(above)?)?;
            }
        }
    }
    let kinds = namespace::MOUNT | namespace::PID | namespace::NETWORK | namespace::UTS | namespace::IPC;
    let status = match process::clone3(kinds, None)? {
        Forked::Child => {
            let failed = inside(root, &groups).err();
            eprintln!("floor: {failed:?}");
            process::exit(1)
        }
        Forked::Parent { pidfd, .. } => process::reap(&pidfd)?,
    };
    for group in &groups {
        // The last process may still be on its way out.
        while std::fs::remove_dir(group).is_err_and(|error| error.kind() == io::ErrorKind::ResourceBusy) {}
    }
    if status == 0 { Ok(()) } else { bail!("the floor's program ended with {status}") }
}

fn inside(root: &Path, groups: &[PathBuf]) -> io::Result<()> {
    for group in groups {
        // Version 1 lets a thread move itself without a lock.
        let file =
            ["tasks", "cgroup.procs"].map(|name| group.join(name)).into_iter().find(|file| file.exists());
        std::fs::write(file.unwrap_or_default(), "0")?;
    }
    rustix::process::setsid()?;
    process::loopback_up()?;
    mount::set_root_propagation(Propagation::Private, true)?;
    let tree = mount::clone_tree(root, true)?;
    let old = directory(rustix::fs::CWD, "/")?;
    mount::attach(&tree, &old)?;
    let make = |kind: &str| FileSystem::open(kind)?.mount(Attributes::empty());
    let put = |kind: &str, place: &str| -> io::Result<OwnedFd> {
        let made = make(kind)?;
        mount::attach(&made, directory(tree.as_fd(), place)?)?;
        Ok(made)
    };
    put("proc", "proc")?;
    let dev = put("tmpfs", "dev")?;
    for name in ["pts", "shm", "mqueue"] {
        mkdirat(&dev, name, Mode::from_raw_mode(0o755))?;
    }
    for (kind, name) in [("devpts", "pts"), ("tmpfs", "shm"), ("mqueue", "mqueue")] {
        mount::attach(make(kind)?, directory(dev.as_fd(), name)?)?;
    }
    for (name, major, minor) in DEVICES {
        let number = rustix::fs::makedev(major, minor);
        mknodat(&dev, name, FileType::CharacterDevice, Mode::from_raw_mode(0o666), number)?;
    }
    let sys = put("sysfs", "sys")?;
    let place = directory(sys.as_fd(), "fs/cgroup")?;
    let all = make("tmpfs")?;
    mount::attach(&all, place)?;
    for (number, group) in groups.iter().enumerate() {
        let name = number.to_string();
        mkdirat(&all, name.as_str(), Mode::from_raw_mode(0o755))?;
        mount::attach(mount::clone_tree(group, false)?, directory(all.as_fd(), &name)?)?;
    }
    namespace::unshare(namespace::CGROUP)?;
    mount::pivot_into(&tree)?;
    let program = CString::from(c"/bin/true");
    Err(process::execve(&program, std::slice::from_ref(&program), &[]))
}

fn directory(at: impl AsFd, name: &str) -> io::Result<OwnedFd> {
    Ok(openat(at, name, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}
