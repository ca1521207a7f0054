//! Which capabilities a process has.

use crate::spec::CAPABILITIES;
use hull_api_types::HostConfig;
use hull_types::oci::runtime as oci;

/// What a container has when nothing is said.
pub const DEFAULT_CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// The bounding set: the defaults, with what was added and without what was dropped.
///
/// `grantable` limits what "all" means; a capability that was named is kept, so that the runtime says what is wrong.
pub fn bounding(host: &HostConfig, privileged: bool, grantable: &[String]) -> Vec<String> {
    let added = host.cap_add.as_deref().unwrap_or_default();
    let dropped = host.cap_drop.as_deref().unwrap_or_default();
    let all = || CAPABILITIES.iter().map(|name| (*name).to_owned()).filter(|name| grantable.contains(name));
    if privileged {
        return all().collect();
    }
    let everything = added.iter().any(|name| name == "ALL");
    let nothing = dropped.iter().any(|name| name == "ALL");
    let base: Vec<String> = if everything {
        all().collect()
    } else if nothing {
        Vec::new()
    } else {
        DEFAULT_CAPABILITIES.iter().map(|name| (*name).to_owned()).collect()
    };
    let mut set: Vec<String> = base.into_iter().filter(|name| !dropped.contains(name)).collect();
    for name in added {
        if name != "ALL" && !set.contains(name) {
            set.push(name.clone());
        }
    }
    set
}

/// The five sets for a process of this user id.
///
/// Ambient and inheritable stay empty, always (CVE-2016-8867, CVE-2022-24769): a user other than root gains what is
/// in the bounding set through a set-user-id program or file capabilities only.
pub fn capability_sets(
    host: &HostConfig,
    privileged: bool,
    uid: u32,
    grantable: &[String],
) -> oci::Capabilities {
    let bounding = bounding(host, privileged, grantable);
    let held = if uid == 0 { bounding.clone() } else { Vec::new() };
    oci::Capabilities {
        effective: held.clone(),
        permitted: held,
        bounding,
        inheritable: Vec::new(),
        ambient: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(add: &[&str], drop: &[&str]) -> Vec<String> {
        let list = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
        let host = HostConfig { cap_add: list(add), cap_drop: list(drop), ..Default::default() };
        let grantable: Vec<String> = ["CAP_CHOWN", "CAP_SYS_ADMIN"].map(String::from).to_vec();
        bounding(&host, false, &grantable)
    }

    #[test]
    fn adding_and_dropping() {
        assert_eq!(set(&[], &[]).len(), 14);
        assert_eq!(set(&["CAP_SYS_ADMIN"], &["CAP_CHOWN"]).len(), 14);
        assert_eq!(set(&["CAP_KILL"], &["ALL"]), ["CAP_KILL"]);
        assert_eq!(set(&["ALL"], &["CAP_CHOWN"]), ["CAP_SYS_ADMIN"]);
        let sets = capability_sets(&HostConfig::default(), false, 1000, &[]);
        assert!(sets.effective.is_empty() && sets.permitted.is_empty() && sets.ambient.is_empty());
        assert_eq!(sets.bounding.len(), 14);
    }
}
