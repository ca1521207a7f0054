//! Containers made by a user who is not the host's root.

use hull_sys::program::{self, Program};
use hull_sys::rustix;
use hull_types::oci::runtime::{IdMapping, Linux};
use std::io;

/// Whether the caller is one: not root, or root of a user namespace only.
pub fn is_rootless() -> bool {
    let maps_all = |map: String| {
        let words: Vec<&str> = map.split_whitespace().collect();
        words == ["0", "0", "4294967295"]
    };
    !rustix::process::geteuid().is_root()
        || !std::fs::read_to_string("/proc/self/uid_map").is_ok_and(maps_all)
}

/// Writes the maps of a new user namespace (user_namespaces(7)).
///
/// Root writes them itself. The kernel lets everybody else map the own id, if the namespace may set no groups; more than that is what
/// `/etc/subuid` and `/etc/subgid` give, and newuidmap and newgidmap write.
pub(crate) fn write_maps(pid: i32, linux: &Linux) -> io::Result<()> {
    let (uids, gids) = (&linux.uid_mappings, &linux.gid_mappings);
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    let own = |mappings: &[IdMapping], id: u32| match mappings {
        [only] => only.size == 1 && only.host_id == id,
        _ => false,
    };
    if uid.is_root() {
        return hull_sys::mount::write_maps(pid, &map_lines(uids), &map_lines(gids));
    }
    match own(uids, uid.as_raw()) {
        true => std::fs::write(format!("/proc/{pid}/uid_map"), map_lines(uids))?,
        false => ask("newuidmap", pid, uids)?,
    }
    match own(gids, gid.as_raw()) {
        true => {
            std::fs::write(format!("/proc/{pid}/setgroups"), "deny")?;
            std::fs::write(format!("/proc/{pid}/gid_map"), map_lines(gids))
        }
        false => ask("newgidmap", pid, gids),
    }
}

/// Lines for `uid_map`.
pub(crate) fn map_lines(mappings: &[IdMapping]) -> String {
    mappings.iter().map(|map| format!("{} {} {}\n", map.container_id, map.host_id, map.size)).collect()
}

fn ask(program: &str, pid: i32, mappings: &[IdMapping]) -> io::Result<()> {
    let mut asked = Program::new(program)?;
    asked.argument(pid.to_string())?;
    for number in mappings.iter().flat_map(|m| [m.container_id, m.host_id, m.size]) {
        asked.argument(number.to_string())?;
    }
    let complaint = asked.record(2)?;
    let status = asked.run().map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&program::said(complaint)?).trim().to_owned()))
}
