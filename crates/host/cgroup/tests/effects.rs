//! What cgroups do on the host that the tests run on. Needs root.
#![allow(clippy::unwrap_used)]

use hull_cgroup::{Cgroup, Error};
use hull_types::oci::runtime::{Memory, Pids, Resources};
use std::process::{Child, Command};

fn sleeper() -> Child {
    Command::new("/bin/busybox").args(["sleep", "1000"]).spawn().unwrap()
}

fn path(name: &str) -> String {
    format!("/hull-test-{}/{name}", std::process::id())
}

fn sweep(cgroup: &Cgroup) {
    cgroup.remove().unwrap();
    // The parent goes with its last child; other tests may still have theirs.
    let parent = cgroup.path().rsplit_once('/').unwrap().0.to_owned();
    for directory in
        cgroup.directories().iter().map(|h| h.mount_point.clone()).chain(cgroup.unified().map(Into::into))
    {
        assert!(!directory.exists());
        assert!(directory.parent().unwrap().ends_with(parent.trim_start_matches('/')));
        let _ = std::fs::remove_dir(directory.parent().unwrap());
    }
}

#[test]
fn a_group_lives() {
    let resources = Resources {
        memory: Some(Memory { limit: Some(64 << 20), swap: Some(128 << 20), ..Memory::default() }),
        pids: Some(Pids { limit: 7 }),
        ..Resources::default()
    };
    let cgroup = Cgroup::create(&path("life"), &resources).unwrap();
    let mut child = sleeper();
    cgroup.add_pid(child.id() as i32).unwrap();
    assert_eq!(cgroup.pids().unwrap(), [child.id() as i32]);
    assert!(matches!(Cgroup::create(cgroup.path(), &resources), Err(Error::InUse(_))));
    let stats = cgroup.stats().unwrap();
    assert_eq!((stats.memory.limit, stats.pids.limit, stats.pids.current), (64 << 20, 7, 1));

    cgroup.freeze().unwrap();
    assert!(cgroup.is_frozen().unwrap());
    cgroup.thaw().unwrap();
    assert!(!cgroup.is_frozen().unwrap());

    // Up past the old limit of memory and swap, and down again.
    for limit in [256_i64 << 20, 32 << 20] {
        let memory = Memory { limit: Some(limit), swap: Some(2 * limit), ..Memory::default() };
        cgroup.update(&Resources { memory: Some(memory), ..Resources::default() }).unwrap();
        assert_eq!(cgroup.stats().unwrap().memory.limit, limit as u64);
    }

    cgroup.kill_all().unwrap();
    child.wait().unwrap();
    sweep(&cgroup);
}

#[test]
fn paths_stay_in_the_hierarchy() {
    for bad in ["", "/", "/../x", "/a/../../b", "/a\nb"] {
        assert!(matches!(Cgroup::create(bad, &Resources::default()), Err(Error::InvalidPath(_))), "{bad:?}");
    }
}

#[test]
fn what_cannot_be_set_is_said_and_leaves_nothing() {
    let resources = hull_types::document::from_json(br#"{"cpu":{"cpus":"9999"}}"#).unwrap();
    let error = Cgroup::create(&path("bad"), &resources).unwrap_err();
    assert!(error.to_string().contains("cpuset.cpus"), "{error}");
    let cgroup = Cgroup::load(&path("bad")).unwrap();
    sweep(&cgroup);
}
