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
    let failed =
        |reason: String| Error::Mount { path: data.into(), reason: hide_password(option("o"), &reason) };
    let fstype = option("type");
    let (device, options) = by_number(fstype, option("device"), option("o"), look_up).map_err(failed)?;
    let (device, options) = (device.as_str(), parse(&options));
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

/// Device and options with a network file system's server by number, as the kernel wants it: `addr` of the options, or
/// where cifs has none, the server in `//server/share`.
fn by_number(
    fstype: &str,
    device: &str,
    options: &str,
    look_up: impl Fn(&str) -> Result<IpAddr, String>,
) -> Result<(String, String), String> {
    let same = (device.to_owned(), options.to_owned());
    if !matches!(fstype, "nfs" | "nfs4" | "cifs") {
        return Ok(same);
    }
    let is_name = |text: &str| !text.is_empty() && text.parse::<IpAddr>().is_err();
    if let Some(name) = options.split(',').find_map(|word| word.strip_prefix("addr=")) {
        if !is_name(name) {
            return Ok(same);
        }
        let number = look_up(name)?;
        return Ok((same.0, options.replacen(&format!("addr={name}"), &format!("addr={number}"), 1)));
    }
    let server =
        device.strip_prefix("//").filter(|_| fstype == "cifs").and_then(|rest| rest.split('/').next());
    match server.filter(|name| is_name(name)) {
        Some(name) => Ok((device.replacen(name, &look_up(name)?.to_string(), 1), same.1)),
        None => Ok(same),
    }
}

fn look_up(name: &str) -> Result<IpAddr, String> {
    let failed =
        |why: String| format!("error resolving passed in network volume address: lookup {name}: {why}");
    let mut found = (name, 0).to_socket_addrs().map_err(|error| failed(error.to_string()))?;
    found.next().map(|found| found.ip()).ok_or_else(|| failed("no such host".into()))
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
        let numbers = |name: &str| match name {
            "server" => Ok(IpAddr::from([10, 0, 0, 7])),
            "six" => Ok("fd00::7".parse().unwrap()),
            other => Err(format!("no {other}")),
        };
        for (fstype, device, options, expected) in [
            ("nfs", ":/srv", "addr=server,rw,nfsvers=4", (":/srv", "addr=10.0.0.7,rw,nfsvers=4")),
            ("nfs4", ":/srv", "rw,addr=six,nolock", (":/srv", "rw,addr=fd00::7,nolock")),
            ("nfs", "server:/srv", "addr=1.2.3.4,rw", ("server:/srv", "addr=1.2.3.4,rw")),
            ("nfs", "server:/srv", "addr=::1", ("server:/srv", "addr=::1")),
            (
                "cifs",
                "//server/share",
                "addr=server,username=a",
                ("//server/share", "addr=10.0.0.7,username=a"),
            ),
            ("cifs", "//server/server", "username=a", ("//10.0.0.7/server", "username=a")),
            ("cifs", "//10.0.0.1/share", "", ("//10.0.0.1/share", "")),
            ("ext4", "/dev/x", "addr=nobody", ("/dev/x", "addr=nobody")),
        ] {
            let made = by_number(fstype, device, options, numbers).unwrap();
            assert_eq!((made.0.as_str(), made.1.as_str()), expected);
        }
        assert_eq!(by_number("nfs", ":/x", "addr=nobody", numbers).unwrap_err(), "no nobody");
        assert!(look_up("localhost").unwrap().is_loopback());
        // What the kernel gets of an NFS volume: its own flags apart, the rest as text.
        let options = parse("addr=10.0.0.7,ro,noatime,nfsvers=4.2,soft,timeo=10");
        assert_eq!(options.flags, MountFlags::RDONLY | MountFlags::NOATIME);
        assert_eq!(options.data, "addr=10.0.0.7,nfsvers=4.2,soft,timeo=10");
        assert_eq!(
            hide_password("username=a,password=secret", "data: password=secret: no"),
            "data: password=********: no"
        );
    }
}
