//! Volumes with a file system of their own: mounted at `_data` while a container runs that has them, or while they
//! are read or written as a whole.

use std::ffi::CString;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

use crate::{Error, Record, Result};

/// Words that are the kernel's flags; `false` takes one away.
const FLAGS: [(&str, MountFlags, bool); 22] = [
    ("ro", MountFlags::RDONLY, true),
    ("rw", MountFlags::RDONLY, false),
    ("nosuid", MountFlags::NOSUID, true),
    ("suid", MountFlags::NOSUID, false),
    ("nodev", MountFlags::NODEV, true),
    ("dev", MountFlags::NODEV, false),
    ("noexec", MountFlags::NOEXEC, true),
    ("exec", MountFlags::NOEXEC, false),
    ("sync", MountFlags::SYNCHRONOUS, true),
    ("async", MountFlags::SYNCHRONOUS, false),
    ("dirsync", MountFlags::DIRSYNC, true),
    ("mand", MountFlags::PERMIT_MANDATORY_FILE_LOCKING, true),
    ("nomand", MountFlags::PERMIT_MANDATORY_FILE_LOCKING, false),
    ("noatime", MountFlags::NOATIME, true),
    ("atime", MountFlags::NOATIME, false),
    ("nodiratime", MountFlags::NODIRATIME, true),
    ("diratime", MountFlags::NODIRATIME, false),
    ("relatime", MountFlags::RELATIME, true),
    ("norelatime", MountFlags::RELATIME, false),
    ("strictatime", MountFlags::STRICTATIME, true),
    ("nostrictatime", MountFlags::STRICTATIME, false),
    ("silent", MountFlags::SILENT, true),
];

const PROPAGATIONS: [(&str, MountPropagationFlags); 4] = [
    ("private", MountPropagationFlags::PRIVATE),
    ("shared", MountPropagationFlags::SHARED),
    ("slave", MountPropagationFlags::DOWNSTREAM),
    ("unbindable", MountPropagationFlags::UNBINDABLE),
];

/// `o` of a volume, sorted by who understands it.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    flags: MountFlags,
    bind: bool,
    recursive: bool,
    propagation: Option<MountPropagationFlags>,
    data: String,
}

fn parse(text: &str) -> Options {
    let mut options = Options {
        flags: MountFlags::empty(),
        bind: false,
        recursive: false,
        propagation: None,
        data: String::new(),
    };
    for word in text.split(',').filter(|word| !word.is_empty() && *word != "defaults") {
        if let Some((_, flag, set)) = FLAGS.iter().find(|(name, ..)| *name == word) {
            options.flags.set(*flag, *set);
        } else if word == "bind" || word == "rbind" {
            (options.bind, options.recursive) = (true, word == "rbind");
        } else if let Some((name, flag)) =
            PROPAGATIONS.iter().find(|(name, _)| word.strip_prefix('r').unwrap_or(word) == *name)
        {
            let whole =
                if *name == word { MountPropagationFlags::empty() } else { MountPropagationFlags::REC };
            options.propagation = Some(*flag | whole);
        } else {
            if !options.data.is_empty() {
                options.data.push(',');
            }
            options.data += word;
        }
    }
    options
}

/// Whether something is mounted right there.
pub(crate) fn is_mounted(data: &Path) -> bool {
    rustix::fs::statx(CWD, data, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS)
        .is_ok_and(|stat| stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Mounts a volume at its directory, in the calling thread's mount namespace; Docker's words when it can't.
pub(crate) fn mount(record: &Record, data: &Path) -> Result<()> {
    let option = |key: &str| record.options.get(key).map_or("", String::as_str);
    let (device, fstype) = (option("device"), option("type"));
    let failed =
        |reason: String| Error::Mount { path: data.into(), reason: hide_password(option("o"), &reason) };
    let options = parse(&with_address(fstype, option("o")).map_err(failed)?);
    let shown = || {
        let flags = if options.bind { options.flags | MountFlags::BIND } else { options.flags };
        let mut text = format!("failed to mount local volume: mount {device}:{}", data.display());
        if !flags.is_empty() {
            text += &format!(", flags: {:#x}", flags.bits());
        }
        if !options.data.is_empty() {
            text += &format!(", data: {}", options.data);
        }
        text
    };
    let refused = |error: rustix::io::Errno| failed(format!("{}: {}", shown(), words(error)));
    if options.bind {
        let made = if options.recursive {
            rustix::mount::mount_bind_recursive(device, data)
        } else {
            rustix::mount::mount_bind(device, data)
        };
        made.map_err(refused)?;
        if !options.flags.is_empty() {
            // The kernel minds them only in a second step.
            rustix::mount::mount_remount(data, options.flags | MountFlags::BIND, c"").map_err(|error| {
                let _ = rustix::mount::unmount(data, UnmountFlags::DETACH);
                refused(error)
            })?;
        }
    } else {
        let text =
            CString::new(options.data.clone()).map_err(|_| failed("a NUL among the options".into()))?;
        rustix::mount::mount(device, data, fstype, options.flags, text.as_c_str()).map_err(refused)?;
    }
    if let Some(propagation) = options.propagation {
        rustix::mount::mount_change(data, propagation).map_err(refused)?;
    }
    Ok(())
}

pub(crate) fn unmount(data: &Path) {
    if is_mounted(data)
        && let Err(error) = rustix::mount::unmount(data, UnmountFlags::DETACH)
    {
        tracing::warn!(path = %data.display(), %error, "cannot unmount the volume");
    }
}

/// The kernel wants a network file system's server by number.
fn with_address(fstype: &str, options: &str) -> Result<String, String> {
    let address = options.split(',').find_map(|word| word.strip_prefix("addr="));
    let Some(name) = address.filter(|_| matches!(fstype, "nfs" | "nfs4" | "cifs")) else {
        return Ok(options.to_owned());
    };
    if name.parse::<IpAddr>().is_ok() {
        return Ok(options.to_owned());
    }
    let found = (name, 0).to_socket_addrs().map(|mut found| found.next());
    match found {
        Ok(Some(found)) => Ok(options.replacen(&format!("addr={name}"), &format!("addr={}", found.ip()), 1)),
        Ok(None) => {
            Err(format!("error resolving passed in network volume address: lookup {name}: no such host"))
        }
        Err(error) => {
            Err(format!("error resolving passed in network volume address: lookup {name}: {error}"))
        }
    }
}

fn hide_password(options: &str, text: &str) -> String {
    match options.split(',').find_map(|word| word.strip_prefix("password=")) {
        Some(password) if !password.is_empty() => {
            text.replace(&format!("password={password}"), "password=********")
        }
        _ => text.to_owned(),
    }
}

/// As C and Go say it.
fn words(error: rustix::io::Errno) -> String {
    let text = std::io::Error::from(error).to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_sorted() {
        let options = parse("rbind,ro,nosuid,suid,rslave,size=1m,uid=5,defaults");
        assert!(options.bind && options.recursive);
        assert_eq!(options.flags, MountFlags::RDONLY);
        assert_eq!(options.propagation, Some(MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC));
        assert_eq!(options.data, "size=1m,uid=5");
        assert_eq!(parse("ro,rw").flags, MountFlags::empty());
        assert_eq!(parse("relatime").flags, MountFlags::RELATIME);
    }

    #[test]
    fn a_servers_name_becomes_its_number_and_passwords_are_not_told() {
        let found = with_address("nfs", "rw,addr=localhost").unwrap();
        assert!(found.strip_prefix("rw,addr=").unwrap().parse::<IpAddr>().unwrap().is_loopback());
        assert_eq!(with_address("nfs", "addr=1.2.3.4,rw").unwrap(), "addr=1.2.3.4,rw");
        assert_eq!(with_address("ext4", "addr=x").unwrap(), "addr=x");
        assert_eq!(
            hide_password("username=a,password=secret", "data: password=secret: no"),
            "data: password=********: no"
        );
    }
}
