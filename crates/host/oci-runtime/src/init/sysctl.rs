//! Kernel parameters of the container's namespaces.

use crate::failure::{During, Step};
use hull_sys::mount::{Attributes, FileSystem};
use hull_sys::{InRoot, Mode, OFlags};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;

/// Writes parameters through a mount of proc that nothing is mounted over: what the container's `/proc` leads to
/// is not asked (CVE-2025-52881).
pub(super) fn write(proc: &OwnedFd, parameters: &BTreeMap<String, String>) -> Step<()> {
    let proc = InRoot::new(proc.try_clone().during("copy descriptor")?);
    for (key, value) in parameters {
        let what = format!("cannot set sysctl {key:?} to {value:?}");
        let path = format!("sys/{}", path_of(key));
        let file = proc.open_no_symlinks(path, OFlags::WRONLY, Mode::empty()).during(&what)?;
        File::from(file).write_all(value.as_bytes()).during(&what)?;
    }
    Ok(())
}

/// As [`write`], where the container has no new proc mount.
pub(super) fn write_privately(parameters: &BTreeMap<String, String>) -> Step<()> {
    let context = FileSystem::open("proc").during("proc")?;
    let proc = context.mount(Attributes::empty()).during("cannot mount proc")?;
    write(&proc, parameters)
}

/// `net.ipv4.ip_forward` is a path; in `net.ipv4.conf.eth0/1.x` the slash stands for an interface's dot.
fn path_of(key: &str) -> String {
    if !key.contains('/') {
        return key.replace('.', "/");
    }
    // The first separator tells which of the two is one.
    let slash_first = key.find('/') < key.find('.').or(Some(usize::MAX));
    if slash_first {
        return key.into();
    }
    let swap = |letter| match letter {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    key.chars().map(swap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_paths() {
        assert_eq!(path_of("net.ipv4.ip_forward"), "net/ipv4/ip_forward");
        assert_eq!(path_of("net/ipv4/ip_forward"), "net/ipv4/ip_forward");
        assert_eq!(path_of("net.ipv4.conf.eth0/1.forwarding"), "net/ipv4/conf/eth0.1/forwarding");
    }
}
